"""How likely is held-out real music under a model, beside baselines and published figures?

Rolls: nats per frame of 88 keys on the test split. Every frame is predicted from all before it, the first of
a piece is not predicted, and the mean is over all predicted frames, as in Bai et al. 2018. The rolls are
transposed to C major or minor and know no articulation. Training that stops early does so on the valid split.

Chorales: nats per token of four voices by sixteenths (soprano, alto, tenor, bass) in their original keys, on
the valid split, every token predicted from what the model can see before it. Training that stops early does
so on a slice of the train split, which the model does not learn from: the valid split decides nothing.

Families that are missing here give no such likelihood. Those that read melodies, words or characters lose
notes of a roll or chorale; `multi_rnn` gives each group of pitches one note at a time; the Transformer-XL has
many encodings of one piece, whose likelihoods would have to be added up; the others give no likelihoods.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import baselines
from benchmarks.corpora import RollSet
from benchmarks.trainings import trained
from generators.corpus import EncodedCorpus
from generators.registry import get_family
from generators.settings import apply_overrides

_BIAXIAL = {
    "lowest": "21",
    "n_notes": "88",
    "articulate": "false",
    "clock": "sixteen",
    "dropout": "0.2",
    "max_updates": "none",
    "patience": "4",
}
#: Of training, where bfloat16 makes far more updates of the same time; figures are in float32.
PRECISIONS = {"biaxial": "bf16", "deep_jammer": "bf16", "music_transformer": "bf16"}
#: Settings that make a family read rolls, and let the time alone end its training.
ROLL_FAMILIES = {
    "biaxial": _BIAXIAL,
    "deep_jammer": _BIAXIAL,
    "markov": {  # every pair of steps that is not silent is counted once
        "lowest": "21",
        "n_notes": "88",
        "n_steps": "2",
        "hop": "1",
        "n_segments": "1000000",
        "batch_size": "1000",
    },
}
#: More of them for a set so small that a net reads all of it dozens of times in ten minutes.
SMALL_SETS = {("biaxial", "JSB_Chorales"): {"dropout": "0.5"}}
CHORALE_FAMILIES = {
    "music_transformer": {
        "tokens": "satb",
        "context": "256",  # 16 beats
        "batch_size": "4",
        "learning_rate": "2e-3",
        "dropout": "0",
        "patience": "none",
        "max_updates": "none",
        "epochs": "1000",
    }
}
WATCHED = 10  # of so many chorales of the train split, one is for early stopping alone

#: Nats per frame on the test splits, as published, and what is known against comparing them.
PUBLISHED_ROLLS = {
    "RNN (Boulanger-Lewandowski 2012, independent keys)": {
        "JSB_Chorales": 8.71,
        "Nottingham": 4.46,
        "MuseData": 8.13,
        "Piano_midi": 8.37,
    },
    "LSTM (Bai 2018)": {"JSB_Chorales": 8.45, "Nottingham": 3.29},
    "TCN (Bai 2018)": {"JSB_Chorales": 8.10, "Nottingham": 3.07},
    "RNN-NADE (as cited)": {"JSB_Chorales": 5.19, "Nottingham": 2.31, "MuseData": 5.60, "Piano_midi": 7.05},
    "biaxial LSTM (Johnson 2017, 24-48 h, other keys)": {"Piano_midi": 4.90},
    "biaxial LSTM (Kotecha & Young 2018, 16 h; 78 keys, scaled by 88/78)": {"Piano_midi": 6.27},
}
PUBLISHED_CHORALES = {
    "Transformer (Huang 2018, valid)": 0.417,
    "with relative attention, pitch and time (Huang 2018, valid)": 0.335,
}


@dataclass(frozen=True)
class Likelihood:
    """One figure: of a baseline, a publication, or a family trained here."""

    data: str
    model: str
    kind: str  # "baseline", "published" or "ours"
    nats: float
    seconds: float | None = None  # of processor time that training took
    remark: str = ""


def on_rolls(rolls: RollSet, minutes: float, families: list[str], work: Path) -> list[Likelihood]:
    """All figures on one set of rolls; a family that fails is told in a remark."""
    found = [
        Likelihood(rolls.name, "a coin per key", "baseline", baselines.random_nats(88)),
        Likelihood(
            rolls.name,
            "keys by their frequency",
            "baseline",
            baselines.independent_nats(rolls.train, rolls.test),
        ),
        Likelihood(rolls.name, "per-key Markov", "baseline", baselines.markov_nats(rolls.train, rolls.test)),
    ]
    found += [
        Likelihood(rolls.name, model, "published", figures[rolls.name])
        for model, figures in PUBLISHED_ROLLS.items()
        if rolls.name in figures
    ]
    for name in families:
        if name in ROLL_FAMILIES:
            found.append(
                _attempt(rolls.name, name, lambda name=name: _train_on_rolls(name, rolls, minutes, work))
            )
    return found


def _train_on_rolls(name: str, rolls: RollSet, minutes: float, work: Path) -> tuple[float, float]:
    from generators.representations.note_states import rolls_to_states

    corpus = EncodedCorpus(
        rolls.name,
        [rolls_to_states(each) for each in rolls.train],
        [rolls_to_states(each) for each in rolls.validation],
    )
    folder = work / "likelihoods" / f"{name}-{rolls.name}"
    settings = ROLL_FAMILIES[name] | SMALL_SETS.get((name, rolls.name), {})
    precision = PRECISIONS.get(name, "auto")
    stored, _, seconds = trained(name, corpus, folder, minutes, settings, precision=precision)
    total = count = 0.0
    with torch.no_grad():
        for roll in rolls.test:
            nats, frames = stored.model.figures(torch.from_numpy(rolls_to_states(roll))[None])[
                "nats_per_frame"
            ]
            total, count = total + float(nats), count + float(frames)
    return total / count, seconds


def on_chorales(
    voices: dict[str, list[np.ndarray]], minutes: float, families: list[str], work: Path
) -> list[Likelihood]:
    """All figures on four voices by sixteenths."""
    data = "JSB, sixteenths"
    alone, markov = baselines.voice_nats(voices["train"], voices["valid"])
    found = [
        Likelihood(data, "pitches of a voice by their frequency", "baseline", alone),
        Likelihood(data, "per-voice Markov", "baseline", markov),
    ]
    found += [Likelihood(data, model, "published", nats) for model, nats in PUBLISHED_CHORALES.items()]
    for name in families:
        if name in CHORALE_FAMILIES:
            found.append(
                _attempt(data, name, lambda name=name: _train_on_chorales(name, voices, minutes, work))
            )
    return found


def _train_on_chorales(
    name: str, voices: dict[str, list[np.ndarray]], minutes: float, work: Path
) -> tuple[float, float]:
    family = get_family(name)
    config = apply_overrides(family.presets["tiny"], CHORALE_FAMILIES[name])
    representation = family.representation(config)
    pitches = np.concatenate(voices["train"])
    learned = representation.learn_pitches(int(pitches[pitches >= 0].min()), int(pitches.max()))
    train_tokens, valid_tokens = (
        [representation.encode_voices(each, learned) for each in voices[split]]
        for split in ("train", "valid")
    )
    corpus = EncodedCorpus(
        "jsb16",
        [tokens for number, tokens in enumerate(train_tokens) if number % WATCHED],
        train_tokens[::WATCHED],
        learned,
    )
    folder = work / "likelihoods" / f"{name}-jsb16"
    stored, _, seconds = trained(
        name, corpus, folder, minutes, CHORALE_FAMILIES[name], precision=PRECISIONS.get(name, "auto")
    )
    figures = [stored.model.piece_nats(tokens) for tokens in valid_tokens]
    return sum(float(nats) for nats, _ in figures) / sum(count for _, count in figures), seconds


def _attempt(data: str, name: str, measure) -> Likelihood:
    try:
        nats, seconds = measure()
    except Exception as error:  # one family that fails must not hide the others
        return Likelihood(data, name, "ours", float("nan"), remark=f"{type(error).__name__}: {error}")
    return Likelihood(data, name, "ours", nats, seconds)
