import pytest

from generators.ranks import local_rank, n_processes, process_rank

TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "here", "MASTER_PORT": "1"}


def test_the_environment_of_torchrun_says_which_process_this_is(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert (process_rank(), local_rank(), n_processes()) == (3, 1, 4)


@pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_without_all_of_it_this_process_is_alone(missing, monkeypatch):
    """A rank in the environment of something else than `torchrun` must not silence a training."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert (process_rank(), local_rank(), n_processes()) == (0, 0, 1)
