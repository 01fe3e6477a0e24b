import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from generators.errors import GeneratorError
from generators.families.biaxial import FAMILY, PRESETS, BiaxialLSTM, Config, note_states
from generators.family import Request
from generators.generation import piece_rng
from generators.settings import apply_overrides
from music.score import Meter, Note, Score, Tempo, Track

SMALL = Config(n_notes=40, lowest=40, time_layers=(12, 10), note_layers=(9, 8), initial_weights="uniform")


@pytest.fixture(autouse=True)
def _figures_without_gradients(monkeypatch):
    monkeypatch.setattr(BiaxialLSTM, "figures", torch.no_grad()(BiaxialLSTM.figures))


def model_of(config=SMALL, learned=FAMILY.example, **settings):
    torch.manual_seed(0)
    return BiaxialLSTM(replace(config, **settings), learned).eval()


def random_batch(config, n_windows=2, n_steps=12, density=0.1):
    rng = torch.Generator().manual_seed(3)
    batch = torch.zeros(n_windows, n_steps, config.n_notes + 1, 2, dtype=torch.uint8)
    batch[:, :, :-1] = torch.rand(n_windows, n_steps, config.n_notes, 2, generator=rng) < density
    batch[:, :, :-1, 1] *= batch[:, :, :-1, 0]
    batch[:, :, -1, 0] = torch.arange(n_steps) % 16
    return batch


def request_of(n_bars=2, meter=(4, 4), **wishes):
    return Request(n_bars, Tempo(0, 450_000), Meter(0, *meter), **wishes)


def rngs_of(count, seed=0):
    return [piece_rng(seed, index) for index in range(count)]


# size and start (P1, P7)


def test_the_net_of_the_paper_has_its_number_of_parameters_and_stored_states():
    model = BiaxialLSTM(Config(), {})
    assert sum(each.numel() for each in model.parameters()) == 1_369_902
    stored = [each for name, each in model.named_buffers() if "initial" in name]
    assert sum(each.numel() for each in stored) == 1500


def test_the_original_weights_start_at_the_loss_that_the_original_prints():
    """128,417 for 10 windows: 1.30 nats per note and step, whatever the seed of the run."""
    settings = {"initial_weights": "original", "initial_state": "random", "candidate": "linear"}
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = replace(Config(), dropout=0.0, **settings)
        model = BiaxialLSTM(config, {})
        batch = random_batch(config, n_windows=1, n_steps=20, density=0.04)
        with torch.no_grad():
            total, count = model.figures(batch)["loss"]
        losses.append(float(total) / float(count))
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(128_417 / (10 * 127 * 78), abs=0.03)


def test_other_weights_are_drawn_by_the_seed_and_are_as_large():
    torch.manual_seed(1)
    one, other = BiaxialLSTM(Config(), {}), BiaxialLSTM(Config(), {})
    assert not torch.equal(one.output.weight, other.output.weight)
    assert one.time_layers[1].weight_hidden.std().item() == pytest.approx(1 / 300, rel=0.02)
    assert one.note_layers[0].weight_input.std().item() == pytest.approx(1 / 100, rel=0.02)
    assert not one.time_layers[0].initial_hidden.any()


# the loss


def test_the_loss_is_the_sum_of_the_equations_of_the_article():
    """Over steps and notes: log of the chance of sounding, and of being struck where it sounds."""
    model = model_of(dropout=0.0)
    batch = random_batch(SMALL)
    ((part, loss),) = model.losses(batch, "notes")
    states, places, _ = model.unpack(batch)
    with torch.no_grad():
        chances = torch.sigmoid(model(states, places)).double().numpy()
    expected = 0.0
    for window, step, note in np.ndindex(2, 11, 40):
        sounds, struck = batch[window, step + 1, note].tolist()
        p, q = chances[window, step, note]
        expected -= np.log(p if sounds else 1 - p)
        expected -= np.log(q if struck else 1 - q) if sounds else 0
    assert part == "model"
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    total, count = model.figures(batch)["loss"]
    assert (float(total), float(count)) == (pytest.approx(expected, rel=1e-5), 2 * 11 * 40)
    total, count = model.figures(batch)["nats_per_frame"]
    assert (float(total), float(count)) == (pytest.approx(expected, rel=1e-5), 2 * 11)


def test_with_adam_the_loss_is_the_mean_over_steps():
    batch = random_batch(SMALL)
    ((_, summed),) = model_of(dropout=0.0).losses(batch, "notes")
    ((_, mean),) = model_of(dropout=0.0, optimizer="adam").losses(batch, "notes")
    assert mean.item() == pytest.approx(summed.item() / (2 * 11), rel=1e-5)


def test_what_comes_after_a_piece_counts_for_nothing():
    model, batch = model_of(dropout=0.0), random_batch(SMALL)
    padded = torch.cat([batch, torch.full_like(batch, 255)], dim=1)
    for key in ("loss", "nats_per_frame"):
        expected, count = model.figures(batch)[key]
        total, same = model.figures(padded)[key]
        assert float(total) == pytest.approx(float(expected), rel=1e-6)
        assert float(same) == float(count)


def test_long_pieces_are_scored_in_stretches_without_a_seam(monkeypatch):
    model, batch = model_of(), random_batch(SMALL, n_windows=5, n_steps=30)
    whole = float(model.figures(batch)["loss"][0])
    monkeypatch.setattr("generators.families.biaxial.FIGURES_STEPS", 7)
    assert float(model.figures(batch)["loss"][0]) == pytest.approx(whole, rel=1e-6)


def test_nothing_is_read_that_is_still_to_be_predicted():
    """A logit depends on earlier steps and on lower notes of its own step, and on nothing else."""
    model, batch = model_of(dropout=0.0), random_batch(SMALL, n_windows=1)
    states, places, _ = model.unpack(batch)
    states.requires_grad_(True)
    model(states, places)[0, 5, 20].sum().backward()  # note 20 of step 6
    reads = states.grad[0].abs().sum(-1) > 0  # (steps, notes)
    assert reads[:6, 20].all()
    assert reads[6, :20].all()
    assert not reads[6, 20:].any()
    assert not reads[7:].any()


def test_notes_are_treated_alike_wherever_they_lie():
    """Transposed music has transposed chances, but for what position and pitch class say (P8)."""
    model = model_of(dropout=0.0)
    with torch.no_grad():
        model.time_layers[0].weight_input[:, :13] = 0  # position and pitch class
        for layer in model.note_layers:  # the lower notes bring up their number
            layer.weight_hidden.zero_()
            layer.bias[layer.n_hidden : 2 * layer.n_hidden] = -40  # forget all
    batch = random_batch(SMALL, n_windows=1)
    batch[:, :, :14, :] = 0
    batch[:, :, 26:40, :] = 0
    states, places, _ = model.unpack(batch)
    with torch.no_grad():
        here, there = model(states, places), model(states.roll(5, dims=2), places)
    torch.testing.assert_close(here[:, :, 14:26], there[:, :, 19:31])


# dropout


def test_a_dropout_mask_holds_for_a_whole_sequence_and_differs_between_rows():
    model = model_of(dropout=0.5).train()
    dropped = model._dropped(torch.ones(9, 4, 200))
    assert (dropped == dropped[0]).all()
    assert not torch.equal(dropped[0, 0], dropped[0, 1])
    assert set(dropped.unique().tolist()) == {0.0, 1.0}  # not made up for in training
    assert (model.eval()._dropped(torch.ones(9, 4, 200)) == 0.5).all()


def test_dropout_may_be_made_up_for_in_training_instead():
    model = model_of(dropout=0.75, dropout_scaling="training").train()
    assert set(model._dropped(torch.ones(9, 4, 200)).unique().tolist()) == {0.0, 4.0}
    assert (model.eval()._dropped(torch.ones(9, 4, 200)) == 1).all()


# writing


def test_a_piece_begins_with_an_opening_of_the_corpus():
    learned = {"openings": [[[20, 24], [20]], [[3], [3]]], "polyphony": 2.0}
    first = set()
    for piece in model_of(learned=learned).generate(rngs_of(16), request_of(1)):
        first.add(tuple(note.pitch for note in piece.notes() if note.onset == 0))
    assert first == {(60, 64), (43,)}


def test_a_prime_is_heard_to_its_last_step():
    """With zero temperature all depends on the prime: the steps after it follow from teacher forcing."""
    model = model_of()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    representation = note_states(model.config)
    prime = Score((Track(tuple(Note(240 * n, 55 + 3 * (n % 5), 240) for n in range(24))),))
    request = request_of(1, prime=prime, temperature=1e-6)
    piece = model.generate(rngs_of(2), request)[0]
    steps = torch.from_numpy(representation.encode(prime, {}))
    states, places, _ = model.unpack(torch.cat([steps, steps[-1:]])[None])
    with torch.no_grad():
        above, _ = model.along_time(states[:, :-1], places[:, :-1])
        hidden = above[-1].unflatten(0, (1, -1))  # (1, notes, hidden)
        note_state, below, expected = [None] * 2, torch.zeros(1, 1, 2), []
        for note in range(40):
            fed = torch.cat([hidden[:, note][None], below], dim=-1)
            for number, layer in enumerate(model.note_layers):
                fed, note_state[number] = layer(fed, note_state[number])
                fed = fed * model.keep
            below = (model.output(fed) > 0).float()
            below[..., 1] *= below[..., 0]
            expected += [40 + note] if below[0, 0, 0] else []
    assert [note.pitch for note in piece.notes() if note.onset == 0] == expected
    assert expected


def test_a_prime_outside_the_range_is_refused_with_the_range():
    prime = Score((Track((Note(0, 20, 480),)),))
    message = "to continue: it needs a note from MIDI 40 to 79 that is not of the drums"
    with pytest.raises(GeneratorError, match=message):
        model_of().generate(rngs_of(1), request_of(prime=prime))


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8)])
def test_every_piece_sounds_in_its_last_bar_and_ends_with_it(meter):
    learned = {"openings": [[[20, 24], [20]]], "polyphony": 2.0}
    silent = model_of(learned=learned, adaptive=False)
    with torch.no_grad():
        silent.output.bias.fill_(-30)
    for model in (silent, model_of(learned=learned)):
        for piece in model.generate(rngs_of(3), request_of(3, meter)):
            assert piece.n_bars == 3
            assert piece.end <= request_of(3, meter).end(piece.ticks_per_beat)


def test_more_conservativity_means_fewer_notes():
    def n_notes(conservativity):
        model = model_of(conservativity=conservativity, adaptive=False)
        return sum(piece.n_notes for piece in model.generate(rngs_of(4), request_of()))

    assert n_notes(3.0) < n_notes(1.0) < n_notes(0.3)


def test_quiet_music_is_no_reason_for_more_notes_where_one_at_a_time_is_usual():
    """In a corpus of single notes only silence counts as quiet."""

    def calm_and_changed(polyphony):
        learned = {"openings": [[[20], [20]]], "polyphony": polyphony}
        model = model_of(learned=learned)
        plain = model_of(learned=learned, adaptive=False)
        for each in (model, plain):
            with torch.no_grad():
                each.output.bias.fill_(-2.0)
        counts = [
            sum(piece.n_notes for piece in each.generate(rngs_of(8), request_of(8)))
            for each in (plain, model)
        ]
        return counts

    (plain, single), (same, chordal) = calm_and_changed(1.0), calm_and_changed(3.0)
    assert plain == same
    assert plain <= single <= chordal


def test_a_longer_piece_begins_like_a_shorter_one():
    short, long = (model_of().generate(rngs_of(2), request_of(bars)) for bars in (3, 6))
    until = 2 * 4 * 480
    for one, other in itertools.zip_longest(short, long):
        assert [n for n in one.notes() if n.end < until] == [n for n in other.notes() if n.end < until]


# learning


def test_the_paper_learns_by_adadelta_with_each_tensor_clipped():
    (stage,) = BiaxialLSTM(SMALL, {}).stages()
    rule = stage.optimizers["model"]
    assert (stage.batch_size, stage.max_updates) == (10, 10_000)
    assert (rule.kind, rule.learning_rate, dict(rule.options)) == (
        "adadelta",
        1.0,
        {"rho": 0.95, "eps": 1e-6},
    )
    assert (rule.max_tensor_norm, rule.max_grad_norm) == (5.0, None)
    assert stage.early_stopping is None


def test_with_patience_it_stops_early_at_a_validation_loss_that_falls_no_more():
    (stage,) = BiaxialLSTM(replace(SMALL, patience=3), {}).stages()
    assert stage.early_stopping.evaluations == 3


@pytest.mark.parametrize("candidate", ["tanh", "linear"])
def test_a_few_updates_of_the_paper_bring_the_loss_well_down(candidate):
    config = replace(SMALL, initial_weights="normal", dropout=0.0, candidate=candidate)
    model, batch = model_of(config), random_batch(SMALL, n_windows=3, density=0.04)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95, eps=1e-6)
    losses = []
    for _ in range(30):
        ((_, loss),) = model.losses(batch, "notes")
        optimizer.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            torch.nn.utils.clip_grad_norm_(parameter, 5.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_settings_out_of_range_are_refused_with_the_value():
    for key, text in {
        "n_notes": "5",
        "lowest": "60",
        "time_layers": "0",
        "dropout": "1",
        "conservativity": "0",
        "n_steps": "1",
        "patience": "0",
    }.items():
        with pytest.raises(GeneratorError, match=rf"{key}.*{text}"):
            apply_overrides(PRESETS["paper"], {key: text})
