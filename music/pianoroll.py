"""Piano rolls: a score on a regular time grid, with its way back, in one layer or in five.

A grid of `steps_per_beat` steps holds moment t (in ticks) in the step nearest to it; a moment half way
between two steps belongs to the later one. The five-track form is that of the Lakh Pianoroll Dataset (LPD-5;
Dong et al., "MuseGAN", AAAI 2018): drums, piano, guitar, bass, strings, every other instrument counted among
the strings.
"""

from __future__ import annotations

import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from music.limits import READ_LIMITS, ReadLimits
from music.midi import check_limits, read_bytes
from music.score import TICKS_PER_BEAT, Meter, Note, Score, ScoreError, Tempo, Track

LAKH_TRACKS = ("Drums", "Piano", "Guitar", "Bass", "Strings")
LAKH_PROGRAMS = (0, 0, 24, 32, 48)  # that the dataset itself gives its five tracks

_TEMPO, _METER = Tempo(0), Meter(0)  # 120 beats per minute, 4/4


def score_to_pianoroll(score: Score, *, steps_per_beat: int = 4) -> np.ndarray:
    """Sample a score on a regular time grid, without drums: their pitches name no heights.

    Parameters
    ----------
    steps_per_beat : int
        Grid resolution; 4 is a sixteenth-note grid in 4/4.

    Returns
    -------
    pianoroll : np.ndarray [shape=(n_steps, 128), dtype=bool]
        True where a pitch sounds. A note shorter than a step still fills one.

    Raises
    ------
    ScoreError
        If `steps_per_beat` does not divide the ticks of a beat.
    """
    return _sound(*_grid_notes(score.notes(drums=False), score, steps_per_beat))


def score_to_onsets(score: Score, *, steps_per_beat: int = 4) -> np.ndarray:
    """Where notes start on a regular time grid, without drums.

    Returns
    -------
    onsets : np.ndarray [shape=(n_steps, 128), dtype=bool]
        True where a note of a pitch starts; as long as the piano roll of the same grid.

    Raises
    ------
    ScoreError
        If `steps_per_beat` does not divide the ticks of a beat.
    """
    return _starts(*_grid_notes(score.notes(drums=False), score, steps_per_beat))


def pianoroll_to_score(
    roll: np.ndarray,
    onsets: np.ndarray | None = None,
    *,
    steps_per_beat: int = 4,
    ticks_per_beat: int = TICKS_PER_BEAT,
    tempo: Tempo = _TEMPO,
    meter: Meter = _METER,
    program: int = 0,
    velocity: int = 80,
) -> Score:
    """A score of one track from its piano roll.

    Parameters
    ----------
    roll : np.ndarray [shape=(n_steps, 128), dtype=bool]
        Where pitches sound; numbers count as sounding unless 0.
    onsets : np.ndarray [shape=(n_steps, 128), dtype=bool], optional
        Where notes start. Without it a note lasts as long as its pitch sounds without a gap. An onset where
        the roll is silent is a note of one step.

    Raises
    ------
    ScoreError
        If a shape is wrong, or `steps_per_beat` does not divide `ticks_per_beat`.
    """
    ticks_per_step = _ticks_per_step(ticks_per_beat, steps_per_beat)
    notes = _roll_to_notes(roll, onsets, ticks_per_step, velocity)
    track = Track(notes, program=program)
    return Score((track,), ticks_per_beat=ticks_per_beat, tempos=(tempo,), meters=(meter,))


def lakh_track(track: Track) -> int:
    """The place in `LAKH_TRACKS` of a track, by its drum flag and General MIDI program."""
    if track.is_drum:
        return 0
    return {0: 1, 3: 2, 4: 3}.get(track.program // 8, 4)


def score_to_multitrack(score: Score, *, steps_per_beat: int = 4) -> np.ndarray:
    """Piano rolls of the five Lakh tracks.

    Returns
    -------
    pianorolls : np.ndarray [shape=(n_steps, 128, 5), dtype=bool]
        True where a pitch (of drums: an instrument) sounds; the last axis is in the order of `LAKH_TRACKS`.

    Raises
    ------
    ScoreError
        If `steps_per_beat` does not divide the ticks of a beat.
    """
    return _stack(score, steps_per_beat, _sound)


def score_to_multitrack_onsets(score: Score, *, steps_per_beat: int = 4) -> np.ndarray:
    """Where notes start in the five Lakh tracks; shape, dtype and errors of `score_to_multitrack`."""
    return _stack(score, steps_per_beat, _starts)


def multitrack_to_score(
    rolls: np.ndarray,
    onsets: np.ndarray | None = None,
    *,
    steps_per_beat: int = 4,
    ticks_per_beat: int = TICKS_PER_BEAT,
    tempo: Tempo = _TEMPO,
    meter: Meter = _METER,
    velocity: int = 80,
) -> Score:
    """A score of five tracks, empty ones included, from their piano rolls.

    Parameters
    ----------
    rolls : np.ndarray [shape=(n_steps, 128, 5), dtype=bool]
        In the order of `LAKH_TRACKS`.
    onsets : np.ndarray [shape=(n_steps, 128, 5), dtype=bool], optional
        As for `pianoroll_to_score`.

    Raises
    ------
    ScoreError
        As `pianoroll_to_score`.
    """
    rolls = np.asarray(rolls)
    if rolls.ndim != 3 or rolls.shape[1:] != (128, len(LAKH_TRACKS)):
        raise ScoreError(f"five piano rolls have the shape (n_steps, 128, 5), got {rolls.shape}")
    if onsets is not None and np.shape(onsets) != rolls.shape:
        raise ScoreError(
            f"the onsets must have the shape of the rolls, {rolls.shape}, got {np.shape(onsets)}"
        )
    ticks_per_step = _ticks_per_step(ticks_per_beat, steps_per_beat)
    tracks = []
    for place, (name, program) in enumerate(zip(LAKH_TRACKS, LAKH_PROGRAMS, strict=True)):
        starts = None if onsets is None else np.asarray(onsets)[:, :, place]
        notes = _roll_to_notes(rolls[:, :, place], starts, ticks_per_step, velocity)
        tracks.append(Track(notes, program=program, is_drum=place == 0, name=name))
    return Score(tuple(tracks), ticks_per_beat=ticks_per_beat, tempos=(tempo,), meters=(meter,))


def read_lakh_npz(source: str | Path | bytes, *, limits: ReadLimits = READ_LIMITS) -> Score:
    """Read a multitrack piano roll as pypianoroll saves it (the files of the Lakh Pianoroll Dataset).

    A note lasts as long as its pitch sounds without a gap, at the mean of its velocities; binary rolls sound
    at 80. One tick is one step. Tempos are those of the steps, meters follow from the distances of the
    downbeats.

    Parameters
    ----------
    source : str, Path or bytes
        A path, or the content of a file.

    Raises
    ------
    ScoreError
        If there is no such file, it holds no such piano rolls, is damaged, or exceeds `limits`. Pickled
        objects are never loaded.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, limits=limits)
    members = _load_npz(data, limits)
    info = members.pop("info", None)
    if not isinstance(info, dict):
        raise ScoreError("this .npz is no Lakh pianoroll: it has no info.json")
    resolution = info.get("resolution", info.get("beat_resolution"))
    if not isinstance(resolution, int) or not 1 <= resolution <= 32767:
        raise ScoreError(f"the pianoroll's resolution must be 1-32767 steps per beat, got {resolution!r}")
    places = sorted(
        int(key) for key in info if key.isdecimal() and len(key) < 6 and isinstance(info[key], dict)
    )
    tracks = [_lakh_track(place, info[str(place)], members, resolution, limits) for place in places]
    if not tracks:
        raise ScoreError("the pianoroll has no tracks")
    title = info.get("name")
    score = Score(
        tracks=tuple(tracks),
        ticks_per_beat=resolution,
        tempos=_lakh_tempos(members.get("tempo")),
        meters=_lakh_meters(members.get("downbeat"), resolution),
        title=title if isinstance(title, str) else "",
    )
    check_limits(score, limits)
    return score


def nearest_step(tick: int | np.ndarray, steps_per_beat: int, ticks_per_beat: int) -> int | np.ndarray:
    """The step nearest to a tick, or to each of an array of ticks, the later one of two equally near.

    Exact for any pair of resolutions.
    """
    return (2 * tick * steps_per_beat + ticks_per_beat) // (2 * ticks_per_beat)


# ---- grids


def _ticks_per_step(ticks_per_beat: int, steps_per_beat: int) -> int:
    if steps_per_beat < 1 or ticks_per_beat % steps_per_beat:
        raise ScoreError(
            f"steps_per_beat must divide the {ticks_per_beat} ticks of a beat, got {steps_per_beat}; "
            f"transform.quantise gives a score on such a grid"
        )
    return ticks_per_beat // steps_per_beat


def _grid_notes(notes, score: Score, steps_per_beat: int) -> tuple[np.ndarray, int]:
    """Notes as rows (first step, pitch, step after the last), and the number of steps of the grid."""
    _ticks_per_step(score.ticks_per_beat, steps_per_beat)
    rows = []
    for note in notes:
        start = nearest_step(note.onset, steps_per_beat, score.ticks_per_beat)
        stop = nearest_step(note.end, steps_per_beat, score.ticks_per_beat)
        rows.append((start, note.pitch, max(stop, start + 1)))
    if not rows:
        return np.zeros((0, 3), dtype=np.int64), 0
    grid = np.array(rows, dtype=np.int64)
    return grid, int(grid[:, 2].max())


def _sound(grid: np.ndarray, n_steps: int) -> np.ndarray:
    edges = np.zeros((n_steps + 1, 128), dtype=np.int32)
    np.add.at(edges, (grid[:, 0], grid[:, 1]), 1)
    np.add.at(edges, (grid[:, 2], grid[:, 1]), -1)
    return np.cumsum(edges[:-1], axis=0) > 0


def _starts(grid: np.ndarray, n_steps: int) -> np.ndarray:
    onsets = np.zeros((n_steps, 128), dtype=bool)
    onsets[grid[:, 0], grid[:, 1]] = True
    return onsets


def _stack(score: Score, steps_per_beat: int, draw) -> np.ndarray:
    members: list[list[Note]] = [[] for _ in LAKH_TRACKS]
    for track in score.tracks:
        members[lakh_track(track)].extend(track.notes)
    grids = [_grid_notes(notes, score, steps_per_beat) for notes in members]
    n_steps = max(count for _, count in grids)
    return np.stack([draw(grid, n_steps) for grid, _ in grids], axis=2)


def _roll_to_notes(
    roll: np.ndarray, onsets: np.ndarray | None, ticks_per_step: int, velocity: int
) -> tuple[Note, ...]:
    sounds = np.asarray(roll) != 0
    if sounds.ndim != 2 or sounds.shape[1] != 128:
        raise ScoreError(f"a piano roll has the shape (n_steps, 128), got {sounds.shape}")
    if onsets is None:
        starts = np.zeros_like(sounds)
    else:
        starts = np.asarray(onsets) != 0
        if starts.shape != sounds.shape:
            raise ScoreError(
                f"the onsets must have the shape of the roll, {sounds.shape}, got {starts.shape}"
            )
        sounds = sounds | starts
    silent = np.zeros((1, 128), dtype=bool)
    before = np.concatenate([silent, sounds])[:-1]
    begins = sounds & (~before | starts)
    after = np.concatenate([sounds, silent])[1:]
    next_begins = np.concatenate([begins, silent])[1:]
    ends = sounds & (~after | next_begins)
    # Begins and ends alternate within a pitch, so sorted by pitch they pair up.
    pitches, first = np.nonzero(begins.T)
    _, last = np.nonzero(ends.T)
    order = np.argsort(first, kind="stable")  # that of a Track, which has nothing left to move then
    return tuple(
        Note(start * ticks_per_step, pitch, (stop + 1 - start) * ticks_per_step, velocity)
        for pitch, start, stop in zip(
            pitches[order].tolist(), first[order].tolist(), last[order].tolist(), strict=True
        )
    )


# ---- Lakh files


def _load_npz(data: bytes, limits: ReadLimits) -> dict:
    """The arrays of an .npz and its info.json, unpacked under `limits`."""
    members: dict = {}
    budget = 8 * limits.max_bytes  # for all members together
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist()[:4096]:
                with archive.open(entry) as member:
                    content = member.read(min(limits.max_bytes, budget) + 1)
                budget -= len(content)
                if len(content) > limits.max_bytes or budget < 0:
                    raise ScoreError(f"{entry.filename!r} in the .npz unpacks to more than may be read")
                if entry.filename == "info.json":
                    members["info"] = json.loads(content)
                elif entry.filename.endswith(".npy"):
                    name = entry.filename.removesuffix(".npy")
                    members[name] = np.load(io.BytesIO(content), allow_pickle=False)
    except (
        zipfile.BadZipFile,
        zipfile.zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ScoreError(f"the .npz is no readable ZIP archive: {error}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ScoreError(f"the .npz holds what is no plain array: {str(error)[:200]}") from None
    return members


def _lakh_track(place: int, facts: dict, members: dict, resolution: int, limits: ReadLimits) -> Track:
    parts = {}
    for part in ("data", "indices", "indptr", "shape"):
        array = members.get(f"pianoroll_{place}_csc_{part}")
        if array is None or array.ndim != 1 or array.dtype.kind not in "buif":
            raise ScoreError(f"track {place} of the pianoroll lacks the array csc_{part}")
        parts[part] = array
    values = np.nan_to_num(parts["data"].astype(np.float64))
    steps, columns = parts["indices"].astype(np.int64), parts["indptr"].astype(np.int64)
    shape = tuple(int(size) for size in parts["shape"])
    is_sound = (
        len(shape) == 2
        and shape[1] == 128
        and 0 <= shape[0] <= limits.max_beats * resolution
        and len(columns) == 129
        and columns[0] == 0
        and bool((np.diff(columns) >= 0).all())
        and columns[-1] == len(steps) == len(values)
        and (not len(steps) or (steps.min() >= 0 and steps.max() < shape[0]))
    )
    if not is_sound:
        raise ScoreError(f"track {place} of the pianoroll is no sparse matrix of shape (n_steps, 128)")
    is_binary = parts["data"].dtype == bool
    notes = []
    for pitch in range(128):
        column = slice(columns[pitch], columns[pitch + 1])
        order = np.argsort(steps[column], kind="stable")
        sounding, loud = steps[column][order], values[column][order]
        sounding, loud = sounding[loud > 0], loud[loud > 0]
        if not len(sounding):
            continue
        breaks = np.flatnonzero(np.diff(sounding) > 1) + 1
        for run, level in zip(np.split(sounding, breaks), np.split(loud, breaks), strict=True):
            velocity = 80 if is_binary else min(127, max(1, round(float(level.mean()))))
            notes.append(Note(int(run[0]), pitch, int(run[-1] - run[0]) + 1, velocity))
        if len(notes) > limits.max_notes:
            raise ScoreError(f"the pianoroll has more than {limits.max_notes:,} notes, the most that is read")
    program, name = facts.get("program"), facts.get("name")
    return Track(
        tuple(notes),
        program=program if isinstance(program, int) and 0 <= program <= 127 else 0,
        is_drum=bool(facts.get("is_drum")),
        name=name if isinstance(name, str) else "",
    )


def _lakh_tempos(tempo: np.ndarray | None) -> tuple[Tempo, ...]:
    """Tempo changes from one value (beats per minute) per step, or one for all."""
    if tempo is None or tempo.dtype.kind not in "uif" or not tempo.size:
        return ()
    speeds = tempo.reshape(-1).astype(np.float64)
    changes = np.concatenate([[0], np.flatnonzero(np.diff(speeds)) + 1])
    return tuple(
        Tempo(int(step), min(2**24 - 1, max(1, round(60e6 / speeds[step]))))
        for step in changes
        if np.isfinite(speeds[step]) and speeds[step] > 0
    )


def _lakh_meters(downbeat: np.ndarray | None, resolution: int) -> tuple[Meter, ...]:
    """Meters from the distances of the downbeats, where these are whole eighths."""
    if downbeat is None or downbeat.dtype.kind not in "bui" or downbeat.ndim != 1 or not downbeat.any():
        return ()
    # Before bool became their form, downbeats were stored as step numbers.
    steps = np.flatnonzero(downbeat) if downbeat.dtype == bool else np.unique(downbeat.astype(np.int64))
    steps = steps[steps >= 0]
    meters = []
    for start, stop in pairwise(steps):
        eighths = Meter(0, 1, 8).beats_per_bar * resolution
        count = int(stop - start) / eighths
        if count.denominator == 1 and count <= 255:
            even = count.numerator % 2 == 0
            meter = (count.numerator // 2, 4) if even else (count.numerator, 8)
            meters.append(Meter(int(start), *meter))
    return tuple(meters)
