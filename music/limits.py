"""How large a file from a stranger may be before it is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadLimits:
    """Bounds on one file and on the piece inside it; a reader refuses what exceeds them.

    The defaults hold an opera act and refuse what would fill a memory or render for hours.
    """

    max_bytes: int = 16 * 2**20  # of the file, and of each document packed inside it
    max_notes: int = 200_000
    max_tracks: int = 512
    max_beats: int = 50_000  # quarter notes; two hours at 416 beats per minute
    max_seconds: float = 7200.0
    max_changes: int = 50_000  # of tempo, meter and key together
    max_controls: int = 500_000  # of pedal, volume and program in one track


READ_LIMITS = ReadLimits()
