"""What does a corpus look like to a search that asks for every window of every piece?

A `NoteIndex` holds the pieces as sets of units and, packed one bit to a column
(`analysis.plagiarism.packing`), as what is searched. Pieces with equal units are stored once. On disk an
index is a folder:

- ``meta.json``: the format, the unit, the grid, the longest window, the chunks with their files;
- ``pieces-*.jsonl``: a line per piece: the names, places and groups of all pieces with its units;
- ``chunk-*/``: ``packed.npy``, the packed rows as they lie in memory, which opening maps and does not read,
  and beside them, end to end, the units and bar lines of the chunk's pieces.

A chunk is never changed: pieces that are added go into new chunks, with those of the last one that was not
full. So an index that grew is searched like one that was built at once, and whoever has it open keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism import index_files
from analysis.plagiarism.extraction import N_PITCHES, PieceUnits, Snippet, rows_per_pitch
from analysis.plagiarism.packing import CHUNK_COLUMNS, WORDS, Chunk, chunk_bounds, pack


@dataclass(frozen=True)
class IndexedPiece:
    """A piece of the corpus, stored once for all pieces with equal units."""

    units: PieceUnits
    names: tuple[str, ...]  # every piece with these units, in corpus order
    places: tuple[int, ...]  # their places among the pieces given
    groups: frozenset[str]  # the groups of all of them


@dataclass(frozen=True)
class Layout:
    """How an index is cut up; it changes nothing that a search finds."""

    words: int = WORDS  # 64-bit words in a vector of windows
    chunk_columns: int = CHUNK_COLUMNS  # a chunk ends with the piece that reaches so many columns


class NoteIndex:
    """Pieces of a corpus, ready to be searched.

    Make one with `build`, or `open` a folder that `save` wrote. An index does not change: `append` gives
    another one, which shares what it can.

    >>> from analysis.plagiarism.extraction import score_to_units
    >>> from music.score import Note, Score, Track
    >>> scale = Score((Track(tuple(Note(480 * i, 60 + i, 480) for i in range(16))),))
    >>> index = NoteIndex.build([score_to_units(scale, name="scale")], window_steps=16)
    >>> window = Snippet(np.array([0, 4]), np.array([65, 66]), window_steps=16)
    >>> [(index.pieces[hit.piece].names, hit.start, hit.common) for hit in index.search([window])[0]]
    [(('scale',), 20, 2)]
    """

    def __init__(
        self,
        pieces: tuple[IndexedPiece, ...],
        chunks: tuple[Chunk, ...],
        unit: str,
        window_steps: int,
        steps_per_beat: int | None = None,
        n_given: int | None = None,
        layout: Layout = Layout(),
    ):
        self.pieces = pieces  # a piece's id is its place here
        self.chunks = chunks
        self.unit = unit
        self.window_steps = window_steps  # the longest window that may be asked for
        self.steps_per_beat = steps_per_beat  # of the grid, where it is known
        self.n_given = n_given if n_given is not None else sum(len(piece.places) for piece in pieces)
        self.layout = layout

    @classmethod
    def build(
        cls,
        pieces: Iterable[PieceUnits],
        *,
        unit: str = "onset",
        window_steps: int = 64,
        steps_per_beat: int | None = None,
        layout: Layout = Layout(),
    ) -> NoteIndex:
        """Index a corpus; pieces with equal units are stored once, under the id of the first.

        Parameters
        ----------
        window_steps : int
            The longest window, in steps, that will be searched for.
        steps_per_beat : int, optional
            The grid of the pieces, kept with the index so that a search on another grid is refused.

        Raises
        ------
        AnalysisError
            If there is no such unit or a window has no step.
        """
        if window_steps < 1:
            raise AnalysisError(f"window_steps must be at least 1, got {window_steps}")
        rows_per_pitch(unit)
        empty = cls((), (), unit, window_steps, steps_per_beat, 0, layout)
        return empty.append(pieces)

    def append(self, pieces: Iterable[PieceUnits]) -> NoteIndex:
        """An index of these pieces and more, equal to one built of all of them at once."""
        stored = {piece.units.digest: piece for piece in self.pieces}
        n_given = self.n_given
        for piece in pieces:
            if piece.n_units:
                group = {piece.group} - {""}
                twin = stored.get(piece.digest)
                if twin is None:
                    twin = IndexedPiece(piece, (), (), frozenset())
                stored[piece.digest] = IndexedPiece(
                    # twins may end in more or less silence: the longest has all the windows of the others
                    max(twin.units, piece, key=lambda each: each.n_steps),
                    (*twin.names, piece.name),
                    (*twin.places, n_given),
                    twin.groups | group,
                )
            n_given += 1
        indexed = tuple(stored.values())
        known = {_key(self.pieces, chunk.first_piece, chunk.n_pieces): chunk for chunk in self.chunks}
        gap = self.window_steps - 1
        lengths = [piece.units.n_steps for piece in indexed]
        chunks = [
            known.get(_key(indexed, first, last - first)) or self._pack(indexed, first, last)
            for first, last in chunk_bounds(lengths, gap=gap, columns=self.layout.chunk_columns)
        ]
        return NoteIndex(
            indexed, tuple(chunks), self.unit, self.window_steps, self.steps_per_beat, n_given, self.layout
        )

    def _pack(self, pieces: Sequence[IndexedPiece], first: int, last: int) -> Chunk:
        units = [piece.units for piece in pieces[first:last]]
        return pack(
            [each.steps for each in units],
            [each.rows for each in units],
            [each.n_steps for each in units],
            first_piece=first,
            n_rows=N_PITCHES * rows_per_pitch(self.unit),
            gap=self.window_steps - 1,
            words=self.layout.words,
        )

    def save(self, folder: str | Path) -> Path:
        """Write the index to a folder, or bring the folder up to it; returns the folder.

        Chunks that the folder has stay as they are. The index is there from the moment its ``meta.json`` is:
        a writer that is killed leaves the folder as it was.
        """
        return index_files.write(self, Path(folder))

    @classmethod
    def open(cls, folder: str | Path) -> NoteIndex:
        """The index of a folder; packed rows are mapped into memory and read when they are searched.

        Raises
        ------
        AnalysisError
            If the folder holds no index, one of another format, or one whose files do not fit together.
        """
        return index_files.read(cls, Path(folder))

    def search(self, snippets: Sequence[Snippet], **options) -> list[list]:
        """The best windows for each snippet: `analysis.plagiarism.search.search` with its options."""
        from analysis.plagiarism.search import search

        return search(self, snippets, **options)

    def members(
        self, *, names: Collection[str] = (), groups: Collection[str] = (), shapes: Collection[bytes] = ()
    ) -> frozenset[int]:
        """Ids of the pieces with one of the names, in one of the groups or with one of the shapes."""
        found: set[int] = set()
        for kind, wanted in (("names", names), ("groups", groups), ("shapes", shapes)):
            for value in wanted:
                found |= self._ids[kind].get(value, set())
        return frozenset(found)

    @cached_property
    def _ids(self) -> dict[str, dict]:
        """Which pieces have a name, a group, a shape."""
        ids = {"names": defaultdict(set), "groups": defaultdict(set), "shapes": defaultdict(set)}
        for piece_id, piece in enumerate(self.pieces):
            for name in piece.names:
                ids["names"][name].add(piece_id)
            for group in piece.groups:
                ids["groups"][group].add(piece_id)
            ids["shapes"][piece.units.shape].add(piece_id)
        return ids

    @cached_property
    def _timeline(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each piece starts on one line without overlaps, and how many units stand before each step."""
        n_steps = np.array([piece.units.n_steps for piece in self.pieces], dtype=np.int64)
        regions = n_steps + 2 * self.window_steps
        starts = np.cumsum(regions) - regions + self.window_steps
        before = np.zeros(int(regions.sum()) + 1, dtype=np.int32)
        for piece, start in zip(self.pieces, starts.tolist(), strict=True):
            end = start + piece.units.n_steps
            before[start + 1 : end + 1] = np.bincount(piece.units.steps, minlength=piece.units.n_steps)
        return starts, np.cumsum(before, out=before)

    def count_units(self, pieces: np.ndarray, starts: np.ndarray, window_steps: np.ndarray) -> np.ndarray:
        """Units in each of many windows: of these pieces, from these steps on, so many steps long."""
        piece_starts, before = self._timeline
        first = piece_starts[pieces] + starts
        return before[first + window_steps] - before[first]

    @cached_property
    def rarest_rows(self) -> np.ndarray:
        """All rows by how many units the corpus has in them, those with fewest first."""
        counts = np.zeros(N_PITCHES * rows_per_pitch(self.unit), dtype=np.int64)
        for piece in self.pieces:
            counts += np.bincount(piece.units.rows, minlength=len(counts))
        return np.argsort(counts, kind="stable")


def _key(pieces: Sequence[IndexedPiece], first: int, n_pieces: int) -> tuple:
    """What a chunk was made of."""
    return first, *((piece.units.digest, piece.units.n_steps) for piece in pieces[first : first + n_pieces])
