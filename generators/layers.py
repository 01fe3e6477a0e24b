"""Blocks that two or more families are built of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def rotary_angles(n_positions: int, d_head: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of rotary positions, each (n_positions, d_head) (Su et al. 2021, RoFormer).

    The pair (i, i + d_head / 2) of position p turns by ``p / base ** (2 i / d_head)``; the sine by which
    the second of a pair goes into the first has its minus already.
    """
    rates = base ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)
    angles = torch.arange(n_positions, dtype=torch.float64)[:, None] * rates  # (n_positions, d_head / 2)
    cosines, sines = angles.cos(), angles.sin()
    return torch.cat([cosines, cosines], dim=-1).float(), torch.cat([-sines, sines], dim=-1).float()


def rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn queries or keys (..., d_head) by the angles of their positions, as `rotary_angles` gives them."""
    return torch.addcmul(vectors * cosines, vectors.roll(vectors.shape[-1] // 2, -1), sines)


def initialise_for_rectifiers(net: nn.Module) -> None:
    """Weights that keep the size of what passes through rectified units (He et al. 2015); biases of 0.

    Those of dense layers and of convolutions whose stride is their width: so an output of a transposed one
    hears each of its input channels once.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            is_transposed = isinstance(layer, nn.ConvTranspose2d)
            n_heard = layer.in_channels if is_transposed else layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=(2 / n_heard) ** 0.5)
            nn.init.zeros_(layer.bias)


def move_pitches(rolls: Tensor, semitones: Tensor) -> Tensor:
    """Rolls (n, ..., pitches), each moved by semitones of its own, (n,); what leaves the range is lost."""
    n_pitches = rolls.shape[-1]
    sources = torch.arange(n_pitches, device=rolls.device) - semitones[:, None]  # (n, pitches)
    sources = sources.view(len(rolls), *[1] * (rolls.ndim - 2), n_pitches)
    moved = rolls.gather(-1, (sources % n_pitches).expand_as(rolls))
    return torch.where((sources >= 0) & (sources < n_pitches), moved, 0)


class PatchConv2d(nn.Conv2d):
    """A convolution whose stride is its width: the patches of a picture through one matrix.

    Parameters and result are those of `torch.nn.Conv2d`; on a CPU it takes up to half the time.
    """

    def __init__(self, n_in: int, n_out: int, size: tuple[int, int]):
        super().__init__(n_in, n_out, size, stride=size)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, in, rows, columns) to (batch, out, rows / height, columns / width)."""
        height, width = self.kernel_size
        rows, columns = pictures.shape[2] // height, pictures.shape[3] // width
        cells = pictures.permute(0, 2, 3, 1).unflatten(2, (columns, width)).unflatten(1, (rows, height))
        patches = cells.transpose(2, 3).flatten(3)  # (batch, rows, columns, height * width * in)
        matrix = self.weight.permute(0, 2, 3, 1).flatten(1)  # (out, height * width * in)
        return nn.functional.linear(patches, matrix, self.bias).permute(0, 3, 1, 2)


class PatchDeconv2d(nn.ConvTranspose2d):
    """A transposed convolution whose stride is its width: each cell grows into a patch by one matrix.

    Parameters and result are those of `torch.nn.ConvTranspose2d`.
    """

    def __init__(self, n_in: int, n_out: int, size: tuple[int, int]):
        super().__init__(n_in, n_out, size, stride=size)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, in, rows, columns) to (batch, out, rows * height, columns * width)."""
        height, width = self.kernel_size
        matrix = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (height * width * out, in)
        bias = self.bias.repeat(height * width)
        patches = nn.functional.linear(pictures.permute(0, 2, 3, 1), matrix, bias)
        cells = patches.unflatten(3, (height, width, -1)).transpose(2, 3)
        return cells.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def picture_convolutions(channels: Sequence[int]) -> list[nn.Module]:
    """Three convolutions of a picture of 32 steps: (batch, 1, 32, 128) to (batch, last of the channels).

    They are those of the autoencoders of Tham & Kim 2021, whose channels are 64, 128 and 256.
    """
    low, middle, high = channels
    return [
        PatchConv2d(1, low, (4, 4)),  # (batch, 64, 8, 32)
        nn.ReLU(),
        PatchConv2d(low, middle, (4, 4)),  # (batch, 128, 2, 8)
        nn.ReLU(),
        PatchConv2d(middle, high, (2, 8)),  # (batch, 256, 1, 1)
        nn.ReLU(),
        nn.Flatten(),
    ]


def picture_deconvolutions(channels: Sequence[int]) -> list[nn.Module]:
    """`picture_convolutions` the other way round, without an activation at the end."""
    low, middle, high = channels
    return [
        nn.Unflatten(1, (high, 1, 1)),
        PatchDeconv2d(high, middle, (2, 8)),  # (batch, 128, 2, 8)
        nn.ReLU(),
        PatchDeconv2d(middle, low, (4, 4)),  # (batch, 64, 8, 32)
        nn.ReLU(),
        PatchDeconv2d(low, 1, (4, 4)),  # (batch, 1, 32, 128)
    ]
