"""The listener's way, request by request: where each one leads, what it keeps, what it may show."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client

from studies.catalog.models import Piece
from studies.listening import clock, pages, selectors
from studies.listening.models import (
    Event,
    Judgement,
    Participant,
    Rating,
    Session,
    Study,
    Trial,
    Withdrawal,
)
from tests.studies.listening.audible_study import BETRAYERS, make_study

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]
HOME = "/s/short-pieces/"
SCRIPT = {"Accept": "application/json"}
SESSION_ROWS = (Participant, Session, Trial, Rating, Judgement, Event)


@pytest.fixture
def study():
    return make_study()


@pytest.fixture
def time():
    """The study's clock, which passes only when told to."""
    with clock.compressed() as now:
        yield now


def agree(client, home=HOME, **changes):
    page = client.get(home).context["page"]
    fields = {"answer": "agree", "consent_sha256": page.consent_sha256, "start_key": page.start_key}
    return client.post(f"{home}consent/", fields | changes)


@pytest.fixture
def listener(client, study, time):
    """A browser whose listener agreed."""
    agree(client)
    return client


def session_of(client) -> Session:
    return Session.objects.select_related("participant__study").get(token=client.cookies["listener"].value)


def to_stage(client, stage, time):
    """Go on as a listener would, until a stage is reached."""
    while (session := session_of(client)).stage != stage:
        take_step(client, session, time)
    return session


def take_step(client, session, time):
    match session.stage:
        case "sound_check":
            fields = {"n_tones": pages.n_test_tones(session), "device": "headphones"}
            response = client.post(f"{HOME}sound-check/", fields)
        case "background":
            response = client.post(f"{HOME}background/", {"age": "30-44"})
        case "practice" | "rating":
            response = rate(client, selectors.current_trial(session), time)
        case "attribution":
            hear(client, selectors.current_trial(session), time)
            response = judge(client, selectors.current_trial(session))
        case "comment":
            response = client.post(f"{HOME}comment/", {"comment": "Lovely."})
    assert response.status_code == 302, response.content
    assert response.url == HOME


def hear(client, trial, time, seconds=3.0):
    """The page reports, some time later, that so many seconds were heard."""
    time.advance(seconds)
    sequence = Event.objects.count()
    heard = {"sequence": sequence, "kind": "heard", "trial": trial.public_id}
    heard |= {"from_seconds": 0, "to_seconds": seconds, "client_ms": 100}
    return post_events(client, [heard], trial)


def post_events(client, events, trial=None, page="page-of-test"):
    fields = {"page": page, "trial": trial.public_id if trial else "", "events": json.dumps(events)}
    return client.post(f"{HOME}events/", fields, headers=SCRIPT)


def rate(client, trial, time, value=7, **headers):
    hear(client, trial, time)
    fields = {"value": value, "response_time_ms": 4000}
    return client.post(f"{HOME}trials/{trial.public_id}/rating/", fields, headers=headers)


def judge(client, trial, **changes):
    fields = {"attribution": "machine", "confidence": 3, "familiarity": "new", "response_time_ms": 900}
    return client.post(f"{HOME}trials/{trial.public_id}/judgement/", fields | changes)


def sound_of(client, trial, **headers):
    return client.get(f"{HOME}trials/{trial.public_id}/sound/", headers=headers)


class Markup(HTMLParser):
    """The elements of a page, each as its tag and attributes."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))


# Before consent


def test_nothing_is_kept_before_agreement(client, study):
    client.get(HOME)
    response = client.post(f"{HOME}consent/", {"answer": "decline"}, follow=True)
    assert "nothing about you was kept" in response.content.decode()
    assert not client.cookies
    assert not any(model.objects.exists() for model in SESSION_ROWS)


def test_the_landing_page_shows_what_is_agreed_to_and_both_hashes(client, study):
    html = client.get(HOME).content.decode()
    text, sha256 = selectors.consent_text(study)
    for paragraph in text.split("\n\n"):
        assert paragraph in html
    assert sha256 in html
    assert study.specification_sha256 in html


def test_without_scripts_the_first_page_says_what_is_missing(client, study):
    noscript = re.search(r"<noscript>(.*?)</noscript>", client.get(HOME).content.decode(), re.DOTALL)
    assert "JavaScript" in noscript[1]


def test_screens_that_need_the_script_say_so_until_it_runs(listener, time):
    """A script that never comes leaves the words of the page; the script takes them away."""
    for stage in ("sound_check", "practice", "rating", "attribution"):
        to_stage(listener, stage, time)
        assert "still loading" in listener.get(HOME).content.decode(), stage


def test_the_consent_page_says_each_thing_once_and_promises_no_surprise(client, study):
    html = client.get(HOME).content.decode()
    for words in ("minute", "Headphones", "stop at any time", "low volume", "withdrawal code"):
        assert html.count(words) == 1, words
    assert html.count(study.title) == 2  # title of the window and heading
    assert "louder" not in html


def test_the_consent_page_names_whom_to_ask_where_the_study_does(client):
    make_study(extra="consent: {contact: ask@example.org}\n")
    assert "Contact: ask@example.org" in client.get(HOME).content.decode()


def test_the_consent_page_names_nobody_where_the_study_does_not(client, study):
    assert "Contact" not in client.get(HOME).content.decode()


def test_the_withdrawal_code_is_there_from_the_first_screen_to_the_last(listener, time):
    for stage in ("sound_check", "background", "practice", "rating", "attribution", "comment", "debrief"):
        session = to_stage(listener, stage, time)
        assert session.participant.withdrawal_code in listener.get(HOME).content.decode(), stage


def test_declining_is_as_visible_as_agreeing(client, study):
    buttons = [
        attributes
        for tag, attributes in Markup(client.get(HOME).content.decode()).elements
        if tag == "button"
    ]
    assert [button["value"] for button in buttons] == ["decline", "agree"]
    assert len({button.get("class") for button in buttons}) == 1


def test_agreeing_keeps_the_hash_and_sets_a_cookie_for_this_study_alone(client, study):
    response = agree(client)
    assert response.url == HOME
    participant = Participant.objects.get()
    assert participant.consent_sha256 == selectors.consent_text(study)[1]
    cookie = client.cookies["listener"]
    assert cookie.value == participant.session.token
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (HOME, True, "Lax")
    assert set(client.cookies) == {"listener"}  # no Django session, no token before there is a form


def test_the_cookie_goes_over_https_alone_where_the_site_does(client, study, settings):
    settings.SESSION_COOKIE_SECURE = True
    agree(client)
    assert client.cookies["listener"]["secure"] is True


def test_agreement_to_another_text_starts_nothing(client, study):
    response = agree(client, consent_sha256="0" * 64)
    assert response.status_code == 409
    assert "has changed" in response.content.decode()
    assert not Participant.objects.exists()


@pytest.mark.parametrize("changes", [{"start_key": ""}, {"start_key": "x' or 1"}, {"consent_sha256": ""}])
def test_an_incomplete_agreement_starts_nothing(client, study, changes):
    assert agree(client, **changes).status_code == 422
    assert not Participant.objects.exists()


def test_the_same_agreement_sent_twice_starts_one_session(client, study):
    page = client.get(HOME).context["page"]
    fields = {"answer": "agree", "consent_sha256": page.consent_sha256, "start_key": page.start_key}
    browsers = [Client(), Client()]  # the second click leaves before the first reply has set the cookie
    for browser in browsers:
        assert browser.post(f"{HOME}consent/", fields).status_code == 302
    assert Session.objects.count() == 1
    assert browsers[0].cookies["listener"].value == browsers[1].cookies["listener"].value


def test_agreements_that_no_page_asked_for_start_nothing(study):
    """A loop of made-up agreements takes nobody's place."""
    sha256 = selectors.consent_text(study)[1]
    for number in range(5):
        fields = {"answer": "agree", "consent_sha256": sha256, "start_key": f"{number:022d}"}
        assert Client().post(f"{HOME}consent/", fields).status_code == 422
    assert not Participant.objects.exists()


def test_a_flood_of_agreements_is_asked_to_wait(study, settings):
    settings.MOST_STARTS_PER_MINUTE = 2
    replies = [agree(Client()) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [302, 302, 503]
    assert replies[2]["Retry-After"] == "60"
    assert "Wait a minute" in replies[2].content.decode()
    assert Session.objects.count() == 2


def test_agreeing_again_later_keeps_the_session(listener):
    token = listener.cookies["listener"].value
    fields = {"answer": "agree", "consent_sha256": "0" * 64, "start_key": "x" * 22}
    assert listener.post(f"{HOME}consent/", fields).url == HOME
    assert [session.token for session in Session.objects.all()] == [token]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_form_of_another_site_cannot_agree(client, study, headers):
    page = client.get(HOME).context["page"]
    fields = {"answer": "agree", "consent_sha256": page.consent_sha256, "start_key": page.start_key}
    client.post(f"{HOME}consent/", fields, headers=headers)
    assert not Participant.objects.exists()
    client.post(f"{HOME}consent/", fields, headers={"Origin": "http://testserver"})
    assert Participant.objects.exists()


def test_answers_need_the_token_of_a_form(study, time):
    browser = Client(enforce_csrf_checks=True)
    agree(browser)
    session = session_of(browser)
    fields = {"n_tones": pages.n_test_tones(session), "device": "speakers"}
    assert browser.post(f"{HOME}sound-check/", fields).status_code == 403
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', browser.get(HOME).content.decode())[1]
    assert browser.post(f"{HOME}sound-check/", fields | {"csrfmiddlewaretoken": token}).status_code == 302


@pytest.mark.parametrize(
    ("state", "is_simulated", "words"),
    [("draft", False, "not open yet"), ("closed", False, "is closed"), ("open", True, "simulated listeners")],
)
def test_a_study_that_takes_nobody_says_why(client, state, is_simulated, words):
    study = make_study(state=state)
    Study.objects.filter(pk=study.pk).update(is_simulated=is_simulated)
    response = client.get(HOME)
    assert response.status_code == 200
    assert words in response.content.decode()
    sha256 = selectors.consent_text(study)[1]
    fields = {"answer": "agree", "consent_sha256": sha256, "start_key": "x" * 22}
    assert client.post(f"{HOME}consent/", fields).url == HOME
    assert not Participant.objects.exists()


def test_an_unknown_study_is_not_found(client, study):
    for address in ("/s/other/", "/s/other/withdraw/", "/s/other/thank-you/"):
        assert client.get(address).status_code == 404


# The way


def test_the_whole_way_leads_through_every_screen_to_the_debrief(listener, time):
    stages = []
    while (session := session_of(listener)).stage != "debrief":
        stages += [session.stage] if session.stage not in stages else []
        take_step(listener, session, time)
    assert stages == ["sound_check", "background", "practice", "rating", "attribution", "comment"]
    assert session.finished_at is not None
    assert session.comment == "Lovely."
    assert session.participant.background == {"age": "30-44"}
    assert session.sound_check["is_passed"] is True
    assert session.sound_check["device"] == "headphones"
    assert Rating.objects.count() == 1 + 4 + 1 + 1
    assert Judgement.objects.count() == 4


def test_the_present_screen_stays_until_it_is_answered(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    for _ in range(3):
        assert listener.get(HOME).context["page"].trial == trial.public_id


def test_another_browser_knows_nothing_of_the_session(listener):
    assert "I agree" in Client().get(HOME).content.decode()


def test_a_wrong_count_of_tones_is_asked_for_once_more_then_recorded(listener):
    session = session_of(listener)
    wrong = next(n for n in (2, 3, 4) if n != pages.n_test_tones(session))
    fields = {"n_tones": wrong, "device": "built_in", "attempt": 1}
    response = listener.post(f"{HOME}sound-check/", fields)
    assert response.status_code == 422
    assert "not the number" in response.content.decode()
    assert session_of(listener).stage == "sound_check"
    assert listener.post(f"{HOME}sound-check/", fields | {"attempt": 2}).status_code == 302
    assert session_of(listener).sound_check["is_passed"] is False


def test_what_one_listens_with_is_asked_where_the_study_records_it_alone(client, study, time):
    make_study("unasked", headphone_check="no")
    for home, is_asked in ((HOME, True), ("/s/unasked/", False)):
        browser = Client()
        agree(browser, home)
        session = session_of(browser)
        assert ('name="device"' in browser.get(home).content.decode()) is is_asked
        reply = browser.post(f"{home}sound-check/", {"n_tones": pages.n_test_tones(session)})
        assert reply.status_code == (422 if is_asked else 302)
    assert session_of(browser).sound_check["device"] == ""


def test_hearing_nothing_is_answered_with_what_to_check(listener):
    response = listener.post(f"{HOME}sound-check/", {"n_tones": "0", "device": "speakers"}, headers=SCRIPT)
    assert response.status_code == 422
    assert "muted" in response.json()["error"]


def test_the_number_of_tones_is_not_on_the_page(listener):
    page = listener.get(HOME).context["page"]
    session = session_of(listener)
    for seed in (0, 1, 2):
        session.seed = seed
        assert pages.sound_check_page(session) == page


def test_the_background_form_may_be_left_empty(listener, time):
    to_stage(listener, "background", time)
    assert listener.post(f"{HOME}background/", {}).status_code == 302
    assert session_of(listener).participant.background == {}


def test_a_background_answer_that_was_not_offered_is_refused(listener, time):
    to_stage(listener, "background", time)
    assert listener.post(f"{HOME}background/", {"age": "7"}).status_code == 422


def test_a_comment_that_is_too_long_says_how_long(listener, time):
    to_stage(listener, "comment", time)
    response = listener.post(f"{HOME}comment/", {"comment": "x" * 5001})
    assert response.status_code == 422
    assert "At most 5000 characters fit; these are 5001." in response.content.decode()
    assert session_of(listener).stage == "comment"


def test_a_comment_or_background_of_another_tab_that_came_later_is_not_called_saved(listener, time):
    to_stage(listener, "practice", time)
    for age, reply in (("30-44", {"saved": True}), ("60+", {"saved": False, "stands": True})):
        assert listener.post(f"{HOME}background/", {"age": age}, headers=SCRIPT).json() == reply
    to_stage(listener, "debrief", time)
    for comment, reply in (("Lovely.", {"saved": True}), ("Ugly.", {"saved": False, "stands": True})):
        assert listener.post(f"{HOME}comment/", {"comment": comment}, headers=SCRIPT).json() == reply
    assert session_of(listener).comment == "Lovely."


def test_a_finished_listener_sees_the_debrief_again(listener, time):
    to_stage(listener, "debrief", time)
    html = listener.get(HOME).content.decode()
    assert "You have heard and answered everything, and all of it is saved." in html
    assert session_of(listener).participant.withdrawal_code in html


# Rating


def test_a_rating_before_enough_was_heard_is_not_taken(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    address = f"{HOME}trials/{trial.public_id}/rating/"
    response = listener.post(address, {"value": 7}, headers=SCRIPT)
    assert response.status_code == 422
    assert response.json()["seconds_left"] == pytest.approx(0.8 * 3 - 0.25)
    assert "listen 2 s more" in response.json()["error"]
    assert "listen 2 s more" in listener.post(address, {"value": 7}).content.decode()
    assert not Rating.objects.exists()
    assert hear(listener, trial, time).json()["seconds_left"] == 0
    assert listener.post(address, {"value": 7}, headers=SCRIPT).json() == {"saved": True}


@pytest.mark.parametrize("value", ["", "0", "11", "7.5", "-1", "seven", "7\x00", "٧"])
def test_a_rating_is_a_whole_number_from_1_to_10(listener, time, value):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    response = rate(listener, trial, time, value=value, **SCRIPT)
    assert response.status_code == 422
    given = f"a rating is a whole number from 1 to 10, got {value!r}"
    assert response.json()["error"] == (given if value else "Choose a number from 1 to 10 first.")
    assert not Rating.objects.exists()


@pytest.mark.parametrize(
    ("address", "fields", "words"),
    [
        ("sound-check/", {"n_tones": "7", "device": "speakers"}, "one of 2, 3, 4, 0, got '7'"),
        ("sound-check/", {"n_tones": "2", "device": "x" * 500}, "built_in, got 'xxx"),
        ("sound-check/", {"n_tones": "2", "device": "speakers", "attempt": "x"}, "from 1 to 9, got 'x'"),
        ("background/", {"age": "7"}, "one of 18-29, 30-44, 45-59, 60+, got '7'"),
        ("events/", {"page": "!", "events": "[]"}, "8-22 letters"),
        ("events/", {"page": "page-of-test", "events": "[]", "trial": "x" * 30}, "22 characters, got 30"),
        ("events/", {"page": "page-of-test"}, "events must be a JSON list"),
    ],
)
def test_what_cannot_be_taken_is_named_with_what_would_be_right(listener, address, fields, words):
    error = listener.post(HOME + address, fields, headers=SCRIPT).json()["error"]
    assert words in error
    assert len(error) < 120


@pytest.mark.parametrize("milliseconds", ["", "nan", "inf", "-5", "1e99", "soon", "[]"])
def test_a_nonsensical_time_costs_no_answer(listener, time, milliseconds):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    hear(listener, trial, time)
    fields = {"value": 7, "response_time_ms": milliseconds}
    assert listener.post(f"{HOME}trials/{trial.public_id}/rating/", fields).status_code == 302
    assert Rating.objects.get().response_time_ms >= 0


def test_the_first_rating_stands(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    assert rate(listener, trial, time, value=7, **SCRIPT).json() == {"saved": True}
    assert rate(listener, trial, time, value=7, **SCRIPT).json() == {"saved": True}  # a retry
    late = rate(listener, trial, time, value=2, **SCRIPT)
    assert (late.status_code, late.json()) == (409, {"saved": False, "stands": True})
    left_out = listener.post(f"{HOME}trials/{trial.public_id}/skip/", headers=SCRIPT)
    assert left_out.json() == {"saved": False, "stands": True}
    assert Rating.objects.get(trial=trial).value == 7
    assert selectors.current_trial(session_of(listener)).position == trial.position + 1


def test_an_answer_to_an_earlier_page_leads_back_to_the_present_one(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    to_stage(listener, "attribution", time)
    n_ratings = Rating.objects.count()
    assert rate(listener, trial, time, value=1).url == HOME
    for address, fields in [
        ("sound-check/", {"n_tones": 2, "device": "speakers"}),
        ("background/", {"age": "60+"}),
    ]:
        assert listener.post(HOME + address, fields).url == HOME
    session = session_of(listener)
    assert (session.stage, Rating.objects.count()) == ("attribution", n_ratings)
    assert session.participant.background == {"age": "30-44"}
    assert session.sound_check["device"] == "headphones"


def test_an_answer_to_a_later_page_changes_nothing(listener, time):
    session = to_stage(listener, "rating", time)
    later = selectors.next_trial(session)
    n_ratings = Rating.objects.count()
    response = rate(listener, later, time, **SCRIPT)
    assert (response.status_code, response.json()) == (409, {"saved": False})
    assert rate(listener, later, time).url == HOME
    assert judge(listener, later).url == HOME
    assert listener.post(f"{HOME}comment/", {"comment": "early"}).url == HOME
    assert listener.post(f"{HOME}trials/{later.public_id}/skip/").url == HOME
    session = session_of(listener)
    assert (Rating.objects.count(), Judgement.objects.count(), session.comment) == (n_ratings, 0, "")
    assert Trial.objects.get(pk=later.pk).skipped_at is None


def test_nobody_answers_for_somebody_else(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    other = Client()
    agree(other)
    assert other.post(f"{HOME}trials/{trial.public_id}/rating/", {"value": 1}).status_code == 404
    assert other.post(f"{HOME}trials/{trial.public_id}/skip/").status_code == 404
    hear(other, trial, time)
    assert not Event.objects.filter(trial=trial).exists()


def test_a_session_of_one_study_is_nobody_in_another(listener, time):
    make_study("other-pieces")
    other = Client()
    other.cookies["listener"] = listener.cookies["listener"].value
    assert "I agree" in other.get("/s/other-pieces/").content.decode()


def test_a_piece_whose_sound_does_not_play_is_left_out_without_harm(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    response = listener.post(f"{HOME}trials/{trial.public_id}/skip/", {"reason": "media error 4"})
    assert response.url == HOME
    trial.refresh_from_db()
    assert trial.skipped_at is not None
    assert trial.skip_reason == "media error 4"
    to_stage(listener, "debrief", time)
    n_revealed = len(listener.get(HOME).context["page"].pieces)
    assert n_revealed == (3 if trial.kind == "main" else 4)


# Human or machine


def test_the_two_buttons_stand_in_the_order_of_the_session(listener, time):
    session = to_stage(listener, "attribution", time)
    for machine_first, order in ((False, ["human", "machine"]), (True, ["machine", "human"])):
        Session.objects.filter(pk=session.pk).update(machine_first=machine_first)
        html = listener.get(HOME).content.decode()
        assert re.findall(r'name="attribution" value="(\w+)"', html) == order


def test_a_judgement_is_kept_with_confidence_and_familiarity(listener, time):
    trial = selectors.current_trial(to_stage(listener, "attribution", time))
    hear(listener, trial, time)
    judge(listener, trial, attribution="human", confidence=4, familiarity="known")
    judge(listener, trial, attribution="machine", confidence=1, familiarity="new")
    address = f"{HOME}trials/{trial.public_id}/judgement/"
    same = {"attribution": "human", "confidence": 4, "familiarity": "known"}
    assert listener.post(address, same, headers=SCRIPT).json() == {"saved": True}
    other = listener.post(address, same | {"confidence": 3}, headers=SCRIPT)
    assert (other.status_code, other.json()) == (409, {"saved": False, "stands": True})
    judgement = Judgement.objects.get()
    assert (judgement.judged_human, judgement.confidence, judgement.familiarity) == (True, 4, "known")


def test_a_judgement_before_the_piece_was_heard_again_is_not_taken(listener, time):
    trial = selectors.current_trial(to_stage(listener, "attribution", time))
    response = listener.get(HOME)
    assert response.context["page"].seconds_to_hear == pytest.approx(2.75)
    assert 'data-seconds-to-hear="2.75"' in response.content.decode()
    assert "memory" not in response.content.decode()
    refused = judge(listener, trial)
    assert refused.status_code == 422
    assert "Please listen 3 s more first." in refused.content.decode()
    hear(listener, trial, time, seconds=2.0)
    assert listener.get(HOME).context["page"].seconds_to_hear == pytest.approx(0.75)
    assert hear(listener, trial, time).json()["seconds_left"] == 0
    assert judge(listener, trial).url == HOME
    assert Judgement.objects.get().listened_seconds == 3


@pytest.mark.parametrize(
    "changes", [{"attribution": ""}, {"confidence": ""}, {"confidence": 5}, {"familiarity": "often"}]
)
def test_a_judgement_needs_every_answer_that_is_asked(listener, time, changes):
    trial = selectors.current_trial(to_stage(listener, "attribution", time))
    assert judge(listener, trial, **changes).status_code == 422
    assert not Judgement.objects.exists()


def test_what_the_study_does_not_ask_is_neither_shown_nor_needed(client, time):
    study = make_study()
    study.design["ask"] |= {"confidence": False, "familiarity": False}
    study.save()
    agree(client)
    trial = selectors.current_trial(to_stage(client, "attribution", time))
    html = client.get(HOME).content.decode()
    assert "confidence" not in html
    assert "familiarity" not in html
    fields = {"attribution": "human"}
    hear(client, trial, time)
    assert client.post(f"{HOME}trials/{trial.public_id}/judgement/", fields).status_code == 302
    assert Judgement.objects.get().confidence is None


# Sound


def test_only_the_present_and_the_next_sound_are_served(listener, time):
    session = to_stage(listener, "rating", time)
    near = {selectors.current_trial(session).pk, selectors.next_trial(session).pk}
    for trial in session.trials.all():
        assert sound_of(listener, trial).status_code == (200 if trial.pk in near else 404)


def test_in_the_second_pass_its_own_order_counts(listener, time):
    session = to_stage(listener, "attribution", time)
    served = {trial.pk for trial in session.trials.all() if sound_of(listener, trial).status_code == 200}
    assert served == {selectors.current_trial(session).pk, selectors.next_trial(session).pk}


def test_before_practice_no_piece_is_served(listener):
    session = session_of(listener)
    assert {sound_of(listener, trial).status_code for trial in session.trials.all()} == {404}


def test_after_the_debrief_the_pieces_can_be_heard_again(listener, time):
    session = to_stage(listener, "debrief", time)
    for trial in session.trials.all():
        assert sound_of(listener, trial).status_code == (200 if trial.kind == "main" else 404)


def test_nobody_hears_the_trials_of_somebody_else(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    other = Client()
    assert sound_of(other, trial).status_code == 404
    agree(other)
    to_stage(other, "rating", time)
    assert sound_of(other, trial).status_code == 404


def test_a_sound_is_the_stimulus_whole_or_in_part(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    sound = trial.item.stimulus.mp3_file.read_bytes()
    assert b"".join(sound_of(listener, trial)) == sound
    part = sound_of(listener, trial, Range="bytes=100-199")
    assert (part.status_code, b"".join(part)) == (206, sound[100:200])
    assert sound_of(listener, trial, Range=f"bytes={len(sound)}-").status_code == 416


def test_a_lost_sound_file_is_not_found(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    trial.item.stimulus.mp3_file.unlink()
    assert sound_of(listener, trial).status_code == 404


def test_the_test_sound_is_for_listeners(listener):
    assert listener.get(f"{HOME}sound-check/sound/")["Content-Type"] == "audio/mpeg"
    assert Client().get(f"{HOME}sound-check/sound/").status_code == 404


# Blindness


def walk(client, time):
    """Every reply that a listener's browser gets on the way, up to the last screen before the debrief."""
    yield client.get(HOME)
    yield agree(client)
    while (session := session_of(client)).stage != "debrief":
        yield client.get(HOME)
        trial = selectors.current_trial(session)
        if trial is None:
            yield client.get(f"{HOME}sound-check/sound/")
        else:
            for near in filter(None, (trial, selectors.next_trial(session))):
                yield sound_of(client, near)
            yield hear(client, trial, time)
            yield client.post(f"{HOME}trials/{trial.public_id}/rating/", {"value": 0}, headers=SCRIPT)
        yield client.get(f"{HOME}withdraw/")
        if session.stage == "comment":
            return
        take_step(client, session, time)


def is_sound(response):
    return response["Content-Type"] == "audio/mpeg"


def test_nothing_before_the_debrief_names_what_is_heard(client, study, time):
    """The study's names could leak: each is in the database, and the debrief shows those of the pieces."""
    n_replies = 0
    for response in walk(client, time):
        headers = " ".join(f"{name}: {value}" for name, value in response.items())
        body = "" if is_sound(response) else response.content.decode()
        text = f"{headers} {response.cookies.output()} {body}"
        assert not [word for word in BETRAYERS if re.search(rf"\b{word}", text)], response.request[
            "PATH_INFO"
        ]
        assert not re.search(r"stimuli/|\.mp3|[0-9a-f]{32}\.", text)
        n_replies += 1
    assert n_replies > 40
    to_stage(client, "debrief", time)
    html = client.get(HOME).content.decode()
    assert "lament in g" in html
    assert "number 01" in html


def test_no_page_shows_a_number_of_the_database(client, study, time):
    """Rows get numbers that no count on a page reaches; none of them appears."""
    for table in ("participant", "session", "trial", "rating", "judgement", "event"):
        count_on_from(70_000, f"listening_{table}")
    numbers = set()
    for response in walk(client, time):
        if not is_sound(response):
            numbers |= set(re.findall(r"(?<![\w-])7\d{4}(?![\w-])", response.content.decode()))
    assert Trial.objects.order_by("pk").first().pk > 70_000
    assert not numbers


def count_on_from(number, table):
    """Let the rows of a table have higher numbers, on either database."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, number])
        else:
            cursor.execute(f"ALTER SEQUENCE {table}_id_seq RESTART WITH {number + 1}")


def test_a_piece_has_another_address_for_each_listener(study, time):
    addresses = []
    for _ in range(2):
        browser = Client()
        agree(browser)
        session = session_of(browser)
        addresses.append({trial.item_id: trial.public_id for trial in session.trials.exclude(kind="repeat")})
    shared = addresses[0].keys() & addresses[1].keys()
    assert shared
    assert all(addresses[0][item] != addresses[1][item] for item in shared)


def test_all_trials_look_the_same_from_outside(listener, time):
    """Same headers, same length of page: only the position and random names of equal length differ."""
    to_stage(listener, "rating", time)
    shapes, sound_headers = set(), set()
    while (session := session_of(listener)).stage == "rating":
        response = listener.get(HOME)
        page = response.context["page"]
        if page.next_audio_url and not page.is_halfway:
            headers = frozenset((name, value) for name, value in response.items() if name != "Content-Length")
            shapes.add((headers, len(response.content)))
        sound = sound_of(listener, selectors.current_trial(session))
        sound_headers.add(frozenset((name, value) for name, value in sound.items()))
        take_step(listener, session, time)
    assert len(shapes) == 1
    assert len(sound_headers) == 1


@pytest.mark.parametrize(
    "kind", [pages.TrialPage, pages.AttributionPage, pages.SoundCheckPage, pages.LandingPage]
)
def test_a_page_holds_plain_values_only(kind):
    """No model reaches a template, so none can be asked for its condition."""
    plain = {"str", "int", "float", "bool", "tuple[str, ...]", "tuple[tuple[str, str], ...]"}
    assert {field.type for field in dataclasses.fields(kind)} <= plain | {"tuple[tuple[int, str], ...]"}


def test_templates_before_the_debrief_are_given_pages_and_nothing_else(listener, time):
    while (session := session_of(listener)).stage != "debrief":
        context = [part for parts in listener.get(HOME).context for part in parts.dicts]
        kinds = {type(value).__module__ for part in context for value in part.values()}
        assert {kind for kind in kinds if kind.startswith("studies.")} == {"studies.listening.pages"}
        take_step(listener, session, time)


# Headers and markup


def test_every_listener_page_is_never_stored_and_stays_at_home(client, study, time):
    for response in walk(client, time):
        assert response["Cache-Control"] == "private, no-store"
        assert not {"ETag", "Last-Modified", "Content-Disposition"} & set(response.headers)
        if not is_sound(response):
            assert "'unsafe-inline'" not in response["Content-Security-Policy"]
        if response["Content-Type"].startswith("text/html"):
            for _, attributes in Markup(response.content.decode()).elements:
                assert "style" not in attributes
                assert not [name for name in attributes if name.startswith("on")]
                for name in ("src", "href", "action", "data-audio"):
                    value = attributes.get(name) or "/"
                    assert value.startswith(("/s/short-pieces/", "/static/", "#")) or value == "/"


def test_the_first_page_is_light(client, study):
    response = client.get(HOME)
    addresses = {
        attributes.get("src") or attributes.get("href")
        for tag, attributes in Markup(response.content.decode()).elements
        if tag in ("script", "link")
    }
    files = {address.removeprefix("/static/") for address in addresses}
    files |= {"listening/outbox.js", "listening/player.js"}  # imported by the script
    n_bytes = len(response.content) + sum(Path(finders.find(file)).stat().st_size for file in files)
    assert len(files) == 6
    assert n_bytes < 60_000


def test_no_style_or_script_holds_a_word_for_what_is_heard():
    """Not even inside other words: whoever searches all that a browser loads finds nothing."""
    for folder in ("studies/listening/static", "studies/static/earwitness"):
        for file in (ROOT / folder).rglob("*.*"):
            text = file.read_text(encoding="utf-8").lower()
            assert not [word for word in ("real", "generated", "anchor", "scramble") if word in text], file


def test_scripts_import_nothing_but_each_other():
    folder = ROOT / "studies/listening/static/listening"
    for script in folder.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        for imported in re.findall(r'^import .* from "(.*)";', text, flags=re.MULTILINE):
            assert (folder / imported).exists()
        assert "http" not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


# Events


def test_a_batch_of_events_sent_twice_is_kept_once(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    before = Event.objects.count()
    events = [
        {"sequence": 0, "kind": "play", "trial": trial.public_id, "client_ms": 10},
        {"sequence": 1, "kind": "pause", "trial": trial.public_id, "client_ms": 20},
    ]
    assert post_events(listener, events, trial, page="page-0001").json()["recorded"] == 2
    assert post_events(listener, events, trial, page="page-0001").json()["recorded"] == 0
    assert Event.objects.count() == before + 2


@pytest.mark.parametrize("events", ["", "{", "{}", "7", "[" * 5000, '{"a": 1}', '[{"detail": "\\ud800"}]'])
def test_events_that_are_no_list_are_refused_in_one_line(listener, events):
    response = listener.post(f"{HOME}events/", {"page": "page-0001", "events": events})
    assert response.status_code == 422
    assert response.json()["error"]


def test_events_that_make_no_sense_are_dropped_and_the_rest_kept(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    before = Event.objects.count()
    good = {"sequence": 3, "kind": "play", "trial": trial.public_id, "client_ms": 10}
    bad = [None, 7, {}, {"kind": "heard"}, good | {"kind": "bought"}, good | {"sequence": -1}]
    bad += [good | {"client_ms": float("nan")}, good | {"trial": "x" * 22}, good | {"sequence": 1e99}]
    assert post_events(listener, [*bad, good], trial, page="page-0001").json()["recorded"] == 1
    assert Event.objects.count() == before + 1


def test_events_never_say_more_than_how_long_to_listen(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    assert set(hear(listener, trial, time, seconds=1).json()) == {"recorded", "seconds_left"}
    assert set(post_events(listener, []).json()) == {"recorded"}


HOSTILE = [
    "\x00",
    "\ud800".encode("utf-8", "surrogatepass"),
    "x" * 100_000,
    "' OR 1=1 --",
    "<b>",
    "٣",
    "-0",
    "1e999",
    "[]",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:12])
def test_hostile_fields_meet_a_refusal_and_no_crash(listener, time, value):
    session = to_stage(listener, "rating", time)
    trial = selectors.current_trial(session)
    hear(listener, trial, time)
    own = f"{HOME}trials/{trial.public_id}/"
    fields = dict.fromkeys(
        ("value", "attribution", "comment", "age", "n_tones", "device", "code", "sure"), value
    )
    fields |= dict.fromkeys(("page", "trial", "events", "answer", "consent_sha256", "start_key"), value)
    n_ratings = Rating.objects.count()
    for address in [
        *(
            f"{HOME}{name}/"
            for name in ("consent", "sound-check", "background", "comment", "events", "withdraw")
        ),
        *(f"{own}{name}/" for name in ("rating", "judgement")),
    ]:
        assert listener.post(address, fields).status_code in (302, 422)
    assert Rating.objects.count() == n_ratings
    assert Participant.objects.count() == 1


@pytest.mark.parametrize("token", ["x" * 5000, "' OR 1=1 --", "é", "%00"])
def test_a_forged_cookie_is_nobody(study, token):
    browser = Client(headers={"Cookie": f"listener={token}"})
    assert "I agree" in browser.get(HOME).content.decode()
    assert browser.post(f"{HOME}events/", {}).status_code == 410


def test_addresses_take_only_the_methods_they_are_for(listener, time):
    trial = selectors.current_trial(to_stage(listener, "practice", time))
    for name in ("consent", "sound-check", "background", "comment", "events"):
        assert listener.get(f"{HOME}{name}/").status_code == 405
    for name in ("rating", "judgement", "skip"):
        assert listener.get(f"{HOME}trials/{trial.public_id}/{name}/").status_code == 405
    assert listener.post(f"{HOME}trials/{trial.public_id}/sound/").status_code == 405
    assert listener.delete(HOME).status_code == 405


# Lost, closed, withdrawn


def test_an_answer_of_nobody_says_what_may_have_happened(client, study):
    response = client.post(f"{HOME}background/", {"age": "30-44"})
    assert response.status_code == 410
    assert "cookies" in response.content.decode()
    assert client.post(f"{HOME}events/", {}, headers=SCRIPT).json() == {"saved": False}


def test_a_cookie_that_nobody_has_starts_again_and_says_so(client, study):
    client.cookies["listener"] = "nobody-has-this-token-x"
    response = client.get(HOME)
    assert "no longer here" in response.content.decode()
    assert response.cookies["listener"]["max-age"] == 0


def test_a_study_that_closes_lets_those_in_the_middle_finish_for_a_while(listener, time):
    trial = selectors.current_trial(to_stage(listener, "rating", time))
    Study.objects.update(state=Study.State.CLOSED, closed_at=time.time)
    assert rate(listener, trial, time).url == HOME
    assert Rating.objects.filter(trial=trial).exists()
    time.advance(2 * 3600)
    html = listener.get(HOME).content.decode()
    assert "has closed" in html
    assert session_of(listener).participant.withdrawal_code in html
    n_ratings = Rating.objects.count()
    assert rate(listener, selectors.current_trial(session_of(listener)), time).url == HOME
    assert Rating.objects.count() == n_ratings


def test_withdrawing_deletes_every_row_and_leaves_one_line(listener, time):
    session = to_stage(listener, "comment", time)
    other = Client()
    agree(other)
    code = session.participant.withdrawal_code
    assert code in listener.get(f"{HOME}withdraw/").content.decode()
    typed = f" {code.lower().replace('-', ' ')} "
    response = listener.post(f"{HOME}withdraw/", {"code": typed, "sure": "on"})
    assert "Your answers are deleted" in response.content.decode()
    assert 'data-screen="withdrawn"' in response.content.decode()
    assert response.cookies["listener"]["max-age"] == 0
    assert Participant.objects.count() == Session.objects.count() == 1  # the other's
    assert not Rating.objects.exists()
    assert not Event.objects.exists()
    assert Withdrawal.objects.count() == 1
    again = listener.post(f"{HOME}withdraw/", {"code": code, "sure": "on"})
    assert "used already" in again.content.decode()
    assert Withdrawal.objects.count() == 1


def test_withdrawing_works_from_any_browser_and_after_the_study_closed(listener, time):
    code = to_stage(listener, "debrief", time).participant.withdrawal_code
    Study.objects.update(state=Study.State.CLOSED, closed_at=time.time)
    browser = Client()
    assert code not in browser.get(f"{HOME}withdraw/").content.decode()
    browser.post(f"{HOME}withdraw/", {"code": code, "sure": "on"})
    assert not Participant.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"code": "", "sure": "on"}, "Enter your withdrawal code"),
        ({"code": "AAAA-BBBB-CCCC-DDDD", "sure": "on"}, "No answers in this study have this code"),
        ({"code": "<script>", "sure": "on"}, "16 letters and digits"),
        ({"code": "own"}, "Tick the box"),
    ],
)
def test_a_withdrawal_that_is_not_meant_deletes_nothing(listener, fields, words):
    if fields["code"] == "own":
        fields = {"code": session_of(listener).participant.withdrawal_code}
    response = listener.post(f"{HOME}withdraw/", fields)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert "<script>" not in response.content.decode()
    assert Participant.objects.count() == 1


def test_a_withdrawal_after_its_days_says_whom_to_ask(client, time):
    make_study(extra="consent: {contact: ask@example.org, withdraw_days: 7}\n")
    assert "within 7 days" in client.get(HOME).content.decode()
    agree(client)
    code = to_stage(client, "debrief", time).participant.withdrawal_code
    time.advance(8 * 24 * 3600)
    response = client.post(f"{HOME}withdraw/", {"code": code, "sure": "on"})
    assert response.status_code == 422
    assert "ask ask@example.org to delete your answers" in response.content.decode()
    assert Participant.objects.exists()


def test_a_bar_to_go_back_and_forth_with_is_there_where_the_study_has_one(client, time):
    make_study(seek=True)
    make_study("without-it")
    for home, is_there in ((HOME, True), ("/s/without-it/", False)):
        browser = Client()
        agree(browser, home)
        for stage in ("practice", "rating", "attribution"):
            Session.objects.filter(token=browser.cookies["listener"].value).update(stage=stage)
            assert ("data-seek" in browser.get(home).content.decode()) is is_there, stage


def test_an_answer_after_withdrawing_in_another_tab_is_harmless(listener, time):
    session = to_stage(listener, "practice", time)
    trial = selectors.current_trial(session)
    token = listener.cookies["listener"].value
    listener.post(f"{HOME}withdraw/", {"code": session.participant.withdrawal_code, "sure": "on"})
    listener.cookies["listener"] = token  # the other tab's request was on its way
    assert listener.post(f"{HOME}trials/{trial.public_id}/rating/", {"value": 5}).status_code == 410
    assert not Rating.objects.exists()


# The debrief


def test_the_debrief_says_what_was_said_what_was_true_and_what_chance_would_do(listener, time):
    to_stage(listener, "debrief", time)  # everything was called a machine's: two of four are
    response = listener.get(HOME)
    page = response.context["page"]
    verdicts = {piece.title: piece.verdict for piece in page.pieces}
    assert verdicts == {
        "lament in g": "wrong",
        "gigue in d": "wrong",
        "number 01": "right",
        "number 02": "right",
    }
    assert (page.chance.n_right, page.chance.n_judged, page.chance.expected) == (2, 4, "2")
    assert {piece.rating for piece in page.pieces} == {7}


def test_the_debrief_reveals_no_piece_that_was_left_out(listener, time):
    """Somebody who skips through a study in a second learns nothing about it."""
    session = to_stage(listener, "practice", time)
    while (trial := selectors.current_trial(session_of(listener))) is not None:
        assert listener.post(f"{HOME}trials/{trial.public_id}/skip/").status_code == 302
    listener.post(f"{HOME}comment/", {"comment": ""})
    html = listener.get(HOME).content.decode()
    assert "You rated none of the pieces." in html
    assert "all of it is saved" not in html
    pieces = Piece.objects.values_list("name", flat=True)
    assert not [name for name in pieces if name.replace("_", " ") in html]
    assert {sound_of(listener, trial).status_code for trial in session.trials.all()} == {404}


def test_the_debrief_reveals_the_pieces_that_were_rated(listener, time):
    session = to_stage(listener, "rating", time)
    first = selectors.current_trial(session)
    rate(listener, first, time)
    while (trial := selectors.current_trial(session_of(listener))) is not None:
        assert listener.post(f"{HOME}trials/{trial.public_id}/skip/").status_code == 302
    listener.post(f"{HOME}comment/", {"comment": ""})
    revealed = listener.get(HOME).context["page"].pieces
    assert [(piece.position, piece.rating) for piece in revealed] == [(1, 7)]
    html = listener.get(HOME).content.decode()
    assert "You rated 1 of 4 pieces, and all that you answered is saved." in html
    assert "answered everything" not in html


@pytest.mark.parametrize(("n", "lowest"), [(1, 0), (4, 0), (6, 1), (10, 2), (12, 3), (20, 6), (100, 40)])
def test_the_band_of_chance_holds_95_of_100_coin_tossers(n, lowest):
    """Against scipy's binomial: the band holds enough, and one narrower would not."""
    from scipy.stats import binom

    chance = pages.chance_of(n // 2, n)
    assert (chance.lowest, chance.highest) == (lowest, n - lowest)
    holds = binom.cdf(n - lowest, n, 0.5) - binom.cdf(lowest - 1, n, 0.5)
    narrower = binom.cdf(n - lowest - 1, n, 0.5) - binom.cdf(lowest, n, 0.5)
    assert narrower < 0.95 <= holds + 1e-12
    assert 0 <= chance.band_x <= chance.band_x + chance.band_width <= 100


def test_there_is_no_chance_without_judgements():
    assert pages.chance_of(0, 0) is None
