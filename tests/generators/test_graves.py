import math

import pytest
import torch

from generators.generation import piece_rng
from generators.graves import PADDING, CharacterLSTM, CharacterStream, CharacterWriter, GravesLSTM


def net_of(n_symbols=7, d_hidden=6, n_layers=2, **options):
    torch.manual_seed(0)
    return CharacterLSTM(n_symbols, d_hidden, n_layers, **options)


def by_the_equations(layer, projected, hidden, cell):
    """Graves (2013), equations 7 to 11, a step at a time."""
    outputs = []
    gate_in, forget, gate_out = layer.peepholes
    for now in projected:
        i, f, o, g = (now + hidden @ layer.weight_hidden).chunk(4, dim=1)
        i, f = torch.sigmoid(i + gate_in * cell), torch.sigmoid(f + forget * cell)
        cell = f * cell + i * torch.tanh(g)
        hidden = torch.sigmoid(o + gate_out * cell) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs), cell


def test_a_layer_follows_the_equations_and_so_do_its_gradients():
    torch.manual_seed(0)
    layer = GravesLSTM(4, 5).double()
    inputs = torch.randn(9, 3, 4, dtype=torch.float64)
    start = torch.randn(2, 3, 5, dtype=torch.float64)
    weights = torch.randn(9, 3, 5, dtype=torch.float64)
    results = []
    for unroll in (lambda x: layer(x, (start[0], start[1])), lambda x: by_the_equations(layer, x, *start)):
        layer.zero_grad()
        outputs, rest = unroll(layer.project(inputs))
        cell = rest[1] if isinstance(rest, tuple) else rest
        ((outputs * weights).sum() + cell.square().sum()).backward()
        results.append([outputs, cell, *(parameter.grad for parameter in layer.parameters())])
    assert len(results[0]) == 6
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_without_peepholes_a_layer_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = GravesLSTM(4, 5, peepholes=False), torch.nn.LSTM(4, 5)
    order = (0, 1, 3, 2)  # torch has its candidate before the output gate

    def arranged(weight):
        gates = weight.chunk(4, dim=-1)
        return torch.cat([gates[index] for index in order], dim=-1)

    with torch.no_grad():
        theirs.weight_ih_l0.copy_(arranged(ours.weight_input).t())
        theirs.weight_hh_l0.copy_(arranged(ours.weight_hidden).t())
        theirs.bias_ih_l0.copy_(arranged(ours.bias))
        theirs.bias_hh_l0.zero_()
    inputs = torch.randn(8, 3, 4)
    outputs, (hidden, cell) = ours(ours.project(inputs))
    expected, (last_hidden, last_cell) = theirs(inputs)
    assert torch.allclose(outputs, expected, atol=1e-6)
    assert torch.allclose(hidden, last_hidden[0], atol=1e-6)
    assert torch.allclose(cell, last_cell[0], atol=1e-6)


def test_characters_are_one_hot():
    layer = GravesLSTM(7, 5)
    symbols = torch.tensor([[1, 6, 0]])
    one_hot = torch.nn.functional.one_hot(symbols, 7).float()
    assert torch.allclose(layer.look_up(symbols), layer.project(one_hot), atol=1e-6)


def test_weights_start_as_the_library_has_them():
    torch.manual_seed(0)
    layer = GravesLSTM(59, 200)
    for weight in (layer.weight_input, layer.weight_hidden, layer.peepholes):
        assert weight.std().item() == pytest.approx(math.sqrt(2 / 459), rel=0.1)
    assert layer.bias.unflatten(0, (4, 200)).mean(1).tolist() == [0, 1, 0, 0]


@torch.no_grad()
@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_a_writer_is_the_net_character_by_character(n_layers):
    net = net_of(n_layers=n_layers)
    symbols = torch.randint(7, (3, 12))
    expected, _ = net(symbols)
    _, states = net(symbols[:, :5])
    fresh, resumed = CharacterWriter(net, 3), CharacterWriter(net, 3, states)
    for place in range(12):
        assert torch.allclose(fresh.read(symbols[:, place]), expected[:, place], atol=1e-6)
    for place in range(5, 12):
        assert torch.allclose(resumed.read(symbols[:, place]), expected[:, place], atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("size", "n_rows"), [(7, 1), (59, 16)])
def test_a_stream_is_what_the_net_run_on_all_from_the_start_would_write(size, n_rows):
    """The same uniforms, the whole text before each character, and a loop over the running sum."""
    net = net_of(size, 24)
    for parameter in net.parameters():
        parameter.mul_(4)  # so that the next character depends on the ones before
    prefix = torch.arange(n_rows)[:, None] % size
    stream = CharacterStream(net, [piece_rng(3, row) for row in range(n_rows)], prefix, temperature=0.7)
    written = torch.cat([stream.block(20), stream.block(20)], dim=1).tolist()
    for row in range(min(n_rows, 6)):
        rng = piece_rng(3, row)
        draws = torch.cat([torch.rand(20, generator=rng, dtype=torch.float64) for _ in range(2)]).tolist()
        text = prefix[row].tolist()
        for draw in draws:
            logits = net(torch.tensor([text]))[0][0, -1].double() / 0.7
            running, place = 0.0, -1
            for weight in torch.softmax(logits, 0).tolist():
                running += weight
                place += 1
                if running > draw:
                    break
            text.append(place)
        assert written[row] == text[1:]
        assert len(set(text)) > 3


def test_a_row_does_not_hear_the_others():
    net = net_of()
    prefix = torch.zeros(1, 1, dtype=torch.int64)
    with torch.no_grad():
        one = CharacterStream(net, [piece_rng(0, row) for row in (1, 2, 3)], prefix).block(30)
        other = CharacterStream(net, [piece_rng(0, row) for row in (4, 2, 5)], prefix).block(30)
    assert one[1].tolist() == other[1].tolist()
    assert one[0].tolist() != other[0].tolist()


def test_a_stream_keeps_to_what_is_allowed_and_given():
    net = net_of(4)
    allowed = torch.zeros(2, 4, 4, dtype=torch.bool)
    allowed[0, torch.arange(4), (torch.arange(4) + 1) % 4] = True  # each is followed by the next
    allowed[1] = True
    forced = torch.tensor([-1, 2, -1, -1])
    with torch.no_grad():
        stream = CharacterStream(net, [piece_rng(0, 0), piece_rng(0, 1)], torch.zeros(1, 1).long())
        written = stream.block(4, allowed, forced)
    assert written[0].tolist() == [1, 2, 3, 0]
    assert written[1, 1] == 2


def test_the_loss_is_summed_over_characters_and_averaged_over_windows():
    net = net_of()
    windows = torch.tensor([[1, 2, 3, 4, 5], [6, 0, 1, PADDING, PADDING]], dtype=torch.uint8)
    total = 0.0
    with torch.no_grad():
        for text in ([1, 2, 3, 4, 5], [6, 0, 1]):
            said = torch.log_softmax(net(torch.tensor([text[:-1]]))[0][0], dim=1)
            total -= sum(said[place, symbol].item() for place, symbol in enumerate(text[1:]))
    squares = sum(
        parameter.square().sum().item() for name, parameter in net.named_parameters() if "bias" not in name
    )
    (loss,) = net.truncated_losses(windows, None, 0.01)
    assert loss.item() == pytest.approx(total / 2 + 0.005 * squares, rel=1e-5)
    parts = [each.item() for each in net.truncated_losses(windows, 3, 0.0)]
    assert len(parts) == 2
    assert sum(parts) == pytest.approx(total / 2, rel=1e-5)
    figure, _, count, _ = net.score(windows)
    assert (figure.item(), count.item()) == (pytest.approx(total, rel=1e-5), 6)


def test_gradients_end_where_a_truncation_starts():
    net = net_of()
    windows = torch.randint(7, (2, 9)).to(torch.uint8)
    *_, last = net.truncated_losses(windows, 4, 0.0)
    last.backward()
    with torch.no_grad():
        _, states = net(windows[:, :4].long())
    ours = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    (net.score(windows[:, 4:], states)[0] / 2).backward()
    for mine, expected in zip(ours, net.parameters(), strict=True):
        assert torch.allclose(mine, expected.grad, atol=1e-6)
