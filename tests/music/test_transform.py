from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.pianoroll import score_to_onsets, score_to_pianoroll
from music.score import Key, Meter, Note, Score, ScoreError, Tempo, Track
from music.transform import (
    bar_edges,
    excerpt,
    on_one_track,
    quantise,
    refine,
    scramble,
    transpose,
    windows_by_bar,
    with_ticks_per_beat,
)

notes = st.builds(Note, st.integers(0, 4000), st.integers(40, 90), st.integers(1, 900), st.integers(1, 127))
tracks = st.builds(Track, st.lists(notes, max_size=12).map(tuple), st.integers(0, 127), st.booleans())
scores = st.builds(
    Score, st.lists(tracks, max_size=3).map(tuple), st.sampled_from([7, 89, 96, 480, 1024, 32767])
)


def one_track(*notes: tuple, **facts) -> Score:
    return Score((Track(tuple(Note(*note) for note in notes)),), **facts)


@given(score=scores, semitones=st.integers(-12, 12))
def test_transposing_there_and_back_changes_nothing(score, semitones):
    assert transpose(transpose(score, semitones), -semitones) == score


def test_transposing_moves_pitches_and_keys_but_no_drums():
    score = Score(
        (Track((Note(0, 60, 1),)), Track((Note(0, 36, 1),), is_drum=True)), keys=(Key(0, 0), Key(4, -3, True))
    )
    moved = transpose(score, 2)
    assert [n.pitch for n in moved.notes()] == [62, 36]
    assert [key.name for key in moved.keys] == ["D major", "D minor"]
    assert transpose(score, 1).keys[0].name == "D flat major"


def test_a_transposition_off_the_keyboard_names_what_fits():
    with pytest.raises(ScoreError, match=r"pitches 10-120 moved by 8 .* -10 to 7 is possible"):
        transpose(one_track((0, 10, 1), (0, 120, 1)), 8)


@settings(deadline=None)
@given(score=scores, steps_per_beat=st.sampled_from([1, 3, 4, 6, 24]))
def test_quantised_notes_lie_on_the_grid_within_half_a_step(score, steps_per_beat):
    done = quantise(score, steps_per_beat=steps_per_beat)
    step = done.ticks_per_beat // steps_per_beat
    assert done.ticks_per_beat % steps_per_beat == 0
    for before, after in zip(score.tracks, done.tracks, strict=True):
        assert all(n.onset % step == 0 and n.duration % step == 0 for n in after.notes)
        allowed = {
            (
                n.pitch,
                (2 * n.onset * steps_per_beat + score.ticks_per_beat) // (2 * score.ticks_per_beat) * step,
            )
            for n in before.notes
        }
        assert {(n.pitch, n.onset) for n in after.notes} == allowed
        assert len(after.notes) == len(allowed)
    assert quantise(done, steps_per_beat=steps_per_beat) == done


@settings(deadline=None)
@given(score=scores.filter(lambda score: score.ticks_per_beat % 4 == 0))
def test_a_quantised_score_has_the_roll_of_the_score(score):
    done = quantise(score)
    assert (score_to_pianoroll(done) == score_to_pianoroll(score)).all()
    assert (score_to_onsets(done) == score_to_onsets(score)).all()


@given(score=scores, factor=st.integers(1, 60))
def test_finer_ticks_are_exact(score, factor):
    if score.ticks_per_beat * factor > 32767:
        return
    finer = with_ticks_per_beat(score, score.ticks_per_beat * factor)
    assert [(n.onset, n.duration) for n in finer.notes()] == [
        (n.onset * factor, n.duration * factor) for n in score.notes()
    ]
    assert with_ticks_per_beat(finer, score.ticks_per_beat) == score


@given(score=scores)
def test_refined_scores_fit_every_common_grid_and_keep_their_seconds(score):
    done = refine(score)
    assert done.ticks_per_beat % 24 == 0
    assert done.n_notes == score.n_notes
    if score.ticks_per_beat * 24 <= 32767:
        assert done.duration_seconds == pytest.approx(score.duration_seconds)


def test_an_excerpt_is_cut_clipped_and_moved():
    score = one_track(
        (0, 60, 500),
        (480, 62, 480),
        (900, 64, 480),
        (960, 65, 10),
        tempos=(Tempo(0, 1), Tempo(700, 2)),
        keys=(Key(0, 3),),
    )
    cut = excerpt(score, 480, 960)
    assert cut.tracks[0].notes == (Note(0, 62, 480), Note(420, 64, 60))
    assert cut.tempos == (Tempo(0, 1), Tempo(220, 2))
    assert cut.keys == (Key(0, 3),)
    held = excerpt(score, 480, 960, keep_held=True)
    assert Note(0, 60, 20) in held.tracks[0].notes
    with pytest.raises(ScoreError, match="ticks 5 to 5"):
        excerpt(score, 5, 5)


def test_windows_cover_whole_bars_of_the_meters():
    score = one_track(
        (0, 60, 1440), (1440, 62, 1920), (3360, 64, 10), meters=(Meter(0, 3, 4), Meter(1440, 4, 4))
    )
    assert bar_edges(score) == [0, 1440, 3360, 5280]
    windows = windows_by_bar(score, n_bars=2)
    assert [(first, [n.pitch for n in window.notes()]) for first, window in windows] == [
        (0, [60, 62]),
        (1, [62, 64]),
    ]
    assert windows[1][1].meters == (Meter(0, 4, 4),)
    assert [first for first, _ in windows_by_bar(score, n_bars=1, hop_bars=2)] == [0, 2]
    assert windows_by_bar(score, n_bars=4) == []
    assert windows_by_bar(Score(), n_bars=1) == []
    with pytest.raises(ScoreError, match="at least 1"):
        windows_by_bar(score, n_bars=0)


@given(score=scores, seed=st.integers(0, 5))
def test_scrambling_keeps_rhythm_and_pitch_content_of_each_track(score, seed):
    done = scramble(score, seed=seed)
    assert done == scramble(score, seed=seed)
    for before, after in zip(score.tracks, done.tracks, strict=True):
        assert Counter((n.onset, n.duration, n.velocity) for n in after.notes) == Counter(
            (n.onset, n.duration, n.velocity) for n in before.notes
        )
        assert Counter(n.pitch for n in after.notes) == Counter(n.pitch for n in before.notes)


def test_scrambling_changes_the_tune_and_doubles_no_pitch_in_a_chord():
    chords = one_track(
        *((480 * bar, 50 + 4 * bar % 20 + voice, 480) for bar in range(40) for voice in range(4))
    )
    done = scramble(chords, seed=1)
    assert done != chords
    assert scramble(chords, seed=2) != done
    assert max(Counter((n.onset, n.pitch) for n in done.notes()).values()) == 1


def test_one_track_merges_what_instruments_double():
    score = Score(
        (
            Track((Note(0, 60, 10, 50), Note(5, 62, 5, 60)), 40),
            Track((Note(0, 60, 20, 40),), 41),
            Track((Note(0, 36, 1),), is_drum=True),
        )
    )
    (track,) = on_one_track(score).tracks
    assert (track.program, track.notes) == (0, (Note(0, 60, 20, 50), Note(5, 62, 5, 60)))
