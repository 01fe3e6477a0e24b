"""Two processes that train together are one process on the same batches, up to rounding."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from generators import checkpoint
from generators.training.distributed import Group
from tests.generators.training.material import events_of, log_of, weights_of

ROOT = Path(__file__).parents[3]

#: Trains the family of the tests without what is random in a batch: processes draw numbers of their own.
PROGRAM = """
import sys
from pathlib import Path
from generators import families
families.__path__.append("tests/generators/training/families")
from torch import nn
import torch.nn.functional as F
F.dropout = lambda x, p, training: x
nn.Dropout.forward = lambda self, x: x
from generators.training import evaluation, log, train
from tests.generators.conftest import ListedCorpus, write_piece
log.LOG_EVERY, evaluation.EVALUATE_EVERY = 5, 10
corpus = ListedCorpus([write_piece(seed) for seed in range(4)], [write_piece(9)])
overrides = {"batch_size": "5", "epochs": "2", "evaluations": "4", "schedule": "linear"}
result = train("toy", corpus, Path(sys.argv[1]), resume=True, overrides=overrides, device="cpu",
               updates=int(sys.argv[2]), keep_every=10, sample_every=10)
print(result.updates, result.stopped)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def trained_by(n_processes: int, folder: Path, *, updates: int) -> list[str]:
    """What each of so many processes says at the end."""
    base = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    group = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(updates)],
            env=base if n_processes == 1 else {**base, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n_processes)
    ]
    said = []
    try:
        for process in processes:
            out, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
            said.append(out.strip())
    finally:
        for process in processes:
            process.kill()
    return said


def test_two_processes_learn_what_one_does(tmp_path):
    (alone,) = trained_by(1, tmp_path / "one", updates=10**6)
    trained_by(2, tmp_path / "two", updates=12)
    assert trained_by(2, tmp_path / "two", updates=10**6) == [alone, alone]
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-4, atol=1e-5), name
    lines, others = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert [line["update"] for line in lines] == [line["update"] for line in others]  # one process writes
    for line, other in zip(lines, others, strict=True):
        for key in ("losses", "learning_rates", "gradient_norms"):
            assert other.get(key) == (pytest.approx(line[key], rel=1e-3) if key in line else None)
    assert (events_of(tmp_path / "one", "start")[0]["processes"], others[0]["processes"]) == (1, 2)
    assert checkpoint.read_config(tmp_path / "two")["processes"] == 2
    json.dumps(others, allow_nan=False)


@pytest.mark.parametrize(("n_windows", "size"), [(8, 2), (5, 2), (1, 3), (7, 4)])
def test_shares_make_up_the_batch_and_their_weights_its_mean(n_windows, size):
    windows = torch.arange(n_windows)
    shares = [Group(rank, size).share_of(windows, summed=False) for rank in range(size)]
    assert all(len(own) for own, _ in shares)
    taken = [index for own, weight in shares if weight for index in own.tolist()]
    assert taken == windows.tolist()
    losses = torch.randn(n_windows, dtype=torch.float64)
    assert sum(weight * losses[own].mean() for own, weight in shares) == pytest.approx(losses.mean())
    sums = [Group(rank, size).share_of(windows, summed=True) for rank in range(size)]
    assert sum(weight * losses[own].sum() for own, weight in sums) == pytest.approx(losses.sum())
