import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.errors import AnalysisError
from analysis.ratings.drift import drift_by_position
from analysis.ratings.table import check_ratings


def session(slope=0.0, *, seed=0, n_participants=30, n_pieces=6, bunch=0.0):
    """Everybody hears all pieces in an order of their own; ratings move by `slope` over the session."""
    rng = np.random.default_rng(seed)
    names = [(c, f"{c}{i}") for c in ("a", "b") for i in range(n_pieces)]
    quality = rng.normal(0, 0.6, len(names))
    rows = []
    for participant in range(n_participants):
        lean = rng.normal(0, 0.8)
        for place, index in enumerate(rng.permutation(len(names))):
            along = place / (len(names) - 1)
            value = 5.5 + quality[index] + lean + slope * along + rng.normal(0, 1.2 * (1 - bunch * along))
            rating = int(np.clip(np.rint(value), 1, 10))
            rows.append((f"p{participant}", names[index][1], names[index][0], rating, place + 1))
    columns = ["participant", "piece", "condition", "rating", "trial"]
    return check_ratings(pd.DataFrame(rows, columns=columns))


def test_a_planted_slope_is_covered_and_a_missing_one_is_not_found():
    moved = [drift_by_position(session(-1.0, seed=seed)).slope for seed in range(10)]
    still = [drift_by_position(session(0.0, seed=seed)).slope for seed in range(10)]
    assert sum(e.interval()[0] < -1 < e.interval()[1] for e in moved) >= 8
    assert sum(e.p < 0.05 for e in moved) >= 9
    assert sum(e.p < 0.05 for e in still) <= 2


def test_the_slope_is_that_of_least_squares_with_a_mean_for_each_listener_and_piece():
    """Where all hear all, fixed and random intercepts give nearly the same slope within listeners."""
    table = session(0.7, seed=2)
    frame = table.assign(along=(table["trial"].astype(float) - 1) / 11, rating=table["rating"].astype(float))
    fit = smf.ols("rating ~ along + C(participant) + C(piece)", frame).fit()
    found = drift_by_position(table)
    assert found.slope.value == pytest.approx(fit.params["along"], abs=0.05)
    assert found.slope.se == pytest.approx(fit.bse["along"], rel=0.1)


def test_residuals_by_place_follow_the_slope():
    found = drift_by_position(session(2.0, seed=3))
    assert found.places == list(range(1, 13))
    assert np.polyfit(found.places, found.residuals, 1)[0] == pytest.approx(2 / 11, abs=0.05)


def test_ratings_that_bunch_up_have_a_falling_spread():
    found = drift_by_position(session(bunch=0.8, seed=4))
    assert found.spread_slope.interval()[1] < 0
    assert found.slope.p > 0.01


def test_ratings_without_a_place_are_counted_and_left_out():
    table = session(seed=5)
    table.loc[table["participant"] == "p0", "trial"] = pd.NA
    found = drift_by_position(table)
    assert (found.n, found.n_without_place) == (348, 12)
    with pytest.raises(AnalysisError, match="two places"):
        drift_by_position(table.assign(trial=pd.NA))
