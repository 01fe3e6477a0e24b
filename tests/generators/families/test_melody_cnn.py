import math

import numpy as np
import pytest
import torch

from analysis.description.diversity import describe_diversity
from generators.corpus import load_pieces
from generators.errors import GeneratorError
from generators.families.melody_cnn import (
    FAMILY,
    PRESETS,
    Config,
    Encoder,
    HarmonyCNN,
    MelodyAndHarmony,
    MelodyCNN,
    PicturePairs,
    jaccard,
    leader_of,
)
from generators.family import Request
from generators.generation import piece_rng
from generators.representations.five_tracks import PADDING, TRACKS, FiveTracks, pack, unpack
from music.score import Meter, Note, Score, Tempo, Track

SMALL = {"channels": (6, 8, 24)}


def learned_of(cells=(1.0, 0.0, 0.5, 0.0, 0.25), n_openings=3):
    random = np.random.default_rng(5)
    openings = (random.random((n_openings, 32, 5, 128)) < 0.02) * random.integers(
        1, 128, (n_openings, 1, 1, 1)
    )
    return {
        "cells_per_step": list(cells),
        "velocities": [60, 70, 80, 90, 99],
        "pitch_shares": FAMILY.example["pitch_shares"],
        "openings": pack(openings, 32),
    }


def model_of(learned=None, **settings):
    torch.manual_seed(0)
    return MelodyAndHarmony(Config(**{**SMALL, **settings}), learned or learned_of()).eval()


def silenced(model, strength=0.0):
    """Make all networks foresee the same strength everywhere, but for noise of the decoder's bias."""
    with torch.no_grad():
        for network in model.parts().values():
            network.decoder[-1].weight.zero_()
            network.decoder[-1].bias.fill_(strength)
    return model


def write(model, n_bars, rngs=1, meter=(4, 4), seed=0, **options):
    request = Request(n_bars, Tempo(0), Meter(0, *meter), **options)
    return model.generate([piece_rng(seed, index) for index in range(rngs)], request)


def heard(piece, n_steps):
    """What sounds in the eighths of a piece: (n_steps, 5, 128), bool."""
    rolls = FiveTracks(steps_per_beat=2, length=1, hop=1).encode(piece, {}) > 0
    return np.pad(rolls, ((0, n_steps - len(rolls)), (0, 0), (0, 0)))


# ---- the networks


def test_the_networks_have_the_parameters_of_their_layers():
    encoder = (16 * 64 + 64) + (64 * 16 * 128 + 128) + (128 * 16 * 256 + 256)
    decoder = (256 * 16 * 128 + 128) + (128 * 16 * 64 + 64) + (64 * 16 + 1)
    dense = 256 * 256 + 256
    model = MelodyAndHarmony(PRESETS["paper"], FAMILY.example)
    counts = {name: sum(each.numel() for each in part.parameters()) for name, part in model.parts().items()}
    assert counts["melody"] == encoder + 3 * dense + decoder == 1_510_785
    harmony = 2 * encoder + (512 * 256 + 256) + 2 * dense + decoder
    assert [counts[name] for name in ("guitar", "bass", "strings", "drums")] == [harmony] * 4
    assert harmony == 2_233_153
    assert sum(each.numel() for each in model.parameters()) == 10_443_397


def test_a_picture_goes_through_the_shapes_of_the_authors():
    picture, shapes = torch.rand(1, 1, 32, 128), []
    network = MelodyCNN(Config())
    for layer in network.encoders[0]:
        picture = layer(picture)
        shapes.append(tuple(picture.shape[1:]))
    assert shapes[::2] == [(64, 8, 32), (128, 2, 8), (256, 1, 1), (256,)]
    assert network(torch.rand(2, 32, 128)).shape == (2, 32, 128)
    assert HarmonyCNN(Config())(torch.rand(2, 32, 128), torch.rand(2, 32, 128)).shape == (2, 32, 128)


@torch.no_grad()
def test_a_convolution_looks_at_every_patch_once():
    """Strides as wide as the kernels: the picture cut into patches, each through one matrix."""
    torch.manual_seed(1)
    encoder = Encoder(Config(**SMALL)).double()
    picture = torch.rand(32, 128, dtype=torch.float64)
    seen = picture[None]  # (channels, steps, pitches)
    for layer, (height, width) in ((encoder[0], (4, 4)), (encoder[2], (4, 4)), (encoder[4], (2, 8))):
        rows, columns = seen.shape[1] // height, seen.shape[2] // width
        out = torch.empty(layer.out_channels, rows, columns, dtype=torch.float64)
        for row in range(rows):
            for column in range(columns):
                patch = seen[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
                out[:, row, column] = layer.weight.flatten(1) @ patch.flatten() + layer.bias
        seen = out.clamp(min=0)
    assert torch.allclose(encoder(picture[None, None])[0], seen.flatten(), atol=1e-12)


# ---- learning


@torch.no_grad()
def test_each_network_learns_the_next_picture_and_harmonies_know_the_next_melody():
    model = model_of()
    random = np.random.default_rng(2)
    batch = torch.from_numpy(
        (random.random((3, 64, 5, 128)) < 0.05) * random.integers(1, 128, (3, 64, 5, 128))
    )
    batch = batch.to(torch.uint8)
    batch[1, 50:] = PADDING
    errors = {"melody": [], "bass": [], "drums": []}
    for window in batch:
        known = [step for step in range(32, 64) if window[step, 0, 0] != PADDING]
        rolls = torch.where(window == PADDING, 0, window).float() / 127
        piano = rolls[:, 0]
        outputs = {"melody": model.melody(piano[None, :32])[0]}
        for name, place in (("bass", 2), ("drums", 4)):
            outputs[name] = model.harmonies[name](piano[None, 32:], rolls[None, :32, place])[0]
        for name, place in (("melody", 0), ("bass", 2), ("drums", 4)):
            for step in known:
                errors[name] += ((outputs[name][step - 32] - rolls[step, place]) ** 2).tolist()
    losses = dict(model.losses(batch, "pictures"))
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: np.mean(each) for name, each in errors.items()}, rel=1e-4
    )
    total, count = model.figures(batch)["loss"]
    assert float(total) == pytest.approx(sum(map(sum, errors.values())), rel=1e-4)
    assert int(count) == sum(map(len, errors.values()))


@torch.no_grad()
def test_nothing_is_learned_from_what_comes_after_the_end():
    model = model_of()
    batch = torch.zeros(1, 64, 5, 128, dtype=torch.uint8)
    batch[0, 3, 0, 60] = 90
    batch[0, 32:] = PADDING
    assert [loss.item() for _, loss in model.losses(batch, "pictures")] == [0, 0, 0]


def test_every_network_has_its_own_optimiser():
    (stage,) = model_of().stages()
    assert set(stage.optimizers) == {"melody", "bass", "drums"}
    assert {(rule.kind, rule.learning_rate) for rule in stage.optimizers.values()} == {("adam", 1e-3)}


@torch.no_grad()
def test_wrong_cells_are_counted_per_step_beside_those_of_silence():
    model = silenced(model_of(), 0.0)
    batch = torch.zeros(2, 64, 5, 128, dtype=torch.uint8)
    batch[0, 40, 0, 60:63] = batch[1, 63, 2, 40] = 80
    figures = model.figures(batch)
    assert [int(each) for each in figures["wrong_cells"]] == [4, 64]
    loud = silenced(model_of(), 1.0).figures(batch)
    assert int(loud["wrong_cells"][0]) == 2 * 32 * 128 * 3 - 4
    assert int(loud["wrong_cells_of_silence"][0]) == 4


@torch.no_grad()
def test_likeness_is_one_where_the_window_does_not_matter():
    batch = torch.zeros(2, 64, 5, 128, dtype=torch.uint8)
    batch[:, :32, 0, 60] = batch[:, 32:, 0, 72] = 80
    collapsed = silenced(model_of(), 1.0).figures(batch)
    assert float(collapsed["likeness"][0]) == 2
    assert float(collapsed["likeness_of_music"][0]) == pytest.approx(2 * 32 / (32 * 128 * 3))
    one = torch.tensor([[True, True, False], [False, False, False]])
    other = torch.tensor([[False, True, True], [False, False, False]])
    assert jaccard(one, other).tolist() == pytest.approx([1 / 3, 1])


def test_first_pictures_of_pieces_are_kept():
    scores = [Score((Track((Note(0, 20 + index, 480), Note(240 * 40, 99, 240))),)) for index in range(100)]
    learned = PicturePairs(Config()).learn([*scores, Score()])
    openings = unpack(learned["openings"], 32)
    assert 32 < len(openings) <= 64
    assert openings.shape[1:] == (32, 5, 128)
    assert {int(pitch) for pitch in openings.nonzero()[3]} == set(range(20, 120, 2))


def test_pieces_that_end_with_their_first_picture_leave_nothing_to_learn(listed):
    short, longer = tune(*[60] * 32), tune(*[60] * 33)
    with pytest.raises(GeneratorError) as error:
        load_pieces(listed([short, short], name="bare"), PicturePairs(Config()))
    message = str(error.value)
    assert "corpus 'bare' is too small: its 2 training pieces with notes give 0 windows" in message
    assert "of a piece with a note after its fourth bar (32 eighths)" in message
    pieces = load_pieces(listed([short, longer], [short]), PicturePairs(Config()))
    assert (len(pieces.train), len(pieces.validation)) == (1, 0)
    window = pieces.train.batch(torch.arange(1))
    assert (window[:, 32:] != PADDING).any()


def test_openings_come_back_from_their_text():
    random = np.random.default_rng(0)
    rolls = [random.integers(0, 128, (length, 5, 128), dtype=np.uint8) for length in (32, 7, 1)]
    again = unpack(pack(rolls, 32), 32)
    for roll, own in zip(rolls, again, strict=True):
        assert np.array_equal(own[: len(roll)], roll)
        assert not own[len(roll) :].any()
    assert len(unpack(pack([], 32), 32)) == 0


@pytest.mark.parametrize(
    ("cells", "leader"),
    [
        ((1, 2, 3, 3.5, 0.5), "piano"),
        ((0.5, 2, 3, 3.5, 9), "strings"),
        ((0, 0, 3, 0, 9), "bass"),
        ((0, 0, 0, 0, 9), "drums"),
        ((0, 0, 0, 0, 0), "drums"),
    ],
)
def test_the_piano_leads_where_it_plays_a_part_worth_mentioning(cells, leader):
    assert TRACKS[leader_of(cells)] == leader


# ---- writing


def writing_one_by_one(model, opening, n_pictures, draws=None):
    """Picture after picture of one piece that never falls silent: (32 * n, 5, 128), bool."""
    levels = torch.tensor([60, 70, 80, 90, 99]) / 127
    now = {place: torch.tensor(opening[:, place] / 127, dtype=torch.float32) for place in (0, 2, 4)}
    written = np.zeros((32 * n_pictures, 5, 128), dtype=bool)
    for number in range(n_pictures):
        noise = [0.0] * 3
        if draws is not None:
            noise = torch.special.ndtri(draws[number]).float()
        then = {0: model.melody(now[0][None], noise=noise[0])[0] > model.config.threshold}
        melody = (then[0] * levels[0])[None]
        for track, (place, name) in enumerate(((2, "bass"), (4, "drums")), start=1):
            then[place] = (
                model.harmonies[name](melody, now[place][None], noise=noise[track])[0]
                > model.config.threshold
            )
        now = {place: then[place] * levels[place] for place in then}
        assert any(sounds.any() for sounds in then.values())
        for place, sounds in then.items():
            written[32 * number : 32 * (number + 1), place] = sounds.numpy()
    return written


@torch.no_grad()
@pytest.mark.parametrize("noise_sd", [0.0, 1.0])
def test_pieces_side_by_side_are_those_written_one_by_one(noise_sd):
    model = model_of(threshold=0.05)
    pieces = write(model, 12, rngs=4, noise_sd=noise_sd)
    for index, piece in enumerate(pieces):
        rng = piece_rng(0, index)
        opening = model.openings[int(torch.rand(1, generator=rng, dtype=torch.float64) * 3)]
        draws = torch.stack([torch.rand(3, 24, generator=rng, dtype=torch.float64) for _ in range(3)])
        expected = writing_one_by_one(model, opening, 3, draws if noise_sd else None)
        assert expected.any()
        assert np.array_equal(heard(piece, 96), expected)


@torch.no_grad()
def test_without_noise_all_pieces_from_one_opening_are_the_same_and_noise_sets_them_apart():
    """Collapse, measured over seeds: the mean Jaccard index of pairs of pieces."""
    model = model_of(learned_of(n_openings=1), threshold=0.05)
    alike = describe_diversity([write(model, 8, seed=seed)[0] for seed in range(5)])
    apart = describe_diversity([write(model, 8, seed=seed, noise_sd=2.0)[0] for seed in range(5)])
    assert alike.mean_similarity == 1
    assert apart.mean_similarity < 0.9


@torch.no_grad()
def test_openings_are_drawn_evenly_and_a_shorter_piece_is_the_beginning_of_a_longer_one():
    model = model_of(threshold=0.05)
    kinds = [hash(piece) for piece in write(model, 1, rngs=30)]
    counts = [kinds.count(kind) for kind in set(kinds)]
    assert len(counts) == 3
    assert min(counts) > 3
    short, long = (heard(write(model, n_bars)[0], 8 * n_bars) for n_bars in (6, 18))
    assert np.array_equal(long[:48], short)


@torch.no_grad()
def test_a_piece_starts_at_a_bar_line_whatever_the_meter():
    """In 3/4 an opening ends 4 eighths before the next bar line: these are left out."""
    model = model_of(threshold=0.05)
    four, three = (heard(write(model, 9, meter=meter)[0], 72) for meter in ((4, 4), (3, 4)))
    assert np.array_equal(three[:50], four[4:54])


@torch.no_grad()
def test_silence_is_broken_by_the_strongest_cells_of_the_leader():
    model = silenced(model_of(), 0.0)
    with torch.no_grad():
        model.melody.decoder[-1].weight[0, 0].copy_(torch.arange(16.0).view(4, 4) / 1000)
    (piece,) = write(model, 9)
    cells = heard(piece, 72)
    assert not cells[:, 1:].any()
    for first in (0, 32):
        assert cells[first : first + 32, 0].sum() >= 32
    assert cells[64:].any()
    assert piece.n_bars == 9


@torch.no_grad()
def test_instruments_that_the_corpus_lacks_never_play():
    for piece in write(silenced(model_of(), 1.0), 2, rngs=2):
        assert [(track.name, track.notes[0].velocity) for track in piece.tracks] == [
            ("piano", 60),
            ("bass", 80),
            ("drums", 99),
        ]


def tune(*pitches, program=0, is_drum=False):
    return Score(
        (
            Track(
                tuple(Note(index * 240, pitch, 240) for index, pitch in enumerate(pitches)),
                program,
                is_drum=is_drum,
            ),
        )
    )


@torch.no_grad()
def test_a_prime_is_heard_from_its_end_filled_up_to_a_bar():
    model = model_of(threshold=0.05)
    long = tune(*range(20, 65))  # 45 eighths; 48 with the bar filled up
    rolls = np.zeros((48, 5, 128), dtype=np.uint8)
    rolls[np.arange(45), 0, np.arange(20, 65)] = 80
    (piece,) = write(model, 8, prime=long)
    assert np.array_equal(heard(piece, 64), writing_one_by_one(model, rolls[16:], 2))


@torch.no_grad()
def test_the_leader_takes_over_a_prime_that_has_no_part_for_it():
    model = model_of(threshold=0.05)
    assert write(model, 4, prime=tune(60, 64, 67, program=73)) == write(model, 4, prime=tune(60, 64, 67))
    drums = model_of(learned_of((0, 0, 0, 0, 1.0)))
    with pytest.raises(GeneratorError, match="the prime has no notes of drums"):
        write(drums, 4, prime=tune(60, 64))
    assert write(drums, 4, prime=tune(36, 38, is_drum=True))


@torch.no_grad()
def test_without_openings_pieces_start_from_silence():
    assert write(model_of(learned_of(n_openings=0), threshold=0.05), 3)[0].n_bars == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (8, 8)}, "channels must be three whole numbers of 1 to 4096, got (8, 8)"),
        ({"channels": (8, 8, 0)}, "channels must be three whole numbers"),
        ({"batch_size": 0}, "batch_size must be 1 to 1000000000, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0 and at most 1000, got 0.0"),
        ({"epochs": -1}, "epochs must be 0 to 1000000, got -1"),
        ({"threshold": 1.0}, "threshold must be at least 0 and below 1, got 1.0"),
        ({"noise_sd": -1.0}, "noise_sd must be 0 to 1000, got -1.0"),
        ({"noise_sd": 1e30}, "noise_sd must be 0 to 1000, got 1e+30"),
    ],
)
def test_settings_that_make_no_net_are_refused(settings, message):
    with pytest.raises(ValueError, match=r".") as error:
        Config(**settings)
    assert message in str(error.value)


def test_weights_start_with_the_size_that_rectified_units_keep():
    network = MelodyAndHarmony(Config(), learned_of()).melody
    for layer, n_heard in (
        (network.encoders[0][2], 64 * 16),
        (network.dense[0], 256),
        (network.decoder[1], 256),
    ):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / n_heard), rel=0.02)
        assert not layer.bias.any()


@torch.no_grad()
def test_with_a_bernoulli_likelihood_networks_learn_whether_cells_sound():
    model = model_of(likelihood="bernoulli")
    batch = (torch.rand(3, 64, 5, 128) < 0.05).to(torch.uint8) * 70
    cells = (batch > 0).float()
    chances = model.melody(cells[:, :32, 0]).double()
    surprise = -torch.distributions.Bernoulli(chances).log_prob(cells[:, 32:, 0].double())
    losses = dict(model.losses(batch, "pictures"))
    assert losses["melody"].item() == pytest.approx(surprise.mean().item(), rel=1e-4)
    for network in model.parts().values():
        network.decoder[-1].weight.zero_()
    assert model.melody(cells[:, :32, 0]).numpy() == pytest.approx(0.01, rel=1e-4)  # the share of pitches


@torch.no_grad()
def test_windows_are_transposed_as_a_whole_and_drums_are_not():
    model = model_of(transpose=3)
    now = torch.zeros(300, 3, 32, 128)
    now[:, :, :, 60] = 1
    then = now.roll(5, dims=3)
    moved, following = model._transposed(now, then)
    shifts = moved.argmax(3) - 60  # (300, tracks, 32)
    assert shifts[:, :2].unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert torch.equal(shifts[:, 0], shifts[:, 1])
    assert torch.equal(following, moved.roll(5, dims=3))
    assert not shifts[:, 2].any()


@torch.no_grad()
def test_as_many_cells_are_written_as_are_likely():
    """A quarter of all cells has a chance of a half; the others of nothing."""
    learned = learned_of((1.0, 0, 0, 0, 0))
    model = silenced(model_of(learned, likelihood="bernoulli", cut="count"), -20.0)
    model.melody.log_odds.zero_()
    model.melody.decoder[-1].weight.copy_(torch.arange(16.0).view(4, 4) / 100)
    model.melody.decoder[-1].bias.fill_(-4.0)
    pictures = model._from_rolls(model.openings[:1])
    strengths, sounds = model._continue(pictures, 0.0)
    least = strengths[sounds].min()
    assert sounds.sum() >= strengths.sum().round() > 32
    assert int((strengths > least).sum()) < strengths.sum()


def test_limits_of_updates_hold_alone_and_together():
    def updates(**limits):
        return model_of(**limits).stages()[0].max_updates  # of three networks

    assert updates() is None
    assert updates(max_updates=7, max_updates_in_all=30) == 7
    assert updates(max_updates_in_all=13) == 4
    assert updates(max_updates_in_all=1) == 1


@torch.no_grad()
def test_what_is_done_is_told_before_each_picture():
    told = []
    write(model_of(), 12, report=told.append)
    assert told == [0, 1 / 3, 2 / 3]
