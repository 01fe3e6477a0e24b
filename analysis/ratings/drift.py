"""Do ratings move while a session goes on?

The mixed model of `comparison` with the place in the session as one more fixed effect: what listeners, pieces
and conditions explain is out of it, so its slope is learning, fatigue or a changing yardstick. It takes
places that were assigned apart from conditions, as a balanced order does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.comparison import Design
from analysis.ratings.mixed_model import Estimate, fit_mixed_model
from analysis.ratings.table import with_piece_ids


@dataclass(frozen=True)
class Drift:
    """How ratings move from the first to the last place of a session."""

    slope: Estimate  # points over the whole session
    spread_slope: Estimate  # of the distances from what is expected: below 0 ratings bunch up
    places: list[int]
    residuals: list[float]  # mean distance from what is expected at each place
    residual_errors: list[float | None]  # their standard errors over listeners; None of a single rating
    n: int
    n_without_place: int  # ratings left out


def drift_by_position(ratings: pd.DataFrame) -> Drift:
    """The slope by the column ``trial``, with Satterthwaite's degrees of freedom.

    Raises
    ------
    AnalysisError
        If places are missing or all the same, or the model cannot be fitted to this table.
    """
    placed = ratings["trial"].notna().to_numpy()
    table = with_piece_ids(ratings[placed]).reset_index(drop=True)
    if table.empty or table["trial"].nunique() < 2:
        raise AnalysisError("drift needs ratings at two places of a session; give their places as trial")
    place = table["trial"].to_numpy(dtype=float)
    moved = (place - place.min()) / (place.max() - place.min())
    conditions = sorted(table["condition"].unique())
    one_hot = (table["condition"].to_numpy()[:, None] == np.array(conditions, dtype=object)).astype(float)
    fixed = np.column_stack([one_hot, moved - moved.mean()])
    terms = Design.of(table).terms()
    values = table["rating"].to_numpy(dtype=float)
    model = fit_mixed_model(values, fixed, **terms)
    weights = np.eye(fixed.shape[1])[-1]
    left = _without(values - fixed[:, :-1] @ model.beta[:-1], terms)
    distances = np.abs(left - left.mean())
    spread = fit_mixed_model(distances, fixed, **terms)
    places = np.unique(place)
    at = [left[place == value] for value in places]
    return Drift(
        slope=model.contrast(weights),
        spread_slope=spread.contrast(weights),
        places=places.astype(int).tolist(),
        residuals=[float(values.mean()) for values in at],
        residual_errors=[
            float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None for values in at
        ],
        n=len(table),
        n_without_place=int((~placed).sum()),
    )


def _without(values: np.ndarray, terms: dict[str, np.ndarray]) -> np.ndarray:
    """The values less the means of pieces and participants, taken out in turn until they stand still."""
    left = values - values.mean()
    for _ in range(20):
        for codes in terms.values():
            left = left - (np.bincount(codes, left) / np.bincount(codes))[codes]
    return left
