"""Does a finding hang on the way it was computed?

One contrast under every analysis that a reviewer may prefer, of the ratings with and without the exclusions.
The mixed model is the primary one and is not chosen by what the others say. Wilcoxon's tests stand there
twice (H. H. Clark 1973, J. Verbal Learn. Verbal Behav. 12:335): by listener, on the means of those who heard
both conditions, for other listeners of these pieces; and by piece, on piece means, for other pieces heard by
these listeners. Each alone finds differences that are not there; a claim needs both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.bootstrap import DRAWS
from analysis.ratings.comparison import ALPHA, CategoryDraws, ConditionModel, fit_conditions
from analysis.ratings.equivalence import welch_of_samples
from analysis.ratings.ordinal_comparison import OrdinalConditions, fit_ordinal_conditions
from analysis.ratings.rank_tests import RankSum, SignedRank, rank_sum_test, signed_rank_test
from analysis.ratings.subject_model import SubjectScores, describe_subjects
from analysis.ratings.table import with_piece_ids


@dataclass(frozen=True)
class SensitivityRow:
    """One contrast by one analysis of one table; None where it gives no such number, and `note` says why."""

    condition: str
    reference: str
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
    pairs: list[tuple[str, str]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[SensitivityRow]:
    """Each pair (condition, reference) by every analysis of every table, the primary analysis first.

    Every model is fitted once to a table, however many pairs there are. P-values are those of one contrast:
    an adjustment for the number of pairs belongs to the primary analysis alone (`comparison.contrasts`).

    Parameters
    ----------
    tables : dict
        Ratings by the name of the table, such as "analysed" and, without the exclusions, "all".
    """
    analyses = [(name, _Analyses(ratings, draws=draws, seed=seed)) for name, ratings in tables.items()]
    return [
        _row(pair, method, unit, name, analysed, compute)
        for pair in pairs
        for name, analysed in analyses
        for method, unit, compute in METHODS
    ]


def _row(
    pair: tuple[str, str], method: str, unit: str, name: str, analysed: _Analyses, compute: Callable
) -> SensitivityRow:
    try:
        if pair[0] == pair[1]:
            raise AnalysisError(f"{pair[0]!r} is compared with itself; name two conditions")
        for condition in pair:
            if condition not in analysed.conditions:
                shown = ", ".join(analysed.conditions)
                raise AnalysisError(f"no rating of {condition!r} in this table (conditions: {shown})")
        estimate, low, high, p, n, note = compute(analysed, pair)
    except AnalysisError as error:
        return SensitivityRow(*pair, method, name, unit, None, None, None, None, 0, f"{error}.")
    return SensitivityRow(*pair, method, name, unit, estimate, low, high, p, n, note)


class _Analyses:
    """What several contrasts of one table need, computed once and when first asked for."""

    def __init__(self, ratings: pd.DataFrame, *, draws: int, seed: int):
        self.ratings = with_piece_ids(ratings)
        self.conditions = sorted(self.ratings["condition"].unique())
        self._draws, self._seed = draws, seed

    @cached_property
    def linear(self) -> ConditionModel:
        return fit_conditions(self.ratings)

    @cached_property
    def ordinal(self) -> OrdinalConditions:
        return fit_ordinal_conditions(self.ratings)

    @cached_property
    def drawn(self) -> CategoryDraws:
        return CategoryDraws(self.ratings, self.conditions, draws=self._draws, seed=self._seed)

    @cached_property
    def subjects(self) -> SubjectScores:
        return describe_subjects(self.ratings)

    @cached_property
    def piece_means(self) -> pd.Series:
        return _piece_means(self.ratings)

    def pieces_of(self, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Means of the pieces of both conditions."""
        return self.piece_means[pair[0]].to_numpy(), self.piece_means[pair[1]].to_numpy()


def _mixed(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    estimate = analysed.linear.difference(*pair)
    if estimate is None:
        raise AnalysisError(" ".join(analysed.linear.notes).rstrip("."))
    n = len(analysed.ratings)
    return estimate.value, *estimate.interval(), estimate.p, n, f"df {estimate.df:.1f}"


def _ordinal(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    contrast = analysed.ordinal.difference(*pair)
    if contrast is None:
        raise AnalysisError(" ".join(analysed.ordinal.notes).rstrip("."))
    estimate = contrast.estimate
    is_drawn = analysed.ordinal.model.ridge is not None
    note = "drawn towards 0: a condition has ratings of one end only" if is_drawn else ""
    return estimate.value, *estimate.interval(), estimate.p, len(analysed.ratings), note


def _bootstrap(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    if analysed.ratings["participant"].nunique() < 2:
        raise AnalysisError("the two-way bootstrap needs 2 participants, got 1")
    means = analysed.ratings.groupby("condition")["rating"].mean()
    low, high = analysed.drawn.difference_interval(*pair) or (None, None)
    difference = float(means[pair[0]] - means[pair[1]])
    return difference, low, high, None, len(analysed.ratings), "percentile interval"


def _by_listener(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    differences, n_left_out = _listener_differences(analysed.ratings, *pair)
    test = signed_rank_test(differences)
    note = f"{test.n_zero} zeros, {test.zeros.capitalize()}'s rule"
    if n_left_out:
        note += f"; {n_left_out} listeners heard one of the two"
    return test.hodges_lehmann, test.ci_low, test.ci_high, test.p, test.n, note


def _by_piece(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    test = rank_sum_test(*analysed.pieces_of(pair))
    n_pieces = test.n_first + test.n_second
    return test.hodges_lehmann, None, None, test.p, n_pieces, "rank sum of piece means"


def _welch(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    first, second = analysed.pieces_of(pair)
    estimate = welch_of_samples(first, second)
    note = f"piece means, df {estimate.df:.1f}"
    return estimate.value, *estimate.interval(), estimate.p, len(first) + len(second), note


def _subjects(analysed: _Analyses, pair: tuple[str, str]) -> tuple:
    estimate = analysed.subjects.difference(*pair)
    n_pieces = int(analysed.subjects.pieces["condition"].isin(pair).sum())
    note = "Welch over the scores of pieces"
    return estimate.value, *estimate.interval(), estimate.p, n_pieces, note


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
