"""An LSTM layer with one bias per gate, whose candidate may be linear, unrolled over time by hand.

The gates are those of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000): sigmoid
input, forget and output gates, and no peepholes. torch.nn.LSTM keeps two biases per gate and knows only the
candidate that goes through tanh.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Candidate = Literal["tanh", "linear"]

STRETCH = 1024  # rows, of all steps of a stretch together

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class LSTM(nn.Module):
    """One layer over sequences, which all start from the same stored state; that state is not trained.

    Parameters
    ----------
    n_inputs, n_hidden : int
        Widths. The rows of the weights are those of the input, forget and output gate and the candidate.
    candidate : {"tanh", "linear"}
        What the candidate for the cell goes through.
    """

    def __init__(self, n_inputs: int, n_hidden: int, candidate: Candidate = "tanh"):
        super().__init__()
        self.n_inputs, self.n_hidden, self.candidate = n_inputs, n_hidden, candidate
        self.weight_input = nn.Parameter(torch.empty(4 * n_hidden, n_inputs))
        self.weight_hidden = nn.Parameter(torch.empty(4 * n_hidden, n_hidden))
        self.bias = nn.Parameter(torch.empty(4 * n_hidden))
        self.register_buffer("initial_hidden", torch.zeros(n_hidden))
        self.register_buffer("initial_cell", torch.zeros(n_hidden))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(n_hidden**-0.5), n_hidden**-0.5)

    def initial_state(self, n_rows: int) -> tuple[Tensor, Tensor]:
        """The stored state for so many sequences: hidden and cell, both (rows, hidden)."""
        return self.initial_hidden.expand(n_rows, -1), self.initial_cell.expand(n_rows, -1)

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Inputs (time, rows, inputs) to hidden states (time, rows, hidden), and the last hidden and cell.

        Matrix products follow autocast. Where torch's own kernel is the faster way (on a GPU, and as
        `_is_fused` says on a CPU), it does the layer, and what comes out is of its type; else cells and gates
        stay in float32, and what comes out is of the type of the inputs.
        """
        kind = inputs.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
        hidden, cell = self.initial_state(inputs.shape[1]) if state is None else state
        with torch.autocast(kind, enabled=False):
            if self.candidate == "tanh" and (kind == "cuda" or (kind == "cpu" and _is_fused(precision))):
                return self._fused(inputs.to(precision), hidden.to(precision), cell.to(precision))
            weights = self.weight_input, self.weight_hidden, self.bias
            outputs, last = _Unrolled.apply(
                inputs, *weights, hidden, cell, self.candidate == "tanh", precision
            )
        return outputs, (outputs[-1], last)

    def _fused(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The same by torch's own kernel, which wants its gates in another order and a second bias."""
        order = (0, 1, 3, 2)  # its candidate stands before its output gate

        def arranged(weight: Tensor) -> Tensor:
            gates = weight.to(inputs.dtype).chunk(4)
            return torch.cat([gates[index] for index in order])

        weights = [arranged(each) for each in (self.weight_input, self.weight_hidden, self.bias)]
        weights.append(torch.zeros_like(weights[-1]))
        outputs, last_hidden, last_cell = torch.lstm(
            inputs,
            (hidden[None].contiguous(), cell[None].contiguous()),
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),
            bidirectional=False,
            batch_first=False,
        )
        return outputs, (last_hidden[0], last_cell[0])


def _is_fused(precision: torch.dtype) -> bool:
    """Whether the CPU has a kernel for whole layers that is faster than steps of them.

    In float32 it is on processors that are not Intel's: there MKL, with which steps multiply, leaves AVX-512
    unused, and oneDNN, with which the kernel does, does not.
    """
    if precision == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    is_of_intel = "Intel" in torch.cpu.get_capabilities().get("cpu_name", "")
    return precision == torch.float32 and torch.backends.mkldnn.is_available() and not is_of_intel


class _Unrolled(torch.autograd.Function):
    """The layer over all steps as one operation, with its backward pass written out.

    Steps go in stretches of some `STRETCH` rows: what does not depend on the step before is one matrix
    product for all of a stretch, whose gates stay in the cache meanwhile. In the backward pass the gradients
    of the gates take the places of the gates; those of the weights are summed transposed, which is the faster
    product.
    """

    @staticmethod
    def forward(ctx, inputs, weight_input, weight_hidden, bias, hidden, cell, squash, precision):
        n_steps, n_rows, _ = inputs.shape
        width, exact = hidden.shape[-1], precision == bias.dtype
        low, w_input, w_hidden = (each.to(precision) for each in (inputs, weight_input, weight_hidden))
        hiddens = low.new_empty(n_steps + 1, n_rows, width)
        cells = cell.new_empty(n_steps + 1, n_rows, width)
        hiddens[0], cells[0] = hidden, cell
        squashed = torch.empty_like(cells[0])
        turned, stretch = w_hidden.t().contiguous(), max(1, STRETCH // n_rows)
        all_gates, step = [], 0
        for part in low.split(stretch):
            gates = torch.addmm(bias.to(precision), part.flatten(0, 1), w_input.t()).to(bias.dtype)
            gates = gates.view(len(part), n_rows, 4 * width)
            all_gates.append(gates)
            for now in gates:
                if exact:
                    now.addmm_(hiddens[step], turned)
                else:
                    now.add_(hiddens[step] @ turned)
                now[:, : 3 * width].sigmoid_()
                gate_in, forget, gate_out, candidate = now.split(width, dim=1)
                if squash:
                    candidate.tanh_()
                torch.mul(forget, cells[step], out=cells[step + 1]).addcmul_(gate_in, candidate)
                torch.tanh(cells[step + 1], out=squashed)
                torch.mul(gate_out, squashed, out=hiddens[step + 1])
                step += 1
        ctx.save_for_backward(low, w_input, w_hidden, hiddens, cells, *all_gates)
        ctx.squash, ctx.is_spent = squash, False
        return hiddens[1:].to(inputs.dtype), cells[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_outputs, d_last):
        if ctx.is_spent:
            raise RuntimeError("the gates were overwritten by their gradients: run the layer again")
        ctx.is_spent = True
        low, w_input, w_hidden, hiddens, cells, *all_gates = ctx.saved_tensors
        n_rows, width = cells.shape[1:]
        exact = low.dtype == cells.dtype
        three = slice(3 * width)  # the gates that went through a sigmoid
        d_now = cells.new_empty(n_rows, 4 * width)
        d_in, d_forget, d_out, d_candidate = d_now.split(width, dim=1)
        d_outputs = d_outputs.to(cells.dtype)
        d_hidden, d_cell = d_outputs[-1].clone(), d_last.to(cells.dtype, copy=True)
        d_inputs = torch.empty_like(low) if ctx.needs_input_grad[0] else None
        d_w_input, d_w_hidden = (cells.new_zeros(each.t().shape) for each in (w_input, w_hidden))
        d_bias = cells.new_zeros(4 * width)
        squashed, through = cells.new_empty(2, n_rows, width)
        step = len(low)
        for gates in reversed(all_gates):
            d_gates = gates if exact else torch.empty_like(gates, dtype=low.dtype)
            for now, d_low in zip(reversed(gates.unbind()), reversed(d_gates.unbind()), strict=True):
                step -= 1
                gate_in, forget, gate_out, candidate = now.split(width, dim=1)
                torch.tanh(cells[step + 1], out=squashed)
                torch.mul(d_hidden, squashed, out=d_out)
                torch.mul(d_hidden, gate_out, out=through)
                d_cell.add_(tanh_backward(through, squashed, grad_input=through))
                torch.mul(d_cell, candidate, out=d_in)
                torch.mul(d_cell, cells[step], out=d_forget)
                torch.mul(d_cell, gate_in, out=d_candidate)
                d_cell.mul_(forget)
                sigmoid_backward(d_now[:, three], now[:, three], grad_input=now[:, three])
                if ctx.squash:
                    tanh_backward(d_candidate, candidate, grad_input=candidate)
                else:
                    candidate.copy_(d_candidate)
                if not exact:
                    d_low.copy_(now)
                if step and exact:
                    torch.addmm(d_outputs[step - 1], now, w_hidden, out=d_hidden)
                elif step:
                    torch.add(d_outputs[step - 1], d_low @ w_hidden, out=d_hidden)
            part, flat = slice(step, step + len(gates)), d_gates.flatten(0, 1)
            if d_inputs is not None:
                torch.mm(flat, w_input, out=d_inputs[part].flatten(0, 1))
            for total, read in ((d_w_input, low), (d_w_hidden, hiddens)):
                if exact:
                    total.addmm_(read[part].flatten(0, 1).t(), flat)
                else:
                    total += read[part].flatten(0, 1).t() @ flat
            d_bias += gates.flatten(0, 1).sum(0)
        return d_inputs, d_w_input.t(), d_w_hidden.t(), d_bias, None, None, None, None
