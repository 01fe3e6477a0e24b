import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from analysis.melody.engine import Strings
from benchmarks.copying import melody


@pytest.fixture
def small(monkeypatch):
    """A small corpus instead of the made-up one of full size."""
    strings = Strings.of(melody.made_up(1, 40, 120))
    monkeypatch.setattr(melody, "corpus", lambda: strings)
    return strings


def test_made_up_melodies_match_by_chance_as_often_as_real_ones():
    """Of POP909's interval and ratio tokens, pairs of places share three in 4.4e-4 and four in 7e-5."""
    strings = melody.made_up(5, 60, melody.MEAN_TOKENS)
    assert 0.9 < np.mean([len(tokens) for tokens in strings]) / melody.MEAN_TOKENS < 1.1
    assert max(tokens.max() for tokens in strings) < melody.N_SYMBOLS
    for length, expected in ((3, 4.4e-4), (4, 7e-5)):
        runs = [np.lib.stride_tricks.sliding_window_view(tokens, length) for tokens in strings]
        first, second = np.concatenate(runs[:30]), np.concatenate(runs[30:])
        shared = np.mean([(second == run).all(axis=1).mean() for run in first[::5]])
        assert expected / 2 < shared < 2 * expected


@pytest.mark.parametrize(("length", "edits"), [(16, 0), (16, 2), (24, 1)])
def test_a_planted_copy_stands_in_its_host_with_so_many_edits(small, length, edits):
    hosts, sources = melody.planted(length, edits)
    for host, source in zip(hosts, sources, strict=True):
        assert 150 - 2 <= len(host) <= 220 + 2
        theirs = small[source].tolist()
        nearest = min(
            Levenshtein.distance(
                theirs[start : start + length], host.tolist()[place : place + length + shift]
            )
            for shift in range(-edits, edits + 1)
            for start in range(len(theirs) - length + 1)
            for place in range(len(host) - length - shift + 1)
        )
        assert nearest <= edits


def test_recall_shares_ties():
    scores = np.array([[1, 5, 5, 2], [9, 1, 2, 3], [4, 4, 4, 4]])
    assert melody.recall(scores, [1, 1, 0]) == pytest.approx((1 / 2 + 0 + 1 / 4) / 3)


def test_texts_are_as_different_as_tokens(small):
    tokens = np.unique(small.tokens)
    text = melody.as_text(tokens)
    assert len(set(text)) == len(tokens)
    assert len(text.encode("latin-1")) == len(tokens)
    assert melody.as_text(np.array([60_000])) not in text
