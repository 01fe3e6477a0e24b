import pytest
import torch
from torch import nn

from generators.layers import (
    PatchConv2d,
    PatchDeconv2d,
    initialise_for_rectifiers,
    move_pitches,
    rotary_angles,
    rotate,
)


def test_rotary_positions_turn_pairs_as_complex_numbers():
    cosines, sines = rotary_angles(9, 8, base=100.0)
    vectors = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(vectors, cosines, sines)
    for position in range(9):
        for pair in range(4):
            left, right = vectors[..., position, pair], vectors[..., position, pair + 4]
            angle = torch.tensor(position / 100.0 ** (2 * pair / 8))
            expected = torch.complex(left, right) * torch.polar(torch.tensor(1.0), angle)
            assert torch.allclose(turned[..., position, pair], expected.real, atol=1e-5)
            assert torch.allclose(turned[..., position, pair + 4], expected.imag, atol=1e-5)


def test_rotated_products_know_nothing_but_the_distance():
    cosines, sines = rotary_angles(40, 16)
    query, key = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    products = [
        float(rotate(query, cosines[place + 7], sines[place + 7]) @ rotate(key, cosines[place], sines[place]))
        for place in (0, 5, 32)
    ]
    assert products == pytest.approx([products[0]] * 3, abs=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(512, 512), (512,)),
        (nn.Conv2d(64, 512, 4, stride=4), (64, 16, 16)),
        (nn.ConvTranspose2d(512, 64, 4, stride=4), (512, 4, 4)),
    ],
    ids=["dense", "convolution", "transposed"],
)
@torch.no_grad()
def test_what_passes_through_rectifiers_keeps_its_size(layer, shape):
    torch.manual_seed(0)
    initialise_for_rectifiers(layer)
    given = torch.randn(20, *shape)
    passed = layer(given.relu())
    assert passed.square().mean().item() == pytest.approx(given.square().mean().item(), rel=0.1)
    assert not layer.bias.any()


@pytest.mark.parametrize("size", [(4, 4), (2, 8), (1, 3)])
@pytest.mark.parametrize("channels", [(1, 5), (3, 1), (3, 5)])
def test_convolutions_by_patches_are_those_of_torch_with_their_gradients(size, channels):
    torch.manual_seed(0)
    for layer, of_torch, shape in (
        (PatchConv2d(*channels, size), nn.functional.conv2d, (2 * size[0], 3 * size[1])),
        (PatchDeconv2d(*channels, size), nn.functional.conv_transpose2d, (2, 3)),
    ):
        layer = layer.double()
        pictures = torch.randn(2, channels[0], *shape, dtype=torch.float64)
        found, expected = layer(pictures), of_torch(pictures, layer.weight, layer.bias, stride=size)
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, atol=1e-12)
        gradients = [
            torch.autograd.grad(output.square().sum(), layer.parameters()) for output in (found, expected)
        ]
        for own, other in zip(*gradients, strict=True):
            assert torch.allclose(own, other, atol=1e-10)


@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 4, 9)])
def test_rolls_move_by_semitones_of_their_own_and_lose_what_leaves_the_range(shape):
    rolls = torch.rand(5, *shape)
    shifts = torch.tensor([0, 2, -3, 8, -9])
    for roll, moved, shift in zip(rolls, move_pitches(rolls, shifts), shifts.tolist(), strict=True):
        for pitch in range(9):
            source = pitch - shift
            expected = roll[..., source] if 0 <= source < 9 else torch.zeros_like(roll[..., 0])
            assert torch.equal(moved[..., pitch], expected)
