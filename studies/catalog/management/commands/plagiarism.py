"""``manage.py plagiarism``: what pieces copied from a corpus."""

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from django.core.management.base import CommandError

from analysis.melody.extraction import ENCODINGS, GENERATIONS, LINES
from analysis.plagiarism.search import EDGES, OFFSETS
from studies.catalog.naming import counted
from studies.catalog.services import search_originality
from studies.catalog.services.originality import EXCLUSIONS, excerpt_sound
from studies.catalog.storage import writable_folder, write_text
from studies.command import EarwitnessCommand

SHOWN = 10  # of the pieces that copy most
MOST_LEFT_OUT = 20  # files named one by one

#: What counts as a note, by its name on the command line.
UNIT_OF = {"onset": "onset", "cell": "cell", "onset+duration": "onset+dur"}

#: Options that the search takes as they are.
PASSED_ON = (
    "transpose",
    "transpositions",
    "top",
    "only",
    "exclude",
    "reference",
    "seed",
    "workers",
    "steps_per_beat",
    "offsets",
    "edges",
    "per_piece",
    "min_notes",
    "encoding",
    "penalty",
    "edits",
)


class Command(EarwitnessCommand):
    """Parses arguments around `services.search_originality`."""

    help = (
        "Measure what pieces copied from a corpus: the share of notes that stand together in one window of "
        "the corpus (note overlap), and the longest stretch of melody that stands there with few changes "
        "(melody match), beside what human music shares by chance. Every window of every piece is searched. "
        "The report is kept in the catalog where the corpus is one of its own, and written to the files "
        "that are named; beside the first of them, FILE.pieces.jsonl takes each piece as it is done, and "
        "after a kill the same command goes on from there. The corpus is indexed once, under the data "
        "folder, and the index grows when the corpus does. Nothing else changes."
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
            help="what to search in: a corpus, a model, a generation or an import of the catalog, or a "
            "folder of scores",
        )
        parser.add_argument("--top", type=int, metavar="K", help="matches to list per piece (default 5)")
        parser.add_argument(
            "--only", choices=("overlap", "melody"), help="one of the two measures (default both)"
        )
        parser.add_argument(
            "--exclude",
            choices=EXCLUSIONS,
            help="what a piece that is of the corpus itself is not compared with: itself, all pieces of "
            "its work, or nothing (default: itself, if it is named as a piece of the catalog; nothing for a "
            "file)",
        )
        parser.add_argument(
            "--reference",
            choices=("all", "train"),
            default="all",
            help="search the whole corpus, or its train split alone (default all)",
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of baseline and control (default 0)"
        )
        parser.add_argument(
            "--workers", type=int, metavar="N", help="threads that search (default one per core)"
        )
        self._add_overlap_arguments(parser.add_argument_group("note overlap"))
        self._add_melody_arguments(parser.add_argument_group("melody match"))
        parser.add_argument("--json", metavar="FILE", help="write the whole result; - for stdout, alone")
        parser.add_argument(
            "--csv", metavar="FILE", help="write one row per piece, those that copy most first"
        )
        parser.add_argument("--html", metavar="FILE", help="write a page to read, which needs nothing else")
        parser.add_argument(
            "--no-audio", action="store_true", help="leave the sounds of the worst cases out of the page"
        )

    def _add_overlap_arguments(self, group):
        group.add_argument(
            "--unit",
            choices=UNIT_OF,
            default="onset",
            help="what counts as a note (default onset: each note once; cell: each step that it sounds, as "
            "DeepHear counts)",
        )
        group.add_argument(
            "--transpose", action="store_true", help="search -12 to 12 semitones, not one key alone"
        )
        group.add_argument(
            "--transpositions",
            type=_semitones,
            metavar="SET",
            help="another set of semitones: --transpositions=-6..5, or 0,5,7",
        )
        group.add_argument(
            "--window",
            type=_window,
            default={},
            metavar="N[bars|steps]",
            help="length of a window, in bars of the piece's own meter or in steps (default 4bars)",
        )
        group.add_argument(
            "--hop", type=int, metavar="STEPS", help="start a window every so many steps, not at every bar"
        )
        group.add_argument(
            "--steps-per-beat",
            type=int,
            default=4,
            metavar="N",
            help="the grid (default 4: sixteenths; 12 holds triplets too)",
        )
        group.add_argument(
            "--offsets", choices=OFFSETS, default="all", help="corpus windows start at every step, or at bars"
        )
        group.add_argument(
            "--edges",
            choices=EDGES,
            default="full",
            help="corpus windows may hang over the ends of a piece, or lie inside it (default full)",
        )
        group.add_argument(
            "--per-piece", type=int, default=1, metavar="K", help="matches in one corpus piece (default 1)"
        )
        group.add_argument(
            "--min-notes",
            type=int,
            default=8,
            metavar="N",
            help="windows of fewer are marked and left out of averages (default 8)",
        )

    def _add_melody_arguments(self, group):
        group.add_argument(
            "--token",
            dest="encoding",
            choices=ENCODINGS,
            default="interval+ratio",
            help="what a step of melody is (default interval+ratio: the same in every key and tempo)",
        )
        group.add_argument(
            "--voice",
            choices=LINES,
            help="what is a melody: the highest line, the lowest, or the voices that a generation of "
            "MELODL4J takes (default skyline)",
        )
        group.add_argument(
            "--filters",
            choices=("melodl4j", "none"),
            help="take MELODL4J's voices and leave out those that its filters refuse, or none of them",
        )
        group.add_argument(
            "--penalty", type=int, default=2, metavar="P", help="steps that an edit costs (default 2)"
        )
        group.add_argument(
            "--edits", type=int, default=3, metavar="K", help="the most edits of the frontier (default 3)"
        )

    def handle(
        self,
        *,
        generated,
        corpus,
        unit,
        window,
        hop,
        voice,
        filters,
        json,
        csv,
        html,
        no_audio,
        **options,
    ):
        """Search, write what was asked for, and say the headline."""
        self.as_json = json == "-"
        targets = {"--json": json if json != "-" else None, "--csv": csv, "--html": html}
        _check_targets(targets)
        first = next((Path(each) for each in targets.values() if each), None)
        search = search_originality(
            generated=generated,
            corpus=corpus,
            unit=UNIT_OF[unit],
            hop_steps=hop,
            journal=first.with_suffix(".pieces.jsonl") if first else None,
            progress=self.progress("searching"),
            **window,
            **_voices(voice, filters, options["encoding"]),
            **{name: options[name] for name in PASSED_ON},
        )
        written = write_files(search, json=targets["--json"], csv=csv, html=html, with_audio=not no_audio)
        self._say_left_out(search.subject.rejected + search.reference.rejected)
        kept = [f"The report is number {search.report.pk} of the catalog."] if search.report else []
        self.finish(search.result, *headline(search), *kept, *(f"Written: {path}" for path in written))

    def _say_left_out(self, rejected: list[dict[str, str]]) -> None:
        for each in rejected[:MOST_LEFT_OUT]:
            self.say(f"left out: {each['file']}: {each['reason']}")
        if len(rejected) > MOST_LEFT_OUT:
            more = counted(len(rejected) - MOST_LEFT_OUT, "file")
            self.say(f"left out: {more} more; the result of --json names them all")


def write_files(
    search, *, json: str | None, csv: str | None, html: str | None, with_audio: bool = True
) -> list[Path]:
    """Write the forms of a result that are asked for; returns their paths."""
    from analysis.plagiarism.report import report_csv, report_html

    written = []
    if json:
        written.append(write_text(json, result_as_json(search.result)))
    if csv:
        written.append(write_text(csv, report_csv(search.result)))
    if html:
        more = {"subject": search.subject.name, "corpus_name": search.reference.name}
        if with_audio:
            more["sound"] = excerpt_sound
        page = report_html(search.result, search.subject.pieces, search.reference.items, **more)
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
            pieces, "melody", lambda one: f"{one['matched']} {one['unit']}, {counted(one['edits'], 'edit')}"
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
    """The pieces with the highest scores, one a line; those with too few notes to say anything left out."""
    found = [
        each
        for each in pieces
        if each[part] and each[part]["score"] is not None and not each[part].get("few_notes")
    ]
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


def _semitones(text: str) -> tuple[int, ...]:
    """``-6..5`` or ``0,5,7``."""
    span = re.fullmatch(r"([+-]?\d{1,3})\.\.([+-]?\d{1,3})", text.strip())
    if span:
        first, last = map(int, span.groups())
        if first <= last:
            return tuple(range(first, last + 1))
    elif re.fullmatch(r"[+-]?\d{1,3}(,[+-]?\d{1,3})*", text.strip()):
        return tuple(map(int, text.split(",")))
    raise ArgumentTypeError(f"a set of semitones is written -6..5 or 0,5,7, got {text!r}")


def _window(text: str) -> dict[str, int]:
    """``4``, ``4bars`` or ``64steps``."""
    found = re.fullmatch(r"(\d{1,6}) ?(bars?|steps?|)", text.strip())
    if not found:
        raise ArgumentTypeError(f"a window is written 4bars or 64steps, got {text!r}")
    kind = "window_steps" if found[2].startswith("step") else "window_bars"
    return {kind: int(found[1])}


def _voices(voice: str | None, filters: str | None, encoding: str) -> dict:
    """Which voices are melodies; filters of MELODL4J mean its voices, of the generation of the tokens."""
    if filters and voice is None:
        voice = encoding if encoding in GENERATIONS else list(GENERATIONS)[-1]
    if filters and voice not in GENERATIONS:
        raise CommandError(
            f"--filters are for MELODL4J's voices, not for {voice}; leave --voice out or give "
            f"{' or '.join(GENERATIONS)}"
        )
    return {"line": voice or "skyline", "filters": filters != "none"}


def _check_targets(targets: dict[str, str | None]) -> None:
    """Refuse a place that cannot be written to before the search, not after it."""
    for option, target in targets.items():
        if target and Path(target).is_dir():
            raise CommandError(f"{option} needs a file, {target} is a folder")
        if target:
            writable_folder(Path(target).parent)
