"""Two voices as a string in which they alternate: the language of the two-part version of MELODL4J (2018).

Time is a grid. Each step has two characters, first the lower voice, then the upper one: a blank where the
voice rests, else one of 49 characters from "A" for the pitch that sounds, MIDI 36 to 84. Pitches beyond move
by octaves. Nothing marks an onset: a note that is struck again goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from music.melody_strings.alphabets import MelodyStringError
from music.melody_strings.extraction import TRIMMED_OVERLAP, overlap_share
from music.score import Note, Score

LOWEST, HIGHEST = 36, 84
REST = 0  # the number of the blank; a pitch has the number pitch - 35
SYMBOLS = " " + "".join(chr(ord("A") + index) for index in range(HIGHEST - LOWEST + 1))  # 50
LONGEST_SILENCE = 8  # steps; what both voices rest for longer is squeezed to it: 16 characters
MIN_NOTES = 100
MIN_SOUND = 0.25  # of the piece
LONGEST_GAP = 0.10  # of the piece


@dataclass(frozen=True)
class VoicePair:
    """Two voices of a piece, by mean pitch."""

    lower: tuple[Note, ...]
    upper: tuple[Note, ...]


def voices_of(score: Score, programs: Iterable[int] | None = None) -> list[tuple[Note, ...]]:
    """The voices of a score, one note at a time each, from the lowest by mean pitch to the highest.

    The notes of each instrument, drums left out, go one by one to the first of its voices that is free, which
    is a new one if need be. A voice is free for a note that overlaps its last one by at most a quarter; the
    last one is then shortened. Of notes that start together the highest comes first.

    Parameters
    ----------
    programs : iterable of int, optional
        General MIDI programs to take; all by default.
    """
    wanted = None if programs is None else set(programs)
    instruments: dict[int, list[Note]] = {}
    for track in score.tracks:
        if not track.is_drum and (wanted is None or track.program in wanted):
            instruments.setdefault(track.program, []).extend(track.notes)
    voices: list[list[Note]] = []
    for notes in instruments.values():
        own: list[list[Note]] = []
        for note in sorted(notes, key=lambda each: (each.onset, -each.pitch)):
            for voice in own:
                if _takes(voice, note):
                    break
            else:
                own.append([note])
        voices += own
    voices.sort(key=_mean_pitch)
    return [tuple(voice) for voice in voices]


def voice_pairs(
    score: Score, *, filters: bool = True, programs: Iterable[int] | None = None
) -> list[VoicePair]:
    """Every pair of a lower and a higher voice of a score.

    With `filters`, of the voices with at least 100 notes that sound for a quarter of the piece or more and
    have no gap of more than a tenth of it.
    """
    voices = [voice for voice in voices_of(score, programs) if not filters or _is_full(voice, score.end)]
    return [VoicePair(lower, upper) for lower, upper in combinations(voices, 2)]


def real_time(score: Score, steps_per_second: float) -> Callable[[int], float]:
    """Ticks of a score to steps of a grid in seconds."""
    return lambda tick: score.tick_to_seconds(tick) * steps_per_second


def beat_time(score: Score, steps_per_beat: int) -> Callable[[int], float]:
    """Ticks of a score to steps of a grid in beats."""
    return lambda tick: tick * steps_per_beat / score.ticks_per_beat


def voice_to_symbols(notes: Iterable[Note], to_step: Callable[[int], float], n_steps: int) -> np.ndarray:
    """What a voice does at each step [shape=(n_steps,), dtype=uint8]: 0 or pitch - 35.

    Times go to the nearest step; a note shorter than a step still fills one. What lies beyond is left out.
    """
    symbols = np.zeros(n_steps, dtype=np.uint8)
    for note in notes:
        start = int(to_step(note.onset) + 0.5)
        end = max(start + 1, int(to_step(note.end) + 0.5))
        symbols[start:end] = symbol_of(note.pitch)
    return symbols


def symbol_of(pitch: int) -> int:
    """The number of a pitch, moved by octaves into MIDI 36 to 84."""
    while pitch > HIGHEST:
        pitch -= 12
    while pitch < LOWEST:
        pitch += 12
    return pitch - LOWEST + 1


def interleave(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Two voices (n_steps,) as one row of characters by number (2 n_steps,), the lower voice first."""
    return np.stack([lower, upper], axis=1).reshape(-1)


def squeezed(steps: np.ndarray, longest: int = LONGEST_SILENCE) -> np.ndarray:
    """Steps (n, 2) without what exceeds `longest` in every stretch in which both voices rest."""
    silent = (steps == REST).all(axis=1)
    kept = np.ones(len(steps), dtype=bool)
    run = 0
    for place, is_silent in enumerate(silent):
        run = run + 1 if is_silent else 0
        kept[place] = run <= longest
    return steps[kept]


def symbols_to_text(symbols: Iterable[int]) -> str:
    """Characters by number as a string."""
    return "".join(SYMBOLS[symbol] for symbol in symbols)


def text_to_symbols(text: str) -> np.ndarray:
    """A string as characters by number [dtype=uint8].

    Raises
    ------
    MelodyStringError
        If a character is none of the 50, or a step lacks its upper voice.
    """
    for place, character in enumerate(text, start=1):
        if character not in SYMBOLS:
            raise MelodyStringError(
                f"character {place} is {character!r}; "
                f"two-part strings have a blank and {SYMBOLS[1]} to {SYMBOLS[-1]}"
            )
    if len(text) % 2:
        raise MelodyStringError(
            f"the string has {len(text)} characters; each step needs two, a lower and an upper voice"
        )
    return np.array([SYMBOLS.index(character) for character in text], dtype=np.uint8)


def symbols_to_notes(
    symbols: Sequence[int], onsets: Sequence[int], *, end: int, velocity: int = 80
) -> list[Note]:
    """The notes of one voice; equal symbols one after the other are one note.

    Parameters
    ----------
    symbols : sequence of int
        Of each step.
    onsets : sequence of int
        The tick at which each step starts; the last one ends at `end`. Notes without a tick are left out.
    """
    edges = [*onsets, end]
    notes = []
    start = 0
    for step in range(1, len(symbols) + 1):
        if step < len(symbols) and symbols[step] == symbols[start]:
            continue
        length = edges[step] - edges[start]
        if symbols[start] != REST and length > 0:
            notes.append(Note(edges[start], int(symbols[start]) + LOWEST - 1, length, velocity))
        start = step
    return notes


def _takes(voice: list[Note], note: Note) -> bool:
    """Add a note to a voice that is free for it; whether it was."""
    last = voice[-1]
    if note.onset < last.end:
        if note.onset <= last.onset or overlap_share(last, note) > TRIMMED_OVERLAP:
            return False
        voice[-1] = Note(last.onset, last.pitch, note.onset - last.onset, last.velocity)
    voice.append(note)
    return True


def _is_full(voice: Sequence[Note], end: int) -> bool:
    sound = sum(note.duration for note in voice)
    gap = max((then.onset - now.end for now, then in pairwise(voice)), default=0)
    return len(voice) >= MIN_NOTES and sound >= MIN_SOUND * end and gap <= LONGEST_GAP * end


def _mean_pitch(voice: Sequence[Note]) -> float:
    return sum(note.pitch for note in voice) / len(voice)
