"""How long a stretch of melody do generated pieces share with a corpus, beside what human music does?

Each generated melody is ranked against every melody of the corpus by the score S_p of
`analysis.melody.alignment`. Longer melodies match more by chance, so the *baseline* is human melodies cut
into passages as long as the median generated one, each compared with every piece but its own. The *control*
is the generated melodies with their tokens shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody import store
from analysis.melody.extraction import GENERATIONS, Melody, melodies_of
from analysis.melody.search import MIN_TOKENS, HumanFrontier, MelodyHit, MelodyMatches
from analysis.plagiarism.journal import Journal
from analysis.plagiarism.reference import Reference
from analysis.plagiarism.settings import CorpusItem, Settings, StoredItem, held_out
from analysis.plagiarism.summary import compare, describe
from music.score import Score

Step = Callable[[int, int], None]

BATCH_MELODIES = 256  # melodies that are searched together, and lost together where a search is cut off


@dataclass(frozen=True)
class Voices:
    """The melodies of some pieces: one each, or none, one or several with the lines of MELODL4J."""

    melodies: tuple[Melody, ...]
    pieces: tuple[int, ...]  # the piece that each is of, by place
    numbers: tuple[int, ...]  # and which of the piece's melodies it is, from 0

    @classmethod
    def of(cls, scores: Sequence[Score], settings: Settings) -> Voices:
        """Of scores, as the settings want them."""
        how = {"line": settings.line, "encoding": settings.encoding, "filters": settings.filters}
        found = [
            (melody, place, number)
            for place, score in enumerate(scores)
            for number, melody in enumerate(melodies_of(score, **how))
        ]
        return cls(*(zip(*found, strict=True) if found else ((), (), ())))


def measure_melodies(
    generated: Sequence[tuple[str, Score]],
    corpus: Reference | Sequence[CorpusItem | StoredItem],
    settings: Settings,
    *,
    exclude: Mapping[str, Collection[str]] | None = None,
    journal: Journal | None = None,
    workers: int | None = None,
    progress: Callable[[str], Step] = lambda _: lambda done, total: None,
) -> tuple[list[dict | None], dict, dict]:
    """Longest approximate melody match of generated pieces with a corpus.

    Parameters and results are those of `analysis.plagiarism.overlap.measure_overlap`; an entry is None for a
    melody of fewer than four tokens.

    Raises
    ------
    AnalysisError
        If no piece of the corpus has a melody.
    """
    reference, journal = Reference.of(corpus), journal or Journal()
    search = _Search(reference, settings, [score for _, score in generated], workers)
    if "melody baseline" not in journal:
        journal.add({"melody baseline": search.baseline(progress("human melodies"))})
    baseline = journal["melody baseline"]
    human_frontier = HumanFrontier.of(_matches(baseline))
    left_out = [(exclude or {}).get(name, ()) for name, _ in generated]

    def find(places: Sequence[int]):
        return search.pieces(places, [left_out[place] for place in places], human_frontier)

    names = [name for name, _ in generated]
    found = journal.gather("melody", names, search.batches(), find, progress("melody match"))
    summary, distributions = _summary(search, found, baseline, settings)
    return [one["entry"] for one in found], summary, distributions


class _Search:
    """Melodies of generated pieces, and the index of human ones in which they are searched."""

    def __init__(
        self, reference: Reference, settings: Settings, generated: Sequence[Score], workers: int | None
    ):
        self.settings = settings
        self.reference = reference
        self.workers = workers
        self.ours = Voices.of(generated, settings)
        self.n_pieces = len(generated)
        self.index, counts = reference.melodies(settings)
        self.n_voices = np.array(counts, dtype=np.int64)
        self.piece_of = np.repeat(np.arange(len(counts)), self.n_voices)  # the piece of each melody given
        self.first_voice = np.cumsum(self.n_voices) - self.n_voices
        self.index_places = store.places(self.index.melodies)
        searched = reference.searched(settings)
        self.n_searched = len(searched)
        #: Of each melody of the index, those of its places that are searched.
        self.places = [
            [place for place in indexed_places if self.piece_of[place] in searched]
            for indexed_places in self.index_places
        ]
        self.never = frozenset(id for id, places in enumerate(self.places) if not places)
        self.ids_of: dict[int, set[int]] = {}  # melodies of the index that stand for a piece
        for melody_id, places in enumerate(self.index_places):
            for place in places:
                self.ids_of.setdefault(int(self.piece_of[place]), set()).add(melody_id)
        if len(self.never) == len(self.places):
            if settings.line in GENERATIONS and settings.filters:
                cure = f"the filters of {settings.line} refuse all; give another line"
            else:
                cure = "give pieces of two notes or more"
            raise AnalysisError(f"no piece of the corpus has a melody to compare with: {cure}")

    def _ids(self, places: Collection[int]) -> frozenset[int]:
        return self.never.union(*(self.ids_of.get(place, ()) for place in places))

    def _longest(
        self, melodies: Sequence[Melody], k: int, exclude: Sequence, progress: Step | None = None
    ) -> list[MelodyMatches | None]:
        return self.index.longest(
            melodies,
            k=k,
            penalty=self.settings.penalty,
            edits=self.settings.edits,
            exclude=exclude,
            workers=self.workers,
            progress=progress,
        )

    def baseline(self, progress: Step) -> dict:
        """Human melodies in passages, each compared with the corpus without its piece, twins and work."""
        lengths = [melody.n_tokens for melody in self.ours.melodies if melody.n_tokens >= MIN_TOKENS]
        n_tokens = int(np.median(lengths)) if lengths else 0
        passages, n_available, kind = self._human_passages(n_tokens)
        own = [self._ids(self.reference.relatives(piece)) | {melody_id} for piece, melody_id, _ in passages]
        found = self._longest([passage for _, _, passage in passages], 0, own, progress)
        return {
            "scores": [match.score for match in found if match],
            "frontiers": [list(match.frontier) for match in found if match],
            "pieces": [piece for (piece, _, _), match in zip(passages, found, strict=True) if match],
            "kind": kind,
            "tokens": n_tokens,
            "n_pieces": len({piece for piece, _, _ in passages}),
            "n_available": n_available,
        }

    def _human_passages(self, n_tokens: int) -> tuple[list[tuple[int, int, Melody]], int, str]:
        """Human melodies in passages of `n_tokens`, whole where shorter; no more than the settings allow.

        Each is a piece's place in the corpus, the id of the whole melody and the passage.
        """
        places, kind = held_out(self.reference.items)
        if n_tokens < MIN_TOKENS or len(self.reference.items) < 2:
            return [], 0, kind
        apart = set(places)
        whole = sorted(
            (place, melody_id)
            for melody_id, its_places in enumerate(self.index_places)
            for place in its_places
            if self.piece_of[place] in apart
        )
        cuts = []
        for place, melody_id in whole:
            length = int(self.index.strings.lengths[melody_id])
            for first in range(max(length // n_tokens, 1)):
                if min(n_tokens, length - first * n_tokens) >= MIN_TOKENS:
                    cuts.append((int(self.piece_of[place]), melody_id, first * n_tokens))
        n_available = len(cuts)
        if n_available > self.settings.baseline_melodies:
            rng = np.random.default_rng([self.settings.seed, 3])
            drawn = np.sort(rng.choice(n_available, self.settings.baseline_melodies, replace=False))
            cuts = [cuts[index] for index in drawn]
        passages = [
            (piece, melody_id, self.index.melodies[melody_id].melody.excerpt(first, first + n_tokens))
            for piece, melody_id, first in cuts
        ]
        return passages, n_available, kind

    def batches(self) -> Iterator[list[int]]:
        """Pieces whose melodies are searched together, and lost together where a search is cut off."""
        counts = np.bincount(self.ours.pieces, minlength=self.n_pieces)
        last = (np.cumsum(counts) - 1) // BATCH_MELODIES
        for batch in np.unique(last):
            yield np.flatnonzero(last == batch).tolist()

    def pieces(
        self, places: Sequence[int], left_out: Sequence[Collection[str]], human: HumanFrontier
    ) -> list[dict]:
        """What the melodies of some pieces share, and what they share with their steps shuffled."""
        excluded = {
            place: self._ids(self.reference.places_of(names))
            for place, names in zip(places, left_out, strict=True)
        }
        own = [number for number, piece in enumerate(self.ours.pieces) if piece in excluded]
        melodies = [self.ours.melodies[number] for number in own]
        exclude = [excluded[self.ours.pieces[number]] for number in own]
        shuffled = [self._shuffled(number) for number in own]
        matches = self._longest(melodies, self.settings.top, exclude)
        control = self._longest(shuffled, 0, exclude)
        found = {
            place: {"entry": None, "scores": [], "frontiers": [], "control": [], "control_frontiers": []}
            for place in places
        }
        for number, match, by_chance in zip(own, matches, control, strict=True):
            one = found[self.ours.pieces[number]]
            if by_chance:
                one["control"].append(by_chance.score)
                one["control_frontiers"].append(list(by_chance.frontier))
            if match:
                one["scores"].append(match.score)
                one["frontiers"].append(list(match.frontier))
                if one["entry"] is None or match.score > one["entry"]["score"]:
                    one["entry"] = _piece_entry(match, self.ours.melodies[number], human)
                    voice = self.ours.numbers[number]
                    one["entry"]["matches"] = [self._match(hit, voice) for hit in match.hits]
        return [found[place] for place in places]

    def _shuffled(self, number: int) -> Melody:
        """A melody with its steps in random order, whatever melodies come before it."""
        melody = self.ours.melodies[number]
        rng = np.random.default_rng([self.settings.seed, 2, number])
        return replace(melody, tokens=rng.permutation(melody.tokens))

    def _match(self, hit: MelodyHit, voice: int) -> dict:
        """One match of a generated melody, by its number among those of its piece."""
        first = self.places[hit.melody][0]
        piece, *twins = dict.fromkeys(int(self.piece_of[place]) for place in self.places[hit.melody])
        items = self.reference.items
        return {
            "corpus_piece": items[piece].name,
            "corpus_index": piece,
            "also_in": [items[twin].name for twin in twins],
            "voice": voice,  # of the generated piece's melodies, from 0
            "corpus_voice": int(first - self.first_voice[piece]),
            "score": hit.score,
            "matched": hit.matched,
            "edits": hit.edits,
            "start": hit.start,
            "end": hit.end,
            "corpus_start": hit.corpus_start,
            "corpus_end": hit.corpus_end,
            "transposition": hit.transposition,
            "tempo_ratio": hit.tempo_ratio,
            "similarity": hit.similarity,
            "editops": [list(operation) for operation in hit.editops],
            "monotonous": hit.is_monotonous,
            "bars": [hit.first.bar, hit.last.bar],  # in which the first and the last note begin, from 1
            "beats": [hit.first.beat, hit.last.beat],  # of those bars, in quarter notes, from 1
            "corpus_bars": [hit.corpus_first.bar, hit.corpus_last.bar],
            "corpus_beats": [hit.corpus_first.beat, hit.corpus_last.beat],
            "note_pairs": [list(pair) for pair in hit.note_pairs],
        }


def _summary(
    search: _Search, found: Sequence[Mapping], baseline: Mapping, settings: Settings
) -> tuple[dict, dict]:
    """The figures of all pieces together, and the scores behind them."""
    scores = [score for one in found for score in one["scores"]]
    control = [score for one in found for score in one["control"]]
    entries = [one["entry"] for one in found]
    ours, human, excess = compare(
        scores,
        [place for place, one in enumerate(found) for _ in one["scores"]],
        baseline["scores"],
        baseline["pieces"],
        seed=settings.seed,
    )
    summary = {
        **ours,
        "n_empty": sum(entry is None for entry in entries),
        "n_monotonous": sum(bool(entry and entry["monotonous"]) for entry in entries),
        "frontier": _frontiers([row for one in found for row in one["frontiers"]]),
        "baseline": {
            **human,
            "frontier": _frontiers(baseline["frontiers"]),
            **{key: baseline[key] for key in ("kind", "tokens", "n_pieces", "n_available")},
        },
        "control": {
            **describe(control),
            "frontier": _frontiers([row for one in found for row in one["control_frontiers"]]),
        },
        "n_corpus_pieces": search.n_searched,
        **excess,
    }
    return summary, {"generated": scores, "baseline": baseline["scores"], "control": control}


def _matches(baseline: Mapping) -> list[MelodyMatches]:
    """What was found for human melodies, out of a journal."""
    rows = zip(baseline["scores"], baseline["frontiers"], strict=True)
    return [MelodyMatches(score, tuple(frontier), ()) for score, frontier in rows]


def _frontiers(rows: Sequence[Sequence[int]]) -> dict[str, list[float] | None]:
    """Median and 95th percentile of L_0, L_1, ... over melodies."""
    table = np.array(rows)
    if not len(table):
        return {"median": None, "p95": None}
    return {"median": np.median(table, axis=0).tolist(), "p95": np.percentile(table, 95, axis=0).tolist()}


def _piece_entry(found: MelodyMatches, melody: Melody, human: HumanFrontier) -> dict:
    best = found.hits[0] if found.hits else None
    return {
        "unit": "steps from note to note",  # n of them join n + 1 notes
        "score": found.score,
        "matched": best.matched if best else 0,
        "edits": best.edits if best else 0,
        "frontier": list(found.frontier),
        "frontier_rank": list(human.ranks(found.frontier)),  # each L_k among the human ones, 0 to 1
        "tokens": melody.n_tokens,
        "monotonous": bool(best and best.is_monotonous),
        "baseline_rank": human.score_rank(found.score),
    }
