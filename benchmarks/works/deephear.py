"""DeepHear: a thousand samples, beside one per call, and beside the second that they may take."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from benchmarks.measuring import Work, best_seconds
from generators.families.deephear import FAMILY, Config, DeepHear
from generators.family import Request
from generators.generation import piece_rng
from generators.representations.piano_roll import STEPS_PER_BEAT, roll_to_score, unflatten
from music.score import Meter, Score, Tempo

REQUEST = Request(4, Tempo(0), Meter(0))
N_SAMPLES = 1024  # a whole number of batches
N_USUAL = 128


@cache
def net() -> DeepHear:
    """A net of the paper's sizes whose windows are as dense as rags: some 250 cells and 120 notes."""
    torch.manual_seed(0)
    model = DeepHear(Config(), FAMILY.example).eval()
    lowest = model.layers[0]
    with torch.no_grad():
        lowest.weight[:, 1::2] = lowest.weight[:, ::2]  # cells sound two by two
        strengths = model.decode(torch.randint(0, 2, (64, 16)).float()).logit()
        lowest.visible_bias -= strengths.quantile(0.955)
    return model


@torch.no_grad()
def one_sample_per_call(count: int) -> list[Score]:
    """The original's way: ten labels and their windows, of which the first is kept; then the next."""
    return _by_calls(count, 10)


@torch.no_grad()
def one_label_per_call(count: int) -> list[Score]:
    """The same without the nine labels that are thrown away."""
    return _by_calls(count, 1)


def _by_calls(count: int, n_labels: int) -> list[Score]:
    model, pieces = net(), []
    for index in range(count):
        labels = torch.randint(0, 2, (n_labels, 16), generator=piece_rng(0, index)).float()
        roll = (unflatten(model.decode(labels))[0] > model.config.threshold).numpy()
        pieces.append(
            roll_to_score(roll, strike_every=16 * STEPS_PER_BEAT, tempo=REQUEST.tempo, meter=REQUEST.meter)
        )
    return pieces


def in_batches(count: int) -> list[Score]:
    """Our way, from seeds to Scores."""
    size, pieces = FAMILY.pieces_at_once, []
    for first in range(0, count, size):
        rngs = [piece_rng(0, index) for index in range(first, first + size)]
        pieces += net().generate(rngs, REQUEST)
    return pieces


def beside(one_by_one: Callable[[int], list[Score]]) -> tuple[float, float]:
    same = sum(one == other for one, other in zip(one_by_one(64), in_batches(64), strict=True))
    assert same >= 60, same  # rounding may move a cell that is right at the threshold
    usual, ours = best_seconds(lambda: one_by_one(N_USUAL), lambda: in_batches(N_SAMPLES))
    return usual / N_USUAL, ours / N_SAMPLES


def beside_the_promise() -> tuple[float, float]:
    (ours,) = best_seconds(lambda: in_batches(N_SAMPLES))
    return 1 / 1000, ours / N_SAMPLES


WORKS = [
    Work(
        name="deephear sampling, 1,000 samples in a second",
        unit="sample",
        baseline="no way of computing but the bar itself: a millisecond per sample, to the finished Score",
        bar=1,
        measure=beside_the_promise,
        flop=2 * 6_046_720,
    ),
    Work(
        name="deephear sampling",
        unit="sample",
        baseline="one sample per call: ten labels, of which the first is kept",
        bar=3,
        measure=lambda: beside(one_sample_per_call),
        flop=2 * 6_046_720,
    ),
    Work(
        name="deephear sampling, one label",
        unit="sample",
        baseline="one label per call: no label is decoded for nothing",
        bar=1,
        measure=lambda: beside(one_label_per_call),
        flop=2 * 6_046_720,
    ),
]
