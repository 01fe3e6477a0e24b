"""The two answers to a piece: how much it is liked, and whether a person or a machine composed it."""

from __future__ import annotations

from django.db import transaction

from studies.listening import selectors
from studies.listening.errors import ListeningError, NotHeardEnough, NotItsTurn
from studies.listening.models import Judgement, Rating, Session, Trial
from studies.listening.services.sittings import (
    LARGEST_INTEGER,
    Stage,
    follow,
    lock_session,
    move_on,
    refuse_early,
    refuse_late,
)


@transaction.atomic
def record_rating(*, trial: Trial, value: int, response_time_ms: int) -> Rating:
    """Store the rating of a trial, and go on; after the last one of a stage, to the next stage.

    A second submission (double click, back button, another tab, a retry after a lost reply) changes nothing:
    the first rating stands.

    Raises
    ------
    NotHeardEnough
        If less was heard than the study asks for; it carries the seconds left.
    NotItsTurn
        If the session has not reached the trial, or the trial was skipped.
    ListeningError
        If the value is not 1-10, the study has ended, or the session was withdrawn.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10:
        raise ListeningError(f"a rating is a whole number from 1 to 10, got {value!r}")
    locked = lock_session(trial.session)
    given = Rating.objects.filter(trial=trial).first()
    if given is not None:
        follow(trial.session, locked)
        return given
    current = _its_turn(locked, trial, (Stage.PRACTICE, Stage.RATING))
    heard = _heard_enough(current)
    rating = Rating.objects.create(
        trial=trial,
        value=value,
        response_time_ms=_milliseconds(response_time_ms),
        listened_seconds=heard,
    )
    move_on(locked)
    follow(trial.session, locked)
    return rating


@transaction.atomic
def record_judgement(
    *,
    trial: Trial,
    judged_human: bool,
    confidence: int | None,
    familiarity: str,
    response_time_ms: int,
) -> Judgement:
    """Store the human-or-machine answer of a trial, and go on. The first one stands, as with ratings.

    Confidence and familiarity are kept only where the study asks for them.

    Raises
    ------
    NotHeardEnough
        If less was heard again in this pass than the study asks for; it carries the seconds left.
    NotItsTurn
        If the session has not reached the trial in this pass.
    ListeningError
        If an answer is missing or none of those offered, the study has ended, or the session was withdrawn.
    """
    locked = lock_session(trial.session)
    given = Judgement.objects.filter(trial=trial).first()
    if given is not None:
        follow(trial.session, locked)
        return given
    current = _its_turn(locked, trial, (Stage.ATTRIBUTION,))
    if not isinstance(judged_human, bool):
        raise ListeningError(f"the answer is human (True) or machine (False), got {judged_human!r}")
    ask = locked.participant.study.design["ask"]
    if ask["confidence"] and confidence not in (1, 2, 3, 4):
        raise ListeningError(f"confidence is 1 (guessing) to 4 (certain), got {confidence!r}")
    if ask["familiarity"] and familiarity not in Judgement.Familiarity.values:
        raise ListeningError(
            f"familiarity is one of {', '.join(Judgement.Familiarity.values)}, got {str(familiarity)[:30]!r}"
        )
    heard = _heard_enough(current)
    judgement = Judgement.objects.create(
        trial=trial,
        judged_human=judged_human,
        confidence=confidence if ask["confidence"] else None,
        familiarity=familiarity if ask["familiarity"] else "",
        response_time_ms=_milliseconds(response_time_ms),
        listened_seconds=heard,
    )
    move_on(locked)
    follow(trial.session, locked)
    return judgement


def _heard_enough(trial: Trial) -> float:
    """The seconds heard of the trial that stands, if they are as many as the study asks for.

    Raises
    ------
    NotHeardEnough
        If they are fewer.
    """
    heard = selectors.heard_seconds(trial)
    seconds_left = selectors.seconds_to_hear(trial) - heard
    if seconds_left > 0:
        raise NotHeardEnough(seconds_left)
    return heard


def _its_turn(session: Session, trial: Trial, stages: tuple[str, ...]) -> Trial:
    """The trial as the locked session has it, if that is where the session stands."""
    refuse_late(session)
    current = selectors.current_trial(session)
    if current is None or current.pk != trial.pk or session.stage not in stages:
        refuse_early(session, trial)
        raise NotItsTurn(f"trial {trial.position} is not the one that waits for an answer; reload the page")
    current.session = session
    return current


def _milliseconds(value: object) -> int:
    """A response time as the page measured it: a nonsensical one never costs the listener an answer."""
    try:
        return int(min(max(float(value), 0), LARGEST_INTEGER))
    except (TypeError, ValueError, OverflowError):
        return 0
