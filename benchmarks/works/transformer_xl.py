"""Writing with the Transformer-XL, beside a memory of hidden states.

The original keeps what went into each layer for the last 512 tokens and projects all of it to keys and values
for every token, in all 16 layers, and the distances too. Both ways read the same tokens after the same full
memory, and their logits are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.measuring import Work, best_seconds
from generators.families.transformer_xl import Config, Reader, TransformerXL
from generators.representations.note_durations import N_TOKENS, places

N_NAIVE, N_OURS = 6, 24  # tokens that are timed, at a full memory: every token costs the same
TOLERANCE = 1e-3


@cache
def paper_model(device: str) -> TransformerXL:
    """Sixteen layers of width 512 with random weights."""
    torch.manual_seed(0)
    return TransformerXL(Config(), {}).to(device).eval()


@torch.no_grad()
def with_hidden_memory(model: TransformerXL, memory: list[Tensor], tokens: Tensor, steps: Tensor) -> Tensor:
    """Logits after the last token (pieces, vocabulary), token by token, from a memory of hidden states."""
    for index in range(tokens.shape[1]):
        now = slice(index, index + 1)
        logits, memory = model(tokens[:, now], memory, steps[:, now])
    return logits[:, -1]


@torch.no_grad()
def with_kept_keys(reader: Reader, tokens: Tensor, steps: Tensor) -> Tensor:
    """The same from a memory of keys and values."""
    for index in range(tokens.shape[1]):
        now = slice(index, index + 1)
        logits = reader.read(tokens[:, now], steps[:, now])
    return logits


def writing(n_pieces: int, device: str) -> Callable[[], tuple[float, float]]:
    """Seconds per token and piece, of hidden states with one piece and of ours with so many."""

    @torch.no_grad()
    def measure() -> tuple[float, float]:
        model = paper_model(device)
        n_memory = model.config.n_memory
        rng = torch.Generator().manual_seed(1)
        tokens = torch.randint(N_TOKENS, (n_pieces, n_memory + N_OURS), generator=rng).to(device)
        steps = places(tokens)
        before, after = slice(0, n_memory), slice(n_memory, None)
        _, memory = model(tokens[:1, before], None, steps[:1, before])
        reader = Reader(model, n_pieces)
        reader.read(tokens[:, before], steps[:, before])
        few = slice(n_memory, n_memory + 3)
        naive = with_hidden_memory(model, memory, tokens[:1, few], steps[:1, few])
        gap = (with_kept_keys(reader, tokens[:, few], steps[:, few])[:1] - naive).abs().max()
        if not gap < TOLERANCE:
            raise ArithmeticError(f"logits differ by {float(gap):.2g}")
        some = slice(n_memory, n_memory + N_NAIVE)
        baseline, ours = best_seconds(
            lambda: with_hidden_memory(model, memory, tokens[:1, some], steps[:1, some]),
            lambda: with_kept_keys(reader, tokens[:, after], steps[:, after]),
            repeats=2,
            device=device,
        )
        return baseline / N_NAIVE, ours / N_OURS / n_pieces

    return measure


WORKS = [
    Work(
        name=f"transformer_xl writing, {n_pieces} pieces" + (" on a GPU" * (device == "cuda")),
        unit="token",
        baseline="memory of hidden states, projected anew for every token, 1 piece",
        bar=bar,
        measure=writing(n_pieces, device),
        device=device,
        flop=109e6,
    )
    for n_pieces, bar, device in ((1, 6, "cpu"), (1, 6, "cuda"))
]
