"""How does a band use its five tracks, bar by bar?

The figures of MuseGAN. A piece becomes five rolls (`music.pianoroll.LAKH_TRACKS`) of 24 steps to the beat, 96
to a bar of 4/4, cut into bars; an upbeat or a bar of another meter is a bar as well. Figures are means over
the bars of all pieces together; all but the share of empty bars are over bars in which the track sounds.

The published figures of the training data (Dong et al., Table 1) may differ from these on the same music:
the released code counts a note as qualified from 2 steps on where the article says 3, and its chroma of 84
pitches adds up 7 neighbouring pitches instead of those of one class. Here both are as in the article.

References: Dong, Hsiao, Yang & Yang, "MuseGAN: Multi-track sequential generative adversarial networks for
symbolic music generation and accompaniment", AAAI 2018; Harte, Sandler & Gasser, "Detecting harmonic change
in musical audio", AMCMM 2006 (the tonal distance).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from music.pianoroll import LAKH_TRACKS, score_to_multitrack, score_to_multitrack_onsets
from music.score import Score
from music.transform import bar_edges, refine

STEPS_PER_BEAT = 24
QUALIFIED_STEPS = 3  # a note of 3 steps of 24 to the beat is a 32nd note
DRUM_TOLERANCE = 0.1  # what a stroke one step beside a sixteenth counts

#: From 12 pitch classes to the circles of fifths, minor thirds and major thirds, two coordinates each.
TONAL_SPACE = np.stack(
    [
        radius * wave(np.arange(12) * turn * np.pi)
        for radius, turn in ((1.0, 7 / 6), (1.0, 3 / 2), (0.5, 2 / 3))
        for wave in (np.sin, np.cos)
    ]
)  # (6, 12)


@dataclass(frozen=True)
class TrackFigures:
    """The figures of one track; None where no bar gives them."""

    n_bars: int
    empty_bars: float | None  # share of bars without any note
    used_pitch_classes: float | None  # per bar, 0-12; None for drums, which have none
    qualified_notes: float | None  # share of notes of `QUALIFIED_STEPS` or more


@dataclass(frozen=True)
class BandFigures:
    """The figures of a set of pieces."""

    tracks: dict[str, TrackFigures]  # by the names of `LAKH_TRACKS`
    drum_pattern: float | None  # share of drum strokes on sixteenths; beside them counts `DRUM_TOLERANCE`
    tonal_distance: dict[tuple[str, str], float | None]  # of each pair of pitched tracks; small is in harmony


def describe_band(scores: Iterable[Score]) -> BandFigures:
    """The figures of all bars of some pieces together."""
    bars, onsets = [], []
    for score in scores:
        fine = refine(score, STEPS_PER_BEAT)
        edges = [edge * STEPS_PER_BEAT // fine.ticks_per_beat for edge in bar_edges(fine)]
        bars += _cut(score_to_multitrack(fine, steps_per_beat=STEPS_PER_BEAT), edges)
        onsets += _cut(score_to_multitrack_onsets(fine, steps_per_beat=STEPS_PER_BEAT), edges)
    tracks = {
        name: _describe_track([bar[..., place] for bar in bars], place)
        for place, name in enumerate(LAKH_TRACKS)
    }
    pairs = {
        (LAKH_TRACKS[one], LAKH_TRACKS[other]): mean_or_none(
            tonal_distance(bar[..., one], bar[..., other]) for bar in bars
        )
        for one, other in combinations(range(1, len(LAKH_TRACKS)), 2)
    }
    return BandFigures(tracks, mean_or_none(drum_pattern(bar[..., 0]) for bar in onsets), pairs)


def _cut(rolls: np.ndarray, edges: list[int]) -> list[np.ndarray]:
    return [rolls[start:end] for start, end in pairwise(edges) if end > start]


def _describe_track(bars: list[np.ndarray], place: int) -> TrackFigures:
    return TrackFigures(
        n_bars=len(bars),
        empty_bars=mean_or_none(float(not bar.any()) for bar in bars),
        used_pitch_classes=mean_or_none(used_pitch_classes(bar) for bar in bars) if place else None,
        qualified_notes=mean_or_none(qualified_notes(bar) for bar in bars),
    )


def used_pitch_classes(bar: np.ndarray) -> int | None:
    """How many of the 12 pitch classes sound in a bar (n_steps, 128); None if none does."""
    return int(np.count_nonzero(chroma(bar))) or None


def qualified_notes(bar: np.ndarray, *, least_steps: int = QUALIFIED_STEPS) -> float | None:
    """The share of notes in a bar (n_steps, 128) that last so many steps; None without notes.

    A note is a run of steps in which its pitch sounds; the bar's edges cut it.
    """
    silent = np.zeros((1, bar.shape[1]), dtype=np.int8)
    edges = np.diff(np.concatenate([silent, bar.astype(np.int8), silent]), axis=0).T  # (128, n_steps + 1)
    lengths = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]  # runs come pitch by pitch, in order
    return float(np.mean(lengths >= least_steps)) if len(lengths) else None


def drum_pattern(onsets: np.ndarray) -> float | None:
    """The share of drum strokes in a bar (n_steps, 128) that are on sixteenths; None without strokes."""
    strokes = onsets.sum(axis=1)
    if not strokes.sum():
        return None
    beside = np.arange(len(strokes)) % (STEPS_PER_BEAT // 4)
    weights = np.select(
        [beside == 0, (beside == 1) | (beside == STEPS_PER_BEAT // 4 - 1)], [1.0, DRUM_TOLERANCE]
    )
    return float((weights * strokes).sum() / strokes.sum())


def chroma(bar: np.ndarray) -> np.ndarray:
    """How many steps each pitch class sounds, its octaves added up: (n_steps, 128) to (12,)."""
    counts = np.zeros(12)
    np.add.at(counts, np.arange(bar.shape[1]) % 12, bar.sum(axis=0))
    return counts


def tonal_distance(one: np.ndarray, other: np.ndarray) -> float | None:
    """The mean distance of two tracks in tonal space over the beats of a bar in which both sound.

    Both are (n_steps, 128). Their chroma in a beat, each divided by its sum, become two points of six
    coordinates. None if the tracks never sound in one beat.
    """
    distances = []
    for start in range(0, len(one), STEPS_PER_BEAT):
        pair = [chroma(track[start : start + STEPS_PER_BEAT]) for track in (one, other)]
        if all(counts.any() for counts in pair):
            points = [TONAL_SPACE @ (counts / counts.sum()) for counts in pair]
            distances.append(float(np.linalg.norm(points[0] - points[1])))
    return mean_or_none(distances)


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """The mean of those values that are there; None if none is."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
