import json

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.melody.extraction import ENCODINGS, melody_tokens
from analysis.melody.search import MelodyIndex
from music.score import Note


def tune(seed, n=30):
    rng = np.random.default_rng(seed)
    notes, onset = [], 0
    for _ in range(n):
        length = int(rng.choice([60, 120, 240]))
        notes.append(Note(onset, int(rng.integers(50, 90)), length, int(rng.integers(1, 128))))
        onset += length
    return notes


def corpus(encoding="interval+ratio"):
    """Twins, a melody with bars of its own, one of two notes and one of none."""
    named = {"encoding": encoding, "ticks_per_beat": 120}
    return [
        melody_tokens(tune(1), name="a", group="g", **named),
        melody_tokens(tune(2), name="b \u00e9\n", bar_starts=[0, 360, 720], **named),
        melody_tokens(tune(1), name="twin", group="h", **named),
        melody_tokens(tune(3, 2), name="short", **named),
        melody_tokens([], name="empty", **named),
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_opened_index_finds_what_the_saved_one_does(encoding, tmp_path):
    index = MelodyIndex.build(corpus(encoding), encoding=encoding)
    index.save(tmp_path / "index")
    opened = MelodyIndex.open(tmp_path / "index")
    assert (opened.encoding, len(opened.melodies)) == (encoding, 3)
    queries = [melody_tokens(tune(2)[5:25], encoding=encoding), melody_tokens(tune(1), encoding=encoding)]
    for engine in ("numpy", "dense"):
        assert opened.longest(queries, engine=engine) == index.longest(queries, engine=engine)
    assert opened.longest(queries)[0].hits[0].melody == 1


def test_melodies_come_back_whole(tmp_path):
    index = MelodyIndex.build(corpus())
    index.save(tmp_path / "index")
    opened = MelodyIndex.open(tmp_path / "index")
    for ours, theirs in zip(opened.melodies, index.melodies, strict=True):
        assert (ours.names, ours.places, ours.groups) == (theirs.names, theirs.places, theirs.groups)
        own, other = ours.melody, theirs.melody
        for name in ("notes", "ticks_per_beat", "name", "group", "bar_starts"):
            assert getattr(own, name) == getattr(other, name)
        for name in ("tokens", "first_note", "last_note"):
            assert np.array_equal(getattr(own, name), getattr(other, name))
    assert opened.members(names=["twin"]) == opened.members(groups=["h"]) == {0}
    assert opened.members(tokens={index.melodies[1].melody.tokens.tobytes()}) == {1}
    with pytest.raises(IndexError, match="there are 3 melodies, got 3"):
        opened.melodies[3]


def test_an_index_of_nothing_is_kept(tmp_path):
    MelodyIndex.build([]).save(tmp_path / "index")
    opened = MelodyIndex.open(tmp_path / "index")
    assert len(opened.melodies) == 0
    assert opened.longest([melody_tokens(tune(1))])[0].score == 0


def test_saving_again_replaces_an_index_and_nothing_else(tmp_path):
    MelodyIndex.build(corpus()).save(tmp_path / "index")
    MelodyIndex.build(corpus()[:1]).save(tmp_path / "index")
    assert len(MelodyIndex.open(tmp_path / "index").melodies) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    for name in ("mine", "mine/letter.txt"):
        with pytest.raises(AnalysisError, match="is there and is no melody index; give another folder"):
            MelodyIndex.build(corpus()).save(tmp_path / name)
    assert (tmp_path / "mine" / "letter.txt").read_text(encoding="utf-8") == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "mine"]


def spoil_meta(folder):
    (folder / "meta.json").unlink()


def spoil_version(folder):
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    (folder / "meta.json").write_text(json.dumps(meta | {"version": 99}), encoding="utf-8")


def spoil_array(folder):
    (folder / "tokens.npy").write_bytes(b"")


def spoil_size(folder):
    np.save(folder / "note_times.npy", np.zeros((1, 2), dtype=np.int64))


def spoil_labels(folder):
    (folder / "labels.jsonl").write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_meta, "is no melody index: it has no readable meta.json"),
        (spoil_version, "is a melody index of version 99; build it anew"),
        (spoil_array, "is a melody index with a broken file: build it anew"),
        (spoil_labels, "is a melody index with a broken file: build it anew"),
        (spoil_size, "is a melody index whose files do not fit together: build it anew"),
    ],
)
def test_a_spoiled_index_is_refused_with_the_reason(spoil, words, tmp_path):
    MelodyIndex.build(corpus()).save(tmp_path / "index")
    spoil(tmp_path / "index")
    with pytest.raises(AnalysisError, match=words):
        MelodyIndex.open(tmp_path / "index")
