import io

import numpy as np
import pretty_midi
import pytest

from analysis.description.features import FEATURES, feature_table, features_of, length_class
from music.midi import score_to_midi
from music.score import Note, Score, Track


def test_every_feature_has_as_many_numbers_as_it_says(piece):
    for score in (piece(1), Score(), Score((Track((Note(0, 60, 1),)),))):
        found = features_of(score)
        assert {name: len(values) for name, values in found.items()} == FEATURES
        assert all(np.isfinite(values).all() for values in found.values())


def test_the_features_of_a_scale_are_those_counted_by_hand(scale):
    found = {name: values.tolist() for name, values in features_of(scale).items()}
    assert found["pitch count"] == [8]
    assert found["note count"] == [16]
    assert found["pitch range"] == [12]
    assert found["inter-onset interval"] == [0.5]
    assert found["pitch interval"] == [pytest.approx((2 * 12 + 12) / 15)]  # up twice, and the leap back
    assert found["note lengths"][3] == 1  # all eighths
    assert found["pitch classes"][0] == 4 / 16  # low and high C
    transitions = np.reshape(found["pitch class transitions"], (12, 12))
    assert transitions[0, 2] == pytest.approx(2 / 15)
    assert transitions[0, 0] == pytest.approx(1 / 15)  # from the high C to the low one
    assert transitions.sum() == pytest.approx(1)


def test_pitch_classes_weigh_by_length_as_pretty_midi_has_them(piece):
    score = piece(5)
    other = pretty_midi.PrettyMIDI(io.BytesIO(score_to_midi(score)))
    histogram = other.instruments[0].get_pitch_class_histogram(use_duration=True, normalize=True)
    assert features_of(score)["pitch classes"] == pytest.approx(histogram, abs=1e-6)


def test_lengths_go_to_the_nearest_class():
    assert [length_class(beats) for beats in (4, 9, 0.26, 0.34, 1.45, 0.01)] == [0, 0, 4, 11, 6, 4]


def test_tempo_and_ticks_change_no_feature(scale):
    finer = Score(
        (Track(tuple(Note(n.onset * 2, n.pitch, n.duration * 2) for n in scale.notes())),), ticks_per_beat=960
    )
    for name, values in features_of(scale).items():
        assert features_of(finer)[name] == pytest.approx(values), name


def test_drums_are_left_out(scale):
    drums = Track((Note(0, 35, 480), Note(480, 81, 480)), is_drum=True)
    with_drums = scale.with_tracks([*scale.tracks, drums])
    assert all((features_of(with_drums)[name] == values).all() for name, values in features_of(scale).items())


def test_a_table_has_a_row_per_piece(piece):
    table = feature_table([piece(1), piece(2)])
    assert {name: rows.shape for name, rows in table.items()} == {
        name: (2, size) for name, size in FEATURES.items()
    }
    assert all(len(rows) == 0 for rows in feature_table([]).values())
