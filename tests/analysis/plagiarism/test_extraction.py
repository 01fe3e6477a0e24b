from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import (
    DURATION_CLASSES,
    cut_windows,
    duration_class,
    rows_per_pitch,
    score_to_units,
    tick_to_step,
    units_of_note,
)
from music.note_table import score_to_table
from music.pianoroll import score_to_onsets, score_to_pianoroll
from music.score import Meter, Note, Score, Track


def score_of(notes, *, meters=(), is_drum=False):
    return Score((Track(tuple(notes), is_drum=is_drum),), meters=meters)


def units_of(thing):
    return list(zip(thing.steps.tolist(), thing.rows.tolist(), strict=True))


@st.composite
def scores(draw):
    note = st.builds(Note, st.integers(0, 4000), st.integers(0, 127), st.integers(1, 2000))
    return score_of(draw(st.lists(note, max_size=20)))


@settings(max_examples=80, deadline=None)
@given(score=scores(), steps_per_beat=st.sampled_from([1, 2, 4, 12]))
def test_units_are_those_of_the_piano_rolls(score, steps_per_beat):
    for unit, roll_of in (("onset", score_to_onsets), ("cell", score_to_pianoroll)):
        piece = score_to_units(score, unit=unit, steps_per_beat=steps_per_beat)
        expected = [
            tuple(place) for place in np.argwhere(roll_of(score, steps_per_beat=steps_per_beat)).tolist()
        ]
        assert units_of(piece) == expected


@given(tick=st.integers(0, 10**9), ticks_per_beat=st.integers(1, 32767), steps=st.integers(1, 96))
def test_a_tick_belongs_to_the_nearest_step_and_halves_go_up(tick, ticks_per_beat, steps):
    step = tick_to_step(tick, ticks_per_beat=ticks_per_beat, steps_per_beat=steps)
    distance = 2 * (step * ticks_per_beat - tick * steps)  # twice, in steps times ticks
    assert -ticks_per_beat < distance <= ticks_per_beat


def test_equal_pitches_that_start_together_are_one_unit():
    one = Track((Note(0, 60, 480), Note(480, 64, 480)))
    other = Track((Note(0, 60, 240), Note(3, 60, 480)))
    assert units_of(score_to_units(Score((one, other)))) == [(0, 60), (4, 64)]


def test_drums_have_no_pitch():
    assert score_to_units(score_of([Note(0, 36, 480)], is_drum=True)).n_units == 0


def test_durations_are_told_apart_by_nearest_ratio():
    assert [duration_class(beats) for beats in DURATION_CLASSES] == list(range(len(DURATION_CLASSES)))
    assert DURATION_CLASSES[duration_class(0.9)] == 1
    assert DURATION_CLASSES[duration_class(100)] == 8
    piece = score_to_units(score_of([Note(0, 60, 240), Note(0, 60, 480)]), unit="onset+dur")
    assert [row // rows_per_pitch("onset+dur") for _, row in units_of(piece)] == [60, 60]
    assert piece.n_units == 2


def test_a_piece_is_as_long_as_its_last_sounding_bar():
    assert score_to_units(score_of([Note(0, 60, 480)])).n_steps == 16
    assert score_to_units(score_of([Note(0, 60, 1980)])).n_steps == 32
    waltz = score_of([Note(0, 60, 480), Note(1440, 60, 480)], meters=(Meter(0, 3, 4),))
    assert (score_to_units(waltz).n_steps, score_to_units(waltz).bar_steps) == (24, (0, 12))
    jig = score_of([Note(0, 60, 480), Note(1440, 60, 480)], meters=(Meter(0, 12, 8),))
    assert score_to_units(jig, steps_per_beat=12).n_steps == 72


def test_pieces_that_differ_by_a_transposition_have_one_shape():
    notes = [Note(0, 60, 480), Note(480, 67, 240)]
    moved = [Note(0, 63, 480), Note(480, 70, 240)]
    other = [Note(0, 63, 480), Note(480, 71, 240)]
    for unit in ("onset", "cell", "onset+dur"):
        shapes = [score_to_units(score_of(line), unit=unit).shape for line in (notes, moved, other)]
        assert shapes[0] == shapes[1] != shapes[2]


def quarters(n, **more):
    return score_of([Note(480 * i, 60 + i % 5, 480) for i in range(n)], **more)


def test_windows_start_at_bar_lines_and_end_with_the_piece():
    windows = cut_windows(score_to_units(quarters(24)))  # six bars
    assert [window.start for window in windows] == [0, 16, 32]
    assert {window.window_steps for window in windows} == {64}
    assert [window.n_units for window in windows] == [16, 16, 16]
    assert all(0 <= step < 64 for window in windows for step in window.steps)


def test_windows_are_four_bars_of_the_pieces_own_meter():
    waltz = score_to_units(quarters(18, meters=(Meter(0, 3, 4),)))
    assert [(w.start, w.window_steps) for w in cut_windows(waltz)] == [(0, 48), (12, 48), (24, 48)]
    change = score_to_units(quarters(24, meters=(Meter(0, 4, 4), Meter(1920 * 3, 3, 4))))
    assert [w.window_steps for w in cut_windows(change)][:3] == [60, 56, 52]


def test_a_piece_shorter_than_a_window_gives_one():
    windows = cut_windows(score_to_units(quarters(5)))  # two bars
    assert [(w.start, w.window_steps, w.n_units) for w in windows] == [(0, 64, 5)]
    assert cut_windows(score_to_units(Score())) == []


def test_the_length_and_the_hop_of_windows_can_be_given_in_steps():
    piece = score_to_units(quarters(8))  # 32 steps
    assert [(w.start, w.n_units) for w in cut_windows(piece, window_steps=20)] == [(0, 5), (16, 4)]
    assert [w.start for w in cut_windows(piece, window_steps=20, hop_steps=4)] == [0, 4, 8, 12]


@settings(max_examples=60, deadline=None)
@given(score=scores(), size=st.integers(1, 80))
def test_windows_cover_every_unit(score, size):
    piece = score_to_units(score)
    covered = {
        (window.start + step, row)
        for window in cut_windows(piece, window_steps=max(size, 16))
        for step, row in units_of(window)
    }
    assert covered == set(units_of(piece))


@settings(max_examples=40, deadline=None)
@given(score=scores(), unit=st.sampled_from(["onset", "cell", "onset+dur"]))
def test_the_notes_alone_give_the_same_units_in_any_order(score, unit):
    table = score_to_table(score)
    columns = {name: getattr(table, name)[::-1] for name in ("onsets", "pitches", "durations", "is_drum")}
    assert (
        score_to_units(replace(table, **columns), unit=unit).digest == score_to_units(score, unit=unit).digest
    )


def test_wrong_options_are_named():
    with pytest.raises(AnalysisError, match=r"unit must be one of onset, cell, onset\+dur, got 'note'"):
        score_to_units(Score(), unit="note")
    with pytest.raises(AnalysisError, match="steps_per_beat must be 1-96, got 0"):
        score_to_units(Score(), steps_per_beat=0)


def test_a_piece_of_absurd_length_is_refused():
    with pytest.raises(AnalysisError, match="'odd' has a note at tick 2000000001"):
        score_to_units(score_of([Note(2_000_000_000, 60, 1)]), name="odd")
    held = [Note(0, pitch, 480 * 900_000) for pitch in range(12)]
    with pytest.raises(AnalysisError, match="'drone' sounds in 43,200,000 cells"):
        score_to_units(score_of(held), unit="cell", name="drone")


@settings(max_examples=60, deadline=None)
@given(
    score=scores(), unit=st.sampled_from(["onset", "cell", "onset+dur"]), steps=st.sampled_from([1, 4, 12])
)
def test_a_piece_has_the_units_of_its_notes(score, unit, steps):
    grid = {"ticks_per_beat": score.ticks_per_beat, "steps_per_beat": steps}
    expected = {pair for note in score.notes() for pair in units_of_note(note, unit=unit, **grid)}
    assert units_of(score_to_units(score, unit=unit, steps_per_beat=steps)) == sorted(expected)
