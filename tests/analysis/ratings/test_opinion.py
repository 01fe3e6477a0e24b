import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.ratings.opinion import (
    category_counts,
    describe_condition,
    describe_participants,
    describe_pieces,
    mean_opinion_score,
)
from analysis.ratings.table import RatingsError, check_ratings


def table(rows: list[tuple]) -> pd.DataFrame:
    columns = ["participant", "piece", "condition", "rating", "judged_human", "familiar"]
    return check_ratings(pd.DataFrame(rows, columns=columns[: len(rows[0])]))


def test_each_participant_counts_once_by_their_mean():
    ratings = table([("a", "x", "m", 10), ("a", "y", "m", 8), ("b", "x", "m", 4), ("c", "x", "m", 5)])
    score = mean_opinion_score(ratings)
    expected = stats.t.interval(0.95, 2, 6, stats.sem([9, 4, 5]))
    assert (score.mean, score.n_participants) == (6, 3)
    assert (score.ci_low, score.ci_high) == pytest.approx(expected)


def test_an_interval_needs_two_participants():
    with pytest.raises(RatingsError, match="at least 2 participants, got 1"):
        mean_opinion_score(table([("a", "x", "m", 10), ("a", "y", "m", 8)]))


def test_a_piece_has_the_t_interval_of_its_ratings():
    values = [7, 3, 5, 8, 8]
    (piece,) = describe_pieces(table([(f"p{i}", "x", "m", value) for i, value in enumerate(values)]))
    assert (piece["n_ratings"], piece["median"], piece["mean"]) == (5, 7, 6.2)
    assert piece["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (piece["ci_low"], piece["ci_high"]) == pytest.approx(
        stats.t.interval(0.95, 4, 6.2, stats.sem(values))
    )
    assert piece["judged_human"] is None


@pytest.mark.parametrize("values", [[7], [4, 10], [6, 7, 7, 8], [7, 7, 7, 7, 7, 7]])
def test_a_piece_with_few_ratings_or_equal_ones_has_no_interval(values):
    (piece,) = describe_pieces(table([(f"p{i}", "x", "m", value) for i, value in enumerate(values)]))
    assert piece["mean"] == 7
    assert piece["ci_low"] is None
    assert piece["ci_high"] is None


def test_who_knew_a_piece_does_not_count_for_what_it_was_taken_for():
    rows = [("a", "x", "m", 5, 1, "known"), ("b", "x", "m", 5, 0, "new"), ("c", "x", "m", 6, 1, "familiar")]
    (piece,) = describe_pieces(table(rows))
    assert (piece["judged_human"], piece["judged_human_n"]) == (0.5, 2)
    expected = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert (piece["judged_human_low"], piece["judged_human_high"]) == pytest.approx(
        (expected.low, expected.high)
    )


def test_a_condition_is_described_by_what_was_given():
    ratings = table([("a", "x", "m", 10), ("a", "y", "m", 7), ("b", "x", "m", 4), ("c", "x", "m", 5)])
    described = describe_condition(ratings)
    assert (described["n_pieces"], described["n_participants"], described["n_ratings"]) == (2, 3, 4)
    assert (described["mean"], described["median"], described["share_7_and_up"]) == (6.5, 6, 0.5)
    assert category_counts(ratings) == [0, 0, 0, 1, 1, 0, 1, 0, 0, 1]


def test_a_participant_with_one_rating_has_no_spread():
    one, two = describe_participants(table([("a", "x", "m", 10), ("b", "x", "m", 4), ("b", "y", "m", 6)]))
    assert (one["mean"], one["sd"]) == (10, None)
    assert (two["mean"], two["sd"]) == (5, pytest.approx(2**0.5))
