"""Indexes that are kept are opened, appended to or made anew, and always give what fresh ones give."""

import shutil

import pytest

from analysis.plagiarism.reference import Reference
from analysis.plagiarism.report import Settings, originality
from analysis.plagiarism.settings import StoredItem
from music.note_table import score_to_table
from music.transform import transpose
from tests.analysis.plagiarism.test_report import tune

SCORES = {name: tune(place) for place, name in enumerate("abcdefg")}
SCORES["b in D"] = transpose(SCORES["b"], 2)  # whose melody has the same steps
GENERATED = [("copy of b", transpose(SCORES["b"], 5)), ("new", tune(70)), ("copy of e", SCORES["e"])]


class Readings:
    """Items whose readings are counted."""

    def __init__(self):
        self.read = []

    def item(self, name, **more) -> StoredItem:
        def load():
            self.read.append(name)
            return SCORES[name]

        return StoredItem(name, load, f"content of {name}", **more)

    def items(self, names, **more) -> list[StoredItem]:
        return [self.item(name, **more) for name in names]


@pytest.fixture
def readings():
    return Readings()


def result(corpus, **options):
    return originality(GENERATED, corpus, settings=Settings(**options))


def test_an_index_that_is_kept_is_searched_without_reading_a_piece(tmp_path, readings):
    items = readings.items("abcd")
    first = result(Reference(items, tmp_path))
    assert first == result(items)
    readings.read.clear()
    assert result(Reference(items, tmp_path)) == first
    assert readings.read == []


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (["a", "b", "d", "e", "f"], {"e", "f"}),  # at the end
        (["a", "b", "c", "d"], {"c"}),  # in between
        (["g", "a", "b", "b in D", "d"], {"g", "b in D"}),  # before, and a melody that is there already
        (["a", "d"], {"a", "d"}),  # one is gone
        (["d", "b", "a"], {"a", "b", "d"}),  # in another order
    ],
)
def test_a_corpus_that_changed_gives_what_a_fresh_index_gives(tmp_path, readings, later, expected):
    result(Reference(readings.items(["a", "b", "d"]), tmp_path))
    readings.read.clear()
    found = result(Reference(readings.items(later), tmp_path))
    assert set(readings.read) == expected
    assert found == result(readings.items(later))


def test_a_twin_in_another_key_keeps_its_own_notes_when_it_comes_first(tmp_path, readings):
    result(Reference(readings.items(["b", "b in D", "c"]), tmp_path))
    names = ["b in D", "b", "c"]
    assert result(Reference(readings.items(names), tmp_path)) == result(readings.items(names))


def test_names_groups_and_splits_are_those_of_now(tmp_path, readings):
    result(Reference(readings.items("abcd"), tmp_path))
    for group, split in (("", "test"), ("one work", "train")):
        items = [*readings.items("abc", group=group), readings.item("d", split=split)]
        assert result(Reference(items, tmp_path)) == result(items)
    renamed = [StoredItem(f"{each.name}!", each.load, each.digest) for each in readings.items("abcd")]
    found = result(Reference(renamed, tmp_path))
    assert found["pieces"][2]["overlap"]["matches"][0]["corpus_piece"].endswith("!")
    assert found["pieces"][0]["melody"]["matches"][0]["corpus_piece"] == "b!"


@pytest.mark.parametrize(
    "options",
    [
        {"unit": "cell"},
        {"steps_per_beat": 12},
        {"window_bars": 7},
        {"encoding": "interval"},
        {"line": "bottom"},
        {"line": "melodl4j-v1"},
        {"line": "melodl4j-v1", "filters": False},
        {"reference": "train"},
    ],
)
def test_every_setting_finds_its_own_index(tmp_path, readings, options):
    items = [*readings.items("abc"), readings.item("e", split="test")]
    result(Reference(items, tmp_path))
    for _ in range(2):
        assert result(Reference(items, tmp_path), **options) == result(items, **options)


@pytest.mark.parametrize("lost", ["notes-onset-4.json", "notes-onset-4/meta.json", "melodies*", "notes*/c*"])
def test_what_a_kill_left_behind_is_made_anew(tmp_path, readings, lost):
    items = readings.items("abcd")
    first = result(Reference(items, tmp_path))
    for path in tmp_path.glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert result(Reference(items, tmp_path)) == first


def test_pieces_without_notes_or_melody_keep_their_places(tmp_path, readings):
    from music.score import Note, Score, Track

    SCORES["silent"], SCORES["one note"] = Score(), Score((Track((Note(0, 60, 480),)),))
    items = readings.items(["silent", "a", "one note", "b"])
    for names in (["silent", "a", "one note", "b"], ["silent", "a", "one note", "b", "c"]):
        items = readings.items(names)
        assert result(Reference(items, tmp_path)) == result(items)


def test_notes_are_indexed_from_tables_where_there_are_any(tmp_path, readings):
    names = ["a", "b", "c"]
    tables = Reference(
        readings.items(names),
        tmp_path,
        tables_of=lambda places: (score_to_table(SCORES[names[place]]) for place in places),
    )
    plain = Reference(readings.items(names))
    found = tables.notes(Settings())
    assert readings.read == []
    assert [piece.units.digest for piece in found.pieces] == [
        piece.units.digest for piece in plain.notes(Settings()).pieces
    ]
