"""Melodies as strings of characters, the language of MELODL4J (Don Smith 2017, deeplearning4j examples).

A melody is the duration of its first note, then for each further note an optional rest with its duration, an
interval from the note before, and a duration; each is one character. Intervals make a string the same in
every key, and durations, counted in eighths of the average note, make it the same at every tempo.

`alphabets` has the characters of the three generations of the program, `language` reads and writes strings,
`extraction` finds the melodies of a score with the filters of each generation, and `two_parts` has the other
language of the same author, in which two voices alternate on a grid.
"""

from music.melody_strings.alphabets import ALPHABETS, Alphabet, MelodyStringError
from music.melody_strings.extraction import Melody, Refusal, extract_melodies
from music.melody_strings.language import (
    Event,
    events_to_notes,
    events_to_text,
    fitting_alphabets,
    mean_unit,
    notes_to_events,
    read_events,
    text_to_events,
)

__all__ = [
    "ALPHABETS",
    "Alphabet",
    "Event",
    "Melody",
    "MelodyStringError",
    "Refusal",
    "events_to_notes",
    "events_to_text",
    "extract_melodies",
    "fitting_alphabets",
    "mean_unit",
    "notes_to_events",
    "read_events",
    "text_to_events",
]
