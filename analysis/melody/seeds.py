"""Scores S_p by seeds: look only where two strings share a run of tokens, and lose nothing by it.

An alignment that is worth more than p begins with a run of at least p + 1 equal tokens: the first edit takes
away all that a shorter one brings, and the alignment would be better off without it. So every run of p + 1
tokens of the corpus is listed, sorted; each that also stands in the query, and is not the middle of a longer
one, is followed to its end and then to wherever a score above 0 can be kept. Scores of p and less are not
told apart: they are 0 here.

How much work that is depends on the query. A repeated note stands everywhere, and then comparing everything
(`analysis.melody.simd`) is faster, by far: `Seeds.n_pairs` tells beforehand.
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
    nowhere: int  # a token that no string has: it stands before, between and after the strings
    tokens: np.ndarray  # all strings, with that
    n_strings: int
    keys: np.ndarray  # (n_runs,) uint64, ascending: the tokens of a run
    places: np.ndarray  # (n_runs,) uint32: where it begins in `tokens`
    owners: np.ndarray  # (n_runs,) int32: in which string
    before: np.ndarray  # (n_runs,) the token before it
    after: np.ndarray  # (n_runs,) uint64: the tokens after it, the next one lowest
    buckets: np.ndarray  # (2 ** 16 + 1,) where the runs with these first 16 bits begin among `keys`

    @classmethod
    def build(cls, tokens: np.ndarray, starts: np.ndarray, *, penalty: int, bits: int, nowhere: int) -> Seeds:
        """List the runs of penalty + 1 tokens, or of as many as fit in 8 bytes.

        Parameters
        ----------
        tokens : np.ndarray [shape=(n_tokens,)]
            All strings of the corpus, one after another, string s from ``starts[s]`` to before
            ``starts[s + 1]``; each token of so many bits.
        """
        n_strings = len(starts) - 1
        length = min(penalty + 1, 8 * KEY_BYTES // bits)
        owners = np.repeat(np.arange(n_strings + 1, dtype=np.int32), np.append(np.diff(starts) + 1, 1))
        apart = np.full(len(tokens) + n_strings + 1, nowhere, dtype=tokens.dtype)
        apart[np.arange(len(tokens)) + 1 + np.repeat(np.arange(n_strings), np.diff(starts))] = tokens
        keys = run_keys(apart, length, bits)
        n_gaps = np.cumsum(np.append(0, apart == nowhere))
        places = np.flatnonzero(n_gaps[length:] == n_gaps[: max(0, len(n_gaps) - length)]).astype(np.uint32)
        places = places[np.argsort(keys[places], kind="stable")]
        keys = keys[places]
        first_bits = np.arange((1 << 16) + 1, dtype=np.uint64)
        return cls(
            length=length,
            bits=bits,
            nowhere=nowhere,
            tokens=apart,
            n_strings=n_strings,
            keys=keys,
            places=places,
            owners=owners[places],
            before=apart[places - 1],
            after=next_tokens(apart, bits)[places + length],
            buckets=np.searchsorted(keys >> np.uint64(max(0, length * bits - 16)), first_bits),
        )

    def ranges(self, query: np.ndarray) -> np.ndarray:
        """First and last (left out) of the runs that stand at each place of a query: (n_places, 2)."""
        keys = run_keys(query, self.length, self.bits)
        return _ranges(keys, self.keys, self.buckets, max(0, self.length * self.bits - 16))

    def n_pairs(self, query: np.ndarray) -> int:
        """Pairs of a place in the query and one in the corpus with the same run."""
        ranges = self.ranges(query)
        return int((ranges[:, 1] - ranges[:, 0]).sum())

    def scores(self, query: np.ndarray, penalty: int) -> np.ndarray:
        """S_p of a query with every string of the corpus where it is above p, else 0 [shape=(n_strings,)].

        `penalty` is that of `build`.
        """
        found = np.zeros(self.n_strings + 1, dtype=np.int32)
        room = np.zeros((2, 2 * len(query) + 4), dtype=np.int32)  # an alignment has more matches than edits
        ranges = self.ranges(query)
        query = np.append(query, query.dtype.type(self.nowhere - 1))
        left = self.length - penalty  # of the score of a run after an edit
        n_needed = min(penalty + 1 - left, 8 * KEY_BYTES // self.bits - 1)
        _follow_all(
            query,
            ranges,
            next_tokens(query, self.bits),
            self.tokens,
            (self.places, self.owners, self.before, self.after),
            (self.length, self.bits, self.nowhere),
            penalty,
            np.uint64((1 << n_needed * self.bits) - 1 if left > 0 else 0),
            room,
            found,
        )
        found[found <= penalty] = 0
        return found[:-1]


@njit(nogil=True)
def run_keys(tokens, length, bits):
    """The `length` tokens from each place on as one number, of tokens below ``2 ** bits``; (n_runs,)."""
    keys = np.zeros(max(0, len(tokens) - length + 1), dtype=np.uint64)
    for place in range(len(keys)):
        key = np.uint64(0)
        for step in range(length):
            key = (key << np.uint64(bits)) | np.uint64(tokens[place + step])
        keys[place] = key
    return keys


@njit(nogil=True)
def next_tokens(tokens, bits):
    """The tokens from each place on as one number, the first lowest, as many as fit; 0 after the last.

    One more than there are tokens: (n_tokens + 1,).
    """
    numbers = np.zeros(len(tokens) + 1, dtype=np.uint64)
    for place in range(len(tokens) - 1, -1, -1):
        numbers[place] = (numbers[place + 1] << np.uint64(bits)) | np.uint64(tokens[place])
    return numbers


@njit(nogil=True)
def _ranges(wanted, keys, buckets, shift):
    ranges = np.zeros((len(wanted), 2), dtype=np.int64)
    for place in range(len(wanted)):
        key = wanted[place]
        bucket = np.int64(key >> np.uint64(shift))
        for side in range(2):
            low, high = buckets[bucket], buckets[bucket + 1]
            while low < high:
                middle = (low + high) // 2
                if keys[middle] < key or (side == 1 and keys[middle] == key):
                    low = middle + 1
                else:
                    high = middle
            ranges[place, side] = low
    return ranges


@njit(nogil=True)
def _follow_all(query, ranges, query_after, tokens, runs, kind, penalty, needed, room, found):
    """Follow every run; `needed` masks as many tokens as must be equal after an edit, 0 if none may come.

    Most runs are as long as those listed and lead nowhere, which their own entries in `runs` say.
    """
    places, owners, before, after = runs
    length, bits, nowhere = kind
    shift, one = np.uint64(bits), np.uint64((1 << bits) - 1)
    for i in range(len(ranges)):
        token_before = query[i - 1] if i > 0 else nowhere - 1
        ours = query_after[i + length]
        for number in range(ranges[i, 0], ranges[i, 1]):
            if before[number] == token_before:
                continue  # the middle of a longer run
            theirs, owner, score = after[number], owners[number], length
            differs = ours ^ theirs
            ends = differs & one != 0
            replaced = (differs >> shift) & needed == 0
            inserted = (ours ^ (theirs >> shift)) & needed == 0
            deleted = ((ours >> shift) ^ theirs) & needed == 0
            if not ends or (needed != 0 and (replaced or inserted or deleted)):
                place = np.int64(places[number])
                score += _run(query, tokens, i + length, place + length)
                next_i, next_place = i + score, place + score
                if _goes_on(query, tokens, next_i, next_place, score, nowhere, penalty):
                    score = _follow(query, tokens, next_i, next_place, score, nowhere, penalty, room)
            found[owner] = max(found[owner], score)


@njit(nogil=True, inline="always")
def _run(query, tokens, i, j):
    """Equal tokens from here on; the ends of both are equal to nothing."""
    run = 0
    while query[i + run] == tokens[j + run]:
        run += 1
    return run


@njit(nogil=True, inline="always")
def _goes_on(query, tokens, i, j, score, nowhere, penalty):
    """Whether an edit here can be followed by another, or by more than it costs."""
    left = score - penalty
    if left > penalty:
        return True
    if left <= 0 or i + 1 == len(query) or tokens[j] == nowhere:
        return False
    # No second edit can be paid for until more tokens are equal after the first.
    needed = penalty + 1 - left
    return (
        _run(query, tokens, i + 1, j + 1) >= needed
        or _run(query, tokens, i + 1, j) >= needed
        or _run(query, tokens, i, j + 1) >= needed
    )


@njit(nogil=True)
def _follow(query, tokens, i, j, score, nowhere, penalty, room):
    """The best score of what goes on from a score at the tokens before i and j, as long as it is above 0.

    Cell c of a row of `room` is the score at token j - 1 + c; all are 0 before and after.
    """
    above, now = room[0], room[1]
    best = score
    first, last = 0, 0  # cells of the row above with a score above 0, both counted
    value = score
    while value > 0:
        above[last] = value
        value -= penalty
        if value > 0:
            if tokens[j + last] == nowhere:
                break
            last += 1
    while i + 1 < len(query) and last >= first:
        next_first, next_last = last + 2, -1
        cell, left = first, 0
        while cell <= last + 1 or left > penalty:
            if cell > 0 and tokens[j + cell - 1] == nowhere:
                break
            value = max(above[cell], left) - penalty
            if cell > first:
                diagonal = above[cell - 1]
                if diagonal > 0 and query[i] == tokens[j + cell - 1]:
                    value = max(value, diagonal + 1)
                else:
                    value = max(value, diagonal - penalty)
            value = max(value, 0)
            now[cell] = value
            if value > 0:
                next_first, next_last = min(next_first, cell), cell
                best = max(best, value)
            left = value
            cell += 1
        above[first : last + 1] = 0
        above, now = now, above
        first, last = next_first, next_last
        i += 1
    above[first : last + 1] = 0
    return best
