import contextlib
import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from generators import checkpoint
from generators.corpus import TrainingPieces, WindowedPieces
from generators.errors import GeneratorError
from generators.family import MusicModel, Optimizer, Patience, Stage
from generators.registry import family_names
from generators.training import Run, evaluation, fit, loop, progress, samples, train
from generators.training.stopping import Stop
from tests.generators.training.material import assert_same_model, events_of, log_of, losses_of, weights_of


@pytest.mark.parametrize("name", ["deephear", "gru_next_note"])
def test_a_run_in_pieces_is_the_run_left_alone(name, corpus, small, tmp_path, frequent_lines):
    """Stops within an epoch and at its end, within a stage and at its end, between two lines of the log."""
    options = {"overrides": small[name], "seed": 4}
    whole = train(name, corpus, tmp_path / "whole", **options)
    assert whole.stopped == "finished"
    stops = sorted({1, 4, 7, 12, 24, 25, 31, 48, whole.updates - 1} & set(range(1, whole.updates)))
    assert len(stops) >= 5
    for updates in stops:
        part = train(name, corpus, tmp_path / "parts", updates=updates, resume=True, **options)
        assert (part.updates, part.stopped) == (updates, "updates")
    last = train(name, corpus, tmp_path / "parts", updates=10**6, resume=True, **options)
    assert last.updates == whole.updates
    assert last.figures == whole.figures
    assert_same_model(tmp_path / "whole", tmp_path / "parts")
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")


@pytest.mark.parametrize("name", family_names())
def test_fewer_updates_are_a_beginning_of_more(name, corpus, small, tmp_path):
    first = train(name, corpus, tmp_path / "a", overrides=small[name], updates=3)
    assert first.updates == 3 or first.stopped == "finished"
    train(name, corpus, tmp_path / "b", overrides=small[name], updates=5)
    train(name, corpus, tmp_path / "a", updates=5, resume=True)
    assert_same_model(tmp_path / "a", tmp_path / "b")
    assert log_of(tmp_path / "a") == log_of(tmp_path / "b")


def test_the_seed_decides_the_model(corpus, small, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(
            "gru_next_note", corpus, tmp_path / folder, overrides=small["gru_next_note"], seed=seed, updates=3
        )
    assert_same_model(tmp_path / "a", tmp_path / "b")
    assert checkpoint.checkpoint_sha256(tmp_path / "a") != checkpoint.checkpoint_sha256(tmp_path / "c")


def test_lines_after_the_last_checkpoint_are_written_again_not_twice(corpus, small, tmp_path, frequent_lines):
    """As after a kill: the log is ahead of the checkpoint, and its last line is cut short."""
    options = {"overrides": small["gru_next_note"], "checkpoint_seconds": 1e9}
    train("gru_next_note", corpus, tmp_path / "whole", **options)
    train("gru_next_note", corpus, tmp_path / "killed", updates=12, **options)
    ahead = {"update": 15, "stage": "words", "losses": {"model": 1.0}}
    with (tmp_path / "killed" / "training.jsonl").open("a") as file:
        file.write(json.dumps(ahead) + "\n" + json.dumps(ahead)[:9])
    train("gru_next_note", corpus, tmp_path / "killed", updates=10**6, resume=True, **options)
    updates = [line["update"] for line in losses_of(tmp_path / "killed")]
    assert updates == sorted(set(updates))
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")


def long_settings(small) -> dict[str, str]:
    return {**small["deephear"], "epochs": "4000", "pretraining_epochs": "3"}


def in_another_process(corpus, folder: Path, overrides: dict[str, str], checkpoint_seconds: float):
    """Start training in a process of its own; returns it and the end of a pipe that tells each update."""
    fork = multiprocessing.get_context("fork")
    heard, told = fork.Pipe(duplex=False)

    def work():
        progress.REPORT_SECONDS = 0.0
        train(
            "deephear",
            corpus,
            folder,
            overrides=overrides,
            checkpoint_seconds=checkpoint_seconds,
            report=lambda made: told.send(made.update),
        )

    process = fork.Process(target=work)
    process.start()
    told.close()
    return process, heard


def test_a_run_killed_in_its_last_stage_resumed_is_the_run_left_alone(corpus, small, tmp_path):
    overrides = long_settings(small)
    process, heard = in_another_process(corpus, tmp_path / "killed", overrides, 0.0)
    while heard.recv() < 30:
        pass
    process.kill()
    process.join()
    left = checkpoint.read_config(tmp_path / "killed")
    reached = left["updates"]
    assert (left["stage"], left["finished"], reached >= 30) == ("fine_tuning", False, True)
    options = {"overrides": overrides, "updates": reached + 11}
    train("deephear", corpus, tmp_path / "killed", resume=True, **options)
    train("deephear", corpus, tmp_path / "whole", **options)
    assert_same_model(tmp_path / "killed", tmp_path / "whole")
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_training_with_a_checkpoint(corpus, small, tmp_path, number):
    process, heard = in_another_process(corpus, tmp_path, long_settings(small), 1e9)
    while heard.recv() < 10:
        pass
    os.kill(process.pid, number)
    last = 0
    with contextlib.suppress(EOFError):
        while True:
            last = heard.recv()
    process.join(60)
    assert process.exitcode == 0
    config = checkpoint.read_config(tmp_path)
    assert config["updates"] == last >= 10
    assert config["finished"] is False


@pytest.mark.parametrize("phase", ["measuring", "writing samples"])
def test_a_signal_breaks_off_what_may_be_left_out_and_the_resumed_run_is_whole(
    phase, corpus, small, tmp_path, frequent_lines, monkeypatch
):
    """The process would sleep for minutes in an evaluation, or in samples, were it not to break off."""
    options = {"overrides": {**small["deephear"], "epochs": "30"}, "seed": 3, "sample_every": 7}
    whole = train("deephear", corpus, tmp_path / "whole", **options)
    fork = multiprocessing.get_context("fork")
    heard, told = fork.Pipe(duplex=False)

    def work():
        module, name = {
            "measuring": (evaluation, "_mean_figures"),
            "writing samples": (samples, "_write_samples"),
        }[phase]
        monkeypatch.setattr(module, name, lambda *args: (told.send("asleep"), time.sleep(300)))
        train("deephear", corpus, tmp_path / "part", on_stop=lambda: told.send("stopping"), **options)
        told.send("ended")

    process = fork.Process(target=work)
    process.start()
    assert heard.recv() == "asleep"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 0
    assert {heard.recv(), heard.recv()} == {"stopping", "ended"}
    left = checkpoint.read_config(tmp_path / "part")
    assert 0 < left["updates"] < whole.updates
    train("deephear", corpus, tmp_path / "part", resume=True)
    assert_same_model(tmp_path / "whole", tmp_path / "part")
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "part")


def test_signals_are_handled_as_before_afterwards(corpus, small, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train("gru_next_note", corpus, tmp_path, overrides=small["gru_next_note"], updates=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_works_outside_the_main_thread(corpus, small, tmp_path):
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            train("gru_next_note", corpus, tmp_path, overrides=small["gru_next_note"], updates=2)
        )
    )
    thread.start()
    thread.join()
    assert results[0].updates == 2


def test_training_leaves_the_random_state_of_the_caller_alone(corpus, small, tmp_path):
    state = torch.get_rng_state()
    train("deephear", corpus, tmp_path, overrides=small["deephear"], updates=2)
    assert torch.equal(state, torch.get_rng_state())


def test_a_time_limit_gives_every_stage_its_share(corpus, small, tmp_path, monkeypatch):
    """Under a clock that moves a second at each look, 10 minutes end all stages long before their epochs."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    overrides = {**small["deephear"], "epochs": "100000", "pretraining_epochs": "100000"}
    result = train("deephear", corpus, tmp_path, overrides=overrides, minutes=10)
    assert result.stopped == "minutes"
    assert 600 <= result.seconds < 700
    updates = {}
    for line in losses_of(tmp_path):
        updates[line["stage"]] = line["update"]
    assert set(updates) >= {"layer_1", "layer_2"}
    assert checkpoint.read_config(tmp_path)["stage"] == "fine_tuning"
    assert result.updates > updates["layer_2"] * 1.2


def test_a_time_limit_goes_by_the_clock_that_is_given(corpus, small, tmp_path):
    """Under a clock that moves a second at each look: how long the machine takes does not matter."""
    overrides, ticks = {**small["gru_next_note"], "epochs": "100000"}, itertools.count()
    clock = {"clock": lambda: float(next(ticks))}
    result = train("gru_next_note", corpus, tmp_path, overrides=overrides, minutes=1, **clock)
    assert result.stopped == "minutes"
    assert 60 <= result.seconds < 80
    again = train("gru_next_note", corpus, tmp_path, minutes=2, resume=True, **clock)
    assert 120 <= again.seconds < 140
    assert again.updates > result.updates


def test_a_time_limit_counts_earlier_runs_too(corpus, small, tmp_path):
    options = {"overrides": {**small["gru_next_note"], "epochs": "100000"}}
    first = train("gru_next_note", corpus, tmp_path, minutes=0.01, **options)
    again = train("gru_next_note", corpus, tmp_path, minutes=0.01, resume=True, **options)
    assert first.stopped == again.stopped == "minutes"
    assert again.updates == first.updates
    more = train("gru_next_note", corpus, tmp_path, updates=first.updates + 2, resume=True, **options)
    assert more.updates == first.updates + 2


def test_a_resumed_run_keeps_the_limits_it_was_started_with(corpus, small, tmp_path, monkeypatch):
    class PowerCut(Exception):
        pass

    def cut(progress):
        if progress.update >= 4:
            raise PowerCut

    options = {"overrides": {**small["gru_next_note"], "epochs": "100000"}, "checkpoint_seconds": 0.0}
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    with pytest.raises(PowerCut):
        train("gru_next_note", corpus, tmp_path, updates=11, report=cut, **options)
    assert train("gru_next_note", corpus, tmp_path, resume=True).updates == 11


def test_a_finished_run_resumed_stays_as_it_is(corpus, small, tmp_path):
    done = train("gru_next_note", corpus, tmp_path, overrides=small["gru_next_note"])
    before = checkpoint.checkpoint_sha256(tmp_path)
    again = train("gru_next_note", corpus, tmp_path, resume=True)
    assert (again.updates, again.stopped, again.figures) == (done.updates, "finished", done.figures)
    assert checkpoint.checkpoint_sha256(tmp_path) == before


def test_losses_fall_and_are_reported(corpus, small, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    seen = []
    overrides = {**small["gru_next_note"], "learning_rate": "0.02", "epochs": "12"}
    result = train("gru_next_note", corpus, tmp_path, overrides=overrides, report=seen.append)
    assert [each.update for each in seen[:3]] == [1, 2, 3]
    assert seen[-1].update == result.updates == seen[-1].n_updates
    assert seen[-1].figures == result.figures
    assert all(each.updates_per_second > 0 for each in seen)
    assert seen[5].seconds_left > seen[-1].seconds_left == 0
    assert all(each.seconds <= later.seconds for each, later in itertools.pairwise(seen))
    losses = [line["losses"]["model"] for line in losses_of(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]
    assert result.losses["train"] < math.log(len(checkpoint.read_config(tmp_path)["learned"]["words"]))
    document = result.to_json()
    assert document.keys() >= {"family", "updates", "seconds", "device", "parameters", "losses", "path"}
    assert document["losses"].keys() == {"train", "validation"}
    json.dumps(document, allow_nan=False)


def test_without_validation_pieces_its_loss_is_absent(listed, piece, small, tmp_path):
    result = train("gru_next_note", listed([piece(1)]), tmp_path, overrides=small["gru_next_note"], updates=2)
    assert result.losses["validation"] is None
    assert result.losses["train"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "gru"}, "no family named 'gru'; did you mean"),
        ({"preset": "huge"}, "gru_next_note has no preset 'huge'; it has paper, tiny"),
        ({"overrides": {"d_hiden": "1"}}, "no setting named 'd_hiden'; did you mean d_hidden?"),
        ({"overrides": {"batch_size": "0"}}, "batch_size must be at least 1, got 0"),
        (
            {"overrides": {"learning_rate": "1e38"}},
            "learning_rate must be above 0 and at most 1000, got 1e+38",
        ),
        ({"updates": 0}, "updates must be at least 1, got 0"),
        ({"minutes": -1.0}, "minutes must be a positive number, got -1.0"),
        ({"minutes": float("nan")}, "minutes must be a positive number, got nan"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda, got 'gpu'"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
    ],
)
def test_what_cannot_be_trained_says_why(corpus, tmp_path, options, message):
    settings = {"family": "gru_next_note", "updates": 60, **options}
    with pytest.raises(GeneratorError) as error:
        train(settings.pop("family"), corpus, tmp_path / "model", **settings)
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{"preset": "huge"}, {"overrides": {"x": "1"}}])
def test_a_refused_run_leaves_no_folder(corpus, tmp_path, options):
    with pytest.raises(GeneratorError):
        train("gru_next_note", corpus, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_an_existing_model_is_not_overwritten(corpus, small, tmp_path):
    train("gru_next_note", corpus, tmp_path, overrides=small["gru_next_note"], updates=1)
    with pytest.raises(GeneratorError, match="holds a model already: resume it or choose another name"):
        train("gru_next_note", corpus, tmp_path)


def test_resuming_with_another_corpus_family_or_setting_is_refused(corpus, listed, small, piece, tmp_path):
    train("gru_next_note", corpus, tmp_path, overrides=small["gru_next_note"], updates=1)
    other = listed([piece(77)], name="other")
    with pytest.raises(
        GeneratorError, match=f"was trained on corpus 'listed' with hash {corpus.sha256[:12]}"
    ):
        train("gru_next_note", other, tmp_path, resume=True)
    with pytest.raises(GeneratorError, match="holds a model of gru_next_note, not of deephear"):
        train("deephear", corpus, tmp_path, resume=True)
    with pytest.raises(
        GeneratorError, match="was started with d_hidden=12; it cannot go on with d_hidden=13"
    ):
        train("gru_next_note", corpus, tmp_path, resume=True, overrides={"d_hidden": "13"})


def test_two_runs_never_write_one_model(corpus, small, tmp_path):
    with (
        loop._only_trainer_of(tmp_path / "model"),
        pytest.raises(GeneratorError, match="another process is"),
    ):
        train("gru_next_note", corpus, tmp_path / "model")


def test_the_last_line_says_how_a_run_ended_and_goes_as_it_goes_on(corpus, small, tmp_path, frequent_lines):
    options = {"overrides": small["gru_next_note"]}
    train("gru_next_note", corpus, tmp_path, updates=3, **options)
    *_, last = log_of(tmp_path)
    assert (last["event"], last["stopped"], last["update"], last["figures_update"]) == (
        "end",
        "updates",
        3,
        3,
    )
    assert last["losses"]["model"] > 0
    assert last["figures"]["train"]["loss"] > 0
    (start,) = events_of(tmp_path, "start")
    assert start["settings"] == checkpoint.read_config(tmp_path)["config"]
    train("gru_next_note", corpus, tmp_path, resume=True, updates=10**6)
    assert [line["stopped"] for line in events_of(tmp_path, "end")] == ["finished"]
    lines = (tmp_path / "training.jsonl").read_text().splitlines()
    assert all(json.loads(line)["updates_per_second"] > 0 for line in lines if '"gradient_norms"' in line)


def killed_while_it_reads(corpus, folder: Path, **options) -> None:
    """A run that is killed before it has a checkpoint."""
    fork = multiprocessing.get_context("fork")
    heard, told = fork.Pipe(duplex=False)

    class SlowCorpus(type(corpus)):
        def scores(self, split=None):
            told.send("reading")
            time.sleep(300)

    slow = SlowCorpus(corpus.train, corpus.validation)
    process = fork.Process(target=train, args=("gru_next_note", slow, folder), kwargs=options)
    process.start()
    assert heard.recv() == "reading"
    process.kill()
    process.join()
    assert not checkpoint.exists(folder)


def test_a_run_killed_before_its_first_checkpoint_resumes_as_it_was_asked_for(corpus, small, tmp_path):
    options = {"overrides": small["gru_next_note"], "seed": 7, "updates": 3, "keep_every": 2}
    killed_while_it_reads(corpus, tmp_path / "killed", **options)
    with pytest.raises(GeneratorError, match="was to be a model of gru_next_note, not of markov"):
        train("markov", corpus, tmp_path / "killed", resume=True)
    part = train("gru_next_note", corpus, tmp_path / "killed", resume=True)
    assert part.updates == 3
    train("gru_next_note", corpus, tmp_path / "whole", **options)
    assert_same_model(tmp_path / "whole", tmp_path / "killed")
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "killed")
    assert (tmp_path / "killed" / "kept" / "000002").is_dir()
    assert not (tmp_path / "killed" / "wishes.json").exists()


def test_resuming_where_nothing_is_yet_starts(corpus, small, tmp_path):
    overrides = small["gru_next_note"]
    assert train("gru_next_note", corpus, tmp_path, overrides=overrides, resume=True, updates=1).updates == 1


# A family of the test's own, with two parts that learn against each other.


@dataclasses.dataclass(frozen=True)
class RivalsConfig:
    rate: float = 0.1


class Rivals(MusicModel):
    """Two numbers; the second loss must see what the first update did."""

    def __init__(self, stages):
        super().__init__()
        self.one = nn.Linear(1, 1, bias=False)
        self.two = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.one.weight, 1.0)
        nn.init.constant_(self.two.weight, 1.0)
        self.planned = stages
        self.seen = []

    def stages(self):
        return self.planned

    def parts(self):
        return {"one": self.one, "two": self.two}

    def losses(self, batch, stage):
        self.seen.append(("one", self.one.weight.item(), self.two.weight.item()))
        yield "one", (self.one.weight * self.two.weight).sum()
        self.seen.append(("two", self.one.weight.item(), self.two.weight.item()))
        yield "two", (self.one.weight * self.two.weight).sum()

    def figures(self, batch):
        return {"loss": (self.one.weight.abs().sum(), 1)}


def run_of(model, folder, *, n_windows=4):
    windows = WindowedPieces(torch.zeros(n_windows, 1), torch.arange(n_windows), 1)
    nothing = WindowedPieces(torch.zeros(0, 1), torch.arange(0), 1)
    facts = {"family": "rivals", "config": {}, "learned": {}, "music": {}}
    run = Run(
        folder, "rivals", facts, model, TrainingPieces(windows, nothing, {}, {}), torch.device("cpu"), 0,
        {"updates": None, "minutes": None},
    )  # fmt: skip
    run.clock_offset = -time.perf_counter()
    return run


def test_each_loss_updates_its_part_alone_before_the_next_is_asked_for(tmp_path):
    rules = {"one": Optimizer("sgd", 0.1), "two": Optimizer("sgd", 0.2)}
    model = Rivals([Stage("both", 1, 4, rules)])
    fit(run_of(model, tmp_path), Stop())
    one = 1.0 - 0.1 * 1.0
    assert model.seen == [("one", 1.0, 1.0), ("two", pytest.approx(one), 1.0)]
    assert model.one.weight.item() == pytest.approx(one)
    assert model.two.weight.item() == pytest.approx(1.0 - 0.2 * one)


def test_a_stage_touches_only_its_parts_and_rates_decay_by_epoch(tmp_path):
    class Falling(Rivals):
        def losses(self, batch, stage):
            yield stage, getattr(self, stage).weight.sum()

    stages = [
        Stage("one", 3, 2, {"one": Optimizer("sgd", 0.1, decay=0.5)}),
        Stage("two", 1, 2, {"two": Optimizer("sgd", 1.0)}, max_updates=1),
    ]
    model = Falling(stages)
    fit(run_of(model, tmp_path), Stop())
    assert model.one.weight.item() == pytest.approx(1 - 2 * (0.1 + 0.05 + 0.025))
    assert model.two.weight.item() == pytest.approx(0.0)


def test_gradients_are_cut_to_the_length_that_the_rule_names(tmp_path):
    class Steep(Rivals):
        def losses(self, batch, stage):
            yield "one", 1000 * self.one.weight.sum()

    model = Steep([Stage("all", 1, 4, {"one": Optimizer("sgd", 0.1, max_grad_norm=2.0)})])
    fit(run_of(model, tmp_path), Stop())
    assert model.one.weight.item() == pytest.approx(1 - 0.1 * 2.0, rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_breaks_down_keeps_its_last_good_checkpoint(tmp_path, frequent_lines, value):
    class Breaking(Rivals):
        def losses(self, batch, stage):
            self.seen.append(None)
            yield "one", self.one.weight.sum() * (value if len(self.seen) == 8 else 1.0)

    model = Breaking([Stage("all", 20, 4, {"one": Optimizer("sgd", 0.01)})])
    with pytest.raises(GeneratorError, match=r"training rivals broke down at update 10: .* try a smaller"):
        fit(run_of(model, tmp_path), Stop())
    assert weights_of(tmp_path)["one.weight"].isfinite()


def patience_by_the_tutorial(losses: list[float], n_batches: int, patience: int) -> int:
    """Epochs run under the rule of the deep learning tutorials, written out naively."""
    best, iteration = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        iteration += n_batches
        if loss < best:
            if loss < best * 0.995:
                patience = max(patience, iteration * 2)
            best = loss
        if patience <= iteration:
            return epoch
    return len(losses)


@pytest.mark.parametrize(
    "losses",
    [
        [9.0] * 50,
        [9, 8, 7] + [7.0] * 50,
        [9, 8, 7, 6, 6, 6, 6, 5] + [5.0] * 50,
        [9 * 0.999**epoch for epoch in range(50)],
        [9 * 0.99**epoch for epoch in range(50)],
        [9, 10, 11, 12, 8, 8, 8, 8, 8, 8, 8] + [7.99] * 50,
    ],
)
def test_patience_is_that_of_the_tutorials(tmp_path, losses):
    class Told(Rivals):
        def __init__(self, stages):
            super().__init__(stages)
            self.epochs = []

        def losses(self, batch, stage):
            if len(batch) == 2 and len(self.seen) % 3 == 0:
                self.epochs.append(losses[len(self.epochs)])
            self.seen.append(None)
            yield "one", self.one.weight.sum() * 0 + self.epochs[-1]

    model = Told([Stage("all", len(losses), 2, {"one": Optimizer("sgd", 0.1)}, patience=Patience(4))])
    fit(run_of(model, tmp_path, n_windows=6), Stop())
    assert len(model.epochs) == patience_by_the_tutorial(losses, 3, 4 * 3)
