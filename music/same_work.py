"""Which pieces hold the same music: another version, arrangement, harmony or key of one tune.

The question comes up when a corpus is split. A model that trained on one setting of a hymn tune has seen the
other, so a held-out piece must have no relative in training, and a human baseline must not count relatives as
copies of one another.

Two pieces are of one work if their melodies share enough short passages: of the distinct passages of the
piece that has fewer, a quarter, and at least four. A passage is eight successive intervals of the top line,
so transposition, tempo and rhythm do not matter; passages of fewer than three different intervals (repeated
notes, scales, trills) are of no work. This is the rule of melodic n-grams (Downie 1999, "Evaluating a simple
approach to music information retrieval") with a threshold on containment. It finds relatives that share their
melody; it does not find a performance whose top line is another, or a variation.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from music.melody import skyline
from music.score import Score

PASSAGE = 8  # intervals
MIN_INTERVALS = 3  # different ones in a passage
MIN_SHARED = 4  # passages
MIN_CONTAINMENT = 0.25  # of the passages of the piece that has fewer
MAX_PIECES = 30  # a passage in more pieces links only neighbours, so that many versions stay cheap


def passages(score: Score) -> np.ndarray:
    """The distinct passages of the top line, each as one number.

    Returns
    -------
    passages : np.ndarray [shape=(n,), dtype=uint64]
        Sorted; empty for a melody of fewer than nine notes.
    """
    pitches = np.array([note.pitch for note in skyline(score, drop_covered=True)], dtype=np.int64)
    if len(pitches) <= PASSAGE:
        return np.array([], dtype=np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(np.diff(pitches), PASSAGE)
    ordered = np.sort(runs, axis=1)
    runs = runs[(np.diff(ordered, axis=1) != 0).sum(axis=1) + 1 >= MIN_INTERVALS]
    packed = np.zeros(len(runs), dtype=np.uint64)
    for interval in range(PASSAGE):  # each fits a byte and all of them one number: none are confused
        packed = (packed << np.uint64(8)) | (runs[:, interval] + 128).astype(np.uint64)
    return np.unique(packed)


def same_works(pieces: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of pieces of one work.

    Parameters
    ----------
    pieces : sequence of np.ndarray
        The `passages` of each piece.

    Returns
    -------
    pairs : list of (int, int)
        Places in `pieces`, the lower first, sorted. Of more than thirty versions of one work not every pair
        is listed, but a chain that holds them together.
    """
    if not pieces:
        return []
    owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    numbers = np.concatenate(pieces)
    order = np.argsort(numbers, kind="stable")  # so that the owners of a passage come in their order
    owners, numbers = owners[order], numbers[order]
    edges = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1], True]) if len(numbers) else np.array([0])
    shared: collections.Counter[tuple[int, int]] = collections.Counter()
    for start, end in itertools.pairwise(edges.tolist()):
        holders = owners[start:end].tolist()
        few = len(holders) <= MAX_PIECES
        shared.update(itertools.combinations(holders, 2) if few else itertools.pairwise(holders))
    return sorted(
        (first, second)
        for (first, second), count in shared.items()
        if count >= MIN_SHARED and count >= MIN_CONTAINMENT * min(len(pieces[first]), len(pieces[second]))
    )
