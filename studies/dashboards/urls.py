"""Addresses of the studio, every one behind the login."""

from django.contrib.auth.decorators import login_required
from django.urls import path
from django.views.decorators.cache import never_cache

from studies.dashboards.views import catalog, originality, planning, results, studies


def page(route: str, view, name: str):
    """A page for people who signed in; no cache keeps it, so it is gone after signing out."""
    return path(route, login_required(never_cache(view)), name=name)


def image(route: str, view, name: str):
    """An image for people who signed in; it never changes, so their browser may keep it."""
    return path(route, login_required(view), name=name)


app_name = "dashboards"
urlpatterns = [
    page("", studies.studies, "studies"),
    page("planning/", planning.plan, "plan"),
    page("studies/<slug:slug>/", studies.study, "study"),
    page("studies/<slug:slug>/counts.json", studies.counts, "counts"),
    page("studies/<slug:slug>/open/", studies.open_, "open"),
    page("studies/<slug:slug>/close/", studies.close, "close"),
    page("studies/<slug:slug>/unblind/", studies.unblind, "unblind"),
    page("studies/<slug:slug>/results/", results.results, "results"),
    page("studies/<slug:slug>/results/analysis.json", results.analysis_json, "analysis_json"),
    page("studies/<slug:slug>/results/report/<str:form>", results.report, "report_file"),
    page("studies/<slug:slug>/ratings/", results.ratings, "ratings"),
    page("studies/<slug:slug>/ratings.csv", results.ratings_csv, "ratings_csv"),
    page("library/", catalog.library, "library"),
    page("library/<uuid:public_id>/", catalog.piece, "piece"),
    image("library/<uuid:public_id>/roll.svg", catalog.roll, "roll"),
    image("library/<uuid:public_id>/roll-wide.svg", catalog.wide_roll, "wide_roll"),
    page("sounds/<uuid:public_id>.mp3", catalog.audio, "audio"),
    page("models/", catalog.models, "models"),
    page("models/<slug:name>/", catalog.model, "model"),
    page("corpora/", catalog.corpora, "corpora"),
    page("corpora/<slug:name>/", catalog.corpus, "corpus"),
    page("originality/", originality.reports, "originality"),
    page("originality/<int:pk>/", originality.report, "report"),
    page("originality/<int:pk>/table.csv", originality.report_csv, "report_csv"),
    page("originality/<int:pk>/result.json", originality.report_json, "report_json"),
    page("originality/<int:pk>/<str:measure>/<int:index>/", originality.pair, "pair"),
]
