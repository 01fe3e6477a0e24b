import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from generators import checkpoint
from generators.devices import MOST_THREADS
from generators.errors import GeneratorError
from generators.family import Request
from generators.generation import Tally, Writer, generate, harmonize, piece_rng
from generators.registry import family_names, get_family
from generators.settings import apply_overrides, training_only
from generators.workers import spread
from music.score import Meter, Note, Score, Tempo, Track

ROOT = Path(__file__).parent.parent.parent
TUNE = Score((Track((Note(0, 72, 480), Note(480, 74, 480))),))


@pytest.mark.parametrize("name", family_names())
def test_a_piece_does_not_depend_on_how_many_are_asked_for(name, trained):
    size = get_family(name).pieces_at_once
    many = generate(trained(name), count=size + 1, bars=3, seed=2)
    for count in (1, size):
        assert generate(trained(name), count=count, bars=3, seed=2) == many[:count]


def test_another_process_writes_the_same_pieces(trained):
    code = (
        "import sys; from generators.generation import generate\n"
        "for folder in sys.argv[1:]:\n"
        "    print(repr(generate(folder, count=2, bars=2)))"
    )
    folders = [str(trained(name)) for name in family_names()]
    done = subprocess.run(
        [sys.executable, "-c", code, *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [repr(generate(folder, count=2, bars=2)) for folder in folders]


def test_a_piece_of_a_seed_has_random_numbers_of_its_own():
    draws = {
        tuple(torch.rand(4, generator=piece_rng(seed, index)).tolist())
        for seed in (0, 1)
        for index in range(9)
    }
    assert len(draws) == 18


def test_writing_leaves_the_random_state_of_the_caller_alone(trained):
    state = torch.get_rng_state()
    generate(trained("gru_next_note"), count=1, bars=1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("workers", [2, 3])
def test_pieces_do_not_depend_on_the_number_of_processes(trained, workers):
    folder, size = trained("gru_next_note"), get_family("gru_next_note").pieces_at_once
    alone = generate(folder, count=2 * size + 1, bars=2, seed=4)
    assert generate(folder, count=2 * size + 1, bars=2, seed=4, workers=workers) == alone


def test_harmonies_do_not_depend_on_the_number_of_processes(trained):
    options = {"count": 3, "overrides": {"harmony_restarts": "2", "harmony_steps": "2"}}
    alone = harmonize(trained("deephear"), TUNE, **options)
    assert harmonize(trained("deephear"), TUNE, workers=2, **options) == alone


def test_an_error_of_a_worker_process_is_the_error_of_the_run(trained):
    writer = Writer(str(trained("deephear")), TUNE, 0, "cpu", threads=0)  # as it passes no check of a run
    with pytest.raises(GeneratorError, match="threads must be 1 to"):
        list(spread(writer.begin, [range(1)], 1))


def told(folder, **options):
    calls = []
    generate(folder, report=lambda done, total: calls.append((done, total)), **options)
    return calls


def test_progress_counts_the_pieces_from_the_start_on(trained):
    size = get_family("deephear").pieces_at_once
    calls = told(trained("deephear"), count=size + 4, bars=1)
    assert calls == [(0, size + 4), (size, size + 4), (size + 4, size + 4)]


def growing(calls, total) -> list[float]:
    """The pieces that were told to be done: ever more, from none to all."""
    done = [done for done, _ in calls]
    assert {each for _, each in calls} == {total}
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, total)
    return done


TELLERS = [
    "biaxial",
    "deephear",
    "gru_next_note",
    "markov",
    "melody_lstm",
    "multi_rnn",
    "music_transformer",
    "transformer_xl",
    "two_part_lstm",
]


@pytest.mark.parametrize("name", TELLERS)
def test_progress_is_told_within_a_batch(name, trained):
    size = get_family(name).pieces_at_once
    done = growing(told(trained(name), count=size + 1, bars=32), size + 1)
    assert size in done
    assert sum(share < size for share in done) > 3
    assert len(done) < 220


def test_worker_processes_tell_progress_within_their_batches(trained):
    size = get_family("multi_rnn").pieces_at_once
    done = growing(told(trained("multi_rnn"), count=size + 4, bars=8, workers=2), size + 4)
    assert sum(each % 1 > 0 for each in done) > 20


FEW_STEPS = {"harmony_restarts": "2", "harmony_steps": "20"}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("name", "overrides"),
    [("two_part_lstm", {}), ("deephear", FEW_STEPS), ("deephear", {**FEW_STEPS, "harmony_hop": "64"})],
)
def test_progress_is_told_within_a_harmony(name, overrides, workers, trained):
    melody, calls = Score((Track(tuple(Note(480 * beat, 60, 480) for beat in range(32))),)), []
    harmonize(
        trained(name),
        melody,
        count=2,
        overrides=overrides,
        workers=workers,
        report=lambda *each: calls.append(each),
    )
    assert 20 < len(growing(calls, 2)) < 205


def test_progress_within_batches_at_work_is_added_up():
    calls = []
    tally = Tally(5, 2, lambda *each: calls.append(each))
    tally.note(0, 0.5)
    tally.note(2, 0.25)  # the last batch, of which one piece is asked for
    tally.note(0, 0.75)
    tally.finish(0)
    tally.note(1, 0.5)
    tally.finish(2)
    tally.finish(1)
    assert calls == [(done, 5) for done in (0, 1, 1.25, 1.75, 2.25, 3.25, 4, 5)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("deephear", {"count": 0}, "count must be 1 to 100000, got 0"),
        ("deephear", {"bars": 0}, "bars must be 1 to 10000, got 0"),
        ("deephear", {"bars": -3}, "bars must be 1 to 10000, got -3"),
        (
            "gru_next_note",
            {"temperature": 0.0},
            "temperature must be 0.000001 to 1000, got 0.0; for",
        ),
        ("gru_next_note", {"temperature": float("nan")}, "must be 0.000001 to 1000, got nan"),
        ("gru_next_note", {"temperature": 1e300}, "must be 0.000001 to 1000, got 1e+300"),
        ("transformer_xl", {"temperature": 1e-46}, "must be 0.000001 to 1000, got 1e-46; for the likeliest"),
        (
            "gru_next_note",
            {"temperature": 9.0, "argmax": True},
            "leave out argmax or the temperature of 9.0",
        ),
        ("gru_next_note", {"alpha": 0.3}, "gru_next_note lacks the ability 'styles'"),
        ("vae_nn", {"alpha": 0.3}, "none is given: give one, or leave out alpha 0.3"),
        (
            "gru_next_note",
            {"overrides": {"learning_rate": "0.9", "temperature": "0.5", "epochs": "3"}},
            "learning_rate and epochs concern training alone and would change nothing here: leave out "
            "--set learning_rate --set epochs",
        ),
        ("gru_next_note", {"alpha": 1.5}, "alpha must be 0 to 1, got 1.5"),
        ("gru_next_note", {"noise_sd": -1.0}, "noise_sd must be 0 to 1000, got -1.0"),
        ("gru_next_note", {"noise_sd": 1e39}, "noise_sd must be 0 to 1000, got 1e+39"),
        ("gru_next_note", {"noise_sd": float("nan")}, "noise_sd must be 0 to 1000, got nan"),
        ("gru_next_note", {"noise_sd": 0.5}, "gru_next_note lacks the ability 'noise' (adds noise"),
        ("gru_next_note", {"styles": (TUNE,)}, "gru_next_note lacks the ability 'styles'"),
        (
            "deephear",
            {"prime": TUNE},
            "deephear lacks the ability 'prime' (continues a given piece); it has generate",
        ),
        ("deephear", {"temperature": 1.0}, "deephear lacks the ability 'temperature'"),
        ("deephear", {"argmax": True}, "deephear lacks the ability 'argmax'"),
        ("gru_next_note", {"prime": Score()}, "the prime holds no notes"),
        ("gru_next_note", {"threads": 0}, f"threads must be 1 to {MOST_THREADS} on this machine, got 0"),
        ("gru_next_note", {"threads": 100_000}, "on this machine, got 100000"),
        ("gru_next_note", {"workers": 0}, "workers must be 1 to 256, got 0"),
        ("gru_next_note", {"workers": 1000}, "workers must be 1 to 256, got 1000"),
        ("gru_next_note", {"device": "tpu"}, "device must be auto, cpu or cuda, got 'tpu'"),
        ("gru_next_note", {"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ("gru_next_note", {"overrides": {"d_hidden": "20"}}, "20; leave out --set d_hidden"),
        (
            "gru_next_note",
            {"overrides": {"hidden": "20"}},
            "no setting named 'hidden'; did you mean d_hidden?",
        ),
    ],
)
def test_a_request_that_cannot_be_met_says_why(trained, name, options, message):
    with pytest.raises(GeneratorError) as error:
        generate(trained(name), **{"count": 1, "bars": 1, **options})
    assert message in str(error.value)


LEAST = ("0.000001", "9.9e-7", "1e-46", "1e-308")


@pytest.mark.parametrize("name", family_names())
def test_no_setting_of_a_family_is_a_temperature_below_the_least(name):
    config = get_family(name).config()
    for key in (each.name for each in fields(config) if each.name.endswith("temperature")):
        least, *smaller = LEAST
        assert getattr(apply_overrides(config, {key: least}), key) == 1e-6
        for text in smaller:
            with pytest.raises(GeneratorError, match=f"{key} must be .*got {float(text)}"):
                apply_overrides(config, {key: text})


WITH_TEMPERATURE = [name for name in family_names() if "temperature" in get_family(name).abilities]


@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_the_least_temperature_writes_to_the_end(name, trained):
    assert len(generate(trained(name), count=2, bars=2, temperature=1e-6)) == 2


@pytest.mark.parametrize("name", ["melody_lstm", "music_transformer", "transformer_xl", "two_part_lstm"])
def test_a_model_whose_weights_are_no_numbers_is_refused_instead_of_writing_without_end(
    name, trained, tmp_path
):
    stored = checkpoint.load(trained(name))
    weights = {key: torch.full_like(each, torch.nan) for key, each in stored.model.state_dict().items()}
    checkpoint.save(tmp_path, stored.config, weights, {}, {})
    for options in ({}, {"argmax": True}):
        with pytest.raises(GeneratorError, match="not finite: its weights are broken"):
            generate(tmp_path, count=1, bars=2, **options)


def other_values(config, names) -> dict[str, str]:
    """A value other than it has for each of the settings, as typed."""
    kinds = get_type_hints(type(config))
    others = {}
    for name in names:
        value, kind = getattr(config, name), kinds[name]
        if get_origin(kind) is Literal:
            others[name] = next(each for each in get_args(kind) if each != value)
        elif isinstance(value, float):
            others[name] = str(value / 2 if value else 0.25)
        else:
            others[name] = str((value or 0) + 1)
    return others


@pytest.mark.parametrize("name", family_names())
def test_settings_of_training_alone_change_no_piece_and_are_refused(name, trained):
    family, request = get_family(name), Request(2, Tempo(0), Meter(0))
    stored = checkpoint.load(trained(name))
    names = training_only(stored.model.config, {each.name: "" for each in fields(family.config)})
    overrides = other_values(stored.model.config, names)
    other = checkpoint.load(trained(name), overrides=overrides)
    assert all(getattr(other.model.config, key) != getattr(stored.model.config, key) for key in names)
    one, two = (
        each.model.generate([piece_rng(1, index) for index in range(family.pieces_at_once)], request)
        for each in (stored, other)
    )
    assert one == two
    for key, text in overrides.items():
        with pytest.raises(GeneratorError, match=f"^{key} concern.* leave out --set {key}, or train with it"):
            generate(trained(name), count=1, bars=1, overrides={key: text})


def test_dropout_that_scales_what_is_written_may_be_set(trained):
    assert len(generate(trained("biaxial"), count=1, bars=1, overrides={"dropout": "0.3"})) == 1


def test_settings_of_training_are_refused_for_harmonies_too(trained):
    with pytest.raises(GeneratorError, match="pretraining_epochs concerns training alone"):
        harmonize(trained("deephear"), TUNE, overrides={"pretraining_epochs": "3"})


def test_a_family_that_cannot_harmonise_says_so(trained):
    with pytest.raises(GeneratorError, match="gru_next_note lacks the ability 'harmonize'"):
        harmonize(trained("gru_next_note"), TUNE)


def test_a_melody_of_drums_alone_is_refused(trained):
    drums = Score((Track((Note(0, 38, 120),), is_drum=True),))
    with pytest.raises(GeneratorError, match="the melody holds no notes besides drums"):
        harmonize(trained("deephear"), drums)


DRUMS = Score((Track(tuple(Note(beat * 480, 36, 240) for beat in range(16)), is_drum=True),))


def test_drums_alone_are_no_prime_for_models_that_do_not_play_them(trained):
    with pytest.raises(GeneratorError, match="no notes besides drums, which this GRU"):
        generate(trained("gru_next_note"), count=1, bars=1, prime=DRUMS)
    with pytest.raises(GeneratorError, match="the prime has no notes of piano, which is all that this model"):
        generate(trained("multi_rnn"), count=1, bars=2, prime=DRUMS)


@pytest.mark.parametrize("name", [name for name in family_names() if get_family(name).drums])
def test_what_a_family_lacks_in_a_prime_of_drums_it_says_itself(name, trained):
    said = ""
    try:
        generate(trained(name), count=1, bars=2, prime=DRUMS)
    except GeneratorError as error:
        said = str(error)
    assert "besides drums" not in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named(trained):
    with pytest.raises(GeneratorError, match="torch sees no GPU here; use cpu"):
        generate(trained("deephear"), count=1, device="cuda")


def test_settings_of_a_model_can_be_changed_for_once(trained):
    folder = trained("deephear")
    before = checkpoint.checkpoint_sha256(folder)
    plain = generate(folder, count=4, bars=2)
    chopped = generate(folder, count=4, bars=2, overrides={"rearticulate": "true"})
    assert sum(piece.n_notes for piece in chopped) > sum(piece.n_notes for piece in plain)
    assert checkpoint.checkpoint_sha256(folder) == before


def test_pieces_and_models_do_not_depend_on_the_threads_of_the_caller(trained):
    one = generate(trained("gru_next_note"), count=2, bars=2)
    torch.set_num_threads(2)
    try:
        assert generate(trained("gru_next_note"), count=2, bars=2) == one
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
