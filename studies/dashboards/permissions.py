"""Who decides over a study: its owner, and whoever administers the installation."""

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from studies.listening.models import Study


def may_decide(user: AbstractBaseUser, study: Study) -> bool:
    """Whether somebody may close a study, open its key, and take away answers with their names."""
    return user.is_superuser or (study.owner_id is not None and study.owner_id == user.pk)


def refuse_others(request: HttpRequest, study: Study) -> None:
    """Let nobody pass but those who decide.

    Raises
    ------
    PermissionDenied
        For everybody else.
    """
    if not may_decide(request.user, study):
        raise PermissionDenied(f"only the owner of {study.slug!r} or an administrator may do this")
