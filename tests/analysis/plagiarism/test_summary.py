import numpy as np
import pytest

from analysis.plagiarism.summary import (
    bootstrap_means,
    by_copying,
    compare,
    describe,
    interval,
    share_below,
    shares,
)


def test_figures_of_nothing_are_missing():
    assert describe([]) == {"mean": None, "median": None, "p95": None, "max": None, "n": 0}
    assert set(shares([]).values()) == {None}
    assert share_below(0.5, []) is None


def test_figures_are_those_of_the_values():
    assert describe([0.0, 0.5, 1.0]) == {
        "mean": 0.5,
        "median": 0.5,
        "p95": pytest.approx(0.95),
        "max": 1.0,
        "n": 3,
    }
    assert shares([0.5, 0.79, 0.8, 1.0]) == {"0.5": 1.0, "0.6": 0.75, "0.8": 0.5, "0.9": 0.25, "1.0": 0.25}
    assert share_below(0.8, [0.1, 0.8, 0.9, 0.2]) == 0.5


def test_the_interval_of_a_mean_is_that_of_means_of_pieces():
    """With windows that agree within a piece, only the number of pieces counts."""
    rng = np.random.default_rng(0)
    pieces = np.repeat(np.arange(40), 25)
    levels = rng.normal(0.4, 0.1, 40)
    means = bootstrap_means(levels[pieces], pieces, seed=1)
    low, high = interval(means).values()
    half_width = 1.96 * levels.std() / np.sqrt(40)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.15)
    assert low < levels.mean() < high


def test_one_piece_has_no_interval():
    assert bootstrap_means([0.1, 0.2], [3, 3], seed=0) is None
    assert interval(None) == {"ci_low": None, "ci_high": None}


def test_the_excess_is_the_difference_of_means_with_its_interval():
    rng = np.random.default_rng(1)
    ours, human = rng.normal(0.6, 0.05, 60), rng.normal(0.4, 0.05, 60)
    pieces = np.arange(60)
    mine, theirs, excess = compare(ours, pieces, human, pieces, seed=0)
    assert excess["excess"] == pytest.approx(mine["mean"] - theirs["mean"])
    assert excess["excess_ci_low"] < 0.2 < excess["excess_ci_high"] < 0.25
    assert compare([0.5], [0], [], [], seed=0)[2] == {
        "excess": None,
        "excess_ci_low": None,
        "excess_ci_high": None,
    }


def test_the_same_seed_gives_the_same_interval():
    values, pieces = [0.1, 0.4, 0.9, 0.3], [0, 0, 1, 2]
    draws = [bootstrap_means(values, pieces, seed=seed) for seed in (5, 5, 6)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_most_copied_come_first_and_tiny_ones_after_all_others():
    def entry(name, overlap, melody, few=False):
        return {
            "piece": name,
            "overlap": None if overlap is None else {"score": overlap, "few_notes": few},
            "melody": None if melody is None else {"score": melody},
        }

    pieces = [
        entry("silent", None, None),
        entry("tiny", 1.0, 2, few=True),
        entry("low", 0.2, 50),
        entry("high", 0.9, 3),
        entry("high, longer melody", 0.9, 8),
    ]
    names = [piece["piece"] for piece in by_copying(pieces)]
    assert names[:3] == ["high, longer melody", "high", "low"]
    assert set(names[3:]) == {"silent", "tiny"}
