"""`analysis.melody.alignment.best_alignment`, compiled: one cell after another, row by row.

Both rank a partial alignment by one whole number and so find the same one; this takes a fraction of a
millisecond for two melodies of ordinary length.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from analysis.melody.alignment import Alignment, Ranking


def best_alignment(query: np.ndarray, melody: np.ndarray, *, penalty: int = 2) -> Alignment | None:
    """The alignment that has the score S_p, first in the order of `alignment.best_alignment`.

    Raises
    ------
    AnalysisError
        If the two are too long for one number to hold the order (tens of thousands of tokens each).
    """
    if len(query) == 0 or len(melody) == 0:
        return None
    ranking = Ranking.of(len(query), len(melody), penalty)
    rank, end, corpus_end = _trace(
        np.asarray(query, dtype=np.int64),
        np.asarray(melody, dtype=np.int64),
        ranking.query_bits,
        ranking.one_match,
        ranking.edit,
        ranking.most_edits,
    )
    return ranking.alignment(rank, end, corpus_end) if rank else None


@njit(nogil=True)
def _trace(query, melody, query_bits, one_match, edit, most_edits):
    m, n = len(query), len(melody)
    row = np.zeros(n + 1, dtype=np.int64)  # row[j + 1]: the best that ends at melody[j]
    best, end, corpus_end = 0, 0, 0
    for i in range(m):
        diagonal, left = row[0], 0
        for j in range(n):
            up = row[j + 1]
            now = max(max(diagonal, up), left) - edit
            if query[i] == melody[j]:
                fresh = most_edits + ((n - 1 - j) << query_bits) + (m - 1 - i)
                now = max(now, max(diagonal, fresh) + one_match)
            if now < one_match:
                now = 0  # no score left: a fresh start is as good
            row[j + 1] = now
            diagonal, left = up, now
            if now > best or (now == best and now > 0 and j + 1 < corpus_end):
                best, end, corpus_end = now, i + 1, j + 1
    return best, end, corpus_end
