"""What would other listeners and other pieces have given?

The two-way bootstrap: participants and pieces are reweighted independently, and a rating weighs the product
of both. With multinomial weights it is the pigeonhole bootstrap of Owen (2007), Ann. Appl. Stat. 1:386; with
exponential ones it is its Bayesian form, of Owen and Eckles (2012), Ann. Appl. Stat. 6:895, which empties no
cell of an incomplete design. No bootstrap is exact for crossed data (McCullagh 2000); this one is mildly
conservative. With fewer than about eight pieces per condition its percentile intervals are short, and the
mixed model's are to be preferred.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

DRAWS = 2000
CHUNK_CELLS = 4_000_000  # of a block of weights: 32 MB


def two_way_weights(
    participants: np.ndarray,
    pieces: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    kind: str = "exponential",
) -> Iterator[np.ndarray]:
    """Weights of the ratings, a block of draws at a time; the same seed gives the same weights.

    Parameters
    ----------
    participants, pieces : np.ndarray [shape=(n,), dtype=int]
        Codes from 0 without gaps.
    kind : str
        ``exponential`` or ``multinomial``.

    Yields
    ------
    weights : np.ndarray [shape=(up to draws, n)]
    """
    rng = np.random.default_rng(seed)
    n_participants, n_pieces = int(participants.max()) + 1, int(pieces.max()) + 1

    def draw(n_draws: int, n: int) -> np.ndarray:
        if kind == "multinomial":
            return rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(float)
        return rng.exponential(size=(n_draws, n))

    block = max(1, min(draws, CHUNK_CELLS // max(len(participants), 1)))
    for start in range(0, draws, block):
        n_draws = min(block, draws - start)
        of_participants, of_pieces = draw(n_draws, n_participants), draw(n_draws, n_pieces)
        yield of_participants[:, participants] * of_pieces[:, pieces]


def weighted_counts(
    categories: np.ndarray,
    participants: np.ndarray,
    pieces: np.ndarray,
    *,
    n_categories: int,
    draws: int = DRAWS,
    seed: int = 0,
    kind: str = "exponential",
) -> np.ndarray:
    """How much weight falls on each category of rating in each draw: enough for means, shares and dominance.

    Returns
    -------
    counts : np.ndarray [shape=(draws, n_categories)]
    """
    n = len(categories)
    indicator = sparse.csr_array((np.ones(n), (np.arange(n), categories)), shape=(n, n_categories))
    blocks = two_way_weights(participants, pieces, draws=draws, seed=seed, kind=kind)
    return np.vstack([weights @ indicator for weights in blocks])


def percentile_interval(values: np.ndarray, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """The middle `confidence` of the draws; None where fewer than 9 in 10 draws have a value."""
    finite = values[np.isfinite(values)]
    if len(finite) < 0.9 * len(values):
        return None
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
