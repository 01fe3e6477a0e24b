"""Django's record of this app."""

from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    """The dashboards app."""

    name = "studies.dashboards"
    label = "dashboards"
    default_auto_field = "django.db.models.BigAutoField"
