"""Work for worker processes, in a module that they can import and that is light to import."""

import functools
import os
import signal
import time
from pathlib import Path

from generators.errors import GeneratorError

SECONDS = {"nap": 2, "sleep": 60}


class Unportable(Exception):
    """An error that cannot be pickled: it holds an open file."""

    def __init__(self):
        super().__init__("of no use elsewhere")
        self.file = Path(os.devnull).open()  # noqa: SIM115


def begin(kind: str):
    return functools.partial(do, kind)


def do(kind: str, task, tell):
    if kind == "count":
        for number in range(task):
            tell(number)
    if kind == "refuse" and task == 2:
        raise GeneratorError(f"no {task} here")
    if kind == "unportable":
        raise Unportable
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind in SECONDS:
        Path(task).write_text(str(os.getpid()))
        time.sleep(SECONDS[kind])
    return task * task


def begin_badly(kind: str):
    raise GeneratorError(f"{kind} cannot begin")
