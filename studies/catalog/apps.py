"""Django's record of this app."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The catalog app."""

    name = "studies.catalog"
    label = "catalog"
    default_auto_field = "django.db.models.BigAutoField"
