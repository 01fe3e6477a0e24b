"""Studies and their live counts. Nothing here reads the value of a rating, or the key of a blind study."""

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Count, Q, QuerySet

from studies.listening.models import Item, Session, Study, Trial
from studies.listening.selectors import finished_sessions, study_progress

#: Answers that each piece should have before its mean is worth reading.
ANSWERS_FLOOR = 15

STAGE_NAMES = {
    Session.Stage.SOUND_CHECK: "Sound check",
    Session.Stage.BACKGROUND: "About you",
    Session.Stage.PRACTICE: "Practice",
    Session.Stage.RATING: "Rating",
    Session.Stage.ATTRIBUTION: "Human or machine",
    Session.Stage.COMMENT: "Comment",
    Session.Stage.DEBRIEF: "Debrief",
}


def studies_with_counts() -> QuerySet[Study]:
    """All studies, newest first, each with `n_started` and `n_finished` listeners; one query."""
    finished = Q(participants__session__in=finished_sessions().values("pk"))
    return Study.objects.annotate(
        n_started=Count("participants__session"), n_finished=Count("participants__session", filter=finished)
    ).order_by("-created_at", "-pk")


@dataclass(frozen=True)
class Screen:
    """How far listeners came: one stage of a sitting."""

    name: str
    n_reached: int
    n_standing: int  # came as far as here and have not finished


@dataclass(frozen=True)
class PieceAnswers:
    """How many answers a piece has so far, under the label that researchers may see."""

    label: str
    letter: str
    n_ratings: int
    n_skipped: int  # hearings in which the sound did not play
    floor: int = ANSWERS_FLOOR

    @property
    def is_under_floor(self) -> bool:
        """Whether it has fewer answers than it should."""
        return self.n_ratings < self.floor


@dataclass(frozen=True)
class LiveCounts:
    """Where a study stands, without a single answer in it."""

    n_started: int
    n_finished: int
    n_left_out: int  # reached the end with too few ratings to count as finished
    n_abandoned: int
    n_withdrawn: int
    n_ratings: int
    n_judgements: int
    n_skipped: int
    median_minutes: float | None
    screens: tuple[Screen, ...]
    n_pieces: int
    n_under_floor: int  # pieces that still have fewer answers than the floor
    fewest_answers: int | None  # of a piece; None without pieces
    median_answers: float | None
    pieces: tuple[PieceAnswers, ...]  # none until the study is closed
    floor: int = ANSWERS_FLOOR


def may_count_by_label(study: Study) -> bool:
    """Whether counts may stand beside labels and letters: once nobody can answer any more.

    Whoever reads the studio and listens as well could tell from a number that moves with their own answer
    which label, and so which letter, they have just heard.
    """
    return study.state == Study.State.CLOSED


def live_counts(study: Study) -> LiveCounts:
    """The live counts of a study, in the queries of `listening.selectors.study_progress`.

    Pieces come by their labels, which were drawn at random, so that the order says nothing of conditions; and
    they come only as far as `may_count_by_label` allows, before that as their number, minimum and median.
    """
    progress = study_progress(study)
    pieces = [
        PieceAnswers(row["label"], row["letter"], row["n_ratings"], row["n_skipped"])
        for row in sorted(progress["items"], key=lambda row: row["label"])
    ]
    answers = [piece.n_ratings for piece in pieces]
    return LiveCounts(
        n_started=progress["started"],
        n_finished=progress["finished"],
        n_left_out=progress["left_out"],
        n_abandoned=progress["abandoned"],
        n_withdrawn=progress["withdrawn"],
        n_ratings=progress["n_ratings"],
        n_judgements=progress["n_judgements"],
        n_skipped=progress["n_skipped"],
        median_minutes=progress["median_minutes"],
        screens=tuple(
            Screen(STAGE_NAMES[Session.Stage(row["stage"])], row["reached"], row["standing"])
            for row in progress["stages"]
        ),
        n_pieces=len(pieces),
        n_under_floor=sum(piece.is_under_floor for piece in pieces),
        fewest_answers=min(answers, default=None),
        median_answers=statistics.median(answers) if answers else None,
        pieces=tuple(pieces) if may_count_by_label(study) else (),
    )


@dataclass(frozen=True)
class Arrivals:
    """When listeners started and finished."""

    started: tuple[datetime, ...]
    finished: tuple[datetime, ...]

    @property
    def by_day(self) -> tuple[tuple[date, int, int], ...]:
        """Day (UTC), listeners started and finished, for every day on which one did either."""
        started = Counter(moment.date() for moment in self.started)
        finished = Counter(moment.date() for moment in self.finished)
        return tuple((day, started[day], finished[day]) for day in sorted({*started, *finished}))


def arrivals(study: Study) -> Arrivals:
    """When the listeners of a study started and finished, in their order; two queries."""
    started = Session.objects.filter(participant__study=study).values_list("started_at", flat=True)
    finished = finished_sessions(study).values_list("finished_at", flat=True)
    return Arrivals(tuple(sorted(started)), tuple(sorted(finished)))


@dataclass(frozen=True)
class PositionRow:
    """How often the pieces of one letter were given each position of a sitting."""

    letter: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class OrderAudit:
    """The realised order: positions in the columns, letters in the rows."""

    positions: tuple[int, ...]
    rows: tuple[PositionRow, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show: nobody has been given an order yet, or it may not be seen."""
        return not self.rows


def order_audit(study: Study) -> OrderAudit:
    """How often each letter stands at each position among first hearings; at most one query.

    Empty as long as `may_count_by_label` forbids it: with each listener who starts, the cells that move would
    say which letters stand where in their sitting.
    """
    if not may_count_by_label(study):
        return OrderAudit((), ())
    cells = (
        Trial.objects.filter(session__participant__study=study, kind=Trial.Kind.MAIN)
        .order_by()
        .values_list("item__condition__letter", "position")
        .annotate(n=Count("pk"))
    )
    table = {(letter, position): n for letter, position, n in cells}
    positions = tuple(sorted({position for _, position in table}))
    rows = tuple(
        PositionRow(letter, tuple(table.get((letter, position), 0) for position in positions))
        for letter in sorted({letter for letter, _ in table})
    )
    return OrderAudit(positions, rows)


@dataclass(frozen=True)
class ConditionRow:
    """A condition as researchers may see it: by its letter, and by its name once the study is unblinded."""

    letter: str
    name: str = ""  # empty while the study is blind
    role: str = ""  # empty while the study is blind
    half_width: float | None = None  # of the 95 % interval, in points; None without enough ratings
    n_ratings: int | None = None


def conditions_of(study: Study) -> list[ConditionRow]:
    """The conditions of a study by letter; while it is blind no name or role is read. One query."""
    if study.is_blind:
        letters = study.conditions.order_by("letter").values_list("letter", flat=True)
        return [ConditionRow(letter) for letter in letters]
    return [
        ConditionRow(condition.letter, condition.name, str(condition.role).replace("_", " "))
        for condition in study.conditions.order_by("letter")
    ]


def sizes_differ(study: Study) -> bool:
    """Whether a condition can be told by its number of pieces, which the study's file names; one query."""
    items = Item.objects.filter(study=study, use=Item.Use.MAIN).order_by()
    sizes = items.values_list("condition").annotate(n=Count("pk")).values_list("n", flat=True)
    return len(set(sizes)) > 1


@dataclass(frozen=True)
class PrecisionRange:
    """How exactly conditions would be known today, without saying which is which."""

    narrowest: float  # half-width of a 95 % interval in points, as the next
    widest: float


def precision_range(conditions: list[ConditionRow]) -> PrecisionRange | None:
    """The range of the half-widths of all conditions; None before every condition has one."""
    widths = [row.half_width for row in conditions]
    if not widths or None in widths:
        return None
    return PrecisionRange(min(widths), max(widths))
