"""What a family of models declares, so that one loop trains it and one command line runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from music.score import Meter, Score, Tempo

#: What a family may be able to do; `generation` refuses a request for an ability that a family does not list.
ABILITIES = {
    "generate": "writes new pieces",
    "prime": "continues a given piece",
    "temperature": "trades safe choices against varied ones",
    "argmax": "can always take the likeliest choice",
    "harmonize": "writes an accompaniment to a given melody",
    "styles": "writes in the style of given pieces",
    "noise": "adds noise of a given size to its latent vectors",
    "transfer": "goes on from a model of another corpus",
}


class Representation(Protocol):
    """How a family reads a Score: one compact array per piece, of which training sees windows."""

    length: int  # steps in a window
    padding: int  # the value of a step after the end of a piece
    max_windows: int | None  # training takes a random choice of so many; None: all

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """What the model must know of the training pieces before it can be built, as JSON: a vocabulary."""

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """One piece as an array [shape=(n_steps, ...), dtype=uint8 or int16]; n_steps may be 0."""

    def starts(self, steps: np.ndarray) -> list[int]:
        """First steps of the windows of an encoded piece; a window that runs over the end is padded."""

    def describe(self) -> str:
        """A window in words, for the error of a corpus that has none."""


@dataclass(frozen=True)
class Optimizer:
    """The rule by which a part of a model learns."""

    kind: str = "adam"  # a key of `training.OPTIMIZERS`
    learning_rate: float = 1e-3
    decay: float = 1.0  # the learning rate is multiplied by this after each epoch
    max_grad_norm: float | None = (
        None  # gradients longer than this, all tensors taken together, are shortened to it
    )
    max_tensor_norm: float | None = None  # the same for the gradient of each tensor by itself
    options: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the torch optimiser: betas, eps, rho, weight_decay
    schedule: str = "constant"  # a key of `training.SCHEDULES`: the learning rate over the stage


@dataclass(frozen=True)
class Patience:
    """Early stopping on the training loss, counted in updates (Bengio 2012, the deep learning tutorials).

    A stage may run for `epochs`, and for `updates` at least; whenever the mean loss of an epoch falls below
    ``1 - improvement`` of the best so far, it may run until ``factor`` times the update that it has reached.
    """

    epochs: int
    updates: int = 0
    improvement: float = 0.005
    factor: float = 2.0


@dataclass(frozen=True)
class EarlyStopping:
    """Early stopping on the validation loss; the stage ends with the weights that were best on it.

    A stage ends after so many evaluations in a row without a validation loss below ``1 - improvement`` of the
    best so far. A corpus without validation pieces stops nothing.
    """

    evaluations: int = 8
    improvement: float = 0.0
    every: int | None = None  # updates between two evaluations; None: as many as in any stage


@dataclass(frozen=True)
class Stage:
    """A stretch of training with the same losses throughout: the pretraining of a layer, or all of it."""

    name: str
    epochs: int
    batch_size: int
    optimizers: Mapping[str, Optimizer]  # by the name of the part, as in `MusicModel.parts`
    max_updates: int | None = None  # ends the stage before its epochs are over
    patience: Patience | None = None
    share: float = 1.0  # of the time, relative to the other stages, where the time is limited
    early_stopping: EarlyStopping | None = None
    precompute: bool = (
        False  # train on `MusicModel.precompute` of every window, made once as the stage starts
    )
    summed: bool = False  # losses are sums over the windows of a batch, not means: several GPUs must know


def report_nothing(share: float) -> None:
    """Take no notice of how much is done."""


@dataclass(frozen=True)
class Request:
    """What the pieces to write shall be."""

    n_bars: int
    tempo: Tempo
    meter: Meter
    temperature: float | None = None  # None: the family's own
    argmax: bool = False
    prime: Score | None = None
    styles: tuple[Score, ...] = ()
    alpha: float = 0.5
    noise_sd: float | None = None
    #: To be called now and then while pieces are written, with the share of the work that is done, 0 to 1.
    report: Callable[[float], None] = field(default=report_nothing, compare=False)

    def steps(self, n_bars: int, *, steps_per_beat: int) -> int:
        """Whole grid steps in so many bars, at least 1."""
        return max(1, int(n_bars * self.meter.beats_per_bar * steps_per_beat))

    def end(self, ticks_per_beat: int) -> int:
        """The tick at which the last bar ends, rounded down."""
        return int(self.n_bars * self.meter.beats_per_bar * ticks_per_beat)


class MusicModel(nn.Module):
    """A trainable model of music; each family subclasses it once.

    Randomness in training comes from torch's global generator, which the loop seeds, stores and restores.
    Randomness in writing comes only from the generators that are passed in.
    """

    config: Any

    def stages(self) -> list[Stage]:
        """The stages of training, in order; none for a family that learns nothing but `Representation.learn`.

        A stage whose `losses` yield nothing, but count into buffers, is one without optimisers.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """The sub-modules that have an optimiser of their own in some stage."""
        return {"model": self}

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """Yield one ``(part, loss)`` per update of a part; it is updated before the next is asked for.

        How many there are may depend on the windows of the batch; the order of their parts may not, as
        processes that train together have different windows.

        `batch` has the shape (batch, length, ...) of the representation, in its compact type.
        """
        raise NotImplementedError

    def precompute(self, batch: Tensor, stage: str) -> Tensor:
        """What a stage with `Stage.precompute` trains on instead of windows, such as their latent vectors.

        Called without gradients, in evaluation mode, once for every window as the stage starts: (batch,
        length, ...) to (batch, ...). All that comes in this stage (`losses`, `figures_of_stage`) is given
        these rows, of both splits, in place of windows. A run that is resumed makes them again, so they must
        not depend on weights that the stage trains; random numbers may be drawn, and are the same again.
        """
        raise NotImplementedError

    def transfer(self) -> None:
        """Make ready to go on from the weights of a model of another corpus; as a rule all are kept."""

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Figures of merit on a batch as ``name: (total, count)``; "loss" is always there, to be compared.

        Called without gradients on training and on validation windows, so that their means can be compared.
        A family without stages that has nothing to measure gives none.
        """
        raise NotImplementedError

    def figures_of_stage(self, batch: Tensor, stage: str) -> dict[str, tuple[Tensor, Tensor | int]]:
        """The figures to watch while a stage runs; its "loss" on validation windows decides early stopping.

        As a rule those of the whole model. A family whose stages learn different things, or train on rows of
        `precompute`, gives here what each stage is about.
        """
        return self.figures(batch)

    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Write one piece per generator; a piece depends on its own generator alone.

        Called in evaluation mode (``model.eval()``), which the caller sees to: there is no dropout then.
        All generators live on the CPU. Callers keep the number of generators of a family constant, so that
        rounding in a batch can never change a piece. Samples are written during training: nothing that is
        prepared from the weights may outlive a call.
        """
        raise NotImplementedError

    def harmonize(
        self,
        melody: Score,
        rngs: Sequence[torch.Generator],
        report: Callable[[float], None] = report_nothing,
    ) -> list[Score]:
        """Write one accompaniment per generator to the melody of a score (families with the ability only).

        Which notes that is, is the rule of `music.melody.melody_of`; they come back as they are, in the first
        track. `report` is that of `Request`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Family:
    """All that the shared code needs to know about a family."""

    title: str
    citation: str
    config: type  # a frozen dataclass; its defaults are the paper's
    representation: Callable[[Any], Representation]  # from a config
    model: Callable[[Any, Mapping[str, Any]], MusicModel]  # from a config and what was learned
    presets: Mapping[str, Any]  # "paper" and "tiny" at least
    abilities: tuple[str, ...] = ("generate",)
    natural_beats: int = 64  # length of a piece where none is asked for, in quarter notes
    pieces_at_once: int = 16  # a batch of pieces; see `generation`
    #: Whether it plays drums, and so can go on from drums alone; a setting `drums` of its own comes first.
    drums: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)  # something learned, to count parameters with
