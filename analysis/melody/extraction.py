"""What string of symbols is a melody, so that a copy stays a copy in another key and at another speed?

Conventions: a melody is a sequence of notes with rising onsets. Token i describes the way from note i to note
i + 1: the pitch interval, folded by octaves into -12 to 12, and the ratio of the next inter-onset interval to
this one, as the nearest of nine classes. Rests are part of the inter-onset interval; the last note's is its
duration. So n notes give n - 1 tokens, and tokens i to j (j left out) describe notes i to j.

- ``interval+ratio``: both, 225 symbols; neither transposition nor tempo changes a token.
- ``interval``: pitch alone.
- ``pitch``: one token per note, its absolute pitch with the ratio, for searches where one wrong note is one
  edit.
- ``melodl4j-v1``, ``-v2``, ``-v3``: the characters of MELODL4J's three generations
  (`music.melody_strings`), with what is odd about each: duration, then interval and duration for each
  further note, with a rest and its duration before it where there is one; durations in eighths of the
  melody's mean. They are here for comparison with that program. A stretch that is copied into another melody
  keeps few of its characters, because the mean is another.

`melodies_of` finds the melodies of a score: the line on top or at the bottom of all of it, or those that the
filters of a generation of MELODL4J leave. A line has one note on each step of a grid of twelfths of a beat,
which holds sixteenths and triplets: notes of a chord that are not struck at one tick are one note of it, and
the interval between two onsets is one of steps. So a copy that is played, not written, stays a copy.

References: Smith, MELODL4J (deeplearning4j examples, 2017 to 2022), for its characters and filters.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import AnalysisError
from music.melody import bottom_line, skyline
from music.melody_strings import (
    ALPHABETS,
    MelodyStringError,
    events_to_text,
    extract_melodies,
    notes_to_events,
)
from music.pianoroll import nearest_step
from music.score import TICKS_PER_BEAT, Note, Score

#: Encodings that are characters of MELODL4J, with its generation.
GENERATIONS = {f"melodl4j-{generation}": generation for generation in ALPHABETS}
ENCODINGS = ("interval+ratio", "interval", "pitch", *GENERATIONS)
#: Where a score's melodies are: `melodies_of`.
LINES = ("skyline", "bottom", *GENERATIONS)

#: Ratios of one inter-onset interval to the one before that tokens tell apart.
RATIO_CLASSES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4)
_RATIO_LIMITS = np.sqrt(np.array(RATIO_CLASSES[:-1]) * np.array(RATIO_CLASSES[1:]))  # halfway by ratio

STEPS_PER_BEAT = 12  # of the grid on which a line has one note a step
BEATS_PER_BAR = 4  # of a melody that does not know its bar lines


@dataclass(frozen=True)
class Place:
    """Where a note begins, as musicians count."""

    bar: int  # from 1; 0 before the first bar line
    beat: float  # in quarter notes from the bar line, from 1


@dataclass(frozen=True)
class Melody:
    """A melody and its tokens."""

    notes: tuple[Note, ...]
    tokens: np.ndarray  # (n_tokens,) uint16
    first_note: np.ndarray  # (n_tokens,) the note at which a token begins
    last_note: np.ndarray  # (n_tokens,) the note at which it ends
    ticks_per_beat: int = TICKS_PER_BEAT
    name: str = ""
    group: str = ""
    bar_starts: tuple[int, ...] = ()  # ticks; none stand for bars of four beats from tick 0

    @property
    def n_tokens(self) -> int:
        """Length of the string."""
        return len(self.tokens)

    def note_span(self, start: int, end: int) -> tuple[int, int]:
        """First note, and the note after the last, of tokens `start` to before `end`."""
        return int(self.first_note[start]), int(self.last_note[end - 1]) + 1

    def place(self, note: int) -> Place:
        """Bar and beat at which a note begins, by its number in `notes`."""
        onset = self.notes[note].onset
        if self.bar_starts:
            bar = bisect.bisect_right(self.bar_starts, onset)
            since = onset - self.bar_starts[max(bar, 1) - 1]
        else:
            bar, since = divmod(onset, BEATS_PER_BAR * self.ticks_per_beat)
            bar += 1
        return Place(bar, 1 + since / self.ticks_per_beat)

    def excerpt(self, start: int, end: int) -> Melody:
        """Tokens `start` to before `end` as a melody of their own, with the same notes to refer to."""
        part = slice(start, end)
        return replace(
            self, tokens=self.tokens[part], first_note=self.first_note[part], last_note=self.last_note[part]
        )


def fold_interval(interval: np.ndarray) -> np.ndarray:
    """Move intervals by octaves until they lie within -12 to 12 semitones."""
    interval = np.asarray(interval)
    octaves = np.maximum(0, -(-(np.abs(interval) - 12) // 12))  # as few as bring it into range
    return interval - np.sign(interval) * 12 * octaves


def ratio_classes(inter_onset_intervals: np.ndarray) -> np.ndarray:
    """Class in `RATIO_CLASSES` of each interval's successor relative to it; one fewer than intervals."""
    iois = np.asarray(inter_onset_intervals, dtype=np.float64)
    return np.searchsorted(_RATIO_LIMITS, iois[1:] / iois[:-1])


def melody_tokens(
    notes: Sequence[Note],
    *,
    encoding: str = "interval+ratio",
    ticks_per_beat: int = TICKS_PER_BEAT,
    name: str = "",
    group: str = "",
    bar_starts: Sequence[int] = (),
    steps_per_beat: int | None = None,
) -> Melody:
    """Write a melody as a string of tokens.

    Parameters
    ----------
    notes : sequence of Note
        With rising onsets (`music.melody.skyline` gives such). Fewer than two notes give no tokens.
    encoding : str
        One of `ENCODINGS`.
    bar_starts : sequence of int
        Ticks of the bar lines, to tell bars and beats by; bars of four beats by default.
    steps_per_beat : int, optional
        Ratios are those of intervals in steps of this grid; no two notes may stand on one. Exact by default.

    Raises
    ------
    AnalysisError
        If there is no such encoding, two notes start at once, or notes overlap in characters of MELODL4J.
    """
    if encoding not in ENCODINGS:
        raise AnalysisError(f"encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
    notes = tuple(notes)
    onsets = np.array([note.onset for note in notes], dtype=np.int64)
    if (np.diff(onsets) <= 0).any():
        tick = int(onsets[1:][np.diff(onsets) <= 0][0])
        raise AnalysisError(
            f"a melody needs rising onsets, got a note at tick {tick} that does not come later"
        )
    known = {
        "ticks_per_beat": ticks_per_beat,
        "name": name,
        "group": group,
        "bar_starts": tuple(bar_starts),
    }
    if len(notes) < 2:
        nothing = np.empty(0, dtype=np.int64)
        return Melody(notes, nothing.astype(np.uint16), nothing, nothing, **known)
    if encoding in GENERATIONS:
        return Melody(notes, *_melodl4j_tokens(notes, GENERATIONS[encoding]), **known)

    pitches = np.array([note.pitch for note in notes], dtype=np.int64)
    lasting = notes[-1].duration
    if steps_per_beat is not None:
        onsets = nearest_step(onsets, steps_per_beat, ticks_per_beat)
        lasting = max(1, nearest_step(lasting, steps_per_beat, ticks_per_beat))
    ratios = ratio_classes(np.append(np.diff(onsets), lasting))
    first = np.arange(len(notes) - 1)
    last = first + 1
    intervals = fold_interval(np.diff(pitches)) + 12  # 0-24
    if encoding == "interval+ratio":
        tokens = intervals * len(RATIO_CLASSES) + ratios
    elif encoding == "interval":
        tokens = intervals
    else:
        same = RATIO_CLASSES.index(1)  # the last note has no successor
        tokens = pitches * len(RATIO_CLASSES) + np.append(ratios, same)
        first = last = np.arange(len(notes))
    return Melody(notes, tokens.astype(np.uint16), first, last, **known)


def melodies_of(
    score: Score,
    *,
    line: str = "skyline",
    encoding: str = "interval+ratio",
    filters: bool = True,
    name: str = "",
    group: str = "",
) -> list[Melody]:
    """The melodies of a score as strings of tokens.

    Parameters
    ----------
    line : str
        "skyline" or "bottom" is one line of the whole score. "melodl4j-v1", "-v2" or "-v3" are the voices
        of each track that this generation of MELODL4J takes (`music.melody_strings.extract_melodies`):
        none, one or several.
    filters : bool
        Of MELODL4J's: leave out voices that they call too short, too monotonous or too empty, and basses.

    Raises
    ------
    AnalysisError
        If there is no such line or encoding.
    """
    if line not in LINES:
        raise AnalysisError(f"line must be one of {', '.join(LINES)}, got {line!r}")
    steps_per_beat = None
    if line in GENERATIONS:
        found, _ = extract_melodies(score, generation=GENERATIONS[line], filters=filters)
        voices = [voice.notes for voice in found]
    else:
        steps_per_beat = STEPS_PER_BEAT
        top_or_bottom = skyline if line == "skyline" else bottom_line
        voices = [top_or_bottom(score, steps_per_beat=steps_per_beat)]
    known = {"ticks_per_beat": score.ticks_per_beat, "name": name, "group": group}
    known |= {"bar_starts": score.bar_starts(), "steps_per_beat": steps_per_beat}
    return [melody_tokens(notes, encoding=encoding, **known) for notes in voices]


def _melodl4j_tokens(notes: tuple[Note, ...], generation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the characters, and the notes between which each stands."""
    alphabet = ALPHABETS[generation].as_published()
    try:
        events = notes_to_events(notes, alphabet)
    except MelodyStringError as error:
        raise AnalysisError(str(error)) from error
    tokens = [alphabet.number_of[character] for character in events_to_text(events, alphabet)]
    first, last, note = [], [], -1
    for event in events:
        is_rest = event.interval is None
        note += not is_rest
        between = (note, note + 1) if is_rest else (note - 1, note)
        first += [between[0], between[0] if is_rest else note]
        last += [between[1], between[1] if is_rest else note]
    # The first note has a duration alone.
    return np.array(tokens, dtype=np.uint16), np.array(first[1:]), np.array(last[1:])
