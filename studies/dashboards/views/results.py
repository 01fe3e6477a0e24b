"""Results: withheld while a study is open, by letters while it is blind, by names afterwards."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from studies.dashboards import figures
from studies.dashboards.pages import page_of, show, state_of
from studies.dashboards.permissions import refuse_others
from studies.dashboards.selectors import results as selectors
from studies.dashboards.views.catalog import allows_plots
from studies.listening.models import Study
from studies.listening.services import log_key_access


@require_safe
@allows_plots
def results(request, slug):
    """The figures of a study, each plot with its table."""
    study = get_object_or_404(Study, slug=slug)
    if not selectors.may_be_read(study):
        return show(request, "withheld.html", "studies", study=study, state=state_of(study))
    _write_down(request, study, "read the results", once=True)
    with_exclusions = _with_exclusions(request)
    findings = selectors.findings(study, with_exclusions=with_exclusions)
    result = findings.result
    return show(
        request,
        "results.html",
        "studies",
        study=study,
        state=state_of(study),
        findings=findings,
        result=result,
        rules=", ".join(study.design["analysis"]["exclude"]).replace("_", " "),
        with_exclusions=with_exclusions,
        plots=figures.findings(result, is_simulated=study.is_simulated) if result else {},
        words=selectors.words(result) if result else {},
        pieces=selectors.pieces_by_mean(result) if result else [],
        more=selectors.supplements(result) if result else {},
        scale=range(1, 11),
    )


@require_safe
def analysis_json(request, slug):
    """The whole result as JSON, as `analyse_ratings --json` writes it."""
    study = get_object_or_404(Study, slug=slug)
    if not selectors.may_be_read(study):
        return _withheld()
    findings = selectors.findings(study, with_exclusions=_with_exclusions(request))
    if findings.result is None:
        return JsonResponse({"error": findings.why_not}, status=404)
    _write_down(request, study, "downloaded the analysis")
    return JsonResponse(findings.result, json_dumps_params={"indent": 2, "ensure_ascii": False})


#: Of each form of the report: what the browser is told that it is.
FORMS = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "tables.zip": "application/zip",
    "latex.zip": "application/zip",
    "figures.zip": "application/zip",
}


@require_safe
def report(request, slug, form):
    """The report as a file: page, PDF, or the tables and figures for a paper."""
    study = get_object_or_404(Study, slug=slug)
    if form not in FORMS:
        raise Http404(f"no form {form}; there are {', '.join(FORMS)}")
    if not selectors.may_be_read(study):
        return _withheld()
    findings = selectors.findings(study, with_exclusions=_with_exclusions(request))
    if findings.result is None:
        return JsonResponse({"error": findings.why_not}, status=404)
    _write_down(request, study, f"downloaded the report ({form})")
    data = selectors.report_file(findings.result, form, title=study.title)
    response = HttpResponse(data, content_type=FORMS[form])
    mark = "-" if form.endswith("zip") else "."
    response["Content-Disposition"] = f'attachment; filename="{study.slug}-report{mark}{form}"'
    return response


@require_safe
def ratings(request, slug):
    """The ratings of a closed study, row by row: those that the results count, or all that there are."""
    study = get_object_or_404(Study, slug=slug)
    if not selectors.may_be_read(study):
        return show(request, "withheld.html", "studies", study=study, state=state_of(study))
    _write_down(request, study, "read the ratings", once=True)
    wanted = {name: request.GET.get(name, "") for name in ("condition", "piece", "label", "participant")}
    shown = request.GET.get("rows", "")
    rows = selectors.Rows(shown) if shown in list(selectors.Rows) else selectors.Rows.COUNTED
    listed, n_all = selectors.rating_rows(study, rows=rows, **wanted)
    return show(
        request,
        "ratings.html",
        "studies",
        study=study,
        state=state_of(study),
        page=page_of(request, listed),
        rows=rows,
        n_all=n_all,
        rules=", ".join(study.design["analysis"]["exclude"]).replace("_", " "),
        wanted={name: value for name, value in wanted.items() if value},
    )


@require_safe
def ratings_csv(request, slug):
    """All ratings of a closed study as a CSV file; with names, for those who decide over it alone."""
    study = get_object_or_404(Study, slug=slug)
    if not selectors.may_be_read(study):
        return _withheld()
    if not study.is_blind:
        refuse_others(request, study)
    _write_down(request, study, "downloaded the ratings")
    names = "letters" if study.is_blind else "names"
    return _download(selectors.ratings_csv_text(study), f"{study.slug}-ratings-{names}.csv")


def _with_exclusions(request: HttpRequest) -> bool:
    return request.GET.get("exclusions") != "off"


def _withheld() -> JsonResponse:
    reason = (
        "The study is not closed: whoever looks at answers while they come in decides when to stop by them."
    )
    return JsonResponse({"error": reason}, status=403)


def _write_down(request: HttpRequest, study: Study, what: str, *, once: bool = False) -> None:
    """Log that somebody read names instead of letters; pages once per sign-in, downloads each time."""
    if study.is_blind:
        return
    mark = f"key-{study.pk}-{what}"
    if once and request.session.get(mark):
        return
    request.session[mark] = True
    log_key_access(study=study, who=request.user.get_username(), what=f"{what} in the studio")


def _download(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
