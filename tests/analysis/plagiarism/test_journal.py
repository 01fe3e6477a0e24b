"""A search that was cut off goes on where it was, and ends as one that was not."""

import json

import pytest

from analysis.errors import AnalysisError
from analysis.plagiarism import journal as journals
from analysis.plagiarism import melodies, overlap
from analysis.plagiarism.journal import Journal
from analysis.plagiarism.report import Settings, originality
from tests.analysis.plagiarism.test_report import corpus_of, tune


class Cut(Exception):
    """The power went."""


def cut_after(monkeypatch, n_adds):
    """Let searches write so many times, and no more."""
    add = Journal.add
    left = [n_adds]

    def limited(self, answers):
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        add(self, answers)

    monkeypatch.setattr(Journal, "add", limited)


def test_answers_come_back_to_the_last_bit(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, {"seed": 1}).add({"a": [0.1, 1 / 3], "b": None})
    again = Journal(path, {"seed": 1})
    assert (again["a"], again["b"]) == ([0.1, 1 / 3], None)
    assert "c" not in again


def test_a_line_that_was_cut_short_is_taken_off(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, {}).add({"a": 1, "b": 2})
    whole = path.read_bytes()
    for n_lost in range(1, 12):
        path.write_bytes(whole[:-n_lost])
        again = Journal(path, {})
        assert ("a" in again, "b" in again) == (True, False)
        again.add({"b": 2})
        assert path.read_bytes() == whole


def test_another_search_and_one_that_has_ended_begin_anew(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, {"seed": 1}).add({"a": 1})
    assert "a" not in Journal(path, {"seed": 2})
    journal = Journal(path, {"seed": 2})
    journal.add({"a": 1})
    journal.finish()
    assert "a" not in Journal(path, {"seed": 2})


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / "songs.jsonl"
    path.write_text('{"song": 1}\n')
    with pytest.raises(AnalysisError, match="keeps no search; move it away"):
        Journal(path, {})
    assert path.read_text() == '{"song": 1}\n'


@pytest.mark.parametrize("n_adds", [0, 1, 2, 4, 5, 7])
def test_a_search_cut_off_anywhere_ends_with_the_same_result(tmp_path, monkeypatch, n_adds):
    monkeypatch.setattr(overlap, "BATCH_WINDOWS", 5)
    monkeypatch.setattr(melodies, "BATCH_MELODIES", 1)
    generated = [(f"g{seed}", tune(seed)) for seed in range(40, 43)]
    corpus, settings = corpus_of(5, n_test=1), Settings(top=2)
    whole = originality(generated, corpus, settings=settings)
    path = tmp_path / "j.jsonl"
    with monkeypatch.context() as patch:
        cut_after(patch, n_adds)
        with pytest.raises(Cut):
            originality(generated, corpus, settings=settings, journal=path)
    with monkeypatch.context() as patch:
        cut_after(patch, 8 - n_adds)  # what was found is not searched again
        resumed = originality(generated, corpus, settings=settings, journal=path)
    assert json.dumps(resumed) == json.dumps(whole)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["found"]["piece"] for line in lines if line.get("key") == "overlap 1"] == ["g41"]
    assert lines[-1] == json.loads(journals._ENDED)


def test_batches_change_no_result(monkeypatch):
    generated, corpus = [(f"g{seed}", tune(seed)) for seed in range(40, 44)], corpus_of(4)
    together = originality(generated, corpus)
    monkeypatch.setattr(overlap, "BATCH_WINDOWS", 1)
    monkeypatch.setattr(melodies, "BATCH_MELODIES", 1)
    assert originality(generated, corpus) == together


def test_the_number_of_workers_changes_no_result():
    generated, corpus = [(f"g{seed}", tune(seed)) for seed in range(40, 44)], corpus_of(4)
    assert originality(generated, corpus, workers=1) == originality(generated, corpus, workers=3)
    with pytest.raises(AnalysisError, match="workers must be at least 1, got 0"):
        originality(generated, corpus, workers=0)
