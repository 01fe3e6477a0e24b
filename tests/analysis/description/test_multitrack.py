import math

import numpy as np
import pytest

from analysis.description.multitrack import (
    describe_band,
    drum_pattern,
    qualified_notes,
    tonal_distance,
    used_pitch_classes,
)
from music.score import Meter, Note, Score, Track


def bar(*runs: tuple[int, int, int], n_steps: int = 96) -> np.ndarray:
    """A bar in which pitches sound from a step up to another."""
    roll = np.zeros((n_steps, 128), dtype=bool)
    for pitch, start, end in runs:
        roll[start:end, pitch] = True
    return roll


def test_pitch_classes_of_a_bar_count_once_whatever_their_octave():
    assert used_pitch_classes(bar((60, 0, 10), (72, 20, 30), (64, 0, 96))) == 2
    assert used_pitch_classes(bar()) is None


def test_a_note_of_three_steps_is_qualified_and_one_of_two_is_not():
    three, two, far_off = (60, 0, 3), (64, 0, 2), (60, 50, 53)
    assert qualified_notes(bar(three, two)) == 0.5
    assert qualified_notes(bar(three, two, far_off)) == pytest.approx(2 / 3)
    assert qualified_notes(bar(three, two), least_steps=2) == 1
    assert qualified_notes(bar()) is None


def test_qualified_notes_are_those_that_counting_by_hand_finds():
    rng = np.random.default_rng(1)
    roll = rng.random((96, 128)) < 0.4
    lengths = []
    for column in roll.T:
        run = 0
        for cell in [*column, False]:
            if cell:
                run += 1
            elif run:
                lengths.append(run)
                run = 0
    assert qualified_notes(roll) == pytest.approx(sum(each >= 3 for each in lengths) / len(lengths))


def test_strokes_on_sixteenths_count_one_and_beside_them_a_tenth():
    assert drum_pattern(bar((36, 0, 1), (38, 24, 25), (42, 30, 31))) == 1
    assert drum_pattern(bar((36, 1, 2))) == pytest.approx(0.1)
    assert drum_pattern(bar((36, 23, 24))) == pytest.approx(0.1)
    assert drum_pattern(bar((36, 0, 1), (36, 3, 4))) == 0.5
    assert drum_pattern(bar()) is None


def test_tonal_distance_of_a_fifth_is_what_trigonometry_says():
    """A fifth turns the circle of fifths by 30 degrees, those of minor and major thirds by 90 and 120."""
    by_hand = math.sqrt(
        2 - 2 * math.cos(math.pi / 6) + 2 - 2 * 0 + 0.25 * (2 - 2 * math.cos(2 * math.pi / 3))
    )
    assert tonal_distance(bar((60, 0, 24)), bar((67, 0, 24))) == pytest.approx(by_hand)
    assert tonal_distance(bar((60, 0, 24)), bar((48, 0, 24))) == pytest.approx(0, abs=1e-12)


def test_tonal_distance_is_of_beats_in_which_both_sound():
    one, other = bar((60, 0, 48)), bar((60, 24, 48), (61, 72, 96))
    assert tonal_distance(one, other) == pytest.approx(0, abs=1e-12)
    assert tonal_distance(bar((60, 0, 24)), bar((60, 24, 48))) is None


def test_a_band_is_described_track_by_track_over_all_bars():
    drums = Track((Note(0, 36, 240), Note(480, 38, 240)), is_drum=True)
    piano = Track((Note(0, 60, 1920), Note(1920, 64, 1920)), program=0)
    bass = Track((Note(0, 36, 30), Note(480, 36, 960)), program=33)
    figures = describe_band([Score((drums, piano, bass), meters=(Meter(0),))])
    assert figures.tracks["Piano"].empty_bars == 0
    assert figures.tracks["Drums"].empty_bars == figures.tracks["Bass"].empty_bars == 0.5
    assert figures.tracks["Guitar"].empty_bars == 1
    assert figures.tracks["Guitar"].qualified_notes is None
    assert figures.tracks["Piano"].used_pitch_classes == 1
    assert figures.tracks["Drums"].used_pitch_classes is None
    assert figures.tracks["Bass"].qualified_notes == 0.5  # 30 ticks are 1.5 steps, drawn as 2
    assert figures.drum_pattern == 1
    assert figures.tonal_distance["Piano", "Bass"] == pytest.approx(0, abs=1e-12)
    assert figures.tonal_distance["Piano", "Strings"] is None


def test_bars_of_other_meters_and_odd_ticks_are_bars_too():
    notes = tuple(Note(step * 7, 60, 7) for step in range(9))
    figures = describe_band([Score((Track(notes),), ticks_per_beat=7, meters=(Meter(0, 3, 4),))])
    assert figures.tracks["Piano"].n_bars == 3
    assert figures.tracks["Piano"].empty_bars == 0


def test_no_piece_has_no_figures():
    figures = describe_band([])
    assert figures.tracks["Piano"].empty_bars is None
    assert describe_band([Score()]).tracks["Piano"].n_bars == 0
