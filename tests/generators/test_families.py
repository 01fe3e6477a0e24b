"""What every family keeps to, found by its name: a new family is tested by adding its file.

Its small settings belong into `conftest.SMALL`; what it cannot do by its nature, into the tables below.
"""

import io
import math
from dataclasses import MISSING, asdict, fields, is_dataclass, replace

import pretty_midi
import pytest
import torch

from generators import checkpoint
from generators.corpus import load_pieces
from generators.errors import GeneratorError
from generators.family import ABILITIES, Request
from generators.generation import generate, harmonize, piece_rng
from generators.registry import family_names, get_family
from generators.settings import apply_overrides
from generators.training import train
from music.midi import read_midi, score_to_midi
from music.score import Meter, Note, Score, Tempo, Track

STEPS_BY_HEART = 100  # of all stages together

#: How far the loss on a batch must fall while it is learned by heart; 0.5 where a family is not listed.
BY_HEART = {"deephear": 0.1, "gru_next_note": 0.1}

#: Families whose loss does not tell how well a batch is learned, and why.
NO_LOSS_TO_FALL: dict[str, str] = {
    "vae_nn": "an autoencoder needs more updates to tell two windows apart; a test of its own gives it them"
}

#: Settings that may be below zero.
MAY_BE_NEGATIVE: set[str] = set()

FAMILIES = family_names()
TUNE = Score((Track(tuple(Note(240 * step, 60 + (0, 4, 7, 12)[step % 4], 240) for step in range(64))),))
OTHER = Score((Track(tuple(Note(480 * step, 79 - step % 5, 480) for step in range(32))),))


def able(ability: str) -> list[str]:
    return [name for name in FAMILIES if ability in abilities_of(name)]


def abilities_of(name: str) -> tuple[str, ...]:
    try:
        return get_family(name).abilities
    except Exception:  # a file that cannot be imported fails in its own tests, not in those of all
        return ()


def outcome(attempt):
    """What an attempt gives, and the words of its refusal: one of the two is None."""
    try:
        return attempt(), None
    except GeneratorError as error:
        return None, str(error)


def small_model(name, small, corpus, *, seed=0):
    """An untrained small model and its training windows."""
    family = get_family(name)
    config = apply_overrides(family.presets["tiny"], small[name])
    pieces = load_pieces(corpus, family.representation(config))
    torch.manual_seed(seed)
    return family.model(config, pieces.learned), pieces


def seen_by(model, stage, batch):
    """What the losses of a stage are given of some windows."""
    if not stage.precompute:
        return batch
    with torch.no_grad():
        rows = model.eval().precompute(batch, stage.name)
    model.train()
    return rows


def adams(model, stage, learning_rate):
    parts = model.parts()
    return {
        part: torch.optim.Adam(
            [each for each in parts[part].parameters() if each.requires_grad], learning_rate
        )
        for part in stage.optimizers
    }


def write_small(name, trained, *, bars, count=4, meter=(4, 4), **wishes):
    """Pieces straight from the model of a trained family, of any meter."""
    stored = checkpoint.load(trained(name))
    request = Request(bars, Tempo(0, 400_000), Meter(0, *meter), **wishes)
    rngs = [piece_rng(7, index) for index in range(stored.family.pieces_at_once)]
    return stored.model.generate(rngs, request)[:count], request


def assert_playable(piece: Score, end: int):
    """Well-formed, within its length, and the same music to this and to another reader of MIDI files."""
    assert piece.end <= end
    data = score_to_midi(piece)
    assert sorted(read_midi(data).notes()) == sorted(piece.notes())
    other = pretty_midi.PrettyMIDI(io.BytesIO(data))
    assert sum(len(each.notes) for each in other.instruments) == piece.n_notes
    assert all(note.end > note.start for each in other.instruments for note in each.notes)


# ---- what a family declares


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_declares_a_frozen_config_presets_and_abilities(name):
    family = get_family(name)
    assert is_dataclass(family.config)
    assert family.config.__dataclass_params__.frozen
    assert all(each.default is not MISSING for each in fields(family.config))
    assert {"paper", "tiny"} <= set(family.presets)
    assert all(type(config) is family.config for config in family.presets.values())
    assert family.presets["paper"] == family.config()
    assert "generate" in family.abilities
    assert set(family.abilities) <= set(ABILITIES)
    assert family.pieces_at_once >= 1
    assert family.title
    assert family.citation


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_that_make_no_sense_are_refused_or_taken_but_never_crash(name):
    config = get_family(name).presets["tiny"]
    for key, value in asdict(config).items():
        for text in ("", "-1", "0", "nan", "inf", "1e99", "many", "true", "3,-4", str(10**30)):
            taken, refusal = outcome(lambda key=key, text=text: apply_overrides(config, {key: text}))
            assert taken or len(refusal) > 20
        for text in ("-1", "nan"):
            if type(value) in (int, float) and key not in MAY_BE_NEGATIVE:
                with pytest.raises(GeneratorError):
                    apply_overrides(config, {key: text})


# ---- learning


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_of_every_stage_are_finite_scalars_of_a_known_part(name, small, corpus):
    model, pieces = small_model(name, small, corpus)
    batch = pieces.train.batch(torch.arange(min(3, len(pieces.train))))
    stages = model.stages()
    assert len({stage.name for stage in stages}) == len(stages)
    for stage in stages:
        losses = list(model.losses(seen_by(model, stage, batch), stage.name))
        assert {part for part, _ in losses} == set(stage.optimizers)
        assert set(stage.optimizers) <= set(model.parts())
        for _, loss in losses:
            assert loss.shape == ()
            assert math.isfinite(loss.item())
            assert loss.requires_grad


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_learns_in_some_stage(name, small, corpus):
    model, pieces = small_model(name, small, corpus)
    batch = pieces.train.batch(torch.arange(min(8, len(pieces.train))))
    moved = set()
    for stage in model.stages():
        rows = seen_by(model, stage, batch)
        model.zero_grad()
        for part, loss in model.losses(rows, stage.name):
            loss.backward()
            owned = {id(parameter) for parameter in model.parts()[part].parameters()}
            moved |= {
                id(p) for p in model.parameters() if id(p) in owned and p.grad is not None and p.grad.any()
            }
    still = {key for key, each in model.named_parameters() if each.requires_grad and id(each) not in moved}
    assert still == set()


@pytest.mark.parametrize("name", FAMILIES)
def test_one_batch_is_learned_by_heart(name, small, corpus):
    if name in NO_LOSS_TO_FALL:
        pytest.skip(NO_LOSS_TO_FALL[name])
    model, pieces = small_model(name, small, corpus)
    batch = pieces.train.batch(torch.arange(min(2, len(pieces.train))))

    def loss_now():
        with torch.no_grad():
            total, count = model.eval().figures(batch)["loss"]
        model.train()
        return float(total) / float(count)

    before = loss_now()
    stages = model.stages()
    for stage in stages:
        optimizers, rows = adams(model, stage, 0.02), seen_by(model, stage, batch)
        for _ in range(STEPS_BY_HEART // len(stages)):
            for part, loss in model.losses(rows, stage.name):
                optimizers[part].zero_grad()
                loss.backward()
                optimizers[part].step()
    assert loss_now() <= BY_HEART.get(name, 0.5) * before or not stages


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_figures_add_up_over_batches(name, small, corpus):
    model, pieces = small_model(name, small, corpus)
    model.eval()
    n_windows = min(4, len(pieces.train))
    together = model.figures(pieces.train.batch(torch.arange(n_windows)))
    apart = [model.figures(pieces.train.batch(torch.tensor([index]))) for index in range(n_windows)]
    assert "loss" in together
    for key, (total, count) in together.items():
        assert float(total) == pytest.approx(sum(float(each[key][0]) for each in apart), rel=1e-3, abs=1e-6)
        assert float(count) == sum(float(each[key][1]) for each in apart)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_restores_the_same_pieces(name, trained, tmp_path):
    stored = checkpoint.load(trained(name))
    checkpoint.save(tmp_path, stored.config, stored.model.state_dict(), {}, {})
    assert generate(tmp_path, count=2, bars=2, seed=3) == generate(trained(name), count=2, bars=2, seed=3)
    assert checkpoint.checkpoint_sha256(tmp_path) == checkpoint.checkpoint_sha256(trained(name))


# ---- writing


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_generators_give_the_same_pieces_and_others_others(name, trained):
    one = generate(trained(name), count=3, bars=4, seed=5)
    assert one == generate(trained(name), count=3, bars=4, seed=5)
    assert one != generate(trained(name), count=3, bars=4, seed=6)
    assert len(set(one)) > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_piece_does_not_hear_the_others_of_its_batch(name, trained):
    stored = checkpoint.load(trained(name))
    size = stored.family.pieces_at_once
    request = Request(2, Tempo(0), Meter(0))
    first = stored.model.generate([piece_rng(1, index) for index in range(size)], request)
    among_others = [piece_rng(1, 0), *(piece_rng(2, index) for index in range(1, size))]
    assert stored.model.generate(among_others, request)[0] == first[0]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (5, 8), (2, 2), (7, 16)])
@pytest.mark.parametrize("name", FAMILIES)
def test_pieces_keep_to_the_length_tempo_and_meter_asked_for(name, meter, trained):
    for bars in (1, 3, 9) if meter == (4, 4) else (2,):
        pieces, request = write_small(name, trained, bars=bars, meter=meter)
        assert len(pieces) == min(4, get_family(name).pieces_at_once)
        for piece in pieces:
            assert piece.tempos == (Tempo(0, 400_000),)
            assert piece.meters == (Meter(0, *meter),)
            assert piece.n_bars <= bars
            assert_playable(piece, request.end(piece.ticks_per_beat))
        reached = max(piece.end / request.end(piece.ticks_per_beat) for piece in pieces)
        assert reached > 0.5 or not any(piece.n_notes for piece in pieces)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_small_trained_model_writes_notes(name, trained):
    assert all(piece.n_notes for piece in generate(trained(name), count=4))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_untrained_model_already_writes(name, small, corpus, tmp_path):
    train(name, corpus, tmp_path / "m", overrides=small[name], updates=1)
    for piece in generate(tmp_path / "m", count=3, bars=4):
        assert_playable(piece, 4 * 4 * piece.ticks_per_beat)


# ---- odd corpora


@pytest.mark.parametrize("name", FAMILIES)
def test_odd_corpora_are_learned_from_or_refused_in_words(name, small, odd, tmp_path):
    corpora, usable = odd
    for number, (what, corpus) in enumerate(corpora.items()):
        folder = tmp_path / str(number)

        def attempt(corpus=corpus, folder=folder):
            train(name, corpus, folder, overrides=small[name], updates=2)
            return generate(folder, count=2, bars=2)

        pieces, refusal = outcome(attempt)
        assert refusal is None or (what not in usable and len(refusal) > 20), f"{what}: {refusal}"
        meter = (6, 8) if what == "in 6/8" else (3, 4) if what == "in 3/4" else (4, 4)
        for piece in pieces or ():
            assert (piece.meters[0].numerator, piece.meters[0].denominator) == meter
            assert_playable(piece, int(2 * Meter(0, *meter).beats_per_bar * piece.ticks_per_beat))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_corpus_without_any_piece_is_refused(name, small, listed, tmp_path):
    with pytest.raises(GeneratorError, match="listed"):
        train(name, listed([]), tmp_path / "m", overrides=small[name], updates=1)
    assert not (tmp_path / "m").exists()


# ---- abilities


@pytest.mark.parametrize("name", able("prime"))
def test_a_prime_is_heard_and_not_repeated(name, trained):
    one, request = write_small(name, trained, bars=4, prime=TUNE)
    other, _ = write_small(name, trained, bars=4, prime=OTHER)
    assert one != other
    for piece in [*one, *other]:
        assert_playable(piece, request.end(piece.ticks_per_beat))


@pytest.mark.parametrize("name", able("prime"))
def test_odd_primes_are_continued_or_refused_in_words(name, trained):
    high = Score((Track((Note(0, 127, 480), Note(480, 0, 480))),))
    long = replace(TUNE, tracks=(Track(tuple(Note(120 * step, 60, 120) for step in range(3000))),))
    uneven = Score((Track((Note(1, 61, 1), Note(7, 64, 1))),), ticks_per_beat=7)
    for prime in (Score((Track((Note(0, 60, 1),)),)), high, long, uneven):
        pieces, refusal = outcome(lambda prime=prime: generate(trained(name), count=1, bars=2, prime=prime))
        assert refusal is None or "prime" in refusal
        for piece in pieces or ():
            assert_playable(piece, 8 * piece.ticks_per_beat)


@pytest.mark.parametrize("name", able("temperature"))
def test_a_low_temperature_makes_pieces_alike(name, trained):
    def kinds(temperature):
        pieces, _ = write_small(name, trained, bars=4, count=16, temperature=temperature)
        return len({(n.pitch, n.duration) for piece in pieces for n in piece.notes()})

    assert kinds(0.01) < kinds(2.0)
    write_small(name, trained, bars=1, temperature=1e-9)
    write_small(name, trained, bars=1, temperature=1e9)


@pytest.mark.parametrize("name", able("argmax"))
def test_the_likeliest_choice_draws_nothing(name, trained):
    one, _ = write_small(name, trained, bars=4, argmax=True, prime=TUNE if name in able("prime") else None)
    assert len(set(one)) == 1


@pytest.mark.parametrize("name", able("noise"))
def test_noise_changes_pieces(name, trained):
    prime = TUNE if name in able("prime") else None
    quiet, _ = write_small(name, trained, bars=8, noise_sd=0.0, prime=prime)
    loud, request = write_small(name, trained, bars=8, noise_sd=3.0, prime=prime)
    assert quiet != loud
    for piece in loud:
        assert_playable(piece, request.end(piece.ticks_per_beat))


@pytest.mark.parametrize("name", able("styles"))
def test_a_style_is_heard_as_much_as_alpha_says(name, trained):
    def written(alpha, *styles):
        return write_small(name, trained, bars=4, styles=styles, alpha=alpha)[0]

    assert written(1.0, TUNE) != written(1.0, OTHER)
    assert written(0.0, TUNE) == written(0.0, OTHER)
    assert written(0.5, TUNE, OTHER)


@pytest.mark.parametrize("name", able("harmonize"))
def test_a_melody_comes_back_with_its_harmony(name, trained):
    for melody in (TUNE, OTHER, Score((Track((Note(0, 72, 480),)),), meters=(Meter(0, 3, 4),))):
        (piece,) = harmonize(trained(name), melody, seed=3)
        assert piece.tracks[0].notes == melody.tracks[0].notes
        assert piece.meters == melody.meters
        assert len(piece.tracks) == 2
        assert_playable(piece, piece.end)


@pytest.mark.parametrize("name", FAMILIES)
def test_wishes_beyond_the_abilities_of_a_family_are_refused(name, trained):
    wishes = {
        "prime": {"prime": TUNE},
        "temperature": {"temperature": 1.0},
        "argmax": {"argmax": True},
        "styles": {"styles": (TUNE,)},
        "noise": {"noise_sd": 1.0},
    }
    for ability, wish in wishes.items():
        if name not in able(ability):
            with pytest.raises(GeneratorError, match=f"{name} lacks the ability '{ability}'"):
                generate(trained(name), count=1, bars=1, **wish)
    if name not in able("harmonize"):
        with pytest.raises(GeneratorError, match=f"{name} lacks the ability 'harmonize'"):
            harmonize(trained(name), TUNE)
