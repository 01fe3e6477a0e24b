"""The door: signing in, being refused kindly, being locked out, signing out."""

import pytest
from axes.models import AccessAttempt, AccessLog
from django.apps import apps
from django.test import Client
from django.urls import reverse

from studies.sign_in_addresses import veiled_address

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


def test_no_address_of_whoever_signs_in_is_kept(ada, settings):
    settings.AXES_ENABLED = True
    client = Client(REMOTE_ADDR="203.0.113.77")
    assert sign_in(client, "wrong").status_code == 200
    assert AccessAttempt.objects.get().ip_address.startswith("fd")
    assert sign_in(client).status_code == 302
    kept = [str(row) for model in apps.get_app_config("axes").get_models() for row in model.objects.values()]
    assert not [row for row in kept if "203.0.113.77" in row]
    assert not AccessLog.objects.exists()


def test_a_lock_out_shuts_one_place_and_leaves_the_others_open(ada, settings):
    settings.AXES_ENABLED = True
    guesser = Client(REMOTE_ADDR="203.0.113.77")
    assert [sign_in(guesser, "wrong").status_code for _ in range(5)][-1] == 429
    assert sign_in(Client(REMOTE_ADDR="203.0.113.78")).status_code == 302


def test_behind_a_trusted_proxy_the_address_is_the_one_that_the_proxy_saw(rf, settings):
    def seen(**headers):
        return veiled_address(rf.get("/", REMOTE_ADDR="127.0.0.1", **headers))

    assert seen(HTTP_X_FORWARDED_FOR="198.51.100.1") == seen()  # nobody is trusted
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert seen(HTTP_X_FORWARDED_FOR="198.51.100.1") != seen()
    forged = seen(HTTP_X_FORWARDED_FOR="10.9.8.7, 198.51.100.1")
    assert forged == seen(HTTP_X_FORWARDED_FOR="198.51.100.1")


def test_the_door_and_its_errors_are_under_the_strict_policy(client, db):
    policy = client.get(reverse("login"))["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert client.get(reverse("login"))["X-Frame-Options"] == "DENY"
