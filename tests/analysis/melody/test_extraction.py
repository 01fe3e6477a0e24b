from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.melody.extraction import (
    ENCODINGS,
    RATIO_CLASSES,
    fold_interval,
    melody_tokens,
    ratio_classes,
)
from music.score import Note

SAME = RATIO_CLASSES.index(1)


def line(pitches, lengths, *, ticks=120):
    """Notes one after another, each as long as its place in `lengths`."""
    onset, notes = 0, []
    for pitch, length in zip(pitches, lengths, strict=True):
        notes.append(Note(onset, pitch, length * ticks))
        onset += length * ticks
    return notes


@st.composite
def lines(draw):
    n = draw(st.integers(2, 20))
    pitches = draw(st.lists(st.integers(40, 90), min_size=n, max_size=n))
    return line(pitches, draw(st.lists(st.integers(1, 16), min_size=n, max_size=n)))


def test_a_token_is_the_interval_and_the_ratio_to_the_next_note():
    melody = melody_tokens(line([60, 62, 59, 59], [2, 2, 4, 1]))
    intervals, ratios = np.divmod(melody.tokens.astype(int), len(RATIO_CLASSES))
    assert (intervals - 12).tolist() == [2, -3, 0]
    assert [RATIO_CLASSES[ratio] for ratio in ratios] == [1, 2, 1 / 4]


def test_tokens_name_the_notes_they_describe():
    melody = melody_tokens(line([60, 62, 59, 59], [1, 1, 1, 1]))
    assert melody.note_span(0, 3) == (0, 4)
    assert melody.note_span(1, 2) == (1, 3)
    assert melody.excerpt(1, 3).note_span(0, 2) == (1, 4)


def test_rests_are_part_of_the_time_between_onsets():
    staccato = [Note(0, 60, 10), Note(480, 62, 10), Note(960, 64, 480)]
    legato = [Note(0, 60, 480), Note(480, 62, 480), Note(960, 64, 480)]
    assert melody_tokens(staccato).tokens.tolist() == melody_tokens(legato).tokens.tolist()


@settings(max_examples=60, deadline=None)
@given(notes=lines(), semitones=st.integers(-12, 12), speed=st.sampled_from([2, 3, 5]))
def test_transposition_and_tempo_change_no_token(notes, semitones, speed):
    moved = [Note(n.onset * speed + 70, n.pitch + semitones, n.duration * speed) for n in notes]
    assert melody_tokens(moved).tokens.tolist() == melody_tokens(notes).tokens.tolist()


@pytest.mark.parametrize(
    ("interval", "folded"),
    [(0, 0), (12, 12), (-12, -12), (13, 1), (24, 12), (25, 1), (-13, -1), (-24, -12), (-30, -6), (127, 7)],
)
def test_intervals_beyond_an_octave_are_folded_by_octaves(interval, folded):
    assert fold_interval(np.array([interval])).tolist() == [folded]


@given(first=st.integers(1, 5000), second=st.integers(1, 5000))
def test_a_ratio_belongs_to_the_nearest_class_on_a_logarithmic_scale(first, second):
    classes = [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), Fraction(1)]
    classes += [1 / value for value in reversed(classes[:-1])]
    ratio = Fraction(second, first)
    distances = [max(ratio / value, value / ratio) for value in classes]
    assert ratio_classes([first, second]).tolist() == [distances.index(min(distances))]


def test_intervals_alone_forget_the_rhythm():
    one = melody_tokens(line([60, 62, 59], [1, 1, 1]), encoding="interval")
    other = melody_tokens(line([60, 62, 59], [1, 3, 2]), encoding="interval")
    assert one.tokens.tolist() == other.tokens.tolist() == [14, 9]


def test_absolute_pitch_has_a_token_per_note_so_that_a_wrong_note_is_one_edit():
    right = melody_tokens(line([60, 62, 64, 65, 67], [1] * 5), encoding="pitch")
    wrong = melody_tokens(line([60, 62, 63, 65, 67], [1] * 5), encoding="pitch")
    assert right.n_tokens == 5
    assert (right.tokens != wrong.tokens).sum() == 1
    intervals = [melody_tokens(melody.notes).tokens for melody in (right, wrong)]
    assert (intervals[0] != intervals[1]).sum() == 2


def test_melodl4j_characters_alternate_durations_and_intervals_with_rests_between():
    """Its alphabet: 25 intervals, a rest, 32 durations of an eighth of the mean; here the mean is 8 units."""
    notes = [Note(0, 60, 80), Note(80, 64, 40), Note(160, 63, 120)]
    melody = melody_tokens(notes, encoding="melodl4j")
    duration = 26
    assert melody.tokens.tolist() == [duration + 8, 16, duration + 4, 25, duration + 4, 11, duration + 12]
    assert melody.first_note.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert melody.last_note.tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert melody.note_span(1, 3) == (0, 2)


def test_melodl4j_durations_end_at_four_times_the_mean():
    notes = [Note(i * 10, 60, 10) for i in range(99)] + [Note(990, 60, 10_000)]
    assert melody_tokens(notes, encoding="melodl4j").tokens.max() == 26 + 31


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_notes_are_no_melody(encoding, n):
    assert melody_tokens(line([60] * n, [1] * n), encoding=encoding).n_tokens == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=20, deadline=None)
@given(notes=lines())
def test_every_token_names_neighbouring_notes_in_order(encoding, notes):
    melody = melody_tokens(notes, encoding=encoding)
    assert (np.diff(melody.first_note) >= 0).all()
    assert (np.diff(melody.last_note) >= 0).all()
    assert (melody.last_note - melody.first_note <= 1).all()
    assert melody.note_span(0, melody.n_tokens) == (0, len(notes))


def test_notes_that_start_together_are_no_melody():
    with pytest.raises(AnalysisError, match="a note at tick 480 that does not come later"):
        melody_tokens([Note(0, 60, 480), Note(480, 62, 480), Note(480, 64, 480)])


def test_an_unknown_encoding_is_named():
    with pytest.raises(AnalysisError, match=r"encoding must be one of interval\+ratio, interval, pitch"):
        melody_tokens([], encoding="contour")
