"""Settings typed by hand (`--set key=value`) to the fields of a family's Config."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from generators.errors import GeneratorError

MOST_WHOLE = 1_000_000  # no whole number among the settings has a use beyond this
MOST_LAYERS = 64
SHOWN = 40  # characters of a value in a message
#: Below, a temperature changes nothing any more but the rounding: that is `argmax`.
LEAST_TEMPERATURE, MOST_TEMPERATURE = 1e-6, 1000.0
#: Settings that concern training alone, in whatever family; but for a field with the metadata "writes".
TRAINING_ONLY = frozenset(
    {
        "batch_size",
        "beta_1",
        "beta_2",
        "decay",
        "discriminator_rate",
        "dropout",
        "epochs",
        "feature_matching",
        "generator_rate",
        "harmony_epochs",
        "image_matching",
        "initial_weights",
        "kl",
        "kl_weight",
        "l2",
        "label_noise",
        "learning_rate",
        "max_grad_norm",
        "max_norm",
        "max_updates",
        "max_updates_in_all",
        "max_windows",
        "melody_epochs",
        "network_batch_size",
        "network_learning_rate",
        "optimizer",
        "patience",
        "pretraining_epochs",
        "pretraining_rate",
        "rms_decay",
        "schedule",
        "silent_share",
        "transpose",
        "transpose_down",
        "transpose_up",
        "truncation",
        "weight_decay",
        "weight_sd",
    }
)


def check_temperature(value: float, name: str = "temperature") -> None:
    """Refuse a temperature that is no number from `LEAST_TEMPERATURE` to `MOST_TEMPERATURE`: ValueError."""
    if not LEAST_TEMPERATURE <= value <= MOST_TEMPERATURE:
        raise ValueError(
            f"{name} must be {LEAST_TEMPERATURE:f} to {MOST_TEMPERATURE:g}, got {value}; for the likeliest "
            "choice there is argmax, in families that have it"
        )


def training_only(config: Any, overrides: Mapping[str, str]) -> list[str]:
    """Those of the overrides that concern training alone, and so would change nothing that is written."""
    writes = {each.name for each in fields(config) if each.metadata.get("writes")}
    return [key for key in overrides if key in TRAINING_ONLY - writes]


def apply_overrides(config: Any, overrides: Mapping[str, str]) -> Any:
    """The config with the named fields replaced; texts are read as the type of the field.

    A tuple is written with commas (``layers=256,64,16``), an absent value as ``none``.

    Raises
    ------
    GeneratorError
        If a key is no field (the message names the closest) or a value does not fit its type.
    """
    kinds = typing.get_type_hints(type(config))
    names = [each.name for each in fields(config)]
    changes = {}
    for key, text in dict(overrides).items():
        if key not in names:
            hint = get_close_matches(key, names, n=1)
            right = f"did you mean {hint[0]}?" if hint else f"settings are {', '.join(names)}"
            raise GeneratorError(f"no setting named {key!r}; {right}")
        changes[key] = parse(str(text), kinds[key], key)
    try:
        return replace(config, **changes)
    except ValueError as error:
        raise GeneratorError(str(error)) from None


def parse(text: str, kind: Any, key: str) -> Any:
    """Read one value of a type: int, float, bool, str, a Literal, a tuple, or one of these or None.

    Raises
    ------
    GeneratorError
        If it does not fit the type, or is beyond any use: whole numbers go up to `MOST_WHOLE`, numbers of
        layers and lengths of tuples up to `MOST_LAYERS`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    text = text.strip()
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none":
            return None
        return parse(text, next(each for each in arguments if each is not type(None)), key)
    if origin is typing.Literal:
        if text not in arguments:
            raise GeneratorError(f"{key} must be one of {', '.join(arguments)}, got {text!r}")
        return text
    if origin is tuple:
        return _parse_members(text, arguments[0], key)
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise GeneratorError(f"{key} must be true or false, got {text!r}")
        return text.lower() in ("true", "1", "yes")
    if kind is str:
        return text
    return _parse_number(text, kind, key)


def _parse_members(text: str, kind: Any, key: str) -> tuple[Any, ...]:
    members = [each for each in text.strip("()").split(",") if each.strip()]
    if len(members) > MOST_LAYERS:
        raise GeneratorError(f"{key} must be at most {MOST_LAYERS} values, got {len(members)}")
    try:
        return tuple(parse(each, kind, key) for each in members)
    except GeneratorError as error:
        if f"{key} must be at " in str(error):
            raise
        what = "whole numbers" if kind is int else "values"
        raise GeneratorError(f"{key} must be {what} with commas between, got {_shown(text)}") from None


def _parse_number(text: str, kind: type[int] | type[float], key: str) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        name = "a whole number" if kind is int else "a number"
        raise GeneratorError(f"{key} must be {name}, got {_shown(text)}") from None
    if isinstance(value, float):
        if not math.isfinite(value):
            raise GeneratorError(f"{key} must be a finite number, got {_shown(text)}")
        return value
    most = MOST_LAYERS if key == "n_layers" else MOST_WHOLE
    if value > most:
        raise GeneratorError(f"{key} must be at most {most:,}, got {_shown(text)}")
    if value < -most:
        raise GeneratorError(f"{key} must be at least {-most:,}, got {_shown(text)}")
    return value


def _shown(text: str) -> str:
    """A value as a message has it."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}... of {len(text):,} characters"


def config_from_json(kind: type, values: Mapping[str, Any]) -> Any:
    """A Config from its JSON form, in which tuples are lists; unknown keys are an error.

    Raises
    ------
    GeneratorError
        If a key is no field of the Config.
    """
    names = {each.name for each in fields(kind)}
    if unknown := sorted(set(values) - names):
        raise GeneratorError(
            f"the checkpoint has settings that this version does not know: {', '.join(unknown)}"
        )
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
