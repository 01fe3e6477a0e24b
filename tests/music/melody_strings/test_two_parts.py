from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from music.melody_strings import MelodyStringError
from music.melody_strings.extraction import overlap_share
from music.melody_strings.two_parts import (
    SYMBOLS,
    beat_time,
    interleave,
    real_time,
    squeezed,
    symbol_of,
    symbols_to_notes,
    symbols_to_text,
    text_to_symbols,
    voice_pairs,
    voice_to_symbols,
    voices_of,
)
from music.score import Note, Score, Tempo, Track

symbol_lists = st.lists(st.integers(0, 49), min_size=1, max_size=40)
scores = st.lists(
    st.lists(st.builds(Note, st.integers(0, 60), st.integers(30, 90), st.integers(1, 12)), max_size=15),
    min_size=1,
    max_size=3,
).map(
    lambda tracks: Score(tuple(Track(tuple(notes), program=place % 2) for place, notes in enumerate(tracks)))
)


def line(*pitches, length=120):
    return tuple(Note(place * length, pitch, length) for place, pitch in enumerate(pitches))


def test_there_are_50_characters_a_blank_and_from_a_the_pitches_from_36_to_84():
    assert len(set(SYMBOLS)) == 50
    assert (SYMBOLS[symbol_of(36)], SYMBOLS[symbol_of(60)], SYMBOLS[symbol_of(84)]) == ("A", "Y", "q")
    assert SYMBOLS[0] == " "


@given(st.integers(0, 127))
def test_pitches_beyond_move_by_octaves(pitch):
    inside = symbol_of(pitch) + 35
    assert 36 <= inside <= 84
    assert (inside - pitch) % 12 == 0
    assert inside == pitch or not 36 <= pitch <= 84


@given(scores)
def test_voices_hold_every_note_once_one_at_a_time(score):
    voices = voices_of(score)
    assert all(now.end <= then.onset for voice in voices for now, then in pairwise(voice))
    starts = [(note.onset, note.pitch) for voice in voices for note in voice]
    assert sorted(starts) == sorted((note.onset, note.pitch) for note in score.notes())
    means = [np.mean([note.pitch for note in voice]) for voice in voices]
    assert means == sorted(means)
    assert len(voice_pairs(score, filters=False)) == len(voices) * (len(voices) - 1) // 2


@given(scores)
def test_notes_are_shortened_by_a_quarter_of_what_two_notes_span_at_most(score):
    full = {}
    for note in score.notes():
        full.setdefault((note.onset, note.pitch), []).append(note)
    for voice in voices_of(score):
        for now, then in pairwise(voice):
            before = full[now.onset, now.pitch]
            assert any(each.end == now.end for each in before) or any(
                0 < overlap_share(each, following) <= 0.25
                for each in before
                for following in full[then.onset, then.pitch]
            )


def test_instruments_have_voices_of_their_own_and_drums_none():
    score = Score(
        (
            Track(line(60, 62), program=0),
            Track(line(64, 65), program=0),
            Track(line(40, 41), program=33),
            Track(line(35, 35), is_drum=True),
        )
    )
    assert [[note.pitch for note in voice] for voice in voices_of(score)] == [[40, 41], [60, 62], [64, 65]]
    assert [[note.pitch for note in voice] for voice in voices_of(score, programs=[33])] == [[40, 41]]


def test_filters_want_a_hundred_notes_that_sound_without_a_long_gap():
    full = line(*[60, 62] * 60)
    short = line(*[70, 72] * 49)
    late = tuple(Note(note.onset + (1500 if place > 50 else 0), 80, 120) for place, note in enumerate(full))
    thin = tuple(Note(note.onset, 50, 20) for note in full)

    def pairs(*voices):
        return len(voice_pairs(Score(tuple(Track(voice, program=n) for n, voice in enumerate(voices)))))

    assert pairs(full, full) == 1
    assert pairs(full, short) == 0
    assert pairs(full, late) == 1  # a gap of 1,500 in 15,900
    gap = tuple(Note(note.onset + (2000 if place > 50 else 0), 80, 120) for place, note in enumerate(full))
    assert pairs(full, gap) == 0
    assert pairs(full, thin) == 0


def test_time_is_seconds_or_beats():
    score = Score((Track(line(60, 62)),), 480, (Tempo(0, 500_000), Tempo(480, 1_000_000)))
    assert [real_time(score, 16)(tick) for tick in (0, 480, 960)] == [0, 8, 24]
    assert [beat_time(score, 4)(tick) for tick in (0, 480, 960)] == [0, 4, 8]


def test_a_short_note_still_fills_a_step_and_rests_are_blanks():
    score = Score((Track((Note(0, 60, 120), Note(240, 36, 1), Note(360, 84, 240))),))
    symbols = voice_to_symbols(score.tracks[0].notes, beat_time(score, 4), 6)
    assert symbols_to_text(symbols) == "Y Aqq "


@given(symbol_lists, symbol_lists)
def test_voices_alternate_and_come_back(lower, upper):
    n = min(len(lower), len(upper))
    row = interleave(np.array(lower[:n], dtype=np.uint8), np.array(upper[:n], dtype=np.uint8))
    text = symbols_to_text(row)
    assert text[::2] == symbols_to_text(lower[:n])
    assert text_to_symbols(text).tolist() == row.tolist()


@given(symbol_lists)
def test_notes_of_symbols_give_the_symbols_back(symbols):
    onsets = [3 * step for step in range(len(symbols))]
    notes = symbols_to_notes(symbols, onsets, end=3 * len(symbols))
    assert voice_to_symbols(notes, lambda tick: tick / 3, len(symbols)).tolist() == symbols
    assert all(now.end < then.onset or now.pitch != then.pitch for now, then in pairwise(notes))


def test_only_silence_of_both_voices_is_squeezed():
    steps = np.array([[0, 0]] * 20 + [[5, 0]] * 20 + [[0, 0]] * 8 + [[0, 7]])
    assert squeezed(steps).tolist() == [[0, 0]] * 8 + [[5, 0]] * 20 + [[0, 0]] * 8 + [[0, 7]]


def test_strings_that_are_wrong_are_refused():
    with pytest.raises(MelodyStringError, match="character 3 is '5'"):
        text_to_symbols("AB5D")
    with pytest.raises(MelodyStringError, match="3 characters"):
        text_to_symbols("ABC")
