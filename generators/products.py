"""Products of few rows, whose price is that of reading the other factor.

A net that writes token by token multiplies one row per piece by the same matrices for every token, and each
query by the keys of its own piece alone. On a CPU torch's plain products do that at a fraction of what memory
or arithmetic allow; these do it in ways that torch has for other purposes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def weighted_sums(weights: Tensor, tables: Tensor) -> Tensor:
    """The rows of each table, times a weight each, added up: (n, k) and (n, k, width) to (n, width).

    That is a product of one row by a matrix, n times. The embedding bag of a CPU fetches what it will need
    and so reads at the speed of the memory, nearly twice that of the product. Nothing learns through it.
    """
    if not _is_float_on_cpu(tables):
        return torch.bmm(weights[:, None], tables)[:, 0]
    n_tables, n_rows, width = tables.shape
    rows, starts = _numbered(n_tables, n_rows)
    sums, *_ = torch.embedding_bag(
        tables.view(-1, width), rows, starts, mode=0, per_sample_weights=weights.reshape(-1)
    )
    return sums


class Product:
    """The product of rows with a matrix of weights, which is laid out once for a number of rows.

    On a CPU a single row adds up weighted rows of the matrix. More of them go to oneDNN, which has AVX-512 on
    every processor, where MKL, torch's usual choice, leaves it unused on those that are not Intel's.

    Parameters
    ----------
    weight : Tensor [shape=(outputs, inputs)]
        As in `torch.nn.Linear`; it is copied.
    n_rows : int
        How many rows there will be.
    """

    def __init__(self, weight: Tensor, n_rows: int):
        self.is_single = n_rows == 1 and _is_float_on_cpu(weight)
        self.is_packed = n_rows > 1 and _is_float_on_cpu(weight) and torch.backends.mkldnn.is_available()
        if self.is_packed:
            self.matrix = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), n_rows)
        else:
            self.matrix = large_copy(weight.detach().t())  # (inputs, outputs)

    def __call__(self, rows: Tensor, bias: Tensor | None = None) -> Tensor:
        """Rows (n_rows, inputs) to (n_rows, outputs), with a bias (outputs,) added where there is one."""
        if self.is_packed:
            return torch.ops.mkldnn._linear_pointwise(rows, self.matrix, bias, "none", [], "")
        if self.is_single:
            sums = weighted_sums(rows, self.matrix[None])
            return sums if bias is None else sums.add_(bias)
        return torch.mm(rows, self.matrix) if bias is None else torch.addmm(bias, rows, self.matrix)


def large_zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros of the type and on the device of another tensor.

    On a CPU in memory of numpy, which asks the system for large pages: they are read a fifth faster.
    """
    if _is_float_on_cpu(like):
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


def large_copy(tensor: Tensor) -> Tensor:
    """A contiguous copy in such memory."""
    return large_zeros(tuple(tensor.shape), tensor).copy_(tensor)


def _is_float_on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


@lru_cache(maxsize=8)
def _numbered(n_tables: int, n_rows: int) -> tuple[Tensor, Tensor]:
    """The numbers of all rows of some tables, one after the other, and those of their first rows."""
    rows = torch.arange(n_tables * n_rows, dtype=torch.int32)
    return rows, rows[::n_rows].contiguous()
