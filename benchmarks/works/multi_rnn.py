"""Writing with the multi-instrument RNN, beside reading the 32 steps before again for every step of a piece.

The usual way is the report's: it forgets what is older than its window, which the carried state does not. For
the first step both read the same, so there the logits are compared.
"""

from __future__ import annotations

import torch

from benchmarks.measuring import Work, best_seconds
from generators.families.multi_rnn import FAMILY, PRESETS, MultiRNN

N_PIECES = FAMILY.pieces_at_once
N_STEPS = 16  # of a piece, timed


@torch.no_grad()
def measure_writing() -> tuple[float, float]:
    torch.manual_seed(0)
    model = MultiRNN(PRESETS["paper"], FAMILY.example).eval()
    n_context = model.config.n_context
    past = torch.rand(N_PIECES, n_context, 5, 128) < 0.02
    draws = torch.rand(N_STEPS, N_PIECES, 5, max(model.counts), dtype=torch.float64)

    def by_window() -> torch.Tensor:
        cells = past[:1]
        for step in range(N_STEPS):
            logits, _ = model(cells[:, -n_context:])
            drawn = model._draw(logits[:, -1].double(), draws[step, :1], 1.0)
            cells = torch.cat([cells, drawn[:, None]], dim=1)
        return cells

    def by_state() -> torch.Tensor:
        cells, state = past, None
        for step in range(N_STEPS):
            logits, state = model(cells, state)
            cells = model._draw(logits[:, -1].double(), draws[step], 1.0)[:, None]
        return cells

    if not torch.allclose(model(past[:1])[0][:, -1], model(past)[0][:1, -1], atol=1e-5):
        raise AssertionError("the two ways differ in their first step")
    usual, ours = best_seconds(by_window, by_state)
    return usual / N_STEPS, ours / (N_STEPS * N_PIECES)


WORKS = [
    Work(
        name="multi_rnn writing",
        unit="piece-step",
        baseline="one piece, 32 steps read again for each step",
        bar=15,
        measure=measure_writing,
    )
]
