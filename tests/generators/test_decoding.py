import itertools
import statistics

import numpy as np
import pytest
import torch

from generators.decoding import as_many_as_likely, as_normal, fill_silence


def test_uniform_numbers_become_the_normal_ones_of_the_same_rank():
    draws = torch.tensor([1e-9, 0.025, 0.5, 0.9, 1 - 2.0**-53], dtype=torch.float64)
    expected = [statistics.NormalDist().inv_cdf(draw) for draw in draws.tolist()]
    numbers = as_normal(draws)
    assert numbers.dtype == torch.float32
    assert numbers.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_uniform_number_of_zero_becomes_no_infinity():
    assert -9 < as_normal(torch.zeros(1, dtype=torch.float64)).item() < -8


def test_silent_steps_get_their_strongest_cells_and_others_stay_as_they_are():
    rng = np.random.default_rng(0)
    strengths = torch.from_numpy(rng.permutation(3 * 2 * 6 * 4).reshape(3, 2, 6, 4))
    sounds = torch.zeros(3, 2, 6, 4, dtype=torch.bool)
    sounds[0, 1, 3, 2] = True  # within the steps: this piece is not silent
    sounds[1, 0, 5, 1] = True  # beyond them
    before = sounds.clone()
    fill_silence(sounds, strengths, slice(1, 5), 7)
    assert torch.equal(sounds[0], before[0])
    for piece in (1, 2):
        inside = itertools.product(range(2), range(1, 5), range(4))
        strongest = sorted(inside, key=lambda cell, piece=piece: -strengths[(piece, *cell)])[:7]
        for cell in itertools.product(range(2), range(6), range(4)):
            assert sounds[(piece, *cell)] == (cell in strongest or before[(piece, *cell)])


def test_no_more_cells_sound_than_there_are():
    sounds = torch.zeros(1, 1, 2, 3, dtype=torch.bool)
    fill_silence(sounds, torch.rand(1, 1, 2, 3), slice(0, 1), 99)
    assert sounds[0, 0].sum(1).tolist() == [3, 0]


def test_as_many_cells_sound_as_their_chances_add_up_to():
    """Three tracks: 3.4 likely cells of usually 2, 1.2 of usually 4, and 0.9 of usually 8."""
    chances = torch.zeros(1, 3, 2, 5)
    chances[0, 0, 0] = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.4])
    chances[0, 1, 1] = torch.tensor([0.5, 0.1, 0.2, 0.3, 0.1])
    chances[0, 2, 0] = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1])
    sounds = as_many_as_likely(chances, torch.tensor([1.0, 2.0, 4.0]))
    assert sounds[0, 0, 0].tolist() == [True, True, True, False, False]
    assert sounds[0, 1, 1].tolist() == [True] * 5  # the fourth and the fifth are alike
    assert sounds[0, 2].nonzero().tolist() == [[0, 2]]  # too little for the usual number
    assert not sounds[0, 0, 1].any()


def test_chances_of_certain_cells_give_these_cells():
    cells = torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0)) < 0.3
    assert torch.equal(as_many_as_likely(cells.float(), torch.zeros(2)), cells)
    assert not as_many_as_likely(torch.zeros(1, 2, 8, 12), torch.ones(2)).any()
