"""Early stopping on validation windows, stages that count, and rows made once."""

import pytest
import torch

from generators import checkpoint
from generators.corpus import TrainingPieces, WindowedPieces
from generators.errors import GeneratorError
from generators.family import EarlyStopping, MusicModel, Optimizer, Stage
from generators.registry import get_family
from generators.training import Run, evaluation, fit, train
from generators.training.stopping import Stop
from tests.generators.training.material import assert_same_model, events_of, losses_of, weights_of


class Told(MusicModel):
    """A number that grows by 1 with each update; its validation losses are told beforehand."""

    def __init__(self, told, rule, n_updates):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.told, self.rule, self.n_updates = told, rule, n_updates

    def stages(self):
        rules = {"model": Optimizer("sgd", 1.0)}
        return [Stage("all", self.n_updates, 9, rules, early_stopping=self.rule)]

    def losses(self, batch, stage):
        yield "model", -self.weight

    def figures(self, batch):
        value = self.told[round(self.weight.item()) - 1] if len(batch) == 2 else 1.0
        return {"loss": (torch.tensor(value), 1)}


def run_told(told, rule, folder, *, validation=2):
    model = Told(told, rule, len(told))
    train = WindowedPieces(torch.zeros(9, 1), torch.arange(9), 1)
    held_out = WindowedPieces(torch.zeros(validation, 1), torch.arange(validation), 1)
    facts = {"family": "told", "config": {}, "learned": {}, "music": {}}
    run = Run(folder, "told", facts, model, TrainingPieces(train, held_out, {}, {}), torch.device("cpu"), 0)
    assert fit(run, Stop()) == "finished"
    return run


def stopped_by_hand(told, n_waited, improvement):
    """The update at which to stop and the best until then, written out naively."""
    best, waited = 0, 0
    for index, loss in enumerate(told):
        waited = 0 if index == 0 or loss < told[best] * (1 - improvement) else waited + 1
        best = index if loss < told[best] else best
        if waited == n_waited:
            return index + 1, best + 1
    return len(told), best + 1


@pytest.mark.parametrize(
    "told",
    [
        [5, 4, 3, 3.5, 2, 2.5, 2.4, 2.3, 9, 9, 9, 9],
        [5, 4, 3, 2, 1.99, 1.985, 1.98, 1.97, 1.96, 1.0],
        [1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1],
    ],
)
@pytest.mark.parametrize("improvement", [0.0, 0.01])
def test_a_stage_ends_when_validation_falls_no_more_with_the_best_weights(told, improvement, tmp_path):
    run = run_told(told, EarlyStopping(3, improvement, every=1), tmp_path)
    stop, best = stopped_by_hand(told, 3, improvement)
    assert run.place.updates == stop
    assert run.model.weight.item() == best
    assert run.place.figures["validation"]["loss"] == pytest.approx(told[best - 1])
    assert weights_of(tmp_path)["weight"].item() == best
    assert checkpoint.read_config(tmp_path)["losses"]["validation"] == pytest.approx(told[best - 1])


def test_an_early_stop_and_the_update_of_the_best_weights_are_on_record(tmp_path):
    """By hand: best at the 4th evaluation, over after three more."""
    run_told([5, 4, 3, 2, 2.5, 2.6, 2.7, 1, 1], EarlyStopping(3, every=1), tmp_path)
    config = checkpoint.read_config(tmp_path)
    (stop,) = config["early_stops"]
    assert (stop["update"], stop["best_update"]) == (7, 4)
    assert (config["updates"], config["weights_update"]) == (7, 4)
    (line,) = events_of(tmp_path, "early_stop")
    assert (line["update"], line["best_update"], line["best_validation_loss"]) == (7, 4, 2)
    assert [line["update"] for line in losses_of(tmp_path) if "figures" in line] == [1, 2, 3, 4, 5, 6, 7]


def test_without_validation_pieces_nothing_stops(tmp_path):
    run = run_told([1.0] * 12, EarlyStopping(2, every=1), tmp_path, validation=0)
    assert run.place.updates == run.model.weight.item() == 12


def test_a_run_that_a_limit_ends_has_the_best_weights_and_goes_on_from_the_last(
    toy, corpus, tmp_path, frequent_lines
):
    """With a rate at which the model gets worse, so that the last weights are not the best."""
    options = {"overrides": {"learning_rate": "0.9", "evaluations": "50", "every": "1"}, "seed": 2}
    whole = train(toy, corpus, tmp_path / "whole", **options)
    part = train(toy, corpus, tmp_path / "part", updates=11, **options)
    seen = [
        line["figures"]["validation"]["loss"] for line in losses_of(tmp_path / "part") if "figures" in line
    ]
    stored = checkpoint.read_config(tmp_path / "part")["losses"]["validation"]
    assert stored <= min(seen)
    assert part.losses["validation"] >= stored
    train(toy, corpus, tmp_path / "part", updates=10**6, resume=True)
    assert_same_model(tmp_path / "whole", tmp_path / "part")
    assert whole.updates == checkpoint.read_config(tmp_path / "part")["updates"]


def test_early_stopping_can_be_asked_for_and_switched_off(toy, corpus, tmp_path, frequent_lines):
    overrides = {"learning_rate": "0.9", "epochs": "20"}
    free = train(toy, corpus, tmp_path / "free", overrides=overrides)
    asked = train(toy, corpus, tmp_path / "asked", overrides=overrides, early_stopping=2)
    assert asked.updates < free.updates
    stages = [line["stage"] for line in events_of(tmp_path / "asked", "stage")]
    assert stages == ["coding", "counting", "reading"]
    stopping = {**overrides, "evaluations": "1", "every": "1"}
    off = train(toy, corpus, tmp_path / "off", overrides=stopping, early_stopping="off")
    assert off.updates == free.updates
    with pytest.raises(GeneratorError, match="started with early_stopping=2; it cannot go on with early"):
        train(toy, corpus, tmp_path / "asked", resume=True, early_stopping=3)


def test_a_stage_without_optimizers_counts_each_window_once(toy, corpus, tmp_path):
    train(toy, corpus, tmp_path)
    n_windows = checkpoint.read_config(tmp_path)["windows"]["train"]
    assert weights_of(tmp_path)["counted"].item() == n_windows > 4


def test_rows_are_made_once_per_stage_of_both_splits(toy, corpus, tmp_path, monkeypatch):
    family = get_family(toy)
    seen = []
    made = family.model.precompute
    monkeypatch.setattr(family.model, "precompute", lambda *a: seen.append(len(a[1])) or made(*a))
    train(toy, corpus, tmp_path)
    config = checkpoint.read_config(tmp_path)
    assert sum(seen) == config["windows"]["train"] + config["windows"]["validation"]


def test_a_family_without_stages_is_finished_at_once(toy, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(get_family(toy).model, "stages", lambda self: [])
    seen = []
    result = train(toy, corpus, tmp_path, report=seen.append)
    assert (result.updates, result.stopped, seen[-1].n_updates) == (0, "finished", 0)
    assert result.losses["train"] > 0
    assert checkpoint.read_config(tmp_path)["finished"] is True
    assert train(toy, corpus, tmp_path, resume=True).stopped == "finished"


def test_a_short_plan_is_measured_twenty_times_unless_that_costs_too_much(tmp_path, monkeypatch):
    """Rarely, where any time is too much, is after each 250 updates and at the end."""
    monkeypatch.setattr(evaluation, "LEAST_EVERY", 1)
    told = [1.0] * 400
    for name in ("cheap", "dear"):
        (tmp_path / name).mkdir()
    run_told(told, None, tmp_path / "cheap")
    updates = [line["update"] for line in losses_of(tmp_path / "cheap") if "figures" in line]
    monkeypatch.setattr(evaluation, "MOST_TIME", 1e-9)
    run_told(told, None, tmp_path / "dear")
    rare = [line["update"] for line in losses_of(tmp_path / "dear") if "figures" in line]
    assert rare == [250, 400]
    assert len(updates) <= 21
    assert len(updates) > len(rare)
    assert updates[-1] == 400
