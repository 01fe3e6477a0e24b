"""Where in the corpus stands the window that shares most notes with a snippet?

With a snippet G of n units, a corpus piece C_i, a start s and a transposition d,

    common(G, i, s, d) = |{(t, p) in G : (s + t, p + d) in C_i}|        overlap = common / n

for every piece, every start and every transposition asked for. The counts of all starts are found at once:
the snippet's units name rows of the index, each shifted by the unit's step, and the sum of those rows is
`common` at every column. Nothing is estimated, pruned or sampled.

Order of results, which is total: `common` descending, |d| ascending, d ascending, piece id ascending, s
ascending.

References: Sun, "DeepHear", 2015 (the share of a snippet's notes that stand in its nearest training window).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, Snippet, rows_per_pitch
from analysis.plagiarism.index import Block, NoteIndex

EDGES = ("full", "inside")
OFFSETS = ("all", "bar")

#: The sets of transpositions that the definition names.
SAME_KEY = (0,)
TWELVE_KEYS = tuple(range(-6, 6))
TWO_OCTAVES = tuple(range(-12, 13))


@dataclass(frozen=True)
class Hit:
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
    if not transpositions:
        raise AnalysisError("transpositions must name at least one interval; 0 is the same key")
    longest = max((snippet.window_steps for snippet in snippets), default=0)
    if longest > index.window_steps:
        raise AnalysisError(
            f"the index was built for windows of {index.window_steps} steps, got one of {longest}"
        )
    exclude = exclude if exclude is not None else [()] * len(snippets)
    if len(exclude) != len(snippets):
        raise AnalysisError(f"exclude needs one entry per snippet: {len(snippets)}, got {len(exclude)}")

    keys = order_transpositions(transpositions)
    domain = _Domain(index, offsets=offsets, edges=edges)
    unique = {snippet.digest: snippet for snippet in snippets if snippet.n_units}
    maxima = {
        digest: np.full((len(keys), len(index.pieces)), -1, dtype=np.int32) for digest in unique
    }  # -1 where a piece has no window
    done, total = 0, len(unique) * len(index.blocks)
    for block in index.blocks:
        for digest, snippet in unique.items():
            ids = slice(block.first_piece, block.first_piece + len(block.offsets))
            maxima[digest][:, ids] = _maxima(index, block, domain, snippet, keys)
            done += 1
            if progress:
                progress(done, total)
    return [
        _best_hits(index, domain, snippet, keys, maxima[snippet.digest], excluded, k=k, per_piece=per_piece)
        if snippet.n_units
        else []
        for snippet, excluded in zip(snippets, exclude, strict=True)
    ]


class _Domain:
    """The starts s that are searched, for windows of any length."""

    def __init__(self, index: NoteIndex, *, offsets: str, edges: str):
        self.index = index
        self.offsets = offsets
        self.edges = edges
        self.is_everything = offsets == "all" and edges == "full"
        self._columns: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

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

    def columns(self, block: Block, window_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns of a block at which windows start, piece after piece, and how many each piece has."""
        key = (block.first_piece, window_steps)
        if key not in self._columns:
            pieces = self.index.pieces[block.first_piece : block.first_piece + len(block.offsets)]
            starts = [self.starts(piece.units, window_steps) for piece in pieces]
            columns = [offset + start for offset, start in zip(block.offsets, starts, strict=True)]
            self._columns[key] = np.concatenate(columns), np.array([len(start) for start in starts])
        return self._columns[key]


def _count(rows: np.ndarray, picks: Sequence[tuple[int, int]], n_columns: int) -> np.ndarray:
    """Sum rows, each from its own first column on, over `n_columns` columns: uint8 up to 255 rows."""
    total = None
    for first in range(0, max(len(picks), 1), 255):  # what 8 bits can count
        part = np.zeros(n_columns, dtype=np.uint8)
        for row, column in picks[first : first + 255]:
            np.add(part, rows[row, column : column + n_columns], out=part)
        total = part if total is None else total.astype(np.uint16) + part
    return total


def _picks(block: Block, snippet: Snippet, transposition: int, rows_of_pitch: int) -> list[tuple[int, int]]:
    """Rows of a block that hold the snippet's units, with their steps; those it lacks are left out."""
    rows = snippet.rows + transposition * rows_of_pitch
    inside = (rows >= 0) & (rows < len(block.row_index))
    found = block.row_index[rows[inside]]
    return list(zip(found[found >= 0].tolist(), snippet.steps[inside][found >= 0].tolist(), strict=True))


def _maxima(
    index: NoteIndex, block: Block, domain: _Domain, snippet: Snippet, keys: tuple[int, ...]
) -> np.ndarray:  # (n_keys, n_pieces of the block)
    """The largest `common` in each piece for each transposition, -1 where a piece has no window."""
    maxima = np.full((len(keys), len(block.offsets)), -1, dtype=np.int32)
    if domain.is_everything:
        region_starts = block.offsets - (index.window_steps - 1)
        has_windows = np.ones(len(block.offsets), dtype=bool)
    else:
        columns, n_starts = domain.columns(block, snippet.window_steps)
        has_windows = n_starts > 0
        if not has_windows.any():
            return maxima
        region_starts = (np.cumsum(n_starts) - n_starts)[has_windows]
    for row, transposition in enumerate(keys):
        picks = _picks(block, snippet, transposition, rows_per_pitch(index.unit))
        common = _count(block.rows, picks, block.n_columns)
        if not domain.is_everything:
            common = common[columns]
        maxima[row, has_windows] = np.maximum.reduceat(common, region_starts)
    return maxima


def _best_hits(
    index: NoteIndex,
    domain: _Domain,
    snippet: Snippet,
    keys: tuple[int, ...],
    maxima: np.ndarray,
    excluded: Collection[int],
    *,
    k: int,
    per_piece: int,
) -> list[Hit]:
    """The first `k` hits in the total order, at most `per_piece` of one piece."""
    best = maxima.max(axis=0)  # (n_pieces,)
    best[list(excluded)] = -1
    candidates = np.flatnonzero(best >= 0)
    if len(candidates) > k:
        # A piece whose best window is below the k-th best piece's has no place among the first k hits.
        candidates = candidates[best[candidates] >= np.sort(best[candidates])[-k]]
    hits = []
    for piece_id in candidates.tolist():
        keys_that_matter = keys
        if per_piece == 1:
            keys_that_matter = (keys[int(np.argmax(maxima[:, piece_id]))],)  # the first of equals wins
        hits += _hits_in_piece(index, domain, snippet, keys_that_matter, piece_id, per_piece)
    hits.sort(key=lambda h: (-h.common, abs(h.transposition), h.transposition, h.piece, h.start))
    return hits[:k]


def _hits_in_piece(
    index: NoteIndex, domain: _Domain, snippet: Snippet, keys: tuple[int, ...], piece_id: int, n_hits: int
) -> list[Hit]:
    """The first `n_hits` hits of one piece in the total order."""
    block = next(b for b in reversed(index.blocks) if b.first_piece <= piece_id)
    piece = index.pieces[piece_id].units
    starts = domain.starts(piece, snippet.window_steps)
    first_column = int(block.offsets[piece_id - block.first_piece] + starts[0])
    span = int(starts[-1] - starts[0] + 1)
    common = np.empty((len(keys), len(starts)), dtype=np.int32)
    for row, transposition in enumerate(keys):
        picks = _picks(block, snippet, transposition, rows_per_pitch(index.unit))
        shifted = [(pick_row, step + first_column) for pick_row, step in picks]
        common[row] = _count(block.rows, shifted, span)[starts - starts[0]]
    places = np.argsort(-common, axis=None, kind="stable")[:n_hits]  # keys in their order, starts ascending
    hits = []
    for key, place in zip(*np.unravel_index(places, common.shape), strict=True):
        start = int(starts[place])
        n_window = piece.count_between(start, start + snippet.window_steps)
        hits.append(Hit(piece_id, start, keys[key], int(common[key, place]), snippet.n_units, n_window))
    return hits
