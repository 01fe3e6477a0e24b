"""How far may a counted share be from the true one?

Wilson's score interval: E. B. Wilson (1927), J. Am. Stat. Assoc. 22:209; recommended and tabled by Newcombe
(1998), Stat. Med. 17:857. It stays within 0 and 1 and has a width at 0 of n as well.
"""

from __future__ import annotations

import math

from scipy import stats

from analysis.errors import AnalysisError


def wilson_interval(
    count: float, n: float, *, confidence: float = 0.95, df: float = math.inf
) -> tuple[float, float]:
    """Interval of a share of independent observations.

    Parameters
    ----------
    count, n : float
        Not whole where n is an effective number: that of independent observations with the same variance.
    df : float
        Degrees of freedom of that variance; infinite when it is the binomial's own.

    Raises
    ------
    AnalysisError
        If n is not positive or count lies outside 0 to n.
    """
    if n <= 0 or not 0 <= count <= n:
        raise AnalysisError(f"a share needs 0 <= count <= n and n > 0, got {count} of {n}")
    share = count / n
    quantile = float(stats.t.ppf((1 + confidence) / 2, df))
    spread = quantile**2 / n
    center = (share + spread / 2) / (1 + spread)
    half_width = quantile / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends rounding would leave 1e-17 instead of the exact 0 or 1.
    return (0.0 if count == 0 else center - half_width), (1.0 if count == n else center + half_width)


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for their number, in the given order: Holm (1979), Scand. J. Stat. 6:65."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: list[float]) -> list[float]:
    """P-values adjusted for the share of false findings among the findings, in the given order.

    For exploratory families of independent or positively dependent tests: Benjamini and Hochberg (1995), J.
    R. Stat. Soc. B 57:289. A declared claim is adjusted by `holm`.
    """
    order = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    adjusted = [0.0] * len(p_values)
    least = 1.0
    for n_above, index in enumerate(order):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - n_above))
        adjusted[index] = least
    return adjusted
