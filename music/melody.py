"""One voice out of many: the top line and the bottom line of a score.

The rule is the skyline of Uitdenbogerd and Zobel ("Melodic matching techniques for large music databases",
ACM Multimedia 1999, "all-mono"): of the notes that start together the highest is kept, and it ends at the
latest where the next one starts. Drums have no heights and are left out; of equal pitches the longest counts.

By that rule an accompaniment that moves under a held melody note comes into the line. `drop_covered` leaves
such notes out: those of which more than half lies under a higher note that started before. The bottom line is
the mirror image of all this.

`melody_of` needs no such rule where the file itself says which track is the melody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from operator import attrgetter

import numpy as np

from music.pianoroll import nearest_step
from music.score import Note, Score, Track


def melody_of(score: Score) -> tuple[Note, ...]:
    """The notes of the melody, each as the file has it; empty for a score without pitched notes.

    The melody is, drums left out,

    - the track that is named so ("Melody", in any case; the highest of several by mean pitch),
    - else the highest track by mean pitch, if it is monophonic (a soprano over other voices),
    - else the top line of all tracks (as of a named track that is not monophonic): the skyline of the notes
      of which no more than half lies under higher ones, so that no voice below cuts a held note.
    """
    tracks = [track for track in score.tracks if track.notes and not track.is_drum]
    named = [track for track in tracks if "melody" in track.name.lower()]
    highest = max(named or tracks, key=_mean_pitch, default=Track())
    if is_monophonic(highest.notes):
        return highest.notes
    notes = sorted(highest.notes if named else score.notes(drums=False))
    return _one_voice(_uncovered_by_any(notes), 1, False, attrgetter("onset"))


def is_monophonic(notes: Iterable[Note]) -> bool:
    """Whether no note starts before the one before it (by onset) has ended; true of no notes at all."""
    line = sorted(notes)
    return all(now.end <= then.onset for now, then in pairwise(line))


def skyline(
    score: Score, *, drop_covered: bool = False, steps_per_beat: int | None = None
) -> tuple[Note, ...]:
    """The highest of the notes that start together, each ended where the next starts; monophonic.

    Empty for a score without pitched notes. Velocities are those of the chosen notes. With `steps_per_beat`
    notes start together whose onsets have the same nearest step; they keep their onsets.
    """
    return _one_voice(score.notes(drums=False), 1, drop_covered, _start_of(score, steps_per_beat))


def bottom_line(
    score: Score, *, drop_covered: bool = False, steps_per_beat: int | None = None
) -> tuple[Note, ...]:
    """The lowest of the notes that start together, each ended where the next starts; monophonic."""
    return _one_voice(score.notes(drums=False), -1, drop_covered, _start_of(score, steps_per_beat))


def _start_of(score: Score, steps_per_beat: int | None) -> Callable[[Note], int]:
    """When a note starts: at its tick, or at the nearest step."""
    if steps_per_beat is None:
        return attrgetter("onset")
    return lambda note: nearest_step(note.onset, steps_per_beat, score.ticks_per_beat)


def _one_voice(
    notes: Iterable[Note], sign: int, drop_covered: bool, start_of: Callable[[Note], int]
) -> tuple[Note, ...]:
    chosen: dict[int, Note] = {}
    for note in notes:
        start = start_of(note)
        rival = chosen.get(start)
        if rival is None or (sign * note.pitch, note.duration) > (sign * rival.pitch, rival.duration):
            chosen[start] = note
    line = sorted(chosen.values())
    if drop_covered:
        line = _uncovered(line, sign)
    voice = []
    for now, then in zip(line, [*line[1:], None][: len(line)], strict=True):
        duration = now.duration if then is None else min(now.duration, then.onset - now.onset)
        voice.append(Note(now.onset, now.pitch, duration, now.velocity))
    return tuple(voice)


def _uncovered(line: list[Note], sign: int) -> list[Note]:
    """Without the notes of which more than half lies under an earlier, more extreme note."""
    kept = []
    ends = [0] * 128  # of the latest kept note of each pitch
    for note in line:
        beyond = ends[note.pitch + 1 :] if sign > 0 else ends[: note.pitch]
        covered = min(max(beyond, default=0), note.end) - note.onset
        if 2 * covered <= note.duration:
            kept.append(note)
            ends[note.pitch] = max(ends[note.pitch], note.end)
    return kept


def _mean_pitch(track: Track) -> float:
    return sum(note.pitch for note in track.notes) / len(track.notes)


def _uncovered_by_any(notes: list[Note]) -> list[Note]:
    """Without the notes of which more than half lies under higher ones, whenever these start."""
    edges = np.unique([tick for note in notes for tick in (note.onset, note.end)])
    lengths = np.diff(edges)
    spans = np.searchsorted(edges, [(note.onset, note.end) for note in notes])  # (n_notes, 2)
    highest = np.zeros(len(lengths), dtype=np.int64)  # the pitch on top between two edges
    for note, (start, stop) in zip(notes, spans, strict=True):
        np.maximum(highest[start:stop], note.pitch, out=highest[start:stop])
    kept = []
    for note, (start, stop) in zip(notes, spans, strict=True):
        covered = lengths[start:stop][highest[start:stop] > note.pitch].sum()
        if 2 * covered <= note.duration:
            kept.append(note)
    return kept
