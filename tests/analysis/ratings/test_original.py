import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.ratings.comparison import fit_conditions
from analysis.ratings.original import describe_original_figures
from analysis.ratings.table import check_ratings, in_fixed_order


def figures(rows: list[tuple], **settings) -> dict | None:
    columns = ["participant", "piece", "condition", "rating", "judged_human", "familiar"][: len(rows[0])]
    table = in_fixed_order(check_ratings(pd.DataFrame(rows, columns=columns)))
    sides = {"real": {"real"}, "generated": {"m", "n"}} | settings
    return describe_original_figures(table, fitted=fit_conditions(table), **sides)


#: One real and three generated pieces, heard by five.
RATINGS = {
    ("fugue", "real"): [8, 7, 9, 6, 8],
    ("m1", "m"): [7, 8, 9, 8, 8],
    ("m2", "m"): [3, 5, 4, 6, 2],
    ("n1", "n"): [5, 5, 6, 4, 5],
}
ROWS = [
    (f"p{index}", piece, condition, value, int(index > 1))
    for (piece, condition), values in RATINGS.items()
    for index, value in enumerate(values)
]


def test_the_four_sentences_have_their_counts_and_intervals():
    result = figures(ROWS)
    best, real = result["best_generated"], result["real"]
    assert (best["piece"], best["condition"], best["mean"], best["n"], best["n_candidates"]) == (
        "m1",
        "m",
        8.0,
        5,
        3,
    )
    expected = stats.t.interval(0.95, 4, 8, stats.sem(RATINGS["m1", "m"]))
    assert (best["ci_low"], best["ci_high"]) == pytest.approx(expected)
    assert (real["piece"], real["mean"], real["n"], real["n_pieces"]) == ("fugue", 7.6, 5, 1)
    expected = stats.t.interval(0.95, 4, 7.6, stats.sem(RATINGS["fugue", "real"]))
    assert (real["ci_low"], real["ci_high"]) == pytest.approx(expected)
    disbelieved, preferred = result["disbelieved_real"], result["preferred_generated"]
    wilson = stats.binomtest(2, 5).proportion_ci(method="wilson")
    assert (disbelieved["count"], disbelieved["n"]) == (2, 5)
    assert (disbelieved["ci_low"], disbelieved["ci_high"]) == pytest.approx((wilson.low, wilson.high))
    assert (preferred["count"], preferred["n"], preferred["ties"]) == (2, 5, 2)
    assert (preferred["ci_low"], preferred["ci_high"]) == pytest.approx((wilson.low, wilson.high))
    assert preferred["p"] == pytest.approx(stats.binomtest(2, 3).pvalue)


def test_the_best_is_corrected_for_having_been_chosen():
    best = figures(ROWS)["best_generated"]
    assert best["corrected_mean"] < best["mean"]
    assert best["corrected_low"] < best["corrected_mean"] < best["corrected_high"]


def test_the_correction_removes_the_winners_curse(make_study):
    """Many studies of equal pieces: the best one's mean is far too high, the corrected one is not."""
    raw, corrected = [], []
    for seed in range(15):
        sd = (0.5, 0.01, 0.01, 1.5)
        study = make_study({"real": 5, "m": 5}, n_participants=12, n_pieces=8, sd=sd, seed=seed)
        table = in_fixed_order(check_ratings(study))
        result = describe_original_figures(
            table, real={"real"}, generated={"m"}, fitted=fit_conditions(table)
        )
        raw.append(result["best_generated"]["mean"])
        corrected.append(result["best_generated"]["corrected_mean"])
    assert np.mean(raw) > 5.4
    assert np.mean(corrected) == pytest.approx(5, abs=0.25)


def test_with_one_piece_per_condition_the_best_is_drawn_to_all_generated_ones():
    rows = [row for row in ROWS if row[1] != "m2"]
    best = figures(rows)["best_generated"]
    assert 6.5 < best["corrected_mean"] < 8


def test_a_piece_that_hardly_anybody_heard_cannot_win():
    lucky = [("p0", "n2", "n", 10, 1)]
    assert figures(ROWS + lucky)["best_generated"]["piece"] == "m1"


def test_of_equal_pieces_the_oftener_heard_and_then_the_first_by_name_wins():
    rows = [
        ("a", "x", "real", 5),
        ("a", "z", "m", 7),
        ("b", "z", "m", 7),
        ("a", "y", "m", 7),
        ("b", "y", "m", 7),
    ]
    assert figures(rows)["best_generated"]["piece"] == "y"
    assert figures([*rows, ("c", "z", "m", 7)])["best_generated"]["piece"] == "z"


def test_several_real_pieces_count_by_each_participants_mean():
    more = [(f"p{index}", "gigue", "real", 10, int(index != 1)) for index in range(5)]
    result = figures(ROWS + more)
    assert result["real"]["n_pieces"] == 2
    assert result["real"]["piece"] is None
    assert result["real"]["mean"] == pytest.approx(8.8)
    assert (result["disbelieved_real"]["count"], result["disbelieved_real"]["count_any"]) == (1, 2)
    assert (result["preferred_generated"]["count"], result["preferred_generated"]["ties"]) == (0, 1)


def test_who_knew_the_real_piece_is_not_asked_whether_they_believed_it():
    rows = [(*row, "known" if row[0] == "p0" and row[2] == "real" else "new") for row in ROWS]
    assert (figures(rows)["disbelieved_real"]["count"], figures(rows)["disbelieved_real"]["n"]) == (1, 4)


def test_without_the_question_disbelief_is_none_and_without_a_side_there_are_no_figures():
    assert figures([row[:4] for row in ROWS])["disbelieved_real"] is None
    assert figures(ROWS, real=set()) is None
    assert figures(ROWS, generated={"unheard"}) is None


def test_nobody_who_heard_both_prefers_neither():
    rows = [("a", "x", "real", 5), ("b", "x", "real", 6), ("c", "y", "m", 7), ("d", "y", "m", 8)]
    preferred = figures(rows)["preferred_generated"]
    assert preferred == {"count": 0, "n": 0, "ci_low": None, "ci_high": None, "ties": 0, "p": None}
