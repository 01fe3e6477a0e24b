"""Originality reports as the studio shows them: rows, headlines, and pairs of excerpts."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import F, Q, QuerySet
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from analysis.errors import AnalysisError
from music.score import MusicError
from studies.catalog.errors import CatalogError
from studies.catalog.models import Origin, OriginalityReport, Piece, Stimulus
from studies.catalog.selectors import ORIGINS, score_of

if TYPE_CHECKING:
    from analysis.plagiarism.pair import Excerpt
    from music.score import Score

MEASURES = {"overlap": "shared notes", "melody": "shared melody"}
#: Seconds by which a rendered excerpt may miss the ends of the one looked for.
TOLERANCE_SECONDS = 0.05
#: Of a rendering made to hear an excerpt: the last fade, and the least that is worth hearing.
FADE_SECONDS, SHORTEST_SECONDS = 1, 5


@dataclass(frozen=True)
class ReportRow:
    """A report in the list."""

    pk: int
    subject: str
    corpus: str
    created_at: Any
    n_pieces: int | None
    mean: float | None  # of note overlap, as the next two
    baseline: float | None
    most: float | None


def reports() -> QuerySet:
    """All reports, newest first, with their summary and without their long results; one query."""
    return (
        OriginalityReport.objects.annotate(corpus_name=F("corpus__name"), summary=F("result__summary"))
        .defer("result")
        .order_by("-created_at", "-pk")
    )


def report_row(report: OriginalityReport) -> ReportRow:
    """What the list says of a report of `reports`."""
    overlap = (report.summary or {}).get("overlap") or {}
    return ReportRow(
        pk=report.pk,
        subject=report.subject,
        corpus=report.corpus_name,
        created_at=report.created_at,
        n_pieces=(overlap.get("worst_window_per_piece") or {}).get("n"),
        mean=overlap.get("mean"),
        baseline=(overlap.get("baseline") or {}).get("mean"),
        most=overlap.get("max"),
    )


@dataclass(frozen=True)
class PieceRow:
    """One searched piece in the table of a report."""

    index: int  # in the result's list of pieces
    piece: str
    public_id: Any  # of the catalog's piece, None for a file from elsewhere
    notes: int
    overlap_score: float | None
    overlap_nearest: str
    melody_matched: int | None
    melody_nearest: str


def piece_rows(report: OriginalityReport) -> list[PieceRow]:
    """The pieces of a report, the most copied first; no query."""
    from analysis.plagiarism.summary import by_copying

    pieces = report.result["pieces"]
    places = {id(piece): index for index, piece in enumerate(pieces)}
    return [
        PieceRow(
            index=places[id(piece)],
            piece=piece["piece"],
            public_id=None,
            notes=piece["notes"],
            overlap_score=(piece["overlap"] or {}).get("score"),
            overlap_nearest=_nearest_name(piece["overlap"]),
            melody_matched=(piece["melody"] or {}).get("matched"),
            melody_nearest=_nearest_name(piece["melody"]),
        )
        for piece in by_copying(pieces)
    ]


def _nearest_name(measure: dict | None) -> str:
    matches = (measure or {}).get("matches") or [{}]
    return matches[0].get("corpus_piece", "")


def catalog_pieces(names: set[str]) -> dict[str, Piece]:
    """Pieces of the catalog by the ``ORIGIN/NAME`` under which a report lists them; one query."""
    stems = {name.partition("/")[2] for name in names}
    found = Piece.objects.filter(name__in=stems).exclude(origin=Origin.CORPUS).select_related(*ORIGINS)
    return {str(piece): piece for piece in found if str(piece) in names}


@dataclass(frozen=True)
class Side:
    """One of the two excerpts of a pair."""

    heading: str
    piece: Piece
    svg: SafeString
    shared_sentence: str
    wanted: "Wanted"
    stimulus: Stimulus | None  # that holds the excerpt, if one is rendered

    @property
    def audio_span(self) -> tuple[float, float]:
        """Where the excerpt begins and ends in the stimulus, in seconds."""
        start = self.stimulus.start_seconds if self.stimulus else 0.0
        return max(0.0, self.wanted.start_seconds - start), max(0.0, self.wanted.end_seconds - start)

    @property
    def command(self) -> str:
        """What renders the excerpt."""
        return self.wanted.command(self.piece)


@dataclass(frozen=True)
class OtherMatch:
    """A match further down the list."""

    number: int
    sentence: str


@dataclass(frozen=True)
class Case:
    """A generated excerpt beside the corpus excerpt that it is most like."""

    piece: str
    corpus_piece: str
    address: str  # of the page of the pair
    measure_name: str
    sentence: str
    details: tuple[str, ...]  # where a melody stands and how it was edited
    transposition_sentence: str
    sides: tuple[Side, ...]
    others: tuple[OtherMatch, ...]
    problem: str  # why the pair cannot be drawn; empty if it is

    @property
    def nearest_first(self) -> tuple[Side, ...]:
        """The excerpt of the corpus above that of the piece."""
        return self.sides[::-1]

    @property
    def is_audible(self) -> bool:
        """Whether both excerpts are rendered."""
        return all(side.stimulus for side in self.sides)


def case_of(report: OriginalityReport, measure: str, index: int, number: int = 0) -> Case:
    """One match of one piece of a report, drawn.

    Raises
    ------
    ObjectDoesNotExist
        If the report has no such piece, measure or match.
    """
    pieces = report.result["pieces"]
    if measure not in MEASURES or not 0 <= index < len(pieces):
        raise ObjectDoesNotExist(f"no piece {index} by {measure}")
    entry = pieces[index]
    matches = (entry[measure] or {}).get("matches") or []
    if not 0 <= number < len(matches):
        raise ObjectDoesNotExist(f"piece {index} has no match {number} by {measure}")
    match = matches[number]
    sides, details, transposition_sentence, problem = (), (), "", ""
    try:
        sides, details, transposition_sentence = _sides(report, entry["piece"], match)
    except (AnalysisError, CatalogError, MusicError) as error:
        problem = str(error)
    return Case(
        piece=entry["piece"],
        corpus_piece=match["corpus_piece"],
        address=reverse("dashboards:pair", args=[report.pk, measure, index])
        + (f"?match={number}" if number else ""),
        measure_name=MEASURES[measure],
        sentence=sentence_of(measure, entry, number),
        details=details,
        transposition_sentence=transposition_sentence,
        sides=sides,
        others=tuple(
            OtherMatch(place, sentence_of(measure, entry, place))
            for place in range(len(matches))
            if place != number
        ),
        problem=problem,
    )


def sentence_of(measure: str, entry: dict, number: int = 0) -> str:
    """A match of a piece in words, as the report says it."""
    from analysis.plagiarism.words import melody_match_words, overlap_match_words

    found = entry[measure]
    match = found["matches"][number]
    return overlap_match_words(found, match) if measure == "overlap" else melody_match_words(match)


def _sides(
    report: OriginalityReport, name: str, match: dict
) -> tuple[tuple[Side, Side], tuple[str, ...], str]:
    """Both excerpts, where a melody stands and how it was edited, and the sentence on how they are drawn."""
    from analysis.plagiarism.pair import edit_words, pair_view
    from analysis.plagiarism.words import height_words, span_words

    ours = catalog_pieces({name}).get(name)
    if ours is None:
        raise CatalogError(f"{name} is a file from outside the catalog, so there is nothing to draw")
    theirs = Piece.objects.filter(corpus=report.corpus, name=match["corpus_piece"]).first()
    if theirs is None:
        raise CatalogError(f"{match['corpus_piece']} is no longer in the corpus {report.corpus.name}")
    settings = report.result["settings"]
    scores = score_of(ours), score_of(theirs)
    pair = pair_view(*scores, match, settings=settings)
    excerpts = pair.generated, pair.corpus
    first_steps = (match["window_start"], match["start"]) if "window_start" in match else (None, None)
    heights = [pitch for excerpt in excerpts for pitch in excerpt.pitches or ()]
    unit = settings["unit"] if "window_start" in match else "onset"
    drawn = {"pitches": (min(heights), max(heights)) if heights else None, "width": 960, "height": 200}
    sides = tuple(
        _side(
            heading,
            piece,
            excerpt,
            excerpt_to_hear(score, heard_span(score, excerpt, first_step, settings["steps_per_beat"])),
            drawn,
            unit,
        )
        for heading, piece, score, excerpt, first_step in zip(
            ("The piece", "The corpus"), (ours, theirs), scores, excerpts, first_steps, strict=True
        )
    )
    details = ()
    if "corpus_start" in match:
        details = (*span_words(match), *edit_words(*scores, match, settings=settings))
    return sides, details, height_words(pair.transposition, pair.apart)


def _side(heading: str, piece: Piece, excerpt: "Excerpt", wanted: "Wanted", drawn: dict, unit: str) -> Side:
    from analysis.plagiarism.words import shared_words
    from music.drawing import pianoroll_svg

    svg = pianoroll_svg(
        excerpt.score,
        start_tick=excerpt.start_tick,
        end_tick=excerpt.end_tick,
        marked=excerpt.shared,
        title=f"{heading}: {piece.name}",
        **drawn,
    )
    return Side(
        heading=heading,
        piece=piece,
        svg=mark_safe(svg),  # noqa: S308 - drawn by music.drawing, which escapes the title
        shared_sentence=shared_words(excerpt.n_shared, len(excerpt.shared), unit),
        wanted=wanted,
        stimulus=covering(piece, wanted),
    )


@dataclass(frozen=True)
class Wanted:
    """A stretch of a piece that somebody wants to hear, and the rendering that would hold it."""

    start_seconds: float
    end_seconds: float
    render_from: float  # the bar in which it begins
    render_seconds: int  # whole seconds, with room for the last fade
    pad: bool  # the piece ends before the rendering does

    def command(self, piece: Piece) -> str:
        """The command that renders it."""
        pad = " --pad" if self.pad else ""
        return (
            f"python manage.py render {piece.public_id} --start {self.render_from:.3f} "
            f"--seconds {self.render_seconds}{pad} --out FOLDER"
        )


def excerpt_to_hear(score: "Score", span: tuple[float, float]) -> Wanted:
    """What is rendered to hear a stretch of a score, in seconds: excerpts start at bars."""
    start, end = span
    bars = [score.tick_to_seconds(tick) for tick in score.bar_starts()]
    bar = max((second for second in bars if second <= start + TOLERANCE_SECONDS), default=0.0)
    seconds = max(SHORTEST_SECONDS, math.ceil(end - bar + FADE_SECONDS))
    return Wanted(start, end, bar, seconds, pad=bar + seconds > score.duration_seconds)


def heard_span(
    score: "Score", excerpt: "Excerpt", first_step: int | None, steps_per_beat: int
) -> tuple[float, float]:
    """Where an excerpt begins and ends in its piece, in seconds, and within the piece.

    A window that starts before its piece is drawn with bars of silence before it; those are taken off again.
    """
    silence = 0
    if first_step is not None:
        silence = excerpt.start_tick - round(first_step * score.ticks_per_beat / steps_per_beat)
    start = max(0, excerpt.start_tick - silence)
    end = max(start, min(score.end, excerpt.end_tick - silence))
    return score.tick_to_seconds(start), score.tick_to_seconds(end)


def covering(piece: Piece, wanted: Wanted) -> Stimulus | None:
    """A stimulus of the piece that holds all of a stretch, the one with least before it; one query."""
    found = piece.stimuli.filter(start_seconds__lte=wanted.start_seconds + TOLERANCE_SECONDS)
    return next(
        (
            each
            for each in found.order_by("-start_seconds", "pk")
            if each.start_seconds + each.seconds >= wanted.end_seconds - TOLERANCE_SECONDS
        ),
        None,
    )


@dataclass(frozen=True)
class Nearest:
    """A line on a piece's page that leads to a pair."""

    report: int
    measure: str
    index: int
    sentence: str
    case: Case | None = None  # drawn for the first alone


def nearest_of(piece: Piece) -> list[Nearest]:
    """What the newest report on its generation, model or import found nearest to a piece, the first drawn."""
    if piece.generation is not None:
        about = Q(generation=piece.generation) | Q(subject=piece.generation.model.name)
    elif piece.collection:
        about = Q(subject=piece.collection)
    else:
        return []
    name = str(piece)
    report = (
        OriginalityReport.objects.filter(about)
        .select_related("corpus")
        .order_by("-created_at", "-pk")
        .first()
    )
    entries = report.result["pieces"] if report else []
    index = next((index for index, entry in enumerate(entries) if entry["piece"] == name), None)
    if index is None:
        return []
    measures = [measure for measure in MEASURES if (entries[index][measure] or {}).get("matches")]
    return [
        Nearest(
            report.pk,
            measure,
            index,
            sentence_of(measure, entries[index]),
            case_of(report, measure, index) if measure == measures[0] else None,
        )
        for measure in measures
    ]


def headline_of(report: OriginalityReport) -> list[list[str]]:
    """What a report found, in paragraphs of sentences that hold generated music against human music."""
    from analysis.plagiarism.words import melody_words, overlap_words, worst_words

    paragraphs = [
        overlap_words(report.result)[:2],
        melody_words(report.result)[:2],
        worst_words(report.result),
    ]
    return [sentences for sentences in paragraphs if sentences]


def methods_of(report: OriginalityReport) -> list[str]:
    """How a report was computed, in sentences for a methods section."""
    from analysis.plagiarism.words import method_words

    return method_words(report.result)


@dataclass(frozen=True)
class SetRow:
    """One of the three sets behind a histogram, for its table twin."""

    name: str
    n: int | None
    mean: float | None
    median: float | None
    p95: float | None
    max: float | None


def set_rows(report: OriginalityReport, measure: str) -> tuple[SetRow, ...]:
    """Generated, human and shuffled windows or melodies of a report in numbers."""
    found = report.result["summary"][measure]
    sets = (("Generated", found), ("Human", found["baseline"]), ("Shuffled control", found["control"]))
    keys = ("n", "mean", "median", "p95", "max")
    return tuple(SetRow(name, *(figures.get(key) for key in keys)) for name, figures in sets)
