import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from statsmodels.miscmodels.ordinal_model import OrderedModel

from analysis.ratings.ordinal_model import OrdinalModelError, fit_ordinal_model

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "statistics.json"
DISTRIBUTIONS = {"logit": stats.logistic, "probit": stats.norm}


def random_answers(
    seed, *, n_participants=8, n_pieces=6, n_levels=4, share=0.8, effect=0.8, sd=(1, 0.4, 0.6)
):
    """Answers of a cumulative logit model with known standard deviations, and the codes of its terms."""
    rng = np.random.default_rng(seed)
    pairs = [(i, j) for i in range(n_participants) for j in range(n_pieces) if rng.random() < share]
    participant, piece = np.array(pairs).T
    condition = piece % 2
    latent = 0.8 * condition + sd[0] * rng.normal(size=n_participants)[participant]
    latent += sd[1] * rng.normal(size=(n_participants, 2))[participant, condition]
    latent += sd[2] * rng.normal(size=n_pieces)[piece] + rng.logistic(size=len(piece))
    y = np.searchsorted(np.linspace(-1.5, 2.5, n_levels - 1), latent)
    cell = np.unique(participant * 2 + condition, return_inverse=True)[1]
    groups = {"participant": participant, "cell": cell, "piece": piece}
    dense = {name: np.unique(codes, return_inverse=True)[1] for name, codes in groups.items()}
    return y, condition[:, None].astype(float), dense


def laplace(y, fixed, groups, thresholds, beta, theta, link):
    """Laplace's approximation from its definition, with dense matrices and numerical derivatives."""
    z = np.hstack([theta[name] * np.eye(codes.max() + 1)[codes] for name, codes in groups.items()])
    ends = np.concatenate([[-np.inf], thresholds, [np.inf]])
    cdf = DISTRIBUTIONS[link].cdf

    def each(eta):
        return np.log(cdf(ends[y + 1] - eta) - cdf(ends[y] - eta))

    def curve(u):
        eta = fixed @ beta + z @ u
        return -(each(eta + 1e-4) - 2 * each(eta) + each(eta - 1e-4)) / 1e-8

    def joint(u):
        return -each(fixed @ beta + z @ u).sum() + u @ u / 2

    def slope(u):
        eta = fixed @ beta + z @ u
        return u - z.T @ ((each(eta + 1e-5) - each(eta - 1e-5)) / 2e-5)

    u = optimize.minimize(joint, np.zeros(z.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-7}).x
    hessian = (z.T * curve(u)) @ z + np.eye(z.shape[1])
    return -joint(u) - np.linalg.slogdet(hessian)[1] / 2


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("seed", [2, 3])
def test_the_likelihood_is_laplaces_and_no_point_nearby_is_higher(seed, link):
    y, fixed, groups = random_answers(seed)
    model = fit_ordinal_model(y, fixed, link=link, **groups)
    codes = np.searchsorted(model.levels, y)

    def at(thresholds, beta, theta):
        return laplace(codes, fixed, groups, thresholds, beta, theta, link)

    best = at(model.thresholds, model.beta, model.theta)
    assert model.log_likelihood == pytest.approx(best, abs=1e-5)
    for move in (-0.1, 0.1):
        assert at(model.thresholds, model.beta + move, model.theta) < best + 1e-6
        for index in range(len(model.thresholds)):
            moved = model.thresholds + move * np.eye(len(model.thresholds))[index]
            assert at(moved, model.beta, model.theta) < best + 1e-6
        for name in groups:
            moved = {**model.theta, name: abs(model.theta[name] + move)}
            assert at(model.thresholds, model.beta, moved) < best + 1e-6


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_gradient_left_at_the_optimum_is_nothing(seed):
    y, fixed, groups = random_answers(seed, n_participants=10, n_pieces=8)
    model = fit_ordinal_model(y, fixed, **groups)
    assert model.gradient < 1e-3
    assert (np.diff(model.thresholds) > 0).all()


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_without_random_terms_it_is_the_ordered_model_of_statsmodels(link):
    y, fixed, _ = random_answers(4, n_participants=30, n_pieces=8)
    model = fit_ordinal_model(y, fixed, link=link)
    other = OrderedModel(y, fixed, distr=link).fit(method="bfgs", gtol=1e-9, disp=False)
    assert model.log_likelihood == pytest.approx(other.llf, abs=1e-6)
    assert model.beta[0] == pytest.approx(other.params[0], abs=1e-5)
    assert model.contrast([1.0]).se == pytest.approx(other.bse[0], rel=1e-4)


def test_two_levels_are_the_mixed_model_of_yes_and_no_integrated_exactly_for_large_groups():
    """With many answers per listener Laplace's approximation comes close to the integral itself."""
    rng = np.random.default_rng(1)
    participant = np.repeat(np.arange(12), 60)
    y = (rng.normal(size=12)[participant] + rng.logistic(size=720) > 0).astype(int)
    model = fit_ordinal_model(y, np.zeros((720, 0)), participant=participant)
    yes = np.bincount(participant, y)

    def marginal(threshold, theta):
        def one(count):
            def density(u):
                eta = theta * u - threshold
                return np.exp(count * eta - 60 * np.logaddexp(0, eta)) * stats.norm.pdf(u)

            return np.log(integrate.quad(density, -8, 8, points=[-2, 0, 2], limit=200)[0])

        return sum(one(count) for count in yes)

    exact = optimize.minimize(
        lambda v: -marginal(v[0], np.exp(v[1])), [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5}
    )
    assert model.thresholds[0] == pytest.approx(exact.x[0], abs=0.01)
    assert model.theta["participant"] == pytest.approx(np.exp(exact.x[1]), rel=0.01)


def test_planted_effects_and_standard_deviations_come_back():
    y, fixed, groups = random_answers(
        7, n_participants=150, n_pieces=60, n_levels=8, share=0.5, sd=(1.0, 0.5, 0.7)
    )
    model = fit_ordinal_model(y, fixed, **groups)
    assert model.contrast([1.0]).interval()[0] < 0.8 < model.contrast([1.0]).interval()[1]
    assert model.theta["participant"] == pytest.approx(1.0, abs=0.2)
    assert model.theta["cell"] == pytest.approx(0.5, abs=0.2)
    assert model.theta["piece"] == pytest.approx(0.7, abs=0.2)


def test_only_the_order_of_the_answers_counts():
    y, fixed, groups = random_answers(5)
    one = fit_ordinal_model(y, fixed, **groups)
    other = fit_ordinal_model(np.array([-3.0, 1.0, 50.0, 51.0])[y], fixed, **groups)
    assert one.beta == pytest.approx(other.beta, abs=1e-9)
    turned = fit_ordinal_model(-y, fixed, **groups)
    assert turned.beta == pytest.approx(-one.beta, abs=1e-4)
    assert turned.thresholds == pytest.approx(-one.thresholds[::-1], abs=1e-4)


def test_a_term_without_variance_is_zero_and_named():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2, 3, 1, 2], 10)  # every listener answers alike
    participant = np.repeat(np.arange(10), 6)
    x = rng.normal(size=(60, 1))
    model = fit_ordinal_model(y, x, participant=participant)
    without = fit_ordinal_model(y, x)
    assert model.singular == ("participant",)
    assert model.theta == {"participant": 0.0}
    assert model.beta == pytest.approx(without.beta, abs=1e-6)
    assert model.contrast([1.0]).se == pytest.approx(without.contrast([1.0]).se, rel=1e-6)


def test_separated_answers_are_named_and_a_ridge_makes_them_finite():
    y = np.array([0, 1] * 10 + [2] * 10)
    x = np.repeat([0.0, 1.0], [20, 10])[:, None]
    assert fit_ordinal_model(y, x).separated
    ridge = fit_ordinal_model(y, x, ridge=3.0)
    assert not ridge.separated
    assert 2 < ridge.beta[0] < 10


def test_shares_above_a_level_are_averaged_over_listeners_and_pieces():
    """The share that a condition gets is that of its counts, up to what the model smooths."""
    y, fixed, groups = random_answers(8, n_participants=80, n_pieces=40)
    model = fit_ordinal_model(y, fixed, **groups)
    for level in (1, 2, 3):
        share = model.share_above([1.0], level)
        assert share.value == pytest.approx((y[fixed[:, 0] == 1] >= level).mean(), abs=0.06)
        assert share.ci_low < share.value < share.ci_high
    assert model.share_above([1.0], 0).value == 1
    assert model.share_above([1.0], 9).value == 0


@pytest.mark.parametrize(
    ("y", "fixed", "settings", "reason"),
    [
        ([4.0, 4, 4], np.zeros((3, 0)), {}, "all 3 answers are 4"),
        ([1.0, 2, 3], np.ones((3, 1)), {}, "not independent"),
        ([1.0, 2, 3], np.zeros((3, 0)), {"link": "loglog"}, "logit, probit, got 'loglog'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(y, fixed, settings, reason):
    with pytest.raises(OrdinalModelError, match=reason):
        fit_ordinal_model(np.array(y), fixed, **settings)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference cases are not beside this checkout")
def test_reference_fits_of_clmm_are_met():
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    rows = reference["datasets"]["wine"]["rows"]
    y = np.array([row[0] for row in rows])
    fixed = np.array([[row[1] == "warm", row[2] == "yes"] for row in rows], dtype=float)
    judge = np.array([row[4] for row in rows]) - 1
    for case, groups in (("clm_wine", {}), ("clmm_wine_laplace", {"participant": judge})):
        expected = next(entry["expected"] for entry in reference["cases"] if entry["id"] == case)
        model = fit_ordinal_model(y, fixed, **groups)
        errors = [model.contrast(row).se for row in np.eye(2)]
        assert model.thresholds == pytest.approx(expected["thresholds"], abs=1e-4)
        assert model.beta == pytest.approx(list(expected["coef"].values()), abs=1e-4)
        assert errors == pytest.approx(list(expected["se"].values()), abs=2e-4)
        assert model.log_likelihood == pytest.approx(expected["loglik"], abs=1e-4)
    assert model.theta["participant"] == pytest.approx(expected["sd_judge"], abs=1e-4)
