import itertools
import random

import numpy as np
import pytest
import torch

from generators.family import Request
from generators.representations.note_durations import (
    FIRST_DURATION,
    FIRST_PITCH,
    N_PLACES,
    N_TOKENS,
    SEPARATOR,
    START,
    NoteDurations,
    NoteGrammar,
    places,
    tokens_to_score,
    transposed,
)
from music.score import Meter, Note, Score, Tempo, Track

TOKENS = NoteDurations(length=65, hop=64)


def n(pitch):
    return FIRST_PITCH + pitch


def d(steps):
    return FIRST_DURATION + steps


def test_there_are_312_tokens():
    assert N_TOKENS == 9 + 128 + 161 + 10 + 4 == 312


def test_notes_go_from_high_to_low_and_separators_lead_on():
    score = Score((Track((Note(0, 60, 480), Note(0, 67, 120), Note(480, 62, 960))),))
    assert TOKENS.tokens(score) == [
        START, n(67), d(1), n(60), d(4), SEPARATOR, d(4), n(62), d(8),
    ]  # fmt: skip


def test_all_instruments_are_one_and_drums_are_left_out_unless_asked_for():
    tracks = (
        Track((Note(0, 60, 480),), program=0),
        Track((Note(0, 60, 960),), program=40),
        Track((Note(0, 38, 120),), is_drum=True),
    )
    assert TOKENS.tokens(Score(tracks)) == [START, n(60), d(8)]
    with_drums = NoteDurations(length=65, hop=64, drums=True)
    assert with_drums.tokens(Score(tracks)) == [START, n(60), d(8), n(38), d(1)]
    assert TOKENS.encode(Score(tracks[2:]), {}).shape == (0, 2)


def test_only_pitches_from_21_to_106_are_written():
    notes = tuple(Note(0, pitch, 120) for pitch in (20, 21, 106, 107))
    assert TOKENS.tokens(Score((Track(notes),))) == [START, n(106), d(1), n(21), d(1)]


def test_notes_last_eight_bars_and_silences_two_at_most():
    notes = (Note(0, 60, 480 * 400), Note(480 * 500, 62, 480), Note(480 * 600, 64, 480))
    tokens = TOKENS.tokens(Score((Track(notes),)))
    assert tokens == [START, n(60), d(128), SEPARATOR, d(160), n(62), d(4), SEPARATOR, d(4 + 32), n(64), d(4)]


@pytest.mark.parametrize("seed", range(4))
def test_pieces_on_the_grid_come_back_as_they_were(seed):
    rng = random.Random(seed)
    onsets = {(rng.randrange(64), rng.randrange(21, 107)) for _ in range(80)}
    notes = []
    for step, pitch in onsets:
        later = [other for other, height in onsets if height == pitch and other > step]
        notes.append(Note(step * 120, pitch, 120 * min(rng.randint(1, 8), min(later, default=64) - step), 80))
    score = Score((Track(tuple(notes)),))
    tokens = TOKENS.tokens(score)
    request = Request(4, Tempo(0), Meter(0))
    lead = min(step for step, _ in onsets)
    again = tokens_to_score(tokens[1:], request)
    assert lead < 32
    assert list(again.notes()) == list(score.notes())


def test_places_add_up_what_separators_lead_to():
    row = torch.tensor([[START, n(67), d(1), n(60), d(4), SEPARATOR, d(4), n(62), d(8), SEPARATOR, d(3)]])
    assert places(row).tolist() == [[0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 7]]


def test_every_token_stands_beside_the_sixteenth_of_its_piece():
    score = Score((Track((Note(0, 60, 480), Note(480, 62, 960), Note(2400, 64, 480))),))
    encoded = TOKENS.encode(score, {})
    assert encoded.dtype == np.int16
    assert encoded[:, 0].tolist() == TOKENS.tokens(score)
    assert encoded[:, 1].tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 20, 20, 20]


def test_sixteenths_beyond_all_places_keep_their_place_in_two_bars():
    notes = tuple(Note(1920 * bar + 480 * (bar % 4), 60, 480) for bar in range(2050))
    tokens = TOKENS.encode(Score((Track(notes),)), {})
    is_late = tokens[:, 1] >= N_PLACES - 32
    onsets = np.array([16 * bar + 4 * (bar % 4) for bar in range(2050)])
    found = tokens[(tokens[:, 0] == n(60)), 1]
    assert found[:2046].tolist() == onsets[:2046].tolist()
    assert (found % 32).tolist() == (onsets % 32).tolist()
    assert found[2046:].tolist() == [N_PLACES - 32 + onset % 32 for onset in onsets[2046:]]
    assert tokens[is_late, 1].max() < N_PLACES


def test_transposition_keeps_to_the_range_by_octaves():
    row = torch.tensor([[START, n(60), d(1), SEPARATOR, d(4), n(106), d(8)]])
    moved = transposed(row, torch.tensor([5]))[0].tolist()
    assert moved == [START, n(65), d(1), SEPARATOR, d(4), n(106 + 5 - 12), d(8)]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (7, 16), (3, 64)])
def test_whatever_the_grammar_allows_can_be_played(meter):
    request = Request(3, Tempo(0), Meter(0, *meter))
    grammar = NoteGrammar(8, request, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    written = []
    for _ in range(5000):
        if grammar.finished.all():
            break
        chosen = grammar.allowed().float().multinomial(1, generator=rng)[:, 0]
        written.append(torch.where(grammar.finished, -1, chosen))
        grammar.advance(chosen)
    assert grammar.finished.all()
    for row in torch.stack(written, 1).tolist():
        tokens = [token for token in row if token >= 0]
        piece = tokens_to_score(tokens, request)
        assert len(tokens) % 2 == 0
        assert sum(FIRST_PITCH <= token < FIRST_DURATION for token in tokens) == piece.n_notes
        assert piece.n_bars == 3
        assert piece.end <= request.end(480)
        notes = piece.tracks[0].notes
        for pitch in {note.pitch for note in notes}:
            own = [note for note in notes if note.pitch == pitch]
            assert all(one.end <= two.onset for one, two in itertools.pairwise(own))


def test_the_grammar_allows_real_music():
    notes = (Note(0, 60, 480), Note(0, 67, 120), Note(480, 62, 960), Note(1920, 64, 1920))
    tokens = [*TOKENS.tokens(Score((Track(notes),)))[1:], SEPARATOR, d(16)]
    grammar = NoteGrammar(1, Request(2, Tempo(0), Meter(0)), torch.device("cpu"))
    for token in tokens:
        assert not grammar.finished[0]
        assert grammar.allowed()[0, token]
        grammar.advance(torch.tensor([token]))
    assert grammar.finished[0]


def test_as_much_is_written_as_of_the_piece_that_is_behind():
    grammar = NoteGrammar(2, Request(2, Tempo(0), Meter(0)), torch.device("cpu"))
    shares = []
    for pair in ((n(60), n(60)), (d(4), d(4)), (SEPARATOR, SEPARATOR), (d(8), d(16))):
        grammar.advance(torch.tensor(pair))
        shares.append(grammar.share)
    assert shares == [0, 0, 0, 8 / 32]
    grammar.finished[:] = torch.tensor([True, False])
    assert grammar.share == 16 / 32
    grammar.finished[1] = True
    assert grammar.share == 1


def test_a_start_token_ends_a_piece_only_where_the_original_stops():
    for least_bars, expected in ((None, False), (4, False), (1, True)):
        grammar = NoteGrammar(1, Request(8, Tempo(0), Meter(0)), torch.device("cpu"), least_bars)
        for token in (n(60), d(4), SEPARATOR, d(16)):
            assert not grammar.allowed()[0, START]
            grammar.advance(torch.tensor([token]))
        assert bool(grammar.allowed()[0, START]) == expected


def test_a_prime_leads_to_the_bar_line_after_its_last_onset():
    notes = (Note(0, 60, 480), Note(1440 + 480, 62, 960))
    score = Score((Track(notes),), 480, (), (Meter(0, 3, 4),))
    # The silence before the second onset is four sixteenths of note and twelve more.
    assert TOKENS.continued(score)[-4:].tolist() == [[n(62), 16], [d(8), 16], [SEPARATOR, 16], [d(2 * 4), 24]]
    assert TOKENS.continued(Score()).shape == (0, 2)


def test_windows_lie_side_by_side_and_reach_the_end():
    for n_tokens in (2, 64, 65, 66, 129, 1000):
        starts = TOKENS.starts(np.zeros(n_tokens))
        foretold = {place for start in starts for place in range(start + 1, start + 65)}
        assert foretold >= set(range(1, n_tokens))
        assert starts == list(range(0, 64 * len(starts), 64))
    assert TOKENS.starts(np.zeros(0)) == []
