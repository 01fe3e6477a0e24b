"""Progress on a real terminal: a pseudo-terminal, read as a person sees it."""

import contextlib
import io
import os
import pty
import re
import threading

import pytest
from django.core.management import call_command

from studies.command import EarwitnessCommand


@contextlib.contextmanager
def terminal():
    """Makes stderr a terminal; yields a buffer that holds what was drawn on it once it is closed."""
    ours, theirs = pty.openpty()
    drawn, buffer = [], io.StringIO()

    def listen():
        with contextlib.suppress(OSError):  # nobody writes any more
            while data := os.read(ours, 4096):
                drawn.append(data)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        with os.fdopen(theirs, "w") as stream, contextlib.redirect_stderr(stream):
            yield buffer
    finally:
        listener.join()
        os.close(ours)
        buffer.write(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(drawn).decode()))


class Counts(EarwitnessCommand):
    """Draws a bar, with the options and to the counts that a test gives."""

    bar_options: dict = {}
    counts: tuple = (0, 1, 2)

    def handle(self, **options):
        bar = self.progress("writing", **self.bar_options)
        for done in self.counts:
            bar(done, 2, f"piece {done}")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")


def drawn_by(**attributes) -> str:
    with terminal() as drawn:
        command = Counts()
        for name, value in attributes.items():
            setattr(command, name, value)
        call_command(command)
    return drawn.getvalue()


def test_a_bar_is_drawn_while_something_is_counted():
    drawn = drawn_by()
    for words in ("writing", "2/2", "0:00:00", "piece 2"):
        assert words in drawn


def test_before_anything_is_counted_the_bar_says_what_goes_on_and_no_figures():
    drawn = drawn_by(bar_options={"first": "reading the corpus"}, counts=())
    assert "reading the corpus" in drawn
    assert not re.search(r"\d/\d|-:--", drawn)


def test_a_command_whose_remarks_tell_the_time_has_no_second_clock():
    drawn = drawn_by(bar_options={"has_time": True})
    assert "2/2" in drawn
    assert ":00" not in drawn
