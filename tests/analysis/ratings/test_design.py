import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from analysis.errors import AnalysisError
from analysis.ratings.comparison import fit_conditions
from analysis.ratings.design import (
    Components,
    StudySize,
    expected_rating,
    listener_curves,
    pieces_needed,
    power_of_difference,
    precision,
    sample_size,
    simulate_power,
    simulate_study,
    t_power,
    two_sample_power,
)

USUAL = Components()
SMALL = StudySize(5, 5)


@pytest.mark.parametrize(
    ("n", "difference", "paired", "published"),
    [(20, 1.0, False, 0.8689528), (64, 0.5, False, 0.8014596), (34, 0.5, True, 0.8077775)],
)
def test_power_of_t_tests_is_that_of_cohens_tables(n, difference, paired, published):
    """As printed by R's power.t.test, and by statsmodels."""
    found = two_sample_power(n, difference, 1.0, paired=paired)
    other = TTestPower if paired else TTestIndPower
    assert found == pytest.approx(published, abs=2e-5)
    assert found == pytest.approx(other().power(difference, n, 0.05), abs=1e-6)


def test_sample_sizes_are_those_of_power_t_test():
    assert sample_size(0.9, 1.0, 1.0) == pytest.approx(22.0211, abs=1e-3)
    other = TTestPower().solve_power(0.4, power=0.8, alpha=0.05)
    assert sample_size(0.8, 0.4, 1.0, paired=True) == pytest.approx(other, abs=1e-3)
    with pytest.raises(AnalysisError, match="got power 1"):
        sample_size(1.0, 1.0, 1.0)


def test_no_difference_is_found_as_often_as_alpha_says():
    assert t_power(0.0, 10) == pytest.approx(0.05)
    assert t_power(0.0, 10, alpha=0.01) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("listeners", "pieces", "se"),
    [
        (20, 5, 0.4528),
        (50, 5, 0.4104),
        (200, 5, 0.3874),
        (20, 20, 0.2515),
        (50, 20, 0.2166),
        (50, 50, 0.1503),
    ],
)
def test_standard_errors_are_those_of_the_expected_mean_squares(listeners, pieces, se):
    found = precision(USUAL, StudySize(listeners, pieces))
    assert found.se == pytest.approx(se, abs=5e-5)
    assert found.floor == pytest.approx((2 * 0.36 / pieces) ** 0.5)


def test_the_formula_is_the_error_that_the_model_finds_in_simulated_studies():
    """Rounding adds a twelfth to the residual variance; the ends of the scale are far."""
    narrow = Components(0.6, 0.4, 0.5, 0.9)
    for design in (StudySize(24, 8), StudySize(24, 12, n_heard=4)):
        rng = np.random.default_rng(0)
        means = {"a": 5.5, "b": 5.5}
        fits = [
            fit_conditions(simulate_study(means, narrow, design, rng)).difference("a", "b") for _ in range(25)
        ]
        rounded = Components(0.6, 0.4, 0.5, (0.81 + 1 / 12) ** 0.5)
        expected = precision(rounded, design)
        assert np.mean([fit.se**2 for fit in fits]) ** 0.5 == pytest.approx(expected.se, rel=0.08)
        assert np.median([fit.df for fit in fits]) == pytest.approx(expected.df, rel=0.35)


def test_more_listeners_never_beat_the_floor_and_more_pieces_lower_it():
    curves = listener_curves(USUAL, [10, 100, 10_000], [5, 20])
    few, many = curves[:3], curves[3:]
    assert few[0].se > few[1].se > few[2].se > few[2].floor
    assert few[2].se == pytest.approx(few[2].floor, rel=0.01)
    assert many[1].se < few[2].floor
    assert "Add pieces, not listeners" in few[1].advice
    assert "Listeners still help" in precision(USUAL, StudySize(5, 100)).advice


def test_the_detectable_difference_has_the_power_it_is_named_for():
    for design in (StudySize(20, 5), StudySize(50, 20, n_conditions=6)):
        found = precision(USUAL, design)
        assert power_of_difference(USUAL, design, found.detectable) == pytest.approx(0.8, abs=1e-6)
        assert found.detectable > 2.7 * found.se


def test_pieces_needed_are_the_first_number_that_suffices():
    needed = pieces_needed(USUAL, 30, 0.8)
    assert power_of_difference(USUAL, StudySize(30, needed), 0.8) >= 0.8
    assert power_of_difference(USUAL, StudySize(30, needed - 1), 0.8) < 0.8
    assert pieces_needed(USUAL, 30, 0.01, most=50) is None


def test_a_simulated_study_has_the_design_that_was_asked_for():
    table = simulate_study({"a": 5, "b": 7}, USUAL, StudySize(12, 6, n_heard=4), np.random.default_rng(1))
    assert len(table) == 12 * 2 * 4
    assert table.groupby(["participant", "condition"])["piece"].nunique().eq(4).all()
    assert table.groupby("piece").size().eq(8).all()
    assert table["rating"].between(1, 10).all()
    assert not table.duplicated(["participant", "piece"]).any()


def test_expected_ratings_are_those_of_many_impressions():
    rng = np.random.default_rng(2)
    for mean, sd in ((5.5, 1.0), (9.5, 2.0), (1.0, 1.5)):
        impressions = np.clip(np.rint(rng.normal(mean, sd, 400_000)), 1, 10)
        assert expected_rating(mean, sd) == pytest.approx(impressions.mean(), abs=0.01)


def test_simulated_power_is_about_that_of_the_formula():
    design, parts = StudySize(16, 8), Components(0.8, 0.3, 0.5, 1.0)
    means = {"real": 6.0, "model": 5.2}
    (found,) = simulate_power(means, "real", parts, design, margin=0.5, n_runs=40, seed=1)
    expected = power_of_difference(parts, design, found.true_difference)
    assert found.found[1] < expected < found.found[2]
    assert found.coverage[1] < 0.95
    assert found.coverage[2] > 0.95
    assert sum(share for share, _, _ in found.verdicts.values()) == pytest.approx(1)
    assert found.verdicts["inferior"][0] == pytest.approx(found.found[0], abs=0.05)


def test_the_same_seed_simulates_the_same_studies_and_runs_are_independent_of_their_number():
    settings = {"margin": 0.5, "seed": 3}
    args = ({"real": 6.0, "model": 6.0}, "real", USUAL, StudySize(8, 4))
    one, again = (simulate_power(*args, n_runs=6, **settings) for _ in range(2))
    assert one == again
    assert one[0].true_difference == 0


def test_components_of_an_earlier_study_are_those_of_its_model(make_study):
    table = make_study({"a": 5, "b": 6}, n_participants=40, n_pieces=20, seed=4)
    found = Components.of(fit_conditions(table))
    assert (found.participant, found.piece) == pytest.approx((1.0, 0.6), abs=0.3)
    assert found.residual == pytest.approx(1.5, abs=0.1)
    with pytest.raises(AnalysisError, match="no model"):
        Components.of(fit_conditions(make_study({"a": 5, "b": 6}, n_pieces=1)))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: Components(piece=-1), "got -1 for piece"),
        (lambda: Components(residual=0), "more than 0"),
        (lambda: StudySize(1, 5), "n_participants is 2 or more, got 1"),
        (lambda: StudySize(5, 5, n_heard=6), "1 to 5 pieces of each, got 6"),
        (lambda: two_sample_power(1, 1, 1), "n of 2 or more"),
        (lambda: simulate_power({"a": 5}, "a", USUAL, SMALL, margin=0.5), "got 'a'"),
        (
            lambda: simulate_power({"a": 5, "b": 11}, "a", USUAL, SMALL, margin=0.5),
            "got 11 for 'b'",
        ),
        (
            lambda: simulate_power({"a": 5, "b": 6}, "a", USUAL, SMALL, margin=0.5, n_runs=0),
            "got 0",
        ),
    ],
)
def test_designs_that_are_none_are_refused(call, reason):
    with pytest.raises(AnalysisError, match=reason):
        call()
