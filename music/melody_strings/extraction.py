"""The melodies of a score, by the rules and filters of each generation of MELODL4J.

The first generation takes the top voice of each track, the bottom voice, or both: notes that overlap any
strictly higher (lower) note of the track are left out. A bottom voice is there only where the track has more
than one voice. The later generations take the notes in order and pass over each that starts before the last
one taken has ended ("first"); they merge notes that are struck again while they sound, shorten those that run
into the next by a quarter at most, and leave out basses. Drums are always left out: the first program forgot
to.

What is inferred. A score does not keep the order in a file of notes that start together: "first" takes the
highest. Of two overlapping notes of one pitch the first ends where the second starts (the first generation
refused such files). Shares are of the span from the first onset to the last end; a repeated note is one with
the pitch of the note before it, and the share of these is of all notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import numpy as np

from music.melody_strings.alphabets import ALPHABETS, MelodyStringError
from music.score import Note, Score, Track

Voice = Literal["top", "bottom", "both", "first"]
VOICES = ("top", "bottom", "both", "first")
#: General MIDI programs with "bass" in their name, from 0; so contrabass and, as in the original, bassoon.
BASSES = frozenset({*range(32, 40), 43, 70, 87})
TRIMMED_OVERLAP = 0.25  # of the two notes' common span; notes that overlap more are two voices


@dataclass(frozen=True)
class Melody:
    """One voice of a track."""

    track: int  # from 1
    voice: str  # "top", "bottom" or "first"
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Refusal:
    """A voice that the filters refuse, or a whole track (`voice` is empty)."""

    track: int  # from 1
    voice: str
    reason: str


def extract_melodies(
    score: Score, *, generation: str = "v1", voice: Voice | None = None, filters: bool = True
) -> tuple[list[Melody], list[Refusal]]:
    """The melodies of a score, and what was refused and why.

    Parameters
    ----------
    generation : str
        "v1", "v2" or "v3": whose rules and filters.
    voice : str, optional
        "top", "bottom", "both" or "first"; by default that of the generation: "top" in the first, "first" in
        the others.
    filters : bool
        Without them every voice with a note is taken, basses too; drums never.

    Raises
    ------
    MelodyStringError
        If there is no such generation or voice.
    """
    if generation not in ALPHABETS:
        raise MelodyStringError(f"no generation {generation!r}; there are {', '.join(ALPHABETS)}")
    if voice is not None and voice not in VOICES:
        raise MelodyStringError(f"no voice {voice!r}; there are {', '.join(VOICES)}")
    voice = voice or ("top" if generation == "v1" else "first")
    melodies, refusals = [], []
    for number, track in enumerate(score.tracks, start=1):
        if reason := _refused_track(track, generation, filters):
            refusals.append(Refusal(number, "", reason))
            continue
        for name, notes in _voices(track.notes, generation, voice):
            reason = boredom(notes, generation) if filters else None
            if reason:
                refusals.append(Refusal(number, name, reason))
            else:
                melodies.append(Melody(number, name, tuple(notes)))
    return melodies, refusals


def boredom(notes: Sequence[Note], generation: str) -> str | None:
    """Why the filters of a generation refuse a voice, in words with the value and the bound; None if not."""
    n_pitches = len({note.pitch for note in notes})
    steps = [then.pitch - now.pitch for now, then in pairwise(notes)]
    repeats = steps.count(0) / len(notes)
    if generation != "v1":
        checks = (
            (len(notes) < 8, f"{len(notes)} notes; at least 8 are needed"),
            (n_pitches < 7, f"{n_pitches} different pitches; at least 7 are needed"),
            (3 * steps.count(0) > len(notes), f"{repeats:.0%} of the notes repeat; at most 33% may"),
        )
        return next((reason for fails, reason in checks if fails), None)
    span = notes[-1].end - notes[0].onset
    rests = [max(0, then.onset - now.end) for now, then in pairwise(notes)]
    longest, silence = max(rests, default=0), sum(rests)
    run = max(
        (sum(1 for _ in group) for is_repeat, group in groupby(steps, lambda step: step == 0) if is_repeat),
        default=0,
    )
    widest = max(map(abs, steps), default=0)
    checks = (
        (len(notes) <= 10, f"{len(notes)} notes; more than 10 are needed"),
        (5 * longest > span, f"a rest of {longest / span:.0%} of its length; at most 20% may be one"),
        (100 * silence >= 66 * span, f"{silence / span:.0%} silence; less than 66% is needed"),
        (n_pitches < 4, f"{n_pitches} different pitches; at least 4 are needed"),
        (10 * steps.count(0) >= 7 * len(notes), f"{repeats:.0%} of the notes repeat; less than 70% may"),
        (run > 10, f"a note repeats {run} times in a row; at most 10 may"),
        (widest > 16, f"an interval of {widest} semitones; at most 16 are allowed"),
    )
    return next((reason for fails, reason in checks if fails), None)


def outer_voice(notes: Sequence[Note], sign: int) -> list[Note]:
    """The notes that overlap no strictly higher one (sign 1), or no strictly lower one (sign -1).

    Of those that are left only equal pitches can overlap: each ends where the next of its pitch starts.
    """
    if not notes:
        return []
    pitches = np.array([note.pitch for note in notes])
    edges = np.unique([tick for note in notes for tick in (note.onset, note.end)])
    starts = np.searchsorted(edges, [note.onset for note in notes])
    ends = np.searchsorted(edges, [note.end for note in notes])
    beyond = np.zeros(len(edges), dtype=bool)  # whether a more extreme pitch sounds between two edges
    kept = np.zeros(len(notes), dtype=bool)
    for pitch in sorted(set(pitches.tolist()), reverse=sign > 0):
        own = np.flatnonzero(pitches == pitch)
        n_beyond = np.concatenate([[0], np.cumsum(beyond)])
        kept[own] = n_beyond[ends[own]] == n_beyond[starts[own]]
        changes = np.zeros(len(edges) + 1, dtype=np.int64)
        np.add.at(changes, starts[own], 1)
        np.add.at(changes, ends[own], -1)
        beyond |= np.cumsum(changes)[:-1] > 0
    return _until_the_next(sorted(note for note, keep in zip(notes, kept, strict=True) if keep))


def first_voice(notes: Sequence[Note]) -> list[Note]:
    """The notes one after the other, without those that start before the last one taken has ended."""
    taken: list[Note] = []
    for note in _trimmed(_merged(notes)):
        if not taken or note.onset >= taken[-1].end:
            taken.append(note)
    return taken


def overlap_share(first: Note, second: Note) -> float:
    """How much of the common span of two notes both fill: 0 (apart) to 1 (the same span)."""
    both = min(first.end, second.end) - max(first.onset, second.onset)
    either = max(first.end, second.end) - min(first.onset, second.onset)
    return max(0, both) / either


def _refused_track(track: Track, generation: str, filters: bool) -> str | None:
    if not track.notes:
        return "no notes"
    if track.is_drum:
        return "drums have no melody"
    if filters and generation != "v1" and track.program in BASSES:
        return f"program {track.program} is a bass"
    return None


def _voices(notes: Sequence[Note], generation: str, voice: Voice) -> list[tuple[str, list[Note]]]:
    if voice == "first":
        return [("first", first_voice(notes))]
    if generation != "v1":
        notes = _trimmed(_merged(notes))
    top, bottom = outer_voice(notes, 1), outer_voice(notes, -1)
    found = [("top", top)] if voice in ("top", "both") else []
    if voice in ("bottom", "both") and bottom != top:  # one voice is the top voice alone
        found.append(("bottom", bottom))
    return found


def _until_the_next(notes: list[Note]) -> list[Note]:
    """Without overlaps: notes end where the next starts; of those that start together the longest stays."""
    longest = {note.onset: note for note in notes}  # sorted by pitch, then duration: the last is the longest
    line = list(longest.values())
    return [
        note
        if then is None or note.end <= then.onset
        else Note(note.onset, note.pitch, then.onset - note.onset, note.velocity)
        for note, then in zip(line, [*line[1:], None], strict=True)
    ]


def _merged(notes: Sequence[Note]) -> list[Note]:
    """With notes that are struck again while they sound made one, by onset and then from the highest down."""
    merged: list[Note] = []
    sounding: dict[int, int] = {}  # pitch to its place in `merged`
    for note in sorted(notes, key=lambda each: (each.onset, -each.pitch, -each.duration)):
        place = sounding.get(note.pitch)
        if place is not None and note.onset < merged[place].end:
            held = merged[place]
            end = max(held.end, note.end)
            merged[place] = Note(held.onset, held.pitch, end - held.onset, held.velocity)
        else:
            sounding[note.pitch] = len(merged)
            merged.append(note)
    return merged


def _trimmed(notes: Sequence[Note]) -> list[Note]:
    """With each note that runs a little into the next one ended where that starts."""
    trimmed = list(notes)
    for place, (now, then) in enumerate(pairwise(notes)):
        if now.onset < then.onset < now.end and overlap_share(now, then) <= TRIMMED_OVERLAP:
            trimmed[place] = Note(now.onset, now.pitch, then.onset - now.onset, now.velocity)
    return trimmed
