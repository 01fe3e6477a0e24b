"""The studies: the list, a study with its live counts, and the three moments of its life."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from studies.dashboards import figures
from studies.dashboards.pages import next_step, page_of, show, state_of
from studies.dashboards.permissions import may_decide, refuse_others
from studies.dashboards.selectors import results as result_selectors
from studies.dashboards.selectors import studies as selectors
from studies.dashboards.views.catalog import allows_plots
from studies.listening import services
from studies.listening.consent import GRACE_MINUTES
from studies.listening.errors import ListeningError
from studies.listening.models import Study


@require_safe
def studies(request):
    """All studies, newest first."""
    page = page_of(request, selectors.studies_with_counts())
    rows = [(study, state_of(study), next_step(study)) for study in page]
    return show(request, "studies.html", "studies", page=page, rows=rows)


@require_safe
@allows_plots
def study(request, slug):
    """One study: its link, its live counts, and what is safe to do next."""
    study = get_object_or_404(Study, slug=slug)
    counts = selectors.live_counts(study)
    conditions = selectors.conditions_of(study)
    if counts.n_ratings:
        conditions = result_selectors.precision(study, conditions)
    arrivals = selectors.arrivals(study)
    return show(
        request,
        "study.html",
        "studies",
        study=study,
        state=state_of(study),
        step=next_step(study),
        counts=counts,
        listener_url=request.build_absolute_uri(listener_path(study)),
        listeners=figures.listeners(arrivals, is_simulated=study.is_simulated),
        by_day=arrivals.by_day,
        order=selectors.order_audit(study),
        conditions=conditions,
        by_letter=selectors.may_count_by_label(study),
        precision=selectors.precision_range(conditions),
        sizes_differ=study.is_blind and selectors.sizes_differ(study),
        may_decide=may_decide(request.user, study),
        key_accesses=study.key_accesses.order_by("-at", "-pk")[:20],
    )


@require_safe
def counts(request, slug):
    """The live counts as JSON, for the page to refresh itself: no answer, label or condition in them."""
    counts = selectors.live_counts(get_object_or_404(Study, slug=slug))
    return JsonResponse(
        {
            "started": counts.n_started,
            "finished": counts.n_finished,
            "left_out": counts.n_left_out,
            "abandoned": counts.n_abandoned,
            "withdrawn": counts.n_withdrawn,
            "ratings": counts.n_ratings,
            "judgements": counts.n_judgements,
            "skipped": counts.n_skipped,
            "under_floor": counts.n_under_floor,
            "fewest_answers": counts.fewest_answers,
            "median_answers": counts.median_answers,
        }
    )


@require_http_methods(["GET", "HEAD", "POST"])
def open_(request, slug):
    """Check a draft and open it to listeners."""
    study = get_object_or_404(Study, slug=slug)
    if request.method == "POST":
        return _do(
            request, study, lambda: services.open_study(study=study), "The study is open to listeners."
        )
    check = services.check_study(study=study) if study.state == Study.State.DRAFT else None
    return _confirm(request, study, "open.html", check=check)


@require_http_methods(["GET", "HEAD", "POST"])
def close(request, slug):
    """Close a study: nobody can start or answer any more, and its results may be read."""
    study = get_object_or_404(Study, slug=slug)
    refuse_others(request, study)
    if request.method == "POST":
        return _do(request, study, lambda: services.close_study(study=study), "The study is closed.")
    counts = selectors.live_counts(study)
    return _confirm(request, study, "close.html", counts=counts, grace_minutes=GRACE_MINUTES)


@require_http_methods(["GET", "HEAD", "POST"])
def unblind(request, slug):
    """Open the key of a closed study, once and for all; who did it is written down."""
    study = get_object_or_404(Study, slug=slug)
    refuse_others(request, study)
    if request.method == "POST":
        who = request.user.get_username()
        return _do(
            request,
            study,
            lambda: services.unblind_study(study=study, who=who),
            "The key of the study is open.",
        )
    return _confirm(request, study, "unblind.html")


def listener_path(study: Study) -> str:
    """Where listeners begin."""
    return reverse("listening:study", args=[study.slug])


def _confirm(request: HttpRequest, study: Study, template: str, **context) -> HttpResponse:
    return show(request, template, "studies", study=study, state=state_of(study), **context)


def _do(request: HttpRequest, study: Study, act, done: str) -> HttpResponse:
    """Do one thing with a study and go back to its page, with what was done or why it was refused."""
    try:
        act()
    except ListeningError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("dashboards:study", slug=study.slug)
