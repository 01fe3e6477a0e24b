import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.family import Request
from generators.representations.note_states import NoteInputs, NoteStates, rolls_to_states
from music.score import Meter, Note, Score, Tempo, Track


def states_of(**settings):
    return NoteStates(**({"lowest": 24, "n_notes": 78, "length": 16} | settings))


def sixteenths(*notes, meters=(), ticks_per_beat=480):
    """A score from (onset, pitch, duration) in sixteenths."""
    step = ticks_per_beat // 4
    pitched = tuple(Note(onset * step, pitch, duration * step) for onset, pitch, duration in notes)
    return Score((Track(pitched),), ticks_per_beat, meters=meters)


def inputs_in_python(column, place, lowest, wraps):
    """What the net reads of each note, as the paper words it, one number after another."""
    n_notes = len(column)
    rows = []
    for note in range(n_notes):
        pitch_class = (note + lowest) % 12
        row = [note] + [int(pitch_class == each) for each in range(12)]
        for other in range(note - 12, note + 13):
            inside = 0 <= other < n_notes
            row += list(column[other]) if inside or (wraps and other < 0) else [0] * len(column[0])
        for distance in range(12):
            wanted = (pitch_class + distance) % 12
            row.append(sum(int(c[0]) for n, c in enumerate(column) if (n + lowest) % 12 == wanted))
        row += [1 if place & 2**bit else -1 for bit in range(4)]
        rows.append([*row, 0])
    return rows


# the states


def test_a_held_note_is_struck_once_and_a_repeated_one_twice():
    steps = states_of().encode(sixteenths((0, 60, 3), (3, 60, 1), (5, 60, 1)), {})
    assert steps.dtype == np.uint8
    assert steps[:6, 36].tolist() == [[1, 1], [1, 0], [1, 0], [1, 1], [0, 0], [1, 1]]


def test_without_articulation_nothing_is_struck():
    steps = states_of(articulate=False).encode(sixteenths((0, 60, 3), (3, 60, 1)), {})
    assert steps[:, :-1, 1].sum() == 0
    assert steps[:4, 36, 0].all()


def test_drums_and_notes_outside_the_range_are_left_out():
    drums = Track((Note(0, 40, 480),), is_drum=True)
    score = sixteenths((0, 23, 4), (0, 24, 4), (0, 101, 4), (0, 102, 4))
    steps = states_of().encode(score.with_tracks([*score.tracks, drums]), {})
    assert np.flatnonzero(steps[0, :-1, 0]).tolist() == [0, 77]
    assert not len(states_of().encode(score.with_tracks([drums]), {}))


def test_notes_off_the_grid_move_to_it_and_keep_a_step():
    score = Score((Track((Note(1, 60, 1), Note(6, 62, 3))),), ticks_per_beat=7)
    steps = states_of().encode(score, {})
    assert steps[:, 36, 0].tolist()[:4] == [0, 1, 0, 0]  # 4/7 of a step is nearest to step 1
    assert np.flatnonzero(steps[:, 38, 1]).tolist() == [3]


@pytest.mark.parametrize(
    ("meter", "bar"), [((4, 4), 16), ((3, 4), 12), ((6, 8), 12), ((5, 8), 10), ((7, 16), 7)]
)
def test_the_clock_counts_the_steps_of_the_bar_and_pieces_end_with_one(meter, bar):
    representation = states_of()
    steps = representation.encode(sixteenths((0, 60, bar + 1), meters=(Meter(0, *meter),)), {})
    assert steps[:, -1, 0].tolist() == [step % bar for step in range(2 * bar)]
    assert representation.places(Meter(0, *meter), 2 * bar).tolist() == steps[:, -1, 0].tolist()


def test_the_clock_of_the_original_counts_sixteens_in_any_meter():
    steps = states_of(clock="sixteen").encode(sixteenths((0, 60, 20), meters=(Meter(0, 3, 4),)), {})
    assert steps[:, -1, 0].tolist() == [step % 16 for step in range(24)]


def test_a_long_bar_starts_its_clock_again():
    steps = states_of().encode(sixteenths((0, 60, 1), meters=(Meter(0, 5, 4),)), {})
    assert steps[:, -1, 0].tolist() == [*range(16), *range(4)]


def test_truncated_pieces_end_where_a_meter_begins_that_is_neither_of_2_nor_4_beats():
    meters = (Meter(0, 4, 4), Meter(16 * 120, 3, 4))
    score = sixteenths((0, 60, 20), (16, 64, 4), meters=meters)
    assert len(states_of(truncate=True).encode(score, {})) == 16
    assert len(states_of().encode(score, {})) == 28
    assert not len(states_of(truncate=True).encode(sixteenths((0, 60, 4), meters=(Meter(0, 6, 8),)), {}))


def test_windows_are_full_where_they_can_be_and_never_silent():
    representation = states_of(length=16, hop=8)
    steps = representation.encode(sixteenths((0, 60, 4), (40, 60, 1)), {})
    assert len(steps) == 48
    assert representation.starts(steps) == [0, 32]  # those from 8, 16 and 24 hold no note
    assert representation.starts(steps[:5]) == [0]


def test_openings_are_the_columns_at_bars_and_polyphony_is_that_of_sounding_steps():
    learned = states_of().learn([sixteenths((0, 60, 20), (2, 64, 2), (32, 24, 1))])
    assert learned["openings"] == [[[36], [36]], [[36], []], [[0], [0]]]
    assert learned["polyphony"] == round((20 + 2 + 1) / 21, 3)
    late = states_of().learn([sixteenths((3, 60, 1))])
    assert late["openings"] == [[[36], [36]]]


def test_rolls_are_held_notes_with_a_clock_of_sixteen():
    roll = np.zeros((20, 88))
    roll[3:9, 5] = 1
    steps = rolls_to_states(roll)
    assert steps.shape == (20, 89, 2)
    assert (steps[:, :-1, 0] == roll).all()
    assert not steps[:, :-1, 1].any()
    assert steps[:, -1, 0].tolist() == [step % 16 for step in range(20)]


# the way back

notes_on_grid = st.lists(
    st.tuples(st.integers(0, 40), st.integers(24, 101), st.integers(1, 9)), min_size=1, max_size=30
)


@settings(max_examples=40, deadline=None)
@given(notes_on_grid)
def test_a_score_survives_where_notes_of_a_pitch_do_not_overlap(notes):
    kept, until = [], {}
    for onset, pitch, duration in sorted(notes):
        if onset >= until.get(pitch, 0):
            kept.append((onset, pitch, duration))
            until[pitch] = onset + duration
    score, representation = sixteenths(*kept), states_of()
    steps = representation.encode(score, {})
    request = Request(len(steps) // 16, Tempo(0, 400_000), Meter(0))
    back = representation.to_score(steps[:, :-1], request, last_bar=len(steps) - 16)
    assert [(n.onset, n.pitch, n.duration) for n in back.notes()] == [
        (n.onset, n.pitch, n.duration) for n in score.notes()
    ]


def test_a_silent_last_bar_gets_the_last_chord():
    states = np.zeros((48, 78, 2), dtype=np.uint8)
    states[2:5, 36] = [1, 0]
    request = Request(3, Tempo(0), Meter(0))
    piece = states_of().to_score(states, request, last_bar=32)
    assert [(n.onset // 120, n.pitch, n.duration // 120) for n in piece.notes()] == [(2, 60, 3), (32, 60, 16)]
    chord = np.zeros(78, dtype=bool)
    chord[40] = True
    piece = states_of().to_score(states * 0, request, last_bar=32, fallback=chord)
    assert [(n.onset // 120, n.pitch) for n in piece.notes()] == [(32, 64)]


def test_a_window_and_what_a_piece_needs_are_told_as_they_are():
    one_note = Score((Track((Note(0, 60, 480),)),))
    drums = one_note.with_tracks([Track(one_note.tracks[0].notes, is_drum=True)])
    representation = states_of()
    assert len(representation.starts(representation.encode(one_note, {}))) == 1
    assert len(representation.encode(drums, {})) == 0
    needed = "a note from MIDI 24 to 101 that is not of the drums"
    assert representation.needed() == needed
    assert representation.describe() == f"up to {representation.length} sixteenths with {needed}"


# what the net reads (P6, P8)


@pytest.mark.parametrize("vicinity", ["zero", "wrap"])
@pytest.mark.parametrize(("n_attributes", "width"), [(2, 80), (1, 55)])
@pytest.mark.parametrize(("lowest", "n_notes"), [(24, 78), (21, 88), (31, 14)])
def test_inputs_are_those_of_the_paper_number_by_number(vicinity, n_attributes, width, lowest, n_notes):
    rng = np.random.default_rng(n_notes)
    states = rng.random((2, 3, n_notes, n_attributes)) < 0.2
    places = rng.integers(0, 16, (2, 3))
    inputs = NoteInputs(lowest, n_notes, n_attributes, vicinity)
    assert inputs.n_inputs == width
    made = inputs(torch.from_numpy(states).float(), torch.from_numpy(places))
    for piece in range(2):
        for step in range(3):
            expected = inputs_in_python(states[piece, step], places[piece, step], lowest, vicinity == "wrap")
            assert made[piece, step].tolist() == np.array(expected, dtype=float).tolist()


def test_transposition_changes_only_position_and_pitch_class_of_inner_notes():
    torch.manual_seed(0)
    inputs, moved = NoteInputs(24, 78, 2), 5
    states = torch.zeros(1, 1, 78, 2)
    states[0, 0, 30:50] = (torch.rand(20, 2) < 0.3).float()
    places = torch.tensor([[3]])
    here, there = inputs(states, places), inputs(states.roll(moved, dims=2), places)
    inner = slice(20, 60)
    assert torch.equal(here[0, 0, inner, 13:], there[0, 0, inner.start + moved : inner.stop + moved, 13:])
    assert not torch.equal(here[0, 0, inner, :13], there[0, 0, inner.start + moved : inner.stop + moved, :13])
