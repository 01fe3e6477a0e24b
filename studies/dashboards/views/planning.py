"""How large a study should be, before it is made."""

from django.views.decorators.http import require_safe

from studies.dashboards import figures
from studies.dashboards.pages import show
from studies.dashboards.selectors.planning import planned
from studies.dashboards.views.catalog import allows_plots


@require_safe
@allows_plots
def plan(request):
    """Precision and power of the numbers in the address."""
    found = planned(request.GET)
    return show(
        request,
        "plan.html",
        "studies",
        planned=found,
        plot=figures.detectable(found.plan) if found.plan else None,
    )
