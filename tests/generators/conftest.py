"""Small corpora and small models that every test of the generators may use."""

import hashlib
import random
from dataclasses import dataclass, field, replace

import pytest
import torch

from music.score import Meter, Note, Score, Tempo, Track


@dataclass
class ListedCorpus:
    """What the generators use of a corpus, over scores that are at hand."""

    train: list[Score]
    validation: list[Score] = field(default_factory=list)
    name: str = "listed"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(repr((self.train, self.validation)).encode()).hexdigest()

    def scores(self, split=None):
        return list({"train": self.train, "validation": self.validation, "test": []}[split])


def write_piece(seed: int, *, n_bars: int = 8, meter=(4, 4), tempo: int = 500_000) -> Score:
    """A tune over held chords, made by a seed."""
    rng = random.Random(seed)
    meter = Meter(0, *meter)
    scale = [0, 2, 4, 5, 7, 9, 11]
    notes = []
    n_steps = int(n_bars * meter.beats_per_bar * 2)  # eighths
    for step in range(n_steps):
        if step % 4 == 0:
            root = rng.randrange(7)
            for third in (0, 2, 4):
                degree = root + third
                notes.append(Note(step * 240, 48 + scale[degree % 7] + 12 * (degree // 7), 960))
        if rng.random() < 0.8:
            notes.append(Note(step * 240, 72 + rng.choice(scale), 240))
    return Score((Track(tuple(notes)),), 480, (Tempo(0, tempo),), (meter,))


def play_in_a_band(score: Score) -> Score:
    """The same notes shared out over instruments, odd ones too, with drums on the beats."""
    notes = list(score.notes())
    drums = [Note(beat * 480, (36, 42, 38, 42)[beat % 4], 60) for beat in range(score.end // 480)]
    parts = [Track(tuple(notes[index::4]), program) for index, program in enumerate((33, 27, 66, 126))]
    return score.with_tracks([*parts, Track(tuple(drums), is_drum=True)])


def play_freely(score: Score, seed: int) -> Score:
    """A performance of a score: nothing starts or ends on a grid, ticks are odd, the tempo wavers."""
    rng = random.Random(seed)
    notes = [
        Note(max(0, note.onset + rng.randint(-31, 31)), note.pitch, rng.randint(1, 700), rng.randint(1, 127))
        for note in score.notes()
    ]
    tempos = [Tempo(tick, rng.randint(300_001, 900_001)) for tick in range(0, score.end, 997)]
    return Score((Track(tuple(notes)),), 479, tuple(tempos))


def odd_corpora() -> dict[str, ListedCorpus]:
    """Corpora that a person may well import, by what is odd about them."""
    pieces = [write_piece(seed, n_bars=6) for seed in range(3)]
    high = [
        piece.with_tracks([Track(tuple(replace(n, pitch=n.pitch + 43) for n in piece.notes()))])
        for piece in pieces
    ]
    low = [
        piece.with_tracks([Track(tuple(replace(n, pitch=n.pitch - 48) for n in piece.notes()))])
        for piece in pieces
    ]
    drums = [play_in_a_band(piece).with_tracks([play_in_a_band(piece).tracks[-1]]) for piece in pieces]
    note = Score((Track((Note(0, 60, 480),)),))
    return {
        "two pieces": ListedCorpus(pieces[:2]),
        "in 3/4": ListedCorpus([write_piece(seed, n_bars=8, meter=(3, 4)) for seed in range(3)]),
        "in 6/8": ListedCorpus([write_piece(seed, n_bars=8, meter=(6, 8)) for seed in range(3)]),
        "off the grid": ListedCorpus(
            [play_freely(piece, 1) for piece in pieces], [play_freely(pieces[0], 2)]
        ),
        "a band": ListedCorpus([play_in_a_band(piece) for piece in pieces]),
        "half outside the piano": ListedCorpus([*pieces, *high, *low]),
        "below the piano": ListedCorpus(low),
        "drums alone": ListedCorpus(drums),
        "one note": ListedCorpus([note]),
        "one long note": ListedCorpus([Score((Track((Note(0, 60, 48_000),)),))]),
        "pieces without notes": ListedCorpus([Score(), Score()]),
        "nothing": ListedCorpus([]),
    }


#: What of `odd_corpora` every family must be able to learn from; of the others it may say why not.
USABLE = ("two pieces", "in 3/4", "in 6/8", "off the grid", "a band", "half outside the piano")

#: Settings that make each family small enough to train within a test: as few updates as show that it learns.
#: A family that is not listed is tested with its tiny preset, which is slow.
SMALL = {
    "biaxial": {
        "lowest": "40",
        "n_notes": "48",
        "n_steps": "32",
        "time_layers": "16,16",
        "note_layers": "12,8",
        "dropout": "0",
        "batch_size": "4",
        "max_updates": "12",
    },
    "deep_jammer": {
        "n_notes": "72",
        "n_steps": "32",
        "time_layers": "12",
        "note_layers": "8",
        "batch_size": "4",
        "max_updates": "12",
    },
    "markov": {"n_steps": "48", "n_segments": "30"},
    "deephear": {"layers": "24,8", "pretraining_epochs": "2", "epochs": "6", "batch_size": "4"},
    "deephear_inverted": {"layers": "24,16", "pretraining_epochs": "2", "epochs": "6", "batch_size": "4"},
    "gru_next_note": {
        "d_embedding": "8",
        "d_hidden": "12",
        "n_layers": "2",
        "batch_size": "3",
        "n_tokens": "16",
        "epochs": "6",
    },
    "melody_lstm": {
        "d_hidden": "24",
        "n_layers": "2",
        "n_characters": "24",
        "truncation": "16",
        "batch_size": "3",
        "voice": "both",
        "epochs": "8",
    },
    "two_part_lstm": {
        "d_hidden": "24",
        "n_characters": "32",
        "truncation": "20",
        "batch_size": "8",
        "learning_rate": "1e-2",
        "epochs": "4",
    },
    "multi_rnn": {
        "d_hidden": "24",
        "n_context": "8",
        "n_predicted": "8",
        "batch_size": "4",
        "learning_rate": "1e-2",
        "epochs": "12",
    },
    "melody_cnn": {
        "channels": "16,24,32",
        "transpose": "0",
        "batch_size": "4",
        "epochs": "30",
        "noise_sd": "0.5",
    },
    "music_transformer": {
        "d_model": "16",
        "n_layers": "1",
        "n_heads": "2",
        "d_ff": "32",
        "context": "64",
        "dropout": "0",
        "transpose_down": "0",
        "transpose_up": "0",
        "max_updates": "40",
    },
    "transformer_xl": {
        "d_model": "16",
        "n_layers": "1",
        "n_heads": "2",
        "d_head": "8",
        "d_inner": "32",
        "dropout": "0",
        "n_memory": "24",
        "bptt": "24",
        "n_segments": "2",
        "transpose": "0",
        "learning_rate": "1e-2",
        "top_p": "1",
        "max_updates": "40",
    },
    "gan": {
        "generator_channels": "8",
        "discriminator_channels": "4",
        "n_noise": "8",
        "start": "even",
        "batch_size": "4",
        "max_updates": "100",
    },
    "random_notes": {},
    "scrambled": {},
    "vae_nn": {
        "n_latents": "8",
        "channels": "8,16,32",
        "d_hidden": "16",
        "batch_size": "8",
        "max_updates": "20",
        "melody_epochs": "20",
        "harmony_epochs": "10",
    },
}

MOST_UPDATES = 40  # of a family that is not listed


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus() -> ListedCorpus:
    return ListedCorpus([write_piece(seed) for seed in range(4)], [write_piece(9)])


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, str]]:
    from generators.registry import family_names

    return {name: SMALL.get(name, {}) for name in family_names()}


@pytest.fixture(scope="session")
def odd():
    """Odd corpora by what is odd about them, and which of them every family must be able to use."""
    return odd_corpora(), USABLE


@pytest.fixture(scope="session")
def piece():
    return write_piece


@pytest.fixture(scope="session")
def listed():
    return ListedCorpus


@pytest.fixture(scope="session")
def trained(tmp_path_factory, corpus, small):
    """A function that gives the folder of a small trained model of a family, trained once."""
    from generators.training import train

    folders = {}

    def folder_of(name: str):
        if name not in folders:
            folder = tmp_path_factory.mktemp("models") / name
            limit = None if name in SMALL else MOST_UPDATES
            train(name, corpus, folder, overrides=small[name], seed=1, updates=limit)
            folders[name] = folder
        return folders[name]

    return folder_of
