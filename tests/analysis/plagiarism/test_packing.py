import numpy as np
import pytest

from analysis.plagiarism.packing import aligned_zeros, chunk_bounds, pack, pack_columns


def bit(vectors, vector, lane):
    return int(vectors[vector, lane // 64] >> np.uint64(lane % 64) & np.uint64(1))


@pytest.mark.parametrize("words", [1, 2, 8])
@pytest.mark.parametrize("gap", [0, 2, 70])
def test_every_lane_holds_its_columns_and_those_its_windows_reach(words, gap):
    rng = np.random.default_rng(words + gap)
    lengths = [5, 130, 1, 300]
    steps = [rng.integers(0, length, 2 * length) for length in lengths]
    rows = [rng.integers(3, 7, 2 * length) for length in lengths]
    chunk = pack(steps, rows, lengths, first_piece=4, n_rows=9, gap=gap, words=words)
    line = np.zeros((9, 10**5), dtype=int)
    for piece in range(4):
        line[rows[piece], [chunk.column(piece, int(step)) for step in steps[piece]]] = 1
    assert chunk.n_vectors * 64 * words >= chunk.regions[-1] == sum(lengths) + 4 * gap
    assert chunk.row_index[[0, 1, 2, 7, 8]].tolist() == [-1] * 5
    for row in range(9):
        if chunk.row_index[row] < 0:
            assert not line[row].any()
            continue
        packed = chunk.rows[chunk.row_index[row]]
        for vector in range(chunk.n_vectors + gap):
            for lane in range(0, 64 * words, 5):
                assert bit(packed, vector, lane) == line[row, lane * chunk.n_vectors + vector]


def test_pieces_stand_apart_by_the_silence_that_a_window_needs():
    chunk = pack(
        [np.array([0]), np.array([0])], [np.array([60])] * 2, [4, 5], first_piece=0, n_rows=128, gap=2
    )
    assert chunk.regions.tolist() == [0, 6, 13]
    assert [chunk.column(0, 0), chunk.column(1, 0), chunk.column(1, -2)] == [2, 8, 6]


def test_columns_become_bits_of_their_lanes():
    columns = np.array([0, 1, 9, 64 * 2 * 3 - 1])
    packed = pack_columns(columns, 3, 2)
    assert packed.shape == (3, 2)
    found = [lane * 3 + vector for vector in range(3) for lane in range(128) if bit(packed, vector, lane)]
    assert sorted(found) == columns.tolist()


def test_chunks_end_with_the_piece_that_fills_them():
    assert list(chunk_bounds([5, 5, 5, 5, 1], gap=1, columns=12)) == [(0, 2), (2, 4), (4, 5)]
    assert list(chunk_bounds([50], gap=1, columns=12)) == [(0, 1)]
    assert list(chunk_bounds([], gap=1)) == []


def test_vectors_start_where_cache_lines_do():
    assert all(aligned_zeros((n, 3)).ctypes.data % 64 == 0 for n in range(1, 20))
