"""Stacked LSTM layers with peepholes over characters, as deeplearning4j has them.

Graves (2013), "Generating sequences with recurrent neural networks": input and forget gate also see the cell
before the step, the output gate sees the cell after it, each through one weight per unit. Without the
peepholes it is the LSTM of Gers et al. (2000). Characters are one-hot, so the first product is a look-up of
rows.

Weights start from a normal distribution of variance 2 / (fan-in + fan-out), where the fan-out is that of the
four gates' inputs taken once (inferred), biases from 0 and that of the forget gate from 1, the library's
default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.decoding import check_logits, choose, draw_uniforms, report_each
from generators.family import report_nothing
from generators.settings import check_temperature

PADDING = 255  # after the end of a piece, in windows of uint8

State = tuple[Tensor, Tensor]  # hidden and cell, each (rows, hidden)


class GravesLSTM(nn.Module):
    """One layer. Columns of the weights: the input, forget and output gate, then the candidate."""

    def __init__(self, n_inputs: int, n_hidden: int, peepholes: bool = True):
        super().__init__()
        self.n_hidden = n_hidden
        self.weight_input = nn.Parameter(torch.empty(n_inputs, 4 * n_hidden))
        self.weight_hidden = nn.Parameter(torch.empty(n_hidden, 4 * n_hidden))
        self.bias = nn.Parameter(torch.zeros(4 * n_hidden))
        self.peepholes = nn.Parameter(torch.empty(3, n_hidden)) if peepholes else None
        deviation = (2 / (n_hidden + n_inputs + n_hidden)) ** 0.5
        for weight in (self.weight_input, self.weight_hidden, self.peepholes):
            if weight is not None:
                nn.init.normal_(weight, std=deviation)
        nn.init.ones_(self.bias[n_hidden : 2 * n_hidden])

    def look_up(self, symbols: Tensor) -> Tensor:
        """What symbols add to the gates: (...) to (..., 4 hidden)."""
        return F.embedding(symbols, self.weight_input) + self.bias

    def project(self, inputs: Tensor) -> Tensor:
        """What inputs add to the gates: (..., inputs) to (..., 4 hidden)."""
        return F.linear(inputs, self.weight_input.t(), self.bias)

    def forward(self, projected: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Unroll over (time, rows, 4 hidden): hidden states (time, rows, hidden), and the last state."""
        if state is None:
            zeros = projected.new_zeros(projected.shape[1], self.n_hidden, dtype=self.bias.dtype)
            state = zeros, zeros
        peepholes = self.bias.new_zeros(3, self.n_hidden) if self.peepholes is None else self.peepholes
        with torch.autocast(projected.device.type, enabled=False):  # cells need all their digits
            outputs, cell = _Unrolled.apply(
                projected.to(self.bias.dtype), self.weight_hidden, peepholes, *state
            )
        return outputs, (outputs[-1], cell)


class _Unrolled(torch.autograd.Function):
    """All steps as one operation: one product per step each way, and one for the gradient of the weights."""

    @staticmethod
    def forward(ctx, projected, weight, peepholes, hidden, cell):
        n_steps, n_rows, _ = projected.shape
        width = hidden.shape[-1]
        gates = torch.empty_like(projected)
        hiddens = projected.new_empty(n_steps + 1, n_rows, width)
        cells = projected.new_empty(n_steps + 1, n_rows, width)
        squashed = projected.new_empty(n_steps, n_rows, width)  # tanh of the cells
        hiddens[0], cells[0] = hidden, cell
        for step in range(n_steps):
            now = torch.addmm(projected[step], hiddens[step], weight, out=gates[step])
            _Cell(now, cells[step], cells[step + 1], squashed[step], hiddens[step + 1], peepholes).step()
        ctx.save_for_backward(weight, peepholes, hiddens, cells, gates, squashed)
        return hiddens[1:], cells[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_outputs, d_last):
        weight, peepholes, hiddens, cells, gates, squashed = ctx.saved_tensors
        n_steps, _, width = squashed.shape
        d_gates = torch.empty_like(gates)
        d_hidden, d_cell = torch.zeros_like(squashed[0]), d_last.clone()
        turned = weight.t().contiguous()
        slopes = gates[..., : 3 * width] * (1 - gates[..., : 3 * width])  # of the sigmoids
        d_squashed = 1 - squashed.square()
        for step in reversed(range(n_steps)):
            gate_in, forget, gate_out, candidate = gates[step].chunk(4, dim=1)
            d_in, d_forget, d_out, d_candidate = d_gates[step].chunk(4, dim=1)
            slope_in, slope_forget, slope_out = slopes[step].chunk(3, dim=1)
            d_hidden = d_hidden + d_outputs[step]
            torch.mul(d_hidden, squashed[step], out=d_out).mul_(slope_out)
            d_cell.addcmul_(d_hidden * gate_out, d_squashed[step]).addcmul_(d_out, peepholes[2])
            torch.mul(d_cell, candidate, out=d_in).mul_(slope_in)
            torch.mul(d_cell, cells[step], out=d_forget).mul_(slope_forget)
            torch.mul(d_cell, gate_in, out=d_candidate).mul_(1 - candidate.square())
            d_cell.mul_(forget).addcmul_(d_in, peepholes[0]).addcmul_(d_forget, peepholes[1])
            d_hidden = d_gates[step] @ turned
        d_weight = hiddens[:-1].flatten(0, 1).t() @ d_gates.flatten(0, 1)
        d_peepholes = None
        if ctx.needs_input_grad[2]:
            seen = (cells[:-1], cells[:-1], cells[1:])
            parts = zip(d_gates[..., : 3 * width].chunk(3, dim=-1), seen, strict=True)
            d_peepholes = torch.stack([(part * each).sum((0, 1)) for part, each in parts])
        return d_gates, d_weight, d_peepholes, d_hidden, d_cell


class _Cell:
    """One step in place: gates before their sigmoids and a cell to the new cell and hidden state.

    All memory is given: gates (rows, 4 hidden), `cell`, `new_cell`, `squashed` (its tanh) and `hidden`, each
    (rows, hidden), and peepholes (3, hidden). `new_cell` may be `cell` itself. The same memory can be stepped
    in again and again, without another look for the places of the gates.
    """

    def __init__(
        self,
        gates: Tensor,
        cell: Tensor,
        new_cell: Tensor,
        squashed: Tensor,
        hidden: Tensor,
        peepholes: Tensor,
    ):
        width = cell.shape[-1]
        self.early = gates[:, : 2 * width]
        self.early_by_gate = self.early.unflatten(1, (2, width))
        self.gate_in, self.forget = self.early[:, :width], self.early[:, width:]
        self.gate_out, self.candidate = gates[:, 2 * width : 3 * width], gates[:, 3 * width :]
        self.cell, self.seen = cell, cell[:, None]
        self.new_cell, self.squashed, self.hidden = new_cell, squashed, hidden
        self.early_peepholes, self.late_peepholes = peepholes[:2], peepholes[2]

    def step(self) -> None:
        """Compute the new cell and hidden state."""
        self.early_by_gate.addcmul_(self.seen, self.early_peepholes)
        self.early.sigmoid_()
        self.candidate.tanh_()
        torch.mul(self.cell, self.forget, out=self.new_cell).addcmul_(self.gate_in, self.candidate)
        self.gate_out.addcmul_(self.new_cell, self.late_peepholes).sigmoid_()
        torch.tanh(self.new_cell, out=self.squashed)
        torch.mul(self.gate_out, self.squashed, out=self.hidden)


class CharacterLSTM(nn.Module):
    """Characters in, scores of the next character out."""

    def __init__(self, n_symbols: int, d_hidden: int, n_layers: int, peepholes: bool = True):
        super().__init__()
        self.layers = nn.ModuleList(
            GravesLSTM(d_hidden if index else n_symbols, d_hidden, peepholes) for index in range(n_layers)
        )
        self.readout = nn.Linear(d_hidden, n_symbols)
        nn.init.xavier_normal_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def forward(self, symbols: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Symbols (rows, time) to logits of the next (rows, time, symbols), and the states of the layers."""
        outputs, new = symbols.t(), []  # (time, rows)
        for index, layer in enumerate(self.layers):
            projected = layer.project(outputs) if index else layer.look_up(outputs)  # (time, rows, 4 hidden)
            outputs, state = layer(projected, states[index] if states else None)
            new.append(state)
        return self.readout(outputs.transpose(0, 1)), new

    def penalty(self) -> Tensor:
        """Half the sum of squares of all weights, biases not counted."""
        weights = [each for name, each in self.named_parameters() if "bias" not in name]
        return 0.5 * sum(weight.square().sum() for weight in weights)

    def truncated_losses(self, windows: Tensor, n_steps: int | None, l2: float) -> Iterator[Tensor]:
        """Losses of windows (rows, characters), one for every `n_steps` characters (None: one for all).

        Each is in nats, summed over characters and averaged over windows, with the penalty `l2` on weights.
        The state goes on from one to the next, gradients do not.
        """
        windows = windows.long()
        longest = int((windows != PADDING).sum(1).max())
        states = None
        for start in range(0, longest - 1, n_steps or longest):
            piece = windows[:, start : min(start + (n_steps or longest), longest - 1) + 1]
            total, _, _, states = self.score(piece, states)
            yield total / len(windows) + l2 * self.penalty()
            states = [(hidden.detach(), cell.detach()) for hidden, cell in states]

    def score(
        self, windows: Tensor, states: list[State] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, list[State]]:
        """Of windows: summed cross-entropy in nats, right guesses, characters to guess, the last states."""
        windows = windows.long()
        targets = windows[:, 1:]
        logits, states = self(windows[:, :-1].masked_fill(windows[:, :-1] == PADDING, 0), states)
        total = F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=PADDING, reduction="sum"
        )
        return total, (logits.argmax(-1) == targets).sum(), (targets != PADDING).sum(), states


def check_settings(config: Any) -> None:
    """Refuse nonsense among the settings that all families of these nets have: ValueError names it."""
    for name in ("d_hidden", "batch_size", "truncation", "max_updates"):
        if getattr(config, name) is not None and getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if not 1 <= config.n_layers <= 4:
        raise ValueError(f"n_layers must be 1 to 4, got {config.n_layers}")
    if not 2 <= config.n_characters <= 1_000_000:
        raise ValueError(f"n_characters must be 2 to 1,000,000, got {config.n_characters}")
    check_temperature(config.temperature)
    for name in ("learning_rate", "max_grad_norm"):
        if getattr(config, name) is not None and not 0 < getattr(config, name) <= 1000:
            raise ValueError(f"{name} must be above 0 and at most 1000, got {getattr(config, name)}")
    if not 0 <= config.l2 < 1:
        raise ValueError(f"l2 must be at least 0 and below 1, got {config.l2}")
    if config.epochs < 0:
        raise ValueError(f"epochs must be at least 0, got {config.epochs}")


class CharacterWriter:
    """The net one character at a time for a fixed number of rows; it keeps the states.

    The gates of a layer are one product: the first looks its characters up, the others have the weights of
    input and state one above the other. Use it without gradients, and not after the weights have changed.
    """

    def __init__(self, net: CharacterLSTM, n_rows: int, states: list[State] | None = None):
        first, bias = net.layers[0], net.readout.bias
        width = first.n_hidden
        n_layers = len(net.layers)
        self.table = (first.weight_input + first.bias).contiguous()  # (symbols, 4 hidden)
        self.weights = [
            torch.cat([layer.weight_input, layer.weight_hidden]) if index else layer.weight_hidden
            for index, layer in enumerate(net.layers)
        ]
        self.biases = [layer.bias if index else None for index, layer in enumerate(net.layers)]
        self.readout_weight, self.readout_bias = net.readout.weight.t().contiguous(), bias
        self.gates = bias.new_empty(n_rows, 4 * width)
        squashed = bias.new_empty(n_rows, width)
        hidden = bias.new_zeros(n_rows, n_layers * width)  # of all layers side by side
        self.inputs = [
            hidden[:, max(0, index - 1) * width : (index + 1) * width] for index in range(n_layers)
        ]
        self.cells = []
        for index, layer in enumerate(net.layers):
            own, cell = hidden[:, index * width : (index + 1) * width], bias.new_zeros(n_rows, width)
            if states is not None:
                own.copy_(states[index][0].expand(n_rows, -1))
                cell.copy_(states[index][1].expand(n_rows, -1))
            peepholes = bias.new_zeros(3, width) if layer.peepholes is None else layer.peepholes
            self.cells.append(_Cell(self.gates, cell, cell, squashed, own, peepholes))
        self.top = self.cells[-1].hidden

    def read(self, symbols: Tensor) -> Tensor:
        """Take in one symbol per row (rows,): logits of the next (rows, symbols)."""
        added = self.table.index_select(0, symbols)
        for cell, inputs, bias, weight in zip(
            self.cells, self.inputs, self.biases, self.weights, strict=True
        ):
            torch.addmm(added if bias is None else bias, inputs, weight, out=self.gates)
            cell.step()
        return torch.addmm(self.readout_bias, self.top, self.readout_weight)


class CharacterStream:
    """Characters that the net draws, in blocks, one row per generator; each row depends on its own alone.

    Parameters
    ----------
    prefix : Tensor
        Symbols that came before (rows, at least 1); one row stands for all.
    temperature : float
        As `settings.check_temperature` has it. With `argmax` always the likeliest symbol is taken, and it
        counts for nothing.
    """

    def __init__(
        self,
        net: CharacterLSTM,
        rngs: Sequence[torch.Generator],
        prefix: Tensor,
        *,
        temperature: float = 1.0,
        argmax: bool = False,
    ):
        self.rngs, self.temperature, self.argmax = rngs, temperature, argmax
        prefix = prefix.to(net.readout.weight.device)
        logits, states = net(prefix)
        self.writer = CharacterWriter(net, len(rngs), states)
        self.logits = logits[:, -1].expand(len(rngs), -1)
        self.last = prefix[:, -1].expand(len(rngs))

    def block(
        self,
        n: int,
        allowed: Tensor | None = None,
        forced: Tensor | None = None,
        report: Callable[[float], None] = report_nothing,
    ) -> Tensor:
        """The next `n` symbols (rows, n).

        Parameters
        ----------
        allowed : Tensor, optional
            Which symbols may follow which in each row (rows, symbols, symbols), bool; all of them by default.
        forced : Tensor, optional
            Symbols that are given (n,), with -1 where the net may choose.
        report : callable, optional
            Called with the share of the symbols that are written, before each.
        """
        check_logits(self.logits)
        rows = torch.arange(len(self.rngs), device=self.last.device)
        columns = draw_uniforms(self.rngs, n).to(self.last.device).split(1, dim=1)  # each (rows, 1)
        given = [-1] * n if forced is None else forced.tolist()
        written = []
        for symbol, draws in report_each(zip(given, columns, strict=True), n, report):
            if symbol >= 0:
                self.last = torch.full_like(rows, symbol)
            else:
                logits = self.logits.double()
                if allowed is not None:
                    logits = logits.masked_fill(~allowed[rows, self.last], -torch.inf)
                if self.argmax:
                    self.last = logits.argmax(-1)
                else:
                    if self.temperature != 1:
                        logits = logits / self.temperature
                    self.last = choose(torch.softmax(logits, dim=-1), draws).view(-1)
            written.append(self.last)
            self.logits = self.writer.read(self.last)
        return torch.stack(written, dim=1)
