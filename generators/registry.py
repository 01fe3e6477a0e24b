"""The families, found by the files in `generators.families`; listing them imports none."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators import families
from generators.errors import GeneratorError

if TYPE_CHECKING:
    from generators.family import Family


class UnknownFamilyError(GeneratorError):
    """No family has this name."""


def family_names() -> list[str]:
    """Names of all families, sorted; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(families.__path__))


def get_family(name: str) -> Family:
    """The `FAMILY` declared in ``generators/families/<name>.py``.

    Raises
    ------
    UnknownFamilyError
        If there is no such file; the message names the closest.
    """
    if name not in family_names():
        hint = get_close_matches(name, family_names(), n=1) or family_names()
        raise UnknownFamilyError(f"no family named {name!r}; did you mean {' or '.join(hint)}?")
    return import_module(f"generators.families.{name}").FAMILY


@cache
def family_title(name: str) -> str:
    """The title that a family declares; its name if there is no such family.

    Read from the file without importing it: a page that names a family must not wait for torch.
    """
    if name not in family_names():
        return name
    source = (Path(families.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FAMILY":
            titles = [word.value for word in node.value.keywords if word.arg == "title"]
            return ast.literal_eval(titles[0])
    return name


def describe_families() -> list[dict[str, Any]]:
    """The families as JSON: paper, abilities, and the exact size and the settings of each preset.

    Where the size depends on the corpus, it is that at the stated `example` of what a corpus teaches.
    """
    return [_describe(name) for name in family_names()]


def _describe(name: str) -> dict[str, Any]:
    import torch

    family = get_family(name)
    presets = {}
    for preset, config in family.presets.items():
        with torch.device("meta"):  # shapes without memory
            model = family.model(config, family.example)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        presets[preset] = {"parameters": parameters, "config": asdict(config)}
        if family.example:
            presets[preset]["example"] = {key: _size(value) for key, value in family.example.items()}
    return {
        "name": name,
        "title": family.title,
        "citation": family.citation,
        "abilities": list(family.abilities),
        "presets": presets,
    }


def _size(value: Any) -> Any:
    """A list by its length: a vocabulary of a thousand tokens is best told as 1000."""
    return len(value) if isinstance(value, list | tuple) else value
