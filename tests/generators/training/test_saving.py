"""Resuming bit for bit whatever a stage uses, kept checkpoints, and going on from another model."""

import contextlib
import json
import multiprocessing

import numpy as np
import pytest
import torch

from generators import checkpoint
from generators.corpus import EncodedCorpus, musical_facts
from generators.errors import GeneratorError
from generators.registry import get_family
from generators.training import Origin, progress, train
from tests.generators.training.material import assert_same_model, events_of, log_of, losses_of, weights_of

KINDS = [
    ("adadelta", "constant"),
    ("rmsprop", "one_cycle"),
    ("adamw", "warmup_cosine"),
    ("sgd", "linear"),
]


def assert_same_run(one, other):
    assert_same_model(one, other)
    assert log_of(one) == log_of(other)
    with np.load(one / "gradients.npz") as left, np.load(other / "gradients.npz") as right:
        for key in left:
            np.testing.assert_array_equal(left[key], right[key])


def options_of(kind, schedule):
    overrides = {"optimizer": kind, "schedule": schedule, "evaluations": "3", "every": "4"}
    return {"overrides": overrides, "gradients_every": 3, "seed": 3}


@pytest.mark.parametrize(("kind", "schedule"), KINDS)
def test_a_run_in_pieces_is_the_run_left_alone(kind, schedule, toy, corpus, tmp_path, frequent_lines):
    """With schedules, early stopping, counted and precomputed stages, and a record of gradients."""
    options = options_of(kind, schedule)
    whole = train(toy, corpus, tmp_path / "whole", **options)
    for updates in range(2, whole.updates, 9):
        train(toy, corpus, tmp_path / "parts", updates=updates, resume=True, **options)
    train(toy, corpus, tmp_path / "parts", updates=10**6, resume=True, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def killed_at(update, corpus, folder, **options):
    """Train in a process of its own that saves after each update, and kill it there."""
    fork = multiprocessing.get_context("fork")
    heard, told = fork.Pipe(duplex=False)

    def work():
        progress.REPORT_SECONDS = 0.0
        train("toy", corpus, folder, checkpoint_seconds=0.0, report=lambda p: told.send(p.update), **options)

    process = fork.Process(target=work)
    process.start()
    told.close()
    with contextlib.suppress(EOFError):
        while heard.recv() < update:
            pass
    process.kill()
    process.join()


def test_a_run_killed_again_and_again_is_the_run_left_alone(toy, corpus, tmp_path, frequent_lines):
    """The second kill comes before a checkpoint after the first: what it goes on from must not be lost."""
    options = options_of("rmsprop", "one_cycle")
    train(toy, corpus, tmp_path / "whole", **options)
    for update in (5, 6, 17):
        killed_at(update, corpus, tmp_path / "killed", resume=True, **options)
    train(toy, corpus, tmp_path / "killed", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_run_that_goes_on_and_is_killed_at_once_keeps_the_state_of_its_optimizers(toy, corpus, tmp_path):
    class PowerCut(Exception):
        pass

    def cut(progress):
        raise PowerCut

    train(toy, corpus, tmp_path / "a", updates=8)
    train(toy, corpus, tmp_path / "b", updates=8)
    with pytest.raises(PowerCut):
        train(toy, corpus, tmp_path / "b", updates=12, resume=True, report=cut)
    for name in ("a", "b"):
        train(toy, corpus, tmp_path / name, updates=12, resume=True)
    assert_same_model(tmp_path / "a", tmp_path / "b")


def test_a_run_from_a_kept_checkpoint_is_the_same_continuation(toy, corpus, tmp_path, frequent_lines):
    options = options_of("adam", "linear")
    whole = train(toy, corpus, tmp_path / "whole", keep_every=14, **options)
    kept = sorted(path.name for path in (tmp_path / "whole" / "kept").iterdir())
    assert kept == [f"{update:06d}" for update in range(14, whole.updates + 1, 14)]
    assert [line["folder"] for line in events_of(tmp_path / "whole", "kept")] == [f"kept/{n}" for n in kept]
    for name in kept:
        origin = Origin(f"whole@{int(name)}", tmp_path / "whole" / "kept" / name)
        assert checkpoint.read_config(origin.folder)["updates"] == int(name)
        new = tmp_path / f"from-{name}"
        result = train(toy, corpus, new, origin=origin, keep_every=0)
        assert (result.updates, result.stopped) == (whole.updates, "finished")
        assert_same_model(tmp_path / "whole", new)
        assert losses_of(new) == losses_of(tmp_path / "whole")
        told = checkpoint.read_config(new)["origin"]
        assert (told["model"], told["updates"], told["changed"]) == (origin.name, int(name), {})
        assert told["checkpoint_sha256"] == checkpoint.checkpoint_sha256(origin.folder)


def test_a_setting_can_be_changed_on_the_way(toy, corpus, tmp_path, frequent_lines):
    train(toy, corpus, tmp_path / "old", updates=10)
    before = weights_of(tmp_path / "old")
    origin = Origin("old", tmp_path / "old")
    new = {"overrides": {"learning_rate": "0", "batch_size": "3"}, "updates": 15}
    train(toy, corpus, tmp_path / "new", origin=origin, **new)
    config = checkpoint.read_config(tmp_path / "new")
    assert (config["config"]["learning_rate"], config["updates"]) == (0.0, 15)
    assert config["origin"]["changed"] == {"learning_rate": 0.0, "batch_size": 3}
    after = weights_of(tmp_path / "new")
    assert torch.equal(before["coder.weight"], after["coder.weight"])  # its rate is 0 now
    assert not torch.equal(before["decoder.weight"], after["decoder.weight"])
    assert [line["update"] for line in losses_of(tmp_path / "new")] == [5, 10, 15]
    (told,) = events_of(tmp_path / "new", "origin")
    assert (told["update"], told["model"]) == (10, "old")


def test_a_finished_model_goes_on_where_its_plan_becomes_longer(toy, corpus, tmp_path):
    """Twice as many epochs of the last stage: it is that stage that goes on."""
    short = train(toy, corpus, tmp_path / "short")
    origin = Origin("short", tmp_path / "short")
    longer = train(toy, corpus, tmp_path / "longer", origin=origin, overrides={"epochs": "5"})
    n_batches = -(-checkpoint.read_config(tmp_path / "short")["windows"]["train"] // 4)
    assert longer.updates == short.updates + 2 * n_batches
    same = train(toy, corpus, tmp_path / "same", origin=origin)
    assert same.updates == short.updates
    assert_same_model(tmp_path / "short", tmp_path / "same")


def test_another_optimizer_starts_without_the_state_of_the_old(toy, corpus, tmp_path):
    train(toy, corpus, tmp_path / "old", updates=5, overrides={"optimizer": "rmsprop"})
    origin = Origin("old", tmp_path / "old")
    result = train(
        toy, corpus, tmp_path / "new", origin=origin, overrides={"optimizer": "adadelta"}, updates=9
    )
    assert result.updates == 9


def test_on_another_corpus_weights_stay_and_the_plan_starts_anew(toy, corpus, listed, piece, tmp_path):
    train(toy, corpus, tmp_path / "old", updates=9)
    other = listed([piece(seed, tempo=400_000, meter=(3, 4)) for seed in (31, 32)], name="other")
    result = train(toy, other, tmp_path / "new", origin=Origin("old", tmp_path / "old"), updates=1)
    assert result.updates == 1
    config, old = checkpoint.read_config(tmp_path / "new"), checkpoint.read_config(tmp_path / "old")
    assert config["learned"] == old["learned"]
    assert config["corpus"]["name"] == "other"
    assert config["origin"]["corpus"] == old["corpus"]
    assert (config["music"]["meter"], config["music"]["microseconds_per_beat"]) == ([3, 4], 400_000)
    after, before = weights_of(tmp_path / "new"), weights_of(tmp_path / "old")
    assert after["transfers"].item() == 1
    distance = (after["coder.weight"] - before["coder.weight"]).abs().max()
    assert 0 < distance < 0.05  # one update away
    assert not torch.equal(after["reader.1.weight"], before["reader.1.weight"])
    assert [line.get("event") for line in log_of(tmp_path / "new")] == ["start", "stage", "end"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"overrides": {"width": "7"}},
            "with width=7 the weights have other shapes: .* width=6 as it was",
        ),
        ({"overrides": {"epochs": "9", "window": "9"}}, "with window=9 the weights have other shapes"),
        ({"preset": "paper"}, "old has preset 'tiny'; it cannot go on as 'paper', .* --set"),
        (
            {"seed": 8},
            "old was trained with seed 0; on the same corpus .* with that, not with seed 8",
        ),
        ({"family": "deephear"}, "old is a model of toy; it cannot go on as deephear"),
    ],
)
def test_what_cannot_go_on_from_another_model_says_why(options, message, toy, corpus, tmp_path):
    train(toy, corpus, tmp_path / "old", updates=2)
    options = {"family": toy, **options}
    family = options.pop("family")
    with pytest.raises(GeneratorError, match=message):
        train(family, corpus, tmp_path / "new", origin=Origin("old", tmp_path / "old"), **options)
    assert not (tmp_path / "new").exists()


def test_a_family_that_cannot_transfer_stays_on_its_corpus(corpus, listed, piece, small, tmp_path):
    train("deephear", corpus, tmp_path / "old", overrides=small["deephear"], updates=1)
    other = listed([piece(5)], name="other")
    if "transfer" in get_family("deephear").abilities:
        pytest.skip("deephear has learned to transfer")
    with pytest.raises(GeneratorError, match="deephear lacks the ability 'transfer'"):
        train("deephear", other, tmp_path / "new", origin=Origin("old", tmp_path / "old"))


def test_a_changed_setting_is_refused_on_resuming_with_a_way_out(toy, corpus, tmp_path):
    train(toy, corpus, tmp_path, updates=1)
    with pytest.raises(GeneratorError, match=r"with batch_size=4; it cannot .*=5, .* --from MODEL"):
        train(toy, corpus, tmp_path, resume=True, overrides={"batch_size": "5"})
    with pytest.raises(GeneratorError, match="with precision=fp32; it cannot go on with precision=bf16"):
        train(toy, corpus, tmp_path, resume=True, precision="bf16")


def test_precision_is_stored_and_changes_the_numbers(toy, corpus, tmp_path):
    for precision in ("auto", "fp32", "bf16"):
        result = train(toy, corpus, tmp_path / precision, precision=precision, updates=6, device="cpu")
        assert checkpoint.read_config(tmp_path / precision)["precision"] == result.precision
        (line,) = events_of(tmp_path / precision, "start")
        assert line["precision"] == result.precision == ("bf16" if precision == "bf16" else "fp32")
    assert_same_model(tmp_path / "auto", tmp_path / "fp32")
    exact, rounded = (
        weights_of(tmp_path / "fp32")["coder.weight"],
        weights_of(tmp_path / "bf16")["coder.weight"],
    )
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.1)
    assert rounded.dtype == torch.float32
    with pytest.raises(GeneratorError, match="precision must be auto, fp32 or bf16, got 'fp8'"):
        train(toy, corpus, tmp_path / "other", precision="fp8")


def test_threads_are_kept_by_a_resumed_run(toy, corpus, tmp_path):
    train(toy, corpus, tmp_path, updates=1, threads=2)
    train(toy, corpus, tmp_path, updates=2, resume=True)
    assert checkpoint.read_config(tmp_path)["threads"] == 2


def test_arrays_train_as_the_scores_they_were_encoded_from(toy, corpus, tmp_path):
    family = get_family(toy)
    representation = family.representation(family.config())
    learned = representation.learn(corpus.train)
    splits = [
        [representation.encode(score, learned) for score in each]
        for each in (corpus.train, corpus.validation)
    ]
    encoded = EncodedCorpus("rolls", *splits, learned, musical_facts(corpus.train))
    train(toy, corpus, tmp_path / "scores", updates=9)
    train(toy, encoded, tmp_path / "arrays", updates=4)
    train(toy, encoded, tmp_path / "arrays", updates=9, resume=True)
    assert_same_model(tmp_path / "scores", tmp_path / "arrays")
    other = EncodedCorpus("rolls", splits[1], splits[0], learned)
    assert other.sha256 != encoded.sha256
    with pytest.raises(GeneratorError, match="corpus 'none' is too small: its 0 training pieces"):
        train(toy, EncodedCorpus("none", [], [], learned), tmp_path / "none")


def test_the_log_holds_the_norms_of_gradients_of_each_part(toy, corpus, tmp_path, frequent_lines):
    train(toy, corpus, tmp_path, updates=10, overrides={"learning_rate": "0"})
    lines = losses_of(tmp_path)
    assert [set(line["gradient_norms"]) for line in lines] == [{"coder", "decoder"}] * 2
    assert all(norm > 0 for line in lines for norm in line["gradient_norms"].values())
    json.dumps(lines, allow_nan=False)
