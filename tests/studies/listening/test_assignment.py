"""Orders of listening: balanced over listeners, constrained within each."""

from collections import Counter
from dataclasses import replace
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
    History,
    Plan,
    arrange,
    choose,
    draw,
    position_table,
)

#: What conditions are for, by how many there are; the last is the low anchor.
ROLES = {n: [*["real", "generated", "generated", "generated"][: n - 1], "low_anchor"] for n in range(1, 6)}


def candidates_of(sizes, *, counts=None):
    """Pieces numbered from 0: `sizes` of each condition, in the roles above."""
    conditions = [condition for condition, size in enumerate(sizes) for _ in range(size)]
    counts = counts or Counter()
    return [
        Candidate(item, condition, ROLES[len(sizes)][condition], counts[item])
        for item, condition in enumerate(conditions)
    ]


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
    finished, history, rng = [], History(), Random(11)
    for number in range(n_listeners):
        chosen = choose(candidates_of(sizes, counts=history.n_listeners()), n_trials, Random(number))
        row = arrange(chosen, n_repeats=2, history=history if is_balanced else None, rng=Random(number))
        if rng.random() >= leaving:
            finished.append(row)
            history.add(row)
    return finished


def plan_of(sizes, *, secret="secret", **changes):
    """A study in which everybody hears all pieces, unless `changes` say otherwise."""
    pieces = tuple(candidates_of(sizes))
    numbers = {"n_trials": len(pieces), "n_repeats": 2, "n_checks": 2, "n_practice": 2}
    return Plan(pieces, (100, 101), **{**numbers, "is_balanced": True, "secret": secret, **changes})


def rows_of_plan(plan, n_listeners, *, leaving=0.0):
    """Rows as the listeners of a study get them; those who leave give theirs back."""
    finished, history, rng = [], History(), Random(5)
    for number in range(n_listeners):
        row, square_row = draw(plan, history, Random(number))
        if rng.random() >= leaving:
            finished.append(row)
            history.add(row, first_position=plan.n_practice + 1, number=square_row)
    return finished


def main_of(row):
    """The main pieces of a row in their order."""
    return [placed.item for placed in row if placed.kind == MAIN]


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ((5, 5, 1), {}),
        ((5, 5, 1), {"is_balanced": False}),
        ((5, 5, 1), {"is_balanced": False, "n_repeats": 0, "n_checks": 0}),
        ((6, 6, 2), {"n_trials": 9}),
        ((3, 6, 1), {}),
    ],
)
def test_neither_place_nor_neighbours_tell_what_a_piece_is(sizes, changes):
    """Three guessers who know the true roles of what was before do no better than with a shuffled row."""
    plan = plan_of(sizes, **changes)
    role = {piece.item: piece.role for piece in plan.pieces}
    rng, right, shuffled = Random(3), Counter(), Counter()
    rows = rows_of_plan(plan, 330)
    if plan.has_squares:  # rows of one square are filled alike: those of many studies
        rows = [rows_of_plan(replace(plan, secret=str(number)), 1)[0] for number in range(330)]
    rows = [[role[item] for item in main_of(row)] for row in rows]
    orders = [(row, right) for row in rows]
    orders += [(rng.sample(row, len(row)), shuffled) for row in rows for _ in range(10)]
    for heard, hits in orders:
        hits["other than the one before"] += sum(a != b for a, b in pairwise(heard))
        hits["other than two before"] += sum(a != b for a, b in zip(heard, heard[2:], strict=False))
        hits["after two alike, the other"] += sum(
            a == b != c for a, b, c in zip(heard, heard[1:], heard[2:], strict=False)
        )
    n_neighbours = sum(len(row) - 1 for row in rows)
    for guess, hits in right.items():
        assert abs(hits - shuffled[guess] / 10) / n_neighbours < 0.04, guess


def test_the_test_above_would_see_roles_that_alternate():
    role = {piece.item: piece.role for piece in candidates_of([5, 5, 1])}
    alternating = [item for pair in zip(range(5), range(5, 10), strict=True) for item in pair]
    changes = sum(role[a] != role[b] for a, b in pairwise(alternating))
    assert changes == 9  # a shuffle has 5


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2, 1), (5, 5, 1), (6, 5, 1), (6, 6, 6, 2)])
def test_a_filled_square_is_balanced_for_places_and_neighbours(sizes):
    plan = plan_of(sizes, n_checks=0, n_repeats=0)
    n = len(plan.pieces)
    size = n if n % 2 == 0 else 2 * n
    rows = [main_of(row) for row in rows_of_plan(plan, 2 * size)]
    for square in (rows[:size], rows[size:]):
        places = Counter((item, place) for row in square for place, item in enumerate(row))
        assert set(places.values()) == {size // n}
        assert len(places) == n * n
        followers = Counter(pair for row in square for pair in pairwise(row))
        assert set(followers.values()) == {size // n}
        assert len(followers) == n * (n - 1)
    assert n == 2 or sorted(rows[:size]) != sorted(rows[size:])


def test_who_leaves_gives_their_row_of_the_square_back():
    plan = plan_of((5, 5, 1), n_checks=0, n_repeats=0)
    rows = [main_of(row) for row in rows_of_plan(plan, 300, leaving=0.2)][:220]
    assert len(rows) == 220
    places = Counter((item, place) for row in rows for place, item in enumerate(row))
    assert set(places.values()) == {20}
    assert set(Counter(pair for row in rows for pair in pairwise(row)).values()) == {20}


def test_squares_keep_repeats_and_checks_where_they_belong():
    plan = plan_of((5, 5, 1))
    for row in rows_of_plan(plan, 60):
        first = {placed.item: place for place, placed in enumerate(row) if placed.kind == MAIN}
        repeats = [(place, placed.item) for place, placed in enumerate(row) if placed.kind == REPEAT]
        assert len({item for _, item in repeats}) == 2
        assert all(place - first[item] >= LAG and item != 10 for place, item in repeats)
        checks = [place for place, placed in enumerate(row) if placed.kind == CHECK]
        assert sorted(row[place].item for place in checks) == [100, 101]
        assert 1 <= checks[0] <= checks[1] - 3
        assert checks[1] < len(row)


def test_squares_of_another_secret_are_filled_otherwise():
    rows = [
        {tuple(main_of(row)) for row in rows_of_plan(plan_of((5, 5, 1), secret=secret), 22)}
        for secret in ("one", "two")
    ]
    assert rows[0] != rows[1]


@pytest.mark.parametrize("changes", [{"n_trials": 10}, {"is_balanced": False}])
def test_squares_are_for_listeners_who_hear_everything_in_balanced_order(changes):
    assert not plan_of((5, 5, 1), **changes).has_squares
    assert plan_of((5, 5, 1)).has_squares
    assert not plan_of((20, 20, 1)).has_squares


def test_what_follows_what_is_spread_where_there_are_no_squares():
    """Ten of twelve pieces each: pairs of neighbours occur about equally often."""
    spread = {}
    for is_balanced in (True, False):
        rows = rows_of_plan(
            plan_of((6, 5, 1), n_trials=10, n_repeats=0, n_checks=0, is_balanced=is_balanced), 150
        )
        followers = Counter(pair for row in rows for pair in pairwise(main_of(row)))
        counts = [followers[a, b] for a in range(12) for b in range(12) if a != b]
        spread[is_balanced] = max(counts) - min(counts)
    assert spread[True] <= 0.6 * spread[False]


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
