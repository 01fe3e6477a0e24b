"""One family, trained for a little while: its held-out figures, and what it writes beside real music."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.description.copying import CopyRate, copy_rate
from analysis.description.distances import compare_features
from analysis.description.diversity import Diversity, describe_diversity
from analysis.description.features import feature_table
from analysis.description.multitrack import BandFigures, TrackFigures, describe_band
from analysis.description.pitch_and_time import PieceFigures, describe_pieces
from benchmarks.reference import baselines_of
from benchmarks.trainings import trained
from generators import checkpoint
from generators.corpus import WindowedPieces, encode_pieces
from generators.generation import generate
from music.corpus import Corpus
from music.score import Score
from music.transform import windows_by_bar

N_BARS = 8  # of a written piece, and of an excerpt of real music
N_PIECES = 32
N_REAL = 64  # excerpts of each split
N_WINDOWS = 128  # of each split that held-out figures look at
N_FITTED = 512  # windows of the train split that predictors count in
COPY_STEPS = (16, 32)


@dataclass(frozen=True)
class Writing:
    """What some pieces are like, written or real."""

    figures: PieceFigures
    band: BandFigures
    diversity: Diversity
    overlaps: dict[
        str, float
    ]  # of each feature, with real training music: 1 where no further away than itself
    spreads: dict[str, float]  # mean distance within the set over that within real training music
    copies: dict[int, CopyRate]  # by the steps of a window, in the whole train split

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Writing:
        """What `Portrait.to_json` wrote of it."""
        band = document["band"]
        return cls(
            figures=PieceFigures(**document["figures"]),
            band=BandFigures(
                tracks={name: TrackFigures(**each) for name, each in band["tracks"].items()},
                drum_pattern=band["drum_pattern"],
                tonal_distance={
                    tuple(pair.split("-")): each for pair, each in band["tonal_distance"].items()
                },
            ),
            diversity=Diversity(**document["diversity"]),
            overlaps=document["overlaps"],
            spreads=document["spreads"],
            copies={int(steps): CopyRate(**each) for steps, each in document["copies"].items()},
        )

    @property
    def overlap(self) -> float:
        """Mean over features."""
        return float(np.mean(list(self.overlaps.values())))


@dataclass(frozen=True)
class Portrait:
    """All that was measured of a family."""

    family: str
    corpus: str
    seconds: float | None = None  # of processor time, of training, earlier runs in the work folder too
    updates: int | None = None
    parameters: int | None = None
    held_out: dict[str, dict[str, float]] = field(default_factory=dict)  # figures by split: train, test
    # What predictors that know next to nothing reach on the same held-out windows: by figure, by predictor.
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    written: Writing | None = None
    real: Writing | None = None  # held-out music of the corpus: what can be reached
    failed: str | None = None

    @property
    def headline(self) -> str | None:
        """The figure to read first: the first that has baselines, else the loss."""
        return next(iter(self.baselines), "loss" if "loss" in self.held_out.get("test", {}) else None)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Portrait:
        """A portrait that `to_json` wrote."""
        written = {key: document[key] and Writing.from_json(document[key]) for key in ("written", "real")}
        return cls(**{**document, **written})

    def to_json(self) -> dict[str, Any]:
        """All figures; the keys of pairs as text."""
        document = asdict(self)
        for key in ("written", "real"):
            if document[key]:
                distances = document[key]["band"]["tonal_distance"]
                document[key]["band"]["tonal_distance"] = {
                    "-".join(pair): each for pair, each in distances.items()
                }
        return document


class RealMusic:
    """The excerpts and splits of a corpus that portraits are held against, read once."""

    def __init__(self, corpus: Corpus):
        self.corpus = corpus
        self.train = list(corpus.scores("train"))
        self.test = list(corpus.scores("test"))
        self.train_excerpts = excerpts(self.train, N_REAL, seed=1)
        self.test_excerpts = excerpts(self.test, N_REAL, seed=2)
        self.features = feature_table(self.train_excerpts)
        self.written = describe(self.test_excerpts, self)


def excerpts(scores: list[Score], count: int, *, seed: int) -> list[Score]:
    """Some excerpts of `N_BARS` bars with notes, none of which overlap."""
    found = [
        window
        for score in scores
        for _, window in windows_by_bar(score, n_bars=N_BARS, hop_bars=N_BARS)
        if window.n_notes
    ]
    random.Random(seed).shuffle(found)
    return found[:count]


def describe(pieces: list[Score], real: RealMusic) -> Writing:
    """What pieces are like, beside the training music of a corpus."""
    compared = compare_features(real.features, feature_table(pieces))
    return Writing(
        figures=describe_pieces(pieces),
        band=describe_band(pieces),
        diversity=describe_diversity(pieces),
        overlaps={name: each.overlap for name, each in compared.items()},
        spreads={name: each.intra / each.intra_real for name, each in compared.items() if each.intra_real},
        copies={steps: copy_rate(pieces, real.train, n_steps=steps) for steps in COPY_STEPS},
    )


def portray(name: str, real: RealMusic, minutes: float, work: Path) -> Portrait:
    """Train the tiny preset of a family, and measure it; what goes wrong is told in the portrait."""
    corpus = real.corpus
    folder = work / "models" / f"{name}-{corpus.name}"
    try:
        stored, result, seconds = trained(name, corpus, folder, minutes)
        windows = {"train": _windows(stored, real.train), "test": _windows(stored, real.test)}
        pieces = generate(folder, count=N_PIECES, bars=N_BARS, device="cpu")
        return Portrait(
            family=name,
            corpus=corpus.name,
            seconds=seconds,
            updates=result.updates,
            parameters=result.parameters,
            held_out={split: _figures(stored.model, each) for split, each in windows.items() if len(each)},
            baselines=baselines_of(stored, _windows(stored, real.train, N_FITTED), windows["test"]),
            written=describe(pieces, real),
            real=real.written,
        )
    except Exception as error:  # one family that fails must not hide the others
        return Portrait(name, corpus.name, failed=f"{type(error).__name__}: {error}")


def _windows(stored: checkpoint.Checkpoint, scores: list[Score], count: int = N_WINDOWS) -> WindowedPieces:
    representation = stored.family.representation(stored.model.config)
    pieces = encode_pieces(scores, representation, stored.config["learned"])
    return pieces.some_windows(count, 0) if len(pieces) else pieces


@torch.no_grad()
def _figures(model: Any, windows: WindowedPieces) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    torch.manual_seed(0)
    for some in torch.arange(len(windows)).split(64):
        for name, (total, count) in model.figures(windows.batch(some)).items():
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += float(total)
            pair[1] += float(count)
    return {name: total / max(count, 1.0) for name, (total, count) in sums.items()}
