"""The notes of a MIDI file by compiled code, by the rules of `music.midi`.

It reads what most files are: type 0 or 1, time in ticks of a beat, chunks as long as they say and one behind
the other, far from every limit. It notices anything else, and then reads
nothing: the rules for all that, and the errors, are `music.midi`'s alone.

Needs numba. What was compiled is kept in the folder NUMBA_CACHE_DIR, by default in `__pycache__` beside this
file.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from music.limits import ReadLimits
from music.midi import DRUM_CHANNEL, EMPTY_MARK, LAYER_MARK
from music.note_table import NoteTable
from music.score import MICROSECONDS_PER_BEAT, Meter, changes_of

_HEADER = np.frombuffer(b"MThd\0\0\0\6", dtype=np.uint8)
_CHUNK = np.frombuffer(b"MTrk", dtype=np.uint8)
_EMPTY = np.frombuffer(EMPTY_MARK, dtype=np.uint8)
_LAYER = np.frombuffer(LAYER_MARK, dtype=np.uint8)
_NEAR = 0.9  # of a limit: whether a piece exceeds it is for `music.midi` to say
_MOST_OPEN = 64  # pitches that have notes without a note-off, in a chunk
_UNSURE = 2  # whether the last track holds drums


def read_plain_file(data: bytes, limits: ReadLimits) -> NoteTable | None:
    """The notes of a file; None for one that is left to `music.midi`."""
    if len(data) > limits.max_bytes:
        return None
    is_plain, notes, meters, facts = _read_file(np.frombuffer(data, dtype=np.uint8))
    if not is_plain:
        return None
    ticks_per_beat, end, slowest, n_tracks, n_changes, n_controls = facts
    n_beats = end / ticks_per_beat
    for value, limit in (
        (len(notes[0]), limits.max_notes),
        (n_tracks, limits.max_tracks),
        (n_changes, limits.max_changes),
        (n_controls, limits.max_controls),
        (n_beats, limits.max_beats),
        (n_beats * max(slowest, MICROSECONDS_PER_BEAT) / 1e6, limits.max_seconds),
    ):
        if value > _NEAR * limit:
            return None
    changes = changes_of((Meter(*meter) for meter in meters.tolist()), Meter(0))
    onsets, pitches, ends, channels = notes
    return NoteTable(onsets, pitches, ends - onsets, channels == DRUM_CHANNEL, ticks_per_beat, changes)


@njit(cache=True)
def _read_file(data):
    """Read all chunks.

    Returns
    -------
    is_plain : bool
        Whether there was nothing in the file but what this code knows; if not, nothing else counts.
    notes : array [shape=(4, n_notes), dtype=int64]
        Onset, pitch, end, channel.
    meters : array [shape=(n, 3), dtype=int64]
        Tick, numerator, denominator, as the file has them.
    facts : tuple of int
        Ticks per beat; end of the last note; the slowest tempo in microseconds per beat, 0 if none is named;
        at most how many tracks, changes of tempo, meter and key, and controls and programs there are.
    """
    size = len(data)
    notes = np.empty((4, size // 3 + 1), np.int64)  # a note-on has at least a time, a pitch and a velocity
    meters = np.empty((size // 6 + 1, 3), np.int64)
    counts = np.zeros(5, np.int64)  # notes, meters, slowest tempo, changes, controls
    refused = False, notes[:, :0].copy(), meters[:0], (1, 0, 0, 0, 0, 0)
    if size < 14 or not _stands_at(data, 0, _HEADER):
        return refused
    midi_type, n_chunks, division = _number(data, 8, 2), _number(data, 10, 2), _number(data, 12, 2)
    if midi_type > 1 or division == 0 or division & 0x8000:
        return refused
    first = np.empty(2048, np.int64)  # of the open notes of channel * 128 + pitch, -1 for none
    last = np.empty(2048, np.int64)
    following = np.empty(size // 3 + 1, np.int64)  # the open note after each
    position, n_read, n_tracks, n_programs, n_unset = 14, 0, 0, 0, 0
    last_is_drum = -1  # no track yet
    while position + 8 <= size:
        if not _stands_at(data, position, _CHUNK):
            return refused
        end = position + 8 + _number(data, position + 4, 4)
        if end > size or (end < size and not (end + 4 <= size and _stands_at(data, end, _CHUNK))):
            return refused
        n_before = counts[0]
        is_read, own_programs, first_program, channels, unset, n_parts, mark = _read_chunk(
            data, position + 8, end, notes, meters, counts, first, last, following
        )
        if not is_read:
            return refused
        n_own = counts[0] - n_before
        is_layer = mark == 2 and n_own > 0 and last_is_drum >= 0
        drums = channels >> DRUM_CHANNEL & 1
        is_mixed = drums and channels != 1 << DRUM_CHANNEL
        if is_layer and (unset or n_parts == 1):
            # The notes become those of the last track, if one instrument plays them all.
            if unset or last_is_drum != drums:
                return refused
        elif n_own > 0:
            last_is_drum = _UNSURE if is_mixed else drums
        elif mark == 1 and own_programs > 0:
            last_is_drum = int(first_program == DRUM_CHANNEL)
            n_tracks += 1
        # An instrument begins on each channel, with each program, and with those set by other chunks.
        for channel in range(16):
            n_tracks += channels >> channel & 1
        n_tracks += own_programs
        n_programs += own_programs
        n_unset += unset
        n_read += 1
        position = end
    if n_read < n_chunks:
        return refused
    n_notes = counts[0]
    n_tracks += n_unset * n_programs
    end = 0
    for note in range(n_notes):
        notes[2, note] = max(notes[2, note], notes[0, note] + 1)
        end = max(end, notes[2, note])
    facts = (division, end, counts[2], n_tracks, counts[3], counts[4])
    return True, notes[:, :n_notes].copy(), meters[: counts[1]], facts


@njit(cache=True)
def _read_chunk(data, position, end, notes, meters, counts, first, last, following):
    """Read the events of a chunk that ends exactly at `end`.

    Returns
    -------
    is_read : bool
        Whether it is plain.
    n_programs, first_program : int
        Program changes, and the channel of the first.
    channels : int
        A bit per channel that has notes.
    unset : bool
        Whether a note comes before any program of its channel.
    n_parts : int
        1 if all notes are of one channel and program, else 0 or 2.
    mark : int
        1 for an empty track, 2 for a layer.
    """
    refused = False, 0, 0, 0, False, 0, 0
    first[:] = -1
    programs = np.full(16, -1, np.int64)
    n_before = counts[0]
    n_open = tick = status = n_programs = channels = n_parts = part = mark = 0
    first_program = -1
    unset = False
    while position < end:
        position, delta = _length(data, position, end)
        if delta < 0 or position >= end:
            return refused
        tick += delta
        byte = np.int64(data[position])
        if byte < 0x80:
            byte = status
        else:
            position += 1
        if byte < 0x80:  # data before any event
            return refused
        if byte < 0xF0:
            status = byte
            kind, channel = byte & 0xF0, byte & 0x0F
            n_data = 1 if kind == 0xC0 or kind == 0xD0 else 2
            if position + n_data > end:
                return refused
            pitch = np.int64(data[position])
            velocity = np.int64(data[position + 1]) if n_data == 2 else 0
            position += n_data
            if (pitch | velocity) & 0x80:
                return refused
            if kind == 0x90 and velocity:
                note, key = counts[0], channel << 7 | pitch
                notes[0, note], notes[1, note], notes[2, note] = tick, pitch, -1
                notes[3, note] = channel
                counts[0] += 1
                following[note] = -1
                if first[key] < 0:
                    first[key] = note
                else:
                    following[last[key]] = note
                last[key] = note
                n_open += 1
                own = channel << 8 | (programs[channel] + 1)
                if not channels:
                    part, n_parts = own, 1
                elif own != part:
                    n_parts = 2
                channels |= 1 << channel
                unset |= programs[channel] < 0
            elif kind == 0x80 or kind == 0x90:
                n_open -= _end_oldest(notes, first, following, channel << 7 | pitch, tick)
            elif kind == 0xB0:
                if pitch == 120 or pitch >= 123:  # all sound off, all notes off
                    for key in range(channel << 7, (channel + 1) << 7):
                        while first[key] >= 0:
                            n_open -= _end_oldest(notes, first, following, key, tick)
                else:
                    counts[4] += 1
            elif kind == 0xC0:
                if not n_programs:
                    first_program = channel
                programs[channel] = pitch
                n_programs += 1
                counts[4] += 1
        elif byte == 0xFF:
            if position >= end:
                return refused
            kind = np.int64(data[position])
            position, size = _length(data, position + 1, end)
            if size < 0 or position + size > end:
                return refused
            if kind == 0x2F:
                position += size
                break
            mark = _read_meta(data, position, size, kind, tick, meters, counts, mark)
            position += size
        elif byte == 0xF0 or byte == 0xF7:
            position, size = _length(data, position, end)
            if size < 0 or position + size > end:
                return refused
            position += size
        else:
            return refused
    if position != end:
        return refused
    if n_open and not _end_open_notes(notes, n_before, counts[0], first, tick):
        return refused
    return True, n_programs, first_program, channels, unset, n_parts, mark


@njit(cache=True)
def _end_open_notes(notes, begin, stop, first, chunk_end):
    """End the notes of all pitches that still have open ones; False if these are more than a few pitches.

    Where note-offs are missing, a note ends with the next onset or note-off of its pitch; without one, with
    the next onset of its channel, or else with the chunk.
    """
    n_keys = 0
    for key in range(len(first)):
        if first[key] < 0:
            continue
        n_keys += 1
        if n_keys > _MOST_OPEN:
            return False
        own = np.flatnonzero((notes[3, begin:stop] << 7 | notes[1, begin:stop]) == key) + begin
        onsets, ends = notes[0][own], notes[2][own]  # both ascend, but for the open ones at the end
        next_on = next_off = 0
        for place in range(len(own)):
            while next_on < len(own) and onsets[next_on] <= onsets[place]:
                next_on += 1
            while next_off < len(own) and ends[next_off] <= onsets[place]:
                next_off += 1
            end = onsets[next_on] if next_on < len(own) else -1
            if next_off < len(own) and (end < 0 or ends[next_off] < end):
                end = ends[next_off]
            notes[2, own[place]] = end
    latest = np.full(16, chunk_end)  # the onset at hand on each channel, and the one after it
    after = np.full(16, chunk_end)
    for note in range(stop - 1, begin - 1, -1):
        channel = notes[3, note]
        if notes[0, note] != latest[channel]:
            after[channel] = latest[channel]
            latest[channel] = notes[0, note]
        if notes[2, note] < 0:
            notes[2, note] = after[channel]
    return True


@njit(cache=True)
def _read_meta(data, position, size, kind, tick, meters, counts, mark):
    """Take in a meta event; the mark that the chunk has then."""
    if kind == 0x51 and size >= 3:
        tempo = _number(data, position, 3)
        counts[2] = max(counts[2], tempo)
        counts[3] += 1
    elif kind == 0x58 and size >= 2 and data[position] and data[position + 1] <= 6:
        place = counts[1]
        meters[place, 0], meters[place, 1] = tick, data[position]
        meters[place, 2] = np.int64(1) << np.int64(data[position + 1])
        counts[1] += 1
        counts[3] += 1
    elif kind == 0x59:
        counts[3] += 1
    elif kind == 0x7F:
        if size == len(_EMPTY) and _stands_at(data, position, _EMPTY):
            return 1
        if size == len(_LAYER) and _stands_at(data, position, _LAYER):
            return 2
    return mark


@njit(cache=True)
def _end_oldest(notes, first, following, key, tick):
    """End the oldest open note of a channel and pitch; how many notes that were."""
    note = first[key]
    if note < 0:
        return 0
    notes[2, note] = tick
    first[key] = following[note]
    return 1


@njit(cache=True)
def _length(data, position, end):
    """The place behind a number of one to four bytes, and the number; -1 where there is none."""
    value = np.int64(0)
    for place in range(position, min(position + 4, end)):
        byte = np.int64(data[place])
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return place + 1, value
    return position, np.int64(-1)


@njit(cache=True)
def _number(data, position, n_bytes):
    value = np.int64(0)
    for place in range(position, position + n_bytes):
        value = value << 8 | np.int64(data[place])
    return value


@njit(cache=True)
def _stands_at(data, position, name):
    for place in range(len(name)):  # noqa: SIM110 - numba compiles no generators
        if data[position + place] != name[place]:
            return False
    return True
