"""``training.jsonl``: what happened in a run, a JSON object on each line.

Every line has the ``update`` it was written after and the ``seconds`` of training by then. Lines with an
``event`` tell of one: "start" (settings, device, precision), "stage", "early_stop", "kept", "samples", "end".
The others sum up the updates since the last of them: mean losses, learning rates and gradient norms by part,
the speed, and the figures of an evaluation.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from generators.ranks import process_rank
from generators.training.plan import check_finite
from generators.training.run import Run, Sums

LOG = "training.jsonl"
LOG_EVERY = 25  # updates between two lines


def log_is_due(run: Run) -> bool:
    """Whether the update just made is one to write a line after."""
    return run.place.updates % LOG_EVERY == 0


def log_updates(run: Run, *, evaluated: bool) -> None:
    """One line on the updates since the last line."""
    means = run.sums.means()
    check_finite(run, means)
    line = {
        "stage": run.stage.name,
        "epoch": run.place.epoch,
        "losses": means,
        **(run.place.unlogged or last_update(run)),
        "updates_per_second": _speed(run),
    }
    run.place.unlogged = {}
    if evaluated:
        line["figures"] = run.place.figures
    _write(run, line)
    run.sums = Sums()


def log_end(run: Run, reason: str) -> None:
    """The last line of a run, with what no line has said yet; a run that goes on from here drops it."""
    losses = run.sums.means()
    log_event(
        run,
        "end",
        stopped=reason,
        stage=run.stage.name if run.stage else None,
        figures=run.place.figures,
        figures_update=run.place.figures_update,
        **({"losses": losses, "updates_per_second": _speed(run)} if losses else {}),
    )


def _speed(run: Run) -> float:
    """Updates per second since the last line on updates."""
    now = (run.clock(), run.place.updates)
    seconds, updates = run.logged or now
    run.logged = now
    return round((now[1] - updates) / max(now[0] - seconds, 1e-9), 3)


def last_update(run: Run) -> dict[str, dict[str, float]]:
    """Learning rates and gradient norms of the last update, by part."""
    return {
        "learning_rates": {name: each.param_groups[0]["lr"] for name, each in run.optimizers.items()},
        "gradient_norms": {part: float(_norm(run, part, norm)) for part, norm in run.gradient_norms.items()},
    }


def log_event(run: Run, event: str, **facts: Any) -> None:
    """One line on something that happened."""
    _write(run, {"event": event, **facts})


def log_size(folder: Path) -> int:
    """Bytes in the log, for `cut_log`."""
    path = folder / LOG
    return path.stat().st_size if path.exists() else 0


def cut_log(folder: Path, size: int | None) -> None:
    """Drop what was written after the checkpoint: it will come again; None: drop nothing but half lines.

    Of several processes the first alone does so: it may be writing already when the others come here.
    """
    path = folder / LOG
    if process_rank() or not path.exists():
        return
    kept = path.read_bytes()[:size]
    draft = path.with_suffix(".draft")
    draft.write_bytes(kept[: kept.rfind(b"\n") + 1])
    os.replace(draft, path)


def _norm(run: Run, part: str, norm: Tensor | None) -> Tensor | float:
    """The length of the gradient of a part at the last update, before it was shortened."""
    if norm is not None:
        return norm
    gradients = [each.grad for each in run.parts[part].parameters() if each.grad is not None]
    return nn.utils.get_total_norm(gradients) if gradients else 0.0


def _write(run: Run, facts: dict[str, Any]) -> None:
    if not run.group.is_first:
        return
    line = {"update": run.place.updates, **facts, "seconds": round(run.clock(), 3)}
    with (run.folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")
