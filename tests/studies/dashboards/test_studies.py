"""The life of a study in the studio, its live counts and its results."""

import csv
import io
import json
import re
import zipfile

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import TestCase
from django.urls import reverse

from studies.catalog.models import Piece
from studies.dashboards.selectors import results as result_selectors
from studies.dashboards.selectors.studies import arrivals, live_counts, order_audit
from studies.listening.errors import ListeningError
from studies.listening.models import Participant, Rating, Session, Study, Trial


@pytest.fixture(autouse=True)
def _nothing_kept():
    cache.clear()


def text_of(response) -> str:
    return response.content.decode()


def figures_of(page: str) -> dict[str, dict]:
    found = re.findall(r'<script id="plot-([^"]+)" type="application/json">(.*?)</script>', page, re.S)
    return {name: json.loads(text) for name, text in found}


# ---- counts


def test_counts_say_who_came_how_far(rows):
    study = rows.study(listeners=2)
    participant = Participant.objects.create(study=study)
    Session.objects.create(participant=participant, stage="rating", seed=1)
    counts = live_counts(study)
    assert (counts.n_started, counts.n_finished) == (3, 2)
    reached = {screen.name: (screen.n_reached, screen.n_standing) for screen in counts.screens}
    assert reached["Rating"] == (3, 1)
    assert reached["Debrief"] == (2, 0)
    assert (counts.n_under_floor, counts.n_pieces) == (6, 6)
    assert (counts.fewest_answers, counts.median_answers) == (2, 2)
    study.items.get(label="7F").trials.first().rating.delete()
    counts = live_counts(study)
    assert (counts.fewest_answers, counts.median_answers, counts.pieces) == (1, 2, ())
    study.state = "closed"
    counts = live_counts(study)
    assert [piece.label for piece in counts.pieces] == sorted(piece.label for piece in counts.pieces)
    assert {piece.label: piece.n_ratings for piece in counts.pieces} == {
        "7F": 1,
        **dict.fromkeys(["2K", "9Q", "4C", "8D", "3H"], 2),
    }


def test_arrivals_are_counted_by_day(rows):
    study = rows.study(listeners=3)
    one = Session.objects.first()
    Session.objects.filter(pk=one.pk).update(started_at="2026-01-01T12:00Z", finished_at=None)
    found = arrivals(study)
    assert (len(found.started), len(found.finished)) == (3, 2)
    assert found.started[0].isoformat() == "2026-01-01T12:00:00+00:00"
    assert found.by_day[0][1:] == (1, 0)
    assert sum(finished for *_, finished in found.by_day) == 2
    assert arrivals(rows.study("empty")).by_day == ()


def test_the_order_audit_counts_first_hearings_by_letter_and_position(rows):
    study = rows.study(state="closed", listeners=6)
    audit = order_audit(study)
    assert audit.positions == (1, 2, 3, 4, 5, 6)
    assert {row.letter: row.counts for row in audit.rows} == {"A": (3,) * 6, "B": (3,) * 6}
    assert order_audit(rows.study("empty", state="closed")).is_empty


def test_the_page_refreshes_its_counts(studio, rows):
    study = rows.study(listeners=1)
    address = reverse("dashboards:counts", args=["first"])
    page = text_of(studio.get(reverse("dashboards:study", args=["first"])))
    assert f'data-counts="{address}"' in page
    before = studio.get(address).json()
    rows.listener(study, 1)
    after = studio.get(address).json()
    assert after["started"] == before["started"] + 1
    assert after["fewest_answers"] == before["fewest_answers"] + 1
    study.state = "closed"
    study.save()
    assert "data-counts" not in text_of(studio.get(reverse("dashboards:study", args=["first"])))


# ---- its life


def test_a_page_of_a_study_offers_the_one_next_step(studio, rows):
    study = rows.study(state="draft")
    steps = {}
    for state in ("draft", "open", "closed"):
        study.state = state
        study.save()
        page = text_of(studio.get(reverse("dashboards:study", args=["first"])))
        steps[state] = re.search(r'<p class="next">(.*?)</p>', page, re.S).group(1)
        assert ("http://testserver/s/first/" in page) == (state == "open")
    assert "Check and open" in steps["draft"]
    assert "Send the link" in steps["open"]
    assert "Read the results" in steps["closed"]
    Study.objects.update(unblinded_at=study.created_at)
    page = text_of(studio.get(reverse("dashboards:study", args=["first"])))
    steps["unblinded"] = re.search(r'<p class="next">(.*?)</p>', page, re.S).group(1)
    assert all(step.count("Read the results") <= 1 for step in steps.values())
    assert "Read the results" in steps["unblinded"]


def test_pages_before_the_key_say_that_exclusions_and_margin_are_fixed(studio, rows):
    rows.study(state="closed", listeners=3)
    for name in ("results", "unblind"):
        page = text_of(studio.get(reverse(f"dashboards:{name}", args=["first"])))
        assert "stand in the study's file and were fixed when it opened" in page
        assert "ecide on exclusions" not in page


def test_opening_shows_the_check_first_and_refuses_while_it_fails(studio, rows, monkeypatch):
    from studies.listening.services import StudyCheck

    rows.study(state="draft")
    address = reverse("dashboards:open", args=["first"])
    bad = StudyCheck(problems=["piece 7F is silent"], warnings=["few pieces"], facts={})
    monkeypatch.setattr("studies.listening.services.check_study", lambda *, study: bad)
    page = text_of(studio.get(address))
    assert "piece 7F is silent" in page
    assert "few pieces" in page
    assert '<form method="post"><input' not in page.replace("\n", "")

    def refuse(*, study):
        raise ListeningError("the study cannot open: piece 7F is silent")

    monkeypatch.setattr("studies.listening.services.open_study", refuse)
    assert "the study cannot open: piece 7F is silent" in text_of(studio.post(address, follow=True))
    assert Study.objects.get().state == "draft"


def test_a_draft_that_passes_can_be_opened(studio, rows, monkeypatch):
    from studies.listening.services import StudyCheck

    rows.study(state="draft")
    address = reverse("dashboards:open", args=["first"])
    good = StudyCheck(problems=[], warnings=[], facts={})
    monkeypatch.setattr("studies.listening.services.check_study", lambda *, study: good)
    monkeypatch.setattr("studies.listening.services.lives.check_study", lambda *, study: good)
    assert "Open the study</button>" in text_of(studio.get(address))
    assert "open to listeners" in text_of(studio.post(address, follow=True))
    assert Study.objects.get().state == "open"


def test_looking_changes_nothing(studio, rows):
    rows.study(state="open", listeners=1)
    for name in ("close", "unblind", "study", "results"):
        studio.get(reverse(f"dashboards:{name}", args=["first"]))
    study = Study.objects.get()
    assert (study.state, study.unblinded_at) == ("open", None)


def test_closing_and_unblinding_write_down_who(studio, rows):
    rows.study(state="open", listeners=3)
    assert "The study is closed." in text_of(
        studio.post(reverse("dashboards:close", args=["first"]), follow=True)
    )
    page = text_of(studio.post(reverse("dashboards:unblind", args=["first"]), follow=True))
    assert "The key of the study is open." in page
    study = Study.objects.get()
    assert (study.state, study.unblinded_by) == ("closed", "ada")
    assert study.key_accesses.get().who == "ada"
    assert "bach-themselves" in page


def test_an_open_study_cannot_be_unblinded(studio, rows):
    rows.study(state="open")
    page = text_of(studio.post(reverse("dashboards:unblind", args=["first"]), follow=True))
    assert 'class="notice error"' in page
    assert Study.objects.get().unblinded_at is None


def test_buttons_need_the_token_of_the_page(ada, rows):
    from django.test import Client

    rows.study(state="open")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    response = strict.post(reverse("dashboards:close", args=["first"]))
    assert response.status_code == 403
    assert "open for too long" in text_of(response)
    assert Study.objects.get().state == "open"


# ---- results


def test_results_of_a_blind_study_stand_under_letters(studio, rows):
    rows.study(state="closed", listeners=6)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    figures = figures_of(page)
    assert {"estimates", "distributions", "contrasts", "judgements"} <= set(figures)
    labels = figures["estimates"]["layout"]["yaxis"]["ticktext"]
    assert [label[0] for label in labels] in (["A", "B"], ["B", "A"])
    assert "first survey" not in page


def test_results_of_an_unblinded_study_say_all_that_was_found(studio, rows):
    rows.study(state="closed", unblinded=True, listeners=8)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    for words in (
        "In the words of the first survey",
        "best generated piece",
        "of the real pieces that they were asked about to be machine-made",
        "Human or machine",
        "bach-themselves",
        "machine-nine",
        "export_study first",
    ):
        assert words in page
    assert page.count('<figure class="plot">') == page.count("data-figure=") == 11
    assert page.count("<table") >= 6


def with_rows_that_do_not_count(rows, **fields) -> Study:
    """A closed study in which one listener did not hear and another heard a piece again."""
    study = rows.study(state="closed", listeners=5, **fields)
    lazy, keen = study.participants.order_by("pk")[:2]
    Rating.objects.filter(trial__session__participant=lazy).update(listened_seconds=1.0)
    again = Trial.objects.create(
        session=keen.session, item=study.items.first(), kind=Trial.Kind.REPEAT, position=7
    )
    Rating.objects.create(trial=again, value=3, response_time_ms=9000, listened_seconds=19.5)
    return study


def links_of_numbers(page: str) -> dict[str, int]:
    """Addresses of lists with the number that leads to each."""
    found = re.findall(r'href="(/studio/studies/first/ratings/\?[^"]+)">(\d+)<', page)
    return {address.replace("&amp;", "&"): int(number) for address, number in found}


@pytest.mark.parametrize("unblinded", [False, True])
@pytest.mark.parametrize("query", ["", "?exclusions=off"])
def test_numbers_lead_to_exactly_the_rows_that_they_count(studio, rows, query, unblinded):
    with_rows_that_do_not_count(rows, unblinded=unblinded)
    links = links_of_numbers(text_of(studio.get(reverse("dashboards:results", args=["first"]) + query)))
    assert len(links) == 2 + 6
    assert sum(links.values()) == 2 * (30 if query else 24)
    for address, number in links.items():
        listed = text_of(studio.get(address))
        assert f"<p>{number} rating" in listed
        assert listed.count('<th scope="row">') == number
        assert "heard again" not in listed


def test_a_list_shows_what_was_left_out_and_why_when_asked(studio, rows):
    with_rows_that_do_not_count(rows)
    address = reverse("dashboards:ratings", args=["first"])
    counted = text_of(studio.get(address))
    assert "<p>24 ratings" in counted
    link = re.search(r'href="(\?[^"]+)">Show all 31 rows', counted).group(1)
    page = text_of(studio.get(address + link))
    assert "<p>31 ratings" in page
    reasons = re.findall(r"</th>\s*<td>(.*?)</td>", page)
    assert {reason: reasons.count(reason) for reason in reasons} == {
        "–": 24,
        "excluded: not listened": 6,
        "heard again": 1,
    }


def test_the_download_names_the_rule_that_leaves_a_row_out(studio, rows):
    study = with_rows_that_do_not_count(rows)
    text = text_of(studio.get(reverse("dashboards:ratings_csv", args=["first"])))
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["excluded"] for row in table].count("not_listened") == 6
    counted = [row for row in table if not row["excluded"] and row["repeat"] == "0"]
    assert len(counted) == result_selectors.findings(study).result["n_ratings"] == 24


def test_the_page_of_a_piece_leads_to_its_ratings(studio, rows):
    study = with_rows_that_do_not_count(rows, unblinded=True)
    piece = study.items.first().stimulus.piece
    page = text_of(studio.get(reverse("dashboards:piece", args=[piece.public_id])))
    address = re.search(r'href="(/studio/studies/first/ratings/[^"]+)"', page).group(1)
    assert "<p>5 ratings" in text_of(studio.get(address.replace("&amp;", "&")))


def test_pieces_of_a_table_are_all_named_without_their_condition(studio, rows):
    study = rows.study(state="closed", unblinded=True, listeners=4)
    names = {"B": "001", "A": "001"}
    for letter, name in names.items():
        item = study.items.filter(condition__letter=letter).first()
        Piece.objects.filter(pk=item.stimulus.piece_id).update(name=name)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    table = re.search(r'<h2 id="pieces">.*?</table>', page, re.S).group()
    assert table.count('<th scope="row">001</th>') == 2
    assert " / 001" not in table
    for address, number in links_of_numbers(table).items():
        assert f"<p>{number} rating" in text_of(studio.get(address))


def test_ratings_are_cut_into_pages(studio, rows):
    rows.study(state="closed", listeners=10)
    page = text_of(studio.get(reverse("dashboards:ratings", args=["first"])))
    assert "60 ratings" in page
    assert "Page 1 of 2" in page
    assert page.count('<th scope="row">') == 50
    who = re.search(r"\?participant=(p\w+)", page).group(1)
    assert "6 ratings" in text_of(
        studio.get(reverse("dashboards:ratings", args=["first"]), {"participant": who})
    )
    assert "No rating fits" in text_of(
        studio.get(reverse("dashboards:ratings", args=["first"]), {"piece": "no"})
    )


def test_exclusions_can_be_switched_off(studio, rows):
    study = rows.study(state="closed", listeners=8)
    lazy = study.participants.first()
    Rating.objects.filter(trial__session__participant=lazy).update(listened_seconds=1.0)
    address = reverse("dashboards:results", args=["first"])
    planned = text_of(studio.get(address))
    everybody = text_of(studio.get(address, {"exclusions": "off"}))
    assert "not listened" in planned
    assert "by 7 participants" in planned
    assert "by 8 participants" in everybody
    assert studio.get(reverse("dashboards:analysis_json", args=["first"])).json()["n_participants"] == 7
    off = studio.get(reverse("dashboards:analysis_json", args=["first"]), {"exclusions": "off"}).json()
    assert off["n_participants"] == 8


def test_a_closed_study_without_ratings_says_why_there_is_nothing(studio, rows):
    rows.study(state="closed")
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    assert "There is nothing to analyse" in page
    assert studio.get(reverse("dashboards:analysis_json", args=["first"])).status_code == 404
    assert "0 ratings" in text_of(studio.get(reverse("dashboards:ratings", args=["first"])))
    assert studio.get(reverse("dashboards:ratings_csv", args=["first"])).content.startswith(b"participant,")


@pytest.mark.parametrize("listeners", [1, 2])
def test_few_listeners_make_a_page_and_no_promises(studio, rows, listeners):
    rows.study(state="closed", unblinded=True, listeners=listeners)
    response = studio.get(reverse("dashboards:results", args=["first"]))
    assert response.status_code == 200
    assert "NaN" not in text_of(response)
    assert ">nan" not in text_of(response)


def test_an_analysis_is_kept_until_the_answers_change(studio, rows, monkeypatch):
    study = rows.study(state="closed", listeners=4)
    calls = []
    import analysis.ratings.report

    real = analysis.ratings.report.analyse
    monkeypatch.setattr(analysis.ratings.report, "analyse", lambda *a, **k: calls.append(1) or real(*a, **k))
    for _ in range(2):
        result_selectors.findings(study)
    assert len(calls) == 1
    rows.listener(study, 9)
    assert result_selectors.findings(study).result["n_participants"] == 5
    Trial.objects.filter(session__participant=study.participants.last()).first().rating.delete()
    assert result_selectors.findings(study).result["n_ratings"] == 29


def test_a_stored_analysis_outlives_the_process_and_goes_with_who_withdraws(studio, rows, monkeypatch):
    from studies.listening.services import withdraw

    study = rows.study(state="closed", listeners=4)
    calls = []
    import analysis.ratings.report

    real = analysis.ratings.report.analyse
    monkeypatch.setattr(analysis.ratings.report, "analyse", lambda *a, **k: calls.append(1) or real(*a, **k))
    first = result_selectors.findings(study)
    cache.clear()
    assert result_selectors.findings(study) == first
    assert len(calls) == 1
    folder = settings.HOME / "analyses" / str(study.pk)
    assert len(list(folder.iterdir())) == 1
    leaver = study.participants.first()
    monkeypatch.setattr("studies.listening.services.withdrawals._clear_log", lambda: None)  # no commit here
    with TestCase.captureOnCommitCallbacks(execute=True):
        withdraw(study=study, code=leaver.withdrawal_code)
    assert not folder.exists()
    assert result_selectors.findings(study).result["n_participants"] == 3


def test_the_report_goes_out_in_every_form(studio, rows):
    rows.study(state="closed", unblinded=True, listeners=5)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    begins = {"html": b"<!doctype html>", "pdf": b"%PDF"}
    for form in ("html", "pdf", "tables.zip", "latex.zip", "figures.zip"):
        address = reverse("dashboards:report_file", args=["first", form])
        assert f'href="{address}"' in page
        response = studio.get(address)
        assert response.status_code == 200
        assert response.content.startswith(begins.get(form, b"PK"))
        if form.endswith("zip"):
            names = zipfile.ZipFile(io.BytesIO(response.content)).namelist()
            assert any("conditions" in name or "estimates" in name for name in names)
    assert studio.get(reverse("dashboards:report_file", args=["first", "docx"])).status_code == 404


def test_no_form_of_the_report_leaves_an_open_study(studio, rows):
    rows.study(state="open", listeners=3)
    assert studio.get(reverse("dashboards:report_file", args=["first", "pdf"])).status_code == 403


def test_forms_of_a_blind_study_know_letters_only(studio, rows):
    rows.study(state="closed", listeners=5)
    for form in ("html", "tables.zip", "figures.zip"):
        data = studio.get(reverse("dashboards:report_file", args=["first", form])).content
        if form.endswith("zip"):
            archive = zipfile.ZipFile(io.BytesIO(data))
            data = b"".join(archive.read(name) for name in archive.namelist())
        assert b"bach-themselves" not in data
        assert b"machine-nine" not in data


def test_a_plan_says_what_to_add_and_what_is_wrong(studio):
    address = reverse("dashboards:plan")
    assert "Add pieces, not listeners" in text_of(studio.get(address))
    many = text_of(studio.get(address, {"listeners": "5", "pieces": "40"}))
    assert "Listeners still help" in many
    assert 'value="40"' in many
    for typed, words in (
        ({"pieces": "many"}, "is not a whole number"),
        ({"piece": "-1"}, "0 or more"),
        ({"residual": "inf"}, "0 or more"),
        ({"listeners": "999999"}, "at most 10,000"),
    ):
        assert words in text_of(studio.get(address, typed))


def test_the_page_says_what_the_command_says(studio, rows):
    """The same figures as an analysis of the table itself, made here with nothing of the studio in it."""
    from analysis.ratings.report import analyse
    from studies.listening.selectors import ratings_table

    study = rows.study(state="closed", unblinded=True, listeners=6)
    expected = analyse(
        ratings_table(study),
        reference="bach-themselves",
        margin=0.5,
        exclude=("straight_lining", "not_listened"),
        excerpt_seconds=20,
    )
    shown = studio.get(reverse("dashboards:analysis_json", args=["first"])).json()
    assert shown == json.loads(json.dumps(expected))


def test_downloads_with_names_are_written_down_each_time_and_pages_once(studio, rows):
    study = rows.study(state="closed", unblinded=True, listeners=3)
    for _ in range(2):
        studio.get(reverse("dashboards:results", args=["first"]))
        studio.get(reverse("dashboards:ratings", args=["first"]))
        download = studio.get(reverse("dashboards:ratings_csv", args=["first"]))
        studio.get(reverse("dashboards:analysis_json", args=["first"]))
    assert "first-ratings-names.csv" in download["Content-Disposition"]
    assert "bach-themselves" in download.content.decode()
    whats = sorted(access.what for access in study.key_accesses.all())
    assert whats == sorted(
        ["read the results in the studio", "read the ratings in the studio"]
        + 2 * ["downloaded the ratings in the studio", "downloaded the analysis in the studio"]
    )


def test_downloads_with_letters_reveal_nothing_and_are_not_key_reads(studio, rows):
    study = rows.study(state="closed", listeners=3)
    download = studio.get(reverse("dashboards:ratings_csv", args=["first"]))
    assert "first-ratings-letters.csv" in download["Content-Disposition"]
    assert "bach" not in download.content.decode()
    assert "role" not in download.content.decode()
    assert not study.key_accesses.exists()


def test_cells_of_a_download_cannot_be_formulas(studio, rows):
    study = rows.study(state="closed", unblinded=True, listeners=1)
    study.conditions.filter(letter="A").update(name="=HYPERLINK(1)")
    download = studio.get(reverse("dashboards:ratings_csv", args=["first"])).content.decode()
    assert "'=HYPERLINK(1)" in download
    assert ",=HYPERLINK" not in download


# ---- simulated listeners


def test_simulated_listeners_are_named_on_every_page_and_in_every_caption(studio, rows):
    rows.study("pretend", state="closed", unblinded=True, listeners=5, is_simulated=True)
    rows.study("pretend-open", listeners=2, is_simulated=True, title="Second")
    rows.study("pretend-draft", state="draft", is_simulated=True, title="Third")
    names = ["study", "results", "ratings", "close", "unblind"]
    addresses = [
        reverse(f"dashboards:{name}", args=[slug]) for name in names for slug in ("pretend", "pretend-open")
    ]
    for address in addresses:
        page = text_of(studio.get(address))
        assert 'role="note">Simulated listeners: not evidence.' in page, address
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
        assert all(caption.startswith("Simulated listeners: not evidence.") for caption in captions), address
    assert text_of(studio.get(reverse("dashboards:studies"))).count(">simulated<") == 3


def test_studies_of_people_do_not_say_simulated(studio, rows):
    rows.study(state="closed", listeners=3)
    for name in ("study", "results"):
        assert "imulated" not in text_of(studio.get(reverse(f"dashboards:{name}", args=["first"])))
