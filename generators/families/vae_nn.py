"""VAE + NN: an autoencoder per instrument, and small networks that walk from latent vector to latent vector.

Eric Tham and Matthew Kim (2021), "Generating Music Using Deep Learning", report of a course project,
thamsuppp/MusicGenDL. Its notebooks of this model are lost; what the report leaves open follows public copies
of them, which agree with each other. The autoencoders are those of Kingma & Welling (2014), "Auto-Encoding
Variational Bayes".

Four bars of eighths of one instrument are a picture of 32 steps by 128 pitches. A variational autoencoder per
instrument turns it into a vector of 16 numbers; its posterior has one width for all of them, its likelihood
one learned width for all pixels. The vector of the piano at t gives that at t + 1 (MelodyNN); the vector of
any other instrument at t and that of the piano at t + 1 give its own at t + 1 (ConditionalNN). To write,
vectors of the segment at hand go through the networks with noise, are decoded, cut at a threshold, played at
0.8 (strings at 0.6) and encoded again.

Where report and notebooks differ, the report holds and a setting gives the other. The report adds the noise
to the vectors before the networks, the notebooks after them (`noise`). For styles, the notebooks mix what
they draw for all five instruments into the piano one after the other, and nothing into the others; here each
instrument has its own. One notebook divides what it feeds back by 127 once more, so that the encoders see
next to nothing after the first step; here they see what they have learned from.

Settings that neither has, for little time and few pieces (the preset "tiny" has them). Cells are on or off
(`likelihood="bernoulli"`), and the decoder starts from how often each pitch sounds: squared errors hardly
notice notes that are few. `kl_weight` below 1 lets vectors say more; as in a beta-VAE (Higgins et al. 2017),
with beta below 1. `transpose` moves segments by chance, so that few pieces have many keys. `silent_share`
leaves out most of what an instrument does not play. `cut="count"` writes as many of the strongest cells as an
instrument's strengths add up to, or as are usual with it where that is a quarter of the usual: the networks
foresee a mean of what may follow, in which few cells pass any threshold.

Differences from both. The latent vectors of a corpus are made once, not for every batch; windows of a piece
never reach into the next. A pair in which an instrument is silent has a weight of 0.1, where the original
kept one of ten such pairs, and pairs that run over the end of a piece do not count. A model has only the
instruments of its corpus; where that has no piano, the first of guitar, bass, strings and drums leads in
its place. A segment, or a last bar, in which nothing passes the threshold gets its strongest cells, as
many as sound on average. Without a prime, a piece goes on from the start of one of `N_OPENINGS` training
pieces, which is not a part of it and which the generator of the piece chooses; the first bar line stays a bar
line in any meter. Several styles are drawn from evenly, whatever their lengths. The report names no weights
to start from: those of He et al. (2015) leave the state in which nothing is told apart sooner than those of
the framework.
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
    TRACKS,
    FiveTracks,
    five_tracks_to_score,
    pack,
    unpack,
)
from music.score import Score

STEPS_PER_BEAT = 2  # a step is an eighth
N_STEPS, N_PITCHES = 32, 128  # of a segment: four bars of 4/4
N_CELLS = N_STEPS * N_PITCHES
FULL = 127.0  # the velocity that is 1
LEVELS = (0.8, 0.8, 0.8, 0.6, 0.8)  # of written notes; strings are three quarters as loud as the rest
N_OPENINGS = 32
SOUNDING_WEIGHT = 10  # of a pair in which nothing is silent, beside 1 of another
SHARPEST = 0.5 / FULL  # width of a pixel, half a step of velocity: below it, silence would diverge


@dataclass(frozen=True)
class Config:
    """Settings of the five autoencoders and the five networks; the defaults are the published ones."""

    n_latents: int = 16
    channels: tuple[int, ...] = (64, 128, 256)  # of the three convolutions; mirrored in the decoder
    kl: Literal["sample", "closed_form"] = "sample"  # divergence from one draw, or exact
    kl_weight: float = 1.0  # of the divergence in the loss
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"  # of velocities, or of cells to be on or off
    sigma_x: float = 1.0  # the width of pixels to start from; near where it ends, less time is lost
    sigma_z: float = 0.135  # the width of the posterior to start from
    binarise: bool = False  # learn from notes at the levels of written ones, not at their velocities
    silent_share: float = 1.0  # of the segments in which its instrument is silent, that an autoencoder sees
    transpose: int = 0  # move segments by up to so many semitones, drawn anew each time; drums stay
    max_windows: int | None = None  # train on so many pairs of segments, drawn by the seed; None: all
    batch_size: int = 512  # of each autoencoder
    epochs: int = 5
    max_updates: int | None = None  # of each autoencoder
    max_updates_in_all: int | None = None  # of all autoencoders together, shared evenly
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    schedule: Literal["constant", "linear"] = "constant"  # linear: to 0 over the second half of the stage
    d_hidden: int = 128  # of the networks
    dropout: float = 0.2  # of MelodyNN, after its first layer
    network_batch_size: int = 2048
    network_learning_rate: float = 1e-3
    decay: float = 0.95  # of that learning rate, after each epoch
    melody_epochs: int = 50
    harmony_epochs: int = 30
    threshold: float = 0.3  # a cell sounds where its output is above
    style_threshold: float = 0.2  # the same where a style is given
    cut: Literal["threshold", "count"] = "threshold"  # cells above it, or as many as are likely
    noise_sd: float = 1.0
    noise: Literal["before", "after"] = "before"  # where it is added: before the networks or after them
    rollout: Literal["rolls", "latents"] = "rolls"  # encode what was written, or go on from the vectors

    def __post_init__(self):
        if len(self.channels) != 3 or min(self.channels) < 1:
            raise ValueError(f"channels must be three whole numbers above 0, got {self.channels}")
        for name in (
            "n_latents",
            "max_windows",
            "batch_size",
            "max_updates",
            "max_updates_in_all",
            "d_hidden",
            "network_batch_size",
        ):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("epochs", "melody_epochs", "harmony_epochs", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("learning_rate", "network_learning_rate", "decay"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if not SHARPEST <= self.sigma_x <= 1:
            raise ValueError(f"sigma_x must be {SHARPEST:.4f} to 1, got {self.sigma_x}")
        for name in ("sigma_z", "silent_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        for name in ("kl_weight", "noise_sd"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be 0 to 1000, got {getattr(self, name)}")
        if not 0 <= self.transpose <= N_PITCHES // 2:
            raise ValueError(f"transpose must be 0 to {N_PITCHES // 2}, got {self.transpose}")
        for name in ("dropout", "threshold", "style_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")


class SegmentPairs(FiveTracks):
    """Two segments in a row, a segment further from window to window."""

    def __init__(self, config: Config):
        super().__init__(
            steps_per_beat=STEPS_PER_BEAT,
            length=2 * N_STEPS,
            hop=N_STEPS,
            n_pitches=N_PITCHES,
            max_windows=config.max_windows,
        )

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The facts of `FiveTracks.learn`, `pitch_shares`, and first segments of some pieces.

        Raises
        ------
        GeneratorError
            If every piece is over with its first segment: the networks would have nothing to learn from.
        """
        if not any(len(self.encode(score, {})) > N_STEPS for score in scores):
            raise GeneratorError(
                f"the corpus is too small: at least 1 of its {len(scores)} training pieces needs a note "
                f"after its fourth bar ({N_STEPS} eighths)"
            )
        return {
            **super().learn(scores),
            "pitch_shares": self.pitch_shares(scores),
            "openings": self.openings(scores, N_STEPS, at_most=N_OPENINGS),
        }


class ConvVAE(nn.Module):
    """The autoencoder of one instrument, without an activation at its output.

    `level` is that of cells that sound; of the `shares` of steps in which pitches do, a Bernoulli
    likelihood starts.
    """

    def __init__(self, config: Config, level: float, shares: Sequence[float]):
        super().__init__()
        high = config.channels[-1]
        self.n_latents = config.n_latents
        self.is_exact = config.kl == "closed_form"
        self.kl_weight = config.kl_weight
        self.level = level
        self.encoder = nn.Sequential(
            *picture_convolutions(config.channels),  # (batch, 1, 32, 128) to (batch, 256)
            nn.Linear(high, config.n_latents + 1),  # means, and one log sigma for all of them
        )
        self.decoder = nn.Sequential(
            nn.Linear(config.n_latents, high),
            nn.ReLU(),
            *picture_deconvolutions(config.channels),  # (batch, 256) to (batch, 1, 32, 128)
        )
        self.is_bernoulli = config.likelihood == "bernoulli"
        if self.is_bernoulli:
            self.log_odds = nn.Parameter(torch.logit(torch.tensor(shares)))  # (128,)
        else:
            self.log_sigma_x = nn.Parameter(torch.tensor(math.log(config.sigma_x)))
        initialise_for_rectifiers(self)
        posterior = self.encoder[-1]
        nn.init.normal_(posterior.weight, std=math.sqrt(1 / high))
        nn.init.zeros_(posterior.weight[-1])
        nn.init.constant_(posterior.bias[-1], math.log(config.sigma_z))

    def encode(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log sigma of the posterior: (batch, 32, 128) to (batch, K) and (batch,)."""
        posterior = self.encoder(cells[:, None]).float()
        return posterior[:, :-1], posterior[:, -1]

    def decode(self, latents: Tensor) -> Tensor:
        """The strength of each cell: (batch, K) to (batch, 32, 128)."""
        strengths = self._decoded(latents)
        return strengths.sigmoid() * self.level if self.is_bernoulli else strengths

    def _decoded(self, latents: Tensor) -> Tensor:
        """The mean of each cell, or the logit that it sounds: (batch, K) to (batch, 32, 128)."""
        decoded = self.decoder(latents)[:, 0].float()
        return decoded + self.log_odds if self.is_bernoulli else decoded

    def loss(self, cells: Tensor) -> Tensor:
        """Minus the evidence lower bound in nats, averaged over segments (batch, 32, 128).

        The constant of the Gaussian likelihood, 4096 times half the log of 2 pi, is left out.
        """
        means, log_sigma = self.encode(cells)
        draws = torch.randn_like(means)
        decoded = self._decoded(means + log_sigma.exp()[:, None] * draws)
        divergence = self.kl_weight * self._kl(means, log_sigma, draws)  # (batch,)
        if self.is_bernoulli:
            sounds = (cells > 0).float()
            surprise = F.binary_cross_entropy_with_logits(decoded, sounds, reduction="none").sum((1, 2))
            return (surprise + divergence).mean()
        error = (decoded - cells).square().sum((1, 2))  # (batch,)
        log_width = self.log_sigma_x.clamp(min=math.log(SHARPEST))
        return (0.5 * (-2 * log_width).exp() * error + N_CELLS * log_width + divergence).mean()

    def _kl(self, means: Tensor, log_sigma: Tensor, draws: Tensor) -> Tensor:
        """Divergence of the posterior from a standard normal, estimated from the draw or exact: (batch,)."""
        if self.is_exact:
            spread = self.n_latents * ((2 * log_sigma).exp() - 1 - 2 * log_sigma)
            return 0.5 * (means.square().sum(1) + spread)
        latents = means + log_sigma.exp()[:, None] * draws
        log_q = -0.5 * draws.square().sum(1) - self.n_latents * log_sigma
        return log_q + 0.5 * latents.square().sum(1)


class MelodyNN(nn.Sequential):
    """The vector of the leading instrument at t to that at t + 1: (..., K) to (..., K)."""

    def __init__(self, config: Config):
        super().__init__(
            nn.Linear(config.n_latents, config.d_hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.d_hidden, config.d_hidden),
            nn.ReLU(),
            nn.Linear(config.d_hidden, config.n_latents),
        )


class ConditionalNN(nn.Sequential):
    """An instrument's vector at t and the leader's at t + 1 to its own at t + 1: (..., 2 K) to (..., K)."""

    def __init__(self, config: Config):
        super().__init__(
            nn.Linear(2 * config.n_latents, config.d_hidden),
            nn.ReLU(),
            nn.Linear(config.d_hidden, config.n_latents),
        )


class VAENN(MusicModel):
    """The autoencoders and networks of the instruments that the corpus has; the first of them leads."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.cells_per_step = list(learned["cells_per_step"])
        self.places = [place for place in range(N_TRACKS) if self.cells_per_step[place] > 0]  # in `TRACKS`
        self.openings = unpack(learned["openings"], N_STEPS)  # (n_openings, 32, 5, 128) uint8
        self.names = [TRACKS[place] for place in self.places]
        self.vaes = nn.ModuleDict(
            {
                TRACKS[place]: ConvVAE(config, LEVELS[place], learned["pitch_shares"][place])
                for place in self.places
            }
        )
        self.melody_nn = MelodyNN(config)
        self.conditional_nns = nn.ModuleDict({name: ConditionalNN(config) for name in self.names[1:]})
        levels = torch.tensor([LEVELS[place] for place in self.places])
        self.register_buffer("levels", levels[:, None, None], persistent=False)  # (tracks, 1, 1)
        usual = torch.tensor([self.cells_per_step[place] for place in self.places])
        self.register_buffer("usual", usual, persistent=False)  # (tracks,)

    def stages(self) -> list[Stage]:
        """The "autoencoders" of all instruments, then MelodyNN ("melody"), then the others ("harmony")."""
        config = self.config
        rule = Optimizer(
            "adam",
            config.learning_rate,
            options={"weight_decay": config.weight_decay},
            schedule=config.schedule,
        )
        walk = Optimizer("adam", config.network_learning_rate, config.decay)
        size = config.network_batch_size
        n_vaes, in_all = max(1, len(self.names)), config.max_updates_in_all
        limits = [config.max_updates, in_all and max(1, in_all // n_vaes)]
        stages = [
            Stage(
                name="autoencoders",
                epochs=config.epochs,
                batch_size=config.batch_size,
                optimizers={f"vae_{name}": rule for name in self.names},
                max_updates=min((limit for limit in limits if limit), default=None),
                share=8.0,
            ),
            Stage("melody", config.melody_epochs, size, {"melody": walk}, precompute=True),
        ]
        if len(self.names) > 1:
            parts = {f"harmony_{name}": walk for name in self.names[1:]}
            stages.append(Stage("harmony", config.harmony_epochs, size, parts, precompute=True))
        return stages

    def parts(self) -> dict[str, nn.Module]:
        """ "vae_piano" and so on, "melody", and "harmony_guitar" and so on."""
        vaes = {f"vae_{name}": vae for name, vae in self.vaes.items()}
        harmonies = {f"harmony_{name}": network for name, network in self.conditional_nns.items()}
        return {**vaes, "melody": self.melody_nn, **harmonies}

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """The evidence bound of each autoencoder; the squared errors of the networks, per latent dimension.

        `batch` holds windows (batch, 64, 5, 128), or for the networks the rows that `precompute` makes of
        them. Of the two segments of a window an autoencoder learns from one, drawn by lot; from the other
        where that one is silent.
        """
        if stage == "autoencoders":
            rolls = self._rolls(batch)  # (batch, 2, tracks, 32, 128)
            sounding = (rolls > 0).flatten(2).any(2)  # (batch, 2)
            second = (torch.rand(len(batch), device=batch.device) < 0.5) & sounding[:, 1] | ~sounding[:, 0]
            segments = self._levels_of(rolls[torch.arange(len(batch), device=batch.device), second.long()])
            for track, (name, vae) in enumerate(self.vaes.items()):
                chosen = self._without_silent(segments[:, track])
                yield f"vae_{name}", vae.loss(self._transposed(chosen, self.places[track]))
            return
        rows = batch if batch.is_floating_point() else self.precompute(batch, stage)
        errors = {"melody": self._melody_error(rows)} if stage == "melody" else self._harmony_errors(rows)
        for part, (total, weight) in errors.items():
            yield part, total / weight.clamp(min=1)

    def _without_silent(self, cells: Tensor) -> Tensor:
        """Of segments (batch, 32, 128) those that sound, and of the silent ones a share; one at least."""
        if self.config.silent_share == 1:
            return cells
        lots = torch.rand(len(cells), device=cells.device)
        kept = cells.flatten(1).any(1) | (lots < self.config.silent_share)
        kept[0] |= ~kept.any()
        return cells[kept]

    def _transposed(self, cells: Tensor, place: int) -> Tensor:
        """Each segment (n, 32, 128) of a pitched instrument moved by semitones, of the drums as it is."""
        most = self.config.transpose
        if not most or place == DRUMS:
            return cells
        shifts = torch.randint(-most, most + 1, (len(cells),), device=cells.device)
        return move_pitches(cells, shifts)

    @torch.no_grad()
    def precompute(self, batch: Tensor, stage: str) -> Tensor:
        """Posterior means, whether a segment sounds, and whether any instrument does in it.

        (batch, 64, 5, 128) to (batch, 2, tracks, K + 2); for "melody" of the leading instrument alone.
        """
        return self._rows(self._cells(batch), 1 if stage == "melody" else len(self.names))

    def _rows(self, segments: Tensor, n_tracks: int) -> Tensor:
        """The rows of `precompute` from cells (batch, 2, tracks, 32, 128), of the first tracks."""
        sounds = segments.flatten(3).any(3)  # (batch, 2, tracks)
        flags = torch.stack([sounds, sounds.any(2, keepdim=True).expand_as(sounds)], dim=3)
        means = [
            self.vaes[name].encode(segments[:, :, track].flatten(0, 1))[0].unflatten(0, (-1, 2))
            for track, name in enumerate(self.names[:n_tracks])
        ]  # of (batch, 2, K)
        return torch.cat([torch.stack(means, dim=2), flags[:, :, :n_tracks].float()], dim=3)

    def _cells(self, batch: Tensor) -> Tensor:
        """What autoencoders see of windows: (batch, 64, 5, 128) to (batch, 2, tracks, 32, 128) in 0..1."""
        return self._levels_of(self._rolls(batch))

    def _rolls(self, batch: Tensor) -> Tensor:
        """Velocities segment by segment: windows (batch, 64, 5, 128) to (batch, 2, tracks, 32, 128)."""
        return batch[:, :, self.places].unflatten(1, (2, N_STEPS)).transpose(2, 3)

    def _levels_of(self, rolls: Tensor) -> Tensor:
        """Velocities (..., tracks, 32, 128) as autoencoders see them."""
        return (rolls > 0) * self.levels if self.config.binarise else rolls / FULL

    def _melody_error(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error of MelodyNN per latent dimension, weighted and summed over pairs, and the weights."""
        output = self.melody_nn(rows[:, 0, 0, :-2])  # (batch, K)
        goes_on = rows[:, 1, 0, -1]  # (batch,); otherwise the piece is over
        return _weighted_error(output, rows[:, 1, 0, :-2], goes_on)

    def _harmony_errors(self, rows: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """The same of each ConditionalNN, by the name of its part."""
        means, sounds, goes_on = rows[..., :-2], rows[..., -2], rows[:, 1, 0, -1]
        errors = {}
        for track, (name, network) in enumerate(self.conditional_nns.items(), start=1):
            all_sound = sounds[:, 0, track] * sounds[:, 1, track] * sounds[:, 1, 0]  # (batch,)
            weights = goes_on * torch.where(all_sound > 0, SOUNDING_WEIGHT, 1)
            output = network(torch.cat([means[:, 0, track], means[:, 1, 0]], dim=1))  # (batch, K)
            errors[f"harmony_{name}"] = _weighted_error(output, means[:, 1, track], weights)
        return errors

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """How well segments are remembered, and how well the networks foresee the next vector.

        Of windows (batch, 64, 5, 128): "loss" is the squared error of a segment and its reconstruction,
        summed over cells and instruments; "f1" that of the cells above the threshold, of all instruments
        together and of each; "mse_melody" and so on are the errors of the networks per latent dimension. Of
        the rows that `precompute` makes, only these errors; "loss" is their mean.
        """
        found: dict[str, tuple[Tensor, Tensor | int]] = {}
        if batch.is_floating_point():
            rows = batch
        else:
            segments = self._cells(batch)  # (batch, 2, tracks, 32, 128)
            rows = self._rows(segments, len(self.names))
            found = self._reconstruction(segments, rows)
        errors = {"melody": self._melody_error(rows)}
        if rows.shape[2] > 1:
            errors |= self._harmony_errors(rows)
        if batch.is_floating_point():
            totals, counts = zip(*errors.values(), strict=True)
            found = {"loss": (sum(totals), sum(counts))}
        return found | {f"mse_{part}": error for part, error in errors.items()}

    def _reconstruction(self, segments: Tensor, rows: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Squared error, and F1 of the cells above the threshold, of segments decoded from their means."""
        found, squares = {}, []
        for track, (name, vae) in enumerate(self.vaes.items()):
            cells = segments[:, :, track]
            output = vae.decode(rows[:, :, track, :-2].flatten(0, 1)).view_as(cells)
            squares.append((output - cells).square().sum())
            written, real = output > self.config.threshold, cells > 0
            found[f"f1_{name}"] = (2 * (written & real).sum(), written.sum() + real.sum())
        right, both = (sum(figure[place] for figure in found.values()) for place in (0, 1))
        return {"loss": (sum(squares), 2 * len(segments)), "f1": (right, both), **found}

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Walk from segment to segment, all pieces side by side, each with noise of its own.

        Raises
        ------
        GeneratorError
            If the prime or the styles hold no note of an instrument that the model could take for its own.
        """
        device = self.levels.device
        bar = request.meter.beats_per_bar * STEPS_PER_BEAT  # steps, a fraction
        n_steps = math.ceil(request.n_bars * bar)
        last_bar = math.floor((request.n_bars - 1) * bar)
        styles = [self._style(score) for score in request.styles]
        threshold = self.config.style_threshold if styles else self.config.threshold
        noise_sd = self.config.noise_sd if request.noise_sd is None else request.noise_sd
        latents = self._first_latents(rngs, request)  # (pieces, tracks, K)
        upbeat = math.floor(math.ceil(N_STEPS / bar) * bar) - N_STEPS if request.prime is None else 0
        n_segments = math.ceil((upbeat + n_steps) / N_STEPS)
        written = []
        for segment in report_each(range(n_segments), n_segments, request.report):
            if styles:
                chosen = self._draw_style(rngs, styles).to(device)
                latents = request.alpha * chosen + (1 - request.alpha) * latents
            draws = draw_uniforms(rngs, len(self.names), self.config.n_latents)
            latents = self._step(latents, noise_sd * as_normal(draws).to(device))
            strengths = self._decode(latents)  # (pieces, tracks, 32, 128)
            if self.config.cut == "count":
                sounds = as_many_as_likely((strengths / self.levels).clamp(0, 1), self.usual)
            else:
                sounds = strengths > threshold
            start = segment * N_STEPS - upbeat
            stop = min(N_STEPS, n_steps - start)
            heard = [slice(max(0, -start), stop)]
            if segment == n_segments - 1:
                heard.append(slice(max(0, last_bar - start), stop))
            for steps in heard:
                n_cells = max(1, round(sum(self.cells_per_step) * (steps.stop - steps.start)))
                fill_silence(sounds, strengths, steps, n_cells)
            if self.config.rollout == "rolls":
                latents = self._encode(sounds * self.levels)
            written.append(sounds.cpu())
        rolls = torch.cat(written, dim=2)[:, :, upbeat : upbeat + n_steps]  # (pieces, tracks, steps, 128)
        return [self._to_score(roll.numpy(), request) for roll in rolls]

    def _step(self, latents: Tensor, noise: Tensor) -> Tensor:
        """The vectors of the next segment: (pieces, tracks, K), and noise of that shape, to the same."""
        before = latents + noise if self.config.noise == "before" else latents
        after = noise if self.config.noise == "after" else torch.zeros_like(noise)
        leader = self.melody_nn(before[:, 0]) + after[:, 0]  # (pieces, K)
        others = [
            network(torch.cat([before[:, track], leader], dim=1)) + after[:, track]
            for track, network in enumerate(self.conditional_nns.values(), start=1)
        ]
        return torch.stack([leader, *others], dim=1)

    def _encode(self, cells: Tensor) -> Tensor:
        """Posterior means of every instrument: (batch, tracks, 32, 128) to (batch, tracks, K)."""
        means = [vae.encode(cells[:, track])[0] for track, vae in enumerate(self.vaes.values())]
        return torch.stack(means, dim=1)

    def _decode(self, latents: Tensor) -> Tensor:
        """Strengths of the cells of every instrument: (batch, tracks, K) to (batch, tracks, 32, 128)."""
        strengths = [vae.decode(latents[:, track]) for track, vae in enumerate(self.vaes.values())]
        return torch.stack(strengths, dim=1)

    def _first_latents(self, rngs: Sequence[torch.Generator], request: Request) -> Tensor:
        """Vectors to go on from: of the end of the prime, or of an opening; (pieces, tracks, K).

        The prime is filled up with silence to a whole bar. A model without openings draws from the prior.
        """
        device = self.levels.device
        if request.prime is not None:
            rolls = self._heard(request.prime, "prime")
            bar = request.meter.beats_per_bar * STEPS_PER_BEAT
            missing = math.floor(math.ceil(len(rolls) / bar) * bar) - len(rolls)
            rolls = np.pad(rolls, ((N_STEPS, max(0, missing)), (0, 0), (0, 0)))[-N_STEPS:]
            return self._encode_rolls(rolls[None]).expand(len(rngs), -1, -1)
        if not len(self.openings):
            return as_normal(draw_uniforms(rngs, len(self.names), self.config.n_latents)).to(device)
        choices = (draw_uniforms(rngs, 1)[:, 0] * len(self.openings)).long()
        return self._encode_rolls(self.openings)[choices.to(device)]

    def _encode_rolls(self, rolls: np.ndarray) -> Tensor:
        """Posterior means of segments of velocities: (batch, 32, 5, 128) to (batch, tracks, K)."""
        windows = torch.from_numpy(np.concatenate([rolls, rolls], axis=1)).to(self.levels.device)
        return self._encode(self._cells(windows)[:, 0])

    def _heard(self, score: Score, what: str) -> np.ndarray:
        """The rolls of a given piece (n_steps, 5, 128); the leader plays what no instrument here could."""
        rolls = SegmentPairs(self.config).encode(score, {})
        if rolls[:, self.places].any():
            return rolls
        pitched = [place for place in range(N_TRACKS) if place != DRUMS]
        leader = self.places[0]
        if leader == DRUMS or not rolls[:, pitched].any():
            raise GeneratorError(
                f"the {what} has no notes of {' or '.join(self.names)}, which is all that this model plays"
            )
        alone = np.zeros_like(rolls)
        alone[:, leader] = rolls[:, pitched].max(axis=1)
        return alone

    def _style(self, score: Score) -> list[Tensor]:
        """Vectors of the segments of a piece by instrument, (n, K) each, at most one of them of silence."""
        rolls = self._heard(score, "style")
        padded = np.pad(rolls, ((0, -len(rolls) % N_STEPS), (0, 0), (0, 0)))
        segments = padded.reshape(-1, N_STEPS, N_TRACKS, N_PITCHES)
        latents = self._encode_rolls(segments)  # (segments, tracks, K)
        sounds = segments[:, :, self.places].any(axis=(1, 3))  # (segments, tracks)
        kept = []
        for track in range(len(self.names)):
            silent = np.flatnonzero(~sounds[:, track])[:1]
            chosen = np.concatenate([np.flatnonzero(sounds[:, track]), silent])
            kept.append(latents[torch.from_numpy(chosen).to(latents.device), track].cpu())
        return kept

    def _draw_style(self, rngs: Sequence[torch.Generator], styles: Sequence[list[Tensor]]) -> Tensor:
        """A vector of a style for every piece and instrument: (pieces, tracks, K)."""
        draws = draw_uniforms(rngs, len(self.names), 2).tolist()
        chosen = []
        for piece in draws:
            for track, (which, place) in enumerate(piece):
                vectors = styles[int(which * len(styles))][track]
                chosen.append(vectors[int(place * len(vectors))])
        return torch.stack(chosen).unflatten(0, (len(rngs), -1))

    def _to_score(self, sounds: np.ndarray, request: Request) -> Score:
        """A piece from (tracks, steps, 128), at the levels of written notes."""
        rolls = np.zeros((sounds.shape[1], N_TRACKS, N_PITCHES), dtype=np.uint8)
        for track, place in enumerate(self.places):
            rolls[:, place] = sounds[track] * np.uint8(round(LEVELS[place] * FULL))
        return five_tracks_to_score(rolls, steps_per_beat=STEPS_PER_BEAT, request=request)


def _weighted_error(output: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error per dimension, weighted and summed over rows, and the sum of weights."""
    return ((output.float() - target).square().mean(1) * weights).sum(), weights.sum()


PRESETS = {
    "paper": Config(),
    # Some 40 to 60 seconds of one CPU. F1 of held-out segments on 136 pieces of bands: about 0.66, from 0.5
    # (bass) to 0.74 (drums); on 195 tunes with chords: 0.76.
    "tiny": Config(
        n_latents=32,
        channels=(16, 64, 192),
        kl="closed_form",
        kl_weight=0.05,
        likelihood="bernoulli",
        sigma_z=0.03,
        binarise=True,
        silent_share=0.1,
        transpose=6,
        batch_size=48,
        epochs=1000,
        max_updates=2500,
        max_updates_in_all=6000,
        learning_rate=2e-3,
        schedule="linear",
        cut="count",
        noise_sd=0.6,
        network_batch_size=256,
    ),
}
FAMILY = Family(
    title="VAE + NN",
    citation="Tham & Kim 2021, Generating Music Using Deep Learning",
    config=Config,
    representation=SegmentPairs,
    model=VAENN,
    presets=PRESETS,
    abilities=("generate", "prime", "noise", "styles"),
    natural_beats=64,
    pieces_at_once=16,
    drums=True,
    example={
        "cells_per_step": [1.0] * N_TRACKS,
        "pitch_shares": [[0.01] * N_PITCHES] * N_TRACKS,
        "openings": pack([], N_STEPS),
    },
)
