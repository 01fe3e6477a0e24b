import random

import pytest

from music.score import Meter, Note, Score, Track


def write_piece(seed: int, *, n_notes: int = 40, program: int = 0) -> Score:
    rng = random.Random(seed)
    notes = {
        (rng.randrange(64) * 120, rng.randrange(48, 84)): rng.choice((60, 120, 240, 480, 720))
        for _ in range(n_notes)
    }
    return Score(
        (Track(tuple(Note(onset, pitch, length) for (onset, pitch), length in notes.items()), program),)
    )


@pytest.fixture(scope="session")
def piece():
    return write_piece


@pytest.fixture(scope="session")
def scale():
    """Two bars of C major in eighths."""
    pitches = (60, 62, 64, 65, 67, 69, 71, 72)
    notes = tuple(Note(240 * step, pitches[step % 8], 240) for step in range(16))
    return Score((Track(notes),), meters=(Meter(0),))
