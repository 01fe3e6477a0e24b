"""Writing and training with the biaxial net, beside the way of the original.

The original writes one piece at a time; it makes the inputs of each note in Python and calls a layer once per
note. Its layers are those of torch here, on the same weights; its uniform numbers are those that ours gets,
so it writes the same notes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.measuring import Work, best_seconds
from generators.families.biaxial import BiaxialLSTM, Config
from generators.lstm import LSTM
from generators.representations.note_states import REACH

N_NAIVE_STEPS = 24
TRAINING_BATCH, TRAINING_STEPS = 5, 33


class NaiveSampler:
    """The original's way: one piece, one note at a time, inputs in Python."""

    def __init__(self, model: BiaxialLSTM):
        self.model, config = model, model.config
        self.lowest, self.n_notes, self.n_attributes = config.lowest, config.n_notes, model.n_attributes
        self.scale = 1 / self.n_notes if config.scaled_position else 1
        self.wraps = config.vicinity == "wrap"
        self.device = model.output.weight.device
        self.time_layers = [as_torch_layer(layer).to(self.device) for layer in model.time_layers]
        self.note_layers = [as_torch_layer(layer).to(self.device) for layer in model.note_layers]

    def inputs_of(self, state: Sequence[Sequence[int]], place: int) -> list[list[float]]:
        """What the net reads of each note of a column, in Python as the original makes it."""
        context = [0] * 12
        for note, attributes in enumerate(state):
            context[(note + self.lowest) % 12] += attributes[0]
        rows = []
        for note in range(self.n_notes):
            pitch_class = (note + self.lowest) % 12
            row = [note * self.scale]
            row += [float(pitch_class == each) for each in range(12)]
            for other in range(note - REACH, note + REACH + 1):
                if 0 <= other < self.n_notes or (other < 0 and self.wraps):
                    row += state[other]
                else:
                    row += [0] * self.n_attributes
            row += context[pitch_class:] + context[:pitch_class]
            row += [1 if place >> bit & 1 else -1 for bit in range(4)]
            rows.append([*row, 0])
        return rows

    @torch.no_grad()
    def write(
        self, state: Tensor, places: Sequence[int], uniforms: Sequence[Tensor], conservativity: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The columns that follow one (notes, attributes), and the probabilities that they were drawn by.

        Both have the shape (steps, notes, attributes); there are as many steps as uniform numbers
        (notes, attributes).
        """
        model, keep = self.model, self.model.keep
        column = state.int().tolist()
        time_states = [started(layer, self.n_notes) for layer in model.time_layers]
        columns, probabilities = [], []
        for place, draws in zip(places, uniforms, strict=False):
            inputs = self.inputs_of(column, int(place))
            hidden = torch.tensor(inputs, device=self.device)[None]  # (1, notes, inputs)
            for number, layer in enumerate(self.time_layers):
                hidden, time_states[number] = layer(hidden, time_states[number])
                hidden = hidden * keep
            note_states = [started(layer, 1) for layer in model.note_layers]
            below = torch.zeros(self.n_attributes, device=self.device)
            column, chances = [], []
            for note in range(self.n_notes):
                fed = torch.cat([hidden[0, note], below])[None, None]  # (1, 1, hidden + attributes)
                for number, layer in enumerate(self.note_layers):
                    fed, note_states[number] = layer(fed, note_states[number])
                    fed = fed * keep
                chance = torch.sigmoid(model.output(fed[0, 0])).double().cpu()
                chance[0] = chance[0] ** conservativity
                chosen = [int(draws[note, 0] < chance[0])]
                if self.n_attributes == 2:
                    chosen.append(int(chosen[0] and draws[note, 1] < chance[1]))
                below = torch.tensor(chosen, dtype=torch.float32, device=self.device)
                column.append(chosen)
                chances.append(chance)
            columns.append(torch.tensor(column))
            probabilities.append(torch.stack(chances))
        return torch.stack(columns), torch.stack(probabilities)


def as_torch_layer(layer: LSTM) -> nn.LSTM:
    """The layer of torch with the weights of one of ours; its gates stand in another order."""
    gates = [0, 1, 3, 2]
    theirs = nn.LSTM(layer.n_inputs, layer.n_hidden)

    def ordered(weight: Tensor) -> Tensor:
        return torch.cat([weight.detach().chunk(4)[gate] for gate in gates])

    theirs.weight_ih_l0.data = ordered(layer.weight_input)
    theirs.weight_hh_l0.data = ordered(layer.weight_hidden)
    theirs.bias_ih_l0.data = ordered(layer.bias)
    theirs.bias_hh_l0.data = torch.zeros_like(theirs.bias_ih_l0)
    return theirs.requires_grad_(False)


def started(layer: LSTM, n_rows: int) -> tuple[Tensor, Tensor]:
    hidden, cell = layer.initial_state(n_rows)
    return hidden[None].contiguous(), cell[None].contiguous()


class NaiveTraining:
    """Teacher forcing with an LSTM cell for each layer, called once per step and once per note."""

    def __init__(self, model: BiaxialLSTM):
        self.model = model
        self.cells = {layer: as_cell(layer) for layer in (*model.time_layers, *model.note_layers)}

    def parameters(self) -> list[nn.Parameter]:
        return [each for cell in self.cells.values() for each in cell.parameters()]

    def run(self, layer: LSTM, inputs: Tensor) -> Tensor:
        state = tuple(each.contiguous() for each in layer.initial_state(inputs.shape[1]))
        outputs = []
        for step in inputs:
            state = self.cells[layer](step, state)
            outputs.append(state[0])
        return torch.stack(outputs)

    def loss(self, batch: Tensor) -> Tensor:
        model = self.model
        states, places, lasts = model.unpack(batch)
        n_batch, n_steps, n_notes, _ = states.shape
        hidden = model.inputs(states[:, :-1], places[:, :-1]).transpose(0, 1).flatten(1, 2)
        for layer in model.time_layers:
            hidden = self.run(layer, hidden)
        hidden = hidden.unflatten(1, (n_batch, n_notes)).permute(2, 1, 0, 3).flatten(1, 2)
        chosen = states[:, 1:].permute(2, 0, 1, 3).flatten(1, 2)
        hidden = torch.cat([hidden, nn.functional.pad(chosen[:-1], (0, 0, 0, 0, 1, 0))], dim=-1)
        for layer in model.note_layers:
            hidden = self.run(layer, hidden)
        logits = model.output(hidden).unflatten(1, (n_batch, n_steps - 1)).permute(1, 2, 0, 3)
        return model._nats(logits, states, lasts).sum()


def as_cell(layer: LSTM) -> nn.LSTMCell:
    theirs, cell = as_torch_layer(layer), nn.LSTMCell(layer.n_inputs, layer.n_hidden)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(theirs, f"{name}_l0").data
    return cell.requires_grad_(True)


def model_of(**settings: object) -> BiaxialLSTM:
    """A net of the paper's size, with weights under which notes come and go."""
    torch.manual_seed(0)
    model = BiaxialLSTM(Config(initial_weights="uniform", **settings), {})
    model.output.bias.data = torch.tensor([-3.0, 0.0][: model.n_attributes])
    return model.eval()


def writer(precision: str) -> BiaxialLSTM:
    return model_of(precision=precision, adaptive=False)


def random_columns(n_pieces: int, n_notes: int, n_attributes: int) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    columns = (torch.rand(n_pieces, n_notes, n_attributes, generator=rng) < 0.05).float()
    columns[..., -1] *= columns[..., 0]
    return columns


def flop_per_step(model: BiaxialLSTM) -> float:
    """Of a piece: all layers for all notes, a product and a sum for each weight."""
    layers = (*model.time_layers, *model.note_layers)
    weights = sum(layer.weight_input.numel() + layer.weight_hidden.numel() for layer in layers)
    return 2.0 * model.config.n_notes * (weights + model.output.weight.numel())


def measure_writing(model: BiaxialLSTM, n_pieces: int, n_steps: int) -> tuple[float, float]:
    """Seconds per piece and step: one piece in the naive way, and so many in ours."""
    shape = (model.config.n_notes, model.n_attributes)
    device = model.output.weight.device
    columns = random_columns(n_pieces, *shape).to(device)
    rng = torch.Generator().manual_seed(2)
    uniforms = torch.rand(n_steps, n_pieces, *shape, generator=rng, dtype=torch.float64)
    naive, places = NaiveSampler(model), list(itertools.islice(itertools.cycle(range(16)), n_steps))
    n_naive = min(N_NAIVE_STEPS, n_steps)
    results = {}

    def baseline() -> None:
        results["naive"] = naive.write(columns[0], places, uniforms[:n_naive, 0])[0]

    def ours() -> None:
        results["ours"] = model.sample(columns, places, uniforms)

    theirs, own = best_seconds(baseline, ours, device=device.type)
    written = torch.stack([column[0] for column in results["ours"][:n_naive]]).cpu()
    exact = model.config.precision == "fp32" and device.type == "cpu"
    if exact and not torch.equal(written, results["naive"].to(torch.uint8)):
        raise AssertionError("the two ways wrote different notes")
    return theirs / n_naive, own / (n_steps * n_pieces)


def measure_training(precision: str) -> tuple[float, float]:
    """Seconds per note and step of an update: gradients, without the optimiser."""
    model = model_of(dropout=0.0).train()
    config = model.config
    batch = torch.zeros(TRAINING_BATCH, TRAINING_STEPS, config.n_notes + 1, 2, dtype=torch.uint8)
    columns = random_columns(TRAINING_BATCH * TRAINING_STEPS, config.n_notes, 2)
    batch[:, :, :-1] = columns.unflatten(0, (TRAINING_BATCH, TRAINING_STEPS)).to(torch.uint8)
    naive, losses = NaiveTraining(model), {}

    def baseline() -> None:
        model.zero_grad()
        loss = naive.loss(batch)
        loss.backward()
        losses["naive"] = loss.item()

    def ours() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            _, loss = next(model.losses(batch, "notes"))
        loss.backward()
        losses["ours"] = loss.item()

    theirs, own = best_seconds(baseline, ours, repeats=2)
    if abs(losses["ours"] / losses["naive"] - 1) > (1e-4 if precision == "fp32" else 1e-2):
        raise AssertionError(f"the two ways have different losses: {losses}")
    cells = TRAINING_BATCH * (TRAINING_STEPS - 1) * config.n_notes
    return theirs / cells, own / cells


NAIVE = "one piece, one call of each layer per note, inputs made in Python"
WORKS = [
    Work("biaxial_writing_64", "piece-step", NAIVE, 8.0, lambda: measure_writing(writer("fp32"), 64, 24),
         flop=flop_per_step(model_of())),
    Work("biaxial_writing_64_bf16", "piece-step", NAIVE, 15.0,
         lambda: measure_writing(writer("bf16"), 64, 24), flop=flop_per_step(model_of()), precision="bf16"),
    Work("biaxial_writing_1", "piece-step", NAIVE, 3.0, lambda: measure_writing(writer("fp32"), 1, 64),
         flop=flop_per_step(model_of())),
    Work("biaxial_writing_64_gpu", "piece-step", f"{NAIVE}, on the GPU", 300.0,
         lambda: measure_writing(writer("bf16").to("cuda"), 64, 64), device="cuda",
         flop=flop_per_step(model_of()), precision="bf16"),
    Work("biaxial_training", "note-step", "a cell of each layer called per step and note", 1.2,
         lambda: measure_training("fp32"), flop=3 * flop_per_step(model_of()) / 78),
    Work("biaxial_training_bf16", "note-step", "a cell of each layer called per step and note, in fp32", 2.0,
         lambda: measure_training("bf16"), flop=3 * flop_per_step(model_of()) / 78, precision="bf16"),
]  # fmt: skip
