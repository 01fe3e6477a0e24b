"""Compiled code reads what `read_midi` reads, and leaves to it what it does not know."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.compiled_midi import read_plain_file
from music.limits import READ_LIMITS, ReadLimits
from music.midi import score_to_midi
from music.note_table import read_table, read_table_compiled
from music.score import Meter, Note, Score, ScoreError, Tempo, Track

END = b"\x00\xff\x2f\x00"
ONE_NOTE = b"\x00\x90\x3c\x40\x60\x80\x3c\x00" + END  # pitch 60 from tick 0 to 96
LOOSE = ReadLimits(max_beats=10**9, max_seconds=1e12)


def smf(*chunks: bytes, midi_type=1, n_chunks=None, division=480) -> bytes:
    """A MIDI file from the events of its chunks."""
    header = struct.pack(">4sIHHH", b"MThd", 6, midi_type, n_chunks or len(chunks), division)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(chunk)) + chunk for chunk in chunks)


def contents_of(table):
    rows = np.stack([table.onsets, table.pitches, table.durations, table.is_drum]).T
    return sorted(map(tuple, rows.tolist())), table.ticks_per_beat, table.meters


def outcome(read, data, limits):
    try:
        return contents_of(read(data, limits=limits))
    except ScoreError as error:
        return str(error)


def assert_read_alike(data, limits=READ_LIMITS):
    assert outcome(read_table_compiled, data, limits) == outcome(read_table, data, limits)


def is_read(data, limits=READ_LIMITS):
    return read_plain_file(data, limits) is not None


notes = st.builds(Note, st.integers(0, 400), st.integers(58, 61), st.integers(1, 200), st.integers(1, 127))
tracks = st.builds(
    Track, st.lists(notes, max_size=14).map(tuple), st.integers(0, 2), st.booleans(), st.just("")
)
ticks = st.integers(0, 1000)
scores = st.builds(
    Score,
    st.lists(tracks, max_size=20).map(tuple),
    st.integers(1, 32767),
    st.lists(st.builds(Tempo, ticks, st.integers(1, 2**24 - 1)), max_size=4).map(tuple),
    st.lists(st.builds(Meter, ticks, st.integers(1, 255), st.sampled_from([1, 4, 64])), max_size=4).map(
        tuple
    ),
)


@settings(max_examples=200, deadline=None)
@given(score=scores)
def test_written_scores_are_read_alike(score):
    """Tracks with and without notes, drums among them, notes in layers."""
    assert_read_alike(score_to_midi(score), LOOSE)


@settings(max_examples=300, deadline=None)
@given(score=scores, seed=st.integers(0, 2**32))
def test_damaged_files_are_read_alike_or_refused_in_the_same_words(score, seed):
    rng = random.Random(seed)
    data = bytearray(score_to_midi(score))
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data))
        kind = rng.choice(["change", "change", "cut", "insert"])
        if kind == "change":
            data[place] = rng.choice([rng.randrange(256), 0x90, 0xB0, 0xC0, 0xFF, 0x2F, 0x7F, 0xF0])
        elif kind == "cut":
            del data[place : place + rng.randint(1, 4)]
        else:
            data[place:place] = rng.randbytes(rng.randint(1, 4))
        data = data or bytearray(1)
    assert_read_alike(bytes(data), LOOSE)


status = st.sampled_from([0x80, 0x90, 0x90, 0xB0, 0xC0, 0xE0])
event = st.builds(
    lambda delta, kind, channel, first, second: bytes(
        [delta, kind | channel, first] + [second] * (kind != 0xC0)
    ),
    st.sampled_from([0, 0, 5]),
    status,
    st.sampled_from([0, 9]),
    st.sampled_from([60, 60, 61, 64, 120, 123]),
    st.sampled_from([0, 0, 100]),
)
meta = st.sampled_from(
    [
        b"\x00\xff\x58\x04\x03\x02\x18\x08",
        b"\x05\xff\x58\x02\x06\x03",
        b"\x00\xff\x51\x03\x07\xa1\x20",
        b"\x00\xff\x59\x02\xfd\x01",
        b"\x00\xff\x7f\x11\x7dEarwitness layer",
        b"\x00\xff\x7f\x11\x7dEarwitness empty",
        b"\x00\xf0\x03\x01\x02\xf7",
        b"\x03\x3c\x40",  # running status
        b"\x03\x3c\x00",
    ]
)
chunks = st.lists(event | meta, max_size=25).map(lambda events: b"".join(events) + END)


@settings(max_examples=400, deadline=None)
@given(chunks=st.lists(chunks, min_size=1, max_size=4), midi_type=st.integers(0, 2))
def test_any_order_of_events_is_read_alike(chunks, midi_type):
    assert_read_alike(smf(*chunks, midi_type=midi_type))


def test_the_oldest_open_note_of_a_pitch_ends_first_on_its_own_channel():
    events = (
        b"\x00\x90\x3c\x40\x0a\x90\x3c\x40\x00\x99\x3c\x40"  # 60 at 0 and 10, a drum at 10
        b"\x0a\x80\x3c\x00\x0a\x3c\x00\x0a\x89\x3c\x00"  # ends at 20, 30 and 40
    )
    table = read_plain_file(smf(b"\x00\xff\x58\x04\x03\x02\x18\x08" + events + END), READ_LIMITS)
    assert contents_of(table) == (
        [(0, 60, 20, False), (10, 60, 20, False), (10, 60, 30, True)],
        480,
        (Meter(0, 3, 4),),
    )


@pytest.mark.parametrize(("controller", "duration"), [(120, 16), (121, 48), (122, 48), (123, 16), (127, 16)])
def test_all_sound_off_and_all_notes_off_end_the_notes_of_their_channel(controller, duration):
    stop = bytes([0x10, 0xB0, controller, 0])
    events = b"\x00\x90\x3c\x40\x00\x91\x3e\x40" + stop + b"\x20\x80\x3c\x00\x00\x81\x3e\x00"
    table = read_plain_file(smf(events + END), READ_LIMITS)
    assert contents_of(table)[0] == [(0, 60, duration, False), (0, 62, 48, False)]


def test_files_as_other_programs_write_them_are_not_handed_over():
    assert is_read(smf(ONE_NOTE, midi_type=0))
    assert is_read(smf(b"\x00\x90\x3c\x40" + END))  # a note that nothing ends
    assert is_read(smf(b"\x00\xff\x51\x03\x07\xa1\x20" + END, ONE_NOTE))
    assert is_read(score_to_midi(Score((Track((Note(0, 60, 100), Note(10, 60, 20))), Track(is_drum=True)))))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"MThd",
        smf(ONE_NOTE, midi_type=2),
        smf(ONE_NOTE, division=0xE728),  # SMPTE time
        smf(ONE_NOTE, n_chunks=2),
        smf(ONE_NOTE)[:-3],
        smf(ONE_NOTE) + bytes(9),
        smf(b"\x00\x3c\x40" + END),  # data before any event
        smf(b"\x00\xf8" + ONE_NOTE),  # a message that has no place in a file
        smf(b"\x81\x81\x81\x81\x00" + ONE_NOTE[1:]),  # a time of five bytes
        smf(ONE_NOTE + b"\x00\x00"),  # events behind the end
    ],
)
def test_what_is_not_plain_is_left_to_the_other_reader(data):
    assert not is_read(data)
    assert_read_alike(data)


@pytest.mark.parametrize(
    "limits",
    [
        ReadLimits(max_bytes=200),
        ReadLimits(max_notes=19),
        ReadLimits(max_tracks=1),
        ReadLimits(max_changes=1),
        ReadLimits(max_controls=1),
        ReadLimits(max_beats=19),
        ReadLimits(max_seconds=9),
    ],
)
def test_limits_are_kept(limits):
    line = tuple(Note(480 * n, 60, 480) for n in range(20))
    changes = {
        "tempos": (Tempo(0, 400_000), Tempo(480, 900_000)),
        "meters": (Meter(0, 3, 4), Meter(1440, 4, 4)),
    }
    data = score_to_midi(Score((Track(line), Track(line[:1], program=3)), **changes))
    assert is_read(data)
    assert not is_read(data, limits)
    assert_read_alike(data, limits)
