"""Scores S_p by seeds: look only where two strings share a run of tokens, and lose nothing by it.

An alignment that is worth more than p begins with a run of at least p + 1 equal tokens: the first edit takes
away all that a shorter one brings, and the alignment would be better off without it. So every run of p + 1
tokens of the corpus is listed, sorted; each that also stands in the query, and is not the middle of a longer
one, is followed to its end and then to wherever a score above 0 can be kept. Scores of p and less are not
told apart: they are 0 here.

How much work that is depends on the query. A repeated note stands everywhere, and then comparing everything
(`analysis.melody.simd`) is faster: `n_pairs` tells beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

KEY_BYTES = 8


@dataclass(frozen=True)
class Seeds:
    """Every run of a few tokens of a corpus, sorted."""

    length: int  # tokens in a run
    bits: int  # of a token
    keys: np.ndarray  # (n_runs,) uint64, ascending: the tokens of a run
    places: np.ndarray  # (n_runs,) uint32: where it begins among all tokens of the corpus

    @classmethod
    def build(cls, tokens: np.ndarray, starts: np.ndarray, *, penalty: int, bits: int) -> Seeds:
        """List the runs of penalty + 1 tokens, or of as many as fit in 8 bytes.

        Parameters
        ----------
        tokens : np.ndarray [shape=(n_tokens,)]
            All strings of the corpus, one after another, string s from ``starts[s]`` to before
            ``starts[s + 1]``; each token of so many bits.
        """
        length = min(penalty + 1, 8 * KEY_BYTES // bits)
        keys = run_keys(tokens, length, bits)
        is_whole = np.ones(len(keys), dtype=bool)  # within one string
        for back in range(1, length):
            cut = starts[1:-1] - back
            is_whole[cut[(cut >= 0) & (cut < len(keys))]] = False
        places = np.flatnonzero(is_whole).astype(np.uint32)
        order = np.argsort(keys[places], kind="stable")
        return cls(length, bits, keys[places[order]], places[order])

    def ranges(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last (left out) of the runs that stand at each place of the query."""
        keys = run_keys(query, self.length, self.bits)
        return np.searchsorted(self.keys, keys), np.searchsorted(self.keys, keys, side="right")

    def n_pairs(self, query: np.ndarray) -> int:
        """Pairs of a place in the query and one in the corpus with the same run."""
        first, last = self.ranges(query)
        return int((last - first).sum())


def run_keys(tokens: np.ndarray, length: int, bits: int) -> np.ndarray:
    """The `length` tokens from each place on as one number, of tokens below ``2 ** bits``; (n_runs,)."""
    n_runs = max(0, len(tokens) - length + 1)
    keys = np.zeros(n_runs, dtype=np.uint64)
    for step in range(length):
        keys = (keys << np.uint64(bits)) | tokens[step : step + n_runs].astype(np.uint64)
    return keys


def scores(
    query: np.ndarray, tokens: np.ndarray, starts: np.ndarray, owners: np.ndarray, seeds: Seeds, penalty: int
) -> np.ndarray:
    """S_p of a query with every string of the corpus where it is above p, else 0 [shape=(n_strings,)].

    Parameters
    ----------
    owners : np.ndarray [shape=(n_tokens,)]
        The string that each token of the corpus belongs to.
    """
    found = np.zeros(len(starts) - 1, dtype=np.int32)
    first, last = seeds.ranges(query)
    longest = int(np.diff(starts).max(initial=0))
    room = np.zeros((2, longest + 2), dtype=np.int32)
    _follow_all(query, first, last, seeds.places, tokens, starts, owners, penalty, room, found)
    found[found <= penalty] = 0
    return found


@njit(nogil=True)
def _follow_all(query, first, last, places, tokens, starts, owners, penalty, room, found):
    for i in range(len(first)):
        for number in range(first[i], last[i]):
            place = places[number]
            owner = owners[place]
            start, end = starts[owner], starts[owner + 1]
            if i > 0 and place > start and query[i - 1] == tokens[place - 1]:
                continue  # the middle of a longer run
            run = 0
            while i + run < len(query) and place + run < end and query[i + run] == tokens[place + run]:
                run += 1
            best = _follow(query, tokens, i + run, place + run, end, run, penalty, room)
            found[owner] = max(found[owner], best)


@njit(nogil=True)
def _follow(query, tokens, i, j, end, score, penalty, room):
    """The best score of what goes on from a score at the tokens before i and j, as long as it is above 0.

    `room[:, c]` are the cells of two rows at column j - 1 + c; all zeros before and after.
    """
    above, now = room[0], room[1]
    best = score
    width = end - j + 1  # columns from j - 1 on
    first, last = 0, 0  # columns of the row above with a score above 0, both counted
    column, value = 0, score
    while value > 0 and column < width:
        above[column] = value
        last = column
        column += 1
        value -= penalty
    while i < len(query) and last >= first:
        next_first, next_last = width, -1
        column, left = first, 0
        while column < width and (column <= last + 1 or left > penalty):
            value = max(above[column], left) - penalty
            if column > first:
                diagonal = above[column - 1]
                if diagonal > 0 and query[i] == tokens[j + column - 1]:
                    value = max(value, diagonal + 1)
                else:
                    value = max(value, diagonal - penalty)
            value = max(value, 0)
            now[column] = value
            if value > 0:
                next_first, next_last = min(next_first, column), column
                best = max(best, value)
            left = value
            column += 1
        above[first : last + 1] = 0
        above, now = now, above
        first, last = next_first, next_last
        i += 1
    if last >= first:
        above[first : last + 1] = 0
    return best
