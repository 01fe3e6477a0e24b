"""Measuring a model on windows of both splits, and ending a stage whose validation loss falls no more."""

from __future__ import annotations

import math

import torch

from generators.corpus import Rows, TrainingPieces, WindowedPieces
from generators.devices import random_state_kept
from generators.seeds import derive_seed
from generators.training.plan import check_finite, n_batches, planned_updates
from generators.training.run import Run
from generators.training.stopping import BrokenOffError

EVALUATE_EVERY = 250  # updates between two evaluations at most, where a stage does not say
LEAST_EVERY = 10  # where early stopping was asked for, and an evaluation after each epoch comes too often
MOST_TIME = 0.05  # of training, that evaluations may take where they only inform
EVALUATION_WINDOWS = 256  # windows of each split that an evaluation looks at
ROWS_AT_ONCE = 256


def evaluation_is_due(run: Run) -> bool:
    """Whether the update just made is one to evaluate after."""
    rule, every = run.stage.early_stopping, EVALUATE_EVERY
    if rule is None:
        every = _updates_between(run)
    elif rule.every:
        every = rule.every
    elif run.facts.get("early_stopping"):  # it was asked for: small plans must not be over before
        every = min(max(n_batches(run, run.stage), LEAST_EVERY), EVALUATE_EVERY)
    return run.place.updates % every == 0


def _updates_between(run: Run) -> int:
    """Updates between evaluations that only inform: a twentieth of the stage, if they cost no more than that.

    By count alone, as a resumed run must do the same: a window is looked at in a third of the time in which
    it is learned from.
    """
    splits = (run.pieces.train, run.pieces.validation)
    n_windows = sum(min(len(pieces), EVALUATION_WINDOWS) for pieces in splits)
    affordable = math.ceil(n_windows / 3 / run.stage.batch_size / MOST_TIME)
    twentieth = planned_updates(run, run.stage) // 20
    return min(max(twentieth, affordable, LEAST_EVERY), EVALUATE_EVERY)


@torch.no_grad()
def evaluate(run: Run) -> dict[str, dict[str, float]] | None:
    """The mean figures of the model on windows of each split; it changes no random state.

    None if a signal came before it was over.
    """
    return run.group.from_first(lambda: _evaluate(run))


def _evaluate(run: Run) -> dict[str, dict[str, float]] | None:
    run.tell("measuring")
    figures = {}
    try:
        with random_state_kept(run.device), run.stop.may_break_off():
            run.model.eval()
            for name, pieces in (("train", run.data.train), ("validation", run.data.validation)):
                if len(pieces):
                    torch.manual_seed(derive_seed(run.seed, "evaluation"))
                    seed = derive_seed(run.seed, "evaluation", name)
                    figures[name] = _mean_figures(run, pieces.some_windows(EVALUATION_WINDOWS, seed))
    except BrokenOffError:
        return None
    finally:
        run.model.train()
    return figures


def _mean_figures(run: Run, pieces: WindowedPieces | Rows) -> dict[str, float]:
    totals: dict[str, list[float]] = {}
    for windows in torch.arange(len(pieces), device=run.device).split(64):
        batch = pieces.batch(windows)
        with run.autocast():
            stage = run.stage
            figures = run.model.figures_of_stage(batch, stage.name) if stage else run.model.figures(batch)
            for name, (total, count) in figures.items():
                sums = totals.setdefault(name, [0.0, 0.0])
                sums[0] += float(total)
                sums[1] += float(count)
    means = {name: total / max(count, 1.0) for name, (total, count) in totals.items()}
    check_finite(run, means)
    return means


def note_validation(run: Run) -> None:
    """Keep the weights if they are the best of the stage, and end it if they were not for too long."""
    place, rule = run.place, run.stage.early_stopping
    loss = place.figures.get("validation", {}).get("loss")
    if rule is None or loss is None:
        return
    best = place.best_validation
    has_fallen = best is None or loss < best - rule.improvement * abs(best)
    place.evaluations_waited = 0 if has_fallen else place.evaluations_waited + 1
    if best is None or loss < best:
        place.best_validation, place.best_figures = loss, place.figures
        place.best_update = place.updates
        run.best = {name: tensor.detach().clone() for name, tensor in run.model.state_dict().items()}
    place.is_stopped_early = place.evaluations_waited >= rule.evaluations


def restore_the_best(run: Run) -> None:
    """Take back the weights that were best on the validation windows, as the stage ends."""
    if run.best:
        run.model.load_state_dict(run.best)
        run.place.figures = run.place.best_figures
        run.place.weights_update = run.place.best_update
        run.best = {}


@torch.no_grad()
def prepare_data(run: Run) -> None:
    """Let the stage at hand train on windows, or on the rows that the model makes of them."""
    if not run.stage.precompute:
        run.data = run.pieces
        return
    run.model.eval()
    with random_state_kept(run.device):
        torch.manual_seed(derive_seed(run.seed, "precompute", run.stage.name))
        train, validation = _rows(run, run.pieces.train), _rows(run, run.pieces.validation)
    run.model.train()
    run.data = TrainingPieces(train, validation, run.pieces.learned, run.pieces.music)


def _rows(run: Run, pieces: WindowedPieces) -> Rows:
    rows = []
    for windows in torch.arange(len(pieces), device=run.device).split(ROWS_AT_ONCE):
        with run.autocast():
            rows.append(run.model.precompute(pieces.batch(windows), run.stage.name))
    return Rows(torch.cat(rows) if rows else torch.zeros(0, device=run.device))
