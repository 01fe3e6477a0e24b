"""The log of a run, read and cut."""

import json

from generators.training.log import LOG, cut_log, log_size
from tests.generators.training.material import log_of


def written(folder, *updates):
    with (folder / LOG).open("a") as file:
        file.writelines(json.dumps({"update": update}) + "\n" for update in updates)


def test_a_cut_drops_what_came_after_the_checkpoint_and_half_lines(tmp_path):
    written(tmp_path, 0, 5)
    size = log_size(tmp_path)
    written(tmp_path, 10)
    cut_log(tmp_path, size)
    assert [line["update"] for line in log_of(tmp_path)] == [0, 5]
    with (tmp_path / LOG).open("a") as file:
        file.write('{"update": 1')
    cut_log(tmp_path, None)
    assert [line["update"] for line in log_of(tmp_path)] == [0, 5]


def test_of_several_processes_the_first_alone_cuts(tmp_path, monkeypatch):
    written(tmp_path, 0, 5)
    group = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    cut_log(tmp_path, 0)
    assert [line["update"] for line in log_of(tmp_path)] == [0, 5]
    monkeypatch.setenv("RANK", "0")
    cut_log(tmp_path, 0)
    assert log_of(tmp_path) == []
