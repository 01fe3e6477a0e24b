"""Which share of a set of pieces is found, note for note, in the pieces that a model learned from?

A piece is cut into windows of 16 or 32 sixteenths, one at every sixteenth. Two windows are equal if the same
notes start and sound in them, all moved by one interval: keys do not count. Drums are left out. Windows in
which fewer than `LEAST_ONSETS` notes start say nothing (a held chord is nobody's) and do not count.

Real pieces share windows with other real pieces as well: the copy rate of held-out real music is what that
of a model is to be read beside. A window that differs in one note is no copy here; `analysis.plagiarism`
measures likeness by degrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from music.pianoroll import score_to_onsets, score_to_pianoroll
from music.score import Score
from music.transform import refine

STEPS_PER_BEAT = 4
LEAST_ONSETS = 4

#: Two primes below 2**31 and bases: two windows that differ get one key with a chance of about 2**-62.
_MODULI = np.array([2_147_483_647, 2_147_483_629], dtype=np.uint64)
_STEP_BASES = np.array([1_103_515_245, 1_664_525_011], dtype=np.uint64)
_PITCH_BASES = np.array([48_271_069, 69_621_173], dtype=np.uint64)
_ONSET_BASES = np.array([16_807_331, 39_373_019], dtype=np.uint64)


@dataclass(frozen=True)
class CopyRate:
    """How much of some pieces is found in others."""

    n_windows: int  # that count
    n_copied: int  # of them, found in the other pieces

    @property
    def share(self) -> float | None:
        """Copied windows over all that count; None where none does."""
        return self.n_copied / self.n_windows if self.n_windows else None


def copy_rate(
    scores: Iterable[Score],
    sources: Iterable[Score],
    *,
    n_steps: int = 16,
    least_onsets: int = LEAST_ONSETS,
) -> CopyRate:
    """How many windows of `scores` are windows of `sources`, in any key.

    Raises
    ------
    AnalysisError
        If `n_steps` is less than 1.
    """
    known = known_windows(sources, n_steps=n_steps, least_onsets=least_onsets)
    keys = [_keys_of_score(score, n_steps, least_onsets) for score in scores]
    keys = np.concatenate(keys) if keys else np.zeros(0, dtype=np.uint64)
    return CopyRate(len(keys), int(np.isin(keys, known).sum()))


def known_windows(
    scores: Iterable[Score], *, n_steps: int = 16, least_onsets: int = LEAST_ONSETS
) -> np.ndarray:
    """The keys of all windows of some pieces, sorted, each once (uint64)."""
    keys = [_keys_of_score(score, n_steps, least_onsets) for score in scores]
    return np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.uint64)


def copy_rate_of_rolls(
    rolls: Sequence[np.ndarray], sources: Sequence[np.ndarray], *, n_steps: int = 16
) -> CopyRate:
    """The same for rolls (n_steps, n_pitches) without onsets, in their own key; silent windows aside."""
    known = [_keys(roll, None, n_steps, 0, in_any_key=False) for roll in sources]
    keys = [_keys(roll, None, n_steps, 0, in_any_key=False) for roll in rolls]
    known, keys = (np.concatenate([np.zeros(0, dtype=np.uint64), *each]) for each in (known, keys))
    return CopyRate(len(keys), int(np.isin(keys, known).sum()))


def _keys_of_score(score: Score, n_steps: int, least_onsets: int) -> np.ndarray:
    fine = refine(score, STEPS_PER_BEAT)
    roll = score_to_pianoroll(fine, steps_per_beat=STEPS_PER_BEAT)
    onsets = score_to_onsets(fine, steps_per_beat=STEPS_PER_BEAT)
    return _keys(roll, onsets, n_steps, least_onsets, in_any_key=True)


def _keys(
    roll: np.ndarray, onsets: np.ndarray | None, n_steps: int, least_onsets: int, *, in_any_key: bool
) -> np.ndarray:
    """One key per window that counts (uint64), the same for equal windows.

    A window is a polynomial in a base for steps and one for pitches, modulo a prime; moving it by an interval
    multiplies it by a power of the base for pitches, so dividing by that of its lowest pitch forgets the key.
    """
    if n_steps < 1:
        raise AnalysisError(f"windows need at least 1 step, got {n_steps}")
    n_windows = len(roll) - n_steps + 1
    if n_windows < 1:
        return np.zeros(0, dtype=np.uint64)
    n_pitches = roll.shape[1]
    sounding = roll.any(axis=1)
    lowest = np.where(sounding, roll.argmax(axis=1), n_pitches)  # of each step
    windows = np.lib.stride_tricks.sliding_window_view
    lowest = windows(lowest, n_steps).min(axis=1)
    counts = lowest < n_pitches
    if onsets is not None:
        counts &= windows(onsets.sum(axis=1), n_steps).sum(axis=1) >= least_onsets
    keys = []
    for which, modulus in enumerate(_MODULI):
        powers = _powers(_PITCH_BASES[which], n_pitches, modulus)
        steps = (roll.astype(np.uint64) @ powers) % modulus  # at most 128 terms below 2**31
        if onsets is not None:
            steps = (steps + _ONSET_BASES[which] * ((onsets.astype(np.uint64) @ powers) % modulus)) % modulus
        total = np.zeros(n_windows, dtype=np.uint64)
        for offset in range(n_steps):
            total = (total * _STEP_BASES[which] + steps[offset : offset + n_windows]) % modulus
        if in_any_key:
            inverse = np.uint64(pow(int(_PITCH_BASES[which]), -1, int(modulus)))
            undo = _powers(inverse, n_pitches + 1, modulus)
            total = total * undo[lowest] % modulus
        keys.append(total)
    return ((keys[0] << np.uint64(32)) | keys[1])[counts]


def _powers(base: np.uint64, count: int, modulus: np.uint64) -> np.ndarray:
    powers = [1]
    for _ in range(count - 1):
        powers.append(powers[-1] * int(base) % int(modulus))
    return np.array(powers, dtype=np.uint64)
