import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.errors import AnalysisError
from analysis.ratings.detection import describe_detection
from analysis.ratings.discrimination import (
    area_under_curve,
    calibration,
    confusion_matrix,
    fit_discrimination,
    placements,
    yes_no_figures,
)
from analysis.ratings.table import check_ratings

KINDS = {"real": {"real"}, "generated": {"model"}}


def judged(d_prime=1.0, *, n_listeners=25, n_pieces=8, sd=(0.5, 0.4, 0.3), lean=0.2, seed=0):
    """Listeners with their own bias and ear; how sure they are is how far the impression lies out."""
    rng = np.random.default_rng(seed)
    bias, ear = rng.normal(0, sd[0], n_listeners), d_prime + rng.normal(0, sd[1], n_listeners)
    rows = []
    for side, name in ((0.5, "real"), (-0.5, "model")):
        for piece in range(n_pieces):
            heard = side * ear - lean + bias + rng.normal(0, sd[2]) + rng.normal(size=n_listeners)
            sure = 1 + (np.abs(heard)[:, None] > [0.4, 0.9, 1.5]).sum(axis=1)
            for listener in range(n_listeners):
                answer = int(heard[listener] > 0), int(sure[listener])
                rows.append((f"p{listener}", f"{name} {piece}", name, 5, *answer))
    columns = ["participant", "piece", "condition", "rating", "judged_human", "confidence"]
    return check_ratings(pd.DataFrame(rows, columns=columns))


def test_counts_give_the_published_figures():
    """Stanislaw and Todorov's formulas; the error is that of Gourevitch and Galanter."""
    figures = yes_no_figures(20, 5, 10, 15, correct=False)
    assert (figures.hit_rate, figures.false_alarm_rate) == (0.8, 0.4)
    assert figures.d_prime == pytest.approx(1.0949683, abs=1e-6)
    assert figures.criterion == pytest.approx(-0.2941371, abs=1e-6)
    assert figures.beta == pytest.approx(0.7246469, abs=1e-6)
    assert figures.a_prime == pytest.approx(0.7916667, abs=1e-6)
    assert figures.b_double_prime == pytest.approx(-0.2)
    assert figures.d_prime_error == pytest.approx(0.3820627, abs=1e-6)
    assert yes_no_figures(20, 5, 10, 15).d_prime == pytest.approx(1.0444987, abs=1e-6)


def test_worse_than_chance_is_the_mirror_of_better():
    one, other = yes_no_figures(20, 5, 10, 15), yes_no_figures(10, 15, 20, 5)
    assert other.d_prime == pytest.approx(-one.d_prime)
    assert other.a_prime == pytest.approx(1 - one.a_prime)


@pytest.mark.parametrize(
    ("counts", "correct", "reason"),
    [
        ((5, 0, 1, 4), False, "rates of 0 or 1"),
        ((0, 0, 1, 4), True, "got 0 real and 5 generated"),
        ((-1, 2, 1, 4), True, "0 or more"),
    ],
)
def test_counts_without_a_d_prime_are_refused(counts, correct, reason):
    with pytest.raises(AnalysisError, match=reason):
        yes_no_figures(*counts, correct=correct)


def test_one_answer_of_each_listener_about_each_piece_is_the_probit_regression():
    """Every listener and piece once: no random term, so d' and its error are those of the counts."""
    rows = [
        (f"p{i}", f"{kind} {i}", kind, 5, said)
        for kind, answers in (("real", [1] * 20 + [0] * 5), ("model", [1] * 10 + [0] * 15))
        for i, said in enumerate(answers)
    ]
    rows = [(f"{row[2]}{row[0]}", *row[1:]) for row in rows]
    table = check_ratings(
        pd.DataFrame(rows, columns=["participant", "piece", "condition", "rating", "judged_human"])
    )
    result = fit_discrimination(table, **KINDS)
    expected = yes_no_figures(20, 5, 10, 15, correct=False)
    assert result.d_prime.value == pytest.approx(expected.d_prime, abs=1e-5)
    assert result.d_prime.se == pytest.approx(expected.d_prime_error, abs=1e-4)
    assert result.criterion.value == pytest.approx(expected.criterion, abs=1e-5)
    assert result.sd_participant is None


def test_planted_sensitivity_and_bias_are_covered_in_repeated_studies():
    covered = []
    for seed in range(30):
        result = fit_discrimination(judged(seed=seed), **KINDS)
        low, high = result.d_prime.interval()
        bias_low, bias_high = result.criterion.interval()
        covered.append((low < 1 < high, bias_low < 0.2 < bias_high))
    assert np.mean(covered, axis=0).min() >= 0.83  # 25 of 30


def test_pooled_counts_draw_d_prime_towards_0_where_listeners_lean_differently():
    table = judged(1.5, n_listeners=60, n_pieces=20, sd=(1.2, 0.1, 0.1), seed=1)
    pooled = describe_detection(table, **KINDS, draws=100)["d_prime"]
    mixed = fit_discrimination(table, **KINDS)
    assert pooled < 1.2 < mixed.d_prime.value
    assert mixed.sd_participant == pytest.approx(1.2, abs=0.4)


def test_listeners_ears_differ_as_much_as_planted():
    result = fit_discrimination(judged(n_listeners=120, n_pieces=30, sd=(0.4, 0.8, 0.2), seed=9), **KINDS)
    assert result.sd_d_prime == pytest.approx(0.8, abs=0.12)
    assert result.sd_participant == pytest.approx(0.4, abs=0.1)
    assert result.sd_piece == pytest.approx(0.2, abs=0.1)


def test_deaf_listeners_of_many_pieces_are_shown_to_be_so_and_few_are_not():
    many = fit_discrimination(judged(0.0, n_listeners=60, n_pieces=30, sd=(0.3, 0, 0), seed=2), **KINDS)
    few = fit_discrimination(judged(0.0, n_listeners=8, n_pieces=3, seed=2), **KINDS)
    assert many.equivalence.equivalent
    assert not few.equivalence.equivalent
    assert few.d_prime.p > 0.05


def test_answers_that_are_all_right_are_finite_and_named():
    table = judged(seed=3)
    table["judged_human"] = (table["condition"] == "real").astype("boolean")
    result = fit_discrimination(table, **KINDS)
    assert 2 < result.d_prime.value < 10
    assert np.isfinite(result.d_prime.se)
    assert "drawn towards 0" in result.notes[0]
    area = area_under_curve(table, **KINDS)
    assert area.area == 1
    assert 0.5 < area.ci_low < area.ci_high == 1


def test_the_area_is_mann_and_whitneys_share():
    table = judged(seed=4)
    sign = np.where(table["judged_human"].to_numpy(dtype=bool), 1, -1)
    placed = sign * table["confidence"].to_numpy(dtype=float)
    is_real = (table["condition"] == "real").to_numpy()
    u = stats.mannwhitneyu(placed[is_real], placed[~is_real]).statistic
    result = area_under_curve(table, **KINDS)
    assert result.area == pytest.approx(u / is_real.sum() / (~is_real).sum())
    assert result.ci_low < result.area < result.ci_high


def test_independent_answers_have_delongs_variance_of_the_area():
    rng = np.random.default_rng(5)
    placed, is_real = rng.normal(size=60) + np.repeat([0.8, 0.0], 30), np.repeat([True, False], 30)
    area, influences = placements(placed, is_real)
    wins = np.array([[np.sign(a - b) / 2 + 0.5 for b in placed[30:]] for a in placed[:30]])
    variance = wins.mean(axis=1).var(ddof=0) / 30 + wins.mean(axis=0).var(ddof=0) / 30
    assert area == pytest.approx(wins.mean())
    assert (influences**2).sum() == pytest.approx(variance)
    assert influences.sum() == pytest.approx(0)


def test_the_area_of_a_known_ear_is_covered_in_repeated_studies():
    true = stats.norm.cdf(1 / (2 * (1 + 0.25 + 0.04 + 0.09)) ** 0.5)
    intervals = [area_under_curve(judged(seed=seed), **KINDS) for seed in range(60)]
    assert np.mean([i.ci_low < true < i.ci_high for i in intervals]) >= 0.87  # 52 of 60


def test_known_pieces_and_missing_confidence_are_left_out():
    table = judged(seed=6)
    known = table.assign(familiar=np.where(table["piece"] == "real 0", "known", "new"))
    assert fit_discrimination(known, **KINDS).n_real_pieces == 7
    assert sum(row.n_human + row.n_machine for row in confusion_matrix(known, **KINDS)) == 375
    unsure = table.copy()
    unsure.loc[unsure["participant"] == "p0", "confidence"] = pd.NA
    assert area_under_curve(unsure, **KINDS).n_without_confidence == 16
    with pytest.raises(AnalysisError, match="with a confidence"):
        area_under_curve(table.assign(confidence=pd.NA), **KINDS)


def test_the_confusion_matrix_counts_every_answer_once():
    table = judged(seed=7)
    anchor = table[table["condition"] == "model"].assign(condition="anchor")
    rows = confusion_matrix(pd.concat([table, anchor], ignore_index=True), **KINDS)
    assert [(row.condition, row.kind) for row in rows] == [
        ("real", "real"),
        ("model", "generated"),
        ("anchor", ""),
    ]
    human = table.loc[table["condition"] == "real", "judged_human"].sum()
    assert (rows[0].n_human, rows[0].n_human + rows[0].n_machine) == (human, 200)
    assert rows[0].ci_low < rows[0].share_human < rows[0].ci_high


def test_briers_score_is_its_three_parts():
    result = calibration(judged(seed=8), **KINDS)
    parts = result.reliability - result.resolution + result.uncertainty
    assert result.brier == pytest.approx(parts, abs=1e-12)
    assert [level.stated for level in result.levels] == pytest.approx([1 / 2, 2 / 3, 5 / 6, 1])
    assert sum(level.n for level in result.levels) == result.n == 400


def test_who_is_right_as_often_as_stated_is_calibrated():
    rng = np.random.default_rng(9)
    rows = []
    for listener in range(40):
        for piece in range(40):
            kind = "real" if piece % 2 else "model"
            sure = int(rng.integers(1, 5))
            right = rng.random() < 0.5 + (sure - 1) / 6
            said = int((kind == "real") == right)
            rows.append((f"p{listener}", f"{piece}", kind, 5, said, sure))
    columns = ["participant", "piece", "condition", "rating", "judged_human", "confidence"]
    result = calibration(check_ratings(pd.DataFrame(rows, columns=columns)), **KINDS)
    assert abs(result.overconfidence) < 0.03
    assert result.reliability < 0.003
    assert all(level.ci_low <= level.stated <= level.ci_high for level in result.levels)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t[t["condition"] == "real"], "200 about real and 0 about generated"),
        (lambda t: t[t["participant"] == "p0"], "at least 2 participants"),
        (lambda t: t[t["piece"].isin(["real 0", "model 0"])], "one real and one generated"),
        (lambda t: t.assign(judged_human=pd.array([True] * len(t), dtype="boolean")), "all judgements are"),
    ],
)
def test_what_cannot_be_told_is_refused(change, reason):
    with pytest.raises(AnalysisError, match=reason):
        fit_discrimination(change(judged()), **KINDS)


def test_confidence_outside_its_scale_is_refused():
    with pytest.raises(AnalysisError, match="between 1 and 3, got 4"):
        calibration(judged(), **KINDS, highest=3)
