import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.errors import AnalysisError
from analysis.ratings.proportions import benjamini_hochberg, holm, wilson_interval


def test_wilson_intervals_are_those_of_newcombes_table(golden):
    for count, n, low, high in golden["newcombe"]["rows"]:
        assert wilson_interval(count, n) == pytest.approx((low, high), abs=5e-5)


@given(n=st.integers(1, 300), share=st.floats(0, 1))
def test_wilson_interval_is_scipys_and_holds_the_share(n, share):
    count = round(n * share)
    low, high = wilson_interval(count, n)
    expected = stats.binomtest(count, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= count / n <= high <= 1


def test_fewer_degrees_of_freedom_widen_the_interval():
    low, high = wilson_interval(12, 30, df=4)
    assert low < wilson_interval(12, 30)[0]
    assert high > wilson_interval(12, 30)[1]


@pytest.mark.parametrize(("count", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_a_count_that_is_no_share_is_refused(count, n):
    with pytest.raises(AnalysisError, match=f"got {count} of {n}"):
        wilson_interval(count, n)


def test_holm_rejects_what_bonferroni_does_and_keeps_the_order(golden):
    case = golden["benjamini_hochberg"]
    adjusted = holm(case["p"])
    assert adjusted[:3] == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019])
    assert sum(p < 0.05 for p in adjusted) == case["n_rejected_by_bonferroni_at_5_percent"]
    shuffled = np.random.default_rng(0).permutation(15)
    assert holm([case["p"][i] for i in shuffled]) == [adjusted[i] for i in shuffled]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_by_stepping_down(p_values):
    """Holm's own procedure: reject the smallest while p times the number left is below alpha, then stop."""
    adjusted = holm(p_values)
    left = sorted(p_values)
    n_rejected = 0
    while n_rejected < len(left) and left[n_rejected] * (len(left) - n_rejected) <= 0.05:
        n_rejected += 1
    assert sum(p <= 0.05 for p in adjusted) == n_rejected
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))


def test_the_false_discovery_rate_finds_the_four_hypotheses_of_its_paper(golden):
    case = golden["benjamini_hochberg"]
    adjusted = benjamini_hochberg(case["p"])
    assert sum(p <= 0.05 for p in adjusted) == 4
    assert adjusted == pytest.approx(multipletests(case["p"], method="fdr_bh")[1].tolist())
    assert benjamini_hochberg(case["p"][::-1]) == pytest.approx(adjusted[::-1])
