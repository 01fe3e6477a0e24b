"""Two processes that train together are one process on the same batches, up to rounding."""

import contextlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.distributed import TCPStore

from generators import checkpoint
from generators.training import train
from generators.training.distributed import Group
from tests.generators.conftest import SMALL, ListedCorpus, write_piece
from tests.generators.training.material import assert_same_model, events_of, log_of, weights_of

ROOT = Path(__file__).parents[3]
SECONDS = 200  # after which processes that wait for each other are given up, however busy the machine is

CORPUS = ListedCorpus([write_piece(seed) for seed in range(4)], [write_piece(9)])
#: Windows of many lengths: a process may be done with its own of a batch long before the other is.
UNEVEN = ListedCorpus([write_piece(seed, n_bars=n) for seed, n in enumerate((1, 8, 2, 6, 1, 5))], [])

#: Trains what it is told, one run after the other; each meets the others at a port of its own.
PROGRAM = """
import json, os, sys
from pathlib import Path
from generators import families
families.__path__.append("tests/generators/training/families")
from torch import nn
import torch.nn.functional as F
from generators.training import evaluation, log, train
from tests.generators.training import test_distributed
told = json.loads(sys.argv[1])
if told["calm"]:
    F.dropout = lambda x, p, training: x
    nn.Dropout.forward = lambda self, x: x
log.LOG_EVERY, evaluation.EVALUATE_EVERY = 5, 10
results = []
for run, port in zip(told["runs"], told["ports"]):
    os.environ["MASTER_PORT"] = str(port)
    corpus = getattr(test_distributed, run.pop("corpus"))
    result = train(run.pop("family"), corpus, Path(run.pop("folder")), resume=True, device="cpu", **run)
    results.append([result.updates, result.stopped])
threads = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
assert not [name for name in threads if "gloo" in name], threads  # such a thread may abort the interpreter
print(json.dumps(results))
"""


def trained_by(n_processes: int, *runs: dict, calm: bool = True) -> list[list]:
    """How the runs ended, by each of so many processes; `calm` takes dropout out, of which each has its own.

    This process keeps the ports at which they meet, so that no other can take one.
    """
    wait = timedelta(seconds=SECONDS)
    stores = [TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=wait) for _ in runs]
    told = {"calm": calm, "runs": runs, "ports": [store.port for store in stores]}
    base = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    group = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    group["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in range(n_processes):
            own = {} if n_processes == 1 else {**group, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, json.dumps(told)],
                env={**base, **own},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.kill)
            processes.append(process)
        said = []
        for process in processes:
            out, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, errors
            said.append(json.loads(out))
    return said


def assert_close(one: Path, other: Path) -> None:
    weights = weights_of(other)
    for name, tensor in weights_of(one).items():
        assert torch.allclose(tensor, weights[name], rtol=1e-4, atol=1e-5), name


def test_two_processes_learn_what_one_does(tmp_path):
    overrides = {"batch_size": "5", "epochs": "2", "evaluations": "4", "schedule": "linear"}
    usual = {
        "family": "toy", "corpus": "CORPUS", "overrides": overrides, "keep_every": 10, "sample_every": 10
    }  # fmt: skip
    one, two = {**usual, "folder": str(tmp_path / "one")}, {**usual, "folder": str(tmp_path / "two")}
    ((alone,),) = trained_by(1, {**one, "updates": 10**6})
    assert [each[-1] for each in trained_by(2, {**two, "updates": 12}, {**two, "updates": 10**6})] == [
        alone,
        alone,
    ]
    assert_close(tmp_path / "one", tmp_path / "two")
    lines, others = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert [line["update"] for line in lines] == [line["update"] for line in others]  # one process writes
    for line, other in zip(lines, others, strict=True):
        for key in ("losses", "learning_rates", "gradient_norms"):
            assert other.get(key) == (pytest.approx(line[key], rel=1e-3) if key in line else None)
    assert (events_of(tmp_path / "one", "start")[0]["processes"], others[0]["processes"]) == (1, 2)
    assert checkpoint.read_config(tmp_path / "two")["processes"] == 2
    json.dumps(others, allow_nan=False)


def test_processes_whose_windows_give_unlike_numbers_of_losses_do_not_wait_for_each_other(tmp_path):
    """Without the penalty on weights, as a process whose windows are over has no share in that."""
    overrides = {**SMALL["melody_lstm"], "n_characters": "60", "l2": "0", "batch_size": "2", "epochs": "2"}
    run = {"family": "melody_lstm", "overrides": overrides}
    alone = train(corpus=UNEVEN, folder=tmp_path / "one", device="cpu", **run)
    said = trained_by(2, {**run, "corpus": "UNEVEN", "folder": str(tmp_path / "two")})
    assert said == [[[alone.updates, alone.stopped]]] * 2
    assert_close(tmp_path / "one", tmp_path / "two")


def test_a_process_whose_windows_end_in_an_earlier_segment_learns_on_with_the_other(tmp_path):
    overrides = {**SMALL["transformer_xl"], "batch_size": "2", "bptt": "16", "n_segments": "4", "epochs": "2"}
    run = {"family": "transformer_xl", "overrides": overrides}
    alone = train(corpus=UNEVEN, folder=tmp_path / "one", device="cpu", **run)
    said = trained_by(2, {**run, "corpus": "UNEVEN", "folder": str(tmp_path / "two")})
    assert said == [[[alone.updates, alone.stopped]]] * 2


@pytest.mark.parametrize("name", ["gan", "deephear_inverted"])
def test_a_run_of_two_processes_that_is_resumed_is_the_one_that_was_left_alone(name, tmp_path):
    """With dropout, noise, and buffers that move while the model learns."""
    run = {"family": name, "corpus": "CORPUS", "overrides": SMALL[name]}
    cut, whole = {**run, "folder": str(tmp_path / "cut")}, {**run, "folder": str(tmp_path / "whole")}
    trained_by(2, {**cut, "updates": 5}, {**cut, "updates": 9}, {**whole, "updates": 9}, calm=False)
    assert_same_model(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(("n_windows", "size"), [(8, 2), (5, 2), (1, 3), (7, 4)])
def test_shares_make_up_the_batch_and_its_mean(n_windows, size):
    windows = torch.arange(n_windows)
    shares = [Group(rank, size).share_of(windows) for rank in range(size)]
    assert all(len(own) for own, _ in shares)
    taken = [index for own, share in shares if share for index in own.tolist()]
    assert taken == windows.tolist()
    losses = torch.randn(n_windows, dtype=torch.float64)
    assert sum(share * losses[own].mean() for own, share in shares) == pytest.approx(losses.mean())
