"""How far do listeners agree, and how far can the agreement itself be trusted?

The six intraclass correlations of Shrout and Fleiss (1979), Psychol. Bull. 86:420, with the exact intervals
of McGraw and Wong (1996), Psychol. Methods 1:30, for complete tables. For tables with gaps ICC(2,1) and
ICC(2,k) from variance components, with intervals from the profile of the REML likelihood: the values that a
likelihood ratio test at 5 % does not reject. Krippendorff's ordinal alpha with a bootstrap over pieces, and
Kendall's W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.errors import AnalysisError
from analysis.ratings.agreement import krippendorff_alpha
from analysis.ratings.bootstrap import DRAWS, percentile_interval
from analysis.ratings.comparison import ConditionModel
from analysis.ratings.mixed_model import MixedModel, MixedModelError, fit_mixed_model
from analysis.ratings.rank_tests import friedman_test
from analysis.ratings.table import codes_of, with_piece_ids

HIGHEST = 1 - 1e-6  # an intraclass correlation of 1 would need an infinite variance


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval; None where the table does not tell."""

    value: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class IntraclassCorrelations:
    """Shrout and Fleiss's six; the second letter is what is relied on, one rating or the mean of k."""

    one_way_single: Figure  # ICC(1,1)
    one_way_average: Figure  # ICC(1,k)
    agreement_single: Figure  # ICC(2,1): listeners are a sample
    agreement_average: Figure  # ICC(2,k)
    consistency_single: Figure  # ICC(3,1): these listeners
    consistency_average: Figure  # ICC(3,k)


def intraclass_correlations_of(table: np.ndarray, *, confidence: float = 0.95) -> IntraclassCorrelations:
    """The six coefficients of a complete table.

    Parameters
    ----------
    table : np.ndarray [shape=(n_pieces, n_listeners)]

    Raises
    ------
    AnalysisError
        If the table has gaps, fewer than two rows or columns, or leaves no residual.
    """
    table = np.asarray(table, dtype=float)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise AnalysisError(f"a complete table of 2 pieces and 2 listeners is needed, got {table.shape}")
    n, k = table.shape
    centred = table - table.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    between = k * (rows**2).sum() / (n - 1)
    within = ((table - table.mean(axis=1, keepdims=True)) ** 2).sum() / (n * (k - 1))
    judges = n * (columns**2).sum() / (k - 1)
    rest = ((centred - rows[:, None] - columns) ** 2).sum() / ((n - 1) * (k - 1))
    if rest <= 1e-12 * max(between, judges, 1e-300) or within == 0:
        raise AnalysisError("pieces and listeners explain every rating exactly: no error to compare with")
    one = _f_interval(between / within, n - 1, n * (k - 1), k, confidence)
    three = _f_interval(between / rest, n - 1, (n - 1) * (k - 1), k, confidence)
    single = (between - rest) / (between + (k - 1) * rest + k * (judges - rest) / n)
    two = _agreement_interval(single, between, judges, rest, n, k, confidence)
    return IntraclassCorrelations(
        one_way_single=Figure(_single(between / within, k), *one),
        one_way_average=Figure(float(1 - within / between), *(_average(bound, k) for bound in one)),
        agreement_single=Figure(float(single), *two),
        agreement_average=Figure(
            float((between - rest) / (between + (judges - rest) / n)), *(_average(bound, k) for bound in two)
        ),
        consistency_single=Figure(_single(between / rest, k), *three),
        consistency_average=Figure(float(1 - rest / between), *(_average(bound, k) for bound in three)),
    )


@dataclass(frozen=True)
class Agreement:
    """Agreement of other listeners about other pieces."""

    single: Figure  # ICC(2,1): one listener
    average: Figure  # ICC(2,k): the mean of k listeners
    raters_per_piece: float  # k, the harmonic mean
    share_piece: float  # of the variance of a rating
    share_participant: float
    share_residual: float


def agreement_of_listeners(ratings: pd.DataFrame, *, confidence: float = 0.95) -> Agreement:
    """ICC(2,1) and ICC(2,k), with or without gaps in the table.

    Raises
    ------
    MixedModelError
        If there are fewer than two pieces or participants, nobody shares a piece, or the ratings are all
        equal.
    """
    table = with_piece_ids(ratings)
    pieces, participants = codes_of(table["piece_id"]), codes_of(table["participant"])
    n_pieces, n_participants = int(pieces.max()) + 1, int(participants.max()) + 1
    if min(n_pieces, n_participants) < 2 or len(table) in (n_pieces, n_participants):
        raise MixedModelError(
            f"agreement needs 2 participants or more who share 2 pieces or more, got {len(table)} ratings of "
            f"{n_pieces} pieces by {n_participants} participants"
        )
    values = table["rating"].to_numpy(dtype=float)
    model = fit_mixed_model(values, np.ones((len(values), 1)), participant=participants, piece=pieces)
    k = float(n_pieces / (1 / np.bincount(pieces)).sum())
    variances = [model.variance(term) for term in ("piece", "participant", "residual")]
    shares = [variance / sum(variances) for variance in variances]
    low, high = _profile_interval(model, shares[0], confidence)
    return Agreement(
        single=Figure(shares[0], low, high),
        average=Figure(_average(shares[0], k), _average(low, k), _average(high, k)),
        raters_per_piece=k,
        share_piece=shares[0],
        share_participant=shares[1],
        share_residual=shares[2],
    )


def reliability_of_conditions(fitted: ConditionModel) -> float | None:
    """Of the differences between condition means, the share that is no error; None with fewer than two.

    One less the mean error variance of the means about their own mean over their variance, at least 0.
    """
    if fitted.model is None or len(fitted.conditions) < 2:
        return None
    n = len(fitted.conditions)
    centring = np.eye(n) - 1 / n
    error = float(np.trace(centring @ fitted.model.covariance)) / (n - 1)
    spread = float(np.var(fitted.model.beta, ddof=1))
    return max(0.0, 1 - error / spread) if spread > 0 else 0.0


def alpha_with_interval(
    ratings: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0, metric: str = "ordinal"
) -> Figure | None:
    """Krippendorff's alpha with a percentile interval over pieces; None where it has no value.

    Each draw takes pieces with replacement and recomputes coincidences and expectations alike.
    """
    table = with_piece_ids(ratings)
    values, units = table["rating"].to_numpy(dtype=float), codes_of(table["piece_id"])
    observed = krippendorff_alpha(values, units, metric=metric)
    if observed is None:
        return None
    levels, ranks = np.unique(values, return_inverse=True)
    counts = np.zeros((int(units.max()) + 1, len(levels)))
    np.add.at(counts, (units, ranks), 1)
    counts = counts[counts.sum(axis=1) > 1]
    if len(counts) < 2:
        return Figure(observed, None, None)
    drawn = np.random.default_rng(seed).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), size=draws
    )
    interval = percentile_interval(_alphas(counts, levels, drawn.astype(float), metric))
    return Figure(observed, *(interval or (None, None)))


@dataclass(frozen=True)
class Concordance:
    """Kendall's coefficient of concordance W, corrected for ties, with Friedman's test that it is 0."""

    w: float
    chi2: float
    df: int
    p: float
    n_listeners: int
    n_pieces: int
    n_left_out: int  # listeners who did not rate every piece


def concordance(ratings: pd.DataFrame) -> Concordance:
    """W of the listeners who rated every piece: 1 if all order the pieces alike, 0 if at random.

    Raises
    ------
    AnalysisError
        If fewer than two listeners rated every piece, or each rated all pieces the same.
    """
    table = with_piece_ids(ratings).pivot_table(index="participant", columns="piece_id", values="rating")
    complete = table.dropna()
    if len(complete) < 2 or table.shape[1] < 2:
        raise AnalysisError(
            f"concordance needs 2 listeners who rated every piece, got {len(complete)} of {len(table)} "
            f"listeners and {table.shape[1]} pieces"
        )
    chi2, df, p = friedman_test(complete.to_numpy())
    n = len(complete)
    return Concordance(chi2 / (n * df), chi2, df, p, n, df + 1, len(table) - n)


def _single(f: float, k: int) -> float:
    return float((f - 1) / (f + k - 1))


def _average(single: float, k: float) -> float:
    """Spearman and Brown's reliability of the mean of k ratings."""
    return float(k * single / (1 + (k - 1) * single))


def _f_interval(f: float, df: int, df_rest: int, k: int, confidence: float) -> tuple[float, float]:
    tail = (1 + confidence) / 2
    low, high = f / stats.f.ppf(tail, df, df_rest), f * stats.f.ppf(tail, df_rest, df)
    return _single(low, k), _single(high, k)


def _agreement_interval(single, between, judges, rest, n, k, confidence) -> tuple[float, float]:
    """ICC(2,1)'s, with Satterthwaite's degrees of freedom for the sum of judges and rest."""
    tail, f = (1 + confidence) / 2, judges / rest
    known = n * (1 + (k - 1) * single) - k * single
    df = (k - 1) * (n - 1) * (k * single * f + known) ** 2 / ((n - 1) * (k * single * f) ** 2 + known**2)
    upper, lower = stats.f.ppf(tail, n - 1, df), stats.f.ppf(tail, df, n - 1)
    noise = k * judges + (k * n - k - n) * rest
    return (
        float(n * (between - upper * rest) / (upper * noise + n * between)),
        float(n * (lower * between - rest) / (noise + n * lower * between)),
    )


def _profile_interval(model: MixedModel, value: float, confidence: float) -> tuple[float, float]:
    """The values of the pieces' share that the likelihood does not reject."""
    most = model.reml_deviance + stats.chi2.ppf(confidence, 1)

    def excess(share: float) -> float:
        def deviance(of_participant: float) -> float:
            of_piece = (share / (1 - share) * (of_participant**2 + 1)) ** 0.5
            return model.deviance_at({"participant": of_participant, "piece": of_piece})

        best = optimize.minimize_scalar(
            deviance, bounds=(0.0, 30.0), method="bounded", options={"xatol": 1e-4}
        )
        return min(float(best.fun), deviance(0.0)) - most

    low = 0.0 if value <= 1e-9 or excess(0.0) <= 0 else optimize.brentq(excess, 0.0, value, xtol=1e-5)
    high = HIGHEST if excess(HIGHEST) <= 0 else optimize.brentq(excess, max(value, 0.0), HIGHEST, xtol=1e-5)
    return float(low), float(high)


def _alphas(counts: np.ndarray, levels: np.ndarray, drawn: np.ndarray, metric: str) -> np.ndarray:
    """Krippendorff's alpha of each draw of units; NaN where a draw has a single level."""
    per_unit = counts.sum(axis=1)
    weighted = counts / (per_unit - 1)[:, None]
    pairs = weighted[:, :, None] * counts[:, None, :]
    diagonal = np.arange(len(levels))
    pairs[:, diagonal, diagonal] -= weighted
    coincidences = np.tensordot(drawn, pairs, axes=1)
    totals = drawn @ counts
    if metric == "ordinal":
        positions = np.cumsum(totals, axis=1) - totals / 2
    else:
        positions = np.broadcast_to(levels, totals.shape)
    distances = (positions[:, :, None] - positions[:, None, :]) ** 2
    if metric == "nominal":
        distances = (distances > 0).astype(float)
    observed = (coincidences * distances).sum(axis=(1, 2))
    expected = np.einsum("di,dj,dij->d", totals, totals, distances) / (totals.sum(axis=1) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - observed / expected
