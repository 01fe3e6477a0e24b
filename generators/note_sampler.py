"""Writing with a net that has a time axis and a note axis: one step of many pieces at a time.

The net is that of `families.biaxial`. The work of a step is cut so that nearly all of it is large matrix
products: the time axis takes all notes of all pieces in tiles of a fixed number of rows, with the inputs and
the states of a layer side by side in one buffer; what the first note layer gets from the time axis is
multiplied for all notes beforehand; only the recurrent rest goes note by note. Chance comes as thresholds for
the logits, made from the uniform numbers of a whole step, so that no probability is ever computed. On a GPU
the step is captured once as a CUDA graph and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from generators.lstm import LSTM, Candidate
from generators.representations.note_states import NoteInputs

TILE = 4  # pieces whose notes go through the time axis together: their gates stay in a core's cache
Precision = Literal["fp32", "bf16"]


class NoteSampler:
    """The state of some pieces that are being written; `step` writes the next column of notes of each.

    Parameters
    ----------
    inputs : NoteInputs
        What the net reads of each note.
    time_layers, note_layers, output
        The weights; they are copied.
    keep : float
        What the inputs from another layer are multiplied by, where dropout in training was not made up for.
    n_pieces : int
        How many pieces there are. The tiles do not depend on it.
    precision : {"fp32", "bf16"}
        Of the matrix products of the time axis. Cells, gates and the note axis are float32.
    """

    def __init__(
        self,
        inputs: NoteInputs,
        time_layers: Sequence[LSTM],
        note_layers: Sequence[LSTM],
        output: nn.Linear,
        *,
        keep: float,
        n_pieces: int,
        precision: Precision = "fp32",
    ):
        device, low = output.weight.device, torch.bfloat16 if precision == "bf16" else torch.float32
        self.inputs, self.n_pieces = inputs, n_pieces
        self.n_notes, self.n_attributes = len(inputs.note), output.out_features
        self.time_layers, self.note_layers = time_layers, note_layers
        n_rows = n_pieces * self.n_notes
        height = n_rows if device.type == "cuda" else TILE * self.n_notes
        self.states = torch.zeros(n_pieces, self.n_notes, self.n_attributes, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.thresholds = torch.zeros(self.n_notes, n_pieces, self.n_attributes, device=device)

        # One buffer [inputs | hidden 1 | hidden 2 | ...]: a layer reads its inputs and its own state at once.
        widths = [inputs.n_inputs, *(layer.n_hidden for layer in time_layers)]
        self.read = torch.zeros(n_rows, sum(widths), dtype=low, device=device)
        self.features = self.read.view(n_pieces, self.n_notes, -1)[..., : inputs.n_inputs]
        tallest = min(height, n_rows)
        self.time_weights, self.time_hidden, self.time_cells = [], [], []
        start = 0
        for number, layer in enumerate(time_layers):
            stop = start + widths[number]
            scale = keep if number else 1.0
            weight = torch.cat([layer.weight_input * scale, layer.weight_hidden], dim=1)
            self.time_weights.append((weight.t().to(low).contiguous(), layer.bias.to(low)))
            self.time_hidden.append(self.read[:, stop : stop + layer.n_hidden])
            self.time_cells.append(torch.zeros(n_rows, layer.n_hidden, device=device))
            start = stop
        self.top = self.time_hidden[-1]
        self.tiles = [
            [
                (
                    self.read[rows, sum(widths[:number]) : sum(widths[: number + 2])],
                    self.time_hidden[number][rows],
                    self.time_cells[number][rows],
                )
                for number in range(len(time_layers))
            ]
            for rows in (slice(first, first + height) for first in range(0, n_rows, height))
        ]
        self.low_gates = [
            torch.empty(tallest, 4 * layer.n_hidden, dtype=low, device=device) for layer in time_layers
        ]
        self.gates = (
            [torch.empty(each.shape, device=device) for each in self.low_gates]
            if low != torch.float32
            else self.low_gates
        )

        # The note axis: [note below | hidden 1 | hidden 2 | ...]; what comes from the time axis is ready.
        first = note_layers[0]
        n_above = time_layers[-1].n_hidden
        self.share_weight = (first.weight_input[:, :n_above] * keep).t().to(low).contiguous()
        self.share_bias = first.bias.to(low)
        self.low_share = torch.empty(n_rows, 4 * first.n_hidden, dtype=low, device=device)
        self.share = torch.empty(self.n_notes, n_pieces, 4 * first.n_hidden, device=device)
        widths = [self.n_attributes, *(layer.n_hidden for layer in note_layers)]
        self.below = torch.zeros(n_pieces, sum(widths), device=device)
        self.note_cells = [torch.zeros(n_pieces, layer.n_hidden, device=device) for layer in note_layers]
        self.note_gates = [torch.zeros(n_pieces, 4 * layer.n_hidden, device=device) for layer in note_layers]
        self.note_weights = []
        for number, layer in enumerate(note_layers):
            fed = layer.weight_input * keep if number else layer.weight_input[:, n_above:]
            self.note_weights.append(torch.cat([fed, layer.weight_hidden], dim=1).t().contiguous())
        self.note_reads = [
            self.below[:, sum(widths[:number]) : sum(widths[: number + 2])]
            for number in range(len(note_layers))
        ]
        self.note_hidden = [
            read[:, -layer.n_hidden :] for read, layer in zip(self.note_reads, note_layers, strict=True)
        ]
        self.previous = self.below[:, : self.n_attributes]
        self.output_weight = (output.weight * keep).t().contiguous()
        self.output_bias = output.bias.detach().clone()
        self.logits = torch.zeros(n_pieces, self.n_attributes, device=device)
        self.graph = None

    def start(self, states: Tensor, time_state: Sequence[tuple[Tensor, Tensor]] | None = None) -> None:
        """Stand behind some states (pieces, notes, attributes); a time state comes from notes before them.

        A time state is a pair of hidden and cell (pieces * notes, hidden) for each time layer.
        """
        self.states.copy_(states)
        for number, layer in enumerate(self.time_layers):
            hidden, cell = layer.initial_state(1) if time_state is None else time_state[number]
            self.time_hidden[number].copy_(hidden)
            self.time_cells[number].copy_(cell)

    def step(self, place: int, thresholds: Tensor) -> Tensor:
        """The states that follow the present ones, and are the present ones from now on.

        Parameters
        ----------
        place : int
            The clock of the present states.
        thresholds : Tensor [shape=(pieces, notes, attributes)]
            An attribute is 1 where its logit is above; see `thresholds_of`.

        Returns
        -------
        states : Tensor [shape=(pieces, notes, attributes), dtype=float32]
            0 or 1. The next step overwrites them.
        """
        self.place.fill_(place)
        self.thresholds.copy_(thresholds.transpose(0, 1))
        if self.states.device.type != "cuda":
            self._step()
        elif self.graph is None:
            self._capture()
            self.graph.replay()
        else:
            self.graph.replay()
        return self.states

    def _capture(self) -> None:
        """Record the step as a CUDA graph; the runs that warm it up leave the state as it was."""
        kept = [each.clone() for each in (self.states, self.read, *self.time_cells)]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._step()
        for each, before in zip((self.states, self.read, *self.time_cells), kept, strict=True):
            each.copy_(before)

    def _step(self) -> None:
        self.features.copy_(self.inputs(self.states, self.place.expand(self.n_pieces)))
        for tile in self.tiles:
            for number, (read, hidden, cells) in enumerate(tile):
                weight, bias = self.time_weights[number]
                low, gates = self.low_gates[number][: len(read)], self.gates[number][: len(read)]
                torch.addmm(bias, read, weight, out=low)
                if gates is not low and gates.dtype != low.dtype:
                    gates.copy_(low)
                _advance(_cut(gates), cells, hidden, self.time_layers[number].candidate)
        torch.addmm(self.share_bias, self.top, self.share_weight, out=self.low_share)
        self.share.copy_(self.low_share.view(self.n_pieces, self.n_notes, -1).transpose(0, 1))
        self.previous.zero_()
        for layer, hidden, cells in zip(self.note_layers, self.note_hidden, self.note_cells, strict=True):
            hidden.copy_(layer.initial_hidden)
            cells.copy_(layer.initial_cell)
        top = self.note_hidden[-1]
        axis = list(
            zip(
                [None, *(layer.bias for layer in self.note_layers[1:])],
                self.note_reads,
                self.note_weights,
                [_cut(gates) for gates in self.note_gates],
                self.note_cells,
                self.note_hidden,
                [layer.candidate for layer in self.note_layers],
                strict=True,
            )
        )
        for note, fed in enumerate(self.share):
            for bias, read, weight, gates, cells, hidden, candidate in axis:
                torch.addmm(fed if bias is None else bias, read, weight, out=gates.all)
                _advance(gates, cells, hidden, candidate)
            torch.addmm(self.output_bias, top, self.output_weight, out=self.logits)
            torch.gt(self.logits, self.thresholds[note], out=self.previous)
            if self.n_attributes == 2:
                self.previous[:, 1].mul_(self.previous[:, 0])  # what does not sound is not struck
            self.states[:, note] = self.previous


class _Gates(NamedTuple):
    """Views of the gates of a layer (rows, 4 * hidden): cutting them costs as much as small sums do."""

    all: Tensor
    sigmoids: Tensor
    input: Tensor
    forget: Tensor
    output: Tensor
    candidate: Tensor


def _cut(gates: Tensor) -> _Gates:
    width = gates.shape[1] // 4
    return _Gates(gates, gates[:, : 3 * width], *gates.split(width, dim=1))


def _advance(gates: _Gates, cells: Tensor, hidden: Tensor, candidate: Candidate) -> None:
    """One tick of a layer in place: gates before their functions, cells and hidden (rows, hidden)."""
    gates.sigmoids.sigmoid_()
    if candidate == "tanh":
        gates.candidate.tanh_()
    cells.mul_(gates.forget).addcmul_(gates.input, gates.candidate)
    torch.tanh(cells, out=gates.candidate)
    hidden.copy_(gates.candidate.mul_(gates.output))


def thresholds_of(uniforms: Tensor, temperature: float, conservativity: Tensor | float = 1.0) -> Tensor:
    """What a logit must exceed for its attribute to be 1: (pieces, notes, attributes) to the same, float32.

    The attribute is 1 with the probability ``p = sigmoid(logit / temperature)``; of sounding (the first
    attribute) it is ``p ** conservativity``, with one conservativity (pieces,) each.
    """
    uniforms = uniforms.double()
    power = torch.as_tensor(conservativity, dtype=torch.float64, device=uniforms.device).reshape(-1, 1)
    sounding = uniforms[..., 0] ** (1 / power)
    uniforms = torch.cat([sounding[..., None], uniforms[..., 1:]], dim=-1)
    return (torch.logit(uniforms) * temperature).float()
