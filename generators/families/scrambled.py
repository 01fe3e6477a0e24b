"""Scrambled: real pieces whose pitches were shuffled, the low anchor of a listening study.

A rating scale needs something at its lower end that no listener takes for good music: the low anchors that
ITU-R Recommendation BS.1534 (MUSHRA) has for codecs, made for music. A stretch of a real piece keeps its
instruments, onsets, durations and velocities, and gets the pitches of each track in random order
(`music.transform.scramble`): density, rhythm and pitches stay, melody and harmony go.

Nothing is trained. The model holds the beginnings of some pieces of the train split, and writes in one that
has the meter asked for, if there is any. A piece that is shorter than what is asked for is repeated before it
is scrambled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from generators.family import Family, MusicModel, Request, Stage
from generators.representations.note_pitches import NotePitches, evenly_chosen, one_at_a_time, pitch_figures
from music.score import TICKS_PER_BEAT, Meter, Note, Score, Track
from music.transform import excerpt, scramble, with_ticks_per_beat


@dataclass(frozen=True)
class Config:
    """How much of the corpus the model holds."""

    n_pieces: int = 50  # at most, evenly spaced over the train split
    n_beats: int = 128  # of each, from its first note on

    def __post_init__(self):
        for name in ("n_pieces", "n_beats"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} must be 1 to 10000, got {getattr(self, name)}")


class BeginningsOfPieces(NotePitches):
    """The pieces that the model holds, as text in its configuration."""

    def __init__(self, config: Config):
        self.config = config

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Meter and tracks of each piece; a note is four numbers: onset, pitch, duration, velocity."""
        pieces = []
        for score in evenly_chosen(scores, self.config.n_pieces):
            score = with_ticks_per_beat(score, TICKS_PER_BEAT)
            first = min(note.onset for note in score.notes(drums=False))
            start = first - first % TICKS_PER_BEAT
            piece = excerpt(score, start, start + self.config.n_beats * TICKS_PER_BEAT)
            tracks = [
                {"program": track.program, "is_drum": track.is_drum, "notes": _to_text(track.notes)}
                for track in piece.tracks
                if track.notes
            ]
            meter = score.main_meter
            pieces.append({"meter": [meter.numerator, meter.denominator], "tracks": tracks})
        return {"pieces": pieces}


class Scrambled(MusicModel):
    """Beginnings of real pieces, to be scrambled."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.pieces = [
            Score(
                tuple(
                    Track(_from_text(each["notes"]), each["program"], each["is_drum"])
                    for each in piece["tracks"]
                ),
                meters=(Meter(0, *piece["meter"]),),
            )
            for piece in learned["pieces"]
        ]

    def stages(self) -> list[Stage]:
        """None: there is nothing to train."""
        return []

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """None."""
        yield from ()

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Nats per note, where pitches come as often as in the pieces held."""
        pitches = [note.pitch for piece in self.pieces for note in piece.notes(drums=False)]
        return pitch_figures(batch, torch.bincount(torch.tensor(pitches), minlength=128).double())

    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """A scrambled stretch of a piece drawn at random for each generator; the last bar is never silent."""
        return [self._write(rng, request) for rng in rngs]

    def _write(self, rng: torch.Generator, request: Request) -> Score:
        end = request.end(TICKS_PER_BEAT)
        last_bar = replace(request, n_bars=request.n_bars - 1).end(TICKS_PER_BEAT)
        piece = self._piece(rng, request.meter)
        length = math.ceil(piece.end / TICKS_PER_BEAT)  # beats
        spare = length - math.ceil(end / TICKS_PER_BEAT)
        first = int(torch.randint(max(spare, 0) + 1, (1,), generator=rng)) * TICKS_PER_BEAT
        parts: dict[tuple[int, bool], list[Note]] = {}
        struck = max(
            _add(parts, piece, first, place, end) for place in range(0, end, length * TICKS_PER_BEAT)
        )
        if struck < last_bar or not parts:
            onsets = [note.onset for note in piece.notes(drums=False)]
            start = onsets[int(torch.randint(len(onsets), (1,), generator=rng))]
            _add(parts, piece, start, last_bar, end)
        tracks = tuple(Track(tuple(notes), program, is_drum) for (program, is_drum), notes in parts.items())
        whole = Score(tracks, TICKS_PER_BEAT, (request.tempo,), (request.meter,))
        mixed = scramble(whole, seed=int(torch.randint(2**31, (1,), generator=rng)))
        return mixed.with_tracks(
            replace(track, notes=one_at_a_time(track.notes, end)) for track in mixed.tracks
        )

    def _piece(self, rng: torch.Generator, meter: Meter) -> Score:
        """One of the pieces in a meter, or of all where there is none."""
        pieces = [each for each in self.pieces if each.meters[0] == meter] or self.pieces
        return pieces[int(torch.randint(len(pieces), (1,), generator=rng))]


def _add(parts: dict[tuple[int, bool], list[Note]], piece: Score, first: int, place: int, end: int) -> int:
    """Put the piece from tick `first` on at `place`, up to `end`; the last onset there."""
    stretch, last = excerpt(piece, first, first + end - place), 0
    for track in stretch.tracks:
        if track.notes:
            moved = [replace(note, onset=note.onset + place) for note in track.notes]
            parts.setdefault((track.program, track.is_drum), []).extend(moved)
            last = max(last, moved[-1].onset)
    return last


def _to_text(notes: Sequence[Note]) -> str:
    return " ".join(f"{note.onset} {note.pitch} {note.duration} {note.velocity}" for note in notes)


def _from_text(text: str) -> tuple[Note, ...]:
    numbers = [int(number) for number in text.split()]
    return tuple(Note(*numbers[place : place + 4]) for place in range(0, len(numbers), 4))


PRESETS = {
    "paper": Config(),
    "tiny": Config(n_pieces=20, n_beats=64),
}
FAMILY = Family(
    title="Scrambled pieces",
    citation="a low anchor, after those of ITU-R BS.1534",
    config=Config,
    representation=BeginningsOfPieces,
    model=Scrambled,
    presets=PRESETS,
    natural_beats=64,
    pieces_at_once=1,
    example={"pieces": []},
)
