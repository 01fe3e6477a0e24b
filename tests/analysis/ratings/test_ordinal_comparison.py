import numpy as np
import pytest

from analysis.ratings.comparison import fit_conditions
from analysis.ratings.ordinal_comparison import fit_ordinal_conditions
from analysis.ratings.ordinal_model import OrdinalModelError
from analysis.ratings.table import check_ratings


def test_a_planted_difference_is_found_with_its_sign_and_odds(make_study):
    table = check_ratings(make_study({"a": 4, "b": 6.5}, n_participants=25, n_pieces=8, seed=1))
    fitted = fit_ordinal_conditions(table)
    contrast = fitted.difference("b", "a")
    assert contrast.estimate.p < 0.001
    assert contrast.odds_ratio == pytest.approx(np.exp(contrast.estimate.value))
    assert 1 < contrast.odds_ratio_low < contrast.odds_ratio < contrast.odds_ratio_high
    back = fitted.difference("a", "b")
    assert back.estimate.value == pytest.approx(-contrast.estimate.value)
    assert back.estimate.p == pytest.approx(contrast.estimate.p)
    assert fitted.share_above("b").value > fitted.share_above("a").value


def test_it_agrees_with_the_mixed_model_in_the_middle_of_the_scale(make_study):
    """The probit difference is the difference in points over the standard deviation of an answer."""
    table = check_ratings(make_study({"a": 5, "b": 6}, n_participants=60, n_pieces=20, seed=3))
    linear = fit_conditions(table)
    probit = fit_ordinal_conditions(table, link="probit").difference("b", "a")
    points = linear.difference("b", "a")
    sd = linear.variances()["residual"] ** 0.5
    assert probit.odds_ratio is None
    assert probit.estimate.value == pytest.approx(points.value / sd, abs=0.1)
    assert probit.estimate.z == pytest.approx(points.t, rel=0.15)


def test_the_choice_of_the_first_condition_changes_nothing(make_study):
    table = check_ratings(make_study({"a": 4, "b": 6, "c": 5}, seed=4))
    renamed = table.assign(condition=table["condition"].map({"a": "z", "b": "b", "c": "c"}))
    one = fit_ordinal_conditions(table).difference("b", "c").estimate
    other = fit_ordinal_conditions(renamed).difference("b", "c").estimate
    assert one.value == pytest.approx(other.value, abs=1e-4)
    assert one.se == pytest.approx(other.se, rel=1e-3)


def test_a_condition_that_only_got_tens_is_finite_and_the_note_says_how(make_study):
    table = check_ratings(make_study({"a": 4, "b": 6}, seed=5))
    table.loc[table["condition"] == "b", "rating"] = 10
    table.loc[(table["condition"] == "a") & (table["rating"] == 10), "rating"] = 9
    fitted = fit_ordinal_conditions(table)
    contrast = fitted.difference("b", "a")
    assert any("every rating is at one end" in note for note in fitted.notes)
    assert 2 < contrast.estimate.value < 20
    assert np.isfinite(contrast.estimate.se)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"n_participants": 1}, "one participant"),
        ({"n_pieces": 1}, "each has one piece"),
    ],
)
def test_designs_that_cannot_tell_conditions_are_refused_in_words(make_study, settings, reason):
    fitted = fit_ordinal_conditions(check_ratings(make_study({"a": 4, "b": 6}, **settings)))
    assert fitted.model is None
    assert fitted.difference("a", "b") is None
    assert fitted.share_above("a") is None
    assert reason in fitted.notes[0]


def test_constant_ratings_are_named(make_study):
    table = check_ratings(make_study({"a": 4, "b": 6})).assign(rating=7)
    fitted = fit_ordinal_conditions(table)
    assert fitted.model is None
    assert "all 96 answers are 7" in fitted.notes[0]


def test_an_unknown_condition_is_named(make_study):
    fitted = fit_ordinal_conditions(check_ratings(make_study({"a": 4, "b": 6})))
    with pytest.raises(OrdinalModelError, match="no condition 'c'; there are a, b"):
        fitted.difference("c", "a")
