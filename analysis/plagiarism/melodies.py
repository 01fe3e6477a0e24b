"""How long a stretch of melody do generated pieces share with a corpus, beside what human music does?

Each generated melody is ranked against every melody of the corpus by the score S_p of
`analysis.melody.alignment`. Longer melodies match more by chance, so the *baseline* is human melodies cut
into passages as long as the median generated one, each compared with every piece but its own. The *control*
is the generated melodies with their tokens shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody.extraction import GENERATIONS, Melody, melodies_of
from analysis.melody.search import MIN_TOKENS, HumanFrontier, MelodyHit, MelodyIndex, MelodyMatches
from analysis.plagiarism.settings import CorpusItem, Settings, held_out
from analysis.plagiarism.summary import compare, describe
from music.score import Score

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Voices:
    """The melodies of some pieces: one each, or none, one or several with the lines of MELODL4J."""

    melodies: tuple[Melody, ...]
    pieces: tuple[int, ...]  # the piece that each is of, by place
    numbers: tuple[int, ...]  # and which of the piece's melodies it is, from 0

    @classmethod
    def of(cls, pieces: Sequence[tuple[str, str, Score]], settings: Settings) -> Voices:
        """Of pieces given by name, group and score, as the settings want them."""
        found = [
            (melody, place, number)
            for place, (name, group, score) in enumerate(pieces)
            for number, melody in enumerate(
                melodies_of(score, line=settings.line, encoding=settings.encoding, name=name, group=group)
            )
        ]
        return cls(*(zip(*found, strict=True) if found else ((), (), ())))

    def among(self, pieces: Collection[int]) -> Voices:
        """Those of some of the pieces."""
        rows = zip(self.melodies, self.pieces, self.numbers, strict=True)
        kept = [row for row in rows if row[1] in pieces]
        return Voices(*(zip(*kept, strict=True) if kept else ((), (), ())))


def measure_melodies(
    generated: Sequence[tuple[str, Score]],
    corpus: Sequence[CorpusItem],
    settings: Settings,
    *,
    exclude: Mapping[str, Collection[str]] | None = None,
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
    human = Voices.of([(item.name, item.group, item.score) for item in corpus], settings)
    ours_voices = Voices.of([(name, "", score) for name, score in generated], settings)
    searched_pieces = {
        place for place, item in enumerate(corpus) if settings.reference == "all" or item.split == "train"
    }
    searched = human.among(searched_pieces)
    index = MelodyIndex.build(searched.melodies, encoding=settings.encoding)
    if not index.melodies:
        if settings.line in GENERATIONS:
            cure = f"the filters of {settings.line} refuse all; give another line"
        else:
            cure = "give pieces of two notes or more"
        raise AnalysisError(f"no piece of the corpus has a melody to compare with: {cure}")
    how = {"penalty": settings.penalty, "edits": settings.edits}
    left_out = {name: index.members(names=others, groups=others) for name, others in (exclude or {}).items()}
    melodies = ours_voices.melodies
    excluded = [left_out.get(melody.name, frozenset()) for melody in melodies]
    matches = index.longest(
        melodies, k=settings.top, exclude=excluded, progress=progress("melody match"), **how
    )

    rng = np.random.default_rng([settings.seed, 2])
    shuffled = [replace(melody, tokens=rng.permutation(melody.tokens)) for melody in melodies]
    control = index.longest(shuffled, k=0, exclude=excluded, progress=progress("shuffled melodies"), **how)

    lengths = [melody.n_tokens for melody in melodies if melody.n_tokens >= MIN_TOKENS]
    passage_tokens = int(np.median(lengths)) if lengths else 0
    passages, n_available, kind = _human_passages(human, corpus, settings, passage_tokens)
    own = [
        index.members(names=[melody.name], groups=[melody.group], tokens={whole.tokens.tobytes()})
        for _, whole, melody in passages
    ]
    human_matches = index.longest(
        [melody for _, _, melody in passages], k=0, exclude=own, progress=progress("human melodies"), **how
    )

    human_frontier = HumanFrontier.of(human_matches)
    scores = [found.score for found in matches if found]
    baseline_scores = [found.score for found in human_matches if found]
    ours, baseline, excess = compare(
        scores,
        [place for place, found in zip(ours_voices.pieces, matches, strict=True) if found],
        baseline_scores,
        [place for (place, _, _), found in zip(passages, human_matches, strict=True) if found],
        seed=settings.seed,
    )
    entries: list[dict | None] = [None] * len(generated)
    rows = zip(melodies, ours_voices.pieces, ours_voices.numbers, matches, strict=True)
    for melody, place, number, found in rows:
        if found and (entries[place] is None or found.score > entries[place]["score"]):
            entry = _piece_entry(found, melody, human_frontier)
            entry["matches"] = [_match(index, hit, number, searched) for hit in found.hits]
            entries[place] = entry
    summary = {
        **ours,
        "n_empty": sum(entry is None for entry in entries),
        "n_monotonous": sum(bool(entry and entry["monotonous"]) for entry in entries),
        "frontier": _frontiers(matches),
        "baseline": {
            **baseline,
            "frontier": _frontiers(human_matches),
            "kind": kind,
            "tokens": passage_tokens,
            "n_pieces": len({place for place, _, _ in passages}),
            "n_available": n_available,
        },
        "control": {**describe([found.score for found in control if found]), "frontier": _frontiers(control)},
        "n_corpus_pieces": len(searched_pieces),
        **excess,
    }
    distributions = {
        "generated": scores,
        "baseline": baseline_scores,
        "control": [found.score for found in control if found],
    }
    return entries, summary, distributions


def _human_passages(
    human: Voices, corpus: Sequence[CorpusItem], settings: Settings, n_tokens: int
) -> tuple[list[tuple[int, Melody, Melody]], int, str]:
    """Human melodies in passages of `n_tokens`, whole where shorter; no more than the settings allow.

    Each is a piece's place in the corpus, the whole melody and the passage.
    """
    places, kind = held_out(corpus)
    if n_tokens < MIN_TOKENS or len(corpus) < 2:
        return [], 0, kind
    passages = []
    apart = human.among(set(places))
    for melody, place in zip(apart.melodies, apart.pieces, strict=True):
        n_whole = max(melody.n_tokens // n_tokens, 1)
        cuts = [melody.excerpt(first * n_tokens, (first + 1) * n_tokens) for first in range(n_whole)]
        passages += [(place, melody, passage) for passage in cuts if passage.n_tokens >= MIN_TOKENS]
    n_available = len(passages)
    if n_available > settings.baseline_melodies:
        rng = np.random.default_rng([settings.seed, 3])
        drawn = np.sort(rng.choice(n_available, settings.baseline_melodies, replace=False))
        passages = [passages[index] for index in drawn]
    return passages, n_available, kind


def _frontiers(matches: Sequence[MelodyMatches | None]) -> dict[str, list[float] | None]:
    """Median and 95th percentile of L_0, L_1, ... over melodies."""
    table = np.array([found.frontier for found in matches if found])
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


def _match(index: MelodyIndex, hit: MelodyHit, voice: int, searched: Voices) -> dict:
    indexed = index.melodies[hit.melody]
    name_of = {
        searched.pieces[place]: name for place, name in zip(indexed.places, indexed.names, strict=True)
    }
    (piece, name), *twins = name_of.items()
    return {
        "corpus_piece": name,
        "corpus_index": piece,
        "also_in": [twin for _, twin in twins],
        "voice": voice,  # of the generated piece's melodies, from 0
        "corpus_voice": searched.numbers[indexed.places[0]],
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
