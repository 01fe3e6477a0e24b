"""A corpus ready for both measures: indexed in memory, or in a folder that is kept from search to search.

In a folder stand a `NoteIndex` per unit and grid and a `MelodyIndex` per kind of melody, each beside a file
``*.json`` that lists the pieces that it was made of by their content. Where the corpus is what the list says,
the index is opened and no piece is read. Where pieces have come after the last one, they alone are read and
appended; where they have come in between, the others' notes are taken from the index. So the order of pieces,
and with it the order of results, is that of the corpus as it is now, whatever it was before.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody.extraction import Melody, melodies_of
from analysis.melody.search import MelodyIndex
from analysis.plagiarism.extraction import PieceUnits, rows_per_pitch, score_to_units
from analysis.plagiarism.index import NoteIndex
from analysis.plagiarism.settings import CorpusItem, Settings, StoredItem
from music.midi import write_atomically
from music.note_table import NoteTable
from music.score import Score

WINDOW_MULTIPLE = 64  # a kept index is built for windows of a round length, to fit the next search too


class Reference:
    """The pieces that generated ones are compared with.

    Parameters
    ----------
    items : sequence of CorpusItem or StoredItem
        With a folder, all of them must be `StoredItem`.
    folder : Path, optional
        Where indexes are kept.
    scores_of : callable, optional
        Gives the scores of the pieces at some places, in their order; by default each is read by its item.
    tables_of : callable, optional
        Gives the notes alone of the pieces at some places, where that takes less than their scores.
    guard : callable, optional
        Gives a context in which one process at a time looks after the folder.
    """

    def __init__(
        self,
        items: Sequence[CorpusItem | StoredItem],
        folder: Path | None = None,
        *,
        scores_of: Callable[[Sequence[int]], Iterator[Score]] | None = None,
        tables_of: Callable[[Sequence[int]], Iterator[NoteTable]] | None = None,
        guard: Callable[[], AbstractContextManager] = nullcontext,
    ):
        self.items = tuple(items)
        self.folder = folder
        self._guard = guard
        self._scores_of = scores_of or (lambda places: (self.items[place].score for place in places))
        self._tables_of = tables_of or self._scores_of

    @classmethod
    def of(cls, corpus: Reference | Sequence[CorpusItem | StoredItem]) -> Reference:
        """A reference as it is, or one in memory of the pieces of a sequence."""
        return corpus if isinstance(corpus, cls) else cls(corpus)

    def searched(self, settings: Settings) -> frozenset[int]:
        """Places of the pieces that are searched."""
        return frozenset(
            place
            for place, item in enumerate(self.items)
            if settings.reference == "all" or item.split == "train"
        )

    def places_of(self, names: Collection[str]) -> frozenset[int]:
        """Places of the pieces with one of the names, or in one of the groups of these names."""
        return frozenset(place for name in names for place in self._named.get(name, ()))

    def relatives(self, place: int) -> frozenset[int]:
        """Places of a piece itself and of the others in its group."""
        item = self.items[place]
        return frozenset({place}) | (self.places_of([item.group]) if item.group else frozenset())

    @cached_property
    def _named(self) -> dict[str, set[int]]:
        named: dict[str, set[int]] = {}
        for place, item in enumerate(self.items):
            for name in {item.name, item.group} - {""}:
                named.setdefault(name, set()).add(place)
        return named

    @cached_property
    def _digests(self) -> list[str]:
        return [item.digest for item in self.items]

    # ---- notes

    def notes(self, settings: Settings, longest: int = 1) -> NoteIndex:
        """The notes of all pieces, for windows of `longest` steps and for those of the pieces themselves."""
        grid = {"unit": settings.unit, "steps_per_beat": settings.steps_per_beat}
        if self.folder is None:
            return self._build_notes(self._units(range(len(self.items)), grid), settings, longest, 1)
        with self._guard():
            return self._kept_notes(settings, longest, grid)

    def _kept_notes(self, settings: Settings, longest: int, grid: dict) -> NoteIndex:
        kept = self.folder / f"notes-{settings.unit}-{settings.steps_per_beat}"
        old, digests = _opened(NoteIndex, kept)
        n_old = len(digests)
        if old is not None and digests == self._digests[:n_old]:
            index = old
            if n_old < len(self.items):
                index = old.append(self._units(range(n_old, len(self.items)), grid))
            if max(longest, _longest_window(index, settings)) > index.window_steps:
                units = units_by_place(index, len(self.items))
                index = self._build_notes(units, settings, longest, WINDOW_MULTIPLE)
            if index is old:
                return old
        else:
            known = self._known_units(old, digests)
            missing = [place for place, digest in enumerate(self._digests) if digest not in known]
            known |= dict(
                zip((self._digests[place] for place in missing), self._units(missing, grid), strict=True)
            )
            units = [replace(known[item.digest], name=item.name, group=item.group) for item in self.items]
            index = self._build_notes(units, settings, longest, WINDOW_MULTIPLE)
        _keep(index, kept, self._digests)
        return NoteIndex.open(kept)

    def _units(self, places: Sequence[int], grid: dict) -> Iterator[PieceUnits]:
        for place, notes in zip(places, self._tables_of(places), strict=True):
            item = self.items[place]
            yield score_to_units(notes, name=item.name, group=item.group, **grid)

    def _known_units(self, old: NoteIndex | None, digests: list[str]) -> dict[str, PieceUnits]:
        """What an older index has of pieces, by content; nothing if pieces are gone or have moved."""
        if old is None or not _stand_in_order(digests, self._digests):
            return {}
        return dict(zip(digests, units_by_place(old, len(digests)), strict=True))

    def _build_notes(
        self, units: Iterable[PieceUnits], settings: Settings, longest: int, multiple: int
    ) -> NoteIndex:
        units = list(units)
        longest = max([longest, *(_window_steps(piece, settings) for piece in units)])
        return NoteIndex.build(
            units,
            unit=settings.unit,
            steps_per_beat=settings.steps_per_beat,
            window_steps=-(-longest // multiple) * multiple,
        )

    # ---- melodies

    def melodies(self, settings: Settings) -> tuple[MelodyIndex, list[int]]:
        """The melodies of all pieces, and how many each piece has."""
        kind = {"line": settings.line, "encoding": settings.encoding, "filters": settings.filters}
        if self.folder is None:
            voices = list(self._voices(range(len(self.items)), kind))
            return _melody_index(voices, settings), [len(own) for own in voices]
        with self._guard():
            return self._kept_melodies(settings, kind)

    def _kept_melodies(self, settings: Settings, kind: dict) -> tuple[MelodyIndex, list[int]]:
        name = f"melodies-{settings.line}-{settings.encoding}-{'filtered' if settings.filters else 'all'}"
        kept = self.folder / name
        old, digests = _opened(MelodyIndex, kept)
        counts = _listed(kept).get("voices", [])
        if old is not None and digests == self._digests and len(counts) == len(digests):
            return old, counts
        known: dict[str, list[Melody]] = {}
        if old is not None and len(counts) == len(digests) and _stand_in_order(digests, self._digests):
            known = dict(zip(digests, _voices_by_place(old, counts), strict=True))
        missing = [place for place, digest in enumerate(self._digests) if digest not in known]
        known |= dict(
            zip((self._digests[place] for place in missing), self._voices(missing, kind), strict=True)
        )
        voices = [
            [replace(melody, name=item.name, group=item.group) for melody in known[item.digest]]
            for item in self.items
        ]
        counts = [len(own) for own in voices]
        _keep(_melody_index(voices, settings), kept, self._digests, voices=counts)
        return MelodyIndex.open(kept), counts

    def _voices(self, places: Sequence[int], kind: dict) -> Iterator[list[Melody]]:
        for place, score in zip(places, self._scores_of(places), strict=True):
            item = self.items[place]
            yield melodies_of(score, name=item.name, group=item.group, **kind)


def units_by_place(index: NoteIndex, n_pieces: int) -> list[PieceUnits]:
    """The units of each piece that an index was given, those of a twin for pieces that are stored once."""
    nothing = np.zeros(0, dtype=np.int64)
    units = [PieceUnits(nothing, nothing, 0, rows_per_pitch=rows_per_pitch(index.unit))] * n_pieces
    for piece in index.pieces:
        for place in piece.places:
            units[place] = piece.units
    return units


def _voices_by_place(index: MelodyIndex, counts: Sequence[int]) -> list[list[Melody]]:
    """The melodies of each piece, by how many each has; one that was too short to be kept has no notes."""
    nothing = np.zeros(0, dtype=np.int64)
    melodies = [Melody((), nothing.astype(np.uint16), nothing, nothing)] * sum(counts)
    for indexed in index.melodies:
        for place in indexed.places:
            melodies[place] = indexed.melody
    ends = np.cumsum([0, *counts]).tolist()
    return [melodies[first:end] for first, end in itertools.pairwise(ends)]


def _melody_index(voices: Sequence[Sequence[Melody]], settings: Settings) -> MelodyIndex:
    return MelodyIndex.build(list(itertools.chain(*voices)), encoding=settings.encoding)


def _longest_window(index: NoteIndex, settings: Settings) -> int:
    return max((_window_steps(piece.units, settings) for piece in index.pieces), default=1)


def _window_steps(piece: PieceUnits, settings: Settings) -> int:
    """No window of the piece is longer than this."""
    if settings.window_steps:
        return settings.window_steps
    return settings.window_bars * int(np.diff([*piece.bar_steps, piece.n_steps]).max(initial=1))


def _stand_in_order(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether all of `few` are among `many`, in their order."""
    rest = iter(many)
    return all(each in rest for each in few)


def _list_of(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.json")


def _listed(kept: Path) -> dict:
    """What an index that is kept was made of; nothing if it is not there or not whole."""
    try:
        listed = json.loads(_list_of(kept).read_text(encoding="utf-8"))
        return listed if isinstance(listed, dict) else {}
    except (OSError, ValueError):
        return {}


def _opened(kind: type, kept: Path) -> tuple:
    """An index that is kept, and the contents of its pieces; None if there is none that can be used."""
    listed = _listed(kept)
    if not listed:
        return None, []
    try:
        return kind.open(kept), listed["pieces"]
    except (AnalysisError, KeyError):
        return None, []


def _keep(index: NoteIndex | MelodyIndex, kept: Path, digests: Sequence[str], **more) -> None:
    """Write an index and then what it was made of: where a kill came between, it is made anew."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    _list_of(kept).unlink(missing_ok=True)
    if not (kept / "meta.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)  # what a kill left
    index.save(kept)
    write_atomically(_list_of(kept), json.dumps({"pieces": list(digests), **more}).encode())
