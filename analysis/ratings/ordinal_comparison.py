"""Do the conditions differ if a rating is a place in an order and no number of points?

The sensitivity analysis beside the mixed model of `comparison`: rating ~ condition + (1|participant) +
(1|participant:condition) + (1|piece) as a cumulative-link mixed model (`ordinal_model`), with the same
random terms that the design can carry. Its p-values are normal (Wald): with few pieces per condition they
are too small, which degrees of freedom mend in the mixed model and this one has none. With five pieces, 9 of
100 simulated studies without a difference fall below 5 % (benchmarks/statistics.py). It tells whether a
finding depends on the scale's steps being equal, and makes no claim of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.ratings.comparison import FEW_PIECES, Design
from analysis.ratings.ordinal_model import (
    OrdinalModel,
    OrdinalModelError,
    Share,
    WaldEstimate,
    fit_ordinal_model,
)
from analysis.ratings.table import with_piece_ids

RIDGE = 3.0  # standard deviation of log odds about their mean where a condition would be infinitely far away
SEVEN_AND_UP = 7


@dataclass(frozen=True)
class OrdinalContrast:
    """How much oftener one condition gets the higher rating than the reference."""

    condition: str
    reference: str
    estimate: WaldEstimate  # log odds ratio, or standard deviations with the probit link
    odds_ratio: float | None  # None with the probit link
    odds_ratio_low: float | None
    odds_ratio_high: float | None


@dataclass(frozen=True)
class OrdinalConditions:
    """The ordinal model of a table, or the reasons why it cannot be fitted."""

    conditions: list[str]
    model: OrdinalModel | None
    notes: list[str]

    def difference(self, condition: str, reference: str) -> OrdinalContrast | None:
        """A condition against the reference; positive: rated higher."""
        if condition == reference:
            raise OrdinalModelError(f"{condition!r} is compared with itself; name two conditions")
        if self.model is None:
            return None
        estimate = self.model.contrast(self._row(condition) - self._row(reference))
        if self.model.link != "logit":
            return OrdinalContrast(condition, reference, estimate, None, None, None)
        low, high = (math.exp(bound) for bound in estimate.interval())
        return OrdinalContrast(condition, reference, estimate, math.exp(estimate.value), low, high)

    def share_above(self, condition: str, level: int = SEVEN_AND_UP) -> Share | None:
        """How many ratings of other listeners of other pieces are `level` or more, with a 95 % interval."""
        return self.model and self.model.share_above(self._row(condition), level)

    def _row(self, condition: str) -> np.ndarray:
        if condition not in self.conditions:
            raise OrdinalModelError(f"no condition {condition!r}; there are {', '.join(self.conditions)}")
        row = np.array([float(name == condition) for name in self.conditions])
        return row if self.model.ridge is not None else row[1:]


def fit_ordinal_conditions(
    ratings: pd.DataFrame, *, column: str = "rating", link: str = "logit"
) -> OrdinalConditions:
    """Fit the ordinal model with the random terms that the design can carry, and say what was left out.

    Levels that nobody used are no levels. A condition whose every rating is the highest, or the lowest, of
    the table would be infinitely far from the others: all conditions are then drawn towards their mean by a
    normal prior of standard deviation `RIDGE`, and the notes say so.
    """
    table = with_piece_ids(ratings)
    conditions = sorted(table["condition"].unique())
    design = Design.of(table)
    if refusal := design.refusal():
        return OrdinalConditions(conditions, None, [refusal])
    values = table[column].to_numpy(dtype=float)
    notes = design.notes(conditions)
    one_hot = (table["condition"].to_numpy()[:, None] == np.array(conditions, dtype=object)).astype(float)
    extreme = [name for name in conditions if _is_at_an_end(values, values[table["condition"] == name])]
    try:
        if extreme:
            model = fit_ordinal_model(values, one_hot, link=link, ridge=RIDGE, **design.terms())
        else:
            model = fit_ordinal_model(values, one_hot[:, 1:], link=link, **design.terms())
            if model.separated:
                model = fit_ordinal_model(values, one_hot, link=link, ridge=RIDGE, **design.terms())
    except OrdinalModelError as error:
        return OrdinalConditions(conditions, None, [f"The ordinal model cannot be fitted: {error}."])
    if model.ridge is not None:
        who = ", ".join(extreme) or "One condition"
        notes.append(
            f"{who}: every rating is at one end, so the ordinal model has no finite estimate; all conditions "
            f"are drawn towards their mean by a normal prior (standard deviation {RIDGE:g})."
        )
    if model.singular:
        words = {"participant": "participant", "piece": "piece", "cell": "participant:condition"}
        notes.append(
            f"In the ordinal model the variance of {', '.join(words[term] for term in model.singular)} is "
            "estimated as 0."
        )
    if model.gradient > 1e-2:
        notes.append(f"The ordinal model may not have converged (gradient {model.gradient:.2g}).")
    if (design.pieces_per_condition < FEW_PIECES).any():
        notes.append(
            f"Fewer than {FEW_PIECES} pieces in a condition: the normal intervals of the ordinal model are "
            "too short for a claim of their own."
        )
    return OrdinalConditions(conditions, model, notes)


def _is_at_an_end(values: np.ndarray, of_condition: np.ndarray) -> bool:
    lowest, highest = values.min(), values.max()
    return bool(lowest < highest and ((of_condition == lowest).all() or (of_condition == highest).all()))
