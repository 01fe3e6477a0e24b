"""Multi-instrument RNN: reads what five instruments play together and draws the next step of each.

Tham & Kim (2021), "Generating Music Using Deep Learning", section on the multi-instrument network, of which
no code is left. A step is a vector of 640 cells (5 instruments by 128 pitches, on or off); from the 32 steps
before it a recurrent net gives every instrument a softmax over its pitches, from which a fixed count of notes
is drawn. The report says that this sounds random; so it does, and `rests` and `sampling` are what helps.

The recurrent cell (GRU), its size (2 layers of 512), eighths as steps, the counts but for the 2 of the piano
and the 3 of the guitar, batches and the number of epochs are inferred.

Differences from the report, as far as it says. The target is the notes of an instrument, each with the same
share; the entropy of that target is taken off the cross-entropy, so that a perfect net has a loss of 0. An
instrument that is silent in a step teaches nothing there: the counts are drawn whatever happens, and a
softmax over pitches cannot say silence. With `rests` it has a class of its own, and where that is drawn
first, the instrument is silent. The notes of an instrument in a step are drawn without replacement.
`sampling="threshold"` lets every pitch sound by itself, with its probability times the count, unless that is
below `threshold`. `softmax="all"` is the earlier variant of the report, one softmax over all 640 cells. A
window has more than one step to predict (`n_predicted=1` is the report's), and writing carries the state on
instead of reading 32 steps again for each. Pieces start from 32 silent steps, in training too. Instruments
that the training pieces lack never play. Cells hold no onsets: a note that is drawn again is held, but drums
are struck again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import choose, draw_uniforms
from generators.errors import GeneratorError
from generators.family import EarlyStopping, Family, MusicModel, Optimizer, Request, Stage
from generators.representations.five_tracks import N_TRACKS, PADDING, TRACKS, FiveTracks, five_tracks_to_score
from generators.settings import check_temperature
from music.score import TICKS_PER_BEAT, Score

N_PITCHES = 128
N_CELLS = N_TRACKS * N_PITCHES  # 640
DRAWN_AT_ONCE = 64  # steps for which random numbers are drawn together
MOST_PRIME_STEPS = 1024
MOST = {  # what sizes may be set to; each is 1 at least
    "d_hidden": 16_384,
    "n_layers": 64,
    "n_context": 10_000,
    "n_predicted": 10_000,
    "batch_size": 10**6,
    "max_windows": 10**9,
    "max_updates": 10**9,
}


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are the report's, else inferred."""

    d_hidden: int = 512
    n_layers: int = 2
    softmax: Literal["instrument", "all"] = "instrument"
    rests: bool = False  # a class for silence
    steps_per_beat: int = 2  # 2 are eighths
    n_context: int = 32  # steps that are read before the first one is predicted
    n_predicted: int = 32  # steps of a window that are predicted
    max_windows: int | None = None  # train on so many windows, drawn by the seed; None: all
    batch_size: int = 64
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.0
    epochs: int = 50  # at most; the validation loss may end it before
    max_updates: int | None = None
    sampling: Literal["counts", "threshold"] = "counts"
    counts: tuple[int, ...] | None = (2, 3, 1, 2, 2)  # notes at once, by instrument; None: as in training
    threshold: float = 0.1  # pitches less likely than this never sound
    temperature: float = 1.0

    def __post_init__(self):
        for name, most in MOST.items():
            if getattr(self, name) is not None and not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be 1 to {most}, got {getattr(self, name)}")
        check_temperature(self.temperature)
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if self.steps_per_beat < 1 or TICKS_PER_BEAT % self.steps_per_beat:
            raise ValueError(f"steps_per_beat must divide {TICKS_PER_BEAT}, got {self.steps_per_beat}")
        if not 0 <= self.epochs <= 10**6:
            raise ValueError(f"epochs must be 0 to {10**6}, got {self.epochs}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be 0 to 1, got {self.threshold}")
        counts = self.counts
        if counts is not None and (
            len(counts) != N_TRACKS or not 0 <= min(counts) <= max(counts) <= N_PITCHES
        ):
            raise ValueError(f"counts must be {N_TRACKS} whole numbers of 0 to {N_PITCHES}, got {counts}")


def representation(config: Config) -> FiveTracks:
    """Five tracks after as much silence as the net reads before it predicts."""
    return FiveTracks(
        steps_per_beat=config.steps_per_beat,
        length=config.n_context + config.n_predicted,
        hop=config.n_predicted,
        max_windows=config.max_windows,
        n_before=config.n_context,
        padding=PADDING,
    )


class MultiRNN(MusicModel):
    """Recurrent layers over steps of 640 cells, and a softmax for each instrument."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.velocities = list(learned["velocities"])
        self.plays = [cells > 0 for cells in learned["cells_per_step"]]  # of each instrument
        self.counts = self._counts(learned["cells_at_once"])
        n_groups = N_TRACKS if config.softmax == "instrument" else 1
        self.n_classes = N_CELLS // n_groups + config.rests  # of a group; the last is silence
        self.rnn = nn.GRU(N_CELLS, config.d_hidden, config.n_layers, batch_first=True)
        self.readout = nn.Linear(config.d_hidden, n_groups * self.n_classes)

    def _counts(self, cells_at_once: Sequence[float]) -> list[int]:
        """Notes to draw in a step from each softmax."""
        counts = self.config.counts or tuple(max(1, round(cells)) for cells in cells_at_once)
        counts = [count if plays else 0 for count, plays in zip(counts, self.plays, strict=True)]
        if any(self.plays) and not any(counts):
            instruments = [name for name, plays in zip(TRACKS, self.plays, strict=True) if plays]
            raise GeneratorError(
                f"counts must give notes to an instrument of the corpus ({', '.join(instruments)}), "
                f"got {self.config.counts} for {', '.join(TRACKS)}"
            )
        return counts if self.config.softmax == "instrument" else [sum(counts)]

    def forward(self, cells: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Steps to logits of the next: (batch, time, 5, 128) to (batch, time, groups, classes).

        With them comes the state to go on from, (layers, batch, hidden); without one the net starts at zero.
        """
        vectors = cells.flatten(2).to(self.readout.weight.dtype)  # (batch, time, 640)
        hidden, state = self.rnn(vectors, state)  # (batch, time, hidden)
        return self.readout(hidden).unflatten(-1, (-1, self.n_classes)), state

    def stages(self) -> list[Stage]:
        """One stage, "steps", with Adam."""
        config = self.config
        rule = Optimizer("adam", config.learning_rate, max_grad_norm=config.max_grad_norm)
        return [
            Stage(
                name="steps",
                epochs=config.epochs,
                batch_size=config.batch_size,
                optimizers={"model": rule},
                max_updates=config.max_updates,
                early_stopping=EarlyStopping(),
            )
        ]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """One loss: the divergence in nats of each softmax of each predicted step, on average."""
        divergence, _, count = self._score(batch)
        yield "model", divergence / count.clamp(min=1)

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per softmax and step: the divergence, and the probability of all that really sounds."""
        divergence, probability, count = self._score(batch)
        return {"loss": (divergence, count), "probability": (probability, count)}

    def _score(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summed divergence in nats and probability of what sounds, and how often there was something to say.

        Windows have the shape (batch, context + predicted, 5, 128).
        """
        n_context = self.config.n_context
        cells = (batch > 0) & (batch != PADDING)
        hidden, _ = self.rnn(cells[:, :-1].flatten(2).to(self.readout.weight.dtype))
        logits = self.readout(hidden[:, n_context - 1 :])  # (batch, predicted, groups * classes)
        logs = logits.unflatten(-1, (-1, self.n_classes)).float().log_softmax(-1)
        targets = self._targets(cells[:, n_context:])  # (batch, predicted, groups, classes)
        lasts = (batch[:, n_context:, 0, 0] != PADDING)[..., None]  # (batch, predicted, 1)
        taught = targets.any(-1) & lasts & self._counts_of(batch.device).bool()  # (batch, predicted, groups)
        divergence = F.kl_div(logs, targets, reduction="none").sum(-1)
        probability = (logs.exp() * (targets > 0)).sum(-1)
        return (divergence * taught).sum(), (probability * taught).sum(), taught.sum()

    def _targets(self, cells: Tensor) -> Tensor:
        """What sounds as distributions: (batch, time, 5, 128) to (batch, time, groups, classes)."""
        sounds = cells.flatten(2).unflatten(-1, (-1, self.n_classes - self.config.rests)).float()
        if self.config.rests:
            sounds = torch.cat([sounds, 1 - sounds.amax(-1, keepdim=True)], dim=-1)
        return sounds / sounds.sum(-1, keepdim=True).clamp(min=1)

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw step after step, all pieces side by side, each with random numbers of its own.

        Where the last bar would stay silent, the likeliest pitch sounds at its end.

        Raises
        ------
        GeneratorError
            If the prime holds no note of an instrument that the training pieces have.
        """
        config = self.config
        beats_per_bar = request.meter.beats_per_bar
        n_steps = max(1, math.ceil(request.n_bars * beats_per_bar * config.steps_per_beat))
        last_bar = int((request.n_bars - 1) * beats_per_bar * config.steps_per_beat)
        temperature = config.temperature if request.temperature is None else request.temperature
        n_draws = max(self.counts) if config.sampling == "counts" else self.n_classes
        unheard = self._unheard()  # (groups, classes)
        cells = self._read_first(request.prime).expand(len(rngs), -1, -1, -1)  # (pieces, time, 5, 128)
        state, draws = None, torch.empty(0)
        rolls = np.zeros((len(rngs), n_steps, N_TRACKS, N_PITCHES), dtype=bool)
        for step in range(n_steps):
            if step % DRAWN_AT_ONCE == 0:
                draws = draw_uniforms(rngs, DRAWN_AT_ONCE, len(self.counts), n_draws).to(unheard.device)
            logits, state = self(cells, state)
            logits = logits[:, -1].double().masked_fill(unheard, -torch.inf)  # (pieces, groups, classes)
            cells = self._draw(logits, draws[:, step % DRAWN_AT_ONCE], temperature)  # (pieces, 5, 128)
            if step == n_steps - 1:
                silent = ~torch.from_numpy(rolls[:, last_bar:].any((1, 2, 3))).to(cells.device)
                cells |= self._likeliest(logits) & silent[:, None, None]
            rolls[:, step] = cells.cpu().numpy()
            cells = cells[:, None]
            request.report((step + 1) / n_steps)
        return [
            five_tracks_to_score(
                roll, steps_per_beat=config.steps_per_beat, request=request, velocities=self.velocities
            )
            for roll in rolls
        ]

    def _read_first(self, prime: Score | None) -> Tensor:
        """What the net reads before it writes: the end of a prime, or silence; (1, time, 5, 128), bool.

        Instruments that the training pieces lack are left out of a prime: the net never learned to hear them.
        """
        rolls = np.zeros((self.config.n_context, N_TRACKS, N_PITCHES), dtype=np.uint8)
        if prime is not None:
            rolls = representation(self.config).encode(prime, {})
        heard = (rolls > 0) & np.array(self.plays)[:, None]
        if prime is not None and not heard.any():
            names = " or ".join(name for name, plays in zip(TRACKS, self.plays, strict=True) if plays)
            raise GeneratorError(f"the prime has no notes of {names}, which is all that this model plays")
        return torch.from_numpy(heard[-MOST_PRIME_STEPS:]).to(self.readout.weight.device)[None]

    def _unheard(self) -> Tensor:
        """The classes that stand for instruments which the training pieces lack: (groups, classes).

        Those of a softmax of its own are not among them: nothing is drawn from it.
        """
        plays = torch.tensor(self.plays).repeat_interleave(N_PITCHES)  # (640,)
        unheard = torch.zeros(len(self.counts), self.n_classes, dtype=torch.bool)
        if self.config.softmax == "all":
            unheard[0, :N_CELLS] = ~plays
        return unheard.to(self.readout.weight.device)

    def _draw(self, logits: Tensor, draws: Tensor, temperature: float) -> Tensor:
        """What sounds next: (pieces, groups, classes) and (pieces, groups, n_draws) to (pieces, 5, 128)."""
        config = self.config
        counts = self._counts_of(logits.device)
        silent = (counts == 0).expand(logits.shape[:2])  # (pieces, groups)
        if config.sampling == "threshold":
            weights = softmax(logits, temperature)
            if config.rests:
                silent = silent | (draws[..., -1] < weights[..., -1])
                logits = logits[..., :-1]
                weights = softmax(logits, temperature)
            chances = (counts[:, None] * weights).clamp(max=1)  # (pieces, groups, pitches)
            sounds = (draws[..., : chances.shape[-1]] < chances) & (chances >= config.threshold)
            return self._in_tracks(sounds & ~silent[..., None])
        sounds = torch.zeros_like(logits, dtype=torch.bool)
        for number in range(max(self.counts)):
            chosen = choose(
                softmax(logits, temperature).flatten(0, 1), draws[..., number].flatten()[:, None]
            ).view(*logits.shape[:2], 1)  # (pieces, groups, 1)
            if config.rests and number == 0:
                silent = silent | (chosen[..., 0] == self.n_classes - 1)
                logits = logits.index_fill(
                    -1, torch.tensor([self.n_classes - 1], device=logits.device), -torch.inf
                )
            plays = ~silent & (counts > number)
            sounds.scatter_(-1, chosen, plays[..., None])
            logits = logits.scatter(-1, chosen, -torch.inf)
        return self._in_tracks(sounds[..., : self.n_classes - config.rests])

    def _likeliest(self, logits: Tensor) -> Tensor:
        """The one pitch of all instruments that a net thinks likeliest: as `_draw`."""
        counts = self._counts_of(logits.device)
        weights = softmax(logits, 1.0)[..., : self.n_classes - self.config.rests] * (counts > 0)[:, None]
        return self._in_tracks(F.one_hot(weights.flatten(1).argmax(1), N_CELLS).bool())

    def _counts_of(self, device: torch.device) -> Tensor:
        """The counts on a device: (groups,)."""
        return torch.tensor(self.counts, device=device)

    @staticmethod
    def _in_tracks(sounds: Tensor) -> Tensor:
        """Cells by group as cells by instrument: (pieces, ...) to (pieces, 5, 128)."""
        return sounds.flatten(1).unflatten(1, (N_TRACKS, N_PITCHES))


def softmax(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature; however low it is, the likeliest class stays a number."""
    return ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)


PRESETS = {
    "paper": Config(),
    # Some 35 seconds of one CPU on 150 chorales; held-out loss below 0.7, of which the mere shares of the
    # pitches have 1.0.
    "tiny": Config(
        d_hidden=192,
        n_layers=1,
        rests=True,
        n_predicted=64,
        batch_size=16,
        learning_rate=4e-3,
        epochs=24,
        max_updates=500,
        counts=None,
        temperature=0.8,
    ),
}
FAMILY = Family(
    title="Multi-instrument RNN",
    citation="Tham & Kim 2021, Generating Music Using Deep Learning",
    config=Config,
    representation=representation,
    model=MultiRNN,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature"),
    natural_beats=64,
    pieces_at_once=16,
    drums=True,
    example={"cells_per_step": [1.0] * 5, "cells_at_once": [1.0] * 5, "velocities": [80] * 5},
)
