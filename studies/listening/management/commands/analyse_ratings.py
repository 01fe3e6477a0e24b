"""``manage.py analyse_ratings``: the statistics of a study, or of anybody's table."""

import json as json_format
from pathlib import Path

from studies.command import EarwitnessCommand
from studies.listening.errors import ListeningError
from studies.listening.management.commands.unblind_study import who_runs_this
from studies.listening.models import Study
from studies.listening.selectors import get_study
from studies.listening.services import analyse_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.analyse_study` and `analysis.ratings`."""

    help = (
        "Estimates with intervals for every condition, contrasts with the reference, variance, agreement, "
        "human or machine. Takes the slug of a study or a CSV file with the columns participant, piece, "
        "condition, rating. A study of people is analysed once it is closed; until it is unblinded, "
        "conditions are letters. Writes only the files that are named."
    )

    def add_arguments(self, parser):
        """SLUG or FILE, what to compare with, and where to write."""
        parser.add_argument("source", metavar="SLUG|FILE.csv", help="a study, or a table of ratings")
        parser.add_argument(
            "--reference", metavar="CONDITION", help="compare with this one (a study's file names its own)"
        )
        parser.add_argument(
            "--margin",
            type=float,
            metavar="POINTS",
            help="largest difference that does not matter (default 0.5)",
        )
        parser.add_argument(
            "--exclude",
            action="append",
            metavar="RULE",
            help="failed_attention, straight_lining or not_listened; may be repeated; a study has its own",
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the bootstrap (default 0)")
        parser.add_argument(
            "--interim",
            action="store_true",
            help="look into an open study; that somebody looked is written down",
        )
        parser.add_argument(
            "--json",
            nargs="?",
            const="-",
            metavar="FILE",
            help="write all numbers; without FILE to stdout, alone",
        )
        parser.add_argument("--html", metavar="FILE", help="write a page to read, which needs nothing else")
        parser.add_argument("--pdf", metavar="FILE", help="write the same report as a PDF")
        parser.add_argument("--latex", metavar="DIR", help="write tables and two paragraphs for LaTeX")
        parser.add_argument("--csv", metavar="DIR", help="write every table as CSV")
        parser.add_argument("--svg", metavar="DIR", help="write every figure as SVG")
        parser.add_argument(
            "--plagiarism",
            metavar="FILE.json",
            help="set rating against copying: what plagiarism --json wrote about these pieces",
        )
        parser.add_argument(
            "--preferences",
            metavar="FILE.csv",
            help="votes between pairs: participant, first, second (conditions), preferred (first, second or "
            "tie), and if known first_piece, second_piece",
        )

    def handle(self, *, source, reference, margin, exclude, seed, interim, json, **options):
        """Analyse, write what was asked for, and say the headline."""
        from analysis.ratings.report import analyse
        from analysis.ratings.scores import read_comparisons, read_scores
        from analysis.ratings.table import read_ratings

        self.as_json = json == "-"
        beside = {
            "scores": options["plagiarism"] and read_scores(options["plagiarism"]),
            "comparisons": options["preferences"] and read_comparisons(options["preferences"]),
        }
        if is_file(source):
            ratings = read_ratings(source)
            title = Path(source).name
            result = analyse(
                ratings,
                reference=reference,
                margin=0.5 if margin is None else margin,
                exclude=exclude or (),
                seed=seed,
                **beside,
            )
        else:
            study = get_study(source)
            title = study.title
            ratings, result = analyse_study(
                study=study,
                reference=reference,
                margin=margin,
                exclude=exclude,
                seed=seed,
                is_interim=interim,
                who=who_runs_this(),
                **beside,
            )
        lines = list(headline(result))
        if json and json != "-":
            write_text(json, json_format.dumps(result, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
            lines.append(f"Written: {json}")
        lines += write_report(result, ratings, title, options)
        self.finish(result, *lines)


def write_report(result: dict, ratings, title: str, options: dict) -> list[str]:
    """Write the forms that `options` name; one line for each."""
    from analysis.ratings import paper
    from analysis.ratings.page import report_html

    lines = []
    if options["html"]:
        write_text(options["html"], report_html(result, ratings, title=title))
        lines.append(f"Written: {options['html']}")
    if options["pdf"]:
        from analysis.ratings.pdf import report_pdf

        write_bytes(options["pdf"], report_pdf(result, ratings, title=title))
        lines.append(f"Written: {options['pdf']}")
    for name, files_of in (
        ("latex", paper.latex_files),
        ("csv", paper.csv_files),
        ("svg", paper.svg_files),
    ):
        if options[name]:
            n_files = write_folder(options[name], files_of(result))
            lines.append(f"Written: {n_files} files in {options[name]}")
    return lines


def is_file(source: str) -> bool:
    """Whether SOURCE is meant as a file: it looks like a path, or is one and no study has the slug."""
    looks_like = source.lower().endswith((".csv", ".tsv", ".txt")) or "/" in source
    return looks_like or (not Study.objects.filter(slug=source).exists() and Path(source).is_file())


def write_folder(path: str, files: dict[str, str]) -> int:
    """Write files into a folder, which is made if it is not there; how many."""
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ListeningError(f"cannot write {path}: {error.strerror or error}; name a folder") from None
    for name, text in files.items():
        write_text(str(folder / name), text)
    return len(files)


def write_text(path: str, text: str) -> None:
    """Write a text in UTF-8, its line ends as they are; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    ListeningError
        If it cannot be written.
    """
    target = Path(path).expanduser()
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ListeningError(f"cannot write {path}: {error.strerror or error}; name another file") from None


def headline(result: dict):
    """The main figures, one line each, every one with its n and interval."""
    if result.get("simulated"):
        yield "Simulated listeners: no person gave any of these ratings."
    yield (
        f"{result['n_ratings']} ratings of {result['n_pieces']} pieces by {result['n_participants']} "
        "listeners; "
        f"{len(result['excluded'])} exclusions."
    )
    for row in result["conditions"]:
        yield (
            f"  {row['condition']:<20} {interval(row, 'estimate')}  n = {row['n_ratings']} ratings of "
            f"{row['n_pieces']} pieces"
        )
    for row in result["contrasts"]:
        yield f"  {row['condition']} − {row['reference']}: {interval(row, 'difference')}  {row['verdict']}"


def interval(row: dict, name: str) -> str:
    """An estimate or a difference with its 95 % interval as far as the scale goes, or why there is none."""
    from analysis.numerals import numeral
    from analysis.ratings.scale import LEAST_FOR_INTERVAL, difference_on_scale, on_scale

    if row[name] is None:
        return "no estimate"
    shown, form = (difference_on_scale, "+.2f") if name == "difference" else (on_scale, ".2f")
    if row["ci_low"] is None or row["ci_high"] is None:
        n = row.get("n_participants", LEAST_FOR_INTERVAL)
        why = f"too few ratings for an interval, n = {n}" if n < LEAST_FOR_INTERVAL else "no interval"
        return f"{numeral(row[name], form)} ({why})"
    low, high = (numeral(shown(row[end]), form) for end in ("ci_low", "ci_high"))
    return f"{numeral(row[name], form)} [{low}, {high}]"
