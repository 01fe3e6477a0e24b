"""Scores from scores: moved in pitch, put on a grid, cut, scrambled."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from math import lcm

from music.pianoroll import nearest_step
from music.score import TICKS_PER_BEAT, Key, Note, Score, ScoreError, Track

_MAX_TICKS_PER_BEAT = 32767


def transpose(score: Score, semitones: int) -> Score:
    """Move every pitched note by a number of semitones; drums stay, keys follow.

    Raises
    ------
    ScoreError
        If a note would leave 0-127.
    """
    pitches = [note.pitch for note in score.notes(drums=False)]
    if pitches and not (-min(pitches) <= semitones <= 127 - max(pitches)):
        raise ScoreError(
            f"pitches {min(pitches)}-{max(pitches)} moved by {semitones} semitones leave 0-127; "
            f"{-min(pitches)} to {127 - max(pitches)} is possible"
        )
    tracks = []
    for track in score.tracks:
        if not track.is_drum:
            notes = tuple(replace(note, pitch=note.pitch + semitones) for note in track.notes)
            track = replace(track, notes=notes)
        tracks.append(track)
    keys = tuple(Key(key.tick, _move_fifths(key.fifths, semitones), key.is_minor) for key in score.keys)
    return replace(score, tracks=tuple(tracks), keys=keys)


def with_ticks_per_beat(score: Score, ticks_per_beat: int) -> Score:
    """The same piece in other ticks: exact if the new beat is a multiple of the old, else the nearest tick.

    A note keeps at least one tick.

    Raises
    ------
    ScoreError
        If `ticks_per_beat` is not 1-32767.
    """
    if ticks_per_beat == score.ticks_per_beat:
        return score
    if not 1 <= ticks_per_beat <= _MAX_TICKS_PER_BEAT:
        raise ScoreError(f"ticks_per_beat must be 1-{_MAX_TICKS_PER_BEAT}, got {ticks_per_beat}")

    def moved(tick: int) -> int:
        return nearest_step(tick, ticks_per_beat, score.ticks_per_beat)

    return _move_ticks(score, moved, ticks_per_beat, shortest=1)


def refine(score: Score, divisions: int = 24) -> Score:
    """The same piece in ticks that `divisions` divides, so that every grid dividing it fits.

    Exact, unless the multiple of both resolutions would exceed 32,767 ticks: then to the nearest of at least
    480.
    """
    if score.ticks_per_beat % divisions == 0:
        return score
    common = lcm(score.ticks_per_beat, divisions)
    if common > _MAX_TICKS_PER_BEAT:
        common = lcm(TICKS_PER_BEAT, divisions)
    return with_ticks_per_beat(score, common)


def quantise(score: Score, *, steps_per_beat: int = 4) -> Score:
    """Put onsets and ends of notes on the nearest step of a grid; changes of tempo, meter and key too.

    A note fills at least one step. Half way between two steps is the later one. Notes of one track that
    become equal in onset and pitch become one, the longest and loudest. Ticks stay as they are if
    `steps_per_beat` divides the ticks of a beat; else they become finer, so that it does.

    Raises
    ------
    ScoreError
        If `steps_per_beat` is not 1-480.
    """
    if not 1 <= steps_per_beat <= 480:
        raise ScoreError(f"steps_per_beat must be 1-480, got {steps_per_beat}")
    ticks_per_beat = lcm(score.ticks_per_beat, steps_per_beat)
    if ticks_per_beat > _MAX_TICKS_PER_BEAT:
        ticks_per_beat = lcm(TICKS_PER_BEAT, steps_per_beat)
    if ticks_per_beat > _MAX_TICKS_PER_BEAT:
        ticks_per_beat = steps_per_beat * (TICKS_PER_BEAT // steps_per_beat)
    ticks_per_step = ticks_per_beat // steps_per_beat

    def moved(tick: int) -> int:
        return nearest_step(tick, steps_per_beat, score.ticks_per_beat) * ticks_per_step

    on_grid = _move_ticks(score, moved, ticks_per_beat, shortest=ticks_per_step)
    return on_grid.with_tracks(replace(track, notes=_merge_equal(track.notes)) for track in on_grid.tracks)


def excerpt(score: Score, start_tick: int, end_tick: int, *, keep_held: bool = False) -> Score:
    """The notes that start within [start_tick, end_tick), moved to start at 0 and ended at the cut.

    Tempo, meter and key are those in force. With `keep_held`, notes that started earlier and still sound at
    `start_tick` are struck there. Every track stays, empty ones too. The first bar starts at the cut.

    Raises
    ------
    ScoreError
        If the stretch is empty or starts before 0.
    """
    if not 0 <= start_tick < end_tick:
        raise ScoreError(f"an excerpt needs 0 <= start < end, got ticks {start_tick} to {end_tick}")
    tracks = []
    for track in score.tracks:
        notes = []
        for note in track.notes:
            is_held = keep_held and note.onset < start_tick < note.end
            if start_tick <= note.onset < end_tick or is_held:
                onset = max(note.onset, start_tick)
                duration = min(note.end, end_tick) - onset
                notes.append(Note(onset - start_tick, note.pitch, duration, note.velocity))
        tracks.append(replace(track, notes=tuple(notes)))
    return replace(
        score,
        tracks=tuple(tracks),
        tempos=_cut_changes(score.tempos, start_tick, end_tick),
        meters=_cut_changes(score.meters, start_tick, end_tick),
        keys=_cut_changes(score.keys, start_tick, end_tick),
    )


def windows_by_bar(score: Score, *, n_bars: int, hop_bars: int = 1) -> list[tuple[int, Score]]:
    """Every stretch of `n_bars` whole bars, `hop_bars` apart.

    Returns
    -------
    windows : list of (first_bar, Score)
        Bars count from 0. The piece's last bar counts as whole. Empty if the piece has fewer bars.

    Raises
    ------
    ScoreError
        If `n_bars` or `hop_bars` is less than 1.
    """
    if n_bars < 1 or hop_bars < 1:
        raise ScoreError(f"windows need n_bars and hop_bars of at least 1, got {n_bars} and {hop_bars}")
    edges = bar_edges(score)
    return [
        (first, excerpt(score, edges[first], edges[first + n_bars]))
        for first in range(0, len(edges) - n_bars, hop_bars)
    ]


def bar_edges(score: Score) -> list[int]:
    """Where bars start, and where the last one ends; empty for a score without notes."""
    if not score.end:
        return []
    starts = score.bar_starts()
    meter = max(
        (change for change in score.meters if change.tick <= starts[-1]), key=lambda change: change.tick
    )
    bar = int(meter.beats_per_bar * score.ticks_per_beat)
    return [*starts, starts[-1] + max(1, bar)]


def scramble(score: Score, *, seed: int = 0) -> Score:
    """The low anchor: each track keeps onsets, durations and velocities and gets its pitches in random order.

    Density, rhythm and pitch content stay; melody and harmony go. No chord gets a pitch twice where another
    order of the track's pitches avoids it. The same seed gives the same score.
    """
    rng = random.Random(seed)
    tracks = []
    for track in score.tracks:
        pitches = [note.pitch for note in track.notes]
        rng.shuffle(pitches)
        _part_unisons([note.onset for note in track.notes], pitches, rng)
        notes = tuple(replace(note, pitch=pitch) for note, pitch in zip(track.notes, pitches, strict=True))
        tracks.append(replace(track, notes=notes))
    return score.with_tracks(tracks)


def on_one_track(score: Score, *, program: int = 0, name: str = "") -> Score:
    """All pitched notes on one instrument, by default the grand piano; drums are left out.

    Notes of equal onset and pitch become one, the longest and loudest.
    """
    notes = _merge_equal(tuple(sorted(score.notes(drums=False))))
    return score.with_tracks([Track(notes, program=program, name=name)])


def _move_fifths(fifths: int, semitones: int) -> int:
    """The key a number of semitones away, with at most six flats or five sharps unless nothing moves."""
    if semitones % 12 == 0:
        return fifths
    moved = (fifths + 7 * semitones) % 12
    return moved - 12 if moved > 5 else moved


def _move_ticks(score: Score, moved, ticks_per_beat: int, *, shortest: int) -> Score:
    tracks = []
    for track in score.tracks:
        notes = []
        for note in track.notes:
            onset = moved(note.onset)
            notes.append(Note(onset, note.pitch, max(shortest, moved(note.end) - onset), note.velocity))
        tracks.append(replace(track, notes=tuple(notes)))
    return replace(
        score,
        tracks=tuple(tracks),
        ticks_per_beat=ticks_per_beat,
        tempos=tuple(replace(change, tick=moved(change.tick)) for change in score.tempos),
        meters=tuple(replace(change, tick=moved(change.tick)) for change in score.meters),
        keys=tuple(replace(change, tick=moved(change.tick)) for change in score.keys),
    )


def _merge_equal(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    merged: dict[tuple[int, int], Note] = {}
    for note in notes:
        rival = merged.get((note.onset, note.pitch))
        if rival is not None:
            duration = max(rival.duration, note.duration)
            note = Note(note.onset, note.pitch, duration, max(rival.velocity, note.velocity))
        merged[note.onset, note.pitch] = note
    return tuple(merged.values())


def _cut_changes(changes: tuple, start_tick: int, end_tick: int) -> tuple:
    first = max(bisect_right(changes, start_tick, key=lambda change: change.tick) - 1, 0)
    return tuple(
        replace(change, tick=max(0, change.tick - start_tick))
        for change in changes[first:]
        if change.tick < end_tick
    )


def _part_unisons(onsets: list[int], pitches: list[int], rng: random.Random) -> None:
    """Swap pitches in place until no onset has one twice, or no swap helps."""
    chords: dict[int, Counter] = {}
    for onset, pitch in zip(onsets, pitches, strict=True):
        chords.setdefault(onset, Counter())[pitch] += 1
    for index, onset in enumerate(onsets):
        for _ in range(50):
            if chords[onset][pitches[index]] == 1:
                break
            other = rng.randrange(len(onsets))
            there = onsets[other]
            if there == onset or chords[onset][pitches[other]] or chords[there][pitches[index]]:
                continue
            chords[onset][pitches[index]] -= 1
            chords[there][pitches[other]] -= 1
            pitches[index], pitches[other] = pitches[other], pitches[index]
            chords[onset][pitches[index]] += 1
            chords[there][pitches[other]] += 1
