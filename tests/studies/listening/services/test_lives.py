"""A study opens once, closes once, and shows its key only when closed, on the record."""

import pytest

from studies.listening.errors import ListeningError
from studies.listening.models import KeyAccess, Study
from studies.listening.services import StudyCheck, close_study, open_study, unblind_study
from tests.studies.factories import make_study

pytestmark = pytest.mark.django_db


@pytest.fixture
def found(monkeypatch):
    """What `check_study` finds, without looking."""
    check = StudyCheck()
    monkeypatch.setattr("studies.listening.services.lives.check_study", lambda study: check)
    return check


@pytest.fixture
def draft():
    return make_study(state="draft")


def test_a_fit_study_opens_whatever_the_warnings(draft, found):
    found.warnings.append("no low anchor")
    study = open_study(study=draft)
    assert (study.state, bool(study.opened_at)) == ("open", True)
    assert open_study(study=study).opened_at == study.opened_at


def test_a_study_with_problems_stays_a_draft_and_says_why(draft, found):
    found.problems += ["7F peaks at 0.3 dBTP", "a name leaks"]
    with pytest.raises(ListeningError, match=r"2 problems: 7F peaks at 0\.3 dBTP; a name leaks"):
        open_study(study=draft)
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_closed_study_never_opens_again(draft, found):
    study = close_study(study=open_study(study=draft))
    with pytest.raises(ListeningError, match="cannot open again"):
        open_study(study=study)
    assert close_study(study=study).closed_at == study.closed_at


def test_a_draft_cannot_be_closed(draft):
    with pytest.raises(ListeningError, match="only an open study"):
        close_study(study=draft)


@pytest.mark.parametrize("state", ["draft", "open"])
def test_the_key_stays_sealed_until_the_study_is_closed(state):
    study = make_study(state=state)
    with pytest.raises(ListeningError, match=f"is {state}; close it before unblinding"):
        unblind_study(study=study, who="Ada")
    study.refresh_from_db()
    assert study.is_blind
    assert not KeyAccess.objects.exists()


def test_unblinding_is_written_down_once(draft, found):
    study = close_study(study=open_study(study=draft))
    with pytest.raises(ListeningError, match="needs a name"):
        unblind_study(study=study, who="  ")
    study = unblind_study(study=study, who="Ada")
    again = unblind_study(study=study, who="Bob")
    assert (again.unblinded_by, again.unblinded_at) == ("Ada", study.unblinded_at)
    assert list(KeyAccess.objects.values_list("who", "what")) == [("Ada", "unblinded the study")]
    assert not Study.objects.get().is_blind
