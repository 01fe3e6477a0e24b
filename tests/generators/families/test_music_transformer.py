import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generators import checkpoint
from generators.decoding import draw_uniforms
from generators.errors import GeneratorError
from generators.families.music_transformer import (
    EXAMPLE,
    PRESETS,
    Config,
    MusicTransformer,
    Reader,
    Step,
    representation,
)
from generators.family import Request
from generators.generation import generate, piece_rng
from music.score import Meter, Note, Score, Tempo, Track


def model_of(**settings):
    """A small net with weights large enough for its choices to differ."""
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 48, "context": 32, "top_p": 1.0}
    model = MusicTransformer(Config(**(sizes | settings)), EXAMPLE | {"pitches": [55, 80]}).eval()
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def some_tokens(model, *shape):
    rng = torch.Generator().manual_seed(5)
    return torch.randint(model.language.n_tokens, shape, generator=rng)


@pytest.mark.parametrize(
    ("preset", "expected"),
    # 238 tokens; per layer 4 d^2 + 2 d d_ff and two norms of d; a last norm; nothing has a bias.
    [
        ("paper", 238 * 512 + 6 * (4 * 512**2 + 2 * 512 * 1024 + 2 * 512) + 512),
        ("large", 238 * 512 + 8 * (4 * 512**2 + 2 * 512 * 2048 + 2 * 512) + 512),
        ("tiny", 238 * 128 + 4 * (4 * 128**2 + 2 * 128 * 512 + 2 * 128) + 128),
    ],
)
def test_the_net_has_the_parameters_of_its_sizes(preset, expected):
    with torch.device("meta"):
        model = MusicTransformer(PRESETS[preset], EXAMPLE)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert preset != "paper" or expected == 12_711_424


@torch.no_grad()
@pytest.mark.parametrize("d_model", [64, 256])
def test_a_fresh_net_is_unsure_but_not_indifferent(d_model):
    """Logits of the order of 1, whatever the width: far smaller ones take a minute of training to grow."""
    torch.manual_seed(0)
    sizes = {"d_model": d_model, "n_layers": 4, "n_heads": 4, "d_ff": 128, "context": 32}
    model = MusicTransformer(Config(**sizes), EXAMPLE).eval()
    logits = model(some_tokens(model, 4, 32))
    assert 0.7 < float(logits.std()) < 1.4
    others = model(some_tokens(model, 4, 32).flip(0))  # same places, other tokens before
    assert float((logits - others)[:, 1:].std()) > 0.7


@torch.no_grad()
def test_the_net_is_the_decoder_of_the_paper_with_rotary_positions():
    """The whole net again in plain steps, one query at a time, softmax and all."""
    model = model_of()
    tokens = some_tokens(model, 1, 7)
    hidden = model.embedding.weight[tokens[0]]  # (time, d_model)
    for block in model.blocks:
        normed = F.layer_norm(hidden, (32,), block.attention_norm.weight)
        mixed = torch.zeros(7, 32)
        parts = (block.attention.project.weight @ normed.T).T.view(7, 3, 2, 16)

        def turned(vector, place):
            angles = torch.tensor([place / 10_000 ** (2 * pair / 16) for pair in range(8)])
            pairs = torch.complex(vector[:8], vector[8:]) * torch.polar(torch.ones(8), angles)
            return torch.cat([pairs.real, pairs.imag])

        for head in range(2):
            for query in range(7):
                scores = torch.stack(
                    [
                        turned(parts[query, 0, head], query) @ turned(parts[key, 1, head], key) / 4
                        for key in range(query + 1)
                    ]
                )
                mixed[query, 16 * head : 16 * head + 16] = scores.softmax(0) @ parts[: query + 1, 2, head]
        hidden = hidden + mixed @ block.attention.out.weight.T
        normed = F.layer_norm(hidden, (32,), block.feed_forward[0].weight)
        inner = F.gelu(normed @ block.feed_forward[1].weight.T)
        hidden = hidden + inner @ block.feed_forward[3].weight.T
    expected = F.layer_norm(hidden, (32,), model.norm.weight) @ model.embedding.weight.T
    assert torch.allclose(model(tokens)[0], expected, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("splits", [[1] * 32, [32], [5, 1, 20, 6], [31, 1]])
def test_kept_keys_give_the_logits_of_the_whole_for_any_split(splits):
    model = model_of()
    tokens = some_tokens(model, 3, 32)
    whole = model(tokens)
    caches, first = model.new_caches(3), 0
    for count in splits:
        logits = model.extend(tokens[:, first : first + count], caches, first)
        first += count
        assert torch.allclose(logits, whole[:, first - 1], atol=1e-4)


@torch.no_grad()
def test_the_step_for_a_graph_gives_the_same_logits_whatever_lies_beyond():
    """A step sees a fixed number of places; what is at those not yet written must not count."""
    model = model_of()
    tokens = some_tokens(model, 3, 20)
    whole = model(tokens)
    caches = model.new_caches(3)
    for cache in caches:
        cache.keys.fill_(7.0)
        cache.values.fill_(1e6)
    step = Step(model, caches, 3)
    for place in range(20):
        n_seen = 8 * (place // 8 + 1)
        logits = step(tokens[:, place : place + 1], torch.tensor([place]), n_seen)
        assert torch.allclose(logits, whole[:, place], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("n_pieces", [1, 2])
def test_a_full_context_is_read_again_from_its_newer_half(n_pieces):
    model = model_of()
    tokens = some_tokens(model, n_pieces, 90)
    reader = Reader(model, n_pieces)
    start = 0
    for last in range(90):
        if last - start == 32:
            start = last - 16
        logits = reader.read(tokens[:, last : last + 1])
        assert torch.allclose(logits, model(tokens[:, start : last + 1])[:, -1], atol=1e-4)


def naive(model, seed, indices, request, prime):
    """Pieces one by one, the full prefix read for every token, with the numbers of the same generators."""
    pieces = []
    for index in indices:
        draws = torch.cat(
            [draw_uniforms([rng], 256) for rng in [piece_rng(seed, index)] for _ in range(12)], 1
        )
        grammar = model.language.grammar(1, request, torch.device("cpu"))
        context, written = list(prime), []
        while not grammar.finished.all():
            if len(context) > model.config.context:
                context = context[-(model.config.context // 2) - 1 :]
            logits = model(torch.tensor([context]))[:, -1]
            chosen = model.pick(logits, grammar.allowed(), draws[:, len(written)], request)
            grammar.advance(chosen)
            written.append(int(chosen))
            context.append(int(chosen))
        pieces.append(model.language.to_score(written, request))
    return pieces


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"top_k": 5, "top_p": 0.9, "temperature": 1.3}])
def test_the_sampler_writes_what_reading_the_full_prefix_writes(settings):
    model = model_of(**settings)
    request = Request(3, Tempo(0), Meter(0))
    pieces = model.generate([piece_rng(4, index) for index in range(4)], request)
    assert pieces == naive(model, 4, range(4), request, [model.language.start])
    assert sum(piece.n_notes for piece in pieces) > 40  # several contexts


@torch.no_grad()
def test_the_sampler_goes_on_from_a_prime():
    model = model_of()
    prime = Score((Track(tuple(Note(240 * index, 60 + index % 9, 240) for index in range(16))),))
    request = Request(2, Tempo(0), Meter(0), prime=prime)
    start = model.language.prime(prime, model.learned, 16)
    assert 1 < len(start) <= 16
    pieces = model.generate([piece_rng(4, index) for index in range(2)], request)
    assert pieces == naive(model, 4, range(2), request, start)


def test_a_piece_depends_on_its_own_generator_alone():
    model = model_of()
    request = Request(2, Tempo(0), Meter(0))
    together = model.generate([piece_rng(4, index) for index in (0, 1, 2)], request)
    others = model.generate([piece_rng(4, index) for index in (7, 1, 8)], request)
    assert together[1] == others[1]
    assert together[0] != others[0]


def test_the_likeliest_token_can_always_be_taken():
    model = model_of()
    request = Request(2, Tempo(0), Meter(0), argmax=True)
    one, other = model.generate([piece_rng(0, 0), piece_rng(1, 0)], request)
    assert one == other


@torch.no_grad()
def test_the_loss_counts_every_token_but_the_first_and_no_padding():
    model = model_of(transpose_down=0, transpose_up=0)
    batch = torch.full((2, 33), -1, dtype=torch.int16)
    batch[0, :9] = some_tokens(model, 9)
    batch[1, :5] = some_tokens(model, 5) + 1
    total = 0.0
    for row, length in ((batch[0], 9), (batch[1], 5)):
        logits = model(row[None, : length - 1].long())[0].log_softmax(-1)
        total -= float(logits[torch.arange(length - 1), row[1:length].long()].sum())
    figures = model.figures(batch)
    assert float(figures["loss"][0]) == pytest.approx(total, rel=1e-4)
    assert int(figures["loss"][1]) == 12
    ((_, loss),) = model.losses(batch, "tokens")
    assert float(loss) == pytest.approx(total / 12, rel=1e-4)


def test_training_hears_every_window_in_other_keys():
    model = model_of()
    batch = torch.full((500, 4), model.language.words.number(6, 10), dtype=torch.int16)
    seen = []
    model._score = lambda tokens: seen.append(tokens) or (torch.tensor(0.0), 0, torch.tensor(1))
    list(model.losses(batch, "tokens"))
    assert (seen[0] == seen[0][:, :1]).all()
    assert sorted(set((seen[0][:, 0] - batch[0, 0]).tolist())) == list(range(-5, 7))


@torch.no_grad()
@pytest.mark.parametrize("length", [2, 17, 33, 34, 50, 100])
def test_the_nats_of_a_piece_count_each_token_once_with_half_a_context_at_least(length):
    model = model_of()
    tokens = some_tokens(model, length)
    total, count = model.piece_nats(tokens.numpy().astype(np.int16))
    assert count == length - 1
    seen_total, done = 0.0, 1
    while done < length:
        first = max(0, done - 16) if done > 16 else 0
        stop = min(length, first + 33)
        logits = model(tokens[None, first : stop - 1])[0].log_softmax(-1)
        for place in range(done, stop):
            assert place - first >= min(place, 16)
            seen_total -= float(logits[place - first - 1, tokens[place]])
        done = stop
    assert total == pytest.approx(seen_total, rel=1e-4)


def test_chorales_are_written_in_four_voices(trained, corpus, small, tmp_path):
    from generators.training import train

    settings = small["music_transformer"] | {"tokens": "satb", "max_updates": "3"}
    train("music_transformer", corpus, tmp_path / "m", overrides=settings)
    (piece,) = generate(tmp_path / "m", count=1, bars=3)
    assert [track.name for track in piece.tracks] == ["soprano", "alto", "tenor", "bass"]
    assert piece.n_bars == 3


def test_several_instruments_and_drums_survive(small, listed, tmp_path):
    from generators.training import train

    def band(root):
        bass = Track(tuple(Note(960 * i, root - 24, 960) for i in range(8)), program=33)
        lead = Track(tuple(Note(480 * i, root + i % 5, 480) for i in range(16)), program=80)
        drums = Track(tuple(Note(480 * i, 36 + 2 * (i % 2), 120) for i in range(16)), is_drum=True)
        return Score((bass, lead, drums))

    settings = small["music_transformer"] | {"learning_rate": "1e-2", "max_updates": "60"}
    train("music_transformer", listed([band(60), band(62)]), tmp_path / "m", overrides=settings)
    model = checkpoint.load(tmp_path / "m").model
    assert model.language.words.programs == [-1, 33, 80]
    pieces = generate(tmp_path / "m", count=4, bars=4)
    sounds = {(track.program, track.is_drum) for piece in pieces for track in piece.tracks}
    assert sounds == {(33, False), (80, False), (0, True)}


def test_a_prime_without_a_note_that_the_model_knows_is_refused():
    drums = MusicTransformer(Config(d_model=16, n_heads=2, n_layers=1, context=32), DRUMS_ALONE).eval()
    prime = Score((Track((Note(0, 60, 480),)),))
    with pytest.raises(GeneratorError, match="no note that this model knows"):
        drums.generate([piece_rng(0, 0)], Request(1, Tempo(0), Meter(0), prime=prime))


DRUMS_ALONE = EXAMPLE | {"programs": [-1], "pitches": [0, 0], "drum_pitches": [36, 38]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 100}, "multiple of twice n_heads .16., got 100"),
        ({"context": 4}, "context must be 16 to 65536 tokens, got 4"),
        ({"transpose_up": 30}, "transpose_up must be 0 to 12 semitones, got 30"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be 0 or more and below 1, got 1.0"),
    ],
)
def test_absurd_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_windows_hold_a_context_and_the_token_it_foretells():
    tokens = representation(Config(context=64))
    assert (tokens.length, tokens.hop) == (65, 32)
