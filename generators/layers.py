"""Blocks that two or more families are built of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

#: Between heads in memory: a power of two from one to the next would crowd all of them into few cache lines.
SPARE_PLACES = 9


class KeyValueCache:
    """Keys and values of one attention layer, so that no token is projected twice.

    The memory is laid out once, (pieces, heads, places, width of a head); places are filled from the left.
    """

    def __init__(self, n_pieces: int, n_heads: int, n_places: int, d_head: int, like: Tensor):
        shape = (n_pieces, n_heads, n_places + SPARE_PLACES, d_head)
        self.keys, self.values = (large_zeros(shape, like)[:, :, :n_places] for _ in range(2))
        self._flat_keys, self._flat_values = self.keys.flatten(0, 1), self.values.flatten(0, 1)  # views

    @property
    def n_places(self) -> int:
        """How many tokens fit."""
        return self.keys.shape[2]

    def write(self, first: int, keys: Tensor, values: Tensor) -> None:
        """Fill the places from `first` on: (pieces, heads, tokens, width)."""
        last = first + keys.shape[2]
        self.keys[:, :, first:last] = keys
        self.values[:, :, first:last] = values

    def write_one(self, place: int | Tensor, keys: Tensor, values: Tensor) -> None:
        """Fill one place, a number or (1,) on the device: (pieces, heads, width)."""
        if isinstance(place, Tensor):
            self.keys.index_copy_(2, place, keys[:, :, None])
            self.values.index_copy_(2, place, values[:, :, None])
        else:
            self.keys.select(2, place).copy_(keys)
            self.values.select(2, place).copy_(values)

    def attend(self, queries: Tensor, first: int, stop: int, bias: Tensor | None = None) -> Tensor:
        """What one query of each head takes from the places `first` to `stop`.

        Two plain products: for a single query fused attention reads the memory at a fraction of its speed.

        Parameters
        ----------
        queries : Tensor [shape=(pieces, heads, width)]
            Divided by the square root of the width already.
        bias : Tensor, optional
            Added to the scores (pieces * heads, 1, places), as it stands or spread over its missing sizes.

        Returns
        -------
        mixed : Tensor [shape=(pieces, heads * width)]
        """
        queries = queries.reshape(-1, 1, queries.shape[-1])
        keys = self._flat_keys[:, first:stop].transpose(1, 2)  # (pieces * heads, width, places)
        scores = torch.bmm(queries, keys) if bias is None else torch.baddbmm(bias, queries, keys)
        mixed = torch.bmm(scores.softmax(-1), self._flat_values[:, first:stop])
        return mixed.view(len(self.keys), -1)

    def keep_last(self, end: int, count: int) -> None:
        """Move the `count` tokens before place `end` to the front."""
        self.keys[:, :, :count] = self.keys[:, :, end - count : end].clone()
        self.values[:, :, :count] = self.values[:, :, end - count : end].clone()


def large_zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros of the type and on the device of another tensor.

    On a CPU in memory of numpy, which asks the system for large pages: they are read a fifth faster.
    """
    if like.device.type == "cpu" and like.dtype == torch.float32:
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def large_copy(tensor: Tensor) -> Tensor:
    """A contiguous copy in such memory."""
    return large_zeros(tuple(tensor.shape), tensor).copy_(tensor)


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


def picture_convolutions(channels: Sequence[int]) -> list[nn.Module]:
    """Three convolutions of a picture of 32 steps: (batch, 1, 32, 128) to (batch, last of the channels).

    They are those of the autoencoders of Tham & Kim 2021, whose channels are 64, 128 and 256.
    """
    low, middle, high = channels
    return [
        nn.Conv2d(1, low, 4, stride=4),  # (batch, 64, 8, 32)
        nn.ReLU(),
        nn.Conv2d(low, middle, 4, stride=4),  # (batch, 128, 2, 8)
        nn.ReLU(),
        nn.Conv2d(middle, high, (2, 8), stride=(2, 8)),  # (batch, 256, 1, 1)
        nn.ReLU(),
        nn.Flatten(),
    ]


def picture_deconvolutions(channels: Sequence[int]) -> list[nn.Module]:
    """`picture_convolutions` the other way round, without an activation at the end."""
    low, middle, high = channels
    return [
        nn.Unflatten(1, (high, 1, 1)),
        nn.ConvTranspose2d(high, middle, (2, 8), stride=(2, 8)),  # (batch, 128, 2, 8)
        nn.ReLU(),
        nn.ConvTranspose2d(middle, low, 4, stride=4),  # (batch, 64, 8, 32)
        nn.ReLU(),
        nn.ConvTranspose2d(low, 1, 4, stride=4),  # (batch, 1, 32, 128)
    ]
