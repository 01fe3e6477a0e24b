"""Note, Track and Score: a piece of music in whole ticks."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

MICROSECONDS_PER_BEAT = 500_000  # 120 beats per minute, the MIDI default (SMF 1.0, Set Tempo)
TICKS_PER_BEAT = 480


class MusicError(Exception):
    """Base class of everything that `music` refuses."""


class ScoreError(MusicError):
    """A file or a value that is no piece of music; the message says what is wrong and what would be right."""


@dataclass(frozen=True, order=True, slots=True)
class Note:
    """One note. Times are whole ticks, so arithmetic on them is exact."""

    onset: int  # ticks from the start of the piece
    pitch: int  # MIDI note number, 0-127; 60 is middle C
    duration: int  # ticks, at least 1
    velocity: int = 80  # 1-127

    def __post_init__(self):
        if self.onset < 0:
            raise ScoreError(f"onset must be 0 or more ticks, got {self.onset}")
        if not 0 <= self.pitch <= 127:
            raise ScoreError(f"pitch must be 0-127, got {self.pitch} at tick {self.onset}")
        if self.duration < 1:
            raise ScoreError(f"duration must be at least 1 tick, got {self.duration} at tick {self.onset}")
        if not 1 <= self.velocity <= 127:
            raise ScoreError(f"velocity must be 1-127, got {self.velocity} at tick {self.onset}")

    @property
    def end(self) -> int:
        """The first tick at which the note no longer sounds."""
        return self.onset + self.duration


@dataclass(frozen=True, slots=True)
class Track:
    """The notes of one instrument, sorted by onset, then pitch."""

    notes: tuple[Note, ...] = ()
    program: int = 0  # General MIDI, 0-127; 0 is the grand piano
    is_drum: bool = False
    name: str = ""

    def __post_init__(self):
        if not 0 <= self.program <= 127:
            raise ScoreError(f"program must be 0-127, got {self.program} in track {self.name!r}")
        object.__setattr__(self, "name", _printable(self.name))
        object.__setattr__(self, "notes", tuple(sorted(self.notes)))


@dataclass(frozen=True, order=True, slots=True)
class Tempo:
    """A tempo from `tick` on. Microseconds are whole, as in the file, so no tempo drifts."""

    tick: int
    microseconds_per_beat: int = MICROSECONDS_PER_BEAT

    def __post_init__(self):
        if self.tick < 0 or not 1 <= self.microseconds_per_beat < 2**24:
            raise ScoreError(
                f"a tempo needs 1 to {2**24 - 1:,} microseconds per beat, "
                f"got {self.microseconds_per_beat:,} at tick {self.tick}"
            )

    @property
    def beats_per_minute(self) -> float:
        """Quarter notes per minute."""
        return 60e6 / self.microseconds_per_beat


@dataclass(frozen=True, order=True, slots=True)
class Meter:
    """A time signature from `tick` on."""

    tick: int
    numerator: int = 4
    denominator: int = 4  # a power of two, 1-64

    def __post_init__(self):
        is_note_value = self.denominator in (1, 2, 4, 8, 16, 32, 64)
        if self.tick < 0 or not 1 <= self.numerator <= 255 or not is_note_value:
            raise ScoreError(
                f"a meter needs a numerator 1-255 over a power of two up to 64, "
                f"got {self.numerator}/{self.denominator} at tick {self.tick}"
            )

    @property
    def beats_per_bar(self) -> Fraction:
        """Quarter notes in a bar: 3 for 3/4, 3 for 6/8."""
        return Fraction(4 * self.numerator, self.denominator)


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """A key signature from `tick` on, as the file states it."""

    tick: int
    fifths: int = 0  # sharps if positive, flats if negative; -7 to 7
    is_minor: bool = False

    def __post_init__(self):
        if self.tick < 0 or not -7 <= self.fifths <= 7:
            raise ScoreError(f"a key needs -7 to 7 fifths, got {self.fifths} at tick {self.tick}")

    @property
    def name(self) -> str:
        """The tonic and mode in English: "E flat major"."""
        tonics = "Cb Gb Db Ab Eb Bb F C G D A E B F# C# G# D# A#".split()  # noqa: SIM905 - the circle of fifths
        tonic = tonics[self.fifths + (10 if self.is_minor else 7)]
        return f"{tonic.replace('b', ' flat').replace('#', ' sharp')} {'minor' if self.is_minor else 'major'}"


@dataclass(frozen=True)
class Score:
    """A piece: tracks over one tempo map and one meter map.

    A missing first tempo is 120 beats per minute and a missing first meter 4/4, as the MIDI standard has it;
    `keys` stays empty where the source names no key. Equal scores compare equal and hash equal.
    """

    tracks: tuple[Track, ...] = ()
    ticks_per_beat: int = TICKS_PER_BEAT
    tempos: tuple[Tempo, ...] = ()
    meters: tuple[Meter, ...] = ()
    keys: tuple[Key, ...] = ()
    title: str = field(default="", compare=False)

    def __post_init__(self):
        if not 1 <= self.ticks_per_beat <= 32767:
            raise ScoreError(f"ticks_per_beat must be 1-32767, got {self.ticks_per_beat}")
        object.__setattr__(self, "title", _printable(self.title))
        object.__setattr__(self, "tracks", tuple(self.tracks))
        object.__setattr__(self, "tempos", changes_of(self.tempos, Tempo(0)))
        object.__setattr__(self, "meters", changes_of(self.meters, Meter(0)))
        object.__setattr__(self, "keys", changes_of(self.keys, None))

    @property
    def n_notes(self) -> int:
        """How many notes all tracks have together, drums too."""
        return sum(len(track.notes) for track in self.tracks)

    @cached_property
    def end(self) -> int:
        """The tick at which the last note ends; 0 for a score without notes."""
        return max((note.end for note in self.notes()), default=0)

    @property
    def duration_seconds(self) -> float:
        """Seconds from the start to the end of the last note."""
        return self.tick_to_seconds(self.end)

    def notes(self, *, drums: bool = True) -> Iterator[Note]:
        """All notes, track after track; without those of drum tracks if `drums` is False."""
        for track in self.tracks:
            if drums or not track.is_drum:
                yield from track.notes

    @cached_property
    def _tempo_seconds(self) -> list[float]:
        """The second at which each tempo starts."""
        seconds = [0.0]
        for now, then in zip(self.tempos, self.tempos[1:], strict=False):
            beats = (then.tick - now.tick) / self.ticks_per_beat
            seconds.append(seconds[-1] + beats * now.microseconds_per_beat / 1e6)
        return seconds

    def tick_to_seconds(self, tick: int) -> float:
        """The time of a tick under the tempo map, in seconds."""
        index = bisect.bisect_right(self.tempos, tick, key=lambda tempo: tempo.tick) - 1
        tempo = self.tempos[index]
        beats = (tick - tempo.tick) / self.ticks_per_beat
        return self._tempo_seconds[index] + beats * tempo.microseconds_per_beat / 1e6

    def seconds_to_tick(self, seconds: float) -> int:
        """The tick nearest to a time in seconds (at least 0)."""
        index = max(bisect.bisect_right(self._tempo_seconds, seconds) - 1, 0)
        tempo = self.tempos[index]
        beats = (seconds - self._tempo_seconds[index]) * 1e6 / tempo.microseconds_per_beat
        return max(0, tempo.tick + round(beats * self.ticks_per_beat))

    def bar_starts(self) -> list[int]:
        """Ticks at which bars start, up to the end of the last note; a new meter always starts a bar.

        A bar whose length is no whole number of ticks starts at the tick below its exact place.
        """
        return bar_starts(self.meters, ticks_per_beat=self.ticks_per_beat, end=self.end)

    @property
    def main_meter(self) -> Meter:
        """The meter in force for most of the piece, at tick 0; `meters[0]` may be that of an upbeat alone."""
        ticks: dict[tuple[int, int], int] = {}
        for now, then in zip(self.meters, [*self.meters[1:], None], strict=True):
            limit = self.end if then is None else min(then.tick, self.end)
            meter = now.numerator, now.denominator
            ticks[meter] = ticks.get(meter, 0) + max(0, limit - now.tick)
        return Meter(0, *max(ticks, key=ticks.get))

    @property
    def n_bars(self) -> int:
        """Bars from the start to the end of the last note."""
        return len(self.bar_starts()) if self.end else 0

    def with_tracks(self, tracks: Iterable[Track]) -> Score:
        """The same tempo, meter and key maps over other tracks."""
        return replace(self, tracks=tuple(tracks))


def bar_starts(meters: Sequence[Meter], *, ticks_per_beat: int, end: int) -> list[int]:
    """Ticks before `end` at which bars start under a meter map; see `Score.bar_starts`."""
    starts: list[int] = []
    last = max(end, 1)
    for now, then in zip(meters, [*meters[1:], None], strict=True):
        limit = last if then is None else min(then.tick, last)
        bar = 4 * now.numerator * ticks_per_beat  # ticks, times the denominator
        count = -(-(limit - now.tick) * now.denominator // bar)
        starts += [now.tick + number * bar // now.denominator for number in range(count)]
    return starts


def _printable(text: str) -> str:
    """Names come from strangers' files: without control characters, and of a length that fits a page."""
    return text if text.isprintable() and len(text) <= 200 else "".join(filter(str.isprintable, text))[:200]


def changes_of(changes: Iterable, first):
    """A map of changes: sorted, the last of those at one tick, without repeats, with `first` at tick 0."""
    by_tick = {change.tick: change for change in sorted(changes, key=lambda change: change.tick)}
    if first is not None and 0 not in by_tick:
        by_tick[0] = first
    kept: list = []
    for _, change in sorted(by_tick.items()):
        if not kept or replace(change, tick=0) != replace(kept[-1], tick=0):
            kept.append(change)
    return tuple(kept)
