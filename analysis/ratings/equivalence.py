"""Is a difference surely too small to matter?

Two one-sided tests: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15:657; Lakens (2017), Soc. Psychol.
Personal. Sci. 8:355. Equivalent at 5 % is the same as: the whole 90 % interval lies within the bounds. The
bound is declared before the ratings; "not significantly different" shows nothing of the kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.ratings.mixed_model import Estimate
from analysis.ratings.ordinal_model import WaldEstimate


@dataclass(frozen=True)
class Equivalence:
    """Both one-sided tests of a difference against the bounds -bound and bound."""

    difference: float
    se: float
    bound: float
    statistic_lower: float  # distance from the lower bound in standard errors
    p_lower: float  # of the null hypothesis that the difference is at most -bound: non-inferiority
    statistic_upper: float
    p_upper: float
    ci90_low: float
    ci90_high: float

    @property
    def p(self) -> float:
        """The larger of both p-values."""
        return max(self.p_lower, self.p_upper)

    @property
    def equivalent(self) -> bool:
        """Whether the 90 % interval lies within the bounds."""
        return self.p < 0.05

    @property
    def not_inferior(self) -> bool:
        """Whether the 90 % interval lies above -bound."""
        return self.p_lower < 0.05


def two_one_sided_tests(estimate: Estimate | WaldEstimate, bound: float) -> Equivalence:
    """Test a difference against bounds of its own unit.

    Raises
    ------
    AnalysisError
        If the bound is no positive number.
    """
    if not (math.isfinite(bound) and bound > 0):
        raise AnalysisError(f"the bound of equivalence is a positive number, got {bound!r}")
    low, high = estimate.interval(0.90)
    return Equivalence(
        difference=estimate.value,
        se=estimate.se,
        bound=float(bound),
        statistic_lower=(estimate.value + bound) / estimate.se,
        p_lower=estimate.p_above(-bound),
        statistic_upper=(estimate.value - bound) / estimate.se,
        p_upper=estimate.p_below(bound),
        ci90_low=low,
        ci90_high=high,
    )


def welch_estimate(
    mean: float, sd: float, n: int, other_mean: float, other_sd: float, other_n: int
) -> Estimate:
    """The difference of two independent means, with Welch's (1947) degrees of freedom.

    Raises
    ------
    AnalysisError
        If a sample has fewer than two values, or neither varies.
    """
    if min(n, other_n) < 2:
        raise AnalysisError(f"Welch's test needs two values in each sample, got {n} and {other_n}")
    variances = sd**2 / n, other_sd**2 / other_n
    total = sum(variances)
    if not (math.isfinite(total) and total > 0):
        raise AnalysisError(f"Welch's test needs values that differ, got SDs of {sd:g} and {other_sd:g}")
    df = total**2 / (variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (other_n - 1))
    return Estimate(mean - other_mean, total**0.5, df)


def welch_of_samples(first: np.ndarray, second: np.ndarray) -> Estimate:
    """As `welch_estimate`, of the values themselves."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if min(len(first), len(second)) < 2:
        raise AnalysisError(
            f"Welch's test needs two values in each sample, got {len(first)} and {len(second)}"
        )
    return welch_estimate(
        float(first.mean()),
        float(first.std(ddof=1)),
        len(first),
        float(second.mean()),
        float(second.std(ddof=1)),
        len(second),
    )
