"""Writing with the three sizes of Deep Jammer, beside the way of the original; see `biaxial`."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.measuring import Work
from benchmarks.works.biaxial import NAIVE, flop_per_step, measure_writing
from generators.families.deep_jammer import FAMILY, PRESETS, DeepJammer


def model_of(preset: str) -> DeepJammer:
    """A net of a size, with weights under which notes come and go."""
    torch.manual_seed(0)
    model = DeepJammer(replace(PRESETS[preset], initial_weights="uniform"), FAMILY.example)
    model.output.bias.data = torch.tensor([-3.0, 0.0])
    return model.eval()


def work_of(preset: str) -> Work:
    return Work(
        name=f"deep_jammer_{preset}_writing_64",
        unit="piece-step",
        baseline=NAIVE,
        bar=8.0,
        measure=lambda: measure_writing(model_of(preset), 64, 24),
        flop=flop_per_step(model_of(preset)),
    )


WORKS = [work_of(preset) for preset in ("large", "medium", "small")]
