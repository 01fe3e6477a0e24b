"""How long a stretch of melody do generated pieces share with a corpus, beside what human music does?

Each generated melody is ranked against every melody of the corpus by the score S_p of
`analysis.melody.alignment`. Longer melodies match more by chance, so the *baseline* is human melodies cut
into passages as long as the median generated one, each compared with every piece but its own. The *control*
is the generated melodies with their tokens shuffled.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.errors import AnalysisError
from analysis.melody.extraction import Melody, melody_tokens
from analysis.melody.search import MIN_TOKENS, IndexedMelody, MelodyHit, MelodyIndex, MelodyMatches
from analysis.plagiarism.settings import CorpusItem, Settings, held_out
from analysis.plagiarism.summary import compare, describe, share_below
from music.melody import bottom_line, skyline
from music.score import Score

Step = Callable[[int, int], None]


def melody_of(score: Score, settings: Settings, *, name: str = "", group: str = "") -> Melody:
    """The voice of a score that the settings call its melody, as tokens."""
    notes = skyline(score) if settings.line == "skyline" else bottom_line(score)
    return melody_tokens(
        notes, encoding=settings.encoding, ticks_per_beat=score.ticks_per_beat, name=name, group=group
    )


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
    human = [melody_of(item.score, settings, name=item.name, group=item.group) for item in corpus]
    melodies = [melody_of(score, settings, name=name) for name, score in generated]
    searched = [
        place for place, item in enumerate(corpus) if settings.reference == "all" or item.split == "train"
    ]
    index = MelodyIndex.build([human[place] for place in searched], encoding=settings.encoding)
    if not index.melodies:
        raise AnalysisError(
            "no piece of the corpus has a melody to compare with; give pieces of two notes or more"
        )
    how = {"penalty": settings.penalty, "edits": settings.edits}
    left_out = {name: index.members(names=others, groups=others) for name, others in (exclude or {}).items()}
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
        index.members(names=[melody.name], groups=[melody.group], tokens={human[place].tokens.tobytes()})
        for place, melody in passages
    ]
    human_matches = index.longest(
        [melody for _, melody in passages], k=0, exclude=own, progress=progress("human melodies"), **how
    )

    scores = [found.score for found in matches if found]
    baseline_scores = [found.score for found in human_matches if found]
    ours, baseline, excess = compare(
        scores,
        [place for place, found in enumerate(matches) if found],
        baseline_scores,
        [place for (place, _), found in zip(passages, human_matches, strict=True) if found],
        seed=settings.seed,
    )
    entries = [
        _piece_entry(found, melody, baseline_scores)
        | {
            "matches": [
                _match(index.melodies[hit.melody], hit, melody, score, corpus, searched) for hit in found.hits
            ]
        }
        if found
        else None
        for (_, score), melody, found in zip(generated, melodies, matches, strict=True)
    ]
    summary = {
        **ours,
        "n_empty": sum(found is None for found in matches),
        "n_monotonous": sum(bool(entry and entry["monotonous"]) for entry in entries),
        "frontier": _frontiers(matches),
        "baseline": {
            **baseline,
            "frontier": _frontiers(human_matches),
            "kind": kind,
            "tokens": passage_tokens,
            "n_pieces": len({place for place, _ in passages}),
            "n_available": n_available,
        },
        "control": {**describe([found.score for found in control if found]), "frontier": _frontiers(control)},
        "n_corpus_pieces": len(searched),
        **excess,
    }
    distributions = {
        "generated": scores,
        "baseline": baseline_scores,
        "control": [found.score for found in control if found],
    }
    return entries, summary, distributions


def _human_passages(
    human: Sequence[Melody], corpus: Sequence[CorpusItem], settings: Settings, n_tokens: int
) -> tuple[list[tuple[int, Melody]], int, str]:
    """Human melodies in passages of `n_tokens`, whole where shorter; no more than the settings allow."""
    places, kind = held_out(corpus)
    if n_tokens < MIN_TOKENS or len(human) < 2:
        return [], 0, kind
    passages = []
    for place in places:
        melody = human[place]
        n_whole = max(melody.n_tokens // n_tokens, 1)
        cuts = [melody.excerpt(first * n_tokens, (first + 1) * n_tokens) for first in range(n_whole)]
        passages += [(place, passage) for passage in cuts if passage.n_tokens >= MIN_TOKENS]
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


def _piece_entry(found: MelodyMatches, melody: Melody, baseline_scores: Sequence[float]) -> dict:
    best = found.hits[0] if found.hits else None
    return {
        "unit": "steps from note to note",  # n of them join n + 1 notes
        "score": found.score,
        "matched": best.matched if best else 0,
        "edits": best.edits if best else 0,
        "frontier": list(found.frontier),
        "tokens": melody.n_tokens,
        "monotonous": bool(best and best.is_monotonous),
        "baseline_rank": share_below(found.score, baseline_scores),
    }


def _match(
    indexed: IndexedMelody,
    hit: MelodyHit,
    melody: Melody,
    score: Score,
    corpus: Sequence[CorpusItem],
    searched: Sequence[int],
) -> dict:
    place = searched[indexed.places[0]]
    return {
        "corpus_piece": indexed.names[0],
        "corpus_index": place,
        "also_in": list(indexed.names[1:]),
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
        "bars": _bars(melody, hit.start, hit.end, score),
        "corpus_bars": _bars(indexed.melody, hit.corpus_start, hit.corpus_end, corpus[place].score),
        "note_pairs": [list(pair) for pair in hit.note_pairs],
    }


def _bars(melody: Melody, start: int, end: int, score: Score) -> list[int]:
    """First and last bar, from 1, in which notes `start` to before `end` begin."""
    bar_starts = score.bar_starts()
    return [bisect.bisect_right(bar_starts, melody.notes[place].onset) for place in (start, end - 1)]
