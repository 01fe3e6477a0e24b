import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from analysis.errors import AnalysisError
from analysis.ratings.copying import (
    describe_copying,
    describe_recognition,
    flagged_pieces,
    within_group_correlation,
)
from analysis.ratings.table import check_ratings

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "statistics.json"


def study(slope=0.0, *, means=(5.0, 6.0, 4.0), bases=(0.3, 0.3, 0.3), n_pieces=10, n_listeners=20, seed=0):
    """Pieces with a score of copying that moves their rating by `slope` within the condition."""
    rng = np.random.default_rng(seed)
    rows, scores = [], []
    lean = rng.normal(0, 0.8, n_listeners)
    for mean, base, condition in zip(means, bases, "abc", strict=False):
        for piece in range(n_pieces):
            score = float(np.clip(base + rng.normal(0, 0.1), 0, 1))
            scores.append((f"{condition}{piece}", condition, score))
            quality = mean + slope * (score - base) + rng.normal(0, 0.4)
            for listener in range(n_listeners):
                value = quality + lean[listener] + rng.normal(0, 1.2)
                heard = rng.random() < 1 / (1 + np.exp(-(-2 + 12 * (score - base))))
                rating = int(np.clip(np.rint(value), 1, 10))
                word = "familiar" if heard else "new"
                rows.append((f"p{listener}", f"{condition}{piece}", condition, rating, word))
    columns = ["participant", "piece", "condition", "rating", "familiar"]
    ratings = check_ratings(pd.DataFrame(rows, columns=columns))
    return ratings, pd.DataFrame(scores, columns=["piece", "condition", "score"])


def test_figures_over_pieces_are_those_of_the_piece_means():
    ratings, scores = study(4.0, seed=1)
    found = describe_copying(ratings, scores, draws=200)
    means = ratings.groupby("piece")["rating"].mean()
    score = scores.set_index("piece")["score"]
    assert found.pooled.rho == pytest.approx(stats.spearmanr(score, means[score.index]).statistic)
    assert found.pooled.tau == pytest.approx(stats.kendalltau(score, means[score.index]).statistic)
    assert found.pooled.n_pieces == 30
    assert found.pooled.rho_low < found.pooled.rho < found.pooled.rho_high


def test_the_within_correlation_is_the_analysis_of_covariance():
    ratings, scores = study(3.0, seed=2)
    found = describe_copying(ratings, scores, draws=50)
    fit = smf.ols("mean ~ C(condition) + score", found.pieces).fit()
    assert found.within.slope == pytest.approx(fit.params["score"])
    assert found.within.p == pytest.approx(fit.pvalues["score"])
    assert found.within.df == fit.df_resid == 26
    r2 = fit.tvalues["score"] ** 2 / (fit.tvalues["score"] ** 2 + fit.df_resid)
    assert found.within.r**2 == pytest.approx(r2)


def test_a_planted_slope_is_covered_and_none_is_not_found():
    planted = [describe_copying(*study(5.0, seed=s), draws=2) for s in range(10)]
    nothing = [describe_copying(*study(0.0, seed=s), draws=2) for s in range(10)]
    assert sum(c.slope.interval()[0] < 5 < c.slope.interval()[1] for c in planted) >= 8
    assert sum(c.pooled.p < 0.05 for c in nothing) <= 2
    assert sum(c.slope.p < 0.05 for c in nothing) <= 2
    assert sum(c.within.p < 0.05 for c in planted) >= 8


def test_what_holds_over_all_pieces_can_reverse_within_conditions():
    """Conditions that copy more are liked more, but their copied pieces are liked less."""
    ratings, scores = study(-6.0, means=(3.0, 5.0, 7.5), bases=(0.2, 0.4, 0.7), seed=3)
    found = describe_copying(ratings, scores, draws=200)
    assert found.pooled.rho > 0.5
    assert found.within.r < -0.4
    assert found.slope.value < -2
    assert found.between == 1


def test_shuffles_keep_what_is_between_conditions():
    """An association of conditions alone is no association of pieces: p is large, rho is too."""
    ratings, scores = study(0.0, means=(3.0, 5.0, 7.5), bases=(0.2, 0.4, 0.7), seed=4)
    found = describe_copying(ratings, scores, draws=50)
    assert found.pooled.rho > 0.6
    assert found.pooled.p > 0.05


def test_two_conditions_have_no_association_between_them():
    ratings, scores = study(means=(5.0, 6.0), seed=5)
    found = describe_copying(ratings, scores, draws=50)
    assert found.between is None
    assert found.n_conditions == 2


def test_pieces_without_a_score_are_counted_and_left_out():
    ratings, scores = study(seed=6)
    found = describe_copying(ratings, scores.iloc[3:], draws=50)
    assert found.pooled.n_pieces == 27
    assert found.notes == ["3 rated pieces have no score and are left out."]


def test_scores_that_vary_only_between_conditions_say_nothing_within():
    ratings, scores = study(seed=7)
    scores["score"] = scores["condition"].map({"a": 0.1, "b": 0.5, "c": 0.9})
    found = describe_copying(ratings, scores, draws=50)
    assert found.within is None
    assert found.slope is None
    assert "nothing to correlate" in found.notes[0]


def test_listeners_know_what_the_machine_finds_copied_where_they_do():
    ratings, scores = study(seed=8)
    found = describe_recognition(ratings, scores)
    assert found.n_heard == (ratings["familiar"] == "familiar").sum()
    assert found.rho > 0.5
    assert found.p < 0.01
    assert 0.5 < found.area_low < found.area < found.area_high
    assert found.slope.interval()[0] < 1.2 < found.slope.interval()[1]  # 12 per unit, 0.1 a deviation


def test_the_area_of_recognition_is_mann_and_whitneys():
    ratings, scores = study(seed=9)
    found = describe_recognition(ratings, scores)
    score = ratings["piece"].map(scores.set_index("piece")["score"])
    heard = ratings["familiar"] == "familiar"
    u = stats.mannwhitneyu(score[heard], score[~heard]).statistic
    assert found.area == pytest.approx(u / heard.sum() / (~heard).sum())


def test_guessing_listeners_recognise_nothing():
    ratings, scores = study(seed=10)
    rng = np.random.default_rng(0)
    ratings["familiar"] = np.where(rng.random(len(ratings)) < 0.2, "familiar", "new")
    found = describe_recognition(ratings, scores)
    assert found.area_low < 0.5 < found.area_high
    assert found.p > 0.05


def test_pieces_above_the_baseline_are_flagged_with_their_excess():
    scores = pd.DataFrame({"piece": list("xyz"), "condition": "a", "score": [0.2, 0.9, 0.7]})
    flagged = flagged_pieces(scores, np.linspace(0, 0.6, 61))
    assert flagged["piece"].tolist() == ["y", "z"]
    assert flagged["excess"].tolist() == pytest.approx([0.33, 0.13])
    with pytest.raises(AnalysisError, match="needs 20 scores"):
        flagged_pieces(scores, np.zeros(5))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.drop(columns="score"), "no column 'score'"),
        (lambda s: pd.concat([s, s.iloc[:1]]), "has two scores"),
        (lambda s: s.assign(score="much"), "finite number, got 'much'"),
        (lambda s: s.assign(condition="z"), "no rated piece has a score"),
        (lambda s: s.assign(score=0.5), "30 pieces with 1 scores"),
        (lambda s: s.iloc[:2], "got 2 pieces"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(change, reason):
    ratings, scores = study()
    with pytest.raises(AnalysisError, match=reason):
        describe_copying(ratings, change(scores), draws=10)


def test_recognition_needs_both_answers():
    ratings, scores = study()
    with pytest.raises(AnalysisError, match="got 0 of 600"):
        describe_recognition(ratings.assign(familiar="new"), scores)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference cases are not beside this checkout")
def test_reference_correlation_within_subjects_is_met():
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    case = next(entry for entry in reference["cases"] if entry["id"] == "rm_corr")["expected"]
    subject, ph, pressure = np.array(reference["datasets"]["bland_altman_1995"]["rows"], dtype=float).T
    found = within_group_correlation(ph, pressure, subject)
    assert (found.r, found.df, found.p) == pytest.approx((case["r"], case["df"], case["p"]), abs=1e-4)
    assert (found.ci_low, found.ci_high) == pytest.approx(case["ci95"], abs=0.01)
