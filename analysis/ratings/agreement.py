"""Do listeners agree, with each other and with themselves?

ICC(2,1) and ICC(2,k) of Shrout and Fleiss (1979), Psychol. Bull. 86:420: absolute agreement of one listener,
and of the mean of k, listeners being a sample. They are computed from the variance components of rating ~ 1 +
(1|participant) + (1|piece), so tables with gaps serve as well; on a complete table they are the published
ones. Krippendorff's alpha with the ordinal metric: Krippendorff (2011), Computing Krippendorff's
alpha-reliability. Low agreement on liking (0.1 to 0.3) is usual and no fault: the mean of many can still be
reliable.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.ratings.mixed_model import MixedModelError, fit_mixed_model
from analysis.ratings.table import codes_of, with_piece_ids


def describe_agreement(ratings: pd.DataFrame) -> tuple[dict, list[str]]:
    """`icc_single`, `icc_average`, `raters_per_piece` (their harmonic mean, the k) and `krippendorff_alpha`.

    The pieces of all conditions are the things told apart. What the table cannot say is None, with a note
    why.
    """
    table = with_piece_ids(ratings)
    pieces, participants = codes_of(table["piece_id"]), codes_of(table["participant"])
    values = table["rating"].to_numpy(dtype=float)
    result = {"icc_single": None, "icc_average": None, "raters_per_piece": None}
    notes = []
    try:
        result |= intraclass_correlations(values, pieces, participants)
    except MixedModelError as error:
        notes.append(f"The intraclass correlations cannot be computed: {error}.")
    alpha = krippendorff_alpha(values, pieces)
    if alpha is None:
        notes.append(
            "Krippendorff's alpha cannot be computed: no piece was rated twice, or all ratings are equal."
        )
    return {**result, "krippendorff_alpha": alpha}, notes


def intraclass_correlations(
    values: np.ndarray, pieces: np.ndarray, participants: np.ndarray
) -> dict[str, float]:
    """ICC(2,1), ICC(2,k) and k, the harmonic mean number of ratings of a piece.

    Raises
    ------
    MixedModelError
        If there are fewer than two pieces or participants, or nobody rated two of the pieces that others
        rated.
    """
    n_pieces, n_participants = int(pieces.max()) + 1, int(participants.max()) + 1
    if n_pieces < 2 or n_participants < 2:
        raise MixedModelError(
            f"agreement needs 2 pieces and 2 participants, got {n_pieces} and {n_participants}"
        )
    if len(values) in (n_pieces, n_participants):
        raise MixedModelError(
            "agreement needs participants who share pieces: each piece or participant is here once"
        )
    model = fit_mixed_model(values, np.ones((len(values), 1)), participant=participants, piece=pieces)
    of_pieces, of_participants = model.variance("piece"), model.variance("participant")
    others = of_participants + model.variance("residual")
    k = float(n_pieces / (1 / np.bincount(pieces)).sum())
    return {
        "icc_single": of_pieces / (of_pieces + others),
        "icc_average": of_pieces / (of_pieces + others / k),
        "raters_per_piece": k,
    }


def krippendorff_alpha(values: np.ndarray, units: np.ndarray, *, metric: str = "ordinal") -> float | None:
    """Krippendorff's alpha: 1 is perfect agreement, 0 is chance.

    Parameters
    ----------
    values : np.ndarray [shape=(n,)]
    units : np.ndarray [shape=(n,), dtype=int]
        What each value is about. Units with a single value say nothing about agreement and are left out.
    metric : str
        ``nominal``, ``ordinal`` or ``interval``.

    Returns
    -------
    alpha : float | None
        None if no unit has two values, or all values are equal: then there is nothing to disagree about.
    """
    levels, ranks = np.unique(values, return_inverse=True)
    counts = np.zeros((int(units.max()) + 1, len(levels)))
    np.add.at(counts, (units, ranks), 1)
    per_unit = counts.sum(axis=1)
    counts, per_unit = counts[per_unit > 1], per_unit[per_unit > 1]
    totals = counts.sum(axis=0)
    if not len(counts) or (totals > 0).sum() < 2:
        return None
    coincidences = (counts / (per_unit - 1)[:, None]).T @ counts - np.diag(
        (counts / (per_unit - 1)[:, None]).sum(axis=0)
    )
    if metric == "nominal":
        distances = 1.0 - np.eye(len(levels))
    else:
        # Ordinal: how many values lie between two ranks, half of both ends counted.
        positions = np.cumsum(totals) - totals / 2 if metric == "ordinal" else levels
        distances = (positions[:, None] - positions[None, :]) ** 2
    observed = (coincidences * distances).sum()
    expected = (np.outer(totals, totals) * distances).sum() / (totals.sum() - 1)
    return float(1 - observed / expected)


def describe_repeats(ratings: pd.DataFrame) -> dict | None:
    """First against second hearings: how far participants agree with themselves. None without repeats.

    The unit is the pair of ratings. `within_sd` is sqrt(mean d^2 / 2); `repeatability` is 1.96 sqrt(2) times
    it: 95 of 100 pairs differ by less (Bland and Altman 1986, Lancet 327:307).
    """
    key = ["participant", "condition", "piece"]
    first = ratings[ratings["repeat"] == 0].set_index(key)["rating"]
    second = ratings[ratings["repeat"] == 1].set_index(key)["rating"]
    pairs = pd.concat({"first": first, "second": second}, axis=1, join="inner").astype(float)
    if pairs.empty:
        return None
    difference = pairs["second"] - pairs["first"]
    within_sd = float(np.sqrt((difference**2).mean() / 2))
    varies = len(pairs) > 2 and pairs["first"].std() > 0 and pairs["second"].std() > 0
    return {
        "n": len(pairs),
        "n_participants": int(pairs.index.get_level_values("participant").nunique()),
        "mean_difference": float(difference.mean()),
        "mean_absolute_difference": float(difference.abs().mean()),
        "within_sd": within_sd,
        "repeatability": 1.96 * 2**0.5 * within_sd,
        "correlation": float(np.corrcoef(pairs["first"], pairs["second"])[0, 1]) if varies else None,
    }
