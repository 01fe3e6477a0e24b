"""Several processes that train one model, each on its share of every batch; one alone is the same code.

Every process has the whole model and the whole corpus, and makes the same updates: gradients are averaged
before each. The first process decides whatever depends on time, measures, writes and reports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from generators.ranks import n_processes, process_rank

Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process decides, writes and reports."""
        return self.rank == 0

    def agree(self, value: Value) -> Value:
        """What the first process says, whatever the others think."""
        if self.size == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What the first process makes, for all."""
        return self.agree(make() if self.is_first else None)

    def share_of(self, windows: Tensor, *, summed: bool) -> tuple[Tensor, float]:
        """This process's windows of a batch, and what their loss weighs in that of the batch.

        A process that is left without any takes the first with no weight, so that all make the same updates.
        """
        if self.size == 1:
            return windows, 1.0
        own = windows.tensor_split(self.size)[self.rank]
        if not len(own):
            return windows[:1], 0.0
        return own, 1.0 if summed else len(own) / len(windows)

    def combine(self, parameters: Iterable[nn.Parameter], loss: Tensor, weight: float) -> Tensor:
        """Add up the weighted gradients of all processes in place; returns the loss of the whole batch."""
        if self.size == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten().float() for gradient in gradients] + [loss.float().reshape(1)])
        flat *= weight
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients] + [1]
        *summed, loss = flat.split(sizes)
        for gradient, total in zip(gradients, summed, strict=True):
            gradient.copy_(total.view_as(gradient))
        return loss[0]

    def copy_from_first(self, model: nn.Module) -> None:
        """Start all processes with the weights of the first."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            self.agree(None)
            dist.barrier()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Meet the other processes that `torchrun` started, if any."""
    if n_processes() == 1:
        yield Group()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(process_rank(), n_processes())
    finally:
        dist.destroy_process_group()
