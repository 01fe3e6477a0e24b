"""Pieces of one work: planted versions are found, strangers are not, and a split never parts them."""

import csv
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from music.corpus import create_corpus
from music.melody import skyline
from music.midi import read_midi, write_midi
from music.same_work import MAX_PIECES, passages, same_works
from music.score import Note, Score, Track
from music.transform import transpose

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data"


def melody(seed: int, *, n_notes=40, velocity=80) -> list[Note]:
    rng = random.Random(seed)
    onsets = itertools.accumulate(rng.choice((120, 240, 480)) for _ in range(n_notes))
    return [Note(onset, 60 + rng.randrange(24), 100, velocity) for onset in onsets]


def score(*voices: list[Note]) -> Score:
    return Score(tuple(Track(tuple(voice)) for voice in voices), 480)


def brute_force_passages(piece: Score) -> set[tuple[int, ...]]:
    pitches = [note.pitch for note in skyline(piece, drop_covered=True)]
    intervals = [after - before for before, after in itertools.pairwise(pitches)]
    runs = {tuple(intervals[start : start + 8]) for start in range(len(intervals) - 7)}
    return {run for run in runs if len(set(run)) >= 3}


@given(st.lists(st.integers(0, 127), max_size=30))
def test_passages_are_the_distinct_runs_of_eight_intervals(pitches):
    piece = score([Note(480 * place, pitch, 480) for place, pitch in enumerate(pitches)])
    found = passages(piece)
    assert len(found) == len(set(found.tolist())) == len(brute_force_passages(piece))


@given(st.lists(st.sets(st.integers(0, 40), max_size=25), max_size=8))
def test_pairs_are_those_that_share_a_quarter_of_the_fewer_and_four(sets):
    expected = [
        (first, second)
        for first, second in itertools.combinations(range(len(sets)), 2)
        if len(sets[first] & sets[second]) >= max(4, 0.25 * min(len(sets[first]), len(sets[second])))
    ]
    assert same_works([np.array(sorted(each), dtype=np.uint64) for each in sets]) == expected


def test_another_key_tempo_and_harmony_is_the_same_work_and_a_stranger_is_not():
    tune = melody(1)
    harmony = [Note(note.onset, note.pitch - 24, note.duration) for note in melody(2)]
    slower = [Note(2 * note.onset, note.pitch, 2 * note.duration) for note in tune]
    versions = [score(tune), transpose(score(tune), 5), score(slower), score(tune, harmony), score(melody(3))]
    assert {pair for pair in same_works([passages(each) for each in versions]) if 4 in pair} == set()
    assert {0, 1, 2} <= {
        place for pair in same_works([passages(each) for each in versions]) for place in pair
    }


def test_scales_and_repeated_notes_make_no_work():
    scale = score([Note(480 * n, 40 + n, 480) for n in range(40)])
    repeated = score([Note(480 * n, 60, 480) for n in range(40)])
    assert len(passages(scale)) == len(passages(repeated)) == 0


def test_many_versions_hang_together():
    versions = [passages(transpose(score(melody(1)), n % 12)) for n in range(MAX_PIECES + 20)]
    pairs = same_works(versions)
    assert {(n, n + 1) for n in range(MAX_PIECES + 19)} <= set(pairs)


def test_no_split_parts_the_pieces_of_a_work(tmp_path):
    source = tmp_path / "source"
    for work in range(15):
        for version in range(3):
            notes = melody(work)[: 40 - 5 * version]
            write_midi(transpose(score(notes), version), source / f"{work:02}{'abc'[version]}.mid")
    corpus = create_corpus(tmp_path / "corpus", "works", [source]).corpus
    splits = {piece.name[:2]: set() for piece in corpus.pieces}
    for piece in corpus.pieces:
        splits[piece.name[:2]].add(piece.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({piece.group for piece in corpus.pieces}) == 15
    assert set().union(*splits.values()) == {"train", "validation", "test"}


def test_a_version_that_comes_later_joins_the_split_of_its_work(tmp_path):
    for work in range(12):
        write_midi(score(melody(work)), tmp_path / "first" / f"{work:02}.mid")
        write_midi(transpose(score(melody(work)[:35]), 2), tmp_path / "second" / f"{work:02}later.mid")
    before = create_corpus(tmp_path / "corpus", "works", [tmp_path / "first"]).corpus
    after = create_corpus(tmp_path / "corpus", "works", [tmp_path / "second"]).corpus
    assert len(after.pieces) == 24
    for piece in before.pieces:
        assert after.piece(piece.name) == piece
        later = after.piece(f"{piece.name}later")
        assert (later.split, later.group) == (piece.split, piece.group)


@pytest.mark.skipif(not DATA.exists(), reason="the collection of real music is not here")
def test_settings_of_one_hymn_tune_are_found_among_real_chorales():
    """An independent list of Bach's settings by tune: most are linked, few strangers are."""
    files = sorted((DATA / "chorales_bach_music21").glob("*.mid"))
    places = {f"chorales_bach_music21/{file.name}": place for place, file in enumerate(files)}
    with (DATA / "same_work_pairs.csv").open(encoding="utf-8") as lines:
        listed = {
            tuple(sorted((places[row["file_a"]], places[row["file_b"]])))
            for row in csv.DictReader(lines)
            if row["file_a"] in places and row["file_b"] in places
        }
    found = set(same_works([passages(read_midi(file)) for file in files]))
    assert len(found & listed) / len(listed) > 0.8
    assert len(found & listed) / len(found) > 0.7
