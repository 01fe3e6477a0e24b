import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from generators import checkpoint
from generators.errors import GeneratorError

ROOT = Path(__file__).parent.parent.parent


def config_of(number: int = 0, family: str = "deephear") -> dict:
    return {"family": family, "config": {}, "learned": {}, "music": {}, "updates": number}


def save(folder: Path, number: int) -> None:
    """A checkpoint in which every file carries the number."""
    tensor = torch.full((4,), float(number))
    checkpoint.save(folder, config_of(number), {"w": tensor}, {"n": number}, {"n": tensor})


def numbers(folder: Path) -> set[float]:
    """The numbers found in the files of a checkpoint."""
    config, data = checkpoint._consistent(folder)
    state, tensors = checkpoint.load_state(folder)
    from safetensors.torch import load

    return {config["updates"], state["n"], tensors["n"][0].item(), load(data)["w"][0].item()}


def test_the_configuration_is_read_without_torch(tmp_path):
    save(tmp_path, 3)
    code = (
        "import sys; from generators.checkpoint import read_config, checkpoint_sha256; "
        "assert read_config(sys.argv[1])['updates'] == 3; print(checkpoint_sha256(sys.argv[1])); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == checkpoint.checkpoint_sha256(tmp_path)


def test_the_folder_holds_readable_json_and_plain_arrays_only(trained):
    files = {path.name for path in trained("gru_next_note").iterdir()}
    assert files == {
        ".lock",
        "config.json",
        "weights.safetensors",
        "state.json",
        "state.safetensors",
        "training.jsonl",
        "gradients.npz",
    }


def test_the_configuration_names_what_the_model_came_from(trained, corpus):
    config = checkpoint.read_config(trained("gru_next_note"))
    assert config["format"] == 1
    assert config["family"] == "gru_next_note"
    assert config["preset"] == "tiny"
    assert config["seed"] == 1
    assert config["corpus"] == {"name": "listed", "sha256": corpus.sha256}
    assert config["code_version"].startswith("0.1.0")
    assert config["finished"] is True
    assert config["losses"]["train"] > 0
    assert config["losses"]["validation"] > 0
    weights = (trained("gru_next_note") / "weights.safetensors").read_bytes()
    assert config["weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_the_hash_of_a_checkpoint_is_that_of_the_model_not_of_the_run(tmp_path):
    for name, seconds in (("one", 1.0), ("two", 2.0)):
        weights = {"w": torch.ones(3)}
        checkpoint.save(tmp_path / name, {**config_of(), "seconds": seconds}, weights, {}, {})
    save(tmp_path / "three", 3)
    one, two, three = (checkpoint.checkpoint_sha256(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize("survives", range(1, 14))
def test_a_save_cut_short_anywhere_leaves_the_old_or_the_new_checkpoint(tmp_path, monkeypatch, survives):
    """Every call that changes the folder is, in turn, the last that the process lives to make."""
    save(tmp_path, 1)
    calls = 0

    class Killed(BaseException):
        pass

    def dying(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls > survives:
                raise Killed
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, dying(getattr(os, name)))
        for name in ("mkdir", "rmdir", "open"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        try:
            save(tmp_path, 2)
            finished = True
        except Killed:
            finished = False
    assert finished == (survives >= 12)
    found = numbers(tmp_path)
    assert found in ({1}, {2})
    assert found == {2} or not finished
    save(tmp_path, 3)
    assert numbers(tmp_path) == {3}
    assert not list(tmp_path.glob(".[dr]*"))


def save_on_and_on(folder: Path, size: int, told: Connection | None = None) -> None:
    """Save checkpoint after checkpoint, and tell the number of each that is done."""
    for number in itertools.count():
        tensor = torch.full((size,), float(number))
        checkpoint.save(folder, config_of(number), {"w": tensor}, {"n": number}, {"n": tensor})
        if told:
            told.send(number)


def test_a_kill_at_any_moment_leaves_a_loadable_checkpoint(tmp_path):
    fork = multiprocessing.get_context("fork")
    for attempt in range(6):
        heard, told = fork.Pipe(duplex=False)
        process = fork.Process(target=save_on_and_on, args=(tmp_path, 50_000, told))
        process.start()
        told.close()
        last = heard.recv()
        time.sleep(0.003 * attempt)
        process.kill()
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                last = heard.recv()
        found = numbers(tmp_path)
        assert len(found) == 1
        assert found.pop() >= last  # what was reported as saved is there


def test_reading_while_another_process_saves_sees_whole_checkpoints(tmp_path):
    save(tmp_path, 0)
    process = multiprocessing.get_context("fork").Process(target=save_on_and_on, args=(tmp_path, 4))
    process.start()
    seen = set()
    patience = time.monotonic() + 60
    while len(seen) < 10 and time.monotonic() < patience:
        config, data = checkpoint._consistent(tmp_path)
        assert hashlib.sha256(data).hexdigest() == config["weights_sha256"]
        seen.add(config["updates"])
    process.kill()
    process.join()
    assert len(seen) >= 10


def damage(folder: Path, what: str) -> None:
    path = folder / what.split(":")[0]
    match what.split(":")[1]:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "flipped":
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
        case "list":
            path.write_text("[]")
        case "format":
            path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
        case "stripped":
            path.write_text(json.dumps({"format": 1}))
        case "binary":
            path.write_bytes(b"\xff\xfe\x00")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("config.json:missing", "config.json is missing"),
        ("config.json:cut", "config.json is damaged: it is no JSON"),
        ("config.json:list", "config.json is damaged: it is no JSON object"),
        ("config.json:binary", "config.json is damaged"),
        ("config.json:format", "config.json has format 99; this version reads format 1"),
        ("config.json:stripped", "config.json is damaged: it has no proper 'family'"),
        ("weights.safetensors:missing", "weights.safetensors is missing"),
        ("weights.safetensors:cut", "weights.safetensors is damaged: its hash is not the one named"),
        ("weights.safetensors:flipped", "weights.safetensors is damaged: its hash is not the one named"),
    ],
)
def test_a_damaged_checkpoint_names_the_file(tmp_path, what, message):
    save(tmp_path, 1)
    damage(tmp_path, what)
    with pytest.raises(GeneratorError) as error:
        checkpoint.load(tmp_path)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("what", ["state.safetensors:cut", "state.json:cut", "state.json:missing"])
def test_a_damaged_state_names_the_file(tmp_path, what):
    save(tmp_path, 1)
    damage(tmp_path, what)
    with pytest.raises(GeneratorError, match=what.split(":")[0]):
        checkpoint.load_state(tmp_path)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_model_without_its_state_is_not_said_to_be_no_model(tmp_path, name):
    save(tmp_path, 1)
    (tmp_path / name).unlink()
    with pytest.raises(GeneratorError) as error:
        checkpoint.load_state(tmp_path)
    assert str(error.value) == (
        f"the model at {tmp_path} is not whole: {name} is missing; "
        "it can write, but its training cannot go on"
    )


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(GeneratorError, match=r"no model at .*nowhere: there is no such folder"):
        checkpoint.load(tmp_path / "nowhere")


def test_weights_of_another_shape_are_refused(tmp_path):
    learned = {"sounding_cells": 1.0}
    config = {"family": "deephear", "config": {"layers": [4]}, "learned": learned, "music": {}}
    checkpoint.save(tmp_path, config, {"w": torch.zeros(1)}, {}, {})
    with pytest.raises(GeneratorError, match=r"weights.safetensors does not fit the settings of config.json"):
        checkpoint.load(tmp_path)


def test_no_file_ever_says_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        checkpoint.save(tmp_path, {**config_of(), "losses": float("nan")}, {}, {}, {})
