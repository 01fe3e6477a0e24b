import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.ratings.detection import (
    chance_accuracy,
    criterion,
    d_prime,
    describe_detection,
    judged_human_by_condition,
)
from analysis.ratings.table import check_ratings


def counted(hits: int, misses: int, false_alarms: int, rejections: int, **columns) -> pd.DataFrame:
    """Ten participants take turns; pieces as many as turns of ten."""
    rows = []
    for condition, n_human, n_machine in (("real", hits, misses), ("model", false_alarms, rejections)):
        for index, said in enumerate([1] * n_human + [0] * n_machine):
            rows.append((f"p{index % 10}", f"{condition} {index // 10}", condition, 5, said))
    frame = pd.DataFrame(rows, columns=["participant", "piece", "condition", "rating", "judged_human"])
    return check_ratings(frame.assign(**columns))


def detected(table, **settings):
    return describe_detection(table, real={"real"}, generated={"model"}, **settings)


def test_counts_give_the_sensitivity_and_bias_of_the_formulas():
    """Stanislaw and Todorov (1999) on 20 of 25 hits and 10 of 25 false alarms, with Hautus's correction."""
    result = detected(counted(20, 5, 10, 15))
    hit_rate, false_alarm_rate = 20.5 / 26, 10.5 / 26
    assert result["d_prime"] == pytest.approx(stats.norm.ppf(hit_rate) - stats.norm.ppf(false_alarm_rate))
    assert result["d_prime"] == pytest.approx(1.0444987, abs=1e-6)
    assert result["criterion"] == pytest.approx(-0.2788452, abs=1e-6)
    assert (result["hit_rate"], result["false_alarm_rate"], result["accuracy"]) == (0.8, 0.4, 0.7)
    assert (result["n"], result["hits"], result["correct_rejections"]) == (50, 20, 15)


def test_perfect_and_useless_listeners_have_finite_figures():
    perfect, useless = detected(counted(20, 0, 0, 20)), detected(counted(10, 10, 10, 10))
    assert perfect["accuracy"] == 1
    assert 3 < perfect["d_prime"] < 5
    assert useless["d_prime"] == pytest.approx(0)
    assert useless["ci_low"] < 0.5 < useless["ci_high"]


def test_formulas_are_antisymmetric():
    assert d_prime(0.3, 0.8) == pytest.approx(-d_prime(0.8, 0.3))
    assert criterion(0.3, 0.7) == pytest.approx(0)


def test_listeners_who_knew_the_piece_are_out_by_rule():
    known = counted(20, 5, 10, 15, familiar=["known"] * 5 + ["familiar"] * 45)
    result = detected(known)
    assert (result["n"], result["n_known_left_out"], result["hits"]) == (45, 5, 15)


@pytest.mark.parametrize("condition", ["real", "model"])
def test_one_kind_alone_detects_nothing(condition):
    table = counted(20, 5, 10, 15)
    assert detected(table[table["condition"] == condition]) is None


def test_where_nobody_was_asked_there_is_nothing(make_study):
    table = check_ratings(make_study({"real": 6, "model": 5}))
    assert detected(table) is None
    assert judged_human_by_condition(table) == {}


def test_anchors_are_neither_hits_nor_false_alarms():
    table = counted(20, 5, 10, 15)
    anchor = table[table["condition"] == "model"].assign(condition="anchor")
    assert detected(pd.concat([table, anchor]))["n"] == 50


def test_the_interval_is_wider_when_few_listeners_give_the_answers():
    """The same counts from 50 listeners and from 2 who each always say the same."""
    rng = np.random.default_rng(0)
    pieces = [f"{condition} {piece}" for condition in ("real", "model") for piece in range(10)]
    many, few = [], []
    for index in range(400):
        piece = pieces[index % 20]
        said = int(rng.random() < 0.5)
        many.append((f"p{index // 8}", piece, piece.split()[0], 5, said))
    for listener in range(4):
        few += [(f"p{listener}", piece, piece.split()[0], 5, listener % 2) for piece in pieces]
    columns = ["participant", "piece", "condition", "rating", "judged_human"]
    wide = detected(check_ratings(pd.DataFrame(few, columns=columns)))
    frame = pd.DataFrame(many, columns=columns).drop_duplicates(["participant", "piece"])
    narrow = detected(check_ratings(frame))
    assert wide["criterion_high"] - wide["criterion_low"] > 2 * (
        narrow["criterion_high"] - narrow["criterion_low"]
    )


def test_the_same_seed_gives_the_same_interval():
    one, again, other = (detected(counted(20, 5, 10, 15), seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one["ci_low"] != other["ci_low"]


def test_one_listener_has_no_interval():
    table = counted(20, 5, 10, 15)
    table = table.assign(participant="a", piece=[str(index) for index in range(50)])
    result = detected(table)
    assert result["d_prime"] == pytest.approx(1.0444987, abs=1e-6)
    assert result["ci_low"] is None
    assert result["d_prime_high"] is None


def test_guessing_is_right_as_often_as_its_bias_allows():
    """Always "machine" is right about all generated pieces, and that is no skill."""
    result = detected(counted(0, 10, 0, 40))
    assert result["accuracy"] == chance_accuracy(result) == 0.8
    assert result["balanced_accuracy"] == 0.5


def test_shares_per_condition_are_wider_than_independent_answers_allow():
    rng = np.random.default_rng(2)
    beliefs = rng.random(12)
    rows = [
        (f"p{listener}", f"model {piece}", "model", 5, int(rng.random() < beliefs[listener]))
        for listener in range(12)
        for piece in range(8)
    ]
    columns = ["participant", "piece", "condition", "rating", "judged_human"]
    share = judged_human_by_condition(check_ratings(pd.DataFrame(rows, columns=columns)))["model"]
    naive = stats.binomtest(round(96 * share["judged_human"]), 96).proportion_ci(method="wilson")
    assert share["judged_human_n"] == 96
    assert share["judged_human_low"] < naive.low
    assert share["judged_human_high"] > naive.high


def test_where_everybody_says_the_same_the_pieces_are_what_was_sampled():
    share = judged_human_by_condition(counted(30, 0, 10, 20))["real"]
    expected = stats.binomtest(3, 3).proportion_ci(method="wilson")
    assert share["judged_human"] == 1
    assert (share["judged_human_low"], share["judged_human_high"]) == pytest.approx((expected.low, 1))
