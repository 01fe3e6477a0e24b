"""Reading strangers' files where a hang, a crash or a full memory hurts nobody.

Each file is parsed by a worker: a fresh Python process (never a fork of this one, which may run threads)
under a memory limit, a clock in the parent and an alarm of its own, so that it also ends when its parent is
gone. What crosses the pipes is JSON and plain integers; nothing that a worker sends can run code here. A
worker that exceeds its time or dies is replaced, and its file becomes a `ScoreError`.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from music.formats import parse_piece, split_pieces
from music.limits import READ_LIMITS, ReadLimits
from music.midi import read_bytes
from music.score import Key, Meter, MusicError, Note, Score, ScoreError, Tempo, Track

_ROOT = Path(__file__).resolve().parent.parent
_BOOTSTRAP = "from music.isolation import work; work()"
_START_SECONDS = 120.0  # for a worker to come up on a busy machine
_ALARM_SECONDS = 10  # by which a worker outlives the parent's clock at most
_PATIENCE = 4  # times the processor time a piece may take that it may take on the clock
_TASKS_PER_WORKER = 2000  # then a fresh one, whatever the parsers left behind
_LOOK_AHEAD = 64  # results that may wait for an earlier one
_SPENT = json.dumps({"error": "reading it needs more memory than a file may use"}).encode()
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR")  # no secrets of the parent's environment


def read_scores(
    paths: Iterable[str | Path],
    *,
    fold_pedal: bool = False,
    limits: ReadLimits = READ_LIMITS,
    timeout_seconds: float = 30.0,
    max_memory_mb: int = 2048,
    workers: int | None = None,
) -> Iterator[tuple[Path, Score | ScoreError]]:
    """Read files in worker processes: each path, in order, with its piece or with why it was refused.

    A file of several pieces (ABC tunes) comes once for each, in the file's order, titles telling them apart.

    Parameters
    ----------
    paths : iterable of str or Path
        Files of any format in `formats.READABLE_SUFFIXES`.
    timeout_seconds : float
        For one piece, counted as processor time, so that a busy machine refuses nothing; a piece that uses
        less is refused after four times as long by the clock.
    max_memory_mb : int
        Of one worker, as address space.
    workers : int, optional
        Processes at once; by default one per available processor, at most 8. None outlives the iterator.

    Raises
    ------
    MusicError
        If no worker can be started.
    """
    tasks = _file_tasks(paths, fold_pedal=fold_pedal, limits=limits)
    with_results = _run(
        tasks,
        timeout_seconds=timeout_seconds,
        max_memory_mb=max_memory_mb,
        workers=workers or _default_workers(),
    )
    for task, result in with_results:
        yield task.path, result


def read_score_isolated(
    source: str | Path | bytes,
    *,
    suffix: str = "",
    fold_pedal: bool = False,
    limits: ReadLimits = READ_LIMITS,
    timeout_seconds: float = 30.0,
    max_memory_mb: int = 2048,
) -> Score:
    """Read one file, or the content of an upload, in a worker process.

    Parameters
    ----------
    source : str, Path or bytes
        A path, or the content of a file.
    suffix : str
        The suffix of the upload's name, with the dot; that of the path by default.

    Raises
    ------
    ScoreError
        If it is no readable piece, holds several, or its parser hangs, crashes or needs too much memory.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, limits=limits)
    path = Path("upload") if isinstance(source, bytes) else Path(source)
    if len(data) > limits.max_bytes:
        raise ScoreError(f"the file has {len(data):,} bytes; at most {limits.max_bytes:,} are read")
    suffix = suffix or path.suffix
    pieces = split_pieces(data, suffix)
    if len(pieces) > 1:
        raise ScoreError(f"the file holds {len(pieces)} pieces where one is needed; split the file")
    task = _Task(path, pieces[0], suffix, fold_pedal, limits)
    ((_, result),) = _run([task], timeout_seconds=timeout_seconds, max_memory_mb=max_memory_mb, workers=1)
    if isinstance(result, ScoreError):
        raise result
    return result


def _default_workers() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


# ---- the parent's side


@dataclass(frozen=True)
class _Task:
    path: Path
    data: bytes
    suffix: str
    fold_pedal: bool
    limits: ReadLimits
    error: ScoreError | None = None  # known before any parser sees the file


def _file_tasks(paths: Iterable[str | Path], *, fold_pedal: bool, limits: ReadLimits) -> Iterator[_Task]:
    for path in map(Path, paths):
        try:
            pieces = split_pieces(read_bytes(path, limits=limits), path.suffix)
        except ScoreError as error:
            yield _Task(path, b"", path.suffix, fold_pedal, limits, error)
            continue
        for piece in pieces:
            yield _Task(path, piece, path.suffix, fold_pedal, limits)


@dataclass
class _Worker:
    """A worker process and what it is doing."""

    process: subprocess.Popen
    deadline: float
    given_at: float = 0.0
    processor_before: float = 0.0  # processor seconds of the process when it got its task
    is_ready: bool = False
    task_number: int | None = None
    n_tasks: int = 0
    received: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(cls, max_memory_mb: int) -> _Worker:
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)}
        environment["EARWITNESS_WORKER_MEMORY_MB"] = str(max_memory_mb)
        try:
            process = subprocess.Popen(  # noqa: S603 - this interpreter with a constant program
                [sys.executable, "-c", _BOOTSTRAP],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=_ROOT,
            )
        except OSError as error:
            raise MusicError(
                f"no process to read files in can be started: {error.strerror or error}"
            ) from None
        os.set_blocking(process.stdout.fileno(), False)
        return cls(process, time.monotonic() + _START_SECONDS)

    def give(self, number: int, task: _Task, timeout_seconds: float) -> None:
        self.task_number, self.n_tasks = number, self.n_tasks + 1
        self.given_at = time.monotonic()
        self.processor_before = self.processor_seconds()
        self.deadline = self.given_at + timeout_seconds
        order = {
            "suffix": task.suffix,
            "fold_pedal": task.fold_pedal,
            "limits": asdict(task.limits),
            "seconds": timeout_seconds * _PATIENCE,
        }
        try:
            self.process.stdin.write(_frame(json.dumps(order).encode(), task.data))
            self.process.stdin.flush()
        except OSError:  # it died; the end of its output tells how
            self.deadline = min(self.deadline, time.monotonic() + 1)

    def processor_seconds(self) -> float:
        """What the process has used so far; where the system does not tell, all the time there was."""
        try:
            # The name of the program, in parentheses, may hold spaces.
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return time.monotonic()

    def is_late(self, now: float, timeout_seconds: float) -> bool:
        """Whether its time is over; if it was only waiting for a processor, it gets more."""
        if self.deadline > now:
            return False
        left = timeout_seconds - (self.processor_seconds() - self.processor_before)
        last = self.given_at + _PATIENCE * timeout_seconds
        if left <= 0 or now >= last:
            return True
        self.deadline = min(now + max(left, 0.05), last)
        return False

    def take(self) -> tuple[bytes, bytes] | None:
        """A reply if one is complete; EOFError if the worker is gone."""
        while chunk := self.process.stdout.read(1 << 20):
            self.received += chunk
        reply = _unframe(self.received)
        if reply is not None:
            self.received.clear()
        elif chunk == b"":
            raise EOFError
        return reply

    def end(self) -> int:
        """Kill the process; returns its exit status."""
        self.process.kill()
        self.process.stdout.close()
        with suppress(OSError):  # a killed reader leaves a broken pipe behind
            self.process.stdin.close()
        return self.process.wait()


def _run(
    tasks: Iterable[_Task], *, timeout_seconds: float, max_memory_mb: int, workers: int
) -> Iterator[tuple[_Task, Score | ScoreError]]:
    """Share tasks out to workers and give the results back in order."""
    source = iter(tasks)
    waiting: deque[tuple[int, _Task]] = deque()
    started: dict[int, _Task] = {}
    results: dict[int, Score | ScoreError] = {}
    pool: list[_Worker] = []
    numbers = count()
    next_out, n_failed_starts, is_done = 0, 0, False
    selector = selectors.DefaultSelector()

    def retire(worker: _Worker) -> int:
        selector.unregister(worker.process.stdout)
        pool.remove(worker)
        return worker.end()

    def finish(worker: _Worker, result: Score | ScoreError) -> None:
        results[worker.task_number] = result
        worker.task_number = None

    try:
        while True:
            while next_out in results:
                yield started.pop(next_out), results.pop(next_out)
                next_out += 1
            while not is_done and len(waiting) < workers and len(started) < _LOOK_AHEAD:
                task = next(source, None)
                if task is None:
                    is_done = True
                    break
                number = next(numbers)
                started[number] = task
                if task.error is not None:
                    results[number] = task.error
                else:
                    waiting.append((number, task))
            for worker in list(pool):
                is_idle = worker.is_ready and worker.task_number is None
                if waiting and is_idle and worker.n_tasks >= _TASKS_PER_WORKER:
                    retire(worker)
                elif waiting and is_idle:
                    worker.give(*waiting.popleft(), timeout_seconds)
            n_coming = sum(not worker.is_ready for worker in pool)
            while len(waiting) > n_coming and len(pool) < workers:
                worker = _Worker.start(max_memory_mb)
                pool.append(worker)
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
                n_coming += 1
            busy = [worker for worker in pool if not worker.is_ready or worker.task_number is not None]
            if next_out in results:
                continue
            if not busy:
                if is_done and not waiting:
                    return
                continue
            pause = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
            for event, _ in selector.select(pause):
                worker = event.data
                try:
                    reply = worker.take()
                except EOFError:
                    was_ready = worker.is_ready
                    status = retire(worker)
                    if worker.task_number is not None:
                        finish(worker, ScoreError(_death_notice(status)))
                    elif not was_ready:
                        n_failed_starts += 1
                        if n_failed_starts >= 3:
                            raise MusicError(
                                f"no process to read files in can be started: it ends with status {status}"
                            ) from None
                    continue
                if reply is None:
                    continue
                if not worker.is_ready:
                    worker.is_ready, n_failed_starts = True, 0
                elif worker.task_number is not None:
                    finish(worker, _reply_to_result(*reply))
                    if reply[0] == _SPENT:
                        retire(worker)
            now = time.monotonic()
            for worker in list(pool):
                if (
                    worker.is_ready
                    and worker.task_number is not None
                    and worker.is_late(now, timeout_seconds)
                ):
                    retire(worker)
                    finish(worker, ScoreError(f"reading it took longer than {timeout_seconds:g} seconds"))
                elif not worker.is_ready and worker.deadline <= now:
                    retire(worker)
                    raise MusicError(f"no process to read files in came up within {_START_SECONDS:g} seconds")
    finally:
        for worker in list(pool):
            retire(worker)
        selector.close()


def _death_notice(status: int) -> str:
    if status >= 0:
        return f"its parser gave up (status {status})"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"its parser crashed ({name})"


def _reply_to_result(head: bytes, body: bytes) -> Score | ScoreError:
    try:
        facts = json.loads(head)
        if "error" in facts:
            return ScoreError(str(facts["error"]))
        numbers = array("i")
        numbers.frombytes(body)
        notes = map(Note, numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4])
        tracks = []
        for program, is_drum, name, n_notes in facts["tracks"]:
            tracks.append(
                Track(
                    tuple(note for _, note in zip(range(n_notes), notes, strict=False)),
                    program,
                    is_drum,
                    name,
                )
            )
        return Score(
            tracks=tuple(tracks),
            ticks_per_beat=facts["ticks_per_beat"],
            tempos=tuple(Tempo(*change) for change in facts["tempos"]),
            meters=tuple(Meter(*change) for change in facts["meters"]),
            keys=tuple(Key(*change) for change in facts["keys"]),
            title=facts["title"],
        )
    except ScoreError as error:
        return error
    except (ValueError, KeyError, TypeError) as error:
        return ScoreError(f"its parser answered nonsense ({type(error).__name__})")


# ---- what both sides speak: two blocks of bytes, each after its length


def _frame(head: bytes, body: bytes) -> bytes:
    return struct.pack(">QQ", len(head), len(body)) + head + body


def _unframe(received: bytearray) -> tuple[bytes, bytes] | None:
    if len(received) < 16:
        return None
    head, body = struct.unpack_from(">QQ", received)
    if len(received) < 16 + head + body:
        return None
    return bytes(received[16 : 16 + head]), bytes(received[16 + head : 16 + head + body])


# ---- the worker's side


def work() -> None:
    """Serve as a worker: read orders from standard input until it ends, answer on standard output."""
    orders = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # parsers that print would break the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end closes the pipe
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends even a parser that never returns to Python
    _limit_resources(int(os.environ["EARWITNESS_WORKER_MEMORY_MB"]))
    answers.write(_frame(b"{}", b""))
    answers.flush()
    while len(sizes := orders.read(16)) == 16:
        head, body = struct.unpack(">QQ", sizes)
        order, data = json.loads(orders.read(head)), orders.read(body)
        signal.alarm(int(order["seconds"]) + _ALARM_SECONDS)
        is_spent = False
        try:
            limits = ReadLimits(**order["limits"])
            score = parse_piece(data, order["suffix"], fold_pedal=order["fold_pedal"], limits=limits)
            answer = _score_to_reply(score)
        except ScoreError as error:
            answer = _error_to_reply(str(error))
        except MemoryError:
            is_spent = True
            answer = _frame(_SPENT, b"")
        except Exception as error:
            answer = _error_to_reply(f"its parser failed: {type(error).__name__}: {str(error)[:200]}")
        signal.alarm(0)
        answers.write(answer)
        answers.flush()
        if is_spent:
            return


def _limit_resources(max_memory_mb: int) -> None:
    import resource

    megabyte = 2**20
    for limit, value in (
        (resource.RLIMIT_AS, max_memory_mb * megabyte),
        (resource.RLIMIT_FSIZE, 64 * megabyte),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # a lower limit of the system's stands, or it knows none (macOS)
            continue


def _error_to_reply(message: str) -> bytes:
    return _frame(json.dumps({"error": message}).encode(), b"")


def _score_to_reply(score: Score) -> bytes:
    numbers = array("i")
    for track in score.tracks:
        for note in track.notes:
            numbers.extend((note.onset, note.pitch, note.duration, note.velocity))
    facts = {
        "ticks_per_beat": score.ticks_per_beat,
        "tempos": [(tempo.tick, tempo.microseconds_per_beat) for tempo in score.tempos],
        "meters": [(meter.tick, meter.numerator, meter.denominator) for meter in score.meters],
        "keys": [(key.tick, key.fifths, key.is_minor) for key in score.keys],
        "title": score.title,
        "tracks": [(track.program, track.is_drum, track.name, len(track.notes)) for track in score.tracks],
    }
    return _frame(json.dumps(facts).encode(), numbers.tobytes())
