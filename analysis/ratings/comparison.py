"""Do the conditions differ, by how much, and may they be called equal?

Primary analysis: rating ~ condition + (1|participant) + (1|participant:condition) + (1|piece), by REML with
Satterthwaite's degrees of freedom (`mixed_model`). Listeners and pieces are both samples: leaving either out
finds differences that are not there in 16 to 35 of 100 studies. Beside it stand the two-way bootstrap and
Cliff's delta.

Verdicts are against a margin that was declared before the ratings: two one-sided tests (Schuirmann 1987),
that is the whole 90 % interval within the margin, for *equivalent*; the two-sided test at 5 % for *superior*
and *inferior*; both adjusted by Holm over the conditions compared. Everything else is *inconclusive*, and
never "no difference".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.ratings.bootstrap import DRAWS, percentile_interval, weighted_counts
from analysis.ratings.mixed_model import Estimate, MixedModel, MixedModelError, fit_mixed_model
from analysis.ratings.proportions import holm
from analysis.ratings.table import codes_of, with_piece_ids

ALPHA = 0.05
FEW_PIECES = 5  # a condition with fewer is pointed out


@dataclass(frozen=True)
class Omnibus:
    """The F test that all conditions have the same mean, with Satterthwaite's degrees of freedom."""

    f: float
    df: int
    df_error: float
    p: float


@dataclass(frozen=True)
class ConditionModel:
    """The mixed model of a table with one mean per condition, or the reasons why it cannot be fitted."""

    conditions: list[str]
    pieces: pd.DataFrame  # piece_id, condition: one row per piece, by piece code
    model: MixedModel | None
    notes: list[str] = field(default_factory=list)

    def estimate(self, condition: str) -> Estimate | None:
        """Mean of a condition for new listeners and new pieces."""
        return self.model and self.model.contrast(self._weights(condition))

    def difference(self, condition: str, reference: str) -> Estimate | None:
        """How much higher a condition is rated than the reference."""
        return self.model and self.model.contrast(self._weights(condition) - self._weights(reference))

    def standardised_difference(self, condition: str, reference: str) -> float | None:
        """The difference over the standard deviation of a single rating (Westfall et al. 2014).

        Every source of variance is in it: over the spread of listeners' means alone it would be larger the
        more pieces each of them heard.
        """
        estimate = self.difference(condition, reference)
        if estimate is None:
            return None
        total = sum(variance for variance in self.variances().values() if variance is not None)
        return estimate.value / total**0.5

    def omnibus(self) -> Omnibus | None:
        """Whether any conditions differ at all; None without a model or with one condition."""
        n = len(self.conditions)
        if self.model is None or n < 2:
            return None
        differences = np.eye(n)[1:] - np.eye(n)[0]
        _, vectors = np.linalg.eigh(differences @ self.model.covariance @ differences.T)
        parts = [self.model.contrast(vector @ differences) for vector in vectors.T]
        f = float(np.mean([part.t**2 for part in parts]))
        # Fai and Cornelius (1996): the df with which F has the mean of the squares of these t.
        expected = sum(part.df / (part.df - 2) for part in parts if part.df > 2)
        if expected > len(parts):
            df_error = 2 * expected / (expected - len(parts))
        else:
            df_error = min(part.df for part in parts)
        return Omnibus(f, len(parts), df_error, float(stats.f.sf(f, len(parts), df_error)))

    def variances(self) -> dict[str, float | None]:
        """Variance components in squared points; None for a term that the design cannot tell from others."""
        names = {"participant": "participant", "piece": "piece", "participant:condition": "cell"}
        terms = {name: self.model and self.model.variance(term) for name, term in names.items()}
        return {**terms, "residual": self.model and self.model.variance("residual")}

    def piece_predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Each piece's mean, drawn towards its condition's by how little is known, and its standard error."""
        if self.model is None or "piece" not in self.model.theta:
            return None
        return self.model.piece_predictions(
            np.array([self._weights(name) for name in self.pieces["condition"]])
        )

    def _weights(self, condition: str) -> np.ndarray:
        return np.array([float(name == condition) for name in self.conditions])


def fit_conditions(ratings: pd.DataFrame, *, column: str = "rating") -> ConditionModel:
    """Fit the primary model, leaving out random terms that the design cannot tell apart, and say which.

    A term confounded with the residual is left out and loses nothing: the residual carries it. A term
    confounded with the conditions (one listener; one piece in every condition) makes every interval
    impossible: there is no model.
    """
    table = with_piece_ids(ratings)
    conditions = sorted(table["condition"].unique())
    pieces = table[["piece_id", "condition"]].drop_duplicates().sort_values("piece_id").reset_index(drop=True)
    design = Design.of(table)
    if refusal := design.refusal():
        return ConditionModel(conditions, pieces, None, [refusal])
    notes, terms = design.notes(conditions), design.terms()
    fixed = (table["condition"].to_numpy()[:, None] == np.array(conditions, dtype=object)).astype(float)
    try:
        model = fit_mixed_model(table[column].to_numpy(dtype=float), fixed, **terms)
    except MixedModelError as error:
        return ConditionModel(conditions, pieces, None, [f"No interval can be given: {error}."])
    if model.singular:
        words = {"participant": "participant", "piece": "piece", "cell": "participant:condition"}
        named = ", ".join(words[term] for term in model.singular)
        notes.append(
            f"The variance of {named} is estimated as 0 (a singular fit, frequent in small studies)."
        )
    if model.gradient > 1e-3:
        notes.append(
            f"The mixed model may not have converged (gradient {model.gradient:.2g}); check with care."
        )
    return ConditionModel(conditions, pieces, model, notes)


@dataclass(frozen=True)
class Design:
    """Who rated what: which random terms the table can carry."""

    participant: np.ndarray
    cell: np.ndarray
    piece: np.ndarray
    condition: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> Design:
        """The design of a table with piece ids."""
        participant = codes_of(table["participant"])
        condition = codes_of(table["condition"])
        piece = codes_of(table["piece_id"])
        cell = np.unique(participant * (condition.max() + 1) + condition, return_inverse=True)[1]
        return cls(participant, cell, piece, condition)

    @property
    def pieces_per_condition(self) -> np.ndarray:
        """How many pieces each condition was heard through, in the order of their codes."""
        home = np.zeros(self.piece.max() + 1, dtype=int)
        home[self.piece] = self.condition
        return np.bincount(home)

    def refusal(self) -> str:
        """Why no model of the conditions can be fitted; empty where one can."""
        if self.participant.max() == 0:
            return "No interval can be given: there is one participant; what others think needs at least 2."
        if (self.pieces_per_condition == 1).all():
            return (
                "No interval can be given for the conditions: each has one piece, so a condition cannot be "
                "told from its piece. Pieces have their intervals; conditions need 2 pieces or more."
            )
        return ""

    def terms(self) -> dict[str, np.ndarray]:
        """The codes of the random terms that can be told apart, by their names in `mixed_model.TERMS`."""
        terms = {}
        if self._repeats(self.participant):
            terms["participant"] = self.participant
        if self._has_cells():
            terms["cell"] = self.cell
        if self._repeats(self.piece):
            terms["piece"] = self.piece
        return terms

    def notes(self, conditions: list[str]) -> list[str]:
        """What the design cannot tell; `conditions` are the names in the order of their codes."""
        notes = []
        if not self._repeats(self.participant):
            notes.append("Each participant gave one rating: listeners are part of the residual.")
        elif not self._has_cells():
            notes.append(
                "Participant:condition is left out: "
                + (
                    "each participant heard one condition, so it is the same as the participant."
                    if self.cell.max() == self.participant.max()
                    else "each participant rated one piece per condition, so it is part of the residual."
                )
            )
        if not self._repeats(self.piece):
            notes.append("Each piece was rated once: pieces are part of the residual.")
        single = int((self.pieces_per_condition == 1).sum())
        if single:
            notes.append(
                f"{single} of the conditions {'have' if single > 1 else 'has'} one piece: how much pieces "
                "would differ there is taken from the other conditions."
            )
        few = [
            f"{name} ({n})"
            for name, n in zip(conditions, self.pieces_per_condition, strict=True)
            if 1 < n < FEW_PIECES
        ]
        if few:
            notes.append(
                f"Fewer than {FEW_PIECES} pieces: {', '.join(few)}. How much pieces of a condition differ is "
                "taken to be the same in all, so these intervals rest on the pieces of the others too."
            )
        return notes

    def _has_cells(self) -> bool:
        n_cells = self.cell.max() + 1
        return self.participant.max() + 1 < n_cells < len(self.cell)

    @staticmethod
    def _repeats(codes: np.ndarray) -> bool:
        return len(codes) > codes.max() + 1


def cliffs_delta(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cliff's delta (1993), -1 to 1: how much oftener the first is rated higher than lower than the second.

    Parameters
    ----------
    first, second : np.ndarray [shape=(..., n_categories)]
        Counts or weights of the categories, lowest first.
    """
    below = np.cumsum(second, axis=-1) - second
    above = second.sum(axis=-1, keepdims=True) - below - second
    pairs = first.sum(axis=-1) * second.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (first * (below - above)).sum(axis=-1) / pairs


class CategoryDraws:
    """Bootstrap draws of how often each category was given in each condition."""

    def __init__(self, ratings: pd.DataFrame, conditions: list[str], *, draws: int = DRAWS, seed: int = 0):
        table = with_piece_ids(ratings)
        codes = {name: index for index, name in enumerate(conditions)}
        categories = table["condition"].map(codes).to_numpy() * 10 + table["rating"].to_numpy(dtype=int) - 1
        participants = codes_of(table["participant"])
        pieces = codes_of(table["piece_id"])
        n = 10 * len(conditions)
        counts = weighted_counts(categories, participants, pieces, n_categories=n, draws=draws, seed=seed)
        self._index = codes
        self._draws = counts.reshape(draws, len(conditions), 10)
        self._observed = np.bincount(categories, minlength=n).reshape(len(conditions), 10)

    def mean_interval(self, condition: str) -> tuple[float, float] | None:
        """95 % percentile interval of a condition's mean."""
        return percentile_interval(self._means(condition))

    def difference_interval(self, condition: str, reference: str) -> tuple[float, float] | None:
        """95 % percentile interval of a difference of means."""
        return percentile_interval(self._means(condition) - self._means(reference))

    def delta(self, condition: str, reference: str) -> tuple[float, tuple[float, float] | None]:
        """Cliff's delta of all ratings of the two conditions, with its 95 % percentile interval."""
        one, other = self._index[condition], self._index[reference]
        observed = float(cliffs_delta(self._observed[one], self._observed[other]))
        return observed, percentile_interval(cliffs_delta(self._draws[:, one], self._draws[:, other]))

    def _means(self, condition: str) -> np.ndarray:
        counts = self._draws[:, self._index[condition]]
        with np.errstate(invalid="ignore", divide="ignore"):
            return counts @ np.arange(1, 11) / counts.sum(axis=1)


def contrasts(
    fitted: ConditionModel, draws: CategoryDraws | None, pairs: list[tuple[str, str]], *, margin: float
) -> list[dict]:
    """Differences of the pairs (condition, reference), one family for Holm's adjustment, with verdicts."""
    estimates = [fitted.difference(condition, reference) for condition, reference in pairs]
    rows = []
    for (condition, reference), estimate in zip(pairs, estimates, strict=True):
        row = {"condition": condition, "reference": reference, **_numbers(estimate, margin)}
        if draws is not None:
            delta, delta_interval = draws.delta(condition, reference)
            row["cliffs_delta"] = delta
            row["cliffs_delta_low"], row["cliffs_delta_high"] = delta_interval or (None, None)
            row["bootstrap_low"], row["bootstrap_high"] = draws.difference_interval(condition, reference) or (
                None,
                None,
            )
        rows.append(row)
    tested = [row for row in rows if row["p"] is not None]
    for name in ("p", "p_equivalence", "p_non_inferiority"):
        for row, adjusted in zip(tested, holm([row[name] for row in tested]), strict=True):
            row[f"{name}_holm"] = adjusted
    for row in rows:
        row["verdict"] = verdict(row["difference"], row["p_holm"], row["p_equivalence_holm"])
    return rows


def verdict(difference: float | None, p: float | None, p_equivalence: float | None) -> str:
    """``equivalent``, ``superior``, ``inferior`` or ``inconclusive``, at 5 %.

    A difference that is both there and surely within the margin is *equivalent*: the margin says that it is
    too small to matter.
    """
    if difference is None or p is None or p_equivalence is None:
        return "inconclusive"
    if p_equivalence < ALPHA:
        return "equivalent"
    if p < ALPHA:
        return "superior" if difference > 0 else "inferior"
    return "inconclusive"


def all_pairs(conditions: list[str]) -> list[tuple[str, str]]:
    """Every condition against every later one."""
    return list(combinations(conditions, 2))


def _numbers(estimate: Estimate | None, margin: float) -> dict:
    names = ("difference", "se", "df", "t", "p", "p_holm", "ci_low", "ci_high", "ci90_low", "ci90_high")
    tests = ("p_equivalence", "p_equivalence_holm", "p_non_inferiority", "p_non_inferiority_holm")
    if estimate is None:
        return dict.fromkeys((*names, *tests))
    low, high = estimate.interval(0.95)
    low90, high90 = estimate.interval(0.90)
    above = estimate.p_above(-margin)
    values = (
        estimate.value,
        estimate.se,
        estimate.df,
        estimate.t,
        estimate.p,
        None,
        low,
        high,
        low90,
        high90,
    )
    below = estimate.p_below(margin)
    return dict(zip((*names, *tests), (*values, max(above, below), None, above, None), strict=True))
