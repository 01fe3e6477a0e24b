"""The fast way of writing beside the naive one: the same uniform numbers must give the same notes."""

import itertools

import pytest
import torch

from benchmarks.works.biaxial import NaiveSampler, random_columns
from generators.families.biaxial import BiaxialLSTM, Config
from generators.note_sampler import thresholds_of

N_STEPS = 12
CLOSE = 1e-4  # between a uniform number and a probability, where rounding may decide


def model_of(**settings):
    """A small net whose weights are as large as trained ones are, under which notes come and go."""
    small = {"lowest": 40, "n_notes": 30, "time_layers": (20, 12), "note_layers": (10, 8)}
    torch.manual_seed(1)
    model = BiaxialLSTM(Config(**(small | {"initial_weights": "uniform", "adaptive": False} | settings)), {})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
        model.output.bias.copy_(torch.tensor([-1.5, 0.0][: model.n_attributes]))
        for layer in (*model.time_layers, *model.note_layers):
            layer.initial_hidden.normal_(std=0.3)
            layer.initial_cell.normal_(std=0.3)
    return model.eval()


def chance(model, n_pieces, seed=0):
    shape = (model.config.n_notes, model.n_attributes)
    rng = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(N_STEPS, n_pieces, *shape, generator=rng, dtype=torch.float64)
    places = list(itertools.islice(itertools.cycle(range(16)), N_STEPS))
    return random_columns(n_pieces, *shape), places, uniforms


def written(model, columns, places, uniforms, **wishes):
    return torch.stack(model.sample(columns, places, uniforms, **wishes), dim=1)


@pytest.mark.parametrize("n_pieces", [1, 2, 5, 16])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"articulate": False},
        {"vicinity": "wrap", "dropout": 0.0, "scaled_position": True},
        {"dropout_scaling": "training", "conservativity": 1.4},
        {"time_layers": (14,), "note_layers": (9,)},
    ],
)
def test_pieces_are_those_of_the_naive_way_note_for_note(n_pieces, settings):
    model = model_of(**settings)
    columns, places, uniforms = chance(model, n_pieces)
    ours = written(model, columns, places, uniforms)
    naive = NaiveSampler(model)
    for piece in {0, n_pieces - 1}:
        theirs, chances = naive.write(columns[piece], places, uniforms[:, piece], model.config.conservativity)
        differs = (ours[piece] != theirs).flatten()
        first = int(differs.int().argmax())
        margin = (uniforms[:, piece] - chances).abs().flatten()
        assert not differs.any() or margin[first] < CLOSE
    notes = ours[..., 0].float().mean()
    assert 0.02 < notes < 0.7  # neither silence nor noise


@pytest.mark.parametrize("candidate", ["tanh", "linear"])
def test_every_choice_follows_from_the_probabilities_of_training(candidate):
    """Teacher forcing on what was written: another code path, with all of a piece at once."""
    model = model_of(candidate=candidate)
    columns, places, uniforms = chance(model, 3)
    ours = written(model, columns, places, uniforms, temperature=1.3)
    states = torch.cat([columns[:, None], ours.float()], dim=1)
    clock = torch.tensor([*places, 0]).expand(3, -1)
    with torch.no_grad():
        chances = torch.sigmoid(model(states, clock) / 1.3)  # (pieces, steps, notes, attributes)
    draws = uniforms.transpose(0, 1)
    chosen = draws < chances
    chosen[..., 1] &= chosen[..., 0]
    assert ((chosen == ours.bool()) | ((draws - chances).abs() < CLOSE)).all()
    assert ours.any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_piece_is_the_same_alone_and_among_any_number(precision):
    model = model_of(precision=precision)
    columns, places, uniforms = chance(model, 19)
    together = written(model, columns, places, uniforms)
    for some in (slice(0, 16), slice(3, 4), slice(7, 12)):
        alone = written(model, columns[some], places, uniforms[:, some])
        assert torch.equal(alone, together[some])


def test_low_precision_differs_only_where_chance_is_near_the_probability():
    """At the first choice that differs, the uniform number is within the error of bfloat16."""
    exact, low = model_of(), model_of(precision="bf16")
    columns, places, uniforms = chance(exact, 6)
    ours = written(low, columns, places, uniforms)
    naive = NaiveSampler(exact)
    for piece in range(6):
        theirs, chances = naive.write(columns[piece], places, uniforms[:, piece])
        differs = (ours[piece] != theirs).flatten()
        if differs.any():
            first = int(differs.int().argmax())
            assert (uniforms[:, piece] - chances).abs().flatten()[first] < 0.03
    assert (ours[:, :2] == written(exact, columns, places, uniforms)[:, :2]).float().mean() > 0.97


def test_pieces_go_on_from_a_state_of_time():
    """Eight steps at once and the rest step by step: the same as all steps written from the first."""
    model = model_of()
    columns, places, uniforms = chance(model, 2)
    whole = written(model, columns[:1], places, uniforms[:, :1])
    before = torch.cat([columns[:1, None], whole[:, :8].float()], dim=1)  # (1, 9, notes, attributes)
    with torch.no_grad():
        _, state = model.along_time(before[:, :-1], torch.tensor(places[:8])[None])
    rest = written(model, before[:, -1], places[8:], uniforms[8:, :1], time_state=state)
    assert torch.equal(rest, whole[:, 8:])


def test_adaptive_conservativity_is_that_of_the_original():
    """Followed by hand: a quiet step lowers it by 0.02, another brings it back by 0.3 of the way to 1."""
    model = model_of(adaptive=True, conservativity=1.0)
    with torch.no_grad():
        model.output.bias.copy_(torch.tensor([-4.0, 0.0]))
    columns, places, uniforms = chance(model, 1)
    ours = written(model, columns, places, uniforms)[0]
    level, expected, seen = 1.0, [], set()
    for step in range(N_STEPS):
        power = torch.tensor([level], dtype=torch.float64)
        history = torch.stack([columns[0], *expected])[None]
        with torch.no_grad():
            logits = model(
                torch.cat([history, ours[None, step, None].float()], dim=1),
                torch.tensor([*places[: step + 1], 0])[None],
            )[0, -1]
        chosen = uniforms[step, 0] < torch.sigmoid(logits.double()) ** torch.tensor([float(power), 1.0])
        chosen[:, 1] &= chosen[:, 0]
        assert torch.equal(chosen, ours[step].bool())
        expected.append(ours[step].float())
        quiet = int(chosen[:, 0].sum()) < 2
        seen.add(quiet)
        level = min(level, 1) - 0.02 if quiet else level + 0.3 * (1 - level)
    assert seen == {True, False}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_thresholds_say_what_probabilities_say(temperature):
    rng = torch.Generator().manual_seed(0)
    uniforms = torch.rand(4, 50, 2, generator=rng, dtype=torch.float64)
    logits = 3 * torch.randn(4, 50, 2, generator=rng, dtype=torch.float64)
    power = torch.tensor([0.05, 0.7, 1.0, 2.0], dtype=torch.float64)
    chances = torch.sigmoid(logits / temperature)
    chances[..., 0] **= power[:, None]
    over = logits > thresholds_of(uniforms, temperature, power)
    assert torch.equal(over, uniforms < chances)
