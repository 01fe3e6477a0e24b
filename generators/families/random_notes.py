"""Random notes: a low anchor that knows the scale, the range, the density and the durations of real pieces.

A rating scale needs something at its lower end that no listener takes for good music: the low anchors that
ITU-R Recommendation BS.1534 (MUSHRA) has for codecs, made for music. For each piece that is written, a real
one lends its seven commonest pitch classes, its range, the notes that it has in a beat and how often it has
which duration; the notes are drawn from these independently of each other, at any step of the grid.

Nothing is trained. The commonest pitch classes stand for the scale; the highest and the lowest twentieth of
the notes do not count for the range. Durations are rounded to the grid.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generators.decoding import choose, draw_uniforms
from generators.family import Family, MusicModel, Request, Stage
from generators.representations.note_pitches import NotePitches, evenly_chosen, one_at_a_time, pitch_figures
from music.pianoroll import nearest_step
from music.score import TICKS_PER_BEAT, Note, Score, Track

VELOCITY = 80


@dataclass(frozen=True)
class Config:
    """What is taken over from real pieces, and how finely."""

    scale_size: int = 7  # pitch classes in the scale of a piece; 12: all
    steps_per_beat: int = 4  # of the grid on which notes start and end
    n_pieces: int = 200  # at most, evenly spaced over the train split

    def __post_init__(self):
        if not 1 <= self.scale_size <= 12:
            raise ValueError(f"scale_size must be 1 to 12 pitch classes, got {self.scale_size}")
        if self.steps_per_beat < 1 or TICKS_PER_BEAT % self.steps_per_beat:
            raise ValueError(
                f"steps_per_beat must divide the {TICKS_PER_BEAT} ticks of a beat, got {self.steps_per_beat}"
            )
        if not 1 <= self.n_pieces <= 10_000:
            raise ValueError(f"n_pieces must be 1 to 10000, got {self.n_pieces}")


class PlainFacts(NotePitches):
    """Scale, range, density and durations of pieces."""

    def __init__(self, config: Config):
        self.config = config

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Per piece: its meter, the pitches of its scale within its range, density and durations."""
        return {"pieces": [self._facts(score) for score in evenly_chosen(scores, self.config.n_pieces)]}

    def _facts(self, score: Score) -> dict[str, Any]:
        notes = sorted(score.notes(drums=False))
        pitches = np.array([note.pitch for note in notes])
        lowest = int(np.quantile(pitches, 0.05, method="lower"))
        highest = int(np.quantile(pitches, 0.95, method="higher"))
        classes = collections.Counter(note.pitch % 12 for note in notes)
        commonest = sorted(classes, key=lambda each: (-classes[each], each))
        scale = [
            pitch for pitch in range(lowest, highest + 1) if pitch % 12 in commonest[: self.config.scale_size]
        ]
        steps = collections.Counter(
            max(1, nearest_step(note.duration, self.config.steps_per_beat, score.ticks_per_beat))
            for note in notes
        )
        beats = (max(note.end for note in notes) - notes[0].onset) / score.ticks_per_beat
        return {
            "meter": [score.main_meter.numerator, score.main_meter.denominator],
            "scale": scale or [lowest],
            "notes_per_beat": len(notes) / max(1.0, beats),
            "durations": sorted(steps),  # in steps
            "counts": [steps[duration] for duration in sorted(steps)],
        }


class RandomNotes(MusicModel):
    """Plain facts of real pieces, to draw notes by."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.pieces = list(learned["pieces"])

    def stages(self) -> list[Stage]:
        """None: there is nothing to train."""
        return []

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """None."""
        yield from ()

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Nats per note, where pitches come as often as in what this model writes."""
        weights = torch.zeros(128, dtype=torch.float64)
        for piece in self.pieces:
            weights[piece["scale"]] += 1 / len(piece["scale"])
        return pitch_figures(batch, weights)

    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Notes by the facts of a piece drawn for each generator; the last bar is never silent."""
        return [self._write(rng, request) for rng in rngs]

    def _write(self, rng: torch.Generator, request: Request) -> Score:
        config, end = self.config, request.end(TICKS_PER_BEAT)
        meter = [request.meter.numerator, request.meter.denominator]
        pieces = [each for each in self.pieces if each["meter"] == meter] or self.pieces
        facts = pieces[int(torch.randint(len(pieces), (1,), generator=rng))]
        n_steps = request.steps(request.n_bars, steps_per_beat=config.steps_per_beat)
        count = max(1, round(facts["notes_per_beat"] * n_steps / config.steps_per_beat))
        draws = draw_uniforms([rng], 3, count)[0]  # (3, notes)
        onsets = (draws[0] * n_steps).long().tolist()
        pitches = (draws[1] * len(facts["scale"])).long().tolist()
        weights = torch.tensor(facts["counts"], dtype=torch.float64)[None]
        durations = choose(weights, draws[2][None])[0].tolist()
        step = TICKS_PER_BEAT // config.steps_per_beat
        notes = [
            Note(onset * step, facts["scale"][pitch], facts["durations"][duration] * step, VELOCITY)
            for onset, pitch, duration in zip(onsets, pitches, durations, strict=True)
        ]
        last_bar = replace(request, n_bars=request.n_bars - 1).end(TICKS_PER_BEAT)
        if max(note.onset for note in notes) < last_bar:
            notes[0] = replace(notes[0], onset=last_bar)
        track = Track(one_at_a_time(notes, end))
        return Score((track,), TICKS_PER_BEAT, (request.tempo,), (request.meter,))


PRESETS = {
    "paper": Config(),
    "tiny": Config(n_pieces=50),
}
FAMILY = Family(
    title="Random notes",
    citation="a low anchor, after those of ITU-R BS.1534",
    config=Config,
    representation=PlainFacts,
    model=RandomNotes,
    presets=PRESETS,
    natural_beats=64,
    pieces_at_once=1,
    example={"pieces": []},
)
