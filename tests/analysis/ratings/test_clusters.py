import numpy as np
import pytest
from scipy import stats

from analysis.ratings.clusters import share_interval, two_way_variance
from analysis.ratings.proportions import wilson_interval


def crossed(seed, *, n_listeners=40, n_pieces=25, sd=(1.0, 0.7, 1.5)):
    rng = np.random.default_rng(seed)
    table = sd[0] * rng.normal(size=(n_listeners, 1)) + sd[1] * rng.normal(size=(1, n_pieces))
    table = table + sd[2] * rng.normal(size=(n_listeners, n_pieces))
    listener, piece = (index.ravel() for index in np.indices(table.shape))
    values = table.ravel()
    return (values - values.mean()) / len(values), listener, piece


def test_variance_of_a_mean_is_that_of_its_listeners_pieces_and_noise():
    expected = 1.0 / 40 + 0.49 / 25 + 2.25 / 1000
    found = [two_way_variance(*crossed(seed)) for seed in range(40)]
    assert np.mean(found) == pytest.approx(expected, rel=0.12)


def test_independent_answers_have_the_variance_of_a_mean_or_a_little_more():
    """The largest of three estimates is taken, which costs up to a quarter; product weights cost triple."""
    found = [two_way_variance(*crossed(seed, sd=(0, 0, 1))) for seed in range(40)]
    assert 0.95 / 1000 < np.mean(found) < 1.25 / 1000


def test_one_listener_each_is_the_ordinary_variance():
    values = np.array([3.0, 5, 4, 8, 6])
    influences = (values - values.mean()) / 5
    every = np.arange(5)
    assert two_way_variance(influences, every, every) == pytest.approx(stats.sem(values) ** 2)


def test_pieces_of_a_condition_are_a_sample_of_their_own():
    influences = np.array([0.1, -0.1, 0.2, -0.2])
    listeners, pieces = np.zeros(4, dtype=int), np.arange(4)
    together = two_way_variance(influences, listeners, pieces)
    apart = two_way_variance(influences, listeners, pieces, homes=np.array([0, 0, 1, 1]))
    assert apart == pytest.approx(together * 2 / (4 / 3))


def test_a_share_has_wilsons_interval_of_the_answers_it_is_worth():
    assert share_interval(0.3, 0.3 * 0.7 / 50, 100, 10, np.inf) == pytest.approx(wilson_interval(15, 50))
    assert share_interval(0.3, 1e-9, 100, 10, np.inf) == pytest.approx(wilson_interval(30, 100))
    assert share_interval(1.0, 0.0, 100, 8, 7) == pytest.approx(wilson_interval(8, 8))
    assert share_interval(0.5, 0.1, 100, 1, 1) is None
