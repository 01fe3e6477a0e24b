import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generators.corpus import EncodedCorpus, Rows, WindowedPieces, encode_pieces, load_pieces, musical_facts
from generators.errors import GeneratorError
from music.score import Meter, Note, Score, Tempo, Track


class Numbers:
    """A representation that reads the pitches of a score; windows of 4 every 2 steps."""

    length = 4
    padding = -1
    max_windows = None

    def learn(self, scores):
        return {"highest": max(note.pitch for score in scores for note in score.notes())}

    def encode(self, score, learned):
        return np.array([note.pitch for note in score.notes()], dtype=np.int16)

    def starts(self, steps):
        return list(range(0, len(steps), 2))

    def describe(self):
        return "a note"


def line(*pitches, **maps):
    return Score(
        (Track(tuple(Note(index * 480, pitch, 480) for index, pitch in enumerate(pitches))),), **maps
    )


@given(st.lists(st.lists(st.integers(0, 127), max_size=9), max_size=5))
def test_windows_are_those_of_each_piece_and_never_reach_into_the_next(pieces):
    scores = [line(*pitches) for pitches in pieces]
    windows = encode_pieces(scores, Numbers(), {})
    expected = [
        (pitches[start : start + 4] + [-1] * 4)[:4]
        for pitches in pieces
        for start in range(0, len(pitches), 2)
    ]
    assert len(windows) == len(expected)
    if expected:
        batch = windows.batch(torch.arange(len(windows)))
        assert batch.dtype == torch.int16
        assert batch.tolist() == expected


def test_a_batch_holds_the_windows_asked_for_in_their_order():
    windows = encode_pieces([line(1, 2, 3, 4, 5, 6)], Numbers(), {})
    assert windows.batch(torch.tensor([1, 0])).tolist() == [[3, 4, 5, 6], [1, 2, 3, 4]]


def test_some_windows_are_drawn_once_each_by_the_seed():
    windows = encode_pieces([line(*range(100))], Numbers(), {})
    one, same, other = windows.some_windows(7, 1), windows.some_windows(7, 1), windows.some_windows(7, 2)
    assert one.starts.tolist() == same.starts.tolist() == sorted(set(one.starts.tolist()))
    assert len(one) == 7
    assert one.starts.tolist() != other.starts.tolist()
    assert len(windows.some_windows(1000, 1)) == 50


def test_only_the_train_split_teaches(listed):
    pieces = load_pieces(listed([line(1, 2)], [line(99, 98, 97)]), Numbers())
    assert pieces.learned == {"highest": 2}
    assert (len(pieces.train), len(pieces.validation)) == (1, 2)


def test_a_corpus_without_validation_pieces_is_fine(listed):
    assert len(load_pieces(listed([line(1, 2)]), Numbers()).validation) == 0


def test_a_corpus_without_a_window_says_how_many_are_needed(listed):
    with pytest.raises(GeneratorError) as error:
        load_pieces(listed([Score()], [line(1)], name="bare"), Numbers())
    message = str(error.value)
    assert "corpus 'bare' is too small: its 0 training pieces with notes give 0 windows" in message
    assert "at least 1 is needed; a window is a note" in message


def test_models_write_at_the_median_tempo_and_in_the_meter_of_most_beats():
    waltzes = [
        line(*range(6), tempos=(Tempo(0, tempo),), meters=(Meter(0, 3, 4),)) for tempo in (400_000, 600_000)
    ]
    march = line(*range(8), tempos=(Tempo(0, 500_000),), meters=(Meter(0, 2, 4),))
    assert musical_facts([*waltzes, march]) == {"microseconds_per_beat": 500_000, "meter": [3, 4]}


def test_a_meter_counts_as_long_as_it_lasts():
    score = line(*range(10), meters=(Meter(0, 4, 4), Meter(480 * 4, 3, 4)))
    assert musical_facts([score])["meter"] == [3, 4]


def test_the_tempo_is_one_that_a_midi_file_can_say():
    slow = line(1, tempos=(Tempo(0, 2**24 - 1),))
    assert musical_facts([slow])["microseconds_per_beat"] == 2**24 - 1
    assert musical_facts([]) == {"microseconds_per_beat": 500_000, "meter": [4, 4]}


def test_rows_are_drawn_as_the_windows_they_stand_for():
    windows = WindowedPieces(torch.arange(50)[:, None], torch.arange(50), 1)
    rows = Rows(windows.batch(torch.arange(50)).flatten(1))
    for count in (1, 7, 50, 99):
        drawn, same = windows.some_windows(count, seed=3), rows.some_windows(count, seed=3)
        every = torch.arange(len(drawn))
        assert len(drawn) == len(same) == min(count, 50)
        assert torch.equal(drawn.batch(every).flatten(), same.batch(every).flatten())


def test_an_encoded_corpus_is_known_by_its_arrays_and_their_splits():
    one, two = np.zeros((4, 3), dtype=np.uint8), np.ones((4, 3), dtype=np.uint8)
    hashes = {
        EncodedCorpus("a", train, validation, learned).sha256
        for train, validation, learned in [
            ([one], [two], {}),
            ([two], [one], {}),
            ([one, two], [], {}),
            ([one.reshape(3, 4)], [two], {}),
            ([one.astype(np.int16)], [two], {}),
            ([one], [two], {"words": ["x"]}),
        ]
    }
    assert len(hashes) == 6
    assert EncodedCorpus("a", [one], [two]).sha256 == EncodedCorpus("b", [one.copy()], [two]).sha256
