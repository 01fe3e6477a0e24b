"""Where a run stands, told to whoever watches a few times a second."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from generators.training.plan import planned_in_all
from generators.training.run import Run

REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class Progress:
    """Where a training run stands, for a progress bar."""

    stage: str
    epoch: int  # of the stage, from 1
    n_epochs: int
    update: int  # of all stages, from the start of the model
    n_updates: int  # planned in all; early stopping and a time limit may end it before
    loss: float | None  # mean of the updates since the last line of the log
    figures: dict[str, dict[str, float]]  # the last evaluation: {"train": {...}, "validation": {...}}
    updates_per_second: float
    seconds: float
    seconds_left: float | None
    phase: str = ""  # what takes long at the moment: "measuring" or "writing samples"; else it learns

    @property
    def validation_loss(self) -> float | None:
        """The mean loss on validation windows when it was last measured."""
        return self.figures.get("validation", {}).get("loss")


class Reporter:
    """Reports progress a few times a second, with the speed of the last seconds."""

    def __init__(self, run: Run):
        self.run = run
        self.n_updates = planned_in_all(run)
        self.marks: deque[tuple[float, int]] = deque([(time.perf_counter(), run.place.updates)], maxlen=20)
        self.reported = 0.0

    def maybe_report(self) -> None:
        """Report, unless the last report is less than `REPORT_SECONDS` old."""
        if self.run.group.is_first and time.perf_counter() - self.reported >= REPORT_SECONDS:
            self.report()

    def report(self, phase: str = "") -> None:
        """Hand a `Progress` to the caller; speed is that since the oldest of the last 20 reports."""
        run, place, stage = self.run, self.run.place, self.run.stage
        if not run.group.is_first:
            return
        now = self.reported = time.perf_counter()
        then, before = self.marks[0]
        self.marks.append((now, place.updates))
        rate = (place.updates - before) / max(now - then, 1e-9)
        left = (self.n_updates - place.updates) / rate if rate else None
        if run.limits["minutes"] is not None:
            in_time = max(0.0, run.limits["minutes"] * 60 - run.clock())
            left = in_time if left is None else min(left, in_time)
        means = run.sums.means()
        run.report(
            Progress(
                stage=stage.name if stage else "",
                epoch=min(place.epoch + 1, stage.epochs) if stage else 0,
                n_epochs=stage.epochs if stage else 0,
                update=place.updates,
                n_updates=self.n_updates,
                loss=sum(means.values()) if means else None,
                figures=place.figures,
                updates_per_second=rate,
                seconds=run.clock(),
                seconds_left=left,
                phase=phase,
            )
        )
