import pytest
import torch

from generators import checkpoint
from generators.families.deephear import RBM
from generators.families.deephear_inverted import PRESETS, Config, InvertedDeepHear, Layer
from generators.generation import generate, harmonize, piece_rng
from generators.representations.piano_roll import flatten
from generators.training import train
from music.score import Note, Score, Track

LEARNED = {"sounding_cells": 250.0}


def model_of(*layers, **settings):
    torch.manual_seed(0)
    return InvertedDeepHear(Config(layers=layers, **settings), LEARNED)


def windows(count, density=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, 64, 88, generator=generator) < density).to(torch.uint8)


def test_the_net_has_weights_and_decoder_biases_and_nothing_else():
    model = InvertedDeepHear(PRESETS["paper"], LEARNED)
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_052_608
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert sorted(shapes) == sorted([(1024, 5632), (256, 1024), (64, 256), (5632,), (1024,), (256,)])


def test_labels_are_bits_that_equal_windows_share_and_others_do_not():
    model = model_of(8, 64)
    batch = windows(40)
    batch[1] = batch[0]
    batch[2] = batch[0]
    batch[2, 17, 40] ^= 1  # one cell apart
    labels = model.label(flatten(batch))
    assert labels.shape == (40, 64)
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(labels[0], labels[1])
    assert labels.unique(dim=0).shape[0] == 39
    others = torch.cdist(labels[2:], labels[2:], p=1)[~torch.eye(38, dtype=bool)]
    assert others.mean().item() == pytest.approx(32, abs=1)
    assert 10 <= (labels[0] != labels[2]).sum() <= 54


def test_a_bit_is_the_parity_of_its_half_of_the_cells():
    model = model_of(8, 3)
    cells = flatten(windows(2, density=0.4))
    for window, label in zip(cells, model.label(cells), strict=True):
        for bit in range(3):
            sounding = sum(
                1 for cell, looked in zip(window, model.halves[:, bit], strict=True) if cell and looked
            )
            assert label[bit] == sounding % 2


def test_labels_depend_on_the_seed_and_come_back_from_a_checkpoint(tmp_path):
    model = model_of(8, 16)
    torch.manual_seed(1)
    other = InvertedDeepHear(Config(layers=(8, 16)), LEARNED)
    cells = flatten(windows(5))
    assert not torch.equal(model.label(cells), other.label(cells))
    config = {"family": "deephear_inverted", "config": {"layers": [8, 16]}, "learned": LEARNED, "music": {}}
    checkpoint.save(tmp_path, config, model.state_dict(), {}, {})
    assert torch.equal(checkpoint.load(tmp_path).model.label(cells), model.label(cells))


def test_pretraining_is_that_of_a_whole_boltzmann_machine():
    """One update of weights and both biases, as an RBM whose hidden bias is a parameter has it."""
    model = model_of(6, 4, pretraining_rate=0.3)
    layer, whole = model.layers[0], RBM(5632, 6)
    whole.load_state_dict(layer.state_dict())
    batch = windows(5)
    torch.manual_seed(4)
    whole.contrastive_divergence(flatten(batch)).backward()
    torch.manual_seed(4)
    ((part, loss),) = model.losses(batch, "layer_1")
    loss.backward()
    assert part == "layer_1"
    assert torch.allclose(layer.weight.grad, whole.weight.grad, atol=1e-6)
    assert torch.allclose(layer.visible_bias.grad, whole.visible_bias.grad, atol=1e-6)
    assert torch.allclose(layer.hidden_bias, -0.3 * whole.hidden_bias.grad, atol=1e-6)
    assert layer.hidden_bias.any()
    assert "hidden_bias" not in dict(Layer(3, 2).named_parameters())


def test_upper_layers_learn_from_the_probabilities_below():
    model = model_of(9, 5, 3)
    seen = []
    model.layers[1].fantasy = lambda visible: seen.append(visible) or torch.zeros_like(visible)
    batch = windows(3)
    before = model.layers[0].hidden_bias.clone()
    list(model.losses(batch, "layer_2"))
    assert torch.equal(seen[0], model.layers[0].up(flatten(batch)).detach())
    assert torch.equal(model.layers[0].hidden_bias, before)


def test_the_plan_leaves_the_weights_of_the_label_as_they_were_drawn():
    stages = InvertedDeepHear(PRESETS["paper"], LEARNED).stages()
    assert [stage.name for stage in stages] == ["layer_1", "layer_2", "fine_tuning"]
    assert [stage.epochs for stage in stages] == [100, 100, 1000]
    rules = [rule for stage in stages for rule in stage.optimizers.values()]
    assert [rule.kind for rule in rules] == ["sgd"] * 3
    assert [rule.learning_rate for rule in rules] == [0.05, 0.05, 0.003]


def test_fine_tuning_sums_squares_from_label_to_window():
    model = model_of(9, 5)
    batch = windows(3)
    ((part, loss),) = model.losses(batch, "fine_tuning")
    labels = model.label(flatten(batch))
    below, above = model.layers
    hidden = torch.sigmoid(labels @ above.weight + above.visible_bias)
    output = torch.sigmoid(hidden @ below.weight + below.visible_bias)
    assert part == "model"
    assert loss.item() == pytest.approx(((output - flatten(batch)) ** 2).sum().item(), rel=1e-5)


def test_training_windows_are_remembered_by_their_labels(listed, piece, tmp_path):
    overrides = {
        "layers": "64,32",
        "max_windows": "6",
        "pretraining_epochs": "20",
        "epochs": "300",
        "batch_size": "3",
        "learning_rate": "0.01",
    }
    corpus = listed([piece(seed, n_bars=8) for seed in range(3)])
    result = train("deephear_inverted", corpus, tmp_path, overrides=overrides, seed=1)
    figures = result.figures["train"]
    assert figures["wrong_cells_of_silence"] > 150
    assert figures["wrong_cells"] < 12
    assert all(piece.n_notes for piece in generate(tmp_path, count=3, bars=2))
    tune = Score((Track(tuple(Note(index * 480, 72 + index % 5, 480) for index in range(8))),))
    (harmonised,) = harmonize(tmp_path, tune, overrides={"harmony_restarts": "4", "harmony_steps": "20"})
    assert harmonised.tracks[1].notes


def test_a_run_goes_on_where_it_was_left(corpus, tmp_path):
    overrides = {"layers": "12,8", "pretraining_epochs": "3", "epochs": "3", "batch_size": "2"}
    train("deephear_inverted", corpus, tmp_path / "whole", overrides=overrides)
    for updates in (3, 5, 10_000):
        train(
            "deephear_inverted", corpus, tmp_path / "parts", overrides=overrides, updates=updates, resume=True
        )
    whole, parts = (checkpoint.load(tmp_path / name).model.state_dict() for name in ("whole", "parts"))
    assert whole["layers.0.hidden_bias"].any()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_labels_are_drawn_bit_by_bit():
    labels = torch.stack([model_of(8, 64)._random_label(piece_rng(0, index)) for index in range(100)])
    assert labels.mean().item() == pytest.approx(0.5, abs=0.03)
    assert len(labels.unique(dim=0)) == 100
