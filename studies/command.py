"""What all commands share: one clear line for bad input, progress, and one JSON document on request."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from analysis.errors import AnalysisError
from generators.errors import GeneratorError
from music.score import MusicError
from studies.catalog.errors import CatalogError
from studies.catalog.naming import printable
from studies.listening.errors import ListeningError
from studies.secret_key import data_folder_error

#: Errors that say what was wrong with the input; any other is a defect and keeps its traceback.
REFUSALS = (MusicError, GeneratorError, AnalysisError, CatalogError, ListeningError)


#: A byte of a file name that is no UTF-8, as Python keeps it: it has no form but an escape.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

#: What SQLite says where its file or folder is the trouble.
DISK_REFUSALS = ("readonly database", "unable to open database", "disk is full", "disk I/O error")


class EarwitnessCommand(BaseCommand):
    """A command that refuses bad input in one line on stderr, with exit status 1 and no traceback.

    A subclass sets `writes_json` to offer ``--json`` and ends `handle` with `self.finish`.
    """

    writes_json = False
    requires_migrations_checks = False
    requires_system_checks = []  # of the web pages: no command needs them, and loading them takes a second

    def create_parser(self, prog_name, subcommand, **kwargs):
        """The usual parser, with ``--json`` where the command offers it."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.writes_json:
            parser.add_argument(
                "--json", action="store_true", help="print one JSON document on stdout and nothing else there"
            )
        return parser

    def execute(self, *args, **options):
        """Run, and turn every refusal into one line."""
        self.as_json = bool(options.get("json")) and self.writes_json
        self.bars: list[TerminalBar] = []
        try:
            return super().execute(*args, **options)
        except REFUSALS as error:
            raise CommandError(printable(" ".join(str(error).split()))) from error
        except DatabaseError as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                raise CommandError("the database has no tables yet; run: python manage.py migrate") from error
            if any(words in str(error) for words in DISK_REFUSALS):
                raise CommandError(str(data_folder_error(settings.HOME, str(error)))) from error
            raise
        except OSError as error:  # a full disk, a folder without permission
            raise CommandError(_in_words(error)) from error
        except KeyboardInterrupt:
            raise CommandError("stopped", returncode=130) from None
        finally:
            self.stop_bars()

    def finish(self, document: dict | list, *lines: str) -> None:
        """Say what was made and where: the document under ``--json``, else the lines."""
        if self.as_json:
            text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
            self.stdout.write(LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text))
        else:
            for line in lines:
                self.stdout.write(_printable_lines(line))

    def say(self, line: str) -> None:
        """A remark on the way; on stderr, so that stdout stays one JSON document under ``--json``."""
        (self.stderr if self.as_json else self.stdout).write(_printable_lines(line), self.style.NOTICE)

    def say_at_once(self, remark: str) -> None:
        """A remark while a bar is drawn, from any thread."""
        if self.bars:
            self.bars[-1].remark(remark)
        else:
            self.stderr.write(remark)

    def stop_bars(self) -> None:
        """Leave the terminal to what is said next."""
        for bar in self.bars:
            bar.stop()

    def progress(self, label: str, *, first: str = "", **options: bool) -> Callable[..., None]:
        """A callback ``(done, total, remark)``: a bar on a terminal, else a plain line at each tenth.

        A bar shows the remark `first` before anything is counted, and has the options of `TerminalBar`.
        """
        if not sys.stderr.isatty():
            return PlainLines(label, self.stderr.write)
        self.bars.append(TerminalBar(label, first=first, **options))
        return self.bars[-1]


def _printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _in_words(error: OSError) -> str:
    """What the system refused, in one line; within the data folder with the variable that chooses it."""
    reason = error.strerror or str(error)
    if error.filename and Path(str(error.filename)).is_relative_to(settings.HOME):
        return str(data_folder_error(settings.HOME, f"{error.filename}: {reason}"))
    return f"{error.filename}: {reason}" if error.filename else reason


class TerminalBar:
    """A progress bar on stderr that ends with the work, or, if it is open, when it is stopped.

    It shows the time left, unless the remarks have that.
    """

    def __init__(self, label: str, *, first: str = "", has_time: bool = False, is_open: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),  # it is drawn before there is anything to count
            *(() if has_time else (TimeRemainingColumn(),)),
            TextColumn("{task.fields[remark]}"),
        )
        self.is_open = is_open
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task(label, total=None, count="", remark=first)
        self.bar.start()

    def __call__(self, done: float, total: float, remark: str = "") -> None:
        """Draw `done` of `total`."""
        count = f"{done:g}/{total:g}"
        self.bar.update(self.task, completed=done, total=total, count=count, remark=printable(remark))
        if done >= total and not self.is_open:
            self.stop()

    def remark(self, remark: str) -> None:
        """Change the remark alone."""
        self.bar.update(self.task, remark=printable(remark))

    def stop(self) -> None:
        """Leave the terminal as it was; a bar that has stopped stays as it is."""
        self.bar.stop()


class PlainLines:
    """Progress where nobody watches: a line at the start of each tenth and at the end."""

    def __init__(self, label: str, write: Callable[[str], None]):
        self.label, self.write, self.tenth = label, write, -1

    def __call__(self, done: float, total: float, remark: str = "") -> None:
        """Write a line if a new tenth has begun."""
        tenth = int(10 * done / total) if total else 10
        if tenth > self.tenth:
            self.tenth = tenth
            self.write(f"{self.label}: {done:g} of {total:g} {printable(remark)}".rstrip())
