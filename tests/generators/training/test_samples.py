"""Samples written on the way: whole files that change nothing, and whose failure ends nothing."""

import xml.etree.ElementTree as ElementTree

import pytest

from generators.registry import get_family
from generators.training import train
from music.midi import read_midi
from tests.generators.training.material import assert_same_model, events_of, losses_of


def test_samples_are_written_and_change_nothing(toy, corpus, tmp_path, frequent_lines):
    train(toy, corpus, tmp_path / "plain", updates=20)
    train(toy, corpus, tmp_path / "heard", updates=7, sample_every=5)
    train(toy, corpus, tmp_path / "heard", updates=20, resume=True)
    assert_same_model(tmp_path / "plain", tmp_path / "heard")
    assert losses_of(tmp_path / "plain") == losses_of(tmp_path / "heard")
    names = [f"{update:06d}-{piece}" for update in (5, 10, 15, 20) for piece in (1, 2)]
    files = sorted(f"samples/{path.name}" for path in (tmp_path / "heard" / "samples").iterdir())
    assert files == sorted(f"samples/{name}.{kind}" for name in names for kind in ("mid", "svg"))
    told = [file for line in events_of(tmp_path / "heard", "samples") for file in line["files"]]
    assert sorted(told) == files
    assert not (tmp_path / "plain" / "samples").exists()
    for name in names:
        score = read_midi(tmp_path / "heard" / "samples" / f"{name}.mid")
        assert score.n_bars == 8
        drawing = ElementTree.parse(tmp_path / "heard" / "samples" / f"{name}.svg").getroot()
        assert drawing.tag.endswith("svg")


def test_at_tenths_there_are_ten_times_samples(toy, corpus, tmp_path):
    result = train(toy, corpus, tmp_path, sample_every="tenths")
    updates = [line["update"] for line in events_of(tmp_path, "samples")]
    assert len(updates) == 10
    assert updates == [-(-result.updates * tenth // 10) for tenth in range(1, 11)]


@pytest.mark.parametrize("trouble", ["generate", "disk"])
def test_a_sample_that_fails_is_logged_and_no_more(trouble, toy, corpus, tmp_path, monkeypatch):
    train(toy, corpus, tmp_path / "plain", updates=6)
    if trouble == "generate":

        def generate(self, rngs, request):
            raise ZeroDivisionError("no music today")

        monkeypatch.setattr(get_family(toy).model, "generate", generate)
        words = "ZeroDivisionError: no music today"
    else:
        (tmp_path / "heard").mkdir()
        (tmp_path / "heard" / "samples").write_text("a file where the folder should be")
        words = "FileExistsError"
    train(toy, corpus, tmp_path / "heard", updates=6, sample_every=3)
    errors = [line["error"] for line in events_of(tmp_path / "heard", "samples")]
    assert len(errors) == 2
    assert all(words in error for error in errors)
    assert_same_model(tmp_path / "plain", tmp_path / "heard")
