"""Withdrawal deletes: nothing that is tied to the listener remains anywhere."""

import datetime
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection

from studies.listening.clock import compressed
from studies.listening.errors import UnknownCode, WithdrawalOver
from studies.listening.models import Event, Judgement, Participant, Rating, Session, Trial, Withdrawal
from studies.listening.selectors import pseudonym, ratings_table, study_progress
from studies.listening.services import export_study, withdraw
from tests.studies.factories import begin, make_study, sit_through

pytestmark = pytest.mark.django_db


@pytest.fixture
def study():
    return make_study()


def finished(study, **options):
    with compressed() as clock:
        return sit_through(begin(study, **options), clock)


def traces_of(session) -> list[str]:
    """Every value of every row of the listening app that identifies the session's listener."""
    participant = session.participant
    identities = {session.token, participant.public_id, participant.withdrawal_code, participant.external_id}
    identities |= set(session.trials.values_list("public_id", flat=True))
    found = []
    for model in apps.get_app_config("listening").get_models():
        for row in model.objects.values_list():
            found += [
                f"{model.__name__}: {value}"
                for value in row
                if isinstance(value, str) and value in identities
            ]
    return found


def test_nothing_of_the_participant_is_left(study, tmp_path):
    stays, leaves = finished(study), finished(study, external_id="P-SECRET")
    identities = {leaves.token, leaves.participant.public_id, leaves.participant.withdrawal_code, "P-SECRET"}
    identities |= set(leaves.trials.values_list("public_id", flat=True))
    name = pseudonym(study.slug, leaves.participant.public_id)
    assert traces_of(leaves)  # there is something to be left
    counts = {
        model: model.objects.count() for model in (Participant, Session, Trial, Event, Rating, Judgement)
    }
    withdraw(study=study, code=leaves.participant.withdrawal_code)
    assert all(model.objects.count() * 2 == count for model, count in counts.items())
    for model in apps.get_app_config("listening").get_models():
        for row in model.objects.values_list():
            assert not {str(value) for value in row} & identities
    export_study(study=study, out=tmp_path)
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    assert name not in written
    assert not [identity for identity in identities if identity in written]
    assert pseudonym(study.slug, stays.participant.public_id) in written
    assert len(ratings_table(study)) == 13
    assert study_progress(study)["withdrawn"] == 1


@pytest.mark.django_db(transaction=True)
def test_no_file_of_the_database_holds_what_was_withdrawn():
    """Neither the database nor its write-ahead log, byte by byte."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL keeps its files to itself")
    study = make_study(pieces=2, trials=5, repeats=0, practice=0, checks=0)
    session = finished(study, external_id="RECRUITED-BY-SECRET")
    code, token = session.participant.withdrawal_code, session.token
    secrets = [text.encode() for text in (code, token, session.participant.public_id, "RECRUITED-BY-SECRET")]
    database = Path(connection.settings_dict["NAME"])

    def found():
        files = [path for path in database.parent.glob(f"{database.name}*") if path.is_file()]
        return [secret for secret in secrets if any(secret in path.read_bytes() for path in files)]

    assert found() == secrets
    withdraw(study=study, code=code)
    assert found() == []


def test_what_stays_is_a_day_without_a_name(study):
    session = finished(study)
    withdraw(study=study, code=session.participant.withdrawal_code)
    row = Withdrawal.objects.values().get()
    assert set(row) == {"id", "study_id", "day", "is_simulated"}
    assert isinstance(row["day"], datetime.date)


@pytest.mark.parametrize("stage", ["sound_check", "practice", "attribution"])
def test_one_can_leave_at_any_time(study, stage):
    with compressed() as clock:
        session = begin(study) if stage == "sound_check" else sit_through(begin(study), clock, until=stage)
    withdraw(study=study, code=session.participant.withdrawal_code)
    assert not Participant.objects.exists()
    assert not Trial.objects.exists()


def test_a_code_copied_by_hand_is_understood(study):
    session = begin(study)
    code = session.participant.withdrawal_code
    withdraw(study=study, code=f"  {code.lower().replace('-', ' ')} ")
    assert not Participant.objects.exists()


def limited(study, **consent):
    study.design["consent"] |= {"withdraw_days": 14, **consent}
    study.save()
    return study


def test_the_days_that_the_consent_page_promises_are_held(study):
    limited(study)
    session = finished(study)
    code = session.participant.withdrawal_code
    with compressed(session.finished_at + datetime.timedelta(days=14, minutes=1)):
        with pytest.raises(WithdrawalOver, match=r"14 days .* ended on .*ask lab@example\.org"):
            withdraw(study=study, code=code)
        assert Participant.objects.count() == 1
    with compressed(session.finished_at + datetime.timedelta(days=13, hours=23)):
        withdraw(study=study, code=code)
    assert not Participant.objects.exists()


def test_days_count_from_when_a_listener_was_last_there(study):
    session = begin(limited(study, contact=""))
    with (
        compressed(session.last_seen_at + datetime.timedelta(days=15)),
        pytest.raises(WithdrawalOver, match="ask the researchers who sent you the link"),
    ):
        withdraw(study=study, code=session.participant.withdrawal_code)


def test_without_a_number_of_days_a_code_works_for_ever(study):
    session = finished(study)
    with compressed(session.finished_at + datetime.timedelta(days=3000)):
        withdraw(study=study, code=session.participant.withdrawal_code)
    assert not Participant.objects.exists()


@pytest.mark.parametrize("code", ["", "ABCD", "ABCD-EFGH-JKLM-NPQR", "x" * 5000, "' OR 1=1 --", "%"])
def test_a_wrong_code_deletes_nothing(study, code):
    begin(study)
    with pytest.raises(UnknownCode, match="16 letters and digits"):
        withdraw(study=study, code=code)
    assert Participant.objects.count() == 1
    assert not Withdrawal.objects.exists()


def test_a_code_works_once_and_in_its_own_study_only(study):
    session, other = begin(study), make_study("another")
    code = session.participant.withdrawal_code
    with pytest.raises(UnknownCode):
        withdraw(study=other, code=code)
    withdraw(study=study, code=code)
    with pytest.raises(UnknownCode):
        withdraw(study=study, code=code)
    assert Withdrawal.objects.count() == 1
