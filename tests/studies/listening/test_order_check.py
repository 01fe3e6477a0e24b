"""Guessing from orders: what a rule gains is told from chance."""

from random import Random

import pytest

from studies.listening.order_check import GENERATED, N_ORDERS, OTHER, REAL, guesses_of


def guesses(make, n_orders=N_ORDERS):
    rng = Random(1)
    rows = [make(rng) for _ in range(n_orders)]
    before, place = guesses_of(rows, [[True] * (len(rows[0]) - 1)] * n_orders)
    return before, place


def test_shuffled_rows_tell_nothing():
    row = [REAL] * 5 + [GENERATED] * 5 + [OTHER]
    before, place = guesses(lambda rng: rng.sample(row, 11))
    assert before.by_chance == pytest.approx(5 / 9, abs=0.02)
    assert before.value == pytest.approx(before.by_chance, abs=0.05)
    assert before.p > 0.01
    assert place.p > 0.01


def test_roles_in_turn_tell_by_the_piece_before_alone():
    before, place = guesses(lambda rng: rng.sample([REAL, GENERATED], 2) * 5)
    assert (before.value, before.p) == (1, pytest.approx(1 / 1001))
    assert place.p > 0.01


def test_real_pieces_at_the_end_tell_by_their_place():
    _, place = guesses(lambda rng: [*rng.sample([REAL] * 4 + [GENERATED] * 4, 8), REAL, REAL])
    assert place.p == pytest.approx(1 / 1001)
    assert place.value == pytest.approx(0.4)


def test_places_that_are_more_even_than_chance_give_nothing_away():
    row = [REAL, GENERATED] * 5
    turned = iter(range(100))
    _, place = guesses(lambda rng: [row[(at + next_) % 10] for next_ in [next(turned)] for at in range(10)])
    assert place.value == 0
    assert place.p == 1


def test_only_pieces_that_touch_count_as_neighbours():
    rows = [[REAL, GENERATED, GENERATED, REAL]] * 50
    before, _ = guesses_of(rows, [[False, True, False]] * 50)
    assert before.value == 0
    assert before.by_chance == pytest.approx(2 / 3, abs=0.05)
