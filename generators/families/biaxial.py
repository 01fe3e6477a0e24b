"""Biaxial LSTM: a net that runs along time for every note alike, then along the notes of a step.

Daniel D. Johnson (2015), "Composing Music With Recurrent Neural Networks",
https://www.danieldjohnson.com/2015/08/03/composing-music-with-recurrent-neural-networks/, code
danieldjohnson/biaxial-rnn-music-composition. The likelihoods per frame of piano rolls are those of Johnson
(2017), "Generating Polyphonic Music Using Tied Parallel Networks", EvoMUSART.

Differences from the original. The article does not say how the candidate of a cell is squashed; here it goes
through tanh, as everywhere (`candidate="linear"` is what its code comes to). The lowest notes see silence
below them (`vicinity="wrap"`: the top notes, as in the code). Pieces in 3/4 or 6/8 are read whole, with the
beat as place in the bar (`truncate=True, clock="sixteen"` is the code). Sequences start from zero states and
from weights drawn by the seed of the run (`initial_state="random"`, `initial_weights="original"` are those
of the code, which always starts from the same numbers). Windows come from pieces in proportion to their
length, in a new random order in each epoch; a piece shorter than a window is padded. Conservativity stops
falling at 0.05; in a corpus of fewer than two notes at a time, a step counts as quiet when it is silent.
Pieces begin with a step with which a bar of the corpus begins. A piece whose last bar is silent ends with its
last chord, held through that bar; every note ends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import draw_uniforms, report_each
from generators.errors import GeneratorError
from generators.family import EarlyStopping, Family, MusicModel, Optimizer, Request, Stage
from generators.lstm import LSTM
from generators.note_sampler import NoteSampler, thresholds_of
from generators.representations.note_states import (
    PADDING,
    REACH,
    STEPS_PER_BEAT,
    NoteInputs,
    NoteStates,
)
from generators.settings import check_temperature
from music.score import Score

ORIGINAL_SEED = 1234  # of the weights that the original starts from
QUIET, CALM = 0.02, 0.3  # how conservativity falls in quiet steps, and returns in others
LEAST_CONSERVATIVITY = 0.05
STEPS_DRAWN = 64  # random numbers are drawn for so many steps at once
LONGEST_PRIME = 1024  # steps; of a longer prime the end is read
LOOK_EVERY = 1000  # updates between two looks at validation windows, where training may stop early
FIGURES_STEPS, FIGURES_WINDOWS = 256, 4  # what is scored at once; longer windows carry their states on


@dataclass(frozen=True)
class Config:
    """Settings of the net; the defaults are the article's, and its code's where the article is silent."""

    lowest: int = 24  # the range of notes, as MIDI numbers from here up
    n_notes: int = 78
    articulate: bool = True  # without it, repeated notes are held ones
    n_steps: int = 128  # of a window
    hop: int = 16  # steps from the start of a window to that of the next
    truncate: bool = False  # end pieces where a meter begins that has neither 2 nor 4 beats
    clock: Literal["bar", "sixteen"] = "bar"  # what the beat counts: steps of the bar, or sixteens of steps
    vicinity: Literal["zero", "wrap"] = "zero"  # what lies below the lowest note: silence, or the top notes
    scaled_position: bool = False  # the position of a note as a share of the range
    time_layers: tuple[int, ...] = (300, 300)
    note_layers: tuple[int, ...] = (100, 50)
    candidate: Literal["tanh", "linear"] = "tanh"
    initial_weights: Literal["normal", "original", "uniform", "glorot"] = "normal"
    initial_state: Literal["zero", "random"] = "zero"
    #: Of the outputs of each layer; a mask holds for a whole sequence. They are scaled for it in writing.
    dropout: float = field(default=0.5, metadata={"writes": True})
    dropout_scaling: Literal["writing", "training"] = "writing"  # when the outputs are scaled for it
    optimizer: Literal["adadelta", "adam"] = "adadelta"
    learning_rate: float = 1.0
    schedule: Literal["constant", "linear"] = "constant"
    max_norm: float = 5.0  # of the gradient of each tensor
    batch_size: int = 10
    epochs: int = 10_000
    max_updates: int | None = 10_000
    patience: int | None = None  # evaluations without a better validation loss; none: never stop early
    temperature: float = 1.0
    conservativity: float = 1.0  # a note sounds with its probability to this power
    adaptive: bool = True  # less conservativity while hardly anything sounds
    precision: Literal["fp32", "bf16"] = "fp32"  # of the time axis in writing

    def __post_init__(self):
        if self.lowest < 0 or self.n_notes < REACH or self.lowest + self.n_notes > 128:
            raise ValueError(
                f"lowest and n_notes must span at least {REACH} notes within MIDI 0-127, "
                f"got {self.n_notes} from {self.lowest}"
            )
        for name in ("time_layers", "note_layers"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(
                    f"{name} must be one or more whole numbers above 0, got {getattr(self, name)}"
                )
        for name in ("hop", "batch_size", "max_updates", "patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_temperature(self.temperature)
        for name in ("learning_rate", "max_norm"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if not LEAST_CONSERVATIVITY <= self.conservativity <= 100:
            raise ValueError(
                f"conservativity must be {LEAST_CONSERVATIVITY} to 100, got {self.conservativity}"
            )
        if not 2 <= self.n_steps <= 2**16:
            raise ValueError(f"n_steps must be 2 to {2**16}, got {self.n_steps}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if self.epochs < 0:
            raise ValueError(f"epochs must be at least 0, got {self.epochs}")


def note_states(config: Config) -> NoteStates:
    """The states of the notes of a config, in windows."""
    return NoteStates(
        lowest=config.lowest,
        n_notes=config.n_notes,
        length=config.n_steps,
        hop=config.hop,
        articulate=config.articulate,
        clock=config.clock,
        truncate=config.truncate,
    )


class BiaxialLSTM(MusicModel):
    """Layers along time, shared by all notes, and layers along the notes, shared by all steps."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.openings = learned.get("openings", [])
        self.polyphony = float(learned.get("polyphony", 2.0))
        self.n_attributes = 2 if config.articulate else 1
        self.inputs = NoteInputs(
            config.lowest, config.n_notes, self.n_attributes, config.vicinity, config.scaled_position
        )
        widths = (self.inputs.n_inputs, *config.time_layers)
        self.time_layers = nn.ModuleList(LSTM(*pair, config.candidate) for pair in itertools.pairwise(widths))
        widths = (config.time_layers[-1] + self.n_attributes, *config.note_layers)
        self.note_layers = nn.ModuleList(LSTM(*pair, config.candidate) for pair in itertools.pairwise(widths))
        self.output = nn.Linear(config.note_layers[-1], self.n_attributes)
        self._initialise()

    @property
    def keep(self) -> float:
        """What outputs of layers are multiplied by outside training."""
        return 1 - self.config.dropout if self.config.dropout_scaling == "writing" else 1.0

    def forward(self, states: Tensor, places: Tensor) -> Tensor:
        """Logits of each step but the first, given all steps before it and the lower notes of its own.

        States (batch, steps, notes, attributes) of a float type and places (batch, steps) to
        (batch, steps - 1, notes, attributes).
        """
        return self._logits(states, places)[0]

    def _logits(
        self, states: Tensor, places: Tensor, time_state: Sequence[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        n_batch, n_steps, n_notes, _ = states.shape
        above, time_state = self.along_time(states[:, :-1], places[:, :-1], time_state)
        above = above.unflatten(1, (n_batch, n_notes)).permute(2, 1, 0, 3)  # (notes, batch, steps - 1, width)
        chosen = states[:, 1:].permute(2, 0, 1, 3)  # (notes, batch, steps - 1, attributes)
        below = F.pad(chosen[:-1], (0, 0, 0, 0, 0, 0, 1, 0))  # of the note just below; 0 for the lowest
        hidden = torch.cat([above, below.to(above.dtype)], dim=-1).flatten(1, 2)
        for layer in self.note_layers:
            hidden = self._dropped(layer(hidden)[0])
        logits = self.output(hidden)  # (notes, batch * (steps - 1), attributes)
        return logits.unflatten(1, (n_batch, n_steps - 1)).permute(1, 2, 0, 3), time_state

    def along_time(
        self, states: Tensor, places: Tensor, time_state: Sequence[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The layers along time: (batch, steps, notes, attributes) to (steps, batch * notes, hidden).

        With them the state of each layer after the last step, from which another call can go on.
        """
        hidden = self.inputs(states, places)  # (batch, steps, notes, inputs)
        hidden = hidden.transpose(0, 1).flatten(1, 2)  # (steps, batch * notes, inputs)
        last = []
        for number, layer in enumerate(self.time_layers):
            hidden, state = layer(hidden, time_state[number] if time_state else None)
            hidden = self._dropped(hidden)
            last.append(state)
        return hidden, last

    def _dropped(self, hidden: Tensor) -> Tensor:
        """Outputs of a layer (sequence, rows, hidden) after dropout; one mask holds for a whole sequence."""
        config = self.config
        if self.training and config.dropout:
            mask = torch.rand(hidden.shape[1:], device=hidden.device) >= config.dropout
            scale = 1.0 if config.dropout_scaling == "writing" else 1 / (1 - config.dropout)
            return hidden * (mask * scale).to(hidden.dtype)
        return hidden if self.training or self.keep == 1 else hidden * self.keep

    def stages(self) -> list[Stage]:
        """One stage, "notes"."""
        config = self.config
        options = {"rho": 0.95, "eps": 1e-6} if config.optimizer == "adadelta" else {}
        rule = Optimizer(
            config.optimizer,
            config.learning_rate,
            max_tensor_norm=config.max_norm,
            options=options,
            schedule=config.schedule,
        )
        stopping = None if config.patience is None else EarlyStopping(config.patience, every=LOOK_EVERY)
        return [
            Stage(
                "notes",
                config.epochs,
                config.batch_size,
                {"model": rule},
                config.max_updates,
                early_stopping=stopping,
            )
        ]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """One loss, in nats: with AdaDelta the sum over notes, steps and windows, as the original has it.

        With Adam it is the mean over steps and windows of the sum over notes.
        """
        states, places, lasts = self.unpack(batch)
        nats = self._nats(self(states, places), states, lasts).sum()
        yield "model", nats if self.config.optimizer == "adadelta" else nats / lasts[:, 1:].sum().clamp(min=1)

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """In nats: per note and step, and per step (a frame), its first one of a window left out.

        Windows (batch, steps, notes + 1, 2) may be of any length: whole pieces are scored in stretches.
        """
        total, n_frames = torch.zeros((), dtype=torch.float64, device=batch.device), 0
        for windows in batch.split(FIGURES_WINDOWS):
            states, places, lasts = self.unpack(windows)
            time_state = None
            for start in range(0, states.shape[1] - 1, FIGURES_STEPS):
                part = slice(start, start + FIGURES_STEPS + 1)
                logits, time_state = self._logits(states[:, part], places[:, part], time_state)
                total += self._nats(logits, states[:, part], lasts[:, part]).sum(dtype=torch.float64)
            n_frames = n_frames + lasts[:, 1:].sum()
        return {"loss": (total, n_frames * self.config.n_notes), "nats_per_frame": (total, n_frames)}

    def unpack(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compact windows (batch, steps, notes + 1, 2) as the net takes them.

        States (batch, steps, notes, attributes) of floats, places (batch, steps), and whether the piece
        lasts (batch, steps).
        """
        lasts = batch[:, :, -1, 0] != PADDING
        states = batch[:, :, :-1, : self.n_attributes] * lasts[..., None, None]
        return states.float(), batch[:, :, -1, 0] * lasts, lasts

    def _nats(self, logits: Tensor, states: Tensor, lasts: Tensor) -> Tensor:
        """Minus the log of the likelihood of each note: (batch, steps - 1, notes).

        Whether a note is struck counts only where it sounds.
        """
        truth = states[:, 1:]
        nats = F.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
        sounding = truth[..., 0]
        nats = nats[..., 0] if self.n_attributes == 1 else nats[..., 0] + sounding * nats[..., 1]
        return nats * lasts[:, 1:, None]

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Write step after step, and each step from the lowest note up, all pieces side by side.

        Raises
        ------
        GeneratorError
            If the prime has no note within the range.
        """
        config, representation = self.config, note_states(self.config)
        n_steps = request.steps(request.n_bars, steps_per_beat=STEPS_PER_BEAT)
        last_bar = max(0, request.steps(request.n_bars - 1, steps_per_beat=STEPS_PER_BEAT))
        places = representation.places(request.meter, n_steps)
        choices = [float(torch.rand((), generator=rng, dtype=torch.float64)) for rng in rngs]
        columns, time_state = [], None
        if request.prime is None:
            before = representation.first_columns(self.openings, choices)[..., : self.n_attributes]
            before = before.to(self.output.weight.device)
            columns.append(before)
        else:
            states, prime_places = self._prime(representation, request)
            before = states[-1].expand(len(rngs), -1, -1)
            places = np.concatenate([prime_places[-1:], places])
            if len(states) > 1:
                time_state = self._state_after(states[:-1], prime_places[:-1])
        draws = itertools.chain.from_iterable(
            draw_uniforms(rngs, STEPS_DRAWN, config.n_notes, self.n_attributes).unbind(1)
            for _ in itertools.count()
        )
        columns += self.sample(
            before,
            places,
            report_each(draws, n_steps - len(columns), request.report),
            temperature=config.temperature if request.temperature is None else request.temperature,
            time_state=time_state,
        )
        written = torch.stack([each.to(torch.uint8) for each in columns], dim=1).cpu().numpy()
        chords = before[..., 0].cpu().numpy() > 0
        return [
            representation.to_score(piece, request, last_bar=last_bar, fallback=chord)
            for piece, chord in zip(written, chords, strict=True)
        ]

    @torch.no_grad()
    def sample(
        self,
        states: Tensor,
        places: Iterable[int],
        uniforms: Iterable[Tensor],
        *,
        temperature: float = 1.0,
        time_state: Sequence[tuple[Tensor, Tensor]] | None = None,
    ) -> list[Tensor]:
        """The columns that follow given ones, drawn by uniform numbers.

        Parameters
        ----------
        states : Tensor [shape=(pieces, notes, attributes)]
            The columns that come before.
        places : iterable of int
            The clock of these, and then that of each column written.
        uniforms : iterable of Tensor [shape=(pieces, notes, attributes)]
            As many as there are columns to write.
        time_state : sequence, optional
            That of `along_time` before the given columns, a row for each note.

        Returns
        -------
        columns : list of Tensor [shape=(pieces, notes, attributes), dtype=uint8]
        """
        config = self.config
        n_pieces, device = len(states), self.output.weight.device
        sampler = NoteSampler(
            self.inputs,
            self.time_layers,
            self.note_layers,
            self.output,
            keep=self.keep,
            n_pieces=n_pieces,
            precision=config.precision,
        )
        if time_state is not None:
            time_state = [[each.repeat(n_pieces, 1) for each in pair] for pair in time_state]
        sampler.start(states, time_state)
        conservativity = torch.full((n_pieces,), config.conservativity, dtype=torch.float64, device=device)
        calm = 2 if self.polyphony >= 2 else 1  # notes that must sound in a step that is not quiet
        columns = []
        for place, numbers in zip(places, uniforms, strict=False):
            thresholds = thresholds_of(numbers.to(device), temperature, conservativity)
            columns.append(sampler.step(int(place), thresholds).to(torch.uint8))
            if config.adaptive:
                quiet = columns[-1][..., 0].sum(1) < calm
                lower = (conservativity.clamp(max=1) - QUIET).clamp(min=LEAST_CONSERVATIVITY)
                conservativity = torch.where(quiet, lower, conservativity + CALM * (1 - conservativity))
        return columns

    def _prime(self, representation: NoteStates, request: Request) -> tuple[Tensor, np.ndarray]:
        """The states (steps, notes, attributes) and places (steps,) of the end of the prime."""
        steps = representation.encode(request.prime, {})[-LONGEST_PRIME:]
        if not len(steps):
            raise GeneratorError(f"the prime has nothing to continue: it needs {representation.needed()}")
        states = torch.from_numpy(steps[:, :-1, : self.n_attributes]).float()
        return states.to(self.output.weight.device), steps[:, -1, 0]

    def _state_after(self, states: Tensor, places: np.ndarray) -> list[tuple[Tensor, Tensor]]:
        """The time state after some steps, whether or not the model is in training just now."""
        was_training = self.training
        self.eval()
        clock = torch.from_numpy(places).to(states.device)
        _, time_state = self.along_time(states[None], clock[None])
        self.train(was_training)
        return time_state

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw the weights.

        "normal" divides each normal number by how many units its gate has; "original" does so with the
        numbers of the one seed of the original, in its order. "uniform" is torch's rule for an LSTM. "glorot"
        lets signals through all layers from the first update on: Glorot & Bengio (2010) for weights between
        layers, orthogonal ones within, forget gates open, and notes as likely as they are in the corpus.
        """
        config = self.config
        layers = [*self.time_layers, *self.note_layers]
        numbers = np.random.RandomState(ORIGINAL_SEED)  # drawn from by "original" alone

        def normal(*shape: int) -> Tensor:
            if config.initial_weights == "original":
                return torch.from_numpy(numbers.standard_normal(shape)).float() / shape[0]
            return torch.randn(shape) / shape[0]

        for layer in layers:
            width = layer.n_hidden
            for gate in (0, 1, 3, 2):  # the candidate comes before the output gate
                rows = slice(gate * width, (gate + 1) * width)
                if config.initial_weights in ("normal", "original"):
                    both = normal(width, layer.n_inputs + width)
                    layer.weight_input[rows] = both[:, : layer.n_inputs]
                    layer.weight_hidden[rows] = both[:, layer.n_inputs :]
                    layer.bias[rows] = normal(width)
                elif config.initial_weights == "glorot":
                    nn.init.xavier_uniform_(layer.weight_input[rows])
                    nn.init.orthogonal_(layer.weight_hidden[rows])
                    layer.bias[rows] = float(gate == 1)
            state = normal(2 * width)
            if config.initial_state == "random":
                layer.initial_cell.copy_(state[:width])
                layer.initial_hidden.copy_(state[width:])
        if config.initial_weights in ("normal", "original"):
            self.output.weight.copy_(normal(*self.output.weight.shape))
            self.output.bias.copy_(normal(*self.output.bias.shape))
        elif config.initial_weights == "glorot":
            density = min(max(self.polyphony / config.n_notes, 0.01), 0.5)
            nn.init.xavier_uniform_(self.output.weight)
            self.output.bias.zero_()
            self.output.bias[0] = math.log(density / (1 - density))


PRESETS = {
    "paper": Config(),
    # A minute of one CPU on 150 chorales. On the JSB piano rolls (88 notes from 21, not articulated) held-out
    # frames must take less than 11 nats after that; 5.6 were measured in bf16.
    "tiny": Config(
        n_steps=32,
        scaled_position=True,
        time_layers=(128, 128),
        note_layers=(64, 32),
        initial_weights="glorot",
        dropout=0.0,
        dropout_scaling="training",
        optimizer="adam",
        learning_rate=4e-3,
        schedule="linear",
        batch_size=2,
        max_updates=450,
    ),
}
FAMILY = Family(
    title="Biaxial LSTM",
    citation="Johnson 2015, Composing Music With Recurrent Neural Networks",
    config=Config,
    representation=note_states,
    model=BiaxialLSTM,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "transfer"),
    natural_beats=32,
    pieces_at_once=16,
    example={"openings": [], "polyphony": 3.0},
)
