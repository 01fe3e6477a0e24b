"""Are the pieces of a set different pieces, or one piece again and again?

Two pieces are compared as sets of notes, each a pitch at a sixteenth since the start, by the Jaccard index:
notes that both have over notes that either has. A generator has collapsed if its pieces share most of their
notes; real pieces of one style, in many keys and meters, hardly share any.

Reference: Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from music.pianoroll import nearest_step
from music.score import Score

STEPS_PER_BEAT = 4
COLLAPSED = 0.5  # mean index from which a set counts as collapsed
TWINS = 0.9  # index from which two pieces count as one


@dataclass(frozen=True)
class Diversity:
    """How alike the pieces of a set are."""

    n_pieces: int
    mean_similarity: float | None  # mean Jaccard index of all pairs, 0 to 1; None with fewer than two pieces
    most_similar: float | None  # of the closest pair
    n_distinct: int  # pieces left if of each group of twins one stays
    n_empty: int  # pieces without notes

    @property
    def is_collapsed(self) -> bool:
        """Whether the pieces share so much that they are one piece in effect."""
        return self.mean_similarity is not None and self.mean_similarity >= COLLAPSED


def describe_diversity(scores: Sequence[Score]) -> Diversity:
    """How alike pieces are; two without notes are alike."""
    sets = [note_set(score) for score in scores]
    pairs = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    distinct: list[int] = []
    for index in range(len(sets)):
        if all(pairs[other, index] < TWINS for other in distinct):
            distinct.append(index)
    return Diversity(
        n_pieces=len(sets),
        mean_similarity=float(np.mean(list(pairs.values()))) if pairs else None,
        most_similar=max(pairs.values(), default=None),
        n_distinct=len(distinct),
        n_empty=sum(not notes for notes in sets),
    )


def note_set(score: Score) -> frozenset[tuple[int, int, bool]]:
    """The notes of a piece as (sixteenth of the onset, pitch, whether a drum)."""
    return frozenset(
        (nearest_step(note.onset, STEPS_PER_BEAT, score.ticks_per_beat), note.pitch, track.is_drum)
        for track in score.tracks
        for note in track.notes
    )


def jaccard(one: frozenset, other: frozenset) -> float:
    """What two sets share, as a share of what either has; 1 for two empty ones."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0
