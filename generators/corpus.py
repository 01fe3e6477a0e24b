"""Scores to compact arrays on the device, and windows of them; pieces never mix across splits."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from generators.errors import GeneratorError
from generators.seeds import derive_seed
from music.score import MICROSECONDS_PER_BEAT, Meter, Score, ScoreError

if TYPE_CHECKING:
    from generators.family import Representation
    from music.corpus import Corpus

SLOWEST = 2**24 - 1  # microseconds per beat that a MIDI file can say


@dataclass(frozen=True)
class WindowedPieces:
    """The pieces of one split, end to end in one array, and where the windows of each start."""

    steps: Tensor  # (n_steps, ...) uint8 or int16, on the device; pieces padded to hold their last window
    starts: Tensor  # (n_windows,) int64, on the device
    length: int  # steps in a window

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, windows: Tensor) -> Tensor:
        """Windows by number: (n,) int64 to (n, length, ...) in the compact type."""
        offsets = torch.arange(self.length, device=self.starts.device)
        return self.steps[self.starts[windows][:, None] + offsets]

    def some_windows(self, count: int, seed: int) -> WindowedPieces:
        """At most `count` of the windows, drawn without replacement, in their order."""
        if count >= len(self):
            return self
        kept = _some(len(self), count, seed, self.starts.device)
        return WindowedPieces(self.steps, self.starts[kept], self.length)


@dataclass(frozen=True)
class Rows:
    """What a stage trains on instead of windows: one row for each, made beforehand."""

    rows: Tensor  # (n_windows, ...), on the device

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, windows: Tensor) -> Tensor:
        """Rows by number: (n,) int64 to (n, ...)."""
        return self.rows[windows]

    def some_windows(self, count: int, seed: int) -> Rows:
        """The rows of the windows that `WindowedPieces.some_windows` draws."""
        return (
            self if count >= len(self) else Rows(self.rows[_some(len(self), count, seed, self.rows.device)])
        )


@dataclass(frozen=True)
class EncodedCorpus:
    """A corpus whose pieces are arrays in the representation of a family already, such as benchmark sets.

    `train` takes it in place of a corpus of scores. What a family would learn from scores is stated instead.
    """

    name: str
    train: list[np.ndarray]  # each [shape=(n_steps, ...)], as `Representation.encode` gives them
    validation: list[np.ndarray]
    learned: dict[str, Any] = field(default_factory=dict)
    music: dict[str, Any] = field(default_factory=lambda: musical_facts([]))

    @cached_property
    def sha256(self) -> str:
        """A hash of all arrays, their splits, and what is stated beside them."""
        digest = hashlib.sha256(json.dumps([self.learned, self.music], sort_keys=True).encode())
        for split in (self.train, self.validation):
            digest.update(f"{len(split)} pieces".encode())
            for steps in split:
                digest.update(f"{steps.shape} {steps.dtype}".encode())
                digest.update(np.ascontiguousarray(steps).tobytes())
        return digest.hexdigest()


def _some(n: int, count: int, seed: int, device: torch.device) -> Tensor:
    """`count` of the numbers 0..n - 1, drawn without replacement, in their order."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=rng)[:count].sort().values.to(device)


def encode_pieces(
    scores: Sequence[Score],
    representation: Representation,
    learned: Mapping[str, Any],
    device: torch.device | str = "cpu",
) -> WindowedPieces:
    """Encode pieces and lay them end to end, as `window_pieces` does.

    Pieces that the representation cannot read (a grid that does not fit) or that hold no window are left out.
    """
    encoded = []
    for score in scores:
        with contextlib.suppress(ScoreError):
            encoded.append(representation.encode(score, learned))
    return window_pieces(encoded, representation, device)


def window_pieces(
    encoded: Sequence[np.ndarray], representation: Representation, device: torch.device | str = "cpu"
) -> WindowedPieces:
    """Encoded pieces one after the other; each is padded so that no window reaches into the next."""
    arrays, starts, total = [], [], 0
    for steps in encoded:
        own = representation.starts(steps) if len(steps) else []
        if not own:
            continue
        missing = max(0, own[-1] + representation.length - len(steps))
        padding = np.full((missing, *steps.shape[1:]), representation.padding, dtype=steps.dtype)
        arrays += [steps, padding]
        starts += [total + start for start in own]
        total += len(steps) + missing
    steps = np.concatenate(arrays) if arrays else np.zeros((0,), dtype=np.uint8)
    return WindowedPieces(
        torch.from_numpy(steps).to(device),
        torch.tensor(starts, dtype=torch.int64, device=device),
        representation.length,
    )


@dataclass(frozen=True)
class TrainingPieces:
    """What training sees of a corpus."""

    train: WindowedPieces | Rows
    validation: WindowedPieces | Rows
    learned: dict[str, Any]
    music: dict[str, Any]  # see `musical_facts`


def load_pieces(
    corpus: Corpus | EncodedCorpus,
    representation: Representation,
    device: torch.device | str = "cpu",
    *,
    seed: int = 0,
    learned: Mapping[str, Any] | None = None,
) -> TrainingPieces:
    """Encode the train and validation splits of a corpus; one that is encoded already is only cut to windows.

    What is learned (a vocabulary) comes from the train split alone, unless it is given; `seed` draws the
    training windows of a representation that takes only so many.

    Raises
    ------
    GeneratorError
        If the train split holds no window; the message says what a window is.
    """
    if isinstance(corpus, EncodedCorpus):
        learned = corpus.learned if learned is None else learned
        n_pieces, music = len(corpus.train), corpus.music
        train = window_pieces(corpus.train, representation, device)
        validation = window_pieces(corpus.validation, representation, device)
    else:
        scores = [score for score in corpus.scores("train") if score.n_notes]
        if learned is None:
            learned = representation.learn(scores) if scores else {}
        n_pieces, music = len(scores), musical_facts(scores)
        train = encode_pieces(scores, representation, learned, device)
        validation = encode_pieces(list(corpus.scores("validation")), representation, learned, device)
    if not len(train):
        raise GeneratorError(
            f"corpus {corpus.name!r} is too small: its {n_pieces} training pieces with notes give "
            f"0 windows, and at least 1 is needed; a window is {representation.describe()}"
        )
    if representation.max_windows is not None:
        train = train.some_windows(representation.max_windows, derive_seed(seed, "windows"))
    return TrainingPieces(train, validation, dict(learned), music)


def musical_facts(scores: Sequence[Score]) -> dict[str, Any]:
    """The tempo and meter in which models of a corpus write, as JSON.

    The tempo is the median over pieces of their mean tempo, in whole microseconds per beat; the meter is the
    one in force for most beats of the corpus. Without notes they are 120 beats per minute and 4/4.
    """
    tempos = [
        score.duration_seconds * 1e6 * score.ticks_per_beat / score.end
        for score in scores
        if score.end and score.duration_seconds > 0
    ]
    beats: collections.Counter[tuple[int, int]] = collections.Counter()
    for score in scores:
        ends = [meter.tick for meter in score.meters[1:]] + [score.end]
        for meter, end in zip(score.meters, ends, strict=True):
            length = max(0, min(end, score.end) - meter.tick) / score.ticks_per_beat
            beats[meter.numerator, meter.denominator] += length
    default = Meter(0)
    most = max(
        beats, key=lambda meter: (beats[meter], meter), default=(default.numerator, default.denominator)
    )
    return {
        "microseconds_per_beat": min(max(round(statistics.median(tempos)), 1), SLOWEST)
        if tempos
        else MICROSECONDS_PER_BEAT,
        "meter": list(most),
    }
