"""Trainings of benchmarks, which know what they have taken in all: a run may go on from an earlier one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generators import checkpoint
from generators.training import TrainingResult, train


def trained(
    name: str,
    corpus: Any,
    folder: Path,
    minutes: float,
    overrides: Mapping[str, str] | None = None,
    *,
    precision: str = "auto",
) -> tuple[checkpoint.Checkpoint, TrainingResult, float]:
    """The tiny preset of a family after so many minutes of processor time, and what its training took.

    Returns
    -------
    checkpoint, result, seconds
        Seconds of processor time, those of earlier runs in this folder too. They are kept beside the folder,
        in a file of its name that ends in ``.seconds``.
    """
    ledger = folder.with_name(f"{folder.name}.seconds")
    started = time.process_time()
    try:
        result = train(
            name,
            corpus,
            folder,
            preset="tiny",
            minutes=minutes,
            device="cpu",
            precision=precision,
            overrides=overrides,
            resume=True,
            clock=time.process_time,
        )
    finally:  # what a run that broke off has taken is not given back
        seconds = (float(ledger.read_text()) if ledger.exists() else 0.0) + time.process_time() - started
        ledger.parent.mkdir(parents=True, exist_ok=True)
        ledger.write_text(f"{seconds:.3f}\n")
    if result.stopped == "interrupted":  # the loop has caught Ctrl-C, which was meant for all
        raise KeyboardInterrupt
    return checkpoint.load(folder), result, seconds
