"""DeepHear: a deep belief net that remembers ragtime, and decodes random labels into music.

Felix Sun (2015), "DeepHear - Composing and harmonizing music with neural networks",
https://fephsun.github.io/2015/09/01/neural-music.html, code fephsun/neuralnetmusic. The training of each
layer is that of Hinton, Osindero & Teh (2006), "A fast learning algorithm for deep belief nets", Neural
Computation 18(7).

Differences from the original. Onsets and ends of notes move to the nearest sixteenth, and no note is shorter
than one; the original drops notes that start off the grid and rounds durations up. Windows come in a new
random order in each epoch and the last, smaller batch is used. Windows without any note are skipped, and a
piece no longer than a window gives one, padded with silence; the original has none of these. A label that
decodes to silence is drawn again. Notes are written as long as they sound; the original strikes every
sounding note again each quarter (`rearticulate`). Pieces longer than a window are windows of independent
labels, one after the other, struck anew where a window starts.

The fine-tuning of the code has a learning rate of 0.01 on a summed loss. On 558 windows of rags it leapt
out of its descent at some 80 of 250 wrong cells and never came back; at 0.003 it does not.

Reached with the preset "paper" on 558 of the 850 windows of ten rags of Joplin in the public domain, after 25
epochs of pretraining and 409 of fine-tuning: 15.5 wrong cells of a training window (the article has about
10), and 331 of a window of three other rags, of which silence gets 259 wrong. Of the cells of what 1,000
random labels decode to, 0.599 on average sound in the training window that has most of them (0.596 in the
article).

The original harmonises a melody of one window and no more, computes ten restarts and keeps the first. Here
all restarts of all windows descend together. The windows of a longer melody overlap (`harmony_hop`), and of
the labels reached in each, the chain is taken whose music holds the melody best and agrees best from one
window to the next. That chain descends once more as a whole; where windows overlap, their cells fade from one
into the other before the threshold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import report_each, report_part
from generators.errors import GeneratorError
from generators.family import Family, MusicModel, Optimizer, Patience, Request, Stage, report_nothing
from generators.representations.piano_roll import (
    LOWEST,
    N_CELLS,
    N_PITCHES,
    N_STEPS,
    STEPS_PER_BEAT,
    PianoRoll,
    flatten,
    roll_to_score,
    unflatten,
)
from music.melody import melody_of
from music.score import Note, Score, Track

ORIGINAL_BATCHES = 55  # of 10 windows in an epoch: a smaller corpus shall not lose patience sooner
MOST_DRAWS = 20  # labels tried for one window before its strongest cells are taken
MOST_WEIGHTS = 2**24  # gathered at once for the cells that melodies claim: 64 MB
WORK_OF_RESTARTS = 0.75  # the share of the descents by themselves; the rest is that of the chain
SILENCE = 1e9  # the cost of a window without harmony where another label has one


@dataclass(frozen=True)
class Config:
    """Settings of DeepHear; the defaults are the article's and its code's, but for these.

    `learning_rate` is below the code's, at which the descent fails; notes are not struck again
    (`rearticulate`); `harmony_restarts`, `harmony_choice` and `harmony_hop` make the most of restarts and
    hold longer melodies. The original is ``learning_rate=0.01``, ``rearticulate=True``,
    ``harmony_restarts=10``, ``harmony_choice="first"``, and ``harmony_hop=64`` for its one window.
    """

    layers: tuple[int, ...] = (1024, 256, 64, 16)  # hidden units; the last are the label, 64 in a revision
    max_windows: int | None = None  # train on so many windows, drawn by the seed; None: all
    batch_size: int = 10
    pretraining_epochs: int = 100  # of each layer
    pretraining_rate: float = 0.01  # the last revision has 0.05
    pretrain_top: bool = True  # the last revision leaves the weights of the label as they were drawn
    epochs: int = 1000  # of fine-tuning, at most
    learning_rate: float = 0.003  # of fine-tuning; the code has 0.01, and in one revision 0.001
    threshold: float = 0.5  # a cell sounds where its output is above; one revision has 0.3
    rearticulate: bool = False  # strike sounding notes again every quarter, as the original writes them
    harmony_mask: Literal["article", "code"] = "article"  # "code" also forbids all above the melody
    harmony_restarts: int = 64  # labels that set out in each window; the original has 10
    harmony_steps: int = 500
    harmony_rate: float = 0.01
    harmony_threshold: float = 0.4
    harmony_choice: Literal["best", "first"] = "best"  # of the restarts; the original takes the first
    harmony_hop: int = 16  # sixteenths from one window of a melody to the next; 64: side by side
    harmony_agreement: float = 1.0  # weight of the error between windows, beside that on the melody

    def __post_init__(self):
        if not self.layers or min(self.layers) < 1:
            raise ValueError(f"layers must be one or more whole numbers above 0, got {self.layers}")
        for name in ("batch_size", "harmony_restarts", "max_windows"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("pretraining_epochs", "epochs", "harmony_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("pretraining_rate", "learning_rate", "harmony_rate"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        for name in ("threshold", "harmony_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if not 1 <= self.harmony_hop <= N_STEPS:
            raise ValueError(f"harmony_hop must be 1 to {N_STEPS} sixteenths, got {self.harmony_hop}")
        if not 0 <= self.harmony_agreement <= 1000:
            raise ValueError(f"harmony_agreement must be 0 to 1000, got {self.harmony_agreement}")


class RBM(nn.Module):
    """A layer: a restricted Boltzmann machine that shares its weights with both directions of the net."""

    def __init__(self, n_visible: int, n_hidden: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_hidden, n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        bound = 4 * math.sqrt(6 / (n_visible + n_hidden))
        nn.init.uniform_(self.weight, -bound, bound)

    def up(self, visible: Tensor) -> Tensor:
        """Probabilities of the hidden units: (batch, visible) to (batch, hidden)."""
        return torch.sigmoid(F.linear(visible, self.weight, self.hidden_bias))

    def down(self, hidden: Tensor) -> Tensor:
        """Probabilities of the visible units: (batch, hidden) to (batch, visible)."""
        return torch.sigmoid(F.linear(hidden, self.weight.t(), self.visible_bias))

    def free_energy(self, visible: Tensor) -> Tensor:
        """Minus the log of the unnormalised probability: (batch, visible) to (batch,)."""
        hidden = F.softplus(F.linear(visible, self.weight, self.hidden_bias))
        return -visible @ self.visible_bias - hidden.sum(1)

    @torch.no_grad()
    def fantasy(self, visible: Tensor) -> Tensor:
        """One step of the Gibbs chain, with samples for hidden and visible units: (batch, visible)."""
        hidden = torch.bernoulli(self.up(visible).float())
        return torch.bernoulli(self.down(hidden).float())

    def contrastive_divergence(self, visible: Tensor) -> Tensor:
        """A loss whose gradient is that of CD-1."""
        return (self.free_energy(visible) - self.free_energy(self.fantasy(visible))).mean()


class DeepHear(MusicModel):
    """A stack of RBMs, unrolled into an autoencoder with tied weights and fine-tuned as one."""

    kind_of_layer = RBM

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.sounding_cells = float(learned["sounding_cells"])
        sizes = (N_CELLS, *config.layers)
        self.layers = nn.ModuleList(self.kind_of_layer(*pair) for pair in itertools.pairwise(sizes))

    def encode(self, cells: Tensor) -> Tensor:
        """Cells to labels: (batch, 5632) to (batch, label)."""
        for layer in self.layers:
            cells = layer.up(cells)
        return cells

    def decode(self, labels: Tensor) -> Tensor:
        """Labels to the strength of each cell: (batch, label) to (batch, 5632)."""
        for layer in reversed(self.layers):
            labels = layer.down(labels)
        return labels

    def stages(self) -> list[Stage]:
        """The RBMs one by one from the cells up, "layer_1" and on, then "fine_tuning" of them all."""
        config = self.config
        n_pretrained = len(self.layers) if config.pretrain_top else len(self.layers) - 1
        pretraining = [
            Stage(
                name=f"layer_{number}",
                epochs=config.pretraining_epochs,
                batch_size=config.batch_size,
                optimizers={f"layer_{number}": Optimizer("sgd", config.pretraining_rate)},
                share=0.4 / n_pretrained,
            )
            for number in range(1, n_pretrained + 1)
        ]
        fine_tuning = Stage(
            name="fine_tuning",
            epochs=config.epochs,
            batch_size=config.batch_size,
            optimizers={"model": Optimizer("sgd", config.learning_rate)},
            patience=Patience(epochs=4, updates=4 * ORIGINAL_BATCHES),
            share=0.6,
            summed=True,
        )
        return [*pretraining, fine_tuning]

    def parts(self) -> dict[str, nn.Module]:
        """Each layer by the name of its stage, and "model", which holds them all."""
        layers = {f"layer_{number}": layer for number, layer in enumerate(self.layers, start=1)}
        return {**layers, "model": self}

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """CD-1 of the stage's layer, averaged over windows; in fine-tuning the squared error, summed.

        The sum over cells and windows (batch, 64, 88) is the original's, and its learning rate goes with it.
        """
        cells = flatten(batch)  # (batch, 5632)
        if stage == "fine_tuning":
            yield "model", (self.decode(self.encode(cells)) - cells).square().sum()
            return
        layer, seen = self.pretrained(stage, cells)
        yield stage, layer.contrastive_divergence(seen)

    @torch.no_grad()
    def pretrained(self, stage: str, cells: Tensor) -> tuple[RBM, Tensor]:
        """The layer that a stage trains, and what it sees: (batch, 5632) to (batch, visible).

        That is the probabilities of the layer below it, not samples.
        """
        number = int(stage.removeprefix("layer_")) - 1
        for below in self.layers[:number]:
            cells = below.up(cells)
        return self.layers[number], cells

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per window: the squared error, wrong cells, those with the label rounded, and those of silence."""
        cells = flatten(batch)
        labels = self.encode(cells)
        output, rounded = self.decode(labels), self.decode(labels.round())
        threshold = self.config.threshold
        return {
            "loss": ((output - cells).square().sum(), len(cells)),
            "wrong_cells": (((output > threshold) != cells.bool()).sum(), len(cells)),
            "wrong_cells_rounded_label": (((rounded > threshold) != cells.bool()).sum(), len(cells)),
            "wrong_cells_of_silence": (cells.sum(), len(cells)),
        }

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Decode labels of random bits, a window at a time.

        A window that stays silent, or the last one where it leaves the last bar silent, gets another label;
        after `MOST_DRAWS` labels, as many of the strongest cells sound as do on average in training.
        """
        n_steps = request.steps(request.n_bars, steps_per_beat=STEPS_PER_BEAT)
        last_bar = (
            request.steps(request.n_bars - 1, steps_per_beat=STEPS_PER_BEAT) if request.n_bars > 1 else 0
        )
        n_windows = math.ceil(n_steps / N_STEPS)
        rolls = np.zeros((len(rngs), n_windows * N_STEPS, N_PITCHES), dtype=bool)
        window, draws = [0] * len(rngs), [0] * len(rngs)
        while min(window) < n_windows:
            labels = torch.stack([self._random_label(rng) for rng in rngs])
            strengths = unflatten(self.decode(labels.to(self.layers[0].weight.device)))  # (pieces, 64, 88)
            for piece, strength in enumerate(strengths.float().cpu().numpy()):
                if window[piece] == n_windows:
                    continue
                start = window[piece] * N_STEPS
                first = max(0, last_bar - start) if window[piece] == n_windows - 1 else 0
                must_sound = slice(first, n_steps - start)
                sounds = strength > self.config.threshold
                draws[piece] += 1
                if draws[piece] >= MOST_DRAWS and not sounds[must_sound].any():
                    sounds[must_sound] |= self._strongest(strength[must_sound])
                if sounds[must_sound].any():
                    rolls[piece, start : start + N_STEPS] = sounds
                    window[piece] += 1
                    draws[piece] = 0
            request.report(min(window) / n_windows)
        strike_every = STEPS_PER_BEAT if self.config.rearticulate else N_STEPS
        return [
            roll_to_score(roll[:n_steps], strike_every=strike_every, tempo=request.tempo, meter=request.meter)
            for roll in rolls
        ]

    def harmonize(
        self,
        melody: Score,
        rngs: Sequence[torch.Generator],
        report: Callable[[float], None] = report_nothing,
    ) -> list[Score]:
        """Find labels whose music holds the melody, by gradient descent on the labels.

        Notes of the melody beyond the 88 pitches stay in it and constrain nothing.

        Raises
        ------
        GeneratorError
            If no note of the melody is within the 88 pitches.
        """
        notes = melody_of(melody)
        line = melody.with_tracks([Track(tuple(notes))])
        roll = PianoRoll().encode(line, {}).astype(bool)
        if not roll.any():
            raise GeneratorError(
                f"the melody has no note from MIDI {LOWEST} to {LOWEST + N_PITCHES - 1}: nothing to harmonise"
            )
        return [
            self._accompany(melody, notes, self._harmony(roll, rng, report_part(report, number, len(rngs))))
            for number, rng in enumerate(rngs)
        ]

    def _accompany(self, melody: Score, notes: Sequence[Note], roll: np.ndarray) -> Score:
        """The notes of a melody, and as harmony what sounds (n_steps, 88), bool."""
        harmony = roll_to_score(
            roll,
            strike_every=STEPS_PER_BEAT if self.config.rearticulate else None,
            tempo=melody.tempos[0],
            meter=melody.meters[0],
        )
        scale = melody.ticks_per_beat / harmony.ticks_per_beat
        written = (
            Note(
                onset=round(note.onset * scale),
                pitch=note.pitch,
                duration=max(1, round(note.end * scale) - round(note.onset * scale)),
                velocity=max(1, note.velocity - 16),  # the melody stands out
            )
            for note in harmony.notes()
        )
        sung = max(
            (track for track in melody.tracks if not track.is_drum),
            key=lambda track: len(set(notes).intersection(track.notes)),
        )
        tracks = (Track(tuple(notes), sung.program, name="melody"), Track(tuple(written), name="harmony"))
        return melody.with_tracks(tracks)

    def _harmony(
        self,
        melody: np.ndarray,
        rng: torch.Generator,
        report: Callable[[float], None] = report_nothing,
    ) -> np.ndarray:
        """The harmony of a melody: (n_steps, 88) to (n_steps, 88), both bool; silent below the threshold."""
        config, n_steps = self.config, len(melody)
        starts = range(0, max(n_steps - N_STEPS, 0) + config.harmony_hop, config.harmony_hop)
        padded = np.zeros((starts[-1] + N_STEPS, N_PITCHES), dtype=bool)
        padded[:n_steps] = melody
        forbidden = harmony_mask(padded, config.harmony_mask)
        shape = len(starts), config.harmony_restarts, config.layers[-1]
        labels = torch.rand(shape, generator=rng).to(self.layers[0].weight.device)
        wanted, claimed = (
            torch.from_numpy(
                np.stack([cells[start : start + N_STEPS] for start in starts])
            )  # (windows, 64, 88)
            for cells in (padded, forbidden)
        )
        has_to_agree = len(starts) > 1 and config.harmony_hop < N_STEPS and config.harmony_agreement > 0
        first = WORK_OF_RESTARTS if has_to_agree else 1.0
        labels, errors = self._descend(
            labels, flatten(wanted), flatten(claimed).bool(), lambda share: report(first * share)
        )
        chosen = self._chain(labels, errors, ~claimed.numpy())  # (windows, label)
        if has_to_agree:
            chosen = self._agree(chosen, wanted, claimed, lambda share: report(first + (1 - first) * share))
        votes, weights = np.zeros(padded.shape), np.zeros((len(padded), 1))
        fade = np.minimum(np.arange(1, N_STEPS + 1), np.arange(N_STEPS, 0, -1))[:, None]
        for start, strength in zip(starts, self._strengths(chosen), strict=True):
            votes[start : start + N_STEPS] += fade * strength
            weights[start : start + N_STEPS] += fade
        strength = (votes / weights)[:n_steps]
        return (strength > config.harmony_threshold) & ~forbidden[:n_steps]

    def _descend(
        self,
        labels: Tensor,
        wanted: Tensor,
        claimed: Tensor,
        report: Callable[[float], None] = report_nothing,
    ) -> tuple[Tensor, Tensor]:
        """Labels after gradient descent, and their squared errors on the cells that melodies claim.

        (windows, restarts, label) to the same and (windows, restarts); `wanted` and `claimed` are of shape
        (windows, 5632). No window and no restart depends on another.
        """
        first = self.layers[0]
        most = int(claimed.sum(1).max())
        size = max(1, MOST_WEIGHTS // (first.weight.shape[0] * max(most, 1)))
        reached = []
        parts = list(zip(labels.split(size), wanted.split(size), claimed.split(size), strict=True))
        for number, (own, melody, mask) in enumerate(parts):
            # Only claimed cells are computed: those of each window first, up to the most that a window has.
            cells = mask.byte().argsort(dim=1, descending=True, stable=True)[:, :most]  # (windows, most)
            target, counts = (each.gather(1, cells)[:, None].to(own) for each in (melody, mask))
            cells = cells.to(own.device)
            weight = first.weight.detach()[:, cells].transpose(0, 1)  # (windows, hidden, most)
            bias = first.visible_bias.detach()[cells][:, None]  # (windows, 1, most)

            def errors(
                labels: Tensor, weight=weight, bias=bias, target=target, counts=counts
            ) -> Tensor:  # (windows, restarts, label) to (windows, restarts)
                for layer in reversed(self.layers[1:]):
                    labels = layer.down(labels)
                return ((torch.sigmoid(labels @ weight + bias) - target).square() * counts).sum(2)

            steps = range(self.config.harmony_steps)
            for _ in report_each(steps, len(steps), report_part(report, number, len(parts))):
                own = own.detach().requires_grad_(True)
                with torch.enable_grad():
                    (gradient,) = torch.autograd.grad(errors(own).sum(), own)
                own = own.detach() - self.config.harmony_rate * gradient
            with torch.no_grad():
                reached.append((own, errors(own)))
        return torch.cat([own for own, _ in reached]), torch.cat([error for _, error in reached])

    def _chain(self, labels: Tensor, errors: Tensor, allowed: np.ndarray) -> Tensor:
        """One label per window: (windows, restarts, label) and (windows, restarts) to (windows, label)."""
        if self.config.harmony_choice == "first":
            return labels[:, 0]
        hop, before = self.config.harmony_hop, None
        costs, disagreements = errors.double().cpu().numpy(), []
        for window, own in enumerate(labels):
            strengths = self._strengths(own)  # (restarts, 64, 88)
            sounds = (strengths > self.config.harmony_threshold) & allowed[window]
            costs[window] += SILENCE * ~sounds.any(axis=(1, 2))
            if before is not None:
                disagreements.append(
                    self.config.harmony_agreement * squared_distances(before, strengths, hop)
                )
            before = strengths
        return labels[torch.arange(len(labels)), torch.tensor(cheapest_chain(costs, disagreements))]

    def _agree(
        self, labels: Tensor, wanted: Tensor, claimed: Tensor, report: Callable[[float], None]
    ) -> Tensor:
        """Further descent of a chain of labels, on its own cost; a step that would climb is halved.

        (windows, label) to the same; `wanted` and `claimed` are of shape (windows, 64, 88). The cost is the
        error on the claimed cells and, weighted, that between neighbours on the steps that both hold.
        """
        config, rate = self.config, self.config.harmony_rate
        wanted, claimed = wanted.to(labels), claimed.to(labels)
        best, least, slope = labels, math.inf, torch.zeros_like(labels)
        steps = range(config.harmony_steps + 1)
        for _ in report_each(steps, len(steps), report):
            labels = (best - rate * slope).requires_grad_(True)
            with torch.enable_grad():
                strengths = unflatten(self.decode(labels))  # (windows, 64, 88)
                own = ((strengths - wanted).square() * claimed).sum()
                between = strengths[:-1, config.harmony_hop :] - strengths[1:, : -config.harmony_hop]
                cost = own + config.harmony_agreement * between.square().sum()
                (gradient,) = torch.autograd.grad(cost, labels)
            if cost.item() < least:
                best, least, slope = labels.detach(), cost.item(), gradient
            else:
                rate /= 2
        return best

    @torch.no_grad()
    def _strengths(self, labels: Tensor) -> np.ndarray:
        return unflatten(self.decode(labels)).float().cpu().numpy()

    def _random_label(self, rng: torch.Generator) -> Tensor:
        return torch.randint(0, 2, (self.config.layers[-1],), generator=rng).float()

    def _strongest(self, strength: np.ndarray) -> np.ndarray:
        """The strongest cells, as many as sound on average in training."""
        count = max(1, round(self.sounding_cells / N_CELLS * strength.size))
        return strength >= np.sort(strength, axis=None)[-count]


def harmony_mask(melody: np.ndarray, kind: Literal["article", "code"]) -> np.ndarray:
    """The cells that the melody claims: itself and two semitones around it; with "code" also all above it.

    (n_steps, 88) to (n_steps, 88), both bool. Steps without melody claim nothing.
    """
    mask = melody.copy()
    for distance in (1, 2):
        mask[:, distance:] |= melody[:, :-distance]
        mask[:, :-distance] |= melody[:, distance:]
    if kind == "code":
        highest = np.where(melody.any(1), N_PITCHES - 1 - melody[:, ::-1].argmax(1), N_PITCHES)
        mask |= np.arange(N_PITCHES) >= highest[:, None]
    return mask


def squared_distances(before: np.ndarray, after: np.ndarray, hop: int) -> np.ndarray:
    """How much each window differs from each one `hop` steps later, over the steps that both hold.

    (n, 64, 88) and (m, 64, 88) to (n, m): squared differences, summed over cells; 0 without common steps.
    """
    earlier = before[:, hop:].reshape(len(before), -1).astype(np.float64)
    later = after[:, : N_STEPS - hop].reshape(len(after), -1).astype(np.float64)
    squares = (earlier**2).sum(1)[:, None] + (later**2).sum(1)[None]
    return np.maximum(squares - 2 * earlier @ later.T, 0.0)


def cheapest_chain(costs: np.ndarray, transitions: Sequence[np.ndarray]) -> list[int]:
    """The choice in each place that makes the sum of costs and transitions least (Viterbi 1967).

    `costs` has the shape (places, choices); transition i (choices, choices) is the cost of going from a
    choice in place i to one in place i + 1. Of equal chains, that of the first choices.
    """
    total, origins = costs[0], []
    for cost, transition in zip(costs[1:], transitions, strict=True):
        ways = total[:, None] + transition  # (from, to)
        origins.append(ways.argmin(0))
        total = ways.min(0) + cost
    chain = [int(total.argmin())]
    for origin in reversed(origins):
        chain.append(int(origin[chain[-1]]))
    return chain[::-1]


PRESETS = {
    "paper": Config(),
    # Some 30 seconds of one CPU on 155 chorales. Bound: 100 wrong cells of a training window, where silence
    # has 248; 63 were reached. Held-out windows are worse than silence, here as in the paper preset.
    "tiny": Config(
        layers=(256, 64, 16), max_windows=200, pretraining_epochs=20, epochs=150, learning_rate=0.01
    ),
}
FAMILY = Family(
    title="DeepHear",
    citation="Sun 2015, DeepHear: Composing and harmonizing music with neural networks",
    config=Config,
    representation=lambda config: PianoRoll(max_windows=config.max_windows),
    model=DeepHear,
    presets=PRESETS,
    abilities=("generate", "harmonize"),
    natural_beats=N_STEPS // STEPS_PER_BEAT,
    pieces_at_once=64,
    example={"sounding_cells": 250.0},
)
