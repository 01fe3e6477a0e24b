import numpy as np
import pytest
import torch

from generators.family import Request
from generators.representations.chorale_voices import (
    FIRST_PITCH,
    REST,
    START,
    ChoraleLanguage,
    ChoraleVoices,
    voices_of,
)
from music.score import Meter, Note, Score, Tempo, Track

VOICES = ChoraleVoices(length=65, hop=32, transpose=(5, 6))


def four_tracks(*lines):
    """Lines of (pitch or None) per sixteenth as tracks; the order of the tracks is not that of the voices."""
    tracks = [
        Track(tuple(Note(120 * i, pitch, 120) for i, pitch in enumerate(line) if pitch is not None))
        for line in lines
    ]
    return Score(tuple(reversed(tracks)))


def test_tokens_are_soprano_alto_tenor_and_bass_of_each_sixteenth():
    score = four_tracks([72, 74], [67, 67], [64, None], [48, 50])
    learned = VOICES.learn([score])
    assert learned == {"pitches": [43, 81]}
    expected = [START, *(FIRST_PITCH + p - 43 for p in (72, 67, 64, 48, 74, 67)), REST, FIRST_PITCH + 50 - 43]
    assert VOICES.encode(score, learned).tolist() == expected
    same = VOICES.encode_voices(np.array([[72, 67, 64, 48], [74, 67, -1, 50]]), learned)
    assert same.tolist() == expected


def test_other_scores_give_their_three_highest_notes_and_their_lowest():
    notes = (*(Note(0, pitch, 120) for pitch in (40, 50, 60, 70, 80)), Note(120, 55, 120))
    assert voices_of(Score((Track(notes),))).tolist() == [[80, 70, 60, 40], [55, -1, -1, -1]]
    assert len(voices_of(Score((Track((Note(0, 40, 9),), is_drum=True),)))) == 0


def test_voices_come_back_with_held_notes_as_one():
    score = four_tracks([72, 72, 74, 74], [67, None, 67, 67], [64] * 4, [48, 50, 52, 52])
    learned = VOICES.learn([score])
    language = ChoraleLanguage(learned)
    tokens = VOICES.encode(score, learned).tolist()
    again = language.to_score(tokens[1:], Request(1, Tempo(0), Meter(0, 1, 4)))
    assert [[(x.onset, x.pitch, x.duration) for x in track.notes] for track in again.tracks] == [
        [(0, 72, 240), (240, 74, 240)],
        [(0, 67, 120), (240, 67, 240)],
        [(0, 64, 480)],
        [(0, 48, 120), (120, 50, 120), (240, 52, 240)],
    ]


def test_transposition_leaves_rests_and_comes_back_by_octaves():
    language = ChoraleLanguage({"pitches": [43, 81]})
    row = torch.tensor([[START, REST, FIRST_PITCH, FIRST_PITCH + 37, -1]])
    assert language.transposed(row, torch.tensor([5])).tolist() == [
        [START, REST, FIRST_PITCH + 5, FIRST_PITCH + 37 + 5 - 12, -1]
    ]


def test_pieces_have_whole_steps_and_sound_to_their_end():
    language = ChoraleLanguage({"pitches": [43, 81]})
    request = Request(2, Tempo(0), Meter(0, 7, 16))
    grammar = language.grammar(3, request, torch.device("cpu"))
    tokens = []
    while not grammar.finished.all():
        assert grammar.share == pytest.approx(len(tokens) / (4 * 14))
        allowed = grammar.allowed()
        assert not allowed[:, START].any()
        chosen = torch.where(allowed[:, REST], REST, FIRST_PITCH)  # a rest wherever one is allowed
        tokens.append(chosen)
        grammar.advance(chosen)
    assert len(tokens) == 4 * 14
    assert grammar.share == 1
    piece = language.to_score(torch.stack(tokens, 1)[0].tolist(), request)
    assert piece.n_bars == 2


def test_a_prime_is_cut_between_steps():
    score = four_tracks(*([60 + i] * 9 for i in (12, 7, 4, 0)))
    learned = VOICES.learn([score])
    whole = VOICES.encode(score, learned).tolist()
    language = ChoraleLanguage(learned)
    assert language.prime(score, learned, 100) == whole
    assert language.prime(score, learned, 11) == whole[-8:]
