"""Whole visits of a listener in a real browser: the sound plays, and what is answered is kept."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from studies.listening import pages, selectors, services
from studies.listening.models import Event, Judgement, Participant, Rating, Session, Trial
from tests.studies.listening.audible_study import make_study

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOME = "/s/short-pieces/"
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
TONES = {2: "Two", 3: "Three", 4: "Four"}
SECONDS_PLAYED = "() => document.querySelector('audio').currentTime"


@pytest.fixture
def study(live_server):
    return make_study(trials=2, repeats=1, practice=1, attention_checks=1, seconds=2.0)


@pytest.fixture
def listener_at(study, live_server, new_page):
    """Opens a browser whose listener stands at a stage; gives the page and the session."""

    def open_at(stage, **options):
        session = services.start_session(study=study, consent_sha256=selectors.consent_text(study)[1])
        answered = {"sound_check": [], "practice": [], "rating": ["practice"]}.get(stage, Trial.Kind.values)
        for trial in session.trials.filter(kind__in=answered):
            Rating.objects.create(trial=trial, value=5, response_time_ms=3000, listened_seconds=2)
        Session.objects.filter(pk=session.pk).update(stage=stage)
        session.refresh_from_db()
        page = new_page(**(options or DESKTOP))
        page.context.add_cookies(
            [{"name": "listener", "value": session.token, "url": live_server.url + HOME, "httpOnly": True}]
        )
        page.goto(live_server.url + HOME)
        return page, session

    return open_at


def play(page):
    page.locator("[data-sound]").click()


def play_in_vain(page):
    """Press Play and wait until this very press has failed: until then, another press would mean pause."""
    play(page)  # a press forgets the error of the press before it
    page.wait_for_function("() => document.querySelector('audio').error !== null")
    expect(page.locator("#note")).to_have_text(re.compile("The sound does not play"))
    expect(page.locator("[data-sound] .word")).to_have_text("Play")


def hear_enough(page):
    play(page)
    expect(page.get_by_label("7", exact=True)).to_be_enabled()


def rate(page, value):
    """Choose and go on; the present screen is then another."""
    heading = page.locator("h1").inner_text()
    page.get_by_label(str(value), exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("h1")).not_to_have_text(heading)


def heading_of(page):
    return page.locator("h1").inner_text()


def assert_accessible(page):
    """No violation that axe knows of, in what is on the screen now."""
    report = Axe().run(page)
    assert report.violations_count == 0, f"{heading_of(page)}: {report.generate_report()}"


def assert_fits(page):
    """Nothing wider than the screen."""
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


# The whole way


def test_a_listener_goes_from_consent_to_debrief_with_sound(study, live_server, new_page):
    page = new_page(**PHONE)
    addresses, complaints = set(), []
    page.on("request", lambda request: addresses.add(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def look():
        assert_accessible(page)
        assert_fits(page)

    page.goto(live_server.url + HOME)
    look()
    page.get_by_role("button", name="I agree").click()

    expect(page.locator("h1")).to_have_text("Sound check")
    look()
    page.get_by_role("button", name="Play test sound").click()
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.2")
    session = Session.objects.get()
    page.get_by_label(TONES[pages.n_test_tones(session)], exact=True).check()
    page.get_by_label("Headphones or earphones").check()
    page.get_by_role("button", name="Next").click()

    expect(page.locator("h1")).to_have_text("About you")
    look()
    page.get_by_label("30 to 44").check()
    page.get_by_role("button", name="Next").click()

    for number, heading in enumerate(["Practice 1 of 1", *(f"Piece {n} of 4" for n in range(1, 5))]):
        expect(page.locator("h1")).to_have_text(heading)
        expect(page.get_by_label("7", exact=True)).to_be_disabled()
        expect(page.locator("#note")).to_have_text("Press Play. You can answer after 2\N{NO-BREAK SPACE}s.")
        if number == 1:
            look()
        play(page)
        page.wait_for_function(f"{SECONDS_PLAYED} > 0.3")
        expect(page.locator("#note")).to_have_text(re.compile(r"Listen \d\ss more, then choose\."))
        expect(page.get_by_label("7", exact=True)).to_be_enabled()
        expect(page.locator("[data-live]")).to_have_text("You can answer now.")
        if number == 1:
            look()
        rate(page, number + 2)
    assert list(Rating.objects.order_by("trial__position").values_list("value", flat=True)) == [2, 3, 4, 5, 6]
    assert min(Rating.objects.values_list("listened_seconds", flat=True)) >= 0.8 * 2 - 0.25
    assert min(Rating.objects.values_list("response_time_ms", flat=True)) > 1000

    for number in (1, 2):
        expect(page.locator("h1")).to_have_text(f"Second hearing {number} of 2")
        expect(page.get_by_label("Fairly sure")).to_be_hidden()
        expect(page.get_by_label("A machine")).to_be_disabled()
        expect(page.locator("#note")).to_have_text("Press Play. You can answer after 2\N{NO-BREAK SPACE}s.")
        if number == 1:
            look()
        play(page)
        page.wait_for_function(f"{SECONDS_PLAYED} > 0.3")
        expect(page.locator("#note")).to_have_text(re.compile(r"Listen [12]\ss more, then choose\."))
        expect(page.get_by_label("A machine")).to_be_enabled()
        page.get_by_label("A machine").check()
        expect(page.get_by_label("I know it")).to_be_hidden()
        page.get_by_label("Fairly sure").check()
        page.get_by_label("It sounds familiar").check()
        look()
        page.get_by_role("button", name="Next").click()
    expect(page.locator("h1")).to_have_text("Anything you would like to say?")
    look()
    page.get_by_label("Your comment").fill("The second one was lovely.")
    page.get_by_role("button", name="Finish").click()

    expect(page.locator("h1")).to_have_text("Thank you")
    look()
    session.refresh_from_db()
    assert session.comment == "The second one was lovely."
    assert set(Judgement.objects.values_list("judged_human", "confidence", "familiarity")) == {
        (False, 3, "familiar")
    }
    page.get_by_role("button", name=re.compile("^Play ")).first.click()
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.2")
    page.get_by_role("link", name="withdrawal page").click()
    look()
    page.get_by_label("Yes, delete everything I said.").check()
    page.get_by_role("button", name="Delete my answers").click()
    expect(page.locator("h1")).to_have_text("Your answers are deleted")
    look()
    assert not Participant.objects.exists()
    assert not complaints
    assert {address for address in addresses if not address.startswith(("blob:", live_server.url))} == set()


def test_every_screen_is_accessible_in_the_dark_on_a_wide_screen(listener_at):
    page, session = listener_at("sound_check", **DESKTOP, color_scheme="dark")
    for stage in Session.Stage.values:
        if stage == "attribution":
            for trial in session.trials.all():
                Rating.objects.create(trial=trial, value=5, response_time_ms=3000, listened_seconds=2)
        Session.objects.filter(pk=session.pk).update(stage=stage)
        page.reload()
        assert_accessible(page)
        assert_fits(page)
    assert heading_of(page) == "Thank you"


def test_declining_leads_to_thanks_and_keeps_nothing(study, live_server, new_page):
    page = new_page(**PHONE)
    page.goto(live_server.url + HOME)
    page.get_by_role("button", name="I decline").click()
    expect(page.locator("h1")).to_have_text("Thank you for considering it")
    assert_accessible(page)
    assert not Participant.objects.exists()
    assert page.context.cookies() == []


def test_a_trial_is_answered_with_the_keyboard_alone(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    assert page.evaluate("() => document.activeElement.tagName") == "H1"
    page.keyboard.press("7")  # still locked
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_have_text(re.compile("Listen"))
    page.keyboard.press("Space")
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.3")
    page.keyboard.press("Space")
    assert page.evaluate("() => document.querySelector('audio').paused")
    page.keyboard.press("Space")
    expect(page.get_by_label("7", exact=True)).to_be_enabled()
    page.keyboard.press("0")
    expect(page.get_by_label("10", exact=True)).to_be_checked()
    page.keyboard.press("4")
    expect(page.get_by_label("4", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    assert Rating.objects.get(trial=trial).value == 5
    assert page.evaluate("() => document.activeElement.tagName") == "H1"


def test_the_second_pass_is_answered_with_the_keyboard_alone(listener_at):
    page, session = listener_at("attribution")
    page.keyboard.press("2")  # still locked
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_have_text(re.compile("Listen"))
    page.keyboard.press("Space")
    expect(page.get_by_label("A machine")).to_be_enabled()
    for key in ("2", "4", "1", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("h1")).to_have_text("Second hearing 2 of 2")
    judgement = Judgement.objects.get()
    assert (judgement.judged_human, judgement.confidence) == (session.machine_first, 4)
    assert judgement.familiarity == "new"
    assert judgement.listened_seconds >= 2 - 0.25


# Nothing is lost


def test_an_answer_given_without_a_network_is_kept_and_sent_later(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    hear_enough(page)
    page.context.set_offline(True)
    page.get_by_label("9", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    assert not Rating.objects.filter(trial=trial).exists()
    page.context.set_offline(False)
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    assert Rating.objects.get(trial=trial).value == 9


def test_an_answer_that_waits_survives_a_reload(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    hear_enough(page)
    page.route("**/rating/", lambda route: route.abort())
    page.get_by_label("9", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    page.reload()
    expect(page.get_by_label("9", exact=True)).to_be_checked()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    page.unroute("**/rating/")
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    assert Rating.objects.get(trial=trial).value == 9


def test_a_piece_left_out_without_a_network_is_left_out_after_a_reload(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    page.route("**/skip/", lambda route: route.abort())
    page.get_by_text("Something is wrong").click()
    page.get_by_role("button", name="Leave this piece out").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    page.reload()
    page.unroute("**/skip/")
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    trial.refresh_from_db()
    assert trial.skip_reason == "the listener said so"


def test_going_on_without_an_answer_says_what_is_missing(listener_at):
    page, _ = listener_at("rating")
    hear_enough(page)
    page.keyboard.press("Tab")
    page.locator("h1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_have_text("Choose an answer first.")
    expect(page.get_by_label("1", exact=True)).to_be_focused()
    page.keyboard.press("8")
    expect(page.locator("#note")).to_have_text("")


def test_what_was_heard_without_a_network_counts_later(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    page.wait_for_function("() => document.querySelector('audio').readyState === 4")
    page.context.set_offline(True)
    hear_enough(page)
    page.get_by_label("3", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    page.context.set_offline(False)
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    assert Rating.objects.get(trial=trial).listened_seconds >= 0.8 * 2 - 0.25


def test_saved_is_said_only_after_the_server(listener_at):
    page, _ = listener_at("rating")
    hear_enough(page)
    answers = []
    page.route("**/rating/", lambda route: answers.append(route))
    page.get_by_label("9", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Saving")
    page.wait_for_timeout(300)
    assert page.locator(".saved").inner_text() == "Saving"
    answers[0].continue_()
    expect(page.locator(".saved")).to_have_text("Saved")
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")


def test_a_double_click_answers_one_trial_once(listener_at):
    page, _ = listener_at("rating")
    n_ratings = Rating.objects.count()
    hear_enough(page)
    page.get_by_label("6", exact=True).check()
    page.get_by_role("button", name="Next").dblclick()
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    page.wait_for_timeout(500)
    assert heading_of(page) == "Piece 2 of 4"
    assert Rating.objects.count() == n_ratings + 1


def test_reloading_and_going_back_show_the_present_trial(listener_at, live_server):
    page, session = listener_at("rating")
    hear_enough(page)
    rate(page, 6)
    page.reload()
    assert heading_of(page) == "Piece 2 of 4"
    page.goto(f"{live_server.url}{HOME}withdraw/")
    page.go_back()
    assert heading_of(page) == "Piece 2 of 4"
    assert selectors.current_trial(session).position == 3


def test_a_second_tab_cannot_answer_what_the_first_has_answered(listener_at, live_server):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    other = page.context.new_page()
    other.goto(live_server.url + HOME)
    hear_enough(page)
    rate(page, 6)
    hear_enough(other)
    other.get_by_label("1", exact=True).check()
    other.get_by_role("button", name="Next").click()
    expect(other.locator(".saved")).to_have_text("Your first answer stands.")
    expect(other.locator("h1")).to_have_text("Piece 2 of 4")
    assert heading_of(other) == "Piece 2 of 4"
    assert Rating.objects.get(trial=trial).value == 6


def test_going_forth_with_the_bar_unlocks_nothing_and_going_back_is_heard(live_server, new_page):
    study = make_study(trials=2, repeats=1, practice=0, attention_checks=1, seconds=3.0, seek=True)
    session = services.start_session(study=study, consent_sha256=selectors.consent_text(study)[1])
    Session.objects.filter(pk=session.pk).update(stage="rating")
    session.refresh_from_db()
    trial = selectors.current_trial(session)
    page = new_page(**PHONE)
    page.context.add_cookies(
        [{"name": "listener", "value": session.token, "url": live_server.url + HOME, "httpOnly": True}]
    )
    page.goto(live_server.url + HOME)
    page.wait_for_function("() => document.querySelector('audio').readyState === 4")
    bar = page.get_by_role("slider", name="Place in the piece")
    assert_accessible(page)
    assert_fits(page)
    bar.fill("80")
    play(page)
    expect(page.locator("[data-sound] .word")).to_have_text("Play again")
    assert float(bar.input_value()) == 100
    expect(page.get_by_label("7", exact=True)).to_be_disabled()
    bar.fill("0")
    hear_enough(page)
    rate(page, 7)
    assert Rating.objects.get(trial=trial).listened_seconds >= 0.8 * 3 - 0.25
    assert Event.objects.filter(trial=trial, kind="seek").count() >= 2


@pytest.mark.parametrize("of_the_other", ["skip", "rating"])
def test_an_answer_of_another_tab_does_not_replace_one_that_is_kept(listener_at, live_server, of_the_other):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    other = page.context.new_page()
    other.goto(live_server.url + HOME)
    if of_the_other == "rating":
        hear_enough(other)
    hear_enough(page)
    page.context.set_offline(True)
    page.get_by_label("9", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    if of_the_other == "skip":
        other.get_by_text("Something is wrong").click()
        other.get_by_role("button", name="Leave this piece out").click()
        expect(other.locator(".saved")).to_have_text("Kept on this device, trying again.")
    else:
        other.get_by_label("1", exact=True).check()
        other.get_by_role("button", name="Next").click()
        expect(other.locator(".saved")).to_have_text("Your first answer stands.")
    other.wait_for_timeout(300)
    page.context.set_offline(False)
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    assert Rating.objects.get(trial=trial).value == 9
    trial.refresh_from_db()
    assert trial.skipped_at is None


def test_a_browser_without_the_newest_timers_answers_like_any_other(listener_at):
    """AbortSignal.timeout is missing before Safari 16 and Firefox 100."""
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    page.add_init_script("delete AbortSignal.timeout")
    page.reload()
    assert page.evaluate("() => AbortSignal.timeout === undefined")
    hear_enough(page)
    rate(page, 4)
    assert Rating.objects.get(trial=trial).value == 4


def test_a_page_whose_script_fails_half_way_says_so_and_its_form_still_works(listener_at):
    page, session = listener_at("sound_check")
    page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', { get() { throw new Error('planted'); } })"
    )
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Something on this page broke")
    page.get_by_label(TONES[pages.n_test_tones(session)]).check()
    page.get_by_label("Headphones").check()
    page.get_by_role("button", name="Next").click()
    page.wait_for_load_state()
    session.refresh_from_db()
    assert session.stage == "background"
    assert session.sound_check["is_passed"] is True


def test_a_script_that_never_comes_is_said_without_moving_anything(listener_at):
    page, _ = listener_at("rating", **PHONE)
    words = page.locator(".loading")
    expect(words).to_have_count(0)
    box = page.get_by_role("button", name="Next").bounding_box()
    page.route("**/outbox*.js", lambda route: route.abort())
    page.reload()
    expect(words).to_be_visible()
    expect(words).to_have_text("The page is still loading. If this stays, reload it.")
    assert page.get_by_role("button", name="Next").bounding_box() == box
    assert_accessible(page)


def test_withdrawing_leaves_nothing_of_the_study_on_the_device(listener_at, live_server):
    page, _ = listener_at("rating")
    page.route("**/events/", lambda route: route.abort())
    page.route("**/rating/", lambda route: route.abort())
    play(page)
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.3")
    page.evaluate("() => localStorage.setItem('of another study', '1')")
    page.goto(f"{live_server.url}{HOME}withdraw/")
    keys = "() => Object.keys(localStorage)"
    assert len(page.evaluate(keys)) > 1
    page.get_by_label("Yes, delete everything I said.").check()
    page.get_by_role("button", name="Delete my answers").click()
    expect(page.locator("h1")).to_have_text("Your answers are deleted")
    page.wait_for_function("() => Object.keys(localStorage).length === 1")
    assert page.evaluate(keys) == ["of another study"]


def test_the_withdrawal_code_can_be_copied_after_agreeing(listener_at):
    page, session = listener_at("sound_check")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == session.participant.withdrawal_code


# Listening


def test_jumping_ahead_does_not_open_the_rating(listener_at):
    page, session = listener_at("rating")
    play(page)
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.2")
    page.evaluate("() => { document.querySelector('audio').currentTime = 1.8; }")
    expect(page.locator(".play .word")).to_have_text("Play again")
    expect(page.get_by_label("7", exact=True)).to_be_disabled()
    assert selectors.seconds_left_to_hear(selectors.current_trial(session)) > 0.5
    expect(page.locator("#note")).to_have_text(re.compile(r"Listen [12]\ss more"))
    hear_enough(page)


def test_a_piece_heard_to_its_end_can_be_played_again(listener_at):
    page, _ = listener_at("rating")
    play(page)
    expect(page.locator(".play .word")).to_have_text("Play again")
    assert page.locator(".filled").get_attribute("stroke-dasharray") == "100.00 200"
    play(page)
    page.wait_for_function(f"{SECONDS_PLAYED} > 0.2 && document.querySelector('audio').currentTime < 1.5")
    kinds = list(Event.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds.count("ended") == 1


def test_the_next_piece_is_there_before_it_is_wanted(listener_at):
    page, _ = listener_at("rating")
    with page.expect_response(lambda response: "sound" in response.url and response.status == 200):
        play(page)
    expect(page.get_by_label("7", exact=True)).to_be_enabled()
    rate(page, 5)
    assert page.evaluate("() => document.querySelector('audio').src").startswith("blob:")
    hear_enough(page)


def test_a_sound_that_does_not_play_can_be_left_out(listener_at):
    page, session = listener_at("rating")
    trial = selectors.current_trial(session)
    page.route("**/sound/", lambda route: route.abort())
    page.reload()
    play_in_vain(page)
    assert_accessible(page)
    page.unroute("**/sound/")
    page.get_by_role("button", name="Leave this piece out").click()
    expect(page.locator("h1")).to_have_text("Piece 2 of 4")
    trial.refresh_from_db()
    assert trial.skipped_at is not None
    assert trial.skip_reason == "the page saw it fail"
    hear_enough(page)


def test_a_sound_that_fails_while_it_is_to_play_plays_on_the_next_press(listener_at):
    """The press comes while the sound still loads, and the loading then fails."""
    page, _ = listener_at("rating")
    held = []
    page.route("**/sound/", lambda route: held.append(route))
    page.reload()
    play(page)
    expect(page.locator("[data-sound] .word")).to_have_text(re.compile("Load"))
    for route in held:
        route.abort()
    expect(page.locator("#note")).to_have_text(re.compile("The sound does not play"))
    page.unroute("**/sound/")
    hear_enough(page)


def test_a_sound_that_failed_once_plays_on_the_second_press(listener_at):
    page, _ = listener_at("rating")
    page.route("**/sound/", lambda route: route.abort())
    page.reload()
    play_in_vain(page)
    page.unroute("**/sound/")
    hear_enough(page)


# On any screen


@pytest.mark.parametrize(("width", "n_rows"), [(320, 2), (399, 2), (600, 1), (1280, 1)])
def test_the_ten_buttons_are_equal_and_large_enough(listener_at, width, n_rows):
    page, _ = listener_at("rating", viewport={"width": width, "height": 700})
    boxes = [page.get_by_label(str(value), exact=True).bounding_box() for value in range(1, 11)]
    assert all(box["width"] >= 44 and box["height"] >= 44 for box in boxes)
    assert max(box["width"] for box in boxes) - min(box["width"] for box in boxes) < 1
    assert len({round(box["y"]) for box in boxes}) == n_rows
    assert_fits(page)


def test_next_stays_within_reach_on_a_phone(listener_at):
    page, _ = listener_at("practice", **PHONE)
    box = page.get_by_role("button", name="Next").bounding_box()
    assert box["y"] + box["height"] <= 640
    assert box["height"] >= 44


SMALLEST = {"viewport": {"width": 320, "height": 568}, "has_touch": True, "is_mobile": True}
HIDDEN_UNDER_THE_BAR = """() => {
  const top = Math.min(innerHeight, document.querySelector(".actions").getBoundingClientRect().top);
  return [...document.querySelectorAll("[data-sound], .choice, .end, legend")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().bottom > top + 0.5)
    .map((one) => one.textContent.trim());
}"""


@pytest.mark.parametrize("stage", ["practice", "rating"])
def test_a_whole_trial_fits_on_the_smallest_phone(listener_at, stage):
    page, _ = listener_at(stage, **SMALLEST)
    assert page.evaluate(HIDDEN_UNDER_THE_BAR) == []
    next_button = page.get_by_role("button", name="Next").bounding_box()
    assert next_button["y"] + next_button["height"] <= 568
    play(page)
    expect(page.get_by_label("7", exact=True)).to_be_enabled()
    assert page.evaluate(HIDDEN_UNDER_THE_BAR) == []


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_each_question_of_the_second_pass_comes_into_view_on_the_smallest_phone(listener_at, motion):
    page, _ = listener_at("attribution", **SMALLEST, reduced_motion=motion)
    play(page)
    for answer in ("A machine", "Fairly sure"):
        page.get_by_label(answer).check()
        if motion == "no-preference":  # it glides there
            page.wait_for_function(f"() => ({HIDDEN_UNDER_THE_BAR})().length === 0")
        assert page.evaluate(HIDDEN_UNDER_THE_BAR) == []


def test_large_text_breaks_nothing(listener_at):
    """Twice as large text on a phone of 375 px: as a reader's own setting makes it."""
    page, _ = listener_at("rating", viewport={"width": 375, "height": 700})
    page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    assert_fits(page)
