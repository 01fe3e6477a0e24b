"""What string of symbols is a melody, so that a copy stays a copy in another key and at another speed?

Conventions: a melody is a sequence of notes with rising onsets. Token i describes the way from note i to note
i + 1: the pitch interval, folded by octaves into -12 to 12, and the ratio of the next inter-onset interval to
this one, as the nearest of nine classes. Rests are part of the inter-onset interval; the last note's is its
duration. So n notes give n - 1 tokens, and tokens i to j (j left out) describe notes i to j.

- ``interval+ratio``: both, 225 symbols; neither transposition nor tempo changes a token.
- ``interval``: pitch alone.
- ``pitch``: one token per note, its absolute pitch with the ratio, for searches where one wrong note is one
  edit.
- ``melodl4j``: the characters of MELODL4J's first version: duration, then interval and duration for each
  further note, with a rest and its duration before it where there is one; durations in eighths of the
  melody's mean.

References: Smith, MELODL4J (deeplearning4j examples, 2017), for its characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from analysis.errors import AnalysisError
from music.score import TICKS_PER_BEAT, Note

ENCODINGS = ("interval+ratio", "interval", "pitch", "melodl4j")

#: Ratios of one inter-onset interval to the one before that tokens tell apart.
RATIO_CLASSES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4)
_RATIO_LIMITS = np.sqrt(np.array(RATIO_CLASSES[:-1]) * np.array(RATIO_CLASSES[1:]))  # halfway by ratio

_REST = 25  # after the 25 intervals
_FIRST_DURATION = 26
_N_DURATIONS = 32


@dataclass(frozen=True)
class Melody:
    """A melody and its tokens."""

    notes: tuple[Note, ...]
    tokens: np.ndarray  # (n_tokens,) uint16
    first_note: np.ndarray  # (n_tokens,) the note at which a token begins
    last_note: np.ndarray  # (n_tokens,) the note at which it ends
    ticks_per_beat: int = TICKS_PER_BEAT
    name: str = ""
    group: str = ""

    @property
    def n_tokens(self) -> int:
        """Length of the string."""
        return len(self.tokens)

    def note_span(self, start: int, end: int) -> tuple[int, int]:
        """First note, and the note after the last, of tokens `start` to before `end`."""
        return int(self.first_note[start]), int(self.last_note[end - 1]) + 1

    def excerpt(self, start: int, end: int) -> Melody:
        """Tokens `start` to before `end` as a melody of their own, with the same notes to refer to."""
        part = slice(start, end)
        return replace(
            self, tokens=self.tokens[part], first_note=self.first_note[part], last_note=self.last_note[part]
        )


def fold_interval(interval: np.ndarray) -> np.ndarray:
    """Move intervals by octaves until they lie within -12 to 12 semitones."""
    interval = np.asarray(interval)
    octaves = np.maximum(0, -(-(np.abs(interval) - 12) // 12))  # as few as bring it into range
    return interval - np.sign(interval) * 12 * octaves


def ratio_classes(inter_onset_intervals: np.ndarray) -> np.ndarray:
    """Class in `RATIO_CLASSES` of each interval's successor relative to it; one fewer than intervals."""
    iois = np.asarray(inter_onset_intervals, dtype=np.float64)
    return np.searchsorted(_RATIO_LIMITS, iois[1:] / iois[:-1])


def melody_tokens(
    notes: Sequence[Note],
    *,
    encoding: str = "interval+ratio",
    ticks_per_beat: int = TICKS_PER_BEAT,
    name: str = "",
    group: str = "",
) -> Melody:
    """Write a melody as a string of tokens.

    Parameters
    ----------
    notes : sequence of Note
        With rising onsets (`music.melody.skyline` gives such). Fewer than two notes give no tokens.
    encoding : str
        One of `ENCODINGS`.

    Raises
    ------
    AnalysisError
        If there is no such encoding, or two notes start at once.
    """
    if encoding not in ENCODINGS:
        raise AnalysisError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    notes = tuple(notes)
    onsets = np.array([note.onset for note in notes], dtype=np.int64)
    if (np.diff(onsets) <= 0).any():
        tick = int(onsets[1:][np.diff(onsets) <= 0][0])
        raise AnalysisError(
            f"a melody needs rising onsets, got a note at tick {tick} that does not come later"
        )
    if len(notes) < 2:
        nothing = np.empty(0, dtype=np.int64)
        return Melody(notes, nothing.astype(np.uint16), nothing, nothing, ticks_per_beat, name, group)
    if encoding == "melodl4j":
        tokens, first, last = _melodl4j_tokens(notes)
        return Melody(notes, tokens, first, last, ticks_per_beat, name, group)

    pitches = np.array([note.pitch for note in notes], dtype=np.int64)
    iois = np.append(np.diff(onsets), notes[-1].duration)
    ratios = ratio_classes(iois)
    first = np.arange(len(notes) - 1)
    last = first + 1
    intervals = fold_interval(np.diff(pitches)) + 12  # 0-24
    if encoding == "interval+ratio":
        tokens = intervals * len(RATIO_CLASSES) + ratios
    elif encoding == "interval":
        tokens = intervals
    else:
        same = RATIO_CLASSES.index(1)  # the last note has no successor
        tokens = pitches * len(RATIO_CLASSES) + np.append(ratios, same)
        first = last = np.arange(len(notes))
    return Melody(notes, tokens.astype(np.uint16), first, last, ticks_per_beat, name, group)


def _melodl4j_tokens(notes: tuple[Note, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    unit = np.mean([note.duration for note in notes]) / 8
    duration = [min(_N_DURATIONS - 1, round(note.duration / unit)) + _FIRST_DURATION for note in notes]
    symbols = [(duration[0], 0, 0)]
    for index, (before, note) in enumerate(pairwise(notes), start=1):
        if (rest := note.onset - before.end) > 0:
            rest_length = min(_N_DURATIONS - 1, round(rest / unit)) + _FIRST_DURATION
            symbols += [(_REST, index - 1, index), (rest_length, index - 1, index)]
        interval = int(fold_interval(np.array(note.pitch - before.pitch))) + 12
        symbols += [(interval, index - 1, index), (duration[index], index, index)]
    table = np.array(symbols, dtype=np.int64)
    return table[:, 0].astype(np.uint16), table[:, 1], table[:, 2]
