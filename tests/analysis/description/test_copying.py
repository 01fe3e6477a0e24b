import random

import numpy as np
import pytest

from analysis.description.copying import copy_rate, copy_rate_of_rolls
from analysis.errors import AnalysisError
from music.score import Note, Score, Track
from music.transform import excerpt, transpose


def windows_by_hand(score: Score, n_steps: int, least_onsets: int) -> list:
    """Every window as the set of its cells, moved so that the lowest pitch is 0."""
    cells, starts = set(), set()
    for note in score.notes(drums=False):
        first, last = note.onset // 120, max(note.onset // 120 + 1, note.end // 120)
        starts.add((first, note.pitch))
        cells |= {(step, note.pitch) for step in range(first, last)}
    length = max(step for step, _ in cells) + 1
    found = []
    for begin in range(length - n_steps + 1):
        inside = {(step - begin, pitch) for step, pitch in cells if begin <= step < begin + n_steps}
        onsets = {(step - begin, pitch) for step, pitch in starts if begin <= step < begin + n_steps}
        if inside and len(onsets) >= least_onsets:
            low = min(pitch for _, pitch in inside)
            found.append(
                (frozenset((s, p - low) for s, p in inside), frozenset((s, p - low) for s, p in onsets))
            )
    return found


def tune(seed: int, n_notes: int = 40) -> Score:
    """A tune of few intervals and lengths, so that tunes share windows by chance."""
    rng, tick, notes = random.Random(seed), 0, []
    for _ in range(n_notes):
        length = rng.choice((120, 240))
        notes.append(Note(tick, 60 + rng.randrange(2), length))
        tick += length
    return Score((Track(tuple(notes)),))


@pytest.mark.parametrize("n_steps", [4, 6, 16])
def test_copied_windows_are_those_that_a_search_by_hand_finds(n_steps):
    tunes, sources = [tune(seed) for seed in range(4)], [tune(seed) for seed in range(10, 16)]
    known = {window for score in sources for window in windows_by_hand(score, n_steps, 2)}
    wanted = [window for score in tunes for window in windows_by_hand(score, n_steps, 2)]
    found = copy_rate(tunes, sources, n_steps=n_steps, least_onsets=2)
    assert found.n_windows == len(wanted)
    assert found.n_copied == sum(window in known for window in wanted)
    assert n_steps > 6 or 0 < found.n_copied < found.n_windows


def test_a_piece_is_wholly_a_copy_of_itself_in_any_key(piece):
    score = piece(1)
    assert copy_rate([score], [score], n_steps=32).share == 1
    assert copy_rate([transpose(score, -7)], [score]).share == 1


def test_a_piece_is_found_within_a_longer_one_at_any_place(piece):
    score = piece(2)
    assert copy_rate([excerpt(score, 5 * 120, 60 * 120)], [score], least_onsets=1).share > 0.7


def test_one_note_more_or_struck_again_is_no_copy():
    held = Score((Track(tuple(Note(480 * step, 60 + step, 480) for step in range(4))),))
    struck = held.with_tracks([Track((Note(0, 60, 240), Note(240, 60, 240), *held.tracks[0].notes[1:]))])
    more = held.with_tracks([Track((*held.tracks[0].notes, Note(0, 72, 480)))])
    assert copy_rate([held], [held]).n_windows == 1
    for other in (struck, more):
        assert copy_rate([other], [held]).n_copied == 0


def test_windows_with_few_notes_do_not_count(piece):
    chord = Score((Track((Note(0, 60, 4800), Note(0, 64, 4800))),))
    assert copy_rate([chord], [chord]).share is None
    assert copy_rate([piece(1)], []).share == 0
    assert copy_rate([], [piece(1)]).share is None


def test_drums_are_no_copies():
    drums = Score((Track(tuple(Note(120 * step, 38, 120) for step in range(32)), is_drum=True),))
    assert copy_rate([drums], [drums]).n_windows == 0


def test_rolls_are_compared_in_their_own_key():
    rng = np.random.default_rng(2)
    roll = rng.random((40, 88)) < 0.1
    assert copy_rate_of_rolls([roll], [roll]).share == 1
    assert copy_rate_of_rolls([np.roll(roll, 1, axis=1)], [roll]).share == 0
    assert copy_rate_of_rolls([roll[3:30]], [roll]).n_windows == 27 - 15
    assert copy_rate_of_rolls([np.zeros((40, 88), dtype=bool)], [roll]).n_windows == 0


def test_windows_of_no_step_are_refused(piece):
    with pytest.raises(AnalysisError, match="at least 1 step, got 0"):
        copy_rate([piece(1)], [piece(1)], n_steps=0)
