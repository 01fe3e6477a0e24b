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
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, Snippet, cut_windows, score_to_units
from analysis.plagiarism.journal import Journal
from analysis.plagiarism.reference import Reference, units_by_place
from analysis.plagiarism.scan import Machine
from analysis.plagiarism.search import Hit, search
from analysis.plagiarism.settings import CorpusItem, Settings, StoredItem, held_out
from analysis.plagiarism.summary import compare, describe, share_below, shares
from music.score import Score

Step = Callable[[int, int], None]

BATCH_WINDOWS = 512  # windows that are searched together, and lost together where a search is cut off


def shuffle_columns(snippet: Snippet, rng: np.random.Generator) -> Snippet:
    """The same columns in another order: what sounds together stays together, when it sounds does not."""
    places = rng.permutation(snippet.window_steps)[snippet.steps]
    order = np.lexsort((snippet.rows, places))
    return replace(snippet, steps=places[order], rows=snippet.rows[order])


def measure_overlap(
    generated: Sequence[tuple[str, Score]],
    corpus: Reference | Sequence[CorpusItem | StoredItem],
    settings: Settings,
    *,
    exclude: Mapping[str, Collection[str]] | None = None,
    journal: Journal | None = None,
    workers: int | None = None,
    progress: Callable[[str], Step] = lambda _: lambda done, total: None,
) -> tuple[list[dict | None], dict, dict]:
    """Note overlap of generated pieces with a corpus.

    Parameters
    ----------
    exclude : mapping of str to collection of str, optional
        Corpus pieces or groups, by name, that are left out for a generated piece.
    journal : Journal, optional
        Takes the baseline, then each piece as it is done; what it has is not searched again.
    workers : int, optional
        Threads; by default one per core. They change no result.
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
    reference, journal = Reference.of(corpus), journal or Journal()
    search = _Search(reference, settings, [score for _, score in generated], workers)
    if "overlap baseline" not in journal:
        journal.add({"overlap baseline": search.baseline(progress("human baseline"))})
    baseline = journal["overlap baseline"]
    left_out = [(exclude or {}).get(name, ()) for name, _ in generated]

    def find(places: Sequence[int]):
        return search.pieces(places, [left_out[place] for place in places], baseline["scores"])

    names = [name for name, _ in generated]
    found = journal.gather("overlap", names, _batches(search.windows), find, progress("note overlap"))
    summary, distributions = _summary(search, found, baseline, settings)
    return [one["entry"] for one in found], summary, distributions


class _Search:
    """Windows of generated and of human pieces, and the index in which both are searched."""

    def __init__(
        self, reference: Reference, settings: Settings, generated: Sequence[Score], workers: int | None
    ):
        self.settings = settings
        self.reference = reference
        self.machine = Machine(workers=workers or -1)
        self.cut = {
            "window_bars": settings.window_bars,
            "window_steps": settings.window_steps,
            "hop_steps": settings.hop_steps,
        }
        grid = {"unit": settings.unit, "steps_per_beat": settings.steps_per_beat}
        self.units = [score_to_units(score, **grid) for score in generated]
        self.windows = [cut_windows(piece, **self.cut) for piece in self.units]
        longest = max((window.window_steps for own in self.windows for window in own), default=1)
        self.index = reference.notes(settings, longest)
        self.id_of = {place: id for id, piece in enumerate(self.index.pieces) for place in piece.places}
        searched = reference.searched(settings)
        #: Of each piece of the index, those of its places that are searched.
        self.places = [[place for place in piece.places if place in searched] for piece in self.index.pieces]
        self.never = frozenset(id for id, places in enumerate(self.places) if not places)
        self.n_searched = len(searched)
        if len(self.never) == len(self.index.pieces):
            raise AnalysisError(
                "no piece of the corpus has a note to compare with; give a corpus with pitched notes"
            )

    def _hits(self, windows: Sequence[Snippet], k: int, exclude: Sequence, progress=None) -> list[list[Hit]]:
        return search(
            self.index,
            windows,
            k=k,
            transpositions=self.settings.intervals,
            offsets=self.settings.offsets,
            edges=self.settings.edges,
            per_piece=self.settings.per_piece,
            exclude=exclude,
            machine=self.machine,
            progress=progress,
        )

    def _ids(self, places: Collection[int]) -> frozenset[int]:
        return self.never.union(self.id_of[place] for place in places if place in self.id_of)

    def baseline(self, progress: Step) -> dict:
        """Scores of human windows, each compared with the corpus without its piece, its twins, its work."""
        human = units_by_place(self.index, len(self.reference.items))
        windows, n_available, kind = _human_windows(human, self.reference.items, self.settings, self.cut)
        own = {
            place: self._ids(self.reference.relatives(place))
            | self.index.members(shapes={human[place].shape})
            for place in {place for place, _ in windows}
        }
        hits = self._hits(
            [window for _, window in windows], 1, [own[place] for place, _ in windows], progress
        )
        scores, pieces = _scores(hits, [place for place, _ in windows], self.settings)
        return {
            "scores": scores,
            "pieces": pieces,
            "kind": kind,
            "n_pieces": len({place for place, _ in windows}),
            "n_available": n_available,
        }

    def pieces(
        self, places: Sequence[int], left_out: Sequence[Collection[str]], baseline_scores: Sequence[float]
    ) -> list[dict]:
        """What some of the generated pieces share, and what they share with their columns shuffled."""
        rows = [
            (window, shuffled, self._ids(self.reference.places_of(names)))
            for place, names in zip(places, left_out, strict=True)
            for window, shuffled in zip(self.windows[place], self._shuffled(place), strict=True)
        ]
        windows, shuffled, exclude = zip(*rows, strict=True) if rows else ((), (), ())
        hits = iter(self._hits(windows, self.settings.top, exclude))
        control = iter(self._hits(shuffled, 1, exclude))
        return [self._piece(place, hits, control, baseline_scores) for place in places]

    def _shuffled(self, place: int) -> list[Snippet]:
        """The windows of a piece with their columns shuffled, whatever pieces come before it."""
        rng = np.random.default_rng([self.settings.seed, 4, place])
        return [shuffle_columns(window, rng) for window in self.windows[place]]

    def _piece(
        self, place: int, hits: Iterator[list[Hit]], control: Iterator, baseline_scores: Sequence[float]
    ) -> dict:
        windows = self.windows[place]
        own = list(itertools.islice(hits, len(windows)))
        shuffled = list(itertools.islice(control, len(windows)))
        found = list(zip(windows, own, strict=True))
        return {
            "entry": _piece_entry(self, self.units[place], found, self.settings, baseline_scores),
            "scores": _scores(own, [place] * len(own), self.settings)[0],
            "control": _scores(shuffled, [place] * len(own), self.settings)[0],
        }


def _batches(windows: Sequence[Sequence[Snippet]]) -> Iterator[list[int]]:
    """Pieces that are searched together: so many that there is work for all cores, and no more."""
    batch, n_windows = [], 0
    for place, own in enumerate(windows):
        batch.append(place)
        n_windows += len(own)
        if n_windows >= BATCH_WINDOWS:
            yield batch
            batch, n_windows = [], 0
    if batch:
        yield batch


def _summary(
    search: _Search, found: Sequence[Mapping], baseline: Mapping, settings: Settings
) -> tuple[dict, dict]:
    """The figures of all pieces together, and the scores behind them."""
    scores = [score for one in found for score in one["scores"]]
    control_scores = [score for one in found for score in one["control"]]
    entries = [one["entry"] for one in found]
    worst = [entry["score"] for entry in entries if entry and not entry["few_notes"]]
    ours, human, excess = compare(
        scores,
        [place for place, one in enumerate(found) for _ in one["scores"]],
        baseline["scores"],
        baseline["pieces"],
        seed=settings.seed,
    )
    windows = [window for own in search.windows for window in own]
    summary = {
        **ours,
        "shares": shares(scores),
        "n_empty": sum(not window.n_units for window in windows) + sum(not own for own in search.windows),
        "n_few": sum(0 < window.n_units < settings.min_notes for window in windows),
        "n_unique": len({window.digest for window in windows if window.n_units >= settings.min_notes}),
        "unit_of_n": "windows",
        "worst_window_per_piece": describe(worst),
        "baseline": {
            **human,
            "shares": shares(baseline["scores"]),
            **{key: baseline[key] for key in ("kind", "n_pieces", "n_available")},
        },
        "control": describe(control_scores),
        "n_corpus_pieces": search.n_searched,
        **excess,
    }
    return summary, {"generated": scores, "baseline": baseline["scores"], "control": control_scores}


def _human_windows(
    human: Sequence[PieceUnits], corpus: Sequence[CorpusItem | StoredItem], settings: Settings, cut: Mapping
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
    search: _Search,
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
        "matches": [_match(search, hit, window, settings) for hit in hits if hit.common],
    }


def _match(search: _Search, hit: Hit, window: Snippet, settings: Settings) -> dict:
    places = search.places[hit.piece]
    bar, beat = _bar_and_beat(search.index.pieces[hit.piece].units, hit.start, settings.steps_per_beat)
    return {
        "corpus_piece": search.reference.items[places[0]].name,
        "corpus_index": places[0],
        "also_in": [search.reference.items[place].name for place in places[1:]],
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
