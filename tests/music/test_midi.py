import io
import struct
from pathlib import Path

import mido
import pretty_midi
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from music.limits import ReadLimits
from music.midi import read_midi, score_to_midi, write_midi
from music.score import Key, Meter, Note, Score, ScoreError, Tempo, Track

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def smf(*chunks: bytes, midi_type=1, n_chunks=None, division=480) -> bytes:
    """A MIDI file from the events of its chunks, each with its end-of-track event already inside."""
    header = struct.pack(">4sIHHH", b"MThd", 6, midi_type, n_chunks or len(chunks), division)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(chunk)) + chunk for chunk in chunks)


END = b"\x00\xff\x2f\x00"
ONE_NOTE = b"\x00\x90\x3c\x40\x60\x80\x3c\x00" + END  # pitch 60 from tick 0 to 96


def notes_of(data: bytes, **options):
    return [(n.onset, n.pitch, n.duration, n.velocity) for n in read_midi(data, **options).notes()]


# ---- there and back

texts = st.text(max_size=12)
notes = st.builds(
    Note,
    st.integers(0, 400),
    st.integers(58, 61) | st.integers(0, 127),
    st.integers(1, 200),
    st.integers(1, 127),
)
tracks = st.builds(Track, st.lists(notes, max_size=14).map(tuple), st.integers(0, 127), st.booleans(), texts)
ticks = st.integers(0, 1000)
scores = st.builds(
    Score,
    st.lists(tracks, max_size=20).map(tuple),
    st.integers(1, 32767),
    st.lists(st.builds(Tempo, ticks, st.integers(1, 2**24 - 1)), max_size=4).map(tuple),
    st.lists(
        st.builds(Meter, ticks, st.integers(1, 255), st.sampled_from([1, 2, 4, 8, 16, 32, 64])), max_size=4
    ).map(tuple),
    st.lists(st.builds(Key, ticks, st.integers(-7, 7), st.booleans()), max_size=4).map(tuple),
    texts,
)
ANY_LENGTH = ReadLimits(max_beats=10**9, max_seconds=1e12)


@settings(max_examples=250, deadline=None)
@given(score=scores, text=texts.filter(lambda text: text.isprintable()))
def test_every_score_comes_back_exactly_and_with_the_same_bytes(score, text):
    data = score_to_midi(score, text=text)
    back = read_midi(data, limits=ANY_LENGTH)
    assert back == score
    assert back.title == score.title
    assert [track.name for track in back.tracks] == [track.name for track in score.tracks]
    assert score_to_midi(back, text=text) == data


@settings(max_examples=60, deadline=None)
@given(score=st.builds(Score, st.lists(tracks, max_size=18).map(tuple)))
def test_other_readers_find_the_same_notes_and_instruments(score):
    # Other readers pair overlapping notes of one pitch in their own ways; onsets are beyond doubt.
    expected = sorted(
        (track.is_drum, track.program, note.onset, note.pitch, note.velocity)
        for track in score.tracks
        for note in track.notes
    )
    read = symusic.Score.from_midi(score_to_midi(score))
    found = sorted(
        (track.is_drum, track.program, note.time, note.pitch, note.velocity)
        for track in read.tracks
        for note in track.notes
    )
    assert found == expected


def test_pretty_midi_reads_seconds_and_maps_as_written():
    score = Score(
        (Track((Note(0, 60, 480, 70), Note(960, 64, 480, 90)), 40, name="Violin"),),
        tempos=(Tempo(0, 500_000), Tempo(480, 250_000)),
        meters=(Meter(0, 3, 4),),
        keys=(Key(0, -3, True),),
    )
    read = pretty_midi.PrettyMIDI(io.BytesIO(score_to_midi(score)))
    (violin,) = read.instruments
    assert (violin.program, violin.name) == (40, "Violin")
    assert [(n.start, n.end, n.pitch, n.velocity) for n in violin.notes] == [
        (0, 0.5, 60, 70),
        (0.75, 1.0, 64, 90),
    ]
    assert read.time_signature_changes[0].numerator == 3
    assert read.key_signature_changes[0].key_number == 12 + 0  # C minor in the numbering of pretty_midi


def test_notes_inside_longer_notes_of_their_pitch_keep_their_lengths():
    score = Score((Track((Note(0, 60, 100), Note(10, 60, 20), Note(15, 60, 5), Note(40, 60, 10))),))
    assert read_midi(score_to_midi(score)) == score


def test_forty_instruments_sound_with_their_own_programs():
    score = Score(tuple(Track((Note(10 * p, 60, 500),), program=p, name=f"{p}") for p in range(40)))
    assert read_midi(score_to_midi(score)) == score
    # Played as one stream of events, every note-on finds its own program on its channel.
    program = {}
    heard = set()
    for message in mido.MidiFile(file=io.BytesIO(score_to_midi(score))):
        if message.type == "program_change":
            program[message.channel] = message.program
        elif message.type == "note_on":
            heard.add(program[message.channel])
    assert heard == set(range(40))


def test_deeply_nested_notes_are_written_in_no_time_and_exactly():
    score = Score((Track(tuple(Note(n, 60, 40_000 - 2 * n) for n in range(15_000))),))
    assert read_midi(score_to_midi(score)) == score


def test_text_is_a_text_event_and_changes_no_music():
    score = Score((Track((Note(0, 60, 480),)),))
    data = score_to_midi(score, text="model x, seed 7")
    texts = [m.text for m in mido.MidiFile(file=io.BytesIO(data)).tracks[0] if m.type == "text"]
    assert texts == ["model x, seed 7"]
    assert read_midi(data) == score


def test_a_file_is_written_whole_under_its_name_alone(tmp_path):
    path = write_midi(Score((Track((Note(0, 60, 480),)),)), tmp_path / "new" / "piece.mid")
    assert [file.name for file in path.parent.iterdir()] == ["piece.mid"]
    assert read_midi(path).n_notes == 1
    assert read_midi(str(path)).n_notes == 1


def test_a_score_beyond_the_reach_of_midi_time_is_refused():
    with pytest.raises(ScoreError, match="268,435,455 ticks between events"):
        score_to_midi(Score((Track((Note(2**28, 60, 1),)),)))


# ---- the wild


def test_type_0_splits_channels_and_programs_into_tracks():
    events = (
        b"\x00\xff\x03\x04Song"
        b"\x00\xc0\x18\x00\x90\x3c\x40\x60\x80\x3c\x00"
        b"\x00\x99\x24\x50\x10\x89\x24\x00"
        b"\x00\xc0\x19\x00\x90\x3e\x40\x60\x80\x3e\x00"
    )
    score = read_midi(smf(events + END, midi_type=0))
    assert score.title == "Song"
    assert [(t.program, t.is_drum, len(t.notes)) for t in score.tracks] == [
        (24, False, 1),
        (0, True, 1),
        (25, False, 1),
    ]


def test_running_status_also_goes_on_after_a_meta_event():
    events = b"\x00\x90\x3c\x40\x60\x3c\x00\x00\xff\x01\x01x\x00\x3e\x40\x60\x3e\x00"
    assert notes_of(smf(events + END)) == [(0, 60, 96, 64), (96, 62, 96, 64)]


def test_type_2_patterns_follow_one_another_each_under_its_own_tempo():
    fast = b"\x00\xff\x51\x03\x03\xd0\x90" + ONE_NOTE
    score = read_midi(smf(fast, ONE_NOTE, midi_type=2))
    assert [(n.onset, n.end) for n in score.notes()] == [(0, 96), (96, 192)]
    assert score.tempos == (Tempo(0, 250_000), Tempo(96, 500_000))


@pytest.mark.parametrize(
    ("frames", "per_frame", "frame_seconds"),
    [(24, 40, 1 / 24), (25, 40, 1 / 25), (25, 3, 1 / 25), (29, 80, 1001 / 30000), (30, 80, 1 / 30)],
)
def test_smpte_time_keeps_its_seconds_whatever_the_tempo_events_say(frames, per_frame, frame_seconds):
    events = b"\x00\xff\x51\x03\x01\x00\x00\x00\x90\x3c\x40\x83\x60\x80\x3c\x00" + END  # 480 ticks
    score = read_midi(smf(events, division=(256 - frames) << 8 | per_frame))
    assert score.duration_seconds == pytest.approx(480 / per_frame * frame_seconds, rel=1e-12)
    assert score.end == 480


def test_an_unterminated_note_lasts_to_the_next_onset_on_its_channel_or_the_end_of_its_chunk():
    other_channel = b"\x10\x91\x40\x40\x10\x81\x40\x00"
    events = b"\x00\x90\x3c\x40" + other_channel + b"\x20\x90\x3e\x40\x83\x60\xff\x2f\x00"
    assert sorted(notes_of(smf(events))) == [(0, 60, 64, 64), (16, 64, 16, 64), (64, 62, 480, 64)]


def test_where_note_offs_are_missing_a_new_note_of_the_pitch_ends_the_old():
    events = b"\x00\x90\x3c\x40\x60\x90\x3c\x41\x60\x80\x3c\x00\x83\x60\xff\x2f\x00"
    assert notes_of(smf(events)) == [(0, 60, 96, 64), (96, 60, 96, 65)]


def test_of_overlapping_notes_the_oldest_ends_first():
    events = b"\x00\x90\x3c\x40\x10\x90\x3c\x41\x10\x80\x3c\x00\x10\x80\x3c\x00"
    assert notes_of(smf(events + END)) == [(0, 60, 32, 64), (16, 60, 32, 65)]


def test_a_note_without_length_lasts_one_tick():
    assert notes_of(smf(b"\x00\x90\x3c\x40\x00\x80\x3c\x00" + END)) == [(0, 60, 1, 64)]


def test_a_stray_note_off_and_all_notes_off_are_understood():
    events = b"\x00\x80\x3c\x00\x00\x90\x3c\x40\x20\xb0\x7b\x00\x20\x90\x3e\x40\x20\x80\x3e\x00"
    assert notes_of(smf(events + END)) == [(0, 60, 32, 64), (64, 62, 32, 64)]


def test_a_program_set_in_another_chunk_counts_where_a_chunk_has_none():
    setup = b"\x00\xc0\x20\x00\xc1\x21" + END
    score = read_midi(smf(setup, ONE_NOTE))
    assert [track.program for track in score.tracks] == [32]


def test_empty_chunks_sysex_ports_and_unknown_chunks_change_nothing():
    noise = b"\x00\xf0\x03\x7e\x7f\xf7\x00\xff\x21\x01\x00\x00\xff\x7f\x02ab"
    data = smf(END, noise + ONE_NOTE, b"")
    unknown = struct.pack(">4sI", b"XFIH", 5) + b"hello"
    assert notes_of(data[:14] + unknown + data[14:]) == [(0, 60, 96, 64)]


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda data: data + b"\x00\xffgarbage" * 50, id="trailing garbage"),
        pytest.param(lambda data: data + data, id="a second file behind it"),
        pytest.param(lambda data: b"RIFF\x99\x99\x00\x00RMIDdata\x99\x99\x00\x00" + data, id="RIFF"),
        pytest.param(lambda data: data[:14] + b"\x00" + data[14:], id="a byte between the chunks"),
        pytest.param(
            lambda data: data[:4] + b"\x00\x00\x00\x08" + data[8:14] + b"\x00\x00" + data[14:],
            id="long header",
        ),
        pytest.param(lambda data: data[:18] + b"\x00\x00\x00\x04" + data[22:], id="chunk length too small"),
        pytest.param(lambda data: data[:18] + b"\x00\xff\xff\xff" + data[22:], id="chunk length too large"),
        pytest.param(lambda data: data[:-4], id="no end of track"),
    ],
)
def test_harmless_damage_is_passed_over(wrap):
    data = smf(ONE_NOTE)
    if wrap(data) == data[:-4]:
        data = smf(ONE_NOTE[:-4])
        assert notes_of(data) == [(0, 60, 96, 64)]
    else:
        assert notes_of(wrap(data)) == [(0, 60, 96, 64)]


def test_every_cut_of_a_file_is_refused_in_words():
    whole = score_to_midi(Score((Track((Note(0, 60, 480),)), Track((Note(0, 64, 960),), 5)), title="Cut"))
    for length in range(1, len(whole)):
        with pytest.raises(ScoreError, match=r"cut off|no MIDI file"):
            read_midi(whole[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "no MIDI file"),
        (smf(ONE_NOTE, midi_type=7), "MIDI type 7 is unknown"),
        (smf(ONE_NOTE, division=0), "0 ticks per beat"),
        (smf(ONE_NOTE, division=0xF178), "15 SMPTE frames"),
        (smf(ONE_NOTE, n_chunks=3), "announces 3 track chunks and has 1"),
        (smf(b"\x00\x3c\x40" + END), "data byte 60 before any event"),
        (smf(b"\x00\x90\x3c\xc0" + END), "data bytes 60 and 192"),
        (smf(b"\x81\x82\x83\x84\x05\x90\x3c\x40" + END), "a time of 5 bytes"),
        (smf(b"\x00\xff\x01\x81\x81\x81\x81\x01" + END), "a length of more than 4 bytes"),
        (smf(b"\x00\x90\x3c\x40" + b"\xff\xff\xff\x7f\x80\x3c\x00" + END), "559,241 beats; at most 50,000"),
    ],
)
def test_each_kind_of_damage_is_named(data, words):
    with pytest.raises(ScoreError) as refusal:
        read_midi(data)
    assert words in str(refusal.value)


def test_limits_are_named_with_the_value():
    score = Score((Track(tuple(Note(10 * i, 60, 5) for i in range(50))), Track((Note(0, 1, 1),))))
    data = score_to_midi(score)
    for limits, words in (
        (ReadLimits(max_bytes=100), "at most 100 are read"),
        (ReadLimits(max_notes=49), "more than 49 notes"),
        (ReadLimits(max_tracks=1), "more than 1 tracks"),
        (ReadLimits(max_seconds=0.1), "at most 0 are read"),
        (ReadLimits(max_changes=1), "more than 1 changes of tempo"),
        (ReadLimits(max_controls=0), "more than 0 pedal, volume and program changes"),
    ):
        with pytest.raises(ScoreError) as refusal:
            read_midi(data, limits=limits)
        assert words in str(refusal.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ScoreError, match="there is no file"):
        read_midi(tmp_path / "no.mid")
    with pytest.raises(ScoreError, match="folder"):
        read_midi(tmp_path)
    with pytest.raises(ScoreError, match="regular file"):
        read_midi("/dev/zero")


@settings(max_examples=400, deadline=None)
@given(
    position=st.integers(0, 10**6),
    replaced=st.integers(0, 40),
    junk=st.binary(max_size=40),
    pedal=st.booleans(),
)
def test_any_mutation_gives_a_score_or_a_score_error(position, replaced, junk, pedal):
    data = bytearray(MUTATED)
    position %= len(data)
    data[position : position + replaced] = junk
    try:
        score = read_midi(bytes(data), fold_pedal=pedal, fold_volume=pedal)
    except ScoreError:
        return
    assert read_midi(score_to_midi(score)) == score


MUTATED = smf(
    b"\x00\xff\x03\x04Song\x00\xff\x58\x04\x03\x02\x18\x08\x00\xff\x51\x03\x06\x00\x00\x00\xff\x59\x02\xfd\x01"
    + END,
    b"\x00\xc0\x05\x00\xb0\x40\x7f\x00\x90\x3c\x40\x20\x3e\x41\x20\x3c\x00\x20\xb0\x40\x00\x20\x80\x3e\x00"
    + END,
    b"\x00\x99\x24\x40\x20\x24\x00\x00\xf0\x03\x7e\x7f\xf7" + END,
)


# ---- pedal and volume


def test_the_pedal_holds_a_note_until_it_comes_up():
    events = b"\x00\xb0\x40\x7f\x00\x90\x3c\x40\x60\x80\x3c\x00\x60\xb0\x40\x00"
    assert notes_of(smf(events + END)) == [(0, 60, 96, 64)]
    assert notes_of(smf(events + END), fold_pedal=True) == [(0, 60, 192, 64)]


def test_the_pedal_holds_no_note_into_the_next_of_its_pitch():
    events = (
        b"\x00\xb0\x40\x7f\x00\x90\x3c\x40\x20\x80\x3c\x00\x20\x90\x3c\x41\x20\x80\x3c\x00\x60\xb0\x40\x00"
    )
    assert notes_of(smf(events + END), fold_pedal=True) == [(0, 60, 64, 64), (64, 60, 128, 65)]


def test_a_pedal_that_never_comes_up_holds_to_the_end_of_the_piece():
    events = b"\x00\xb0\x40\x7f\x00\x90\x3c\x40\x60\x80\x3c\x00\x00\x90\x40\x40\x60\x80\x40\x00"
    assert notes_of(smf(events + END), fold_pedal=True) == [(0, 60, 192, 64), (96, 64, 96, 64)]


def test_the_pedal_of_one_chunk_holds_the_notes_of_its_channel_in_others():
    pedal = b"\x00\xb0\x40\x7f\x81\x40\xb0\x40\x00" + END
    other_channel = b"\x00\x91\x3e\x40\x60\x81\x3e\x00" + END
    held = notes_of(smf(pedal, ONE_NOTE, other_channel), fold_pedal=True)
    assert held == [(0, 60, 192, 64), (0, 62, 96, 64)]


def test_a_pedal_pressed_after_the_note_or_half_way_holds_nothing():
    late = b"\x00\x90\x3c\x40\x60\x80\x3c\x00\x00\xb0\x40\x7f\x60\xb0\x40\x00"
    half = b"\x00\xb0\x40\x3f\x00\x90\x3c\x40\x60\x80\x3c\x00\x60\xb0\x40\x00"
    assert notes_of(smf(late + END), fold_pedal=True) == [(0, 60, 96, 64)]
    assert notes_of(smf(half + END), fold_pedal=True) == [(0, 60, 96, 64)]


def test_volume_and_expression_scale_velocities_from_their_defaults():
    events = (
        b"\x00\xb0\x07\x32\x00\x90\x3c\x40\x60\x80\x3c\x00\x00\xb0\x0b\x40\x00\x90\x3c\x40\x60\x80\x3c\x00"
    )
    assert [v for *_, v in notes_of(smf(events + END), fold_volume=True)] == [32, 16]
    assert [v for *_, v in notes_of(smf(events + END))] == [64, 64]
    assert [v for *_, v in notes_of(smf(ONE_NOTE), fold_volume=True)] == [64]


# ---- real files


@pytest.mark.skipif(not DATA.is_dir(), reason="the development data is not here")
@pytest.mark.filterwarnings("ignore:Tempo, Key or Time")
def test_real_files_agree_with_two_other_readers():
    files = sorted(DATA.glob("*/*.mid"))[::250]
    assert files
    for file in files:
        score = read_midi(file)
        assert read_midi(score_to_midi(score)) == score
        mine = sorted(
            (t.is_drum, t.program, n.onset, n.pitch, n.velocity, n.duration)
            for t in score.tracks
            for n in t.notes
        )
        theirs = sorted(
            (t.is_drum, t.program, n.time, n.pitch, n.velocity, max(1, n.duration))
            for t in symusic.Score.from_file(str(file)).tracks
            for n in t.notes
        )
        # symusic drops a note without note-off; with all of them there, not a tick may differ.
        onsets = {note[:5] for note in mine}
        assert mine == theirs or (len(theirs) < len(mine) and {note[:5] for note in theirs} <= onsets), file
        third = pretty_midi.PrettyMIDI(str(file))
        found = {
            (i.is_drum, i.program, third.time_to_tick(n.start), n.pitch, n.velocity)
            for i in third.instruments
            for n in i.notes
        }
        assert found <= onsets, file
        last = max(n.end for i in third.instruments for n in i.notes)
        assert score.duration_seconds == pytest.approx(last, rel=1e-3), file
