import json
import random
import time

import numpy as np
import pytest

from benchmarks import baselines, likelihoods, portraits, quality, trainings
from benchmarks.corpora import RollSet, chorale_voices, roll_sets
from music.score import Note, Score, Track


class Corpus:
    """What portraits need of a corpus."""

    name = "chorales"
    sha256 = "0" * 64

    def scores(self, split):
        first = {"train": 0, "validation": 10, "test": 20}[split]
        return [self.piece(first + index) for index in range(6)]

    @staticmethod
    def piece(seed: int) -> Score:
        rng = random.Random(seed)
        return Score((Track(tuple(Note(240 * step, 60 + rng.randrange(12), 240) for step in range(128))),))


@pytest.fixture
def few(monkeypatch):
    """Two families on a small corpus, with few pieces; one of them fails."""
    monkeypatch.setattr(quality, "corpus_of", lambda kind, data, work: Corpus())
    monkeypatch.setattr(portraits, "N_PIECES", 4)
    whole = trainings.train

    def train(name, *arguments, **options):
        if name == "deephear":
            raise ValueError("it broke")
        options.pop("minutes")
        return whole(name, *arguments, updates=3, **options)

    monkeypatch.setattr(trainings, "train", train)


def test_a_family_that_fails_hides_no_other(few, tmp_path, capsys):
    file = tmp_path / "quality.json"
    status = quality.main(
        ["--families", "deephear", "gru_next_note", "--likelihood-minutes", "0", "--json", str(file)]
    )
    said = capsys.readouterr().out
    assert status == 1
    assert "deephear failed: ValueError: it broke" in said
    for heading in ("In short", "What families write", "Held-out figures", "Bands", "Likelihoods"):
        assert f"## {heading}" in said
    broken, whole = json.loads(file.read_text())["families"]
    assert (broken["family"], broken["failed"]) == ("deephear", "ValueError: it broke")
    assert whole["written"]["diversity"]["n_pieces"] == 4
    assert whole["held_out"]["test"]["loss"] > 0
    assert whole["baselines"]["loss"]["Markov"] > 0
    assert whole["real"]["copies"]["16"]["n_windows"] > 0


def test_figures_of_two_runs_are_printed_as_one(few, tmp_path, capsys):
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for name, file in zip(("gru_next_note", "deephear"), files, strict=True):
        quality.main(["--families", name, "--likelihood-minutes", "0", "--json", str(file)])
    alone = capsys.readouterr().out
    assert (
        quality.main(["--merge", *map(str, files), str(files[0]), "--json", str(tmp_path / "all.json")]) == 1
    )
    together = capsys.readouterr().out
    row = next(line for line in alone.splitlines() if line.startswith("| gru_next_note") and "loss" in line)
    assert row.split() in [line.split() for line in together.splitlines()]
    assert "deephear failed: ValueError: it broke" in together
    families = json.loads((tmp_path / "all.json").read_text())["families"]
    assert families == [json.loads(file.read_text())["families"][0] for file in reversed(files)]


def test_files_that_hold_no_figures_cannot_be_merged(tmp_path, capsys):
    file = tmp_path / "other.json"
    file.write_text("{}")
    assert quality.main(["--merge", str(file)]) == 1
    assert quality.main(["--merge", str(tmp_path / "none")]) == 1
    assert "cannot merge" in capsys.readouterr().err


def test_a_family_that_is_none_is_told(capsys):
    assert quality.main(["--families", "deephar"]) == 1
    assert "did you mean deephear?" in capsys.readouterr().err


def test_a_folder_that_is_none_is_told(capsys, tmp_path):
    assert quality.main(["--data", str(tmp_path / "none")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_real_music_is_cut_into_excerpts_of_equal_bars():
    found = portraits.excerpts(Corpus().scores("train"), 7, seed=1)
    assert len(found) == 7
    assert {piece.n_bars for piece in found} == {portraits.N_BARS}


def test_a_likelihood_that_fails_has_its_reason_and_the_baselines_stand(monkeypatch, tmp_path):
    roll = np.random.default_rng(1).random((30, 88)) < 0.05
    rolls = RollSet("JSB_Chorales", [roll], [roll], [roll])

    def broken(*arguments):
        raise RuntimeError("no memory")

    monkeypatch.setattr(likelihoods, "_train_on_rolls", broken)
    found = likelihoods.on_rolls(rolls, 1.0, ["biaxial"], tmp_path)
    assert found[-1].remark == "RuntimeError: no memory"
    assert {each.kind for each in found[:-1]} == {"baseline", "published"}
    assert "no memory" in quality.likelihoods_table(found)


def test_markov_chains_reach_the_likelihood_of_counts_by_hand(tmp_path):
    rng = np.random.default_rng(3)
    flips = rng.random((6, 60, 88)) < 0.1
    pieces = list(np.cumsum(flips, axis=1) % 2)
    rolls = RollSet("Flips", pieces[:4], [pieces[4]], [pieces[5]])
    found = {each.model: each.nats for each in likelihoods.on_rolls(rolls, 1.0, ["markov"], tmp_path)}
    assert found["markov"] == pytest.approx(baselines.markov_nats(rolls.train, rolls.test), rel=0.005)


def test_early_stopping_looks_at_chorales_that_are_neither_learned_nor_measured(monkeypatch, tmp_path):
    rng = np.random.default_rng(4)
    voices = {
        split: [60 + rng.integers(0, 12, (8, 4)) for _ in range(n)]
        for split, n in (("train", 20), ("valid", 3))
    }
    seen = {}

    def look(name, corpus, *arguments, **options):
        seen["corpus"] = corpus
        raise RuntimeError("seen")

    monkeypatch.setattr(likelihoods, "trained", look)
    likelihoods.on_chorales(voices, 1.0, ["music_transformer"], tmp_path)
    learned, watched = (
        {each.tobytes() for each in seen["corpus"].__dict__[split]} for split in ("train", "validation")
    )
    assert (len(learned), len(watched), len(learned & watched)) == (18, 2, 0)


def test_seconds_of_a_training_are_those_of_all_its_runs(monkeypatch, tmp_path):
    moments = iter([10.0, 15.0, 0.0, 7.0, 100.0, 101.0])
    monkeypatch.setattr(trainings.time, "process_time", lambda: next(moments))
    monkeypatch.setattr(trainings, "train", lambda *arguments, **options: Ended)
    monkeypatch.setattr(trainings.checkpoint, "load", lambda folder: None)

    class Ended:
        stopped = "time"

    assert trainings.trained("markov", None, tmp_path / "a", 1.0)[2] == 5.0
    assert trainings.trained("markov", None, tmp_path / "a", 1.0)[2] == 12.0
    assert trainings.trained("markov", None, tmp_path / "b", 1.0)[2] == 1.0


def test_minutes_of_a_training_are_of_the_processor_and_nets_of_rolls_learn_in_low_precision(
    monkeypatch, tmp_path
):
    found = {}

    def look(name, *arguments, **options):
        found[name] = options
        raise RuntimeError("seen")

    monkeypatch.setattr(trainings, "train", look)
    roll = np.random.default_rng(1).random((30, 88)) < 0.05
    likelihoods.on_rolls(RollSet("Rolls", [roll], [roll], [roll]), 2.0, ["biaxial", "markov"], tmp_path)
    assert {each["clock"] for each in found.values()} == {time.process_time}
    assert {each["minutes"] for each in found.values()} == {2.0}
    assert {name: each["precision"] for name, each in found.items()} == {"biaxial": "bf16", "markov": "auto"}


def test_sets_are_read_from_a_folder_if_they_are_there(tmp_path):
    from scipy.io import savemat

    assert roll_sets(tmp_path) == roll_sets(None) == []
    assert chorale_voices(tmp_path) is chorale_voices(None) is None
    (tmp_path / "pianoroll_benchmarks").mkdir()
    (tmp_path / "chorales_jsb").mkdir()
    splits = {}
    for key in ("traindata", "validdata", "testdata"):
        splits[key] = np.empty((1, 2), dtype=object)
        splits[key][0, 0], splits[key][0, 1] = (
            np.eye(3, 88, dtype=np.uint8),
            np.zeros((5, 88), dtype=np.uint8),
        )
    savemat(tmp_path / "pianoroll_benchmarks" / "Little.mat", splits)
    (rolls,) = roll_sets(tmp_path)
    assert rolls.name == "Little"
    assert [roll.shape for roll in rolls.test] == [(3, 88), (5, 88)]
    pitches, offsets = np.arange(28).reshape(7, 4), np.array([0, 3, 7])
    np.savez(
        tmp_path / "chorales_jsb" / "voices.npz",
        train_pitches=pitches,
        train_offsets=offsets,
        valid_pitches=pitches,
        valid_offsets=offsets,
    )
    assert [len(each) for each in chorale_voices(tmp_path)["train"]] == [3, 4]
