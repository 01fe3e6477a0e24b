"""All addresses: listeners under /s/, researchers under /studio/, the rest in Django's admin."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="dashboards:studies"), name="home"),
    path("s/", include("studies.listening.urls")),
    path("studio/", include("studies.dashboards.urls")),
    path("accounts/", include("studies.accounts")),
    path("admin/", admin.site.urls),
]
