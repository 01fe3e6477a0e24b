import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from generators import checkpoint
from generators.corpus import encode_pieces
from generators.errors import GeneratorError
from generators.families.deephear import (
    MOST_DRAWS,
    PRESETS,
    RBM,
    Config,
    DeepHear,
    cheapest_chain,
    harmony_mask,
    squared_distances,
)
from generators.family import Request
from generators.generation import generate, harmonize, piece_rng
from generators.representations.piano_roll import PianoRoll, flatten, unflatten
from generators.training import train
from music.formats import music21_pieces
from music.score import Meter, Note, Score, Tempo, Track

LEARNED = {"sounding_cells": 250.0}


def sixteenths(*notes, drums=()):
    """A score from (onset, pitch, duration) in sixteenths."""
    pitched = tuple(Note(onset * 120, pitch, duration * 120) for onset, pitch, duration in notes)
    return Score((Track(pitched), Track(tuple(Note(onset * 120, 38, 60) for onset in drums), is_drum=True)))


def model_of(*layers, **settings):
    torch.manual_seed(0)
    return DeepHear(Config(layers=layers, **settings), LEARNED)


# the roll and its windows (P2)


def test_row_r_is_midi_r_plus_12_and_others_are_left_out():
    roll = PianoRoll().encode(sixteenths((0, 11, 1), (0, 12, 1), (0, 60, 1), (1, 99, 1), (1, 100, 1)), {})
    assert roll.shape == (2, 88)
    assert roll.dtype == np.uint8
    assert np.argwhere(roll).tolist() == [[0, 0], [0, 48], [1, 87]]


def test_a_held_note_is_a_run_and_a_repeated_one_merges_with_it():
    roll = PianoRoll().encode(sixteenths((0, 60, 3), (3, 60, 2), (7, 60, 1)), {})
    assert roll[:, 48].tolist() == [1, 1, 1, 1, 1, 0, 0, 1]


def test_drums_are_not_heard():
    assert not len(PianoRoll().encode(sixteenths(drums=[0, 4]), {}))


def test_ticks_that_no_sixteenth_divides_are_moved_to_the_grid():
    score = Score((Track((Note(0, 60, 10), Note(10, 62, 20))),), ticks_per_beat=30)
    assert PianoRoll().encode(score, {})[:, [48, 50]].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("n_steps", "count"), [(65, 1), (80, 1), (81, 2), (96, 2), (500, 28), (1182, 70), (1214, 72), (1152, 68)]
)
def test_a_piece_gives_a_window_every_16_steps_less_four(n_steps, count):
    """ceil(n_steps / 16) - 4; the last three counts are those of files of the original."""
    roll = np.ones((n_steps, 88), dtype=np.uint8)
    assert PianoRoll().starts(roll) == [16 * index for index in range(count)]


@pytest.mark.parametrize("n_steps", [1, 16, 63, 64])
def test_a_piece_no_longer_than_a_window_gives_one(n_steps):
    assert PianoRoll().starts(np.ones((n_steps, 88), dtype=np.uint8)) == [0]


def test_windows_without_notes_teach_nothing():
    roll = np.zeros((300, 88), dtype=np.uint8)
    roll[200, 40] = 1
    assert PianoRoll().starts(roll) == [144, 160, 176, 192]


def test_density_is_that_of_the_cells():
    score = sixteenths(*[(bar * 16, 48 + voice, 16) for bar in range(9) for voice in range(4)])
    representation = PianoRoll()
    assert representation.learn([score]) == {"sounding_cells": 4 * 64}
    windows = encode_pieces([score], representation, {})
    assert len(windows) == math.ceil(144 / 16) - 4
    assert flatten(windows.batch(torch.arange(len(windows)))).mean().item() == pytest.approx(4 / 88)


def test_pieces_as_long_as_the_originals_give_its_558_windows():
    """Its counts by file: a window every 16 sixteenths, ceil(length / 16) - 4 of them."""
    counts = (82, 70, 72, 68, 70, 72, 70, 38, 16)
    missing = (0, 2, 4, 6, 8, 10, 12, 14, 15)
    lengths = [16 * (count + 4) - steps for count, steps in zip(counts, missing, strict=True)]
    rng = np.random.default_rng(0)
    rolls = [rng.random((length, 88)) < 0.05 for length in lengths]
    for roll in rolls:
        roll[::16, 0] = roll[-1, 0] = True  # no window is silent, and each piece sounds to its end
    scores = [
        sixteenths(*((step, 12 + row, 1) for step, row in np.argwhere(roll).tolist())) for roll in rolls
    ]
    windows = encode_pieces(scores, PianoRoll(), {})
    assert [len(PianoRoll().starts(PianoRoll().encode(score, {}))) for score in scores] == list(counts)
    assert len(windows) == 558
    cut = [
        roll[16 * index : 16 * index + 64] for roll in rolls for index in range(math.ceil(len(roll) / 16) - 4)
    ]
    assert np.array_equal(windows.batch(torch.arange(558)).numpy(), np.stack(cut))


def test_notes_move_to_the_nearest_sixteenth_and_none_vanishes():
    off_grid = Track((Note(50, 60, 100), Note(70, 62, 100), Note(245, 64, 10), Note(240, 65, 170)))
    roll = PianoRoll().encode(Score((off_grid,)), {})
    assert roll[:, [48, 50, 52, 53]].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]


@given(arrays(np.uint8, (2, 64, 88), elements=st.integers(0, 1)))
def test_the_input_is_pitch_major_and_time_minor(windows):
    cells = flatten(torch.from_numpy(windows))
    assert np.array_equal(cells[1].numpy(), windows[1].T.reshape(-1))
    assert np.array_equal(unflatten(cells).numpy(), windows)


# the net


def test_the_articles_net_has_its_parameters():
    count = sum(parameter.numel() for parameter in DeepHear(PRESETS["paper"], LEARNED).parameters())
    assert count == 6_055_056
    assert [tuple(layer.weight.shape) for layer in DeepHear(PRESETS["paper"], LEARNED).layers] == [
        (1024, 5632),
        (256, 1024),
        (64, 256),
        (16, 64),
    ]


def test_weights_start_within_the_bounds_of_the_sigmoid_and_biases_at_zero():
    layer = RBM(300, 100)
    bound = 4 * math.sqrt(6 / 400)
    assert layer.weight.abs().max() <= bound
    assert layer.weight.abs().max() > 0.99 * bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not layer.hidden_bias.any()
    assert not layer.visible_bias.any()


def test_the_decoder_is_the_encoder_transposed_with_its_own_biases():
    model = model_of(7, 3)
    for layer in model.layers:
        layer.visible_bias.data.normal_()
        layer.hidden_bias.data.normal_()
    lower, upper = ((each.weight, each.hidden_bias, each.visible_bias) for each in model.layers)
    cells = torch.rand(2, 5632)
    labels = torch.sigmoid(torch.sigmoid(cells @ lower[0].T + lower[1]) @ upper[0].T + upper[1])
    output = torch.sigmoid(torch.sigmoid(labels @ upper[0] + upper[2]) @ lower[0] + lower[2])
    assert torch.allclose(model.encode(cells), labels, atol=1e-6)
    assert torch.allclose(model.decode(labels), output, atol=1e-6)


def test_free_energy_sums_out_the_hidden_units():
    """Against the definition: minus the log of the sum of exp(-energy) over all 2^4 hidden states."""
    layer = RBM(5, 4)
    for parameter in layer.parameters():
        parameter.data.normal_()
    visible = torch.rand(3, 5)
    hidden = torch.tensor([[index >> bit & 1 for bit in range(4)] for index in range(16)], dtype=torch.float)
    energy = (
        -(visible @ layer.visible_bias)[:, None]
        - hidden @ layer.hidden_bias
        - visible @ layer.weight.T @ hidden.T
    )
    assert torch.allclose(layer.free_energy(visible), -torch.logsumexp(-energy, 1), atol=1e-5)


def test_contrastive_divergence_has_the_gradient_of_hinton():
    """Minus (v0 h0 - v1 h1) averaged over the batch, with probabilities for h; v1 is drawn again."""
    torch.manual_seed(3)
    layer = RBM(6, 4)
    visible = torch.rand(5, 6)
    torch.manual_seed(11)
    layer.contrastive_divergence(visible).backward()
    torch.manual_seed(11)
    with torch.no_grad():
        sample = torch.bernoulli(torch.sigmoid(visible @ layer.weight.T + layer.hidden_bias))
        fantasy = torch.bernoulli(torch.sigmoid(sample @ layer.weight + layer.visible_bias))
        before = torch.sigmoid(visible @ layer.weight.T + layer.hidden_bias)
        after = torch.sigmoid(fantasy @ layer.weight.T + layer.hidden_bias)
    assert set(fantasy.unique().tolist()) <= {0.0, 1.0}
    assert torch.allclose(layer.weight.grad, -(before.T @ visible - after.T @ fantasy) / 5, atol=1e-6)
    assert torch.allclose(layer.hidden_bias.grad, -(before - after).mean(0), atol=1e-6)
    assert torch.allclose(layer.visible_bias.grad, -(visible - fantasy).mean(0), atol=1e-6)


def test_a_layer_learns_from_the_probabilities_below_and_changes_nothing_below():
    model = model_of(9, 5)
    seen = []
    model.layers[1].contrastive_divergence = lambda visible: seen.append(visible) or visible.sum()
    batch = torch.randint(0, 2, (3, 64, 88), dtype=torch.uint8)
    list(model.losses(batch, "layer_2"))
    assert torch.equal(seen[0], model.layers[0].up(flatten(batch)).detach())
    assert not seen[0].requires_grad
    assert ((seen[0] > 0) & (seen[0] < 1)).any()


def test_fine_tuning_sums_squares_over_batch_and_cells():
    model = model_of(9, 5)
    batch = torch.randint(0, 2, (3, 64, 88), dtype=torch.uint8)
    ((part, loss),) = model.losses(batch, "fine_tuning")
    cells = flatten(batch)
    assert part == "model"
    assert loss.item() == pytest.approx(
        ((model.decode(model.encode(cells)) - cells) ** 2).sum().item(), rel=1e-5
    )


def test_the_plan_is_that_of_the_code_but_for_the_rate_of_fine_tuning():
    stages = DeepHear(PRESETS["paper"], LEARNED).stages()
    assert [stage.name for stage in stages] == ["layer_1", "layer_2", "layer_3", "layer_4", "fine_tuning"]
    assert {stage.epochs for stage in stages[:4]} == {100}
    assert stages[4].epochs == 1000
    assert {stage.batch_size for stage in stages} == {10}
    rules = [rule for stage in stages for rule in stage.optimizers.values()]
    assert {(rule.kind, rule.decay, rule.max_grad_norm) for rule in rules} == {("sgd", 1.0, None)}
    assert [rule.learning_rate for rule in rules] == [0.01] * 4 + [0.003]
    assert stages[4].patience.epochs == 4


def test_wrong_cells_are_counted_beside_those_of_silence():
    model = model_of(6, 4)
    batch = torch.zeros(2, 64, 88, dtype=torch.uint8)
    batch[0, :3, 5] = 1
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.zero_()
        model.layers[0].visible_bias.fill_(-9.0)  # the net says silence
        model.layers[0].visible_bias[5 * 64] = 9.0  # but for pitch 5 at the first step
        figures = {name: float(total) / float(count) for name, (total, count) in model.figures(batch).items()}
    assert figures["wrong_cells"] == figures["wrong_cells_rounded_label"] == (2 + 1) / 2
    assert figures["wrong_cells_of_silence"] == 3 / 2


def test_training_windows_are_remembered(listed, piece, tmp_path):
    """P4 in proportion: few windows, a small net; after training, few of the sounding cells are wrong."""
    overrides = {
        "layers": "64,16",
        "max_windows": "6",
        "pretraining_epochs": "60",
        "epochs": "500",
        "batch_size": "3",
        "learning_rate": "0.01",
    }
    corpus = listed([piece(seed, n_bars=8) for seed in range(3)])
    result = train("deephear", corpus, tmp_path, overrides=overrides, seed=1)
    figures = result.figures["train"]
    assert figures["wrong_cells_of_silence"] > 150
    assert figures["wrong_cells"] < 12
    assert result.stopped == "finished"


# writing


@torch.no_grad()
def writes(model, cells):
    """Make a model write these cells (64, 88) whatever the label."""
    for layer in model.layers:
        layer.weight.zero_()
    model.layers[0].visible_bias.copy_(torch.from_numpy(np.where(cells.T.flatten(), 9.0, -9.0)))
    return model.eval()


def request(n_bars, meter=(4, 4)):
    return Request(n_bars, Tempo(0), Meter(0, *meter))


def notes_of(score):
    """(onset, pitch, duration) in sixteenths."""
    return [(note.onset // 120, note.pitch, note.duration // 120) for note in score.notes()]


def test_cells_become_notes_as_long_as_they_sound():
    cells = np.zeros((64, 88), dtype=bool)
    cells[3:20, 48] = cells[60:, 50] = True
    (piece,) = writes(model_of(3), cells).generate([piece_rng(0, 0)], request(4))
    assert notes_of(piece) == [(3, 60, 17), (60, 62, 4)]


def test_windows_follow_each_other_and_each_strikes_anew():
    cells = np.zeros((64, 88), dtype=bool)
    cells[:, 48] = True
    (piece,) = writes(model_of(3), cells).generate([piece_rng(0, 0)], request(9))
    assert notes_of(piece) == [(0, 60, 64), (64, 60, 64), (128, 60, 16)]


def test_the_originals_chopped_notes_are_an_option():
    cells = np.zeros((64, 88), dtype=bool)
    cells[2:9, 48] = True
    cells[63, 50] = True
    (piece,) = writes(model_of(3, rearticulate=True), cells).generate([piece_rng(0, 0)], request(4))
    assert notes_of(piece) == [(2, 60, 2), (4, 60, 4), (8, 60, 1), (63, 62, 1)]


def test_labels_are_fair_random_bits_and_new_ones_for_each_window():
    model = model_of(8, 16)
    seen = []
    model.decode = lambda labels: seen.append(labels) or torch.ones(len(labels), 5632)
    model.generate([piece_rng(0, index) for index in range(50)], request(16))
    labels = torch.stack(seen)
    assert labels.shape == (4, 50, 16)
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    assert labels.mean().item() == pytest.approx(0.5, abs=0.05)
    assert len(labels.flatten(0, 1).unique(dim=0)) > 190


def test_a_silent_window_gets_another_label():
    model = model_of(8, 16)
    calls = []

    def decode(labels):
        calls.append(labels.clone())
        strength = torch.zeros(len(labels), 5632)
        if len(calls) > 3:
            strength[:, 48 * 64 : 49 * 64] = 1
        return strength

    model.decode = decode
    (piece,) = model.generate([piece_rng(0, 0)], request(4))
    assert notes_of(piece) == [(0, 60, 64)]
    assert len(calls) == 4
    assert len(torch.cat(calls).unique(dim=0)) == 4


def test_a_net_that_only_knows_silence_writes_its_strongest_cells():
    model = model_of(8, 16)
    calls = []

    def decode(labels):
        calls.append(1)
        return torch.linspace(0, 0.4, 5632).expand(len(labels), -1)

    model.decode = decode
    (piece,) = model.generate([piece_rng(0, 0)], request(4))
    assert len(calls) == MOST_DRAWS
    last_bar = notes_of(piece)
    assert sum(duration for _, _, duration in last_bar) == round(250 / 4)  # a quarter of a window's mean
    assert {onset // 16 for onset, _, _ in last_bar} == {3}


def test_the_last_bar_is_never_silent():
    model = model_of(8, 16)
    draws = []

    def decode(labels):
        draws.append(1)
        strength = torch.zeros(len(labels), 88, 64)
        strength[:, 40, : 40 + len(draws)] = 1
        return strength.flatten(1)

    model.decode = decode
    (piece,) = model.generate([piece_rng(0, 0)], request(4))
    assert piece.n_bars == 4
    assert len(draws) == 9


# harmonising

TUNE = Score(
    (Track(tuple(Note(index * 240, 72 + (index * 5) % 9, 240) for index in range(70)), program=73),), 480
)


@pytest.mark.parametrize("kind", ["article", "code"])
@given(melody=arrays(bool, (64, 88), elements=st.booleans(), fill=st.just(False)))
def test_the_mask_is_the_melody_its_neighbours_and_in_the_code_all_above(kind, melody):
    mask = harmony_mask(melody, kind)
    for step in range(0, 64, 7):
        rows = np.flatnonzero(melody[step])
        for row in range(88):
            near = any(abs(row - each) <= 2 for each in rows)
            above = kind == "code" and len(rows) > 0 and row >= rows.max()
            assert mask[step, row] == (near or above)


def test_the_melody_stays_and_nothing_comes_near_it(trained):
    (piece,) = harmonize(trained("deephear"), TUNE, seed=3, overrides={"harmony_steps": "50"})
    melody, harmony = piece.tracks
    assert melody.notes == TUNE.tracks[0].notes
    assert (melody.program, melody.name, harmony.name) == (73, "melody", "harmony")
    assert (piece.tempos, piece.meters, piece.ticks_per_beat) == (TUNE.tempos, TUNE.meters, 480)
    assert harmony.notes
    for note in harmony.notes:
        for sung in melody.notes:
            if note.onset < sung.end and sung.onset < note.end:
                assert abs(note.pitch - sung.pitch) > 2


def test_the_soprano_of_a_chorale_comes_back_note_for_note(trained):
    ((_, load),) = music21_pieces("bach/bwv66.6.mxl")
    chorale = load()
    soprano = dataclasses.replace(chorale.tracks[0], program=52)
    chorale = chorale.with_tracks([*chorale.tracks[1:], soprano])
    few = {"harmony_steps": "2", "harmony_restarts": "2"}
    (piece,) = harmonize(trained("deephear"), chorale, seed=3, overrides=few)
    assert len(soprano.notes) == 36
    assert (piece.tracks[0].notes, piece.tracks[0].program) == (soprano.notes, 52)


def test_a_melody_of_any_length_is_harmonised_to_its_end(trained):
    (piece,) = harmonize(
        trained("deephear"), TUNE, seed=3, overrides={"harmony_threshold": "0", "harmony_steps": "10"}
    )
    assert TUNE.end == 70 * 240 > 2 * 64 * 120
    assert max(note.end for note in piece.tracks[1].notes) == TUNE.end


def test_harmonies_differ_by_seed_and_not_by_count(tmp_path):
    config = {"family": "deephear", "config": {"layers": [9, 6]}, "learned": LEARNED, "music": {}}
    checkpoint.save(tmp_path, config, model_of(9, 6).state_dict(), {}, {})
    few = {"harmony_steps": "20", "harmony_restarts": "4"}
    three = harmonize(tmp_path, TUNE, count=3, seed=1, overrides=few)
    assert three[:1] == harmonize(tmp_path, TUNE, count=1, seed=1, overrides=few)
    assert len(set(three)) == 3
    assert harmonize(tmp_path, TUNE, seed=2, overrides=few) != three[:1]


def test_labels_descend_to_music_that_holds_the_melody(trained):
    """The squared error on the claimed cells falls, and the best of all starts is taken."""
    model = checkpoint.load(trained("deephear"), overrides={"harmony_steps": "100"}).model
    melody = PianoRoll().encode(TUNE, {})[:64].astype(bool)
    mask = torch.from_numpy(harmony_mask(melody, "article").T.flatten())
    target = torch.from_numpy(melody.T.flatten()).float()

    def error(labels):
        return ((model.decode(labels) - target) ** 2 * mask).sum(1)

    labels = torch.rand(64, 8, generator=piece_rng(0, 0), requires_grad=True)
    start = error(labels).min().item()
    for _ in range(100):  # plain gradient descent through the whole net
        (gradient,) = torch.autograd.grad(error(labels).sum(), labels)
        labels = (labels - 0.01 * gradient).detach().requires_grad_(True)
    best = error(labels).argmin()
    assert error(labels)[best].item() < start
    expected = (unflatten(model.decode(labels))[best] > 0.4).detach().numpy() & ~harmony_mask(
        melody, "article"
    )
    assert np.array_equal(model._harmony(melody, piece_rng(0, 0)), expected)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            arrays(float, (n, 3), elements=st.integers(0, 9)),
            arrays(float, (n - 1, 3, 3), elements=st.integers(0, 9)),
        )
    )
)
def test_the_chain_is_the_cheapest_of_all_chains(costs_and_transitions):
    costs, transitions = costs_and_transitions

    def cost_of(chain):
        steps = zip(transitions, itertools.pairwise(chain), strict=True)
        own = sum(cost[choice] for cost, choice in zip(costs, chain, strict=True))
        return own + sum(transition[pair] for transition, pair in steps)

    best = min(cost_of(chain) for chain in itertools.product(range(3), repeat=len(costs)))
    assert cost_of(cheapest_chain(costs, list(transitions))) == best


@pytest.mark.parametrize("hop", [16, 63, 64])
def test_windows_are_compared_where_both_sound(hop):
    rng = np.random.default_rng(hop)
    before, after = rng.random((2, 64, 88)), rng.random((3, 64, 88))
    expected = np.zeros((2, 3))
    for first, second, step in itertools.product(range(2), range(3), range(hop, 64)):
        expected[first, second] += ((before[first, step] - after[second, step - hop]) ** 2).sum()
    assert np.allclose(squared_distances(before, after, hop), expected)


def held_chords(**settings):
    """A net whose windows are chords held for all of their 64 steps, other ones for each label."""
    model = model_of(12, harmony_restarts=16, harmony_steps=40, **settings)
    with torch.no_grad():
        pitches = torch.randn(12, 88, generator=torch.Generator().manual_seed(5)) * 3
        model.layers[0].weight.copy_(pitches.repeat_interleave(64, dim=1))
        model.layers[0].visible_bias.fill_(-6.0)
    return model.eval()


def test_overlapping_windows_are_more_continuous_than_windows_side_by_side():
    """Chords that nothing but a window's end can break: how many cells change from one step to the next."""
    melody = np.zeros((640, 88), dtype=bool)
    melody[::8, 60] = True

    def changes(**settings):
        model = held_chords(**settings)
        harmonies = [model._harmony(melody, piece_rng(0, index)) for index in range(4)]
        assert all(harmony.any(1).mean() > 0.5 for harmony in harmonies)
        free = ~(harmony_mask(melody, "article")[1:] | harmony_mask(melody, "article")[:-1])
        return sum(int(((each[1:] != each[:-1]) & free).sum()) for each in harmonies)

    overlapping, side_by_side = changes(), changes(harmony_hop=64)
    assert overlapping < 0.5 * side_by_side
    assert overlapping <= changes(harmony_agreement=0.0)


def test_the_first_of_the_restarts_is_an_option():
    melody = np.zeros((64, 88), dtype=bool)
    melody[::4, 50] = True
    one = held_chords(harmony_choice="first")
    labels = torch.rand(16, 12, generator=piece_rng(0, 0))
    mask = torch.from_numpy(harmony_mask(melody, "article").T.flatten())
    target = torch.from_numpy(melody.T.flatten()).float()
    for _ in range(40):
        labels.requires_grad_(True)
        error = ((one.decode(labels) - target).square() * mask).sum()
        labels = (labels - 0.01 * torch.autograd.grad(error, labels)[0]).detach()
    expected = (unflatten(one.decode(labels))[0] > 0.4).detach().numpy() & ~harmony_mask(melody, "article")
    assert np.array_equal(one._harmony(melody, piece_rng(0, 0)), expected)


def test_windows_descend_together_as_they_would_alone(monkeypatch):
    model = held_chords()
    generator = torch.Generator().manual_seed(2)
    labels = torch.rand(5, 3, 12, generator=generator)
    wanted = (torch.rand(5, 5632, generator=generator) < 0.01).float()
    claimed = torch.rand(5, 5632, generator=generator) < torch.linspace(0.0, 0.1, 5)[:, None]
    together, errors = model._descend(labels, wanted, claimed)
    for window in range(5):
        own = labels[window].clone()
        for _ in range(40):
            own.requires_grad_(True)
            error = ((model.decode(own) - wanted[window]).square() * claimed[window]).sum(1)
            own = (own - 0.01 * torch.autograd.grad(error.sum(), own)[0]).detach()
        assert torch.allclose(together[window], own, atol=1e-5)
        error = ((model.decode(own) - wanted[window]).square() * claimed[window]).sum(1)
        assert torch.allclose(errors[window], error, rtol=1e-4)
    monkeypatch.setattr("generators.families.deephear.MOST_WEIGHTS", 1)  # a window at a time
    assert torch.allclose(model._descend(labels, wanted, claimed)[0], together, atol=1e-5)


def test_no_harmony_sounds_below_its_threshold():
    model = writes(model_of(3), np.zeros((64, 88), dtype=bool))
    melody = PianoRoll().encode(TUNE, {}).astype(bool)
    assert not model._harmony(melody, piece_rng(0, 0)).any()


def test_the_weights_of_the_label_may_stay_as_they_were_drawn():
    names = [stage.name for stage in model_of(9, 7, 5, pretrain_top=False).stages()]
    assert names == ["layer_1", "layer_2", "fine_tuning"]
    assert [stage.name for stage in model_of(9, pretrain_top=False).stages()] == ["fine_tuning"]


def test_ticks_that_no_sixteenth_divides_keep_the_melody_exact(trained):
    tune = Score((Track((Note(0, 72, 7), Note(7, 74, 23), Note(30, 76, 60))),), ticks_per_beat=30)
    (piece,) = harmonize(
        trained("deephear"), tune, overrides={"harmony_steps": "5", "harmony_threshold": "0"}
    )
    assert piece.ticks_per_beat == 30
    assert piece.tracks[0].notes == tune.tracks[0].notes
    assert piece.tracks[1].notes


def test_a_melody_out_of_reach_is_refused(trained):
    with pytest.raises(GeneratorError, match="the melody has no note from MIDI 12 to 99"):
        harmonize(trained("deephear"), Score((Track((Note(0, 110, 480),)),)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ()}, "layers must be one or more whole numbers above 0, got ()"),
        ({"layers": (8, 0)}, "layers must be"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0 and at most 1000, got 0.0"),
        ({"threshold": 1.0}, "threshold must be at least 0 and below 1, got 1.0"),
        ({"harmony_hop": 65}, "harmony_hop must be 1 to 64 sixteenths, got 65"),
        ({"harmony_agreement": -1.0}, "harmony_agreement must be 0 to 1000, got -1.0"),
    ],
)
def test_settings_that_make_no_net_are_refused(settings, message):
    with pytest.raises(ValueError, match=r".") as error:
        Config(**settings)
    assert message in str(error.value)


def test_without_pretraining_there_is_only_fine_tuning(corpus, small, tmp_path):
    overrides = {**small["deephear"], "pretraining_epochs": "0"}
    result = train("deephear", corpus, tmp_path, overrides=overrides)
    assert result.stopped == "finished"
    assert generate(tmp_path, count=1, bars=1)
