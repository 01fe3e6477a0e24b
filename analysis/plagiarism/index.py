"""What does a corpus look like to a search that asks for every window of every piece?

The pieces stand one after another on a line of columns, one column per step, with silence between them that
is one column shorter than the longest window: so a window that hangs over the end of one piece never reaches
the next, and every start of every piece has its own column. A row holds 1 in the columns where its pitch has
a unit. Pieces are gathered in blocks small enough for a processor's cache; a block keeps only the rows that
sound in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import N_PITCHES, PieceUnits, rows_per_pitch

BLOCK_COLUMNS = 1 << 17


@dataclass(frozen=True)
class IndexedPiece:
    """A piece of the corpus, stored once for all pieces with equal units."""

    units: PieceUnits
    names: tuple[str, ...]  # every piece with these units, in corpus order
    places: tuple[int, ...]  # their places among the pieces given
    groups: frozenset[str]  # the groups of all of them


@dataclass(frozen=True)
class Block:
    """Neighbouring pieces on one line of columns."""

    first_piece: int
    offsets: np.ndarray  # (n_pieces,) column of each piece's step 0
    n_columns: int  # columns at which a window may start
    rows: np.ndarray  # (n_rows, n_columns + gap) uint8, 1 where a unit starts
    row_index: np.ndarray  # (N_PITCHES * rows_per_pitch,) which of `rows` holds a row, -1 where none does


class NoteIndex:
    """Pieces of a corpus, ready to be searched by `analysis.plagiarism.search.search`."""

    def __init__(
        self, pieces: tuple[IndexedPiece, ...], blocks: tuple[Block, ...], unit: str, window_steps: int
    ):
        self.pieces = pieces  # a piece's id is its place here
        self.blocks = blocks
        self.unit = unit
        self.window_steps = window_steps  # the longest window that may be asked for

    @classmethod
    def build(cls, pieces: Sequence[PieceUnits], *, unit: str = "onset", window_steps: int = 64) -> NoteIndex:
        """Index a corpus; pieces with equal units are stored once, under the id of the first.

        Parameters
        ----------
        window_steps : int
            The longest window, in steps, that will be searched for.

        Raises
        ------
        AnalysisError
            If there is no such unit or a window has no step.
        """
        if window_steps < 1:
            raise AnalysisError(f"window_steps must be at least 1, got {window_steps}")
        n_rows = N_PITCHES * rows_per_pitch(unit)
        stored: dict[bytes, list[int]] = {}
        for place, piece in enumerate(pieces):
            if piece.n_units:
                stored.setdefault(piece.digest, []).append(place)
        indexed = tuple(
            IndexedPiece(
                # twins may end in more or less silence: the longest has all the windows of the others
                units=max((pieces[place] for place in places), key=lambda twin: twin.n_steps),
                names=tuple(pieces[place].name for place in places),
                places=tuple(places),
                groups=frozenset(pieces[place].group for place in places) - {""},
            )
            for places in stored.values()
        )
        blocks, first = [], 0
        while first < len(indexed):
            last, n_columns = first, 0
            while last < len(indexed) and (last == first or n_columns < BLOCK_COLUMNS):
                n_columns += indexed[last].units.n_steps + window_steps - 1
                last += 1
            blocks.append(_build_block(indexed[first:last], first, n_rows, gap=window_steps - 1))
            first = last
        return cls(indexed, tuple(blocks), unit, window_steps)

    def members(
        self, *, names: Collection[str] = (), groups: Collection[str] = (), shapes: Collection[bytes] = ()
    ) -> frozenset[int]:
        """Ids of the pieces with one of the names, in one of the groups or with one of the shapes."""
        names, groups = set(names), set(groups) - {""}
        return frozenset(
            piece_id
            for piece_id, piece in enumerate(self.pieces)
            if not names.isdisjoint(piece.names)
            or not groups.isdisjoint(piece.groups)
            or piece.units.shape in shapes
        )


def _build_block(pieces: Sequence[IndexedPiece], first_piece: int, n_rows: int, *, gap: int) -> Block:
    lengths = np.array([piece.units.n_steps + gap for piece in pieces])
    region_starts = np.concatenate([[0], np.cumsum(lengths)])
    offsets = region_starts[:-1] + gap  # a window may start up to `gap` columns before its piece
    n_columns = int(region_starts[-1])
    sounding = np.unique(np.concatenate([piece.units.rows for piece in pieces]))
    row_index = np.full(n_rows, -1, dtype=np.int64)
    row_index[sounding] = np.arange(len(sounding))
    rows = np.zeros((len(sounding), n_columns + gap), dtype=np.uint8)
    for piece, offset in zip(pieces, offsets, strict=True):
        rows[row_index[piece.units.rows], offset + piece.units.steps] = 1
    return Block(first_piece, offsets, n_columns, rows, row_index)
