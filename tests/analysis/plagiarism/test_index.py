import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, unit_arrays
from analysis.plagiarism.index import NoteIndex


def piece(units, n_steps, name="", group=""):
    return PieceUnits(*unit_arrays(units), n_steps, (0,), name, group)


def test_every_unit_has_its_column_and_pieces_keep_their_distance():
    pieces = [piece({(0, 60), (3, 62)}, 4), piece({(1, 60)}, 5)]
    index = NoteIndex.build(pieces, window_steps=3)
    (block,) = index.blocks
    assert block.offsets.tolist() == [2, 8]
    assert block.n_columns == 13
    expected = np.zeros((2, 15), dtype=np.uint8)
    expected[0, [2, 9]] = 1  # pitch 60
    expected[1, 5] = 1  # pitch 62
    assert np.array_equal(block.rows, expected)
    assert block.row_index[[60, 61, 62]].tolist() == [0, -1, 1]


def test_pieces_without_notes_are_left_out_but_keep_their_place():
    index = NoteIndex.build([piece(set(), 0, "silent"), piece({(0, 60)}, 4, "b")])
    assert [(stored.names, stored.places) for stored in index.pieces] == [(("b",), (1,))]


def test_of_twins_the_longest_is_searched():
    index = NoteIndex.build([piece({(0, 60)}, 4, "a"), piece({(0, 60)}, 9, "b")])
    assert index.pieces[0].units.n_steps == 9
    assert index.pieces[0].names == ("a", "b")


def test_no_group_is_no_group():
    index = NoteIndex.build([piece({(0, 60)}, 4, "a"), piece({(0, 61)}, 4, "b", "works")])
    assert index.members(groups=[""]) == frozenset()
    assert index.members(groups=["works"], names=["a"]) == {0, 1}


def test_a_window_needs_a_step():
    with pytest.raises(AnalysisError, match="window_steps must be at least 1, got 0"):
        NoteIndex.build([], window_steps=0)
