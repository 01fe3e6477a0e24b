"""Five piano rolls side by side: piano, guitar, bass, strings and drums, from any corpus.

This is how Tham & Kim (2021), "Generating Music Using Deep Learning", read the Lakh Pianoroll Dataset (Dong
et al., "MuseGAN", AAAI 2018). A track belongs to one of the five by its drum flag and the family of its
General MIDI program; every other instrument counts among the strings, as in that dataset. A cell holds the
velocity of the note that sounds, so it knows no onset.

Unlike that dataset, a drum note is its first cell alone, and every cell of the drums is a short hit of its
own on the way back: a drum is struck, not held, and hits on neighbouring steps stay as many as they were.
Hits of a drum within one step are one. A repeated note of the other tracks is one held note, here and on the
way back. It lasts as long as its cells sound without a gap, however long that is: the longest note of a
corpus sets no limit.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from music.pianoroll import lakh_track, nearest_step
from music.score import TICKS_PER_BEAT, Note, Score, Track

if TYPE_CHECKING:
    from generators.family import Request

TRACKS = ("piano", "guitar", "bass", "strings", "drums")
N_TRACKS = len(TRACKS)
N_MIDI_PITCHES = 128
DRUMS = TRACKS.index("drums")
PROGRAMS = (0, 24, 32, 48, 0)  # that pieces are written with; drums have the drum flag
PADDING = 255  # no velocity
VELOCITY = 80  # of notes from cells that are on or off
UNHEARD = 0.1  # of the cells of a track: all that is taken to be missing from a corpus by chance


class FiveTracks:
    """Velocities of five tracks on a regular grid: (n_steps, 5, n_pitches), 0 where nothing sounds.

    Parameters
    ----------
    steps_per_beat : int
        Grid resolution: 2 are eighths, 4 are sixteenths. Notes off the grid move to the nearest step.
    length, hop : int
        Steps in a window, and from one window to the next.
    lowest, n_pitches : int
        The pitches in the rolls, of drums too; others are left out.
    max_windows : int, optional
        Training takes a random choice of so many windows.
    n_before : int
        Steps of silence before every piece.
    padding : int
        What the steps after the end of a piece hold; `PADDING` tells them from silence.
    """

    def __init__(
        self,
        *,
        steps_per_beat: int,
        length: int,
        hop: int,
        lowest: int = 0,
        n_pitches: int = N_MIDI_PITCHES,
        max_windows: int | None = None,
        n_before: int = 0,
        padding: int = 0,
    ):
        self.steps_per_beat = steps_per_beat
        self.length = length
        self.hop = hop
        self.lowest = lowest
        self.n_pitches = n_pitches
        self.max_windows = max_windows
        self.n_before = n_before
        self.padding = padding

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Of each track: cells in a step and in a step with any, on average, and their mean velocity."""
        cells, loudness = np.zeros(N_TRACKS), np.zeros(N_TRACKS)
        n_steps, n_sounding = 0, np.zeros(N_TRACKS)
        for score in scores:
            rolls = self.encode(score, {})[self.n_before :]
            cells += np.count_nonzero(rolls, axis=(0, 2))
            loudness += rolls.sum(axis=(0, 2), dtype=np.int64)
            n_steps += len(rolls)
            n_sounding += rolls.any(axis=2).sum(axis=0)
        velocities = np.where(cells > 0, loudness / np.maximum(cells, 1), VELOCITY)
        return {
            "cells_per_step": (cells / max(n_steps, 1)).tolist(),
            "cells_at_once": (cells / np.maximum(n_sounding, 1)).tolist(),
            "velocities": [round(velocity) for velocity in velocities],
        }

    def pitch_shares(self, scores: Sequence[Score]) -> list[list[float]]:
        """The share of steps in which each pitch of each track sounds, (5, n_pitches); never quite 0 or 1.

        To the count of every pitch comes half a cell, but to all of a track no more than `UNHEARD` of its
        cells: what a small corpus lacks must not outweigh what it has.
        """
        counts, n_steps = np.zeros((N_TRACKS, self.n_pitches)), 1.0
        for score in scores:
            rolls = self.encode(score, {})[self.n_before :]
            counts += np.count_nonzero(rolls, axis=0)
            n_steps += len(rolls)
        cells = counts.sum(axis=1, keepdims=True).clip(min=1)  # (5, 1)
        return ((counts + np.minimum(0.5, UNHEARD * cells / self.n_pitches)) / n_steps).tolist()

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The rolls of a score [shape=(n_steps, 5, n_pitches), dtype=uint8].

        Where several tracks of one kind play a pitch together, the loudest counts. A note shorter than a step
        fills one, and so does every drum note.
        """
        rows = []
        for track in score.tracks:
            place = place_of(track)
            for note in track.notes:
                first = nearest_step(note.onset, self.steps_per_beat, score.ticks_per_beat)
                stop = first + 1
                if place != DRUMS:
                    stop = max(stop, nearest_step(note.end, self.steps_per_beat, score.ticks_per_beat))
                rows.append((first, stop, place, note.pitch - self.lowest, note.velocity))
        n_steps = max((row[1] for row in rows), default=0)
        rolls = np.zeros((self.n_before + n_steps, N_TRACKS, self.n_pitches), dtype=np.uint8)
        piece = rolls[self.n_before :]
        for first, stop, place, row, velocity in rows:
            if 0 <= row < self.n_pitches:
                cells = piece[first:stop, place, row]
                np.maximum(cells, velocity, out=cells)
        return rolls

    def openings(self, scores: Sequence[Score], n_steps: int, *, at_most: int) -> str:
        """The first steps of some of the pieces, evenly chosen, without the silent ones, packed by `pack`."""
        every = max(1, math.ceil(len(scores) / at_most))
        rolls = [self.encode(score, {})[:n_steps] for score in scores[::every]]
        return pack([roll for roll in rolls if roll.any()], n_steps)

    def starts(self, rolls: np.ndarray) -> list[int]:
        """A window every `hop` steps, until one reaches the end; without the silent ones."""
        count = max(0, math.ceil((len(rolls) - self.length) / self.hop)) + 1
        starts = range(0, count * self.hop, self.hop)
        return [start for start in starts if rolls[start : start + self.length].any()]

    def describe(self) -> str:
        """A shorter piece gives one window, padded with silence."""
        return (
            f"{self.length} steps of 1/{self.steps_per_beat} beat, or the rest of a piece, with a note "
            f"from MIDI {self.lowest} to {self.lowest + self.n_pitches - 1}"
        )


def place_of(track: Track) -> int:
    """The place of a track in `TRACKS`: as in the Lakh dataset, but with the drums last, not first."""
    return (lakh_track(track) - 1) % N_TRACKS


def five_tracks_to_score(
    rolls: np.ndarray,
    *,
    steps_per_beat: int,
    request: Request,
    lowest: int = 0,
    velocities: Sequence[int] = (VELOCITY,) * N_TRACKS,
) -> Score:
    """A piece from its five rolls, silent ones left out, no longer than was asked for.

    A note lasts as long as its pitch sounds without a gap, for a cell holds no onset; of drums
    every cell is a note.

    Parameters
    ----------
    rolls : np.ndarray [shape=(n_steps, 5, n_pitches)]
        Velocities, 0 where nothing sounds, or whether a cell sounds at all (dtype bool). A note is as loud as
        its cells on average, 127 at most.
    velocities : sequence of int
        Of the notes of each track, where the rolls are bool.
    """
    end = request.end(TICKS_PER_BEAT)
    ticks_per_step = TICKS_PER_BEAT // steps_per_beat
    tracks = []
    for place, (name, program) in enumerate(zip(TRACKS, PROGRAMS, strict=True)):
        notes = []
        for row, first, stop in (_hits if place == DRUMS else _runs)(rolls[:, place] > 0):
            onset, until = first * ticks_per_step, min(stop * ticks_per_step, end)
            if onset < until:
                loudness = (
                    velocities[place]
                    if rolls.dtype == bool
                    else round(float(rolls[first:stop, place, row].mean()))
                )
                notes.append(Note(onset, lowest + row, until - onset, min(127, max(1, loudness))))
        if notes:
            tracks.append(Track(tuple(notes), program, is_drum=place == DRUMS, name=name))
    return Score(tuple(tracks), TICKS_PER_BEAT, (request.tempo,), (request.meter,))


def pack(rolls: Sequence[np.ndarray], n_steps: int) -> str:
    """Rolls (n_steps or fewer, 5, 128), filled up with silence, as text for the facts of a corpus."""
    filled = [np.pad(roll, ((0, n_steps - len(roll)), (0, 0), (0, 0))).astype(np.uint8) for roll in rolls]
    return base64.b64encode(zlib.compress(b"".join(each.tobytes() for each in filled), 9)).decode("ascii")


def unpack(text: str, n_steps: int) -> np.ndarray:
    """The way back from `pack`: [shape=(n_rolls, n_steps, 5, 128), dtype=uint8]."""
    cells = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return cells.reshape(-1, n_steps, N_TRACKS, N_MIDI_PITCHES).copy()


def _hits(sounds: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, step and the step after of every sounding cell in (n_steps, n_rows)."""
    rows, steps = np.nonzero(sounds.T)
    return list(zip(rows.tolist(), steps.tolist(), (steps + 1).tolist(), strict=True))


def _runs(sounds: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, first step and step after the last of every run of sounding cells in (n_steps, n_rows)."""
    edges = np.diff(np.pad(sounds.T.astype(np.int8), ((0, 0), (1, 1))))  # (n_rows, n_steps + 1)
    rows, first = np.nonzero(edges == 1)
    _, stop = np.nonzero(edges == -1)  # runs of a row begin and end in turn, so both lists pair up
    return list(zip(rows.tolist(), first.tolist(), stop.tolist(), strict=True))
