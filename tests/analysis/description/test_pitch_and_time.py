import math

import numpy as np
import pytest
from scipy import stats

from analysis.description.pitch_and_time import (
    describe_piece,
    describe_pieces,
    empty_beats,
    groove_consistency,
    pitch_class_entropy,
    polyphony,
    polyphony_rate,
    scale_consistency,
)
from music.score import Meter, Note, Score, Track


def one_track(*notes: Note, **more) -> Score:
    return Score((Track(notes),), **more)


def test_polyphony_counts_pitches_where_any_sounds():
    score = one_track(Note(0, 60, 480), Note(0, 64, 480), Note(960, 67, 480))  # two, silence, one
    assert polyphony(score) == 1.5
    assert polyphony_rate(score) == pytest.approx(1 / 3)
    assert polyphony_rate(score, least=1) == pytest.approx(2 / 3)


def test_pitch_class_entropy_is_that_of_scipy(piece):
    score = piece(3)
    counts = np.bincount([note.pitch % 12 for note in score.notes()], minlength=12)
    assert pitch_class_entropy(score) == pytest.approx(stats.entropy(counts, base=2))
    assert pitch_class_entropy(one_track(Note(0, 60, 1), Note(1, 72, 1))) == 0
    chromatic = one_track(*(Note(0, pitch, 1) for pitch in range(60, 72)))
    assert pitch_class_entropy(chromatic) == pytest.approx(math.log2(12))


def test_scale_consistency_takes_the_best_of_all_scales(scale):
    assert scale_consistency(scale) == 1
    assert scale_consistency(one_track(*(Note(0, pitch, 1) for pitch in range(60, 72)))) == pytest.approx(
        7 / 12
    )
    a_minor_harmonic = (69, 71, 72, 74, 76, 77, 80)
    assert scale_consistency(one_track(*(Note(0, pitch, 1) for pitch in a_minor_harmonic))) == pytest.approx(
        6 / 7
    )


def test_groove_is_one_where_bars_strike_alike_whatever_their_pitches(scale):
    assert groove_consistency(scale) == 1
    first = [Note(0, 60, 120), Note(480, 60, 120)]
    second = [Note(1920, 60, 120), Note(1920 + 600, 60, 120)]  # one onset elsewhere: 2 of 16 places differ
    assert groove_consistency(one_track(*first, *second, Note(3840 - 120, 60, 120))) == pytest.approx(13 / 16)
    assert groove_consistency(one_track(*first)) is None


def test_groove_counts_drums_and_pitch_figures_do_not():
    drums = Score((Track((Note(0, 38, 240), Note(1920, 38, 240)), is_drum=True),))
    assert groove_consistency(drums) == 1
    assert pitch_class_entropy(drums) is None
    assert scale_consistency(drums) is None
    assert polyphony(drums) is None


def test_groove_compares_bars_of_one_length_alone():
    notes = [Note(tick, 60, 120) for tick in (0, 1440, 2880)]
    score = one_track(*notes, meters=(Meter(0, 3, 4), Meter(1440, 4, 4)))
    assert groove_consistency(score) is None


def test_a_beat_is_empty_if_nothing_sounds_in_it():
    assert empty_beats(one_track(Note(0, 60, 600), Note(1440, 60, 480))) == 0.25
    assert empty_beats(Score()) is None


def test_a_piece_off_every_grid_has_figures_too():
    score = one_track(*(Note(step * 101, 60 + step % 5, 97) for step in range(50)), ticks_per_beat=479)
    assert all(value is not None for value in vars(describe_piece(score)).values())


def test_means_are_over_the_pieces_that_have_the_figure(scale):
    drums = Score((Track((Note(0, 38, 240),), is_drum=True),))
    means = describe_pieces([scale, drums])
    assert means.scale_consistency == 1
    assert means.n_notes == (16 + 1) / 2
    assert describe_pieces([]).polyphony is None
