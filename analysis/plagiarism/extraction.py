"""Which notes does a piece consist of, for counting what two pieces share?

Conventions: time is cut into steps, `steps_per_beat` to the quarter note; a tick belongs to the nearest step,
halves to the later one. A piece becomes a set of *units*, each a step and a row. A row is a MIDI pitch, or
for ``onset+dur`` a pitch with a class of durations. Drums have no pitch and are left out.

References: Sun, "DeepHear: Composing and harmonizing music with neural networks", 2015 (the unit ``cell``).
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analysis.errors import AnalysisError
from music.note_table import NoteTable, score_to_table
from music.score import Note, Score

#: onset: one unit per note; cell: one per step that a note sounds; onset+dur: a note with its duration.
UNITS = ("onset", "cell", "onset+dur")

#: The durations, in beats, that ``onset+dur`` tells apart; a note belongs to the nearest by ratio.
DURATION_CLASSES = (0.125, 0.1875, 0.25, 0.375, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)

N_PITCHES = 128
LARGEST_PIECE_STEPS = 4_000_000  # 17 days of sixteenths at 120 beats per minute would not be music
LARGEST_PIECE_CELLS = 40_000_000  # ten voices throughout a piece of that length


def rows_per_pitch(unit: str) -> int:
    """How many rows one pitch has: 1, or one per class of durations.

    Raises
    ------
    AnalysisError
        If there is no such unit.
    """
    if unit not in UNITS:
        raise AnalysisError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    return len(DURATION_CLASSES) if unit == "onset+dur" else 1


@dataclass(frozen=True)
class PieceUnits:
    """A piece as a set of units, sorted by step, then row."""

    steps: np.ndarray  # (n_units,) int64
    rows: np.ndarray  # (n_units,) int64; pitch * rows_per_pitch + class
    n_steps: int  # to the end of the last bar that sounds; 0 for a piece without notes
    bar_steps: tuple[int, ...] = ()  # the steps at which bars start
    name: str = ""
    group: str = ""  # pieces of one work share it; "" belongs to no group
    rows_per_pitch: int = 1

    @property
    def n_units(self) -> int:
        """The size of the set."""
        return len(self.steps)

    @cached_property
    def digest(self) -> bytes:
        """Equal for pieces with equal units, and for them alone."""
        return _digest(self.steps, self.rows)

    @cached_property
    def shape(self) -> bytes:
        """Equal for pieces that differ by a transposition alone."""
        if not self.n_units:
            return b""
        lowest = self.rows.min() // self.rows_per_pitch * self.rows_per_pitch
        return _digest(self.steps, self.rows - lowest)

    def count_between(self, start: int, end: int) -> int:
        """Units at steps from `start` to before `end`."""
        first, last = np.searchsorted(self.steps, (start, end))
        return int(last - first)


@dataclass(frozen=True)
class Snippet:
    """The units of one window, counted from the window's start."""

    steps: np.ndarray  # (n_units,) int64, each from 0 to before window_steps
    rows: np.ndarray  # (n_units,) int64
    window_steps: int
    start: int = field(default=0, compare=False)  # step of the piece at which the window starts

    @property
    def n_units(self) -> int:
        """n of the definition: the units that a corpus window is asked for."""
        return len(self.steps)

    @cached_property
    def digest(self) -> bytes:
        """Equal for windows with equal units and equal length."""
        return b"%d|" % self.window_steps + _digest(self.steps, self.rows)


def _digest(steps: np.ndarray, rows: np.ndarray) -> bytes:
    """A hash of units that does not depend on how many bytes a number takes."""
    numbers = [len(steps), *(each.astype("<i8").tobytes() for each in (steps, rows))]
    return hashlib.sha256(b"%d|%b%b" % tuple(numbers)).digest()


def tick_to_step(tick: int, *, ticks_per_beat: int, steps_per_beat: int) -> int:
    """The step nearest to a tick, halves upward; exact in whole numbers."""
    return (2 * tick * steps_per_beat + ticks_per_beat) // (2 * ticks_per_beat)


def note_steps(note: Note, *, ticks_per_beat: int, steps_per_beat: int) -> tuple[int, int]:
    """First step of a note and the step after its last one: a note shorter than a step still fills one."""
    first = tick_to_step(note.onset, ticks_per_beat=ticks_per_beat, steps_per_beat=steps_per_beat)
    end = tick_to_step(note.end, ticks_per_beat=ticks_per_beat, steps_per_beat=steps_per_beat)
    return first, max(end, first + 1)


def duration_class(beats: float | np.ndarray) -> int | np.ndarray:
    """Index into `DURATION_CLASSES` of the nearest duration by ratio, the shorter of two as near."""
    classes = np.log2(DURATION_CLASSES)
    return np.argmin(np.abs(classes - np.log2(beats)[..., None]), axis=-1)


def units_of_note(
    note: Note, *, unit: str, ticks_per_beat: int, steps_per_beat: int
) -> Iterator[tuple[int, int]]:
    """Each unit ``(step, row)`` that one note brings."""
    first, end = note_steps(note, ticks_per_beat=ticks_per_beat, steps_per_beat=steps_per_beat)
    if unit == "cell":
        for step in range(first, end):
            yield step, note.pitch
    elif unit == "onset":
        yield first, note.pitch
    else:
        yield first, note.pitch * len(DURATION_CLASSES) + duration_class(note.duration / ticks_per_beat)


def unit_arrays(units: Iterable[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and rows of a set of units, sorted, each unit once."""
    table = np.array(sorted(set(units)), dtype=np.int64).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def score_to_units(
    score: Score | NoteTable, *, unit: str = "onset", steps_per_beat: int = 4, name: str = "", group: str = ""
) -> PieceUnits:
    """Turn a score, or the notes alone of one, into its set of units.

    Equal pitches that start in one step (doublings, several tracks) are one unit.

    Parameters
    ----------
    unit : str
        One of `UNITS`.
    steps_per_beat : int
        Grid resolution; 4 is a sixteenth-note grid, 12 holds sixteenths and triplets.

    Raises
    ------
    AnalysisError
        If there is no such unit, the grid has no step in a beat, or the piece is longer than any music.
    """
    n_rows = rows_per_pitch(unit)
    if not 1 <= steps_per_beat <= 96:
        raise AnalysisError(f"steps_per_beat must be 1-96, got {steps_per_beat}")
    table = score_to_table(score) if isinstance(score, Score) else score
    is_pitched = ~table.is_drum
    if not is_pitched.any():
        nothing = np.zeros(0, dtype=np.int64)
        return PieceUnits(nothing, nothing, 0, name=name, group=group, rows_per_pitch=n_rows)
    grid = {"ticks_per_beat": table.ticks_per_beat, "steps_per_beat": steps_per_beat}
    columns = (table.onsets, table.pitches, table.durations)
    onsets, pitches, durations = (column[is_pitched] for column in columns)
    end_tick = int((onsets + durations).max())
    if tick_to_step(end_tick, **grid) > LARGEST_PIECE_STEPS:
        raise AnalysisError(
            f"piece {name!r} has a note at tick {end_tick}: longer than {LARGEST_PIECE_STEPS} steps"
        )
    first = tick_to_step(onsets, **grid)
    end = np.maximum(tick_to_step(onsets + durations, **grid), first + 1)
    if unit == "cell":
        lengths = end - first
        if lengths.sum() > LARGEST_PIECE_CELLS:
            raise AnalysisError(
                f"piece {name!r} sounds in {lengths.sum():,} cells, more than {LARGEST_PIECE_CELLS:,}"
            )
        steps = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        rows = np.repeat(pitches, lengths)
    elif unit == "onset":
        steps, rows = first, pitches
    else:
        steps, rows = first, pitches * n_rows + duration_class(durations / table.ticks_per_beat)
    steps, rows = np.divmod(_sorted_set(steps * (N_PITCHES * n_rows) + rows), N_PITCHES * n_rows)

    last_step = int(end.max())
    starts = np.array([0, *table.bar_starts(end_tick)], dtype=np.int64)
    bars = _sorted_set(tick_to_step(starts[starts < end_tick], **grid))
    bars = bars[bars < last_step].tolist()
    meter = [meter for meter in table.meters if tick_to_step(meter.tick, **grid) <= bars[-1]][-1]
    bar_end = bars[-1] + max(1, round(meter.beats_per_bar * steps_per_beat))
    return PieceUnits(steps, rows, max(bar_end, last_step), tuple(bars), name, group, n_rows)


def _sorted_set(numbers: np.ndarray) -> np.ndarray:
    """As `np.unique`, several times faster for numbers that are nearly in order, as notes are."""
    numbers = np.sort(numbers, kind="stable")
    return numbers[np.diff(numbers, prepend=numbers[:1] - 1) > 0]


def cut_windows(
    piece: PieceUnits, *, window_bars: int = 4, window_steps: int | None = None, hop_steps: int | None = None
) -> list[Snippet]:
    """Cut a piece into windows that start at bar lines and together cover it.

    A window is `window_bars` bars as the piece's own meter has them, or `window_steps` steps if given. The
    last window is the first that reaches the end of the piece; a piece shorter than a window gives one,
    partly empty. Every `hop_steps` steps, if given, instead of at every bar line. A piece without notes gives
    none.
    """
    if piece.n_steps == 0:
        return []
    lines = [*piece.bar_steps, piece.n_steps]
    starts = list(piece.bar_steps) if hop_steps is None else list(range(0, piece.n_steps, hop_steps))
    snippets: list[Snippet] = []
    for start in starts:
        if snippets and snippets[-1].start + snippets[-1].window_steps >= piece.n_steps:
            break
        size = window_steps or _bars_from(lines, start, window_bars)
        first, last = np.searchsorted(piece.steps, (start, start + size))
        snippets.append(Snippet(piece.steps[first:last] - start, piece.rows[first:last], size, start))
    return snippets


def _bars_from(lines: list[int], start: int, n_bars: int) -> int:
    """Steps of `n_bars` bars from the bar that holds `start`; bars after the last are as long as it."""
    bar = bisect.bisect_right(lines, start, hi=len(lines) - 1) - 1
    last = min(bar + n_bars, len(lines) - 1)
    missing = bar + n_bars - last
    return lines[last] - lines[bar] + missing * (lines[-1] - lines[-2])
