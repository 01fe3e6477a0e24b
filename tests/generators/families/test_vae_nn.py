import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from generators.corpus import encode_pieces, load_pieces
from generators.decoding import draw_uniforms
from generators.errors import GeneratorError
from generators.families.vae_nn import (
    FAMILY,
    LEVELS,
    N_OPENINGS,
    PRESETS,
    TRACKS,
    VAENN,
    ConditionalNN,
    Config,
    ConvVAE,
    MelodyNN,
    SegmentPairs,
)
from generators.family import Request
from generators.generation import piece_rng
from generators.representations.five_tracks import pack, unpack
from music.score import Meter, Note, Score, Tempo, Track

SMALL = Config(n_latents=3, channels=(4, 6, 8), d_hidden=10)
REQUEST = Request(8, Tempo(0), Meter(0))


def eighths(*notes, program=0, is_drum=False, velocity=100):
    """A track from (onset, pitch, duration) in eighths."""
    played = (Note(onset * 240, pitch, duration * 240, velocity) for onset, pitch, duration in notes)
    return Track(tuple(played), program, is_drum=is_drum)


def facts_of(*scores):
    return SegmentPairs(SMALL).learn(scores)


def facts(*tracks, openings=()):
    cells = [float(name in tracks) for name in TRACKS]
    return {**FAMILY.example, "cells_per_step": cells, "openings": pack(openings, 32)}


def model_of(config=SMALL, learned=None, seed=0):
    torch.manual_seed(seed)
    return VAENN(config, learned or FAMILY.example).eval()


def windows_of(*scores):
    pieces = encode_pieces(scores, SegmentPairs(SMALL), {})
    return pieces.batch(torch.arange(len(pieces)))


def tune(n_segments, *, program=0, base=60):
    notes = [(step, base + (step * 7) % 12, 1) for step in range(0, n_segments * 32, 2)]
    return Score((eighths(*notes, program=program),))


def band(n_segments):
    tracks = [
        tune(n_segments, program=program, base=48 + 6 * n).tracks[0] for n, program in enumerate((0, 33))
    ]
    return Score((*tracks, eighths(*[(4 * n, 38, 1) for n in range(8 * n_segments)], is_drum=True)))


def vae_of(**settings):
    return ConvVAE(Config(**settings), level=0.8, shares=[0.01] * 128)


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


# the nets (P1, P13)


@pytest.mark.parametrize(
    ("n_latents", "count"), [(8, 1_318_027), (16, 1_322_131), (32, 1_330_339), (64, 1_346_755)]
)
def test_an_autoencoder_has_the_parameters_of_the_original(n_latents, count):
    assert size(vae_of(n_latents=n_latents)) == count


def test_the_networks_have_the_parameters_of_the_original():
    assert size(MelodyNN(Config())) == 20_752
    assert size(ConditionalNN(Config())) == 6_288
    assert size(VAENN(PRESETS["paper"], FAMILY.example)) == 5 * 1_322_131 + 20_752 + 4 * 6_288


def test_pictures_shrink_and_grow_as_in_the_original():
    vae = vae_of()
    shapes = []
    for layer in vae.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda layer, given, output: shapes.append(tuple(output.shape[1:])))
    means, log_sigma = vae.encode(torch.rand(2, 32, 128))
    assert (means.shape, log_sigma.shape) == ((2, 16), (2,))
    assert vae.decode(means).shape == (2, 32, 128)
    assert shapes == [(64, 8, 32), (128, 2, 8), (256, 1, 1), (128, 2, 8), (64, 8, 32), (1, 32, 128)]


def test_the_loss_is_the_evidence_bound_by_its_definition():
    config = replace(SMALL, sigma_x=0.3)
    vae, cells = model_of(config).vaes["piano"], torch.rand(5, 32, 128)
    torch.manual_seed(3)
    loss = vae.loss(cells)
    torch.manual_seed(3)
    means, log_sigma = vae.encode(cells)
    posterior = Normal(means, log_sigma.exp()[:, None].expand_as(means))
    latents = posterior.rsample()
    likelihood = (
        Normal(vae.decode(latents), 0.3).log_prob(cells).sum((1, 2)) + 4096 * math.log(2 * math.pi) / 2
    )
    estimate = (posterior.log_prob(latents) - Normal(0, 1).log_prob(latents)).sum(1)
    assert loss.item() == pytest.approx((estimate - likelihood).mean().item(), rel=1e-5)


def test_the_divergence_can_be_exact_and_its_estimate_agrees_on_average():
    vae = model_of(replace(SMALL, kl="closed_form")).vaes["piano"]
    means, log_sigma = torch.randn(4, 3), torch.randn(4) / 4
    exact = vae._kl(means, log_sigma, torch.zeros(4, 3))
    posterior = Normal(means, log_sigma.exp()[:, None].expand(4, 3))
    assert torch.allclose(exact, kl_divergence(posterior, Normal(0, 1)).sum(1), atol=1e-5)
    vae.is_exact = False
    estimates = torch.stack([vae._kl(means, log_sigma, torch.randn(4, 3)) for _ in range(4000)])
    assert torch.allclose(estimates.mean(0), exact, atol=0.15)


def test_an_instrument_that_always_rests_does_not_break_the_likelihood():
    vae = model_of(replace(SMALL, sigma_x=0.004)).vaes["piano"]
    vae.log_sigma_x.data -= 50.0
    loss = vae.loss(torch.zeros(2, 32, 128))
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(torch.isfinite(each.grad).all() for each in vae.parameters() if each.grad is not None)


def test_segments_are_remembered():
    def chords(base):
        places = [(8 * n, base + third + n % 4 * 2 + n // 4 * 12, 8) for n in range(8) for third in (0, 4, 7)]
        return Score((eighths(*places),))

    config = replace(
        SMALL, channels=(16, 32, 64), n_latents=32, likelihood="bernoulli", kl_weight=0.05, sigma_z=0.03
    )
    model, batch = model_of(config, facts("piano")), windows_of(chords(40), chords(50), chords(61))
    optimizer = torch.optim.Adam(model.vaes.parameters(), 3e-3)
    for _ in range(300):
        for _, loss in model.losses(batch, "autoencoders"):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right, both = model.figures(batch)["f1"]
    assert right / both > 0.95


def test_with_a_bernoulli_likelihood_the_loss_is_the_weighted_bound():
    config = replace(SMALL, likelihood="bernoulli", kl_weight=0.3)
    vae, cells = model_of(config).vaes["piano"], (torch.rand(5, 32, 128) < 0.1) * 0.8
    torch.manual_seed(3)
    loss = vae.loss(cells)
    torch.manual_seed(3)
    means, log_sigma = vae.encode(cells)
    posterior = Normal(means, log_sigma.exp()[:, None].expand_as(means))
    latents = posterior.rsample()
    chances = (vae.decode(latents) / 0.8).double()
    likelihood = Bernoulli(chances).log_prob((cells > 0).double()).sum((1, 2))
    estimate = (posterior.log_prob(latents) - Normal(0, 1).log_prob(latents)).sum(1)
    assert loss.item() == pytest.approx((0.3 * estimate - likelihood).mean().item(), rel=1e-4)


@torch.no_grad()
def test_a_bernoulli_likelihood_starts_from_how_often_pitches_sound():
    learned = {**facts("piano"), "pitch_shares": [[0.02] * 127 + [0.9]] * 5}
    vae = model_of(replace(SMALL, likelihood="bernoulli"), learned).vaes["piano"]
    vae.decoder[-1].weight.zero_()
    strengths = vae.decode(torch.randn(2, 3))
    assert strengths[..., :127].numpy() == pytest.approx(0.8 * 0.02, rel=1e-5)
    assert strengths[..., 127].numpy() == pytest.approx(0.8 * 0.9, rel=1e-5)


def test_silent_segments_are_left_out_but_for_a_share():
    cells = torch.zeros(4000, 32, 128)
    cells[::4, 3, 60] = 0.8
    kept = model_of(replace(SMALL, silent_share=0.1))._without_silent(cells)
    assert int(kept.flatten(1).any(1).sum()) == 1000
    assert 240 < len(kept) - 1000 < 360  # 300 expected, with a standard deviation of 16
    assert len(model_of(SMALL)._without_silent(cells)) == 4000
    assert len(model_of(replace(SMALL, silent_share=1e-9))._without_silent(cells[1:3])) == 1


def test_segments_of_pitched_instruments_are_transposed_and_drums_are_not():
    cells = torch.zeros(400, 32, 128)
    cells[:, :, 60] = 0.8
    model = model_of(replace(SMALL, transpose=2))
    pitches = model._transposed(cells, 0).nonzero()[:, 2].unique()
    assert pitches.tolist() == [58, 59, 60, 61, 62]
    assert torch.equal(model._transposed(cells, TRACKS.index("drums")), cells)
    assert torch.equal(model_of(SMALL)._transposed(cells, 0), cells)


def test_what_is_done_is_told_before_each_segment():
    told = []
    write(model_of(), n_bars=12, report=told.append)
    assert told == [0, 1 / 3, 2 / 3]


def test_as_many_cells_are_written_as_are_likely():
    model = model_of(replace(SMALL, likelihood="bernoulli", cut="count"), facts("piano"))
    strengths = torch.zeros(1, 1, 32, 128)
    strengths[0, 0, :, 60:70] = 0.8 * 0.25 * torch.linspace(0.9, 1.1, 320).view(32, 10)  # 80 likely cells
    model._decode = lambda latents: strengths
    (piece,) = write(model, n=1, n_bars=4)
    assert np.count_nonzero(cells_of(piece, 32)) == 80


# windows, pairs and latent vectors


def test_windows_are_pairs_of_neighbouring_segments():
    score = tune(3)
    windows = windows_of(score)
    rolls = SegmentPairs(SMALL).encode(score, {})
    assert windows.shape == (2, 64, 5, 128)
    assert np.array_equal(windows[1, :32].numpy(), windows[0, 32:].numpy())
    assert np.array_equal(windows[1, : len(rolls) - 32].numpy(), rolls[32:])


def test_rows_are_the_posterior_means_of_both_segments_and_what_sounds():
    model, windows = model_of(learned=facts_of(band(3))), windows_of(band(3))
    assert model.names == ["piano", "bass", "drums"]
    rows = model.precompute(windows, "harmony")
    assert rows.shape == (2, 2, 3, 3 + 2)
    for window in range(2):
        for half in range(2):
            for track, place in enumerate((0, 2, 4)):
                cells = windows[window, 32 * half : 32 * half + 32, place].float() / 127
                means, _ = model.vaes[TRACKS[place]].encode(cells[None])
                assert torch.allclose(rows[window, half, track, :3], means[0], atol=1e-5)
    assert rows[..., 3:].eq(1).all()
    assert torch.equal(model.precompute(windows, "melody"), rows[:, :, :1])


def test_networks_learn_the_same_from_rows_as_from_windows():
    model, windows = model_of(learned=facts_of(band(4))), windows_of(band(4))
    for stage in ("melody", "harmony"):
        from_windows = dict(model.losses(windows, stage))
        from_rows = dict(model.losses(model.precompute(windows, stage), stage))
        assert from_windows.keys() == from_rows.keys()
        assert all(torch.equal(from_windows[part], from_rows[part]) for part in from_rows)


def test_pairs_over_the_end_of_a_piece_teach_nothing():
    model = model_of(learned=facts("piano"))
    ends, goes_on = windows_of(tune(1)), windows_of(tune(2))
    ((_, alone),) = model.losses(goes_on, "melody")
    ((_, both),) = model.losses(torch.cat([goes_on, ends]), "melody")
    ((_, none),) = model.losses(ends, "melody")
    assert both.item() == pytest.approx(alone.item(), rel=1e-6)
    assert none.item() == 0


def test_a_pair_with_silence_weighs_a_tenth():
    """Against the average by hand: the bass of the second piece rests in its first segment."""
    resting = Score((tune(2).tracks[0], eighths((40, 36, 4), program=33)))
    model, windows = model_of(learned=facts("piano", "bass")), windows_of(band(2), resting)
    rows = model.precompute(windows, "harmony")
    errors = []
    for pair in rows:
        output = model.conditional_nns["bass"](torch.cat([pair[0, 1, :3], pair[1, 0, :3]]))
        errors.append((output - pair[1, 1, :3]).square().mean())
    ((part, loss),) = model.losses(rows, "harmony")
    assert part == "harmony_bass"
    assert loss.item() == pytest.approx(((10 * errors[0] + errors[1]) / 11).item(), rel=1e-5)


def test_figures_know_the_f1_of_all_cells():
    model, windows = model_of(learned=facts("piano")), windows_of(tune(3))
    model.vaes["piano"].decode = lambda latents: torch.full((len(latents), 32, 128), 0.5)
    cells = torch.cat([windows[:, :32, 0], windows[:, 32:, 0]]) > 0
    right, both = model.figures(windows)["f1"]
    precision, recall = cells.float().mean(), 1.0
    assert right / both == pytest.approx((2 * precision * recall / (precision + recall)).item(), rel=1e-5)


# instruments


def test_a_model_has_the_instruments_of_its_corpus_alone():
    model = model_of(learned=facts_of(tune(2)))
    assert model.names == ["piano"]
    assert [stage.name for stage in model.stages()] == ["autoencoders", "melody"]
    assert [track.name for track in write(model)[0].tracks] == ["piano"]


@pytest.mark.parametrize(
    ("tracks", "n_updates"), [(("piano",), 2500), (("piano", "bass"), 2500), (TRACKS, 1200)]
)
def test_the_small_plan_shares_its_work_among_the_instruments(tracks, n_updates):
    """2,500 updates of each autoencoder, but no more than 6,000 of all."""
    stage = model_of(PRESETS["tiny"], facts(*tracks)).stages()[0]
    assert len(stage.optimizers) == len(tracks)
    assert stage.max_updates == n_updates


def test_limits_of_updates_hold_alone_and_together():
    def updates(**limits):
        return model_of(replace(SMALL, **limits), facts(*TRACKS)).stages()[0].max_updates

    assert updates() is None
    assert updates(max_updates=7) == 7
    assert updates(max_updates_in_all=12) == 2
    assert updates(max_updates=1, max_updates_in_all=12) == 1
    assert updates(max_updates_in_all=3) == 1  # none of them is left out


@pytest.mark.parametrize(
    ("score", "leader"),
    [(tune(2, program=40), "strings"), (band(2).with_tracks(band(2).tracks[1:]), "bass")],
)
def test_without_a_piano_another_instrument_leads(score, leader):
    assert model_of(learned=facts_of(score)).names[0] == leader


def test_drums_alone_can_lead_too():
    drums = band(2).with_tracks(band(2).tracks[2:])
    (track,) = write(model_of(learned=facts_of(drums)))[0].tracks
    assert track.is_drum


# the walk


def write(model, n=3, **wishes):
    return model.generate([piece_rng(5, index) for index in range(n)], replace(REQUEST, **wishes))


def cells_of(score, n_steps):
    rolls = SegmentPairs(SMALL).encode(score, {})
    return np.pad(rolls, ((0, n_steps - len(rolls)), (0, 0), (0, 0)))


def vivid(model):
    """Strengths around the threshold, so that any difference shows."""
    for vae in model.vaes.values():
        vae.decoder[-1].weight.data *= 3
    return model


@pytest.mark.parametrize("noise", ["before", "after"])
@pytest.mark.parametrize("rollout", ["rolls", "latents"])
def test_pieces_are_those_of_a_plain_walk(noise, rollout):
    """One piece and one segment at a time, with the same uniform numbers."""
    config = replace(SMALL, noise=noise, rollout=rollout, threshold=0.1)
    openings = cells_of(band(3), 96).reshape(3, 32, 5, 128)
    model = vivid(model_of(config, facts("piano", "bass", "strings", openings=openings)))
    written = write(model, n=4, noise_sd=0.7, n_bars=12)
    for piece, rng in zip(written, (piece_rng(5, index) for index in range(4)), strict=True):
        chosen = openings[int(draw_uniforms([rng], 1)[0, 0] * 3)]
        kept = [0, 2, 3]
        z = [
            vae.encode(torch.from_numpy(chosen[None, :, place]) / 127)[0][0]
            for vae, place in zip(model.vaes.values(), kept, strict=True)
        ]
        for segment in range(3):
            draws = Normal(0.0, 1.0).icdf(draw_uniforms([rng], 3, 3)[0]).float() * 0.7
            if noise == "before":
                z = [vector + draw for vector, draw in zip(z, draws, strict=True)]
            new = [model.melody_nn(z[0]) + (draws[0] if noise == "after" else 0)]
            for track, name in ((1, "bass"), (2, "strings")):
                vector = model.conditional_nns[name](torch.cat([z[track], new[0]]))
                new.append(vector + (draws[track] if noise == "after" else 0))
            z = new
            for track, (vae, place) in enumerate(zip(model.vaes.values(), kept, strict=True)):
                sounds = vae.decode(z[track][None])[0] > 0.1
                assert sounds.any()
                heard = cells_of(piece, 96)[32 * segment : 32 * segment + 32, place]
                assert np.array_equal(heard > 0, sounds.numpy())
                if rollout == "rolls":
                    z[track] = vae.encode((sounds * LEVELS[place])[None])[0][0]


def test_notes_are_played_at_four_fifths_and_strings_softer():
    learned = facts("piano", "bass", "strings")
    piece = write(vivid(model_of(replace(SMALL, threshold=0.05), learned)))[0]
    loudness = {track.name: {note.velocity for note in track.notes} for track in piece.tracks}
    assert loudness == {"piano": {102}, "bass": {102}, "strings": {76}}


def test_without_noise_pieces_differ_by_their_opening_alone():
    openings = SegmentPairs(SMALL).encode(tune(2), {})[:32][None]
    model = vivid(model_of(learned=facts("piano", openings=openings)))
    assert len(set(write(model, noise_sd=0.0))) == 1
    assert len(set(write(model, noise_sd=1.0))) == 3


def test_a_longer_piece_begins_like_a_shorter_one():
    model = vivid(model_of(replace(SMALL, threshold=0.1), facts("piano")))
    short, long = write(model, n_bars=8)[0], write(model, n_bars=40)[0]
    assert np.array_equal(cells_of(short, 64), cells_of(long, 320)[:64])


def test_bar_lines_go_on_from_the_opening_in_three_four():
    """After 32 eighths, five bars and a third, two thirds of a bar are left out: 36 is a bar line."""
    openings = SegmentPairs(SMALL).encode(tune(1), {})[:31]
    openings = np.pad(openings, ((0, 1), (0, 0), (0, 0)))[None]
    model = vivid(model_of(replace(SMALL, threshold=0.1), facts("piano", openings=openings)))
    in_four, in_three = write(model, n_bars=8)[0], write(model, n_bars=8, meter=Meter(0, 3, 4))[0]
    assert np.array_equal(cells_of(in_four, 64)[4:48], cells_of(in_three, 48)[:44])


def test_a_silent_segment_gets_its_strongest_cells():
    """As many as on average, 0.5 + 0.5 a step, of any instrument; the last bar if it would be silent too."""
    learned = {**FAMILY.example, "cells_per_step": [0.5, 0, 0.5, 0, 0]}
    model = model_of(replace(SMALL, threshold=0.99), learned)
    strengths = torch.rand(3, 2, 32, 128) / 2
    strengths[1, :, 24:] /= 1000
    model._decode = lambda latents: strengths
    pieces = write(model, n_bars=4)
    for piece, strength in zip(pieces, strengths, strict=True):
        cells = cells_of(piece, 32)[:, [0, 2]].swapaxes(0, 1) > 0
        strongest = set(strength.flatten().topk(32).indices.tolist())
        assert strongest <= set(np.flatnonzero(cells))
        assert 32 <= cells.sum() <= 32 + 8
        assert piece.n_bars == 4
    assert (cells_of(pieces[1], 32)[24:] > 0).sum() == 8


def test_openings_come_back_from_text_and_are_first_segments():
    pieces = [tune(2, base=40 + number) for number in range(70)]
    learned = facts_of(*pieces)
    openings = unpack(learned["openings"], 32)
    assert len(openings) <= N_OPENINGS
    assert np.array_equal(openings[0], SegmentPairs(SMALL).encode(pieces[0], {})[:32])
    assert np.array_equal(unpack(pack(openings, 32), 32), openings)
    assert unpack(pack([], 32), 32).shape == (0, 32, 5, 128)


# primes and styles


def test_the_end_of_the_prime_is_what_counts():
    model = vivid(model_of(learned=facts("piano")))
    end = tune(1)
    late = Score(
        (Track(tuple(replace(n, onset=n.onset + 7680) for n in end.notes())), *tune(1, base=80).tracks)
    )
    assert write(model, prime=late) == write(model, prime=end)
    assert write(model, prime=tune(1, base=72)) != write(model, prime=end)


def test_a_prime_of_another_instrument_is_played_by_the_leader():
    model = vivid(model_of(learned=facts("piano", "drums")))
    assert write(model, prime=tune(1, program=73)) == write(model, prime=tune(1))


@pytest.mark.parametrize("wish", [{"prime": tune(1)}, {"styles": (tune(1),)}])
def test_drums_cannot_go_on_from_a_tune(wish):
    with pytest.raises(GeneratorError, match="no notes of drums"):
        write(model_of(learned=facts("drums")), **wish)


def test_a_style_gives_its_sounding_segments_and_one_silent_one():
    late = eighths((3 * 32, 40, 8), (5 * 32, 43, 8), program=33)
    model = model_of(learned=facts("piano", "bass"))
    piano, bass = model._style(Score((*tune(6).tracks, late)))
    assert (len(piano), len(bass)) == (6, 3)
    silence, _ = model.vaes["bass"].encode(torch.zeros(1, 32, 128))
    assert [bool(torch.allclose(each, silence[0], atol=1e-6)) for each in bass] == [False, False, True]


def test_every_instrument_takes_its_own_style_and_alpha_mixes_it_in():
    model, starts = model_of(learned=facts("piano", "bass", "drums")), []
    step = model._step
    model._step = lambda latents, noise: starts.append(latents) or step(latents, noise)
    style = band(4)
    kept = model._style(style)
    write(model, n=16, styles=(style,), alpha=1.0)
    write(model, n=16, styles=(style,), alpha=0.25)
    write(model, n=16, styles=(style,), alpha=0.0)
    whole, some, none = starts[0], starts[2], starts[4]
    assert torch.allclose(some, 0.25 * whole + 0.75 * none, atol=1e-6)
    for track in range(3):
        distance = torch.cdist(whole[:, track], kept[track])
        assert distance.min(1).values.max() < 1e-5
        assert len(set(distance.argmin(1).tolist())) > 1 or track == 2  # all bars of drums are alike


def test_styles_count_evenly_however_long_they_are():
    model = model_of(learned=facts("piano"))
    long, short = model._style(tune(30)), model._style(tune(1, base=72))
    drawn = model._draw_style([piece_rng(1, index) for index in range(600)], [long, short])
    from_short = torch.cdist(drawn[:, 0], short[0]).min(1).values < 1e-5
    assert from_short.float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_a_style_lowers_the_threshold():
    model = model_of(replace(SMALL, threshold=0.9, style_threshold=0.0), facts("piano"))
    model._decode = lambda latents: torch.full((len(latents), 1, 32, 128), 0.5)
    assert write(model, styles=(tune(1),))[0].n_notes == 128
    assert write(model)[0] != write(model, styles=(tune(1),))[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (4, 8)}, "channels must be three whole numbers above 0, got"),
        ({"n_latents": 0}, "n_latents must be at least 1, got 0"),
        ({"sigma_x": 2.0}, "sigma_x must be 0.0039 to 1, got 2.0"),
        ({"threshold": 1.0}, "threshold must be at least 0 and below 1, got 1.0"),
        ({"decay": 0.0}, "decay must be above 0"),
        ({"noise_sd": -1.0}, "noise_sd must be 0 to 1000, got -1.0"),
        ({"noise_sd": 1e30}, "noise_sd must be 0 to 1000, got 1e\\+30"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_pieces_that_end_with_their_first_segment_leave_nothing_to_learn(listed):
    short = Score((eighths((0, 60, 1), (31, 62, 1)),))
    with pytest.raises(GeneratorError) as error:
        load_pieces(listed([short, short]), SegmentPairs(SMALL))
    message = "too small: at least 1 of its 2 training pieces needs a note after its fourth bar (32 eighths)"
    assert message in str(error.value)
    longer = Score((eighths((0, 60, 1), (32, 62, 1)),))
    assert len(load_pieces(listed([short, longer]), SegmentPairs(SMALL)).train) == 2


@torch.no_grad()
@pytest.mark.parametrize("cut", ["threshold", "count"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_most_noise_still_gives_pieces(cut, likelihood):
    model = model_of(replace(SMALL, cut=cut, likelihood=likelihood, rollout="latents"))
    assert all(piece.n_bars == 12 for piece in write(model, n_bars=12, noise_sd=1000.0))


def test_training_pieces_of_a_corpus_hold_openings(corpus):
    pieces = load_pieces(corpus, SegmentPairs(SMALL))
    assert len(unpack(pieces.learned["openings"], 32)) == len(corpus.train)
