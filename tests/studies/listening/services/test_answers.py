"""Ratings and judgements: heard enough, once, in turn."""

import pytest
from django.db import IntegrityError, transaction

from studies.listening.clock import compressed
from studies.listening.errors import ListeningError, NotHeardEnough, NotItsTurn
from studies.listening.models import Judgement, Rating
from studies.listening.selectors import current_trial
from studies.listening.services import (
    record_events,
    record_judgement,
    record_rating,
    skip_trial,
    withdraw,
)
from tests.studies.factories import begin, hear, make_study, sit_through

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock():
    with compressed() as clock:
        yield clock


@pytest.fixture
def session(clock):
    return sit_through(begin(make_study(), seed=1), clock, until="rating")


@pytest.fixture
def trial(session):
    trial = current_trial(session)
    trial.session = session
    return trial


def judge(trial, **changes):
    answer = {"judged_human": True, "confidence": 3, "familiarity": "new", "response_time_ms": 900}
    return record_judgement(trial=trial, **{**answer, **changes})


def test_a_rating_is_stored_with_what_was_heard(trial, session, clock):
    hear(trial, clock, seconds=4.5)
    rating = record_rating(trial=trial, value=7, response_time_ms=6100)
    assert (rating.value, rating.response_time_ms, rating.listened_seconds) == (7, 6100, 4.5)
    assert rating.answered_at == clock.time
    assert current_trial(session).position == trial.position + 1


def test_a_rating_before_enough_was_heard_says_how_much_is_left(trial, clock):
    hear(trial, clock, seconds=2)
    with pytest.raises(NotHeardEnough, match="please listen 2 s more") as refusal:
        record_rating(trial=trial, value=7, response_time_ms=1)
    assert refusal.value.seconds_left == pytest.approx(1.75)
    assert not Rating.objects.filter(trial=trial).exists()


def test_a_player_that_stops_a_little_early_is_forgiven(clock):
    session = sit_through(begin(make_study(must_hear=1.0)), clock, until="practice")
    trial = current_trial(session)
    hear(trial, clock, seconds=4.76)
    assert record_rating(trial=trial, value=3, response_time_ms=1).listened_seconds == pytest.approx(4.76)


def test_the_first_rating_stands(trial, session, clock):
    hear(trial, clock)
    first = record_rating(trial=trial, value=7, response_time_ms=6100)
    clock.advance(9)
    again = record_rating(trial=trial, value=2, response_time_ms=1)
    assert (again.pk, again.value, again.answered_at) == (first.pk, 7, first.answered_at)
    assert current_trial(session).position == trial.position + 1
    assert Rating.objects.filter(trial=trial).count() == 1


@pytest.mark.parametrize("value", [0, 11, -1, 5.5, "5", None, True])
def test_a_rating_is_a_whole_number_from_1_to_10(trial, clock, value):
    hear(trial, clock)
    with pytest.raises(ListeningError, match="whole number from 1 to 10"):
        record_rating(trial=trial, value=value, response_time_ms=1)


def test_the_database_keeps_the_range_too(trial):
    with pytest.raises(IntegrityError), transaction.atomic():
        Rating.objects.create(trial=trial, value=11, response_time_ms=1, listened_seconds=1)


def test_a_trial_is_not_rated_before_its_turn(trial, session, clock):
    later = session.trials.filter(position=trial.position + 1).get()
    clock.advance(60)
    hear(later, clock)
    with pytest.raises(NotItsTurn, match="has not its turn yet"):
        record_rating(trial=later, value=5, response_time_ms=1)


def test_a_skipped_trial_is_not_rated_afterwards(trial, clock):
    skip_trial(trial=trial, reason="")
    hear(trial, clock)
    with pytest.raises(NotItsTurn, match="reload the page"):
        record_rating(trial=trial, value=5, response_time_ms=1)


@pytest.mark.parametrize("milliseconds", [None, "soon", float("nan"), -5, 10**30])
def test_a_nonsensical_response_time_never_costs_the_answer(trial, clock, milliseconds):
    hear(trial, clock)
    rating = record_rating(trial=trial, value=5, response_time_ms=milliseconds)
    assert 0 <= rating.response_time_ms < 2**31


def test_no_judgement_is_taken_before_all_is_rated(trial):
    with pytest.raises(NotItsTurn):
        judge(trial)


def test_judgements_come_in_their_own_order_and_the_first_stands(session, clock):
    sit_through(session, clock, until="attribution")
    trial = current_trial(session)
    trial.session = session
    assert trial.attribution_position == 1
    other = session.trials.get(attribution_position=2)
    with pytest.raises(NotItsTurn):
        judge(other)
    hear(trial, clock, seconds=3)
    first = judge(trial)
    assert judge(trial, judged_human=False).pk == first.pk
    assert Judgement.objects.get(trial=trial).judged_human
    assert current_trial(session).pk == other.pk


def test_a_judgement_needs_the_piece_to_be_heard_again(session, clock):
    """What was heard for the rating does not count: the pieces come again in another order and nameless."""
    sit_through(session, clock, until="attribution")
    trial = current_trial(session)
    with pytest.raises(NotHeardEnough, match="please listen 3 s more") as refusal:
        judge(trial)
    assert refusal.value.seconds_left == pytest.approx(2.75)
    hear(trial, clock, seconds=1)
    with pytest.raises(NotHeardEnough) as refusal:
        judge(trial)
    assert refusal.value.seconds_left == pytest.approx(1.75)
    assert not Judgement.objects.exists()
    hear(trial, clock, seconds=3)
    assert judge(trial).listened_seconds == 3


def test_hearing_again_before_the_turn_does_not_count(session, clock):
    sit_through(session, clock, until="attribution")
    trial, following = session.trials.exclude(attribution_position=None).order_by("attribution_position")[:2]
    hear(following, clock)
    hear(trial, clock)
    judge(trial)
    with pytest.raises(NotHeardEnough):
        judge(following)


def test_hearing_again_faster_than_time_passes_is_not_believed(session, clock):
    sit_through(session, clock, until="attribution")
    trial = current_trial(session)
    clock.advance(0.1)
    event = {"sequence": 0, "kind": "heard", "trial": trial.public_id, "client_ms": 1}
    event |= {"from_seconds": 0, "to_seconds": 5}
    record_events(session=session, page="hasty", events=[event])
    with pytest.raises(NotHeardEnough):
        judge(trial)


def test_a_study_may_ask_for_no_second_hearing(session, clock):
    study = session.participant.study
    study.design["listening"]["must_hear_again_seconds"] = 0
    study.save()
    sit_through(session, clock, until="attribution")
    assert judge(current_trial(session)).listened_seconds == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"judged_human": "yes"}, "human"),
        ({"judged_human": None}, "human"),
        ({"confidence": 5}, "1 .guessing. to 4"),
        ({"confidence": None}, "1 .guessing. to 4"),
        ({"familiarity": ""}, "new, familiar, known"),
        ({"familiarity": "old"}, "new, familiar, known"),
    ],
    ids=repr,
)
def test_a_judgement_needs_every_answer_that_is_asked_for(session, clock, change, word):
    sit_through(session, clock, until="attribution")
    with pytest.raises(ListeningError, match=word):
        judge(current_trial(session), **change)


def test_what_is_not_asked_for_is_not_kept(session, clock):
    sit_through(session, clock, until="attribution")
    study = session.participant.study
    study.design["ask"] |= {"confidence": False, "familiarity": False}
    study.save()
    hear(current_trial(session), clock, seconds=3)
    judgement = judge(current_trial(session), confidence=4, familiarity="known")
    assert (judgement.confidence, judgement.familiarity) == (None, "")


def test_nothing_can_be_added_after_withdrawing(trial, session, clock):
    hear(trial, clock)
    withdraw(study=session.participant.study, code=session.participant.withdrawal_code)
    with pytest.raises(ListeningError, match="withdrawn"):
        record_rating(trial=trial, value=5, response_time_ms=1)
    assert not Rating.objects.exists()
