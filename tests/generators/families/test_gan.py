import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from generators.corpus import encode_pieces
from generators.decoding import draw_uniforms
from generators.families.gan import (
    FAMILY,
    GAN,
    PRESETS,
    Config,
    Norm,
    PictureWindows,
    mean_pairwise_jaccard,
)
from generators.family import Request
from generators.generation import piece_rng
from music.score import Meter, Note, Score, Tempo, Track

SMALL = Config(
    lowest=40, n_pitches=24, n_noise=5, generator_channels=6, discriminator_channels=4, batch_size=4
)
REQUEST = Request(4, Tempo(0), Meter(0))


def facts(*tracks, cells=2.0):
    names = ("piano", "guitar", "bass", "strings", "drums")
    used = {"cells_per_step": [cells * (name in tracks) for name in names], "velocities": [70] * 5}
    return {**FAMILY.example, **used}


def model_of(config=SMALL, learned=None, seed=0):
    torch.manual_seed(seed)
    return GAN(config, learned or FAMILY.example)


def windows_of(count, config=SMALL, seed=0):
    rng = torch.Generator().manual_seed(seed)
    sounds = torch.rand(count, config.n_steps, 5, config.n_pitches, generator=rng) < 0.1
    return sounds.to(torch.uint8) * 90


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


# the nets (P1)


def test_the_nets_of_the_copy_have_its_parameters():
    model = model_of(PRESETS["code"])
    assert (size(model.generator), size(model.discriminator)) == (92_358, 13_970)
    assert size(model.generator.unused) == size(model.discriminator.unused) == 256
    without = model_of(replace(PRESETS["code"], unused_norms=False))
    assert (size(without.generator), size(without.discriminator)) == (92_102, 13_714)


def test_the_nets_of_the_report_have_the_parameters_that_follow():
    """Layers by hand: weights and biases, then a mean, a scale and a slope for each layer in between."""
    model = model_of(PRESETS["paper"])
    growing = (100 * 64 * 2 + 64) + 4 * (64 * 64 * 2 + 64) + (64 * 5 * 128 + 5)
    shrinking = (5 * 16 * 128 + 16) + 4 * (16 * 16 * 2 + 16) + (32 + 1)
    assert size(model.generator) == growing + 5 * (64 + 64 + 1) == 87_498
    assert size(model.discriminator) == shrinking + 5 * (16 + 16 + 1) == 12_566


@pytest.mark.parametrize(("preset", "shape"), [("paper", (5, 32, 128)), ("code", (5, 64, 72))])
def test_pictures_grow_by_doubling_and_shrink_by_halving(preset, shape):
    model, heights = model_of(PRESETS[preset]), []
    for layer in [*model.generator.doublings, *model.discriminator.halvings]:
        layer.register_forward_hook(lambda layer, given, output: heights.append(output.shape[2]))
    pictures = model.generator(torch.randn(3, 100))
    logits, features = model.discriminator(pictures)
    assert pictures.shape == (3, *shape)
    assert (logits.shape, features.shape) == ((3,), (3, 16, 32, 1))
    assert heights == [2, 4, 8, 16, 32, 16, 8, 4, 2]


@pytest.mark.parametrize("kind", ["separate", "shared"])
def test_a_norm_is_that_of_torch_with_statistics_of_each_layer(kind):
    norm, values = Norm(3, 2, kind), [torch.randn(4, 3, 5, 1) * scale + scale for scale in (1, 7)]
    theirs = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for layer, batch_norm in enumerate(theirs):
        own = layer if kind == "separate" else 0
        batch_norm.weight.data, batch_norm.bias.data = norm.weights[own].data, norm.biases[own].data
    for _ in range(3):
        for layer in range(2):
            norm(values[layer], layer)
            theirs[layer](values[layer])
    norm.eval()
    for layer, batch_norm in enumerate(theirs):
        expected = nn.functional.leaky_relu(batch_norm.eval()(values[layer]), 0.25)
        assert torch.allclose(norm(values[layer], layer), expected, atol=1e-5)


# the game


def certain(model, logit):
    """A discriminator that is always as certain, whatever it sees."""
    model.discriminator.logit.weight.data.zero_()
    model.discriminator.logit.bias.data.fill_(logit)
    return model


def mean_label(model, logit):
    """The mean of all labels, from the loss: cross-entropy is softplus(logit) - label * logit."""
    torch.manual_seed(1)
    _, loss = next(iter(certain(model, logit).losses(windows_of(64), "game")))
    return (math.log1p(math.exp(logit)) - loss.item()) / logit


def test_label_noise_reaches_the_loss():
    """Against the definition, with the same labels: the mean of all labels would not tell."""
    model = model_of()
    model.discriminator.eval()
    seen = []
    forward = model.discriminator.forward
    model.discriminator.forward = lambda pictures: (seen.append(forward(pictures)), seen[-1])[1]
    torch.manual_seed(1)
    _, loss = next(iter(model.losses(windows_of(64), "game")))
    real, written = seen[0][0].double(), seen[1][0].double()
    torch.manual_seed(1)
    torch.randn(64, 5)
    true, false = 1 - 0.1 * torch.rand(64), 0.1 * torch.rand(64)
    expected = (nn.functional.softplus(real) - true * real).mean()
    expected += (nn.functional.softplus(written) - false * written).mean()
    assert loss.item() == pytest.approx(expected.item() / 2, rel=1e-5)


def test_label_noise_keeps_the_middle_and_can_be_left_out():
    assert mean_label(model_of(), 3.0) == pytest.approx(0.5, abs=0.01)
    sharp = certain(model_of(replace(SMALL, label_noise=0.0)), 3.0)
    _, loss = next(iter(sharp.losses(windows_of(8), "game")))
    assert loss.item() == pytest.approx((math.log1p(math.exp(-3)) + math.log1p(math.exp(3))) / 2, rel=1e-5)


def generator_loss(config, batch):
    model = certain(model_of(config), 0.0).eval()
    torch.manual_seed(2)
    written = torch.sigmoid(model.generator(torch.randn(len(batch), config.n_noise)))
    real = (batch > 0).transpose(1, 2).float()
    features = [model.discriminator(each)[1] for each in (written, real)]
    torch.manual_seed(2)
    (_, (part, loss)) = model.losses(batch, "game")
    assert part == "generator"
    return (
        loss.item() - math.log(2),
        written.detach().numpy(),
        real.numpy(),
        *(f.detach().numpy() for f in features),
    )


def test_feature_matching_compares_means_cell_by_cell():
    config = replace(SMALL, image_matching=0.3, feature_matching=0.7)
    matching, written, real, imitated, features = generator_loss(config, windows_of(6))
    image = sum((written[:, k] - real[:, k]).mean(0).__pow__(2).sum() for k in range(5))
    feature = ((imitated.mean(0) - features.mean(0)) ** 2).sum()
    assert matching == pytest.approx(0.3 * image + 0.7 * feature, rel=1e-3)


def test_features_of_both_are_those_of_the_discriminator_after_its_update():
    """With an update in between that doubles its features."""
    config = replace(SMALL, image_matching=0.0, feature_matching=1.0)
    model, batch = certain(model_of(config), 0.0).eval(), windows_of(6)
    seen = []
    forward = model.generator.forward
    model.generator.forward = lambda noise: (seen.append(forward(noise)), seen[-1])[1]
    losses = model.losses(batch, "game")
    next(losses)
    with torch.no_grad():
        model.discriminator.pitches.weight.mul_(2)
        model.discriminator.pitches.bias.mul_(2)
        _, loss = next(losses)
        pictures = (torch.sigmoid(seen[0]), (batch > 0).transpose(1, 2).float())
        imitated, real = (model.discriminator(each)[1].mean(0) for each in pictures)
    matching = (imitated - real).square().sum().item()
    assert loss.item() - math.log(2) == pytest.approx(matching, rel=1e-3)


def test_the_copys_means_are_over_everything_and_its_loss_is_plain():
    config = replace(SMALL, means="scalar", image_matching=0.3, feature_matching=0.7)
    matching, written, real, imitated, features = generator_loss(config, windows_of(6))
    expected = 0.3 * (written.mean() - real.mean()) ** 2 + 0.7 * (imitated.mean() - features.mean()) ** 2
    assert matching == pytest.approx(expected, rel=1e-3)
    plain = replace(SMALL, image_matching=0.0, feature_matching=0.0)
    assert generator_loss(plain, windows_of(6))[0] == pytest.approx(0, abs=1e-6)
    code = PRESETS["code"]
    assert (code.image_matching, code.feature_matching, code.label_noise) == (0, 0, 0)


def test_each_net_learns_from_its_own_loss_alone():
    model = model_of()
    for part, loss in model.losses(windows_of(4), "game"):
        model.zero_grad()
        loss.backward()
        if part == "discriminator":
            assert not any(each.grad is not None and each.grad.any() for each in model.generator.parameters())
        else:
            assert all(each.grad.any() for each in model.generator.parameters())


def test_the_discriminator_learns_twice_as_fast():
    (stage,) = model_of().stages()
    rates = {part: rule.learning_rate for part, rule in stage.optimizers.items()}
    assert rates == {"discriminator": 6e-4, "generator": 3e-4}
    assert all(rule.options == {"betas": (0.0, 0.99)} for rule in stage.optimizers.values())


def test_soft_notes_do_not_count_where_the_report_binarises():
    notes = (Note(0, 50, 480, 25), Note(480, 52, 480, 26))
    pieces = encode_pieces([Score((Track(notes),))], PictureWindows(SMALL), {})
    pictures = model_of()._pictures(pieces.batch(torch.arange(1)))
    assert pictures.nonzero()[:, 3].unique().tolist() == [12]


# likeness


def test_jaccard_of_pairs_is_that_of_sets():
    rolls = torch.rand(5, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    sets = [{tuple(cell) for cell in roll.nonzero().tolist()} for roll in rolls]
    pairs = list(itertools.combinations(sets, 2))
    expected = sum(len(one & other) / len(one | other) for one, other in pairs) / len(pairs)
    assert mean_pairwise_jaccard(rolls).item() == pytest.approx(expected, rel=1e-6)


def test_jaccard_knows_collapse_and_its_contrary():
    assert mean_pairwise_jaccard(torch.ones(3, 4, dtype=torch.bool)).item() == 1
    assert mean_pairwise_jaccard(torch.zeros(3, 4, dtype=torch.bool)).item() == 1
    assert mean_pairwise_jaccard(torch.eye(4, dtype=torch.bool)).item() == 0


@torch.no_grad()
def test_figures_are_those_of_the_nearest_picture():
    model = model_of(replace(SMALL, threshold=0.5)).eval()
    batch = windows_of(3)
    figures = model.figures(batch)
    pictures = torch.sigmoid(model.generator(model.probes)).numpy()
    real = batch.transpose(1, 2).numpy() > 0
    nearest = sum(min(((picture - window) ** 2).sum() for picture in pictures) for window in real)
    wrong = sum(min(((picture > 0.5) != window).sum() for picture in pictures) for window in real)
    assert float(figures["loss"][0]) == pytest.approx(nearest, rel=1e-4)
    assert float(figures["wrong_cells"][0]) == wrong
    assert float(figures["wrong_cells_of_silence"][0]) == real.sum()
    alike = mean_pairwise_jaccard(torch.from_numpy(pictures > 0.5))
    assert float(figures["collapse"][0]) / figures["collapse"][1] == pytest.approx(alike.item(), rel=1e-5)


# writing


def write(model, n=3, **wishes):
    return model.eval().generate([piece_rng(5, index) for index in range(n)], replace(REQUEST, **wishes))


def cells_of(score, n_steps):
    rolls = PictureWindows(SMALL).encode(score, {})
    return np.pad(rolls, ((0, n_steps - len(rolls)), (0, 0), (0, 0)))


def test_pieces_are_windows_of_independent_noise():
    """One piece and one window at a time, with the same uniform numbers."""
    model = model_of(replace(SMALL, threshold=0.5), facts("piano", "drums"))
    model.generator.pitches.weight.data *= 50
    for piece, rng in zip(write(model, n_bars=6), (piece_rng(5, index) for index in range(3)), strict=True):
        for window in range(3):
            noise = torch.special.ndtri(draw_uniforms([rng], 5)).float()
            sounds = torch.sigmoid(model.generator(noise))[0] > 0.5
            heard = cells_of(piece, 96)[32 * window : 32 * window + 32] > 0
            for track in (0, 4):
                assert np.array_equal(heard[:, track], sounds[track].numpy())
            assert sounds[1:4].any()
            assert not heard[:, 1:4].any()
        assert {note.velocity for note in piece.notes()} == {70}


def test_a_silent_window_gets_as_many_cells_as_usual():
    model = model_of(replace(SMALL, threshold=0.99), facts("bass", cells=1.5))
    (piece,) = write(model, n=1, n_bars=2)
    assert [track.name for track in piece.tracks] == ["bass"]
    assert np.count_nonzero(cells_of(piece, 32)) == 48


@torch.no_grad()
def test_pictures_can_start_from_how_often_pitches_sound():
    learned = {**facts("piano"), "pitch_shares": [[0.02] * 23 + [0.9]] * 5}
    model = model_of(replace(SMALL, start="marginals"), learned)
    model.generator.pitches.weight.zero_()
    model.generator.pitches.bias.zero_()
    chances = torch.sigmoid(model.generator(torch.randn(2, 5)))
    assert chances[..., :23].numpy() == pytest.approx(0.02, rel=1e-5)
    assert chances[..., 23].numpy() == pytest.approx(0.9, rel=1e-5)


@torch.no_grad()
def test_as_many_cells_are_written_as_are_likely():
    model = model_of(replace(SMALL, cut="count"), facts("piano", cells=2.0)).eval()
    logits = torch.full((1, 5, 32, 24), -20.0)
    logits[:, :, :, :10] = torch.logit(torch.linspace(0.2, 0.3, 320)).view(32, 10)  # 80 likely cells
    model.generator.forward = lambda noise: logits
    (piece,) = write(model, n=1, n_bars=2)
    assert np.count_nonzero(cells_of(piece, 32)) == 80


def test_what_is_done_is_told_before_each_window():
    told = []
    write(model_of(), n_bars=5, report=told.append)
    assert told == [0, 1 / 3, 2 / 3]


def test_the_last_bar_sounds():
    learned = facts("piano", cells=0.1)
    for n_bars in (1, 3, 9):
        for piece in write(model_of(replace(SMALL, threshold=0.99), learned), n_bars=n_bars):
            assert piece.n_bars == n_bars


def test_settings_out_of_range_are_refused():
    for settings, message in (
        ({"n_steps": 33}, "n_steps must be a multiple of 32, got 33"),
        ({"lowest": 60, "n_pitches": 69}, "pitches must be within 0-127, got lowest 60 and n_pitches 69"),
        ({"threshold": 1.0}, "threshold must be at least 0 and below 1, got 1.0"),
        ({"generator_rate": 0.0}, "generator_rate must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Config(**settings)
