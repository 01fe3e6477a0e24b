"""The memory of an attention layer that reads token by token."""

from __future__ import annotations

import torch
from torch import Tensor

from generators.products import large_zeros, weighted_sums


class KeyValueCache:
    """Keys and values of one attention layer, so that no token is projected twice.

    Places are filled from the left. They lie in tiles of as many places as a head is wide: keys (tiles,
    pieces, heads, width, places), values (tiles, pieces, heads, places, width). So all tiles that a query
    looks at are one stretch of memory, and both of its products add up weighted rows.
    """

    def __init__(self, n_pieces: int, n_heads: int, n_places: int, d_head: int, like: Tensor):
        self.n_places, self.width = n_places, d_head
        shape = (-(-n_places // d_head), n_pieces, n_heads, d_head, d_head)
        self.keys, self.values = large_zeros(shape, like), large_zeros(shape, like)

    def write(self, first: int, keys: Tensor, values: Tensor) -> None:
        """Fill the places from `first` on: (pieces, heads, tokens, width)."""
        places = torch.arange(first, first + keys.shape[2], device=keys.device)
        self.write_at(places, keys.permute(2, 0, 1, 3), values.permute(2, 0, 1, 3))

    def write_at(self, places: int | Tensor, keys: Tensor, values: Tensor) -> None:
        """Fill one place (pieces, heads, width), or those in a tensor (n,): (n, pieces, heads, width)."""
        tiles, within = places // self.width, places % self.width
        self.keys[tiles, :, :, :, within] = keys
        self.values[tiles, :, :, within] = values

    def read(self, first: int, stop: int) -> tuple[Tensor, Tensor]:
        """Copies of the keys and values at the places `first` to `stop`: (pieces, heads, tokens, width)."""
        tiles, seen = self._tiles(first, stop)
        keys = self.keys[tiles].permute(1, 2, 0, 4, 3).flatten(2, 3)
        values = self.values[tiles].permute(1, 2, 0, 3, 4).flatten(2, 3)
        return keys[:, :, seen], values[:, :, seen]

    def attend(self, queries: Tensor, first: int, stop: int, bias: Tensor | None = None) -> Tensor:
        """What one query of each head takes from the places `first` to `stop`.

        Parameters
        ----------
        queries : Tensor [shape=(pieces, heads, width)]
            Divided by the square root of the width already.
        bias : Tensor, optional
            Added to the scores (pieces * heads, places), as it stands or spread over its missing sizes.

        Returns
        -------
        mixed : Tensor [shape=(pieces, heads * width)]
        """
        tiles, seen = self._tiles(first, stop)
        keys, values = self.keys[tiles], self.values[tiles]
        n_tiles, n_pieces = keys.shape[:2]
        square = (-1, self.width, self.width)
        repeated = queries.expand(n_tiles, *queries.shape).reshape(-1, self.width)
        scores = weighted_sums(repeated, keys.view(square))  # (tiles * pieces * heads, places of a tile)
        scores = scores.view(n_tiles, -1, self.width).transpose(0, 1).flatten(1)  # (pieces * heads, places)
        if bias is not None:
            scores[:, seen] += bias
        scores[:, : seen.start] = -torch.inf
        scores[:, seen.stop :] = -torch.inf
        shares = scores.softmax(-1).view(-1, n_tiles, self.width).transpose(0, 1).reshape(-1, self.width)
        return weighted_sums(shares, values.view(square)).view(n_tiles, n_pieces, -1).sum(0)

    def keep_last(self, end: int, count: int) -> None:
        """Move the `count` tokens before place `end` to the front."""
        self.write(0, *self.read(end - count, end))

    def _tiles(self, first: int, stop: int) -> tuple[slice, slice]:
        """The tiles that hold the places `first` to `stop`, and where these are in those."""
        tiles = slice(first // self.width, -(-stop // self.width))
        before = tiles.start * self.width
        return tiles, slice(first - before, stop - before)
