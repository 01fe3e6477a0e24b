"""Do listeners like what is copied, and do they notice it?

The unit is the piece: ratings of one piece are one observation of it, and correlating single ratings would
count every listener as another piece. Three numbers always stand together, because the first can reverse the
second (Simpson's paradox): over all pieces, within conditions, and between conditions. Within conditions it
is the correlation of Bland and Altman (1995), BMJ 310:446, and the slope of a mixed model. Real pieces belong
in here only if their score leaves the piece itself out of what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import AnalysisError
from analysis.ratings.bootstrap import DRAWS, percentile_interval
from analysis.ratings.clusters import two_way_variance
from analysis.ratings.comparison import Design
from analysis.ratings.discrimination import placements
from analysis.ratings.mixed_model import Estimate, MixedModelError, fit_mixed_model
from analysis.ratings.ordinal_model import OrdinalModelError, WaldEstimate, fit_ordinal_model
from analysis.ratings.table import codes_of, with_piece_ids

LEAST_CONDITIONS = 3  # fewer points say nothing about an association between conditions
SHUFFLES = 9999
HEARD = ("familiar", "known")


@dataclass(frozen=True)
class RankAssociation:
    """Spearman's rho and Kendall's tau-b over pieces."""

    rho: float
    rho_low: float | None  # 95 % two-way bootstrap: other listeners, other pieces of each condition
    rho_high: float | None
    tau: float
    p: float  # of rho: scores shuffled among the pieces of a condition
    n_pieces: int


@dataclass(frozen=True)
class WithinAssociation:
    """Pearson's correlation of deviations from the mean of the group."""

    r: float
    ci_low: float | None
    ci_high: float | None
    df: int
    p: float
    slope: float


@dataclass(frozen=True)
class Copying:
    """Mean rating against the score of copying."""

    pieces: pd.DataFrame  # piece_id, condition, score, mean, n_ratings
    pooled: RankAssociation
    within: WithinAssociation | None  # None where no condition has pieces of different scores and means
    slope: Estimate | None  # points per unit of score within conditions, for other listeners and pieces
    between: float | None  # Spearman's rho of condition means, without p; None with fewer than 3
    n_conditions: int
    notes: list[str]


@dataclass(frozen=True)
class Recognition:
    """Machine similarity against listeners' "I have heard this before"."""

    n: int  # answers
    n_heard: int
    rho: float  # Spearman's, of the score and the share who had heard it, over pieces
    p: float  # scores shuffled among the pieces of a condition
    area: float  # how often a heard trial has the higher score than one that was new; ties half
    area_low: float | None
    area_high: float | None
    slope: WaldEstimate | None  # log odds per standard deviation of the score, given the condition
    notes: list[str]


def describe_copying(
    ratings: pd.DataFrame, scores: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0
) -> Copying:
    """Ratings of pieces against their scores.

    Parameters
    ----------
    scores : pd.DataFrame
        Columns ``piece``, ``condition`` and ``score``: one row per piece. Pieces without a score are left out
        with a note.

    Raises
    ------
    AnalysisError
        If a column is missing, a piece has two scores, a score is no number, fewer than three rated pieces
        have one, or scores or mean ratings are all equal.
    """
    table, notes = _with_scores(ratings, scores)
    pieces = _pieces(table, table["rating"].astype(float))
    if len(pieces) < 3 or pieces["score"].nunique() < 2 or pieces["mean"].nunique() < 2:
        raise AnalysisError(
            "an association needs 3 pieces whose scores and mean ratings differ, got "
            f"{len(pieces)} pieces with {pieces['score'].nunique()} scores and "
            f"{pieces['mean'].nunique()} means"
        )
    score, mean = pieces["score"].to_numpy(), pieces["mean"].to_numpy()
    groups = codes_of(pieces["condition"])
    interval = percentile_interval(_drawn_rhos(table, pieces, groups, draws=draws, seed=seed))
    pooled = RankAssociation(
        rho=float(stats.spearmanr(score, mean).statistic),
        rho_low=interval[0] if interval else None,
        rho_high=interval[1] if interval else None,
        tau=float(stats.kendalltau(score, mean).statistic),
        p=_shuffled_p(score, mean, groups, seed=seed),
        n_pieces=len(pieces),
    )
    try:
        within = within_group_correlation(score, mean, groups)
    except AnalysisError as error:
        within = None
        notes.append(f"Within conditions: {error}.")
    means = pieces.groupby("condition")[["score", "mean"]].mean()
    told = len(means) >= LEAST_CONDITIONS and means["score"].nunique() > 1 and means["mean"].nunique() > 1
    between = float(stats.spearmanr(means["score"], means["mean"]).statistic) if told else None
    slope, more = _slope(table) if within is not None else (None, [])
    return Copying(pieces, pooled, within, slope, between, len(means), notes + more)


def within_group_correlation(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, *, confidence: float = 0.95
) -> WithinAssociation:
    """Correlation of x and y with a mean of their own for each group (Bland and Altman 1995).

    The interval is Fisher's with the degrees of freedom in place of n - 2 (Bakdash and Marusich 2017, Front.
    Psychol. 8:456); with one degree of freedom there is none.

    Raises
    ------
    AnalysisError
        If x or y do not vary within groups, or no degree of freedom is left.
    """
    x, y, groups = np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(groups)
    codes = np.unique(groups, return_inverse=True)[1]
    n = np.bincount(codes)
    x, y = (values - (np.bincount(codes, values) / n)[codes] for values in (x, y))
    df = len(x) - len(n) - 1
    if df < 1:
        raise AnalysisError(f"{len(x)} values in {len(n)} groups leave no degree of freedom")
    sxx, syy, sxy = float(x @ x), float(y @ y), float(x @ y)
    if sxx < 1e-18 or syy < 1e-18:
        raise AnalysisError("within groups one of the two does not vary: there is nothing to correlate")
    r = float(np.clip(sxy / (sxx * syy) ** 0.5, -1, 1))
    t = r * (df / max(1 - r**2, 1e-300)) ** 0.5
    low = high = None
    if df > 1 and abs(r) < 1:
        half_width = stats.norm.ppf((1 + confidence) / 2) / (df - 1) ** 0.5
        low, high = (float(np.tanh(np.arctanh(r) + move)) for move in (-half_width, half_width))
    return WithinAssociation(r, low, high, df, float(2 * stats.t.sf(abs(t), df)), sxy / sxx)


def describe_recognition(ratings: pd.DataFrame, scores: pd.DataFrame, *, seed: int = 0) -> Recognition:
    """Whether listeners say that they know what the machine finds copied, by the column ``familiar``.

    Raises
    ------
    AnalysisError
        As `describe_copying`; or if the question was not asked, or everybody or nobody had heard the pieces.
    """
    table, notes = _with_scores(ratings[ratings["familiar"] != ""], scores)
    heard = table["familiar"].isin(HEARD).to_numpy()
    if heard.all() or not heard.any():
        raise AnalysisError(
            f"recognition needs pieces that some had heard and others not, got {int(heard.sum())} of "
            f"{len(heard)} answers"
        )
    pieces = _pieces(table, pd.Series(heard.astype(float), index=table.index))
    score = table["score"].to_numpy(dtype=float)
    if pieces["score"].nunique() < 2:
        raise AnalysisError(f"all {len(pieces)} pieces have the score {score[0]:g}: nothing to recognise by")
    participants, codes = codes_of(table["participant"]), codes_of(table["piece_id"])
    area, influences = placements(score, heard)
    variance = two_way_variance(influences, participants, codes)
    df = float(min(participants.max(), codes.max()))
    half_width = float(stats.t.ppf(0.975, df)) * variance**0.5 if df and variance > 0 else None
    groups = codes_of(pieces["condition"])
    shares, of_pieces = pieces["mean"].to_numpy(), pieces["score"].to_numpy()
    told = pieces["mean"].nunique() > 1
    slope, more = _recognition_slope(table, heard, score)
    return Recognition(
        n=len(heard),
        n_heard=int(heard.sum()),
        rho=float(stats.spearmanr(of_pieces, shares).statistic) if told else 0.0,
        p=_shuffled_p(of_pieces, shares, groups, seed=seed) if told else 1.0,
        area=area,
        area_low=None if half_width is None else max(0.0, area - half_width),
        area_high=None if half_width is None else min(1.0, area + half_width),
        slope=slope,
        notes=notes + more,
    )


def flagged_pieces(scores: pd.DataFrame, baseline: np.ndarray, *, quantile: float = 0.95) -> pd.DataFrame:
    """The pieces that are more like the corpus than held-out real pieces are, with their excess.

    Parameters
    ----------
    baseline : np.ndarray
        Scores of real pieces against a corpus that does not hold them.

    Returns
    -------
    flagged : pd.DataFrame
        The rows of `scores` above that quantile of the baseline, with ``excess``, the highest first.

    Raises
    ------
    AnalysisError
        If the baseline has too few scores to have such a quantile.
    """
    baseline = np.asarray(baseline, dtype=float)
    least = int(np.ceil(1 / (1 - quantile)))
    if len(baseline) < least or not np.isfinite(baseline).all():
        raise AnalysisError(
            f"a baseline needs {least} scores or more of held-out pieces, got {len(baseline)}"
        )
    excess = scores["score"] - float(np.quantile(baseline, quantile))
    return scores.assign(excess=excess)[excess > 0].sort_values("excess", ascending=False, kind="stable")


def _with_scores(ratings: pd.DataFrame, scores: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of pieces that have a score, and a note on those that have none."""
    missing = [name for name in ("piece", "condition", "score") if name not in scores.columns]
    if missing:
        raise AnalysisError(f"no column {missing[0]!r}; scores have piece, condition and score")
    key = ["condition", "piece"]
    twice = scores.duplicated(key)
    if twice.any():
        row = scores[twice].iloc[0]
        raise AnalysisError(f"piece {row['piece']!r} of {row['condition']!r} has two scores; give it one")
    numbers = pd.to_numeric(scores["score"], errors="coerce")
    known = scores[key].assign(score=numbers)[scores["score"].notna()]
    if not np.isfinite(known["score"]).all():
        wrong = scores.loc[known.index[~np.isfinite(known["score"])][0], "score"]
        raise AnalysisError(f"a score is a finite number, got {wrong!r}")
    named = with_piece_ids(ratings)
    table = named.merge(known, on=key, how="inner")
    if table.empty:
        raise AnalysisError("no rated piece has a score; name pieces and conditions as the ratings do")
    n_without = named["piece_id"].nunique() - table["piece_id"].nunique()
    return table, [f"{n_without} rated pieces have no score and are left out."] if n_without else []


def _pieces(table: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    grouped = table.assign(_value=values).groupby(["condition", "piece_id"], sort=True)
    pieces = grouped.agg(score=("score", "first"), mean=("_value", "mean"), n_ratings=("_value", "size"))
    return pieces.reset_index()


def _drawn_rhos(
    table: pd.DataFrame, pieces: pd.DataFrame, groups: np.ndarray, *, draws: int, seed: int
) -> np.ndarray:
    """Spearman's rho of draws of listeners, and of pieces within each condition, both with replacement."""
    rng = np.random.default_rng(seed)
    participants = codes_of(table["participant"])
    order = {name: index for index, name in enumerate(pieces["piece_id"])}
    columns = table["piece_id"].map(order).to_numpy(dtype=int)
    n_participants, n_pieces = int(participants.max()) + 1, len(pieces)
    sums, counts = np.zeros((n_participants, n_pieces)), np.zeros((n_participants, n_pieces))
    np.add.at(sums, (participants, columns), table["rating"].to_numpy(dtype=float))
    np.add.at(counts, (participants, columns), 1)
    weights = rng.multinomial(n_participants, np.full(n_participants, 1 / n_participants), size=draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ sums) / (weights @ counts)
    chosen = np.empty((draws, n_pieces), dtype=int)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        chosen[:, members] = members[rng.integers(len(members), size=(draws, len(members)))]
    score = pieces["score"].to_numpy()
    return np.array(
        [_rho(score[index], row[index]) for row, index in zip(means, chosen, strict=True)], dtype=float
    )


def _rho(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho; NaN where one does not vary."""
    there = np.isfinite(y)
    if there.sum() < 2:
        return np.nan
    ranks = stats.rankdata(np.stack([x[there], y[there]]), axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1)).prod()
    return float(ranks[0] @ ranks[1] / size) if size > 0 else np.nan


def _shuffled_p(x: np.ndarray, y: np.ndarray, groups: np.ndarray, *, seed: int) -> float:
    """P-value of Spearman's rho when x is shuffled within groups, which keeps what is between them.

    Two-sided about the mean of the shuffles; (b + 1) / (B + 1), never 0.
    """
    rng = np.random.default_rng(seed)
    ranks_x, ranks_y = (stats.rankdata(values) for values in (x, y))
    ranks_y = ranks_y - ranks_y.mean()
    shuffled = np.tile(ranks_x, (SHUFFLES, 1))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        shuffled[:, members] = rng.permuted(shuffled[:, members], axis=1)
    products = shuffled @ ranks_y
    center = products.mean()
    reached = np.abs(products - center) >= abs(ranks_x @ ranks_y - center) - 1e-9
    return float((reached.sum() + 1) / (SHUFFLES + 1))


def _conditions_and(table: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    """One column per condition, and the score less its condition's mean over ratings."""
    codes = codes_of(table["condition"])
    one_hot = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)
    centred = score - (np.bincount(codes, score) / np.bincount(codes))[codes]
    return np.column_stack([one_hot, centred])


def _slope(table: pd.DataFrame) -> tuple[Estimate | None, list[str]]:
    """Points per unit of score within conditions, by the mixed model."""
    fixed = _conditions_and(table, table["score"].to_numpy(dtype=float))
    design = Design.of(table)
    if design.participant.max() == 0:
        return None, ["One participant: how others would like what is copied cannot be told."]
    try:
        model = fit_mixed_model(table["rating"].to_numpy(dtype=float), fixed, **design.terms())
    except MixedModelError as error:
        return None, [f"The slope within conditions cannot be told: {error}."]
    return model.contrast(np.eye(fixed.shape[1])[-1]), []


def _recognition_slope(
    table: pd.DataFrame, heard: np.ndarray, score: np.ndarray
) -> tuple[WaldEstimate | None, list[str]]:
    fixed = _conditions_and(table, score)[:, 1:]
    spread = fixed[:, -1].std()
    design = Design.of(table)
    if spread == 0 or design.participant.max() == 0:
        return None, ["The slope of recognition needs 2 participants and scores that differ in a condition."]
    fixed[:, -1] /= spread
    terms = {name: codes for name, codes in design.terms().items() if name != "cell"}
    try:
        model = fit_ordinal_model(heard.astype(int), fixed, ridge=3.0, **terms)
    except OrdinalModelError as error:
        return None, [f"The slope of recognition cannot be told: {error}."]
    return model.contrast(np.eye(fixed.shape[1])[-1]), []
