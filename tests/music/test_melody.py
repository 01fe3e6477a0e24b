from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from music.formats import music21_pieces
from music.melody import bottom_line, is_monophonic, melody_of, skyline
from music.score import Note, Score, Track

notes = st.builds(Note, st.integers(0, 30), st.integers(50, 70), st.integers(1, 12), st.integers(1, 127))
scores = st.builds(
    Score,
    st.lists(
        st.builds(Track, st.lists(notes, max_size=12).map(tuple), is_drum=st.booleans()), max_size=3
    ).map(tuple),
)


def line(*notes: tuple[int, int, int]) -> Score:
    return Score((Track(tuple(Note(*note) for note in notes)),))


def brute_force(score, choose):
    pitched = [note for track in score.tracks if not track.is_drum for note in track.notes]
    onsets = sorted({note.onset for note in pitched})
    voice = []
    for onset, following in zip(onsets, [*onsets[1:], 10**9], strict=False):
        pitch = choose(note.pitch for note in pitched if note.onset == onset)
        longest = max(n.duration for n in pitched if (n.onset, n.pitch) == (onset, pitch))
        voice.append((onset, pitch, min(longest, following - onset)))
    return voice


@given(scores)
def test_the_lines_are_the_extreme_of_every_onset(score):
    assert [(n.onset, n.pitch, n.duration) for n in skyline(score)] == brute_force(score, max)
    assert [(n.onset, n.pitch, n.duration) for n in bottom_line(score)] == brute_force(score, min)


@given(scores)
def test_lines_are_monophonic_with_and_without_covered_notes(score):
    for voice in (skyline(score), bottom_line(score), skyline(score, drop_covered=True)):
        assert all(now.end <= then.onset for now, then in pairwise(voice))


def test_a_melody_comes_back_as_it_is():
    melody = line((0, 60, 4), (4, 62, 2), (8, 60, 4))
    assert skyline(melody) == melody.tracks[0].notes == bottom_line(melody)


def test_drums_and_silence_have_no_line():
    assert skyline(Score((Track((Note(0, 36, 1),), is_drum=True),))) == ()


def test_covered_notes_can_be_left_out():
    score = line((0, 72, 8), (2, 50, 2), (4, 52, 2), (7, 71, 4), (11, 48, 4))
    assert [n.pitch for n in skyline(score)] == [72, 50, 52, 71, 48]
    # The note at 7 is covered for a quarter of its length only: a legato, no accompaniment.
    kept = skyline(score, drop_covered=True)
    assert [(n.onset, n.pitch, n.duration) for n in kept] == [(0, 72, 7), (7, 71, 4), (11, 48, 4)]


# ---- the melody of a piece


def chorale() -> Score:
    ((_, load),) = music21_pieces("bach/bwv66.6.mxl")
    return load()


def test_the_melody_of_a_chorale_is_its_soprano_note_for_note():
    score = chorale()
    soprano = score.tracks[0]
    assert (soprano.name, len(soprano.notes)) == ("Soprano", 36)
    assert melody_of(score) == soprano.notes
    assert len(skyline(score)) == 51  # which cuts the soprano wherever another voice moves


def test_the_melody_of_a_chorale_on_one_track_has_every_soprano_note_at_its_length():
    score = chorale()
    on_one = score.with_tracks([Track(tuple(score.notes()))])
    assert melody_of(on_one) == score.tracks[0].notes


def test_a_track_named_melody_is_the_melody_even_below_others():
    tune = Track((Note(0, 60, 4), Note(4, 62, 4)), name="01 MELODY")
    descant = Track((Note(0, 80, 8),), name="flute")
    assert melody_of(Score((descant, tune))) == tune.notes


def test_a_named_melody_with_chords_gives_its_own_top_line():
    tune = Track((Note(0, 60, 4), Note(0, 64, 4), Note(4, 62, 4)), name="Melody")
    descant = Track((Note(0, 80, 8),))
    assert [note.pitch for note in melody_of(Score((descant, tune)))] == [64, 62]


def test_a_monophonic_bass_under_chords_is_no_melody():
    chords = Track((Note(0, 64, 4), Note(0, 72, 4), Note(4, 65, 4), Note(4, 74, 4)))
    bass = Track((Note(0, 40, 8),))
    assert melody_of(Score((bass, chords))) == (Note(0, 72, 4), Note(4, 74, 4))


def test_a_voice_that_moves_across_the_change_of_a_held_note_cuts_neither():
    top = (Note(0, 72, 4), Note(4, 74, 4))
    assert melody_of(Score((Track((*top, Note(3, 65, 2), Note(3, 60, 2))),))) == top


@given(scores)
def test_a_melody_is_monophonic_and_made_of_notes_of_the_piece(score):
    melody = melody_of(score)
    assert is_monophonic(melody)
    pitched = {(note.onset, note.pitch) for note in score.notes(drums=False)}
    assert {(note.onset, note.pitch) for note in melody} <= pitched
    assert bool(melody) == bool(pitched)


def test_drums_alone_have_no_melody():
    assert melody_of(Score((Track((Note(0, 36, 1),), is_drum=True, name="melody"),))) == ()
