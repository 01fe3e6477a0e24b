"""REMI tokens: bars, places in the bar, and notes in words of two to four tokens.

Huang & Yang (2020), "Pop Music Transformer: Beat-based Modeling and Generation of Expressive Pop Piano
Compositions", ACM Multimedia; several instruments in one stream as in Fradet et al. (2021), "MidiTok", whose
names the tokens have and whose sequences, in meters over quarter notes, are these.

A bar is ``Bar_None``, its meter where the corpus has several, then for each place with notes
``Position_p`` and the notes by instrument and pitch: ``Program_g`` (-1: drums) where the corpus has several,
``Pitch_n`` or ``PitchDrum_n``, ``Velocity_v`` where it has several, ``Duration_beats.rest.resolution``.
A beat is a quarter note in every meter, so that a rhythm has the same words in 3/4, 6/8 and 2/2. MidiTok
counts in notes of the denominator, which halves the grid of 2/2 and makes the quarter of 6/8 look like a
half.

The grid has twelve places in a beat: sixteenths and triplets are exact. Tracks of one program are one
instrument; a note that two of them share is one note, the longer.
"""

from __future__ import annotations

import bisect
import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from music.score import TICKS_PER_BEAT, Note, Score, Track

if TYPE_CHECKING:
    from generators.family import Request

STEPS_PER_BEAT = 12
TICKS_PER_STEP = TICKS_PER_BEAT // STEPS_PER_BEAT
LONGEST_BAR = 16 * STEPS_PER_BEAT  # steps; a longer bar is read and written as several
#: Lengths of notes in steps: every step up to four beats, every quarter of a beat up to twelve.
DURATIONS = (*range(1, 4 * STEPS_PER_BEAT), *range(4 * STEPS_PER_BEAT, 12 * STEPS_PER_BEAT + 1, 3))
VELOCITIES = tuple(127 * level // 8 for level in range(1, 9))  # 15, 31, ... 127
MOST_METERS = 32  # of a corpus; pieces in rarer ones are read in the nearest
MOST_EMPTY_BARS = 4  # in a row; a longer silence is shortened
FEWEST_BAR_TOKENS = 64  # that a bar may have while writing, however sparse the corpus
DRUMS = -1  # as a program
PADDING = -1

START, END, BAR, METER, POSITION, PROGRAM, PITCH, DRUM_PITCH, VELOCITY, DURATION = range(10)
N_KINDS = 10


@dataclass(frozen=True)
class Bar:
    """What sounds from one bar line to the next."""

    meter: tuple[int, int]
    notes: dict[int, dict[tuple[int, int], tuple[int, int]]]
    """By position, then by (program, pitch): (duration in steps, velocity)."""


class Vocabulary:
    """The tokens of a corpus, by number: what kind each is of and what it says."""

    def __init__(self, learned: Mapping[str, Any]):
        self.meters = [tuple(meter) for meter in learned["meters"]]
        self.n_positions = learned["positions"]
        self.programs = list(learned["programs"])
        self.pitches = range(*learned["pitches"])  # with those that transposition may reach
        self.drum_pitches = list(learned["drum_pitches"])
        self.velocities = list(learned["velocities"])
        self.bar_tokens = learned["bar_tokens"]
        self.kinds: list[int] = []
        self.values: list[int] = []  # a number for time and pitch, a place in the list for all others
        self.names: list[str] = []
        self.first: dict[int, int] = {}  # the first token of a kind
        self._add(START, [0], ["BOS_None"])
        self._add(END, [0], ["EOS_None"])
        self._add(BAR, [0], ["Bar_None"])
        if len(self.meters) > 1:
            self._add(METER, range(len(self.meters)), [f"TimeSig_{n}/{d}" for n, d in self.meters])
        self._add(POSITION, range(self.n_positions), [f"Position_{p}" for p in range(self.n_positions)])
        if len(self.programs) > 1:
            self._add(PROGRAM, range(len(self.programs)), [f"Program_{p}" for p in self.programs])
        self._add(PITCH, self.pitches, [f"Pitch_{pitch}" for pitch in self.pitches])
        self._add(DRUM_PITCH, self.drum_pitches, [f"PitchDrum_{pitch}" for pitch in self.drum_pitches])
        if len(self.velocities) > 1:
            self._add(VELOCITY, range(len(self.velocities)), [f"Velocity_{v}" for v in self.velocities])
        self._add(DURATION, range(len(DURATIONS)), [_duration_name(steps) for steps in DURATIONS])

    def _add(self, kind: int, values: Sequence[int], names: Sequence[str]) -> None:
        if len(names):
            self.first[kind] = len(self.kinds)
        self.kinds += [kind] * len(names)
        self.values += list(values)
        self.names += list(names)

    def __len__(self) -> int:
        return len(self.kinds)

    def number(self, kind: int, place: int) -> int:
        """The token of a kind by its place among them."""
        return self.first[kind] + place


def _duration_name(steps: int) -> str:
    """Beats, rest and resolution, as MidiTok writes them: 0.6.12 is half a beat, 4.1.4 four and a quarter."""
    resolution = STEPS_PER_BEAT if steps < 4 * STEPS_PER_BEAT else 4
    beats, rest = divmod(steps * resolution // STEPS_PER_BEAT, resolution)
    return f"Duration_{beats}.{rest}.{resolution}"


class RemiTokens:
    """A piece as one stream of REMI tokens [shape=(n_tokens,), dtype=int16], from a start to an end token.

    Parameters
    ----------
    length, hop : int
        Tokens in a window, and from one window to the next.
    transpose : tuple of int
        Semitones down and up that training will move pieces by; the vocabulary has room for them.
    """

    padding = PADDING
    max_windows = None

    def __init__(self, *, length: int, hop: int, transpose: tuple[int, int] = (0, 0)):
        self.length, self.hop, self.transpose = length, hop, transpose

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The vocabulary: meters, programs, pitches and velocities that occur, and the fullest bar."""
        meters: collections.Counter[tuple[int, int]] = collections.Counter()
        programs, pitches, drum_pitches, velocities, longest = set(), set(), set(), set(), 1
        fullest = 0
        for score in scores:
            for bar in bars_of(score, LONGEST_BAR):
                meters[bar.meter] += 1
                longest = max(longest, _bar_steps(bar.meter))
                sizes = 2
                for notes in bar.notes.values():
                    sizes += 1 + 4 * len(notes)
                    for (program, pitch), (_, velocity) in notes.items():
                        programs.add(program)
                        (drum_pitches if program == DRUMS else pitches).add(pitch)
                        velocities.add(velocity)
                fullest = max(fullest, sizes)
        down, up = self.transpose
        lowest, highest = (min(pitches) - down, max(pitches) + up) if pitches else (0, -1)
        return {
            "meters": sorted(list(meter) for meter, _ in meters.most_common(MOST_METERS)),
            "positions": min(longest, LONGEST_BAR),
            "programs": sorted(programs),
            "pitches": [max(0, lowest), min(127, highest) + 1],
            "drum_pitches": sorted(drum_pitches),
            "velocities": sorted(velocities),
            "bar_tokens": max(FEWEST_BAR_TOKENS, fullest),
        }

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The tokens of a piece; without notes that the vocabulary can say, none.

        Pitches beyond the vocabulary come by octaves to within it, programs as the nearest that there is,
        drums not at all where there are none, and so with everything but drums.
        """
        words = Vocabulary(learned)
        tokens: list[int] = [words.number(START, 0)]
        last = n_empty = 0  # where the tokens end without silence at the end of the piece
        for bar in bars_of(score, words.n_positions):
            n_empty = 0 if bar.notes else n_empty + 1
            if n_empty > MOST_EMPTY_BARS:
                continue
            tokens.append(words.number(BAR, 0))
            if len(words.meters) > 1:
                tokens.append(words.number(METER, _nearest_meter(bar.meter, words.meters)))
            for position, notes in sorted(bar.notes.items()):
                known = _known_notes(notes, words)
                if known:
                    tokens.append(words.number(POSITION, position))
                for (program, place), (duration, velocity) in sorted(known.items()):
                    if len(words.programs) > 1:
                        tokens.append(words.number(PROGRAM, program))
                    kind = DRUM_PITCH if words.programs[program] == DRUMS else PITCH
                    tokens.append(words.number(kind, place))
                    if len(words.velocities) > 1:
                        tokens.append(words.number(VELOCITY, _nearest(velocity, words.velocities)))
                    tokens.append(words.number(DURATION, _nearest(duration, DURATIONS)))
                    last = len(tokens)
        return np.array([*tokens[:last], words.number(END, 0)] if last else [], dtype=np.int16)

    def starts(self, tokens: np.ndarray) -> list[int]:
        """Windows every `hop` tokens, as long as the one before does not reach the end."""
        last = max(1, len(tokens) - self.length + self.hop)
        return list(range(0, last, self.hop)) if len(tokens) > 1 else []

    def describe(self) -> str:
        """Any piece with a note gives a window: its rest is padded."""
        return f"a piece with at least one note; up to {self.length} tokens of it, about four to a note"


def bars_of(score: Score, most_steps: int) -> list[Bar]:
    """The bars of a score on the grid, from its start to its last note; bars of more steps are cut in pieces.

    A note moves to the nearest step, perhaps that of the next bar line.
    """
    per_beat = score.ticks_per_beat
    starts = score.bar_starts() if score.end else []
    changes = [meter.tick for meter in score.meters]
    cuts: list[tuple[int, tuple[int, int]]] = []  # where bars start, and their meters
    for start, stop in zip(starts, [*starts[1:], None], strict=True):
        meter = score.meters[bisect.bisect_right(changes, start) - 1]
        stop = start + int(meter.beats_per_bar * per_beat) if stop is None else stop
        n_pieces = max(1, -(-(stop - start) * STEPS_PER_BEAT // (most_steps * per_beat)))
        cuts += [
            (start + part * most_steps * per_beat // STEPS_PER_BEAT, (meter.numerator, meter.denominator))
            for part in range(n_pieces)
        ]
    bars = [Bar(meter, {}) for _, meter in cuts]
    lines = [start for start, _ in cuts]
    for track in score.tracks:
        program = DRUMS if track.is_drum else track.program
        for note in track.notes:
            index = bisect.bisect_right(lines, note.onset) - 1
            position = _to_steps(note.onset - lines[index], per_beat)
            stop = lines[index + 1] if index + 1 < len(lines) else None
            if position and (
                position >= most_steps
                or (stop is not None and position * per_beat >= (stop - lines[index]) * STEPS_PER_BEAT)
                or (stop is None and position >= _bar_steps(bars[index].meter))
            ):
                index, position = index + 1, 0
                if index == len(bars):
                    bars.append(Bar(bars[-1].meter, {}))
            notes = bars[index].notes.setdefault(position, {})
            duration = max(1, _to_steps(note.duration, per_beat))
            velocity = VELOCITIES[_nearest(note.velocity, VELOCITIES)]
            other = notes.get((program, note.pitch), (0, 0))
            notes[program, note.pitch] = (max(duration, other[0]), max(velocity, other[1]))
    return bars


def _to_steps(ticks: int, ticks_per_beat: int) -> int:
    return (2 * ticks * STEPS_PER_BEAT + ticks_per_beat) // (2 * ticks_per_beat)


def _bar_steps(meter: tuple[int, int]) -> int:
    """Steps that begin within a bar."""
    return -(-Fraction(4 * meter[0], meter[1]) * STEPS_PER_BEAT // 1)


def _nearest(value: int, choices: Sequence[int]) -> int:
    """The place of the nearest of rising numbers; the lower of two."""
    place = bisect.bisect_left(choices, value)
    if place == 0:
        return 0
    if place == len(choices) or value - choices[place - 1] <= choices[place] - value:
        return place - 1
    return place


def _nearest_meter(meter: tuple[int, int], meters: Sequence[tuple[int, int]]) -> int:
    """The place of a meter, or of that whose bar is nearest in length, then in denominator."""
    length = Fraction(*meter)
    return min(
        range(len(meters)),
        key=lambda place: (
            meters[place] != meter,
            abs(Fraction(*meters[place]) - length),
            abs(meters[place][1] - meter[1]),
            place,
        ),
    )


def _known_notes(
    notes: Mapping[tuple[int, int], tuple[int, int]], words: Vocabulary
) -> dict[tuple[int, int], tuple[int, int]]:
    """Notes by the places of program and pitch in the vocabulary, without those that it cannot say."""
    pitched = [place for place, program in enumerate(words.programs) if program != DRUMS]
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for (program, pitch), (duration, velocity) in notes.items():
        if program == DRUMS:
            if DRUMS not in words.programs or pitch not in words.drum_pitches:
                continue
            key = words.programs.index(DRUMS), words.drum_pitches.index(pitch)
        else:
            if not pitched:
                continue
            nearest = min(
                pitched,
                key=lambda place: (
                    words.programs[place] != program,
                    words.programs[place] // 8 != program // 8,
                    abs(words.programs[place] - program),
                ),
            )
            key = nearest, folded(pitch, words.pitches) - words.pitches.start
        other = known.get(key, (0, 0))
        known[key] = (max(duration, other[0]), max(velocity, other[1]))
    return known


def folded(pitch: int, pitches: range) -> int:
    """A pitch moved by octaves into a range, or to its nearest end where the range is too narrow."""
    while pitch < pitches.start and pitch + 12 < pitches.stop:
        pitch += 12
    while pitch >= pitches.stop and pitch - 12 >= pitches.start:
        pitch -= 12
    return min(max(pitch, pitches.start), pitches.stop - 1)


class RemiLanguage:
    """What a model knows of the tokens: how many, how to transpose them, what may follow, how they sound.

    Which token may come next is known exactly, so everything that is drawn can be played: see `RemiGrammar`.
    """

    def __init__(self, learned: Mapping[str, Any]):
        self.words = Vocabulary(learned)
        self.n_tokens = len(self.words)
        self.start = self.words.number(START, 0)

    def transposed(self, tokens: Tensor, semitones: Tensor) -> Tensor:
        """Rows of tokens (batch, time) moved by whole numbers of semitones (batch,); drums stay.

        What would leave the vocabulary moves an octave the other way.
        """
        first, count = self.words.first.get(PITCH, 0), len(self.words.pitches)
        place = tokens - first
        moved = place + semitones[:, None]
        if count >= 12:
            moved = torch.where(moved < 0, moved + 12, torch.where(moved >= count, moved - 12, moved))
        moved = moved.clamp(0, max(0, count - 1))
        return torch.where((place >= 0) & (place < count), first + moved, tokens)

    def prime(self, score: Score, learned: Mapping[str, Any], length: int) -> list[int]:
        """The last tokens of a piece to continue, at most `length`, up to its last note."""
        tokens = RemiTokens(length=2, hop=2).encode(score, learned)
        return tokens[:-1][-length:].tolist()

    def grammar(self, n_pieces: int, request: Request, device: torch.device) -> RemiGrammar:
        """The rules for writing pieces of the bars and the meter that are asked for."""
        return RemiGrammar(self.words, n_pieces, request, device)

    def to_score(self, tokens: Sequence[int], request: Request) -> Score:
        """The notes of tokens that keep to the grammar; whatever lies beyond the last bar is cut off."""
        words, end = self.words, request.end(TICKS_PER_BEAT)
        bars = bars_to_write(request, words.n_positions)
        bar, position, program, pitch, velocity = -1, 0, 0, 0, 0
        by_pitch: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
        for token in tokens:
            kind, value = words.kinds[token], words.values[token]
            if kind == BAR:
                bar += 1
            elif kind == POSITION:
                position = value
            elif kind == PROGRAM:
                program = value
            elif kind in (PITCH, DRUM_PITCH):
                pitch = value
            elif kind == VELOCITY:
                velocity = value
            elif kind == DURATION:
                onset = bars[bar][0] + position * TICKS_PER_STEP
                duration = DURATIONS[value] * TICKS_PER_STEP
                by_pitch.setdefault((program, pitch), {})[onset] = (duration, words.velocities[velocity])
        tracks: dict[int, list[Note]] = {}
        for (place, height), onsets in sorted(by_pitch.items()):
            limits = [*sorted(onsets)[1:], end]  # a note ends before the next of its pitch begins
            for (onset, (duration, loudness)), limit in zip(sorted(onsets.items()), limits, strict=True):
                note = Note(onset, height, max(1, min(duration, limit - onset)), loudness)
                tracks.setdefault(place, []).append(note)
        return Score(
            tuple(_track(words.programs[place], notes) for place, notes in sorted(tracks.items())),
            TICKS_PER_BEAT,
            (request.tempo,),
            (request.meter,),
        )


def _track(program: int, notes: Sequence[Note]) -> Track:
    is_drum = program == DRUMS
    return Track(tuple(notes), program=0 if is_drum else program, is_drum=is_drum)


def bars_to_write(request: Request, most_steps: int) -> list[tuple[int, int]]:
    """First tick and steps of each bar that is asked for; bars of more than `most_steps` in pieces."""
    bars = []
    ticks = request.meter.beats_per_bar * TICKS_PER_BEAT
    for index in range(request.n_bars):
        start, stop = int(index * ticks), int((index + 1) * ticks)
        for first in range(start, max(stop, start + 1), most_steps * TICKS_PER_STEP):
            bars.append((first, min(most_steps, max(1, -(-(stop - first) // TICKS_PER_STEP)))))
    return bars


class RemiGrammar:
    """Which tokens may come next, for pieces that are written side by side.

    Bars have the meter asked for, positions rise within a bar, and notes of a position rise by program and
    pitch, as in the encoding of any piece. A piece ends in the last bar that is asked for, and that bar has a
    note. A bar with as many tokens as the fullest of the corpus is closed.
    """

    def __init__(self, words: Vocabulary, n_pieces: int, request: Request, device: torch.device):
        self.words = words
        self.kinds = torch.tensor(words.kinds, device=device)  # (vocabulary,)
        self.values = torch.tensor(words.values, device=device)
        bars = bars_to_write(request, words.n_positions)
        self.lengths = torch.tensor([steps for _, steps in bars], device=device)  # (bars,)
        last_line = int((request.n_bars - 1) * request.meter.beats_per_bar * TICKS_PER_BEAT)
        self.last_bar = next(index for index, (start, _) in enumerate(bars) if start >= last_line)
        meter = (request.meter.numerator, request.meter.denominator)
        self.follow = _follow(words, _nearest_meter(meter, words.meters)).to(device)  # (kinds, vocabulary)
        tops = [
            (max(words.drum_pitches) if program == DRUMS else words.pitches[-1]) for program in words.programs
        ]
        self.tops = torch.tensor(tops, device=device)  # (programs,)
        is_drum = torch.tensor([program == DRUMS for program in words.programs], device=device)
        self.sayable = torch.where(
            is_drum[:, None], self.kinds != PITCH, self.kinds != DRUM_PITCH
        )  # (programs, vocabulary)
        self.is_kind = torch.stack([self.kinds == kind for kind in range(N_KINDS)])  # (kinds, vocabulary)
        self.is_pitch = self.is_kind[PITCH] | self.is_kind[DRUM_PITCH]
        self.last = torch.full((n_pieces,), START, device=device)
        self.bar = torch.full((n_pieces,), -1, device=device)
        self.position, self.program, self.pitch = (torch.full_like(self.bar, -1) for _ in range(3))
        self.n_tokens, self.n_notes = torch.zeros_like(self.bar), torch.zeros_like(self.bar)  # of the bar
        self.finished = torch.zeros(n_pieces, dtype=torch.bool, device=device)

    @property
    def share(self) -> float:
        """How much is written of the piece of which least is, by bars and places in them, 0 to 1."""
        bar = self.bar.clamp(min=0)
        bars = bar + self.position.clamp(min=0) / self.lengths[bar]
        return float(bars.masked_fill(self.finished, len(self.lengths)).min()) / len(self.lengths)

    def allowed(self) -> Tensor:
        """(pieces, vocabulary), at least one token for each piece; a finished one waits at the start."""
        values, is_kind = self.values, self.is_kind
        allowed = self.follow[self.last]
        length = self.lengths[self.bar.clamp(min=0)][:, None]
        full = (self.n_tokens >= self.words.bar_tokens) & (self.last == DURATION)
        in_time = (values > self.position[:, None]) & (values < length)
        allowed = allowed & (~is_kind[POSITION] | (in_time & ~full[:, None]))
        higher = values > self.pitch[:, None]
        allowed &= ~self.is_pitch | higher
        if len(self.words.programs) > 1:
            program = self.program.clamp(min=0)
            room = self.pitch < self.tops[program]  # for a higher note of the same program
            later = (values > self.program[:, None]) | ((values == self.program[:, None]) & room[:, None])
            allowed &= ~is_kind[PROGRAM] | (later & ~full[:, None])
            allowed &= self.sayable[program] | ~self.is_pitch
        else:
            allowed &= ~(self.is_pitch & full[:, None])
        allowed &= ~is_kind[BAR] | (self.bar < len(self.lengths) - 1)[:, None]
        may_end = (self.bar >= self.last_bar) & (self.n_notes > 0)
        allowed &= ~is_kind[END] | may_end[:, None]
        return torch.where(self.finished[:, None], is_kind[START], allowed)

    def advance(self, tokens: Tensor) -> None:
        """Take note of the tokens that were chosen: (pieces,)."""
        kind, value = self.kinds[tokens], self.values[tokens]
        is_bar, is_program = kind == BAR, kind == PROGRAM
        is_new = is_bar | (kind == POSITION)
        self.pitch.masked_fill_(is_new | (is_program & (value != self.program)), -1)
        self.program = torch.where(is_program, value, self.program.masked_fill(is_new, -1))
        self.position = torch.where(kind == POSITION, value, self.position.masked_fill(is_bar, -1))
        is_pitch = (kind == PITCH) | (kind == DRUM_PITCH)
        self.pitch = torch.where(is_pitch, value, self.pitch)
        self.n_notes = self.n_notes.masked_fill(is_bar, 0) + is_pitch
        self.n_tokens = self.n_tokens.masked_fill(is_bar, 0) + 1
        self.bar += is_bar
        self.last = kind
        self.finished |= kind == END


def _follow(words: Vocabulary, meter: int) -> Tensor:
    """Which tokens may follow which kinds, as far as kinds alone tell: (kinds, vocabulary)."""
    note = [PROGRAM] if len(words.programs) > 1 else [PITCH, DRUM_PITCH]
    after_pitch = [VELOCITY] if len(words.velocities) > 1 else [DURATION]
    within = [POSITION, BAR, END]
    after = {
        START: [BAR],
        END: [],
        BAR: [METER] if len(words.meters) > 1 else within,
        METER: within,
        POSITION: note,
        PROGRAM: [PITCH, DRUM_PITCH],
        PITCH: after_pitch,
        DRUM_PITCH: after_pitch,
        VELOCITY: [DURATION],
        DURATION: [*note, *within],
    }
    kinds, values = torch.tensor(words.kinds), torch.tensor(words.values)
    follow = torch.zeros(N_KINDS, len(words), dtype=torch.bool)
    for kind, followers in after.items():
        for follower in followers:
            follow[kind] |= kinds == follower
    return follow & ((kinds != METER) | (values == meter))
