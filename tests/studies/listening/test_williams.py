"""Williams squares: every piece at every place, after every other, equally often."""

from collections import Counter
from itertools import pairwise

import pytest

from studies.listening.williams import n_rows, square


@pytest.mark.parametrize("n", range(1, 25))
def test_a_square_is_balanced_for_places_and_for_first_order_carry_over(n):
    rows = square(n)
    assert len(rows) == n_rows(n)
    assert all(sorted(row) == list(range(n)) for row in rows)
    places = Counter((piece, place) for row in rows for place, piece in enumerate(row))
    assert len(places) == n * n
    assert len(set(places.values())) == 1
    followers = Counter(pair for row in rows for pair in pairwise(row))
    assert len(followers) == n * (n - 1)
    assert len(set(followers.values())) == (1 if n > 1 else 0)


def test_the_square_of_four_is_the_published_one():
    assert square(4) == [(0, 1, 3, 2), (1, 2, 0, 3), (2, 3, 1, 0), (3, 0, 2, 1)]


def test_an_odd_number_of_pieces_needs_twice_as_many_rows():
    assert [n_rows(n) for n in (1, 2, 3, 4, 11, 12)] == [1, 2, 6, 4, 22, 12]


def test_a_square_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 piece, got 0"):
        square(0)
