"""How much of a piece was heard: unique seconds, from what a page reports and what the server knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Playback and posting are not exact: a page may report this much more than the server's clock allows.
SLACK_SECONDS = 2.0

#: Some browsers stop a few samples short of the end; rating must not hang on them.
TOLERANCE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Claim:
    """A stretch that a page says was heard, and the seconds that the listener could have listened by then."""

    from_seconds: float
    to_seconds: float
    seconds_available: float


def union_seconds(intervals: Iterable[tuple[float, float]], *, length: float) -> float:
    """Length of the union of intervals, each clipped to 0-`length`; empty and reversed ones count nothing."""
    clipped = sorted((max(0.0, start), min(length, end)) for start, end in intervals)
    total, covered_to = 0.0, 0.0
    for start, end in clipped:
        if end > max(start, covered_to):
            total += end - max(start, covered_to)
            covered_to = end
    return total


def heard_seconds(claims: Iterable[Claim], *, length: float) -> float:
    """Unique seconds heard of a piece of `length` seconds, by claims in the order in which they arrived.

    A claim that would need more listening than the server's clock allows (plus `SLACK_SECONDS`) counts
    nothing: nobody hears 20 seconds in one.
    """
    believed: list[tuple[float, float]] = []
    seconds = 0.0
    for claim in claims:
        stretch = (claim.from_seconds, claim.to_seconds)
        with_it = union_seconds([*believed, stretch], length=length)
        if with_it > seconds and with_it <= claim.seconds_available + SLACK_SECONDS:
            believed.append(stretch)
            seconds = with_it
    return seconds
