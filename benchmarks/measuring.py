"""Two ways of doing the same work, timed side by side on the same machine in the same run.

Seconds on a CPU are processor seconds of this process with one thread (`time.process_time`): they hardly
depend on what else the machine does. The ways take turns and the best of a few turns counts, so that a busy
moment hurts neither. On a GPU they are seconds of the clock, with the device synchronised at both ends.

The floor of a work is what its arithmetic alone would take at the speed of a large matrix product on the same
device: no way of doing the work with these operations can be faster.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

REPEATS = 3
PRODUCT = {"cpu": 1024, "cuda": 8192}  # rows and columns of the matrix product that sets the floor


@dataclass(frozen=True)
class Work:
    """One ratio that is promised: how many times faster ours is than the usual way."""

    name: str  # begins with the name of the family
    unit: str  # what is counted: "piece-step", "token"
    baseline: str  # the usual way, in words
    bar: float  # the ratio to reach
    measure: Callable[[], tuple[float, float]]  # seconds per unit: of the baseline, of ours
    device: str = "cpu"
    flop: float | None = None  # additions and multiplications that a unit cannot do without
    precision: str = "fp32"  # of those: fp32 or bf16


@dataclass(frozen=True)
class Measured:
    """What came of a work."""

    name: str
    unit: str
    baseline: str
    device: str
    bar: float
    baseline_seconds: float | None = None  # per unit
    our_seconds: float | None = None
    floor_seconds: float | None = None
    skipped: str | None = None  # why it was not measured here
    failed: str | None = None  # why it could not be

    @property
    def ratio(self) -> float | None:
        """How many times faster than the baseline."""
        return self.baseline_seconds / self.our_seconds if self.our_seconds else None

    @property
    def share_of_floor(self) -> float | None:
        """1 where nothing but the arithmetic takes time."""
        return self.floor_seconds / self.our_seconds if self.floor_seconds and self.our_seconds else None

    @property
    def verdict(self) -> str:
        """Whether the bar is reached: "ok", "missed", "skipped" or "failed"."""
        if self.skipped is not None:
            return "skipped"
        if self.ratio is None:
            return "failed"
        return "ok" if self.ratio >= self.bar else "missed"

    def to_json(self) -> dict[str, Any]:
        """All of it, with the ratio and the verdict."""
        derived = ("ratio", "share_of_floor", "verdict")
        return asdict(self) | {name: getattr(self, name) for name in derived}


def best_seconds(
    *ways: Callable[[], object], repeats: int = REPEATS, device: str = "cpu", warm_up: bool = True
) -> list[float]:
    """The least seconds that each way took in its turns; the ways take turns.

    Parameters
    ----------
    ways : callables
        Each does all of its work when called.
    warm_up : bool
        Let every way run once before any is timed.
    """
    clock = time.process_time if device == "cpu" else _gpu_clock
    best = [float("inf")] * len(ways)
    for turn in range(-1 if warm_up else 0, repeats):
        for index, way in enumerate(ways):
            started = clock()
            way()
            taken = clock() - started
            if turn >= 0:
                best[index] = min(best[index], taken)
    return best


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(work: Work, *, device: str | None = None) -> Measured:
    """Measure a work; whatever goes wrong in it is told in the result."""
    facts = {
        "name": work.name,
        "unit": work.unit,
        "baseline": work.baseline,
        "device": work.device,
        "bar": work.bar,
    }
    if device is not None and work.device != device:
        return Measured(**facts, skipped=f"a work of {work.device}")
    if work.device == "cuda" and not torch.cuda.is_available():
        return Measured(**facts, skipped="no GPU here")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        baseline, ours = work.measure()
        floor = work.flop / product_speed(work.device, work.precision) if work.flop else None
    except Exception as error:  # one broken work must not hide the others
        return Measured(**facts, failed=f"{type(error).__name__}: {error}")
    finally:
        torch.set_num_threads(threads)
    return Measured(**facts, baseline_seconds=baseline, our_seconds=ours, floor_seconds=floor)


@cache
def product_speed(device: str = "cpu", precision: str = "fp32") -> float:
    """Floating-point operations per second in a large matrix product; on a CPU of one thread."""
    size = PRODUCT[device]
    matrix = torch.randn(
        size, size, device=device, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    )
    (seconds,) = best_seconds(lambda: matrix @ matrix, repeats=5, device=device)
    return 2 * size**3 / seconds


def machine_facts() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gflops_fp32": round(product_speed("cpu", "fp32") / 1e9, 1),
        "gflops_bf16": round(product_speed("cpu", "bf16") / 1e9, 1),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def in_words(seconds: float | None) -> str:
    """Seconds with a unit that suits their size, three digits."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows of text as a Markdown table that also reads well unrendered; the first row is the head.

    Columns whose numbers are in `right` are set to the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            rules = [
                "-" * (width - 1) + ":" if column in right else "-" * width
                for column, width in enumerate(widths)
            ]
            lines.append("| " + " | ".join(rules) + " |")
    return "\n".join(lines)


HEAD = ("work", "unit", "baseline", "ours", "ratio", "bar", "floor", "verdict")


def row_of(result: Measured) -> tuple[str, ...]:
    """A result as a row under `HEAD`."""
    ratio = "-" if result.ratio is None else f"{result.ratio:.1f}x"
    floor = "-" if result.share_of_floor is None else f"{result.share_of_floor:.0%}"
    remark = result.skipped or result.failed
    return (
        result.name,
        result.unit,
        in_words(result.baseline_seconds),
        in_words(result.our_seconds),
        ratio,
        f"{result.bar:g}x",
        floor,
        f"{result.verdict}: {remark}" if remark else result.verdict,
    )
