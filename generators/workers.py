"""Work spread over processes: tasks out, words on the way and results back, and nothing left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from generators.errors import GeneratorError

Task = TypeVar("Task")
Result = TypeVar("Result")
Tell = Callable[[Any], None]


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a worker to the caller."""

    error: BaseException


@dataclass(frozen=True)
class _Word:
    """Something that a worker tells while it is at a task."""

    said: Any


def spread(
    begin: Callable[[], Callable[[Task, Tell], Result]],
    tasks: Sequence[Task],
    n_workers: int,
    hear: Callable[[int, Any], None] = lambda number, said: None,
) -> Iterator[tuple[int, Result]]:
    """Do tasks in worker processes; yield the number of each task and its result, in the order they end.

    A worker takes the next task as soon as it is done with one, so none waits for another. Workers start
    afresh, without memory of this process, and end with it, even if it is killed; Ctrl-C reaches this process
    alone.

    Parameters
    ----------
    begin : callable
        Called once in each worker, gives the function that does a task; that is handed the task and a
        function by which to tell something on the way. It, tasks, words and results are pickled.
    n_workers : int
        Processes; never more than there are tasks.
    hear : callable, optional
        Called in this process with the number of a task and what its worker tells, in the order it is told.

    Raises
    ------
    GeneratorError
        If a worker dies. An error in a worker is raised here as it was there.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
    waiting = iter(enumerate(tasks))
    processes: dict[Connection, BaseProcess] = {}
    at_work: dict[Connection, int] = {}
    try:
        with _deaf_to_interrupts():
            for number, task in _first(waiting, min(n_workers, len(tasks))):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, begin), daemon=True)
                process.start()
                theirs.close()
                processes[ours] = process
                _send(ours, at_work, number, task)
        while at_work:
            for connection in wait(list(at_work)):
                outcome = _receive(connection, processes[connection])
                if isinstance(outcome, _Word):
                    hear(at_work[connection], outcome.said)
                    continue
                yield at_work.pop(connection), outcome
                for following, task in _first(waiting, 1):
                    _send(connection, at_work, following, task)
    finally:
        for connection, process in processes.items():
            connection.close()
            process.kill()
        for process in processes.values():
            process.join()


def _first(tasks: Iterator[tuple[int, Task]], count: int) -> Iterator[tuple[int, Task]]:
    for _, task in zip(range(count), tasks, strict=False):
        yield task


def _send(connection: Connection, at_work: dict[Connection, int], number: int, task: Any) -> None:
    at_work[connection] = number
    with contextlib.suppress(BrokenPipeError):  # it is dead: receiving from it tells
        connection.send(task)


def _receive(connection: Connection, process: BaseProcess) -> Any:
    try:
        outcome = connection.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise GeneratorError(
            f"a worker process ended with status {process.exitcode}, as it does where memory runs out; "
            "try fewer workers"
        ) from None
    if isinstance(outcome, _Failure):
        raise outcome.error
    return outcome


def _work(connection: Connection, begin: Callable[[], Callable[[Any, Tell], Any]]) -> None:
    """The life of a worker: until the other end of the connection is closed."""
    do = None

    def tell(said: Any) -> None:
        connection.send(_Word(said))

    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = connection.recv()
            try:
                do = do or begin()
                outcome = do(task, tell)
            except Exception as error:
                outcome = _Failure(_portable(error))
            connection.send(outcome)


def _portable(error: Exception) -> Exception:
    """The error itself if it can be pickled, else one that says the same."""
    try:
        return pickle.loads(pickle.dumps(error)) and error  # noqa: S301 - it was pickled right here
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started here do not hear Ctrl-C, from their first moment on."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
