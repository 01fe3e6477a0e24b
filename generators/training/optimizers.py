"""The rules by which parts of a model learn: optimisers, and how their learning rates go over a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from generators.errors import GeneratorError
from generators.family import Optimizer, Stage
from generators.training.plan import stage_share_done
from generators.training.run import Run

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
}


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def linear(share: float) -> float:
    """Whole for the first half, then straight down to 0."""
    return min(1.0, 2 * (1 - share))


def one_cycle(share: float) -> float:
    """From a tenth up to the whole over the first fifth, then down to a 200th, both along a cosine.

    Smith and Topin 2018, with the cosines of fastai.
    """
    if share < 0.2:
        return _cosine(0.1, 1.0, share / 0.2)
    return _cosine(1.0, 1 / 200, (share - 0.2) / 0.8)


def warmup_cosine(share: float) -> float:
    """From a 100th straight up to the whole over the first twentieth, then down to 0 along a cosine."""
    if share < 0.05:
        return 0.01 + 0.99 * share / 0.05
    return _cosine(1.0, 0.0, (share - 0.05) / 0.95)


#: From the share of a stage that is done, 0 to 1, to the share of the learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": linear,
    "one_cycle": one_cycle,
    "warmup_cosine": warmup_cosine,
}


def make_optimizers(run: Run) -> None:
    """Give the stage at hand its optimisers, with the state that a checkpoint has for them."""
    run.optimizers = {
        name: _optimizer(rule, run.parts[name], name) for name, rule in run.stage.optimizers.items()
    }
    for name, optimizer in run.optimizers.items():
        _restore(optimizer, name, run.optimizer_state)
    run.optimizer_state = {}


def set_learning_rates(run: Run, stage: Stage) -> None:
    """The learning rates of the update at hand: by epoch, and by how much of the stage is done."""
    share = None
    for name, rule in stage.optimizers.items():
        factor = rule.decay**run.place.epoch
        if rule.schedule != "constant":
            share = stage_share_done(run) if share is None else share
            factor *= SCHEDULES[rule.schedule](share)
        for group in run.optimizers[name].param_groups:
            group["lr"] = rule.learning_rate * factor


def optimizer_tensors(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of all optimisers as ``optimizer.PART.INDEX.KEY``; `make_optimizers` reads it."""
    return {
        f"optimizer.{part}.{index}.{key}": torch.as_tensor(value).clone()
        for part, optimizer in optimizers.items()
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if value is not None
    }


def rules_of(stage: Stage | None) -> dict[str, Any]:
    """What must be the same for the state of an optimiser to be of use, by part, as JSON."""
    rules = stage.optimizers if stage else {}
    return {part: [rule.kind, sorted(rule.options)] for part, rule in rules.items()}


def _optimizer(rule: Optimizer, part: nn.Module, name: str) -> torch.optim.Optimizer:
    if rule.kind not in OPTIMIZERS:
        raise GeneratorError(
            f"the optimizer of {name} must be one of {', '.join(OPTIMIZERS)}, got {rule.kind!r}"
        )
    if rule.schedule not in SCHEDULES:
        raise GeneratorError(
            f"the schedule of {name} must be one of {', '.join(SCHEDULES)}, got {rule.schedule!r}"
        )
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    return OPTIMIZERS[rule.kind](parameters, lr=rule.learning_rate, **rule.options)


def _restore(optimizer: torch.optim.Optimizer, part: str, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, index, key = name.removeprefix("optimizer.").rsplit(".", 2)
        if owner == part:
            state.setdefault(int(index), {})[key] = tensor
    if state:
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
