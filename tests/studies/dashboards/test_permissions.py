"""Who decides over a study: its owner and administrators; the others see what they saw."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from studies.listening.models import KeyAccess, Study

DECISIONS = ["close", "unblind"]


@pytest.fixture
def visitor(db):
    """The browser of a researcher who owns no study."""
    client = Client()
    client.force_login(get_user_model().objects.create_user("grace", password="compiler-of-notes"))
    return client


@pytest.fixture
def administrator(db):
    """The browser of whoever administers the installation."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", password="root-of-all-notes"))
    return client


def address(name):
    return reverse(f"dashboards:{name}", args=["first"])


@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("has_owner", [True, False])
def test_others_can_neither_close_nor_unblind(rows, ada, visitor, name, has_owner):
    rows.study(state="open" if name == "close" else "closed", owner=ada if has_owner else None)
    before = Study.objects.values().get()
    assert visitor.get(address(name)).status_code == 403
    assert visitor.post(address(name)).status_code == 403
    assert Study.objects.values().get() == before
    assert not KeyAccess.objects.exists()


@pytest.mark.parametrize("who", ["studio", "administrator"])
def test_the_owner_and_administrators_close_and_unblind(rows, ada, who, request):
    client = request.getfixturevalue(who)
    rows.study(owner=ada)
    for name in DECISIONS:
        assert client.get(address(name)).status_code == 200
        assert client.post(address(name)).status_code == 302
    study = Study.objects.get()
    assert (study.state, study.is_blind) == ("closed", False)


def test_a_study_without_an_owner_is_decided_over_by_administrators_alone(rows, studio, administrator):
    rows.study(owner=None)
    assert studio.post(address("close")).status_code == 403
    assert administrator.post(address("close")).status_code == 302


def test_answers_with_names_are_taken_away_by_those_who_decide_alone(rows, ada, studio, visitor):
    rows.study(state="closed", unblinded=True, listeners=2, owner=ada)
    assert visitor.get(address("ratings_csv")).status_code == 403
    assert not KeyAccess.objects.filter(who="grace").exists()
    assert b"bach-themselves" in studio.get(address("ratings_csv")).content


def test_others_see_what_is_blind_and_are_offered_nothing_that_they_cannot_do(rows, ada, visitor):
    rows.study(state="closed", listeners=2, owner=ada)
    for name in ("study", "results", "ratings", "ratings_csv", "counts"):
        assert visitor.get(address(name)).status_code == 200, name
    page = visitor.get(address("study")).content.decode()
    assert address("unblind") not in page
    assert "ada, who owns it, or an administrator" in page
