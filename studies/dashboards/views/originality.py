"""What generated pieces copied: reports, and the nearest excerpt beside the copy."""

from dataclasses import replace

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from music.score import MusicError
from studies.catalog.errors import CatalogError
from studies.catalog.models import OriginalityReport
from studies.dashboards import figures, services
from studies.dashboards.pages import page_of, show
from studies.dashboards.selectors import originality as selectors
from studies.dashboards.views.catalog import allows_plots

MOST_MATCHES = 10_000


@require_safe
def reports(request):
    """All originality reports, newest first."""
    page = page_of(request, selectors.reports())
    rows = [selectors.report_row(report) for report in page]
    return show(request, "originality.html", "originality", page=page, rows=rows)


@require_safe
@allows_plots
def report(request, pk):
    """One report: generated beside held-out and shuffled music, then the pieces, most copied first."""
    report = _report(pk)
    page = page_of(request, selectors.piece_rows(report))
    known = selectors.catalog_pieces({row.piece for row in page})
    page.object_list = [
        replace(row, public_id=known[row.piece].public_id) if row.piece in known else row
        for row in page.object_list
    ]
    return show(
        request,
        "report.html",
        "originality",
        report=report,
        headline=selectors.headline_of(report),
        plots=figures.histograms(report),
        page=page,
        methods=selectors.methods_of(report),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def pair(request, pk, measure, index):
    """One match: two rolls one above the other, shared notes marked, both to be heard.

    A POST renders the two excerpts and comes back, to the page of the piece if that asked: a second or two
    each, in programs of their own with a time limit, which is short enough to wait for.
    """
    report = _report(pk)
    try:
        number = min(int(request.GET.get("match", 0)), MOST_MATCHES)
        case = selectors.case_of(report, measure, index, number)
    except (ObjectDoesNotExist, ValueError) as error:
        raise Http404(str(error)) from error
    if request.method == "POST":
        try:
            services.render_pair(sides=case.sides)
        except (MusicError, CatalogError) as error:
            messages.error(request, f"This pair cannot be heard: {error}")
        if request.POST.get("back") == "piece" and case.sides:
            return redirect("dashboards:piece", case.sides[0].piece.public_id)
        return redirect(request.get_full_path())
    return show(request, "pair.html", "originality", report=report, case=case)


@require_safe
def report_csv(request, pk):
    """The table of a report as CSV, with no cell that a spreadsheet would run."""
    from analysis.plagiarism.report import report_csv as csv_of

    report = _report(pk)
    response = HttpResponse(csv_of(report.result), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="originality-{report.pk}.csv"'
    return response


@require_safe
def report_json(request, pk):
    """The whole result as JSON, as `plagiarism --json` writes it."""
    return JsonResponse(_report(pk).result, json_dumps_params={"indent": 2, "ensure_ascii": False})


def _report(pk: int) -> OriginalityReport:
    return get_object_or_404(OriginalityReport.objects.select_related("corpus"), pk=pk)
