"""Where models live and compute, and leaving the state of torch as the caller had it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from generators.errors import GeneratorError
from generators.ranks import local_rank, n_processes

PRECISIONS = ("fp32", "bf16")
#: On a large machine 8 for each core, which is past any use, but no more than the system can surely start.
MOST_THREADS = min(1024, max(64, 8 * (os.cpu_count() or 1)))


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is the first GPU, or the CPU where there is none.

    Of several processes that `torchrun` started, each has a GPU of its own.

    Raises
    ------
    GeneratorError
        If the name is none of auto, cpu, cuda or cuda:N, or there is no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise GeneratorError(f"device must be auto, cpu or cuda, got {name!r}")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise GeneratorError("device cuda was asked for, but torch sees no GPU here; use cpu")
    if n_processes() > 1 and not index:
        index = str(local_rank())
    if int(index or 0) >= torch.cuda.device_count():
        raise GeneratorError(f"device {name} was asked for, but there are {torch.cuda.device_count()} GPUs")
    return torch.device("cuda", int(index or 0))


def resolve_precision(name: str, device: torch.device) -> str:
    """ "fp32", or "bf16" for matrix products in bfloat16; "auto" is bf16 on a GPU and fp32 on a CPU.

    Raises
    ------
    GeneratorError
        If the name is none of these.
    """
    if name == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    if name not in PRECISIONS:
        raise GeneratorError(f"precision must be auto, {' or '.join(PRECISIONS)}, got {name!r}")
    return name


@contextlib.contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Put torch's random states back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def checked_threads(count: int) -> int:
    """The count itself, if a process can have so many threads.

    Raises
    ------
    GeneratorError
        If it is not 1 to `MOST_THREADS`: torch ends the whole process where it cannot start them.
    """
    if not 1 <= count <= MOST_THREADS:
        raise GeneratorError(f"threads must be 1 to {MOST_THREADS} on this machine, got {count}")
    return count


@contextlib.contextmanager
def threads_of(device: torch.device, count: int) -> Iterator[None]:
    """Compute with so many threads on a CPU, and with as many as before afterwards.

    One is the default everywhere: sums are rounded by how they are split, so a model would depend on the
    number of cores; and on a busy machine threads that wait for each other are many times slower than one.

    Raises
    ------
    GeneratorError
        If the count is not 1 to `MOST_THREADS`.
    """
    checked_threads(count)
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
