"""A family for the tests of training: three stages that use what a stage can use, and quick to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from generators.decoding import draw_uniforms
from generators.family import EarlyStopping, Family, MusicModel, Optimizer, Stage
from music.score import TICKS_PER_BEAT, Note, Score, Track

OPTIONS = {"adadelta": {"rho": 0.9}, "rmsprop": {"alpha": 0.9}, "adamw": {"weight_decay": 0.1}}


@dataclass(frozen=True)
class Config:
    width: int = 6
    window: int = 8
    optimizer: Literal["sgd", "adam", "adamw", "adadelta", "rmsprop"] = "adam"
    schedule: Literal["constant", "linear", "one_cycle", "warmup_cosine"] = "constant"
    learning_rate: float = 0.01
    batch_size: int = 4
    epochs: int = 3
    evaluations: int = 0  # of early stopping; 0: none
    every: int = 3


class Pitches:
    padding = 0
    max_windows = None

    def __init__(self, config):
        self.length = config.window

    def learn(self, scores):
        return {"lowest": min(note.pitch for score in scores for note in score.notes())}

    def encode(self, score, learned):
        return np.array([note.pitch - learned["lowest"] + 1 for note in score.notes()], dtype=np.int16)

    def starts(self, steps):
        return list(range(0, len(steps), self.length))

    def describe(self):
        return "a note"


class Toy(MusicModel):
    def __init__(self, config, learned):
        super().__init__()
        self.config = config
        self.coder = nn.Linear(config.window, config.width)
        self.decoder = nn.Linear(config.width, config.window)
        self.reader = nn.Sequential(nn.Dropout(0.3), nn.Linear(config.width, 1))
        self.register_buffer("counted", torch.zeros(()))
        self.register_buffer("transfers", torch.zeros(()))

    def stages(self):
        config = self.config
        rule = Optimizer(
            config.optimizer,
            config.learning_rate,
            options=OPTIONS.get(config.optimizer, {}),
            schedule=config.schedule,
            max_tensor_norm=1.0,
        )
        early = EarlyStopping(config.evaluations, every=config.every) if config.evaluations else None
        rules = {"coder": rule, "decoder": Optimizer("sgd", 0.01)}
        return [
            Stage("coding", config.epochs, config.batch_size, rules, early_stopping=early),
            Stage("counting", 1, config.batch_size, {}),
            Stage("reading", config.epochs, config.batch_size, {"reader": rule}, precompute=True),
        ]

    def parts(self):
        return {"coder": self.coder, "decoder": self.decoder, "reader": self.reader}

    def _coding_loss(self, batch):
        pitches = batch.float() / 64
        return (self.decoder(F.dropout(self.coder(pitches), 0.2, self.training)) - pitches).square().mean()

    def losses(self, batch, stage):
        if stage == "counting":
            self.counted += len(batch)
        elif stage == "reading":
            assert batch.shape[1:] == (self.config.width,)
            yield "reader", (self.reader(batch) - batch.sum(1, keepdim=True)).square().mean()
        else:
            yield "coder", self._coding_loss(batch)
            yield "decoder", self._coding_loss(batch)

    def precompute(self, batch, stage):
        assert not self.training
        code = self.coder(batch.float() / 64)
        return code + 0.1 * torch.randn_like(code)

    def figures_of_stage(self, batch, stage):
        if stage == "reading":
            loss = (self.reader(batch) - batch.sum(1, keepdim=True)).square()
            return {"loss": (loss.sum(), loss.numel())}
        return self.figures(batch)

    def figures(self, batch):
        return {"loss": (self._coding_loss(batch) * len(batch), len(batch))}

    def transfer(self):
        self.transfers += 1
        nn.init.normal_(self.reader[1].weight)

    @torch.no_grad()
    def generate(self, rngs, request):
        if self.coder.weight.isnan().any():
            raise ArithmeticError("the weights are no numbers")
        shift = float(self.decoder.bias.abs().sum())
        pieces = []
        for draws in draw_uniforms(rngs, request.n_bars):
            pitches = (40 + 40 * ((draws + shift) % 1)).int().tolist()
            bar = int(request.meter.beats_per_bar * TICKS_PER_BEAT)
            notes = tuple(Note(index * bar, pitch, bar) for index, pitch in enumerate(pitches))
            pieces.append(Score((Track(notes),), TICKS_PER_BEAT, (request.tempo,), (request.meter,)))
        return pieces


FAMILY = Family(
    "Toy", "the tests", Config, Pitches, Toy, {"tiny": Config(), "paper": Config()}, ("generate", "transfer"),
    pieces_at_once=3, example={"lowest": 40},
)  # fmt: skip
