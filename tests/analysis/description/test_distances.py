import numpy as np
import pytest
from scipy import integrate, stats
from scipy.spatial.distance import cdist, pdist

from analysis.description.distances import (
    compare_densities,
    compare_features,
    density,
    inter_distances,
    intra_distances,
    scott_bandwidth,
)
from analysis.errors import AnalysisError

RNG = np.random.default_rng(3)
NEAR, FAR = RNG.gamma(4.0, 1.0, 300), RNG.gamma(9.0, 1.0, 200)


def test_distances_are_those_of_scipy():
    one, other = RNG.normal(size=(7, 12)), RNG.normal(size=(5, 12))
    assert intra_distances(one) == pytest.approx(pdist(one))
    assert inter_distances(one, other) == pytest.approx(cdist(one, other).ravel())


def test_the_density_is_that_of_scipy():
    kernel = stats.gaussian_kde(NEAR)
    grid = np.linspace(-2, 20, 200)
    ours = density(NEAR, scott_bandwidth(NEAR), grid)
    assert ours == pytest.approx(kernel(grid), abs=2e-3 * kernel(grid).max())


def test_overlap_and_divergence_are_the_integrals_of_scipys_densities():
    one, other = stats.gaussian_kde(NEAR), stats.gaussian_kde(FAR)
    area, _ = integrate.quad(lambda x: min(one(x)[0], other(x)[0]), -5, 40, limit=400)
    divergence, _ = integrate.quad(lambda x: one(x)[0] * np.log(one(x)[0] / other(x)[0]), -0.3, 15, limit=400)
    overlap, ours = compare_densities(NEAR, FAR)
    assert overlap == pytest.approx(area, abs=2e-3)
    assert ours == pytest.approx(divergence, rel=0.05)


def test_two_normal_densities_overlap_as_their_formula_says():
    """Of unit variance and two apart, normal densities share 2 * Phi(-1) of their area."""
    quantiles = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    narrow = 1 + 4000**-0.4  # the kernel widens both
    overlap, divergence = compare_densities(quantiles, quantiles + 2)
    assert overlap == pytest.approx(2 * stats.norm.cdf(-1 / np.sqrt(narrow)), abs=3e-3)
    assert divergence == pytest.approx(2 / narrow, rel=0.1)  # samples have no tails


def test_a_set_beside_itself_overlaps_wholly_and_one_far_away_not_at_all():
    overlap, divergence = compare_densities(NEAR, NEAR)
    assert overlap == pytest.approx(1)
    assert divergence == pytest.approx(0, abs=1e-9)
    overlap, divergence = compare_densities(NEAR, NEAR + 1000)
    assert overlap == pytest.approx(0, abs=1e-6)
    assert divergence > 5


def test_distances_without_spread_are_compared_too():
    assert compare_densities(np.full(9, 2.0), np.full(5, 2.0))[0] == pytest.approx(1)
    assert compare_densities(np.zeros(9), np.zeros(5))[0] == pytest.approx(1)
    assert compare_densities(np.zeros(9), np.full(5, 2.0))[0] == pytest.approx(0, abs=1e-6)


def test_pieces_that_are_all_alike_show_in_their_own_distances():
    real = {"pitch count": RNG.normal(30, 4, size=(12, 1))}
    alike = {"pitch count": np.full((12, 1), 30.0)}
    compared = compare_features(real, alike)["pitch count"]
    assert compared.intra == 0
    assert compared.intra_real > 1
    assert compared.inter < compared.intra_real


def test_the_ceiling_is_higher_than_what_strange_music_reaches():
    real, held_out = RNG.normal(30, 4, size=(20, 1)), RNG.normal(30, 4, size=(20, 1))
    strange = RNG.normal(60, 4, size=(20, 1))
    ceiling = compare_features({"x": real}, {"x": held_out})["x"].overlap
    assert ceiling > 0.8 > 0.2 > compare_features({"x": real}, {"x": strange})["x"].overlap


def test_two_pieces_are_too_few():
    with pytest.raises(AnalysisError, match="at least 3 pieces in each set, got 2"):
        compare_features({"x": np.zeros((5, 1))}, {"x": np.zeros((2, 1))})
