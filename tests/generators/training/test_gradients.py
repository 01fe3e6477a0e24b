"""The record of gradients: the very numbers, the last of them, and at little cost."""

import io

import numpy as np
import torch
from torch import nn

from generators.training import train
from generators.training.gradients import GradientRecord


def arrays_of(record):
    with np.load(io.BytesIO(record.to_bytes())) as stored:
        return dict(stored)


def model_of():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 3), nn.BatchNorm1d(3))


def learn(model, seed):
    torch.manual_seed(seed)
    model.zero_grad()
    model[1](model[0](torch.randn(4, 30))).square().sum().backward()


def test_the_record_holds_gradients_and_values_of_its_entries():
    model = model_of()
    record = GradientRecord(model, seed=1, n_entries=50, n_records=3)
    told = []
    for update in (0, 10, 20, 30, 40):
        learn(model, update)
        record.begin(update)
        record.note(model.parameters())
        told.append(
            {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
        )
        with torch.no_grad():
            model[0].weight += 1.0
    arrays = arrays_of(record)
    assert arrays["updates"].tolist() == [20, 30, 40]
    assert arrays["names"].tolist() == [name for name, _ in model.named_parameters()]
    assert arrays["shapes"].tolist() == ["20x30", "20", "3x20", "3", "3", "3"]
    sizes = np.bincount(arrays["tensor"]).tolist()
    assert sizes == [50, 20, 50, 3, 3, 3]
    for index, name in enumerate(arrays["names"]):
        own = arrays["tensor"] == index
        entries = arrays["entry"][own]
        assert len(set(entries.tolist())) == own.sum()
        for row, gradients in zip(arrays["gradients"], told[2:], strict=True):
            if name in gradients:
                np.testing.assert_array_equal(row[own], gradients[name].flatten()[entries].numpy())
            else:
                assert np.isnan(row[own]).all()
    weights = model[0].weight.detach().flatten().numpy()[arrays["entry"][arrays["tensor"] == 0]]
    np.testing.assert_allclose(arrays["values"][-1][arrays["tensor"] == 0], weights - 1.0, rtol=1e-5)


def test_large_tensors_have_as_many_entries_and_the_seed_chooses_them():
    model = nn.Linear(1000, 50)
    entries = [arrays_of(GradientRecord(model, seed))["entry"] for seed in (1, 1, 2)]
    assert len(entries[0]) == 80 + 50
    assert np.array_equal(entries[0], entries[1])
    assert not np.array_equal(entries[0], entries[2])


def test_a_record_goes_on_where_it_was_and_a_foreign_one_is_left_behind():
    model = model_of()
    whole, first = (GradientRecord(model, 1, n_records=3) for _ in range(2))
    for update in range(5):
        learn(model, update)
        for record in (whole, first):
            record.begin(update)
            record.note(model.parameters())
        if update == 3:
            stored, first = first.to_bytes(), GradientRecord(model, 1, n_records=3)
            first.restore(stored)
    for key, values in arrays_of(whole).items():
        np.testing.assert_array_equal(values, arrays_of(first)[key])
    for foreign in (GradientRecord(nn.Linear(3, 2), 1).to_bytes(), b"no zip", None):
        record = GradientRecord(model, 1, n_records=3)
        record.restore(foreign)
        assert record.updates == []


def test_training_records_every_so_many_updates_or_never(toy, corpus, tmp_path):
    train(toy, corpus, tmp_path / "a", updates=10, gradients_every=4)
    with np.load(tmp_path / "a" / "gradients.npz") as stored:
        assert stored["updates"].tolist() == [0, 4, 8]
        learned = {str(name).split(".")[0] for name in stored["names"][np.unique(stored["tensor"])]}
        assert learned == {"coder", "decoder", "reader"}
        reader = np.isin(
            stored["tensor"], [i for i, n in enumerate(stored["names"]) if n.startswith("reader")]
        )
        assert np.isnan(stored["gradients"][:, reader]).all()
        assert np.isfinite(stored["gradients"][:, ~reader]).all()
    train(toy, corpus, tmp_path / "b", updates=10, gradients_every=0)
    assert not (tmp_path / "b" / "gradients.npz").exists()
