import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.ratings.mixed_model import MixedModelError, fit_mixed_model

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "statistics.json"


def codes(names):
    return np.unique([str(name) for name in names], return_inverse=True)[1]


def dense_deviance(y, fixed, groups, theta):
    """The REML deviance from its definition (Patterson and Thompson 1971), with the whole covariance."""
    n, n_fixed = fixed.shape
    covariance = np.eye(n)
    for group, value in zip(groups, theta, strict=True):
        covariance += value**2 * (group[:, None] == group[None, :])
    inverse = np.linalg.inv(covariance)
    gram = fixed.T @ inverse @ fixed
    beta = np.linalg.solve(gram, fixed.T @ inverse @ y)
    residual = y - fixed @ beta
    r2 = residual @ inverse @ residual
    determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
    return determinants + (n - n_fixed) * (1 + np.log(2 * np.pi * r2 / (n - n_fixed))), beta


def random_study(seed, *, n_participants=7, n_pieces=6, n_conditions=2, share=0.7):
    """An incomplete study: condition means as X, and codes of participants, cells and pieces without gaps."""
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(n_participants) for j in range(n_pieces) if rng.random() < share]
    participant, piece = np.array(pairs).T
    condition = piece % n_conditions
    y = 5 + rng.normal(0, 1, n_participants)[participant] + rng.normal(0, 0.8, n_pieces)[piece]
    y = (
        y
        + rng.normal(0, 0.5, (n_participants, n_conditions))[participant, condition]
        + rng.normal(0, 1, len(y))
    )
    cell = codes(participant * n_conditions + condition)
    fixed = (condition[:, None] == np.arange(n_conditions)).astype(float)
    return y, fixed, codes(participant), cell, codes(piece)


def test_dyestuff_fit_is_the_published_one(golden):
    case = golden["dyestuff"]
    y = np.concatenate([np.array(values, dtype=float) for values in case["rows"].values()])
    model = fit_mixed_model(y, np.ones((30, 1)), participant=np.repeat(np.arange(6), 5))
    estimate = model.contrast([1.0])
    assert model.reml_deviance == pytest.approx(case["reml_deviance"], abs=1e-4)
    assert model.variance("participant") ** 0.5 == pytest.approx(case["sd_batch"], abs=0.005)
    assert model.variance("residual") ** 0.5 == pytest.approx(case["sd_residual"], abs=0.005)
    assert estimate.value == pytest.approx(case["mean"])
    assert estimate.se == pytest.approx(case["se"], abs=0.005)
    assert estimate.df == pytest.approx(5, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_deviance_is_that_of_the_whole_covariance_matrix_and_no_point_nearby_is_lower(seed):
    y, fixed, participant, cell, piece = random_study(seed)
    model = fit_mixed_model(y, fixed, participant=participant, cell=cell, piece=piece)
    theta = [model.theta[name] for name in ("participant", "cell", "piece")]
    groups = (participant, cell, piece)
    deviance, beta = dense_deviance(y, fixed, groups, theta)
    assert model.reml_deviance == pytest.approx(deviance, abs=1e-6)
    assert model.beta == pytest.approx(beta, abs=1e-6)
    for scale in (0.02, 0.3):
        for index in range(3):
            for sign in (-1, 1):
                moved = list(theta)
                moved[index] = abs(moved[index] + sign * scale)
                assert dense_deviance(y, fixed, groups, moved)[0] >= deviance - 1e-6


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_balanced_contrast_has_the_standard_error_and_df_of_its_mean_squares(seed):
    """Everybody hears everything: REML is then the analysis of variance (Satterthwaite 1946)."""
    n_participants, n_pieces = 8, 5
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (n_participants, 1, 1)) + rng.normal(0, 1.0, (1, 2, n_pieces))
    table = (
        table + rng.normal(0, 1.0, (n_participants, 2, 1)) + rng.normal(0, 1, (n_participants, 2, n_pieces))
    )
    by_cell = table.mean(axis=2)
    by_piece = table.mean(axis=0)
    centred = by_cell - by_cell.mean(axis=1, keepdims=True) - by_cell.mean(axis=0) + by_cell.mean()
    ms_cell = n_pieces * (centred**2).sum() / (n_participants - 1)
    ms_piece = (
        n_participants * ((by_piece - by_piece.mean(axis=1, keepdims=True)) ** 2).sum() / (2 * (n_pieces - 1))
    )
    rest = table - by_cell[:, :, None] - by_piece[None] + by_piece.mean(axis=1)[None, :, None]
    df_rest = 2 * (n_participants - 1) * (n_pieces - 1)
    ms_rest = (rest**2).sum() / df_rest
    ms_participant = (
        2 * n_pieces * ((table.mean(axis=(1, 2)) - table.mean()) ** 2).sum() / (n_participants - 1)
    )
    if ms_cell <= ms_rest or ms_piece <= ms_rest or ms_participant <= ms_cell:
        return  # a negative component: REML sets it to 0 and differs by right
    participant, condition, piece = (index.ravel() for index in np.indices(table.shape))
    model = fit_mixed_model(
        table.ravel(),
        np.stack([condition == 0, condition == 1], axis=1).astype(float),
        participant=participant,
        cell=codes(participant * 2 + condition),
        piece=condition * n_pieces + piece,
    )
    contrast = model.contrast([1.0, -1.0])
    combined = ms_cell + ms_piece - ms_rest
    df = combined**2 / (
        ms_cell**2 / (n_participants - 1) + ms_piece**2 / (2 * (n_pieces - 1)) + ms_rest**2 / df_rest
    )
    assert contrast.value == pytest.approx(by_cell[:, 0].mean() - by_cell[:, 1].mean())
    assert contrast.se == pytest.approx((2 * combined / (n_participants * n_pieces)) ** 0.5, rel=1e-5)
    assert contrast.df == pytest.approx(df, rel=1e-3)
    assert contrast.p == pytest.approx(2 * stats.t.sf(abs(contrast.t), contrast.df))


def test_random_row_and_column_error_of_a_grand_mean_is_that_of_the_mean_squares(golden):
    table = np.array(golden["shrout_fleiss"]["rows"], dtype=float)
    squares = golden["shrout_fleiss"]["mean_squares"]
    rows, columns = (index.ravel() for index in np.indices(table.shape))
    model = fit_mixed_model(table.ravel(), np.ones((24, 1)), participant=columns, piece=rows)
    variance = (squares["targets"] + squares["judges"] - squares["residual"]) / 24
    assert model.contrast([1.0]).se == pytest.approx(variance**0.5, abs=1e-3)


def test_a_term_without_variance_is_zero_and_named():
    """Equal piece means put the estimate on the boundary: the model is the one without the term."""
    rng = np.random.default_rng(3)
    table = rng.normal(0, 1, (6, 5))
    table = table - table.mean(axis=0) + 5 + rng.normal(0, 2, (6, 1))
    participant, piece = (index.ravel() for index in np.indices(table.shape))
    model = fit_mixed_model(table.ravel(), np.ones((30, 1)), participant=participant, piece=piece)
    without = fit_mixed_model(table.ravel(), np.ones((30, 1)), participant=participant)
    assert model.singular == ("piece",)
    assert model.variance("piece") == 0
    assert model.contrast([1.0]).se == pytest.approx(without.contrast([1.0]).se, rel=1e-6)
    assert model.contrast([1.0]).df == pytest.approx(without.contrast([1.0]).df, rel=1e-4)


def test_only_the_residual_gives_the_ordinary_t_interval():
    y = np.array([3.0, 5.0, 4.0, 8.0, 6.0])
    estimate = fit_mixed_model(y, np.ones((5, 1))).contrast([1.0])
    assert estimate.interval() == pytest.approx(stats.t.interval(0.95, 4, y.mean(), stats.sem(y)))


def test_predicted_piece_means_are_the_solution_of_the_whole_system():
    y, fixed, participant, cell, piece = random_study(5, n_participants=9, n_pieces=8)
    model = fit_mixed_model(y, fixed, participant=participant, cell=cell, piece=piece)
    covariance = np.eye(len(y))
    for group, name in ((participant, "participant"), (cell, "cell"), (piece, "piece")):
        covariance += model.theta[name] ** 2 * (group[:, None] == group[None, :])
    shared = model.theta["piece"] ** 2 * (np.arange(8)[:, None] == piece[None, :])
    design = np.array([fixed[piece == index][0] for index in range(8)])
    expected = design @ model.beta + shared @ np.linalg.solve(covariance, y - fixed @ model.beta)
    predicted, error = model.piece_predictions(design)
    assert predicted == pytest.approx(expected, abs=1e-8)
    assert (error > 0).all()
    assert (error < (model.variance("piece") + model.variance("residual")) ** 0.5).all()


def test_shift_and_scale_of_the_ratings_move_the_results_with_them():
    y, fixed, participant, cell, piece = random_study(11)
    one = fit_mixed_model(y, fixed, participant=participant, cell=cell, piece=piece)
    other = fit_mixed_model(1000 + 250 * y, fixed, participant=participant, cell=cell, piece=piece)
    a, b = one.contrast([1.0, -1.0]), other.contrast([1.0, -1.0])
    assert (b.value, b.se, b.df) == pytest.approx((250 * a.value, 250 * a.se, a.df), rel=1e-5)


@pytest.mark.parametrize(
    ("y", "fixed", "reason"),
    [
        ([4.0, 4, 4, 4], np.ones((4, 1)), "do not differ"),
        ([1.0, 2, 3, 4], np.ones((4, 2)), "not independent"),
        ([1.0, 2], np.eye(2), "2 ratings cannot carry 2 means"),
    ],
)
def test_what_has_no_error_of_measurement_is_refused(y, fixed, reason):
    with pytest.raises(MixedModelError, match=reason):
        fit_mixed_model(np.array(y), fixed)


def test_ratings_that_listener_and_piece_explain_exactly_are_refused():
    participant, piece = (index.ravel() for index in np.indices((4, 5)))
    with pytest.raises(MixedModelError, match="exactly"):
        fit_mixed_model(2.0 * participant + piece, np.ones((20, 1)), participant=participant, piece=piece)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference cases are not beside this checkout")
def test_reference_fits_of_lme4_are_met():
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    cases = {case["id"]: case["expected"] for case in reference["cases"]}
    rows = reference["datasets"]["penicillin"]["rows"]
    y = np.array([row[0] for row in rows], dtype=float)
    plate, sample = codes([row[1] for row in rows]), codes([row[2] for row in rows])
    model, expected = (
        fit_mixed_model(y, np.ones((144, 1)), participant=plate, piece=sample),
        cases["lmm_penicillin_reml"],
    )
    assert model.reml_deviance == pytest.approx(expected["reml_deviance"], abs=1e-4)
    assert model.variance("participant") ** 0.5 == pytest.approx(expected["sd_plate"], abs=5e-4)
    assert model.variance("piece") ** 0.5 == pytest.approx(expected["sd_sample"], abs=5e-4)
    assert model.contrast([1.0]).se == pytest.approx(expected["se_intercept"], abs=5e-4)
    predicted = model.piece_predictions(np.ones((6, 1)))[0] - model.beta[0]
    assert predicted == pytest.approx(list(expected["blup_sample"].values()), abs=5e-4)
    rows = reference["datasets"]["sleepstudy"]["rows"]
    y, fixed = np.array([row[0] for row in rows]), np.array([[1.0, row[1]] for row in rows])
    model, expected = (
        fit_mixed_model(y, fixed, participant=codes([r[2] for r in rows])),
        cases["lmm_sleepstudy_intercept"],
    )
    intercept, slope = model.contrast([1.0, 0.0]), model.contrast([0.0, 1.0])
    assert model.reml_deviance == pytest.approx(expected["reml_deviance"], abs=1e-3)
    assert (intercept.value, slope.value) == pytest.approx(expected["coef"], abs=2e-3)
    assert (intercept.se, slope.se) == pytest.approx(expected["se"], abs=2e-3)
    assert (intercept.df, slope.df) == pytest.approx(expected["df"], abs=0.1)
