"""``import_pieces``: other people's scores and recordings, copied, counted, and refused with the reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from django.core.management import CommandError

from music.midi import read_midi, write_midi
from music.score import Note, Score, Track
from studies.catalog.errors import CatalogError
from studies.catalog.models import Origin, Piece
from studies.catalog.selectors import get_piece, pieces_of_collection, provenance_of, score_of
from studies.catalog.services import import_score
from tests.studies.catalog.material import melody, run_command, run_json

pytestmark = pytest.mark.django_db

RATE = 44_100


def tone(seconds: float, *, pitch: float = 440.0, channels: int = 2) -> np.ndarray:
    """A sine [shape=(n_samples, channels)]."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.repeat(0.2 * np.sin(2 * np.pi * pitch * time)[:, None], channels, axis=1)


@pytest.fixture
def sounds(tmp_path):
    """A folder with one recording of each format, every one another pitch."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    formats = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "ogg": "OGG", "aif": "AIFF"}
    for number, (suffix, form) in enumerate(formats.items()):
        soundfile.write(folder / f"take{number}.{suffix}", tone(2.0, pitch=440 + number), RATE, format=form)
    return folder


def test_scores_and_recordings_become_pieces(scores, sounds, home):
    document = run_json("import_pieces", "theirs", scores, sounds)
    assert {"condition", "pieces", "duplicates", "rejected"} <= set(document)
    assert len(document["pieces"]) == 6 + 5
    assert document["rejected"] == document["duplicates"] == []
    for told, piece in zip(document["pieces"], pieces_of_collection("theirs"), strict=True):
        assert told["piece"] == str(piece)
        assert piece.origin == Origin.IMPORT
        assert Path(told["file"]).is_relative_to(home / "pieces")
        if piece.midi_path:
            assert told["notes"] == piece.n_notes == score_of(piece).n_notes == 80
        else:
            assert told["notes"] is None
            assert piece.seconds == pytest.approx(2.0, abs=0.1)
            assert piece.audio_file.read_bytes() == Path(piece.source).read_bytes()


def test_importing_again_adds_only_what_is_new(scores, sounds, tmp_path):
    run_command("import_pieces", "theirs", scores, sounds / "take0.wav")
    write_midi(melody(99), scores / "new.mid")
    document = run_json("import_pieces", "theirs", scores, sounds / "take0.wav")
    assert [each["piece"] for each in document["pieces"]] == ["theirs/new"]
    assert len(document["duplicates"]) == 7
    assert Piece.objects.count() == 8


def test_equal_files_count_once_and_equal_names_are_told_apart(scores):
    (scores / "deeper").mkdir()
    shutil.copy(scores / "piece0.mid", scores / "deeper" / "copy.mid")
    write_midi(melody(98), scores / "deeper" / "piece1.mid")
    document = run_json("import_pieces", "theirs", scores)
    names = [each["piece"].removeprefix("theirs/") for each in document["pieces"]]
    assert names == ["copy", "piece1", "piece1-2", "piece2", "piece3", "piece4", "piece5"]
    assert document["duplicates"] == [[str(scores / "piece0.mid"), "copy"]]


def test_what_cannot_be_read_is_refused_with_the_reason(scores, sounds):
    (scores / "noise.mid").write_bytes(b"no music")
    (scores / "song.m4a").write_bytes(b"of another kind")
    (sounds / "noise.wav").write_bytes(b"RIFF no sound")
    (sounds / "empty.flac").write_bytes(b"")
    soundfile.write(sounds / "surround.wav", tone(1.0, channels=6), RATE)
    soundfile.write(sounds / "nothing.wav", np.zeros((0, 2)), RATE)
    document = run_json("import_pieces", "theirs", scores, *sounds.glob("[!t]*"), scores / "song.m4a")
    reasons = {Path(each["file"]).name: each["reason"] for each in document["rejected"]}
    assert set(reasons) == {"noise.mid", "noise.wav", "empty.flac", "surround.wav", "nothing.wav", "song.m4a"}
    assert "no MThd header" in reasons["noise.mid"]
    assert "no readable recording" in reasons["noise.wav"]
    assert "6 channels; one or two are needed" in reasons["surround.wav"]
    assert "holds no sound" in reasons["nothing.wav"]
    assert reasons["song.m4a"].startswith("it is no score (.mid, ")
    assert ".flac, .mp3" in reasons["song.m4a"]
    assert len(document["pieces"]) == 6


def test_the_pedal_is_heard(tmp_path):
    """A recording of a keyboard in MIDI: the note sounds while the pedal is down."""
    import mido

    track = mido.MidiTrack([mido.Message("control_change", control=64, value=127, time=0)])
    track += [
        mido.Message("note_on", note=60, velocity=80, time=0),
        mido.Message("note_off", note=60, time=100),
    ]
    track += [mido.Message("control_change", control=64, value=0, time=860)]
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(tmp_path / "pedal.mid")
    run_command("import_pieces", "theirs", tmp_path / "pedal.mid")
    (note,) = score_of(Piece.objects.get()).notes()
    assert note.duration == 960


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two words", "{scores}"], "a condition name has 1-60 letters"),
        (["theirs", "{scores}/nowhere.mid"], "there is no file or folder"),
        (["walks", "{scores}"], "'walks' is a corpus, model or generation already; choose another name"),
        (["theirs", "{empty}"], "holds no MIDI, score or audio file"),
        (["theirs", "{noise}"], "nothing to import: all 1 files were refused, the first, "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(arguments, message, corpus, scores, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.mid").write_bytes(b"no music")
    places = {"scores": scores, "empty": tmp_path / "empty", "noise": tmp_path / "noise.mid"}
    with pytest.raises(CommandError) as error:
        run_command("import_pieces", *(each.format(**places) for each in arguments))
    assert message in str(error.value)
    assert not Piece.objects.filter(origin=Origin.IMPORT).exists()


def test_a_score_of_the_program_is_imported_once(home):
    score = melody(5)
    piece = import_score(score=score, name="beeps", collection="checks", source="made here")
    assert import_score(score=score, name="beeps", collection="checks") == piece
    assert score_of(piece) == read_midi(piece.midi_file)
    assert dict(provenance_of(piece))["read from"] == "made here"
    with pytest.raises(CatalogError, match="import 'checks' has another piece named 'beeps'"):
        import_score(score=melody(6), name="beeps", collection="checks")


def test_a_piece_is_found_by_its_id_and_by_its_name(scores):
    run_command("import_pieces", "theirs", scores)
    piece = Piece.objects.first()
    assert get_piece(str(piece.public_id)) == get_piece("theirs/piece0") == piece
    for name in ("theirs/piece9", "theirs", "", "0" * 32):
        with pytest.raises(CatalogError, match="names no piece"):
            get_piece(name)


def test_an_unknown_import_is_named_with_those_that_come_close(scores):
    run_command("import_pieces", "theirs", scores)
    with pytest.raises(CatalogError, match=r"no import named 'thiers'; did you mean theirs\?"):
        pieces_of_collection("thiers")


def test_a_recording_has_no_notes_to_read(sounds):
    run_command("import_pieces", "theirs", sounds / "take0.wav")
    with pytest.raises(CatalogError, match=r"theirs/take0 is a recording; it has no notes"):
        score_of(Piece.objects.get())


def test_a_file_that_is_gone_is_named(scores):
    run_command("import_pieces", "theirs", scores / "piece0.mid")
    piece = Piece.objects.get()
    piece.midi_file.unlink()
    with pytest.raises(CatalogError, match="the MIDI file of theirs/piece0 is gone"):
        score_of(piece)


def test_a_score_of_one_note_is_a_piece(tmp_path):
    write_midi(Score((Track((Note(0, 60, 480),)),)), tmp_path / "one.mid")
    assert run_json("import_pieces", "theirs", tmp_path / "one.mid")["pieces"][0]["notes"] == 1
