"""What a corpus holds of a melody: its best matches, its frontier, and how these compare with human music."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from analysis.melody.alignment import Alignment
from analysis.melody.extraction import Melody, Place

MIN_TOKENS = 4  # a shorter melody is a part of everything
MIN_DISTINCT = 3  # fewer distinct tokens are one repeated note or one alternation


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
    first: Place  # bar and beat at which the span's first note begins
    last: Place  # and its last note
    corpus_first: Place
    corpus_last: Place
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
class HumanFrontier:
    """Frontiers and scores of human melodies that are no copies, for generated ones to be ranked among."""

    frontiers: np.ndarray  # (n_melodies, edits + 1), each column ascending
    scores: np.ndarray  # (n_melodies,), ascending
    n_empty: int  # melodies of fewer than four tokens, which are not among them

    @classmethod
    def of(cls, matches: Sequence[MelodyMatches | None]) -> HumanFrontier:
        """From what `MelodyIndex.longest` found for human melodies, their own works excluded."""
        found = [match for match in matches if match]
        n_levels = len(found[0].frontier) if found else 0
        frontiers = np.array([match.frontier for match in found], dtype=np.int64).reshape(
            len(found), n_levels
        )
        return cls(
            np.sort(frontiers, axis=0),
            np.sort(np.array([match.score for match in found], dtype=np.int64)),
            len(matches) - len(found),
        )

    def ranks(self, frontier: Sequence[int]) -> tuple[float | None, ...]:
        """For each L_k the share of human melodies with a smaller one, 0 to 1; None without human melodies.

        1 says that no human melody has so much in common with the corpus.
        """
        n = len(self.frontiers)
        if not n:
            return (None,) * len(frontier)
        pairs = zip(self.frontiers.T, frontier, strict=True)
        return tuple(float(np.searchsorted(column, length) / n) for column, length in pairs)

    def score_rank(self, score: int) -> float | None:
        """The share of human melodies with a smaller score."""
        return float(np.searchsorted(self.scores, score) / len(self.scores)) if len(self.scores) else None


def describe_hit(
    melody_id: int, query: Melody, shifted: Melody, melody: Melody, alignment: Alignment
) -> MelodyHit:
    """An alignment of a query with a melody of the corpus, told in notes, bars, keys and edits.

    `shifted` is the query with the tokens that were aligned: its own, or in another key.
    """
    ours = shifted.tokens[alignment.start : alignment.end].tolist()
    theirs = melody.tokens[alignment.corpus_start : alignment.corpus_end].tolist()
    start, end = query.note_span(alignment.start, alignment.end)
    corpus_start, corpus_end = melody.note_span(alignment.corpus_start, alignment.corpus_end)
    note_pairs = _note_pairs(query, melody, alignment, Levenshtein.opcodes(ours, theirs))
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
        first=query.place(start),
        last=query.place(end - 1),
        corpus_first=melody.place(corpus_start),
        corpus_last=melody.place(corpus_end - 1),
        transposition=transposition,
        tempo_ratio=tempo_ratio,
        similarity=Levenshtein.normalized_similarity(ours, theirs),
        editops=tuple((op.tag, op.src_pos, op.dest_pos) for op in Levenshtein.editops(ours, theirs)),
        n_distinct=len(set(ours)),
        note_pairs=note_pairs,
    )


def _note_pairs(query: Melody, melody: Melody, alignment: Alignment, opcodes) -> tuple[tuple[int, int], ...]:
    """Notes of the query and of the melody that equal tokens begin and end at."""
    pairs = {}
    for part in opcodes:
        if part.tag == "equal":
            for step in range(part.src_end - part.src_start):
                own = alignment.start + part.src_start + step
                other = alignment.corpus_start + part.dest_start + step
                pairs[int(query.first_note[own])] = int(melody.first_note[other])
                pairs[int(query.last_note[own])] = int(melody.last_note[other])
    return tuple(sorted(pairs.items()))


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
