"""Frontier and score equal searches over every pair of substrings, with other people's edit distances."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from analysis.errors import AnalysisError
from analysis.melody.alignment import Alignment, best_alignment, frontiers_and_scores

K = 3


def tokens(letters):
    return np.array([ord(letter) for letter in letters], dtype=np.uint16)


def strings(longest=8, smallest=0):
    return st.integers(2, 4).flatmap(
        lambda n: st.text(alphabet="abcd"[:n], min_size=smallest, max_size=longest)
    )


def substrings(text):
    return {(i, j) for i in range(len(text)) for j in range(i + 1, len(text) + 1)}


@cache
def most_matches(x, y, edits):
    """Equal tokens paired in the best script of at most `edits` edits that turns all of x into all of y.

    Straight recursion over what may happen to the last tokens; None if no script is short enough.
    """
    if edits < 0:
        return None
    if not x and not y:
        return 0
    options = []
    if x and y:
        same = x[-1] == y[-1]
        rest = most_matches(x[:-1], y[:-1], edits if same else edits - 1)
        options.append(None if rest is None else rest + same)
    if x:
        options.append(most_matches(x[:-1], y, edits - 1))
    if y:
        options.append(most_matches(x, y[:-1], edits - 1))
    return max((option for option in options if option is not None), default=None)


def brute_frontier(g, c, most_edits):
    """L_0 ... over all pairs of substrings."""
    frontier = [0] * (most_edits + 1)
    for (i, i2), (j, j2) in product(substrings(g), substrings(c)):
        for k in range(most_edits + 1):
            frontier[k] = max(frontier[k], most_matches(g[i:i2], c[j:j2], k) or 0)
    return frontier


def levenshtein_frontier(g, c):
    """max(|x|, |y|) - Levenshtein(x, y) over all pairs of substrings, by rapidfuzz."""
    frontier = [0] * (K + 1)
    for (i, i2), (j, j2) in product(substrings(g), substrings(c)):
        distance = Levenshtein.distance(g[i:i2], c[j:j2])
        for k in range(distance, K + 1):
            frontier[k] = max(frontier[k], max(i2 - i, j2 - j) - distance)
    return frontier


def brute_alignment(g, c, penalty):
    """The first alignment in the order score, edits, corpus start, start, corpus end, end."""
    found = []
    for (i, i2), (j, j2) in product(substrings(g), substrings(c)):
        for edits in range(min(len(g), len(c)) + 1):
            matches = most_matches(g[i:i2], c[j:j2], edits)
            if matches and matches - penalty * edits > 0:
                found.append((-(matches - penalty * edits), edits, j, i, j2, i2))
    if not found:
        return None
    score, edits, j, i, j2, i2 = min(found)
    return Alignment(-score, -score + penalty * edits, edits, i, i2, j, j2)


@settings(max_examples=60, deadline=None)
@given(g=strings(7), melodies=st.lists(strings(7), min_size=1, max_size=3))
@example(g="abXcef", melodies=["abcYef"])
def test_the_frontier_equals_brute_force_over_all_pairs_of_substrings(g, melodies):
    frontiers, _ = frontiers_and_scores(tokens(g), [tokens(c) for c in melodies], edits=K)
    assert frontiers.tolist() == [brute_frontier(g, c, K) for c in melodies]


@settings(max_examples=150, deadline=None)
@given(g=strings(), c=strings())
def test_the_frontier_is_what_levenshtein_distances_give_unless_both_sides_leave_tokens_over(g, c):
    """With one edit at most there is no room for a token left over on each side: the two are one number."""
    frontier = frontiers_and_scores(tokens(g), [tokens(c)], edits=K)[0][0].tolist()
    by_distance = levenshtein_frontier(g, c)
    assert frontier[:2] == by_distance[:2]
    assert all(ours - theirs in (0, 1) for ours, theirs in zip(frontier, by_distance, strict=True))


@settings(max_examples=60, deadline=None)
@given(g=strings(6), c=strings(6), penalty=st.integers(1, 3))
def test_the_best_alignment_is_the_first_of_all_in_the_total_order(g, c, penalty):
    found = best_alignment(tokens(g), tokens(c), penalty=penalty)
    assert found == brute_alignment(g, c, penalty)
    score = frontiers_and_scores(tokens(g), [tokens(c)], penalty=penalty)[1][0]
    assert score == (found.score if found else 0)


def smith_waterman(g, c, penalty):
    """The textbook recurrence, cell by cell."""
    above, best = [0] * (len(c) + 1), 0
    for token in g:
        row = [0]
        for j, other in enumerate(c):
            step = above[j] + 1 if token == other else above[j] - penalty
            row.append(max(0, step, above[j + 1] - penalty, row[j] - penalty))
        best, above = max(best, *row), row
    return best


@settings(max_examples=80, deadline=None)
@given(
    g=st.text(alphabet="abc", max_size=40),
    melodies=st.lists(st.text(alphabet="abc", max_size=40), min_size=1, max_size=6),
    penalty=st.integers(1, 4),
)
def test_the_score_is_smith_watermans_and_the_frontier_less_its_penalties(g, melodies, penalty):
    edits = 12
    frontiers, scores = frontiers_and_scores(
        tokens(g), [tokens(c) for c in melodies], penalty=penalty, edits=edits
    )
    assert scores.tolist() == [smith_waterman(g, c, penalty) for c in melodies]
    for frontier, score in zip(frontiers.tolist(), scores.tolist(), strict=True):
        assert frontier == sorted(frontier)
        best = max(length - penalty * k for k, length in enumerate(frontier))
        # With more edits than the frontier has, at most len(g) - penalty * (edits + 1) is left.
        assert best == score or best < score <= len(g) - penalty * (edits + 1)


@pytest.mark.parametrize("length", [100, 253, 254, 300, 600])
def test_copies_longer_than_a_byte_counts_are_measured_whole(length):
    rng = np.random.default_rng(length)
    copy = rng.integers(0, 225, length)
    melody = np.concatenate([rng.integers(0, 225, 40), copy, rng.integers(0, 225, 50)])
    frontiers, scores = frontiers_and_scores(copy, [melody, melody[:20]], edits=1)
    assert frontiers[0].tolist() == [length, length]
    assert scores[0] == length
    assert best_alignment(copy, melody) == Alignment(length, length, 0, 0, length, 40, 40 + length)


@pytest.mark.parametrize("edit", [("replace", 15), ("delete", 9), ("insert", 20)], ids=lambda edit: edit[0])
def test_a_planted_copy_with_one_edit_is_found_with_its_frontier(edit):
    kind, place = edit
    rng = np.random.default_rng(1)
    copy = rng.permutation(200)[:30]
    changed = {
        "replace": np.concatenate([copy[:place], [201], copy[place + 1 :]]),
        "delete": np.delete(copy, place),
        "insert": np.insert(copy, place, 201),
    }[kind]
    query = np.concatenate([np.full(10, 210), changed, np.full(10, 211)])
    melody = np.concatenate([np.full(25, 220), copy, np.full(5, 221)])
    matched = 30 if kind == "insert" else 29
    unbroken = max(place, 29 - place) if kind != "insert" else max(place, 30 - place)
    frontier = frontiers_and_scores(query, [melody])[0][0].tolist()
    assert frontier == [unbroken, matched, matched, matched]
    found = best_alignment(query, melody)
    assert (found.matched, found.edits, found.score) == (matched, 1, matched - 2)
    assert (found.start, found.end) == (10, 10 + len(changed))
    assert (found.corpus_start, found.corpus_end) == (25, 55)


def test_batches_and_orders_of_melodies_change_nothing(monkeypatch):
    from analysis.melody import alignment

    rng = np.random.default_rng(4)
    query = rng.integers(0, 4, 30)
    melodies = [rng.integers(0, 4, int(n)) for n in rng.integers(0, 60, 40)]
    whole = frontiers_and_scores(query, melodies)
    monkeypatch.setattr(alignment, "BATCH_CELLS", 100)
    cut = frontiers_and_scores(query, melodies)
    assert np.array_equal(whole[0], cut[0])
    assert np.array_equal(whole[1], cut[1])
    alone = [frontiers_and_scores(query, [melody]) for melody in melodies]
    assert np.array_equal(np.concatenate([frontiers for frontiers, _ in alone]), whole[0])


def test_nothing_matches_nothing():
    nothing = np.empty(0, dtype=np.uint16)
    some = np.array([1, 2, 3])
    for query, melody in [(nothing, some), (some, nothing), (nothing, nothing)]:
        frontiers, scores = frontiers_and_scores(query, [melody])
        assert frontiers.tolist() == [[0, 0, 0, 0]]
        assert scores.tolist() == [0]
        assert best_alignment(query, melody) is None
    assert frontiers_and_scores(some, [])[0].shape == (0, 4)
    assert best_alignment(some, some + 10) is None


def test_options_out_of_range_are_named():
    with pytest.raises(AnalysisError, match="penalty 1-100, got 3 and 0"):
        frontiers_and_scores(np.array([1]), [np.array([1])], penalty=0)
    with pytest.raises(AnalysisError, match="edits must be at least 0"):
        frontiers_and_scores(np.array([1]), [np.array([1])], edits=-1)


def test_melodies_too_long_to_rank_are_refused_with_what_would_be_right():
    with pytest.raises(AnalysisError, match="40000 and 40000 tokens are too long to align: give excerpts"):
        best_alignment(np.zeros(40_000), np.zeros(40_000))
