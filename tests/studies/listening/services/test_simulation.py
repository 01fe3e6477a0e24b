"""Simulated listeners: by a stated model, marked, apart from people, and truthful to the model."""

import pytest

from analysis.ratings.report import analyse
from studies.listening.errors import ListeningError
from studies.listening.models import Participant, Session, Study, Trial
from studies.listening.selectors import ratings_table
from studies.listening.services import StudyCheck, close_study, open_study, simulate_listeners, withdraw
from studies.listening.services.simulation import ListenerModel
from tests.studies.factories import begin, make_study

pytestmark = pytest.mark.django_db

SMALL = {"pieces": 2, "trials": 5, "repeats": 1, "practice": 1, "checks": 1}


@pytest.fixture
def study():
    return make_study(is_simulated=True, **SMALL)


def answers_of(study):
    rows = Trial.objects.filter(session__participant__study=study).order_by("session", "position")
    return list(rows.values_list("position", "item__label", "rating__value", "judgement__judged_human"))


def test_every_listener_is_marked_and_their_model_is_kept(study):
    result = simulate_listeners(study=study, count=3, seed=1)
    assert (result["listeners"], result["finished"], result["left"], result["simulated"]) == (3, 3, 0, True)
    assert result["ratings"] == 3 * 6
    assert result["judgements"] == 3 * 5
    assert study.simulation == result["model"]
    assert study.simulation["d_prime"] == 0.8
    assert set(Participant.objects.values_list("is_simulated", flat=True)) == {True}
    assert set(ratings_table(study)["simulated"]) == {1}


def test_the_same_seed_gives_the_same_answers(study):
    simulate_listeners(study=study, count=3, seed=5)
    first = answers_of(study)
    for participant in list(study.participants.all()):
        withdraw(study=study, code=participant.withdrawal_code)
    simulate_listeners(study=study, count=3, seed=5)
    assert answers_of(study) == first
    for participant in list(study.participants.all()):
        withdraw(study=study, code=participant.withdrawal_code)
    simulate_listeners(study=study, count=3, seed=6)
    assert answers_of(study) != first


def test_a_second_call_brings_other_listeners(study):
    simulate_listeners(study=study, count=2, seed=5)
    simulate_listeners(study=study, count=2, seed=5)
    values = [value for _, _, value, _ in answers_of(study)]
    assert Participant.objects.count() == 4
    assert values[: len(values) // 2] != values[len(values) // 2 :]


def test_a_study_that_people_entered_is_left_alone():
    study = make_study(**SMALL)
    begin(study)
    with pytest.raises(ListeningError, match="1 person has taken part"):
        simulate_listeners(study=study, count=1, seed=1)
    study.refresh_from_db()
    assert not study.is_simulated
    assert Participant.objects.filter(is_simulated=True).count() == 0


def test_a_study_whose_only_person_withdrew_is_left_alone_too():
    study = make_study(**SMALL)
    withdraw(study=study, code=begin(study).participant.withdrawal_code)
    with pytest.raises(ListeningError, match="1 person has taken part"):
        simulate_listeners(study=study, count=1, seed=1)


def test_an_untouched_study_becomes_simulated_for_good_and_refuses_people():
    study = make_study(**SMALL)
    as_it_was = Study.objects.get()
    simulate_listeners(study=study, count=1, seed=1)
    assert study.is_simulated
    with pytest.raises(ListeningError, match="holds simulated listeners only"):
        begin(as_it_was)
    assert ratings_table(study)["simulated"].all()


def test_the_table_of_a_study_never_has_rows_of_the_other_kind(study):
    """Even if somebody wrote a mixed row past the services."""
    simulate_listeners(study=study, count=2, seed=1)
    Participant.objects.filter(pk=Participant.objects.first().pk).update(is_simulated=False)
    assert ratings_table(study)["participant"].nunique() == 1


def test_a_draft_can_be_dry_run_and_a_closed_study_cannot(study):
    Study.objects.update(state="draft")
    study.refresh_from_db()
    assert simulate_listeners(study=study, count=1, seed=1)["finished"] == 1
    Study.objects.update(state="open")
    study.refresh_from_db()
    with pytest.raises(ListeningError, match="is closed"):
        simulate_listeners(study=close_study(study=study), count=1, seed=1)


@pytest.mark.parametrize(
    ("count", "seed", "word"), [(0, 1, "got 0"), (10**6, 1, "1-10,000"), (1, -1, "got -1")]
)
def test_numbers_out_of_range_are_refused(study, count, seed, word):
    with pytest.raises(ListeningError, match=word):
        simulate_listeners(study=study, count=count, seed=seed)


def test_who_leaves_half_way_has_no_end(study):
    result = simulate_listeners(study=study, count=6, seed=2, model=ListenerModel(dropout=1.0))
    assert (result["finished"], result["left"]) == (0, 6)
    assert Session.objects.filter(finished_at=None).count() == 6


def test_what_was_planted_is_found_by_the_statistics():
    """Of 14 listeners with little noise: real above generated above anchor, and d' about as planted."""
    study = make_study(is_simulated=True, pieces=3, trials=7, repeats=0, practice=0, checks=1)
    model = ListenerModel(sd_noise=0.5, sd_piece=0.2, sd_condition=0, careless=0, d_prime=2.5, known_real=0)
    simulate_listeners(study=study, count=14, seed=3, model=model)
    result = analyse(ratings_table(study, blind=False), reference="joplin", draws=200)
    estimates = {row["condition"]: row["estimate"] for row in result["conditions"]}
    assert estimates["joplin"] == pytest.approx(6.6, abs=0.8)
    assert estimates["biaxial"] - estimates["joplin"] == pytest.approx(-1.2, abs=0.6)
    assert estimates["scrambled"] < 4.2
    assert result["detection"]["d_prime"] == pytest.approx(2.5, abs=0.8)
    assert result["simulated"]


def test_simulated_listeners_hear_each_piece_again_before_they_judge_it(study):
    simulate_listeners(study=study, count=2, seed=1)
    heard = Trial.objects.filter(kind="main").values_list("judgement__listened_seconds", flat=True)
    assert min(heard) >= 3
    assert len(set(heard)) > 3


@pytest.mark.parametrize("state", ["open", "draft"])
def test_nobody_starts_before_the_study_opened(study, monkeypatch, state):
    """Neither in a study that opened a moment ago, nor in one that was dry-run as a draft and opens later."""
    from django.utils import timezone

    monkeypatch.setattr("studies.listening.services.lives.check_study", lambda study: StudyCheck())
    Study.objects.update(state="draft")
    study.refresh_from_db()
    if state == "open":
        study = open_study(study=study)
    for _ in range(2):
        simulate_listeners(study=study, count=2, seed=1)
    study = close_study(study=open_study(study=study))
    study.refresh_from_db()
    starts = Session.objects.values_list("started_at", flat=True)
    assert study.opened_at <= min(starts)
    assert max(Session.objects.values_list("finished_at", flat=True)) <= study.closed_at <= timezone.now()


def test_nothing_lies_in_the_future(study):
    from django.utils import timezone

    simulate_listeners(study=study, count=2, seed=1)
    assert max(ratings_table(study)["answered_at"]) < timezone.now()
