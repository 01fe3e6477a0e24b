"""Tables and counts: one query for ratings, few for progress, nothing by name while blind."""

import datetime

import pytest
from django.utils import timezone

from analysis.ratings.table import COLUMNS, check_ratings
from studies.catalog.models import Generation
from studies.listening.clock import compressed
from studies.listening.errors import ListeningError
from studies.listening.models import Judgement, Rating, Session
from studies.listening.selectors import (
    current_trial,
    get_study,
    pseudonym,
    ratings_table,
    reservation_length,
    stages_of,
    study_progress,
)
from studies.listening.services import record_rating, skip_trial, withdraw
from tests.studies.factories import begin, hear, make_study, sit_through

pytestmark = pytest.mark.django_db

SMALL = {"pieces": 2, "trials": 5, "repeats": 1, "practice": 1, "checks": 2}


def listen(study, **options):
    with compressed() as clock:
        return sit_through(begin(study), clock, **options)


@pytest.fixture
def study():
    return make_study(**SMALL)


def test_ratings_come_in_one_query_however_many(study, django_assert_num_queries):
    for _ in range(2):
        listen(study)
        with django_assert_num_queries(1):
            ratings_table(study)


def test_progress_takes_three_queries_however_many(study, django_assert_num_queries):
    for _ in range(2):
        listen(study)
        with django_assert_num_queries(3):
            study_progress(study)


def test_the_table_has_main_pieces_and_repeats_and_nothing_else(study):
    session = listen(study, value=lambda trial: trial.position)
    table = ratings_table(study, blind=False)
    assert list(table.columns) == [*COLUMNS, "simulated", "failed_attention", "role"]
    expected = session.trials.filter(kind__in=["main", "repeat"]).order_by("position")
    assert list(table["trial"]) == list(expected.values_list("position", flat=True))
    assert list(table["rating"]) == list(table["trial"])
    assert list(table["repeat"]) == [
        int(kind == "repeat") for kind in expected.values_list("kind", flat=True)
    ]
    assert table[table["repeat"] == 1]["judged_human"].isna().all()
    assert table[table["repeat"] == 0]["judged_human"].all()
    assert set(table["participant"]) == {pseudonym(study.slug, session.participant.public_id)}
    check_ratings(table)


def test_names_are_letters_and_labels_until_unblinded(study):
    listen(study)
    blind, open_ = ratings_table(study), ratings_table(study, blind=False)
    assert "role" not in blind.columns
    key = dict(study.conditions.values_list("name", "letter"))
    assert list(blind["condition"]) == [key[name] for name in open_["condition"]]
    labels = dict(study.items.filter(use="main").values_list("stimulus__piece__name", "label"))
    assert list(blind["piece"]) == [labels[name] for name in open_["piece"]]
    study.unblinded_at = timezone.now()
    assert list(ratings_table(study)["condition"]) == list(open_["condition"])


def test_two_pieces_of_one_name_are_told_apart(study):
    items = study.items.filter(condition__name="biaxial").select_related("stimulus__piece__generation")
    for item in items:
        piece, old = item.stimulus.piece, item.stimulus.piece.generation
        piece.generation = Generation.objects.create(
            model=old.model, name=f"another-{piece.pk}", seed=1, checkpoint_sha256=old.checkpoint_sha256
        )
        piece.name = "1"
        piece.save()
    listen(study)
    names = ratings_table(study, blind=False).query("condition == 'biaxial' and repeat == 0")["piece"]
    assert len(set(names)) == 2
    check_ratings(ratings_table(study, blind=False))


def test_failed_attention_checks_are_counted_per_listener(study):
    listen(study, value=lambda trial: trial.item.requested_value or 5)
    right = ratings_table(study)
    assert set(right["failed_attention"]) == {0}
    listen(study, value=lambda trial: 10)
    both = ratings_table(study).groupby("participant")["failed_attention"].max()
    assert sorted(both) == [0, 2]


def test_an_empty_study_gives_an_empty_table_with_its_columns(study):
    table = ratings_table(study)
    assert len(table) == 0
    assert list(table.columns)[: len(COLUMNS)] == list(COLUMNS)


def test_progress_counts_what_happened(study):
    listen(study)
    with compressed() as clock:
        session = sit_through(begin(study), clock, until="rating")
        trial = current_trial(session)
        trial.session = session
        skip_trial(trial=trial, reason="")
    with compressed(timezone.now() - datetime.timedelta(days=1)):
        begin(study)
    withdraw(study=study, code=begin(study).participant.withdrawal_code)
    progress = study_progress(study)
    counts = ("started", "finished", "in_progress", "abandoned", "withdrawn", "n_skipped")
    assert [progress[name] for name in counts] == [3, 1, 1, 1, 1, 1]
    ratings = Rating.objects.filter(trial__kind__in=["main", "repeat"]).count()
    assert progress["n_ratings"] == ratings == 6
    assert progress["n_judgements"] == Judgement.objects.count() == 5
    reached = {row["stage"]: (row["reached"], row["standing"]) for row in progress["stages"]}
    assert reached["sound_check"] == (3, 1)
    assert reached["rating"] == (2, 1)
    assert reached["debrief"] == (1, 0)
    assert sum(item["n_completed"] for item in progress["items"]) == 5
    assert not any("mean" in key or key == "rating" for key in progress)


@pytest.mark.parametrize(("n_rated", "counts"), [(0, (0, 1)), (2, (0, 1)), (3, (1, 0)), (5, (1, 0))])
def test_only_who_rated_half_of_the_pieces_has_finished(study, n_rated, counts):
    """Whoever skips to the end left things out: no listener more for any piece."""
    with compressed() as clock:
        session = sit_through(begin(study), clock, until="rating")
        trials = session.trials.filter(kind="main").order_by("position")
        kept = set(trials.values_list("pk", flat=True)[:n_rated])
        while session.stage == "rating":
            trial = current_trial(session)
            trial.session = session
            if trial.pk in kept:
                hear(trial, clock)
                record_rating(trial=trial, value=5, response_time_ms=1)
            else:
                skip_trial(trial=trial, reason="")
        sit_through(session, clock)
    assert Session.objects.get().finished_at
    progress = study_progress(study)
    assert (progress["finished"], progress["left_out"]) == counts
    assert (progress["started"], progress["in_progress"], progress["abandoned"]) == (1, 0, 0)
    assert sum(item["n_completed"] for item in progress["items"]) == (n_rated if counts[0] else 0)
    assert (progress["median_minutes"] is not None) == bool(counts[0])


def test_a_place_is_kept_for_twice_the_usual_time(study):
    assert reservation_length(study) == datetime.timedelta(minutes=60)
    session = listen(study)
    Session.objects.filter(pk=session.pk).update(
        finished_at=session.started_at + datetime.timedelta(minutes=45)
    )
    assert reservation_length(study) == datetime.timedelta(minutes=90)


def test_stages_follow_what_the_study_asks(study):
    assert stages_of(study)[0] == "sound_check"
    assert stages_of(study)[-1] == "debrief"


def test_a_wrong_slug_gets_help(study):
    with pytest.raises(ListeningError, match="did you mean short-piano-pieces"):
        get_study("short-pian-pieces")
    study.delete()
    with pytest.raises(ListeningError, match="create_study"):
        get_study("anything")
