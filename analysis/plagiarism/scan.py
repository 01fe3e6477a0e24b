"""How are all windows of an index compared with many snippets at once, on all cores?

Snippets are independent of each other: each has its own list of best windows, which the scan fills chunk
after chunk. Threads share the snippets out. So the result depends neither on how many threads there are nor
on how the corpus is cut into chunks, blocks and vectors.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism import plain_scan
from analysis.plagiarism.packing import Chunk, pack_columns

ENGINES = ("auto", "compiled", "plain")
PLANES = (7, 9, 12, 24)  # bit planes for which there is code: fewer are faster
BLOCK = 128  # vectors whose rows, with those that their windows reach, stay in a core's own cache
SNIPPETS_PER_TASK = 256
PLAIN_SECONDS = 0.5  # loading compiled code takes longer than so much work in numpy


@dataclass(frozen=True)
class Queries:
    """Snippets, one behind the other, and what is asked of each."""

    steps: np.ndarray  # (n_units of all,) int64
    rows: np.ndarray  # (n_units of all,) int64
    units: np.ndarray  # (n_snippets + 1,) int64: where each snippet's units start
    window_steps: np.ndarray  # (n_snippets,) int64
    keys: np.ndarray  # (n_keys,) int64, in rows, in the order in which they win ties
    excluded: np.ndarray  # ids of the pieces of the index that are left out, ascending for each snippet
    exclusions: np.ndarray  # (n_snippets + 1,) int64: where each snippet's begin
    k: int
    per_piece: int

    def __len__(self) -> int:
        return len(self.units) - 1


@dataclass(frozen=True)
class Machine:
    """How a scan is run; nothing here changes its result."""

    workers: int = -1  # threads; -1 for one per core
    engine: str = "auto"
    width: int | None = None  # words that are added at once; None for what the processor holds
    block: int = BLOCK  # vectors that are searched for all snippets before the next ones

    def __post_init__(self):
        if self.engine not in ENGINES:
            raise AnalysisError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.workers != -1 and self.workers < 1:
            raise AnalysisError(f"workers must be at least 1, or -1 for every core, got {self.workers}")

    @property
    def n_threads(self) -> int:
        """How many threads that is here."""
        return len(os.sched_getaffinity(0)) if self.workers == -1 else self.workers


def has_numba() -> bool:
    """Whether the compiled scan can run here."""
    return importlib.util.find_spec("numba") is not None


def scan(
    chunks: Sequence[Chunk],
    queries: Queries,
    columns_of: Callable[[Chunk, int], np.ndarray],
    machine: Machine,
    progress: Callable[[int, int], None] | None = None,
) -> list[np.ndarray]:
    """The best windows of all chunks for each snippet.

    Parameters
    ----------
    columns_of : callable
        Gives, for a chunk and a window's length, the columns at which a window may start, ascending.
    progress : callable, optional
        Called with the snippets done and all, each once per chunk.

    Returns
    -------
    places : list of np.ndarray [shape=(n, 4), dtype=int64]
        Common units, rank of the transposition, piece, start; best first.
    """
    if _is_compiled(chunks, queries, machine):
        return _scan_compiled(chunks, queries, columns_of, machine, progress)
    return _scan_plain(chunks, queries, columns_of, progress)


def _is_compiled(chunks: Sequence[Chunk], queries: Queries, machine: Machine) -> bool:
    if machine.engine == "auto":
        words = sum(chunk.n_vectors * chunk.words for chunk in chunks)
        seconds = len(queries.keys) * (
            len(queries.steps) * (len(chunks) * 8e-6 + words * 5e-9) + len(queries) * words * 1e-6
        )
        return has_numba() and ("numba" in sys.modules or seconds > PLAIN_SECONDS)
    if machine.engine == "compiled" and not has_numba():
        raise AnalysisError("the compiled engine needs numba, which is not installed; use engine 'plain'")
    return machine.engine == "compiled"


def _scan_plain(chunks, queries: Queries, columns_of, progress) -> list[np.ndarray]:
    found = [np.empty((0, 4), dtype=np.int64)] * len(queries)
    limits = {"k": queries.k, "per_piece": queries.per_piece}
    for number, chunk in enumerate(chunks):
        for snippet in range(len(queries)):
            own = slice(queries.units[snippet], queries.units[snippet + 1])
            allowed = np.zeros(int(chunk.regions[-1]), dtype=bool)
            allowed[columns_of(chunk, int(queries.window_steps[snippet]))] = True
            for piece in _excluded_here(chunk, queries, snippet):
                allowed[chunk.regions[piece] : chunk.regions[piece + 1]] = False
            best = plain_scan.best_of_chunk(
                chunk, allowed, queries.steps[own], queries.rows[own], queries.keys.tolist(), **limits
            )
            found[snippet] = plain_scan.first_places(np.concatenate([found[snippet], best]), **limits)
            if progress:
                progress(number * len(queries) + snippet + 1, len(chunks) * len(queries))
    return found


def _excluded_here(chunk: Chunk, queries: Queries, snippet: int) -> np.ndarray:
    """Places in the chunk of the pieces that are left out for a snippet."""
    ids = queries.excluded[queries.exclusions[snippet] : queries.exclusions[snippet + 1]]
    places = ids - chunk.first_piece
    return places[(places >= 0) & (places < chunk.n_pieces)]


def _scan_compiled(chunks, queries: Queries, columns_of, machine: Machine, progress) -> list[np.ndarray]:
    from analysis.plagiarism.compiled_scan import full_width, scan_function, unpack_places

    n_snippets = len(queries)
    scores, wheres = np.zeros((2, n_snippets, queries.k), dtype=np.int64)
    n_places = np.zeros(n_snippets, dtype=np.int64)
    # A list that cannot fill would take every window.
    n_left = sum(chunk.n_pieces for chunk in chunks) - np.diff(queries.exclusions)
    limits = np.minimum(queries.k, n_left * queries.per_piece)
    tasks = _tasks(queries, machine.n_threads)
    done, total = 0, len(chunks) * n_snippets

    def run(chunk: Chunk, mask: np.ndarray, n_planes: int, first: int, last: int) -> int:
        width = min(machine.width or full_width(), chunk.words)
        scan_function(chunk.words, width, n_planes)(
            chunk.rows.reshape(-1), chunk.n_vectors, chunk.rows.shape[1] * chunk.words,
            chunk.row_index, chunk.regions, chunk.gap, chunk.first_piece, mask,
            queries.steps, queries.rows, queries.units, queries.keys, queries.excluded, queries.exclusions,
            limits, queries.per_piece, machine.block, first, last, scores, wheres, n_places,
        )  # fmt: skip
        return last - first

    with ThreadPoolExecutor(machine.n_threads) as pool:
        for chunk in chunks:
            masks = {
                steps: pack_columns(columns_of(chunk, steps), chunk.n_vectors, chunk.words).reshape(-1)
                for steps in {task[3] for task in tasks}
            }
            futures = [
                pool.submit(run, chunk, masks[window_steps], n_planes, first, last)
                for first, last, n_planes, window_steps in tasks
            ]
            for future in as_completed(futures):
                done += future.result()
                if progress:
                    progress(done, total)
    places = unpack_places(scores.reshape(-1), wheres.reshape(-1), len(queries.keys))
    own = places.reshape(n_snippets, queries.k, 4)
    return [own[snippet, :n] for snippet, n in enumerate(n_places.tolist())]


def _tasks(queries: Queries, n_threads: int) -> list[tuple[int, int, int, int]]:
    """Runs of snippets that need the same code and mask: first, last, planes, window."""
    counts = np.diff(queries.units)
    planes = np.array(PLANES)[np.searchsorted(2 ** np.array(PLANES), counts, side="right")]
    most = min(SNIPPETS_PER_TASK, -(-len(queries) // n_threads)) if n_threads > 1 else len(queries)
    tasks, first = [], 0
    for snippet in range(1, len(queries) + 1):
        if (
            snippet == len(queries)
            or snippet - first == most
            or queries.window_steps[snippet] != queries.window_steps[first]
            or planes[snippet] != planes[first]
        ):
            tasks.append((first, snippet, int(planes[first]), int(queries.window_steps[first])))
            first = snippet
    return tasks
