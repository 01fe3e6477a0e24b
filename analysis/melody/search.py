"""Which melody of a corpus has the longest stretch in common with a given one, and where?

Melodies of the corpus are ranked by the score S_p of `analysis.melody.alignment`; each of the best is
reported with its spans, edits, transposition and tempo. Beside it stands the frontier over the whole corpus:
the most tokens matched with no edit, with at most one, and so on.

Order of results, which is total: score descending, edits ascending, melody id ascending, start in the corpus
melody ascending, start in the query ascending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from analysis.errors import AnalysisError
from analysis.melody.alignment import Alignment, best_alignment, frontiers_and_scores
from analysis.melody.extraction import ENCODINGS, RATIO_CLASSES, Melody

MIN_TOKENS = 4  # a shorter melody is a part of everything
MIN_DISTINCT = 3  # fewer distinct tokens are one repeated note or one alternation
TWO_OCTAVES = tuple(range(-12, 13))


@dataclass(frozen=True)
class MelodyHit:
    """The best alignment of a query with one melody of the corpus. Spans are in notes, ends left out."""

    melody: int  # id in the index
    score: int  # S_p
    matched: int  # tokens
    edits: int  # tokens
    start: int
    end: int
    corpus_start: int
    corpus_end: int
    transposition: int | None  # semitones from the query to the corpus, of most matched notes
    tempo_ratio: float | None  # how many times as fast as the corpus the query goes
    similarity: float  # 1 - Levenshtein distance / length of the longer, of the two spans' tokens
    editops: tuple[
        tuple[str, int, int], ...
    ]  # operation, token of the query's span, token of the corpus's span
    n_distinct: int  # distinct tokens of the query's span
    note_pairs: tuple[tuple[int, int], ...]  # note of the query, note of the corpus melody: those that match

    @property
    def is_monotonous(self) -> bool:
        """True where fewer than three distinct tokens match: such a stretch stands in most music."""
        return self.n_distinct < MIN_DISTINCT


@dataclass(frozen=True)
class MelodyMatches:
    """What a corpus holds of one melody."""

    score: int  # the largest S_p; 0 where nothing matches
    frontier: tuple[int, ...]  # L_0, L_1, ...: tokens
    hits: tuple[MelodyHit, ...]


@dataclass(frozen=True)
class IndexedMelody:
    """A melody of the corpus, stored once for all pieces with equal tokens."""

    melody: Melody
    names: tuple[str, ...]
    places: tuple[int, ...]  # of those pieces among the melodies given
    groups: frozenset[str]


class MelodyIndex:
    """Melodies of a corpus, ready to be searched; a melody's id is its place in `melodies`."""

    def __init__(self, melodies: tuple[IndexedMelody, ...], encoding: str):
        self.melodies = melodies
        self.encoding = encoding

    @classmethod
    def build(cls, melodies: Sequence[Melody], *, encoding: str = "interval+ratio") -> MelodyIndex:
        """Index melodies made with `encoding`; equal ones are stored once, under the id of the first.

        Raises
        ------
        AnalysisError
            If there is no such encoding.
        """
        if encoding not in ENCODINGS:
            raise AnalysisError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
        stored: dict[bytes, list[int]] = {}
        for place, melody in enumerate(melodies):
            if melody.n_tokens:
                stored.setdefault(melody.tokens.tobytes(), []).append(place)
        return cls(
            tuple(
                IndexedMelody(
                    melodies[places[0]],
                    tuple(melodies[place].name for place in places),
                    tuple(places),
                    frozenset(melodies[place].group for place in places) - {""},
                )
                for places in stored.values()
            ),
            encoding,
        )

    def members(
        self, *, names: Collection[str] = (), groups: Collection[str] = (), tokens: Collection[bytes] = ()
    ) -> frozenset[int]:
        """Ids of the melodies with one of the names, in one of the groups or with one of the strings."""
        names, groups = set(names), set(groups) - {""}
        return frozenset(
            melody_id
            for melody_id, melody in enumerate(self.melodies)
            if not names.isdisjoint(melody.names)
            or not groups.isdisjoint(melody.groups)
            or melody.melody.tokens.tobytes() in tokens
        )

    def longest(
        self,
        queries: Sequence[Melody],
        *,
        penalty: int = 2,
        edits: int = 3,
        k: int = 5,
        exclude: Sequence[Collection[int]] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[MelodyMatches | None]:
        """Find what each query has in common with the corpus, exactly.

        With absolute pitches (``pitch``) every transposition of -12 to 12 semitones is searched.

        Parameters
        ----------
        penalty : int
            p of S_p: an edit costs as much as p matches.
        edits : int
            The largest k of the frontier.
        k : int
            How many melodies are reported; 0 gives the frontier and the score of none.
        exclude : sequence of collections of int, optional
            For each query, ids of melodies that are left out (`MelodyIndex.members`).

        Returns
        -------
        matches : list of MelodyMatches or None
            None for a query of fewer than four tokens.

        Raises
        ------
        AnalysisError
            If an option is out of range.
        """
        if k < 0:
            raise AnalysisError(f"k must be at least 0, got {k}")
        exclude = exclude if exclude is not None else [()] * len(queries)
        if len(exclude) != len(queries):
            raise AnalysisError(f"exclude needs one entry per query: {len(queries)}, got {len(exclude)}")
        strings = [indexed.melody.tokens for indexed in self.melodies]
        results: list[MelodyMatches | None] = []
        for done, (query, excluded) in enumerate(zip(queries, exclude, strict=True), start=1):
            results.append(self._match(query, strings, excluded, penalty, edits, k))
            if progress:
                progress(done, len(queries))
        return results

    def _match(
        self,
        query: Melody,
        strings: list[np.ndarray],
        excluded: Collection[int],
        penalty: int,
        edits: int,
        k: int,
    ) -> MelodyMatches | None:
        if query.n_tokens < MIN_TOKENS:
            return None
        ids = [index for index in range(len(strings)) if index not in excluded]
        if not ids:
            return MelodyMatches(0, (0,) * (edits + 1), ())
        chosen = [strings[index] for index in ids]
        shifted_queries = self._transposed(query)
        frontier = np.zeros(edits + 1, dtype=np.int64)
        score = 0
        ranks = np.empty((len(shifted_queries), len(ids)), dtype=np.int64)
        for row, shifted in enumerate(shifted_queries):
            frontiers, scores = frontiers_and_scores(shifted.tokens, chosen, edits=edits, penalty=penalty)
            frontier = np.maximum(frontier, frontiers.max(axis=0))
            score = max(score, int(scores.max()))
            ranks[row] = _ranks(frontiers, scores, penalty)
        best = ranks.max(axis=0)  # (n_melodies,)

        order = np.argsort(-best, kind="stable")
        order = order[best[order] > 0]
        if len(order) > k:
            # Melodies whose edits lie beyond the frontier share a rank; their alignments tell them apart.
            is_open = k > 0 and -best[order[k - 1]] % (edits + 2) == edits + 1
            order = order[best[order] >= best[order[k - 1]]] if is_open else order[:k]
        hits = []
        for place in order.tolist():
            tied = [shifted_queries[row] for row in np.flatnonzero(ranks[:, place] == best[place])]
            alignments = [(best_alignment(own.tokens, chosen[place], penalty=penalty), own) for own in tied]
            alignment, shifted = min(
                alignments, key=lambda pair: (pair[0].edits, pair[0].corpus_start, pair[0].start)
            )
            hits.append(self._hit(ids[place], query, shifted, alignment))
        hits.sort(key=lambda hit: (-hit.score, hit.edits, hit.melody))
        return MelodyMatches(score, tuple(frontier.tolist()), tuple(hits[:k]))

    def _transposed(self, query: Melody) -> list[Melody]:
        """The query itself, or with absolute pitches its transpositions in the order in which they win."""
        if self.encoding != "pitch":
            return [query]
        pitches, ratios = np.divmod(query.tokens.astype(np.int64), len(RATIO_CLASSES))
        shifted = []
        for semitones in sorted(TWO_OCTAVES, key=lambda d: (abs(d), d)):
            moved = pitches + semitones
            tokens = np.where(
                (moved >= 0) & (moved <= 127), moved * len(RATIO_CLASSES) + ratios, 128 * len(RATIO_CLASSES)
            )  # a pitch off the keyboard matches nothing
            shifted.append(replace(query, tokens=tokens.astype(np.uint16)))
        return shifted

    def _hit(self, melody_id: int, query: Melody, shifted: Melody, alignment: Alignment) -> MelodyHit:
        melody = self.melodies[melody_id].melody
        ours = shifted.tokens[alignment.start : alignment.end].tolist()
        theirs = melody.tokens[alignment.corpus_start : alignment.corpus_end].tolist()
        start, end = query.note_span(alignment.start, alignment.end)
        corpus_start, corpus_end = melody.note_span(alignment.corpus_start, alignment.corpus_end)
        pairs = {}
        for part in Levenshtein.opcodes(ours, theirs):
            if part.tag == "equal":
                for step in range(part.src_end - part.src_start):
                    own = alignment.start + part.src_start + step
                    other = alignment.corpus_start + part.dest_start + step
                    pairs[int(query.first_note[own])] = int(melody.first_note[other])
                    pairs[int(query.last_note[own])] = int(melody.last_note[other])
        note_pairs = tuple(sorted(pairs.items()))
        transposition, tempo_ratio = _key_and_tempo(query, melody, note_pairs)
        return MelodyHit(
            melody=melody_id,
            score=alignment.score,
            matched=alignment.matched,
            edits=alignment.edits,
            start=start,
            end=end,
            corpus_start=corpus_start,
            corpus_end=corpus_end,
            transposition=transposition,
            tempo_ratio=tempo_ratio,
            similarity=Levenshtein.normalized_similarity(ours, theirs),
            editops=tuple((op.tag, op.src_pos, op.dest_pos) for op in Levenshtein.editops(ours, theirs)),
            n_distinct=len(set(ours)),
            note_pairs=note_pairs,
        )


def _ranks(frontiers: np.ndarray, scores: np.ndarray, penalty: int) -> np.ndarray:
    """Whole numbers that order melodies by score, then by fewest edits; 0 for a score of 0.

    The fewest edits that reach a score are the first k with L_k - p * k = S_p. Where that lies beyond the
    frontier, edits count as one more than the frontier's.
    """
    n_levels = frontiers.shape[1]
    reached = frontiers - penalty * np.arange(n_levels) == scores[:, None]
    edits = np.where(reached.any(axis=1), reached.argmax(axis=1), n_levels)
    return np.where(scores > 0, scores * (n_levels + 1) - edits, 0)


def _key_and_tempo(
    query: Melody, melody: Melody, note_pairs: Sequence[tuple[int, int]]
) -> tuple[int | None, float | None]:
    """Semitones from the query to the corpus, and how many times as fast the query goes, by paired notes."""
    shifts = Counter(melody.notes[theirs].pitch - query.notes[ours].pitch for ours, theirs in note_pairs)
    transposition = min(shifts, key=lambda shift: (-shifts[shift], abs(shift), shift), default=None)
    speeds = []
    for (ours, theirs), (next_ours, next_theirs) in pairwise(note_pairs):
        if next_ours == ours + 1 and next_theirs == theirs + 1:
            own = (query.notes[next_ours].onset - query.notes[ours].onset) / query.ticks_per_beat
            other = (melody.notes[next_theirs].onset - melody.notes[theirs].onset) / melody.ticks_per_beat
            speeds.append(other / own)
    return transposition, float(np.median(speeds)) if speeds else None
