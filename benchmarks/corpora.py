"""Real music to learn from and to be held against: from a folder of data sets, or what music21 brings along.

The folder holds one folder of MIDI files per collection, ``pianoroll_benchmarks/*.mat`` and
``chorales_jsb/*.npz``; what is missing there is left out or replaced by chorales of music21.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from music.corpus import Corpus, create_corpus, open_corpus
from music.formats import music21_files

MOST_FILES = 300  # of a collection: more do not make a family of a minute better

#: Collections by kind of music, and what of music21 takes their place.
COLLECTIONS = {
    "chorales": (("chorales_bach_music21",), "bach"),
    "folk": (("folk_ryans_mammoth",), "ryansMammoth"),
    "rags": (("ragtime_joplin_mutopia", "ragtime_joplin_humdrum"), "bach"),
    "bands": (("multi_synthetic_mma", "multi_freedoom"), "bach"),
}

#: The kind of music that a family is meant for; chorales where it is not listed.
KINDS = {
    "deephear": "rags",
    "deephear_inverted": "rags",
    "gan": "bands",
    "melody_cnn": "bands",
    "melody_lstm": "folk",
    "multi_rnn": "bands",
    "vae_nn": "bands",
}


def corpus_of(kind: str, data: Path | None, work: Path) -> Corpus:
    """The corpus of a kind of music, split by work; made once in the work folder."""
    folder = work / "corpora" / kind
    if (folder / "manifest.json").exists():
        return open_corpus(folder)
    names, composer = COLLECTIONS[kind]
    files = [file for name in names if data for file in sorted((data / name).rglob("*.mid"))]
    files = files or music21_files(composer)
    step = -(-len(files) // MOST_FILES)  # some of every part of the collection
    return create_corpus(folder, kind, files[::step]).corpus


@dataclass(frozen=True)
class RollSet:
    """A benchmark set of piano rolls: each (n_steps, 88) of 0 and 1, from MIDI 21 up."""

    name: str
    train: list[np.ndarray]
    validation: list[np.ndarray]
    test: list[np.ndarray]


def roll_sets(data: Path | None) -> list[RollSet]:
    """The sets of Boulanger-Lewandowski et al. 2012 that are there, in the form of the TCN repository."""
    if data is None:
        return []
    from scipy.io import loadmat

    sets = []
    for path in sorted((data / "pianoroll_benchmarks").glob("*.mat")):
        content = loadmat(path)
        splits = [
            [np.asarray(roll) != 0 for roll in content[key][0]]
            for key in ("traindata", "validdata", "testdata")
        ]
        sets.append(RollSet(path.stem, *splits))
    return sets


def chorale_voices(data: Path | None) -> dict[str, list[np.ndarray]] | None:
    """Four voices by sixteenths, (n_steps, 4) MIDI pitches and -1 for rests: the train and valid splits."""
    path = next(iter(sorted((data / "chorales_jsb").glob("*.npz"))), None) if data else None
    if path is None:
        return None
    content = np.load(path, allow_pickle=False)
    return {
        split: np.split(content[f"{split}_pitches"], content[f"{split}_offsets"][1:-1])
        for split in ("train", "valid")
    }
