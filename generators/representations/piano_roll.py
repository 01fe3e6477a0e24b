"""The piano roll of DeepHear: 64 sixteenths of 88 pitches, on or off.

Felix Sun (2015), "DeepHear - Composing and harmonizing music with neural networks". A cell knows no onset: a
held note is a run of cells, and so is a repeated one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from music.pianoroll import pianoroll_to_score, score_to_pianoroll
from music.score import Meter, Score, Tempo
from music.transform import quantise

LOWEST, N_PITCHES = 12, 88  # row r is MIDI r + 12: 12 to 99, not the 21 to 108 of the piano
N_STEPS, HOP = 64, 16  # a window of 64 sixteenths, each a quarter of a window after the last
STEPS_PER_BEAT = 4
N_CELLS = N_PITCHES * N_STEPS  # 5632


class PianoRoll:
    """Windows of a piece [shape=(64, 88)], one every 16 steps."""

    length = N_STEPS
    padding = 0

    def __init__(self, *, max_windows: int | None = None):
        self.max_windows = max_windows

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """How many cells of a window sound on average."""
        sounding, n_windows = 0, 0
        for score in scores:
            roll = self.encode(score, {})
            starts = self.starts(roll)
            sounding += sum(int(roll[start : start + N_STEPS].sum()) for start in starts)
            n_windows += len(starts)
        return {"sounding_cells": sounding / max(n_windows, 1)}

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The roll of a score [shape=(n_steps, 88), dtype=uint8]; notes beyond the 88 are left out.

        Onsets and ends move to the nearest sixteenth, and a note fills one at least. The original drops what
        starts between two sixteenths and rounds durations up.
        """
        if score.ticks_per_beat % STEPS_PER_BEAT:
            score = quantise(score, steps_per_beat=STEPS_PER_BEAT)
        roll = score_to_pianoroll(score, steps_per_beat=STEPS_PER_BEAT)
        return roll[:, LOWEST : LOWEST + N_PITCHES].astype(np.uint8)

    def starts(self, roll: np.ndarray) -> list[int]:
        """Every 16 steps, ceil(n_steps / 16) - 4 windows as in the original, without the silent ones."""
        count = math.ceil(len(roll) / HOP) - N_STEPS // HOP
        starts = range(0, max(count, 1) * HOP, HOP)
        return [start for start in starts if roll[start : start + N_STEPS].any()]

    def describe(self) -> str:
        """A shorter piece gives one window, padded with silence."""
        return (
            f"{N_STEPS} sixteenths with a note, not of the drums, from MIDI {LOWEST} to "
            f"{LOWEST + N_PITCHES - 1}"
        )


def flatten(windows: Tensor) -> Tensor:
    """Windows to input vectors, pitch major and time minor: (batch, 64, 88) to (batch, 5632)."""
    return windows.transpose(1, 2).flatten(1).float()


def unflatten(cells: Tensor) -> Tensor:
    """The way back: (batch, 5632) to (batch, 64, 88)."""
    return cells.unflatten(1, (N_PITCHES, N_STEPS)).transpose(1, 2)


def roll_to_score(roll: np.ndarray, *, strike_every: int | None, tempo: Tempo, meter: Meter) -> Score:
    """A roll (n_steps, 88) as a piece of one track.

    A note is struck where its run of cells starts and, with `strike_every`, again at each multiple of so many
    steps that it sounds in.
    """
    full = np.zeros((len(roll), 128), dtype=bool)
    full[:, LOWEST : LOWEST + N_PITCHES] = roll
    onsets = full.copy()
    onsets[1:] &= ~full[:-1]
    if strike_every is not None:
        onsets[::strike_every] |= full[::strike_every]
    return pianoroll_to_score(full, onsets, steps_per_beat=STEPS_PER_BEAT, tempo=tempo, meter=meter)
