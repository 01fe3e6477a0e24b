import pytest

from analysis.description.diversity import describe_diversity, jaccard, note_set
from music.score import Note, Score, Track


def one_track(*notes: Note, **more) -> Score:
    return Score((Track(notes),), **more)


def test_the_index_is_shared_over_either():
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset(), frozenset()) == 1
    assert jaccard(frozenset("a"), frozenset()) == 0


def test_notes_are_placed_on_sixteenths_whatever_the_ticks():
    assert note_set(one_track(Note(3, 60, 5), ticks_per_beat=12)) == {(1, 60, False)}
    assert note_set(one_track(Note(120, 60, 9))) == {(1, 60, False)}


def test_a_drum_is_no_pitch():
    drum = Score((Track((Note(0, 60, 480),), is_drum=True),))
    assert describe_diversity([drum, one_track(Note(0, 60, 480))]).mean_similarity == 0


def test_one_piece_again_and_again_is_collapsed(piece):
    alike = describe_diversity([piece(1), piece(1), piece(1)])
    assert (alike.mean_similarity, alike.n_distinct, alike.is_collapsed) == (1, 1, True)
    apart = describe_diversity([piece(1), piece(2), piece(1)])
    assert (apart.n_distinct, apart.most_similar, apart.is_collapsed) == (2, 1, False)
    assert apart.mean_similarity == pytest.approx(
        (1 + 2 * jaccard(note_set(piece(1)), note_set(piece(2)))) / 3
    )


def test_empty_pieces_are_counted_and_alike():
    empty = describe_diversity([Score(), Score()])
    assert (empty.n_empty, empty.is_collapsed) == (2, True)


def test_one_piece_is_like_no_other(piece):
    assert describe_diversity([piece(1)]).mean_similarity is None
