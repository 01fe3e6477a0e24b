"""The notes of a piece as columns, for what counts notes and asks for no instrument.

A MIDI file becomes a `NoteTable` without a `Score` in between: compiled code (`music.compiled_midi`) reads
the files that follow the standard to the letter and leaves all others to `music.midi`. So a table always says
what the score of the same file says.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from music.limits import READ_LIMITS, ReadLimits
from music.midi import read_midi
from music.score import Meter, Score, bar_starts

MANY_FILES = 200  # reading so many takes longer than loading the compiled code


@dataclass(frozen=True)
class NoteTable:
    """The notes of a piece in any order, its meters and its grid."""

    onsets: np.ndarray  # (n_notes,) int64, ticks
    pitches: np.ndarray  # (n_notes,) int64
    durations: np.ndarray  # (n_notes,) int64, ticks, at least 1
    is_drum: np.ndarray  # (n_notes,) bool
    ticks_per_beat: int
    meters: tuple[Meter, ...]  # as in a Score: by tick, the first at tick 0

    def bar_starts(self, end: int) -> list[int]:
        """Ticks before `end` at which bars start; tick 0 always is one."""
        return bar_starts(self.meters, ticks_per_beat=self.ticks_per_beat, end=end)


def score_to_table(score: Score) -> NoteTable:
    """The notes of a score."""
    numbers = [
        (note.onset, note.pitch, note.duration, track.is_drum)
        for track in score.tracks
        for note in track.notes
    ]
    onsets, pitches, durations, is_drum = np.array(numbers, dtype=np.int64).reshape(-1, 4).T
    return NoteTable(onsets, pitches, durations, is_drum.astype(bool), score.ticks_per_beat, score.meters)


def table_reader(n_files: int) -> Callable[..., NoteTable]:
    """How to read so many MIDI files: `read_table`, or `read_table_compiled` where it is worth loading.

    Both take the content of a file and, as ``limits``, what is refused for its size.
    """
    is_worth_it = "numba" in sys.modules or n_files >= MANY_FILES
    return read_table_compiled if is_worth_it and importlib.util.find_spec("numba") else read_table


def read_table(data: bytes, *, limits: ReadLimits = READ_LIMITS) -> NoteTable:
    """The notes of a MIDI file.

    Raises
    ------
    ScoreError
        As `read_midi` does.
    """
    return score_to_table(read_midi(data, limits=limits))


def read_table_compiled(data: bytes, *, limits: ReadLimits = READ_LIMITS) -> NoteTable:
    """As `read_table`, many times faster once the code is loaded; needs numba."""
    from music.compiled_midi import read_plain_file

    return read_plain_file(data, limits) or read_table(data, limits=limits)
