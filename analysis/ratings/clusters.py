"""How sure is a figure made of answers of the same listeners about the same pieces?

The two-way cluster variance of Cameron, Gelbach and Miller (2011), J. Bus. Econ. Stat. 29:238: that by
listener plus that by piece less that of the answers alone, each with the small-sample factor G / (G - 1). It
takes the influence of every answer on the figure, needs no model, and is not inflated by the answers' own
noise as the two-way bootstrap is.
"""

from __future__ import annotations

import numpy as np

from analysis.ratings.proportions import wilson_interval


def two_way_variance(
    influences: np.ndarray, participants: np.ndarray, pieces: np.ndarray, *, homes: np.ndarray | None = None
) -> float:
    """Variance of a figure for other listeners and pieces, at least that of either alone.

    Parameters
    ----------
    influences : np.ndarray [shape=(n,)]
        How much each answer moves the figure; they sum to 0.
    participants, pieces : np.ndarray [shape=(n,), dtype=int]
        Codes from 0 without gaps.
    homes : np.ndarray [shape=(n_pieces,), dtype=int], optional
        The condition of each piece: those of a condition are a sample of their own.
    """
    n = len(influences)
    by_listener = _of_sums(influences, participants)
    by_piece = _of_sums(influences, pieces, homes)
    alone = float((influences**2).sum()) * n / max(n - 1, 1)
    return max(by_listener + by_piece - alone, by_listener, by_piece)


def share_interval(
    share: float, variance: float, n: float, n_units: int, df: float, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Wilson's interval of a share with the number of independent answers that has this variance.

    Where all answers are alike there is no variance: then the units that were sampled count, and with a
    single one there is no interval.

    Parameters
    ----------
    n : float
        Number of answers: more than these they cannot be worth.
    n_units : int
        The fewer of listeners and pieces.
    df : float
        Degrees of freedom of the variance.
    """
    if n_units < 2:
        return None
    if variance <= 0 or not 0 < share < 1:
        return wilson_interval(share * n_units, n_units, confidence=confidence)
    effective = min(float(n), max(1.0, share * (1 - share) / variance))
    return wilson_interval(share * effective, effective, confidence=confidence, df=max(df, 1.0))


def _of_sums(influences: np.ndarray, clusters: np.ndarray, homes: np.ndarray | None = None) -> float:
    squares = np.bincount(clusters, influences) ** 2
    if homes is None:
        homes = np.zeros(len(squares), dtype=int)
    size = np.bincount(homes)[homes]
    return float((squares * size / np.maximum(size - 1, 1)).sum())
