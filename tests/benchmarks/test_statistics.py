import numpy as np
import pytest

from benchmarks.statistics import (
    COVERAGE,
    calibration_results,
    our_fit,
    ratings_of,
    usual_fit,
)


def test_listeners_hear_as_many_pieces_and_pieces_are_heard_unequally():
    ratings = ratings_of(20, 12, 6, seed=1)
    assert len(ratings) == 120
    assert ratings.groupby("participant").size().eq(6).all()
    assert ratings.groupby("piece").size().nunique() > 1
    assert not ratings.duplicated(["participant", "piece"]).any()
    assert ratings.equals(ratings_of(20, 12, 6, seed=1))


def test_both_ways_fit_the_same_model():
    ratings = ratings_of(30, 24, 12, seed=2)
    theirs, ours = usual_fit(ratings), our_fit(ratings)
    assert ours.beta == pytest.approx(theirs.fe_params.to_numpy(), abs=1e-4)
    variances = [ours.variance(term) for term in ("participant", "piece", "residual")]
    assert np.sqrt(variances) == pytest.approx(np.sqrt([*theirs.vcomp, theirs.scale]), abs=1e-3)
    assert ours.reml_deviance == pytest.approx(-2 * theirs.llf, abs=1e-4)


def test_only_the_primary_analysis_has_bars_and_a_bar_can_be_missed():
    rows = {row.name: row for row in calibration_results(3, seed=3)}
    with_bar = {name for name, row in rows.items() if row.ok is not None}
    assert with_bar == {"no difference, found by mixed model", "difference of 0.8, held by the interval"}
    held = rows["difference of 0.8, held by the interval"]
    share = float(held.figure.split("%")[0]) / 100
    assert held.ok == (COVERAGE[0] <= share <= COVERAGE[1])
