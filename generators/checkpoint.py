"""The one checkpoint format: a folder that a kill at any moment leaves loadable.

``config.json``
    Format, family, settings, what was learned, seed, corpus, version of the code, updates, losses: readable
    without torch. It names the hash of the weights.
``weights.safetensors``
    The weights, by the names of the model.
``state.json``, ``state.safetensors``
    What resuming needs besides: place in the plan, optimiser and random states. No pickle anywhere.
``training.jsonl``
    One line per report of the training loop, which writes it.
``gradients.npz``
    Gradients and values of some parameters over the last updates, if they are recorded.
``kept/000500/``
    The checkpoint as it was after 500 updates, whole, if it was to be kept.
``samples/000500-1.mid``, ``.svg``
    What the model wrote after 500 updates, if samples were asked for.

A save writes all files into ``.draft``, renames that to ``.ready`` (the one moment at which the checkpoint
becomes the new one) and then moves the files out. Whoever reads looks into ``.ready`` first, so a save that
was cut short is either wholly there or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.errors import GeneratorError

if TYPE_CHECKING:
    from torch import Tensor

    from generators.family import Family, MusicModel

FORMAT = 1
VERSION = "0.1.0"
CONFIG, WEIGHTS, STATE, STATE_TENSORS = (
    "config.json",
    "weights.safetensors",
    "state.json",
    "state.safetensors",
)
#: What makes the pieces; the rest of the config tells how the model came about.
IDENTITY = ("format", "family", "config", "learned", "music", "weights_sha256")


class CheckpointError(GeneratorError):
    """A folder that holds no checkpoint, or a broken one; the message names the file."""


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was saved."""

    config: dict[str, Any]
    family: Family
    model: MusicModel


def save(
    folder: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    state_tensors: Mapping[str, Tensor],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Replace the checkpoint in a folder as a whole, with other `files` if any; makes the folder."""
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    _settle(folder)
    draft = folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    data = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    config = {"format": FORMAT, **config, "weights_sha256": hashlib.sha256(data).hexdigest()}
    _write(draft / WEIGHTS, data)
    _write(
        draft / STATE_TENSORS, to_bytes({key: each.cpu().contiguous() for key, each in state_tensors.items()})
    )
    _write(draft / STATE, _to_json(state))
    for name, content in (files or {}).items():
        _write(draft / name, content)
    _write(draft / CONFIG, _to_json(config))
    _sync_folder(draft)
    os.rename(draft, folder / ".ready")
    _sync_folder(folder)
    _settle(folder)


def exists(folder: Path) -> bool:
    """Whether a folder holds a checkpoint, broken or not."""
    return _place(Path(folder), CONFIG).is_file()


def read_config(folder: Path | str) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint, without torch.

    Raises
    ------
    CheckpointError
        If the folder or the file is missing, or it is no configuration of a format that this version reads.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"no model at {folder}: there is no such folder")
    config = _read_json(folder, CONFIG)
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / CONFIG} has format {config.get('format')!r}; this version reads format {FORMAT}"
        )
    for key, kind in {
        "family": str,
        "config": dict,
        "learned": dict,
        "music": dict,
        "weights_sha256": str,
    }.items():
        if not isinstance(config.get(key), kind):
            raise CheckpointError(f"{folder / CONFIG} is damaged: it has no proper {key!r}")
    return config


def checkpoint_sha256(folder: Path | str) -> str:
    """A hash of all that decides what a model writes: family, settings, what was learned, weights.

    Two runs that end with the same model have the same hash, however long they took.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or its weights are not those that it names.
    """
    config, _ = _consistent(Path(folder))
    return sha256_of(config)


def sha256_of(config: Mapping[str, Any]) -> str:
    """The `checkpoint_sha256` of a configuration that was read before."""
    identity = {key: config[key] for key in IDENTITY}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def load(
    folder: Path | str, *, device: str = "cpu", overrides: Mapping[str, str] | None = None
) -> Checkpoint:
    """The model of a checkpoint, ready to write; `overrides` change settings that do not change its shape.

    Raises
    ------
    CheckpointError
        If the folder is no checkpoint, a file is missing or damaged, or the weights do not fit the settings.
    GeneratorError
        If an override is no setting, has no such value, or changes the shape; nothing is built then.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    from generators.devices import random_state_kept
    from generators.registry import get_family
    from generators.settings import apply_overrides, config_from_json
    from generators.shapes import shape_changing

    folder = Path(folder)
    config, data = _consistent(folder)
    family = get_family(config["family"])
    stored = config_from_json(family.config, config["config"])
    settings = apply_overrides(stored, overrides or {})
    if (key := shape_changing(family, stored, settings, config["learned"])) is not None:
        raise GeneratorError(
            f"{key} was fixed at {getattr(stored, key)} when the model was trained, got "
            f"{getattr(settings, key)}; leave out --set {key}"
        )
    with random_state_kept(torch.device("cpu")):  # new weights are drawn, only to be replaced
        model = family.model(settings, config["learned"])
    try:
        model.load_state_dict(from_bytes(data))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{folder / WEIGHTS} does not fit the settings of {CONFIG}: {reason}") from None
    return Checkpoint(config, family, model.to(device).eval())


def read_file(folder: Path, name: str) -> bytes | None:
    """One of the other files that `save` was given; None if there is none."""
    try:
        return _read(folder, name)
    except CheckpointError:
        return None


def load_state(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What resuming needs besides the model: the JSON and the tensors that `save` was given.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    state = _read_json(folder, STATE)
    try:
        return state, from_bytes(_read(folder, STATE_TENSORS))
    except SafetensorError as error:
        raise CheckpointError(f"{folder / STATE_TENSORS} is damaged: {error}") from None


@cache
def code_version() -> str:
    """The version of this code, with the commit where it runs from a repository: ``0.1.0+1a2b3c4``."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return VERSION
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        commit = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return VERSION
    return f"{VERSION}+{commit}"


def _consistent(folder: Path) -> tuple[dict[str, Any], bytes]:
    """A config and the bytes of its weights; a trainer may be saving meanwhile, so look more than once."""
    for attempt in range(5):
        config = read_config(folder)
        try:
            data = _read(folder, WEIGHTS)
        except CheckpointError:
            data = b""
        if hashlib.sha256(data).hexdigest() == config["weights_sha256"]:
            return config, data
        time.sleep(0.02 * attempt)
    _read(folder, WEIGHTS)
    raise CheckpointError(f"{folder / WEIGHTS} is damaged: its hash is not the one named in {CONFIG}")


def _place(folder: Path, name: str) -> Path:
    """Where a file of the checkpoint lies at this moment."""
    ready = folder / ".ready" / name
    return ready if ready.exists() else folder / name


def _settle(folder: Path) -> None:
    """Finish a save whose files are all written but not all moved."""
    ready = folder / ".ready"
    if not ready.is_dir():
        return
    for path in ready.iterdir():
        os.replace(path, folder / path.name)
    ready.rmdir()


def _read(folder: Path, name: str) -> bytes:
    for _ in range(3):  # the file may be moved between looking and opening
        try:
            return _place(folder, name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CheckpointError(f"cannot read {folder / name}: {error.strerror}") from None
    if name == CONFIG:
        raise CheckpointError(f"no model at {folder}: {name} is missing")
    lost = "; it can write, but its training cannot go on" if name in (STATE, STATE_TENSORS) else ""
    raise CheckpointError(f"the model at {folder} is not whole: {name} is missing{lost}")


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(_read(folder, name))
    except ValueError as error:
        raise CheckpointError(f"{folder / name} is damaged: it is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder / name} is damaged: it is no JSON object")
    return content


def _to_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
