import sys

import pytest

from music import note_table
from music.midi import score_to_midi
from music.note_table import MANY_FILES, read_table, read_table_compiled, score_to_table, table_reader
from music.score import Meter, Note, Score, ScoreError, Track

PIECE = Score(
    (
        Track((Note(0, 60, 480), Note(480, 64, 240))),
        Track((Note(0, 36, 1),), is_drum=True),
    ),
    meters=(Meter(0, 3, 4), Meter(1440, 5, 8)),
)


def test_a_table_has_the_notes_meters_and_bars_of_the_score():
    table = score_to_table(PIECE)
    rows = zip(table.onsets, table.pitches, table.durations, table.is_drum, strict=True)
    assert list(rows) == [(0, 60, 480, False), (480, 64, 240, False), (0, 36, 1, True)]
    assert (table.ticks_per_beat, table.meters) == (480, PIECE.meters)
    assert table.bar_starts(PIECE.end) == PIECE.bar_starts()
    assert table.bar_starts(3000) == [0, 1440, 2640]


def test_a_score_without_notes_gives_an_empty_table():
    assert len(score_to_table(Score()).onsets) == 0


def test_few_files_do_not_wait_for_compiled_code(monkeypatch):
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert table_reader(MANY_FILES - 1) is read_table
    assert table_reader(MANY_FILES) is read_table_compiled
    monkeypatch.setattr(note_table.importlib.util, "find_spec", lambda name: None)
    assert table_reader(MANY_FILES) is read_table


@pytest.mark.parametrize("read", [read_table, read_table_compiled])
def test_either_way_refuses_what_is_no_midi_file(read):
    assert read(score_to_midi(PIECE)).onsets.sum() == 480
    with pytest.raises(ScoreError, match="no MIDI file"):
        read(b"RIFF and more")
