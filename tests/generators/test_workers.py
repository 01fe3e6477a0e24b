import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from generators.errors import GeneratorError
from generators.workers import spread
from tests.generators.tasks import begin, begin_badly

ROOT = Path(__file__).parent.parent.parent


def squares(kind: str, tasks, n_workers: int) -> dict:
    return dict(spread(functools.partial(begin, kind), tasks, n_workers))


@pytest.mark.parametrize("n_workers", [1, 2, 9])
def test_every_task_is_done_once_by_any_number_of_workers(n_workers):
    assert squares("square", range(5), n_workers) == {n: n * n for n in range(5)}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_what_workers_tell_on_the_way_is_heard_before_their_results(n_workers):
    tasks, events = [3, 0, 2, 5], []
    hear = lambda number, said: events.append((number, said))  # noqa: E731
    for number, result in spread(functools.partial(begin, "count"), tasks, n_workers, hear):
        events.append((number, f"result {result}"))
    for number, task in enumerate(tasks):
        own = [said for about, said in events if about == number]
        assert own == [*range(task), f"result {task * task}"]


def test_no_task_is_no_work():
    assert squares("square", [], 2) == {}


def test_an_error_in_a_worker_is_raised_as_it_was():
    with pytest.raises(GeneratorError, match="no 2 here"):
        squares("refuse", range(4), 2)


def test_an_error_in_the_beginning_is_raised_as_it_was():
    with pytest.raises(GeneratorError, match="square cannot begin"):
        list(spread(functools.partial(begin_badly, "square"), range(2), 1))


def test_an_error_that_cannot_travel_says_what_it_was():
    with pytest.raises(RuntimeError, match="Unportable: of no use elsewhere"):
        squares("unportable", [1], 1)


def test_a_worker_that_dies_is_told():
    with pytest.raises(GeneratorError, match="a worker process ended with status -9"):
        squares("die", [1, 2], 2)


@pytest.mark.parametrize(
    ("number", "status", "kind"), [(signal.SIGINT, 7, "sleep"), (signal.SIGKILL, -signal.SIGKILL, "nap")]
)
def test_workers_end_with_their_caller(tmp_path, number, status, kind):
    """Ctrl-C goes to the whole group of processes, as from a terminal, and ends them in their sleep.

    A kill goes to the caller alone: its workers end after the task at hand.
    """
    code = (
        "import functools, sys\n"
        "from generators.workers import spread\n"
        "from tests.generators.tasks import begin\n"
        "try:\n"
        "    list(spread(functools.partial(begin, sys.argv[1]), sys.argv[2:], 2))\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(7)\n"
    )
    marks = [tmp_path / "a", tmp_path / "b"]
    caller = subprocess.Popen(
        [sys.executable, "-c", code, kind, *map(str, marks)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    workers = [int(mark.read_text()) for mark in marks]
    if number == signal.SIGINT:
        os.killpg(caller.pid, number)
        _, said = caller.communicate(timeout=120)
        assert said == ""
    else:
        caller.kill()
        caller.wait(timeout=120)
    assert caller.returncode == status
    wait_until(lambda: not any(is_running(worker) for worker in workers))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
