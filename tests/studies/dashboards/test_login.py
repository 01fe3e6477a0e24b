"""The door: signing in, being refused kindly, being locked out, signing out."""

import pytest
from django.test import Client
from django.urls import reverse

PASSWORD = "notes-on-the-engine"


def sign_in(client, password=PASSWORD, name="ada", **more):
    return client.post(reverse("login"), {"username": name, "password": password, **more})


def test_signing_in_leads_to_the_page_that_was_asked_for(client, ada):
    asked = client.get(reverse("dashboards:library"))
    page = client.get(asked["Location"]).content.decode()
    assert f'name="next" value="{reverse("dashboards:library")}"' in page
    assert sign_in(client, next=reverse("dashboards:library"))["Location"] == reverse("dashboards:library")


def test_signing_in_leads_to_no_other_site(client, ada):
    assert sign_in(client, next="https://elsewhere.example/")["Location"] == reverse("dashboards:studies")


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "wrong"), ("nobody", PASSWORD), ("", ""), ("<b>", "x")]
)
def test_a_wrong_name_and_a_wrong_password_look_the_same(client, ada, name, password):
    page = sign_in(client, password, name).content.decode()
    assert "do not fit together" in page
    assert "<b>" not in page


def test_signing_out_ends_it(studio):
    studio.post(reverse("logout"))
    assert studio.get(reverse("dashboards:studies")).status_code == 302


def test_too_many_wrong_passwords_lock_the_door_for_the_right_one_too(ada, settings):
    settings.AXES_ENABLED = True
    client = Client()
    answers = [sign_in(client, f"guess {number}") for number in range(6)]
    assert [answer.status_code for answer in answers[:4]] == [200] * 4
    assert answers[-1].status_code == 429
    locked = sign_in(client)
    assert locked.status_code == 429
    page = locked.content.decode()
    assert "Signing in is paused" in page
    assert "quarter of an hour" in page
    assert "ada" not in page
    assert client.get(reverse("dashboards:studies")).status_code == 302


def test_the_door_and_its_errors_are_under_the_strict_policy(client, db):
    policy = client.get(reverse("login"))["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert client.get(reverse("login"))["X-Frame-Options"] == "DENY"
