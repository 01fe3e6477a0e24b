"""Which features of pieces are compared when one set of music is set beside another?

The nine of Yang & Lerch, "On the evaluation of generative models in music", Neural Computing and Applications
2020 (MGEval), each a number or a vector per piece. Drums are left out. Notes follow one another in the order
of onset, then pitch, within their track. Lengths and intervals of time are in beats, so that tempo does not
count; histograms and matrices add up to 1, or are all 0 in a piece that has nothing to count.

Pieces of different lengths differ in their counts for no other reason: compare excerpts of as many bars.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from music.score import Score

#: Whole, half, quarter, eighth, sixteenth, the first four dotted, and three triplets, in beats.
NOTE_LENGTHS = np.array([4, 2, 1, 1 / 2, 1 / 4, 3, 3 / 2, 3 / 4, 3 / 8, 4 / 3, 2 / 3, 1 / 3])

#: The features by name, with how many numbers each has.
FEATURES = {
    "pitch count": 1,
    "pitch range": 1,
    "pitch interval": 1,
    "pitch classes": 12,
    "pitch class transitions": 144,
    "note count": 1,
    "inter-onset interval": 1,
    "note lengths": 12,
    "note length transitions": 144,
}


def features_of(score: Score) -> dict[str, np.ndarray]:
    """The features of a piece, each a vector of as many numbers as `FEATURES` says; zeros without notes."""
    tracks = [track.notes for track in score.tracks if not track.is_drum and track.notes]
    notes = [note for track in tracks for note in track]
    pitches = [note.pitch for note in notes]
    steps = [(one, other) for track in tracks for one, other in pairwise(track)]
    onsets = np.unique([note.onset for note in notes]) / score.ticks_per_beat
    lengths = {note: length_class(note.duration / score.ticks_per_beat) for note in notes}
    weights = np.bincount(
        [pitch % 12 for pitch in pitches], weights=[note.duration for note in notes], minlength=12
    )
    found = {
        "pitch count": len(set(pitches)),
        "pitch range": max(pitches) - min(pitches) if pitches else 0,
        "pitch interval": _mean(abs(other.pitch - one.pitch) for one, other in steps),
        "pitch classes": _shares(weights),
        "pitch class transitions": _transitions(((one.pitch % 12, other.pitch % 12) for one, other in steps)),
        "note count": len(notes),
        "inter-onset interval": _mean(np.diff(onsets)),
        "note lengths": _shares(np.bincount([lengths[note] for note in notes], minlength=len(NOTE_LENGTHS))),
        "note length transitions": _transitions((lengths[one], lengths[other]) for one, other in steps),
    }
    return {name: np.atleast_1d(np.asarray(found[name], dtype=float)) for name in FEATURES}


def feature_table(scores: Iterable[Score]) -> dict[str, np.ndarray]:
    """The features of several pieces: by name, an array (n_pieces, n_numbers)."""
    rows = [features_of(score) for score in scores]
    return {
        name: np.stack([row[name] for row in rows]) if rows else np.zeros((0, size))
        for name, size in FEATURES.items()
    }


def length_class(beats: float) -> int:
    """The place in `NOTE_LENGTHS` of the length that is nearest; of two as near, the first."""
    return int(np.argmin(np.abs(NOTE_LENGTHS - beats)))


def _transitions(steps: Iterable[tuple[int, int]]) -> np.ndarray:
    counts = np.zeros((12, 12))
    for one, other in steps:
        counts[one, other] += 1
    return _shares(counts.ravel())


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum() if counts.sum() else counts * 0.0


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else 0.0
