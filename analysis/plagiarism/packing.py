"""How do a million windows fit one bit each, so that a processor adds 512 of them at once?

The pieces stand one after another on a line of columns, one column per step, with silence between them that
is one column shorter than the longest window: so a window that hangs over the end of one piece never reaches
the next, and every start of every piece has its own column. The line is cut into *lanes* of equal length, 64
to a word; lane l owns the columns from l * n_vectors on and repeats, behind them, as many of the next lane's
as a window may need. `rows[r, i]` is a vector of one bit per lane: whether row r has a unit at column i of
the lane. So the windows that start at column i of every lane have their unit (t, r) in `rows[r, i + t]`: a
step in time is a step through memory, never a shift of bits.

Long lines are cut into chunks between pieces. A chunk keeps only the rows that sound in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

WORDS = 8  # 64-bit words in a vector: what a 512-bit register holds
CHUNK_COLUMNS = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Neighbouring pieces on one line of columns, packed."""

    first_piece: int
    regions: np.ndarray  # (n_pieces + 1,) int64, first column of each piece's windows; the last is the end
    gap: int  # columns of silence before each piece
    rows: np.ndarray  # (n_rows, n_vectors + gap, words) uint64
    row_index: np.ndarray  # (all rows of the unit,) int64: which of `rows` holds a row, -1 where none does

    @property
    def n_pieces(self) -> int:
        """How many pieces stand in the chunk."""
        return len(self.regions) - 1

    @property
    def n_vectors(self) -> int:
        """Columns that one lane owns."""
        return self.rows.shape[1] - self.gap

    @property
    def words(self) -> int:
        """Words in a vector."""
        return self.rows.shape[2]

    def column(self, piece: int, start: int) -> int:
        """The column at which a window starts in the piece of a place in the chunk."""
        return int(self.regions[piece]) + self.gap + start


def chunk_bounds(
    lengths: Sequence[int], *, gap: int, columns: int = CHUNK_COLUMNS
) -> Iterator[tuple[int, int]]:
    """First piece of each chunk and the one after its last: as many pieces as reach `columns`."""
    first = n_columns = 0
    for piece, length in enumerate(lengths):
        n_columns += length + gap
        if n_columns >= columns:
            yield first, piece + 1
            first, n_columns = piece + 1, 0
    if first < len(lengths):
        yield first, len(lengths)


def pack(
    steps: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
    lengths: Sequence[int],
    *,
    first_piece: int,
    n_rows: int,
    gap: int,
    words: int = WORDS,
) -> Chunk:
    """Lay pieces out in lanes.

    Parameters
    ----------
    steps, rows : sequences of np.ndarray
        The units of each piece.
    lengths : sequence of int
        Steps of each piece.
    n_rows : int
        Rows that the unit has.
    gap : int
        The longest window less one step.
    """
    regions = np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64) + gap)])
    counts = [len(each) for each in steps]
    columns = np.concatenate(steps).astype(np.int64) + np.repeat(regions[:-1] + gap, counts)
    unit_rows = np.concatenate(rows)
    sounding = np.flatnonzero(np.bincount(unit_rows, minlength=n_rows))
    row_index = np.full(n_rows, -1, dtype=np.int64)
    row_index[sounding] = np.arange(len(sounding))
    n_vectors = -(-int(regions[-1]) // (64 * words))
    packed = aligned_zeros((len(sounding), n_vectors + gap, words))
    flat = packed.reshape(-1)
    first_word = row_index[unit_rows] * (n_vectors + gap) * words
    owner = columns // n_vectors
    for back in range(gap // n_vectors + 2):  # lanes before the owner that repeat the column
        lane = owner - back
        place = columns - lane * n_vectors
        inside = (lane >= 0) & (lane < 64 * words) & (place < n_vectors + gap)
        lane, word = lane[inside], first_word[inside] + place[inside] * words
        np.bitwise_or.at(flat, word + lane // 64, np.uint64(1) << (lane % 64).astype(np.uint64))
    return Chunk(first_piece, regions, gap, packed, row_index)


def pack_columns(columns: np.ndarray, n_vectors: int, words: int) -> np.ndarray:
    """One bit per lane for the columns named: (n_vectors, words) uint64."""
    line = np.zeros(64 * words * n_vectors, dtype=np.uint8)
    line[columns] = 1
    packed = aligned_zeros((n_vectors, words))
    lanes = line.reshape(64 * words, n_vectors)
    packed.view(np.uint8)[:] = np.packbits(lanes, axis=0, bitorder="little").T
    return packed


def aligned_zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of uint64 that start where a cache line does: a vector across two lines would cost two loads."""
    size = int(np.prod(shape))
    spare = np.zeros(size + 8, dtype=np.uint64)
    first = -spare.ctypes.data % 64 // 8
    return spare[first : first + size].reshape(shape)
