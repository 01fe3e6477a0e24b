"""Which of several training processes this is, as `torchrun` says it in the environment; needs no torch."""

from __future__ import annotations

import os

_WANTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def n_processes() -> int:
    """How many processes train together; 1 without `torchrun`."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _WANTED) else 1


def process_rank() -> int:
    """The number of this process among them, from 0; the first alone writes and reports."""
    return int(os.environ["RANK"]) if n_processes() > 1 else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0: that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", process_rank())) if n_processes() > 1 else 0
