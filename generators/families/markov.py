"""Markov: the first-order chains that Deep Jammer is compared with.

Svegliato & Witty (2016), "Deep Jammer: A Music Generation Model", the baseline, code
justinsvegliato/deep-jammer. Every note has two attributes, whether it sounds and whether it is struck, and
each pair of a note and an attribute is a chain of its own: on or off in the next step by how often it was so
after being on or off in training.

Differences from the original, whose code is otherwise than that description. It multiplies a matrix over all
pairs, how often one is on after another, with the column of pairs that are on now, so that chances add up
beyond 1; it takes the matrix with its rows for columns; and it silences what is not struck in the wrong
places, the first half of the column by the second. `chances="matrix"` is that product with the matrix the
right way round, `chances="code"` all of it. Drawn together, a pair that is struck without sounding is off.
Pieces begin with a step with which a bar of the corpus begins; one whose last bar is silent ends with its
last chord, held through that bar.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from generators.decoding import draw_uniforms, report_each
from generators.family import Family, MusicModel, Request, Stage
from generators.representations.note_states import PADDING, STEPS_PER_BEAT, NoteStates
from music.score import Score

STEPS_DRAWN = 64  # random numbers are drawn for so many steps at once
LEAST_CHANCE = 1e-6  # of anything, where nats are counted


@dataclass(frozen=True)
class Config:
    """Settings of the chains; the defaults are those of the original."""

    lowest: int = 24  # the range of notes, as MIDI numbers from here up
    n_notes: int = 78
    n_steps: int = 128  # of a segment
    hop: int = 16  # steps from the start of a segment to that of the next
    n_segments: int = 2000  # that are counted, drawn by the seed; all where there are fewer
    chances: Literal["own", "matrix", "code"] = "own"
    batch_size: int = 50

    def __post_init__(self):
        if self.lowest < 0 or self.n_notes < 1 or self.lowest + self.n_notes > 128:
            raise ValueError(
                f"lowest and n_notes must span at least 1 note within MIDI 0-127, "
                f"got {self.n_notes} from {self.lowest}"
            )
        if not 2 <= self.n_steps <= 2**16:
            raise ValueError(f"n_steps must be 2 to {2**16}, got {self.n_steps}")
        for name in ("hop", "n_segments", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Segments(NoteStates):
    """The states of the notes in segments, of which so many are counted."""

    def __init__(self, config: Config):
        super().__init__(lowest=config.lowest, n_notes=config.n_notes, length=config.n_steps, hop=config.hop)
        self.max_windows = config.n_segments


class Markov(MusicModel):
    """Counts of which pairs of a note and an attribute are on, and on in the next step."""

    together: Tensor
    before: Tensor
    after: Tensor
    n_pairs_of_steps: Tensor

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.openings = learned.get("openings", [])
        n_pairs = 2 * config.n_notes  # note by note, sounding and struck
        for name, shape in {
            "together": (n_pairs, n_pairs),  # the first on, the second on a step later
            "before": (n_pairs,),  # on, and a step follows
            "after": (n_pairs,),  # on, and a step came before
            "n_pairs_of_steps": (),
        }.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def stages(self) -> list[Stage]:
        """One stage, "counting": each segment once, without an optimiser."""
        return [Stage("counting", 1, self.config.batch_size, {})]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """None: the segments (batch, steps, notes + 1, 2) are counted."""
        now, then = self._steps(batch)  # (pairs of steps, pairs)
        self.together += now.t() @ then
        self.before += now.sum(0)
        self.after += then.sum(0)
        self.n_pairs_of_steps += len(now)
        yield from ()

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """In nats: per note and step, and per step, as `biaxial` counts them."""
        now, then = self._steps(batch)
        chances = self.chances_after(now).clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
        nats = -(then * chances.log() + (1 - then) * (-chances).log1p()).unflatten(1, (-1, 2))
        total = (nats[..., 0] + then.unflatten(1, (-1, 2))[..., 0] * nats[..., 1]).sum()
        return {"loss": (total, len(now) * self.config.n_notes), "nats_per_frame": (total, len(now))}

    def chances_after(self, columns: Tensor) -> Tensor:
        """How likely each pair is on after columns of 0 and 1: (n, pairs) to (n, pairs), 0 to 1."""
        if self.config.chances == "own":
            stays = self.together.diagonal()
            after_on = stays / self.before.clamp(min=1)
            after_off = (self.after - stays) / (self.n_pairs_of_steps - self.before).clamp(min=1)
            return columns * after_on + (1 - columns) * after_off
        matrix = self.together / self.before.clamp(min=1)[:, None]
        if self.config.chances == "code":
            matrix = matrix.t()
        return (columns @ matrix).clamp(0, 1)

    def _steps(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """All columns of some segments that another follows, and those that follow, as 0 and 1."""
        lasts = batch[:, 1:, -1, 0] != PADDING  # (batch, steps - 1)
        columns = batch[:, :, :-1].flatten(2)  # (batch, steps, pairs)
        return columns[:, :-1][lasts].double(), columns[:, 1:][lasts].double()

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw column after column, each pair by itself."""
        representation, device = Segments(self.config), self.together.device
        n_steps = request.steps(request.n_bars, steps_per_beat=STEPS_PER_BEAT)
        last_bar = max(0, request.steps(request.n_bars - 1, steps_per_beat=STEPS_PER_BEAT))
        choices = [float(torch.rand((), generator=rng, dtype=torch.float64)) for rng in rngs]
        columns = [representation.first_columns(self.openings, choices).double().flatten(1).to(device)]
        draws = itertools.chain.from_iterable(
            draw_uniforms(rngs, STEPS_DRAWN, 2 * self.config.n_notes).unbind(1) for _ in itertools.count()
        )
        half = self.config.n_notes
        for uniforms in report_each(draws, n_steps - 1, request.report):
            column = (uniforms.to(device) < self.chances_after(columns[-1])).double()  # (pieces, pairs)
            if self.config.chances == "code":
                column[:, :half] *= column[:, half:]
            else:
                column[:, 1::2] *= column[:, ::2]
            columns.append(column)
        written = torch.stack(columns, dim=1).unflatten(2, (half, 2)).to(torch.uint8).cpu().numpy()
        return [representation.to_score(piece, request, last_bar=last_bar) for piece in written]


PRESETS = {
    "paper": Config(),
    "tiny": Config(n_segments=500),  # a few seconds
}
FAMILY = Family(
    title="Markov chains",
    citation="Svegliato & Witty 2016, Deep Jammer: A Music Generation Model (baseline)",
    config=Config,
    representation=Segments,
    model=Markov,
    presets=PRESETS,
    natural_beats=32,
    pieces_at_once=16,
    example={"openings": [], "polyphony": 3.0},
)
