"""Does a finding hang on the way it was computed?

One contrast under every analysis that a reviewer may prefer, of the ratings with and without the exclusions.
The mixed model is the primary one and is not chosen by what the others say. Wilcoxon's tests stand there
twice (H. H. Clark 1973, J. Verbal Learn. Verbal Behav. 12:335): by listener, on the means of those who heard
both conditions, for other listeners of these pieces; and by piece, on piece means, for other pieces heard by
these listeners. Each alone finds differences that are not there; a claim needs both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.bootstrap import DRAWS
from analysis.ratings.comparison import ALPHA, CategoryDraws, fit_conditions
from analysis.ratings.equivalence import welch_of_samples
from analysis.ratings.ordinal_comparison import fit_ordinal_conditions
from analysis.ratings.rank_tests import RankSum, SignedRank, rank_sum_test, signed_rank_test
from analysis.ratings.subject_model import describe_subjects
from analysis.ratings.table import with_piece_ids


@dataclass(frozen=True)
class SensitivityRow:
    """One contrast by one analysis of one table; None where it gives no such number, and `note` says why."""

    method: str
    table: str  # whose ratings: "analysed", "all"
    unit: str  # of the estimate: "points", "log odds ratio"
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n_units: int  # what was counted as independent: ratings, listeners or pieces
    note: str

    @property
    def finding(self) -> str:
        """``higher``, ``lower`` or ``not shown``, at 5 %: by p, or by the interval where there is none."""
        if self.estimate is None:
            return "not shown"
        if self.p is not None:
            shown = self.p < ALPHA
        else:
            shown = self.ci_low is not None and not self.ci_low <= 0 <= self.ci_high
        if not shown or self.estimate == 0:
            return "not shown"
        return "higher" if self.estimate > 0 else "lower"


@dataclass(frozen=True)
class ByListenerAndPiece:
    """Wilcoxon's tests with listeners, and with pieces, as what was sampled."""

    by_listener: SignedRank
    by_piece: RankSum
    n_left_out: int  # listeners who heard only one of the two conditions

    @property
    def both_find(self) -> bool:
        """Whether both reject at 5 %, in the same direction."""
        same = (self.by_listener.hodges_lehmann > 0) == (self.by_piece.hodges_lehmann > 0)
        return bool(self.by_listener.p < ALPHA and self.by_piece.p < ALPHA and same)


def wilcoxon_of_conditions(
    ratings: pd.DataFrame, condition: str, reference: str, *, zeros: str = "pratt"
) -> ByListenerAndPiece:
    """Both of Wilcoxon's tests of a condition against a reference; zeros by the stated rule.

    Raises
    ------
    AnalysisError
        If no listener heard both, or one of the two was never heard.
    """
    of_listeners, n_left_out = _listener_differences(ratings, condition, reference)
    pieces = _piece_means(ratings)
    by_piece = rank_sum_test(
        *(pieces[name].to_numpy() if name in pieces else np.zeros(0) for name in (condition, reference))
    )
    return ByListenerAndPiece(signed_rank_test(of_listeners, zeros=zeros), by_piece, n_left_out)


def describe_sensitivity(
    tables: dict[str, pd.DataFrame],
    condition: str,
    reference: str,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[SensitivityRow]:
    """A condition against the reference by every analysis of every table, the primary one first.

    Parameters
    ----------
    tables : dict
        Ratings by the name of the table, such as "analysed" and, without the exclusions, "all".
    """
    settings = {"draws": draws, "seed": seed}
    rows = []
    for name, ratings in tables.items():
        named = with_piece_ids(ratings)
        for method, unit, compute in METHODS:
            try:
                estimate, low, high, p, n, note = compute(named, (condition, reference), settings)
            except AnalysisError as error:
                rows.append(SensitivityRow(method, name, unit, None, None, None, None, 0, f"{error}."))
            else:
                rows.append(SensitivityRow(method, name, unit, estimate, low, high, p, n, note))
    return rows


def _mixed(ratings, pair, settings):
    fitted = fit_conditions(ratings)
    _there(pair, fitted.conditions)
    estimate = fitted.difference(*pair)
    if estimate is None:
        raise AnalysisError(" ".join(fitted.notes).rstrip("."))
    return estimate.value, *estimate.interval(), estimate.p, len(ratings), f"df {estimate.df:.1f}"


def _ordinal(ratings, pair, settings):
    fitted = fit_ordinal_conditions(ratings)
    _there(pair, fitted.conditions)
    contrast = fitted.difference(*pair)
    if contrast is None:
        raise AnalysisError(" ".join(fitted.notes).rstrip("."))
    estimate = contrast.estimate
    drawn = "" if fitted.model.ridge is None else "drawn towards 0: a condition has ratings of one end only"
    return estimate.value, *estimate.interval(), estimate.p, len(ratings), drawn


def _bootstrap(ratings, pair, settings):
    conditions = sorted(ratings["condition"].unique())
    _there(pair, conditions)
    if ratings["participant"].nunique() < 2:
        raise AnalysisError("the two-way bootstrap needs 2 participants, got 1")
    means = ratings.groupby("condition")["rating"].mean()
    interval = CategoryDraws(ratings, conditions, **settings).difference_interval(*pair)
    low, high = interval or (None, None)
    return float(means[pair[0]] - means[pair[1]]), low, high, None, len(ratings), "percentile interval"


def _by_listener(ratings, pair, settings):
    differences, n_left_out = _listener_differences(ratings, *pair)
    test = signed_rank_test(differences)
    note = f"{test.n_zero} zeros, {test.zeros.capitalize()}'s rule"
    if n_left_out:
        note += f"; {n_left_out} listeners heard one of the two"
    return test.hodges_lehmann, test.ci_low, test.ci_high, test.p, test.n, note


def _by_piece(ratings, pair, settings):
    first, second = _two_conditions(ratings, pair)
    test = rank_sum_test(first, second)
    return test.hodges_lehmann, None, None, test.p, test.n_first + test.n_second, "rank sum of piece means"


def _welch(ratings, pair, settings):
    first, second = _two_conditions(ratings, pair)
    estimate = welch_of_samples(first, second)
    note = f"piece means, df {estimate.df:.1f}"
    return estimate.value, *estimate.interval(), estimate.p, len(first) + len(second), note


def _subjects(ratings, pair, settings):
    _there(pair, sorted(ratings["condition"].unique()))
    scores = describe_subjects(ratings)
    estimate = scores.difference(*pair)
    n_pieces = int(scores.pieces["condition"].isin(pair).sum())
    return estimate.value, *estimate.interval(), estimate.p, n_pieces, "Welch over the scores of pieces"


def _there(pair: tuple[str, str], conditions: list[str]) -> None:
    for name in pair:
        if name not in conditions:
            raise AnalysisError(f"no rating of {name!r} in this table (conditions: {', '.join(conditions)})")


def _two_conditions(ratings: pd.DataFrame, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    _there(pair, sorted(ratings["condition"].unique()))
    means = _piece_means(ratings)
    return means[pair[0]].to_numpy(), means[pair[1]].to_numpy()


def _piece_means(ratings: pd.DataFrame) -> pd.Series:
    """Mean of each piece, by condition and piece."""
    return with_piece_ids(ratings).groupby(["condition", "piece_id"])["rating"].mean()


def _listener_differences(ratings: pd.DataFrame, condition: str, reference: str) -> tuple[np.ndarray, int]:
    """Each listener's mean of the one less that of the other, and how many heard only one of them."""
    means = ratings.groupby(["participant", "condition"])["rating"].mean().unstack()
    pair = means.reindex(columns=[condition, reference])
    both = pair.dropna()
    if both.empty:
        raise AnalysisError(f"no listener heard both {condition!r} and {reference!r}")
    heard_one = int(pair.notna().any(axis=1).sum()) - len(both)
    return (both[condition] - both[reference]).to_numpy(dtype=float), heard_one


#: Title, unit of the estimate, and how it is computed; the primary analysis first.
METHODS = (
    ("mixed model", "points", _mixed),
    ("ordinal mixed model", "log odds ratio", _ordinal),
    ("two-way bootstrap", "points", _bootstrap),
    ("Wilcoxon by listener", "points", _by_listener),
    ("Wilcoxon by piece", "points", _by_piece),
    ("Welch by piece", "points", _welch),
    ("ITU subject model", "points", _subjects),
)
