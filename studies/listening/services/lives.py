"""The life of a study: opened, closed, unblinded."""

from __future__ import annotations

import datetime

from django.db import transaction
from django.db.models import Min

from studies.listening.clock import now
from studies.listening.errors import ListeningError
from studies.listening.models import KeyAccess, Session, Study
from studies.listening.services.checks import check_study


def open_study(*, study: Study) -> Study:
    """Let listeners in. From now on the design stands.

    Raises
    ------
    ListeningError
        If `check_study` finds a problem, or the study was closed before.
    """
    if study.state == Study.State.OPEN:
        return study
    _refuse_reopening(study)
    check = check_study(study=study)
    if check.problems:
        raise ListeningError(
            f"the study {study.slug!r} cannot open: {len(check.problems)} problem"
            f"{'s' if len(check.problems) > 1 else ''}: " + "; ".join(check.problems)
        )
    with transaction.atomic():
        study = Study.objects.select_for_update().get(pk=study.pk)
        if study.state != Study.State.OPEN:
            _refuse_reopening(study)
            study.state, study.opened_at = Study.State.OPEN, _opening(study)
            study.save(update_fields=["state", "opened_at"])
    return study


def _opening(study: Study) -> datetime.datetime:
    """The present, or the start of the first simulated listener if a draft was heard by some before."""
    sessions = Session.objects.filter(participant__study=study)
    first = sessions.aggregate(first=Min("started_at"))["first"]
    return min(now(), first or now())


def _refuse_reopening(study: Study) -> None:
    if study.state == Study.State.CLOSED:
        raise ListeningError(
            f"the study {study.slug!r} was closed on {study.closed_at:%Y-%m-%d} and cannot open again: its "
            f"results may have been read; create a new study with another slug"
        )


@transaction.atomic
def close_study(*, study: Study) -> Study:
    """Take no more listeners. Those who are in the middle have `consent.GRACE_MINUTES` to finish.

    Raises
    ------
    ListeningError
        If the study never opened.
    """
    study = Study.objects.select_for_update().get(pk=study.pk)
    if study.state == Study.State.DRAFT:
        raise ListeningError(f"the study {study.slug!r} is a draft; only an open study can be closed")
    if study.state == Study.State.OPEN:
        study.state, study.closed_at = Study.State.CLOSED, now()
        study.save(update_fields=["state", "closed_at"])
    return study


@transaction.atomic
def unblind_study(*, study: Study, who: str) -> Study:
    """Show which condition is which, for good, and write down who did it. No answer comes in after it.

    Raises
    ------
    ListeningError
        If the study is not closed, or `who` is empty.
    """
    if not who.strip():
        raise ListeningError("unblinding needs a name: who reads the key")
    study = Study.objects.select_for_update().get(pk=study.pk)
    if study.state != Study.State.CLOSED:
        raise ListeningError(
            f"the study {study.slug!r} is {study.state}; close it before unblinding: close_study {study.slug}"
        )
    if study.unblinded_at is None:
        study.unblinded_at, study.unblinded_by = now(), who.strip()[:150]
        study.save(update_fields=["unblinded_at", "unblinded_by"])
        log_key_access(study=study, who=who, what="unblinded the study")
    return study


def log_key_access(*, study: Study, who: str, what: str) -> KeyAccess:
    """Write down that somebody read the key of a study."""
    return KeyAccess.objects.create(study=study, who=who.strip()[:150] or "unknown", what=what[:200])
