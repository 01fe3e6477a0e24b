"""Notes and durations: 312 tokens in which every second one says how long.

The words of bearpelican/musicautobot: nine special tokens, one of which, the separator, moves time; 128
pitches; durations of 0 to 160 sixteenths; ten tempos and four places that nothing uses. A note is its pitch
and its duration; a separator and a duration lead to the next onset. Notes that start together go from high to
low.

All instruments are one. Pitches are 21 to 106; a note lasts eight bars of 4/4 at most, a silence two.
Velocity and tempo are not written, though tempo has tokens.

Differences from the original. Drums are left out unless asked for: their pitches name no heights. A piece of
fewer than 32 events is not refused: small corpora are corpora too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from music.score import TICKS_PER_BEAT, Note, Score, Track

if TYPE_CHECKING:
    from generators.family import Request

STEPS_PER_BEAT = 4
TICKS_PER_STEP = TICKS_PER_BEAT // STEPS_PER_BEAT
SPECIAL = ("start", "padding", "end", "class", "mask", "chords", "melody", "next", "separator")
START, PADDING_TOKEN, END, SEPARATOR = (SPECIAL.index(n) for n in ("start", "padding", "end", "separator"))
N_PITCHES, N_DURATIONS, N_TEMPOS, N_DUMMIES = 128, 161, 10, 4
FIRST_PITCH = len(SPECIAL)
FIRST_DURATION = FIRST_PITCH + N_PITCHES
N_TOKENS = FIRST_DURATION + N_DURATIONS + N_TEMPOS + N_DUMMIES
PITCHES = range(21, 107)
STEPS_PER_BAR = 16  # of the 4/4 that the original takes for granted
LONGEST_NOTE = 8 * STEPS_PER_BAR
LONGEST_REST = 2 * STEPS_PER_BAR
N_PLACES = 2**15  # sixteenths that are told apart; later ones count as those of the last two bars of them
PADDING = -1
VELOCITY = 80


class NoteDurations:
    """A piece as [shape=(1 + 2 n_events, 2), dtype=int16]: tokens, and the sixteenth at which each stands.

    A start token, then token and duration by turns. Sixteenths are those of `places`, below `N_PLACES`; a
    window keeps those of its piece.

    Parameters
    ----------
    length, hop : int
        Tokens in a window, and from one window to the next.
    drums : bool
        Take the pitches of drums for those of notes, as the original does.
    """

    padding = PADDING
    max_windows = None

    def __init__(self, *, length: int, hop: int, drums: bool = False):
        self.length, self.hop, self.drums = length, hop, drums

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """Nothing: the words are the same for every corpus."""
        return {}

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The tokens of a score and their places; none where it has no note that they can say."""
        return _placed(self.tokens(score))

    def tokens(self, score: Score) -> list[int]:
        """The tokens alone."""
        longest: dict[int, dict[int, int]] = {}  # by step, then pitch
        for note in score.notes(drums=self.drums):
            if note.pitch in PITCHES:
                notes = longest.setdefault(_to_steps(note.onset, score.ticks_per_beat), {})
                duration = max(1, _to_steps(note.duration, score.ticks_per_beat))
                notes[note.pitch] = min(LONGEST_NOTE, max(duration, notes.get(note.pitch, 0)))
        tokens, now, sounding = [START], 0, 0
        for step, notes in sorted(longest.items()):
            if step > now:
                # A silence is what is left of the time to the next onset when nothing sounds any more.
                ahead = min(step - now, max(sounding - now, 0) + LONGEST_REST, N_DURATIONS - 1)
                tokens += [SEPARATOR, FIRST_DURATION + ahead]
            now = step
            for pitch, duration in sorted(notes.items(), reverse=True):
                tokens += [FIRST_PITCH + pitch, FIRST_DURATION + duration]
                sounding = max(sounding, step + duration)
        return tokens if longest else []

    def continued(self, score: Score) -> np.ndarray:
        """As `encode`, and then a separator that leads to the bar line after the last onset."""
        tokens = self.tokens(score)
        if not tokens:
            return _placed(tokens)
        onset = max(note.onset for note in score.notes(drums=self.drums) if note.pitch in PITCHES)
        line = max(bar for bar in score.bar_starts() if bar <= onset)
        meter = [meter for meter in score.meters if meter.tick <= onset][-1]
        ahead = line + meter.beats_per_bar * score.ticks_per_beat - onset
        steps = min(max(1, round(ahead * STEPS_PER_BEAT / score.ticks_per_beat)), N_DURATIONS - 1)
        return _placed([*tokens, SEPARATOR, FIRST_DURATION + steps])

    def starts(self, tokens: np.ndarray) -> list[int]:
        """Windows every `hop` tokens, as long as the one before does not reach the end."""
        last = max(1, len(tokens) - self.length + self.hop)
        return list(range(0, last, self.hop)) if len(tokens) > 1 else []

    def describe(self) -> str:
        """Any piece with a note gives a window: its rest is padded."""
        what = "a note" if self.drums else "a note besides drums"
        return f"a piece with {what} of pitch {PITCHES[0]} to {PITCHES[-1]}; up to {self.length} tokens of it"


def _to_steps(ticks: int, ticks_per_beat: int) -> int:
    return (2 * ticks * STEPS_PER_BEAT + ticks_per_beat) // (2 * ticks_per_beat)


def _placed(tokens: list[int]) -> np.ndarray:
    """Tokens of a whole piece with their places, [shape=(n, 2), dtype=int16]."""
    steps = places(torch.tensor([tokens], dtype=torch.int64))[0].numpy()
    steps = np.where(steps < N_PLACES, steps, N_PLACES - 2 * STEPS_PER_BAR + steps % (2 * STEPS_PER_BAR))
    return np.stack([tokens, steps], axis=1).astype(np.int16)


def transposed(tokens: Tensor, semitones: Tensor) -> Tensor:
    """Rows of tokens (batch, time) moved by semitones (batch,); what leaves the range, by octaves back."""
    lowest, highest = FIRST_PITCH + PITCHES[0], FIRST_PITCH + PITCHES[-1]
    moved = tokens + semitones[:, None]
    moved = torch.where(moved > highest, moved - 12, torch.where(moved < lowest, moved + 12, moved))
    is_pitch = (tokens >= lowest) & (tokens <= highest)
    return torch.where(is_pitch, moved, tokens)


def places(tokens: Tensor) -> Tensor:
    """The sixteenth at which each token of (batch, time) stands, where the rows are whole pieces."""
    before = torch.cat([torch.full_like(tokens[:, :1], START), tokens[:, :-1]], dim=1)
    is_duration = (tokens >= FIRST_DURATION) & (tokens < FIRST_DURATION + N_DURATIONS)
    ahead = torch.where((before == SEPARATOR) & is_duration, tokens - FIRST_DURATION, 0)
    return ahead.cumsum(1)


def tokens_to_score(tokens: Sequence[int], request: Request) -> Score:
    """The notes of tokens that alternate as they should, up to the end of the bars that are asked for."""
    end, step = request.end(TICKS_PER_BEAT), 0
    by_pitch: dict[int, dict[int, int]] = {}
    for token, length in zip(tokens[::2], tokens[1::2], strict=False):
        duration = length - FIRST_DURATION
        if token == SEPARATOR:
            step += duration
        else:
            by_pitch.setdefault(token - FIRST_PITCH, {})[step * TICKS_PER_STEP] = duration * TICKS_PER_STEP
    notes = []
    for pitch, onsets in by_pitch.items():
        limits = [*sorted(onsets)[1:], end]  # a note ends before the next of its pitch begins
        for (onset, duration), limit in zip(sorted(onsets.items()), limits, strict=True):
            if onset < end:
                notes.append(Note(onset, pitch, max(1, min(duration, limit - onset, end - onset)), VELOCITY))
    return Score((Track(tuple(notes)),), TICKS_PER_BEAT, (request.tempo,), (request.meter,))


class NoteGrammar:
    """Which tokens may come next, for pieces that are written side by side.

    Pitch and duration alternate, pitches of a step fall, durations are 1 at least. A piece ends where a
    separator leads to the end of the last bar, in which a note must start.

    Parameters
    ----------
    least_bars : int, optional
        From so many bars of sixteen steps on, a piece may also end by a start token, as in the original.
    """

    def __init__(self, n_pieces: int, request: Request, device: torch.device, least_bars: int | None = None):
        ticks = request.meter.beats_per_bar * TICKS_PER_BEAT
        self.n_steps = max(1, -(-request.end(TICKS_PER_BEAT) // TICKS_PER_STEP))
        self.last_bar = int((request.n_bars - 1) * ticks) / TICKS_PER_STEP  # where it starts, in steps
        self.least_steps = None if least_bars is None else least_bars * STEPS_PER_BAR
        numbers = torch.arange(N_TOKENS, device=device)
        self.pitch = numbers - FIRST_PITCH  # (vocabulary,): that of a token, if it has one
        self.duration = numbers - FIRST_DURATION
        self.is_pitch = (self.pitch >= PITCHES[0]) & (self.pitch <= PITCHES[-1])
        self.is_duration = (self.duration >= 1) & (self.duration < N_DURATIONS)
        self.is_length = self.is_duration & (self.duration <= LONGEST_NOTE)
        self.is_separator, self.is_start = numbers == SEPARATOR, numbers == START
        self.last = torch.full((n_pieces,), START, device=device)
        self.step = torch.zeros_like(self.last)
        self.lowest = torch.full_like(self.last, N_PITCHES)  # pitch of the step so far
        self.may_end = torch.zeros(n_pieces, dtype=torch.bool, device=device)
        self.finished = torch.zeros_like(self.may_end)

    @property
    def share(self) -> float:
        """How much is written of the piece of which least is, by steps, 0 to 1."""
        return int(self.step.masked_fill(self.finished, self.n_steps).min()) / self.n_steps

    @property
    def needs_duration(self) -> Tensor:
        """Whether the next token of each piece says how long: (pieces,)."""
        return (self.last == SEPARATOR) | (
            (self.last >= FIRST_PITCH + PITCHES[0]) & (self.last <= FIRST_PITCH + PITCHES[-1])
        )

    def allowed(self) -> Tensor:
        """(pieces, vocabulary), with at least one token that may follow for each piece."""
        may_end = self.may_end[:, None]
        left = self.n_steps - self.step[:, None]  # (pieces, 1)
        by_separator = self.is_duration & (may_end | (self.duration < left))
        durations = torch.where((self.last == SEPARATOR)[:, None], by_separator, self.is_length)
        others = (self.is_pitch & (self.pitch < self.lowest[:, None])) | (
            self.is_separator & (may_end | (left > 1))
        )
        if self.least_steps is not None:
            others = others | (self.is_start & (self.step >= self.least_steps)[:, None])
        allowed = torch.where(self.needs_duration[:, None], durations, others)
        return torch.where(self.finished[:, None], self.is_start, allowed)

    def advance(self, tokens: Tensor) -> None:
        """Take note of the tokens that were chosen: (pieces,)."""
        duration = tokens - FIRST_DURATION
        is_duration = (duration >= 0) & (duration < N_DURATIONS)
        moves = is_duration & (self.last == SEPARATOR)
        sounds = is_duration & ~moves
        in_last_bar = (self.step >= int(self.last_bar)) & (self.step + duration > self.last_bar)
        self.may_end = self.may_end | (sounds & in_last_bar)
        self.step = self.step + torch.where(moves, duration, 0)
        is_pitch = (tokens >= FIRST_PITCH) & (tokens < FIRST_DURATION)
        self.lowest = torch.where(is_pitch, tokens - FIRST_PITCH, self.lowest.masked_fill(moves, N_PITCHES))
        self.finished = self.finished | (self.step >= self.n_steps) | (tokens == START)
        self.last = tokens
