"""Do two sets of numbers differ, if only their order counts?

Wilcoxon's signed-rank and rank-sum tests with ties and zeros as they are: the exact distributions given the
very ranks that occur, counted by dynamic programming over doubled mid-ranks. Tables and programs that ignore
ties are wrong for whole-number ratings. Zeros follow one stated rule: with ``pratt`` (Pratt 1959, J. Am.
Stat. Assoc. 54:655) they are ranked with the rest and then carry no sign, with ``wilcoxon`` they are dropped
before ranking. Beside them are Fisher's sign-flip test (The Design of Experiments, 1935, section 21) and the
test of Brunner and Munzel (2000), Biometrical J. 42:17, whose interval is for the probability of superiority.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError

ZERO_RULES = ("pratt", "wilcoxon")
MOST_EXACT = 200  # observations up to which the exact distribution is counted
MOST_FLIPPED = 20  # differences up to which all sign flips are made: a million
FLIPS = 100_000


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of differences against 0."""

    statistic: float  # the sum of the ranks of the positive differences
    n: int
    n_zero: int
    zeros: str  # the rule
    p: float  # two-sided
    p_greater: float  # of the null hypothesis that differences are not positive
    p_less: float
    exact: bool
    rank_biserial: float  # -1 to 1: positive less negative rank sums over their total
    hodges_lehmann: float  # median of all pairwise means: the shift
    ci_low: float | None  # of the shift; None where so few differences can give no such confidence
    ci_high: float | None


@dataclass(frozen=True)
class RankSum:
    """Wilcoxon's rank-sum (Mann and Whitney's) test of two independent samples."""

    statistic: float  # U: pairs in which the first is larger, ties half
    n_first: int
    n_second: int
    p: float  # two-sided
    exact: bool
    superiority: float  # probability that one of the first is larger, ties half
    hodges_lehmann: float  # median of all pairwise differences

    @property
    def cliffs_delta(self) -> float:
        """Twice the superiority less 1."""
        return 2 * self.superiority - 1


@dataclass(frozen=True)
class Superiority:
    """The test of Brunner and Munzel: how likely one of the second is larger than one of the first."""

    value: float  # P(first < second) + P(first = second) / 2
    statistic: float
    df: float
    p: float  # two-sided, against 1/2
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class SignFlip:
    """Fisher's test: how many ways of giving the differences signs reach a sum as far from 0."""

    total: float
    p: float  # two-sided
    n_flips: int
    exact: bool


def signed_rank_test(
    differences: np.ndarray, *, zeros: str = "pratt", confidence: float = 0.95
) -> SignedRank:
    """Test paired differences; ties share their mean rank, and the p-value is exact given them.

    Beyond `MOST_EXACT` differences the distribution is normal, with the variance of the ranks that occur. The
    interval is that of Walsh averages, exact without ties and conservative with them.

    Raises
    ------
    AnalysisError
        If there are no differences, one is not finite, or the rule for zeros is unknown.
    """
    if zeros not in ZERO_RULES:
        raise AnalysisError(f"the rule for zeros is one of {', '.join(ZERO_RULES)}, got {zeros!r}")
    values = _finite(differences, "a signed-rank test needs differences")
    n_zero = int((values == 0).sum())
    kept = values if zeros == "pratt" else values[values != 0]
    ranks = stats.rankdata(np.abs(kept))
    signs = np.sign(kept)
    positive, negative = float(ranks[signs > 0].sum()), float(ranks[signs < 0].sum())
    exact = len(kept) <= MOST_EXACT
    moving = ranks[signs != 0]
    p_greater, p_less = _tails_of_signs(moving, positive, exact=exact)
    low, high = _walsh_interval(values, confidence)
    return SignedRank(
        statistic=positive,
        n=len(values),
        n_zero=n_zero,
        zeros=zeros,
        p=min(1.0, 2 * min(p_greater, p_less)),
        p_greater=p_greater,
        p_less=p_less,
        exact=exact,
        rank_biserial=(positive - negative) / (positive + negative) if len(moving) else 0.0,
        hodges_lehmann=float(np.median(_walsh_averages(values))),
        ci_low=low,
        ci_high=high,
    )


def rank_sum_test(first: np.ndarray, second: np.ndarray) -> RankSum:
    """Test two independent samples; ties share their mean rank, and the p-value is exact given them.

    The two-sided p-value is the share of divisions whose rank sum is as far from its mean. Beyond
    `MOST_EXACT` observations it is normal, corrected for ties and continuity.

    Raises
    ------
    AnalysisError
        If a sample is empty or a value is not finite.
    """
    first = _finite(first, "a rank-sum test needs a first sample")
    second = _finite(second, "a rank-sum test needs a second sample")
    n, n_first = len(first) + len(second), len(first)
    ranks = stats.rankdata(_merge_ties(np.concatenate([first, second])))
    statistic = float(ranks[:n_first].sum())
    exact = n <= MOST_EXACT
    p_of_division = _p_of_division if exact else _normal_p_of_division
    u = statistic - n_first * (n_first + 1) / 2
    return RankSum(
        statistic=u,
        n_first=n_first,
        n_second=len(second),
        p=p_of_division(ranks, n_first, statistic),
        exact=exact,
        superiority=u / (n_first * len(second)),
        hodges_lehmann=float(np.median(first[:, None] - second[None, :])),
    )


def sign_flip_test(differences: np.ndarray, *, flips: int = FLIPS, seed: int = 0) -> SignFlip:
    """Fisher's randomisation test of paired differences.

    Up to `MOST_FLIPPED` differences all sign flips are made. Beyond, `flips` are drawn, and p is (b + 1) /
    (flips + 1), which is never 0.

    Raises
    ------
    AnalysisError
        If there are no differences or one is not finite.
    """
    values = _finite(differences, "a sign-flip test needs differences")
    total = float(values.sum())
    least = abs(total) - 1e-9 * np.abs(values).sum()
    if len(values) <= MOST_FLIPPED:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return SignFlip(total, float((np.abs(sums) >= least).mean()), len(sums), exact=True)
    rng = np.random.default_rng(seed)
    n_reached, done = 0, 0
    while done < flips:
        block = min(10_000, flips - done)
        signs = 2.0 * rng.integers(0, 2, (block, len(values))) - 1
        n_reached += int((np.abs(signs @ values) >= least).sum())
        done += block
    return SignFlip(total, (n_reached + 1) / (flips + 1), flips, exact=False)


def brunner_munzel_test(first: np.ndarray, second: np.ndarray, *, confidence: float = 0.95) -> Superiority:
    """How likely one of the second sample is larger than one of the first, ties half, with its t interval.

    Raises
    ------
    AnalysisError
        If a sample has fewer than two values, a value is not finite, or the samples do not overlap at all or
        are all equal: the variance is then 0 and no interval can be given.
    """
    first = _finite(first, "the test of Brunner and Munzel needs a first sample", least=2)
    second = _finite(second, "the test of Brunner and Munzel needs a second sample", least=2)
    n, m = len(first), len(second)
    ranks = stats.rankdata(_merge_ties(np.concatenate([first, second])))
    placed_first = ranks[:n] - stats.rankdata(_merge_ties(first))
    placed_second = ranks[n:] - stats.rankdata(_merge_ties(second))
    variances = placed_first.var(ddof=1) / m**2 / n, placed_second.var(ddof=1) / n**2 / m
    error = float(sum(variances)) ** 0.5
    if error == 0:
        raise AnalysisError(
            "the samples do not overlap, or all values are equal: Brunner and Munzel's test has no variance"
        )
    value = float(placed_second.mean() / n)
    df = error**4 / (variances[0] ** 2 / (n - 1) + variances[1] ** 2 / (m - 1))
    statistic = (value - 0.5) / error
    half_width = float(stats.t.ppf((1 + confidence) / 2, df)) * error
    p = float(2 * stats.t.sf(abs(statistic), df))
    return Superiority(value, statistic, df, p, value - half_width, value + half_width)


def friedman_test(table: np.ndarray) -> tuple[float, int, float]:
    """Friedman's chi-squared, its degrees of freedom and p-value, corrected for ties; rows are blocks.

    Raises
    ------
    AnalysisError
        If the table has a gap, fewer than two rows or columns, or every row is all equal.
    """
    table = np.asarray(table, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise AnalysisError(f"a complete table of 2 rows and 2 columns or more is needed, got {table.shape}")
    n, k = table.shape
    ranks = np.vstack([stats.rankdata(_merge_ties(row)) for row in table])
    spread = ((ranks - (k + 1) / 2) ** 2).sum()
    if spread == 0:
        raise AnalysisError("within every row all values are equal: there is no order to agree about")
    statistic = float((k - 1) * ((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum() / spread)
    return statistic, k - 1, float(stats.chi2.sf(statistic, k - 1))


def _finite(values: np.ndarray, need: str, *, least: int = 1) -> np.ndarray:
    """The values with differences that only rounding made set to be ties, zeros included."""
    values = np.asarray(values, dtype=float).ravel()
    if len(values) < least:
        raise AnalysisError(f"{need}: at least {least}, got {len(values)}")
    if not np.isfinite(values).all():
        raise AnalysisError(f"{need} that are finite numbers, got {values[~np.isfinite(values)][0]}")
    return _merge_ties(values)


def _merge_ties(values: np.ndarray) -> np.ndarray:
    """Values to 12 digits of the largest: 0.3 and 0.1 + 0.2 tie."""
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return values
    return np.round(values, 12 - int(np.ceil(np.log10(largest))))


def _tails_of_signs(ranks: np.ndarray, positive: float, *, exact: bool) -> tuple[float, float]:
    """P(sum of positive ranks >= positive) and P(<= positive) when every sign is a coin."""
    if not exact:
        mean, sd = ranks.sum() / 2, float(np.sqrt((ranks**2).sum() / 4))
        return (
            float(stats.norm.sf((positive - mean - 0.25) / sd)),
            float(stats.norm.cdf((positive - mean + 0.25) / sd)),
        )
    doubled = np.rint(2 * ranks).astype(int)
    chance = np.zeros(doubled.sum() + 1)
    chance[0] = 1.0
    for rank in doubled:
        shifted = np.zeros_like(chance)
        shifted[rank:] = chance[: len(chance) - rank]
        chance = (chance + shifted) / 2
    at = round(2 * positive)
    return min(1.0, float(chance[at:].sum())), min(1.0, float(chance[: at + 1].sum()))


def _p_of_division(ranks: np.ndarray, n_first: int, statistic: float) -> float:
    """Two-sided p of the rank sum of `n_first` of the ranks drawn without replacement."""
    doubled = np.rint(2 * ranks).astype(int)
    size = min(n_first, len(ranks) - n_first)  # the smaller part: fewer sums to count
    at = round(2 * (statistic if size == n_first else ranks.sum() - statistic))
    chance = np.zeros((size + 1, int(np.sort(doubled)[-size:].sum()) + 1))
    chance[0, 0] = 1.0
    for seen, rank in enumerate(doubled):
        # Of the ranks seen, each subset of a size is equally likely: taken up one rank at a time.
        for part in range(min(size, seen + 1), 0, -1):
            share = part / (seen + 1)
            chance[part] *= 1 - share
            chance[part, rank:] += share * chance[part - 1, : chance.shape[1] - rank]
    sums = np.arange(chance.shape[1])
    mean = size * doubled.sum() / len(ranks)
    reached = np.abs(sums - mean) >= abs(at - mean) - 1e-9
    return min(1.0, float(chance[size, reached].sum()))


def _normal_p_of_division(ranks: np.ndarray, n_first: int, statistic: float) -> float:
    n = len(ranks)
    variance = n_first * (n - n_first) * ranks.var(ddof=1) / n
    if variance == 0:
        return 1.0
    away = max(0.0, abs(statistic - n_first * (n + 1) / 2) - 0.5)
    return float(2 * stats.norm.sf(away / variance**0.5))


def _walsh_averages(values: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(len(values))
    return np.sort((values[rows] + values[columns]) / 2)


def _walsh_interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Order statistics of the Walsh averages that the exact test does not reject."""
    n = len(values)
    tail = (1 - confidence) / 2
    if 0.5**n > tail:
        return None, None
    averages = _walsh_averages(values)
    if n > MOST_EXACT:
        mean, sd = n * (n + 1) / 4, (n * (n + 1) * (2 * n + 1) / 24) ** 0.5
        rank = int(mean + stats.norm.ppf(tail) * sd)
    else:
        chance = np.zeros(n * (n + 1) // 2 + 1)
        chance[0] = 1.0
        for value in range(1, n + 1):
            shifted = np.concatenate([np.zeros(value), chance[:-value]])
            chance = (chance + shifted) / 2
        rank = int(np.searchsorted(np.cumsum(chance), tail))
    rank = max(rank, 1)
    return float(averages[rank - 1]), float(averages[len(averages) - rank])
