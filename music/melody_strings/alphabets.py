"""The characters of melody strings, in the three generations of MELODL4J: 2017, 2018 and 2022.

The published alphabets of the first two generations name two durations "z" and none "x", so a string cannot
say which of the two it means; here the first of them is "x". Their programs also lengthen every duration by a
unit when they play it, and the second folds wide intervals by 13 semitones instead of an octave, which
changes the pitch class. `Alphabet.as_published` brings all of this back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from music.score import MusicError

WIDEST = 12  # semitones; wider intervals are folded
N_DURATIONS = 32


class MelodyStringError(MusicError):
    """A text that is no melody string; the message names the place, the character and what would be right."""


@dataclass(frozen=True)
class Alphabet:
    """Which character says what. Durations are indices 0 to 31, in units of an eighth of the average note."""

    name: str
    rising: str  # intervals 0, 1, ... 12
    falling: str  # intervals -1, -2, ...
    rest: str
    durations: str
    fold: int = 12  # semitones by which an interval beyond +-12 moves towards 0 until it is none
    extra_units: int = 0  # by which each duration is lengthened when it is played

    def __post_init__(self):
        if self.fold not in (12, 13):
            raise MelodyStringError(f"wide intervals fold by 12 (an octave) or 13 semitones, got {self.fold}")
        if self.extra_units not in (0, 1):
            raise MelodyStringError(
                f"a duration is played 0 or 1 units longer than written, got {self.extra_units}"
            )

    @property
    def symbols(self) -> str:
        """All characters, those that stand twice included: 59 in the first generations, 58 in the third."""
        return self.rising + self.falling + self.rest + self.durations

    @cached_property
    def interval_of(self) -> dict[str, int]:
        """The semitones of each interval character."""
        falling = {character: -number for number, character in enumerate(self.falling, start=1)}
        return {character: number for number, character in enumerate(self.rising)} | falling

    @cached_property
    def duration_of(self) -> dict[str, int]:
        """The index of each duration character; of one that stands twice, the first."""
        return {self.durations[index]: index for index in reversed(range(len(self.durations)))}

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The place of each character among `symbols`; of one that stands twice, the first."""
        symbols = self.symbols
        return {symbols[number]: number for number in reversed(range(len(symbols)))}

    def folded(self, interval: int) -> int:
        """An interval as the alphabet can say it: -12 to 12."""
        while interval > WIDEST:
            interval -= self.fold
        while interval < -WIDEST:
            interval += self.fold
        return interval

    def interval_character(self, interval: int) -> str:
        """The character of an interval, folded if need be."""
        interval = self.folded(interval)
        return self.rising[interval] if interval >= 0 else self.falling[-interval - 1]

    def as_published(self) -> Alphabet:
        """With the defects of its generation: "z" twice, durations played a unit longer, folds by 13."""
        return replace(self, **_PUBLISHED[self.name])


ALPHABETS = {
    "v1": Alphabet("v1", "0123456789abc", "!@#$%^&*(ABCD", "R", "defghijklmnopqrstuvwxyzEFGHIJKLM"),
    "v2": Alphabet("v2", "0123456789abc", "ABCDEFGHIJKLM", "R", "defghijkmnopqrstuvwxyz!@#$%^&*-_"),
    "v3": Alphabet("v3", "MNOPQRSTUVWXY", "LKJIHGFEDCBA", " ", "]^_`abcdefghijklmnopqrstuvwxyz{|"),
}
_PUBLISHED = {
    "v1": {"durations": ALPHABETS["v1"].durations.replace("x", "z"), "extra_units": 1},
    "v2": {"durations": ALPHABETS["v2"].durations.replace("x", "z"), "extra_units": 1, "fold": 13},
    "v3": {},
}
