import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.melody.extraction import (
    ENCODINGS,
    RATIO_CLASSES,
    Place,
    fold_interval,
    melodies_of,
    melody_tokens,
    ratio_classes,
)
from music.melody_strings import ALPHABETS
from music.score import Note, Score, Track

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


RESTING = [Note(0, 60, 80), Note(80, 64, 40), Note(160, 63, 120)]  # a rest of 40; the mean is 80, 8 units


@pytest.mark.parametrize(
    ("generation", "text"),
    [("v1", "l4hRh!p"), ("v2", "m4hRhAq"), ("v3", "eQa aLi")],
)
def test_melodl4j_characters_are_those_of_its_generation(generation, text):
    """Duration, then rest, interval and duration; the texts are spelled from its three alphabets."""
    melody = melody_tokens(RESTING, encoding=f"melodl4j-{generation}")
    symbols = ALPHABETS[generation].as_published().symbols
    assert "".join(symbols[token] for token in melody.tokens) == text
    assert melody.first_note.tolist() == [0, 0, 1, 1, 1, 1, 2]
    assert melody.last_note.tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert melody.note_span(1, 3) == (0, 2)


@pytest.mark.parametrize(("generation", "shorter", "interval"), [("v1", 20, 2), ("v2", 19, 1), ("v3", 19, 2)])
def test_melodl4j_has_the_oddities_of_its_generations(generation, shorter, interval):
    """The first two have one character for two durations; the second folds by 13 semitones."""
    lengths = [shorter, shorter + 2, *[7] * 20]
    lengths += [6, 24 * 8 - sum(lengths) - 6]  # so that the mean is 8 units
    notes = line([60, 74] + [60] * 22, lengths)
    tokens = melody_tokens(notes, encoding=f"melodl4j-{generation}").tokens
    assert (tokens[0] == tokens[2]) == (generation != "v3")
    assert tokens[1] == interval  # rising intervals are the first characters


def test_melodl4j_durations_end_at_four_times_the_mean():
    notes = [Note(i * 10, 60, 10) for i in range(99)] + [Note(990, 60, 10_000)]
    longest = ALPHABETS["v3"].number_of["|"]
    assert melody_tokens(notes, encoding="melodl4j-v3").tokens.max() == longest


def test_melodl4j_refuses_notes_that_overlap():
    with pytest.raises(AnalysisError, match="that at tick 40 starts before tick 80"):
        melody_tokens([Note(0, 60, 80), Note(40, 64, 40)], encoding="melodl4j-v1")


def test_bars_and_beats_are_counted_from_the_bar_lines():
    notes = [Note(0, 60, 240), Note(240, 62, 480), Note(1680, 64, 480), Note(2400, 65, 480)]
    waltz = melody_tokens(notes, bar_starts=[240, 1680, 3120])
    assert [waltz.place(note) for note in range(4)] == [
        Place(0, 0.5),
        Place(1, 1),
        Place(2, 1),
        Place(2, 2.5),
    ]
    plain = melody_tokens(notes)
    assert [plain.place(note) for note in range(4)] == [
        Place(1, 1),
        Place(1, 1.5),
        Place(1, 4.5),
        Place(2, 2),
    ]


def two_track_score():
    """A tune over a bass of whole notes, and drums."""
    tune = [Note(480 * i, 60 + (0, 2, 4, 5, 7, 9, 11)[i * 3 % 7], 480) for i in range(24)]
    bass = [Note(1920 * i, 40 + i % 2, 1920) for i in range(6)]
    tracks = (Track(tuple(bass), program=33), Track(tuple(tune)), Track(tuple(bass), is_drum=True))
    return Score(tracks)


def test_the_line_on_top_and_the_bottom_line_are_one_melody_each():
    score = two_track_score()
    (top,), (bottom,) = (melodies_of(score, line=line, name="n", group="g") for line in ("skyline", "bottom"))
    assert top.notes == score.tracks[1].notes
    assert [note.pitch for note in bottom.notes][:2] == [40, score.tracks[1].notes[1].pitch]
    assert (top.name, top.group, top.ticks_per_beat) == ("n", "g", score.ticks_per_beat)
    assert top.place(5).bar == 2


def test_melodl4js_lines_are_the_voices_that_its_filters_leave():
    score = two_track_score()
    assert [melody.notes for melody in melodies_of(score, line="melodl4j-v1")] == [score.tracks[1].notes]
    everything = melodies_of(score, line="melodl4j-v3", filters=False)
    assert [len(melody.notes) for melody in everything] == [6, 24]
    assert melodies_of(Score(()), line="melodl4j-v1") == []


def test_an_unknown_line_is_named():
    with pytest.raises(AnalysisError, match="line must be one of skyline, bottom, melodl4j-v1"):
        melodies_of(two_track_score(), line="top")


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


@pytest.mark.parametrize("line", ["skyline", "bottom"])
def test_chords_that_are_not_struck_at_one_tick_are_one_note_of_a_line(line):
    rng = random.Random(3)
    steps = [0, 6, 12, 15, 18, 24, 28, 32, 36, 48, 60, 63, 66, 69, 72, 84]  # sixteenths and a triplet
    beats = [step / 12 for step in steps]
    chords = [[rng.randrange(40, 60), rng.randrange(60, 80), rng.randrange(80, 100)] for _ in beats]

    def played(jitter):
        notes = [
            Note(round(480 * (1 + beat + rng.uniform(-jitter, jitter))), pitch, 100)
            for beat, chord in zip(beats, chords, strict=True)
            for pitch in chord
        ]
        return Score((Track(tuple(sorted(notes))),), 480)

    (written,) = melodies_of(played(0), line=line)
    (performed,) = melodies_of(played(0.03), line=line)
    assert written.n_tokens == len(steps) - 1
    assert performed.tokens.tolist() == written.tokens.tolist()
