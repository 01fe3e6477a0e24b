"""How many notes do generated windows share with their nearest corpus window, beside what human music does?

Generated pieces are cut into windows. Three sets are searched in the same corpus: the generated windows,
windows of human pieces that are compared with every piece but themselves (the *baseline*), and the generated
windows with their columns shuffled (the *control*, which keeps pitches and density and destroys the order). A
share of copied notes means nothing without the baseline: human pieces of one style share a third to a half of
their notes by chance.

A piece's own figure is that of its worst window, the one that shares most; averages are over windows.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, Snippet, cut_windows, score_to_units
from analysis.plagiarism.index import NoteIndex
from analysis.plagiarism.search import Hit, search
from analysis.plagiarism.settings import CorpusItem, Settings, held_out
from analysis.plagiarism.summary import compare, describe, share_below, shares
from music.score import Score

Step = Callable[[int, int], None]


def shuffle_columns(snippet: Snippet, rng: np.random.Generator) -> Snippet:
    """The same columns in another order: what sounds together stays together, when it sounds does not."""
    places = rng.permutation(snippet.window_steps)[snippet.steps]
    order = np.lexsort((snippet.rows, places))
    return replace(snippet, steps=places[order], rows=snippet.rows[order])


def measure_overlap(
    generated: Sequence[tuple[str, Score]],
    corpus: Sequence[CorpusItem],
    settings: Settings,
    *,
    exclude: Mapping[str, Collection[str]] | None = None,
    progress: Callable[[str], Step] = lambda _: lambda done, total: None,
) -> tuple[list[dict | None], dict, dict]:
    """Note overlap of generated pieces with a corpus.

    Parameters
    ----------
    exclude : mapping of str to collection of str, optional
        Corpus pieces or groups, by name, that are left out for a generated piece.
    progress : callable
        Gives, for the name of a phase, the function that takes its work done and its work in all.

    Returns
    -------
    pieces : list of dict or None
        One entry per generated piece; None for a piece without notes.
    summary : dict
    distributions : dict
        Scores of all windows: "generated", "baseline", "control".

    Raises
    ------
    AnalysisError
        If no piece of the corpus has a note.
    """
    grid = {"unit": settings.unit, "steps_per_beat": settings.steps_per_beat}
    cut = {
        "window_bars": settings.window_bars,
        "window_steps": settings.window_steps,
        "hop_steps": settings.hop_steps,
    }
    human = [score_to_units(item.score, name=item.name, group=item.group, **grid) for item in corpus]
    pieces = [score_to_units(score, name=name, **grid) for name, score in generated]
    windows = [(place, window) for place, piece in enumerate(pieces) for window in cut_windows(piece, **cut)]
    human_windows, n_available, kind = _human_windows(human, corpus, settings, cut)
    longest = max((window.window_steps for _, window in windows + human_windows), default=1)

    searched = [
        place for place, item in enumerate(corpus) if settings.reference == "all" or item.split == "train"
    ]
    index = NoteIndex.build([human[place] for place in searched], unit=settings.unit, window_steps=longest)
    if not index.pieces:
        raise AnalysisError(
            "no piece of the corpus has a note to compare with; give a corpus with pitched notes"
        )
    how = {
        "transpositions": settings.intervals,
        "offsets": settings.offsets,
        "edges": settings.edges,
        "per_piece": settings.per_piece,
    }
    left_out = {name: index.members(names=others, groups=others) for name, others in (exclude or {}).items()}
    excluded = [left_out.get(pieces[place].name, frozenset()) for place, _ in windows]
    snippets = [window for _, window in windows]
    hits = search(index, snippets, k=settings.top, exclude=excluded, progress=progress("note overlap"), **how)

    rng = np.random.default_rng(settings.seed)
    shuffled = [shuffle_columns(window, rng) for window in snippets]
    control_hits = search(
        index, shuffled, k=1, exclude=excluded, progress=progress("shuffled control"), **how
    )

    own = [
        index.members(names=[human[place].name], groups=[human[place].group], shapes={human[place].shape})
        for place, _ in human_windows
    ]
    human_snippets = [window for _, window in human_windows]
    human_hits = search(index, human_snippets, k=1, exclude=own, progress=progress("human baseline"), **how)

    scores, score_pieces = _scores(hits, [place for place, _ in windows], settings)
    baseline_scores, baseline_pieces = _scores(human_hits, [place for place, _ in human_windows], settings)
    control_scores, _ = _scores(control_hits, [place for place, _ in windows], settings)
    by_piece: list[list[tuple[Snippet, list[Hit]]]] = [[] for _ in pieces]
    for (place, window), found in zip(windows, hits, strict=True):
        by_piece[place].append((window, found))
    entries = [
        _piece_entry(index, searched, piece, found, settings, baseline_scores)
        for piece, found in zip(pieces, by_piece, strict=True)
    ]

    worst = [entry["score"] for entry in entries if entry and not entry["few_notes"]]
    ours, baseline, excess = compare(
        scores, score_pieces, baseline_scores, baseline_pieces, seed=settings.seed
    )
    summary = {
        **ours,
        "shares": shares(scores),
        "n_empty": sum(not window.n_units for window in snippets) + sum(not found for found in by_piece),
        "n_few": sum(0 < window.n_units < settings.min_notes for window in snippets),
        "n_unique": len({window.digest for window in snippets if window.n_units >= settings.min_notes}),
        "unit_of_n": "windows",
        "worst_window_per_piece": describe(worst),
        "baseline": {
            **baseline,
            "shares": shares(baseline_scores),
            "kind": kind,
            "n_pieces": len({place for place, _ in human_windows}),
            "n_available": n_available,
        },
        "control": describe(control_scores),
        "n_corpus_pieces": len(searched),
        **excess,
    }
    distributions = {"generated": scores, "baseline": baseline_scores, "control": control_scores}
    return entries, summary, distributions


def _human_windows(
    human: Sequence[PieceUnits], corpus: Sequence[CorpusItem], settings: Settings, cut: Mapping
) -> tuple[list[tuple[int, Snippet]], int, str]:
    """Windows of human pieces in corpus order, no more than the settings allow; how many there were."""
    places, kind = held_out(corpus)
    if len(human) < 2:
        return [], 0, kind
    windows = [(place, window) for place in places for window in cut_windows(human[place], **cut)]
    windows = [(place, window) for place, window in windows if window.n_units >= max(settings.min_notes, 1)]
    n_available = len(windows)
    if n_available > settings.baseline_windows:
        rng = np.random.default_rng([settings.seed, 1])
        drawn = np.sort(rng.choice(n_available, settings.baseline_windows, replace=False))
        windows = [windows[index] for index in drawn]
    return windows, n_available, kind


def _scores(
    hits: Sequence[Sequence[Hit]], places: Sequence[int], settings: Settings
) -> tuple[list[float], list[int]]:
    """Best overlap of each window with enough units, and the piece that it is of."""
    kept = [
        (found[0].overlap, place)
        for found, place in zip(hits, places, strict=True)
        if found and found[0].n >= settings.min_notes
    ]
    return [overlap for overlap, _ in kept], [place for _, place in kept]


def _piece_entry(
    index: NoteIndex,
    searched: Sequence[int],
    piece: PieceUnits,
    windows: Sequence[tuple[Snippet, list[Hit]]],
    settings: Settings,
    baseline_scores: Sequence[float],
) -> dict | None:
    """One generated piece by its worst window; tiny windows count only where there are no others."""
    found = [(window, hits) for window, hits in windows if hits]
    if not found:
        return None
    enough = [(window, hits) for window, hits in found if window.n_units >= settings.min_notes]
    window, hits = max(enough or found, key=lambda pair: Fraction(pair[1][0].common, pair[1][0].n))
    overlaps = [hits[0].overlap for _, hits in enough or found]
    bar, beat = _bar_and_beat(piece, window.start, settings.steps_per_beat)
    return {
        "score": hits[0].overlap,
        "shared": hits[0].common,
        "unit": settings.unit,
        "window_start": window.start,
        "window_steps": window.window_steps,
        "window_notes": window.n_units,
        "bar": bar,
        "beat": beat,
        "few_notes": not enough,
        "mean": float(np.mean(overlaps)),
        "n_windows": len(overlaps),
        "baseline_rank": share_below(hits[0].overlap, baseline_scores),
        "matches": [_match(index, searched, hit, window, settings) for hit in hits if hit.common],
    }


def _match(index: NoteIndex, searched: Sequence[int], hit: Hit, window: Snippet, settings: Settings) -> dict:
    piece = index.pieces[hit.piece]
    bar, beat = _bar_and_beat(piece.units, hit.start, settings.steps_per_beat)
    return {
        "corpus_piece": piece.names[0],
        "corpus_index": searched[piece.places[0]],
        "also_in": list(piece.names[1:]),
        "start": hit.start,
        "bar": bar,
        "beat": beat,
        "transposition": hit.transposition,
        "shared": hit.common,
        "score": hit.overlap,
        "reverse": hit.reverse,
        "jaccard": hit.jaccard,
        "window_start": window.start,
        "window_steps": window.window_steps,
    }


def _bar_and_beat(piece: PieceUnits, step: int, steps_per_beat: int) -> tuple[int, float]:
    """Where a step is: bar from 1, beat of the bar from 1, in quarter notes; bar 0 lies before the piece."""
    bar = bisect.bisect_right(piece.bar_steps, step)
    first_step = piece.bar_steps[bar - 1] if bar else 0
    return bar, (step - first_step) / steps_per_beat + 1
