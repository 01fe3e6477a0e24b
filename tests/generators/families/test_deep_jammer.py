from dataclasses import replace

import pytest
import torch

from generators.families import biaxial
from generators.families.deep_jammer import FAMILY, PRESETS, Config, DeepJammer

SMALL = Config(n_notes=20, lowest=50, time_layers=(8,), note_layers=(7,))


@pytest.mark.parametrize(
    ("preset", "count"),
    [("paper", 1_369_902), ("large", 1_369_902), ("medium", 367_452), ("small", 104_456)],
)
def test_each_size_has_its_number_of_parameters(preset, count):
    model = DeepJammer(PRESETS[preset], FAMILY.example)
    assert sum(each.numel() for each in model.parameters()) == count


def test_it_learns_and_writes_as_the_report_says():
    config = Config()
    (stage,) = DeepJammer(SMALL, {}).stages()
    assert (config.batch_size, config.n_steps, config.max_updates) == (5, 128, 5000)
    assert (config.dropout, config.adaptive, config.temperature) == (0.0, False, 1.0)
    assert stage.optimizers["model"].kind == "adadelta"


def test_the_original_weights_start_at_the_loss_of_its_read_me():
    """64,153 for 5 segments of 127 predicted steps of 78 notes."""
    model = DeepJammer(replace(Config(), initial_weights="original", initial_state="random"), {})
    batch = torch.zeros(1, 17, 79, 2, dtype=torch.uint8)
    batch[0, :, 36:40, 0] = 1
    with torch.no_grad():
        total, count = model.figures(batch)["loss"]
    assert float(total) / float(count) * 5 * 127 * 78 == pytest.approx(64_153, rel=0.03)


@pytest.mark.parametrize("kind", ["keep", "reset_dense"])
def test_transfer_keeps_all_weights_or_draws_the_dense_layer_anew(kind):
    torch.manual_seed(0)
    model = DeepJammer(replace(SMALL, transfer=kind), {})
    before = {name: each.clone() for name, each in model.state_dict().items()}
    model.transfer()
    changed = {name for name, each in model.state_dict().items() if not torch.equal(each, before[name])}
    assert changed == (set() if kind == "keep" else {"output.weight", "output.bias"})


def test_it_is_the_biaxial_net():
    """With the same settings and weights, the same chances."""
    torch.manual_seed(0)
    ours = DeepJammer(SMALL, {})
    shared = {
        name: getattr(SMALL, name) for name in biaxial.Config.__dataclass_fields__ if name != "transfer"
    }
    theirs = biaxial.BiaxialLSTM(biaxial.Config(**shared), {})
    theirs.load_state_dict(ours.state_dict())
    states = (torch.rand(2, 9, 20, 2) < 0.2).float()
    places = torch.arange(9).expand(2, -1)
    assert torch.equal(ours(states, places), theirs(states, places))
