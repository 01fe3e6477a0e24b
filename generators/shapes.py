"""What settings make of the shapes of a model's tensors, found without making the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from generators.errors import GeneratorError
from generators.family import Family

MOST_NUMBERS = 1_000_000_000  # parameters and buffers: 4 GB, and training takes four times as much


def changed_settings(before: Any, after: Any) -> list[str]:
    """The names of the fields in which two configs differ."""
    return [key for key, value in asdict(after).items() if value != getattr(before, key)]


def shape_changing(family: Family, before: Any, after: Any, learned: Mapping[str, Any]) -> str | None:
    """The name of a setting that gives the weights other shapes than they had; None if they keep them."""
    changed = changed_settings(before, after)
    if not changed:
        return None
    there = _shapes(family, before, learned)
    if _shapes(family, after, learned) == there:
        return None
    for key in changed:
        try:
            alone = replace(before, **{key: getattr(after, key)})
        except ValueError:  # it makes sense together with others only
            continue
        if _shapes(family, alone, learned) != there:
            return key
    return changed[0]


def refuse_giant(family: Family, config: Any, learned: Mapping[str, Any]) -> None:
    """Refuse a model that no machine here could hold, before any of it is made.

    Raises
    ------
    GeneratorError
        If it has more than `MOST_NUMBERS` parameters and other numbers; the message has the count.
    """
    shapes = _shapes(family, config, learned)
    count = sum(shape.numel() for shape in shapes.values()) if shapes is not None else None
    if count is None or count > MOST_NUMBERS:
        size = "more parameters than can be counted" if count is None else f"{count:,} parameters"
        raise GeneratorError(
            f"a model with these settings has {size}; at most {MOST_NUMBERS:,} can be trained"
        )


def _shapes(family: Family, config: Any, learned: Mapping[str, Any]) -> dict[str, torch.Size] | None:
    """The shape of each tensor of a model by its name; None if one is too large to be told."""
    try:
        with torch.device("meta"):  # shapes without memory
            model = family.model(config, learned)
    except RuntimeError:
        return None
    return {key: each.shape for key, each in model.state_dict().items()}
