"""The report on originality as a file in a real Chromium, without a network: read, sorted, heard."""

import pytest

from analysis.plagiarism.report import Settings, originality, report_html
from music.transform import transpose
from tests.analysis.plagiarism.test_report import corpus_of, tune
from tests.journeys.test_studio import tone, violations

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report on a copy, two new pieces and one of three notes."""
    corpus = corpus_of(6, n_test=2)
    generated = [("new 2", tune(72)), ("copy", transpose(corpus[1].score, 3)), ("new 10", tune(80))]
    result = originality(generated, corpus, settings=Settings(transpose=True))
    heard = tone(3.0)
    page = report_html(result, generated, corpus, sound=lambda excerpt: heard)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


def opened(new_page, address, **options):
    """The page, with all its plots drawn, and what the browser complains of."""
    page = new_page(**options)
    complaints = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(address)
    page.wait_for_function("() => !document.querySelector('[data-figure]:not(:has(svg.main-svg .trace))')")
    return page, complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_is_accessible_and_fits_at_every_width_and_in_the_dark(new_page, address, width, scheme):
    size = {"width": width, "height": 900}
    page, complaints = opened(new_page, address, viewport=size, color_scheme=scheme)
    assert not violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = {"light": "rgb(26, 26, 26)", "dark": "rgb(242, 242, 239)"}[scheme]
    tick = page.locator("[data-figure] .xtick text").first
    assert tick.evaluate("each => getComputedStyle(each).fill") == ink
    assert not complaints


def test_the_table_is_sorted_by_the_keyboard_alone(new_page, address):
    page, complaints = opened(new_page, address)
    table = page.locator("table:has(button)")

    def names():
        return table.locator("tbody th").all_text_contents()

    assert names()[0] == "copy"
    piece = table.get_by_role("button", name="Piece")
    piece.press("Enter")
    assert names() == ["copy", "new 2", "new 10"]  # as people count
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("Piece")
    piece.press("Enter")
    assert names() == ["new 10", "new 2", "copy"]
    table.get_by_role("button", name="Notes in common").press("Enter")
    assert names()[0] == "copy"
    shares = table.locator("tbody td:nth-child(3)").evaluate_all(
        "(all) => all.map((one) => +one.dataset.sort)"
    )
    assert shares == sorted(shares, reverse=True)
    assert table.locator("th[aria-sort]").count() == 1
    assert not complaints


def test_one_excerpt_is_heard_at_a_time(new_page, address):
    page, complaints = opened(new_page, address)
    players = page.locator("audio")
    assert players.count() >= 4
    for one in (0, 1):
        players.nth(one).evaluate("(audio) => audio.play()")
        page.wait_for_function("(one) => document.querySelectorAll('audio')[one].currentTime > 0", arg=one)
        assert players.nth(1 - one).evaluate("(audio) => audio.paused")
    assert not complaints
