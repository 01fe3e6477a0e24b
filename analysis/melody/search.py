"""Which melody of a corpus has the longest stretch in common with a given one, and where?

Melodies of the corpus are ranked by the score S_p of `analysis.melody.alignment`; each of the best is
reported with its spans, edits, transposition and tempo. Beside it stands the frontier over the whole corpus:
the most tokens matched with no edit, with at most one, and so on. Everything is exact.

Not every pair needs all of that. S_1 is at least S_p, and L_k at most S_1 + k: with S_1 of all pairs known,
most cannot change the result, and only the others are aligned further.

Order of results, which is total: score descending, edits ascending, melody id ascending, start in the corpus
melody ascending, start in the query ascending.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody import engine as ways
from analysis.melody import store
from analysis.melody.alignment import check_options
from analysis.melody.extraction import ENCODINGS, RATIO_CLASSES, Melody
from analysis.melody.results import (
    MIN_DISTINCT,
    MIN_TOKENS,
    HumanFrontier,
    MelodyHit,
    MelodyMatches,
    describe_hit,
)
from analysis.melody.store import IndexedMelody

__all__ = [
    "MIN_DISTINCT",
    "MIN_TOKENS",
    "HumanFrontier",
    "IndexedMelody",
    "MelodyHit",
    "MelodyIndex",
    "MelodyMatches",
]

TWO_OCTAVES = tuple(range(-12, 13))
CHUNK_SCORES = 4_000_000  # scores of queries that are searched together
FIRST_CANDIDATES = 64  # melodies that are aligned before the others are judged by them


class MelodyIndex:
    """Melodies of a corpus, ready to be searched; a melody's id is its place in `melodies`."""

    def __init__(self, melodies: Sequence[IndexedMelody], encoding: str, strings: ways.Strings):
        self.melodies = melodies
        self.encoding = encoding
        self.strings = strings  # string s is the tokens of melody s

    @classmethod
    def build(cls, melodies: Sequence[Melody], *, encoding: str = "interval+ratio") -> MelodyIndex:
        """Index melodies made with `encoding`; equal ones are stored once, under the id of the first.

        Raises
        ------
        AnalysisError
            If there is no such encoding, or a token is too large.
        """
        if encoding not in ENCODINGS:
            raise AnalysisError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
        stored: dict[bytes, list[int]] = {}
        for place, melody in enumerate(melodies):
            if melody.n_tokens:
                stored.setdefault(melody.tokens.tobytes(), []).append(place)
        indexed = tuple(
            IndexedMelody(
                melodies[places[0]],
                tuple(melodies[place].name for place in places),
                tuple(places),
                frozenset(melodies[place].group for place in places) - {""},
            )
            for places in stored.values()
        )
        return cls(indexed, encoding, ways.Strings.of([one.melody.tokens for one in indexed]))

    def save(self, folder: Path) -> None:
        """Write the index as a folder that `open` reads, in place of one that is there.

        Raises
        ------
        AnalysisError
            If `folder` is there and is no such index.
        """
        store.save(folder, self.melodies, self.encoding)

    @classmethod
    def open(cls, folder: Path) -> MelodyIndex:
        """The index that `save` wrote; files are mapped, and read as they are needed.

        Raises
        ------
        AnalysisError
            If there is none, or it was cut short or written by another version.
        """
        stored = store.StoredMelodies.open(folder)
        return cls(stored, stored.encoding, ways.Strings(stored.tokens, stored.token_starts))

    def members(
        self, *, names: Collection[str] = (), groups: Collection[str] = (), tokens: Collection[bytes] = ()
    ) -> frozenset[int]:
        """Ids of the melodies with one of the names, in one of the groups or with one of the strings."""
        names, groups = set(names), set(groups) - {""}
        return frozenset(
            melody_id
            for melody_id, (its_names, its_groups) in enumerate(store.labels(self.melodies))
            if not names.isdisjoint(its_names)
            or not groups.isdisjoint(its_groups)
            or (tokens and self.strings[melody_id].tobytes() in tokens)
        )

    def longest(
        self,
        queries: Sequence[Melody],
        *,
        penalty: int = 2,
        edits: int = 3,
        k: int = 5,
        exclude: Sequence[Collection[int]] | None = None,
        engine: str = "auto",
        workers: int | None = None,
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
        engine : str
            One of `analysis.melody.engine.ENGINES`; they differ in speed alone.
        workers : int, optional
            Threads; by default as many as there are processors. They change no result.
        progress : callable, optional
            Called with the queries done and all of them.

        Returns
        -------
        matches : list of MelodyMatches or None
            None for a query of fewer than four tokens.

        Raises
        ------
        AnalysisError
            If an option is out of range.
        """
        results = []
        for found in self.stream(
            queries, penalty=penalty, edits=edits, k=k, exclude=exclude, engine=engine, workers=workers
        ):
            results.append(found)
            if progress:
                progress(len(results), len(queries))
        return results

    def stream(
        self,
        queries: Sequence[Melody],
        *,
        penalty: int = 2,
        edits: int = 3,
        k: int = 5,
        exclude: Sequence[Collection[int]] | None = None,
        engine: str = "auto",
        workers: int | None = None,
    ) -> Iterator[MelodyMatches | None]:
        """As `longest`, each result as soon as the queries searched together with it are done."""
        check_options(edits, penalty)
        if k < 0:
            raise AnalysisError(f"k must be at least 0, got {k}")
        exclude = exclude if exclude is not None else [()] * len(queries)
        if len(exclude) != len(queries):
            raise AnalysisError(f"exclude needs one entry per query: {len(queries)}, got {len(exclude)}")
        for melody_id in set().union(*exclude):
            if not 0 <= melody_id < len(self.strings):
                raise AnalysisError(
                    f"exclude must hold ids from 0 to {len(self.strings) - 1}, got {melody_id}"
                )
        n_keys = len(TWO_OCTAVES) if self.encoding == "pitch" else 1
        n_cells = n_keys * ways.n_cells([query.tokens for query in queries], self.strings)
        search = _Search(self, penalty, edits, k, ways.chosen_engine(engine, n_cells), engine, workers)
        return self._stream(search, queries, exclude, n_keys)

    def _stream(self, search: _Search, queries, exclude, n_keys: int) -> Iterator[MelodyMatches | None]:
        chunk = max(1, CHUNK_SCORES // max(1, n_keys * len(self.strings)))
        for first in range(0, len(queries), chunk):
            yield from search.run(queries[first : first + chunk], exclude[first : first + chunk])

    def in_every_key(self, query: Melody) -> list[Melody]:
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


@dataclass(frozen=True)
class _Search:
    """The options of a search, and what it does with them."""

    index: MelodyIndex
    penalty: int
    edits: int
    k: int
    way: str  # the engine, chosen
    engine: str  # as asked for
    workers: int | None

    def run(
        self, queries: Sequence[Melody], exclude: Sequence[Collection[int]]
    ) -> list[MelodyMatches | None]:
        """What the corpus holds of each query."""
        keys = [self.index.in_every_key(query) if query.n_tokens >= MIN_TOKENS else [] for query in queries]
        bounds = self._bounds([shifted.tokens for rows in keys for shifted in rows])
        tasks, first = [], 0
        for query, rows, excluded in zip(queries, keys, exclude, strict=True):
            tasks.append((query, rows, excluded, bounds[first : first + len(rows)]))
            first += len(rows)
        return ways.in_threads(lambda task: self._match(*task), tasks, self.workers)

    @property
    def _screen_penalty(self) -> int:
        """The p of the scores that bound all others: L_0 is at most any S_p, L_k at most S_1 + k."""
        return self.penalty if self.edits == 0 or self.engine == "seeds" else 1

    def _bounds(self, strings: Sequence[np.ndarray]) -> np.ndarray:
        """What S_p of each string with each melody is at most (n_strings, n_melodies)."""
        corpus = self.index.strings
        if self.way == "numpy":  # which finds frontiers along with scores
            lengths = np.array([len(string) for string in strings], dtype=np.int32)
            return np.minimum(lengths[:, None], corpus.lengths.astype(np.int32))
        # Seeds find scores above the penalty alone; the others are bounded by it.
        only_above = self.engine == "seeds" or self.edits == 0
        scores = ways.all_scores(
            strings,
            corpus,
            penalty=self._screen_penalty,
            only_above=only_above,
            engine=self.engine,
            workers=self.workers,
        )
        return np.maximum(scores, self._screen_penalty) if only_above else scores

    def _match(
        self, query: Melody, rows: Sequence[Melody], excluded: Collection[int], bounds: np.ndarray
    ) -> MelodyMatches | None:
        if not rows:
            return None
        bounds = bounds.copy()
        bounds[:, list(excluded)] = 0
        found = _Found(len(self.index.melodies), len(rows), self.edits, self.penalty)
        best_row, best_bound = bounds.argmax(axis=0), bounds.max(axis=0)
        order = np.argsort(-best_bound, kind="stable")[: max(self.k, FIRST_CANDIDATES)]
        for row in np.unique(best_row[order]):
            chosen = order[(best_row[order] == row) & (best_bound[order] > 0)]
            self._align(found, row, rows[row], chosen)
        for row, shifted in enumerate(rows):
            least = found.least_bound(max(self.k, 1), self._screen_penalty)
            chosen = np.flatnonzero((bounds[row] >= max(least, 1)) & ~found.is_aligned[row])
            self._align(found, row, shifted, chosen)
        hits = [self._hit(found, query, rows, melody_id) for melody_id in found.candidates(self.k)]
        hits.sort(key=lambda hit: (-hit.score, hit.edits, hit.melody))
        return MelodyMatches(found.score, tuple(found.frontier.tolist()), tuple(hits[: self.k]))

    def _align(self, found: _Found, row: int, shifted: Melody, chosen: np.ndarray) -> None:
        if len(chosen):
            frontiers, scores = ways.align_chosen(
                shifted.tokens,
                self.index.strings,
                chosen,
                edits=self.edits,
                penalty=self.penalty,
                by_numpy=self.way == "numpy",
            )
            found.add(row, chosen, frontiers, scores)

    def _hit(self, found: _Found, query: Melody, rows: Sequence[Melody], melody_id: int) -> MelodyHit:
        """The first alignment of all in any key that shares the melody's best rank."""
        tokens = self.index.strings[melody_id]
        alignments = [
            (ways.trace(own.tokens, tokens, penalty=self.penalty, by_numpy=self.way == "numpy"), own)
            for own in (rows[row] for row in found.best_rows(melody_id))
        ]
        alignment, shifted = min(
            alignments, key=lambda pair: (pair[0].edits, pair[0].corpus_start, pair[0].start)
        )
        return describe_hit(melody_id, query, shifted, self.index.melodies[melody_id].melody, alignment)


class _Found:
    """What has been found of one query so far; a row is the query in one key."""

    def __init__(self, n_melodies: int, n_rows: int, edits: int, penalty: int):
        self.n_levels = edits + 1
        self.penalty = penalty
        self.ranks = np.zeros((n_rows, n_melodies), dtype=np.int64)
        self.is_aligned = np.zeros((n_rows, n_melodies), dtype=bool)
        self.frontier = np.zeros(edits + 1, dtype=np.int64)
        self.score = 0

    def add(self, row: int, chosen: np.ndarray, frontiers: np.ndarray, scores: np.ndarray) -> None:
        """Take frontiers and scores of a row with some of the melodies."""
        self.is_aligned[row, chosen] = True
        self.frontier = np.maximum(self.frontier, frontiers.max(axis=0))
        self.score = max(self.score, int(scores.max()))
        self.ranks[row, chosen] = _ranks(frontiers, scores, self.penalty)

    def least_bound(self, k: int, screen_penalty: int) -> int:
        """What a score at the screen's penalty must at least be to change the frontier or the k best."""
        best = self.ranks.max(axis=0)
        kth_rank = np.partition(best, -k)[-k] if len(best) >= k else 0
        kth_score = -(-kth_rank // (self.n_levels + 1))
        beyond_frontier = self.frontier + 1 - screen_penalty * np.arange(self.n_levels)
        return int(min(kth_score, beyond_frontier.min()))

    def candidates(self, k: int) -> list[int]:
        """Melodies of which the k best are some, the best first."""
        best = self.ranks.max(axis=0)
        order = np.argsort(-best, kind="stable")
        order = order[best[order] > 0]
        if k == 0:
            return []
        if len(order) > k:
            # Melodies whose edits lie beyond the frontier share a rank; their alignments tell them apart.
            last = best[order[k - 1]]
            is_open = -last % (self.n_levels + 1) == self.n_levels
            order = order[best[order] >= last] if is_open else order[:k]
        return order.tolist()

    def best_rows(self, melody_id: int) -> list[int]:
        """Rows that share the best rank with a melody."""
        ranks = self.ranks[:, melody_id]
        return np.flatnonzero(ranks == ranks.max()).tolist()


def _ranks(frontiers: np.ndarray, scores: np.ndarray, penalty: int) -> np.ndarray:
    """Whole numbers that order melodies by score, then by fewest edits; 0 for a score of 0.

    The fewest edits that reach a score are the first k with L_k - p * k = S_p. Where that lies beyond the
    frontier, edits count as one more than the frontier's.
    """
    n_levels = frontiers.shape[1]
    reached = frontiers - penalty * np.arange(n_levels) == scores[:, None]
    edits = np.where(reached.any(axis=1), reached.argmax(axis=1), n_levels)
    return np.where(scores > 0, scores * (n_levels + 1) - edits, 0)
