"""Searching melodies, beside parasail's Smith-Waterman and rapidfuzz's partial ratio.

All on one thread and on the same strings. What answers the same question must give the same answer, for every
pair, before anything is timed. rapidfuzz's partial ratio answers another question, how well the whole of the
shorter string fits somewhere into the longer one; so it is also asked for the sources of copies that were
planted in other melodies, as we are.

The melodies are made up in the shape of POP909's (as many, as long, with as many equal runs of three and of
four tokens by chance), or those of a folder of MIDI files (`benchmarks.copying.songs.DATA`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import parasail
from rapidfuzz.fuzz import partial_ratio
from rapidfuzz.process import cdist

from analysis.melody.engine import Strings, all_frontiers, all_scores
from analysis.melody.extraction import Melody, melody_tokens
from analysis.melody.search import MelodyIndex
from benchmarks.copying import songs
from benchmarks.measuring import Work, best_seconds
from music.melody import melody_of
from music.score import Note

N_MELODIES, MEAN_TOKENS = 1_943, 257
N_LARGE, MEAN_LARGE = 6_921, 360  # MELODL4J's corpus
N_QUERIES, QUERY_TOKENS = 20, 200
N_SLOW_QUERIES = 4  # of rapidfuzz's
N_PLANTED = 12  # copies of each kind
PLANTS = ((16, 0), (16, 1), (16, 2))  # tokens copied, edits made in them: both are asked for the sources
LONGER_PLANTS = ((24, 0), (24, 2), (32, 2))  # we alone; rapidfuzz finds more of them the longer they are
LEAST_RECALL, MOST_RECALL_OF_RAPIDFUZZ = 0.9, 0.25
LIMIT_SECONDS = 20.0  # for 1,000 melodies against MELODL4J's 6,921
N_SYMBOLS = 88
PHRASE = 24  # tokens
#: Characters of one byte each; "*" is parasail's wildcard.
CHARACTERS = "".join(chr(code) for code in range(1, 256) if chr(code) != "*")


def made_up(seed: int, count: int, mean_tokens: int) -> list[np.ndarray]:
    """Strings of tokens with favourite tokens and steps, and phrases that come back within a melody."""
    rng = np.random.default_rng(seed)
    liking = np.arange(1, N_SYMBOLS + 1) ** -0.75
    liking /= liking.sum()
    followers = np.random.default_rng(0).choice(N_SYMBOLS, (N_SYMBOLS, 3), p=liking)
    strings = []
    for length in np.maximum(rng.normal(mean_tokens, 0.22 * mean_tokens, count), 40).astype(int):
        tokens: list[int] = []
        while len(tokens) < length:
            if len(tokens) > 2 * PHRASE and rng.random() < 0.35:
                start = int(rng.integers(len(tokens) - PHRASE))
                tokens += tokens[start : start + PHRASE]
            else:
                tokens += _phrase(rng, liking, followers)
        strings.append(np.array(tokens[:length], dtype=np.uint16))
    return strings


def _phrase(rng: np.random.Generator, liking: np.ndarray, followers: np.ndarray) -> list[int]:
    fresh = rng.choice(N_SYMBOLS, PHRASE, p=liking).tolist()
    follows = (rng.random(PHRASE) < 0.55).tolist()
    which = rng.integers(0, followers.shape[1], PHRASE).tolist()
    tokens = fresh[:1]
    for place in range(1, PHRASE):
        tokens.append(int(followers[tokens[-1], which[place]]) if follows[place] else fresh[place])
    return tokens


@cache
def folder_melodies() -> list[np.ndarray]:
    """The melodies of a folder of MIDI files, as tokens."""
    return [melody_tokens(melody_of(score)).tokens for score in songs.scores()]


@cache
def corpus() -> Strings:
    """The melodies that are searched; of a folder all but every tenth."""
    if songs.DATA in os.environ:
        return Strings.of([tokens for number, tokens in enumerate(folder_melodies()) if number % 10])
    return Strings.of(made_up(1, N_MELODIES, MEAN_TOKENS))


@cache
def queries() -> list[np.ndarray]:
    """Melodies that are not among them; of a folder every tenth, as far as needed."""
    if songs.DATA in os.environ:
        return [tokens[:QUERY_TOKENS] for tokens in folder_melodies()[::10][:N_QUERIES]]
    return made_up(2, N_QUERIES, QUERY_TOKENS)


def _host(rng: np.random.Generator, n_tokens: int) -> np.ndarray:
    """Tokens of the corpus in stretches of four from anywhere: no source of its own."""
    places = rng.integers(0, len(corpus().tokens) - 4, -(-n_tokens // 4))
    return np.concatenate([corpus().tokens[place : place + 4] for place in places])[:n_tokens]


def planted(length: int, edits: int) -> tuple[list[np.ndarray], list[int]]:
    """Hosts of 150 to 220 tokens with a stretch of a melody in each, and which melody that is."""
    rng = np.random.default_rng([length, edits])
    long_enough = np.flatnonzero(corpus().lengths >= length)
    strings, sources = [], []
    for _ in range(N_PLANTED):
        source = int(rng.choice(long_enough))
        start = int(rng.integers(len(corpus()[source]) - length + 1))
        copy = list(corpus()[source][start : start + length])
        for place in sorted(
            rng.choice(np.arange(3, length - 3), edits, replace=False).tolist(), reverse=True
        ):
            kind, token = rng.choice(["replace", "delete", "insert"]), rng.choice(corpus().tokens)
            copy[place : place + (kind != "insert")] = [] if kind == "delete" else [token]
        host = _host(rng, int(rng.integers(150 - length, 220 - length)))
        cut = int(rng.integers(len(host) + 1))
        strings.append(np.concatenate([host[:cut], copy, host[cut:]]).astype(np.uint16))
        sources.append(source)
    return strings, sources


def recall(scores: np.ndarray, sources: Sequence[int]) -> float:
    """How often the source has the highest score; of sources that tie with others, each has its share."""
    best = scores.max(axis=1, keepdims=True)
    is_best = scores == best
    return float(np.mean(is_best[np.arange(len(sources)), sources] / is_best.sum(axis=1)))


@cache
def texts(which: str) -> list[str]:
    """The melodies or the queries as strings of one-byte characters."""
    strings = corpus() if which == "corpus" else queries()
    return [as_text(tokens) for tokens in strings]


def as_text(tokens: np.ndarray) -> str:
    """A character for each token."""
    used = {token: number for number, token in enumerate(np.unique(corpus().tokens).tolist())}
    if len(used) > len(CHARACTERS) - 1:
        raise ArithmeticError(f"{len(used)} different tokens; {len(CHARACTERS) - 1} can be written as bytes")
    return "".join(CHARACTERS[used.get(int(token), len(used))] for token in tokens)


def parasail_scores(penalty: int) -> Callable[[], list[list[int]]]:
    """Smith-Waterman of every pair by the fastest of parasail's kernels, once its profiles are made."""
    matrix = parasail.matrix_create(CHARACTERS, 1, -penalty, case_sensitive=True)
    profiles = [parasail.profile_create_8(text, matrix) for text in texts("queries")]
    search = parasail.sw_striped_profile_8
    return lambda: [
        [search(profile, text, penalty, penalty).score for text in texts("corpus")] for profile in profiles
    ]


def n_pairs() -> int:
    return len(queries()) * len(corpus())


def against_parasail() -> tuple[float, float]:
    """Seconds per pair; all scores of both are equal."""
    theirs = parasail_scores(2)
    ours = lambda: all_scores(queries(), corpus(), penalty=2, engine="dense", workers=1)  # noqa: E731
    if not np.array_equal(ours(), theirs()):
        raise ArithmeticError("scores differ from parasail's")
    seconds = best_seconds(theirs, ours)
    return seconds[0] / n_pairs(), seconds[1] / n_pairs()


def frontiers_against_parasail() -> tuple[float, float]:
    """Seconds per pair: of one score, and of L_0 to L_3, which must give the score back."""
    theirs = parasail_scores(3)
    ours = lambda: all_frontiers(queries(), corpus(), edits=3, engine="dense", workers=1)  # noqa: E731
    scores = np.array(theirs())
    by_frontier = (ours() - 3 * np.arange(4)).max(axis=2)
    if (by_frontier > scores).any() or not np.array_equal(by_frontier[scores < 8], scores[scores < 8]):
        raise ArithmeticError("frontiers do not give parasail's scores")
    seconds = best_seconds(theirs, ours)
    return seconds[0] / n_pairs(), seconds[1] / n_pairs()


def against_rapidfuzz() -> tuple[float, float]:
    """Seconds per pair; we find the sources of planted copies and rapidfuzz does not."""
    ours, theirs = [], []
    for length, edits in (*PLANTS, *LONGER_PLANTS):
        strings, sources = planted(length, edits)
        scores = all_scores(strings, corpus(), penalty=2, engine="dense", workers=1)
        ours.append(recall(scores, sources))
        if (length, edits) in PLANTS:
            asked = [as_text(tokens) for tokens in strings]
            theirs.append(recall(cdist(asked, texts("corpus"), scorer=partial_ratio), sources))
    if min(ours) < LEAST_RECALL or np.mean(theirs) > MOST_RECALL_OF_RAPIDFUZZ:
        raise ArithmeticError(
            f"of planted copies we find {min(ours):.2f} at least, rapidfuzz {np.mean(theirs):.2f} on average"
        )
    slow, fast = best_seconds(
        lambda: cdist(texts("queries")[:N_SLOW_QUERIES], texts("corpus"), scorer=partial_ratio),
        lambda: all_scores(queries(), corpus(), penalty=2, engine="dense", workers=1),
    )
    return slow / N_SLOW_QUERIES / len(corpus()), fast / n_pairs()


def as_melody(tokens: np.ndarray) -> Melody:
    """A melody with these tokens; its notes only need to exist."""
    notes = tuple(Note(120 * place, 60 + place % 12, 120) for place in range(len(tokens) + 1))
    first = np.arange(len(tokens))
    return Melody(notes, tokens, first, first + 1)


def a_thousand_against_melodl4js() -> tuple[float, float]:
    """Seconds of all: index, scores, frontiers, and the five best matches with spans, edits and keys."""
    melodies = [as_melody(tokens) for tokens in made_up(3, N_LARGE, MEAN_LARGE)]
    generated = [as_melody(tokens) for tokens in made_up(4, 1_000, QUERY_TOKENS)]
    MelodyIndex.build(melodies[:500]).longest(generated[:20], engine="dense", workers=1)  # compiles
    (seconds,) = best_seconds(
        lambda: MelodyIndex.build(melodies).longest(generated, k=5, workers=1), repeats=1, warm_up=False
    )
    return LIMIT_SECONDS, seconds


def seeds_against_dense() -> tuple[float, float]:
    """Seconds per pair at penalty 3, for scores above it; all of these are equal."""
    found = {}
    for name in ("dense", "seeds"):
        found[name] = all_scores(queries(), corpus(), penalty=3, only_above=True, engine=name, workers=1)
    if not np.array_equal(found["dense"], found["seeds"]):
        raise ArithmeticError("seeds lose scores")
    seconds = _dense_and("seeds", queries())
    return seconds[0] / n_pairs(), seconds[1] / n_pairs()


def auto_against_dense() -> tuple[float, float]:
    """Seconds per pair for one token over and over, where seeds are no help."""
    tokens, counts = np.unique(corpus().tokens, return_counts=True)
    repeated = [np.full(QUERY_TOKENS, tokens[counts.argmax()])] * N_QUERIES
    seconds = _dense_and("auto", repeated)
    return seconds[0] / n_pairs(), seconds[1] / n_pairs()


def _dense_and(name: str, strings: Sequence[np.ndarray]) -> list[float]:
    return best_seconds(
        *(
            lambda engine=engine: all_scores(
                strings, corpus(), penalty=3, only_above=True, engine=engine, workers=1
            )
            for engine in ("dense", name)
        ),
        repeats=5,
    )


WORKS = [
    Work(
        name="melody: Smith-Waterman of all pairs",
        unit="pair",
        baseline="parasail sw_striped_profile_8, all scores equal",
        bar=6,
        measure=against_parasail,
    ),
    Work(
        name="melody: frontier L0 to L3 of all pairs",
        unit="pair",
        baseline="one score by parasail sw_striped_profile_8",
        bar=2,
        measure=frontiers_against_parasail,
    ),
    Work(
        name="melody: the source of a planted copy",
        unit="pair",
        baseline="rapidfuzz partial_ratio by cdist; finds a quarter of 16-token copies at most, we 9 in 10",
        bar=60,
        measure=against_rapidfuzz,
    ),
    Work(
        name="melody: 1,000 against 6,921, all that is reported",
        unit="run",
        baseline="a limit of 20 s on one core",
        bar=1,
        measure=a_thousand_against_melodl4js,
    ),
    Work(
        name="melody: seeds at penalty 3",
        unit="pair",
        baseline="our own comparison of everything, equal above the penalty",
        bar=3,
        measure=seeds_against_dense,
    ),
    Work(
        name="melody: one token over and over, by auto",
        unit="pair",
        baseline="our own comparison of everything",
        bar=0.83,  # at most 1.2 times as long
        measure=auto_against_dense,
    ),
]
