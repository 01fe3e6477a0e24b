"""``wishes.json``: what was asked of a run, kept in its folder until the first checkpoint holds it.

Reading a large corpus takes minutes; a run that is killed by then is resumed as it was wanted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from generators.errors import GeneratorError
from generators.training.saving import Origin, Wishes

FILE = "wishes.json"


def recall(
    folder: Path, family: str, corpus_sha256: str, asked: Wishes, origin: Origin | None, threads: int | None
) -> tuple[Wishes, Origin | None, int | None]:
    """What was asked of the run before, but for what is asked anew; as it is asked if nothing was kept.

    Raises
    ------
    GeneratorError
        If the run was to be one of another family or corpus, or the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return asked, origin, threads
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        before, old_origin = Wishes(**kept["wishes"]), kept["origin"]
        told = (kept["family"], kept["corpus"], kept["threads"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise GeneratorError(f"{path} is damaged ({error!r}); delete {folder} and start again") from None
    if told[0] != family:
        raise GeneratorError(f"{folder} was to be a model of {told[0]}, not of {family}")
    if told[1] != corpus_sha256:
        raise GeneratorError(
            f"{folder} was to be trained on a corpus with hash {told[1][:12]}, not on one with "
            f"{corpus_sha256[:12]}: resume on that, or choose another name"
        )
    if origin is None and old_origin is not None:
        origin = Origin(old_origin["name"], Path(old_origin["folder"]))
    anew = {key: value for key, value in asdict(asked).items() if value is not None}
    anew["overrides"] = _joined(before.overrides, asked.overrides)
    anew["watching"] = _joined(before.watching, asked.watching)
    return replace(before, **anew), origin, told[2] if threads is None else threads


def keep(
    folder: Path, family: str, corpus_sha256: str, asked: Wishes, origin: Origin | None, threads: int | None
) -> None:
    """Write down what is asked of a run that begins."""
    content = {
        "family": family,
        "corpus": corpus_sha256,
        "threads": threads,
        "origin": origin and {"name": origin.name, "folder": str(origin.folder.resolve())},
        "wishes": asdict(asked),
    }
    draft = folder / f".{FILE}.draft"
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, folder / FILE)


def forget(folder: Path) -> None:
    """Drop the file: a checkpoint holds it all, or nothing came of the run."""
    (folder / FILE).unlink(missing_ok=True)


def _joined(before: Mapping[str, Any] | None, anew: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(before or {}), **{key: value for key, value in (anew or {}).items() if value is not None}}
