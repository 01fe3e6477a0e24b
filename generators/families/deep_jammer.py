"""Deep Jammer: the biaxial net in three sizes, and what becomes of it on another corpus.

Justin Svegliato & Sam Witty (2016), "Deep Jammer: A Music Generation Model", University of Massachusetts
Amherst, code justinsvegliato/deep-jammer (its Theano version; the authors advise against the Keras one). The
net is that of Johnson (2015), see `biaxial`.

Differences from `biaxial`: half the batch, half the updates, no dropout, and writing without conservativity.
The article speaks of 88 notes and 78 attributes; the code has 78 notes and 80 attributes, which is followed
(`n_notes=88, lowest=21` is the other). The learning rate of 0.01 in the article's table has no effect there,
since AdaDelta has none; here AdaDelta runs at 1. The differences of `biaxial` from its original hold here as
well. Transfer goes on from the weights of a model of another corpus: with `transfer="keep"` from all of them
(the report's extended training), with `transfer="reset_dense"` after drawing those of the output layer anew
(its fine-tuning); the report gives either 2,000 updates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from generators.families import biaxial
from generators.families.biaxial import BiaxialLSTM, note_states
from generators.family import Family


@dataclass(frozen=True)
class Config(biaxial.Config):
    """Settings of the net; the defaults are those of the large one."""

    dropout: float = field(default=0.0, metadata={"writes": True})
    batch_size: int = 5
    max_updates: int | None = 5000
    adaptive: bool = False
    transfer: Literal["keep", "reset_dense"] = "keep"  # what becomes of the output layer in transfer


class DeepJammer(BiaxialLSTM):
    """The biaxial net, with a choice of how it is carried over to another corpus."""

    config: Config

    @torch.no_grad()
    def transfer(self) -> None:
        """Keep all weights, or draw those of the output layer anew as they were drawn at first."""
        if self.config.transfer == "reset_dense":
            self.output.weight.copy_(torch.randn_like(self.output.weight) / self.n_attributes)
            self.output.bias.copy_(torch.randn_like(self.output.bias) / self.n_attributes)


LARGE = Config()
PRESETS = {
    "paper": LARGE,
    "large": LARGE,
    "medium": replace(LARGE, time_layers=(150, 150), note_layers=(50, 25)),
    "small": replace(LARGE, time_layers=(75, 75), note_layers=(25, 13)),
    # Less than a minute of one CPU on 150 chorales, after which a note and step of the validation pieces must
    # take less than 0.1 nats; 0.029 were measured after 45 seconds.
    "tiny": replace(
        LARGE,
        n_steps=32,
        scaled_position=True,
        time_layers=(75, 75),
        note_layers=(25, 13),
        initial_weights="glorot",
        optimizer="adam",
        learning_rate=4e-3,
        schedule="linear",
        batch_size=2,
        max_updates=700,
    ),
}
FAMILY = Family(
    title="Deep Jammer",
    citation="Svegliato & Witty 2016, Deep Jammer: A Music Generation Model",
    config=Config,
    representation=note_states,
    model=DeepJammer,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "transfer"),
    natural_beats=32,
    pieces_at_once=16,
    example={"openings": [], "polyphony": 3.0},
)
