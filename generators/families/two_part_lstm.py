"""Two-part MELODL4J: two voices as one string, of which the net can answer either.

Don Smith (2018), GravesLSTMForTwoPartHarmonies and DeepHarmony in the deeplearning4j examples: the two-part
version of MELODL4J, three layers of 250 peephole cells at first, later 200 and 100 (presets "200" and "100";
"deep" has four layers). The language is that of `music.melody_strings.two_parts`: a lower and an upper voice
alternate on a grid, 50 characters.

Differences from the original. The grid is in real time, 16 steps a second as in the code (its text says 20;
`steps_per_second`); `grid="beats"` has steps of a beat instead, so that music keeps its bars at any tempo.
Played, a step lasts as long as it did when it was sampled (the original plays more than three times as
slowly). A window never reaches into another piece or pair of voices: the rest is padded. A corpus of which no
pair of voices passes the filters is learned unfiltered. `max_pairs` takes only so many pairs of a piece,
those first whose voices sound the most. The penalty on weights is half the sum of squares times `l2`
(inferred).

Of writing. Silence of both voices beyond 8 steps is squeezed, and so is a chord that is held for longer than
`longest_repeat` steps (the original squeezed such repeats by a rule that is not known). Silence neither
starts a piece nor fills its last bar. A prime with one voice is played against the net, which answers it;
what was played and answered comes before the piece and is not a part of it. To harmonise is to answer a
melody: as the upper voice the net hears a note of it only after it has chosen its own of the same step, as
the lower voice before (`given`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from generators.family import Family, MusicModel, Optimizer, Request, Stage, report_nothing
from generators.graves import PADDING, CharacterLSTM, CharacterStream, check_settings
from music.melody import melody_of
from music.melody_strings.two_parts import (
    LONGEST_SILENCE,
    REST,
    SYMBOLS,
    VoicePair,
    beat_time,
    interleave,
    real_time,
    squeezed,
    symbols_to_notes,
    voice_pairs,
    voice_to_symbols,
)
from music.score import TICKS_PER_BEAT, Score, Track

BLOCK = 64  # characters drawn before pieces are looked at
LONGEST_PRIME = 1000  # steps of a prime that are heard, counted from its end
LONGEST_PIECE = 1_000_000  # steps; a file that is silent for weeks is no music to learn from


@dataclass(frozen=True)
class Config:
    """Settings of language, net and training; the defaults are those of the first published version."""

    grid: Literal["seconds", "beats"] = "seconds"
    steps_per_second: float = 16.0
    steps_per_beat: int = 4  # of the grid "beats"
    filters: bool = True
    programs: tuple[int, ...] = ()  # General MIDI programs to learn from; none named: all
    max_pairs: int | None = None  # of a piece
    d_hidden: int = 250
    n_layers: int = 3
    n_characters: int = 2000  # in a window
    truncation: int | None = 300  # characters through which gradients flow back; None: the whole window
    batch_size: int = 64
    learning_rate: float = 0.05
    l2: float = 0.0015
    max_grad_norm: float | None = None
    epochs: int = 16
    max_updates: int | None = None
    temperature: float = 1.0
    longest_repeat: int | None = 64  # steps; None: as long as the net likes
    given: Literal["upper", "lower"] = "upper"  # which voice a melody or a prime of one voice is

    def __post_init__(self):
        check_settings(self)
        if self.n_characters % 2:
            raise ValueError(f"n_characters must be even, got {self.n_characters}")
        for name in ("max_pairs", "longest_repeat"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.5 <= self.steps_per_second <= 100:
            raise ValueError(f"steps_per_second must be 0.5 to 100, got {self.steps_per_second}")
        if not 1 <= self.steps_per_beat <= 48:
            raise ValueError(f"steps_per_beat must be 1 to 48, got {self.steps_per_beat}")
        if not all(0 <= program <= 127 for program in self.programs):
            raise ValueError(f"programs must be 0 to 127, got {self.programs}")


class TwoPartStrings:
    """The pairs of voices of a piece, one after the other, a number per character; no window has two."""

    padding = PADDING
    max_windows = None

    def __init__(self, config: Config):
        self.config = config
        self.length = config.n_characters + 1

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Whether the filters leave any pair of voices."""
        filters = self.config.filters and any(
            voice_pairs(score, programs=self.config.programs or None) for score in scores
        )
        return {"filters": filters}

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The characters of all pairs [shape=(n_characters,), dtype=uint8].

        Between pairs there is padding as long as a window, so that none holds two.
        """
        pairs = voice_pairs(
            score, filters=learned.get("filters", False), programs=self.config.programs or None
        )
        pairs.sort(key=_sound, reverse=True)
        to_step = self.clock(score)
        rows = []
        for pair in pairs[: self.config.max_pairs]:
            end = max(pair.lower[-1].end, pair.upper[-1].end)
            n_steps = max(1, math.ceil(to_step(end)))
            if n_steps > LONGEST_PIECE:
                continue
            voices = [voice_to_symbols(voice, to_step, n_steps) for voice in (pair.lower, pair.upper)]
            steps = squeezed(np.stack(voices, axis=1))
            rows.append(interleave(steps[:, 0], steps[:, 1]))
            rows.append(np.full(self.length + 1, PADDING, dtype=np.uint8))
        return np.concatenate(rows[:-1]) if rows else np.zeros(0, dtype=np.uint8)

    def clock(self, score: Score) -> Callable[[int], float]:
        """Ticks of a score to steps."""
        if self.config.grid == "seconds":
            return real_time(score, self.config.steps_per_second)
        return beat_time(score, self.config.steps_per_beat)

    def starts(self, characters: np.ndarray) -> list[int]:
        """Windows side by side from the start of each pair; each ends where the next starts."""
        is_there = np.concatenate([[False], characters != PADDING, [False]])
        first, end = (
            np.flatnonzero(is_there[1:] & ~is_there[:-1]),
            np.flatnonzero(is_there[:-1] & ~is_there[1:]),
        )
        return [
            start
            for first, end in zip(first.tolist(), end.tolist(), strict=True)
            for start in range(first, end - 1, self.config.n_characters)
        ]

    def describe(self) -> str:
        """Two voices of any length give a window."""
        return "a pair of voices, which a piece has where two notes that are no drums sound together"


class TwoPartLSTM(MusicModel):
    """Layers of peephole LSTM over one-hot characters, and the next character read from the top one."""

    def __init__(self, config: Config, learned: Mapping[str, Any]):
        super().__init__()
        self.config = config
        self.strings = TwoPartStrings(config)
        self.net = CharacterLSTM(len(SYMBOLS), config.d_hidden, config.n_layers)

    def forward(self, symbols: Tensor, states: Any = None) -> tuple[Tensor, Any]:
        """Characters to logits of the next: (batch, time) to (batch, time, 50), and the states."""
        return self.net(symbols, states)

    def stages(self) -> list[Stage]:
        """One stage, "characters", with Adam."""
        config = self.config
        rule = Optimizer("adam", config.learning_rate, max_grad_norm=config.max_grad_norm)
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
        """Draw both voices character by character until the bars are full."""
        temperature = self.config.temperature if request.temperature is None else request.temperature
        how = {"temperature": temperature, "argmax": request.argmax}
        written: list[Tensor] = []  # what is drawn before the first block: (pieces, characters)
        if request.prime is None:
            first = [torch.randint(len(SYMBOLS), (1,), generator=rng) for rng in rngs]  # a lower voice
            stream = CharacterStream(self.net, rngs, torch.stack(first), **how)
            written = [torch.stack(first), stream.block(1).cpu()]
        else:
            stream = self._primed(request.prime, rngs, how)
        ticks = self._ticks_per_step(request.tempo.microseconds_per_beat)
        end = request.end(TICKS_PER_BEAT)
        n_steps = max(1, math.ceil(end / ticks))
        last_bar = math.ceil((end - float(request.meter.beats_per_bar) * TICKS_PER_BEAT) / ticks)
        parts = [
            _Parts(n_steps, min(max(last_bar, 0), n_steps - 1), self.config.longest_repeat) for _ in rngs
        ]
        stalled = torch.zeros(len(rngs), dtype=torch.bool)
        while not all(part.is_full for part in parts):
            before = [len(part.steps) for part in parts]
            block = torch.cat([*written, stream.block(BLOCK, _sounding(stalled, stream)).cpu()], dim=1)
            written = []
            for row, (part, symbols) in enumerate(
                zip(parts, block.unflatten(1, (-1, 2)).tolist(), strict=True)
            ):
                part.takes_all = bool(stalled[row])
                part.take(symbols)
                stalled[row] |= len(part.steps) == before[row] and not part.is_full
            request.report(min(len(part.steps) for part in parts) / n_steps)
        onsets = [min(round(step * ticks), end) for step in range(n_steps)]
        return [
            Score(
                tuple(
                    Track(tuple(symbols_to_notes(voice, onsets, end=end)), name=name)
                    for name, voice in (("upper voice", part.voice(1)), ("lower voice", part.voice(0)))
                ),
                TICKS_PER_BEAT,
                (request.tempo,),
                (request.meter,),
            )
            for part in parts
        ]

    @torch.no_grad()
    def harmonize(
        self,
        melody: Score,
        rngs: Sequence[torch.Generator],
        report: Callable[[float], None] = report_nothing,
    ) -> list[Score]:
        """Play the melody as one voice and let the net answer with the other, step by step."""
        notes = melody_of(melody)
        to_step = self.strings.clock(melody)
        n_steps = min(max(1, math.ceil(to_step(notes[-1].end))), LONGEST_PIECE)
        onsets = [min(self._tick_of(step, melody), notes[-1].end) for step in range(n_steps)]
        heard = voice_to_symbols(notes, to_step, n_steps)
        own = 0 if self.config.given == "upper" else 1  # the place of the net's voice in a step
        answers = self._answer(heard, rngs, report, silent=True)
        silent = [not answer[own::2].any() for answer in answers]
        if any(silent):  # once more, without rests
            louder = self._answer(heard, rngs, report, silent=False)
            answers = [
                again if is_silent else answer
                for answer, again, is_silent in zip(answers, louder, silent, strict=True)
            ]
        sung = max(
            (track for track in melody.tracks if not track.is_drum),
            key=lambda track: len(set(notes).intersection(track.notes)),
        )
        return [
            melody.with_tracks(
                (
                    Track(notes, sung.program, name="melody"),
                    Track(
                        tuple(
                            symbols_to_notes(answer[own::2].tolist(), onsets, end=notes[-1].end, velocity=64)
                        ),
                        name="harmony",
                    ),
                )
            )
            for answer in answers
        ]

    def _answer(
        self,
        heard: np.ndarray,
        rngs: Sequence[torch.Generator],
        report: Callable[[float], None],
        *,
        silent: bool,
    ) -> list[np.ndarray]:
        """Both voices (2 n_steps,) where one is given (n_steps,); the net may rest if `silent`."""
        stream = CharacterStream(
            self.net, rngs, torch.full((1, 2), REST), temperature=self.config.temperature
        )
        allowed = None if silent else _sounding(torch.ones(len(rngs), dtype=torch.bool), stream)
        return list(stream.block(2 * len(heard), allowed, self._forced(heard), report).cpu().numpy())

    def _forced(self, heard: np.ndarray) -> Tensor:
        """A voice as the characters that are given (2 n_steps,), -1 for those of the other voice."""
        free = np.full(len(heard), -1, dtype=np.int64)
        heard = heard.astype(np.int64)
        pair = (free, heard) if self.config.given == "upper" else (heard, free)
        return torch.from_numpy(interleave(*pair))

    def _primed(self, prime: Score, rngs: Sequence[torch.Generator], how: dict[str, Any]) -> CharacterStream:
        """A net that has heard a prime: its outer voices, or its one voice with answers of its own."""
        to_step = self.strings.clock(prime)
        n_steps = min(max(1, math.ceil(to_step(prime.end))), LONGEST_PIECE)
        pairs = voice_pairs(prime, filters=False)
        if pairs:
            outer = max(pairs, key=_sound)
            voices = [voice_to_symbols(voice, to_step, n_steps) for voice in (outer.lower, outer.upper)]
            steps = squeezed(np.stack(voices, axis=1))[-LONGEST_PRIME:]
            prefix = interleave(steps[:, 0], steps[:, 1]).astype(np.int64)
            return CharacterStream(self.net, rngs, torch.from_numpy(prefix)[None], **how)
        stream = CharacterStream(self.net, rngs, torch.full((1, 2), REST), **how)
        heard = voice_to_symbols(melody_of(prime), to_step, n_steps)[-LONGEST_PRIME:]
        stream.block(2 * len(heard), forced=self._forced(heard))
        return stream

    def _ticks_per_step(self, microseconds_per_beat: int) -> float:
        if self.config.grid == "beats":
            return TICKS_PER_BEAT / self.config.steps_per_beat
        return 1e6 / self.config.steps_per_second / microseconds_per_beat * TICKS_PER_BEAT

    def _tick_of(self, step: int, score: Score) -> int:
        """The tick of a score at which a step starts."""
        if self.config.grid == "beats":
            return round(step * score.ticks_per_beat / self.config.steps_per_beat)
        return score.seconds_to_tick(step / self.config.steps_per_second)


class _Parts:
    """Two voices in the making: steps (lower, upper) for as long as there is room for them."""

    def __init__(self, n_steps: int, last_bar: int, longest_repeat: int | None):
        self.n_steps, self.last_bar, self.longest_repeat = n_steps, last_bar, longest_repeat
        self.steps: list[tuple[int, int]] = []
        self.run = 0  # steps at the end that are the same
        self.takes_all = False  # where squeezing would leave nothing

    @property
    def is_full(self) -> bool:
        """Whether all steps are there."""
        return len(self.steps) >= self.n_steps

    def take(self, steps: Sequence[Sequence[int]]) -> None:
        """Add steps, but for what is squeezed."""
        for lower, upper in steps:
            if self.is_full:
                return
            step = lower, upper
            is_silent = step == (REST, REST)
            if is_silent and len(self.steps) in (0, self.last_bar):
                continue
            run = self.run + 1 if self.steps and step == self.steps[-1] else 1
            longest = LONGEST_SILENCE if is_silent else self.longest_repeat
            if longest is not None and run > longest and not self.takes_all:
                continue
            self.steps.append(step)
            self.run = run

    def voice(self, place: int) -> list[int]:
        """The symbols of one voice: 0 is the lower, 1 the upper."""
        return [step[place] for step in self.steps]


def _sound(pair: VoicePair) -> int:
    """The ticks in which the quieter of two voices sounds."""
    return min(sum(note.duration for note in voice) for voice in (pair.lower, pair.upper))


def _sounding(rows: Tensor, stream: CharacterStream) -> Tensor | None:
    """What may follow what in each row where some must not rest; None where all may."""
    if not rows.any():
        return None
    allowed = torch.ones(len(rows), len(SYMBOLS), len(SYMBOLS), dtype=torch.bool)
    allowed[rows, :, REST] = False
    return allowed.to(stream.last.device)


PRESETS = {
    "paper": Config(),
    "deep": Config(n_layers=4),
    "200": Config(d_hidden=200),
    "100": Config(d_hidden=100, batch_size=32),
    # Some 35 seconds of one core on 230 chorales, to 0.90 nats per character on held-out ones (bound: 1.0);
    # the frequencies of the characters give 3.23, those after the step before of the same voice 1.09.
    "tiny": Config(
        grid="beats",
        filters=False,
        max_pairs=2,
        d_hidden=96,
        n_layers=2,
        n_characters=200,
        truncation=None,
        batch_size=16,
        learning_rate=5e-3,
        l2=1e-4,
        max_grad_norm=100.0,
        epochs=20,
        max_updates=300,
    ),
}
FAMILY = Family(
    title="Two-part LSTM",
    citation="Smith 2018, MELODL4J: GravesLSTMForTwoPartHarmonies",
    config=Config,
    representation=TwoPartStrings,
    model=TwoPartLSTM,
    presets=PRESETS,
    abilities=("generate", "prime", "temperature", "argmax", "harmonize"),
    natural_beats=64,
    pieces_at_once=16,
    example={"filters": True},
)
