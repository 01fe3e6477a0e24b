"""DeepHear, inverted: a net from labels to music, without a way back.

Felix Sun (2015), "DeepHear - Composing and harmonizing music with neural networks",
https://fephsun.github.io/2015/09/01/neural-music.html, section on labels drawn at random; the last revision
of the code, fephsun/neuralnetmusic. Each window of the corpus is given a label of 64 random bits, and the
decoder alone learns to turn labels into windows. Pretraining is that of `deephear`, but for the weights of
the label, which stay as they were drawn. The author's nets with labels of 16 bits (``layers=1024,256,16``)
did not converge well.

Differences from the original, besides those of `deephear`. A bit of the label is the parity of a random half
of the window's cells, so a window needs no number to be known by and equal windows have one label; the
original draws a label for each window. Labels of different windows differ in each bit with probability 1/2,
as drawn ones do. A window that training has not seen has such a label too, but nothing taught the net what it
means: its error is that of music at random.

The hidden biases of the pretraining are no part of the net: they are buffers, which learn by the rule of
contrastive divergence at the rate of the pretraining.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from generators.families import deephear
from generators.families.deephear import RBM, DeepHear
from generators.family import Family
from generators.representations.piano_roll import N_CELLS, N_STEPS, STEPS_PER_BEAT, PianoRoll, flatten


@dataclass(frozen=True)
class Config(deephear.Config):
    """Settings as those of `deephear`; layers and pretraining are those of the last revision of its code.

    That revision has a `learning_rate` of 0.01; the 0.003 here is that of `deephear`, at which the net with
    a way back does not leap out of its descent. This one learns at both, faster at 0.01. Of harmony and of
    striking notes again, `deephear.Config` tells what differs.
    """

    layers: tuple[int, ...] = (1024, 256, 64)  # hidden units; the last are the label
    pretraining_rate: float = 0.05
    pretrain_top: bool = False


class Layer(RBM):
    """A layer of the decoder: in pretraining an RBM, whose hidden bias is not needed later."""

    def __init__(self, n_visible: int, n_hidden: int):
        super().__init__(n_visible, n_hidden)
        del self.hidden_bias
        self.register_buffer("hidden_bias", torch.zeros(n_hidden))

    def learn_hidden_bias(self, visible: Tensor, fantasy: Tensor, rate: float) -> None:
        """One step of CD-1 for the hidden bias: (batch, visible) twice."""
        with torch.no_grad():
            self.hidden_bias += rate * (self.up(visible) - self.up(fantasy)).float().mean(0)


class InvertedDeepHear(DeepHear):
    """The decoder of a stack of RBMs, and the rule that gives each window its label."""

    kind_of_layer = Layer

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__(config, learned)
        halves = torch.randint(0, 2, (N_CELLS, config.layers[-1]), dtype=torch.uint8)
        self.register_buffer("halves", halves)  # the cells that each bit of a label looks at

    def label(self, cells: Tensor) -> Tensor:
        """The label of each window: (batch, 5632) of 0 and 1 to (batch, label) of 0 and 1."""
        counts = cells.double() @ self.halves.double()  # whole numbers, exact in any precision of training
        return (counts % 2).float()

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """CD-1 of the stage's layer, averaged over windows; then the squared error, summed.

        The sum over cells and windows (batch, 64, 88) is the original's, and its learning rate goes with it.
        """
        cells = flatten(batch)  # (batch, 5632)
        if stage == "fine_tuning":
            yield "model", (self.decode(self.label(cells)) - cells).square().sum()
            return
        layer, seen = self.pretrained(stage, cells)
        fantasy = layer.fantasy(seen)
        loss = (layer.free_energy(seen) - layer.free_energy(fantasy)).mean()
        layer.learn_hidden_bias(seen, fantasy, self.config.pretraining_rate)
        yield stage, loss

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per window: the squared error, wrong cells, and those of silence."""
        cells = flatten(batch)
        output = self.decode(self.label(cells))
        return {
            "loss": ((output - cells).square().sum(), len(cells)),
            "wrong_cells": (((output > self.config.threshold) != cells.bool()).sum(), len(cells)),
            "wrong_cells_of_silence": (cells.sum(), len(cells)),
        }


PRESETS = {
    "paper": Config(),
    # Some 30 seconds of one CPU on 155 chorales. Bound: 20 wrong cells of a training window, where silence
    # has 248; 5 were reached.
    "tiny": Config(layers=(256, 64), max_windows=200, pretraining_epochs=20, epochs=150, learning_rate=0.01),
}
FAMILY = Family(
    title="DeepHear, inverted",
    citation="Sun 2015, DeepHear: Composing and harmonizing music with neural networks",
    config=Config,
    representation=lambda config: PianoRoll(max_windows=config.max_windows),
    model=InvertedDeepHear,
    presets=PRESETS,
    abilities=("generate", "harmonize"),
    natural_beats=N_STEPS // STEPS_PER_BEAT,
    pieces_at_once=64,
    example={"sounding_cells": 250.0},
)
