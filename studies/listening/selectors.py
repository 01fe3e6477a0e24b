"""Questions to the listening tables: where a session stands, what was heard, what a study has so far."""

from __future__ import annotations

import datetime
import hashlib
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from generators.registry import family_title
from music.corpus import open_corpus
from music.formats import READABLE_SUFFIXES
from music.score import MusicError
from studies.catalog.models import Corpus, Origin, Piece
from studies.listening import consent, heard
from studies.listening.clock import now
from studies.listening.errors import ListeningError
from studies.listening.models import Condition, Item, Rating, Session, Study, Trial

if TYPE_CHECKING:
    import pandas as pd

Stage = Session.Stage

#: Who reached the end has finished only with ratings of at least this share of their main pieces.
FINISHED_SHARE = 0.5

#: A session that nobody has touched for this long gives its place back, however short the study is.
SHORTEST_RESERVATION = datetime.timedelta(minutes=60)


def get_study(slug: str) -> Study:
    """A study by its slug.

    Raises
    ------
    ListeningError
        If there is none, with the closest slugs or the command that makes one.
    """
    study = Study.objects.filter(slug=slug).first()
    if study is None:
        known = sorted(Study.objects.values_list("slug", flat=True))
        near = get_close_matches(slug, known, n=3) or known[:10]
        right = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "make one: python manage.py create_study FILE.yaml"
        )
        raise ListeningError(f"no study with the slug {slug!r}; {right}")
    return study


def consent_text(study: Study) -> tuple[str, str]:
    """The text of the consent page, in paragraphs, and its SHA-256; both change with the specification."""
    text = consent.text_of(design=study.design, specification_sha256=study.specification_sha256)
    return text, consent.sha256_of(text)


def stages_of(study: Study) -> list[str]:
    """The stages that a session of this study passes, in their order."""
    ask, session = study.design["ask"], study.design["session"]
    asked = {
        Stage.BACKGROUND: ask["background"] != "no",
        Stage.PRACTICE: session["practice"] > 0,
        Stage.ATTRIBUTION: ask["human_or_machine"] != "no",
        Stage.COMMENT: ask["comment"] != "no",
    }
    return [stage for stage in Stage.values if asked.get(stage, True)]


def open_trials(session: Session) -> QuerySet[Trial]:
    """Trials of the session's stage that wait for an answer, in order; none in stages without trials."""
    trials = session.trials.select_related("item__stimulus")
    if session.stage == Stage.PRACTICE:
        return trials.filter(kind=Trial.Kind.PRACTICE, rating=None, skipped_at=None).order_by("position")
    if session.stage == Stage.RATING:
        waiting = trials.filter(rating=None, skipped_at=None)
        return waiting.exclude(kind=Trial.Kind.PRACTICE).order_by("position")
    if session.stage == Stage.ATTRIBUTION:
        waiting = trials.filter(judgement=None, judgement_skipped_at=None, skipped_at=None)
        return waiting.exclude(attribution_position=None).order_by("attribution_position")
    return trials.none()


def current_trial(session: Session) -> Trial | None:
    """The trial that the session stands at, or None where its stage has none left."""
    return open_trials(session).first()


def next_trial(session: Session) -> Trial | None:
    """The trial after the current one, for loading its sound ahead; also that of the stage that follows."""
    waiting = list(open_trials(session)[:2])
    if len(waiting) == 2:
        return waiting[1]
    if session.stage == Stage.PRACTICE:
        main = session.trials.select_related("item__stimulus").exclude(kind=Trial.Kind.PRACTICE)
        return main.filter(rating=None, skipped_at=None).order_by("position").first()
    if session.stage == Stage.RATING and Stage.ATTRIBUTION in stages_of(session.participant.study):
        again = session.trials.select_related("item__stimulus").exclude(attribution_position=None)
        return again.filter(skipped_at=None).order_by("attribution_position").first()
    return None


def became_current_at(trial: Trial) -> datetime.datetime:
    """When the listener could first hear the trial in this pass: it began, or the answer before was given."""
    session = trial.session
    moments = [session.stage_entered_at]
    if is_second_hearing(trial):
        before = session.trials.filter(attribution_position__lt=trial.attribution_position)
        answers = before.values_list("judgement__answered_at", "judgement_skipped_at")
    else:
        before = session.trials.filter(position__lt=trial.position)
        answers = before.values_list("rating__answered_at", "skipped_at")
    for answered_at, skipped_at in answers:
        moments += [moment for moment in (answered_at, skipped_at) if moment is not None]
    return max(moments)


def is_second_hearing(trial: Trial) -> bool:
    """Whether the trial's session stands in the human-or-machine pass, of which the trial is a part."""
    return trial.session.stage == Stage.ATTRIBUTION and trial.attribution_position is not None


def heard_seconds(trial: Trial) -> float:
    """Unique seconds of the trial's audio that its listener heard, as far as the server believes the page.

    Counted from the `heard` events, each at the server's time of receipt: see `heard.heard_seconds`. In the
    human-or-machine pass only those count that arrived since the trial had its turn in that pass.
    """
    began_at = became_current_at(trial)
    events = trial.events.filter(kind="heard").order_by("received_at", "pk")
    if is_second_hearing(trial):
        events = events.filter(received_at__gt=began_at)
    claims = [
        heard.Claim(from_seconds, to_seconds, (received_at - began_at).total_seconds())
        for from_seconds, to_seconds, received_at in events.values_list(
            "from_seconds", "to_seconds", "received_at"
        )
    ]
    return heard.heard_seconds(claims, length=trial.item.stimulus.seconds)


def seconds_left_to_hear(trial: Trial) -> float:
    """Seconds still to be heard before the trial can be answered; 0 once it can."""
    return max(0.0, seconds_to_hear(trial) - heard_seconds(trial))


def seconds_to_hear(trial: Trial) -> float:
    """How much of the trial's audio must be heard before it can be answered, the tolerance taken off."""
    listening = trial.session.participant.study.design["listening"]
    length = trial.item.stimulus.seconds
    again = min(listening["must_hear_again_seconds"], length)
    wanted = again if is_second_hearing(trial) else listening["must_hear"] * length
    return wanted - heard.TOLERANCE_SECONDS


@dataclass(frozen=True)
class DebriefRow:
    """One piece of the debrief: what it was, what the listener said, and what was true."""

    position: int  # in the order of rating, from 1
    title: str
    source: str  # in words: who or what made it
    was_human: bool
    is_anchor: bool
    rating: int
    judged_human: bool | None
    was_right: bool | None
    public_id: str  # of the trial, to hear it again


def debrief_of(session: Session) -> list[DebriefRow]:
    """Each main piece that was rated in a session that has reached its debrief; nothing before that.

    What was left out is not revealed: else one could skip through a study and know all its pieces.
    """
    if session.stage != Stage.DEBRIEF:
        return []
    trials = session.trials.filter(kind=Trial.Kind.MAIN, rating__isnull=False).order_by("position")
    trials = trials.select_related("item__condition", *PIECE_LOOKUPS, "rating", "judgement")
    rows = []
    titles = _stated_titles(trial.item.stimulus.piece for trial in trials)
    for position, trial in enumerate(trials, start=1):
        role = trial.item.condition.role
        was_human = role == Condition.Role.REAL
        judged_human = trial.judgement.judged_human if hasattr(trial, "judgement") else None
        piece = trial.item.stimulus.piece
        rows.append(
            DebriefRow(
                position=position,
                title=titles[piece.pk],
                source=_maker_of(piece, role),
                was_human=was_human,
                is_anchor=role == Condition.Role.LOW_ANCHOR,
                rating=trial.rating.value,
                judged_human=judged_human,
                was_right=None if judged_human is None else judged_human == was_human,
                public_id=trial.public_id,
            )
        )
    return rows


PIECE_LOOKUPS = (
    "item__stimulus__piece__corpus",
    "item__stimulus__piece__generation__model",
    "item__stimulus__piece__scrambled_from__corpus",
    "item__stimulus__piece__scrambled_from__generation",
)


def _maker_of(piece: Piece, role: str) -> str:
    """Who or what made a piece, in words for its listener."""
    if piece.origin == Origin.SCRAMBLE:
        by_machine = piece.scrambled_from.origin == Origin.GENERATION
        maker = "a machine" if by_machine else "a person"
        return f"a piece by {maker}, its notes shuffled by a computer: the low end of the scale"
    if role == Condition.Role.LOW_ANCHOR:
        return "chosen as the low end of the scale"
    if role == Condition.Role.GENERATED:
        family = piece.generation and family_title(piece.generation.model.family)
        return f"composed by a machine: {family}" if family else "composed by a machine"
    return f"composed by a person: from the collection “{piece.origin_name}”"


def _stated_titles(pieces: Iterable[Piece]) -> dict[int, str]:
    """What each piece is called: as its score says, else by its file; what was shuffled, as it was before."""
    stated: dict[str, dict[str, str]] = {}
    titles = {}
    for piece in pieces:
        original = piece.scrambled_from or piece
        title = ""
        if original.origin == Origin.CORPUS:
            corpus = original.corpus
            if corpus.name not in stated:
                stated[corpus.name] = _titles_of(corpus)
            title = stated[corpus.name].get(original.name, "")
        plain = original.name.replace("_", " ")
        if original.origin == Origin.GENERATION and plain.isdecimal():
            plain = f"Piece {int(plain)}"
        titles[piece.pk] = title or plain
    return titles


def _titles_of(corpus: Corpus) -> dict[str, str]:
    """The titles that the scores of a corpus state, by the names of its pieces; none if its folder is gone.

    A title that is only the name of a file says nothing that the piece's own name does not.
    """
    try:
        pieces = open_corpus(corpus.folder).pieces
    except MusicError:
        return {}
    return {
        piece.name: " ".join(piece.title.split())
        for piece in pieces
        if Path(piece.title).suffix.lower() not in READABLE_SUFFIXES
    }


def finished_sessions(study: Study | None = None) -> QuerySet[Session]:
    """Sessions, of one study or of all, that reached the end with at least `FINISHED_SHARE` of the ratings.

    The others left things out all the way: their end says nothing about how long a sitting takes, or how
    many listeners a piece has.
    """
    main = Q(trials__kind=Trial.Kind.MAIN)
    ended = Session.objects.filter(finished_at__isnull=False)
    if study is not None:
        ended = ended.filter(participant__study=study)
    counted = ended.annotate(
        n_main=Count("trials", filter=main),
        n_rated=Count("trials", filter=main & Q(trials__rating__isnull=False)),
    )
    return counted.filter(n_rated__gt=0, n_rated__gte=F("n_main") * FINISHED_SHARE)


def reservation_length(study: Study) -> datetime.timedelta:
    """How long an unfinished session keeps its place: twice the median duration, at least an hour."""
    finished = finished_sessions(study)
    return _reservation([ended - began for began, ended in finished.values_list("started_at", "finished_at")])


def _reservation(durations: list[datetime.timedelta]) -> datetime.timedelta:
    return max([SHORTEST_RESERVATION, *([2 * statistics.median(durations)] if durations else [])])


def pseudonym(study_slug: str, public_id: str) -> str:
    """The name of a participant in tables and exports; their own address cannot be found from it."""
    return "p" + hashlib.sha256(f"{study_slug}:{public_id}".encode()).hexdigest()[:10]


#: What one query reads for each rating, in the order in which `ratings_table` unpacks it.
COLUMN_LOOKUPS = (
    "trial__session__participant__public_id",
    "trial__session__participant__is_simulated",
    "trial__item_id",
    "trial__item__label",
    "trial__item__requested_value",
    "trial__item__condition__name",
    "trial__item__condition__letter",
    "trial__item__condition__role",
    "trial__item__stimulus__piece__name",
    "trial__kind",
    "trial__position",
    "value",
    "trial__judgement__judged_human",
    "trial__judgement__confidence",
    "trial__judgement__familiarity",
    "listened_seconds",
    "answered_at",
)


def ratings_table(study: Study, *, blind: bool | None = None) -> pd.DataFrame:
    """One row per rating of a main piece, in `analysis.ratings.table.COLUMNS` and three of its extra columns.

    Practice is left out; attention checks stand only as ``failed_attention``, the number that the participant
    failed. No row is marked as excluded: the rules that the study declared are applied where the table is
    analysed. A study of people gives the ratings of people and a simulated one those of simulated listeners,
    never both. One query.

    Parameters
    ----------
    blind : bool, optional
        Letters and labels instead of the names of conditions and pieces, and no ``role``; by default as long
        as the study is blind.
    """
    import pandas as pd

    from analysis.ratings.table import COLUMNS

    blind = study.is_blind if blind is None else blind
    ratings = Rating.objects.filter(
        trial__session__participant__study=study,
        trial__session__participant__is_simulated=study.is_simulated,
    ).exclude(trial__kind=Trial.Kind.PRACTICE)
    rows, failed = [], Counter()
    for values in ratings.order_by("trial__session_id", "trial__position").values_list(*COLUMN_LOOKUPS):
        row = dict(zip(COLUMN_LOOKUPS, values, strict=True))
        who = pseudonym(study.slug, row["trial__session__participant__public_id"])
        if row["trial__kind"] == Trial.Kind.ATTENTION:
            failed[who] += row["value"] != row["trial__item__requested_value"]
            continue
        rows.append((who, row))
    names = _piece_names({row["trial__item_id"]: row for _, row in rows}, blind=blind)
    has_checks = study.design["session"]["attention_checks"] > 0
    records = [
        {
            "participant": who,
            "piece": names[row["trial__item_id"]],
            "condition": row["trial__item__condition__" + ("letter" if blind else "name")],
            "rating": row["value"],
            "judged_human": row["trial__judgement__judged_human"],
            "confidence": row["trial__judgement__confidence"],
            "familiar": row["trial__judgement__familiarity"] or "",
            "trial": row["trial__position"],
            "repeat": int(row["trial__kind"] == Trial.Kind.REPEAT),
            "listened_seconds": round(row["listened_seconds"], 3),
            "answered_at": row["answered_at"],
            "excluded": "",
            "simulated": int(row["trial__session__participant__is_simulated"]),
            **({"failed_attention": failed[who]} if has_checks else {}),
            **({} if blind else {"role": row["trial__item__condition__role"]}),
        }
        for who, row in rows
    ]
    extra = ["simulated", *(["failed_attention"] if has_checks else []), *([] if blind else ["role"])]
    table = pd.DataFrame.from_records(records, columns=[*COLUMNS, *extra])
    return table.astype({"judged_human": "boolean", "confidence": "Int64"})


def _piece_names(items: dict[int, dict], *, blind: bool) -> dict[int, str]:
    """What each item is called: while blind its label, else its piece (and label, if two share a name)."""
    if blind:
        return {item: row["trial__item__label"] for item, row in items.items()}
    keys = {
        item: (row["trial__item__condition__name"], row["trial__item__stimulus__piece__name"])
        for item, row in items.items()
    }
    n_sharing = Counter(keys.values())
    return {
        item: name if n_sharing[condition, name] == 1 else f"{name} ({items[item]['trial__item__label']})"
        for item, (condition, name) in keys.items()
    }


def study_progress(study: Study) -> dict:
    """What may be watched while a study runs: counts, never a mean of anything. Three queries.

    Returns
    -------
    progress : dict
        started, finished, left_out, in_progress, abandoned, withdrawn : int
            Listeners. Whoever reached the end has finished with ratings of at least `FINISHED_SHARE` of their
            main pieces, else left things out; whoever was not seen for `reservation_length` without reaching
            it has abandoned.
        n_ratings, n_judgements, n_skipped : int
            Answers about main pieces, repeats included in the ratings.
        median_minutes : float or None
            From consent to the last answer, of those who finished.
        last_seen_at, last_started_at : datetime or None
        stages : list of {"stage", "reached", "standing"}
            Of each stage that the study has: how many came as far, and how many unfinished ones stand there.
        items : list of {"label", "letter", "n_ratings", "n_completed", "n_skipped"}
            Per main piece: first ratings in all sessions, in finished ones, and hearings that did not play.
    """
    stages = stages_of(study)
    order = {stage: index for index, stage in enumerate(stages)}
    is_finished = Exists(finished_sessions(study).filter(pk=OuterRef("pk")))
    rows = list(
        Session.objects.filter(participant__study=study).values_list(
            "stage", "started_at", "finished_at", "last_seen_at", is_finished
        )
    )
    sessions = [row[:4] for row in rows]
    durations = [finished - started for _, started, finished, _, counts in rows if counts]
    keeps_place = _reservation(durations)
    waiting = [(stage, seen) for stage, _, finished, seen in sessions if finished is None]
    abandoned = sum(now() - seen > keeps_place for _, seen in waiting)
    standing = Counter(stage for stage, _ in waiting)
    rated = Q(trials__kind=Trial.Kind.MAIN, trials__rating__isnull=False)
    items = Item.objects.filter(study=study, use=Item.Use.MAIN).order_by("label")
    in_finished = Q(trials__session__in=finished_sessions(study).values("pk"))
    counts = items.annotate(
        n_ratings=Count("trials", filter=rated),
        n_completed=Count("trials", filter=rated & in_finished),
        n_skipped=Count("trials", filter=Q(trials__skipped_at__isnull=False)),
        n_repeats=Count("trials", filter=Q(trials__kind=Trial.Kind.REPEAT, trials__rating__isnull=False)),
        n_judgements=Count("trials", filter=Q(trials__judgement__isnull=False)),
    ).values(
        "label", "condition__letter", "n_ratings", "n_completed", "n_skipped", "n_repeats", "n_judgements"
    )
    counts = list(counts)
    return {
        "started": len(sessions),
        "finished": len(durations),
        "left_out": len(sessions) - len(waiting) - len(durations),
        "in_progress": len(waiting) - abandoned,
        "abandoned": abandoned,
        "withdrawn": study.withdrawals.count(),
        "n_ratings": sum(row["n_ratings"] + row["n_repeats"] for row in counts),
        "n_judgements": sum(row["n_judgements"] for row in counts),
        "n_skipped": sum(row["n_skipped"] for row in counts),
        "median_minutes": statistics.median(durations).total_seconds() / 60 if durations else None,
        "last_started_at": max((started for _, started, _, _ in sessions), default=None),
        "last_seen_at": max((seen for *_, seen in sessions), default=None),
        "stages": [
            {
                "stage": stage,
                "reached": sum(order.get(at, 0) >= order[stage] for at, *_ in sessions),
                "standing": standing[stage],
            }
            for stage in stages
        ],
        "items": [
            {
                "label": row["label"],
                "letter": row["condition__letter"],
                "n_ratings": row["n_ratings"],
                "n_completed": row["n_completed"],
                "n_skipped": row["n_skipped"],
            }
            for row in counts
        ],
    }
