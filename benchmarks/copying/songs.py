"""Songs for the searches: made up in the shape of POP909, or real ones from a folder.

The made-up ones have its size (809 songs, 1.13 million starts of windows, 84 onsets and 232 cells in a window
of 64 sixteenths on average) and what makes a search hard: loops of four chords, patterns that come back in
many songs, melodies of few steps, sections that are repeated.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np

from analysis.plagiarism.extraction import PieceUnits, Snippet, cut_windows, score_to_units
from music.score import Note, Score, Track

N_SONGS, N_BARS = 809, 87
DATA = "EARWITNESS_BENCHMARK_DATA"  # a folder of MIDI files to search instead
TICKS_PER_STEP = 120
_SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
_LOOPS = ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (3, 4, 2, 5), (0, 3, 4, 4), (1, 4, 0, 5))


def score_of(seed: int, n_bars: int = N_BARS) -> Score:
    """One made-up song: a melody over broken and struck chords and a bass."""
    rng = np.random.default_rng([909, seed])
    key = int(rng.integers(-5, 7))
    loop = _LOOPS[rng.integers(len(_LOOPS))]
    strikes = np.sort(rng.choice(16, rng.integers(5, 8), replace=False, p=_metrical_weights()))
    verses = [_melody(rng, loop, 8) for _ in range(3)]
    order = rng.integers(0, 3, -(-n_bars // 8))
    melody, chords = [], []
    for bar in range(n_bars):
        degree = loop[bar % 4]
        root = 48 + key + int(_SCALE[degree])
        triad = [
            int(12 * ((degree + step) // 7) + _SCALE[(degree + step) % 7]) + 60 + key for step in (0, 2, 4)
        ]
        melody += [
            (16 * bar + step, pitch + key, length) for step, pitch, length in verses[order[bar // 8]][bar % 8]
        ]
        chords.append((16 * bar, root - 12, 8))
        chords.append((16 * bar + 8, root - 5 if rng.random() < 0.5 else root - 12, 8))
        for number, step in enumerate(strikes):
            if rng.random() < 0.15:
                continue
            end = strikes[number + 1] if number + 1 < len(strikes) else 16
            struck = triad if rng.random() < 0.5 else [triad[number % 3], triad[(number + 1) % 3]]
            chords += [(16 * bar + int(step), pitch, int(end - step)) for pitch in struck]
    return Score((_track(melody), _track(chords)))


def _track(notes: list[tuple[int, int, int]]) -> Track:
    return Track(
        tuple(
            Note(step * TICKS_PER_STEP, pitch, length * TICKS_PER_STEP) for step, pitch, length in set(notes)
        )
    )


def _metrical_weights() -> np.ndarray:
    weights = np.array([8, 1, 3, 1, 5, 1, 3, 2, 6, 1, 3, 1, 5, 1, 3, 2], dtype=float)
    return weights / weights.sum()


def _melody(rng: np.random.Generator, loop: tuple[int, ...], n_bars: int) -> list[list[tuple[int, int, int]]]:
    """Bars of (step, pitch, length) in C, mostly by steps of the scale, drawn to the chord on the beats."""
    bars, place = [], 7 + int(rng.integers(7))
    for bar in range(n_bars):
        steps = np.sort(rng.choice(16, rng.integers(4, 9), replace=False, p=_metrical_weights()))
        ends = [*steps[1:], 16]
        notes = []
        for step, end in zip(steps.tolist(), ends, strict=True):
            place += int(rng.choice([-2, -1, -1, 0, 0, 1, 1, 2]))
            if step % 8 == 0:
                place = min(
                    (loop[bar % 4] + shift for shift in (0, 2, 4, 7, 9, 11, 14)), key=lambda p: abs(p - place)
                )
            place = min(max(place, 3), 18)
            notes.append((step, 60 + 12 * (place // 7) + int(_SCALE[place % 7]), max(int(end) - step, 1)))
        bars.append(notes)
    return bars


@cache
def scores() -> tuple[Score, ...]:
    """The songs that are searched, and 100 more that are not."""
    folder = os.environ.get(DATA)
    if folder is None:
        return tuple(score_of(seed) for seed in range(N_SONGS + 100))
    from music.isolation import read_scores

    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    found = [score for _, score in read_scores(paths) if isinstance(score, Score) and score.n_notes > 100]
    if len(found) < 20:
        raise ValueError(f"{folder} holds {len(found)} pieces of more than 100 notes; at least 20 are needed")
    return tuple(found)


@cache
def corpus(unit: str) -> tuple[PieceUnits, ...]:
    """The songs that are searched: all but every tenth, or but the last 100 of those that are made up."""
    pieces = [score_to_units(score, unit=unit, name=str(number)) for number, score in enumerate(scores())]
    if DATA in os.environ:
        return tuple(piece for number, piece in enumerate(pieces) if number % 10)
    return tuple(pieces[:N_SONGS])


@cache
def snippets(unit: str, count: int) -> tuple[Snippet, ...]:
    """Windows of 64 steps: nine in ten of songs that are not searched, the rest thinned copies of some."""
    rng = np.random.default_rng(1)
    known = {piece.name for piece in corpus(unit)}
    others = [
        score_to_units(score, unit=unit, name=str(number))
        for number, score in enumerate(scores())
        if str(number) not in known
    ]
    held_out = _windows(others)
    copied = _windows(corpus(unit)[:: max(1, len(corpus(unit)) // 50)])
    n_copied = count // 10
    chosen = [
        held_out[place]
        for place in rng.choice(len(held_out), count - n_copied, replace=len(held_out) < count)
    ]
    for place in rng.choice(len(copied), n_copied, replace=len(copied) < n_copied):
        window = copied[place]
        kept = rng.random(window.n_units) < rng.uniform(0.3, 1)
        kept[0] = True
        chosen.append(Snippet(window.steps[kept], window.rows[kept], window.window_steps))
    return tuple(chosen)


def _windows(pieces) -> list[Snippet]:
    return [
        window for piece in pieces for window in cut_windows(piece, window_steps=64) if window.n_units >= 8
    ]
