from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ratings.agreement import (
    describe_agreement,
    describe_repeats,
    intraclass_correlations,
    krippendorff_alpha,
)
from analysis.ratings.mixed_model import MixedModelError
from analysis.ratings.table import check_ratings


def long(table):
    """Values and the row codes of a table with gaps."""
    rows, columns = np.indices(table.shape)
    there = ~np.isnan(table)
    return table[there], rows[there], columns[there]


def test_intraclass_correlations_are_those_of_shrout_and_fleiss(golden):
    case = golden["shrout_fleiss"]
    result = intraclass_correlations(*long(np.array(case["rows"], dtype=float)))
    assert result["icc_single"] == pytest.approx(case["icc_single"], abs=0.005)
    assert result["icc_average"] == pytest.approx(case["icc_average"], abs=0.005)
    assert result["raters_per_piece"] == pytest.approx(4)


def test_raters_per_piece_are_their_harmonic_mean_where_the_table_has_gaps(golden):
    table = np.array(golden["shrout_fleiss"]["rows"], dtype=float)
    table[0, :2] = np.nan
    result = intraclass_correlations(*long(table))
    assert result["raters_per_piece"] == pytest.approx(6 / (5 / 4 + 1 / 2))
    assert 0 < result["icc_single"] < result["icc_average"] < 1


def test_agreement_without_shared_pieces_is_refused():
    with pytest.raises(MixedModelError, match="share pieces"):
        intraclass_correlations(np.array([1.0, 5, 3]), np.arange(3), np.array([0, 0, 1]))
    with pytest.raises(MixedModelError, match="got 1 and 3"):
        intraclass_correlations(np.array([1.0, 5, 3]), np.zeros(3, int), np.arange(3))


@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
def test_alpha_is_that_of_krippendorffs_example(golden, metric):
    case = golden["krippendorff"]
    values, units, _ = long(np.array(case["rows"], dtype=float).T)
    assert krippendorff_alpha(values, units, metric=metric) == pytest.approx(case[metric], abs=0.0006)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_alpha_is_observed_over_expected_disagreement_of_all_pairs(seed):
    """From the definition: every pair of values within a unit, and every pair of pairable values at all."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 6, (6, 4)).astype(float)
    table[rng.random((6, 4)) < 0.25] = np.nan
    units = [row[~np.isnan(row)] for row in table]
    units = [unit for unit in units if len(unit) > 1]
    pooled = np.concatenate(units) if units else np.array([])
    values, codes, _ = long(table)
    if len(set(pooled)) < 2:
        assert krippendorff_alpha(values, codes) is None
        return

    def distance(a, b):
        low, high = min(a, b), max(a, b)
        between = sum(((pooled >= low) & (pooled <= high)).tolist())
        return (between - ((pooled == low).sum() + (pooled == high).sum()) / 2) ** 2 if a != b else 0.0

    observed = sum(2 * distance(a, b) / (len(unit) - 1) for unit in units for a, b in combinations(unit, 2))
    expected = sum(2 * distance(a, b) for a, b in combinations(pooled, 2)) / (len(pooled) - 1)
    assert krippendorff_alpha(values, codes) == pytest.approx(1 - observed / expected)


def test_alpha_needs_two_values_of_a_unit_and_two_values_at_all():
    assert krippendorff_alpha(np.array([1.0, 2.0]), np.array([0, 1])) is None
    assert krippendorff_alpha(np.array([3.0, 3.0]), np.array([0, 0])) is None


def test_a_single_listener_has_no_agreement_and_the_note_says_why(make_study):
    result, notes = describe_agreement(check_ratings(make_study({"m": 5}, n_participants=1)))
    assert set(result.values()) == {None}
    assert any("got 4 and 1" in note for note in notes)


def test_repeats_are_compared_with_the_first_hearing():
    rows = [
        {"participant": "a", "piece": "x", "condition": "m", "rating": 5, "repeat": 0},
        {"participant": "a", "piece": "x", "condition": "m", "rating": 7, "repeat": 1},
        {"participant": "b", "piece": "x", "condition": "m", "rating": 6, "repeat": 0},
        {"participant": "b", "piece": "x", "condition": "m", "rating": 6, "repeat": 1},
        {"participant": "c", "piece": "x", "condition": "m", "rating": 9, "repeat": 0},
        {"participant": "d", "piece": "x", "condition": "m", "rating": 9, "repeat": 1},
    ]
    result = describe_repeats(check_ratings(pd.DataFrame(rows)))
    assert (result["n"], result["n_participants"]) == (2, 2)
    assert result["mean_absolute_difference"] == 1
    assert result["within_sd"] == pytest.approx(1.0)
    assert result["repeatability"] == pytest.approx(1.96 * 2**0.5)
    assert result["correlation"] is None


def test_without_repeats_there_is_nothing_to_say(make_study):
    assert describe_repeats(check_ratings(make_study({"m": 5}))) is None
