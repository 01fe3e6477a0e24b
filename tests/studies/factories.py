"""Rows of the catalog and of studies for tests, with small real sounds and without any synthesis."""

import hashlib
import itertools
import uuid
from functools import lru_cache

import numpy as np
import pyloudnorm
import soundfile
from django.conf import settings

from music.midi import write_midi
from music.score import Note, Score, Track
from studies.catalog.models import Corpus, Generation, Origin, Piece, Stimulus, TrainedModel
from studies.listening.models import Condition, Item, Study
from studies.listening.selectors import consent_text, current_trial
from studies.listening.services import (
    complete_sound_check,
    record_background,
    record_comment,
    record_events,
    record_judgement,
    record_rating,
    start_session,
)
from studies.listening.specification import parse_specification, specification_sha256

SECONDS = 5.0
_numbers = itertools.count(1)


@lru_cache(maxsize=64)
def sound_bytes(number: int, seconds: float = SECONDS, loudness: float = -23.0, lead: float = 0.0) -> bytes:
    """A constant-rate MP3: a chord of its own at the given loudness, after `lead` seconds of silence."""
    import io

    rng = np.random.default_rng(number)
    time = np.arange(int(seconds * 44_100)) / 44_100
    tones = sum(np.sin(2 * np.pi * f * time + rng.uniform(0, 6)) for f in rng.uniform(200, 900, 3))
    tones *= 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(1, 3) * time)
    tones[: int(lead * 44_100)] = 0
    samples = np.column_stack([tones, tones])
    samples *= 10 ** ((loudness - pyloudnorm.Meter(44_100).integrated_loudness(samples)) / 20)
    sound = io.BytesIO()
    soundfile.write(sound, samples, 44_100, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    return sound.getvalue()


def make_score(seed: int = 0, *, n_beats: int = 24) -> Score:
    """A melody in quarter notes, another one for each seed; 0.5 s per beat."""
    rng = np.random.default_rng(seed)
    pitches = rng.integers(55, 80, n_beats)
    return Score((Track(tuple(Note(480 * beat, int(pitch), 480) for beat, pitch in enumerate(pitches))),))


def make_corpus(
    name: str = "ragtime", *, n_pieces: int = 8, split: str = "test", seconds: float = 30.0
) -> Corpus:
    """A corpus with pieces on disk."""
    corpus = Corpus.objects.create(name=name, sha256=_hash(name), n_pieces=n_pieces)
    for number in range(n_pieces):
        make_piece(f"{name}_rag_{number}", corpus=corpus, origin=Origin.CORPUS, split=split, seconds=seconds)
    return corpus


def make_generation(
    name: str = "biaxial", *, corpus: Corpus | None = None, n_pieces: int = 8, seconds: float = 30.0
) -> Generation:
    """A trained model with one generation and its pieces."""
    corpus = corpus or Corpus.objects.create(name=f"{name}-corpus", sha256=_hash(name))
    model = TrainedModel.objects.create(
        name=name, family="gru_next_note", preset="tiny", corpus=corpus, corpus_sha256=corpus.sha256
    )
    generation = Generation.objects.create(
        name=f"{name}-s1-1",
        model=model,
        seed=1,
        checkpoint_sha256=_hash(model.name),
        settings={"task": "generate"},
    )
    for number in range(n_pieces):
        make_piece(
            f"{name}_opus_{number}", generation=generation, origin=Origin.GENERATION, seed=1, seconds=seconds
        )
    return generation


def make_piece(name: str, *, seconds: float = 30.0, **origin) -> Piece:
    """A piece with a MIDI file of its own notes."""
    number = next(_numbers)
    path = settings.PIECES_ROOT / f"test-{uuid.uuid4().hex}.mid"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(make_score(number), path)
    return Piece.objects.create(
        name=name,
        midi_path=str(path.relative_to(settings.HOME)),
        sha256=_hash(f"{name}{number}"),
        n_notes=24,
        n_bars=6,
        seconds=seconds,
        source=f"{name}.mid",
        **origin,
    )


def make_stimulus(
    piece: Piece, *, seconds: float = SECONDS, loudness: float = -23.0, lead: float = 0.0, **ignored
) -> Stimulus:
    """An excerpt of a piece: a real MP3 under an opaque name; the same piece gives the same again."""
    recipe = _hash(f"{piece.sha256} {seconds:g} {lead:g}")
    there = Stimulus.objects.filter(recipe_sha256=recipe).first()
    if there is not None:
        return there
    data = sound_bytes(int(recipe[:4], 16) % 6, seconds, loudness, lead)
    path = settings.STIMULI_ROOT / f"{uuid.uuid4().hex}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Stimulus.objects.create(
        piece=piece,
        recipe_sha256=recipe,
        seconds=seconds,
        engine="chord",
        loudness_lufs=loudness,
        true_peak_dbtp=-9.0,
        flac_path=f"stimuli/{path.stem}.flac",
        flac_sha256=_hash("flac"),
        mp3_path=str(path.relative_to(settings.HOME)),
        mp3_sha256=hashlib.sha256(data).hexdigest(),
        mp3_bytes=len(data),
    )


SPECIFICATION = """\
title: Short piano pieces
slug: {slug}
conditions:
  - {{name: joplin, role: real, from: {{corpus: ragtime, split: test}}, pieces: {pieces}}}
  - {{name: biaxial, role: generated, from: {{model: biaxial}}, pieces: {pieces}}}
  - {{name: scrambled, role: low_anchor, from: {{scramble: joplin}}, pieces: 1}}
selection: {{seed: 7}}
excerpt: {{seconds: 5}}
session: {{trials: {trials}, repeats: {repeats}, practice: {practice}, attention_checks: {checks}}}
ask: {{human_or_machine: {human_or_machine}, background: {background}, comment: {comment}}}
listening: {{must_hear: {must_hear}}}
analysis: {{reference: joplin, margin: 0.5}}
consent: {{contact: lab@example.org}}
"""


def specification_text(
    slug: str = "short-piano-pieces",
    *,
    pieces: int = 5,
    trials: int = 11,
    repeats: int = 2,
    practice: int = 2,
    checks: int = 2,
    human_or_machine: str = "after_all",
    background: str = "short",
    comment: str = "optional",
    must_hear: float = 0.8,
) -> str:
    """A study file over the corpus ``ragtime`` and the model ``biaxial`` of this module."""
    return SPECIFICATION.format(**locals())


def make_study(
    slug: str = "short-piano-pieces",
    *,
    state: str = Study.State.OPEN,
    is_simulated: bool = False,
    **sizes,
) -> Study:
    """A study with rows and sounds: real, generated and low-anchor pieces, practice, attention checks."""
    text = specification_text(slug, **sizes)
    specification = parse_specification(text)
    corpus = Corpus.objects.filter(name="ragtime").first() or make_corpus()
    generation = Generation.objects.filter(name="biaxial-s1-1").first() or make_generation(corpus=corpus)
    study = Study.objects.create(
        slug=slug,
        title=specification.title,
        specification=text,
        specification_sha256=specification_sha256(text),
        design=specification.to_json(),
        state=state,
        is_simulated=is_simulated,
        seed=7,
    )
    real = list(corpus.pieces.all())
    made = list(generation.pieces.all())
    n_pieces = specification.conditions[0].pieces
    mixed = Piece.objects.filter(origin=Origin.SCRAMBLE).first() or make_piece(
        "upside_down", origin=Origin.SCRAMBLE, scrambled_from=real[-1], seed=7
    )
    main = {"joplin": real[:n_pieces], "biaxial": made[:n_pieces], "scrambled": [mixed]}
    roles = {"joplin": "real", "biaxial": "generated", "scrambled": "low_anchor"}
    labels = iter(f"{digit}{letter}" for letter in "QXWKV" for digit in "23456789")
    for letter, (name, pieces) in zip("CAB", main.items(), strict=True):
        condition = Condition.objects.create(study=study, name=name, role=roles[name], letter=letter)
        for piece in pieces:
            Item.objects.create(
                study=study, condition=condition, stimulus=make_stimulus(piece), label=next(labels)
            )
    for piece in [real[-2], made[-2], real[-3], made[-3]][: specification.session.practice]:
        Item.objects.create(study=study, stimulus=make_stimulus(piece), use="practice", label=next(labels))
    for n_tones in range(3, 3 + specification.session.attention_checks):
        name = f"{n_tones} tones"
        tones = Piece.objects.filter(name=name).first() or make_piece(
            name, origin=Origin.IMPORT, collection="attention-checks"
        )
        Item.objects.create(
            study=study,
            stimulus=make_stimulus(tones),
            use="attention",
            requested_value=n_tones,
            label=next(labels),
        )
    return study


def begin(study: Study, **options):
    """A session that has just agreed."""
    return start_session(
        study=study, consent_sha256=consent_text(study)[1], is_simulated=study.is_simulated, **options
    )


def hear(trial, clock, *, seconds: float | None = None) -> None:
    """Hear a trial from its start, all of it or `seconds`; `clock` is a compressed one."""
    heard = trial.item.stimulus.seconds if seconds is None else seconds
    clock.advance(heard + 0.5)
    event = {"sequence": 0, "kind": "heard", "trial": trial.public_id, "client_ms": int(1000 * heard)}
    record_events(
        session=trial.session,
        page=uuid.uuid4().hex[:20],
        events=[{**event, "from_seconds": 0.0, "to_seconds": heard}],
    )


def sit_through(session, clock, *, until: str = "debrief", value=lambda trial: 5, human=lambda trial: True):
    """Answer everything up to a stage."""
    if session.stage == "sound_check":
        complete_sound_check(session=session, answers={"n_tones_heard": 3})
    if session.stage == "background" and until != "background":
        record_background(session=session, answers={"age": "30-44"})
    while session.stage != until and (trial := current_trial(session)) is not None:
        trial.session = session
        if session.stage == "attribution":
            hear(trial, clock)
            clock.advance(2)
            record_judgement(
                trial=trial,
                judged_human=human(trial),
                confidence=3,
                familiarity="new",
                response_time_ms=2000,
            )
        else:
            hear(trial, clock)
            clock.advance(2)
            record_rating(trial=trial, value=value(trial), response_time_ms=7000)
    if session.stage == "comment" and until == "debrief":
        record_comment(session=session, comment="=1+1")
    return session


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
