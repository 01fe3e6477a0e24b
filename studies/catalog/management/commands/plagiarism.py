"""``manage.py plagiarism``: what pieces copied from a corpus."""

import json
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandError

from analysis.plagiarism.extraction import UNITS
from studies.catalog.naming import counted
from studies.catalog.services import search_originality
from studies.catalog.storage import writable_folder, write_text
from studies.command import EarwitnessCommand

SHOWN = 10  # of the pieces that copy most


class Command(EarwitnessCommand):
    """Parses arguments around `services.search_originality`."""

    help = (
        "Measure what pieces copied from a corpus: the share of notes that stand together in one window of "
        "the corpus (note overlap), and the longest stretch of melody that stands there with few changes "
        "(melody match), beside what human music shares by chance. Every window of every piece is searched. "
        "The report is kept in the catalog where the corpus is one of its own, and written to the files "
        "that are named. Nothing else changes."
    )

    def add_arguments(self, parser):
        """GENERATED..., the corpus, how to count, and where to write."""
        parser.add_argument(
            "generated",
            metavar="GENERATED",
            nargs="+",
            help="files, folders, or the name of a model, a generation or an import",
        )
        parser.add_argument(
            "--corpus",
            required=True,
            metavar="NAME|FOLDER",
            help="a corpus of the catalog, or a folder of scores",
        )
        parser.add_argument(
            "--unit",
            choices=UNITS,
            default="onset",
            help="what counts as a note (default onset: each note once)",
        )
        parser.add_argument(
            "--transpose", action="store_true", help="search -12 to 12 semitones, not one key alone"
        )
        parser.add_argument("--top", type=int, metavar="K", help="matches to list per piece (default 5)")
        parser.add_argument(
            "--only", choices=("overlap", "melody"), help="one of the two measures (default both)"
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of baseline and control (default 0)"
        )
        parser.add_argument("--json", metavar="FILE", help="write the whole result; - for stdout, alone")
        parser.add_argument(
            "--csv", metavar="FILE", help="write one row per piece, those that copy most first"
        )
        parser.add_argument("--html", metavar="FILE", help="write a page to read, which needs nothing else")

    def handle(self, *, generated, corpus, unit, transpose, top, only, seed, json, csv, html, **options):
        """Search, write what was asked for, and say the headline."""
        self.as_json = json == "-"
        targets = {"--json": json if json != "-" else None, "--csv": csv, "--html": html}
        _check_targets(targets)
        search = search_originality(
            generated=generated,
            corpus=corpus,
            unit=unit,
            transpose=transpose,
            top=top,
            only=only,
            seed=seed,
            progress=self.progress("searching"),
        )
        written = write_files(search, json=targets["--json"], csv=csv, html=html)
        for each in search.subject.rejected + search.reference.rejected:
            self.say(f"left out: {each['file']}: {each['reason']}")
        kept = [f"The report is number {search.report.pk} of the catalog."] if search.report else []
        self.finish(search.result, *headline(search), *kept, *(f"Written: {path}" for path in written))


def write_files(search, *, json: str | None, csv: str | None, html: str | None) -> list[Path]:
    """Write the forms of a result that are asked for; returns their paths."""
    from analysis.plagiarism.report import report_csv, report_html

    written = []
    if json:
        written.append(write_text(json, result_as_json(search.result)))
    if csv:
        written.append(write_text(csv, report_csv(search.result)))
    if html:
        page = report_html(search.result, search.subject.pieces, search.reference.items)
        written.append(write_text(html, page))
    return written


def result_as_json(result: dict) -> str:
    """The document of ``--json``; a number that is none would be an error here, never NaN in a file."""
    return json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def headline(search) -> list[str]:
    """The result in words: both measures beside human music, then the pieces that copy most."""
    summary, pieces = search.result["summary"], search.result["pieces"]
    lines = [
        f"{counted(len(pieces), 'piece')} of {search.subject.name}, searched in {search.reference.name}:"
    ]
    if overlap := summary.get("overlap"):
        lines.append(f"Note overlap: {_beside_human(overlap, _percent, 'windows', _points)}.")
        lines += _most_copying(pieces, "overlap", lambda one: f"{_percent(one['score'])} of a window's notes")
    if melody := summary.get("melody"):
        lines.append(f"Melody match: {_beside_human(melody, _plain, 'melodies', _plain)}.")
        lines += _most_copying(
            pieces, "melody", lambda one: f"{one['matched']} {one['unit']}, {one['edits']} changes"
        )
    return lines


def _beside_human(summary: dict, form: Callable, what: str, distance: Callable) -> str:
    """The mean, that of human music beside it, and how far apart they are."""
    if not summary["n"]:
        return f"no {what} with enough notes to compare"
    baseline, excess = summary["baseline"], summary["excess"]
    own = f"{form(summary['mean'])} on average, {form(summary['max'])} at most (n = {summary['n']} {what})"
    if baseline["mean"] is None or excess is None:
        return f"{own}; there is no human music to compare with"
    human = (
        f"human music has {form(baseline['mean'])} with the rest of its corpus (n = {baseline['n']} {what})"
    )
    return f"{own}; {human}: {distance(abs(excess))} {'more' if excess > 0 else 'less'} than human music"


def _most_copying(pieces: list[dict], part: str, words) -> list[str]:
    """The pieces with the highest scores, one a line."""
    found = [each for each in pieces if each[part] and each[part]["score"] is not None]
    found.sort(key=lambda each: -each[part]["score"])
    lines = []
    for each in found[:SHOWN]:
        nearest = each[part]["matches"][0]["corpus_piece"] if each[part]["matches"] else "nothing"
        lines.append(f"  {each['piece']}: {words(each[part])}, nearest {nearest}")
    return lines


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _plain(value: float) -> str:
    return f"{value:.1f}"


def _check_targets(targets: dict[str, str | None]) -> None:
    """Refuse a place that cannot be written to before the search, not after it."""
    for option, target in targets.items():
        if target and Path(target).is_dir():
            raise CommandError(f"{option} needs a file, {target} is a folder")
        if target:
            writable_folder(Path(target).parent)
