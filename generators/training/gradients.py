"""Gradients and values of randomly chosen entries of every parameter, over the last updates.

The idea is Smith's viewer of MELODL4J (deeplearning4j examples, 2017), which shows 80 entries of each array
of parameters as spheres. The record stays on the device, in a ring, until a checkpoint is written.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from generators.seeds import derive_seed

FILE = "gradients.npz"
ENTRIES = 80  # of each tensor, as in the original
RECORDS = 100  # the ring forgets older ones
#: Updates between two records. One costs two small gathers per tensor: below 0.1 % of training on a CPU, and
#: below 2 % even of a GPU that is kept busy by starting kernels alone.
GRADIENTS_EVERY = 25


class GradientRecord:
    """A ring of records: one has the gradients and values of the chosen entries at one update.

    Entries of a part that did not learn at that update are not a number.
    """

    def __init__(self, model: nn.Module, seed: int, *, n_entries: int = ENTRIES, n_records: int = RECORDS):
        learned = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        device = learned[0][1].device if learned else torch.device("cpu")
        self.names = [name for name, _ in learned]
        self.shapes = [tuple(each.shape) for _, each in learned]
        self.entries: list[Tensor] = []  # of each tensor, flattened, in ascending order
        self.places: dict[int, tuple[Tensor, Tensor]] = {}  # of a tensor by id: its entries, their columns
        n_columns = 0
        for name, parameter in learned:
            rng = torch.Generator().manual_seed(derive_seed(seed, "gradients", name))
            chosen = _choose(parameter.numel(), n_entries, rng)
            columns = torch.arange(n_columns, n_columns + len(chosen))
            self.entries.append(chosen)
            self.places[id(parameter)] = chosen.to(device), columns.to(device)
            n_columns += len(chosen)
        self.updates: list[int] = []  # of the records in the ring, oldest first
        self.n_made = 0
        self.gradients = torch.full((n_records, n_columns), torch.nan, device=device)
        self.values = torch.full((n_records, n_columns), torch.nan, device=device)

    def begin(self, update: int) -> None:
        """Start a record; the oldest goes if the ring is full."""
        n_records = len(self.gradients)
        self.row = self.n_made % n_records
        self.n_made += 1
        self.updates = [*self.updates, update][-n_records:]
        self.gradients[self.row] = torch.nan
        self.values[self.row] = torch.nan

    @torch.no_grad()
    def note(self, parameters: Iterable[nn.Parameter]) -> None:
        """Take down the entries of those that have a gradient."""
        learned = [each for each in parameters if each.grad is not None and id(each) in self.places]
        if not learned:
            return
        places = [self.places[id(each)] for each in learned]
        columns = torch.cat([columns for _, columns in places])
        gradients = [
            each.grad.reshape(-1)[entries].float() for each, (entries, _) in zip(learned, places, strict=True)
        ]
        values = [
            each.reshape(-1)[entries].float() for each, (entries, _) in zip(learned, places, strict=True)
        ]
        self.gradients[self.row, columns] = torch.cat(gradients)
        self.values[self.row, columns] = torch.cat(values)

    def to_bytes(self) -> bytes:
        """The record as an npz file.

        ``names`` and ``shapes`` (n_tensors,), as text; ``tensor`` and ``entry`` (n_columns,): which tensor,
        and which entry of it when flattened; ``updates`` (n_records,), oldest first; ``gradients`` and
        ``values`` (n_records, n_columns), float32.
        """
        order = self._order()
        file = io.BytesIO()
        np.savez(
            file,
            names=np.array(self.names, dtype=str),
            shapes=np.array(["x".join(map(str, shape)) for shape in self.shapes], dtype=str),
            tensor=np.repeat(np.arange(len(self.names)), [len(each) for each in self.entries]),
            entry=np.concatenate([each.numpy() for each in self.entries] or [np.zeros(0, dtype=np.int64)]),
            updates=np.array(self.updates, dtype=np.int64),
            gradients=self.gradients[order].cpu().numpy(),
            values=self.values[order].cpu().numpy(),
        )
        return file.getvalue()

    def restore(self, data: bytes | None) -> None:
        """Go on from the record of a checkpoint; one of other entries is left behind."""
        if data is None:
            return
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                arrays = dict(stored)
        except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile):
            return
        mine = np.concatenate([each.numpy() for each in self.entries] or [np.zeros(0, dtype=np.int64)])
        if list(arrays["names"]) != self.names or not np.array_equal(arrays["entry"], mine):
            return
        self.updates = [int(update) for update in arrays["updates"]][-len(self.gradients) :]
        self.n_made = len(self.updates)
        for ring, rows in ((self.gradients, arrays["gradients"]), (self.values, arrays["values"])):
            ring[: self.n_made] = torch.from_numpy(rows[len(rows) - self.n_made :])

    def _order(self) -> list[int]:
        n_records = len(self.gradients)
        return [index % n_records for index in range(self.n_made - len(self.updates), self.n_made)]


def _choose(n: int, count: int, rng: torch.Generator) -> Tensor:
    """At most `count` of the numbers 0..n - 1, in ascending order; n may be too many to shuffle them all."""
    if n > 100 * count:
        drawn = torch.randint(n, (2 * count,), generator=rng).unique()
        return drawn[torch.randperm(len(drawn), generator=rng)[:count]].sort().values
    return torch.randperm(n, generator=rng)[:count].sort().values
