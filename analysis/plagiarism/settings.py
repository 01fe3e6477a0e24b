"""What a report on originality is asked to measure, and against what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.errors import AnalysisError
from analysis.melody.extraction import ENCODINGS, LINES
from analysis.plagiarism.extraction import UNITS
from analysis.plagiarism.search import EDGES, OFFSETS, SAME_KEY, TWO_OCTAVES, order_transpositions
from music.score import Score

PARTS = ("overlap", "melody")


@dataclass(frozen=True)
class CorpusItem:
    """One piece of the corpus that generated pieces are compared with."""

    name: str
    score: Score
    split: str = "train"  # train, validation or test
    group: str = ""  # pieces of one work, or duplicates, share it

    @property
    def digest(self) -> str:
        """Another for another piece."""
        return hashlib.sha256(repr(self.score).encode()).hexdigest()


@dataclass(frozen=True)
class StoredItem:
    """One piece of a corpus whose notes are read only when they are asked for; else as `CorpusItem`."""

    name: str
    load: Callable[[], Score]
    digest: str  # of the piece's content: another for another piece
    split: str = "train"
    group: str = ""

    @property
    def score(self) -> Score:
        """The notes, read anew each time."""
        return self.load()


@dataclass(frozen=True)
class Settings:
    """Definitions and their free parameters; the defaults are those that reports should quote."""

    only: str | None = None  # "overlap" or "melody"; None measures both
    top: int = 5  # matches listed per piece
    unit: str = "onset"  # of note overlap, one of extraction.UNITS
    transpose: bool = False  # search -12 to 12 semitones instead of the same key alone
    transpositions: tuple[int, ...] | None = None  # any other set, instead of `transpose`
    steps_per_beat: int = 4
    window_bars: int = 4  # a window is so many bars of the piece's own meter,
    window_steps: int | None = None  # unless its length is given in steps
    hop_steps: int | None = None  # windows start at every bar line, unless every so many steps
    offsets: str = "all"
    edges: str = "full"
    per_piece: int = 1
    min_notes: int = 8  # windows of fewer units are shown but left out of averages
    encoding: str = "interval+ratio"  # of melodies, one of melody.extraction.ENCODINGS
    line: str = "skyline"  # which voices are melodies, one of melody.extraction.LINES
    filters: bool = True  # leave out the voices that MELODL4J refuses, where its lines are taken
    penalty: int = 2  # p of the melody score
    edits: int = 3  # the largest k of the frontier
    reference: str = "all"  # search the whole corpus, or its "train" split alone
    baseline_windows: int = 500  # human windows at most, drawn by `seed`
    baseline_melodies: int = 200
    seed: int = 0  # of that draw and of the shuffled control

    def __post_init__(self):
        choices = {
            "only": (self.only, (None, *PARTS)),
            "unit": (self.unit, UNITS),
            "offsets": (self.offsets, OFFSETS),
            "edges": (self.edges, EDGES),
            "encoding": (self.encoding, ENCODINGS),
            "line": (self.line, LINES),
            "reference": (self.reference, ("all", "train")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                words = ", ".join(str(choice) for choice in allowed if choice is not None)
                raise AnalysisError(f"{name} must be one of {words}, got {value!r}")
        ranges = {
            "top": (self.top, 1, 1000),
            "steps_per_beat": (self.steps_per_beat, 1, 96),
            "window_bars": (self.window_bars, 1, 64),
            "window_steps": (1 if self.window_steps is None else self.window_steps, 1, 4096),
            "hop_steps": (1 if self.hop_steps is None else self.hop_steps, 1, 4096),
            "per_piece": (self.per_piece, 1, 1000),
            "min_notes": (self.min_notes, 0, 10_000),
            "penalty": (self.penalty, 1, 100),
            "edits": (self.edits, 0, 15),
            "baseline_windows": (self.baseline_windows, 0, 10**6),
            "baseline_melodies": (self.baseline_melodies, 0, 10**6),
            "seed": (self.seed, 0, 2**63),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise AnalysisError(f"{name} must be {low} to {high}, got {value}")
        if any(not -127 <= d <= 127 for d in self.intervals) or not self.intervals:
            raise AnalysisError(
                f"transpositions must be semitones from -127 to 127, got {self.transpositions}"
            )

    @property
    def intervals(self) -> tuple[int, ...]:
        """The transpositions searched, in semitones, ascending."""
        if self.transpositions is not None:
            return tuple(sorted(order_transpositions(self.transpositions)))
        return TWO_OCTAVES if self.transpose else SAME_KEY

    def measures(self, part: str) -> bool:
        """Whether "overlap" or "melody" is asked for."""
        return self.only in (None, part)

    def to_json(self) -> dict:
        """Every setting, with the window in steps of a 4/4 bar where no length was given."""
        return {
            "only": self.only,
            "top": self.top,
            "unit": self.unit,
            "window_steps": self.window_steps or self.window_bars * 4 * self.steps_per_beat,
            "window_bars": self.window_bars if self.window_steps is None else None,
            "steps_per_beat": self.steps_per_beat,
            "hop_steps": self.hop_steps,
            "transpositions": list(self.intervals),
            "offsets": self.offsets,
            "edges": self.edges,
            "per_piece": self.per_piece,
            "min_notes": self.min_notes,
            "encoding": self.encoding,
            "line": self.line,
            "filters": self.filters,
            "penalty": self.penalty,
            "edits": self.edits,
            "reference": self.reference,
            "baseline_windows": self.baseline_windows,
            "baseline_melodies": self.baseline_melodies,
            "seed": self.seed,
        }


def held_out(corpus: Sequence[CorpusItem | StoredItem]) -> tuple[list[int], str]:
    """The pieces that stand for human music that is not copied, by place in the corpus, and what they are.

    Those outside the train split where the corpus has any, else every piece in turn. Either way a piece is
    compared with the others only.
    """
    apart = [place for place, item in enumerate(corpus) if item.split not in ("train", "")]
    if apart:
        return apart, "held-out pieces"
    return list(range(len(corpus))), "every piece against the others"
