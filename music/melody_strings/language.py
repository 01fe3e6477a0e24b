"""Melodies to melody strings and back, by way of events.

An event is a note, by its interval from the note before, or a rest; each has the index of its duration. The
first note of a melody has the interval 0, which the string leaves out: its pitch is not told.

The index of a duration is the nearest whole number of units, at most 31; a unit is an eighth of the average
note of the melody, rests not counted. So 8 is the average note, and 0 is less than a sixteenth of it; played,
0 lasts a quarter of a unit. Rests that round to 0 are left out.

With the same unit both ways, notes to events to notes to events is the identity on the second and every
further turn; with `Alphabet.extra_units` of 1, as the first programs played, durations grow at each turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from music.melody_strings.alphabets import ALPHABETS, N_DURATIONS, Alphabet, MelodyStringError
from music.score import Note

UNITS_PER_MEAN = 8  # units in a note of average duration
SHORTEST = Fraction(1, 4)  # units that a note of index 0 lasts
LOWEST, HIGHEST = 30, 79  # MIDI numbers between which the original plays


class Event(NamedTuple):
    """A note or a rest of a melody."""

    interval: int | None  # semitones from the note before; None for a rest
    duration: int  # index, 0 to 31


def mean_unit(notes: Sequence[Note]) -> Fraction:
    """The unit of a melody in ticks: an eighth of its average note.

    Raises
    ------
    MelodyStringError
        If there are no notes.
    """
    if not notes:
        raise MelodyStringError("a melody needs at least 1 note, got none")
    return Fraction(sum(note.duration for note in notes), UNITS_PER_MEAN * len(notes))


def notes_to_events(
    notes: Sequence[Note], alphabet: Alphabet, *, unit: Fraction | int | None = None
) -> list[Event]:
    """The events of a melody.

    Parameters
    ----------
    notes : sequence of Note
        Sorted, one at a time.
    alphabet : Alphabet
        Folds wide intervals.
    unit : Fraction or int, optional
        Ticks; that of the melody itself by default (`mean_unit`).

    Raises
    ------
    MelodyStringError
        If two notes sound together, there are none, or the unit is not above 0.
    """
    unit = mean_unit(notes) if unit is None else Fraction(unit)
    if unit <= 0:
        raise MelodyStringError(f"a unit must be above 0 ticks, got {unit}")
    events = [Event(0, _index(notes[0].duration, unit))]
    for before, note in pairwise(notes):
        if note.onset < before.end:
            raise MelodyStringError(
                f"a melody has one note at a time; that at tick {note.onset} starts before tick {before.end}"
            )
        if (rest := _index(note.onset - before.end, unit)) > 0:
            events.append(Event(None, rest))
        events.append(Event(alphabet.folded(note.pitch - before.pitch), _index(note.duration, unit)))
    return events


def events_to_text(events: Sequence[Event], alphabet: Alphabet) -> str:
    """The string of a melody; that of no events is empty. A leading rest is left out, as in the original."""
    first = next((number for number, event in enumerate(events) if event.interval is not None), len(events))
    characters = []
    for number, event in enumerate(events[first:]):
        if number:
            rest = event.interval is None
            characters.append(alphabet.rest if rest else alphabet.interval_character(event.interval))
        characters.append(alphabet.durations[event.duration])
    return "".join(characters)


def text_to_events(text: str, alphabet: Alphabet) -> list[Event]:
    """Read a melody string that must be right to the last character.

    Raises
    ------
    MelodyStringError
        If a character is out of place or of no alphabet; the message has its place, from 1.
    """
    if not text:
        raise MelodyStringError("an empty text is no melody string: it needs at least one duration")
    events, interval = [], 0
    for place, character in enumerate(text, start=1):
        if place % 2:
            if character not in alphabet.duration_of:
                raise _misplaced(text, place, f"a duration ({alphabet.durations})", alphabet)
            events.append(Event(interval, alphabet.duration_of[character]))
        elif character == alphabet.rest:
            interval = None
        elif character in alphabet.interval_of:
            interval = alphabet.interval_of[character]
        else:
            intervals = f"{alphabet.falling[::-1]}{alphabet.rising}"
            raise _misplaced(
                text, place, f"an interval ({intervals}) or a rest ({alphabet.rest!r})", alphabet
            )
    if len(text) % 2 == 0:
        raise MelodyStringError(
            f"the string ends with {text[-1]!r} at character {len(text)}; a duration must follow"
        )
    return events


def read_events(text: str, alphabet: Alphabet, *, continues: bool = False) -> list[Event]:
    """Read whatever a network wrote: what makes no event is passed over, as the original does.

    An interval or rest counts if a duration follows at once; a duration alone counts at the very start only,
    and not even there where the text `continues` another.
    """
    events: list[Event] = []
    place = 0
    if not continues and text and text[0] in alphabet.duration_of:
        events.append(Event(0, alphabet.duration_of[text[0]]))
        place = 1
    while place + 1 < len(text):
        character, follower = text[place], text[place + 1]
        is_rest = character == alphabet.rest
        if (is_rest or character in alphabet.interval_of) and follower in alphabet.duration_of:
            interval = None if is_rest else alphabet.interval_of[character]
            events.append(Event(interval, alphabet.duration_of[follower]))
            place += 2
        else:
            place += 1
    return events


def fitting_alphabets(texts: Iterable[str]) -> list[str]:
    """Names of the alphabets in which every one of the texts is a melody string."""
    texts = list(texts)
    fitting = []
    for name, alphabet in ALPHABETS.items():
        try:
            for text in texts:
                text_to_events(text, alphabet)
        except MelodyStringError:
            continue
        fitting.append(name)
    return fitting


def events_to_notes(
    events: Iterable[Event],
    *,
    start_pitch: int = 50,
    unit: Fraction | int = 30,
    grid: int = 1,
    extra_units: int = 0,
    lowest: int = LOWEST,
    highest: int = HIGHEST,
    velocity: int = 80,
) -> list[Note]:
    """The notes that a melody string sounds as; the first starts at tick 0, leading rests left out.

    Parameters
    ----------
    start_pitch : int
        MIDI number from which the first interval counts.
    unit : Fraction or int
        Ticks of a unit; 30 in the original.
    grid : int
        Ticks of which every duration is made a whole multiple, at least one for a note.
    extra_units : int
        Units by which each duration is longer than its index (`Alphabet.extra_units`).
    lowest, highest : int
        A note beyond these moves by octaves until it is within, and so do those after it.

    Raises
    ------
    MelodyStringError
        If the range is less than an octave or not within 0-127, or unit or grid are not above 0.
    """
    if not 0 <= lowest <= highest - 11 <= 116:
        raise MelodyStringError(
            f"notes need a range of at least 12 pitches within 0-127, got {lowest} to {highest}"
        )
    if unit <= 0 or grid < 1:
        raise MelodyStringError(f"unit and grid must be above 0 ticks, got {unit} and {grid}")
    lengths = [duration_ticks(index, unit, grid, extra_units) for index in range(N_DURATIONS)]
    notes: list[Note] = []
    pitch, now = start_pitch, 0
    for interval, index in events:
        if interval is None:
            now += lengths[index] if notes and index + extra_units else 0
            continue
        pitch += interval
        if pitch > highest:
            pitch -= 12 * -((highest - pitch) // 12)
        elif pitch < lowest:
            pitch += 12 * -((pitch - lowest) // 12)
        length = max(grid, lengths[index])
        notes.append(Note(now, pitch, length, velocity))
        now += length
    return notes


def duration_ticks(index: int, unit: Fraction | int, grid: int, extra_units: int) -> int:
    """The ticks of a duration, rounded to the grid; may be 0."""
    units = index + extra_units or SHORTEST
    return int(Fraction(units) * Fraction(unit) / grid + Fraction(1, 2)) * grid


def _index(ticks: int, unit: Fraction) -> int:
    """The nearest whole number of units, halves up, at most 31."""
    return min(N_DURATIONS - 1, (2 * ticks * unit.denominator + unit.numerator) // (2 * unit.numerator))


def _misplaced(text: str, place: int, wanted: str, alphabet: Alphabet) -> MelodyStringError:
    return MelodyStringError(
        f"character {place} is {text[place - 1]!r}, where alphabet {alphabet.name} has {wanted}"
    )
