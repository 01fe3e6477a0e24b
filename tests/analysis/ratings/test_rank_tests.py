from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.errors import AnalysisError
from analysis.ratings.rank_tests import (
    MOST_EXACT,
    brunner_munzel_test,
    friedman_test,
    rank_sum_test,
    sign_flip_test,
    signed_rank_test,
)

small_numbers = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


def test_depression_scores_give_the_published_signed_rank_test(golden):
    case = golden["depression"]
    test = signed_rank_test(np.array(case["before"]) - np.array(case["after"]))
    assert test.statistic == case["statistic"]
    assert test.p_greater == pytest.approx(case["p_greater"])
    assert test.p == pytest.approx(2 * case["p_greater"])
    assert test.hodges_lehmann == pytest.approx(case["shift"])
    assert (test.ci_low, test.ci_high) == pytest.approx(case["interval"])


def test_darwins_plants_give_fishers_count_of_sign_flips(golden):
    case = golden["darwin"]
    test = sign_flip_test(np.array(case["differences"]))
    assert test.total == case["total"]
    assert test.p == pytest.approx(2 * case["count_as_large"] / 2**15)
    assert test.exact


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=small_numbers, zeros=st.sampled_from(["pratt", "wilcoxon"]))
def test_signed_rank_p_is_that_of_all_signs_of_the_ranks_that_occur(values, zeros):
    values = np.array(values, dtype=float)
    kept = values if zeros == "pratt" else values[values != 0]
    ranks = stats.rankdata(np.abs(kept))[kept != 0] if len(kept) else np.zeros(0)
    positive = ranks[(kept[kept != 0]) > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=len(ranks))])
    away = np.abs(sums - ranks.sum() / 2) >= abs(positive - ranks.sum() / 2) - 1e-9
    test = signed_rank_test(values, zeros=zeros)
    assert test.p == pytest.approx(away.mean())
    assert test.p_greater == pytest.approx((sums >= positive - 1e-9).mean())
    assert test.n_zero == (values == 0).sum()


def test_the_rule_for_zeros_alone_can_move_a_result():
    values = np.array([3, -2, 3, 4, 3, -1, 0, 3, 2, 0])
    pratt, wilcoxon = (signed_rank_test(values, zeros=rule) for rule in ("pratt", "wilcoxon"))
    assert pratt.p > 0.05 > wilcoxon.p


@settings(max_examples=60, deadline=None, derandomize=True)
@given(first=st.lists(st.integers(1, 6), min_size=1, max_size=5), second=small_numbers)
def test_rank_sum_p_is_that_of_all_divisions_of_the_ranks_that_occur(first, second):
    pooled = np.array(first + second, dtype=float)
    ranks = stats.rankdata(pooled)
    n = len(first)
    mean = n * ranks.mean()
    sums = np.array([ranks[list(part)].sum() for part in combinations(range(len(pooled)), n)])
    away = np.abs(sums - mean) >= abs(ranks[:n].sum() - mean) - 1e-9
    test = rank_sum_test(first, second)
    assert test.p == pytest.approx(away.mean())
    pairs = [(a > b) + (a == b) / 2 for a in first for b in second]
    assert test.superiority == pytest.approx(np.mean(pairs))
    assert test.cliffs_delta == pytest.approx(2 * np.mean(pairs) - 1)


def test_large_samples_without_ties_meet_the_normal_approximation():
    rng = np.random.default_rng(0)
    differences = rng.normal(0.1, 1, MOST_EXACT + 100)
    other = stats.wilcoxon(differences, method="approx", correction=True)
    assert signed_rank_test(differences).p == pytest.approx(other.pvalue, rel=0.01)
    first, second = rng.normal(size=150), rng.normal(0.2, 1, 120)
    other = stats.mannwhitneyu(first, second, method="asymptotic")
    assert rank_sum_test(first, second).p == pytest.approx(other.pvalue)
    assert not rank_sum_test(first, second).exact


def test_the_exact_and_the_normal_distribution_meet_where_one_takes_over():
    values = np.random.default_rng(1).integers(-5, 7, MOST_EXACT)
    longer = np.concatenate([values, [0]])
    exact, normal = signed_rank_test(values), signed_rank_test(longer)
    assert exact.exact
    assert not normal.exact
    assert normal.p == pytest.approx(exact.p, abs=0.01)


def test_swapping_the_samples_turns_the_effect_and_keeps_p():
    first, second = np.array([3.0, 5, 5, 8]), np.array([1.0, 5, 2])
    one, other = rank_sum_test(first, second), rank_sum_test(second, first)
    assert one.p == pytest.approx(other.p)
    assert one.cliffs_delta == pytest.approx(-other.cliffs_delta)
    there, back = signed_rank_test(first), signed_rank_test(-first)
    assert there.p == back.p
    assert there.rank_biserial == -back.rank_biserial == 1
    assert there.hodges_lehmann == -back.hodges_lehmann


def test_rounding_breaks_no_ties():
    assert rank_sum_test([0.1 + 0.2], [0.3]).superiority == 0.5
    assert signed_rank_test([0.1 + 0.2 - 0.3, 1.0, 1.0]).n_zero == 1


def test_many_flips_are_drawn_and_never_give_zero():
    values = np.random.default_rng(2).normal(0, 1, 40)
    drawn = sign_flip_test(values, flips=20_000, seed=1)
    assert drawn == sign_flip_test(values, flips=20_000, seed=1)
    assert drawn.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.02)
    assert sign_flip_test(np.ones(40), flips=999).p == pytest.approx(0.001)


def test_five_differences_can_give_no_interval_of_95_percent():
    assert signed_rank_test([1.0, 2, 3, 4, 5]).ci_low is None
    assert signed_rank_test([1.0, 2, 3, 4, 5, 6]).ci_low == 1


def test_pain_scores_give_the_published_probability(golden):
    case = golden["shoulder_pain"]
    test = brunner_munzel_test(case["first"], case["second"])
    assert test.value == pytest.approx(case["superiority"], abs=1e-6)
    assert test.statistic == pytest.approx(case["statistic"], abs=1e-4)
    assert test.df == pytest.approx(case["df"], abs=1e-4)
    assert (test.ci_low, test.ci_high) == pytest.approx(case["interval"], abs=1e-6)
    assert test.p == pytest.approx(stats.brunnermunzel(case["first"], case["second"]).pvalue)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_friedmans_statistic_is_scipys(seed):
    table = np.random.default_rng(seed).integers(1, 6, (7, 4)).astype(float)
    table[0] = [1, 2, 3, 4]
    expected = stats.friedmanchisquare(*table.T)
    assert friedman_test(table)[0] == pytest.approx(expected.statistic)
    assert friedman_test(table)[2] == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: signed_rank_test([]), "at least 1, got 0"),
        (lambda: signed_rank_test([1.0, np.nan]), "finite numbers, got nan"),
        (lambda: signed_rank_test([1.0], zeros="split"), "pratt, wilcoxon, got 'split'"),
        (lambda: rank_sum_test([1.0], []), "second sample"),
        (lambda: brunner_munzel_test([1.0, 2], [3.0, 4]), "do not overlap"),
        (lambda: friedman_test(np.ones((3, 3))), "all values are equal"),
        (lambda: friedman_test(np.array([[1.0, np.nan], [1, 2]])), "complete table"),
    ],
)
def test_what_cannot_be_tested_is_refused(call, reason):
    with pytest.raises(AnalysisError, match=reason):
        call()


def test_constant_samples_are_no_evidence():
    assert signed_rank_test([0.0, 0.0]).p == 1
    assert rank_sum_test([3.0, 3.0], [3.0]).p == 1
