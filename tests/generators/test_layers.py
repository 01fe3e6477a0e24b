import pytest
import torch
from torch import nn

from generators.layers import initialise_for_rectifiers, rotary_angles, rotate


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
