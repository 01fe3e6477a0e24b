from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from music.score import Key, Meter, Note, Score, ScoreError, Tempo, Track


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Note(-1, 60, 1), "onset must be 0 or more ticks, got -1"),
        (lambda: Note(0, 128, 1), "pitch must be 0-127, got 128"),
        (lambda: Note(0, 60, 0), "duration must be at least 1 tick, got 0"),
        (lambda: Note(0, 60, 1, 0), "velocity must be 1-127, got 0"),
        (lambda: Track(program=128), "program must be 0-127, got 128"),
        (lambda: Tempo(0, 2**24), "got 16,777,216"),
        (lambda: Meter(0, 4, 3), "got 4/3"),
        (lambda: Meter(0, 4, 128), "got 4/128"),
        (lambda: Key(0, 8), "got 8"),
        (lambda: Score(ticks_per_beat=0), "ticks_per_beat must be 1-32767, got 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(build, words):
    with pytest.raises(ScoreError) as refusal:
        build()
    assert words in str(refusal.value)


def test_names_lose_control_characters_and_surrogates():
    assert Track(name="Piano\x1b[31m\x00\ud800").name == "Piano[31m"
    assert Score(title="a\nb").title == "ab"


def test_a_missing_tempo_and_meter_are_those_of_the_midi_standard():
    score = Score()
    assert score.tempos == (Tempo(0, 500_000),)
    assert score.meters == (Meter(0, 4, 4),)
    assert score.keys == ()


def test_of_changes_at_one_tick_the_last_stands_and_repeats_are_dropped():
    score = Score(tempos=(Tempo(0, 400_000), Tempo(0, 300_000), Tempo(480, 300_000), Tempo(960, 200_000)))
    assert score.tempos == (Tempo(0, 300_000), Tempo(960, 200_000))


def test_bars_follow_the_meters_and_a_new_meter_starts_a_bar():
    track = Track((Note(0, 60, 10 * 480),))
    score = Score((track,), meters=(Meter(0, 3, 4), Meter(4 * 480, 6, 8)))
    assert score.bar_starts() == [0, 1440, 1920, 3360]
    assert score.n_bars == 4


def test_seconds_follow_the_tempo_map():
    track = Track((Note(0, 60, 1920),))
    score = Score((track,), tempos=(Tempo(0, 500_000), Tempo(960, 1_000_000)))
    assert score.tick_to_seconds(960) == 1.0
    assert score.duration_seconds == 3.0


@given(
    ticks=st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
    tempos=st.lists(st.tuples(st.integers(0, 10**6), st.integers(100_000, 3_000_000)), max_size=5),
)
def test_seconds_lead_back_to_the_tick(ticks, tempos):
    score = Score(tempos=tuple(Tempo(*tempo) for tempo in tempos))
    for tick in ticks:
        assert score.seconds_to_tick(score.tick_to_seconds(tick)) == tick


def test_keys_have_the_names_that_musicians_use():
    assert [Key(0, fifths).name for fifths in (-7, 0, 1, 7)] == [
        "C flat major",
        "C major",
        "G major",
        "C sharp major",
    ]
    assert [Key(0, fifths, True).name for fifths in (-7, 0, 3, 7)] == [
        "A flat minor",
        "A minor",
        "F sharp minor",
        "A sharp minor",
    ]


def test_the_main_meter_is_in_force_longest():
    meters = (Meter(0, 1, 4), Meter(480, 3, 4), Meter(4800, 2, 4), Meter(5760, 3, 4))
    assert Score((Track((Note(0, 60, 8000),)),), meters=meters).main_meter == Meter(0, 3, 4)
    assert Score().main_meter == Meter(0, 4, 4)


def test_beats_per_bar_are_quarter_notes():
    assert Meter(0, 6, 8).beats_per_bar == 3
    assert Meter(0, 5, 16).beats_per_bar == Fraction(5, 4)
