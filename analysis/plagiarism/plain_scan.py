"""The scan of `analysis.plagiarism.scan` in numpy: the same windows, without a compiler.

It serves where numba is missing and where there is too little to search to load it. As it sorts the windows
of a chunk, it shares no step with `compiled_scan` but the packed rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.plagiarism.packing import Chunk


def best_of_chunk(
    chunk: Chunk,
    allowed: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    keys: Sequence[int],
    *,
    k: int,
    per_piece: int,
) -> np.ndarray:
    """The `k` best windows of a chunk for one snippet.

    Parameters
    ----------
    allowed : np.ndarray [shape=(n_columns,), dtype=bool]
        The columns at which a window may start.
    keys : sequence of int
        How many rows each transposition moves the snippet, in the order in which they win ties.

    Returns
    -------
    places : np.ndarray [shape=(n, 4), dtype=int64]
        Common units, rank of the transposition, piece, start; best first.
    """
    found = []
    for rank, shift in enumerate(keys):
        common = np.where(allowed, _common(chunk, steps, rows + shift)[: len(allowed)], -1)
        best = np.sort(np.maximum.reduceat(common, chunk.regions[:-1]))  # of each piece
        # Each of the k best pieces has a window that comes before all that have less in common.
        least = max(best[-k] if len(best) >= k else 0, 0)
        columns = np.flatnonzero(common >= least)
        pieces = np.searchsorted(chunk.regions, columns, side="right") - 1
        starts = columns - chunk.regions[pieces] - chunk.gap
        ranks = np.full(len(columns), rank)
        found.append(np.stack([common[columns], ranks, pieces + chunk.first_piece, starts], axis=1))
    return first_places(np.concatenate(found), k=k, per_piece=per_piece)


def first_places(places: np.ndarray, *, k: int, per_piece: int) -> np.ndarray:
    """The first `k` windows in the total order, with at most `per_piece` of one piece."""
    common, rank, piece, start = places.T
    places = places[np.lexsort((start, piece, rank, -common))]
    by_piece = np.argsort(places[:, 2], kind="stable")
    pieces = places[by_piece, 2]
    is_first = np.r_[True, pieces[1:] != pieces[:-1]] if len(pieces) else np.zeros(0, dtype=bool)
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(pieces)), 0))
    nth_of_piece = np.empty(len(pieces), dtype=np.int64)
    nth_of_piece[by_piece] = np.arange(len(pieces)) - first
    return places[nth_of_piece < per_piece][:k]


def _common(chunk: Chunk, steps: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What the window at each column has in common with a snippet."""
    inside = (rows >= 0) & (rows < len(chunk.row_index))
    found = chunk.row_index[rows[inside]]
    levels: list[list[np.ndarray]] = []  # levels[j]: vectors that count 2**j each, two at most
    for row, step in zip(found[found >= 0].tolist(), steps[inside][found >= 0].tolist(), strict=True):
        _add(levels, chunk.rows[row, step : step + chunk.n_vectors], 0)
    total = np.zeros((chunk.n_vectors, 64 * chunk.words), dtype=np.int32)
    for level, vectors in enumerate(levels):
        for vector in vectors:
            bits = np.unpackbits(np.ascontiguousarray(vector).view(np.uint8), axis=1, bitorder="little")
            total += bits.astype(np.int32) << level
    return total.T.reshape(-1)  # lane after lane


def _add(levels: list[list[np.ndarray]], vector: np.ndarray, level: int) -> None:
    """Add a vector that counts 2**level; three of one level become one there and one above."""
    if level == len(levels):
        levels.append([])
    levels[level].append(vector)
    if len(levels[level]) == 3:
        a, b, c = levels[level]
        either = a ^ b
        levels[level] = [either ^ c]
        _add(levels, (a & b) | (either & c), level + 1)
