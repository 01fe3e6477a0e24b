"""One training run: its model, its data, and where it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from generators.family import EarlyStopping
from generators.training.distributed import Group
from generators.training.gradients import GRADIENTS_EVERY, GradientRecord
from generators.training.stopping import Stop

if TYPE_CHECKING:
    from generators.corpus import TrainingPieces
    from generators.family import MusicModel, Stage
    from generators.training.progress import Progress

CHECKPOINT_SECONDS = 30.0
NO_LIMITS = {"updates": None, "minutes": None}
#: What a run does for those who watch: none of it changes the model. 0 is never.
WATCHING = {"keep_every": 0, "sample_every": 0, "gradients_every": GRADIENTS_EVERY}


@dataclass(frozen=True)
class TrainingResult:
    """What a training run came to."""

    family: str
    folder: Path
    updates: int
    seconds: float  # of training in all, resumed runs included
    device: str
    parameters: int
    figures: dict[str, dict[str, float]]  # of the train and validation windows, with a "loss" each
    stopped: str  # "finished", "updates", "minutes" or "interrupted"
    precision: str = "fp32"
    new_updates: int = 0  # made by this run itself
    weights_update: int = 0  # the update whose weights these are
    early_stops: list[dict[str, Any]] = field(default_factory=list)  # of stages, with update and best update

    @property
    def losses(self) -> dict[str, float | None]:
        """The mean loss on training and on validation windows, comparable; None where there are none."""
        return {split: self.figures.get(split, {}).get("loss") for split in ("train", "validation")}

    def to_json(self) -> dict[str, Any]:
        """The keys of `train --json`, but for the names of model and corpus."""
        return {
            "family": self.family,
            "updates": self.updates,
            "seconds": round(self.seconds, 3),
            "device": self.device,
            "precision": self.precision,
            "parameters": self.parameters,
            "losses": self.losses,
            "figures": self.figures,
            "stopped": self.stopped,
            "new_updates": self.new_updates,
            "weights_update": self.weights_update,
            "early_stops": self.early_stops,
            "path": str(self.folder),
        }


@dataclass
class Place:
    """How far a run has come: all that resuming needs besides weights, optimisers and random states."""

    stage: int = 0
    epoch: int = 0  # of the stage
    batch: int = 0  # of the epoch
    stage_updates: int = 0
    updates: int = 0
    seconds: float = 0.0
    stage_started: float | None = None  # seconds of training when the stage began
    stage_deadline: float | None = None  # seconds of training at which it must end, if time is limited
    best_epoch_loss: float | None = None  # for `Patience`
    patience_until: int = 0  # update of the stage
    best_validation: float | None = None  # loss, for `EarlyStopping`
    best_figures: dict[str, dict[str, float]] = field(default_factory=dict)
    evaluations_waited: int = 0  # since the validation loss fell
    is_stopped_early: bool = False  # the stage is over, whatever is planned
    is_finished: bool = False  # all of the plan is done; the last stage is still the one at hand
    is_rounded_off: bool = True  # nothing is due after the last update: no evaluation, no line of the log
    best_update: int | None = None  # of the stage, with `best_validation`
    weights_update: int | None = None  # whose weights the stage ended with, if not those of the last update
    early_stops: list[dict[str, Any]] = field(default_factory=list)  # stages that ended early, and when
    unlogged: dict[str, dict[str, float]] = field(default_factory=dict)  # if so, what its line will say
    sampled_tenths: int = 0  # of the plan or the time, by when samples were last written
    log_bytes: int | None = None  # of training.jsonl, when this was saved
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    figures_update: int | None = None  # after which they were measured

    def enter_next_stage(self) -> None:
        """Stand at the start of the next stage, with nothing left of this one."""
        self.stage += 1
        self.epoch = self.batch = self.stage_updates = self.patience_until = 0
        self.stage_started = self.stage_deadline = self.best_epoch_loss = None
        self.forget_the_best()

    def forget_the_best(self) -> None:
        """Let early stopping begin anew."""
        self.best_validation, self.best_figures = None, {}
        self.best_update = self.weights_update = None
        self.evaluations_waited, self.is_stopped_early = 0, False


@dataclass
class Sums:
    """Losses added up on the device, so that no update waits for a number."""

    totals: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, part: str, loss: Tensor) -> None:
        """Count one loss of a part."""
        loss = loss.detach().double()
        self.totals[part] = self.totals[part] + loss if part in self.totals else loss
        self.counts[part] = self.counts.get(part, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean loss of each part."""
        return {part: total.item() / self.counts[part] for part, total in self.totals.items()}


@dataclass
class Run:
    """One training run: the model, its data and where it stands."""

    folder: Path
    family_name: str
    facts: dict[str, Any]  # the part of config.json that does not change
    model: MusicModel
    pieces: TrainingPieces
    device: torch.device
    seed: int
    limits: Mapping[str, Any] = field(default_factory=lambda: dict(NO_LIMITS))
    watching: Mapping[str, Any] = field(default_factory=lambda: dict(WATCHING))
    group: Group = field(default_factory=Group)
    place: Place = field(default_factory=Place)
    sums: Sums = field(default_factory=Sums)  # since the last line of the log
    epoch_sums: Sums = field(default_factory=Sums)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of `Place.best_validation`
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    optimizer_state: dict[str, Tensor] = field(default_factory=dict)  # of a checkpoint, until it is used
    gradient_norms: dict[str, Tensor | None] = field(default_factory=dict)  # of the last batch
    gradients: GradientRecord | None = None
    sample_seconds: float = 0.0
    logged: tuple[float, int] | None = None  # seconds and updates at the last line on updates, or the start
    tick: Callable[[], float] = field(default_factory=lambda: time.perf_counter)
    clock_offset: float = 0.0
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    report: Callable[[Progress], None] = lambda progress: None
    tell: Callable[..., None] = lambda phase="": None  # a report at once, with what takes long now
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self):
        self.parts = self.model.parts()
        self.stages = _stopped_by(self.model.stages(), self.facts.get("early_stopping"))
        self.data = self.pieces  # what the stage at hand trains on

    @property
    def stage(self) -> Stage | None:
        """The stage at hand; None for a family that has none."""
        return self.stages[self.place.stage] if self.stages else None

    def clock(self) -> float:
        """Seconds of training so far, earlier runs included."""
        return self.tick() + self.clock_offset

    def autocast(self) -> torch.autocast:
        """Matrix products in bfloat16, where that is the precision of the run."""
        is_mixed = self.facts.get("precision") == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_mixed)


def _stopped_by(stages: list[Stage], early_stopping: int | str | None) -> list[Stage]:
    """The stages, with early stopping as somebody wished: after so many evaluations, or "off".

    A number holds for the stages that would stop early anyhow, else for the last.
    """
    if early_stopping is None or not stages:
        return stages
    if early_stopping == "off":
        return [replace(stage, early_stopping=None) for stage in stages]
    chosen = [stage.early_stopping is not None for stage in stages]
    if not any(chosen):
        chosen[-1] = True
    return [
        replace(
            stage, early_stopping=replace(stage.early_stopping or EarlyStopping(), evaluations=early_stopping)
        )
        if is_chosen
        else stage
        for stage, is_chosen in zip(stages, chosen, strict=True)
    ]
