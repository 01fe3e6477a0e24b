"""While a study is blind, studio and admin together tell nobody which label or letter is which piece."""

import csv
import html
import io
import re

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from studies.catalog.models import Piece
from studies.listening.models import Condition, Item, KeyAccess, Study, Trial

NAMES = ("bach-themselves", "machine-nine")
LABELS = ("7F", "2K", "9Q", "4C", "8D", "3H")


@pytest.fixture
def root(db, client):
    """A browser in which somebody who may do everything has signed in."""
    client.force_login(get_user_model().objects.create_superuser("root", password="root"))
    return client


def text_of(response) -> str:
    return html.unescape(b"".join(response).decode() if response.streaming else response.content.decode())


def without_the_file(page: str) -> str:
    """A study's page without the study's own file, which names conditions and no letters."""
    return re.sub(r"<summary>The study's file</summary>.*?</details>", "", page, flags=re.S)


def pages_of(study: Study) -> list[str]:
    names = [
        "study",
        "counts",
        "open",
        "close",
        "unblind",
        "results",
        "ratings",
        "ratings_csv",
        "analysis_json",
    ]
    return [reverse(f"dashboards:{name}", args=[study.slug]) for name in names]


def stated_labels(page: str) -> set[str]:
    return {label for label in LABELS if re.search(rf"\b{label}\b", page)}


@pytest.mark.parametrize("state", ["draft", "open", "closed"])
def test_pages_of_a_blind_study_name_no_condition_no_piece_and_no_role(studio, rows, state):
    study = rows.study(state=state, listeners=4)
    pieces = [item.stimulus.piece for item in study.items.select_related("stimulus__piece")]
    secrets = [*NAMES, *(str(each) for piece in pieces for each in (piece.name, piece.public_id))]
    secrets += [str(item.stimulus.public_id) for item in study.items.all()]
    shown = ""
    for address in [*pages_of(study), reverse("dashboards:studies")]:
        page = without_the_file(text_of(studio.get(address)))
        assert not [secret for secret in secrets if secret in page], address
        assert "low_anchor" not in page, address
        assert "#1a1a1a" not in colours_of_conditions(page), address
        shown += page
    if state == "closed":
        assert stated_labels(shown) == set(LABELS), "the pages that could leak were not empty"
    elif state == "open":
        assert not stated_labels(shown)


def colours_of_conditions(page: str) -> str:
    """The marker colours in the figure of estimates: ink would say which letter is real music."""
    found = re.search(r'<script id="plot-estimates" type="application/json">(.*?)</script>', page, re.S)
    return " ".join(re.findall(r'"marker": \{[^}]*\}', found.group(1))) if found else ""


def test_the_figure_of_a_blind_study_was_there_to_leak(studio, rows):
    rows.study(state="closed", listeners=4)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    assert "#0072B2" in colours_of_conditions(page)


def test_names_and_ink_come_with_the_key(studio, rows):
    rows.study(state="closed", unblinded=True, listeners=4)
    page = text_of(studio.get(reverse("dashboards:results", args=["first"])))
    assert "bach-themselves" in page
    assert "#1a1a1a" in colours_of_conditions(page)


@pytest.mark.parametrize("state", ["open", "closed"])
def test_pages_with_real_names_show_no_label_letter_or_count_of_a_blind_study(studio, rows, state):
    study = rows.study(state=state, listeners=4)
    addresses = [reverse("dashboards:library"), reverse("dashboards:models"), reverse("dashboards:corpora")]
    addresses += [reverse("dashboards:piece", args=[piece.public_id]) for piece in Piece.objects.all()]
    addresses += [reverse("dashboards:model", args=["deep"]), reverse("dashboards:corpus", args=["chorales"])]
    for address in addresses:
        page = text_of(studio.get(address))
        assert not stated_labels(page), address
        assert study.slug + "/" not in page.replace(f"{study.slug}-", ""), address
        assert study.title not in page, address
    study.state, study.unblinded_at = "closed", study.created_at
    study.save()
    piece = study.items.first().stimulus.piece
    assert study.title in text_of(studio.get(reverse("dashboards:piece", args=[piece.public_id])))


@pytest.mark.parametrize("name", ["results", "ratings"])
def test_answers_are_withheld_while_a_study_is_open(studio, rows, name):
    rows.study(listeners=4)
    page = text_of(studio.get(reverse(f"dashboards:{name}", args=["first"])))
    assert "tempted to stop" in page
    assert "json" not in page.replace("counts.json", "")
    for download in ("ratings_csv", "analysis_json"):
        response = studio.get(reverse(f"dashboards:{download}", args=["first"]))
        assert response.status_code == 403
        assert "error" in response.json()


def test_an_open_study_shows_precision_and_no_mean(studio, rows):
    rows.study(listeners=6)
    page = text_of(studio.get(reverse("dashboards:study", args=["first"])))
    table = re.search(r'<h2 id="conditions">.*?</section>', page, re.S).group()
    numbers = [float(each) for each in re.findall(r"\d+\.\d\d", table)]
    assert len(numbers) == 2
    assert 0 < numbers[0] <= numbers[1] < 4
    from studies.dashboards.selectors.results import findings
    from studies.listening.models import Study

    study = Study.objects.get()
    study.state = "closed"
    means = [row["mean"] for row in findings(study).result["conditions"]]
    assert all(f"{mean:.2f}" not in table for mean in means)


def numbers_beside_names(page: str) -> list[str]:
    """Rows of tables that begin with a label or a letter, and so could tell by a number that moves."""
    found = re.findall(r'<th scope="row">(.*?)</th>', page, re.S)
    return [each for each in found if each in LABELS or re.fullmatch("[A-Z]", each)]


def test_no_number_that_an_answer_moves_stands_beside_a_label_or_letter_while_a_study_is_open(studio, rows):
    """Somebody who listens as well looks at the studio before and after their own answers."""
    study = rows.study(listeners=3)
    rows.listener(study, 3)
    for address in pages_of(study):
        page = without_the_file(text_of(studio.get(address)))
        assert not numbers_beside_names(page), address
        assert not stated_labels(page), address
    assert set(studio.get(reverse("dashboards:counts", args=["first"])).json()) == {
        *("started", "finished", "left_out", "abandoned", "withdrawn"),
        *("ratings", "judgements", "skipped"),
        *("under_floor", "fewest_answers", "median_answers"),
    }
    Study.objects.update(state="closed")
    assert numbers_beside_names(text_of(studio.get(reverse("dashboards:study", args=["first"]))))


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_blind_page_owns_up_to_what_the_number_of_pieces_tells(studio, rows, state):
    study = rows.study(state=state)
    address = reverse("dashboards:study", args=["first"])
    words = "a condition with another number of pieces can be recognised by it"
    assert words not in text_of(studio.get(address))
    study.items.filter(condition__letter="A").first().delete()
    assert words in text_of(studio.get(address))
    Study.objects.update(state="closed", unblinded_at=study.created_at)
    assert words not in text_of(studio.get(address))


def test_two_blind_conditions_come_by_letter_whatever_their_means(studio, rows):
    rows.study(state="closed", listeners=6)
    page = text_of(studio.get(reverse("dashboards:study", args=["first"])))
    table = re.search(r'<h2 id="conditions">.*?</table>', page, re.S).group()
    assert re.findall(r'<th scope="row">(\w)</th>', table) == ["A", "B"]


def test_blind_ratings_stand_in_no_order_that_a_listener_among_the_researchers_could_know(studio, rows):
    study = rows.study(state="closed", listeners=4)
    download = reverse("dashboards:ratings_csv", args=["first"])
    blind = list(csv.DictReader(io.StringIO(text_of(studio.get(download)))))
    assert len(blind) == 24
    assert not any(row["trial"] or row["answered_at"] for row in blind)
    keys = [(row["participant"], row["piece"]) for row in blind]
    assert keys == sorted(keys)
    address = reverse("dashboards:ratings", args=["first"])
    page = text_of(studio.get(address))
    listed = re.findall(r'<th scope="row"><a[^>]*>(\w+)</a></th>\s*<td><a[^>]*>(\w+)</a>', page)
    assert listed == keys
    assert ">Place<" not in page
    Study.objects.update(unblinded_at=study.created_at)
    assert ">Place<" in text_of(studio.get(address))
    assert all(row["trial"] for row in csv.DictReader(io.StringIO(text_of(studio.get(download)))))


# ---- the admin


def admin_addresses() -> list[str]:
    from django.contrib import admin

    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        if model._meta.app_label in ("catalog", "listening")
    ]


def detail_addresses() -> list[str]:
    from django.contrib import admin

    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
        for model in admin.site._registry
        if model._meta.app_label in ("catalog", "listening")
        for row in model._default_manager.all()[:8]
    ]


def test_the_admin_joins_no_label_with_a_name_while_a_study_is_blind(root, rows):
    study = rows.study(state="closed", listeners=3)
    pieces = {
        str(item.label): item.stimulus.piece.name for item in study.items.select_related("stimulus__piece")
    }
    shown = set()
    for address in [*admin_addresses(), *detail_addresses()]:
        response = root.get(address)
        if response.status_code != 200:
            assert "/item/" in address or "/condition/" in address, address
            continue
        page = re.sub(r"<select.*?</select>", "", text_of(response), flags=re.S)
        labels = stated_labels(page)
        shown |= labels
        named = [name for name in pieces.values() if name in page]
        assert not (labels and named), address
        if "/study/" not in address:
            assert not (labels and any(name in page for name in NAMES)), address
        assert "/listening/item/" not in page.replace('"/admin/listening/item/"', ""), address
    assert shown, "no page showed a label, so nothing was tested"


def test_the_key_is_not_in_the_admin_while_a_study_is_blind(root, rows):
    study = rows.study(state="closed", listeners=1)
    for model in (Condition, Item):
        address = reverse(f"admin:listening_{model._meta.model_name}_changelist")
        assert "0 " in text_of(root.get(address))
        row = model.objects.filter(study=study).first()
        change = reverse(f"admin:listening_{model._meta.model_name}_change", args=[row.pk])
        assert root.get(change).status_code == 302
    assert not KeyAccess.objects.exists()


def test_looking_at_the_key_in_the_admin_is_written_down_once_per_sign_in(root, rows):
    study = rows.study(state="closed", unblinded=True)
    condition, item = study.conditions.first(), study.items.first()
    looks = [
        reverse("admin:listening_condition_change", args=[condition.pk]),
        reverse("admin:listening_item_change", args=[item.pk]),
        reverse("admin:listening_item_change", args=[study.items.last().pk]),
        reverse("admin:listening_item_changelist"),
    ]
    expected = [
        "looked at a condition in the admin",
        "looked at an item in the admin",
        "looked at the list of items in the admin",
    ]
    assert condition.name in text_of(root.get(looks[0]))
    for address in looks * 2:
        root.get(address)
    assert [access.what for access in study.key_accesses.order_by("pk")] == expected
    assert {access.who for access in study.key_accesses.all()} == {"root"}
    root.logout()
    root.login(username="root", password="root")
    for address in looks:
        root.get(address)
    assert [access.what for access in study.key_accesses.order_by("pk")] == expected * 2


def test_answers_appear_in_the_admin_when_their_study_is_closed(root, rows):
    study = rows.study(listeners=2)
    rating = Trial.objects.first().rating
    for name in ("rating", "judgement"):
        assert "bodies" not in text_of(root.get(reverse(f"admin:listening_{name}_changelist")))
        assert "first/" not in text_of(root.get(reverse(f"admin:listening_{name}_changelist")))
    assert root.get(reverse("admin:listening_rating_change", args=[rating.pk])).status_code == 302
    study.state = "closed"
    study.save()
    assert "first/" in text_of(root.get(reverse("admin:listening_rating_changelist")))


def test_the_admin_shows_nothing_that_lets_one_in_as_a_listener(root, rows):
    study = rows.study(state="closed", listeners=1)
    participant = study.participants.get()
    secrets = [participant.withdrawal_code, participant.public_id, participant.session.token]
    secrets += list(Trial.objects.values_list("public_id", flat=True))
    for address in [*admin_addresses(), *detail_addresses()]:
        page = text_of(root.get(address, follow=True))
        assert not [secret for secret in secrets if secret in page], address


def test_evidence_can_be_neither_added_nor_changed_nor_deleted(root, rows):
    rows.study(state="closed", unblinded=True, listeners=1)
    rows.report(generation=None, corpus=rows.corpus("again"))
    for address in admin_addresses():
        assert root.get(f"{address}add/").status_code == 403, address
        assert root.post(address, {"action": "delete_selected", "_selected_action": ["1"]}).status_code in (
            200,
            302,
            403,
        )
    for address in detail_addresses():
        assert root.post(address, {"value": 10, "name": "x"}).status_code == 403, address
        assert root.get(address.replace("/change/", "/delete/")).status_code == 403, address
        assert root.post(address.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403, address


@pytest.mark.parametrize(
    "query",
    [
        "catalog/piece/?corpus__pieces__stimuli__items__label=7F",
        "catalog/piece/?stimuli__items__label=7F",
        "catalog/stimulus/?items__label=7F",
        "listening/trial/?item=1",
        "listening/trial/?item__condition__name=bach-themselves",
        "listening/study/?conditions__name=bach-themselves",
        "listening/rating/?value=10",
    ],
)
def test_an_address_of_the_admin_cannot_ask_what_no_page_shows(root, rows, query):
    rows.study(state="closed", listeners=1)
    assert root.get(f"/admin/{query}").status_code == 400


def test_the_admin_filters_that_it_offers_work(root, rows):
    study = rows.study(state="closed", listeners=1)
    for address in admin_addresses():
        page = root.get(address).content.decode()
        for query in re.findall(r'<a href="(\?[^"]+)"', page):
            assert root.get(f"{address}{html.unescape(query)}").status_code == 200, (address, query)
    assert study


def test_an_account_without_staff_rights_has_no_admin(studio):
    assert studio.get("/admin/").status_code == 302
    assert "Admin" not in text_of(studio.get(reverse("dashboards:studies")))
