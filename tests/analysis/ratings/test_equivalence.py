import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from analysis.errors import AnalysisError
from analysis.ratings.equivalence import two_one_sided_tests, welch_estimate, welch_of_samples


def test_the_worked_example_of_lakens_is_met(golden):
    case = golden["lakens"]
    bound = case["bound_d"] * ((case["sd"][0] ** 2 + case["sd"][1] ** 2) / 2) ** 0.5
    means, sds, ns = case["mean"], case["sd"], case["n"]
    result = two_one_sided_tests(welch_estimate(means[0], sds[0], ns[0], means[1], sds[1], ns[1]), bound)
    assert result.statistic_upper == pytest.approx(case["t_upper"], abs=0.005)
    assert result.p_upper == pytest.approx(case["p_upper"], abs=0.0005)
    assert result.equivalent
    assert result.not_inferior


def test_samples_give_the_tests_of_statsmodels():
    rng = np.random.default_rng(0)
    first, second = rng.normal(5, 1, 30), rng.normal(5.2, 1.5, 22)
    p, lower, upper = ttost_ind(first, second, -0.9, 0.9, usevar="unequal")
    estimate = welch_of_samples(first, second)
    result = two_one_sided_tests(estimate, 0.9)
    assert result.p == pytest.approx(p)
    assert (result.statistic_lower, result.p_lower) == pytest.approx(lower[:2])
    assert (result.statistic_upper, result.p_upper) == pytest.approx(upper[:2])
    assert estimate.p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6, 1.0])
def test_equivalent_is_the_90_percent_interval_within_the_bounds(shift):
    rng = np.random.default_rng(1)
    result = two_one_sided_tests(welch_of_samples(rng.normal(5 + shift, 1, 40), rng.normal(5, 1, 40)), 0.8)
    assert result.equivalent == (result.ci90_low > -0.8 and result.ci90_high < 0.8)
    assert result.not_inferior == (result.ci90_low > -0.8)


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_a_bound_that_is_no_positive_number_is_refused(bound):
    with pytest.raises(AnalysisError, match="positive number"):
        two_one_sided_tests(welch_estimate(1, 1, 5, 1, 1, 5), bound)


def test_samples_without_spread_are_refused():
    with pytest.raises(AnalysisError, match="values that differ"):
        welch_of_samples(np.ones(3), np.ones(4))
    with pytest.raises(AnalysisError, match="got 1 and 4"):
        welch_of_samples(np.ones(1), np.ones(4))
