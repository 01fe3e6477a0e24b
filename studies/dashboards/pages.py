"""What every page of the studio shares: where it stands in the navigation, and how long lists are cut."""

from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from studies.listening.models import Study

PLACES = {
    "studies": "Studies",
    "library": "Library",
    "models": "Models",
    "corpora": "Corpora",
    "originality": "Originality",
}
ROWS_PER_PAGE = 50
CARDS_PER_PAGE = 24


@dataclass(frozen=True)
class Place:
    """An entry of the navigation."""

    name: str
    url: str
    is_here: bool


def show(request: HttpRequest, template: str, here: str, **context) -> HttpResponse:
    """Render a page of the studio; `here` is the entry of the navigation that it belongs to."""
    places = [Place(name, reverse(f"dashboards:{key}"), key == here) for key, name in PLACES.items()]
    return render(request, f"dashboards/{template}", {"places": places, **context})


def page_of(request: HttpRequest, rows, per_page: int = ROWS_PER_PAGE) -> Page:
    """The part of a long list that ``?page=`` asks for; a page that is not there becomes the nearest one."""
    return Paginator(rows, per_page).get_page(request.GET.get("page"))


@dataclass(frozen=True)
class Step:
    """The one thing to do next: in words, and where it is done if that is a page."""

    text: str
    label: str = ""
    url: str = ""


def state_of(study: Study) -> str:
    """The state of a study as one or two words."""
    if study.state == Study.State.CLOSED:
        return "closed, blind" if study.is_blind else "unblinded"
    return study.get_state_display().lower()


def next_step(study: Study) -> Step:
    """What a study waits for."""
    here = [study.slug]
    if study.state == Study.State.DRAFT:
        return Step(
            "Check the design and open the study.", "Check and open", reverse("dashboards:open", args=here)
        )
    if study.state == Study.State.OPEN:
        return Step("Send the link to listeners, and wait until every piece has enough answers.")
    if study.is_blind:
        return Step(
            "The study is closed and its answers stand by letters. Open the key when you have read them.",
            "Read the results",
            reverse("dashboards:results", args=here),
        )
    return Step(
        "The key is open: every answer has its name.",
        "Read the results",
        reverse("dashboards:results", args=here),
    )
