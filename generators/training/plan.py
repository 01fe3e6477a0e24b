"""How long a run goes on: the updates that are planned, and what ends a stage or all of it."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

from generators.errors import GeneratorError
from generators.family import Stage
from generators.seeds import derive_seed
from generators.training.run import Run, Sums


def check_limits(updates: int | None, minutes: float | None) -> None:
    """Refuse limits that make no sense."""
    if updates is not None and updates < 1:
        raise GeneratorError(f"updates must be at least 1, got {updates}")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise GeneratorError(f"minutes must be a positive number, got {minutes}")


def n_batches(run: Run, stage: Stage) -> int:
    """Batches in an epoch."""
    return -(-len(run.pieces.train) // stage.batch_size)


def planned_updates(run: Run, stage: Stage) -> int:
    """Updates of a stage that nothing ends early."""
    planned = stage.epochs * n_batches(run, stage)
    return planned if stage.max_updates is None else min(planned, stage.max_updates)


def planned_in_all(run: Run) -> int:
    """Updates of all stages, or those that the run is limited to."""
    planned = sum(planned_updates(run, stage) for stage in run.stages)
    return planned if run.limits["updates"] is None else min(planned, run.limits["updates"])


def share_done(run: Run) -> float:
    """How much of the updates, or of the time if it is limited, lies behind: 0 to 1."""
    done = run.place.updates / max(1, planned_in_all(run))
    if run.limits["minutes"] is not None:
        done = max(done, run.clock() / (60 * run.limits["minutes"]))
    return min(done, 1.0)


def stage_share_done(run: Run) -> float:
    """The same of the stage at hand, by which its learning rates go.

    The limit on all updates does not count: a run with fewer updates is a beginning of one with more.
    """
    place = run.place
    done = place.stage_updates / max(1, planned_updates(run, run.stage))
    if place.stage_deadline is not None:
        length = max(place.stage_deadline - place.stage_started, 1e-9)
        done = run.group.agree(max(done, (run.clock() - place.stage_started) / length))
    return min(done, 1.0)


def epoch_order(run: Run) -> Tensor:
    """The windows in the order of the epoch at hand: a function of seed, stage and epoch alone."""
    rng = torch.Generator().manual_seed(derive_seed(run.seed, "order", run.stage.name, run.place.epoch))
    return torch.randperm(len(run.pieces.train), generator=rng).to(run.device)


def set_deadline(run: Run) -> None:
    """Give the stage at hand its share of the time that is left, if time is limited."""
    place = run.place
    now = run.group.agree(run.clock())
    if place.stage_started is None:
        place.stage_started = now
    if run.limits["minutes"] is None:
        place.stage_deadline = None
    elif place.stage_deadline is None:
        share = run.stage.share / sum(each.share for each in run.stages[place.stage :])
        place.stage_deadline = now + share * max(0.0, run.limits["minutes"] * 60 - now)


def stage_is_over(run: Run) -> bool:
    """Whether the stage at hand has come to its end."""
    place, stage = run.place, run.stage
    if place.is_stopped_early or place.stage_updates >= planned_updates(run, stage):
        return True
    at_end_of_epoch = place.batch == 0 and place.stage_updates > 0
    if stage.patience and at_end_of_epoch and place.stage_updates >= place.patience_until:
        return True
    is_last = place.stage == len(run.stages) - 1
    return not is_last and place.stage_deadline is not None and run.clock() >= place.stage_deadline


def reason_to_stop(run: Run, stop: threading.Event) -> str | None:
    """Why the run should end before its plan does: "interrupted", "updates" or "minutes"."""
    if stop.is_set():
        return "interrupted"
    if run.limits["updates"] is not None and run.place.updates >= run.limits["updates"]:
        return "updates"
    if run.limits["minutes"] is not None and run.clock() >= run.limits["minutes"] * 60:
        return "minutes"
    return None


def start_patience(run: Run) -> None:
    """Let `Patience` begin with the stage."""
    place, patience = run.place, run.stage.patience
    if patience and not place.patience_until:
        place.patience_until = max(patience.updates, patience.epochs * n_batches(run, run.stage))


def finish_epoch(run: Run) -> None:
    """Count the epoch, and prolong a stage with patience while its loss falls."""
    place, patience = run.place, run.stage.patience
    place.epoch += 1
    place.batch = 0
    if patience:
        means = run.epoch_sums.means()
        check_finite(run, means)
        loss = sum(means.values())
        if place.best_epoch_loss is None or loss < place.best_epoch_loss * (1 - patience.improvement):
            longer = math.ceil(place.stage_updates * patience.factor)
            place.patience_until = max(place.patience_until, longer)
        if place.best_epoch_loss is None or loss < place.best_epoch_loss:
            place.best_epoch_loss = loss
    run.epoch_sums = Sums()


def check_finite(run: Run, figures: dict[str, float]) -> None:
    """End a run whose losses are no numbers any more; its last checkpoint stays."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise GeneratorError(
                f"training {run.family_name} broke down at update {run.place.updates}: {name} is {value}; "
                "try a smaller learning_rate (the last checkpoint is from before)"
            )
