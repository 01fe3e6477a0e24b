"""What predictors that know next to nothing reach on the windows of a family, in figures of the family."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines import f1_scores, squared_errors, state_nats, token_nats, wrong_cells
from generators.checkpoint import Checkpoint
from generators.corpus import WindowedPieces
from generators.family import MusicModel

FULL = 127  # the highest velocity


@torch.no_grad()
def baselines_of(
    stored: Checkpoint, train: WindowedPieces, test: WindowedPieces
) -> dict[str, dict[str, float]]:
    """By figure of the family, by predictor: "all off", "marginals" and "Markov", as far as there are such.

    The first figure is the one to read first. A family without held-out windows has none.
    """
    if not len(train) or not len(test):
        return {}
    model = stored.model.eval()
    padding = stored.family.representation(model.config).padding
    windows = [each.batch(torch.arange(len(each))) for each in (train, test)]
    names = model.figures(windows[1][:2])
    arrays = [each.numpy() for each in windows]
    if "nats_per_frame" in names:
        nats = state_nats(*(each[:, :, :-1] for each in arrays), padding=padding)
        return {"nats_per_frame": nats}
    if "f1" in names:
        return _of_segments(model, *windows)
    if "wrong_cells" in names:
        return {"wrong_cells": _of_cells(model, *arrays, padding=padding)}
    if "probability" in names:
        return {"loss": _of_softmaxes(model, *windows)}
    if arrays[0].ndim == 3:  # each token has its place in the bar beside it
        arrays = [each[..., 0] for each in arrays]
    if arrays[0].ndim == 2:
        alone, markov = token_nats(list(arrays[0]), list(arrays[1]), padding=padding)
        return {"loss": {"marginals": alone, "Markov": markov}}
    return {}


def _of_cells(model: MusicModel, train: np.ndarray, test: np.ndarray, *, padding: int) -> dict[str, float]:
    """Wrong cells per window; per step of the second half for a family that foretells it from the first."""
    audible = getattr(model.config, "audible", 0) * FULL
    if padding == 0:
        return wrong_cells(train > audible, test > audible)
    half = test.shape[1] // 2
    places = getattr(model, "places", slice(None))
    cells = [((each > 0) & (each != padding))[:, half - 1 :, places] for each in (train, test)]
    known = (test != padding)[:, half - 1 :].reshape(len(test), half + 1, -1).all(axis=2)
    known[:, 0] = False  # the last step of the first half only goes before
    return wrong_cells(*cells, known)


def _of_segments(model: MusicModel, train: Tensor, test: Tensor) -> dict[str, dict[str, float]]:
    """Of pairs of segments: squared errors and F1 of both, and the error of the leader's next vector."""
    segments = [
        (each[:, :, model.places] > 0).unflatten(1, (2, -1)).flatten(0, 1).numpy() for each in (train, test)
    ]  # (segments, steps, tracks, pitches)
    errors: dict[str, float] = {}
    for track, level in enumerate(model.levels.flatten().tolist()):
        of_track = squared_errors(*(each[:, :, track] for each in segments), level=level)
        errors = {name: errors.get(name, 0.0) + each for name, each in of_track.items()}
    rows = [model.precompute(each, "melody")[:, :, 0] for each in (train, test)]  # (pairs, 2, K + 2)
    goes_on = [each[:, 1, -1] for each in rows]  # (pairs,)
    now, then = rows[1][:, 0, :-2], rows[1][:, 1, :-2]
    mean = (rows[0][:, 1, :-2] * goes_on[0][:, None]).sum(0) / goes_on[0].sum().clamp(min=1)

    def error(said: Tensor) -> float:
        each = (said - then).square().mean(1) * goes_on[1]
        return float(each.sum() / goes_on[1].sum().clamp(min=1))

    return {
        "f1": f1_scores(*segments),
        "loss": errors,
        "mse_melody": {"marginals": error(mean), "Markov": error(now)},  # the vector before, once more
    }


def _of_softmaxes(model: MusicModel, train: Tensor, test: Tensor) -> dict[str, float]:
    """The divergence where every class of a group is as likely, or as likely as it is in training.

    They are nets like the model whose readout is told nothing of what came before.
    """
    stand_in = copy.deepcopy(model)
    stand_in.rnn = _Deaf(model.readout.in_features)
    stand_in.readout.bias.zero_()
    found = {"all off": _loss(stand_in, test)}
    bias = stand_in.readout.bias
    with torch.enable_grad():  # convex: the best constant logits are the logs of the frequencies
        optimizer = torch.optim.LBFGS([bias], max_iter=30, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            (loss,) = (loss for _, loss in stand_in.losses(train[:128], ""))
            (loss + 1e-5 * bias.square().sum()).backward()
            return loss.detach()

        optimizer.step(closure)
    return found | {"marginals": _loss(stand_in, test)}


class _Deaf(nn.Module):
    """In place of a recurrent net: zeros, whatever is heard."""

    def __init__(self, n_hidden: int):
        super().__init__()
        self.n_hidden = n_hidden

    def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
        """(batch, time, ...) to (batch, time, n_hidden)."""
        return inputs.new_zeros(*inputs.shape[:2], self.n_hidden), None


def _loss(model: MusicModel, windows: Tensor) -> float:
    sums = [model.figures(some)["loss"] for some in windows.split(64)]
    return sum(float(total) for total, _ in sums) / max(1.0, sum(float(count) for _, count in sums))
