"""A small study with sound for the tests of what listeners meet, full of names that must not leak."""

import io
import uuid
from functools import cache

import numpy as np
import soundfile
from django.conf import settings

from studies.catalog.models import Corpus, Generation, Origin, Piece, Stimulus, TrainedModel
from studies.listening.models import Condition, Item, Study
from studies.listening.specification import parse_specification, specification_sha256

#: Words that name what a listener must not know. None may reach a browser before the debrief.
BETRAYERS = [
    *("Zelenka", "zelenka", "markov", "Markov", "gru_next_note", "shuffled", "joined_corpus"),
    *("lament_in_g", "gigue_in_d", "number_01", "number_02", "warm_up_piece", "pick_three"),
    *("low_anchor", "generated", "scramble", "real", "condition", "attention", "repeat"),
]

SPECIFICATION = """
title: Short pieces
slug: {slug}
instructions: Rate how much you like each piece.
conditions:
  - {{name: Zelenka, role: real, from: {{corpus: joined_corpus, split: test}}, pieces: 2}}
  - {{name: markov, role: generated, from: {{model: markov}}, pieces: 2}}
excerpt: {{seconds: 5}}
session: {{trials: {trials}, repeats: {repeats}, practice: {practice}, attention_checks: {attention_checks}}}
listening: {{must_hear: {must_hear}, seek: {seek}, headphone_check: {headphone_check}}}
"""


def make_study(
    slug="short-pieces",
    *,
    trials=4,
    repeats=1,
    practice=1,
    attention_checks=1,
    must_hear=0.8,
    seek=False,
    headphone_check="record",
    seconds=3.0,
    state=Study.State.OPEN,
    extra="",
) -> Study:
    """A study of two real and two generated pieces, ready to be heard; its sounds are MP3s of `seconds`."""
    text = extra + SPECIFICATION.format(
        slug=slug,
        trials=trials,
        repeats=repeats,
        practice=practice,
        attention_checks=attention_checks,
        must_hear=must_hear,
        seek=str(seek).lower(),
        headphone_check=headphone_check,
    )
    study = Study.objects.create(
        slug=slug,
        title="Short pieces",
        specification=text,
        specification_sha256=specification_sha256(text),
        design=parse_specification(text).to_json(),
        state=state,
        seed=1,
    )
    corpus = Corpus.objects.create(name=f"joined_corpus-{slug}", sha256="0" * 64)
    model = TrainedModel.objects.create(
        name=f"markov-{slug}", family="gru_next_note", preset="tiny", corpus=corpus, corpus_sha256="0" * 64
    )
    generation = Generation.objects.create(
        name=f"markov-s1-{slug}", model=model, seed=1, checkpoint_sha256="0" * 64
    )
    real = Condition.objects.create(study=study, name="Zelenka", role="real", letter="B")
    machine = Condition.objects.create(study=study, name="markov", role="generated", letter="A")
    pieces = [
        ("lament_in_g", real, "main", {"origin": Origin.CORPUS, "corpus": corpus}),
        ("gigue_in_d", real, "main", {"origin": Origin.CORPUS, "corpus": corpus}),
        ("number_01", machine, "main", {"origin": Origin.GENERATION, "generation": generation}),
        ("number_02", machine, "main", {"origin": Origin.GENERATION, "generation": generation}),
        ("warm_up_piece_1", None, "practice", {"origin": Origin.CORPUS, "corpus": corpus}),
        ("warm_up_piece_2", None, "practice", {"origin": Origin.CORPUS, "corpus": corpus}),
        ("pick_three", None, "attention", {"origin": Origin.IMPORT, "collection": f"shuffled-{slug}"}),
    ]
    for number, (name, condition, use, origin) in enumerate(pieces):
        piece = Piece.objects.create(
            name=name, midi_path=f"pieces/{name}.mid", sha256=f"{number}" * 64, **origin
        )
        stimulus = make_stimulus(piece, frequency=220 * 2 ** (number / 6), seconds=seconds)
        Item.objects.create(
            study=study,
            condition=condition,
            stimulus=stimulus,
            use=use,
            label=f"{number}F",
            requested_value=3 if use == "attention" else None,
        )
    return study


def make_stimulus(piece, *, frequency, seconds) -> Stimulus:
    """A tone of `seconds` as a constant-rate MP3 under an opaque name."""
    path = settings.STIMULI_ROOT / f"{uuid.uuid4().hex}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tone(frequency, seconds))
    return Stimulus.objects.create(
        piece=piece,
        recipe_sha256=uuid.uuid4().hex * 2,
        seconds=seconds,
        engine="sine",
        loudness_lufs=-23,
        true_peak_dbtp=-20,
        flac_path="none.flac",
        flac_sha256="0" * 64,
        mp3_path=str(path.relative_to(settings.HOME)),
        mp3_sha256="0" * 64,
        mp3_bytes=path.stat().st_size,
    )


@cache
def tone(frequency, seconds) -> bytes:
    """A soft tone as an MP3; all tones of one length have the same size."""
    time = np.arange(int(seconds * 44_100)) / 44_100
    mono = 0.1 * np.sin(2 * np.pi * frequency * time)
    sound = io.BytesIO()
    soundfile.write(
        sound,
        np.column_stack([mono, mono]),
        44_100,
        format="MP3",
        bitrate_mode="CONSTANT",
        compression_level=0.5,
    )
    return sound.getvalue()
