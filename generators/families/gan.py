"""A GAN of five tracks: noise grows into bars, and a critic learns to tell them from real ones.

Eric Tham and Matthew Kim (2021), "Generating Music Using Deep Learning", report of a course project,
thamsuppp/MusicGenDL, after Yang, Chou & Yang (2017), "MidiNet", ISMIR (feature matching), and Heusel et al.
(2017), "GANs trained by a two time-scale update rule", NeurIPS (the learning rates).

The report has pictures of 5 tracks, 32 sixteenths and 128 pitches, six transposed convolutions and a
discriminator of six convolutions; it names no widths. Those here are inferred from a public copy of the lost
notebook, the preset "code": 64 sixteenths by 72 pitches, time doubled five times from 1 to 32 and the sixth
layer to bars of all pitches. Its discriminator goes the same way back in five convolutions; its last, linear
layer is what a sixth convolution over the two steps that are left would be.

In that copy the noise on the labels and both terms of feature matching are computed but reach no gradient, so
that the collapse it was published with is that of a plain DCGAN. Here they are real: labels are drawn from
0.9 to 1 and from 0 to 0.1, and the generator is drawn to the mean picture and to the mean features of a
batch, cell by cell with the squared distance and weights of MidiNet. The preset "code" goes without; its
`means="scalar"` would compare the means over all cells, as the copy does. The copy has one normalisation and
one activation for all layers of a net (`norm="shared"`); by default each layer has its own. Either way each
layer keeps its own running statistics, by which pieces are written: no piece hears the others of its batch.
The copy also holds two normalisations of 128 channels that nothing passes through (`unused_norms`).

Differences from both. Tracks that the corpus lacks stay silent. Longer pieces are windows of independent
noise, one after the other. A window, or a last bar, in which nothing would sound gets its strongest cells, as
many as sound on average.

Settings that neither has, for little time (the preset "tiny" has them). Logits start from how often each
pitch sounds (`start="marginals"`), not from even chances for all cells. `cut="count"` writes as many of the
strongest cells as a track's strengths add up to, or as are usual with it where that is a quarter of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import as_many_as_likely, as_normal, draw_uniforms, fill_silence, report_each
from generators.family import Family, MusicModel, Optimizer, Request, Stage
from generators.layers import PatchConv2d, PatchDeconv2d
from generators.representations.five_tracks import (
    N_MIDI_PITCHES,
    N_TRACKS,
    FiveTracks,
    five_tracks_to_score,
)
from music.score import Score

STEPS_PER_BEAT = 4  # a step is a sixteenth
N_DOUBLINGS = 5  # of time, from 1 step to 32
GROWN = 2**N_DOUBLINGS
N_PROBES = 64  # pictures that are drawn to measure a model
INITIAL_SD = 0.02  # of weights (Radford et al. 2016, DCGAN)
UNUSED_CHANNELS = 128


@dataclass(frozen=True)
class Config:
    """Settings of the two nets; the defaults are the report's, else those of the copy of its notebook."""

    n_steps: int = 32  # of a window; a multiple of 32
    lowest: int = 0  # the lowest pitch of the pictures
    n_pitches: int = 128
    n_noise: int = 100
    generator_channels: int = 64
    discriminator_channels: int = 16
    norm: Literal["separate", "shared"] = "separate"  # for each layer of a net, or one for all
    unused_norms: bool = False  # hold the copy's normalisations that nothing passes through
    dropout: float = 0.5  # of the discriminator
    audible: float = 0.2  # a cell counts where velocity / 127 is above
    max_windows: int | None = None  # train on so many windows, drawn by the seed; None: all
    batch_size: int = 64
    epochs: int = 1000
    max_updates: int | None = None
    generator_rate: float = 3e-4
    discriminator_rate: float = 6e-4
    beta_1: float = 0.0  # of Adam
    beta_2: float = 0.99
    label_noise: float = 0.1  # labels are up to so much below 1 and above 0
    means: Literal["vector", "scalar"] = "vector"  # what feature matching compares
    image_matching: float = 0.01  # weight of the distance of the mean pictures
    feature_matching: float = 0.1  # of the mean features of the first convolution
    start: Literal["even", "marginals"] = "even"  # all cells alike, or pitches as likely as in the corpus
    threshold: float = 0.7  # a cell sounds where its output is above
    cut: Literal["threshold", "count"] = "threshold"  # write the cells above it, or as many as are likely

    def __post_init__(self):
        if self.n_steps < GROWN or self.n_steps % GROWN:
            raise ValueError(f"n_steps must be a multiple of {GROWN}, got {self.n_steps}")
        if not (0 <= self.lowest <= 127 and 1 <= self.n_pitches <= 128 - self.lowest):
            raise ValueError(
                f"pitches must be within 0-127, got lowest {self.lowest} and n_pitches {self.n_pitches}"
            )
        sizes = ("n_noise", "generator_channels", "discriminator_channels")
        for name in (*sizes, "max_windows", "batch_size", "max_updates"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("epochs", "image_matching", "feature_matching"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("generator_rate", "discriminator_rate"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        for name in ("dropout", "audible", "beta_1", "beta_2", "label_noise", "threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")


class PictureWindows(FiveTracks):
    """Windows of five tracks, half a window apart."""

    def __init__(self, config: Config):
        super().__init__(
            steps_per_beat=STEPS_PER_BEAT,
            length=config.n_steps,
            hop=config.n_steps // 2,
            lowest=config.lowest,
            n_pitches=config.n_pitches,
            max_windows=config.max_windows,
        )

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The facts of `FiveTracks.learn`, and `pitch_shares`."""
        return {**super().learn(scores), "pitch_shares": self.pitch_shares(scores)}


class Norm(nn.Module):
    """Batch normalisation and a rectifier with a slope below zero, of every layer its own or one for all.

    Running means and variances are always those of a layer: a mix of all layers would describe none.
    """

    def __init__(self, n_channels: int, n_layers: int, kind: Literal["separate", "shared"]):
        super().__init__()
        n_own = n_layers if kind == "separate" else 1
        self.weights = nn.ParameterList(torch.empty(n_channels).normal_(1, INITIAL_SD) for _ in range(n_own))
        self.biases = nn.ParameterList(torch.zeros(n_channels) for _ in range(n_own))
        self.slopes = nn.ParameterList(torch.full((1,), 0.25) for _ in range(n_own))
        self.register_buffer("means", torch.zeros(n_layers, n_channels))
        self.register_buffer("variances", torch.ones(n_layers, n_channels))

    def forward(self, values: Tensor, layer: int) -> Tensor:
        """Normalise the output of a layer: (batch, channels, steps, 1) to the same."""
        own = layer % len(self.weights)
        values = F.batch_norm(
            values,
            self.means[layer],
            self.variances[layer],
            self.weights[own],
            self.biases[own],
            training=self.training,
        )
        return F.prelu(values, self.slopes[own])


class Generator(nn.Module):
    """Noise to pictures, by six transposed convolutions; `shares`: of steps in which each pitch sounds."""

    def __init__(self, config: Config, shares: Sequence[Sequence[float]]):
        super().__init__()
        wide, bar = config.generator_channels, config.n_steps // GROWN
        self.doublings = nn.ModuleList(
            PatchDeconv2d(wide if index else config.n_noise, wide, (2, 1)) for index in range(N_DOUBLINGS)
        )
        self.norm = Norm(wide, N_DOUBLINGS, config.norm)
        self.pitches = PatchDeconv2d(wide, N_TRACKS, (bar, config.n_pitches))
        self.unused = nn.BatchNorm1d(UNUSED_CHANNELS) if config.unused_norms else None
        self.log_odds = None
        if config.start == "marginals":
            self.log_odds = nn.Parameter(
                torch.logit(torch.tensor(shares))[:, None, : config.n_pitches]
            )  # (5, 1, pitches)
        _initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """Logits of the cells: (batch, noise) to (batch, 5, steps, pitches)."""
        grown = noise[:, :, None, None]  # (batch, 100, 1, 1)
        for layer, doubling in enumerate(self.doublings):
            grown = self.norm(doubling(grown), layer)  # (batch, 64, 2 ** (layer + 1), 1)
        logits = self.pitches(grown)
        return logits if self.log_odds is None else logits + self.log_odds


class Discriminator(nn.Module):
    """Pictures to the logit of being real."""

    def __init__(self, config: Config):
        super().__init__()
        narrow, bar = config.discriminator_channels, config.n_steps // GROWN
        self.pitches = PatchConv2d(N_TRACKS, narrow, (bar, config.n_pitches))
        self.halvings = nn.ModuleList(PatchConv2d(narrow, narrow, (2, 1)) for _ in range(N_DOUBLINGS - 1))
        self.norm = Norm(narrow, N_DOUBLINGS, config.norm)
        self.dropout = nn.Dropout(config.dropout)
        self.logit = nn.Linear(2 * narrow, 1)
        self.unused = nn.BatchNorm1d(UNUSED_CHANNELS) if config.unused_norms else None
        _initialise(self)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features: (batch, 5, steps, pitches) to (batch,) and (batch, 16, 32, 1)."""
        features = self.features(pictures)
        shrunk = self.norm(features, 0)
        for layer, halving in enumerate(self.halvings, start=1):
            shrunk = self.dropout(self.norm(halving(shrunk), layer))  # (batch, 16, 32 / 2 ** layer, 1)
        return self.logit(shrunk.flatten(1))[:, 0].float(), features.float()

    def features(self, pictures: Tensor) -> Tensor:
        """What the first convolution hears: (batch, 5, steps, pitches) to (batch, 16, 32, 1)."""
        return self.pitches(pictures)


class GAN(MusicModel):
    """The generator, and the discriminator that it learns from."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.cells_per_step = list(learned["cells_per_step"])
        self.velocities = list(learned["velocities"])
        self.generator = Generator(config, learned["pitch_shares"])
        self.discriminator = Discriminator(config)
        has_notes = torch.tensor([cells > 0 for cells in self.cells_per_step])
        self.register_buffer("has_notes", has_notes[:, None, None], persistent=False)  # (5, 1, 1)
        self.register_buffer("usual", torch.tensor(self.cells_per_step), persistent=False)  # (5,)
        probes = torch.randn(N_PROBES, config.n_noise, generator=torch.Generator().manual_seed(0))
        self.register_buffer("probes", probes, persistent=False)

    def stages(self) -> list[Stage]:
        """One stage, "game", in which the discriminator learns faster than the generator."""
        config = self.config
        options = {"betas": (config.beta_1, config.beta_2)}
        optimizers = {
            "discriminator": Optimizer("adam", config.discriminator_rate, options=options),
            "generator": Optimizer("adam", config.generator_rate, options=options),
        }
        return [Stage("game", config.epochs, config.batch_size, optimizers, config.max_updates)]

    def parts(self) -> dict[str, nn.Module]:
        """The two nets."""
        return {"discriminator": self.discriminator, "generator": self.generator}

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """The cross-entropy of each net, of the generator in its form that does not saturate.

        The discriminator's is the mean over real and written pictures; to the generator's come the two
        distances of feature matching, by the discriminator as it is after its own update.
        """
        real = self._pictures(batch)  # (batch, 5, steps, pitches)
        noise = torch.randn(len(real), self.config.n_noise, device=real.device)
        written = torch.sigmoid(self.generator(noise).float())
        on_real, _ = self.discriminator(real)
        on_written, _ = self.discriminator(written.detach())
        ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_real)
        true = ones - self.config.label_noise * torch.rand_like(ones)
        false = zeros + self.config.label_noise * torch.rand_like(ones)
        from_real = F.binary_cross_entropy_with_logits(on_real, true)
        yield "discriminator", (from_real + F.binary_cross_entropy_with_logits(on_written, false)) / 2
        on_written, imitated = self.discriminator(written)
        with torch.no_grad():
            features = self.discriminator.features(real).float()
        yield (
            "generator",
            F.binary_cross_entropy_with_logits(on_written, ones)
            + self.config.image_matching * self._distance(written, real)
            + self.config.feature_matching * self._distance(imitated, features),
        )

    def _distance(self, one: Tensor, other: Tensor) -> Tensor:
        """Squared distance of the means of two batches, cell by cell or of all cells: a scalar."""
        if self.config.means == "vector":
            return (one.mean(0) - other.mean(0)).square().sum()
        return (one.mean() - other.mean()).square()

    def _pictures(self, batch: Tensor) -> Tensor:
        """Velocities to 0 and 1: (batch, steps, 5, pitches) to (batch, 5, steps, pitches)."""
        return (batch > self.config.audible * 127).transpose(1, 2).float()

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """How near the model comes to windows, and how much its pictures are alike.

        "loss" is the squared error of a window and the nearest of `N_PROBES` pictures, which are the same at
        every measurement; "wrong_cells" counts its cells on the other side of the threshold,
        "wrong_cells_of_silence" those that sound. "collapse" is `mean_pairwise_jaccard` of the pictures.
        """
        real = self._pictures(batch).flatten(1)  # (batch, cells)
        written = torch.sigmoid(self.generator(self.probes).float()) * self.has_notes
        sounds = self._sounding(written)  # (probes, 5, steps, pitches)
        flat, marks = written.flatten(1), sounds.flatten(1).float()
        errors = flat.square().sum(1) + real.sum(1, keepdim=True) - 2 * real @ flat.t()  # (batch, probes)
        wrong = marks.sum(1) + real.sum(1, keepdim=True) - 2 * real @ marks.t()
        return {
            "loss": (errors.min(1).values.sum(), len(real)),
            "wrong_cells": (wrong.min(1).values.sum(), len(real)),
            "wrong_cells_of_silence": (real.sum(), len(real)),
            "collapse": (mean_pairwise_jaccard(sounds) * len(real), len(real)),
        }

    def _sounding(self, strengths: Tensor) -> Tensor:
        """Which cells are written: (pieces, 5, steps, pitches)."""
        if self.config.cut == "count":
            return as_many_as_likely(strengths, self.usual)
        return strengths > self.config.threshold

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Grow a window from noise after the other, all pieces side by side."""
        config = self.config
        bar = request.meter.beats_per_bar * STEPS_PER_BEAT  # steps, a fraction
        n_steps = math.ceil(request.n_bars * bar)
        last_bar = math.floor((request.n_bars - 1) * bar)
        n_windows = math.ceil(n_steps / config.n_steps)
        written = []
        for window in report_each(range(n_windows), n_windows, request.report):
            noise = as_normal(draw_uniforms(rngs, config.n_noise)).to(self.probes.device)
            strengths = torch.sigmoid(self.generator(noise).float()) * self.has_notes
            sounds = self._sounding(strengths)  # (pieces, 5, steps, pitches)
            start = window * config.n_steps
            stop = min(config.n_steps, n_steps - start)
            heard = [slice(0, stop)]
            if window == n_windows - 1:
                heard.append(slice(max(0, last_bar - start), stop))
            for steps in heard:
                n_cells = max(1, round(sum(self.cells_per_step) * (steps.stop - steps.start)))
                fill_silence(sounds, strengths, steps, n_cells)
            sounds &= self.has_notes
            written.append(sounds.transpose(1, 2).cpu())
        rolls = torch.cat(written, dim=1)[:, :n_steps].numpy()  # (pieces, steps, 5, pitches)
        return [
            five_tracks_to_score(
                roll,
                steps_per_beat=STEPS_PER_BEAT,
                request=request,
                lowest=config.lowest,
                velocities=self.velocities,
            )
            for roll in rolls
        ]


def mean_pairwise_jaccard(rolls: Tensor) -> Tensor:
    """How much pieces are alike: the cells that two share among those of either, averaged over all pairs.

    1 where all are the same, as are two silent ones; 0 where no two share a cell. This is the measure of mode
    collapse.

    Parameters
    ----------
    rolls : Tensor [shape=(n_pieces, ...), dtype=bool]
        2 pieces or more.
    """
    cells = rolls.flatten(1).float()
    shared = cells @ cells.t()  # (n_pieces, n_pieces)
    counts = cells.sum(1)
    either = counts[:, None] + counts - shared
    alike = torch.where(either > 0, shared / either.clamp(min=1), 1.0)
    n_pairs = len(cells) * (len(cells) - 1)
    return (alike.sum() - alike.diagonal().sum()) / n_pairs


def _initialise(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=INITIAL_SD)


PRESETS = {
    "paper": Config(),
    "code": Config(
        n_steps=64,
        lowest=24,
        n_pitches=72,
        norm="shared",
        unused_norms=True,
        label_noise=0.0,
        means="scalar",
        image_matching=0.0,
        feature_matching=0.0,
    ),
    # Some 40 seconds of one CPU: every track plays, in the right range and with as many cells as its music,
    # but windows are alike and rests are rare; a GAN that writes well needs far more.
    "tiny": Config(
        lowest=24,
        n_pitches=72,
        generator_channels=32,
        dropout=0.25,
        audible=0.0,
        batch_size=32,
        max_updates=2400,
        generator_rate=1e-3,
        discriminator_rate=1e-3,
        start="marginals",
        threshold=0.5,
        cut="count",
    ),
}
FAMILY = Family(
    title="Five-track GAN",
    citation="Tham & Kim 2021, Generating Music Using Deep Learning",
    config=Config,
    representation=PictureWindows,
    model=GAN,
    presets=PRESETS,
    abilities=("generate",),
    natural_beats=32,
    pieces_at_once=16,
    example={
        "cells_per_step": [1.0] * N_TRACKS,
        "velocities": [80] * N_TRACKS,
        "pitch_shares": [[0.01] * N_MIDI_PITCHES] * N_TRACKS,
    },
)
