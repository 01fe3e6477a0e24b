"""Standard MIDI Files to Scores and back, tick for tick.

The reader works on the bytes itself, because what the wild holds (missing note-offs, patterns of type 2,
SMPTE time, several instruments in one chunk, cut files) needs one stated rule each, and the libraries differ
or give up there. Its rules:

- A note-off ends the oldest open note of its pitch. Where a pitch has fewer note-offs than note-ons, the next
  note-on of the pitch ends the note as well. A note that nothing ends lasts to the next onset on its channel,
  the last one to the end of its chunk: no drones that nobody wrote.
- A note that ends in the tick in which it starts lasts one tick.
- One chunk gives one track per channel and program; channel 10 holds drums. A chunk without a program of its
  own takes that which another chunk set on the channel.
- Patterns of a type 2 file follow one another, each under its own tempo.
- Under SMPTE time a beat is half a second (one second where half of one is no whole number of ticks).
- Leading wrappers (RIFF), unknown chunks and what follows the last chunk are passed over; a file that ends
  inside a chunk or before the last announced one is refused, as it holds only a part of the piece.

Reference: MIDI Manufacturers Association, Standard MIDI Files 1.0 (RP-001, 1996).
"""

from __future__ import annotations

import bisect
import os
import stat
import struct
import tempfile
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from music.limits import READ_LIMITS, ReadLimits
from music.score import Key, Meter, Note, Score, ScoreError, Tempo, Track

DRUM_CHANNEL = 9  # counted from 0; "channel 10" to musicians
_PITCHED_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)
_SUSTAIN, _VOLUME, _EXPRESSION = 64, 7, 11
_SOUND_OFF, _RESET, _NOTES_OFF = 120, 121, 123
_DEFAULT_VOLUME, _DEFAULT_EXPRESSION = 100, 127  # General MIDI 1, recommended at power-up
_SEARCH_HEADER = 4096  # bytes in which a wrapped file must have begun

# Marks of this writer, as sequencer-specific events: 0x7D is the manufacturer number for non-commercial use.
EMPTY_MARK = b"\x7dEarwitness empty"  # the chunk is a track although it has no notes
LAYER_MARK = b"\x7dEarwitness layer"  # the chunk holds more notes of the track before it


def read_midi(
    source: str | Path | bytes,
    *,
    fold_pedal: bool = False,
    fold_volume: bool = False,
    limits: ReadLimits = READ_LIMITS,
) -> Score:
    """Read a Standard MIDI File of any type.

    Parameters
    ----------
    source : str, Path or bytes
        A path, or the content of a file.
    fold_pedal : bool
        Hold each note while the sustain pedal (controller 64) is down, at most to the next onset of its
        pitch.
    fold_volume : bool
        Scale velocities by channel volume and expression (controllers 7 and 11), relative to their defaults.
    limits : ReadLimits
        What is refused for its size.

    Returns
    -------
    score : Score
        Ticks as in the file. Tracks without notes are left out. Without notes at all: a score without tracks.

    Raises
    ------
    ScoreError
        If there is no such file, it is no MIDI file, is damaged or cut off, or exceeds `limits`.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, limits=limits)
    if len(data) > limits.max_bytes:
        raise ScoreError(f"the file has {len(data):,} bytes; at most {limits.max_bytes:,} are read")
    header, chunks = _read_chunks(data, limits)
    if header.midi_type == 2:
        _line_up(chunks)
    if fold_pedal:
        _fold_pedal(chunks)
    if fold_volume:
        _fold_volume(chunks)
    score = _chunks_to_score(header, chunks, limits)
    check_limits(score, limits)
    return score


def read_bytes(path: str | Path, *, limits: ReadLimits = READ_LIMITS) -> bytes:
    """The content of a file; ScoreError if it cannot be read or is larger than `limits` allow."""
    try:
        # Asked before opening: opening a pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ScoreError(f"{str(path)!r} is a device or a pipe; a regular file is needed")
        with open(path, "rb") as file:
            data = file.read(limits.max_bytes + 1)
    except FileNotFoundError:
        raise ScoreError(f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise ScoreError(f"{str(path)!r} is a folder; a file is needed") from None
    except (OSError, ValueError) as error:
        raise ScoreError(
            f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    if len(data) > limits.max_bytes:
        raise ScoreError(f"{str(path)!r} has more than {limits.max_bytes:,} bytes, the most that is read")
    return data


def check_limits(score: Score, limits: ReadLimits) -> None:
    """Refuse a score that exceeds `limits`.

    Raises
    ------
    ScoreError
        Naming the first limit that is exceeded, and the value.
    """
    n_beats = score.end / score.ticks_per_beat
    n_changes = len(score.tempos) + len(score.meters) + len(score.keys)
    for value, limit, what in (
        (score.n_notes, limits.max_notes, "notes"),
        (len(score.tracks), limits.max_tracks, "tracks"),
        (n_changes, limits.max_changes, "changes of tempo, meter and key"),
        (n_beats, limits.max_beats, "beats"),
        (score.duration_seconds, limits.max_seconds, "seconds"),
    ):
        if value > limit:
            raise ScoreError(f"the piece has {value:,.0f} {what}; at most {limit:,.0f} are read")


def score_to_midi(score: Score, *, text: str = "") -> bytes:
    """Write a score as a MIDI file of type 1; equal scores with equal titles give equal bytes.

    `read_midi` gives the score back: the same ticks, velocities, programs, drum flags, names, tempo, meter
    and key maps. The first chunk carries the title, the maps and `text` (say, where the piece came from) as a
    text event.

    Raises
    ------
    ScoreError
        If the score is longer than the ticks of a MIDI file reach, or has more than 65,534 tracks.
    """
    chunks = [_conductor_chunk(score, text)]
    channels, shared = _assign_channels(score.tracks)
    for track, channel in zip(score.tracks, channels, strict=True):
        layers = _layers(track.notes)
        for number, notes in enumerate(layers):
            mark = LAYER_MARK if number else b"" if notes else EMPTY_MARK
            chunks.append(_track_chunk(track, notes, channel, mark, repeat_program=channel in shared))
    if len(chunks) > 0xFFFF:
        raise ScoreError(f"a MIDI file holds at most 65,535 chunks, this score needs {len(chunks):,}")
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), score.ticks_per_beat)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(chunk)) + chunk for chunk in chunks)


def write_midi(score: Score, path: str | Path, *, text: str = "") -> Path:
    """Write a score to a file, which is there whole or not at all; returns its path."""
    return write_atomically(path, score_to_midi(score, text=text))


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Put `data` under `path` in one step, so that no reader ever sees a part of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)  # mkstemp makes a private file; give it the rights that any new file gets
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


# ---- reading


@dataclass(frozen=True)
class _Header:
    midi_type: int
    n_chunks: int
    ticks_per_beat: int
    fixed_tempo: int | None  # microseconds per beat under SMPTE time, which no tempo event changes


@dataclass
class _Chunk:
    """What one MTrk chunk says, in absolute ticks."""

    notes: list[list] = field(default_factory=list)  # [onset, pitch, end, velocity, channel, program or -1]
    programs: list[tuple[int, int, int]] = field(default_factory=list)  # (tick, channel, program)
    controls: list[tuple[int, int, int, int]] = field(
        default_factory=list
    )  # (tick, channel, controller, value)
    tempos: list[Tempo] = field(default_factory=list)
    meters: list[Meter] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    name: str = ""
    instrument: str = ""
    mark: bytes = b""
    end: int = 0  # tick of the end of the chunk


class _CutOff(Exception):
    """The bytes ended inside a chunk."""


def _read_chunks(data: bytes, limits: ReadLimits) -> tuple[_Header, list[_Chunk]]:
    start = data.find(b"MThd", 0, _SEARCH_HEADER)
    if start < 0:
        raise ScoreError("this is no MIDI file: it has no MThd header" if data else "the file is empty")
    if len(data) < start + 14:
        raise ScoreError(f"the MIDI file is cut off in its header, after {len(data)} bytes")
    length, midi_type, n_chunks, division = struct.unpack_from(">IHHH", data, start + 4)
    header = _header(midi_type, n_chunks, division)
    position = start + 8 + max(length, 6)
    chunks: list[_Chunk] = []
    n_notes = 0
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8])
        if name == b"MThd":  # a second file behind the first
            break
        if name != b"MTrk":
            is_chunk = name.isalnum() and len(chunks) < n_chunks and position + 8 + size <= len(data)
            position = position + 8 + size if is_chunk else data.find(b"MTrk", position + 1)
            if position < 0:
                break
            continue
        body, declared_end = position + 8, position + 8 + size
        number = len(chunks) + 1
        try:
            chunk, stopped = _read_chunk(data, body, declared_end, number, limits, n_notes)
        except _CutOff:
            if number > n_chunks:  # more than was announced: whatever it is, the piece is whole without it
                break
            raise ScoreError(
                f"the MIDI file is cut off: it ends at byte {len(data):,}, "
                f"inside track chunk {number} of {n_chunks}"
            ) from None
        chunks.append(chunk)
        n_notes += len(chunk.notes)
        # A wrong chunk length is common; the next chunk is where its name stands.
        position = stopped if data[stopped : stopped + 4] == b"MTrk" else declared_end
    if len(chunks) < n_chunks:
        raise ScoreError(
            f"the MIDI file is cut off: it announces {n_chunks} track chunks and has {len(chunks)}"
        )
    return header, chunks


def _header(midi_type: int, n_chunks: int, division: int) -> _Header:
    if midi_type > 2:
        raise ScoreError(f"MIDI type {midi_type} is unknown; 0, 1 and 2 exist")
    if not division & 0x8000:
        if not division:
            raise ScoreError("the MIDI header says 0 ticks per beat; it must be 1 or more")
        return _Header(midi_type, n_chunks, division, None)
    frames, per_frame = 256 - (division >> 8), division & 0xFF
    if frames not in (24, 25, 29, 30) or not per_frame:
        raise ScoreError(
            f"the MIDI header has {frames} SMPTE frames of {per_frame} ticks; "
            f"24, 25, 29 or 30 frames of at least 1 tick are known"
        )
    per_second = (30 if frames == 29 else frames) * per_frame
    # 29 stands for 30 drop-frame: 30,000 frames in 1,001 seconds.
    beat = 1_001_000 if frames == 29 else 1_000_000
    if per_second % 2 == 0:
        return _Header(midi_type, n_chunks, per_second // 2, beat // 2)
    return _Header(midi_type, n_chunks, per_second, beat)


def _read_chunk(
    data: bytes, position: int, declared_end: int, number: int, limits: ReadLimits, n_before: int
) -> tuple[_Chunk, int]:
    """Read the events of a chunk; returns it and the place behind its last event."""
    follows = data[declared_end : declared_end + 4]
    # A length that ends before anything like a chunk is wrong: the end-of-track event counts.
    end = declared_end if follows == b"MTrk" or follows.isalnum() else len(data)
    chunk = _Chunk()
    notes, controls = chunk.notes, chunk.controls
    most = limits.max_notes - n_before
    open_notes: dict[int, deque[list]] = {}  # channel * 128 + pitch -> notes without an end, oldest first
    programs = [-1] * 16
    tick = status = n_changes = 0
    is_whole = False
    try:
        while position < end:
            byte = data[position]
            position += 1
            delta = byte & 0x7F
            n_bytes = 1
            while byte & 0x80:
                byte = data[position]
                position += 1
                delta = delta << 7 | byte & 0x7F
                n_bytes += 1
            if n_bytes > 4:
                raise _damaged(number, position, f"a time of {n_bytes} bytes, at most 4 are allowed")
            tick += delta
            byte = data[position]
            if byte < 0x80:
                if not status:
                    raise _damaged(number, position, f"data byte {byte} before any event")
                byte = status
            else:
                position += 1
            if byte < 0xF0:
                status = byte
                kind, channel = byte & 0xF0, byte & 0x0F
                first = data[position]
                if kind == 0xC0 or kind == 0xD0:
                    second = 0
                    position += 1
                else:
                    second = data[position + 1]
                    position += 2
                if (first | second) & 0x80:
                    raise _damaged(
                        number, position, f"data bytes {first} and {second}, at most 127 is allowed"
                    )
                if kind == 0x90 and second:
                    note = [tick, first, -1, second, channel, programs[channel]]
                    notes.append(note)
                    if len(notes) > most:
                        raise ScoreError(
                            f"the piece has more than {limits.max_notes:,} notes, the most that is read"
                        )
                    key = channel << 7 | first
                    if key in open_notes:
                        open_notes[key].append(note)
                    else:
                        open_notes[key] = deque((note,))
                elif kind == 0x80 or kind == 0x90:
                    opened = open_notes.get(channel << 7 | first)
                    if opened:
                        opened.popleft()[2] = tick
                elif kind == 0xB0:
                    if first in (_SUSTAIN, _VOLUME, _EXPRESSION, _RESET):
                        controls.append((tick, channel, first, second))
                    elif first == _SOUND_OFF or first >= _NOTES_OFF:
                        for key, opened in open_notes.items():
                            if key >> 7 == channel:
                                while opened:
                                    opened.pop()[2] = tick
                elif kind == 0xC0:
                    programs[channel] = first
                    chunk.programs.append((tick, channel, first))
            elif byte in (0xF0, 0xF7, 0xFF):
                kind = byte
                if byte == 0xFF:
                    kind = data[position]
                    position += 1
                size, n_bytes = 0, 0
                byte = 0x80
                while byte & 0x80:
                    byte = data[position]
                    position += 1
                    size = size << 7 | byte & 0x7F
                    n_bytes += 1
                    if n_bytes > 4:
                        raise _damaged(number, position, "a length of more than 4 bytes")
                content = data[position : position + size]
                position += size
                if position > len(data):
                    raise _CutOff
                if kind == 0x2F:
                    is_whole = True
                    break
                if kind < 0x80:
                    n_changes += _read_meta(chunk, tick, kind, content)
                    if n_changes > limits.max_changes:
                        raise ScoreError(
                            f"the piece has more than {limits.max_changes:,} changes of tempo, meter and key"
                        )
            else:  # system messages have no place in a file; their lengths are known
                position += {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(byte, 0)
            if len(controls) + len(chunk.programs) > limits.max_controls:
                raise ScoreError(
                    f"a track has more than {limits.max_controls:,} pedal, volume and program changes"
                )
    except IndexError:
        raise _CutOff from None
    if not is_whole and declared_end > len(data):
        raise _CutOff
    chunk.end = tick
    _end_notes(chunk, open_notes)
    return chunk, position


def _damaged(number: int, position: int, what: str) -> ScoreError:
    return ScoreError(f"the MIDI file is damaged: track chunk {number} has, before byte {position:,}, {what}")


def _read_meta(chunk: _Chunk, tick: int, kind: int, content: bytes) -> int:
    """Take in a meta event; returns how many changes of tempo, meter or key it made."""
    if kind == 0x51 and len(content) >= 3 and any(content[:3]):
        chunk.tempos.append(Tempo(tick, int.from_bytes(content[:3])))
    elif kind == 0x58 and len(content) >= 2 and content[0] and content[1] <= 6:
        chunk.meters.append(Meter(tick, content[0], 2 ** content[1]))
    elif kind == 0x59 and len(content) >= 2:
        fifths = content[0] - 256 if content[0] > 127 else content[0]
        if not -7 <= fifths <= 7:
            return 0
        chunk.keys.append(Key(tick, fifths, content[1] == 1))
    else:
        if kind == 0x03 and not chunk.name:
            chunk.name = _decode(content)
        elif kind == 0x04 and not chunk.instrument:
            chunk.instrument = _decode(content)
        elif kind == 0x7F and content in (EMPTY_MARK, LAYER_MARK):
            chunk.mark = content
        return 0
    return 1


def _decode(content: bytes) -> str:
    """Text of a meta event: UTF-8 where it is that, else the Windows code page that most of the wild uses."""
    content = content[:1000]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _end_notes(chunk: _Chunk, open_notes: dict[int, deque[list]]) -> None:
    """End the notes whose note-off is missing, and give each at least one tick."""
    broken = {key for key, opened in open_notes.items() if opened}
    if broken:
        by_key: dict[int, list[list]] = defaultdict(list)
        for note in chunk.notes:
            key = note[4] << 7 | note[1]
            if key in broken:
                by_key[key].append(note)
        for notes in by_key.values():
            stops = sorted({note[0] for note in notes} | {note[2] for note in notes if note[2] >= 0})
            for note in notes:
                after = bisect.bisect_right(stops, note[0])
                note[2] = stops[after] if after < len(stops) else -1
        for channel in {key >> 7 for key in broken}:
            onsets = sorted(note[0] for note in chunk.notes if note[4] == channel)
            for note in chunk.notes:
                if note[4] == channel and note[2] < 0:
                    after = bisect.bisect_right(onsets, note[0])
                    note[2] = onsets[after] if after < len(onsets) else chunk.end
    for note in chunk.notes:
        if note[2] <= note[0]:
            note[2] = note[0] + 1


def _line_up(chunks: list[_Chunk]) -> None:
    """Put the patterns of a type 2 file one after another."""
    base = 0
    for chunk in chunks:
        length = max([chunk.end, *(note[2] for note in chunk.notes)])
        for note in chunk.notes:
            note[0] += base
            note[2] += base
        chunk.programs = [(tick + base, *rest) for tick, *rest in chunk.programs]
        chunk.controls = [(tick + base, *rest) for tick, *rest in chunk.controls]
        chunk.tempos = [Tempo(base)] + [Tempo(t.tick + base, t.microseconds_per_beat) for t in chunk.tempos]
        chunk.meters = [Meter(base)] + [
            Meter(m.tick + base, m.numerator, m.denominator) for m in chunk.meters
        ]
        chunk.keys = [Key(k.tick + base, k.fifths, k.is_minor) for k in chunk.keys]
        base += length


def _control_changes(chunks: list[_Chunk], controller: int, default: int) -> dict[int, list[tuple[int, int]]]:
    """The values of a controller on each channel that moves it: (tick, value), in time order."""
    changes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for chunk in chunks:
        for tick, channel, number, value in chunk.controls:
            if number == controller:
                changes[channel].append((tick, value))
            elif number == _RESET and controller != _VOLUME:  # RP-015: resetting leaves the volume alone
                changes[channel].append((tick, default))
    for values in changes.values():
        values.sort(key=lambda change: change[0])
    return changes


def _fold_pedal(chunks: list[_Chunk]) -> None:
    """Hold every note that ends under the pedal until the pedal comes up or its pitch sounds again."""
    releases: dict[
        int, tuple[list[int], list[int]]
    ] = {}  # channel -> ticks pedal down, ticks of the release after
    last = max((max([chunk.end, *(note[2] for note in chunk.notes)]) for chunk in chunks), default=0)
    for channel, changes in _control_changes(chunks, _SUSTAIN, 0).items():
        downs, ups = [], []
        for tick, value in changes:
            is_down = len(downs) > len(ups)
            if value >= 64 and not is_down:
                downs.append(tick)
            elif value < 64 and is_down:
                ups.append(tick)
        if len(ups) < len(downs):
            ups.append(last)
        releases[channel] = downs, ups
    onsets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for chunk in chunks:
        for note in chunk.notes:
            if note[4] in releases:
                onsets[note[4], note[1]].append(note[0])
    for ticks in onsets.values():
        ticks.sort()
    for chunk in chunks:
        for note in chunk.notes:
            onset, pitch, end, _, channel, _ = note
            if channel not in releases or channel == DRUM_CHANNEL:
                continue
            downs, ups = releases[channel]
            index = (
                bisect.bisect_left(downs, end) - 1
            )  # a pedal pressed in the tick of the note-off comes too late
            if index < 0 or ups[index] <= end:
                continue
            same = onsets[channel, pitch]
            after = bisect.bisect_right(same, onset)
            next_onset = same[after] if after < len(same) else ups[index]
            note[2] = max(end, min(ups[index], next_onset))


def _fold_volume(chunks: list[_Chunk]) -> None:
    """Scale velocities by what channel volume and expression do to the level.

    General MIDI players attenuate by 40 log10(127 / value) dB for velocity, volume and expression alike
    (GM 2, section 4.4), so the product of the three is what is heard.
    """
    factors = []
    for controller, default in ((_VOLUME, _DEFAULT_VOLUME), (_EXPRESSION, _DEFAULT_EXPRESSION)):
        factors.append((_control_changes(chunks, controller, default), default))
    for chunk in chunks:
        for note in chunk.notes:
            scale = 1.0
            for changes, default in factors:
                values = changes.get(note[4])
                if values:
                    index = bisect.bisect_right(values, note[0], key=lambda change: change[0]) - 1
                    scale *= (values[index][1] if index >= 0 else default) / default
            note[3] = min(127, max(1, round(note[3] * scale)))


def _chunks_to_score(header: _Header, chunks: list[_Chunk], limits: ReadLimits) -> Score:
    set_elsewhere: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for chunk in chunks:
        for tick, channel, program in chunk.programs:
            set_elsewhere[channel].append((tick, program))
    for changes in set_elsewhere.values():
        changes.sort(key=lambda change: change[0])

    names_title = bool(chunks) and (header.midi_type == 0 or not chunks[0].notes)
    tracks: list[tuple[list[Note], int, bool, str]] = []
    for number, chunk in enumerate(chunks):
        name = "" if number == 0 and names_title else chunk.name or chunk.instrument
        parts: dict[tuple[int, int], list[Note]] = {}
        for onset, pitch, end, velocity, channel, program in chunk.notes:
            if program < 0:
                changes = set_elsewhere.get(channel, ())
                index = bisect.bisect_right(changes, onset, key=lambda change: change[0]) - 1
                program = changes[index][1] if index >= 0 else 0
            part = parts.get((channel, program))
            if part is None:
                part = parts[channel, program] = []
            part.append(Note(onset, pitch, end - onset, velocity))
        if chunk.mark == EMPTY_MARK and not parts and chunk.programs:
            _, channel, program = chunk.programs[0]
            parts[channel, program] = []
        if chunk.mark == LAYER_MARK and len(parts) == 1 and tracks:
            (notes,) = parts.values()
            tracks[-1][0].extend(notes)
            continue
        for (channel, program), notes in parts.items():
            tracks.append((notes, program, channel == DRUM_CHANNEL, name))
        if len(tracks) > limits.max_tracks:
            raise ScoreError(f"the piece has more than {limits.max_tracks:,} tracks, the most that is read")

    tempos = [tempo for chunk in chunks for tempo in chunk.tempos]
    if header.fixed_tempo is not None:
        tempos = [Tempo(0, header.fixed_tempo)]
    return Score(
        tracks=tuple(Track(tuple(notes), *facts) for notes, *facts in tracks),
        ticks_per_beat=header.ticks_per_beat,
        tempos=tuple(tempos),
        meters=tuple(meter for chunk in chunks for meter in chunk.meters),
        keys=tuple(key for chunk in chunks for key in chunk.keys),
        title=chunks[0].name if names_title else "",
    )


# ---- writing


def _conductor_chunk(score: Score, text: str) -> bytes:
    events = []
    if score.title:
        events.append((0, 0, _meta(0x03, score.title.encode())))
    if text:
        events.append((0, 0, _meta(0x01, text.encode("utf-8", errors="replace"))))
    for meter in score.meters:
        content = bytes([meter.numerator, meter.denominator.bit_length() - 1, 24, 8])
        events.append((meter.tick, 1, _meta(0x58, content)))
    for key in score.keys:
        events.append((key.tick, 2, _meta(0x59, bytes([key.fifths % 256, key.is_minor]))))
    for tempo in score.tempos:
        events.append((tempo.tick, 3, _meta(0x51, tempo.microseconds_per_beat.to_bytes(3))))
    return _events_to_bytes(events)


def _track_chunk(
    track: Track, notes: list[Note], channel: int, mark: bytes, *, repeat_program: bool
) -> bytes:
    program = bytes([0xC0 | channel, track.program])
    events = [(0, 0, _meta(0x03, track.name.encode()))] if track.name else []
    if mark:
        events.append((0, 1, _meta(0x7F, mark)))
    events.append((0, 2, program))
    programmed = {0}
    for note in notes:
        if repeat_program and note.onset not in programmed:
            programmed.add(note.onset)
            events.append((note.onset, 4, program))
        events.append((note.onset, 5, bytes([0x90 | channel, note.pitch, note.velocity])))
        events.append((note.end, 3, bytes([0x80 | channel, note.pitch, 64])))
    return _events_to_bytes(events)


def _assign_channels(tracks: tuple[Track, ...]) -> tuple[list[int], set[int]]:
    """A channel for each track, and the channels on which programs take turns.

    Up to 15 pitched tracks have a channel each; more of them share by program. With more than 15 programs
    some channels change program before each onset: notes that sound keep theirs, so every player plays them
    right.
    """
    pitched = [track for track in tracks if not track.is_drum]
    programs = list(dict.fromkeys(track.program for track in pitched))
    n_channels = len(_PITCHED_CHANNELS)
    by_program = {program: _PITCHED_CHANNELS[i % n_channels] for i, program in enumerate(programs)}
    free = iter(_PITCHED_CHANNELS)
    alone = len(pitched) <= n_channels
    channels = [
        DRUM_CHANNEL if track.is_drum else next(free) if alone else by_program[track.program]
        for track in tracks
    ]
    heard: dict[int, set[int]] = defaultdict(set)
    for track, channel in zip(tracks, channels, strict=True):
        heard[channel].add(track.program)
    return channels, {channel for channel, used in heard.items() if len(used) > 1}


def _layers(notes: tuple[Note, ...]) -> list[list[Note]]:
    """Share notes out so that within a layer the oldest sounding note of a pitch always ends first.

    A note-off names no note. Only a note inside a longer one of its pitch needs a second layer.
    """
    layers: list[list[Note]] = [[]]
    # Per pitch, minus the last end in each layer. First fit keeps these ends falling from layer to layer, so
    # that the first layer that fits is found by bisection.
    ends: list[list[int]] = [[] for _ in range(128)]
    for note in notes:
        last = ends[note.pitch]
        place = bisect.bisect_left(last, -note.end)
        if place == len(last):
            last.append(-note.end)
        else:
            last[place] = -note.end
        if place == len(layers):
            layers.append([])
        layers[place].append(note)
    return layers


def _meta(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + _variable_length(len(content)) + content


def _events_to_bytes(events: list[tuple[int, int, bytes]]) -> bytes:
    events.sort(key=lambda event: event[:2])
    parts = []
    now = 0
    for tick, _, message in events:
        parts.append(_variable_length(tick - now))
        parts.append(message)
        now = tick
    parts.append(b"\x00\xff\x2f\x00")
    return b"".join(parts)


def _variable_length(value: int) -> bytes:
    if value > 0x0FFFFFFF:
        raise ScoreError(
            f"a MIDI file waits at most {0x0FFFFFFF:,} ticks between events, this score {value:,}"
        )
    content = bytes([value & 0x7F])
    while value := value >> 7:
        content = bytes([value & 0x7F | 0x80]) + content
    return content
