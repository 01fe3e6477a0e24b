"""``generate`` and ``harmonize``: the same bytes for the same seed; every piece knows where it came from."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import mido
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from generators.checkpoint import code_version
from generators.families.deephear import Config
from generators.generation import generate
from music.midi import read_midi, write_midi
from music.score import Note, Score, Track
from studies.catalog.facts import facts_of
from studies.catalog.management.commands.harmonize import Command
from studies.catalog.models import Generation, Origin, Piece
from studies.catalog.selectors import (
    pieces_of_generation,
    pieces_of_model,
    provenance_of,
    report_for,
    score_of,
)
from studies.catalog.services import generate_pieces, train_model
from tests.studies.catalog.material import melody, run_command, run_json

pytestmark = pytest.mark.django_db

FIXED = {"generation", "model", "seed", "seconds", "pieces"}
FIXED_OF_A_PIECE = {"piece", "file", "notes", "seconds"}


def bytes_of(document) -> list[bytes]:
    return [Path(piece["file"]).read_bytes() for piece in document["pieces"]]


def origin_in(path) -> dict:
    """What the text event of a MIDI file says, read by another library."""
    (text,) = [event.text for event in mido.MidiFile(path).tracks[0] if event.type == "text"]
    return json.loads(text)


def test_the_document_has_the_fixed_keys(gru, home):
    document = run_json("generate", "gru", "--count", 2, "--bars", 2, "--seed", 7)
    assert set(document) >= FIXED
    assert (document["generation"], document["model"], document["seed"]) == ("gru-s7-1", "gru", 7)
    assert len(document["pieces"]) == 2
    for piece in document["pieces"]:
        assert set(piece) >= FIXED_OF_A_PIECE
        score = read_midi(piece["file"])
        assert Path(piece["file"]).is_relative_to(home / "pieces")
        assert (piece["notes"], piece["seconds"]) == (score.n_notes, pytest.approx(score.duration_seconds))


def test_the_same_seed_writes_the_same_bytes_again(gru, tmp_path):
    first = run_json("generate", "gru", "--count", 3, "--bars", 2, "--seed", 7, "--out", tmp_path / "a")
    again = run_json("generate", "gru", "--count", 3, "--bars", 2, "--seed", 7, "--out", tmp_path / "b")
    other = run_json("generate", "gru", "--count", 3, "--bars", 2, "--seed", 8, "--out", tmp_path / "c")
    assert bytes_of(first) == bytes_of(again) != bytes_of(other)
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [
        f"gru-s7-1-00{n}.mid" for n in (1, 2, 3)
    ]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        path.name for path in (tmp_path / "b").iterdir()
    )


def test_the_same_run_again_adds_nothing_to_the_catalog(gru):
    first = run_json("generate", "gru", "--count", 2, "--bars", 2)
    again = run_json("generate", "gru", "--count", 2, "--bars", 2)
    assert (first["is_new"], again["is_new"]) == (True, False)
    assert again["generation"] == first["generation"]
    assert (Generation.objects.count(), Piece.objects.filter(origin=Origin.GENERATION).count()) == (1, 2)
    assert "The catalog had this generation already" in run_command(
        "generate", "gru", "--count", 2, "--bars", 2
    )


def test_other_settings_make_another_generation(gru):
    names = [
        run_json("generate", "gru", "--count", 2, "--bars", 2, *more)["generation"]
        for more in ([], ["--temperature", 0.5], ["--count", 3], ["--seed", 1])
    ]
    assert names == ["gru-s0-1", "gru-s0-2", "gru-s0-3", "gru-s1-1"]


def test_the_number_of_processes_changes_no_byte_and_no_row(gru):
    one = run_json("generate", "gru", "--count", 20, "--bars", 2)
    two = run_json("generate", "gru", "--count", 20, "--bars", 2, "--workers", 2)
    assert bytes_of(one) == bytes_of(two)
    assert (two["is_new"], Generation.objects.count()) == (False, 1)
    assert "workers" not in Generation.objects.get().settings


def test_the_number_of_threads_is_kept_with_the_pieces(gru):
    run_json("generate", "gru", "--count", 1, "--bars", 2, "--threads", 2)
    assert Generation.objects.get().settings["threads"] == 2


@pytest.mark.parametrize("option", ["--workers", "--threads"])
def test_a_number_of_processes_or_threads_that_is_none_is_refused(gru, option):
    with pytest.raises(CommandError, match=f"{option[2:]} must be"):
        run_json("generate", "gru", "--count", 1, option, 0)


def test_what_is_written_is_told_at_once_and_on_the_way(gru):
    stderr = io.StringIO()
    call_command("generate", "gru", "--count=1", "--bars=100", stdout=io.StringIO(), stderr=stderr)
    lines = [line for line in stderr.getvalue().splitlines() if "writing:" in line]
    assert "writing: 0 of 1 pieces of 100 bars" in lines[0]
    assert "writing: 1 of 1 pieces of 100 bars" in lines[-1]
    assert len(lines) == 11


def test_pieces_that_are_the_same_note_for_note_are_counted(gru, monkeypatch):
    pieces = [melody(1), melody(2), melody(1), Score(), Score(), melody(1)]
    monkeypatch.setattr("generators.generation.generate", lambda *_, **__: pieces)
    assert run_json("generate", "gru", "--count", 6)["identical"] == 2
    assert "2 pieces among them note for note the same as one before." in run_command(
        "generate", "gru", "--count", 6
    )


def test_a_piece_does_not_depend_on_how_many_are_made(gru):
    few = run_json("generate", "gru", "--count", 1, "--bars", 2)
    many = run_json("generate", "gru", "--count", 3, "--bars", 2)
    assert bytes_of(few) == bytes_of(many)[:1]
    # They are one piece of the model, not two that a study could draw.
    assert [str(piece) for piece in pieces_of_model("gru")] == [
        "gru-s0-1/001",
        "gru-s0-2/002",
        "gru-s0-2/003",
    ]
    assert pieces_of_generation("gru-s0-2").count() == 3


def test_a_file_that_was_deleted_comes_back_as_it_was(gru):
    document = run_json("generate", "gru", "--count", 2, "--bars", 2)
    before = bytes_of(document)
    Path(document["pieces"][1]["file"]).unlink()
    run_json("generate", "gru", "--count", 2, "--bars", 2)
    assert bytes_of(document) == before


def test_files_that_a_kill_left_without_rows_are_replaced(gru, home):
    orphan = home / "pieces" / "generations" / "gru-s0-1"
    orphan.mkdir(parents=True)
    (orphan / "009.mid").write_bytes(b"of a run that died")
    run_json("generate", "gru", "--count", 1, "--bars", 2)
    assert [path.name for path in orphan.iterdir()] == ["001.mid"]


def test_every_piece_knows_where_it_came_from(gru, corpus, tmp_path):
    write_midi(melody(77), tmp_path / "prime.mid")
    document = run_json(
        "generate", "gru", "--count", 1, "--seed", 7, "--temperature", 0.9, "--prime", tmp_path / "prime.mid"
    )
    origin = origin_in(document["pieces"][0]["file"])
    assert origin["model"] == "gru"
    assert origin["family"] == "gru_next_note"
    assert origin["checkpoint_sha256"] == gru.checkpoint_sha256
    assert origin["corpus"] == {"name": "walks", "sha256": corpus.sha256}
    assert (origin["seed"], origin["piece"]) == (7, "001")
    assert origin["settings"]["temperature"] == 0.9
    assert origin["settings"]["prime"]["file"] == "prime.mid"
    assert origin["earwitness"]
    told = dict(provenance_of(Piece.objects.get(origin=Origin.GENERATION)))
    assert told["model"] == "gru"
    assert told["checkpoint hash"] == gru.checkpoint_sha256
    assert told["corpus hash"] == corpus.sha256
    assert told["seed"] == "7"
    assert told["temperature"] == "0.9"
    assert told["prime"].startswith("file prime.mid")
    assert told["code version"] == code_version()


def test_no_file_tells_of_this_machine(gru, tmp_path):
    write_midi(melody(77), tmp_path / "prime.mid")
    document = run_json(
        "generate", "gru", "--count", 1, "--prime", tmp_path / "prime.mid", "--out", tmp_path / "o"
    )
    assert str(tmp_path).encode() not in bytes_of(document)[0]


def test_rows_and_files_agree(gru, home):
    document = run_json("generate", "gru", "--count", 2, "--bars", 2, "--seed", 7)
    for piece, told in zip(pieces_of_generation("gru-s7-1"), document["pieces"], strict=True):
        assert str(piece) == told["piece"]
        assert piece.seed == 7
        assert score_of(piece).n_notes == piece.n_notes == told["notes"]
        assert (home / piece.midi_path).read_bytes() == Path(told["file"]).read_bytes()


def test_a_model_that_learned_on_makes_other_generations(gru):
    run_json("generate", "gru", "--count", 1, "--bars", 2)
    train_model(family="gru_next_note", corpus_name="walks", preset=None, name="gru", updates=8, resume=True)
    document = run_json("generate", "gru", "--count", 1, "--bars", 2)
    gru.refresh_from_db()
    assert document["generation"] == "gru-s0-2"
    assert document["checkpoint_sha256"] == gru.checkpoint_sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grü", "--count", "1"], "no model named 'grü'; did you mean gru"),
        (["gru", "--count", "0"], "count must be at least 1, got 0"),
        (["gru", "--count", "two"], "argument --count: invalid int value: 'two'"),
        (["gru"], "the following arguments are required: --count"),
        (["gru", "--count", "1", "--bars", "0"], "bars must be 1 to 10000, got 0"),
        (["gru", "--count", "1", "--seed", "-1"], "seed must be a whole number from 0 to"),
        (["gru", "--count", "1", "--temperature", "0"], "temperature must be 0.000001 to 1000, got 0"),
        (["gru", "--count", "1", "--temperature", "nan"], "must be 0.000001 to 1000, got nan"),
        (["gru", "--count", "1", "--noise-sd", "1"], "gru_next_note lacks the ability 'noise'"),
        (["gru", "--count", "1", "--prime", "nowhere.mid"], "there is no file 'nowhere.mid'"),
        (["gru", "--count", "1", "--style", __file__], f"{__file__}: files named .py are not read"),
        (["gru", "--count", "1", "--device", "abacus"], "device must be auto, cpu or cuda, got 'abacus'"),
        (
            ["gru", "--count", "1", "--argmax", "--temperature", "9"],
            "leave out argmax or the temperature",
        ),
        (["gru", "--count", "1", "--alpha", "0.5"], "gru_next_note lacks the ability 'styles'"),
        (["gru", "--count", "1", "--set", "dropout=0.2"], "no setting named 'dropout'"),
        (["gru", "--count", "1", "--set", "learning_rate=0.9"], "learning_rate concerns training alone"),
        (["gru", "--count", "1", "--set", "x=1"], "no setting named 'x'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(arguments, message, gru):
    with pytest.raises(CommandError) as error:
        run_command("generate", *arguments)
    assert message in str(error.value)
    assert not Generation.objects.exists()


def test_a_folder_that_cannot_be_made_is_named_before_anything_is_computed(gru, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CommandError, match=r"cannot make the folder .*file"):
        run_command("generate", "gru", "--count", "1", "--out", tmp_path / "file")
    assert not Generation.objects.exists()


def test_a_checkpoint_that_is_gone_is_named(gru):
    (gru.folder / "config.json").unlink()
    with pytest.raises(CommandError, match=r"config.json is missing"):
        run_command("generate", "gru", "--count", "1")


def test_a_damaged_checkpoint_is_named(gru):
    (gru.folder / "weights.safetensors").write_bytes(b"junk")
    with pytest.raises(CommandError, match=r"weights.safetensors is damaged"):
        run_command("generate", "gru", "--count", "1")


@pytest.mark.parametrize("kind", ["silence", "drums"])
def test_a_file_with_nothing_to_continue_or_to_harmonise_is_named(kind, gru, deephear, tmp_path):
    notes = () if kind == "silence" else (Note(0, 36, 480),)
    write_midi(Score((Track(notes, is_drum=True),)), path := tmp_path / "wrong.mid")
    with pytest.raises(CommandError, match=r"wrong.mid: the (prime|file) holds no notes"):
        run_command("generate", "gru", "--count", "1", "--prime", path)
    with pytest.raises(CommandError, match=r"wrong.mid: the (melody|file) holds no notes"):
        run_command("harmonize", "deephear", path)
    assert not Generation.objects.exists()


def test_a_model_that_cannot_harmonise_says_so(gru, scores):
    with pytest.raises(CommandError, match="gru_next_note lacks the ability 'harmonize'"):
        run_command("harmonize", "gru", scores / "piece0.mid")


def test_harmonising_keeps_the_melody_and_has_the_keys_of_generate(deephear, tmp_path):
    notes = tuple(Note(index * 480, 72 + index % 5, 480) for index in range(16))
    write_midi(Score((Track(notes),)), tmp_path / "tune.mid")
    document = run_json("harmonize", "deephear", tmp_path / "tune.mid", "--count", 2, "--seed", 5)
    assert set(document) >= FIXED
    assert document["generation"] == "deephear-harmony-s5-1"
    assert all(set(piece) >= FIXED_OF_A_PIECE for piece in document["pieces"])
    again = run_json(
        "harmonize", "deephear", tmp_path / "tune.mid", "--count", 2, "--seed", 5, "--out", tmp_path / "o"
    )
    assert bytes_of(document) == bytes_of(again)
    for piece in pieces_of_generation("deephear-harmony-s5-1"):
        score = score_of(piece)
        kept = {(note.onset * 480 // score.ticks_per_beat, note.pitch) for note in score.tracks[0].notes}
        assert kept == {(note.onset, note.pitch) for note in notes}
    assert not pieces_of_model("deephear").exists()  # its melody is not the model's


def test_a_melody_that_is_none_is_refused(deephear, tmp_path):
    (tmp_path / "noise.mid").write_bytes(b"no music")
    with pytest.raises(CommandError, match="no MThd header"):
        run_command("harmonize", "deephear", tmp_path / "noise.mid")


def test_the_database_refuses_a_piece_of_no_origin(gru):
    generation = Generation.objects.get(name=generate_pieces(model_name="gru", count=1, bars=2)["generation"])
    with pytest.raises(IntegrityError), transaction.atomic():
        Piece.objects.create(
            name="x", origin=Origin.CORPUS, generation=generation, midi_path="x", sha256="0" * 64
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        Piece.objects.create(
            name="001", origin=Origin.GENERATION, generation=generation, midi_path="x", sha256="1"
        )
    assert report_for(generation) is None


def test_harmonising_takes_settings_for_this_run(deephear, scores):
    melody = scores / "piece0.mid"
    run_json("harmonize", "deephear", melody)
    strict = ("--set", "harmony_threshold=0.999999")
    document = run_json("harmonize", "deephear", melody, *strict)
    assert document["generation"] == "deephear-harmony-s0-2"
    assert run_json("harmonize", "deephear", melody, *strict)["is_new"] is False
    (piece,) = pieces_of_generation("deephear-harmony-s0-2")
    assert piece.generation.settings["overrides"] == {"harmony_threshold": "0.999999"}
    assert sum(len(track.notes) for track in score_of(piece).tracks[1:]) == 0
    with pytest.raises(CommandError, match="no setting named 'harmony_treshold'; did you mean"):
        run_command("harmonize", "deephear", melody, "--set", "harmony_treshold=0.5")
    with pytest.raises(CommandError, match="--set needs key=value, got 'harmony_rate'"):
        run_command("harmonize", "deephear", melody, "--set", "harmony_rate")


def test_the_help_of_harmonize_explains_every_setting_of_the_harmony():
    text = Command().create_parser("manage.py", "harmonize").format_help()
    for name, value in asdict(Config()).items():
        if name.startswith("harmony_"):
            assert name in text
            assert str(value) in text


def test_always_the_likeliest_needs_the_ability(deephear):
    with pytest.raises(CommandError, match="deephear lacks the ability 'argmax'"):
        run_command("generate", "deephear", "--count", 1, "--argmax")


def test_always_the_likeliest_choice_is_what_the_generator_writes(gru):
    document = run_json("generate", "gru", "--count", 1, "--bars", 4, "--seed", 1, "--argmax")
    (piece,) = pieces_of_generation(document["generation"])
    sure, drawn = (
        generate(gru.folder, count=1, bars=4, seed=1, argmax=argmax)[0] for argmax in (True, False)
    )
    assert facts_of(score_of(piece))["sha256"] == facts_of(sure)["sha256"] != facts_of(drawn)["sha256"]


@pytest.mark.parametrize("command", [["generate", "gru", "--count", 1], ["harmonize", "gru", "any.mid"]])
@pytest.mark.parametrize("seed", [-1, 2**63, 10**22])
def test_a_seed_that_no_row_can_keep_is_refused(command, seed):
    with pytest.raises(CommandError, match=f"seed must be a whole number from 0 to {2**63 - 1}, got {seed}"):
        run_command(*command, "--seed", seed)
