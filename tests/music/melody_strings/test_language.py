from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from music.melody_strings import (
    ALPHABETS,
    Event,
    MelodyStringError,
    events_to_notes,
    events_to_text,
    fitting_alphabets,
    mean_unit,
    notes_to_events,
    read_events,
    text_to_events,
)
from music.score import Note

V1 = ALPHABETS["v1"]
alphabets = st.sampled_from(list(ALPHABETS.values()))


@st.composite
def melodies(draw, size=30):
    """Notes one after the other, with or without rests between."""
    notes, now = [], 0
    for _ in range(draw(st.integers(1, size))):
        now += draw(st.integers(0, 2000))
        notes.append(Note(now, draw(st.integers(0, 127)), draw(st.integers(1, 2000))))
        now = notes[-1].end
    return notes


@st.composite
def event_lists(draw, size=20):
    """Events as `notes_to_events` makes them: a note first, no rest of 0, no two rests, none at the end."""
    events = [Event(0, draw(st.integers(0, 31)))]
    for _ in range(draw(st.integers(0, size))):
        if draw(st.booleans()):
            events.append(Event(None, draw(st.integers(1, 31))))
        events.append(Event(draw(st.integers(-12, 12)), draw(st.integers(0, 31))))
    return events


def test_a_melody_by_hand():
    """Quarters of 480 ticks, the third note after a rest and twice as long, then a wide leap.

    The mean of 480, 480, 960, 480 is 600, a unit is 75: 480 is 6.4 units, 960 is 12.8.
    """
    notes = [Note(0, 60, 480), Note(480, 62, 480), Note(1200, 59, 960), Note(2160, 77, 480)]
    assert mean_unit(notes) == 75
    events = notes_to_events(notes, V1)
    assert events == [
        Event(0, 6), Event(2, 6), Event(None, 3), Event(-3, 13), Event(6, 6),
    ]  # fmt: skip
    assert events_to_text(events, V1) == "j2jRg#q6j"
    assert events_to_text(events, ALPHABETS["v3"]) == "cOc `JjSc"


def test_the_average_note_has_index_8_and_four_times_it_is_as_long_as_can_be_said():
    assert [event.duration for event in notes_to_events([Note(0, 60, 7), Note(7, 60, 7)], V1)] == [8, 8]
    lengths = [100] * 60 + [390, 400, 40_000]
    notes, now = [], 0
    for length in lengths:
        notes.append(Note(now, 60, length))
        now += length
    said = [event.duration for event in notes_to_events(notes, V1, unit=Fraction(100, 8))]
    assert said == [8] * 60 + [31, 31, 31]


@given(melodies(), alphabets)
def test_durations_are_the_nearest_eighths_of_the_mean(notes, alphabet):
    mean = Fraction(sum(note.duration for note in notes), len(notes))
    said = [event.duration for event in notes_to_events(notes, alphabet) if event.interval is not None]
    for note, index in zip(notes, said, strict=True):
        exact = note.duration / (mean / 8)
        assert index == 31 or abs(index - exact) <= Fraction(1, 2)
        assert exact >= Fraction(61, 2) if index == 31 else True


@given(melodies(), alphabets)
def test_a_string_is_the_same_in_every_key_and_at_every_tempo(notes, alphabet):
    text = events_to_text(notes_to_events(notes, alphabet), alphabet)
    assume(max(note.pitch for note in notes) < 127)
    moved = [Note(3 * note.onset, note.pitch + 1, 3 * note.duration) for note in notes]
    assert events_to_text(notes_to_events(moved, alphabet), alphabet) == text


@given(event_lists(), alphabets)
def test_a_string_read_back_is_the_same_events(events, alphabet):
    text = events_to_text(events, alphabet)
    assert text_to_events(text, alphabet) == events
    assert read_events(text, alphabet) == events
    assert len(text) == 2 * len(events) - 1


@given(event_lists(), alphabets, st.integers(4, 100))
def test_played_and_written_again_a_melody_is_the_same(events, alphabet, unit):
    """Only where no note leaves the range: a fold by octaves changes an interval."""
    pitches = [60]
    for event in events:
        pitches.append(pitches[-1] + (event.interval or 0))
    assume(min(pitches) >= 0 and max(pitches) <= 127)
    notes = events_to_notes(events, start_pitch=60, unit=unit, lowest=0, highest=127)
    assert notes_to_events(notes, alphabet, unit=unit) == events


@given(event_lists(), st.integers(4, 100))
def test_played_as_published_every_duration_grows_by_a_unit_at_each_turn(events, unit):
    """So encode-decode-encode is the identity only where index k is played as k units."""
    published = V1.as_published()
    options = {"unit": unit, "lowest": 0, "highest": 127, "start_pitch": 60}
    notes = events_to_notes(events, extra_units=published.extra_units, **options)
    again = notes_to_events(notes, published, unit=unit)
    assert [event.duration for event in again] == [min(31, event.duration + 1) for event in events]


@given(melodies())
def test_with_its_own_unit_a_melody_of_one_length_survives_any_number_of_turns(notes):
    notes = [Note(480 * place, note.pitch % 12 + 60, 480) for place, note in enumerate(notes)]
    text = events_to_text(notes_to_events(notes, V1), V1)
    for _ in range(3):
        notes = events_to_notes(text_to_events(text, V1), start_pitch=60, lowest=0, highest=127)
        assert events_to_text(notes_to_events(notes, V1), V1) == text


@given(event_lists(), st.integers(0, 127), st.integers(0, 104), st.integers(12, 23))
def test_notes_beyond_the_range_move_by_octaves(events, start, lowest, width):
    notes = events_to_notes(events, start_pitch=start, lowest=lowest, highest=lowest + width)
    pitch = start
    for note, event in zip(notes, (each for each in events if each.interval is not None), strict=True):
        pitch += event.interval
        assert lowest <= note.pitch <= lowest + width
        assert (note.pitch - pitch) % 12 == 0
        pitch = note.pitch


def test_as_in_the_original_a_unit_is_30_ticks_and_pitches_stay_from_30_to_79():
    notes = events_to_notes(text_to_events("l" + "cl" * 3, V1), start_pitch=50)
    assert [(note.onset, note.pitch, note.duration) for note in notes] == [
        (0, 50, 240), (240, 62, 240), (480, 74, 240), (720, 74, 240),
    ]  # fmt: skip
    notes = events_to_notes(text_to_events("l" + "Cl" * 2, V1), start_pitch=50)
    assert [note.pitch for note in notes] == [50, 38, 38]


def test_durations_can_keep_to_a_grid():
    notes = events_to_notes([Event(0, 0), Event(0, 7), Event(None, 1), Event(0, 15)], unit=33, grid=120)
    assert [(note.onset, note.duration) for note in notes] == [(0, 120), (120, 240), (360, 480)]


def test_a_duration_of_0_still_sounds():
    (note,) = events_to_notes([Event(0, 0)], unit=30)
    assert note.duration == 8
    assert events_to_notes([Event(0, 0)], unit=1)[0].duration == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("5d", "character 1 is '5'"),
        ("ddd", "character 2 is 'd'"),
        ("d55", "character 3 is '5'"),
        ("d5", "ends with '5' at character 2"),
        ("dRd~d", "character 4 is '~'"),
        ("d 5", "character 2 is ' '"),
    ],
)
def test_a_string_that_is_wrong_is_refused_with_place_and_character(text, said):
    with pytest.raises(MelodyStringError) as refusal:
        text_to_events(text, V1)
    assert said in str(refusal.value)


def test_what_a_net_wrote_is_read_as_far_as_it_makes_sense():
    assert read_events("5d", V1) == [Event(5, 0)]
    assert read_events("dd5R5d!", V1) == [Event(0, 0), Event(5, 0)]
    assert read_events("d5d", V1, continues=True) == [Event(5, 0)]
    assert read_events("~~Rd5d", V1) == [Event(None, 0), Event(5, 0)]


@given(st.text(alphabet=st.sampled_from(V1.symbols + " \n~"), max_size=80))
def test_whatever_a_net_writes_plays(text):
    notes = events_to_notes(read_events(text, V1))
    assert all(now.end <= then.onset for now, then in pairwise(notes))
    assert all(30 <= note.pitch <= 79 for note in notes)
    assert not notes or notes[0].onset == 0


def test_notes_that_sound_together_are_no_melody():
    with pytest.raises(MelodyStringError, match="tick 5"):
        notes_to_events([Note(0, 60, 10), Note(5, 62, 10)], V1)
    with pytest.raises(MelodyStringError, match="at least 1 note"):
        notes_to_events([], V1)


@pytest.mark.parametrize(
    "options", [{"lowest": 60, "highest": 70}, {"unit": 0}, {"grid": 0}, {"highest": 128}]
)
def test_ways_of_playing_that_make_no_sense_are_refused(options):
    with pytest.raises(MelodyStringError):
        events_to_notes([Event(0, 8)], **options)


def test_the_alphabet_of_a_text_is_found_where_it_can_be():
    notes = [Note(100 * place, pitch, 90) for place, pitch in enumerate((60, 58, 65, 57, 60))]
    for name, alphabet in ALPHABETS.items():
        assert fitting_alphabets([events_to_text(notes_to_events(notes, alphabet), alphabet)]) == [name]
    assert fitting_alphabets(["d5d"]) == ["v1", "v2"]
    assert fitting_alphabets(["d5d", "dA"]) == []


def test_as_published_a_duration_is_lost_in_writing():
    notes = [Note(0, 60, 22), Note(22, 60, 20)]
    mended = notes_to_events(notes, V1, unit=1)
    published = replace(V1, durations=V1.as_published().durations)
    assert text_to_events(events_to_text(mended, V1), V1) == mended
    assert [each.duration for each in text_to_events(events_to_text(mended, published), published)] == [
        20,
        20,
    ]
