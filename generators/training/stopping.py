"""Ending a run by a signal: what may be broken off at once is, and what must be finished is."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class BrokenOffError(BaseException):
    """Raised where the signal finds work that may be left undone; no `except Exception` may keep it."""


class Stop(threading.Event):
    """Set once the run shall end; breaks off work in `may_break_off` at once."""

    def __init__(self) -> None:
        super().__init__()
        self.can_break_off = False

    @contextlib.contextmanager
    def may_break_off(self) -> Iterator[None]:
        """Work that changes nothing that training depends on: a signal raises `BrokenOffError` in it."""
        if self.is_set():
            raise BrokenOffError
        self.can_break_off = True
        try:
            yield
        finally:
            self.can_break_off = False


@contextlib.contextmanager
def stop_signal(announce: Callable[[], None] | None = None) -> Iterator[Stop]:
    """A `Stop` that the first Ctrl-C or SIGTERM sets; a second one does what it always does.

    `announce` is called at the first, in a thread of its own, as the one at hand may be in the midst of
    writing to the terminal.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, previous[number] or signal.SIG_DFL)
        if announce is not None:
            threading.Thread(target=announce, daemon=True).start()
        if stop.can_break_off:
            raise BrokenOffError

    for number in previous:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)
