import pytest
import torch

from generators import lstm
from generators.lstm import LSTM


def by_hand(layer, inputs, hidden, cell):
    """The layer a step at a time, by its equations, in the number type of its inputs."""
    outputs = []
    for step in inputs:
        sums = step @ layer.weight_input.t() + hidden @ layer.weight_hidden.t() + layer.bias
        gate_in, forget, gate_out, candidate = sums.chunk(4, dim=1)
        candidate = torch.tanh(candidate) if layer.candidate == "tanh" else candidate
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(gate_in) * candidate
        hidden = torch.sigmoid(gate_out) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs), cell


def layer_and_inputs(candidate, n_steps=7, n_rows=3, n_inputs=5, n_hidden=4):
    torch.manual_seed(0)
    layer = LSTM(n_inputs, n_hidden, candidate).double()
    layer.initial_hidden.normal_()
    layer.initial_cell.normal_()
    return layer, torch.randn(n_steps, n_rows, n_inputs, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("stretch", [1, 6, 1000])
@pytest.mark.parametrize("candidate", ["tanh", "linear"])
def test_states_and_gradients_are_those_of_the_equations(candidate, stretch, monkeypatch):
    monkeypatch.setattr(lstm, "STRETCH", stretch)
    layer, inputs = layer_and_inputs(candidate)
    weights = torch.randn(7, 3, 4, dtype=torch.float64)

    def gradients(outputs, cell):
        loss = (outputs * weights).sum() + (cell**2).sum()
        return torch.autograd.grad(loss, [inputs, *layer.parameters()])

    outputs, (hidden, cell) = layer(inputs)
    expected, expected_cell = by_hand(layer, inputs, *layer.initial_state(3))
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(hidden, expected[-1])
    torch.testing.assert_close(cell, expected_cell)
    for ours, theirs in zip(gradients(outputs, cell), gradients(expected, expected_cell), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_layer_with_a_tanh_candidate_is_that_of_torch():
    layer, inputs = layer_and_inputs("tanh")
    theirs = torch.nn.LSTM(5, 4).double()
    order = [0, 1, 3, 2]
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(torch.cat([layer.weight_input.chunk(4)[gate] for gate in order]))
        theirs.weight_hh_l0.copy_(torch.cat([layer.weight_hidden.chunk(4)[gate] for gate in order]))
        theirs.bias_ih_l0.copy_(torch.cat([layer.bias.chunk(4)[gate] for gate in order]))
        theirs.bias_hh_l0.zero_()
    state = tuple(each[None].contiguous() for each in layer.initial_state(3))
    torch.testing.assert_close(layer(inputs)[0], theirs(inputs, state)[0])


def test_the_kernel_of_torch_gets_the_weights_in_its_order():
    layer, inputs = layer_and_inputs("tanh")
    hidden, cell = layer.initial_state(3)
    outputs, state = layer._fused(inputs, hidden, cell)
    expected, expected_state = layer(inputs)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, expected_state)


def test_the_kernel_of_torch_and_steps_of_ours_learn_alike(monkeypatch):
    torch.manual_seed(0)
    layer, inputs = LSTM(8, 16), torch.randn(12, 5, 8, requires_grad=True)
    found = []
    for is_fused in (True, False):
        monkeypatch.setattr(lstm, "_is_fused", lambda precision, is_fused=is_fused: is_fused)
        outputs, (_, cell) = layer(inputs)
        loss = outputs.square().sum() + cell.sum()
        found.append([outputs, cell, *torch.autograd.grad(loss, [inputs, *layer.parameters()])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("maker", "is_fused"), [("Intel Xeon Platinum 8480", False), ("AMD EPYC", True)])
def test_in_float32_the_kernel_of_torch_is_for_processors_that_mkl_was_not_made_for(
    maker, is_fused, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": maker})
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert lstm._is_fused(torch.float32) == is_fused
    assert not lstm._is_fused(torch.float64)


def test_a_sequence_can_be_cut_anywhere():
    layer, inputs = layer_and_inputs("linear")
    whole, last = layer(inputs)
    first, state = layer(inputs[:3])
    rest, state = layer(inputs[3:], state)
    torch.testing.assert_close(torch.cat([first, rest]), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("candidate", ["tanh", "linear"])
def test_low_precision_is_near_and_keeps_gradients_of_full_type(candidate):
    torch.manual_seed(0)
    layer, inputs = LSTM(8, 16, candidate), torch.randn(12, 5, 8)
    exact, _ = layer(inputs)
    exact.square().sum().backward()
    full = [each.grad.clone() for each in layer.parameters()]
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = layer(inputs)
    low.square().sum().backward()
    torch.testing.assert_close(low.float(), exact, atol=0.01, rtol=0.02)
    for ours, theirs in zip(layer.parameters(), full, strict=True):
        assert ours.grad.dtype == torch.float32
        assert (ours.grad - theirs).norm() < 0.03 * theirs.norm()


def test_a_second_backward_pass_is_refused():
    layer, inputs = layer_and_inputs("tanh")
    loss = layer(inputs)[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run the layer again"):
        loss.backward()


def test_the_stored_state_is_no_parameter_but_is_saved():
    layer = LSTM(5, 4)
    assert sum(each.numel() for each in layer.parameters()) == 4 * 4 * (5 + 4 + 1)
    assert {"initial_hidden", "initial_cell"} <= set(layer.state_dict())
