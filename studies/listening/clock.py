"""The time of the study: the server's clock, or a compressed one for a sitting that nobody sits through."""

import contextlib
import datetime
from collections.abc import Iterator
from contextvars import ContextVar

from django.utils import timezone


class Clock:
    """A clock that runs as fast as it is told to."""

    def __init__(self, start: datetime.datetime):
        self.time = start

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.time += datetime.timedelta(seconds=seconds)


_clock: ContextVar[Clock | None] = ContextVar("clock", default=None)


def now() -> datetime.datetime:
    """The present, in UTC: of the server, or of the compressed clock that is set in this context."""
    clock = _clock.get()
    return timezone.now() if clock is None else clock.time


@contextlib.contextmanager
def compressed(start: datetime.datetime | None = None) -> Iterator[Clock]:
    """A clock that stands still until it is advanced, for this thread alone.

    Simulated listeners and the blindness audit hear whole studies on it in a moment, past the same checks
    as people. Nothing that a request carries can set it.
    """
    token = _clock.set(Clock(start or timezone.now()))
    try:
        yield _clock.get()
    finally:
        _clock.reset(token)
