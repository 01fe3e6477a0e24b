"""Small scores, and commands as functions, for the tests of the catalog."""

import io
import json
import random

import pytest
from django.core.management import call_command

from music.midi import write_midi
from music.score import Key, Meter, Note, Score, Track

#: Settings that make a model of each family in a second.
SMALL = {
    "gru_next_note": ["d_hidden=8", "d_embedding=8", "n_layers=1", "batch_size=4", "n_tokens=16"],
    "deephear": [
        "layers=16,8",
        "max_windows=8",
        "pretraining_epochs=1",
        "epochs=1",
        "harmony_restarts=2",
        "harmony_steps=2",
    ],
}


def melody(seed: int, *, n_notes: int = 64, ticks: int = 240) -> Score:
    """A random walk in C major over a bass, `n_notes` eighths long, its own for each seed."""
    rng = random.Random(seed)
    scale = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76]
    place, upper = 4, []
    for index in range(n_notes):
        place = min(max(place + rng.choice((-2, -1, 1, 2)), 0), len(scale) - 1)
        upper.append(Note(index * ticks, scale[place], ticks))
    lower = [Note(index * 4 * ticks, rng.choice((36, 41, 43)), 4 * ticks) for index in range(n_notes // 4)]
    return Score((Track(tuple(upper)), Track(tuple(lower))), meters=(Meter(0),), keys=(Key(0, 0),))


def write_scores(folder, seeds, **options):
    """One MIDI file per seed: ``piece7.mid``; returns the folder."""
    for seed in seeds:
        write_midi(melody(seed, **options), folder / f"piece{seed}.mid")
    return folder


def run_command(*arguments) -> str:
    """What a command writes on stdout."""
    stdout = io.StringIO()
    call_command(*map(str, arguments), stdout=stdout, stderr=io.StringIO())
    return stdout.getvalue()


def run_json(*arguments):
    """The document that a command writes under ``--json``."""
    return json.loads(run_command(*arguments, "--json"), parse_constant=pytest.fail)


def train_small(family: str, corpus: str, *arguments):
    """The document of a training of a second."""
    sets = [each for pair in SMALL[family] for each in ("--set", pair)]
    return run_json("train", family, "--corpus", corpus, "--updates", 3, "--device", "cpu", *sets, *arguments)
