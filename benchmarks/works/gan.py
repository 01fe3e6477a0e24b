"""Writing with the GAN, beside one window per call; both ways get the same noise and write the same cells."""

from __future__ import annotations

import torch

from benchmarks.measuring import Work, best_seconds
from generators.families.gan import FAMILY, GAN, PRESETS

N_WINDOWS = FAMILY.pieces_at_once


@torch.no_grad()
def measure_writing() -> tuple[float, float]:
    torch.manual_seed(0)
    model = GAN(PRESETS["paper"], FAMILY.example).eval()
    noise = torch.randn(N_WINDOWS, model.config.n_noise)
    threshold = model.generator(noise).median()

    def one_by_one() -> torch.Tensor:
        return torch.cat([model.generator(row[None]) for row in noise])

    def at_once() -> torch.Tensor:
        return model.generator(noise)

    single, batched = one_by_one(), at_once()
    differs = (single > threshold) != (batched > threshold)
    if differs.any() and (batched - threshold).abs()[differs].max() > 1e-5:
        raise AssertionError("the two ways write different cells")
    usual, ours = best_seconds(
        lambda: [one_by_one() for _ in range(10)], lambda: [at_once() for _ in range(10)]
    )
    return usual / (10 * N_WINDOWS), ours / (10 * N_WINDOWS)


WORKS = [
    Work(
        name="gan writing",
        unit="window",
        baseline="one window per call",
        bar=1.1,
        measure=measure_writing,
    )
]
