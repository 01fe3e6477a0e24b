"""GRU next note: a word model whose words are notes and chords, without rhythm.

Tham & Kim (2021), "Generating Music Using Deep Learning", section on the single-instrument network, code
thamsuppp/MusicGenDL; the words are those of Skuldur/Classical-Piano-Composer, which names notes and chords as
music21 does.

The report has one layer and the code two: two is the default, since all other facts of the net are the
code's; ``n_layers=1`` is the report's.

Differences from the original. Windows come in a new random order in each epoch; the rest of a piece that
fills no window is padded instead of lost. The original updates after each window, as the preset "paper" does.
With a larger `batch_size` the summed losses of its windows are averaged: an epoch takes a fraction of the
time, but at the same learning rate a batch of 32 gives 32 times fewer updates. The prime of five arbitrary
words is drawn by how often words occur, and is not a part of the piece. Of a given prime the words that
training has not seen are left out, where the code takes them for the first of the vocabulary; held-out pieces
still count them as that. `readout="top"` reads only the upper layer. The code's trials differ in `d_hidden`
(64, 96, 128), `n_layers` (2, 4), `optimizer` and 50 `epochs`.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import choose, draw_uniforms
from generators.errors import GeneratorError
from generators.family import Family, MusicModel, Optimizer, Request, Stage
from generators.settings import check_temperature
from music.score import TICKS_PER_BEAT, Note, Score, Track

EVENTS_PER_BEAT = 2  # every event lasts half a quarter note
OCTAVE_OF_CHORDS = 60  # chords know no octave; they sound in that of middle C
VELOCITY = 80
N_PRIME = 5  # words that start a piece where no prime is given
SPELLINGS = ("C", "C#", "D", "E-", "E", "F", "F#", "G", "G#", "A", "B-", "B")  # as music21; "-" is a flat
NOTE_NAMES = [f"{name}{octave}" for octave in range(-1, 10) for name in SPELLINGS][:128]
# "E-1" is E in octave -1 and E flat in octave 1, as in music21; such a word sounds as the higher one.
PITCH_OF_NAME = {name: pitch for pitch, name in enumerate(NOTE_NAMES)}
PADDING = -1


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are those of the code."""

    d_embedding: int = 96
    d_hidden: int = 96
    n_layers: int = 2  # the report has 1
    readout: Literal["concat", "top"] = "concat"  # which layers the next word is read from
    n_tokens: int = 64  # words in a window; 32 where the code does not say
    batch_size: int = 1
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 2e-3
    decay: float = 0.99  # of the learning rate, after each epoch
    max_grad_norm: float = 1.0
    epochs: int = 40
    max_updates: int | None = None
    temperature: float = 0.8  # the code's pieces are written with 1.2

    def __post_init__(self):
        for name in ("d_embedding", "d_hidden", "n_layers", "batch_size", "max_updates"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_temperature(self.temperature)
        for name in ("learning_rate", "decay", "max_grad_norm"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(self, name)}")
        if self.n_tokens < 2:
            raise ValueError(f"n_tokens must be at least 2, got {self.n_tokens}")
        if self.epochs < 0:
            raise ValueError(f"epochs must be at least 0, got {self.epochs}")


class NoteWords:
    """One word per onset: a note by name and octave, a chord by the normal order of its pitch classes."""

    padding = PADDING
    max_windows = None

    def __init__(self, config: Config):
        self.length = config.n_tokens

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The vocabulary: all words in alphabetical order, and how often each occurs."""
        counts = collections.Counter(word for score in scores for word in words_of(score))
        words = sorted(counts)
        return {"words": words, "counts": [counts[word] for word in words]}

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The words of a score by number [shape=(n_words,), dtype=int16]; unknown ones are 0."""
        number = {word: index for index, word in enumerate(learned["words"])}
        return np.array([number.get(word, 0) for word in words_of(score)], dtype=np.int16)

    def starts(self, words: np.ndarray) -> list[int]:
        """Windows side by side; the last may be short, but has two words at least."""
        return list(range(0, len(words) - 1, self.length))

    def describe(self) -> str:
        """Any piece with two onsets or more gives a window: its rest is padded."""
        return f"a piece with 2 to {self.length} onsets, not of the drums"


class GRUNextNote(MusicModel):
    """Embedding, gated recurrent units, and the next word read from the states of all layers."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.words = list(learned["words"])
        self.counts = list(learned["counts"])
        width = config.d_hidden * (config.n_layers if config.readout == "concat" else 1)
        self.embedding = nn.Embedding(len(self.words), config.d_embedding)
        self.layers = nn.ModuleList(
            nn.GRU(config.d_hidden if index else config.d_embedding, config.d_hidden, batch_first=True)
            for index in range(config.n_layers)
        )
        self.readout = nn.Linear(width, len(self.words))

    def forward(self, words: Tensor, states: Sequence[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
        """Words to logits of the next: (batch, time) to (batch, time, vocabulary), and the new states.

        States are one (1, batch, hidden) per layer, zero where there are none.
        """
        hidden, outputs, new = self.embedding(words), [], []
        for index, layer in enumerate(self.layers):
            hidden, state = layer(hidden, states[index] if states else None)  # (batch, time, hidden)
            outputs.append(hidden)
            new.append(state)
        read = torch.cat(outputs, dim=-1) if self.config.readout == "concat" else hidden
        return self.readout(read), new

    def stages(self) -> list[Stage]:
        """One stage, "words", with a rate that decays after each epoch."""
        config = self.config
        rule = Optimizer(config.optimizer, config.learning_rate, config.decay, config.max_grad_norm)
        return [Stage("words", config.epochs, config.batch_size, {"model": rule}, config.max_updates)]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """One loss: nats summed over the words of a window, averaged over windows (batch, time)."""
        _, _, total = self._next_words(batch)
        yield "model", total / len(batch)

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per word: nats, and how often the likeliest is right."""
        logits, targets, total = self._next_words(batch)
        count = (targets != PADDING).sum()
        return {"loss": (total, count), "accuracy": ((logits.argmax(-1) == targets).sum(), count)}

    def _next_words(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and targets of the next words of windows (batch, time), and the summed loss in nats."""
        words = batch.long()
        logits, _ = self(words[:, :-1].clamp(min=0))  # (batch, time - 1, vocabulary)
        targets = words[:, 1:]
        total = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PADDING, reduction="sum"
        )
        return logits, targets, total

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw word after word, all pieces side by side, each with random numbers of its own.

        Raises
        ------
        GeneratorError
            If training has seen none of the words of the prime.
        """
        device = self.readout.weight.device
        n_events = max(1, math.ceil(request.n_bars * request.meter.beats_per_bar * EVENTS_PER_BEAT))
        draws = draw_uniforms(rngs, N_PRIME + n_events).t().to(device)  # (events, pieces)
        if request.prime is None:
            frequencies = torch.tensor(self.counts, dtype=torch.float64, device=device)
            words = choose(frequencies.expand(len(rngs), -1), draws[:N_PRIME].t())  # (pieces, 5)
        else:
            words = self._heard(request.prime).to(device).expand(len(rngs), -1)  # (pieces, words)
        temperature = self.config.temperature if request.temperature is None else request.temperature
        logits, states = self(words)
        written = []
        for draw in draws[N_PRIME:]:
            last = logits[:, -1].double()  # (pieces, vocabulary)
            if request.argmax:
                words = last.argmax(-1, keepdim=True)
            else:
                last = last - last.max(-1, keepdim=True).values  # no temperature is too small for this
                words = choose(torch.softmax(last / temperature, dim=-1), draw[:, None])
            written.append(words)
            request.report(len(written) / n_events)
            logits, states = self(words, states)
        numbers = torch.cat(written, dim=1).cpu().tolist()  # (pieces, events)
        return [self._to_score([self.words[number] for number in piece], request) for piece in numbers]

    def _heard(self, prime: Score) -> Tensor:
        """The last words of a prime, by number: (words,), without those that training has not seen."""
        number = {word: index for index, word in enumerate(self.words)}
        known = [number[word] for word in words_of(prime) if word in number]
        if not known:
            raise GeneratorError(
                "the prime has no note or chord of the pieces that this model learned from: give one that has"
            )
        return torch.tensor(known[-self.config.n_tokens :])

    def _to_score(self, words: Sequence[str], request: Request) -> Score:
        step, end = TICKS_PER_BEAT // EVENTS_PER_BEAT, request.end(TICKS_PER_BEAT)
        notes = [
            Note(index * step, pitch, max(1, min(step, end - index * step)), VELOCITY)
            for index, word in enumerate(words)
            for pitch in pitches_of(word)
        ]
        return Score((Track(tuple(notes)),), TICKS_PER_BEAT, (request.tempo,), (request.meter,))


def words_of(score: Score) -> list[str]:
    """One word per onset, without drums; onsets count as one where they round to the same place.

    The places are those to which music21 moves the notes of a MIDI file: quarters and thirds of a beat.
    """
    chords: dict[int, set[int]] = {}
    for note in score.notes(drums=False):
        chords.setdefault(_twelfth(note.onset, score.ticks_per_beat), set()).add(note.pitch)
    return [word_of(pitches) for _, pitches in sorted(chords.items())]


def _twelfth(tick: int, ticks_per_beat: int) -> int:
    """The nearest quarter or third of a beat, in twelfths of a beat."""
    beat, rest = divmod(tick, ticks_per_beat)
    return beat * 12 + min((0, 3, 4, 6, 8, 9, 12), key=lambda place: abs(place * ticks_per_beat - 12 * rest))


def word_of(pitches: set[int]) -> str:
    """A note as "C4", a chord as the normal order of its pitch classes, "0.4.7"."""
    if len(pitches) == 1:
        return NOTE_NAMES[next(iter(pitches))]
    return ".".join(str(pitch_class) for pitch_class in normal_order(pitches))


def pitches_of(word: str) -> list[int]:
    """The MIDI numbers that a word sounds as; the classes of a chord are played from middle C up."""
    if word in PITCH_OF_NAME:
        return [PITCH_OF_NAME[word]]
    return [OCTAVE_OF_CHORDS + int(pitch_class) for pitch_class in word.split(".")]


def normal_order(pitches: set[int]) -> tuple[int, ...]:
    """The rotation of the pitch classes that is packed most tightly to the left (Forte 1973)."""
    classes = sorted({pitch % 12 for pitch in pitches})
    rotations = [classes[index:] + classes[:index] for index in range(len(classes))]

    def packing(rotation: list[int]) -> tuple[list[int], int]:
        spans = [(each - rotation[0]) % 12 for each in rotation]
        return [spans[-1], *spans], rotation[0]

    return tuple(min(rotations, key=packing))


PRESETS = {
    "paper": Config(),
    # Some 10 seconds of one CPU on 155 chorales; with more epochs held-out pieces suffer.
    "tiny": Config(
        d_embedding=128, n_layers=1, batch_size=16, learning_rate=3e-3, decay=0.97, epochs=13, max_updates=600
    ),
}
FAMILY = Family(
    title="GRU next note",
    citation="Tham & Kim 2021, Generating Music Using Deep Learning",
    config=Config,
    representation=NoteWords,
    model=GRUNextNote,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "argmax"),
    natural_beats=64,
    pieces_at_once=16,
    example={"words": [str(number) for number in range(1000)], "counts": [1] * 1000},
)
