"""The human baseline of Joplin's rags, where the development data stand beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from analysis.plagiarism.extraction import cut_windows, score_to_units
from analysis.plagiarism.index import NoteIndex
from analysis.plagiarism.search import search
from music.midi import read_midi

RAGS = Path(__file__).parents[4] / "shared" / "data" / "ragtime_joplin_humdrum"


@pytest.mark.skipif(not RAGS.is_dir(), reason="the development data are not beside the repository")
@pytest.mark.parametrize(("unit", "expected"), [("cell", 0.371), ("onset", 0.307)])
def test_rags_share_as_much_with_other_rags_as_was_measured_on_deephears_nine(unit, expected):
    """Windows of 64 sixteenths at bar lines, each rag against all others; the set of rags is not the same."""
    rags = [score_to_units(read_midi(path), unit=unit, name=path.stem) for path in sorted(RAGS.glob("*.mid"))]
    windows = [(rag, window) for rag in rags for window in cut_windows(rag, window_steps=64)[::8]]
    index = NoteIndex.build(rags, unit=unit)
    own = [index.members(names=[rag.name]) for rag, _ in windows]
    hits = search(index, [window for _, window in windows], k=1, offsets="bar", exclude=own)
    mean = np.mean([found[0].overlap for found in hits if found])
    assert mean == pytest.approx(expected, abs=0.02)
