"""Where in the corpus stands the window that shares most notes with a snippet?

With a snippet G of n units, a corpus piece C_i, a start s and a transposition d,

    common(G, i, s, d) = |{(t, p) in G : (s + t, p + d) in C_i}|        overlap = common / n

for every piece, every start and every transposition asked for. The counts of hundreds of starts are found at
once, by adding bits (`analysis.plagiarism.packing`, `analysis.plagiarism.scan`). Nothing is estimated or
sampled, and what is passed over could not have entered the result.

Order of results, which is total: `common` descending, |d| ascending, d ascending, piece id ascending, s
ascending.

References: Sun, "DeepHear", 2015 (the share of a snippet's notes that stand in its nearest training window).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, Snippet, rows_per_pitch
from analysis.plagiarism.index import NoteIndex
from analysis.plagiarism.packing import Chunk
from analysis.plagiarism.scan import Machine, Queries, scan

EDGES = ("full", "inside")
OFFSETS = ("all", "bar")

#: The sets of transpositions that the definition names.
SAME_KEY = (0,)
TWELVE_KEYS = tuple(range(-6, 6))
TWO_OCTAVES = tuple(range(-12, 13))


class Hit(NamedTuple):
    """One corpus window that shares units with a snippet."""

    piece: int  # id in the index
    start: int  # s, the step of the piece at which the window starts; negative where it hangs over
    transposition: int  # d, semitones from the snippet to the corpus
    common: int  # units shared
    n: int  # units of the snippet
    n_window: int  # units of the corpus window

    @property
    def overlap(self) -> float:
        """Share of the snippet's units that stand in the window, 0 to 1."""
        return self.common / self.n

    @property
    def reverse(self) -> float:
        """Share of the window's units that stand in the snippet; low for windows that hold everything."""
        return self.common / self.n_window if self.n_window else 0.0

    @property
    def jaccard(self) -> float:
        """Units shared over units of either."""
        return self.common / (self.n + self.n_window - self.common)


def order_transpositions(transpositions: Sequence[int]) -> tuple[int, ...]:
    """Transpositions in the order in which they win ties: |d| ascending, then d."""
    return tuple(sorted(set(transpositions), key=lambda d: (abs(d), d)))


def search(
    index: NoteIndex,
    snippets: Sequence[Snippet],
    *,
    k: int = 10,
    transpositions: Sequence[int] = SAME_KEY,
    offsets: str = "all",
    edges: str = "full",
    per_piece: int = 1,
    exclude: Sequence[Collection[int]] | None = None,
    machine: Machine = Machine(),  # noqa: B008 - a frozen value
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Hit]]:
    """Find the `k` best windows of a corpus for each snippet, exactly.

    Parameters
    ----------
    snippets : sequence of Snippet
        With the index's unit; none longer than the index's `window_steps`.
    transpositions : sequence of int
        Semitones d tried: a unit at pitch p is looked for at p + d, without folding into the octave.
    offsets : str
        "all" starts, or only those at a "bar" line (of a piece's own meter, continued before its start).
    edges : str
        "full": windows may hang over either end of a piece by all but one step; "inside": they may not.
    per_piece : int
        The most hits that one piece may have; 1 keeps a vamp from filling the list.
    exclude : sequence of collections of int, optional
        For each snippet, ids of pieces that are left out (`NoteIndex.members`).
    machine : Machine
        Threads and vector width, which change nothing in the result.
    progress : callable, optional
        Called with the work done and the work in all.

    Returns
    -------
    hits : list of lists of Hit
        Best first; an empty list for a snippet without units. A hit may share 0 units.

    Raises
    ------
    AnalysisError
        If an option has no such value, or a window is longer than the index was built for.
    """
    if edges not in EDGES:
        raise AnalysisError(f"edges must be {' or '.join(EDGES)}, got {edges!r}")
    if offsets not in OFFSETS:
        raise AnalysisError(f"offsets must be {' or '.join(OFFSETS)}, got {offsets!r}")
    if k < 1 or per_piece < 1:
        raise AnalysisError(f"k and per_piece must be at least 1, got {k} and {per_piece}")
    if not len(transpositions):
        raise AnalysisError("transpositions must name at least one interval; 0 is the same key")
    longest = max((snippet.window_steps for snippet in snippets), default=0)
    if longest > index.window_steps:
        raise AnalysisError(
            f"the index was built for windows of {index.window_steps} steps, got one of {longest}"
        )
    exclude = exclude if exclude is not None else [()] * len(snippets)
    if len(exclude) != len(snippets):
        raise AnalysisError(f"exclude needs one entry per snippet: {len(snippets)}, got {len(exclude)}")

    unique: dict[tuple, int] = {}  # equal questions are asked once
    asked, asks = [], []
    for snippet, left_out in zip(snippets, exclude, strict=True):
        question = (snippet.digest, frozenset(left_out))
        if snippet.n_units and question not in unique:
            unique[question] = len(asked)
            asked.append((snippet, question[1]))
        asks.append(unique.get(question, -1))
    keys = order_transpositions(transpositions)
    order = sorted(range(len(asked)), key=lambda place: _cost(asked[place][0]))
    queries = _queries(index, [asked[place] for place in order], keys, k=k, per_piece=per_piece)
    domain = _Domain(index, offsets=offsets, edges=edges)
    places = scan(index.chunks, queries, domain.columns, machine, progress)
    found: list[list[Hit]] = [[]] * len(asked)
    for place, hits in zip(order, _hits(index, queries, places, keys), strict=True):
        found[place] = hits
    return [list(found[place]) if place >= 0 else [] for place in asks]


def search_in_batches(
    index: NoteIndex,
    snippets: Sequence[Snippet],
    *,
    batch: int = 512,
    exclude: Sequence[Collection[int]] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> Iterator[tuple[int, list[list[Hit]]]]:
    """Search as `search` does and yield results as they come: the first snippet of a batch, and its hits.

    What is written down after each batch need not be searched again if the work is cut off.

    Raises
    ------
    AnalysisError
        If `batch` is less than 1, and as `search` does.
    """
    if batch < 1:
        raise AnalysisError(f"a batch needs at least 1 snippet, got {batch}")
    for first in range(0, len(snippets), batch):
        part = slice(first, first + batch)
        yield (
            first,
            search(index, snippets[part], exclude=None if exclude is None else exclude[part], **options),
        )
        if progress:
            progress(min(first + batch, len(snippets)), len(snippets))


def _cost(snippet: Snippet) -> tuple[int, int]:
    """Snippets that need the same code and the same starts stand together."""
    return snippet.window_steps, snippet.n_units


def _queries(
    index: NoteIndex,
    asked: Sequence[tuple[Snippet, frozenset[int]]],
    keys: Sequence[int],
    *,
    k: int,
    per_piece: int,
) -> Queries:
    counts = [snippet.n_units for snippet, _ in asked]
    steps = np.concatenate([np.zeros(0, dtype=np.int64), *(snippet.steps for snippet, _ in asked)])
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(snippet.rows for snippet, _ in asked)])
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(index.rarest_rows):
        raise AnalysisError(
            f"rows of {index.unit!r} are 0 to {len(index.rarest_rows) - 1}, "
            f"got one of {rows.min() if rows.min() < 0 else rows.max()}"
        )
    # The rarest rows first: a window that lacks them is known to be no candidate before all are added.
    # Snippet, rank of the row and step share a number, which is sorted faster than its parts.
    rank = np.argsort(index.rarest_rows)
    numbers = np.sort((np.repeat(np.arange(len(asked)), counts) << 40) | (rank[rows] << 24) | steps)
    known = range(len(index.pieces))
    excluded = [np.array(sorted(i for i in ids if i in known), dtype=np.int64) for _, ids in asked]
    return Queries(
        steps=numbers & 0xFFFFFF,
        rows=index.rarest_rows[(numbers >> 24) & 0xFFFF],
        units=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        window_steps=np.array([snippet.window_steps for snippet, _ in asked], dtype=np.int64),
        keys=np.array(keys, dtype=np.int64) * rows_per_pitch(index.unit),
        excluded=np.concatenate([np.zeros(0, dtype=np.int64), *excluded]),
        exclusions=np.concatenate([[0], np.cumsum([len(ids) for ids in excluded], dtype=np.int64)]).astype(
            np.int64
        ),
        k=k,
        per_piece=per_piece,
    )


def _hits(
    index: NoteIndex, queries: Queries, places: Sequence[np.ndarray], keys: Sequence[int]
) -> Iterator[list[Hit]]:
    """The windows of each list, with what else they hold."""
    counts = [len(own) for own in places]
    common, rank, piece, start = np.concatenate([np.zeros((0, 4), dtype=np.int64), *places]).T
    n_window = index.count_units(piece, start, np.repeat(queries.window_steps, counts))
    n = np.repeat(np.diff(queries.units), counts)
    columns = (piece, start, np.array(keys)[rank], common, n, n_window)
    make = partial(tuple.__new__, Hit)  # as Hit._make, without a call of Python per hit
    hits = map(make, zip(*(column.tolist() for column in columns), strict=True))
    for count in counts:
        yield list(itertools.islice(hits, count))


class _Domain:
    """The starts s that are searched, for windows of any length."""

    def __init__(self, index: NoteIndex, *, offsets: str, edges: str):
        self.index = index
        self.offsets = offsets
        self.edges = edges
        self._columns: dict[tuple[int, int], np.ndarray] = {}

    def starts(self, piece: PieceUnits, window_steps: int) -> np.ndarray:
        """Starts in one piece, ascending."""
        first, last = 1 - window_steps, piece.n_steps - 1
        if self.edges == "inside":
            first, last = 0, piece.n_steps - window_steps
        if self.offsets == "all":
            return np.arange(first, last + 1)
        lines = list(piece.bar_steps) or [0]
        bar = lines[1] - lines[0] if len(lines) > 1 else max(piece.n_steps - lines[0], 1)
        before = range(lines[0] - bar, first - 1, -bar)
        return np.array(sorted(line for line in {*lines, *before} if first <= line <= last), dtype=np.int64)

    def columns(self, chunk: Chunk, window_steps: int) -> np.ndarray:
        """Columns of a chunk at which windows start, ascending."""
        key = (chunk.first_piece, window_steps)
        if key not in self._columns:
            pieces = self.index.pieces[chunk.first_piece : chunk.first_piece + chunk.n_pieces]
            starts = [self.starts(piece.units, window_steps) for piece in pieces]
            first = chunk.regions[:-1] + chunk.gap
            self._columns[key] = np.concatenate(starts) + np.repeat(first, [len(each) for each in starts])
        return self._columns[key]
