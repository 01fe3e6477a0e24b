import numpy as np

from analysis.melody.results import HumanFrontier, MelodyMatches


def test_ranks_are_shares_of_human_melodies_with_less():
    human = HumanFrontier.of(
        [
            MelodyMatches(4, (4, 6), ()),
            None,
            MelodyMatches(9, (5, 9), ()),
            MelodyMatches(5, (5, 7), ()),
            MelodyMatches(7, (7, 7), ()),
        ]
    )
    assert human.n_empty == 1
    assert human.ranks((5, 7)) == (1 / 4, 1 / 4)
    assert human.ranks((8, 9)) == (1.0, 3 / 4)
    assert human.ranks((4, 5)) == (0.0, 0.0)
    assert [human.score_rank(score) for score in (4, 6, 10)] == [0.0, 0.5, 1.0]


def test_no_human_melody_ranks_nothing():
    nobody = HumanFrontier.of([None, None])
    assert nobody.n_empty == 2
    assert nobody.ranks((5, 7)) == (None, None)
    assert nobody.score_rank(5) is None


def test_human_frontiers_are_kept_level_by_level():
    human = HumanFrontier.of([MelodyMatches(1, (3, 5), ()), MelodyMatches(2, (1, 9), ())])
    assert np.array_equal(human.frontiers, [[1, 5], [3, 9]])
