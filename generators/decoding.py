"""Sampling rules that families share.

Every random choice is a function of uniform numbers that are drawn beforehand, per piece, from the generator
of that piece. So a naive, a batched and a compiled sampler, given the same numbers, write the same notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from generators.errors import GeneratorError

Each = TypeVar("Each")

LEAST_OF_USUAL = 0.25  # of its usual cells, for a track to play


def draw_uniforms(rngs: Sequence[torch.Generator], *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) for each piece: (n_pieces, *shape), float64 on the CPU.

    Those of a piece depend on its own generator alone.
    """
    return torch.stack([torch.rand(shape, generator=rng, dtype=torch.float64) for rng in rngs])


def check_logits(logits: Tensor) -> None:
    """Refuse what no choice can be drawn from: writing by it might never end.

    Raises
    ------
    GeneratorError
        If any of the logits is no finite number.
    """
    if not logits.isfinite().all():
        raise GeneratorError(
            "the model foretells numbers that are not finite: its weights are broken; train it again, with a "
            "smaller learning_rate, or go on from an earlier checkpoint"
        )


def as_normal(draws: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), float64, as standard normal ones, float32."""
    return torch.special.ndtri(draws.clamp(min=2.0**-54)).float()  # half the step of the uniform numbers


def choose(weights: Tensor, draws: Tensor) -> Tensor:
    """Draw from rows of weights by uniform numbers: (n, k) and (n, m) in [0, 1) to (n, m) in 0..k - 1."""
    edges = weights.cumsum(-1).contiguous()
    total = edges[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # a product that rounds up to the total is within
    places = torch.minimum(draws * total, below).contiguous()
    return torch.searchsorted(edges, places, right=True).clamp(max=weights.shape[-1] - 1)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (..., n) with all but the k largest of each row at minus infinity; ties with the k-th stay."""
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits (..., n) with all but the nucleus at minus infinity (Holtzman et al. 2020).

    The nucleus is the smallest set of likeliest choices whose probabilities add up to at least `p`; the
    likeliest is always in it.
    """
    ordered, places = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(-1)
    beyond = probabilities.cumsum(-1) - probabilities >= p
    beyond[..., 0] = False
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, places, beyond), -torch.inf)


def fill_silence(sounds: Tensor, strengths: Tensor, steps: slice, n_cells: int) -> None:
    """Where no cell of a piece sounds in these steps, let the `n_cells` strongest of any track do.

    In place; `sounds`, bool, and `strengths` have the shape (pieces, tracks, steps, pitches).
    """
    for piece in (~sounds[:, :, steps].flatten(1).any(1)).nonzero().flatten().tolist():
        strength = strengths[piece, :, steps]  # (tracks, steps, pitches)
        chosen = torch.zeros(strength.numel(), dtype=torch.bool, device=strength.device)
        chosen[strength.flatten().topk(min(n_cells, strength.numel())).indices] = True
        sounds[piece, :, steps] = chosen.view_as(strength)


def report_part(report: Callable[[float], None], number: int, count: int) -> Callable[[float], None]:
    """To tell how much is done of one of `count` equal parts, from 0, in terms of the whole."""
    return lambda share: report((number + share) / count)


def as_many_as_likely(chances: Tensor, usual: Tensor) -> Tensor:
    """The strongest cells of each track, as many as its chances add up to; ties all sound.

    Chances of what is hardly known are spread thin, and add up to less than music has. So a track that has
    at least a `LEAST_OF_USUAL` of the usual number of cells gets the usual number.

    Parameters
    ----------
    chances : Tensor [shape=(pieces, tracks, steps, pitches)]
        How likely each cell sounds, 0 to 1.
    usual : Tensor [shape=(tracks,)]
        Cells of each track that sound in a step, on average.

    Returns
    -------
    sounds : Tensor [shape of `chances`, dtype=bool]
    """
    flat = chances.flatten(2)
    likely, usual = flat.sum(2), usual * chances.shape[2]  # (pieces, tracks) and (tracks,)
    counts = torch.where(likely >= LEAST_OF_USUAL * usual, likely.maximum(usual), likely).round().long()
    ordered = flat.sort(2, descending=True).values
    least = ordered.gather(2, (counts - 1).clamp(min=0)[..., None])
    return ((flat >= least) & (counts > 0)[..., None]).view_as(chances)


def report_each(items: Iterable[Each], count: int, report: Callable[[float], None]) -> Iterator[Each]:
    """The first `count` items, and with each the share of them that went before to `report`."""
    for number, each in enumerate(islice(items, count)):
        report(number / count)
        yield each
