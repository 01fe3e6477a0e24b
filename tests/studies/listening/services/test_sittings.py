"""One sitting, event by event: consent, order, stages, events, skips."""

import dataclasses
import datetime
import hashlib
from collections import Counter
from itertools import pairwise

import pytest
from django.utils import timezone

from music.corpus import create_corpus
from music.midi import write_midi
from studies.listening import consent
from studies.listening.clock import compressed
from studies.listening.errors import (
    AlreadyStarted,
    ConsentChanged,
    ListeningError,
    NotItsTurn,
    StudyNotOpen,
    TooManyStarts,
)
from studies.listening.models import ConsentText, Event, Participant, Session, Trial, new_draw_secret
from studies.listening.selectors import (
    consent_text,
    current_trial,
    debrief_of,
    heard_seconds,
    next_trial,
    seconds_left_to_hear,
)
from studies.listening.services import (
    close_study,
    complete_sound_check,
    finish_session,
    record_background,
    record_comment,
    record_events,
    record_rating,
    skip_trial,
    start_session,
    unblind_study,
)
from studies.listening.services.sittings import MAX_EVENTS_PER_BATCH, history_of, plan_of
from studies.listening.start_keys import new_start_key
from tests.studies.factories import begin, hear, make_score, make_study, sit_through

pytestmark = pytest.mark.django_db


@pytest.fixture
def study():
    return make_study()


@pytest.fixture
def clock():
    with compressed() as clock:
        yield clock


@pytest.fixture
def session(study, clock):
    return begin(study, seed=1)


def test_the_order_is_drawn_at_the_start_and_stored(study, clock):
    session = begin(study, seed=3)
    kinds = Counter(session.trials.values_list("kind", flat=True))
    assert kinds == {"practice": 2, "main": 11, "repeat": 2, "attention": 2}
    assert list(session.trials.values_list("position", flat=True)) == list(range(1, 18))
    mixed = session.trials.filter(kind="main").order_by("attribution_position")
    assert list(mixed.values_list("attribution_position", flat=True)) == list(range(1, 12))
    assert not session.trials.exclude(kind="main").exclude(attribution_position=None).exists()
    assert list(mixed.values_list("position", flat=True)) != sorted(mixed.values_list("position", flat=True))


def test_the_same_seed_gives_the_same_order(clock):
    orders = []
    for slug in ("one", "two"):
        study = make_study(slug)
        study.draw_secret = "one for both"
        study.save()
        session = begin(study, seed=9)
        trials = session.trials.order_by("position")
        orders.append(
            [
                list(trials.values_list("kind", "item__stimulus__piece__sha256", "attribution_position")),
                session.machine_first,
            ]
        )
    assert orders[0] == orders[1]


def test_without_the_secret_of_the_study_a_seed_draws_another_order(study, clock):
    """Nobody who knows pieces, seed and program can work out what was heard at which place."""
    orders = []
    for _ in range(2):
        session = begin(study, seed=9)
        orders.append(list(session.trials.order_by("position").values_list("item", flat=True)))
        session.participant.delete()
        study.draw_secret = new_draw_secret()
        study.save()
    assert orders[0] != orders[1]


def test_addresses_of_trials_are_random(session, study):
    other = begin(study, seed=1)
    both = [
        *session.trials.values_list("public_id", flat=True),
        *other.trials.values_list("public_id", flat=True),
    ]
    assert len(set(both)) == len(both) == 34
    assert min(map(len, both)) == 22


def test_nothing_of_the_network_is_kept():
    names = {
        field.name for model in (Participant, Session, Event, Trial) for field in model._meta.get_fields()
    }
    assert not {name for name in names if "ip" in name.split("_") or "agent" in name or "address" in name}


def test_only_the_text_that_is_shown_can_be_agreed_to(study):
    with pytest.raises(ConsentChanged, match="the study shows"):
        start_session(study=study, consent_sha256="0" * 64)
    with pytest.raises(ConsentChanged):
        start_session(study=study, consent_sha256="")
    assert not Participant.objects.exists()


def test_the_consent_text_names_the_plan_and_no_source(study):
    text, sha256 = consent_text(study)
    assert study.specification_sha256 in text
    assert "lab@example.org" in text
    assert not {"joplin", "biaxial", "scrambled", "generated", "machine"} & set(text.lower().split())
    study.specification_sha256 = "1" * 64
    assert consent_text(study)[1] != sha256


@pytest.mark.parametrize("state", ["draft", "closed"])
def test_a_study_that_is_not_open_takes_nobody(state):
    study = make_study(state=state)
    with pytest.raises(StudyNotOpen, match=study.slug):
        begin(study)


def test_people_and_simulated_listeners_never_mix(study):
    text = consent_text(study)[1]
    with pytest.raises(ListeningError, match="holds people only"):
        start_session(study=study, consent_sha256=text, is_simulated=True)
    simulated = make_study("simulated", is_simulated=True)
    with pytest.raises(ListeningError, match="holds simulated listeners only"):
        start_session(study=simulated, consent_sha256=consent_text(simulated)[1])
    assert not Participant.objects.exists()


def test_an_external_id_starts_one_session_and_gives_it_to_its_own_browser_alone(study):
    first = begin(study, external_id="17")
    with pytest.raises(AlreadyStarted, match="'17' has begun the study"):
        begin(study, external_id="17")
    with pytest.raises(AlreadyStarted):
        begin(study, external_id="17", token=begin(study).token)
    assert begin(study, external_id="17", token=first.token).pk == first.pk
    assert begin(study, external_id="18").pk != first.pk
    assert Session.objects.count() == 3


def test_a_consent_page_sent_twice_starts_one_session(study):
    keys = [new_start_key(study) for _ in range(2)]
    sessions = [begin(study, start_key=key, external_id="17") for key in (keys[0], keys[0])]
    assert sessions[0].pk == sessions[1].pk
    assert begin(study, start_key=keys[1]).pk != sessions[0].pk
    assert begin(study).pk != begin(study).pk


def test_a_flood_of_starts_is_stopped_and_ebbs_within_a_minute(study, clock, settings):
    settings.MOST_STARTS_PER_MINUTE = 3
    for _ in range(3):
        begin(study)
    with pytest.raises(TooManyStarts, match="3 listeners began"):
        begin(study)
    begin(make_study("another"))
    clock.advance(61)
    begin(study)
    assert Session.objects.filter(participant__study=study).count() == 4


def test_a_class_of_200_may_begin_within_seconds(settings):
    assert settings.MOST_STARTS_PER_MINUTE >= 2 * 200


def test_the_text_that_was_agreed_to_is_kept_once_for_each_wording(study):
    first = begin(study)
    begin(study)
    study.design["consent"]["contact"] = "somebody@example.org"
    study.save()
    second = begin(study)
    texts = {text.sha256: text.text for text in ConsentText.objects.filter(study=study)}
    assert set(texts) == {first.participant.consent_sha256, second.participant.consent_sha256}
    for sha256, text in texts.items():
        assert hashlib.sha256(text.encode()).hexdigest() == sha256
    assert "lab@example.org" in texts[first.participant.consent_sha256]


def test_listeners_who_hear_everything_get_the_rows_of_a_square(study, clock):
    """Eleven pieces and 22 listeners: each follows each other twice, and stands twice at each place."""
    for seed in range(22):
        begin(study, seed=seed)
    orders = [
        list(session.trials.filter(kind="main").order_by("position").values_list("item", flat=True))
        for session in Session.objects.all()
    ]
    followers = Counter(pair for order in orders for pair in pairwise(order))
    assert len(followers) == 11 * 10
    assert set(followers.values()) == {2}
    places = Counter(placed for order in orders for placed in enumerate(order))
    assert set(places.values()) == {2}


def test_a_row_that_was_left_or_not_heard_to_its_end_is_given_again(study, clock):
    left, skipped, heard = (begin(study, seed=seed) for seed in range(3))
    rows = {left.order_row, skipped.order_row, heard.order_row}
    assert len(rows) == 3
    Trial.objects.filter(pk=skipped.trials.filter(kind="main").first().pk).update(skipped_at=clock.time)
    Session.objects.filter(pk=left.pk).update(last_seen_at=clock.time - datetime.timedelta(hours=4))
    later = [begin(study, seed=seed).order_row for seed in range(3, 24)]
    assert len(set(later)) == 21
    assert {left.order_row, skipped.order_row} <= set(later)
    assert heard.order_row not in later


def test_what_followed_what_is_counted_where_there_are_no_squares(clock):
    study = make_study(trials=9, repeats=0, practice=0, checks=1)
    session = begin(study, seed=1)
    row = list(session.trials.order_by("position").values_list("kind", "item"))
    wanted = Counter((a, b) for (one, a), (two, b) in pairwise(row) if one == two == "main")
    assert history_of(study, plan_of(study)[0]).followers == wanted
    assert len(wanted) == 7  # nine pieces, one pair parted by the check


def test_who_leaves_gives_the_place_back(study):
    trials = make_study("shorter", trials=6)
    with compressed(timezone.now() - datetime.timedelta(hours=3)):
        gone = begin(trials, seed=1)
    heard = set(gone.trials.filter(kind="main").values_list("item", flat=True))
    fresh = begin(trials, seed=1)
    assert (
        set(fresh.trials.filter(kind="main").values_list("item", flat=True)) == heard
    )  # as if nobody had come
    beside = begin(trials, seed=1)
    assert set(beside.trials.filter(kind="main").values_list("item", flat=True)) != heard


def test_a_piece_that_was_left_out_was_not_presented(clock):
    """Whoever skips everything changes nothing for the next: their pieces are still the least heard."""
    study = make_study(trials=6, practice=0, checks=0, repeats=0, human_or_machine="no", comment="no")
    heard = []
    for _ in range(2):
        session = begin(study, seed=1)
        heard.append(list(session.trials.order_by("position").values_list("item", flat=True)))
        sit_through(session, clock, until="rating")
        while (trial := current_trial(session)) is not None:
            trial.session = session
            skip_trial(trial=trial, reason="")
        assert session.finished_at
    assert heard[0] == heard[1]
    sit_through(begin(study, seed=1), clock)
    assert list(begin(study, seed=1).trials.order_by("position").values_list("item", flat=True)) != heard[0]


def test_each_finished_listener_evens_the_pieces_out(clock):
    study = make_study(trials=6, practice=0, checks=0, repeats=0)
    for number in range(24):
        session = begin(study, seed=number)
        if number % 5:
            Session.objects.filter(pk=session.pk).update(finished_at=clock.time)
        else:  # one in five leaves
            old = clock.time - datetime.timedelta(hours=4)
            Session.objects.filter(pk=session.pk).update(last_seen_at=old)
    finished = Trial.objects.filter(session__finished_at__isnull=False, kind="main")
    counts = Counter(finished.exclude(item__condition__name="scrambled").values_list("item", flat=True))
    assert len(counts) == 10
    assert max(counts.values()) - min(counts.values()) <= 1


# Stages


def test_a_sitting_passes_every_stage_in_its_order(session, clock):
    assert session.stage == "sound_check"
    complete_sound_check(session=session, answers={"n_tones_heard": 3})
    assert session.stage == "background"
    record_background(session=session, answers={"age": "30-44"})
    assert session.stage == "practice"
    sit_through(session, clock, until="rating")
    assert session.stage == "rating"
    sit_through(session, clock, until="attribution")
    assert session.stage == "attribution"
    sit_through(session, clock, until="comment")
    assert session.stage == "comment"
    record_comment(session=session, comment="Thank you")
    assert session.stage == "debrief"
    session.refresh_from_db()
    assert (session.comment, session.finished_at) == ("Thank you", clock.time)
    assert session.participant.background == {"age": "30-44"}


def test_stages_that_the_study_does_not_ask_for_are_left_out(clock):
    study = make_study(practice=0, background="no", comment="no", human_or_machine="no")
    session = begin(study)
    complete_sound_check(session=session, answers={})
    assert session.stage == "rating"
    sit_through(session, clock)
    assert session.stage == "debrief"
    assert not session.trials.exclude(attribution_position=None).exists()
    session.refresh_from_db()
    assert session.finished_at


def test_coming_back_to_a_finished_page_changes_nothing(session):
    complete_sound_check(session=session, answers={"n_tones_heard": 3})
    complete_sound_check(session=session, answers={"n_tones_heard": 0})
    assert session.stage == "background"
    session.refresh_from_db()
    assert session.sound_check == {"n_tones_heard": 3}


def test_a_page_cannot_be_sent_before_its_turn(session):
    with pytest.raises(NotItsTurn, match="'comment' comes later; the session stands at 'sound_check'"):
        record_comment(session=session, comment="first")
    with pytest.raises(NotItsTurn, match="not at its end"):
        finish_session(session=session)
    session.refresh_from_db()
    assert session.stage == "sound_check"


def test_finishing_without_a_comment_and_twice_is_fine(session, clock):
    sit_through(session, clock, until="comment")
    finish_session(session=session)
    ended = session.finished_at
    clock.advance(60)
    finish_session(session=session)
    record_comment(session=session, comment="too late")
    session.refresh_from_db()
    assert (session.stage, session.finished_at, session.comment) == ("debrief", ended, "")


def test_nothing_is_revealed_before_the_debrief(session, clock):
    sit_through(session, clock, until="comment")
    assert debrief_of(session) == []
    finish_session(session=session)
    rows = debrief_of(session)
    assert len(rows) == 11
    assert {row.was_human for row in rows if "ragtime" in row.source and not row.is_anchor} == {True}
    assert all(row.was_right == row.was_human for row in rows)  # said human to everything


def test_the_debrief_says_in_words_who_made_what(clock, settings, tmp_path):
    """By the title that the score states, else the name; the family of the machine; what was shuffled."""
    study = make_study(pieces=1, trials=3, practice=0, checks=0, repeats=0)
    settings.CORPORA_ROOT = tmp_path
    (tmp_path / "titled").mkdir()
    for number, title in ((0, "Maple Leaf Rag"), (7, "rag_7.MID")):
        score = dataclasses.replace(make_score(number), title=title)
        write_midi(score, tmp_path / "titled" / f"ragtime_rag_{number}.mid")
    create_corpus(tmp_path / "ragtime", "ragtime", [str(tmp_path / "titled")])
    rows = {row.source: row.title for row in debrief_of(sit_through(begin(study), clock))}
    assert rows == {
        "composed by a person: from the collection “ragtime”": "Maple Leaf Rag",
        "composed by a machine: GRU next note": "biaxial opus 0",
        "a piece by a person, its notes shuffled by a computer: the low end of the scale": "ragtime rag 7",
    }


@pytest.mark.parametrize(
    "answers",
    [["a"], {"a": ["b"]}, {"a": float("nan")}, {"a": "x" * 5000}, None],
    ids=["a list", "nested", "no number", "too long", "nothing"],
)
def test_answers_that_are_no_form_are_refused(session, answers):
    with pytest.raises(ListeningError):
        complete_sound_check(session=session, answers=answers)


def test_no_answer_holds_what_a_database_cannot_keep(session):
    complete_sound_check(session=session, answers={"device": "head\x00phones"})
    session.refresh_from_db()
    assert session.sound_check == {"device": "headphones"}


def test_a_comment_may_be_as_long_as_the_field_and_no_longer(session, clock):
    sit_through(session, clock, until="comment")
    with pytest.raises(ListeningError, match="at most 5,000 characters, got 5,001"):
        record_comment(session=session, comment="x" * 5001)
    record_comment(session=session, comment="x" * 5000)


# Closing


def test_who_is_in_the_middle_when_the_study_closes_may_finish_for_an_hour(session, study, clock):
    sit_through(session, clock, until="rating")
    close_study(study=study)
    clock.advance(60 * consent.GRACE_MINUTES - 60)
    trial = current_trial(session)
    hear(trial, clock)
    record_rating(trial=trial, value=5, response_time_ms=1)
    clock.advance(120)
    late = current_trial(session)
    hear(late, clock)
    with pytest.raises(StudyNotOpen, match="has ended"):
        record_rating(trial=late, value=5, response_time_ms=1)


def test_no_answer_comes_in_after_unblinding(session, study, clock):
    sit_through(session, clock, until="rating")
    close_study(study=study)
    unblind_study(study=study, who="Ada")
    trial = current_trial(session)
    hear(trial, clock)
    with pytest.raises(StudyNotOpen):
        record_rating(trial=trial, value=5, response_time_ms=1)
    with pytest.raises(StudyNotOpen):
        skip_trial(trial=trial, reason="no sound")


# Events and hearing


def heard_event(trial, start, end, sequence=0):
    return {
        "sequence": sequence,
        "kind": "heard",
        "trial": trial.public_id,
        "client_ms": 1000,
        "from_seconds": start,
        "to_seconds": end,
    }


@pytest.fixture
def trial(session, clock):
    sit_through(session, clock, until="rating")
    return current_trial(session)


def test_a_batch_that_is_sent_again_adds_nothing(trial, session, clock):
    clock.advance(5)
    events = [heard_event(trial, 0, 2, 0), heard_event(trial, 2, 4, 1)]
    assert record_events(session=session, page="page-one", events=events) == 2
    assert record_events(session=session, page="page-one", events=events) == 0
    assert record_events(session=session, page="page-one", events=[*events, heard_event(trial, 4, 5, 2)]) == 1
    assert heard_seconds(trial) == 5


def test_hearing_faster_than_time_passes_is_not_believed(trial, session, clock):
    record_events(session=session, page="page", events=[heard_event(trial, 0, 5)])
    assert heard_seconds(trial) == 0
    clock.advance(5)
    record_events(session=session, page="page", events=[heard_event(trial, 0, 5, 1)])
    assert heard_seconds(trial) == 5
    assert seconds_left_to_hear(trial) == 0


def test_time_before_the_answer_before_does_not_count_as_listening(trial, session, clock):
    clock.advance(3600)
    hear(trial, clock)
    record_rating(trial=trial, value=4, response_time_ms=1)
    following = current_trial(session)
    record_events(session=session, page="next", events=[heard_event(following, 0, 5)])
    assert heard_seconds(following) == 0


def test_the_seconds_left_count_what_the_study_asks_for(trial, session, clock):
    assert seconds_left_to_hear(trial) == pytest.approx(0.8 * 5 - 0.25)
    clock.advance(2)
    record_events(session=session, page="page", events=[heard_event(trial, 0, 2)])
    assert seconds_left_to_hear(trial) == pytest.approx(1.75)


def test_events_of_other_peoples_trials_are_dropped(trial, session, study, clock):
    other = begin(study, seed=77)
    theirs = other.trials.first()
    clock.advance(10)
    events = [heard_event(theirs, 0, 5, 0), heard_event(trial, 0, 5, 1)]
    assert record_events(session=session, page="page", events=events) == 1
    assert not theirs.events.exists()


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "heard", "sequence": 0, "client_ms": 1, "from_seconds": 0, "to_seconds": 5},
        {"kind": "vote", "sequence": 0, "client_ms": 1},
        {"kind": "play", "sequence": -1, "client_ms": 1},
        {"kind": "play", "sequence": True, "client_ms": 1},
        {"kind": "play", "sequence": 2**40, "client_ms": 1},
        {"kind": "play", "sequence": 0},
        {"kind": "play", "sequence": 0, "client_ms": float("nan")},
        {"kind": "play", "sequence": 0, "client_ms": 1, "trial": ["x"]},
        {"kind": ["play"], "sequence": 0, "client_ms": 1},
        "play",
        None,
    ],
    ids=repr,
)
def test_a_malformed_event_is_dropped_and_the_rest_kept(trial, session, event):
    good = {"kind": "play", "sequence": 9, "client_ms": 1, "trial": trial.public_id}
    assert record_events(session=session, page="page", events=[event, good]) == 1


def test_events_store_no_more_than_fits(trial, session):
    event = {
        "kind": "error",
        "sequence": 0,
        "client_ms": 1,
        "detail": "x\x00" * 900,
        "trial": trial.public_id,
    }
    record_events(session=session, page="page", events=[event])
    assert Event.objects.get(kind="error").detail == "x" * 200


def test_batches_and_page_names_have_bounds(session):
    with pytest.raises(ListeningError, match="at most"):
        record_events(session=session, page="p", events=[{}] * (MAX_EVENTS_PER_BATCH + 1))
    with pytest.raises(ListeningError, match="1-22 characters"):
        record_events(session=session, page="p" * 23, events=[])
    with pytest.raises(ListeningError):
        record_events(session=session, page="p", events="play")


def test_a_session_cannot_fill_the_disk(trial, session, monkeypatch):
    stored = session.events.count()
    monkeypatch.setattr("studies.listening.services.sittings.MAX_EVENTS_PER_SESSION", stored + 3)
    events = [{"kind": "play", "sequence": number, "client_ms": 1} for number in range(10)]
    assert record_events(session=session, page="page", events=events) == 3
    assert record_events(session=session, page="other", events=events) == 0


# Skipping


def test_a_piece_that_does_not_play_can_be_left_out_without_penalty(trial, session, clock):
    skip_trial(trial=trial, reason="error 4\x00" * 100)
    trial.refresh_from_db()
    assert trial.skipped_at == clock.time
    assert len(trial.skip_reason) == 200
    assert current_trial(session).position == trial.position + 1
    before = trial.skipped_at
    clock.advance(5)
    skip_trial(trial=trial, reason="again")
    trial.refresh_from_db()
    assert trial.skipped_at == before
    sit_through(session, clock)
    assert session.stage == "debrief"
    assert not hasattr(Trial.objects.get(pk=trial.pk), "judgement")  # never heard, so never judged


def test_a_trial_cannot_be_skipped_before_its_turn(trial, session):
    last = session.trials.order_by("-position").first()
    with pytest.raises(NotItsTurn, match=f"trial {last.position} has not its turn yet"):
        skip_trial(trial=last, reason="")


def test_a_judgement_can_be_skipped_too(session, clock):
    sit_through(session, clock, until="attribution")
    trial = current_trial(session)
    trial.session = session
    skip_trial(trial=trial, reason="no sound")
    trial.refresh_from_db()
    assert (trial.skipped_at, trial.judgement_skipped_at) == (None, clock.time)
    assert current_trial(session).pk != trial.pk


def test_the_next_sound_is_known_ahead_across_the_ends_of_practice_and_rating(session, clock):
    sit_through(session, clock, until="practice")
    first_again = session.trials.get(attribution_position=1).position
    positions = []
    while session.stage != "attribution":
        trial, following = current_trial(session), next_trial(session)
        positions.append((trial.position, following and following.position))
        trial.session = session
        hear(trial, clock)
        record_rating(trial=trial, value=5, response_time_ms=1)
    assert positions == [(number, number + 1 if number < 17 else first_again) for number in range(1, 18)]
    assert current_trial(session).position == first_again
