"""Leaving a study: all rows of the participant go, one line without a name stays."""

from __future__ import annotations

import datetime
import logging

from django.db import connection, transaction

from studies.listening.clock import now
from studies.listening.errors import UnknownCode, WithdrawalOver
from studies.listening.models import Judgement, Participant, Rating, Study, Withdrawal
from studies.listening.services.analyses import forget_analyses

logger = logging.getLogger(__name__)


@transaction.atomic
def withdraw(*, study: Study, code: str) -> None:
    """Delete everything of the participant who has this withdrawal code.

    That is possible at any time, also long after, unless the study sets `consent.withdraw_days`: then for so
    many days after the listener was last there, as the consent page says.

    Ratings, judgements, events, trials, the session and the participant are deleted; what stays is that
    somebody withdrew, and the day. Small letters, spaces and missing hyphens are forgiven.

    Raises
    ------
    UnknownCode
        If nobody in the study has the code, or they have withdrawn already.
    WithdrawalOver
        If the days are over; it names whom to ask instead.
    """
    letters = "".join(letter for letter in code.upper() if letter.isalnum())[:32]
    hyphened = "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))
    participants = Participant.objects.select_for_update()
    participant = participants.filter(study=study, withdrawal_code=hyphened).first()
    if participant is None:
        raise UnknownCode("no answers in this study have this code; it has 16 letters and digits")
    _refuse_late_withdrawal(study, participant)
    Withdrawal.objects.create(study=study, is_simulated=participant.is_simulated)
    delete_participant(participant)
    transaction.on_commit(_clear_log)
    transaction.on_commit(lambda: forget_analyses(study))


def _refuse_late_withdrawal(study: Study, participant: Participant) -> None:
    """Hold what the consent page says about how long answers can be deleted."""
    terms = study.design["consent"]
    if terms["withdraw_days"] is None:
        return
    last = participant.session.finished_at or participant.session.last_seen_at
    until = last + datetime.timedelta(days=terms["withdraw_days"])
    if now() > until:
        whom = terms["contact"] or "the researchers who sent you the link"
        raise WithdrawalOver(
            f"the {terms['withdraw_days']} days in which this code works ended on {until:%Y-%m-%d}; "
            f"ask {whom} to delete your answers"
        )


def _clear_log() -> None:
    """Empty SQLite's write-ahead log, where rows outlive their deletion until they are written over."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        logger.warning("the write-ahead log is in use; what was withdrawn stays in it until it is cleared")


def delete_participant(participant: Participant) -> None:
    """Delete a participant with all that they did."""
    Judgement.objects.filter(trial__session__participant=participant).delete()
    Rating.objects.filter(trial__session__participant=participant).delete()
    participant.delete()
