"""Every note of a range, step by step: whether it sounds, and whether it is struck in this step.

This is the state matrix of the biaxial LSTM (Johnson 2015) on a grid of sixteenths, with one row more for the
clock: the place of the step in its bar. What a net reads of it per note, position, pitch class, vicinity,
context and beat, is made from the states where they lie, by `NoteInputs`.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from music.pianoroll import nearest_step, pianoroll_to_score
from music.score import TICKS_PER_BEAT, Meter, Score

if TYPE_CHECKING:
    from generators.family import Request

STEPS_PER_BEAT = 4
N_BEAT_BITS = 4
CLOCK = 2**N_BEAT_BITS  # places in a bar that the beat can tell apart
REACH = 12  # semitones to both sides that a note sees of its neighbours
PADDING = 255  # of all cells after the end of a piece
MOST_OPENINGS = 256
VELOCITY = 80


class NoteStates:
    """Notes by sixteenths: (n_steps, n_notes + 1, 2), 0 or 1 in each cell but for the clock.

    Cell (t, n, 0) says whether note n sounds in step t, cell (t, n, 1) whether it is struck there; cell
    (t, n_notes, 0) holds the place of the step in its bar, modulo 16. Notes outside the range and drums are
    left out; a note that is shorter than a step still fills one. Pieces last to the end of their last bar.

    Parameters
    ----------
    lowest, n_notes : int
        The range, from a MIDI number up.
    length, hop : int
        Steps in a window, and between the starts of windows.
    articulate : bool
        Without it no note is ever struck: a repeated note is a held one.
    clock : {"bar", "sixteen"}
        Whether places count from the start of a bar, or steps from the start of the piece by sixteens.
    truncate : bool
        End a piece where a meter starts whose numerator is neither 2 nor 4, as the original's reader does.
    """

    padding = PADDING
    max_windows = None

    def __init__(
        self,
        *,
        lowest: int,
        n_notes: int,
        length: int,
        hop: int = 16,
        articulate: bool = True,
        clock: Literal["bar", "sixteen"] = "bar",
        truncate: bool = False,
    ):
        self.lowest = lowest
        self.n_notes = n_notes
        self.length = length
        self.hop = hop
        self.articulate = articulate
        self.clock = clock
        self.truncate = truncate

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The states in which bars of the corpus begin, and how many notes sound at a time on average.

        An opening is a pair of lists of notes by number: those that sound, and those that are struck. Of many
        openings `MOST_OPENINGS` are kept, evenly over the corpus. The average is over steps with any note.
        """
        openings, sounding, n_steps = [], 0, 0
        for score in scores:
            steps = self.encode(score, {})
            if not len(steps):
                continue
            cells = steps[:, :-1]
            counts = cells[..., 0].sum(axis=1)
            sounding += int(counts.sum())
            n_steps += int((counts > 0).sum())
            in_time = (steps[:, -1, 0] == 0) & (counts > 0)
            for step in np.flatnonzero(in_time if in_time.any() else counts > 0):
                openings.append([np.flatnonzero(cells[step, :, layer]).tolist() for layer in (0, 1)])
        kept = np.linspace(0, len(openings) - 1, min(len(openings), MOST_OPENINGS)).round().astype(int)
        return {
            "openings": [openings[index] for index in kept],
            "polyphony": round(sounding / max(n_steps, 1), 3),
        }

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The states of a score [shape=(n_steps, n_notes + 1, 2), dtype=uint8]; empty without notes."""
        last = self._last_tick(score)
        rows = []
        for note in score.notes(drums=False):
            if 0 <= note.pitch - self.lowest < self.n_notes and (last is None or note.onset < last):
                end = note.end if last is None else min(note.end, last)
                start = nearest_step(note.onset, STEPS_PER_BEAT, score.ticks_per_beat)
                stop = nearest_step(end, STEPS_PER_BEAT, score.ticks_per_beat)
                rows.append((start, max(stop, start + 1), note.pitch - self.lowest))
        if not rows:
            return np.zeros((0, self.n_notes + 1, 2), dtype=np.uint8)
        bars = self._bar_steps(score)
        longest = max(stop for _, stop, _ in rows)
        n_steps = next((step for step in bars if step >= longest), longest)
        steps = np.zeros((n_steps, self.n_notes + 1, 2), dtype=np.uint8)
        for start, stop, index in rows:
            steps[start:stop, index, 0] = 1
            steps[start, index, 1] = self.articulate
        steps[:, -1, 0] = places_from(bars if self.clock == "bar" else [0], n_steps)
        return steps

    def starts(self, steps: np.ndarray) -> list[int]:
        """Every `hop` steps while windows are full, without the silent ones; a short piece gives one."""
        starts = range(0, max(len(steps) - self.length, 0) + 1, self.hop)
        return [start for start in starts if steps[start : start + self.length, :-1, 0].any()]

    def describe(self) -> str:
        """A shorter piece gives one window, padded."""
        return f"up to {self.length} sixteenths with {self.needed()}"

    def needed(self) -> str:
        """What a piece must have to be read at all."""
        meters = ", before any meter but those of 2 or 4 beats" if self.truncate else ""
        highest = self.lowest + self.n_notes - 1
        return f"a note from MIDI {self.lowest} to {highest} that is not of the drums{meters}"

    def places(self, meter: Meter, n_steps: int) -> np.ndarray:
        """The clock of a piece that is all in one meter: the place of each step in its bar, modulo 16."""
        if self.clock == "sixteen":
            return places_from([0], n_steps)
        bar = meter.beats_per_bar * TICKS_PER_BEAT
        count = int(n_steps / (meter.beats_per_bar * STEPS_PER_BEAT)) + 1
        bars = [nearest_step(int(bar * index), STEPS_PER_BEAT, TICKS_PER_BEAT) for index in range(count)]
        return places_from(bars, n_steps)

    def first_columns(self, openings: Sequence[Sequence[Sequence[int]]], choices: Sequence[float]) -> Tensor:
        """An opening for each number in [0, 1): (n, n_notes, 2) of 0 and 1; silence where there are none."""
        columns = np.zeros((len(choices), self.n_notes, 2), dtype=np.float32)
        for column, choice in zip(columns, choices, strict=True):
            for layer, notes in enumerate(openings[int(choice * len(openings))] if openings else ()):
                column[list(notes), layer] = 1
        return torch.from_numpy(columns)

    def to_score(
        self, states: np.ndarray, request: Request, *, last_bar: int, fallback: np.ndarray | None = None
    ) -> Score:
        """States of notes [shape=(n_steps, n_notes, 1 or 2)] as a piece in the tempo and meter of a request.

        A note lasts while it sounds and is not struck again. A note that sounds unstruck after a silence
        starts there.

        Parameters
        ----------
        last_bar : int
            The step at which the last bar starts. If all is silent from there on, the last chord is struck
            there again and held.
        fallback : np.ndarray [shape=(n_notes,)], optional
            The chord where all is silent.
        """
        sounds, struck = (np.zeros((len(states), 128), dtype=bool) for _ in range(2))
        piano = slice(self.lowest, self.lowest + self.n_notes)
        sounds[:, piano] = states[..., 0] == 1
        if self.articulate:
            struck[:, piano] = states[..., 1] == 1
        if not sounds[last_bar:].any():
            heard = np.flatnonzero(sounds.any(axis=1))
            if len(heard):
                sounds[last_bar:] = sounds[heard[-1]]
            elif fallback is not None:
                sounds[last_bar:, piano] = fallback
            struck[last_bar] = sounds[last_bar]
        return pianoroll_to_score(
            sounds,
            sounds & struck,
            steps_per_beat=STEPS_PER_BEAT,
            tempo=request.tempo,
            meter=request.meter,
            velocity=VELOCITY,
        )

    def _last_tick(self, score: Score) -> int | None:
        """Where the original stops to read; None where it reads on to the end."""
        if not self.truncate:
            return None
        return next((meter.tick for meter in score.meters if meter.numerator not in (2, 4)), None)

    def _bar_steps(self, score: Score) -> list[int]:
        """The steps at which bars start, and the one at which the last bar ends."""
        ticks = score.bar_starts()
        number = bisect.bisect_right(score.meters, ticks[-1], key=lambda meter: meter.tick) - 1
        ticks.append(ticks[-1] + int(score.meters[number].beats_per_bar * score.ticks_per_beat))
        return [nearest_step(tick, STEPS_PER_BEAT, score.ticks_per_beat) for tick in ticks]


def places_from(bars: Sequence[int], n_steps: int) -> np.ndarray:
    """The place of each step in its bar, modulo 16, from the starts of bars: (n_steps,) uint8."""
    bars = np.asarray(bars)
    steps = np.arange(n_steps)
    latest = np.maximum(np.searchsorted(bars, steps, side="right") - 1, 0)
    return ((steps - bars[latest]) % CLOCK).astype(np.uint8)


def rolls_to_states(roll: np.ndarray) -> np.ndarray:
    """A piano roll without onsets as states: (n_steps, n_notes) to (n_steps, n_notes + 1, 2), uint8.

    No note is struck; the clock counts the steps by sixteens.
    """
    roll = np.asarray(roll) != 0
    steps = np.zeros((len(roll), roll.shape[1] + 1, 2), dtype=np.uint8)
    steps[:, :-1, 0] = roll
    steps[:, -1, 0] = places_from([0], len(roll))
    return steps


class NoteInputs(nn.Module):
    """What the net reads of each note, made from the states on their device: 80 numbers with two attributes.

    They are, in this order: the position of the note (1, from 0 up), its pitch class (12, one of them 1), the
    vicinity (25 notes from an octave below to an octave above, their attributes each), the context (12: how
    many notes sound in each pitch class, counted from that of the note itself), the beat (4 bits of the place
    in the bar, -1 or 1, the lowest first) and a 0.

    Parameters
    ----------
    lowest, n_notes : int
        The range of the notes.
    n_attributes : int
        2: sounding and struck; 1: sounding alone.
    vicinity : {"zero", "wrap"}
        What the lowest notes see below the range: silence, or, as in the original, the top of the range.
    scaled : bool
        Give the position as a share of the range.
    """

    def __init__(
        self, lowest: int, n_notes: int, n_attributes: int, vicinity: str = "zero", scaled: bool = False
    ):
        super().__init__()
        self.vicinity = vicinity
        self.n_inputs = 1 + 12 + (2 * REACH + 1) * n_attributes + 12 + N_BEAT_BITS + 1
        index = torch.arange(n_notes)
        classes = (index + lowest) % 12
        position = index / n_notes if scaled else index
        one_hot = F.one_hot(classes, 12).float()
        for name, table in {
            "note": torch.cat([position[:, None].float(), one_hot], dim=1),  # (notes, 13)
            "classes": one_hot,  # (notes, 12)
            "turn": (classes[:, None] + torch.arange(12)) % 12,  # (notes, 12)
            "bits": torch.arange(N_BEAT_BITS),
        }.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, states: Tensor, places: Tensor) -> Tensor:
        """States (..., notes, attributes) of any float type and places (...) to (..., notes, inputs)."""
        *shape, n_notes, _ = states.shape
        below = torch.zeros_like(states[..., :REACH, :])
        above = below
        if self.vicinity == "wrap":
            below = states[..., -REACH:, :]
        padded = torch.cat([below, states, above], dim=-2)  # (..., notes + 24, attributes)
        vicinity = padded.unfold(-2, 2 * REACH + 1, 1).transpose(-1, -2)  # (..., notes, 25, attributes)
        counts = states[..., 0] @ self.classes.to(states.dtype)  # (..., 12)
        context = counts[..., self.turn]  # (..., notes, 12)
        beat = ((places[..., None].long() >> self.bits) & 1) * 2 - 1  # (..., 4)
        return torch.cat(
            [
                self.note.to(states.dtype).expand(*shape, -1, -1),
                vicinity.flatten(-2),
                context,
                beat.to(states.dtype)[..., None, :].expand(*shape, n_notes, -1),
                states.new_zeros(*shape, n_notes, 1),
            ],
            dim=-1,
        )
