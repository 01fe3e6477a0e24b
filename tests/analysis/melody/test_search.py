import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from analysis.errors import AnalysisError
from analysis.melody import search
from analysis.melody.alignment import best_alignment, frontiers_and_scores
from analysis.melody.engine import ENGINES
from analysis.melody.extraction import Melody, melody_tokens
from analysis.melody.results import describe_hit
from analysis.melody.search import MelodyIndex
from music.score import Note


def melody_of(tokens, name="", group=""):
    """A melody whose tokens are given; its notes only need to exist."""
    tokens = np.asarray(tokens, dtype=np.uint16)
    notes = tuple(Note(120 * i, 60 + i % 12, 120) for i in range(len(tokens) + 1))
    first = np.arange(len(tokens))
    return Melody(notes, tokens, first, first + 1, 480, name, group)


def line(rng, n):
    onset, notes = 0, []
    for _ in range(n):
        length = int(rng.choice([60, 120, 240, 480]))
        notes.append(Note(onset, int(rng.integers(55, 80)), length))
        onset += length
    return notes


def spans(hit):
    return (
        hit.score,
        hit.matched,
        hit.edits,
        hit.melody,
        hit.start,
        hit.end,
        hit.corpus_start,
        hit.corpus_end,
    )


small = st.lists(st.integers(0, 3), min_size=4, max_size=12)


@settings(max_examples=120, deadline=None)
@given(
    query=small,
    melodies=st.lists(small, min_size=1, max_size=8, unique_by=tuple),
    k=st.integers(0, 9),
    edits=st.integers(0, 3),
    penalty=st.integers(1, 3),
    excluded=st.sets(st.integers(0, 7)),
    engine=st.sampled_from(ENGINES),
)
def test_hits_and_frontier_are_those_of_aligning_every_melody(
    query, melodies, k, edits, penalty, excluded, engine
):
    """The list is cut short by bounds on edits; it must equal the list made without them."""
    index = MelodyIndex.build([melody_of(tokens) for tokens in melodies])
    excluded = {place for place in excluded if place < len(melodies)}
    found = index.longest(
        [melody_of(query)], penalty=penalty, edits=edits, k=k, exclude=[excluded], engine=engine
    )[0]
    searched = [place for place in range(len(melodies)) if place not in excluded]
    every = []
    for place in searched:
        best = best_alignment(np.array(query), np.array(melodies[place]), penalty=penalty)
        if best:
            span = (best.start, best.end + 1, best.corpus_start, best.corpus_end + 1)
            every.append((-best.score, best.edits, place, best.matched, *span))
    expected = [(-s, m, e, place, *span) for s, e, place, m, *span in sorted(every)[:k]]
    assert [spans(hit) for hit in found.hits] == expected
    frontiers, scores = frontiers_and_scores(
        np.array(query), [np.array(melodies[place]) for place in searched], edits=edits, penalty=penalty
    )
    assert found.frontier == tuple(frontiers.max(axis=0, initial=0).tolist())
    assert found.score == scores.max(initial=0)


@pytest.mark.parametrize("engine", ["dense", "seeds", "numpy"])
@pytest.mark.parametrize(("alphabet", "penalty", "edits"), [(30, 2, 3), (5, 1, 2), (12, 3, 0), (30, 4, 1)])
def test_melodies_left_out_by_their_bounds_change_nothing(engine, alphabet, penalty, edits):
    """More melodies than are aligned at first; the expected list has every one of them aligned."""
    rng = np.random.default_rng([alphabet, penalty])
    melodies = [rng.integers(0, alphabet, rng.integers(5, 60)).astype(np.uint16) for _ in range(200)]
    queries = [rng.integers(0, alphabet, 40).astype(np.uint16) for _ in range(3)]
    melodies[150][-4:] = queries[1][:4]
    index = MelodyIndex.build([melody_of(tokens) for tokens in melodies])
    found = index.longest(
        [melody_of(query) for query in queries], penalty=penalty, edits=edits, k=7, engine=engine, workers=2
    )
    for query, matches in zip(queries, found, strict=True):
        frontiers, scores = frontiers_and_scores(query, melodies, edits=edits, penalty=penalty)
        assert matches.frontier == tuple(frontiers.max(axis=0).tolist())
        assert matches.score == scores.max()
        every = []
        for place in np.flatnonzero(scores >= np.sort(scores)[-7]).tolist():
            best = best_alignment(query, melodies[place], penalty=penalty)
            span = (best.start, best.end + 1, best.corpus_start, best.corpus_end + 1)
            every.append((-best.score, best.edits, place, best.matched, *span))
        expected = [(-s, m, e, place, *span) for s, e, place, m, *span in sorted(every)[:7]]
        assert [spans(hit) for hit in matches.hits] == expected


@pytest.mark.parametrize("engine", ["dense", "numpy"])
def test_a_melody_of_low_score_may_still_hold_the_frontier(engine, monkeypatch):
    """Ten tokens unbroken score more than eleven with three edits, but the latter are L_3."""
    monkeypatch.setattr(search, "FIRST_CANDIDATES", 3)
    query = np.arange(14)
    edited = query.copy()
    edited[[2, 6, 10]] = 99
    unbroken = [np.concatenate([[50 + place], query[:10]]) for place in range(5)]
    index = MelodyIndex.build([melody_of(tokens) for tokens in [*unbroken, edited]])
    found = index.longest([melody_of(query)], k=2, engine=engine)[0]
    assert found.frontier == (10, 10, 10, 11)
    assert [hit.melody for hit in found.hits] == [0, 1]


def test_transpositions_are_searched_alike_by_all_engines():
    rng = np.random.default_rng(6)
    corpus = [melody_tokens(line(rng, 40), encoding="pitch") for _ in range(90)]
    moved = [Note(n.onset, n.pitch - 3, n.duration) for n in corpus[70].notes]
    moved[15] = Note(moved[15].onset, moved[15].pitch + 1, moved[15].duration)
    index = MelodyIndex.build(corpus, encoding="pitch")
    queries = [melody_tokens(moved, encoding="pitch"), melody_tokens(line(rng, 30), encoding="pitch")]
    by_numpy = index.longest(queries, k=3, engine="numpy")
    assert (
        by_numpy == index.longest(queries, k=3, engine="dense") == index.longest(queries, k=3, engine="seeds")
    )
    assert (by_numpy[0].hits[0].melody, by_numpy[0].hits[0].transposition) == (70, 3)


def test_chunks_and_threads_change_no_result(monkeypatch):
    rng = np.random.default_rng(8)
    index = MelodyIndex.build([melody_of(rng.integers(0, 6, 40)) for _ in range(80)])
    queries = [melody_of(rng.integers(0, 6, 30)) for _ in range(9)] + [melody_of([1, 2])]
    whole = index.longest(queries, engine="dense", workers=1)
    monkeypatch.setattr(search, "CHUNK_SCORES", 200)
    assert index.longest(queries, engine="dense", workers=3) == whole
    assert list(index.stream(queries, engine="numpy")) == whole


def test_results_come_while_the_search_goes_on(monkeypatch):
    described = []
    monkeypatch.setattr(search, "CHUNK_SCORES", 1)
    monkeypatch.setattr(
        search, "describe_hit", lambda *parts: described.append(parts) or describe_hit(*parts)
    )
    index = MelodyIndex.build([melody_of([1, 2, 3, 4])])
    stream = index.stream([melody_of([1, 2, 3, 4]), melody_of([2, 3, 4, 5])])
    assert next(stream).score == 4
    assert len(described) == 1
    assert [matches.score for matches in stream] == [3]


def test_a_hit_says_key_tempo_and_edits():
    rng = np.random.default_rng(0)
    copied = line(rng, 30)
    before, after = line(rng, 15), line(rng, 15)
    start = before[-1].end
    # Copied five semitones lower, at double speed, with the 12th note a third too high.
    own = [
        Note(start + n.onset // 2, n.pitch - 5 + (3 if place == 11 else 0), n.duration // 2)
        for place, n in enumerate(copied)
    ]
    end = own[-1].end
    query = melody_tokens(before + own + [Note(end + n.onset, n.pitch, n.duration) for n in after])
    corpus = [melody_tokens(line(rng, 60), name="other"), melody_tokens(copied, name="source")]
    found = MelodyIndex.build(corpus).longest([query], k=2)[0]
    best = found.hits[0]
    assert best.melody == 1
    # 30 notes are 29 steps, of which two lead to and from the wrong note; 17 come after it.
    assert (best.edits, best.matched, best.score) == (2, 27, 23)
    assert (found.frontier[0], found.frontier[2]) == (17, 27)
    assert (best.start, best.end) == (15, 15 + 30)
    assert (best.corpus_start, best.corpus_end) == (0, 30)
    assert best.transposition == 5
    assert best.tempo_ratio == 2.0
    assert [operation for operation, _, _ in best.editops] == ["replace", "replace"]
    assert best.similarity == pytest.approx(27 / 29)
    assert (15 + 11, 11) not in best.note_pairs
    assert {(15 + place, place) for place in range(30) if place != 11} == set(best.note_pairs)
    assert not best.is_monotonous


@pytest.mark.parametrize(("length", "n_edits"), [(16, 0), (16, 1), (16, 2), (24, 2), (32, 2)])
def test_the_source_of_a_planted_copy_is_ranked_first(length, n_edits):
    """Sixteen tokens or more with up to two edits, in hosts of 150 to 220 tokens."""
    rng = np.random.default_rng(length * 10 + n_edits)
    melodies = [rng.choice(40, int(n)) for n in rng.integers(150, 220, 60)]
    index = MelodyIndex.build([melody_of(tokens) for tokens in melodies])
    found = 0
    for _ in range(10):
        source = int(rng.integers(60))
        place = int(rng.integers(len(melodies[source]) - length))
        copy = melodies[source][place : place + length].copy()
        copy[rng.choice(np.arange(5, length - 5), n_edits, replace=False)] = 99
        query = np.concatenate([rng.choice(40, 90), copy, rng.choice(40, 70)])
        best = index.longest([melody_of(query)], k=1)[0]
        found += best.hits[0].melody == source
        assert best.frontier[n_edits] >= length - n_edits
        assert best.hits[0].matched >= length - n_edits
    assert found == 10


def test_absolute_pitches_are_searched_at_all_transpositions():
    rng = np.random.default_rng(3)
    notes = line(rng, 40)
    moved = [Note(n.onset, n.pitch + 7, n.duration) for n in notes]
    moved[20] = Note(moved[20].onset, moved[20].pitch + 1, moved[20].duration)
    corpus = [melody_tokens(line(rng, 50), encoding="pitch"), melody_tokens(notes, encoding="pitch")]
    best = MelodyIndex.build(corpus, encoding="pitch").longest([melody_tokens(moved, encoding="pitch")], k=1)[
        0
    ]
    assert best.frontier == (20, 39, 39, 39)
    hit = best.hits[0]
    assert (hit.melody, hit.matched, hit.edits, hit.transposition) == (1, 39, 1, -7)
    assert (hit.start, hit.end) == (0, 40)


def test_a_pitch_moved_off_the_keyboard_matches_nothing():
    high = melody_tokens([Note(120 * i, 127 - i % 3, 120) for i in range(12)], encoding="pitch")
    found = MelodyIndex.build([high], encoding="pitch").longest([high], k=1)[0]
    assert (found.score, found.hits[0].transposition) == (12, 0)


def test_short_melodies_have_no_result():
    index = MelodyIndex.build([melody_of(range(10))])
    assert index.longest([melody_of([]), melody_of([1, 2, 3])]) == [None, None]
    assert index.longest([melody_of([1, 2, 3, 4])])[0].score == 4


def test_a_repeated_note_is_flagged():
    index = MelodyIndex.build([melody_of([7] * 30), melody_of(range(30, 60))])
    monotonous, varied = index.longest([melody_of([7] * 20), melody_of(range(40, 50))], k=1)
    assert monotonous.hits[0].is_monotonous
    assert monotonous.hits[0].matched == 20
    assert not varied.hits[0].is_monotonous


def test_twins_are_stored_once_and_excluded_together():
    tokens = [1, 2, 3, 4, 5, 6]
    index = MelodyIndex.build([melody_of(tokens, "a", "w"), melody_of([9] * 5, "b"), melody_of(tokens, "c")])
    assert [stored.names for stored in index.melodies] == [("a", "c"), ("b",)]
    assert index.melodies[0].places == (0, 2)
    own = index.members(names=["c"])
    assert (
        own == index.members(groups=["w", ""]) == index.members(tokens={melody_of(tokens).tokens.tobytes()})
    )
    assert index.longest([melody_of(tokens)], exclude=[own])[0].score == 0


def test_everything_excluded_leaves_nothing():
    index = MelodyIndex.build([melody_of([1, 2, 3, 4])])
    found = index.longest([melody_of([1, 2, 3, 4])], exclude=[{0}], edits=2)[0]
    assert (found.score, found.frontier, found.hits) == (0, (0, 0, 0), ())


def test_similarity_is_rapidfuzzs_on_the_two_spans():
    rng = np.random.default_rng(9)
    query, melody = rng.choice(3, 40), rng.choice(3, 40)
    hit = MelodyIndex.build([melody_of(melody)]).longest([melody_of(query)], penalty=1, k=1)[0].hits[0]
    ours = query[hit.start : hit.end - 1].tolist()
    theirs = melody[hit.corpus_start : hit.corpus_end - 1].tolist()
    assert hit.similarity == Levenshtein.normalized_similarity(ours, theirs)
    assert hit.matched - hit.edits == hit.score


def test_wrong_options_are_named():
    index = MelodyIndex.build([melody_of([1, 2, 3, 4])])
    with pytest.raises(AnalysisError, match="k must be at least 0, got -1"):
        index.longest([], k=-1)
    with pytest.raises(AnalysisError, match="one entry per query: 1, got 0"):
        index.longest([melody_of([1, 2, 3, 4])], exclude=[])
    with pytest.raises(AnalysisError, match="exclude must hold ids from 0 to 0, got 1"):
        index.longest([melody_of([1, 2, 3, 4])], exclude=[{0, 1}])
    with pytest.raises(AnalysisError, match="engine must be one of auto, dense, seeds, numpy, got 'gpu'"):
        index.longest([melody_of([1, 2, 3, 4])], engine="gpu")
    with pytest.raises(AnalysisError, match="edits must be at least 0 and penalty 1-100, got 3 and 0"):
        index.longest([melody_of([1, 2, 3, 4])], penalty=0)
    with pytest.raises(AnalysisError, match="encoding must be one of"):
        MelodyIndex.build([], encoding="words")


def test_progress_counts_queries():
    seen = []
    index = MelodyIndex.build([melody_of([1, 2, 3, 4])])
    queries = [melody_of([1, 2, 3, 4]), melody_of([])]
    index.longest(queries, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
