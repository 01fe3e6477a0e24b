"""What happens in a study: each function is one event of it."""

from studies.listening.services.answers import record_judgement, record_rating
from studies.listening.services.checks import StudyCheck, check_study
from studies.listening.services.creation import create_study
from studies.listening.services.exports import export_study
from studies.listening.services.lives import close_study, log_key_access, open_study, unblind_study
from studies.listening.services.results import analyse_study
from studies.listening.services.simulation import simulate_listeners
from studies.listening.services.sittings import (
    complete_sound_check,
    finish_session,
    record_background,
    record_comment,
    record_events,
    skip_trial,
    start_session,
)
from studies.listening.services.withdrawals import withdraw

__all__ = [
    "StudyCheck",
    "analyse_study",
    "check_study",
    "close_study",
    "complete_sound_check",
    "create_study",
    "export_study",
    "finish_session",
    "log_key_access",
    "open_study",
    "record_background",
    "record_comment",
    "record_events",
    "record_judgement",
    "record_rating",
    "simulate_listeners",
    "skip_trial",
    "start_session",
    "unblind_study",
    "withdraw",
]
