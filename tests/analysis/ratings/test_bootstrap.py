import numpy as np
import pytest

from analysis.ratings.bootstrap import percentile_interval, two_way_weights, weighted_counts


def grand_means(golden, *, kind, draws):
    table = np.array(golden["shrout_fleiss"]["rows"])
    rows, columns = (index.ravel() for index in np.indices(table.shape))
    counts = weighted_counts(
        table.ravel() - 1, columns, rows, n_categories=10, draws=draws, seed=1, kind=kind
    )
    return counts @ np.arange(1, 11) / counts.sum(axis=1)


def test_pigeonhole_bootstrap_has_the_variance_of_its_closed_form(golden):
    """Owen (2007), for a complete table: rows and columns drawn with replacement, the statistic the mean."""
    table = np.array(golden["shrout_fleiss"]["rows"], dtype=float)
    n_rows, n_columns = table.shape
    centred = table - table.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    variance = (
        (1 - 1 / n_columns) * (rows**2).sum() / n_rows**2
        + (1 - 1 / n_rows) * (columns**2).sum() / n_columns**2
        + (centred**2).sum() / table.size**2
    )
    means = grand_means(golden, kind="multinomial", draws=20_000)
    assert means.std() == pytest.approx(variance**0.5, rel=0.03)
    assert means.mean() == pytest.approx(table.mean(), abs=0.05)


def test_exponential_weights_spread_a_mean_as_resampling_both_ways_does(golden):
    """Far from the 0.54 of resampled cells or the 0.62 and 1.01 of one factor alone."""
    assert grand_means(golden, kind="exponential", draws=20_000).std() == pytest.approx(1.2, rel=0.15)


def test_a_rating_weighs_the_product_of_its_participant_and_its_piece():
    participants, pieces = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    weights = np.vstack(list(two_way_weights(participants, pieces, draws=50, seed=3)))
    assert weights.shape == (50, 4)
    assert weights[:, 0] * weights[:, 3] == pytest.approx(weights[:, 1] * weights[:, 2])


def test_the_same_seed_draws_the_same_and_another_does_not():
    codes = np.arange(3)
    one, again, other = (next(two_way_weights(codes, codes, draws=4, seed=seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert not (one == other).any()


def test_percentiles_are_refused_when_many_draws_have_no_value():
    values = np.arange(100.0)
    assert percentile_interval(values) == pytest.approx((2.475, 96.525))
    values[:20] = np.nan
    assert percentile_interval(values) is None
