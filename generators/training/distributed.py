"""Several processes that train one model, each on its share of every batch; one alone is the same code.

Every process has the whole model and the whole corpus, and makes the same updates: gradients are averaged
before each. The first process decides whatever depends on time, measures, writes and reports.

What is random in training (dropout, noise) each process draws for its own windows: the first from the state
that a checkpoint keeps, the others anew for each batch, from the seed, their number and the update. Buffers
that move as a model learns, such as running statistics of batch normalisation, move by the mean over all
processes, each weighted by its windows. So all processes have the same model after each batch, and a run that
goes on from a checkpoint with as many processes is the run that was left alone. A batch is normalised by the
windows of each process alone, and running variances are means of theirs: those of smaller batches.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
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

    def share_of(self, windows: Tensor) -> tuple[Tensor, float]:
        """This process's windows of a batch, and which share of the batch they are.

        A process that is left without any takes the first, as a share of 0: all make the same updates.
        """
        if self.size == 1:
            return windows, 1.0
        own = windows.tensor_split(self.size)[self.rank]
        return (own, len(own) / len(windows)) if len(own) else (windows[:1], 0.0)

    def next_part(self, part: str | None, parts: Sequence[str]) -> tuple[str | None, bool]:
        """The part to update next, and whether all processes have a loss of it.

        How many losses a batch has may depend on its windows. One process that has another (`part`, of all
        `parts`) is enough for an update; None where none has.
        """
        if self.size == 1:
            return part, True
        number = 0 if part is None else parts.index(part) + 1
        ends = torch.tensor([number, -number])
        dist.all_reduce(ends, op=dist.ReduceOp.MAX)
        most, least = ends[0].item(), -ends[1].item()
        if 0 < least < most:
            raise RuntimeError(f"one process is to update {parts[least - 1]}, another {parts[most - 1]}")
        return parts[most - 1] if most else None, most == least

    def complete(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give parameters a gradient of zeros where another process has one for them and this has none."""
        learned = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        dist.all_reduce(learned, op=dist.ReduceOp.MAX)
        for parameter, is_learned in zip(parameters, learned.tolist(), strict=True):
            if is_learned and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def combine(self, parameters: Sequence[nn.Parameter], loss: Tensor, weight: float) -> Tensor:
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

    @contextlib.contextmanager
    def moving_together(self, model: nn.Module, share: float) -> Iterator[None]:
        """Let buffers of the model that move within move by the mean over processes, weighted by `share`."""
        if self.size > 1:
            saved = model.state_dict().keys()
            buffers = [
                each for name, each in model.named_buffers() if name in saved and each.is_floating_point()
            ]
        if self.size == 1 or not buffers:
            yield
            return
        before = torch.cat([each.flatten() for each in buffers])
        yield
        after = torch.cat([each.flatten() for each in buffers])
        change = torch.where(after == before, 0.0, after - before) * share  # what is infinite stays so
        dist.all_reduce(change)
        sizes = [each.numel() for each in buffers]
        for each, moved in zip(buffers, (before + change).split(sizes), strict=True):
            each.copy_(moved.view_as(each))

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
    # Its functions take the group at hand as a default when it is first read, which would keep the group, and
    # threads that abort an interpreter as it ends: it must be read before there is one.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(process_rank(), n_processes())
    finally:
        dist.destroy_process_group()
