"""The scale of 1 to 10, and how much of an interval lies on it.

A t interval knows nothing of the scale: with few listeners it may reach beyond both ends. Results keep it as
computed, which is what a reader can check; words, tables and figures show the part that can be. A difference
of two means lies between -9 and 9.
"""

from __future__ import annotations

LOWEST, HIGHEST = 1, 10
WIDEST = HIGHEST - LOWEST

#: Fewer listeners than this give no interval: a t interval of two ratings spans the scale several times.
LEAST_FOR_INTERVAL = 5


def on_scale(value: float | None) -> float | None:
    """A mean, or a bound of its interval, brought to the nearest end of the scale; None stays None."""
    return None if value is None else min(max(value, LOWEST), HIGHEST)


def difference_on_scale(value: float | None) -> float | None:
    """A difference of means, or a bound of its interval, brought to what the scale allows."""
    return None if value is None else min(max(value, -WIDEST), WIDEST)
