"""MELODL4J: melodies as strings of characters, written by a peephole LSTM.

Don Smith (2017), "Learning to compose music from MIDI files using an LSTM neural network in deeplearning4j",
with the code of three generations in the deeplearning4j examples: 2017 (v1: Graves cells, RMSprop, truncated
backpropagation), 2018 (v2: cells without peepholes) and 2022 (v3: three layers, Adam, whole sequences). The
presets "paper", "v2" and "v3" are these; the language is that of `music.melody_strings`.

Differences from the original. The defects of the alphabets are mended; `double_z`, `fold=13` and
`extra_units=1` bring them back. The last character of a window is learned, not zeroed (`zeroed_last_step`).
The melodies of a piece are joined without a mark, as in the original, but a window never reaches into another
piece: the rest is padded. `delimiter` marks where melodies start. A corpus of which no melody passes the
filters is learned unfiltered. The penalty on weights is half the sum of squares times `l2`, in every update
(inferred). With the published learning rate of 0.1 the loss first leaps far above that of guessing and has
hardly come back after 80 updates; with `learning_rate=0.01` it falls from the first hundred on.

Of writing. The original writes 300 characters and plays them at a fixed speed; here a piece has its bars. A
unit of duration lasts about as long as in the average melody of the corpus, so that the most frequent
duration of a piece is a plain note value; after a prime as long as in that. Durations are rounded to
sixteenths (`steps_per_beat`; finer where the average note is shorter, 0 for no grid). Characters that make no
event are passed over (`grammar="free"`), or never drawn ("strict"); a piece that does not get on for a while
is held to the grammar without rests. Pitches start at the corpus's median and keep to its range by octaves
(`start_pitch`, `lowest`, `highest`; the original had 45 to 55, 30 and 79). A rest never ends a piece.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from generators.family import Family, MusicModel, Optimizer, Request, Stage
from generators.graves import PADDING, CharacterLSTM, CharacterStream, check_settings
from music.melody import melody_of
from music.melody_strings import (
    ALPHABETS,
    Alphabet,
    Event,
    Melody,
    events_to_notes,
    events_to_text,
    extract_melodies,
    mean_unit,
    notes_to_events,
    read_events,
)
from music.melody_strings.language import duration_ticks
from music.score import TICKS_PER_BEAT, Score, Track

DELIMITER = "\n"
BLOCK = 64  # characters drawn before pieces are looked at
MOST_APART = 8  # how many times longer or shorter a prime's average note may make those that follow
SHORTEST_MEAN = Fraction(
    TICKS_PER_BEAT, 16
)  # ticks of an average note, however short those of the corpus are
NARROWEST = 24  # pitches between which a piece may move at least


@dataclass(frozen=True)
class Config:
    """Settings of language, net and training; the defaults are those of 2017, but for the mended defects."""

    alphabet: Literal["v1", "v2", "v3"] = "v1"
    double_z: bool = False  # two durations are one character, as published
    fold: int = 12  # semitones by which wide intervals fold; 13 in v2 as published
    extra_units: int = 0  # by which durations are played longer; 1 in v1 and v2 as published
    voice: Literal["top", "bottom", "both", "first"] | None = None  # None: that of the generation
    filters: bool = True
    delimiter: bool = False
    d_hidden: int = 200
    n_layers: int = 2
    peepholes: bool = True
    n_characters: int = 500  # in a window
    zeroed_last_step: bool = False
    truncation: int | None = 50  # characters through which gradients flow back; None: the whole window
    batch_size: int = 32
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    learning_rate: float = 0.1
    rms_decay: float = 0.95
    l2: float = 1e-3
    max_grad_norm: float | None = None
    epochs: int = 10
    max_updates: int | None = None
    temperature: float = 1.0
    grammar: Literal["free", "strict"] = "free"
    steps_per_beat: int = 4  # of the grid of durations; 0: none
    start_pitch: int | None = None
    lowest: int | None = None
    highest: int | None = None

    def __post_init__(self):
        check_settings(self)
        if not 0 <= self.rms_decay < 1:
            raise ValueError(f"rms_decay must be at least 0 and below 1, got {self.rms_decay}")
        if self.fold not in (12, 13):
            raise ValueError(f"fold must be 12 or 13, got {self.fold}")
        if self.extra_units not in (0, 1):
            raise ValueError(f"extra_units must be 0 or 1, got {self.extra_units}")
        if not 0 <= self.steps_per_beat <= TICKS_PER_BEAT:
            raise ValueError(f"steps_per_beat must be 0 to {TICKS_PER_BEAT}, got {self.steps_per_beat}")
        for name, least, most in (("start_pitch", 0, 127), ("lowest", 0, 116), ("highest", 11, 127)):
            if getattr(self, name) is not None and not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} to {most}, got {getattr(self, name)}")
        if None not in (self.lowest, self.highest) and self.highest - self.lowest < 11:
            raise ValueError(
                f"lowest and highest must span 12 pitches or more, got {self.lowest} to {self.highest}"
            )


def alphabet_of(config: Config) -> Alphabet:
    """The alphabet of the settings, mended or as published."""
    alphabet = ALPHABETS[config.alphabet]
    durations = alphabet.as_published().durations if config.double_z else alphabet.durations
    return replace(alphabet, durations=durations, fold=config.fold, extra_units=config.extra_units)


class MelodyStrings:
    """The melodies of a piece, one after the other, a number per character."""

    padding = PADDING
    max_windows = None

    def __init__(self, config: Config):
        self.config = config
        self.alphabet = alphabet_of(config)
        self.hop = config.n_characters
        self.length = config.n_characters if config.zeroed_last_step else config.n_characters + 1

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Whether the filters leave any melody, and the unit, start and range of those that are learned from.

        "ticks_per_unit" is that of a beat of 480 ticks, over all notes; "start_pitch" is the median of first
        pitches.
        """
        filters = self.config.filters
        found = [(score, melody) for score in scores for melody in self._melodies(score, filters)]
        if filters and not found:
            filters = False
            found = [(score, melody) for score in scores for melody in self._melodies(score, filters)]
        if not found:
            return {"filters": filters}
        beats = [note.duration / score.ticks_per_beat for score, melody in found for note in melody.notes]
        pitches = [note.pitch for _, melody in found for note in melody.notes]
        return {
            "filters": filters,
            "ticks_per_unit": round(statistics.fmean(beats) * TICKS_PER_BEAT / 8, 4),
            "start_pitch": round(statistics.median(melody.notes[0].pitch for _, melody in found)),
            "lowest": min(pitches),
            "highest": max(pitches),
        }

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The characters of all melodies of a score [shape=(n_characters,), dtype=uint8]."""
        texts = [
            events_to_text(notes_to_events(melody.notes, self.alphabet), self.alphabet)
            for melody in self._melodies(score, learned.get("filters", False))
        ]
        mark = DELIMITER if self.config.delimiter else ""
        return self.numbers("".join(mark + text for text in texts))

    def numbers(self, text: str) -> np.ndarray:
        """Characters to their numbers [dtype=uint8]."""
        number_of = self.alphabet.number_of | {DELIMITER: len(self.alphabet.symbols)}
        return np.array([number_of[character] for character in text], dtype=np.uint8)

    def starts(self, characters: np.ndarray) -> list[int]:
        """Windows side by side; the last may be short, but has two characters at least."""
        return list(range(0, len(characters) - 1, self.hop))

    def describe(self) -> str:
        """Any piece with a melody of two notes gives a window."""
        return "the characters of the melodies of a piece, which must have one of 2 notes that are no drums"

    def _melodies(self, score: Score, filters: bool) -> list[Melody]:
        return extract_melodies(
            score, generation=self.config.alphabet, voice=self.config.voice, filters=filters
        )[0]


class MelodyLSTM(MusicModel):
    """Layers of LSTM over one-hot characters, and the next character read from the top one."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.learned = dict(learned)
        self.strings = MelodyStrings(config)
        self.alphabet = self.strings.alphabet
        self.symbols = self.alphabet.symbols + (DELIMITER if config.delimiter else "")
        self.net = CharacterLSTM(len(self.symbols), config.d_hidden, config.n_layers, config.peepholes)

    def forward(self, symbols: Tensor, states: Any = None) -> tuple[Tensor, Any]:
        """Characters to logits of the next: (batch, time) to (batch, time, characters), and the states."""
        return self.net(symbols, states)

    def stages(self) -> list[Stage]:
        """One stage, "characters"."""
        config = self.config
        options = {"alpha": config.rms_decay} if config.optimizer == "rmsprop" else {}
        rule = Optimizer(
            config.optimizer, config.learning_rate, max_grad_norm=config.max_grad_norm, options=options
        )
        return [Stage("characters", config.epochs, config.batch_size, {"model": rule}, config.max_updates)]

    def losses(self, batch: Tensor, stage: str) -> Iterator[tuple[str, Tensor]]:
        """A loss per truncation: nats summed over its characters, averaged over windows (batch, time)."""
        for loss in self.net.truncated_losses(batch, self.config.truncation, self.config.l2):
            yield "model", loss

    def figures(self, batch: Tensor) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Per character: nats, and how often the likeliest is right."""
        total, right, count, _ = self.net.score(batch)
        return {"loss": (total, count), "accuracy": (right, count)}

    @torch.no_grad()
    def generate(self, rngs: Sequence[torch.Generator], request: Request) -> list[Score]:
        """Draw characters from a random first one, or after the prime's melody, until the bars are full."""
        unit = max(SHORTEST_MEAN / 8, Fraction(str(self.learned["ticks_per_unit"])))
        start_pitch = self.config.start_pitch
        if start_pitch is None:
            start_pitch = self.learned["start_pitch"]
        if request.prime is not None:
            text, start_pitch, own_unit = self._prime(request.prime)
            unit = min(max(own_unit, unit / MOST_APART), unit * MOST_APART)
            prefix = torch.from_numpy(self.strings.numbers(text)).long()[None]
        elif self.config.delimiter:
            prefix = torch.tensor([[len(self.symbols) - 1]])
        else:
            first = [torch.randint(len(self.symbols), (1,), generator=rng) for rng in rngs]
            prefix = torch.stack(first)  # (pieces, 1)
        temperature = self.config.temperature if request.temperature is None else request.temperature
        stream = CharacterStream(self.net, rngs, prefix, temperature=temperature, argmax=request.argmax)
        end = request.end(TICKS_PER_BEAT)
        starts = [""] * len(rngs)
        if request.prime is None:
            starts = [self.symbols[row[0]] for row in prefix.expand(len(rngs), -1).tolist()]
        melodies: list[_Melody] = []
        stalled = torch.zeros(len(rngs), dtype=torch.bool)
        while not melodies or not all(melody.is_full for melody in melodies):
            block = stream.block(BLOCK, self._allowed(stalled)).tolist()
            texts = ["".join(self.symbols[symbol] for symbol in symbols) for symbols in block]
            if not melodies:
                texts = [start + text for start, text in zip(starts, texts, strict=True)]
                own = [unit if request.prime is not None else self._fitted(unit, text) for text in texts]
                melodies = [_Melody(self.alphabet, each, self._grid(each), end) for each in own]
            for row, (melody, text) in enumerate(zip(melodies, texts, strict=True)):
                before = melody.now
                melody.take(text, is_start=before == 0 and request.prime is None)
                stalled[row] |= melody.now == before and not melody.is_full
            request.report(min(melody.now for melody in melodies) / end)
        lowest, highest = self._range()
        pieces = []
        for melody in melodies:
            notes = events_to_notes(
                melody.events,
                start_pitch=start_pitch,
                unit=melody.unit,
                grid=melody.grid,
                extra_units=self.alphabet.extra_units,
                lowest=lowest,
                highest=highest,
            )
            notes[-1] = replace(notes[-1], duration=min(notes[-1].duration, end - notes[-1].onset))
            pieces.append(Score((Track(tuple(notes)),), TICKS_PER_BEAT, (request.tempo,), (request.meter,)))
        return pieces

    def _allowed(self, stalled: Tensor) -> Tensor | None:
        """Which character may follow which in each piece (pieces, characters, characters); None: any.

        By the grammar a duration follows everything but a duration, which nothing but a duration may precede.
        """
        if self.config.grammar == "free" and not stalled.any():
            return None
        is_duration = torch.tensor([each in self.alphabet.duration_of for each in self.symbols])
        is_interval = torch.tensor([each in self.alphabet.interval_of for each in self.symbols])
        strict = is_duration[:, None] ^ is_duration
        free = torch.ones_like(strict)
        moving = torch.where(is_duration[:, None], is_interval, is_duration)  # without rests
        usual = strict if self.config.grammar == "strict" else free
        return torch.where(stalled[:, None, None], moving, usual).to(self.net.readout.weight.device)

    def _prime(self, prime: Score) -> tuple[str, int, Fraction]:
        """The melody of a prime as far back as a window goes, its last pitch, and its unit in ticks."""
        notes = melody_of(prime)
        text = events_to_text(notes_to_events(notes, self.alphabet), self.alphabet)
        unit = mean_unit(notes) * TICKS_PER_BEAT / prime.ticks_per_beat
        return text[-self.config.n_characters :], notes[-1].pitch, unit

    def _fitted(self, unit: Fraction, text: str) -> Fraction:
        """The unit by which the most frequent duration of a text is the nearest plain note value.

        That is a beat, halved or doubled so often. The unit stays where there is no grid or no note.
        """
        durations = [
            event.duration + self.alphabet.extra_units
            for event in read_events(text, self.alphabet)
            if event.interval is not None and event.duration
        ]
        if not durations or not self.config.steps_per_beat:
            return unit
        most = max(durations, key=lambda duration: (durations.count(duration), duration))
        value = Fraction(2) ** round(math.log2(most * unit / TICKS_PER_BEAT))
        return value * TICKS_PER_BEAT / most

    def _grid(self, unit: Fraction) -> int:
        """Ticks of the grid: a step of `steps_per_beat`, halved while the average note is shorter than it."""
        grid = TICKS_PER_BEAT // self.config.steps_per_beat if self.config.steps_per_beat else 1
        while grid > 8 * unit and grid > 1:
            grid //= 2
        return grid

    def _range(self) -> tuple[int, int]:
        """The lowest and highest pitch: those of the settings, else of the corpus, two octaves at least."""
        lowest, highest = self.learned["lowest"], self.learned["highest"]
        missing = max(0, NARROWEST - (highest - lowest))
        lowest = min(max(0, lowest - missing // 2), 127 - NARROWEST)
        highest = max(highest, lowest + NARROWEST)
        if self.config.lowest is not None:
            lowest = self.config.lowest
            highest = max(highest, lowest + 11)
        if self.config.highest is not None:
            highest = self.config.highest
            lowest = min(lowest, highest - 11)
        return lowest, highest


class _Melody:
    """A melody in the making: events for as long as there is room for them."""

    def __init__(self, alphabet: Alphabet, unit: Fraction, grid: int, end: int):
        self.alphabet, self.unit, self.grid, self.end = alphabet, unit, grid, end
        self.lengths = [duration_ticks(index, unit, grid, alphabet.extra_units) for index in range(32)]
        self.events: list[Event] = []
        self.now = 0  # ticks
        self.pending = ""  # an interval or rest whose duration is yet to come

    @property
    def is_full(self) -> bool:
        """Whether the last note reaches the end."""
        return self.now >= self.end

    def take(self, text: str, *, is_start: bool = False) -> None:
        """Read on; a melody that starts anew does so by repeating a pitch."""
        text = self.pending + text.replace(DELIMITER, self.alphabet.interval_character(0))
        for event in read_events(text, self.alphabet, continues=not is_start):
            if self.is_full:
                return
            length = self.lengths[event.duration]
            if event.interval is not None:
                length = max(self.grid, length)
            elif not self.events or self.now + length >= self.end:
                continue  # silence neither starts nor ends a piece
            self.events.append(event)
            self.now += length
        self.pending = "" if text[-1] in self.alphabet.duration_of else text[-1]


PRESETS = {
    "paper": Config(),
    "v2": Config(alphabet="v2", peepholes=False, epochs=50),
    "v3": Config(
        alphabet="v3",
        peepholes=False,
        n_layers=3,
        optimizer="adam",
        learning_rate=5e-3,
        l2=1e-4,
        truncation=None,
        epochs=50,
    ),
    # Some 45 seconds of one core on 230 chorales, to 1.37 nats per character on held-out ones (bound: 1.5);
    # the frequencies of the characters give 3.07, those after the character before 2.35.
    "tiny": Config(
        d_hidden=128,
        n_characters=150,
        batch_size=16,
        optimizer="adam",
        learning_rate=4e-3,
        l2=1e-4,
        max_grad_norm=100.0,
        epochs=40,
        max_updates=500,
    ),
}
FAMILY = Family(
    title="Melody LSTM",
    citation="Smith 2017, MELODL4J: Learning to compose music from MIDI files using an LSTM",
    config=Config,
    representation=MelodyStrings,
    model=MelodyLSTM,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "argmax"),
    natural_beats=64,
    pieces_at_once=16,
    example={
        "filters": True,
        "ticks_per_unit": 30.0,
        "start_pitch": 60,
        "lowest": 48,
        "highest": 84,
    },
)
