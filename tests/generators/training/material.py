"""Reading what runs left behind, for the tests of training."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from generators import checkpoint


def log_of(folder: Path) -> list[dict]:
    """The lines of the log, without times and speeds."""
    times = ("seconds", "updates_per_second")
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in times} for line in lines]


def losses_of(folder: Path) -> list[dict]:
    """The lines of the log that sum up updates."""
    return [line for line in log_of(folder) if "event" not in line]


def events_of(folder: Path, event: str) -> list[dict]:
    """The lines of the log that tell of an event."""
    return [line for line in log_of(folder) if line.get("event") == event]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same_model(one: Path, other: Path) -> None:
    left, right = weights_of(one), weights_of(other)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
    assert checkpoint.checkpoint_sha256(one) == checkpoint.checkpoint_sha256(other)
