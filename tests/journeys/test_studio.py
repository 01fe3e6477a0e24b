"""A researcher's visit in a real Chromium: signs in, reads every page, sees plots, hears a copy."""

import io
import json
import re

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from django.urls import reverse

from studies.catalog.models import Piece
from tests.studies.dashboards.studio_rows import Rows

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "notes-on-the-engine"
WIDTHS = (1280, 768, 320)


def tone(seconds: float = 40.0) -> bytes:
    """A real MP3 with a soft tone in it."""
    time = np.arange(int(44_100 * seconds)) / 44_100
    mono = 0.1 * np.sin(2 * np.pi * 330 * time)
    sound = io.BytesIO()
    soundfile.write(sound, np.column_stack([mono, mono]), 44_100, format="MP3")
    return sound.getvalue()


@pytest.fixture
def rows(db):
    """A studio with something on every page."""
    get_user_model().objects.create_user("ada", password=PASSWORD)
    rows = Rows()
    model = rows.model("deep", corpus=rows.corpus())
    model.folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "update": 25 * n,
            "stage": "training",
            "losses": {"model": 3 / n},
            "figures": {"train": {"loss": 3 / n}, "validation": {"loss": 1 + 3 / n}},
        }
        for n in range(1, 9)
    ]
    (model.folder / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows.study("heard", title="Heard to the end", state="closed", unblinded=True, listeners=8)
    rows.study("blind", title="Closed and blind", state="closed", listeners=5)
    rows.study("running", title="Running", listeners=3)
    rows.study("pretend", title="Pretend", state="closed", unblinded=True, listeners=5, is_simulated=True)
    rows.report_pk = rows.report().pk
    rows.stimulus(Piece.objects.get(name="chorale-0"), seconds=40.0, mp3=tone())
    return rows


def addresses(rows) -> list[str]:
    pieces = Piece.objects.filter(name__in=["chorale-0", "1"])
    return [
        *(
            reverse(f"dashboards:{name}")
            for name in ("studies", "library", "models", "corpora", "originality")
        ),
        *(reverse("dashboards:study", args=[slug]) for slug in ("heard", "blind", "running", "pretend")),
        *(reverse("dashboards:results", args=[slug]) for slug in ("heard", "blind", "running", "pretend")),
        reverse("dashboards:ratings", args=["heard"]),
        reverse("dashboards:plan"),
        reverse("dashboards:close", args=["running"]),
        reverse("dashboards:unblind", args=["blind"]),
        reverse("dashboards:model", args=["deep"]),
        reverse("dashboards:corpus", args=["chorales"]),
        *(reverse("dashboards:piece", args=[piece.public_id]) for piece in pieces),
        reverse("dashboards:report", args=[rows.report_pk]),
        reverse("dashboards:pair", args=[rows.report_pk, "overlap", 0]),
        reverse("dashboards:pair", args=[rows.report_pk, "melody", 0]),
    ]


def sign_in(page, live_server) -> list[str]:
    """Sign in through the door, and collect everything that the browser complains of from now on."""
    complaints = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "response", lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 400 else None
    )
    page.goto(live_server.url + "/studio/")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Studies", level=1).wait_for()
    return complaints


def settle(page) -> None:
    """Wait until all plots of the page are drawn and its images are there."""
    page.wait_for_function("() => !document.querySelector('[data-figure]:not(:has(svg.main-svg .trace))')")
    page.wait_for_load_state("networkidle")


def violations(page) -> list[str]:
    stricter = {"color-contrast-enhanced": {"enabled": True}}  # 7:1 for text
    found = Axe().run(page, options={"resultTypes": ["violations"], "rules": stricter})
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found.response["violations"]]


def test_every_page_is_whole_accessible_and_fits_the_window(live_server, new_page, rows):
    page = new_page(viewport={"width": WIDTHS[0], "height": 900})
    complaints = sign_in(page, live_server)
    n_plots = 0
    for address in addresses(rows):
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        page.goto(live_server.url + address)
        settle(page)
        n_plots += page.locator("[data-figure]:has(svg.main-svg .trace)").count()
        assert not violations(page), address
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
        assert not complaints, (address, complaints)
    assert n_plots >= 15


CUT = """() => [...document.querySelectorAll(".plot .sheet")]
    .filter((each) => each.scrollWidth > each.clientWidth + 1)
    .map((each) => each.textContent.slice(0, 80))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_plots_are_whole_at_every_width(live_server, new_page, rows, width):
    page = new_page(viewport={"width": width, "height": 900})
    sign_in(page, live_server)
    for address in addresses(rows):
        if not re.search(r"results|models/|originality/\d+/$", address):
            continue
        page.goto(live_server.url + address)
        settle(page)
        page.wait_for_function(f"() => ({CUT})().length === 0")
        for figure in page.locator("[data-figure]").all():
            last = figure.locator(".xtick text").last.bounding_box()
            assert last["x"] + last["width"] <= width, address
    page.goto(live_server.url + reverse("dashboards:results", args=["heard"]))
    settle(page)
    ticks = page.locator("[data-figure=plot-estimates] .xtick text").all_text_contents()
    assert ticks == [str(rating) for rating in range(1, 11)]


def test_a_table_of_results_shows_its_estimates_at_768_pixels(live_server, new_page, rows):
    page = new_page(viewport={"width": 768, "height": 900})
    sign_in(page, live_server)
    page.goto(live_server.url + reverse("dashboards:results", args=["heard"]))
    settle(page)
    table = page.locator(".table[aria-labelledby=liking]")
    assert table.locator("thead th").nth(1).inner_text().startswith("Estimate")
    assert table.evaluate("(each) => each.scrollWidth <= each.clientWidth")


def test_no_row_of_a_table_is_hidden_on_the_screen_or_in_print(live_server, new_page, rows):
    corpus = rows.corpus("refused", rejected=[{"file": f"{n}.mid", "reason": "no notes"} for n in range(80)])
    page = new_page(viewport={"width": 1280, "height": 900})
    sign_in(page, live_server)
    for address in (
        reverse("dashboards:corpus", args=[corpus.name]),
        reverse("dashboards:results", args=["heard"]),
    ):
        page.goto(live_server.url + address)
        for media in ("screen", "print"):
            page.emulate_media(media=media)
            boxes = page.locator(".table").evaluate_all(
                "(all) => all.map((each) => [each.scrollHeight - each.clientHeight,"
                " getComputedStyle(each).overflowX])"
            )
            assert boxes
            assert all(hidden <= 1 for hidden, _ in boxes), (address, media)
            assert media == "screen" or {overflow for _, overflow in boxes} == {"visible"}


def test_pages_are_legible_in_the_dark(live_server, new_page, rows):
    page = new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    complaints = sign_in(page, live_server)
    dark = [
        address for address in addresses(rows) if re.search("results|library|originality/.+overlap", address)
    ]
    for address in dark:
        page.goto(live_server.url + address)
        settle(page)
        assert not violations(page), address
    page.goto(live_server.url + reverse("dashboards:results", args=["heard"]))
    settle(page)
    ticks = page.locator("[data-figure=plot-estimates] .ytick text").first
    assert ticks.evaluate("each => getComputedStyle(each).fill") == "rgb(242, 242, 239)"
    assert not complaints


def test_the_keyboard_alone_leads_from_the_door_to_a_pair_and_its_sound(live_server, new_page, rows):
    page = new_page(viewport={"width": 1024, "height": 800})
    complaints = sign_in(page, live_server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.get_by_role("link", name="Originality").press("Enter")
    page.get_by_role("link", name="copier-s1-1").press("Enter")
    page.get_by_role("link", name="chorale-0").first.press("Enter")
    page.get_by_text("Outlined notes stand in both.").wait_for()
    assert page.locator(".pair svg .shared").count() > 20
    heard = page.locator("audio").evaluate(
        """async (audio) => {
            await audio.play();
            await new Promise((resolve) => audio.addEventListener("timeupdate", resolve, { once: true }));
            await new Promise((resolve) => setTimeout(resolve, 600));
            return audio.currentTime;
        }"""
    )
    assert heard > 0.3
    assert not complaints


def test_starting_one_sound_pauses_the_other(live_server, new_page, rows):
    page = new_page(viewport={"width": 1024, "height": 800})
    complaints = sign_in(page, live_server)
    for name in ("1", "chorale-0"):
        rows.stimulus(Piece.objects.get(name=name), seconds=40.0, mp3=tone())
    page.goto(live_server.url + reverse("dashboards:pair", args=[rows.report_pk, "overlap", 0]))
    assert page.locator("audio").count() == 2
    for one in (0, 1, 0):
        page.locator("audio").nth(one).evaluate("(audio) => audio.play()")
        page.wait_for_function(
            "(other) => document.querySelectorAll('audio')[other].paused", arg=1 - one, timeout=60_000
        )
        assert not page.locator("audio").nth(one).evaluate("(audio) => audio.paused")
    assert not complaints


def test_live_counts_move_without_loading_the_page(live_server, new_page, rows):
    page = new_page(viewport={"width": 1280, "height": 900})
    complaints = sign_in(page, live_server)
    page.clock.install()
    page.goto(live_server.url + reverse("dashboards:study", args=["running"]))
    started = page.locator("[data-count=started]")
    assert started.inner_text() == "3"
    from studies.listening.models import Study

    rows.listener(Study.objects.get(slug="running"), 3)
    with page.expect_response("**/counts.json"):
        page.clock.run_for(16_000)
    page.wait_for_function("() => document.querySelector('[data-count=started]').textContent === '4'")
    assert page.locator("[data-count=fewest_answers]").inner_text() == "4"
    assert not complaints


def test_a_study_is_closed_and_its_key_opened_by_two_deliberate_steps(live_server, new_page, rows):
    page = new_page(viewport={"width": 1280, "height": 900})
    sign_in(page, live_server)
    page.get_by_role("link", name="Running").click()
    page.get_by_role("link", name="Close the study").click()
    page.get_by_role("button", name="Close the study").click()
    page.get_by_text("The study is closed.").wait_for()
    page.get_by_role("link", name="Open the key").click()
    page.get_by_role("button", name="Open the key").click()
    page.get_by_text("The key of the study is open.").wait_for()
    page.get_by_text("bach-themselves").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in to the studio").wait_for()
