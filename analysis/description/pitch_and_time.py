"""How does a piece use pitch and time?

Figures of one piece, with the definitions of MusPy. Drums count for the groove and for empty beats alone. A
figure is None where a piece holds nothing to count. The grid is that of sixteenths: 4 steps to the beat.

References: Dong, Chen, McAuley & Berg-Kirkpatrick, "MusPy: A toolkit for symbolic music generation", ISMIR
2020; Wu & Yang, "The Jazz Transformer on the front line", ISMIR 2020 (pitch-class entropy, groove); Mogren,
"C-RNN-GAN", 2016 (scale consistency, polyphony).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from analysis.description.multitrack import mean_or_none
from music.pianoroll import nearest_step, score_to_pianoroll
from music.score import Score
from music.transform import bar_edges, refine

STEPS_PER_BEAT = 4
POLYPHONIC = 2  # pitches at once from which a step counts as polyphonic
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)  # natural


@dataclass(frozen=True)
class PieceFigures:
    """The figures of one piece, or their means over pieces."""

    n_notes: float
    polyphony: float | None  # pitches at once, over steps in which any sounds
    polyphony_rate: float | None  # share of steps, silent ones too, with `POLYPHONIC` pitches or more
    pitch_class_entropy: float | None  # bits, 0 to log2(12) = 3.58
    scale_consistency: float | None  # share of notes in the major or minor scale that suits best
    groove_consistency: float | None  # 1 where all bars have their onsets at the same places
    empty_beats: float | None  # share of beats in which nothing sounds


def describe_piece(score: Score) -> PieceFigures:
    """The figures of a piece."""
    return PieceFigures(
        n_notes=score.n_notes,
        polyphony=polyphony(score),
        polyphony_rate=polyphony_rate(score),
        pitch_class_entropy=pitch_class_entropy(score),
        scale_consistency=scale_consistency(score),
        groove_consistency=groove_consistency(score),
        empty_beats=empty_beats(score),
    )


def describe_pieces(scores: list[Score]) -> PieceFigures:
    """Each figure as its mean over the pieces that have it; 0 notes and None without pieces."""
    rows = [asdict(describe_piece(score)) for score in scores]
    means = {name: mean_or_none(row[name] for row in rows) for name in PieceFigures.__dataclass_fields__}
    return PieceFigures(**{**means, "n_notes": means["n_notes"] or 0.0})


def polyphony(score: Score) -> float | None:
    """Pitches that sound at once, on the mean of the steps in which any sounds."""
    at_once = _pitches_at_once(score)
    return float(at_once.sum() / np.count_nonzero(at_once)) if at_once.any() else None


def polyphony_rate(score: Score, *, least: int = POLYPHONIC) -> float | None:
    """The share of steps, up to the end of the last note, in which `least` pitches or more sound."""
    at_once = _pitches_at_once(score)
    return float(np.mean(at_once >= least)) if len(at_once) else None


def pitch_class_entropy(score: Score) -> float | None:
    """The entropy of the pitch classes of all notes, in bits; lengths do not count."""
    counts = _pitch_classes(score)
    shares = counts[counts > 0] / max(1, counts.sum())
    return max(0.0, float(-(shares * np.log2(shares)).sum())) if len(shares) else None


def scale_consistency(score: Score) -> float | None:
    """The largest share of notes that one major or natural minor scale holds."""
    counts = _pitch_classes(score)
    if not counts.sum():
        return None
    in_scale = [
        counts[[(root + degree) % 12 for degree in mode]].sum()
        for root in range(12)
        for mode in (MAJOR, MINOR)
    ]
    return float(max(in_scale) / counts.sum())


def groove_consistency(score: Score) -> float | None:
    """1 less the mean share of places at which neighbouring bars differ in having an onset.

    Bars of one length are compared, on the grid of sixteenths; None without two of them in a row.
    """
    fine = refine(score, STEPS_PER_BEAT)
    edges = [nearest_step(edge, STEPS_PER_BEAT, fine.ticks_per_beat) for edge in bar_edges(fine)]
    if len(edges) < 3:
        return None
    struck = np.zeros(edges[-1] + 1, dtype=bool)
    for note in fine.notes():
        struck[nearest_step(note.onset, STEPS_PER_BEAT, fine.ticks_per_beat)] = True
    bars = [struck[start:end] for start, end in pairwise(edges)]
    return mean_or_none(
        float(np.mean(one == other)) for one, other in pairwise(bars) if len(one) == len(other) > 0
    )


def empty_beats(score: Score) -> float | None:
    """The share of beats, up to the end of the last note, in which nothing sounds, drums included."""
    if not score.end:
        return None
    ticks = score.ticks_per_beat
    sounding = np.zeros(-(-score.end // ticks), dtype=bool)
    for note in score.notes():
        sounding[note.onset // ticks : -(-note.end // ticks)] = True
    return float(np.mean(~sounding))


def _pitches_at_once(score: Score) -> np.ndarray:
    return score_to_pianoroll(refine(score, STEPS_PER_BEAT), steps_per_beat=STEPS_PER_BEAT).sum(axis=1)


def _pitch_classes(score: Score) -> np.ndarray:
    return np.bincount([note.pitch % 12 for note in score.notes(drums=False)], minlength=12)
