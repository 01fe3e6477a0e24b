import math

import pytest
import torch
import torch.nn.functional as F

from generators import checkpoint
from generators.corpus import EncodedCorpus, window_pieces
from generators.decoding import draw_uniforms
from generators.errors import GeneratorError
from generators.families.transformer_xl import (
    PRESETS,
    Config,
    Reader,
    Rule,
    TransformerXL,
    representation,
    shifted,
)
from generators.family import Request
from generators.generation import generate, piece_rng
from generators.representations.note_durations import (
    FIRST_DURATION,
    FIRST_PITCH,
    N_TOKENS,
    PADDING,
    SEPARATOR,
    START,
    NoteGrammar,
    places,
    tokens_to_score,
)
from generators.settings import LEAST_TEMPERATURE
from generators.training import train
from music.score import Meter, Note, Score, Tempo, Track


def model_of(**settings):
    """A small net with weights large enough for its choices to differ."""
    torch.manual_seed(0)
    sizes = {"d_model": 24, "n_layers": 2, "n_heads": 2, "d_head": 8, "d_inner": 32, "n_memory": 20}
    model = TransformerXL(Config(**(sizes | settings)), {}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def some_tokens(*shape):
    return torch.randint(N_TOKENS, shape, generator=torch.Generator().manual_seed(5))


def windows_of(tokens):
    """Tokens (batch, time) of whole pieces, padded, as windows (batch, time, 2)."""
    return torch.stack([tokens, places(tokens.clamp(min=0))], dim=-1).to(torch.int16)


@pytest.mark.parametrize(("encode_position", "expected"), [(False, 54_760_760), (True, 54_760_760 + 540_672)])
def test_the_net_has_the_parameters_of_the_original(encode_position, expected):
    with torch.device("meta"):
        model = TransformerXL(Config(encode_position=encode_position), {})
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_scores_by_distance_move_to_the_keys_that_are_so_far_away():
    by_distance = torch.arange(10.0, -1, -1).expand(1, 1, 4, 11)  # column j holds its distance
    by_key = shifted(by_distance)[0, 0]
    for row in range(4):
        for key in range(8 + row):
            assert by_key[row, key] == 7 + row - key


@torch.no_grad()
def test_the_net_is_that_of_the_paper():
    """Once more in plain steps: every query, every key, the four terms of section 3.3."""
    model = model_of()
    tokens = some_tokens(1, 6)
    hidden = model.embedding.weight[tokens[0]]

    def encoded(distance):
        rates = [distance / 10_000 ** (2 * index / 24) for index in range(12)]
        return torch.tensor([math.sin(x) for x in rates] + [math.cos(x) for x in rates])

    for block in model.blocks:
        attention = block.attention
        parts = (hidden @ attention.project.weight.T).view(6, 3, 2, 8)
        mixed = torch.zeros(6, 2, 8)
        for head in range(2):
            for i in range(6):
                scores = []
                for j in range(i + 1):
                    query, key = parts[i, 0, head], parts[j, 1, head]
                    relative = (attention.distance.weight @ encoded(i - j)).view(2, 8)[head]
                    terms = query @ key, query @ relative, model.u[head] @ key, model.v[head] @ relative
                    scores.append(sum(terms) / math.sqrt(8))
                mixed[i, head] = torch.stack(scores).softmax(0) @ parts[: i + 1, 2, head]
        hidden = attention.norm(hidden + mixed.flatten(1) @ attention.out.weight.T)
        inner = F.gelu(hidden @ block.feed_forward[0].weight.T + block.feed_forward[0].bias)
        inner = inner @ block.feed_forward[3].weight.T + block.feed_forward[3].bias
        hidden = block.norm(hidden + inner)
    expected = hidden @ model.embedding.weight.T + model.bias
    assert torch.allclose(model(tokens)[0][0], expected, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("encode_position", [False, True])
@pytest.mark.parametrize("splits", [[20], [1] * 20, [7, 1, 12], [19, 1], [3, 3, 3, 11]])
def test_cached_logits_are_those_of_the_whole_for_any_split(splits, encode_position):
    """Hidden states as memory and kept keys alike (parity check P15)."""
    model = model_of(encode_position=encode_position)
    tokens = some_tokens(3, 20)
    steps = places(tokens)
    whole, _ = model(tokens)
    reader, memory, first = Reader(model, 3), None, 0
    for count in splits:
        now = slice(first, first + count)
        logits, memory = model(tokens[:, now], memory, steps[:, now])
        assert torch.allclose(logits, whole[:, now], atol=1e-4)
        first += count
        assert torch.allclose(reader.read(tokens[:, now], steps[:, now]), whole[:, first - 1], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("n_pieces", [1, 2])
def test_kept_keys_reach_as_far_back_as_hidden_states(n_pieces):
    """Many times the memory, so that old keys are moved out: a token sees its 20 predecessors, no more."""
    model = model_of()
    tokens = some_tokens(n_pieces, 130)
    steps = places(tokens)
    reader, memory = Reader(model, n_pieces), None
    for place in range(130):
        now = slice(place, place + 1)
        logits, memory = model(tokens[:, now], memory, steps[:, now])
        assert memory[0].shape[1] == min(20, place + 1)
        assert torch.allclose(reader.read(tokens[:, now], steps[:, now]), logits[:, -1], atol=1e-4)


def naive(model, seed, indices, request, prime, steps):
    """Pieces one by one, a memory of hidden states, with the numbers of the same generators.

    `prime` are tokens and `steps` the sixteenths of its piece at which they stand, each (time,).
    """
    pieces = []
    for index in indices:
        rng = piece_rng(seed, index)
        draws = torch.cat([draw_uniforms([rng], 256) for _ in range(12)], 1)
        grammar = NoteGrammar(1, request, torch.device("cpu"))
        rule = Rule(model.config, request, 1, torch.device("cpu"))
        logits, memory = model(torch.tensor([prime]), None, torch.tensor([steps]))
        written = []
        while True:
            needs = grammar.needs_duration
            chosen = rule.pick(logits[:, -1], grammar.allowed(), needs, draws[:, len(written)])
            grammar.advance(chosen)
            written.append(int(chosen))
            if grammar.finished.all():
                break
            logits, memory = model(chosen[None], memory, (steps[-1] + grammar.step)[None])
        pieces.append(tokens_to_score(written, request))
    return pieces


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"top_p": 1.0}, {"encode_position": True, "pitch_temperature": 2.0}])
def test_the_sampler_writes_what_a_memory_of_hidden_states_writes(settings):
    model = model_of(**settings)
    request = Request(4, Tempo(0), Meter(0))
    pieces = model.generate([piece_rng(4, index) for index in range(4)], request)
    assert pieces == naive(model, 4, range(4), request, [START], [0])
    assert sum(piece.n_notes for piece in pieces) > 40


@torch.no_grad()
@pytest.mark.parametrize("encode_position", [False, True])
def test_the_sampler_goes_on_from_a_prime_at_its_place_in_the_piece(encode_position):
    model = model_of(top_p=1.0, encode_position=encode_position)
    prime = Score((Track(tuple(Note(240 * index, 60 + index % 9, 240) for index in range(16))),))
    request = Request(2, Tempo(0), Meter(0), prime=prime)
    tokens, steps = model._start(request).T.tolist()
    assert tokens[-2:] == [SEPARATOR, FIRST_DURATION + 2]
    # Four tokens for each eighth, of which the memory of twenty holds the last five.
    assert steps == [*[22] * 3, *[24] * 4, *[26] * 4, *[28] * 4, *[30] * 4, 32]
    pieces = model.generate([piece_rng(4, index) for index in range(2)], request)
    assert pieces == naive(model, 4, range(2), request, tokens, steps)


def test_a_piece_depends_on_its_own_generator_alone():
    model = model_of()
    request = Request(2, Tempo(0), Meter(0))
    together = model.generate([piece_rng(4, index) for index in (0, 1, 2)], request)
    others = model.generate([piece_rng(4, index) for index in (7, 1, 8)], request)
    assert together[1] == others[1]
    assert together[0] != others[0]


# how it draws


def rule_of(n_pieces=1, **settings):
    return Rule(Config(**settings), Request(1, Tempo(0), Meter(0)), n_pieces, torch.device("cpu"))


def drawn(rule, logits, *, is_duration=False, n=4000):
    """Shares of the tokens that are drawn from the same logits, without a memory of repetition."""
    draws = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    everything = torch.ones(n, len(logits), dtype=torch.bool)
    rule.repeated = torch.zeros(n, dtype=torch.int64)
    rows = torch.tensor(logits).expand(n, -1)
    chosen = rule.pick(rows, everything, torch.full((n,), is_duration), draws)
    return torch.bincount(chosen, minlength=len(logits)) / n


def test_pitches_and_durations_have_temperatures_of_their_own():
    logits = [0.0, 1.0, 2.0]
    rule = rule_of(top_p=1.0, pitch_temperature=2.0, duration_temperature=0.5)
    for is_duration, temperature in ((False, 2.0), (True, 0.5)):
        expected = (torch.tensor(logits) / temperature).softmax(0)
        assert torch.allclose(drawn(rule, logits, is_duration=is_duration), expected, atol=0.03)


def test_only_the_likeliest_are_drawn():
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().tolist()
    assert (drawn(rule_of(top_k=2, top_p=1.0), logits) > 0).tolist() == [True, True, False, False]
    assert (drawn(rule_of(top_p=0.6), logits) > 0).tolist() == [True, True, False, False]
    assert (drawn(rule_of(top_p=0.75), logits) > 0).tolist() == [True, True, True, False]


def test_few_choices_again_and_again_raise_the_temperature():
    rule = rule_of(top_p=1.0, top_k=2)
    few = torch.tensor([[0.0, 1.0, -9.0]])
    allowed = torch.ones(1, 3, dtype=torch.bool)
    for n_few in range(1, 10):
        rule.pick(few, allowed, torch.tensor([False]), torch.tensor([0.5], dtype=torch.float64))
        assert int(rule.repeated) == n_few
    # The share of the less likely of two, at the temperature that follows from nine repetitions.
    temperature = 1 + math.log(10 / 4) / 5
    edge = 1 / (1 + math.exp(1 / temperature))
    for draw, expected in ((edge - 1e-6, 0), (edge + 1e-6, 1)):
        rule.repeated.fill_(9)
        assert int(rule.pick(few, allowed, torch.tensor([False]), torch.tensor([draw]).double())) == expected
    many = rule_of(top_p=1.0)
    many.repeated.fill_(9)
    many.pick(torch.zeros(1, 3), allowed, torch.tensor([False]), torch.tensor([0.5]).double())
    assert int(many.repeated) == 4


def test_the_original_stops_after_its_budget_or_at_a_fourth_bar_near_it():
    model = model_of(stop="original", budget=40, least_bars=4)
    request = Request(200, Tempo(0), Meter(0))
    for piece in model.generate([piece_rng(0, index) for index in range(4)], request):
        assert 0 < piece.n_notes <= 20
        assert piece.end <= request.end(480)
    grammar = NoteGrammar(1, request, torch.device("cpu"), 4)
    for token in (FIRST_PITCH + 60, FIRST_DURATION + 4, SEPARATOR, FIRST_DURATION + 64):
        grammar.advance(torch.tensor([token]))
    assert [bool(model._is_spent(n, grammar)) for n in (20, 32, 33, 40)] == [False, False, True, True]
    grammar.advance(torch.tensor([SEPARATOR]))
    assert not model._is_spent(39, grammar)


def test_the_budget_of_the_original_counts_as_progress():
    model, told = model_of(stop="original", budget=40, least_bars=200), []
    model.generate([piece_rng(0, 0)], Request(200, Tempo(0), Meter(0), report=told.append))
    assert told == sorted(told)
    assert told[:20] == [pytest.approx(number / 40) for number in range(1, 21)]


# learning


@torch.no_grad()
def test_every_segment_is_one_update_with_the_memory_of_those_before():
    model = model_of(bptt=6, n_segments=3, dropout=0.0)
    tokens = some_tokens(2, 19)
    losses = [float(loss) for _, loss in model.losses(windows_of(tokens), "tokens")]
    whole, _ = model(tokens[:, :-1])
    for index, loss in enumerate(losses):
        now = slice(6 * index, 6 * index + 6)
        expected = F.cross_entropy(whole[:, now].flatten(0, 1), tokens[:, 1:][:, now].flatten())
        assert float(loss) == pytest.approx(float(expected), rel=1e-4)
    assert len(losses) == 3


@torch.no_grad()
@pytest.mark.parametrize(("lengths", "n_updates"), [((4, 2), 1), ((7, 2), 1), ((8, 2), 2), ((13, 13), 2)])
def test_updates_end_with_the_longest_window_of_the_batch(lengths, n_updates):
    model = model_of(bptt=6, n_segments=2, dropout=0.0)
    tokens = some_tokens(2, 13)
    for row, length in zip(tokens, lengths, strict=True):
        row[length:] = PADDING
    whole, _ = model(tokens.clamp(min=0)[:, :-1])
    losses = [float(loss) for _, loss in model.losses(windows_of(tokens), "tokens")]
    assert len(losses) == n_updates
    for index, loss in enumerate(losses):
        now = slice(6 * index, 6 * index + 6)
        logits, targets = whole[:, now].flatten(0, 1), tokens[:, 1:][:, now].flatten()
        expected = F.cross_entropy(logits, targets, ignore_index=PADDING)
        assert loss == pytest.approx(float(expected), rel=1e-4)
    assert int(model.figures(windows_of(tokens))["loss"][1]) == sum(lengths) - 2


@torch.no_grad()
def test_a_window_of_a_piece_is_where_it_is_in_the_piece():
    model = model_of(bptt=8, n_segments=1, encode_position=True)
    score = Score((Track(tuple(Note(480 * beat, 60 + beat % 5, 480) for beat in range(40))),))
    tokens = representation(model.config)
    pieces = window_pieces([tokens.encode(score, {})], tokens)
    batch = pieces.batch(torch.tensor([6]))
    whole = places(torch.tensor([tokens.tokens(score)]))
    now = slice(48, 57)
    assert batch[0, :, 1].tolist() == whole[0, now].tolist()
    assert whole[0, 48] == 48  # four tokens for each beat, of four sixteenths
    logits, _ = model(batch[:, :-1, 0].long(), None, whole[:, now][:, :-1])
    expected = F.cross_entropy(logits[0], batch[0, 1:, 0].long())
    (loss,) = (float(loss) for _, loss in model.losses(batch, "tokens"))
    assert loss == pytest.approx(float(expected), rel=1e-4)


def test_the_tiny_preset_learns_what_only_the_tokens_before_can_tell(tmp_path):
    """Eight pitches by turns: without its input a net is at 1.56 nats, from the last two tokens at 0.52."""
    notes = tuple(Note(480 * beat, 60 + 5 * beat % 8, 480) for beat in range(129))
    steps = representation(PRESETS["tiny"]).encode(Score((Track(notes),)), {})
    result = train(
        "transformer_xl",
        EncodedCorpus("turns", [steps] * 8, [steps]),
        tmp_path / "model",
        device="cpu",
        overrides={"max_updates": "24"},
    )
    assert result.figures["validation"]["loss"] < 0.1


def test_half_the_windows_are_moved_up_by_up_to_eleven_semitones():
    model = model_of(bptt=6, n_segments=1, transpose=0.5)
    seen = []
    model._segments = lambda tokens, steps: seen.append(tokens) or iter(())
    batch = windows_of(torch.full((2000, 7), FIRST_PITCH + 60))
    list(model.losses(batch, "tokens"))
    moves = seen[0][:, 0] - batch[:, 0, 0]
    assert sorted(set(moves.tolist())) == list(range(12))
    assert float((moves > 0).float().mean()) == pytest.approx(0.5 * 11 / 12, abs=0.05)


def test_the_plan_is_that_of_the_original():
    (stage,) = model_of().stages()
    rule = stage.optimizers["model"]
    assert (rule.kind, rule.learning_rate, rule.max_grad_norm, rule.schedule) == (
        "adamw",
        1e-3,
        1.0,
        "one_cycle",
    )
    assert rule.options == {"betas": (0.9, 0.99), "weight_decay": 1e-3}
    assert (stage.epochs, stage.batch_size) == (5, 4)
    assert representation(Config()).length == 8 * 128 + 1


def test_the_training_script_drops_half_as_much_again():
    assert (PRESETS["paper"].dropout, PRESETS["musicautobot"].dropout) == (0.1, 0.15)


def continue_drums(pitch, **settings):
    prime = Score((Track((Note(0, pitch, 480),), is_drum=True),))
    return model_of(**settings).generate([piece_rng(0, 0)], Request(1, Tempo(0), Meter(0), prime=prime))


def test_a_prime_of_drums_alone_is_refused_unless_drums_are_notes():
    with pytest.raises(GeneratorError, match="no note of pitch 21 to 106 besides drums; it needs one"):
        continue_drums(38)
    assert continue_drums(38, drums=True)[0].n_notes
    with pytest.raises(GeneratorError, match="no note of pitch 21 to 106; it needs one"):
        continue_drums(20, drums=True)


def test_a_model_trained_with_drums_continues_drums_alone(tmp_path, trained):
    prime = Score((Track(tuple(Note(beat * 480, 38, 240) for beat in range(8)), is_drum=True),))
    stored = checkpoint.load(trained("transformer_xl"))
    config = {**stored.config, "config": {**stored.config["config"], "drums": True}}
    checkpoint.save(tmp_path, config, stored.model.state_dict(), {}, {})
    assert len(generate(tmp_path, count=1, bars=2, prime=prime)) == 1
    with pytest.raises(GeneratorError, match="besides drums, which this Transformer-XL does not play"):
        generate(trained("transformer_xl"), count=1, bars=2, prime=prime)


def test_the_least_temperatures_together_take_the_likeliest():
    least = {"pitch_temperature": LEAST_TEMPERATURE, "duration_temperature": LEAST_TEMPERATURE}
    request = Request(1, Tempo(0), Meter(0), temperature=LEAST_TEMPERATURE)
    rule = Rule(Config(**least), request, 1, torch.device("cpu"))
    assert drawn(rule, [0.0, 1.0, 1.001]).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_memory": 0}, "n_memory must be at least 1, got 0"),
        ({"bptt": 1}, "bptt must be at least 2, got 1"),
        ({"d_model": 33}, "d_model must be even, got 33"),
        ({"transpose": 2.0}, "transpose must be a probability, 0 to 1, got 2.0"),
        ({"weight_sd": 0.0}, "weight_sd must be above 0 and at most 1000, got 0.0"),
        ({"pitch_temperature": 1e-50}, "pitch_temperature must be 0.000001 to 1000, got 1e-50"),
        ({"duration_temperature": 1e-7}, "duration_temperature must be 0.000001 to 1000, got 1e-07"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
    ],
)
def test_absurd_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)
