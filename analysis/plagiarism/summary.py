"""A list of scores in a few numbers, with null where there is no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SHARES = (0.5, 0.6, 0.8, 0.9, 1.0)
BOOTSTRAP_DRAWS = 2000


def describe(values: Sequence[float]) -> dict:
    """Mean, median, 95th percentile, largest and count; None instead of figures of nothing."""
    if not len(values):
        return {"mean": None, "median": None, "p95": None, "max": None, "n": 0}
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(np.max(values)),
        "n": len(values),
    }


def bootstrap_means(values: Sequence[float], pieces: Sequence[int], *, seed: int) -> np.ndarray | None:
    """Means of the values if other pieces had been drawn: pieces are resampled, with all their windows.

    Windows of one piece overlap and are no independent observations. None for fewer than two pieces.
    """
    labels, places = np.unique(np.asarray(pieces, dtype=np.int64), return_inverse=True)
    if len(labels) < 2:
        return None
    sums = np.bincount(places, weights=values)
    counts = np.bincount(places)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=BOOTSTRAP_DRAWS)
    return (drawn @ sums) / (drawn @ counts)


def interval(means: np.ndarray | None) -> dict[str, float | None]:
    """The middle 95 % of bootstrap means."""
    if means is None:
        return {"ci_low": None, "ci_high": None}
    low, high = np.percentile(means, (2.5, 97.5))
    return {"ci_low": float(low), "ci_high": float(high)}


def compare(
    values: Sequence[float],
    pieces: Sequence[int],
    human_values: Sequence[float],
    human_pieces: Sequence[int],
    *,
    seed: int,
) -> tuple[dict, dict, dict]:
    """Figures of the generated scores, of the human ones, and the excess of their means.

    Each with a 95 % interval for other pieces (percentile bootstrap over pieces), None with fewer than two.
    """
    means = bootstrap_means(values, pieces, seed=seed)
    human_means = bootstrap_means(human_values, human_pieces, seed=seed + 1)
    ours = {**describe(values), **interval(means)}
    human = {**describe(human_values), **interval(human_means)}
    gap = interval(None if means is None or human_means is None else means - human_means)
    excess = {
        "excess": difference(ours["mean"], human["mean"]),
        "excess_ci_low": gap["ci_low"],
        "excess_ci_high": gap["ci_high"],
    }
    return ours, human, excess


def shares(values: Sequence[float]) -> dict[str, float | None]:
    """Which share of the values reaches each threshold of `SHARES`."""
    values = np.asarray(values, dtype=float)
    return {str(limit): float(np.mean(values >= limit)) if len(values) else None for limit in SHARES}


def share_below(value: float, values: Sequence[float]) -> float | None:
    """Share of `values` that are smaller than `value`: its rank among them, 0 to 1."""
    return float(np.mean(np.asarray(values) < value)) if len(values) else None


def difference(value: float | None, other: float | None) -> float | None:
    """The first less the second, None if either is missing."""
    return None if value is None or other is None else value - other


def by_copying(pieces: Sequence[Mapping]) -> list[Mapping]:
    """Pieces with the most copied first: by note overlap, then by melody score; tiny ones last."""

    def order(piece: Mapping) -> tuple:
        overlap, melody = piece["overlap"], piece["melody"]
        return (
            -(overlap["score"] if overlap else -1) + (2 if overlap and overlap["few_notes"] else 0),
            -(melody["score"] if melody else -1),
        )

    return sorted(pieces, key=order)
