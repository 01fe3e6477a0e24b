"""Every string of a corpus against many queries, by the fastest exact way there is on this machine.

- ``dense``: all cells of all pairs, up to 64 melodies at once (`analysis.melody.simd`).
- ``seeds``: only around runs that both have (`analysis.melody.seeds`), for scores alone.
- ``numpy``: all cells of one query at a time (`analysis.melody.alignment`), where numba is missing or there
  is so little to do that compiling would take longer.
- ``auto``: the fastest of these for what is asked.

All give the same numbers, whatever the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody import alignment
from analysis.melody.alignment import Alignment, check_options, frontiers_and_scores

ENGINES = ("auto", "dense", "seeds", "numpy")
HAS_NUMBA = find_spec("numba") is not None
SMALL_CELLS = 10**8  # numpy takes a fifth of a second for so many, a compiler longer
QUERY_BLOCK = 64  # queries that one thread aligns with one batch of melodies
LARGEST_TOKEN = 65_533

#: Seeds cost so many cells of the dense way for each pair of equal runs, and at all for each query.
SEED_PAIR_CELLS = 5_000
SEED_QUERY_CELLS = 4_000_000
SEED_TOKEN_CELLS = 15_000  # and to list the runs of the corpus, for each of its tokens
LEAST_SEED_PENALTY = 3  # runs of three tokens and less are everywhere


class Strings(Sequence[np.ndarray]):
    """Strings of tokens, one after another, in the forms that the ways of searching need.

    Parameters
    ----------
    tokens : np.ndarray [shape=(n_tokens,), dtype=uint16]
        Of all strings.
    starts : np.ndarray [shape=(n_strings + 1,), dtype=int64]
        String s is ``tokens[starts[s]:starts[s + 1]]``.

    Raises
    ------
    AnalysisError
        If a token is larger than 65,533.
    """

    def __init__(self, tokens: np.ndarray, starts: np.ndarray):
        largest = int(tokens.max(initial=0))
        if largest > LARGEST_TOKEN:
            raise AnalysisError(f"tokens must be at most {LARGEST_TOKEN:,}, got {largest:,}")
        self.tokens = tokens
        self.starts = np.asarray(starts, dtype=np.int64)
        self.n_planes = 1 if largest < 254 else 2  # bytes of a token
        self._seeds: dict[int, Any] = {}

    @classmethod
    def of(cls, strings: Sequence[np.ndarray]) -> Strings:
        """Strings that lie apart."""
        starts = np.cumsum([0, *map(len, strings)])
        return cls(np.concatenate([np.empty(0, dtype=np.uint16), *strings]).astype(np.uint16), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, place):
        if not -len(self) <= place < len(self):
            raise IndexError(f"there are {len(self)} strings, got {place}")
        place %= len(self)
        return self.tokens[self.starts[place] : self.starts[place + 1]]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each string."""
        return np.diff(self.starts)

    @cached_property
    def batches(self) -> list[Batch]:
        """All strings, side by side in bytes."""
        return batches_of(self, np.arange(len(self)), lane_bytes=1)

    @cached_property
    def codes(self) -> np.ndarray:
        """Tokens in as few bytes as they need."""
        return np.asarray(self.tokens, dtype=np.uint8 if self.n_planes == 1 else np.uint16)

    def codes_of(self, query: np.ndarray) -> np.ndarray:
        """A query in the type of `codes`; tokens beyond it become one that no string has."""
        nowhere = self.nowhere(1)
        query = np.asarray(query)
        return np.where(query > LARGEST_TOKEN if self.n_planes == 2 else query >= 254, nowhere, query).astype(
            self.codes.dtype
        )

    def nowhere(self, lane_bytes: int) -> int:
        """A token that no string has; one more fills the lanes."""
        return (1 << 8 * lane_bytes * (self.n_planes if lane_bytes == 1 else 1)) - 2

    def seeds(self, penalty: int):
        """The listed runs for a penalty; made once."""
        from analysis.melody.seeds import Seeds

        if penalty not in self._seeds:
            self._seeds[penalty] = Seeds.build(
                self.codes,
                self.starts,
                penalty=penalty,
                bits=8 * self.n_planes,
                nowhere=self.nowhere(1) + 1,
            )
        return self._seeds[penalty]


@dataclass(frozen=True)
class Batch:
    """Strings of about one length, one in each lane."""

    members: np.ndarray  # which strings
    columns: np.ndarray  # (n_columns, n_planes, n_lanes)


def n_workers(workers: int | None) -> int:
    """So many threads, or as many as the processors this process may use.

    Raises
    ------
    AnalysisError
        If fewer than one is asked for.
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise AnalysisError(f"workers must be at least 1, got {workers}")
    return workers


def in_threads(work: Callable, tasks: Iterable, workers: int | None) -> list:
    """What `work` gives for each task, in order."""
    tasks, workers = list(tasks), n_workers(workers)
    if workers == 1 or len(tasks) < 2:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, tasks))


def chosen_engine(engine: str, n_cells: int) -> str:
    """The engine itself, or for ``auto`` numpy or dense.

    Raises
    ------
    AnalysisError
        If there is no such engine, or it needs numba and there is none.
    """
    if engine not in ENGINES:
        raise AnalysisError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "auto":
        return "dense" if HAS_NUMBA and n_cells > SMALL_CELLS else "numpy"
    if engine != "numpy" and not HAS_NUMBA:
        raise AnalysisError(f"engine {engine!r} needs numba, which is not installed; use 'numpy' or 'auto'")
    return engine


def n_cells(queries: Sequence[np.ndarray], strings: Strings) -> int:
    """Cells of all pairs."""
    return sum(map(len, queries)) * len(strings.tokens)


def all_scores(
    queries: Sequence[np.ndarray],
    strings: Strings,
    *,
    penalty: int = 2,
    only_above: bool = False,
    engine: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """S_p of every query with every string [shape=(n_queries, n_strings), dtype=int32].

    Parameters
    ----------
    only_above : bool
        Give scores of `penalty` and less as 0. Seeds find no other, so ``auto`` uses them only then.
    engine : str
        One of `ENGINES`. ``seeds`` takes as long as it takes: hours for repeated notes.

    Raises
    ------
    AnalysisError
        If an option is out of range, or ``seeds`` is to find all scores.
    """
    check_options(0, penalty)
    if engine == "seeds" and not only_above:
        raise AnalysisError(f"engine 'seeds' finds scores above the penalty, {penalty}: ask for only_above")
    way = chosen_engine(engine, n_cells(queries, strings))
    found = _all_scores(queries, strings, penalty, only_above, engine if way == "dense" else way, workers)
    if only_above:
        found[found <= penalty] = 0
    return found


def _all_scores(queries, strings, penalty, only_above, way, workers) -> np.ndarray:
    if way == "numpy":
        rows = [frontiers_and_scores(query, strings, edits=0, penalty=penalty)[1] for query in queries]
        return np.array(rows, dtype=np.int32).reshape(len(queries), len(strings))
    seeded = [way == "seeds"] * len(queries)
    if way == "auto" and only_above and penalty >= LEAST_SEED_PENALTY:
        seeded = _worth_seeding(queries, strings, penalty)
    found = np.zeros((len(queries), len(strings)), dtype=np.int32)
    dense = [place for place, by_seeds in enumerate(seeded) if not by_seeds]
    by_seeds = [place for place, is_seeded in enumerate(seeded) if is_seeded]
    found[dense] = _dense([queries[place] for place in dense], strings, 0, True, penalty, workers)[:, :, 0]
    if by_seeds:
        found[by_seeds] = _by_seeds([queries[place] for place in by_seeds], strings, penalty, workers)
    return found


def all_frontiers(
    queries: Sequence[np.ndarray],
    strings: Strings,
    *,
    edits: int = 3,
    engine: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """L_0 to L_edits of every query with every string [shape=(n_queries, n_strings, edits + 1), int32].

    Raises
    ------
    AnalysisError
        If an option is out of range; ``seeds`` finds no frontiers.
    """
    check_options(edits, 1)
    if engine == "seeds":
        raise AnalysisError("engine 'seeds' finds scores alone; use 'auto', 'dense' or 'numpy'")
    if chosen_engine(engine, n_cells(queries, strings)) == "numpy":
        rows = [frontiers_and_scores(query, strings, edits=edits)[0] for query in queries]
        return np.array(rows, dtype=np.int32).reshape(len(queries), len(strings), edits + 1)
    return _dense(queries, strings, edits + 1, False, 1, workers)


def align_chosen(
    query: np.ndarray, strings: Strings, chosen: np.ndarray, *, edits: int, penalty: int, by_numpy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`alignment.frontiers_and_scores` of one query with some of the strings, by number."""
    if by_numpy:
        return frontiers_and_scores(query, [strings[place] for place in chosen], edits=edits, penalty=penalty)
    batches = batches_of(strings, chosen, lane_bytes=1)
    layers = _layers([query], strings, batches, edits + 1, True, penalty, workers=1)[0, chosen]
    return layers[:, :-1].astype(np.int64), layers[:, -1].astype(np.int64)


def trace(query: np.ndarray, melody: np.ndarray, *, penalty: int, by_numpy: bool) -> Alignment | None:
    """`alignment.best_alignment`, compiled unless told otherwise."""
    if by_numpy:
        return alignment.best_alignment(query, melody, penalty=penalty)
    from analysis.melody import tracing

    return tracing.best_alignment(query, melody, penalty=penalty)


def batches_of(strings: Strings, chosen: np.ndarray, *, lane_bytes: int) -> list[Batch]:
    """Some of the strings side by side, the longest first so that lanes are filled alike."""
    from analysis.melody import simd

    lengths = strings.lengths[chosen]
    order = chosen[np.argsort(-lengths, kind="stable")][: np.count_nonzero(lengths)]
    n_planes, n_lanes = strings.n_planes if lane_bytes == 1 else 1, simd.n_lanes(lane_bytes)
    batches = []
    for first in range(0, len(order), n_lanes):
        members = order[first : first + n_lanes]
        columns = simd.aligned_zeros((int(strings.lengths[members[0]]), n_planes, n_lanes), lane_bytes)
        simd.fill_columns(strings.codes, strings.starts, members, columns)
        batches.append(Batch(members, columns))
    return batches


def _dense(queries, strings, n_levels, with_score, penalty, workers) -> np.ndarray:
    return _layers(queries, strings, strings.batches, n_levels, with_score, penalty, workers=workers)


def _layers(
    queries: Sequence[np.ndarray],
    strings: Strings,
    batches: list[Batch],
    n_levels: int,
    with_score: bool,
    penalty: int,
    *,
    workers: int | None,
) -> np.ndarray:
    """Levels of the frontier, then the score: (n_queries, n_strings, n_layers) int32, 0 for no batch's."""
    from analysis.melody import simd

    found = np.zeros((len(queries), len(strings), n_levels + with_score), dtype=np.int32)
    if not batches or not len(queries):
        return found
    lane_bytes = batches[0].columns.itemsize
    _, n_planes, n_lanes = batches[0].columns.shape
    n_rows, align = simd.passes(n_lanes * lane_bytes, lane_bytes, n_planes, n_levels, with_score)
    blocks = [
        (first, *_query_codes(queries[first : first + QUERY_BLOCK], strings, n_rows, lane_bytes))
        for first in range(0, len(queries), QUERY_BLOCK)
    ]

    def align_block(task):
        batch, (first, codes, starts) = task
        shape = (found.shape[2], n_lanes)
        row = simd.aligned_zeros((len(batch.columns), *shape), lane_bytes)
        best = simd.aligned_zeros((len(starts) - 1, *shape), lane_bytes)
        align(codes, starts, batch.columns, penalty, row, best)
        ends = best.transpose(0, 2, 1)[:, : len(batch.members)]
        found[first : first + len(ends), batch.members] = ends

    in_threads(align_block, [(batch, block) for batch in batches for block in blocks], workers)
    if lane_bytes == simd.NARROW:
        _count_again(found, queries, strings, n_levels, with_score, penalty, workers)
    return found


def _count_again(found, queries, strings, n_levels, with_score, penalty, workers) -> None:
    """Where a byte was full, in lanes of four."""
    for place in np.flatnonzero((found == 255).any(axis=(1, 2))):
        full = np.flatnonzero((found[place] == 255).any(axis=1))
        batches = batches_of(strings, full, lane_bytes=4)
        again = _layers([queries[place]], strings, batches, n_levels, with_score, penalty, workers=workers)
        found[place, full] = again[0, full]


def _query_codes(
    queries: Sequence[np.ndarray], strings: Strings, n_rows: int, lane_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of queries as lanes (n_codes, n_planes), each filled up to whole passes, and their starts."""
    n_planes = strings.n_planes if lane_bytes == 1 else 1
    starts = np.cumsum([0, *(-(-len(query) // n_rows) * n_rows for query in queries)])
    tokens = np.full(starts[-1], strings.nowhere(lane_bytes), dtype=np.uint32)
    for start, query in zip(starts, queries, strict=False):
        tokens[start : start + len(query)] = query if lane_bytes == 4 else strings.codes_of(query)
    planes = [tokens] if n_planes == 1 else [tokens & 255, tokens >> 8]
    return np.stack(planes, axis=1).astype(f"u{lane_bytes}"), starts.astype(np.int64)


def _worth_seeding(queries: Sequence[np.ndarray], strings: Strings, penalty: int) -> list[bool]:
    """Which queries go faster by seeds; none where listing the runs of the corpus would not pay."""
    n_columns = sum(batch.columns.shape[0] * batch.columns.shape[2] for batch in strings.batches)
    if penalty not in strings._seeds:
        to_gain = sum(map(len, queries)) * n_columns
        if SEED_TOKEN_CELLS * len(strings.tokens) > to_gain / 2:
            return [False] * len(queries)
    seeds = strings.seeds(penalty)
    return [
        SEED_QUERY_CELLS + SEED_PAIR_CELLS * seeds.n_pairs(strings.codes_of(query)) < len(query) * n_columns
        for query in queries
    ]


def _by_seeds(queries, strings: Strings, penalty: int, workers: int | None) -> list[np.ndarray]:
    listed = strings.seeds(penalty)
    return in_threads(lambda query: listed.scores(strings.codes_of(query), penalty), queries, workers)
