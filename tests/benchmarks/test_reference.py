import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from benchmarks.reference import baselines_of
from generators.corpus import encode_pieces
from generators.family import Family
from generators.registry import get_family
from music.score import Note, Score, Track

PROGRAMS = (0, 33)  # piano and bass


@dataclass
class Stored:
    """What is read of a checkpoint."""

    family: Family
    model: Any


def piece(seed: int) -> Score:
    rng = random.Random(seed)
    tracks = [
        Track(
            tuple(Note(480 * step, low + rng.randrange(12), 480) for step in range(70 + 30 * seed)),
            program=program,
        )
        for program, low in zip(PROGRAMS, (60, 36), strict=True)
    ]
    return Score(tuple(tracks))


def measured(name: str):
    """Baselines of a model that has learned nothing, and its own figures on the same windows."""
    torch.manual_seed(0)
    family = get_family(name)
    config = family.presets["tiny"]
    representation = family.representation(config)
    scores = [piece(seed) for seed in range(4)]
    learned = representation.learn(scores)
    model = family.model(config, learned).eval()
    train, test = (encode_pieces(some, representation, learned) for some in (scores[:3], scores[3:]))
    with torch.no_grad():
        figures = model.figures(test.batch(torch.arange(len(test))))
    own = {figure: float(total) / max(1.0, float(count)) for figure, (total, count) in figures.items()}
    return baselines_of(Stored(family, model), train, test), own


@pytest.mark.parametrize("name", ["deephear", "gan", "melody_cnn"])
def test_wrong_cells_of_silence_are_those_that_the_family_counts(name):
    found, own = measured(name)
    assert found["wrong_cells"]["all off"] == pytest.approx(own["wrong_cells_of_silence"])
    assert found["wrong_cells"]["all off"] > 0
    assert list(found["wrong_cells"]) == ["all off", "marginals", "Markov"]


def test_states_of_notes_have_nats_per_frame_that_fall_with_what_is_known():
    found, own = measured("markov")
    nats = found["nats_per_frame"]
    assert "nats_per_frame" in own
    assert nats["all off"] > nats["marginals"] > 0


def test_autoencoders_have_errors_and_f1_of_predictors():
    found, own = measured("vae_nn")
    assert set(found) <= set(own)
    assert found["f1"]["all off"] == 0
    assert found["loss"]["all off"] > found["loss"]["marginals"] > 0
    assert found["mse_melody"]["Markov"] > 0


def test_silence_is_the_squared_error_of_an_autoencoder_that_decodes_nothing(monkeypatch):
    module = __import__("generators.families.vae_nn", fromlist=["ConvVAE"])
    monkeypatch.setattr(module.ConvVAE, "decode", lambda self, latents: torch.zeros(len(latents), 32, 128))
    found, own = measured("vae_nn")
    assert found["loss"]["all off"] == pytest.approx(own["loss"], rel=1e-4)


def test_softmaxes_are_uniform_or_as_frequent_as_in_training():
    found, own = measured("multi_rnn")
    assert found["loss"]["all off"] > found["loss"]["marginals"] > 0
    assert "loss" in own


@pytest.mark.parametrize("name", ["transformer_xl", "gru_next_note"])
def test_tokens_have_marginals_and_markov(name):
    assert list(measured(name)[0]["loss"]) == ["marginals", "Markov"]
