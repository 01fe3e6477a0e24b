"""All ways of searching give the numbers of `alignment`, which its own tests hold against brute force."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.melody import alignment, engine, simd
from analysis.melody.engine import Strings, align_chosen, all_frontiers, all_scores, batches_of, trace
from tests.analysis.melody.test_alignment import smith_waterman


def strings_of(*lists):
    return Strings.of([np.array(tokens, dtype=np.uint16) for tokens in lists])


def random_strings(rng, n, longest, alphabet):
    """Random ones, and some that repeat a token or a phrase and so match everywhere."""
    found = [rng.integers(0, alphabet, rng.integers(0, longest)) for _ in range(n)]
    found += [
        np.zeros(longest),
        np.tile([0, 1], longest // 2),
        np.tile(rng.integers(0, alphabet, 5), longest // 5),
    ]
    return [np.asarray(tokens, dtype=np.uint16) for tokens in found]


def frontiers(queries, strings, edits):
    return np.array([alignment.frontiers_and_scores(query, strings, edits=edits)[0] for query in queries])


#: Alphabets for one byte a token, the most of them, and for two.
ALPHABETS = (2, 4, 60, 254, 255, 1153, 65_534)


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("penalty", [1, 2, 3, 5])
def test_every_engine_finds_smith_watermans_scores(alphabet, penalty):
    rng = np.random.default_rng([alphabet, penalty])
    queries = random_strings(rng, 2, 30, alphabet)
    corpus = random_strings(rng, 65, 30, alphabet)
    corpus[3] = np.append(corpus[3], np.uint16(alphabet - 1))  # so that the alphabet is used up to its end
    strings = Strings.of(corpus)
    expected = np.array([[smith_waterman(q.tolist(), c.tolist(), penalty) for c in corpus] for q in queries])
    for name in ("numpy", "dense", "auto"):
        assert np.array_equal(all_scores(queries, strings, penalty=penalty, engine=name), expected), name
    above = np.where(expected > penalty, expected, 0)
    for name in engine.ENGINES:
        found = all_scores(queries, strings, penalty=penalty, engine=name, only_above=True)
        assert np.array_equal(found, above), name


@settings(max_examples=150, deadline=None)
@given(
    query=st.lists(st.integers(0, 2), max_size=24),
    corpus=st.lists(st.lists(st.integers(0, 2), max_size=24), min_size=1, max_size=4),
    penalty=st.integers(1, 10),
)
def test_seeds_lose_nothing_above_the_penalty(query, corpus, penalty):
    """Also where a run of more tokens than fit in a key is needed: penalties from 8."""
    found = all_scores(
        [np.array(query, dtype=np.uint16)],
        strings_of(*corpus),
        penalty=penalty,
        engine="seeds",
        only_above=True,
    )
    expected = [smith_waterman(query, tokens, penalty) for tokens in corpus]
    assert found[0].tolist() == [score if score > penalty else 0 for score in expected]


@pytest.mark.parametrize("alphabet", [3, 60, 1153])
@pytest.mark.parametrize("edits", [0, 1, 3, 7])
def test_dense_frontiers_are_those_of_alignment(alphabet, edits):
    rng = np.random.default_rng([alphabet, edits])
    queries, corpus = random_strings(rng, 4, 40, alphabet), random_strings(rng, 70, 50, alphabet)
    strings = Strings.of(corpus)
    expected = frontiers(queries, corpus, edits)
    assert np.array_equal(all_frontiers(queries, strings, edits=edits, engine="dense"), expected)
    assert np.array_equal(all_frontiers(queries, strings, edits=edits, engine="numpy"), expected)


@pytest.mark.parametrize("length", [253, 254, 255, 256, 257, 300, 520])
def test_copies_longer_than_a_byte_counts_are_counted_again(length):
    rng = np.random.default_rng(length)
    copy = rng.integers(0, 60, length).astype(np.uint16)
    corpus = [
        *random_strings(rng, 70, 60, 60),
        np.concatenate([rng.integers(0, 60, 9), copy]).astype(np.uint16),
    ]
    strings = Strings.of(corpus)
    scores = all_scores([copy[:50], copy], strings, engine="dense")
    assert scores[:, -1].tolist() == [50, length]
    assert scores[1, :-1].max() < 60
    assert all_frontiers([copy], strings, edits=2, engine="dense")[0, -1].tolist() == [length] * 3
    own, score = align_chosen(
        copy, strings, np.array([1, len(corpus) - 1]), edits=1, penalty=2, by_numpy=False
    )
    assert (own[1].tolist(), score[1]) == ([length] * 2, length)
    assert all_scores([copy], strings, penalty=3, engine="seeds", only_above=True)[0, -1] == length


def test_ten_thousand_tokens_are_searched_whole():
    rng = np.random.default_rng(0)
    long = rng.integers(0, 200, 10_000).astype(np.uint16)
    changed = long.copy()
    changed[[2_000, 7_000]] = 210
    strings = Strings.of([changed, long[:5]])
    assert all_scores([long], strings, engine="dense")[0, :2].tolist() == [9_998 - 2 * 2, 5]
    assert all_frontiers([long], strings, edits=2, engine="dense")[0, 0].tolist() == [
        4_999,
        7_999 - 1 + 1 - 1,
        9_998,
    ]
    assert all_scores([long], strings, penalty=3, engine="seeds", only_above=True)[0, 0] == 9_998 - 2 * 3


@settings(max_examples=300, deadline=None)
@given(
    query=st.lists(st.integers(0, 2), max_size=12),
    melody=st.lists(st.integers(0, 2), max_size=12),
    penalty=st.integers(1, 3),
)
@example(query=[0, 0, 1, 0, 1, 0], melody=[0, 0, 1, 1, 0, 1], penalty=1)  # two ends of one rank
def test_compiled_and_plain_tracing_find_the_same_alignment(query, melody, penalty):
    ours, theirs = np.array(query, dtype=np.uint16), np.array(melody, dtype=np.uint16)
    compiled = trace(ours, theirs, penalty=penalty, by_numpy=False)
    assert compiled == trace(ours, theirs, penalty=penalty, by_numpy=True)


def test_compiled_tracing_refuses_what_it_cannot_rank():
    with pytest.raises(AnalysisError, match="40000 and 40000 tokens are too long to align"):
        trace(np.zeros(40_000), np.zeros(40_000), penalty=2, by_numpy=False)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_and_blocks_change_no_number(workers, monkeypatch):
    rng = np.random.default_rng(2)
    queries, corpus = random_strings(rng, 20, 30, 4), random_strings(rng, 200, 40, 4)
    strings = Strings.of(corpus)
    monkeypatch.setattr(engine, "QUERY_BLOCK", 3)
    expected = all_scores(queries, strings, penalty=3, engine="numpy")
    assert np.array_equal(all_scores(queries, strings, penalty=3, engine="dense", workers=workers), expected)
    seeded = all_scores(queries, strings, penalty=3, engine="seeds", only_above=True, workers=workers)
    assert np.array_equal(seeded, np.where(expected > 3, expected, 0))
    assert np.array_equal(
        all_frontiers(queries, strings, edits=2, engine="dense", workers=workers),
        frontiers(queries, corpus, 2),
    )


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_the_width_of_vectors_changes_no_number(vector_bytes, monkeypatch):
    monkeypatch.setattr(simd, "VECTOR_BYTES", vector_bytes)
    rng = np.random.default_rng(3)
    queries, corpus = random_strings(rng, 4, 40, 5), random_strings(rng, 100, 40, 5)
    queries.append(np.tile(rng.integers(0, 5, 100), 3).astype(np.uint16))
    corpus.append(queries[-1])
    strings = Strings.of(corpus)
    assert {batch.columns.shape[2] for batch in strings.batches} == {vector_bytes}
    expected = all_scores(queries, strings, engine="numpy")
    assert expected[-1, -1] == 300
    assert np.array_equal(all_scores(queries, strings, engine="dense"), expected)
    assert np.array_equal(
        all_frontiers(queries, strings, edits=3, engine="dense"), frontiers(queries, corpus, 3)
    )


def test_lanes_hold_every_string_once_and_the_longest_first():
    rng = np.random.default_rng(5)
    corpus = random_strings(rng, 150, 30, 9)
    corpus[10] = np.empty(0, dtype=np.uint16)
    strings = Strings.of(corpus)
    members = np.concatenate([batch.members for batch in strings.batches])
    assert sorted(members) == [place for place, tokens in enumerate(corpus) if len(tokens)]
    for batch in strings.batches:
        assert len(batch.columns) == len(corpus[batch.members[0]])
        for lane, member in enumerate(batch.members):
            assert batch.columns[: len(corpus[member]), 0, lane].tolist() == corpus[member].tolist()
            assert (batch.columns[len(corpus[member]) :, 0, lane] == 255).all()
    wide = batches_of(strings, np.array([0, 1]), lane_bytes=4)
    assert [batch.columns.shape[2] for batch in wide] == [simd.VECTOR_BYTES // 4]


def test_auto_takes_seeds_where_they_are_few_and_never_for_repeated_notes():
    rng = np.random.default_rng(7)
    strings = Strings.of([rng.integers(0, 200, 300).astype(np.uint16) for _ in range(300)])
    repeated = Strings.of([np.zeros(300, dtype=np.uint16)] * 300)
    varied = [rng.integers(0, 200, 200).astype(np.uint16) for _ in range(400)]
    assert all(engine._worth_seeding(varied, strings, 4))
    assert not any(engine._worth_seeding([np.zeros(200, dtype=np.uint16)] * 400, repeated, 4))
    # Listing the runs of a corpus does not pay for one query, unless they are listed.
    fresh = Strings(strings.tokens, strings.starts)
    assert engine._worth_seeding(varied[:1], fresh, 4) == [False]
    assert engine._worth_seeding(varied[:1], strings, 4) == [True]


def test_without_numba_everything_is_found_by_numpy(monkeypatch):
    monkeypatch.setattr(engine, "HAS_NUMBA", False)
    assert engine.chosen_engine("auto", 10**12) == "numpy"
    for name in ("dense", "seeds"):
        with pytest.raises(AnalysisError, match=f"engine '{name}' needs numba, which is not installed"):
            engine.chosen_engine(name, 1)


def test_little_work_is_done_by_numpy_without_compiling():
    assert engine.chosen_engine("auto", engine.SMALL_CELLS) == "numpy"
    assert engine.chosen_engine("auto", engine.SMALL_CELLS + 1) == "dense"


def test_no_strings_and_empty_strings_match_nothing():
    nothing = np.empty(0, dtype=np.uint16)
    some = np.array([1, 2, 3], dtype=np.uint16)
    for name in engine.ENGINES:
        assert all_scores([some], Strings.of([]), engine=name, only_above=True).shape == (1, 0)
        assert all_scores([], Strings.of([some]), engine=name, only_above=True).shape == (0, 1)
        found = all_scores(
            [nothing, some], Strings.of([nothing, some]), penalty=1, engine=name, only_above=True
        )
        assert found.tolist() == [[0, 0], [0, 3]]


def test_strings_are_had_by_number():
    strings = strings_of([1, 2], [], [3])
    assert [tokens.tolist() for tokens in strings] == [[1, 2], [], [3]]
    assert strings[-1].tolist() == [3]
    with pytest.raises(IndexError, match="there are 3 strings, got 3"):
        strings[3]


def test_wrong_options_are_named():
    strings = strings_of([1])
    query = [np.array([1], dtype=np.uint16)]
    with pytest.raises(AnalysisError, match="engine must be one of auto, dense, seeds, numpy, got 'fast'"):
        all_scores(query, strings, engine="fast")
    with pytest.raises(AnalysisError, match="penalty 1-100, got 0 and 101"):
        all_scores(query, strings, penalty=101)
    with pytest.raises(AnalysisError, match="edits must be at least 0"):
        all_frontiers(query, strings, edits=-1)
    with pytest.raises(AnalysisError, match="'seeds' finds scores alone"):
        all_frontiers(query, strings, engine="seeds")
    with pytest.raises(AnalysisError, match="above the penalty, 2: ask for only_above"):
        all_scores(query, strings, engine="seeds")
    with pytest.raises(AnalysisError, match="workers must be at least 1, got 0"):
        all_scores(query, strings, engine="dense", workers=0)
    with pytest.raises(AnalysisError, match="tokens must be at most 65,533, got 65,534"):
        strings_of([65_534])
