"""Four voices as one stream: soprano, alto, tenor and bass of each sixteenth, one token each.

The form in which the chorales of Boulanger-Lewandowski et al. (2012), with the voices separated by Huang et
al. (2017), are modelled note by note (Huang et al. 2018, "Music Transformer", section 4.1). A token is the
pitch that sounds or a rest: it knows no onset, so a repeated note is one held note, here and on the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from generators.representations.remi import folded
from music.score import TICKS_PER_BEAT, Note, Score, Track

if TYPE_CHECKING:
    from generators.family import Request

VOICES = ("soprano", "alto", "tenor", "bass")
N_VOICES = len(VOICES)
STEPS_PER_BEAT = 4
TICKS_PER_STEP = TICKS_PER_BEAT // STEPS_PER_BEAT
PADDING = -1
START, REST, FIRST_PITCH = 0, 1, 2  # tokens
VELOCITY = 80


class ChoraleVoices:
    """A piece as [shape=(1 + 4 n_steps,), dtype=int16]: a start token, then S, A, T, B of each sixteenth."""

    padding = PADDING
    max_windows = None

    def __init__(self, *, length: int, hop: int, transpose: tuple[int, int] = (0, 0)):
        self.length, self.hop, self.transpose = length, hop, transpose

    def learn(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The pitches from the lowest to the highest, with those that transposition may reach."""
        pitches = [note.pitch for score in scores for note in score.notes(drums=False)]
        return self.learn_pitches(min(pitches, default=60), max(pitches, default=60))

    def learn_pitches(self, lowest: int, highest: int) -> dict[str, Any]:
        """The same for a corpus of steps whose lowest and highest pitch are known."""
        down, up = self.transpose
        return {"pitches": [max(0, lowest - down), min(127, highest + up) + 1]}

    def encode(self, score: Score, learned: Mapping[str, Any]) -> np.ndarray:
        """The voices of a score; see `voices_of`. A score without notes besides drums gives no tokens."""
        voices = voices_of(score)
        return self.encode_voices(voices, learned) if len(voices) else np.zeros(0, dtype=np.int16)

    def encode_voices(self, voices: np.ndarray, learned: Mapping[str, Any]) -> np.ndarray:
        """Steps of four pitches (n_steps, 4), below 0 for a rest, to tokens."""
        pitches = range(*learned["pitches"])
        table = [FIRST_PITCH + folded(pitch, pitches) - pitches.start for pitch in range(128)]
        tokens = np.where(voices < 0, REST, np.array(table)[np.clip(voices, 0, 127)])
        return np.concatenate([[START], tokens.reshape(-1)]).astype(np.int16)

    def starts(self, tokens: np.ndarray) -> list[int]:
        """Windows every `hop` tokens, as long as the one before does not reach the end."""
        last = max(1, len(tokens) - self.length + self.hop)
        return list(range(0, last, self.hop)) if len(tokens) > 1 else []

    def describe(self) -> str:
        """Any piece with notes gives a window: its rest is padded."""
        return f"a piece with notes besides drums; up to {self.length // N_VOICES} sixteenths of it"


def voices_of(score: Score) -> np.ndarray:
    """What four voices sound on each sixteenth: (n_steps, 4), -1 for a rest.

    Four tracks besides drums are the voices, from that with the highest mean pitch down, each with its
    highest note. Any other score gives its three highest notes and its lowest.
    """
    tracks = [track for track in score.tracks if track.notes and not track.is_drum]
    step = score.ticks_per_beat / STEPS_PER_BEAT
    n_steps = max((max(1, round(note.end / step)) for track in tracks for note in track.notes), default=0)
    sounding = np.zeros((len(tracks), n_steps, 128), dtype=bool)
    for index, track in enumerate(tracks):
        for note in track.notes:
            first = min(round(note.onset / step), n_steps - 1)
            sounding[index, first : max(first + 1, round(note.end / step)), note.pitch] = True
    voices = np.full((n_steps, N_VOICES), -1, dtype=np.int64)
    if len(tracks) == N_VOICES:
        means = [sum(note.pitch for note in track.notes) / len(track.notes) for track in tracks]
        order = sorted(range(N_VOICES), key=lambda index: -means[index])
        for voice, index in enumerate(order):
            highest = 127 - sounding[index][:, ::-1].argmax(-1)
            voices[:, voice] = np.where(sounding[index].any(-1), highest, -1)
        return voices
    for place, cells in enumerate(sounding.any(0)):
        pitches = np.flatnonzero(cells)[::-1].tolist()
        if len(pitches) > N_VOICES:
            pitches = [*pitches[:3], pitches[-1]]
        voices[place, : len(pitches)] = pitches
    return voices


class ChoraleLanguage:
    """What a model must know of the tokens; see `remi.RemiLanguage`."""

    def __init__(self, learned: Mapping[str, Any]):
        self.pitches = range(*learned["pitches"])
        self.n_tokens = FIRST_PITCH + len(self.pitches)
        self.start = START

    def transposed(self, tokens: Tensor, semitones: Tensor) -> Tensor:
        """Rows of tokens (batch, time) moved by semitones (batch,), by octaves back into the range."""
        count = len(self.pitches)
        moved = tokens - FIRST_PITCH + semitones[:, None]
        if count >= 12:
            moved = torch.where(moved < 0, moved + 12, torch.where(moved >= count, moved - 12, moved))
        return torch.where(tokens >= FIRST_PITCH, FIRST_PITCH + moved.clamp(0, count - 1), tokens)

    def prime(self, score: Score, learned: Mapping[str, Any], length: int) -> list[int]:
        """The last whole steps of a piece to continue, at most `length` tokens."""
        tokens = ChoraleVoices(length=2, hop=2).encode(score, learned).tolist()
        if len(tokens) <= length:
            return tokens
        return tokens[-max(N_VOICES, length - length % N_VOICES) :]

    def grammar(self, n_pieces: int, request: Request, device: torch.device) -> ChoraleGrammar:
        """The rules for writing pieces of the length that is asked for."""
        return ChoraleGrammar(self.n_tokens, n_pieces, _n_steps(request), device)

    def to_score(self, tokens: Sequence[int], request: Request) -> Score:
        """Four tracks; equal pitches on neighbouring steps of a voice are one note."""
        voices = np.array(list(tokens)[: N_VOICES * _n_steps(request)]).reshape(-1, N_VOICES)
        end = request.end(TICKS_PER_BEAT)
        tracks = []
        for index, name in enumerate(VOICES):
            voice, notes, first = voices[:, index].tolist(), [], 0
            for step in range(1, len(voice) + 1):
                if step == len(voice) or voice[step] != voice[first]:
                    if voice[first] >= FIRST_PITCH:
                        onset, stop = first * TICKS_PER_STEP, min(step * TICKS_PER_STEP, end)
                        pitch = self.pitches[voice[first] - FIRST_PITCH]
                        notes.append(Note(onset, pitch, max(1, stop - onset), VELOCITY))
                    first = step
            tracks.append(Track(tuple(notes), name=name))
        return Score(tuple(tracks), TICKS_PER_BEAT, (request.tempo,), (request.meter,))


def _n_steps(request: Request) -> int:
    """Sixteenths that begin before the last bar ends."""
    return max(1, -(-request.end(TICKS_PER_BEAT) // TICKS_PER_STEP))


class ChoraleGrammar:
    """Everything may follow everything but a second start; the last soprano sounds, to the end of the bar."""

    def __init__(self, n_tokens: int, n_pieces: int, n_steps: int, device: torch.device):
        self.n_tokens = self.n_left = n_steps * N_VOICES
        self.free = torch.ones(n_pieces, n_tokens, dtype=torch.bool, device=device)
        self.free[:, START] = False
        self.finished = torch.zeros(n_pieces, dtype=torch.bool, device=device)

    @property
    def share(self) -> float:
        """How much of the pieces is written, 0 to 1."""
        return 1 - self.n_left / self.n_tokens

    def allowed(self) -> Tensor:
        """(pieces, vocabulary)."""
        if self.n_left != N_VOICES:
            return self.free
        sounding = self.free.clone()
        sounding[:, REST] = False
        return sounding

    def advance(self, tokens: Tensor) -> None:
        """Count one token of every piece."""
        self.n_left -= 1
        self.finished |= self.n_left <= 0
