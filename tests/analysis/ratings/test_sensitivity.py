import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.comparison import fit_conditions
from analysis.ratings.sensitivity import describe_sensitivity, wilcoxon_of_conditions
from analysis.ratings.table import check_ratings


def rows_of(table, **settings):
    rows = describe_sensitivity({"analysed": table}, [("b", "a")], draws=200, **settings)
    return {row.method: row for row in rows}


def test_a_large_difference_is_found_by_every_analysis(make_study):
    table = check_ratings(make_study({"a": 3, "b": 7}, n_participants=20, n_pieces=6, seed=1))
    rows = rows_of(table)
    assert len(rows) == 7
    assert {row.finding for row in rows.values()} == {"higher"}
    mixed = fit_conditions(table).difference("b", "a")
    assert (rows["mixed model"].estimate, rows["mixed model"].p) == (mixed.value, mixed.p)
    assert rows["Wilcoxon by listener"].n_units == 20
    assert rows["Wilcoxon by piece"].n_units == 12


def test_turning_the_contrast_turns_every_estimate(make_study):
    table = check_ratings(make_study({"a": 5, "b": 6}, seed=2))
    there = rows_of(table)
    turned = describe_sensitivity({"analysed": table}, [("a", "b")], draws=200)
    back = {row.method: row for row in turned}
    for method, row in there.items():
        assert back[method].estimate == pytest.approx(-row.estimate, abs=1e-6)


def test_listeners_may_agree_about_pieces_that_say_little_about_conditions(make_study):
    """Two pieces of a condition, rated alike by all: by listener a find, by piece none; no claim."""
    table = check_ratings(
        make_study({"a": 5, "b": 5}, n_participants=40, n_pieces=2, seed=6, sd=(0.5, 2.0, 0.1, 0.5))
    )
    tests = wilcoxon_of_conditions(table, "b", "a")
    assert tests.by_listener.p < 0.001
    assert tests.by_piece.p > 0.3
    assert not tests.both_find


def test_listeners_who_heard_one_condition_are_counted_and_left_out(make_study):
    table = check_ratings(make_study({"a": 5, "b": 6}, n_participants=10))
    table = table[~((table["participant"] == "p3") & (table["condition"] == "b"))]
    tests = wilcoxon_of_conditions(table, "b", "a")
    assert tests.n_left_out == 1
    assert tests.by_listener.n == 9
    assert "1 listeners heard one of the two" in rows_of(table)["Wilcoxon by listener"].note


def test_each_table_has_its_rows_and_exclusions_can_be_seen_to_matter(make_study):
    table = check_ratings(make_study({"a": 3, "b": 7}, n_participants=12, seed=3))
    turned = table.assign(rating=np.where(table["condition"] == "b", 2, 8))
    rows = describe_sensitivity({"analysed": table, "all": turned}, [("b", "a")], draws=200)
    assert [row.table for row in rows] == ["analysed"] * 7 + ["all"] * 7
    wilcoxon = [row for row in rows if row.method == "Wilcoxon by listener"]
    assert [row.finding for row in wilcoxon] == ["higher", "lower"]


def test_several_contrasts_give_the_rows_of_each_alone(make_study):
    table = check_ratings(make_study({"a": 4, "b": 6, "c": 5}, seed=4))
    pairs = [("b", "a"), ("c", "a")]
    together = describe_sensitivity({"analysed": table}, pairs, draws=100)
    alone = [describe_sensitivity({"analysed": table}, [pair], draws=100) for pair in pairs]
    assert together == [*alone[0], *alone[1]]
    assert [(row.condition, row.reference) for row in together[::7]] == pairs


@pytest.mark.parametrize(
    ("settings", "method", "reason"),
    [
        ({"n_participants": 1}, "mixed model", "one participant"),
        ({"n_participants": 1}, "two-way bootstrap", "needs 2 participants"),
        ({"n_pieces": 1}, "ordinal mixed model", "each has one piece"),
        ({"n_pieces": 1}, "Welch by piece", "got 1 and 1"),
    ],
)
def test_what_a_design_cannot_carry_is_said_and_no_number_given(make_study, settings, method, reason):
    row = rows_of(check_ratings(make_study({"a": 5, "b": 6}, **settings)))[method]
    assert row.estimate is None
    assert row.finding == "not shown"
    assert reason in row.note


def test_constant_ratings_are_no_finding_anywhere(make_study):
    table = check_ratings(make_study({"a": 5, "b": 6})).assign(rating=4)
    assert {row.finding for row in rows_of(table).values()} == {"not shown"}


def test_a_condition_is_not_compared_with_itself(make_study):
    table = check_ratings(make_study({"a": 5, "b": 6}))
    rows = describe_sensitivity({"analysed": table}, [("a", "a")], draws=10)
    assert all("with itself" in row.note and row.estimate is None for row in rows)


def test_a_condition_that_is_not_there_is_named(make_study):
    table = check_ratings(make_study({"a": 5, "c": 6}))
    assert all("no rating of 'b'" in row.note for row in rows_of(table).values())
    with pytest.raises(AnalysisError, match="no listener heard both 'b' and 'a'"):
        wilcoxon_of_conditions(table, "b", "a")
