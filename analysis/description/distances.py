"""How far is one set of pieces from another, beside how far its pieces are from each other?

For each feature, the distances between the pieces of one set (intra) and those between the pieces of two sets
(inter) are taken as samples of two densities (Gaussian kernels, Scott's bandwidth). Where their overlapping
area is 1 and their Kullback-Leibler divergence 0, the pieces of the other set are no further away than those
of the own. Two halves of the same real music do not reach 1 either: what they reach is the ceiling.

Differences from the authors' program: every pair of a set counts once, not twice; both densities are taken
on one grid, which reaches four bandwidths beyond the samples, where the program cuts the tails off and takes
each density of the divergence on a grid of its own; distances without spread get a narrow bandwidth instead
of an error.

References: Yang & Lerch, "On the evaluation of generative models in music", 2020; Scott, "Multivariate
density estimation", 1992.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError

N_POINTS = 2048  # of the grid on which densities are compared
NARROWEST = 1e-3  # bandwidth, as a share of the largest distance
LEAST_DENSITY = 1e-12  # keeps the divergence finite where a density vanishes


@dataclass(frozen=True)
class FeatureComparison:
    """One feature of a set of pieces beside that of real ones."""

    intra_real: float  # mean distance between the pieces of the real set
    intra: float  # between those of the set itself; far smaller than `intra_real` where pieces are alike
    inter: float  # between the two sets
    overlap: float  # overlapping area of the densities of real intra and of inter distances, 0 to 1
    divergence: float  # Kullback-Leibler divergence of inter from real intra distances, in nats


def compare_features(
    real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> dict[str, FeatureComparison]:
    """Compare two tables of features (`features.feature_table`), feature by feature.

    Raises
    ------
    AnalysisError
        If a set has fewer than 3 pieces: two distances make no density.
    """
    comparisons = {}
    for name, rows in real.items():
        for table in (rows, other[name]):
            if len(table) < 3:
                raise AnalysisError(f"a comparison needs at least 3 pieces in each set, got {len(table)}")
        intra_real, inter = intra_distances(rows), inter_distances(other[name], rows)
        overlap, divergence = compare_densities(intra_real, inter)
        comparisons[name] = FeatureComparison(
            float(intra_real.mean()),
            float(intra_distances(other[name]).mean()),
            float(inter.mean()),
            overlap,
            divergence,
        )
    return comparisons


def intra_distances(rows: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs of one set: (n, k) to (n (n - 1) / 2,)."""
    one, other = np.triu_indices(len(rows), k=1)
    return np.linalg.norm(rows[one] - rows[other], axis=1)


def inter_distances(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances of each row of one set to each of another: (n, k) and (m, k) to (n m,)."""
    return np.linalg.norm(rows[:, None] - others[None], axis=2).ravel()


def compare_densities(samples: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """The overlapping area of two densities, and the divergence of the second from the first in nats."""
    scale = max(samples.max(), others.max(), 1e-9)
    widths = [max(scott_bandwidth(each), NARROWEST * scale) for each in (samples, others)]
    low = min(samples.min(), others.min()) - 4 * max(widths)
    high = max(samples.max(), others.max()) + 4 * max(widths)
    grid = np.linspace(low, high, N_POINTS)
    one, other = (density(each, width, grid) for each, width in zip((samples, others), widths, strict=True))
    one, other = one / np.trapezoid(one, grid), other / np.trapezoid(other, grid)
    overlap = np.trapezoid(np.minimum(one, other), grid)
    ratio = np.log(np.maximum(one, LEAST_DENSITY) / np.maximum(other, LEAST_DENSITY))
    return float(overlap), max(0.0, float(np.trapezoid(one * ratio, grid)))


def scott_bandwidth(samples: np.ndarray) -> float:
    """The bandwidth of Scott's rule for samples of one dimension: standard deviation times n to the -1/5."""
    return float(np.std(samples, ddof=1) * len(samples) ** -0.2) if len(samples) > 1 else 0.0


def density(samples: np.ndarray, bandwidth: float, at: np.ndarray) -> np.ndarray:
    """A Gaussian kernel density estimate at some places.

    Samples are first shared out between the two nearest of many bins, so that millions of distances cost no
    more than the bins: with 16 bins to a bandwidth the error is below one in a thousand of the peak.
    """
    n_bins = int(min(2**14, max(2, np.ceil(16 * (np.ptp(samples) / bandwidth) + 2))))
    edges = np.linspace(samples.min(), samples.max() + 1e-12, n_bins)
    place = (samples - edges[0]) / max(edges[1] - edges[0], 1e-300)
    left = np.minimum(place.astype(int), n_bins - 2)
    weights = np.bincount(left, 1 - (place - left), n_bins) + np.bincount(left + 1, place - left, n_bins)
    used = np.nonzero(weights)[0]
    kernel = np.exp(-0.5 * ((at[:, None] - edges[used][None]) / bandwidth) ** 2)
    return kernel @ weights[used] / (len(samples) * bandwidth * np.sqrt(2 * np.pi))
