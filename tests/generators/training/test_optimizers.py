"""Optimisers by their names and options, and how learning rates go over a stage."""

import math

import pytest
import torch

from generators import checkpoint
from generators.errors import GeneratorError
from generators.family import Optimizer
from generators.training import SCHEDULES, optimizers, train
from tests.generators.training.material import losses_of

SHARES = [index / 100 for index in range(101)]


def test_the_constant_schedule_changes_nothing():
    assert {SCHEDULES["constant"](share) for share in SHARES} == {1.0}


def test_the_linear_schedule_is_whole_for_half_the_stage_and_ends_at_0():
    values = [SCHEDULES["linear"](share) for share in (0, 0.25, 0.5, 0.75, 0.9, 1)]
    assert values == pytest.approx([1, 1, 1, 0.5, 0.2, 0])


def test_one_cycle_is_that_of_torch():
    """Torch's own scheduler over 101 updates, turning at the same share."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        sgd, 1.0, total_steps=101, pct_start=0.21 / 1.01, div_factor=10, final_div_factor=20,
        cycle_momentum=False,
    )  # fmt: skip
    turn = 0.21 / 1.01 * 101 - 1  # torch turns at this update
    rates = []
    for _ in range(101):
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        oracle.step() if len(rates) < 101 else None
    for update, rate in enumerate(rates):
        share = 0.2 * update / turn if update <= turn else 0.2 + 0.8 * (update - turn) / (100 - turn)
        assert SCHEDULES["one_cycle"](share) == pytest.approx(rate, abs=1e-6)
    assert SCHEDULES["one_cycle"](0.0) == pytest.approx(1 / 10)
    assert SCHEDULES["one_cycle"](0.2) == pytest.approx(1)
    assert SCHEDULES["one_cycle"](1.0) == pytest.approx(1 / 200)


def test_warm_up_and_cosine_peak_at_a_twentieth_and_end_at_0():
    schedule = SCHEDULES["warmup_cosine"]
    assert [schedule(share) for share in (0, 0.025, 0.05, 0.525, 1)] == pytest.approx(
        [0.01, 0.505, 1, 0.5, 0], abs=1e-9
    )
    assert max(SHARES, key=schedule) == 0.05


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_the_log_says_the_rates_that_the_schedule_gives(name, toy, corpus, tmp_path, frequent_lines):
    """By the share of the stage that is done, at the update made last; a limit on updates is no end."""
    overrides = {"schedule": name, "epochs": "3", "learning_rate": "0.02"}
    train(toy, corpus, tmp_path, overrides=overrides, updates=20)
    lines = [line for line in losses_of(tmp_path) if line["stage"] == "coding"]
    assert len(lines) >= 3

    n_planned = 3 * math.ceil(checkpoint.read_config(tmp_path)["windows"]["train"] / 4)
    for line in lines:
        share = (line["update"] - 1) / n_planned
        assert line["learning_rates"]["coder"] == pytest.approx(0.02 * SCHEDULES[name](share))
        assert line["learning_rates"]["decoder"] == 0.01


def test_a_schedule_goes_by_time_where_the_time_is_limited(
    toy, corpus, tmp_path, monkeypatch, frequent_lines
):
    """Under a clock that moves a second at each look: after 2 minutes, the rate has gone down all the way."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    overrides = {"schedule": "linear", "epochs": "100000"}
    train(toy, corpus, tmp_path, overrides=overrides, minutes=10)
    rates = [each["learning_rates"]["coder"] for each in losses_of(tmp_path) if each["stage"] == "coding"]
    assert rates[0] == 0.01
    assert rates[-1] < 0.002
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            Optimizer("adams"),
            "the optimizer of coder must be one of sgd, adam, adamw, adadelta, rmsprop",
        ),
        (Optimizer(schedule="steps"), "the schedule of coder must be one of constant, linear, one_cycle"),
    ],
)
def test_an_unknown_rule_is_named(rule, message):
    with pytest.raises(GeneratorError) as error:
        optimizers._optimizer(rule, torch.nn.Linear(1, 1), "coder")
    assert message in str(error.value)


def test_options_reach_the_optimizer():
    rule = Optimizer("rmsprop", 0.1, options={"alpha": 0.95, "eps": 1e-6, "weight_decay": 1e-3})
    group = optimizers._optimizer(rule, torch.nn.Linear(1, 1), "x").param_groups[0]
    assert (group["lr"], group["alpha"], group["eps"], group["weight_decay"]) == (0.1, 0.95, 1e-6, 1e-3)
