"""How long a stretch do two melodies have in common if a few edits are allowed?

For token strings g and c, an *alignment* of a substring of g with a substring of c pairs equal tokens (a
match) and pays one edit for each pair of unequal tokens and for each token left over on either side.

    L_k(g, c) = the most matches of any alignment with at most k edits
    S_p(g, c) = max over k of L_k - p * k

L_0, L_1, L_2, ... are the *frontier*; S_p is the Smith-Waterman score with +1 for a match and -p for an edit.

Both are exact over all pairs of substrings: as L_k(i, j), the best alignment that ends at g_i and c_j, is
L_k(i-1, j-1) + 1 or the best of L_{k-1} at (i-1, j-1), (i-1, j) and (i, j-1), no search over starts or
lengths is needed. All cells of one anti-diagonal depend only on the two before it, so a whole anti-diagonal
of many melodies is one array.

Matches are counted as pairs of equal tokens. Where an alignment leaves tokens over on both sides, that is
more than max(|x|, |y|) - Levenshtein(x, y) of its substrings x and y; otherwise the two are the same number.

References: Smith and Waterman, "Identification of common molecular subsequences", J. Mol. Biol. 147, 1981.
Arslan, Egecioglu and Pevzner, "A new approach to sequence comparison", Bioinformatics 17, 2001, on why length
alone misleads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError

BATCH_CELLS = 1 << 16  # cells of one anti-diagonal of a batch: a few arrays of them fit a processor's cache


@dataclass(frozen=True)
class Alignment:
    """A best alignment of two token strings."""

    score: int  # S_p
    matched: int
    edits: int
    start: int  # in g
    end: int  # the token after the last, in g
    corpus_start: int  # in c
    corpus_end: int


def frontiers_and_scores(
    query: np.ndarray, melodies: Sequence[np.ndarray], *, edits: int = 3, penalty: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """The frontier and the score of one string against many.

    Parameters
    ----------
    query : np.ndarray [shape=(m,)]
        Tokens below 65,535.
    edits : int
        The largest k of the frontier.
    penalty : int
        p, what one edit costs, at least 1.

    Returns
    -------
    frontiers : np.ndarray [shape=(n_melodies, edits + 1)]
        L_0 to L_edits; 0 where nothing matches.
    scores : np.ndarray [shape=(n_melodies,)]
        S_p.

    Raises
    ------
    AnalysisError
        If `edits` or `penalty` is out of range.
    """
    check_options(edits, penalty)
    query = np.asarray(query, dtype=np.uint16)
    frontiers = np.zeros((len(melodies), edits + 1), dtype=np.int64)
    scores = np.zeros(len(melodies), dtype=np.int64)
    if len(query) == 0:
        return frontiers, scores
    order = sorted(range(len(melodies)), key=lambda index: -len(melodies[index]))  # equal lengths pad little
    first = 0
    while first < len(order):
        height = min(len(query), len(melodies[order[first]]))
        chosen = order[first : first + max(1, BATCH_CELLS // max(height, 1))]
        frontiers[chosen], scores[chosen] = _align_batch(query, [melodies[i] for i in chosen], edits, penalty)
        first += len(chosen)
    return frontiers, scores


def check_options(edits: int, penalty: int) -> None:
    """Refuse an `edits` or `penalty` out of range with an `AnalysisError`."""
    if edits < 0 or not 1 <= penalty <= 100:
        raise AnalysisError(f"edits must be at least 0 and penalty 1-100, got {edits} and {penalty}")


def _align_batch(
    query: np.ndarray, melodies: Sequence[np.ndarray], edits: int, penalty: int
) -> tuple[np.ndarray, np.ndarray]:
    """All cells of all pairs, one anti-diagonal after another.

    The shorter of the two sides lies along the anti-diagonal, the other is drawn past it. Cell (i, j) lies on
    anti-diagonal i + j, in row height - 1 - i of an array with one column per melody: so the tokens that meet
    are one slice, as are a cell's neighbours. A row of zeros stands for i = -1.
    """
    longest, n_melodies = max(len(melody) for melody in melodies), len(melodies)
    if longest == 0:
        return np.zeros((n_melodies, edits + 1), dtype=np.int64), np.zeros(n_melodies, dtype=np.int64)
    alphabet, query_codes = np.unique(query, return_inverse=True)
    code_type = np.uint8 if len(alphabet) < 255 else np.uint32
    query_codes = (query_codes + 1).astype(code_type)[:, None]
    code_of = np.zeros(1 << 16, dtype=code_type)  # 0: nowhere in the query
    code_of[alphabet] = np.arange(1, len(alphabet) + 1)
    melody_codes = np.zeros((longest, n_melodies), dtype=code_type)
    for column, melody in enumerate(melodies):
        melody_codes[: len(melody), column] = code_of[melody]
    if len(query) <= longest:
        along, past, silence = query_codes, melody_codes, 0
    else:
        along, past, silence = melody_codes, query_codes, len(alphabet) + 1
    along = np.ascontiguousarray(along[::-1])
    height, length = len(along), len(past)
    past = np.pad(past, ((height, height), (0, 0)), constant_values=silence)
    # No value exceeds the height; with what is added to it, it must fit the type.
    most = height + 1 + penalty
    dtype = np.uint8 if most <= 255 else np.uint16 if most <= 65_535 else np.uint32

    n_levels = edits + 1
    # The levels of the frontier, then Smith-Waterman's.
    before_last, last, now = (np.zeros((n_levels + 1, height + 1, n_melodies), dtype=dtype) for _ in range(3))
    best = np.zeros((n_levels + 1, height, n_melodies), dtype=dtype)
    equal = np.empty((height, n_melodies), dtype=bool)
    bits = np.empty((height, n_melodies), dtype=dtype)
    ones, one, cost, gain = dtype(np.iinfo(dtype).max), dtype(1), dtype(penalty), dtype(1 + penalty)
    for diagonal in range(height + length - 1):
        np.equal(past[diagonal + 1 : diagonal + 1 + height], along, out=equal)
        np.multiply(equal, ones, out=bits)  # all bits set where tokens match
        cells = now[:-1, :height]
        np.add(before_last[:-1, 1:], one, out=cells)
        np.bitwise_and(cells, bits, out=cells)
        edited = now[1:-1, :height]
        np.maximum(edited, before_last[:-2, 1:], out=edited)  # one token for another
        np.maximum(edited, last[:-2, 1:], out=edited)  # a token of one left over
        np.maximum(edited, last[:-2, :height], out=edited)  # or of the other
        cells = now[-1, :height]
        np.bitwise_and(bits, gain, out=cells)
        np.add(cells, before_last[-1, 1:], out=cells)
        np.maximum(cells, last[-1, 1:], out=cells)
        np.maximum(cells, last[-1, :height], out=cells)
        np.maximum(cells, cost, out=cells)
        np.subtract(cells, cost, out=cells)
        np.maximum(best, now[:, :height], out=best)
        before_last, last, now = last, now, before_last
    ends = best.max(axis=1)  # (n_levels + 1, n_melodies)
    return ends[:-1].T.astype(np.int64), ends[-1].astype(np.int64)


def best_alignment(query: np.ndarray, melody: np.ndarray, *, penalty: int = 2) -> Alignment | None:
    """The alignment that has the score S_p; of several, the one with fewest edits, then the earliest.

    The order is: score descending, edits ascending, start in the corpus melody ascending, start in the query
    ascending, ends likewise. None if no token of one stands in the other.

    Raises
    ------
    AnalysisError
        If the two are too long for one number to hold the order (tens of thousands of tokens each).
    """
    m, n = len(query), len(melody)
    if m == 0 or n == 0:
        return None
    ranking = Ranking.of(m, n, penalty)
    one_match, edit = ranking.one_match, ranking.edit
    query_is_along = m <= n  # as in `_align_batch`: the shorter side lies along the anti-diagonal
    along, past = (query, melody) if query_is_along else (melody, query)
    height, length = len(along), len(past)
    along = np.asarray(along, dtype=np.int64)[::-1]
    past = np.pad(np.asarray(past, dtype=np.int64), height, constant_values=-1)
    places_along = np.arange(height)[::-1]
    before_last = np.zeros(height + 1, dtype=np.int64)
    last = np.zeros(height + 1, dtype=np.int64)
    best, ends = 0, (0, 0)
    for diagonal in range(height + length - 1):
        places_past = diagonal - places_along
        i, j = (places_along, places_past) if query_is_along else (places_past, places_along)
        equal = past[diagonal + 1 : diagonal + 1 + height] == along
        fresh = ranking.most_edits + ((n - 1 - j) << ranking.query_bits) + (m - 1 - i)
        matched = np.where(equal, np.maximum(before_last[1:], fresh) + one_match, 0)
        edited = np.maximum(np.maximum(before_last[1:], last[1:]), last[:height]) - edit
        now = np.zeros(height + 1, dtype=np.int64)
        now[:height] = np.maximum(matched, edited)
        now[now < one_match] = 0  # no score left: a fresh start is as good
        top = int(now.max())
        if top and top >= best:
            nearest = min((int(j[p]) + 1, int(i[p]) + 1) for p in np.flatnonzero(now[:height] == top))
            if top > best or nearest < ends:
                best, ends = top, nearest
        before_last, last = last, now
    return ranking.alignment(best, ends[1], ends[0]) if best else None


@dataclass(frozen=True)
class Ranking:
    """Partial alignments as whole numbers: score, edits left, and the two starts, each in its own bits."""

    n_query: int
    n_melody: int
    penalty: int
    query_bits: int
    one_edit: int
    one_match: int

    @classmethod
    def of(cls, n_query: int, n_melody: int, penalty: int) -> Ranking:
        """For strings of so many tokens.

        Raises
        ------
        AnalysisError
            If 62 bits do not suffice.
        """
        query_bits, melody_bits = n_query.bit_length(), n_melody.bit_length()
        count_bits = min(n_query, n_melody).bit_length() + 1
        if 2 * count_bits + query_bits + melody_bits > 62:
            raise AnalysisError(
                f"melodies of {n_query} and {n_melody} tokens are too long to align: give excerpts"
            )
        one_edit = 1 << (query_bits + melody_bits)
        return cls(n_query, n_melody, penalty, query_bits, one_edit, one_edit << count_bits)

    @property
    def edit(self) -> int:
        """What an edit takes away."""
        return self.penalty * self.one_match + self.one_edit

    @property
    def most_edits(self) -> int:
        """What a fresh start has: all its edits unspent."""
        return self.one_match - self.one_edit

    def alignment(self, rank: int, end: int, corpus_end: int) -> Alignment:
        """The alignment of a rank that ends before these tokens."""
        score, rest = divmod(rank, self.one_match)
        unspent, starts = divmod(rest, self.one_edit)
        edits = self.most_edits // self.one_edit - unspent
        return Alignment(
            score=score,
            matched=score + self.penalty * edits,
            edits=edits,
            start=self.n_query - 1 - (starts & ((1 << self.query_bits) - 1)),
            end=end,
            corpus_start=self.n_melody - 1 - (starts >> self.query_bits),
            corpus_end=corpus_end,
        )
