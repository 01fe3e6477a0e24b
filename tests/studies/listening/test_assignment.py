"""Orders of listening: balanced over listeners, constrained within each."""

from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.listening.assignment import (
    CHECK,
    LAG,
    MAIN,
    REPEAT,
    Candidate,
    arrange,
    choose,
    position_table,
)


def candidates_of(sizes, *, counts=None):
    """Pieces numbered from 0: `sizes` of each condition; the last condition is the low anchor."""
    conditions = [condition for condition, size in enumerate(sizes) for _ in range(size)]
    counts = counts or Counter()
    return [
        Candidate(item, condition, condition == len(sizes) - 1, counts[item])
        for item, condition in enumerate(conditions)
    ]


def neighbours_alike(row, candidates):
    """How many places have the condition of the place before."""
    conditions = {candidate.item: candidate.condition for candidate in candidates}
    heard = [conditions.get(placed.item) for placed in row]
    return sum(a is not None and a == b for a, b in pairwise(heard))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 10**6),
)
def test_a_row_has_every_piece_once_and_repeats_only_what_was_heard(sizes, n_repeats, n_checks, seed):
    candidates = candidates_of(sizes)
    checks = [1000 + number for number in range(n_checks)]
    row = arrange(candidates, checks=checks, n_repeats=n_repeats, rng=Random(seed))
    main = [placed.item for placed in row if placed.kind == MAIN]
    assert sorted(main) == [candidate.item for candidate in candidates]
    assert sorted(placed.item for placed in row if placed.kind == CHECK) == checks
    repeats = [(place, placed.item) for place, placed in enumerate(row) if placed.kind == REPEAT]
    assert len(repeats) == min(n_repeats, len(candidates))
    assert len({item for _, item in repeats}) == len(repeats)
    first = {placed.item: place for place, placed in enumerate(row) if placed.kind == MAIN}
    assert all(first[item] < place for place, item in repeats)
    assert row[0].kind == MAIN


@pytest.mark.parametrize("seed", range(40))
def test_a_row_of_a_usual_study_keeps_every_constraint(seed):
    candidates = candidates_of([5, 5, 1])
    row = arrange(candidates, checks=[100, 101], n_repeats=2, first_position=3, rng=Random(seed))
    assert neighbours_alike(row, candidates) == 0
    assert row[0].item != 10  # the low anchor
    first = {placed.item: place for place, placed in enumerate(row) if placed.kind == MAIN}
    for place, placed in enumerate(row):
        if placed.kind == REPEAT:
            assert place - first[placed.item] >= LAG
            assert placed.item != 10
    checks = [place for place, placed in enumerate(row) if placed.kind == CHECK]
    assert checks[0] >= 1
    assert checks[1] < len(row)
    assert checks[1] - checks[0] >= 3


def test_unavoidable_neighbours_are_as_few_as_can_be():
    candidates = candidates_of([6, 1, 1])
    best = min(neighbours_alike(arrange(candidates, rng=Random(seed)), candidates) for seed in range(20))
    worst = max(neighbours_alike(arrange(candidates, rng=Random(seed)), candidates) for seed in range(20))
    assert best == worst == 3  # six alike, two others between them


def test_the_same_seed_gives_the_same_row():
    candidates = candidates_of([4, 4, 1])
    rows = [arrange(candidates, checks=[9], n_repeats=2, rng=Random(5)) for _ in range(2)]
    assert rows[0] == rows[1]
    assert rows[0] != arrange(candidates, checks=[9], n_repeats=2, rng=Random(6))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=5), st.data(), st.integers(0, 10**6))
def test_every_listener_hears_every_condition_in_proportion(sizes, data, seed):
    candidates = candidates_of(sizes)
    n_trials = data.draw(st.integers(len(sizes), sum(sizes) + 2))
    chosen = choose(candidates, n_trials, Random(seed))
    assert len({candidate.item for candidate in chosen}) == len(chosen) == min(n_trials, sum(sizes))
    heard = Counter(candidate.condition for candidate in chosen)
    assert all(heard[condition] >= 1 for condition in range(len(sizes)))


def test_the_pieces_heard_least_are_chosen():
    counts = Counter({0: 3, 1: 2, 2: 3, 3: 3, 4: 3, 5: 3, 6: 1, 7: 3})
    chosen = choose(candidates_of([4, 4], counts=counts), 2, Random(0))
    assert {candidate.item for candidate in chosen} == {1, 6}


def rows_of_listeners(n_listeners, *, leaving=0.0, n_trials=11, sizes=(5, 5, 1), is_balanced=True):
    """Rows drawn one after another, each by what the listeners before it heard and finished."""
    finished, rng = [], Random(11)
    for number in range(n_listeners):
        table = position_table(finished)
        counts = Counter()
        for (item, _), count in table.items():
            counts[item] += count
        chosen = choose(candidates_of(sizes, counts=counts), n_trials, Random(number))
        row = arrange(chosen, n_repeats=2, n_before=table if is_balanced else None, rng=Random(number))
        if rng.random() >= leaving:
            finished.append(row)
    return finished


def test_ratings_spread_evenly_although_one_in_five_leaves():
    rows = rows_of_listeners(200, leaving=0.2, n_trials=6, sizes=(5, 5, 2))
    counts = Counter(placed.item for row in rows for placed in row if placed.kind == MAIN)
    assert len(rows) < 190
    assert max(counts.values()) - min(counts.values()) <= 2


def test_each_piece_stands_at_each_position_about_equally_often():
    rows = rows_of_listeners(150, sizes=(5, 5, 1))
    table = position_table(rows)
    n_positions = 1 + max(position for _, position in table)
    for condition in (range(5), range(5, 10)):
        matrix = [[table[item, position] for position in range(1, n_positions)] for item in condition]
        columns = [column for column in zip(*matrix, strict=True) if sum(column) >= 25]
        result = stats.chi2_contingency(list(zip(*columns, strict=True)))
        assert result.pvalue > 0.5


def test_the_test_above_would_see_an_order_that_is_not_mixed():
    rows = [arrange(candidates_of([5, 5, 1]), rng=Random(1)) for _ in range(150)]
    table = position_table(rows)
    matrix = [[table[item, position] + 0.001 for position in range(1, 12)] for item in range(5)]
    assert stats.chi2_contingency(matrix).pvalue < 1e-6
