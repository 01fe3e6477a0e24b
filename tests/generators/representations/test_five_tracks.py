from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generators.corpus import encode_pieces
from generators.family import Request
from generators.representations.five_tracks import (
    DRUMS,
    PADDING,
    TRACKS,
    FiveTracks,
    five_tracks_to_score,
    place_of,
)
from music.pianoroll import LAKH_TRACKS, score_to_multitrack
from music.score import Meter, Note, Score, Tempo, Track

GRID = FiveTracks(steps_per_beat=2, length=32, hop=32)


@st.composite
def bands(draw):
    """Scores of any programs and any onsets, on the grid or off it."""
    ticks_per_beat = draw(st.sampled_from([2, 24, 97, 480]))
    notes = st.lists(
        st.builds(
            Note,
            st.integers(0, 9 * ticks_per_beat),
            st.integers(0, 127),
            st.integers(1, 500),
            st.integers(1, 127),
        ),
        max_size=8,
    )
    tracks = st.builds(Track, notes.map(tuple), st.integers(0, 127), st.booleans())
    return Score(tuple(draw(st.lists(tracks, max_size=6))), ticks_per_beat)


def cells_of(score, steps_per_beat):
    """Cell by cell what sounds, note by note, with exact fractions: {(step, track, pitch): velocity}."""
    cells = {}
    for track in score.tracks:
        kinds = {0: "piano", 3: "guitar", 4: "bass"}
        kind = "drums" if track.is_drum else kinds.get(track.program // 8, "strings")
        for note in track.notes:
            step = Fraction(score.ticks_per_beat, steps_per_beat)
            first, stop = (int(Fraction(tick) / step + Fraction(1, 2)) for tick in (note.onset, note.end))
            if track.is_drum:
                stop = first  # struck, not held
            for index in range(first, max(stop, first + 1)):
                cell = index, TRACKS.index(kind), note.pitch
                cells[cell] = max(note.velocity, cells.get(cell, 0))
    return cells


@given(bands(), st.sampled_from([2, 4]))
def test_every_cell_holds_the_loudest_note_of_its_kind_of_instrument(score, steps_per_beat):
    rolls = FiveTracks(steps_per_beat=steps_per_beat, length=8, hop=8).encode(score, {})
    assert rolls.dtype == np.uint8
    assert {tuple(cell): rolls[tuple(cell)] for cell in np.argwhere(rolls).tolist()} == cells_of(
        score, steps_per_beat
    )


@given(bands())
def test_the_same_cells_sound_as_in_the_lakh_form_of_shortest_drum_notes(score):
    if score.ticks_per_beat % 2:
        return
    struck = [
        replace(track, notes=tuple(replace(note, duration=1) for note in track.notes))
        if track.is_drum
        else track
        for track in score.tracks
    ]
    lakh = score_to_multitrack(score.with_tracks(struck), steps_per_beat=2)  # (steps, 128, 5)
    order = [[name.lower() for name in LAKH_TRACKS].index(name) for name in TRACKS]
    assert np.array_equal(GRID.encode(score, {}) > 0, lakh[:, :, order].transpose(0, 2, 1))


@given(
    bands(), st.sampled_from([2, 4]), st.integers(1, 6), st.sampled_from([(4, 4), (3, 4), (7, 16), (1, 64)])
)
def test_written_cells_are_read_again_up_to_the_end(score, steps_per_beat, n_bars, meter):
    grid = FiveTracks(steps_per_beat=steps_per_beat, length=8, hop=8)
    request = Request(n_bars, Tempo(0, 400_000), Meter(0, *meter))
    rolls = grid.encode(score, {})
    piece = five_tracks_to_score(rolls, steps_per_beat=steps_per_beat, request=request)
    assert piece.end <= request.end(480)
    assert piece.meters == (Meter(0, *meter),)
    assert piece.tempos == (Tempo(0, 400_000),)
    assert all(track.notes for track in piece.tracks)
    whole = int(n_bars * Fraction(4 * meter[0], meter[1]) * steps_per_beat)  # steps that end in time
    again = np.zeros_like(rolls)
    encoded = grid.encode(piece, {})[: len(rolls)]
    again[: len(encoded)] = encoded
    assert np.array_equal(again[:whole] > 0, rolls[:whole] > 0)
    assert not again[whole + 1 :].any()


def test_a_run_is_one_note_as_loud_as_its_cells_on_average_but_of_drums_many():
    rolls = np.zeros((6, 5, 128), dtype=np.uint8)
    rolls[1:4, 2, 40] = 60, 70, 80
    rolls[5, 2, 40] = 127
    rolls[0:2, DRUMS, 38] = 50
    piece = five_tracks_to_score(rolls, steps_per_beat=2, request=Request(1, Tempo(0), Meter(0)))
    bass, drums = piece.tracks
    assert bass == Track((Note(240, 40, 720, 70), Note(1200, 40, 240, 127)), 32, name="bass")
    assert drums == Track((Note(0, 38, 240, 50), Note(240, 38, 240, 50)), 0, is_drum=True, name="drums")


def test_drum_hits_on_neighbouring_steps_come_back_one_by_one_however_long_they_are_held():
    hits = tuple(Note(step * 240, 42, duration) for step, duration in enumerate((10, 240, 900, 240, 7680)))
    request = Request(16, Tempo(0), Meter(0))
    for program in (0, 33):
        rolls = GRID.encode(Score((Track(hits, program, is_drum=True),)), {})
        (drums,) = five_tracks_to_score(rolls, steps_per_beat=2, request=request).tracks
        assert [(note.onset, note.duration) for note in drums.notes] == [(240 * n, 240) for n in range(5)]


def test_cells_that_are_on_or_off_sound_with_the_velocity_of_their_track():
    rolls = np.zeros((2, 5, 12), dtype=bool)
    rolls[0, 0, 3] = rolls[1, 3, 0] = True
    piece = five_tracks_to_score(
        rolls,
        steps_per_beat=4,
        request=Request(1, Tempo(0), Meter(0)),
        lowest=60,
        velocities=(10, 20, 30, 40, 50),
    )
    assert [(track.program, *track.notes) for track in piece.tracks] == [
        (0, Note(0, 63, 120, 10)),
        (48, Note(120, 60, 120, 40)),
    ]


def test_all_programs_have_the_place_of_the_lakh_dataset():
    places = [TRACKS[place_of(Track(program=program))] for program in range(128)]
    families = {"piano": range(8), "guitar": range(24, 32), "bass": range(32, 40)}
    for program, place in enumerate(places):
        expected = next((name for name, own in families.items() if program in own), "strings")
        assert place == expected
    assert {TRACKS[place_of(Track(program=program, is_drum=True))] for program in range(128)} == {"drums"}


def test_pitches_out_of_range_are_left_out_but_keep_their_time():
    score = Score((Track((Note(0, 23, 480), Note(480, 24, 480), Note(960, 95, 480), Note(1440, 96, 480))),))
    rolls = FiveTracks(steps_per_beat=2, length=8, hop=8, lowest=24, n_pitches=72).encode(score, {})
    assert rolls.shape == (8, 5, 72)
    assert np.argwhere(rolls).tolist() == [[2, 0, 0], [3, 0, 0], [4, 0, 71], [5, 0, 71]]


@pytest.mark.parametrize(
    ("n_steps", "starts"), [(1, [0]), (32, [0]), (33, [0, 16]), (48, [0, 16]), (49, [0, 16, 32])]
)
def test_windows_go_on_until_one_reaches_the_end(n_steps, starts):
    grid = FiveTracks(steps_per_beat=2, length=32, hop=16)
    assert grid.starts(np.ones((n_steps, 5, 128), dtype=np.uint8)) == starts


def test_silent_windows_teach_nothing_and_the_last_is_padded():
    rolls = np.zeros((90, 5, 128), dtype=np.uint8)
    rolls[70, 4, 1] = 9
    assert GRID.starts(rolls) == [64]
    score = Score((Track((Note(70 * 240, 1, 240), Note(89 * 240, 2, 240)), is_drum=True),))
    (window,) = encode_pieces([score], GRID, {}).batch(torch.arange(1))
    assert window.shape == (32, 5, 128)
    assert window.nonzero().tolist() == [[6, 4, 1], [25, 4, 2]]


def test_pieces_may_start_from_silence_and_end_in_marked_padding():
    grid = FiveTracks(steps_per_beat=2, length=6, hop=2, n_before=4, padding=PADDING)
    score = Score((Track((Note(0, 60, 720, 33),)),))
    assert np.array_equal(grid.encode(score, {})[4:], GRID.encode(score, {}))
    assert not grid.encode(score, {})[:4].any()
    windows = encode_pieces([score], grid, {}).batch(torch.arange(2))
    assert windows[:, :, 0, 60].tolist() == [[0, 0, 0, 0, 33, 33], [0, 0, 33, 33, 33, PADDING]]
    assert windows[1, 5].eq(PADDING).all()
    assert grid.learn([score]) == GRID.learn([score])


def test_what_is_learned_is_how_much_and_how_loud_each_track_plays():
    piano = Track((Note(0, 60, 480, 40), Note(0, 64, 960, 70)))  # 2 + 4 cells
    hats = Track((Note(720, 42, 10, 100),), is_drum=True)
    late = Score((Track((Note(960, 60, 960, 10),)),))
    learned = GRID.learn([Score((piano, hats)), late])
    assert learned["cells_per_step"] == [10 / 12, 0, 0, 0, 1 / 12]
    assert learned["cells_at_once"] == [10 / 8, 0, 0, 0, 1]
    assert learned["velocities"] == [round((2 * 40 + 4 * 70 + 4 * 10) / 10), 80, 80, 80, 100]
    assert GRID.learn([])["cells_per_step"] == [0, 0, 0, 0, 0]


def test_a_window_is_described_by_what_it_needs():
    assert "32 steps of 1/2 beat" in GRID.describe()
    assert "MIDI 0 to 127" in GRID.describe()


def test_shares_of_pitches_are_counted_over_steps_and_never_certain():
    piano = Track((Note(0, 60, 480), Note(240, 64, 240)))
    shares = GRID.pitch_shares([Score((piano,)), Score((Track((Note(0, 60, 480),), 33),))])
    assert shares[TRACKS.index("piano")][60] == pytest.approx(2 / 5, rel=5e-3)  # 2 of 4 steps, and one more
    assert shares[TRACKS.index("piano")][64] == pytest.approx(1 / 5, rel=5e-3)
    assert shares[TRACKS.index("bass")][60] == pytest.approx(2 / 5, rel=5e-3)
    assert np.shape(shares) == (5, 128)
    assert 0 < np.min(shares) < np.max(shares) < 1
    always = FiveTracks(steps_per_beat=2, length=8, hop=8, lowest=60, n_pitches=1).pitch_shares(
        [Score((piano,))]
    )
    assert always[0] == [pytest.approx(2.2 / 3)]


@pytest.mark.parametrize("n_notes", [1, 30, 100_000])
def test_pitches_that_a_corpus_lacks_are_a_tenth_of_those_it_has_at_most(n_notes):
    notes = tuple(Note(240 * step, 60 + step % 2, 240) for step in range(n_notes))
    shares = np.array(GRID.pitch_shares([Score((Track(notes),))]))[0]
    heard = shares[60:62].sum()
    assert shares.sum() - heard <= 0.1 * heard
    assert shares[0] == pytest.approx(min(0.5, n_notes / 1280) / (n_notes + 1))
