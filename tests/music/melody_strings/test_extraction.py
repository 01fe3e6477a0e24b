from itertools import pairwise

import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from music.melody_strings import MelodyStringError, extract_melodies
from music.melody_strings.extraction import BASSES, boredom, first_voice, outer_voice, overlap_share
from music.score import Note, Score, Track

notes_lists = st.lists(
    st.builds(Note, st.integers(0, 40), st.integers(58, 64), st.integers(1, 12)), min_size=1, max_size=25
).map(sorted)


def line(*pitches, length=10, gap=0, start=0):
    return [Note(start + place * (length + gap), pitch, length) for place, pitch in enumerate(pitches)]


def overlap(one, other):
    return one.onset < other.end and other.onset < one.end


# voices


@given(notes_lists, st.sampled_from([1, -1]))
def test_an_outer_voice_is_what_no_more_extreme_note_overlaps(notes, sign):
    """By comparing every note with every other, as the original does."""
    free = [
        note
        for note in notes
        if not any(overlap(note, other) and sign * other.pitch > sign * note.pitch for other in notes)
    ]
    voice = outer_voice(notes, sign)
    assert {(note.onset, note.pitch) for note in voice} == {(note.onset, note.pitch) for note in free}
    assert all(now.end <= then.onset for now, then in pairwise(voice))
    for note in voice:  # shortened by its own pitch alone
        assert any(each.onset == note.onset and each.duration >= note.duration for each in free)
        cut = [each.onset for each in free if note.onset < each.onset]
        full = max(each.duration for each in free if each.onset == note.onset)
        assert note.end == min([note.onset + full, *cut])


def test_chords_over_a_bass_have_a_top_and_a_bottom_voice():
    notes = sorted([*line(72, 74, 76, 77), *line(60, 60, 60, 60), *line(36, 38, length=20)])
    assert [note.pitch for note in outer_voice(notes, 1)] == [72, 74, 76, 77]
    assert [note.pitch for note in outer_voice(notes, -1)] == [36, 38]


@given(notes_lists)
def test_the_first_voice_takes_no_note_before_the_last_one_has_ended(notes):
    voice = first_voice(notes)
    assert all(now.end <= then.onset for now, then in pairwise(voice))
    assert voice[0].onset == notes[0].onset
    highest = max(note.pitch for note in notes if note.onset == notes[0].onset)
    assert voice[0].pitch == highest


def test_notes_struck_again_while_they_sound_are_one():
    assert first_voice([Note(0, 60, 10), Note(5, 60, 10), Note(15, 60, 5)]) == [
        Note(0, 60, 15),
        Note(15, 60, 5),
    ]


def test_a_note_that_runs_a_little_into_the_next_is_shortened_and_one_that_runs_far_is_a_voice():
    little, far = Note(0, 60, 14), Note(0, 60, 17)
    then = Note(10, 62, 10)
    assert overlap_share(little, then) == 4 / 20
    assert overlap_share(far, then) == 7 / 20
    assert first_voice([little, then]) == [Note(0, 60, 10), then]
    assert first_voice([far, then]) == [far]


def test_overlap_is_a_share_of_what_both_notes_span():
    assert overlap_share(Note(0, 60, 10), Note(0, 70, 10)) == 1
    assert overlap_share(Note(0, 60, 10), Note(10, 70, 10)) == 0
    assert overlap_share(Note(0, 60, 10), Note(30, 70, 10)) == 0


# filters

GOOD = [60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65]


def test_a_scale_passes_all_filters():
    for generation in ("v1", "v2", "v3"):
        assert boredom(line(*GOOD), generation) is None


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (line(*GOOD[:10]), "10 notes"),
        (line(*GOOD[:6]) + line(*GOOD[6:], start=60 + 31), "rest of 21%"),
        (line(*GOOD, gap=20), "65% silence"),
        (line(*[60, 62, 64] * 4), "3 different pitches"),
        (line(*[60] * 4, *[62] * 4, *[64] * 4, *[65] * 4, *[67] * 4), "75% of the notes"),
        (line(*[60] * 12, *GOOD[1:], *GOOD), "11 times in a row"),
        (line(*GOOD, 82), "17 semitones"),
    ],
)
def test_the_first_generation_refuses_what_is_boring(notes, said):
    if said == "65% silence":  # 11 gaps of 20 against 12 notes of 10: 220 of 340
        assert boredom(notes, "v1") is None
        notes, said = line(*GOOD, gap=22), "67% silence"
    assert said in boredom(notes, "v1")


def test_bounds_of_the_first_generation_are_where_they_are_said_to_be():
    assert boredom(line(*GOOD[:11]), "v1") is None
    assert boredom(line(*GOOD[:6]) + line(*GOOD[6:], start=60 + 30), "v1") is None  # 30 of 150
    assert boredom(line(*[60, 62, 64, 65] * 3), "v1") is None
    assert boredom(line(*[60] * 11, *GOOD[1:], *GOOD), "v1") is None  # 10 repeats
    assert boredom(line(*GOOD, 81), "v1") is None


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (line(*GOOD[:7]), "7 notes"),
        (line(*GOOD[:6], *GOOD[:6]), "6 different pitches"),
        (line(*(pitch for pitch in GOOD[:8] for _ in range(2))), "50% of the notes"),
    ],
)
def test_later_generations_refuse_what_is_boring(notes, said):
    assert said in boredom(notes, "v2")
    assert said in boredom(notes, "v3")


def test_later_generations_let_a_third_of_the_notes_repeat():
    pitches = [60, 60, 62, 62, 64, 64, 65, 67, 69, 71, 72, 72]
    assert boredom(line(*pitches), "v2") is None
    assert "42%" in boredom(line(*pitches[:-2], 71, 71), "v2")


def test_basses_are_the_programs_of_general_midi_that_are_called_so():
    names = [pretty_midi.program_to_instrument_name(program) for program in range(128)]
    assert {program for program, name in enumerate(names) if "bass" in name.lower()} == BASSES


# whole scores


def score():
    chords = sorted([*line(*GOOD), *line(*(pitch - 12 for pitch in GOOD))])
    return Score(
        (
            Track(tuple(line(*GOOD)), name="tune"),
            Track(tuple(chords), name="octaves"),
            Track(tuple(line(*GOOD)), program=33),
            Track(tuple(line(*GOOD)), is_drum=True),
            Track(tuple(line(60, 62, 64))),
            Track(),
        )
    )


def found(**options):
    melodies, refusals = extract_melodies(score(), **options)
    return [(each.track, each.voice) for each in melodies], [
        (each.track, each.voice, each.reason) for each in refusals
    ]


def test_the_first_generation_takes_the_top_voices_and_says_what_it_refuses():
    melodies, refusals = found()
    assert melodies == [(1, "top"), (2, "top"), (3, "top")]
    assert refusals == [
        (4, "", "drums have no melody"),
        (5, "top", "3 notes; more than 10 are needed"),
        (6, "", "no notes"),
    ]


def test_a_bottom_voice_is_there_only_where_there_are_two_voices():
    assert found(voice="bottom")[0] == [(2, "bottom")]
    assert found(voice="both")[0] == [(1, "top"), (2, "top"), (2, "bottom"), (3, "top")]
    (bottom,) = extract_melodies(score(), voice="bottom")[0]
    assert [note.pitch for note in bottom.notes] == [pitch - 12 for pitch in GOOD]


def test_later_generations_take_the_first_voice_and_no_bass():
    melodies, refusals = found(generation="v2")
    assert melodies == [(1, "first"), (2, "first")]
    assert (3, "", "program 33 is a bass") in refusals


def test_without_filters_all_is_taken_but_drums():
    for generation in ("v1", "v3"):
        melodies, refusals = found(generation=generation, filters=False)
        assert [track for track, _ in melodies] == [1, 2, 3, 5]
        assert [track for track, _, _ in refusals] == [4, 6]


def test_generations_and_voices_that_do_not_exist_are_refused():
    with pytest.raises(MelodyStringError, match="v4"):
        extract_melodies(score(), generation="v4")
    with pytest.raises(MelodyStringError, match="alto"):
        extract_melodies(score(), voice="alto")
