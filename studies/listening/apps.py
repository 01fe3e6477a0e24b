"""Django's record of this app."""

from django.apps import AppConfig


class ListeningConfig(AppConfig):
    """The listening app."""

    name = "studies.listening"
    label = "listening"
    default_auto_field = "django.db.models.BigAutoField"
