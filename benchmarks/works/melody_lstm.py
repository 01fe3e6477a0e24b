"""Writing of `melody_lstm`: a net that keeps its state, beside windows of 50 characters run anew."""

from __future__ import annotations

import torch

from benchmarks.measuring import Work, best_seconds
from generators.decoding import draw_uniforms
from generators.families.melody_lstm import FAMILY, MelodyLSTM
from generators.generation import piece_rng
from generators.graves import CharacterStream

WINDOW = 50  # characters that the baseline reads again for each one that it writes
N_CHARACTERS = {1: 200, 16: 64, 64: 64}  # written by ours in a turn, by pieces at once


class WindowNet(torch.nn.Module):
    """The usual way: one-hot characters through `torch.nn.LSTM`, two layers of 200, and a linear layer.

    It has no peepholes: with them no library has a kernel, and the baseline would be slower still.
    """

    def __init__(self, n_symbols: int, d_hidden: int, n_layers: int):
        super().__init__()
        self.n_symbols = n_symbols
        self.lstm = torch.nn.LSTM(n_symbols, d_hidden, n_layers, batch_first=True)
        self.readout = torch.nn.Linear(d_hidden, n_symbols)

    def forward(self, symbols):
        one_hot = torch.nn.functional.one_hot(symbols, self.n_symbols).float()
        return self.readout(self.lstm(one_hot)[0][:, -1])


def paper_model() -> MelodyLSTM:
    torch.manual_seed(0)
    return FAMILY.model(FAMILY.presets["paper"], FAMILY.example).eval()


@torch.no_grad()
def write_by_windows(read, first: list[int], uniforms: list[float]) -> list[int]:
    """One piece: the window through the net, then a loop over the running sum, for each character."""
    text = list(first)
    for uniform in uniforms:
        weights = torch.softmax(read(torch.tensor([text[-WINDOW:]]))[0].double(), dim=0).tolist()
        running, chosen = 0.0, len(weights) - 1
        for symbol, weight in enumerate(weights):
            running += weight
            if running > uniform:
                chosen = symbol
                break
        text.append(chosen)
    return text[len(first) :]


@torch.no_grad()
def write_at_once(model: MelodyLSTM, n_pieces: int, n_characters: int) -> torch.Tensor:
    """Pieces (n_pieces, n_characters) as `MelodyLSTM.generate` draws them, from the first symbol on."""
    rngs = [piece_rng(0, index) for index in range(n_pieces)]
    stream = CharacterStream(model.net, rngs, torch.zeros(1, 1, dtype=torch.int64))
    return stream.block(n_characters)


def check_equal(model: MelodyLSTM, n_pieces: int) -> None:
    """While the text is within one window both ways write the same, with the same net and uniforms."""
    ours = write_at_once(model, n_pieces, WINDOW - 1).tolist()
    for index in range(min(n_pieces, 3)):
        uniforms = draw_uniforms([piece_rng(0, index)], WINDOW - 1)[0].tolist()
        naive = write_by_windows(lambda symbols: model(symbols)[0][:, -1], [0], uniforms)
        if naive != ours[index]:
            raise AssertionError(f"piece {index} differs from the one that is written window by window")


def writing(n_pieces: int, *, peepholes: bool) -> tuple[float, float]:
    """Processor seconds per character of a piece: of the baseline, of ours."""
    model = paper_model()
    check_equal(model, n_pieces)
    usual = WindowNet(len(model.symbols), model.config.d_hidden, model.config.n_layers).eval()
    read = (lambda symbols: model(symbols)[0][:, -1]) if peepholes else usual
    full = [0] * WINDOW  # every window is full, as it is but for the first moments of a text
    uniforms = draw_uniforms([piece_rng(0, 0)], 20)[0].tolist()
    count = N_CHARACTERS[n_pieces]
    theirs, ours = best_seconds(
        lambda: write_by_windows(read, full, uniforms), lambda: write_at_once(model, n_pieces, count)
    )
    return theirs / len(uniforms), ours / count / n_pieces


def training() -> tuple[float, float]:
    """Seconds per character of an update of 32 windows of 50: autograd over cells in a loop, and ours."""
    model = paper_model()
    windows = torch.randint(len(model.symbols), (32, 51), dtype=torch.uint8)

    def by_cells():
        total, states = 0.0, [(torch.zeros(32, 200), torch.zeros(32, 200)) for _ in model.net.layers]
        for now, then in zip(windows[:, :-1].t().long(), windows[:, 1:].t().long(), strict=True):
            below = now
            for index, layer in enumerate(model.net.layers):
                hidden, cell = states[index]
                projected = layer.project(below) if index else layer.look_up(below)
                gate_in, forget, gate_out, candidate = (projected + hidden @ layer.weight_hidden).chunk(4, 1)
                gate_in = torch.sigmoid(gate_in + layer.peepholes[0] * cell)
                forget = torch.sigmoid(forget + layer.peepholes[1] * cell)
                cell = forget * cell + gate_in * torch.tanh(candidate)
                gate_out = torch.sigmoid(gate_out + layer.peepholes[2] * cell)
                below = gate_out * torch.tanh(cell)
                states[index] = below, cell
            total = total + torch.nn.functional.cross_entropy(model.net.readout(below), then, reduction="sum")
        (total / 32).backward()
        return total.item() / 32

    def ours():
        (loss,) = model.net.truncated_losses(windows, None, 0.0)
        loss.backward()
        return loss.item()

    if abs(by_cells() - ours()) > 0.01:
        raise AssertionError("the loss of the cells in a loop is another")
    theirs, own = best_seconds(by_cells, ours)
    return theirs / (32 * 50), own / (32 * 50)


WINDOWED = f"a window of {WINDOW} re-run per character, one piece"
FLOP = 2 * 541_000  # of a character: one multiplication and one addition per weight
WORKS = [
    Work("melody_lstm, 1 piece", "character", WINDOWED, 10, lambda: writing(1, peepholes=False), flop=FLOP),
    Work(
        "melody_lstm, 16 pieces, as `generate` batches them",
        "character",
        WINDOWED,
        20,  # 80 for 64 pieces, 16 / 64 of it
        lambda: writing(16, peepholes=False),
        flop=FLOP,
    ),
    Work(
        "melody_lstm, 64 pieces", "character", WINDOWED, 80, lambda: writing(64, peepholes=False), flop=FLOP
    ),
    Work(
        "melody_lstm, 64 pieces, peepholes in the window",
        "character",
        f"{WINDOWED}, by our layers",
        80,
        lambda: writing(64, peepholes=True),
        flop=FLOP,
    ),
    Work("melody_lstm, training", "character", "cells in a loop", 1.2, training, flop=3 * FLOP),
]
