"""Writing with the Music Transformer, beside a decoder that reads all it has written for every token.

Public ports recompute the full prefix for each token, one piece at a time. Here they do it with the same
weights and the same fused attention. Their time at a stated sample of lengths is added up over all lengths by
straight lines: all 512 would take minutes. Both ways read the same tokens, and their logits are compared
before anything is timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.measuring import Work, best_seconds
from generators.families.music_transformer import EXAMPLE, Config, MusicTransformer, Reader

N_TOKENS = 512
SAMPLED_LENGTHS = (1, 64, 192, 320, 448, 512)  # of the prefix
TOLERANCE = 1e-3  # logits are of the order of 1


@cache
def paper_model(device: str) -> MusicTransformer:
    """Six layers of width 512 with random weights, and room for so many tokens."""
    torch.manual_seed(0)
    return MusicTransformer(Config(context=N_TOKENS), EXAMPLE).to(device).eval()


@torch.no_grad()
def full_prefix(model: MusicTransformer, tokens: Tensor) -> Tensor:
    """Logits after the last token (pieces, vocabulary), from nothing but the tokens (pieces, time)."""
    return model(tokens)[:, -1]


@torch.no_grad()
def kept_keys(model: MusicTransformer, tokens: Tensor) -> Tensor:
    """Logits after each token, (pieces, time, vocabulary), read one after the other."""
    reader = Reader(model, len(tokens))
    return torch.stack([reader.read(tokens[:, index : index + 1]) for index in range(tokens.shape[1])], dim=1)


def integrated(lengths: tuple[int, ...], seconds: list[float]) -> float:
    """The sum over all lengths from the first to the last, by straight lines between those that are known."""
    total = seconds[0]
    known = zip(lengths, seconds, strict=True)
    for (short, low), (long, high) in itertools.pairwise(known):
        total += sum(low + (high - low) * (n - short) / (long - short) for n in range(short + 1, long + 1))
    return total


def writing(n_pieces: int, device: str) -> Callable[[], tuple[float, float]]:
    """Seconds per token and piece, of the full prefix with one piece and of ours with so many."""

    def measure() -> tuple[float, float]:
        model = paper_model(device)
        rng = torch.Generator().manual_seed(1)
        tokens = torch.randint(model.language.n_tokens, (n_pieces, N_TOKENS), generator=rng).to(device)
        short = tokens[:, :48]
        gap = (kept_keys(model, short)[:1, -1] - full_prefix(model, short[:1])).abs().max()
        if not gap < TOLERANCE:
            raise ArithmeticError(f"logits differ by {float(gap):.2g}")
        ways = [lambda n=n: full_prefix(model, tokens[:1, :n]) for n in SAMPLED_LENGTHS]
        prefix = best_seconds(*ways, repeats=2, device=device)
        (ours,) = best_seconds(lambda: kept_keys(model, tokens), repeats=1, device=device, warm_up=False)
        return integrated(SAMPLED_LENGTHS, prefix) / N_TOKENS, ours / N_TOKENS / n_pieces

    return measure


WORKS = [
    Work(
        name=f"music_transformer writing 512 tokens, {n_pieces} pieces" + (" on a GPU" * (device == "cuda")),
        unit="token",
        baseline=f"full prefix for every token, 1 piece, integrated over {len(SAMPLED_LENGTHS)} lengths",
        bar=bar,
        measure=writing(n_pieces, device),
        device=device,
        flop=25.4e6,
    )
    for n_pieces, bar, device in (
        (1, 10, "cpu"),
        (16, 50, "cpu"),
        (64, 100, "cpu"),
        (1, 4, "cuda"),
        (64, 100, "cuda"),
    )
]
