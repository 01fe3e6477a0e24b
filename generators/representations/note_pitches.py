"""A piece as nothing but its pitches: all that the low anchors can be measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from music.score import Note, Score

NO_NOTE = 255


class NotePitches:
    """The pitches of a piece by onset, drums left out; windows of 64 notes side by side."""

    length = 64
    padding = NO_NOTE
    max_windows = None

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """What an anchor must know of the corpus; each has its own."""
        raise NotImplementedError

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The pitches of a score [shape=(n_notes,), dtype=uint8]."""
        return np.array([note.pitch for note in sorted(score.notes(drums=False))], dtype=np.uint8)

    def starts(self, pitches: np.ndarray) -> list[int]:
        """Every 64 notes; the last window may be short."""
        return list(range(0, len(pitches), self.length))

    def describe(self) -> str:
        """One note is enough."""
        return f"1 to {self.length} notes, not of the drums"


def evenly_chosen(scores: Sequence[Score], count: int) -> list[Score]:
    """At most `count` of the scores that have notes besides drums, evenly spaced over their order."""
    usable = [score for score in scores if any(True for _ in score.notes(drums=False))]
    places = np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int))
    return [usable[place] for place in places]


def pitch_figures(batch: Tensor, weights: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
    """Nats per note of windows (batch, 64), where pitches come by their weights (128,).

    A hundredth of the probability is shared by all pitches alike, so that none is impossible.
    """
    probabilities = 0.99 * weights / weights.sum() + 0.01 / len(weights)
    pitches = batch[batch != NO_NOTE].long()
    return {"loss": (-probabilities.log().to(batch.device)[pitches].sum(), torch.tensor(len(pitches)))}


def one_at_a_time(notes: Iterable[Note], end: int) -> tuple[Note, ...]:
    """Notes of which no two of one pitch overlap: each ends where the next of its pitch starts, or at `end`.

    Of notes that start together on one pitch the longest stays; those that start at `end` or later are left
    out.
    """
    kept: dict[int, list[Note]] = {}
    for note in sorted(notes):
        if note.onset >= end:
            continue
        line = kept.setdefault(note.pitch, [])
        if line and line[-1].onset == note.onset:
            line.pop()
        elif line:
            line[-1] = replace(line[-1], duration=min(line[-1].duration, note.onset - line[-1].onset))
        line.append(replace(note, duration=min(note.duration, end - note.onset)))
    return tuple(sorted(note for line in kept.values() for note in line))
