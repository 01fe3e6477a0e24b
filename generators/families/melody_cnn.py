"""Melody CNN: a convolutional net from four bars of the piano to the next four, and one for each companion.

Tham & Kim (2021), "Generating Music Using Deep Learning", section on the MelodyCNN and the Conditional
HarmonyCNN, of which a figure is left and no code. Four bars of eighths of one instrument are a picture of 32
steps by 128 pitches. MelodyCNN makes the picture of the piano at t + 1 from that at t, by three convolutions,
three dense layers and three transposed convolutions; four HarmonyCNNs make those of guitar, bass, strings and
drums from the piano at t + 1 and their own at t, each seen by three convolutions of its own. The report says
that whatever the start, the music soon became nearly the same; the figure "likeness" shows how far this has
gone, and `noise_sd` is what helps.

The widths, the loss and its optimiser are inferred: they are those of the autoencoders of the same authors
(squared error of velocities from 0 to 1, Adam). So is what happens to the output: cells above the threshold
sound, all others are silent, and they go on with the mean velocity of their instrument in training.

Differences from the report. The steps after the end of a piece teach nothing. A model has only the
instruments of its corpus; where the piano has less than a tenth of its notes, the pitched instrument with
most leads in its place. Without a prime a piece goes on from the first four bars of one of `N_OPENINGS`
training pieces, which are not a part of it and which its generator draws; it starts at a bar line, whatever
the meter. Four bars, or a last bar, in which nothing would sound get the strongest cells, as many as sound on
average. `noise_sd` is the size of random numbers, of which the report
has none: each number of the vector after the last dense layer grows or shrinks by its own, as a share of it.
The weights start as He et al. (2015) say, or the networks take long to tell pictures apart.

Settings that the report lacks, for little time and few pieces (the preset "tiny" has them all). Cells are on
or off (`likelihood="bernoulli"`), and networks start from how often each pitch sounds. `transpose` moves
windows by chance. `cut="count"` writes as many of the strongest cells as an instrument's strengths add up to,
or as are usual with it where that is a quarter of the usual: of what may follow networks foresee a mean, in
which few cells pass any threshold. What follows is not much told by what went before: held-out pieces of
bands gain a little over silence, chorales nothing. Training ends with its epochs alone.
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

from generators.decoding import as_many_as_likely, as_normal, draw_uniforms, fill_silence, report_each
from generators.errors import GeneratorError
from generators.family import Family, MusicModel, Optimizer, Request, Stage
from generators.layers import (
    initialise_for_rectifiers,
    move_pitches,
    picture_convolutions,
    picture_deconvolutions,
)
from generators.representations.five_tracks import (
    DRUMS,
    N_TRACKS,
    PADDING,
    TRACKS,
    FiveTracks,
    five_tracks_to_score,
    pack,
    unpack,
)
from music.score import Score

STEPS_PER_BEAT = 2  # a step is an eighth
N_STEPS, N_PITCHES = 32, 128  # of a picture: four bars of 4/4
FULL = 127.0  # the velocity that is 1
N_OPENINGS = 64
LEAST_SHARE = 0.1  # of all cells, for the piano to lead
MOST_WIDTH = 4096
NO_SHARES = (0.5,) * N_PITCHES


@dataclass(frozen=True)
class Config:
    """Settings of the five networks; the defaults are the inferred ones."""

    channels: tuple[int, ...] = (64, 128, 256)  # of the convolutions, the last of the dense layers too
    max_windows: int | None = None  # train on so many pairs of pictures, drawn by the seed; None: all
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"  # of velocities, or of cells to be on or off
    transpose: int = 0  # move windows by up to so many semitones, drawn anew each time; drums stay
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: Literal["constant", "linear"] = "constant"  # linear: to 0 over the second half
    epochs: int = 100
    max_updates: int | None = None
    max_updates_in_all: int | None = None  # of all networks together, shared evenly
    threshold: float = 0.3  # a cell sounds where its output is above
    cut: Literal["threshold", "count"] = "threshold"  # write the cells above it, or as many as are likely
    noise_sd: float = 0.0

    def __post_init__(self):
        if len(self.channels) != 3 or not 1 <= min(self.channels) <= max(self.channels) <= MOST_WIDTH:
            raise ValueError(
                f"channels must be three whole numbers of 1 to {MOST_WIDTH}, got {self.channels}"
            )
        for name in ("max_windows", "batch_size", "max_updates", "max_updates_in_all"):
            if getattr(self, name) is not None and not 1 <= getattr(self, name) <= 10**9:
                raise ValueError(f"{name} must be 1 to {10**9}, got {getattr(self, name)}")
        if not 0 < self.learning_rate <= 1000:
            raise ValueError(f"learning_rate must be above 0 and at most 1000, got {self.learning_rate}")
        if not 0 <= self.transpose <= N_PITCHES // 2:
            raise ValueError(f"transpose must be 0 to {N_PITCHES // 2}, got {self.transpose}")
        if not 0 <= self.epochs <= 10**6:
            raise ValueError(f"epochs must be 0 to {10**6}, got {self.epochs}")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be at least 0 and below 1, got {self.threshold}")
        if not 0 <= self.noise_sd <= 1000:
            raise ValueError(f"noise_sd must be 0 to 1000, got {self.noise_sd}")


class PicturePairs(FiveTracks):
    """Two pictures in a row, a picture further from window to window."""

    def __init__(self, config: Config):
        super().__init__(
            steps_per_beat=STEPS_PER_BEAT,
            length=2 * N_STEPS,
            hop=N_STEPS,
            n_pitches=N_PITCHES,
            max_windows=config.max_windows,
            padding=PADDING,
        )

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The facts of `FiveTracks.learn`, `pitch_shares`, and first pictures of some pieces."""
        return {
            **super().learn(scores),
            "pitch_shares": self.pitch_shares(scores),
            "openings": self.openings(scores, N_STEPS, at_most=N_OPENINGS),
        }

    def starts(self, rolls: np.ndarray) -> list[int]:
        """Those of `FiveTracks.starts`; none where the piece is over with its first picture."""
        return super().starts(rolls) if len(rolls) > N_STEPS else []

    def describe(self) -> str:
        """What follows the first picture is the least there is to learn."""
        return f"{super().describe()}, of a piece with a note after its fourth bar ({N_STEPS} eighths)"


class Encoder(nn.Sequential):
    """Three convolutions, (batch, 1, 32, 128) to (batch, 256)."""

    def __init__(self, config: Config):
        super().__init__(*picture_convolutions(config.channels))


class Decoder(nn.Sequential):
    """Three transposed convolutions, (batch, 256) to (batch, 1, 32, 128); no activation at the output."""

    def __init__(self, config: Config):
        super().__init__(*picture_deconvolutions(config.channels))


class NextPicture(nn.Module):
    """The picture at t + 1 of one instrument, from one picture (MelodyCNN) or two (HarmonyCNN).

    With a Bernoulli likelihood it starts from the `shares` of steps in which pitches sound.
    """

    def __init__(self, config: Config, n_pictures: int, shares: Sequence[float]):
        super().__init__()
        width = config.channels[-1]
        self.encoders = nn.ModuleList(Encoder(config) for _ in range(n_pictures))
        self.dense = nn.Sequential(
            nn.Linear(n_pictures * width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.decoder = Decoder(config)
        self.is_bernoulli = config.likelihood == "bernoulli"
        if self.is_bernoulli:
            self.log_odds = nn.Parameter(torch.logit(torch.tensor(shares)))  # (128,)

    def forward(self, *pictures: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        """Pictures (batch, 32, 128) and noise (batch, 256) to the strengths of the next: (batch, 32, 128)."""
        decoded = self._decoded(pictures, noise)
        return decoded.sigmoid() if self.is_bernoulli else decoded

    def errors(self, pictures: Sequence[Tensor], then: Tensor) -> Tensor:
        """Of each cell of the next picture, its squared error, or its nats: (batch, 32, 128)."""
        decoded = self._decoded(pictures, 0.0)
        if self.is_bernoulli:
            return F.binary_cross_entropy_with_logits(decoded, then, reduction="none")
        return (decoded - then).square()

    def _decoded(self, pictures: Sequence[Tensor], noise: Tensor | float) -> Tensor:
        """The mean of each cell, or the logit that it sounds."""
        seen = [encoder(picture[:, None]) for encoder, picture in zip(self.encoders, pictures, strict=True)]
        vector = self.dense(torch.cat(seen, dim=1)) * (1 + noise)  # (batch, 256)
        decoded = self.decoder(vector)[:, 0].float()
        return decoded + self.log_odds if self.is_bernoulli else decoded


class MelodyCNN(NextPicture):
    """The leading instrument at t to itself at t + 1."""

    def __init__(self, config: Config, shares: Sequence[float] = NO_SHARES):
        super().__init__(config, 1, shares)


class HarmonyCNN(NextPicture):
    """The leading instrument at t + 1 and another at t to that other at t + 1."""

    def __init__(self, config: Config, shares: Sequence[float] = NO_SHARES):
        super().__init__(config, 2, shares)


class MelodyAndHarmony(MusicModel):
    """A MelodyCNN, and a HarmonyCNN for each other instrument of the corpus."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        cells = list(learned["cells_per_step"])
        leader = leader_of(cells)
        self.places = [leader, *(place for place in range(N_TRACKS) if cells[place] and place != leader)]
        self.velocities = list(learned["velocities"])
        self.openings = unpack(learned["openings"], N_STEPS)  # (n_openings, 32, 5, 128)
        usual = torch.tensor([float(cells[place]) for place in self.places])
        self.register_buffer("usual", usual, persistent=False)  # cells in a step: (tracks,)
        levels = torch.tensor([self._level(place) for place in self.places])
        self.register_buffer("levels", levels[:, None, None], persistent=False)  # (tracks, 1, 1)
        shares = learned["pitch_shares"]
        self.melody = MelodyCNN(config, shares[leader])
        self.harmonies = nn.ModuleDict(
            {TRACKS[place]: HarmonyCNN(config, shares[place]) for place in self.places[1:]}
        )
        initialise_for_rectifiers(self)

    def stages(self) -> list[Stage]:
        """One stage, "pictures", in which every network has an Adam of its own."""
        config = self.config
        rule = Optimizer("adam", config.learning_rate, schedule=config.schedule)
        in_all = config.max_updates_in_all
        limits = [config.max_updates, in_all and max(1, in_all // len(self.places))]
        return [
            Stage(
                name="pictures",
                epochs=config.epochs,
                batch_size=config.batch_size,
                optimizers=dict.fromkeys(self.parts(), rule),
                max_updates=min((limit for limit in limits if limit), default=None),
            )
        ]

    def parts(self) -> dict[str, nn.Module]:
        """The "melody", and "guitar" and so on."""
        return {"melody": self.melody, **self.harmonies}

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """The error of each network per cell; the harmonies are told the melody that really follows.

        Windows have the shape (batch, 64, 5, 128).
        """
        now, then, known = self._pictures(batch)
        now, then = self._transposed(now, then)
        n_cells = (known.sum() * N_PITCHES).clamp(min=1)
        for track, (part, network) in enumerate(self.parts().items()):
            told = [now[:, track]] if part == "melody" else [then[:, 0], now[:, track]]
            yield part, (network.errors(told, then[:, track]) * known).sum() / n_cells

    def _transposed(self, now: Tensor, then: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (batch, tracks, 32, 128), in each window all but the drums moved by the same semitones."""
        most = self.config.transpose
        if not most:
            return now, then
        shifts = torch.randint(-most, most + 1, (len(now),), device=now.device)
        is_pitched = torch.tensor([place != DRUMS for place in self.places], device=now.device)
        return tuple(
            torch.where(is_pitched[:, None, None], move_pitches(pictures, shifts), pictures)
            for pictures in (now, then)
        )

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """How well pictures are foreseen, and how much what is foreseen is always the same.

        Per cell the squared error, the "loss"; per step the cells, of all instruments, that are wrongly on or
        off, and those that a picture of silence would get wrong. "likeness" is the Jaccard index of the
        cells foreseen for a window and for the first opening, 1 where they do not depend on the window;
        "likeness_of_music" that of the cells that really follow.
        """
        now, then, known = self._pictures(batch)
        outputs = [self._foresee(part, now[:, track], then[:, 0]) for track, part in enumerate(self.parts())]
        output = torch.stack(outputs, dim=1)  # (batch, tracks, 32, 128)
        known = known[:, None]
        n_steps = known.sum()
        sounds, real = (output > self.config.threshold) & known, (then > 0) & known
        first = (
            self._continue(self._from_rolls(self.openings[:1]), 0.0)[0][0]
            if len(self.openings)
            else output[0]
        )
        first = (first > self.config.threshold) & known
        return {
            "loss": (((output - then).square() * known).sum(), n_steps * N_PITCHES * len(self.places)),
            "wrong_cells": ((sounds != real).sum(), n_steps),
            "wrong_cells_of_silence": (real.sum(), n_steps),
            "likeness": (jaccard(sounds, first).sum(), len(batch)),
            "likeness_of_music": (jaccard(real, first).sum(), len(batch)),
        }

    def _foresee(self, part: str, own: Tensor, leader: Tensor) -> Tensor:
        """The next picture of a part from its own at t and the leader's at t + 1: (batch, 32, 128) all."""
        return self.melody(own) if part == "melody" else self.harmonies[part](leader, own)

    def _pictures(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures of windows at t and t + 1, and where there is music at t + 1.

        (batch, 64, 5, 128) to twice (batch, tracks, 32, 128) in 0..1, and (batch, 32, 1).
        """
        rolls = torch.where(batch == PADDING, 0, batch)[:, :, self.places]
        now, then = self._cells(rolls).chunk(2, dim=2)
        return now, then, (batch[:, N_STEPS:, 0, 0] != PADDING)[..., None]

    def _from_rolls(self, rolls: np.ndarray) -> Tensor:
        """Velocities (batch, 32, 5, 128) as pictures (batch, tracks, 32, 128)."""
        return self._cells(torch.from_numpy(rolls).to(self.levels.device)[:, :, self.places])

    def _cells(self, rolls: Tensor) -> Tensor:
        """Velocities as networks see them: (batch, steps, tracks, 128) to (batch, tracks, steps, 128)."""
        rolls = rolls.transpose(1, 2)
        return (rolls > 0).float() if self.config.likelihood == "bernoulli" else rolls / FULL

    def _level(self, place: int) -> float:
        """What a written cell of an instrument is to the networks."""
        return 1.0 if self.config.likelihood == "bernoulli" else self.velocities[place] / FULL

    def _sounding(self, strengths: Tensor, tracks: slice) -> Tensor:
        """Which cells of some tracks sound: (pieces, tracks, 32, 128)."""
        if self.config.cut == "threshold":
            return strengths > self.config.threshold
        return as_many_as_likely((strengths / self.levels[tracks]).clamp(0, 1), self.usual[tracks])

    def _continue(self, pictures: Tensor, noise: Tensor | float) -> tuple[Tensor, Tensor]:
        """The strength of each cell in the next pictures, which the leader decides, and whether it sounds.

        (pieces, tracks, 32, 128), and noise (tracks, pieces, 256), to twice (pieces, tracks, 32, 128).
        """
        noise = [noise] * len(self.places) if isinstance(noise, float) else noise
        leader = self.melody(pictures[:, 0], noise=noise[0])[:, None]
        leads = self._sounding(leader, slice(0, 1))
        heard = (leads * self.levels[:1])[:, 0]
        others = [
            network(heard, pictures[:, track], noise=noise[track])
            for track, network in enumerate(self.harmonies.values(), start=1)
        ]
        if not others:
            return leader, leads
        others = torch.stack(others, dim=1)
        sounds = torch.cat([leads, self._sounding(others, slice(1, None))], dim=1)
        return torch.cat([leader, others], dim=1), sounds

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Go on from picture to picture, all pieces side by side, from an opening or the end of the prime.

        Raises
        ------
        GeneratorError
            If the prime holds no note of an instrument that the model could take for one of its own.
        """
        bar = request.meter.beats_per_bar * STEPS_PER_BEAT  # steps, a fraction
        n_steps, last_bar = math.ceil(request.n_bars * bar), math.floor((request.n_bars - 1) * bar)
        skipped = 0 if request.prime is not None else math.floor(math.ceil(N_STEPS / bar) * bar) - N_STEPS
        noise_sd = self.config.noise_sd if request.noise_sd is None else request.noise_sd
        pictures = self._first_pictures(rngs, request)  # (pieces, tracks, 32, 128)
        firsts = range(-skipped, n_steps, N_STEPS)
        written = []
        for first in report_each(firsts, len(firsts), request.report):
            noise = noise_sd * as_normal(draw_uniforms(rngs, len(self.places), self.config.channels[-1]))
            strengths, sounds = self._continue(pictures, noise.transpose(0, 1).to(pictures.device))
            start = max(0, last_bar - first) if first + N_STEPS >= n_steps else 0
            steps = slice(start, min(N_STEPS, n_steps - first))
            n_cells = max(1, round(float(self.usual.sum()) * (steps.stop - steps.start)))
            fill_silence(sounds, strengths, steps, n_cells)
            pictures = sounds * self.levels
            written.append(sounds.cpu().numpy())
        rolls = np.concatenate(written, axis=2)[:, :, skipped:][
            :, :, :n_steps
        ]  # (pieces, tracks, steps, 128)
        return [self._to_score(roll, request) for roll in rolls]

    def _first_pictures(self, rngs: Sequence[torch.Generator], request: Request) -> Tensor:
        """What pieces go on from: (pieces, tracks, 32, 128). A prime is filled up with silence to a bar."""
        if request.prime is None:
            draws = draw_uniforms(rngs, 1)[:, 0]
            if not len(self.openings):
                return self._from_rolls(np.zeros((len(rngs), N_STEPS, N_TRACKS, N_PITCHES), dtype=np.uint8))
            return self._from_rolls(self.openings[(draws * len(self.openings)).long().numpy()])
        rolls = self._heard(PicturePairs(self.config).encode(request.prime, {}))
        bar = request.meter.beats_per_bar * STEPS_PER_BEAT
        missing = max(0, math.floor(math.ceil(len(rolls) / bar) * bar) - len(rolls))
        rolls = np.pad(rolls, ((N_STEPS, missing), (0, 0), (0, 0)))[-N_STEPS:]
        return self._from_rolls(rolls[None]).expand(len(rngs), -1, -1, -1)

    def _heard(self, rolls: np.ndarray) -> np.ndarray:
        """A prime (n_steps, 5, 128); the leader takes all that has pitches where it has nothing to play."""
        leader = self.places[0]
        if leader != DRUMS and not rolls[:, leader].any():
            rolls[:, leader] = np.delete(rolls, DRUMS, axis=1).max(axis=1)
        if not rolls[:, self.places].any():
            names = " or ".join(TRACKS[place] for place in self.places)
            raise GeneratorError(f"the prime has no notes of {names}, which is all that this model plays")
        return rolls

    def _to_score(self, sounds: np.ndarray, request: Request) -> Score:
        rolls = np.zeros((sounds.shape[1], N_TRACKS, N_PITCHES), dtype=bool)
        rolls[:, self.places] = sounds.transpose(1, 0, 2)
        return five_tracks_to_score(
            rolls, steps_per_beat=STEPS_PER_BEAT, request=request, velocities=self.velocities
        )


def leader_of(cells: Sequence[float]) -> int:
    """The place of the leading instrument, from the cells of each: see the top of this file."""
    if cells[0] and cells[0] >= LEAST_SHARE * sum(cells):
        return 0
    pitched = max((place for place in range(N_TRACKS) if place != DRUMS), key=lambda place: cells[place])
    return pitched if cells[pitched] else DRUMS


def jaccard(one: Tensor, other: Tensor) -> Tensor:
    """The share of the cells of either that both have: (batch, ...), bool, to (batch,); 1 of nothing."""
    either = (one | other).flatten(1).sum(1)
    return torch.where(either > 0, (one & other).flatten(1).sum(1) / either.clamp(min=1), 1.0)


PRESETS = {
    "paper": Config(),
    # Some 60 seconds of one CPU on 136 pieces of bands: of held-out steps 7.3 wrong cells, of silence 7.9.
    "tiny": Config(
        channels=(16, 64, 192),
        likelihood="bernoulli",
        transpose=6,
        batch_size=32,
        learning_rate=2e-3,
        schedule="linear",
        epochs=1000,
        max_updates=3000,
        max_updates_in_all=5000,
        threshold=0.5,
        cut="count",
        noise_sd=0.3,
    ),
}
FAMILY = Family(
    title="Melody CNN",
    citation="Tham & Kim 2021, Generating Music Using Deep Learning",
    config=Config,
    representation=PicturePairs,
    model=MelodyAndHarmony,
    presets=PRESETS,
    abilities=("generate", "prime", "noise"),
    natural_beats=64,
    pieces_at_once=16,
    drums=True,
    example={
        "cells_per_step": [1.0] * N_TRACKS,
        "velocities": [80] * N_TRACKS,
        "pitch_shares": [[0.01] * N_PITCHES] * N_TRACKS,
        "openings": pack([], N_STEPS),
    },
)
