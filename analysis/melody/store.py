"""The melodies of a corpus in a folder, to be searched without being read.

``meta.json`` has the version, the encoding and the counts, and is written last: a folder without it was cut
short. ``labels.jsonl`` has names, groups and places of each melody, one line each. The rest are arrays,
mapped into memory: ``tokens`` (of all melodies, one after another), ``token_notes`` (at which notes a token
begins and ends), ``note_times`` (onset and duration, ticks), ``note_pitches`` (and velocities),
``bar_starts``, and ``melodies`` (where each begins in the others, and its ticks per beat).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody.extraction import Melody
from music.score import Note

FORMAT = "melody index"
VERSION = 2
ARRAYS = ("tokens", "token_notes", "note_times", "note_pitches", "bar_starts", "melodies")


@dataclass(frozen=True)
class IndexedMelody:
    """A melody of the corpus, stored once for all pieces with equal tokens."""

    melody: Melody
    names: tuple[str, ...]
    places: tuple[int, ...]  # of those pieces among the melodies given
    groups: frozenset[str]


class StoredMelodies(Sequence[IndexedMelody]):
    """The melodies of a folder; each is made when it is asked for."""

    def __init__(self, encoding: str, arrays: dict[str, np.ndarray], labels: list[dict]):
        self.encoding = encoding
        self.tokens = arrays["tokens"]
        self.token_starts = np.append(arrays["melodies"][:, 0], len(self.tokens))
        self._arrays = arrays
        self._labels = labels

    @classmethod
    def open(cls, folder: Path) -> StoredMelodies:
        """Map what `save` wrote.

        Raises
        ------
        AnalysisError
            If there is none, or it was cut short or written by another version.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            version = meta["format"], meta["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnalysisError(f"{folder} is no melody index: it has no readable meta.json") from error
        if version != (FORMAT, VERSION):
            raise AnalysisError(f"{folder} is a {version[0]} of version {version[1]}; build it anew")
        try:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
            text = (folder / "labels.jsonl").read_text(encoding="utf-8")
            labels = [json.loads(line) for line in text.splitlines()]
            sizes = {name: len(array) for name, array in arrays.items()} | {"labels": len(labels)}
        except (OSError, ValueError, EOFError) as error:
            raise AnalysisError(f"{folder} is a melody index with a broken file: build it anew") from error
        if sizes != meta["sizes"]:
            raise AnalysisError(f"{folder} is a melody index whose files do not fit together: build it anew")
        return cls(meta["encoding"], arrays, labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, melody_id):
        if not 0 <= melody_id < len(self):
            raise IndexError(f"there are {len(self)} melodies, got {melody_id}")
        label, arrays = self._labels[melody_id], self._arrays
        starts = arrays["melodies"][melody_id]
        ends = [*arrays["melodies"][melody_id + 1, :3]] if melody_id + 1 < len(self) else [None] * 3
        tokens, notes, bars = (slice(start, end) for start, end in zip(starts, ends, strict=False))
        token_notes = np.asarray(arrays["token_notes"][tokens], dtype=np.int64)
        times, pitches = arrays["note_times"][notes].tolist(), arrays["note_pitches"][notes].tolist()
        melody = Melody(
            tuple(
                Note(onset, pitch, duration, velocity)
                for (onset, duration), (pitch, velocity) in zip(times, pitches, strict=True)
            ),
            np.asarray(arrays["tokens"][tokens]),
            token_notes[:, 0],
            token_notes[:, 1],
            int(starts[3]),
            label["name"],
            label["group"],
            tuple(arrays["bar_starts"][bars].tolist()),
        )
        return IndexedMelody(
            melody, tuple(label["names"]), tuple(label["places"]), frozenset(label["groups"])
        )

    def labels(self) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Names and groups of each melody."""
        return ((label["names"], label["groups"]) for label in self._labels)

    def places(self) -> list[tuple[int, ...]]:
        """Where each melody stands among those that the index was given."""
        return [tuple(label["places"]) for label in self._labels]


def labels(melodies: Sequence[IndexedMelody]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Names and groups of each melody, wherever they are kept."""
    if isinstance(melodies, StoredMelodies):
        return melodies.labels()
    return ((one.names, one.groups) for one in melodies)


def places(melodies: Sequence[IndexedMelody]) -> list[tuple[int, ...]]:
    """Where each melody stands among those that the index was given, wherever they are kept."""
    if isinstance(melodies, StoredMelodies):
        return melodies.places()
    return [one.places for one in melodies]


def save(folder: Path, melodies: Sequence[IndexedMelody], encoding: str) -> None:
    """Write melodies as a folder, in place of an index that is there.

    Raises
    ------
    AnalysisError
        If `folder` is there and is no melody index.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and _is_index(folder)):
        raise AnalysisError(f"{folder} is there and is no melody index; give another folder")
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    arrays = _arrays_of(melodies)
    for name, array in arrays.items():
        np.save(unfinished / f"{name}.npy", array)
    lines = [json.dumps(_label_of(one), ensure_ascii=True) + "\n" for one in melodies]
    (unfinished / "labels.jsonl").write_text("".join(lines), encoding="utf-8")
    sizes = {name: len(array) for name, array in arrays.items()} | {"labels": len(lines)}
    meta = {"format": FORMAT, "version": VERSION, "encoding": encoding, "sizes": sizes}
    (unfinished / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    unfinished.rename(folder)


def _is_index(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / "meta.json").exists()


def _arrays_of(melodies: Sequence[IndexedMelody]) -> dict[str, np.ndarray]:
    own = [one.melody for one in melodies]
    parts = {
        "tokens": [melody.tokens for melody in own],
        "token_notes": [np.stack([melody.first_note, melody.last_note], axis=1) for melody in own],
        "note_times": [[(note.onset, note.duration) for note in melody.notes] for melody in own],
        "note_pitches": [[(note.pitch, note.velocity) for note in melody.notes] for melody in own],
        "bar_starts": [melody.bar_starts for melody in own],
    }
    kinds = {
        "tokens": (np.uint16, ()),
        "token_notes": (np.int32, (2,)),
        "note_times": (np.int64, (2,)),
        "note_pitches": (np.uint8, (2,)),
        "bar_starts": (np.int64, ()),
    }
    arrays = {
        name: np.concatenate(
            [np.empty((0, *shape), kind), *(np.asarray(p, kind).reshape(-1, *shape) for p in parts[name])]
        )
        for name, (kind, shape) in kinds.items()
    }
    counts = [[melody.n_tokens, len(melody.notes), len(melody.bar_starts)] for melody in own]
    starts = np.cumsum([[0, 0, 0], *counts], axis=0)[:-1]
    ticks = np.array([[melody.ticks_per_beat] for melody in own], dtype=np.int64).reshape(-1, 1)
    arrays["melodies"] = np.concatenate([starts, ticks], axis=1).astype(np.int64)
    return arrays


def _label_of(one: IndexedMelody) -> dict:
    return {
        "name": one.melody.name,
        "group": one.melody.group,
        "names": list(one.names),
        "groups": sorted(one.groups),
        "places": list(one.places),
    }
