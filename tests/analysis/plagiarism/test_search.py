"""The search equals a search that tries every window of every piece, one unit at a time."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, Snippet, unit_arrays
from analysis.plagiarism.index import Layout, NoteIndex
from analysis.plagiarism.scan import PLANES, Machine
from analysis.plagiarism.search import (
    SAME_KEY,
    TWELVE_KEYS,
    TWO_OCTAVES,
    Hit,
    order_transpositions,
    search,
    search_in_batches,
)

#: Ways to run a search, which must not change what it finds: (layout, machine).
WAYS = {
    "plain": (Layout(), Machine(engine="plain")),
    "plain, a piece a chunk": (Layout(words=1, chunk_columns=1), Machine(engine="plain")),
    "compiled": (Layout(), Machine(engine="compiled", workers=1)),
    "threads, half a register": (Layout(words=8), Machine(engine="compiled", workers=3, width=4)),
    "small vectors and blocks": (Layout(words=2), Machine(engine="compiled", workers=2, width=1, block=1)),
    "wide vectors, a piece a chunk": (
        Layout(words=16, chunk_columns=1),
        Machine(engine="compiled", width=8, block=2),
    ),
}

ROWS_PER_PITCH = {"onset": 1, "cell": 1, "onset+dur": 13}


def piece(units, n_steps, *, bars=(0,), name="", group="", unit="onset"):
    steps, rows = unit_arrays(units)
    return PieceUnits(steps, rows, n_steps, tuple(bars), name, group, ROWS_PER_PITCH[unit])


def snippet(units, window_steps):
    steps, rows = unit_arrays(units)
    return Snippet(steps, rows, window_steps)


def units_of(thing):
    return set(zip(thing.steps.tolist(), thing.rows.tolist(), strict=True))


def starts_of(units, window_steps, offsets, edges):
    """Every start that the definition names, straight from its words."""
    for start in range(-window_steps - 20, units.n_steps + 20):
        inside = start >= 0 and start + window_steps <= units.n_steps
        touches = any(0 <= start + step < units.n_steps for step in range(window_steps))
        if not (touches if edges == "full" else inside):
            continue
        if offsets == "bar":
            lines = list(units.bar_steps)
            bar = lines[1] - lines[0] if len(lines) > 1 else units.n_steps - lines[0]
            is_line = start in lines or (start < lines[0] and (lines[0] - start) % bar == 0)
            if not is_line:
                continue
        yield start


def brute_force(pieces, wanted, *, k, transpositions, offsets, edges, per_piece, excluded, rows_per_pitch=1):
    """All windows of all pieces in the total order, then the first k with at most `per_piece` of a piece."""
    wanted_units = units_of(wanted)
    if not wanted_units:
        return []
    found = []
    for piece_id, corpus_piece in enumerate(pieces):
        if piece_id in excluded:
            continue
        theirs = units_of(corpus_piece)
        starts = list(starts_of(corpus_piece, wanted.window_steps, offsets, edges))
        for start, d in product(starts, set(transpositions)):
            common = sum((start + t, row + d * rows_per_pitch) in theirs for t, row in wanted_units)
            found.append((-common, abs(d), d, piece_id, start))
    hits, per = [], {}
    for hit in sorted(found):
        per[hit[3]] = per.get(hit[3], 0) + 1
        if per[hit[3]] <= per_piece:
            hits.append(hit)
    return hits[:k]


def as_tuples(hits):
    return [(-hit.common, abs(hit.transposition), hit.transposition, hit.piece, hit.start) for hit in hits]


@st.composite
def corpora(draw):
    """Up to three small pieces without twins, in few pitches so that ties abound; bars of any length."""
    pieces, seen = [], set()
    for _ in range(draw(st.integers(1, 3))):
        n_steps = draw(st.integers(1, 24))
        cell = st.tuples(st.integers(0, n_steps - 1), st.integers(60, 63))
        units = draw(st.sets(cell, min_size=1, max_size=30))
        bar = draw(st.integers(1, 6))
        made = piece(units, n_steps, bars=range(0, n_steps, bar))
        if made.digest not in seen:
            seen.add(made.digest)
            pieces.append(made)
    return pieces


@st.composite
def snippets(draw, longest=8):
    window_steps = draw(st.integers(1, longest))
    cell = st.tuples(st.integers(0, window_steps - 1), st.integers(58, 65))
    return snippet(draw(st.sets(cell, max_size=20)), window_steps)


QUESTIONS = {
    "k": st.integers(1, 12),
    "per_piece": st.integers(1, 4),
    "transpositions": st.lists(st.integers(-2, 2), min_size=1, max_size=5),
    "offsets": st.sampled_from(["all", "bar"]),
    "edges": st.sampled_from(["full", "inside"]),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=80, deadline=None)
@given(
    pieces=corpora(),
    wanted=st.lists(snippets(), min_size=1, max_size=3),
    options=st.fixed_dictionaries(QUESTIONS),
    excluded=st.sets(st.integers(0, 2)),
)
def test_the_list_of_hits_equals_brute_force(way, pieces, wanted, options, excluded):
    layout, machine = WAYS[way]
    excluded = {piece_id for piece_id in excluded if piece_id < len(pieces)}
    index = NoteIndex.build(pieces, window_steps=8, layout=layout)
    found = search(index, wanted, exclude=[excluded] * len(wanted), machine=machine, **options)
    for one, hits in zip(wanted, found, strict=True):
        assert as_tuples(hits) == brute_force(pieces, one, excluded=excluded, **options)
        for hit in hits:
            window = range(hit.start, hit.start + one.window_steps)
            assert hit.n == one.n_units
            assert hit.n_window == sum(step in window for step, _ in units_of(pieces[hit.piece]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unit", ["onset", "cell"])
def test_every_way_to_run_a_search_finds_the_same(unit, seed):
    """Pieces long enough that every lane owns several columns, windows that need different code."""
    rng = np.random.default_rng(seed)
    pieces = [random_piece(rng, int(rng.integers(20, 900)), f"p{i}", density=4) for i in range(9)]
    wanted = []
    for size in (1, 7, 16, 31, 64, 64, 64):
        units = {(int(rng.integers(size)), int(rng.integers(40, 85))) for _ in range(size * 5)}
        source = pieces[int(rng.integers(9))]
        start = int(rng.integers(-size, source.n_steps))
        units |= {(t - start, p) for t, p in units_of(source) if start <= t < start + size and p % 3}
        wanted.append(snippet(units, size))
    exclude = [{i} if i % 2 else () for i in range(len(wanted))]
    options = {
        "k": 6,
        "per_piece": 1 + seed % 2,
        "transpositions": range(-seed, seed + 1),
        "offsets": ["all", "bar"][seed % 2],
        "edges": ["full", "inside"][seed // 2],
    }
    results = []
    for layout, machine in WAYS.values():
        index = NoteIndex.build(pieces, unit=unit, layout=layout)
        results.append(search(index, wanted, exclude=exclude, machine=machine, **options))
    assert all(result == results[0] for result in results[1:])
    whole = brute_force_by_columns(pieces, wanted[4], excluded=exclude[4], **options)
    assert as_tuples(results[0][4]) == whole


def brute_force_by_columns(pieces, wanted, **options):
    """`brute_force` with arrays, for pieces of some length: the same loop over starts, each one sum."""
    found = []
    for piece_id, corpus_piece in enumerate(pieces):
        roll = np.zeros((corpus_piece.n_steps + 2 * wanted.window_steps, 160), dtype=bool)
        roll[corpus_piece.steps + wanted.window_steps, corpus_piece.rows + 16] = True
        starts = starts_of(corpus_piece, wanted.window_steps, options["offsets"], options["edges"])
        for start, d in product(
            starts if piece_id not in options["excluded"] else (), options["transpositions"]
        ):
            window = roll[start + wanted.window_steps :][wanted.steps, wanted.rows + 16 + d]
            found.append((-int(window.sum()), abs(d), d, piece_id, start))
    hits, per = [], {}
    for hit in sorted(found):
        per[hit[3]] = per.get(hit[3], 0) + 1
        if per[hit[3]] <= options["per_piece"]:
            hits.append(hit)
    return hits[: options["k"]]


@pytest.mark.parametrize("seed", range(6))
def test_pieces_that_repeat_themselves_are_listed_once_with_their_first_best_window(seed):
    """Loops of few bars: a piece has its best count at many starts, in several lanes and blocks."""
    rng = np.random.default_rng([7, seed])
    pieces, wanted = [], []
    for place in range(7):
        loop = {(int(rng.integers(16)), int(rng.integers(60, 66))) for _ in range(14)}
        n_steps = int(rng.integers(150, 700))
        units = {(t + bar, p) for bar in range(0, n_steps, 16) for t, p in loop if rng.random() < 0.95}
        pieces.append(piece({(t, p) for t, p in units if t < n_steps}, n_steps, name=f"p{place}"))
        wanted.append(snippet({(t, p) for t, p in units if t < 32 and p % 4}, 32))
    options = {"k": 4, "transpositions": (0, 1, -2), "offsets": "all", "edges": "full", "per_piece": 1}
    expected = [brute_force_by_columns(pieces, own, excluded=(), **options) for own in wanted]
    for words, block in ((1, 1), (1, 3), (2, 2)):
        index = NoteIndex.build(pieces, window_steps=32, layout=Layout(words=words))
        machine = Machine(engine="compiled", workers=1, width=1, block=block)
        found = search(index, wanted, machine=machine, **options)
        assert [as_tuples(hits) for hits in found] == expected


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_durations_are_told_apart_and_transposed_with_their_pitch(data):
    def onset_with_duration(n_steps):
        row = st.builds(lambda pitch, kind: pitch * 13 + kind, st.integers(60, 62), st.integers(0, 2))
        return st.tuples(st.integers(0, n_steps - 1), row)

    pieces = [
        piece(data.draw(st.sets(onset_with_duration(12), min_size=1, max_size=20)), 12, unit="onset+dur")
    ]
    wanted = snippet(data.draw(st.sets(onset_with_duration(6), max_size=15)), 6)
    options = {"k": 40, "transpositions": (-2, 0, 1), "offsets": "all", "edges": "full", "per_piece": 40}
    index = NoteIndex.build(pieces, unit="onset+dur", window_steps=6)
    found = search(index, [wanted], **options)[0]
    assert as_tuples(found) == brute_force(pieces, wanted, excluded=(), rows_per_pitch=13, **options)


@pytest.mark.parametrize("engine", ["plain", "compiled"])
@pytest.mark.parametrize("n", [127, 128, 255, 256, 300, 511, 512, 640])
def test_windows_of_more_units_than_a_byte_counts_are_counted(n, engine):
    """Held chords reach several hundred cells in a window."""
    cells = list(product(range(64), range(40, 52)))
    dense = piece(cells, 64, name="dense")
    thin = piece(cells[: n // 2], 64, name="thin")
    index = NoteIndex.build([thin, dense], unit="cell")
    best, second = search(index, [snippet(cells[:n], 64)], k=2, machine=Machine(engine=engine))[0]
    assert (best.piece, best.common, best.start, best.overlap) == (1, n, 0, 1.0)
    assert (second.piece, second.common) == (0, n // 2)


@pytest.mark.parametrize("n_units", [127, 128, 511, 512, 4095, 4096, 5000])
def test_counts_up_to_the_last_bit_plane_are_exact(n_units):
    """The code for a number of planes is used up to one unit less than they count."""
    cells = [(step, row) for step in range(64) for row in range(20, 100)][:n_units]
    corpus_piece = piece(cells, 64)
    index = NoteIndex.build([corpus_piece], unit="cell")
    hits = search(index, [snippet(cells, 64)], k=3, per_piece=3, machine=Machine(engine="compiled"))[0]
    assert hits == search(index, [snippet(cells, 64)], k=3, per_piece=3, machine=Machine(engine="plain"))[0]
    assert (hits[0].common, hits[0].start) == (n_units, 0)
    assert n_units < 2 ** max(PLANES)


def test_batches_give_what_one_search_gives():
    rng = np.random.default_rng(4)
    pieces = [random_piece(rng, 150, f"p{i}") for i in range(5)]
    wanted = [snippet({(t, p) for t, p in units_of(one) if t < 64}, 64) for one in pieces]
    index = NoteIndex.build(pieces)
    exclude = [{place} for place in range(5)]
    seen = []
    batches = search_in_batches(
        index, wanted, batch=2, exclude=exclude, k=2, progress=lambda done, total: seen.append((done, total))
    )
    parts = list(batches)
    assert [first for first, _ in parts] == [0, 2, 4]
    assert [hits for _, part in parts for hits in part] == search(index, wanted, k=2, exclude=exclude)
    assert seen == [(2, 5), (4, 5), (5, 5)]
    with pytest.raises(AnalysisError, match="at least 1 snippet, got 0"):
        next(search_in_batches(index, wanted, batch=0))


def test_equal_snippets_are_searched_once_and_answered_each():
    rng = np.random.default_rng(1)
    pieces = [random_piece(rng, 150, f"p{i}") for i in range(3)]
    one = snippet({(t, p) for t, p in units_of(pieces[1]) if t < 64}, 64)
    seen = []
    hits = search(
        NoteIndex.build(pieces),
        [one, snippet(set(), 64), one, one],
        exclude=[(), (), {1}, ()],
        k=1,
        progress=lambda done, total: seen.append(total),
    )
    assert [[hit.piece for hit in found] for found in hits] == [[1], [], [hits[2][0].piece], [1]]
    assert hits[0] == hits[3] != hits[2]
    assert isinstance(hits[0][0], Hit)
    assert set(seen) == {2}


def random_piece(rng, n_steps, name, density=1.3):
    n = int(n_steps * density)
    units = zip(rng.integers(0, n_steps, n).tolist(), rng.integers(40, 85, n).tolist(), strict=True)
    return piece(units, n_steps, bars=range(0, n_steps, 16), name=name)


@pytest.mark.parametrize("seed", range(8))
def test_a_planted_copy_is_found_with_exactly_its_known_overlap(seed):
    """A corpus window, transposed, thinned, with notes added where the corpus has none."""
    rng = np.random.default_rng(seed)
    pieces = [random_piece(rng, int(rng.integers(80, 400)), f"p{i}") for i in range(12)]
    source = int(rng.integers(len(pieces)))
    start = [0, pieces[source].n_steps - 64, int(rng.integers(0, pieces[source].n_steps - 63))][seed % 3]
    d = int(rng.integers(-12, 13))
    window = {(t - start, p - d) for t, p in units_of(pieces[source]) if start <= t < start + 64}
    kept = {unit for unit in window if rng.random() < 0.8}
    added = {(int(rng.integers(64)), int(rng.integers(28, 97))) for _ in range(len(kept) // 3)} - window
    index = NoteIndex.build(pieces)
    best = search(index, [snippet(kept | added, 64)], k=1, transpositions=TWO_OCTAVES)[0][0]
    assert (best.piece, best.start, best.transposition) == (source, start, d)
    assert best.common == len(kept)
    assert best.overlap == len(kept) / len(kept | added)
    assert best.reverse == len(kept) / len(window)
    assert best.jaccard == len(kept) / len(window | added)


def test_a_thinned_copy_shares_all_its_notes():
    rng = np.random.default_rng(5)
    pieces = [random_piece(rng, 200, f"p{i}") for i in range(4)]
    window = [(t - 37, p) for t, p in units_of(pieces[2]) if 37 <= t < 101]
    best = search(NoteIndex.build(pieces), [snippet(window[::3], 64)])[0][0]
    assert (best.overlap, best.piece, best.start) == (1.0, 2, 37)


@pytest.mark.parametrize("start", [-40, -63, 70, 99])
def test_a_copy_that_hangs_over_the_end_of_a_piece_is_found_there(start):
    rng = np.random.default_rng(2)
    pieces = [random_piece(rng, 100, f"p{i}", density=4) for i in range(3)]
    window = {(t - start, p) for t, p in units_of(pieces[1]) if start <= t < start + 64}
    wanted = snippet(window, 64)
    index = NoteIndex.build(pieces)
    best = search(index, [wanted], exclude=[{0, 2}])[0][0]
    assert (best.piece, best.start, best.overlap) == (1, start, 1.0)
    inside = search(index, [wanted], edges="inside", exclude=[{0, 2}])[0][0]
    assert 0 <= inside.start <= 100 - 64


def test_a_window_never_straddles_two_pieces():
    end, beginning = {(15, 60)}, {(0, 72)}
    index = NoteIndex.build([piece(end, 16), piece(beginning, 16)], window_steps=8)
    hits = search(index, [snippet({(3, 60), (4, 72)}, 8)])[0]
    assert [hit.common for hit in hits] == [1, 1]


def test_twins_are_stored_once_under_the_first_with_both_names():
    rng = np.random.default_rng(3)
    one, other = random_piece(rng, 100, "a"), random_piece(rng, 100, "b")
    twin = PieceUnits(one.steps, one.rows, one.n_steps, one.bar_steps, "c", "works")
    index = NoteIndex.build([other, one, twin])
    assert [stored.names for stored in index.pieces] == [("b",), ("a", "c")]
    assert index.pieces[1].places == (1, 2)
    assert index.members(names=["c"]) == index.members(groups=["works"]) == {1}
    hits = search(index, [snippet({(t, p) for t, p in units_of(one) if t < 64}, 64)])[0]
    assert [hit.piece for hit in hits] == [1, 0]
    assert hits[0].overlap == 1.0


def test_a_transposed_twin_is_kept_apart_and_known_by_its_shape():
    one = piece({(0, 60), (4, 64), (9, 67)}, 16, name="a")
    moved = piece({(0, 63), (4, 67), (9, 70)}, 16, name="b")
    other = piece({(0, 60), (4, 63), (9, 67)}, 16, name="c")
    index = NoteIndex.build([one, moved, other], window_steps=16)
    assert len(index.pieces) == 3
    assert index.members(shapes={moved.shape}) == {0, 1}


@settings(max_examples=40, deadline=None)
@given(pieces=corpora(), wanted=snippets(), order=st.permutations(range(3)))
def test_permuting_pieces_changes_their_ids_alone(pieces, wanted, order):
    order = [place for place in order if place < len(pieces)]
    options = {"k": 3, "transpositions": (-1, 0, 1)}
    straight = search(NoteIndex.build(pieces, window_steps=8), [wanted], **options)[0]
    mixed = search(NoteIndex.build([pieces[place] for place in order], window_steps=8), [wanted], **options)[
        0
    ]
    in_old_ids = {(order[hit.piece], hit.start, hit.transposition, hit.common) for hit in mixed}
    assert in_old_ids == {(hit.piece, hit.start, hit.transposition, hit.common) for hit in straight}


@settings(max_examples=40, deadline=None)
@given(pieces=corpora(), wanted=snippets(), shift=st.integers(-5, 5))
def test_transposing_a_snippet_shifts_the_transposition_found(pieces, wanted, shift):
    index = NoteIndex.build(pieces, window_steps=8)
    moved = Snippet(wanted.steps, wanted.rows - shift, wanted.window_steps)
    keys = range(-2, 3)
    hits = search(index, [wanted], k=1, transpositions=keys)[0]
    moved_hits = search(index, [moved], k=1, transpositions=[d + shift for d in keys])[0]
    assert [hit.common for hit in hits] == [hit.common for hit in moved_hits]


@settings(max_examples=40, deadline=None)
@given(pieces=corpora(), wanted=snippets())
def test_the_best_overlap_never_falls_as_the_corpus_grows(pieces, wanted):
    best = [
        hits[0].common
        for n in range(1, len(pieces) + 1)
        if (hits := search(NoteIndex.build(pieces[:n], window_steps=8), [wanted], k=1)[0])
    ]
    assert best == sorted(best)


def test_a_pitch_moved_off_the_keyboard_is_lost_and_not_folded():
    index = NoteIndex.build([piece({(0, 127), (1, 0), (2, 115)}, 4)], window_steps=4)
    top = search(index, [snippet({(0, 120), (2, 127)}, 4)], transpositions=[12], edges="inside")[0][0]
    assert top.common == 0
    same = search(index, [snippet({(0, 127), (2, 115)}, 4)], edges="inside")[0][0]
    assert same.common == 2


def test_the_named_sets_of_transpositions_are_those_of_the_definition():
    assert SAME_KEY == (0,)
    assert (TWELVE_KEYS[0], TWELVE_KEYS[-1], len(TWELVE_KEYS)) == (-6, 5, 12)
    assert (TWO_OCTAVES[0], TWO_OCTAVES[-1], len(TWO_OCTAVES)) == (-12, 12, 25)
    assert order_transpositions([2, -1, 0, 1, -2]) == (0, -1, 1, -2, 2)


def test_progress_reaches_its_total():
    index = NoteIndex.build([piece({(0, 60)}, 4)], window_steps=4)
    seen = []
    wanted = [snippet({(0, 60)}, 4), snippet({(1, 60)}, 4), snippet(set(), 4)]
    search(index, wanted, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"edges": "open"}, "edges must be full or inside, got 'open'"),
        ({"offsets": "beat"}, "offsets must be all or bar, got 'beat'"),
        ({"k": 0}, "k and per_piece must be at least 1"),
        ({"per_piece": 0}, "k and per_piece must be at least 1"),
        ({"transpositions": ()}, "at least one interval"),
        ({"exclude": []}, "one entry per snippet: 1, got 0"),
    ],
)
def test_a_wrong_option_is_named(options, words):
    index = NoteIndex.build([piece({(0, 60)}, 4)], window_steps=4)
    with pytest.raises(AnalysisError, match=words):
        search(index, [snippet({(0, 60)}, 4)], **options)


def test_a_window_longer_than_the_index_is_refused():
    index = NoteIndex.build([piece({(0, 60)}, 4)], window_steps=4)
    with pytest.raises(AnalysisError, match="built for windows of 4 steps, got one of 5"):
        search(index, [snippet({(0, 60)}, 5)])


@pytest.mark.parametrize("pitch", [-1, 128])
def test_a_snippet_off_the_keyboard_is_refused(pitch):
    index = NoteIndex.build([piece({(0, 60)}, 4)], window_steps=4)
    with pytest.raises(AnalysisError, match=f"rows of 'onset' are 0 to 127, got one of {pitch}"):
        search(index, [snippet({(0, 60), (1, pitch)}, 4)])


def test_an_index_of_nothing_finds_nothing():
    index = NoteIndex.build([piece(set(), 0)])
    assert search(index, [snippet({(0, 60)}, 4)]) == [[]]
