import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.agreement import krippendorff_alpha
from analysis.ratings.comparison import fit_conditions
from analysis.ratings.mixed_model import MixedModelError
from analysis.ratings.reliability import (
    agreement_of_listeners,
    alpha_with_interval,
    concordance,
    intraclass_correlations_of,
    reliability_of_conditions,
)
from analysis.ratings.table import check_ratings


def long(table):
    """A table of ratings with gaps, rows being pieces."""
    table = np.asarray(table, dtype=float)
    pieces, participants = np.nonzero(~np.isnan(table))
    names = [[f"{code:03}" for code in codes] for codes in (participants, pieces)]
    columns = {"participant": names[0], "piece": names[1], "condition": "x"}
    return pd.DataFrame({**columns, "rating": table[pieces, participants]})


def random_table(seed, *, n=12, k=10, gaps=0.0, sd=(0.6, 1.0, 1.5)):
    rng = np.random.default_rng(seed)
    table = (
        sd[0] * rng.normal(size=(n, 1)) + sd[1] * rng.normal(size=(1, k)) + sd[2] * rng.normal(size=(n, k))
    )
    table[rng.random((n, k)) < gaps] = np.nan
    return table


def test_the_six_coefficients_are_those_of_shrout_and_fleiss(golden):
    case = golden["shrout_fleiss"]
    found = intraclass_correlations_of(np.array(case["rows"]))
    for name, (value, low, high) in case["six"].items():
        figure = getattr(found, name)
        assert (figure.value, figure.ci_low, figure.ci_high) == pytest.approx((value, low, high), abs=0.006)


def test_variance_components_of_a_complete_table_give_the_same_correlation(golden):
    table = np.array(golden["shrout_fleiss"]["rows"])
    exact, likelihood = intraclass_correlations_of(table), agreement_of_listeners(long(table))
    assert likelihood.single.value == pytest.approx(exact.agreement_single.value, abs=1e-5)
    assert likelihood.average.value == pytest.approx(exact.agreement_average.value, abs=1e-5)
    assert likelihood.raters_per_piece == pytest.approx(4)
    shares = likelihood.share_piece + likelihood.share_participant + likelihood.share_residual
    assert shares == pytest.approx(1)


@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_the_interval_covers_a_known_correlation(gaps):
    true = 0.36 / (0.36 + 1.0 + 2.25)
    figures = [agreement_of_listeners(long(random_table(seed, gaps=gaps))).single for seed in range(30)]
    assert sum(figure.ci_low <= true <= figure.ci_high for figure in figures) >= 25


def test_the_likelihood_at_both_ends_of_the_interval_is_what_the_test_allows():
    found = agreement_of_listeners(long(random_table(3, n=30, k=20))).single
    exact = intraclass_correlations_of(random_table(3, n=30, k=20)).agreement_single
    assert (found.ci_low, found.ci_high) == pytest.approx((exact.ci_low, exact.ci_high), abs=0.05)


def test_pieces_that_do_not_differ_have_an_interval_from_0():
    table = random_table(4, sd=(0.0, 1.0, 1.0))
    found = agreement_of_listeners(long(table - table.mean(axis=1, keepdims=True))).single
    assert found.value == found.ci_low == 0
    assert 0 < found.ci_high < 0.5


def test_condition_means_are_reliable_where_they_differ_by_more_than_their_error(make_study):
    far = fit_conditions(check_ratings(make_study({"a": 3, "b": 5, "c": 7}, n_pieces=8, seed=1)))
    near = fit_conditions(check_ratings(make_study({"a": 5, "b": 5, "c": 5}, n_pieces=3, seed=5)))
    assert reliability_of_conditions(far) > 0.9
    assert reliability_of_conditions(near) < 0.7
    assert reliability_of_conditions(fit_conditions(check_ratings(make_study({"a": 5})))) is None


@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
def test_every_draw_of_alpha_is_alpha_of_the_pieces_drawn(metric, golden):
    table = np.array(golden["krippendorff"]["rows"], dtype=float).T
    ratings = long(table)
    figure = alpha_with_interval(ratings, draws=400, seed=3, metric=metric)
    assert figure.value == pytest.approx(golden["krippendorff"][metric], abs=0.0006)
    heard = table[(~np.isnan(table)).sum(axis=1) > 1]
    drawn = np.random.default_rng(3).multinomial(len(heard), np.full(len(heard), 1 / len(heard)), size=400)
    alphas = []
    for counts in drawn:
        again = np.repeat(heard, counts, axis=0)
        units, _ = np.nonzero(~np.isnan(again))
        alphas.append(krippendorff_alpha(again[~np.isnan(again)], units, metric=metric))
    assert (figure.ci_low, figure.ci_high) == pytest.approx(np.quantile(alphas, [0.025, 0.975]))


def test_alpha_without_disagreement_to_measure_is_none():
    assert alpha_with_interval(long(np.full((3, 3), 4.0))) is None
    alone = alpha_with_interval(long([[1.0, 2.0, 3.0]]))
    assert alone.ci_low is None


def test_concordance_is_friedmans_statistic_over_its_largest():
    table = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [2, 1, 3, 4]]).T
    ranks = table.sum(axis=1)
    w = 12 * ((ranks - ranks.mean()) ** 2).sum() / (3**2 * (4**3 - 4))
    found = concordance(long(table))
    assert found.w == pytest.approx(w)
    assert concordance(long(np.repeat(np.arange(1.0, 6)[:, None], 3, axis=1))).w == pytest.approx(1)


def test_rounding_times_give_the_published_concordance(golden):
    """Three ways of rounding first base by 22 players, with ties."""
    case = golden["rounding_first_base"]
    found = concordance(long(np.array(case["rows"]).T))
    assert found.chi2 == pytest.approx(case["friedman"], abs=1e-4)
    assert found.p == pytest.approx(case["p"], abs=1e-6)
    assert found.w == pytest.approx(case["friedman"] / 44, abs=1e-5)


def test_listeners_with_gaps_are_counted_and_left_out_of_concordance():
    table = random_table(6, n=5, k=6)
    table[2, 1] = np.nan
    found = concordance(long(table))
    assert (found.n_listeners, found.n_left_out) == (5, 1)
    with pytest.raises(AnalysisError, match="got 1 of 6"):
        concordance(
            long(np.where(np.arange(6) > 0, np.where(np.arange(5)[:, None] > 0, table, np.nan), table))
        )


def test_tables_that_tell_nothing_are_refused():
    with pytest.raises(AnalysisError, match="complete table"):
        intraclass_correlations_of(np.array([[1.0, np.nan], [2, 3]]))
    with pytest.raises(AnalysisError, match="explain every rating exactly"):
        intraclass_correlations_of(np.add.outer([1.0, 2, 4], [0.0, 1, 3]))
    with pytest.raises(MixedModelError, match="got 3 ratings of 3 pieces by 1"):
        agreement_of_listeners(long(np.array([[1.0], [2], [3]])))
