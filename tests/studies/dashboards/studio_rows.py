"""Rows for the studio's tests: small, real music with a planted copy, and studies with known answers."""

import datetime
import hashlib

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from music.midi import write_midi
from music.score import Meter, Note, Score, Track
from studies.catalog.models import (
    Corpus,
    Generation,
    Origin,
    OriginalityReport,
    Piece,
    Stimulus,
    TrainedModel,
)
from studies.listening.models import (
    Condition,
    Item,
    Judgement,
    Participant,
    Rating,
    Session,
    Study,
    Trial,
)
from studies.listening.specification import parse_specification

SPECIFICATION = """
title: {title}
slug: {slug}
conditions:
  - {{name: bach-themselves, role: real, from: {{corpus: chorales, split: test}}, pieces: 3}}
  - {{name: machine-nine, role: generated, from: {{model: deep}}, pieces: 3}}
session: {{trials: 6, repeats: 0, practice: 0, attention_checks: 0}}
analysis: {{reference: bach-themselves, margin: 0.5, exclude: [straight_lining, not_listened]}}
"""


def melody(seed: int, *, n_bars: int = 8) -> Score:
    """A tune of eighth notes in 4/4, another one for each seed."""
    notes, pitch = [], 60
    for place in range(8 * n_bars):
        digest = hashlib.sha256(f"{seed}-{place}".encode()).digest()
        pitch = min(84, max(48, pitch + digest[0] % 9 - 4))
        notes.append(Note(240 * place, pitch, 240))
    return Score((Track(tuple(notes)),), meters=(Meter(0),))


class Rows:
    """Makes rows; each call is one row with all that it needs."""

    def __init__(self):
        self.n_files = 0

    def corpus(self, name="chorales", **fields) -> Corpus:
        return Corpus.objects.create(name=name, sha256="c" * 64, **fields)

    def model(self, name="deep", *, corpus=None, **fields) -> TrainedModel:
        corpus = corpus or Corpus.objects.first() or self.corpus()
        given = {
            "family": "deephear",
            "preset": "tiny",
            "updates": 120,
            "train_loss": 0.5,
            "validation_loss": 0.75,
        }
        return TrainedModel.objects.create(
            name=name, corpus=corpus, corpus_sha256=corpus.sha256, **{**given, **fields}
        )

    def generation(self, name="deep-s1-1", *, model=None, **fields) -> Generation:
        model = model or TrainedModel.objects.first() or self.model()
        return Generation.objects.create(
            name=name, model=model, seed=1, checkpoint_sha256="d" * 64, settings={"bars": 8}, **fields
        )

    def piece(self, name="1", *, corpus=None, generation=None, score=None, tune=None, **fields) -> Piece:
        self.n_files += 1
        score = score or melody(tune or self.n_files)
        folder = settings.PIECES_ROOT / "studio-tests"
        folder.mkdir(parents=True, exist_ok=True)
        path = write_midi(
            score, folder / f"{self.n_files}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.mid"
        )
        origin = Origin.CORPUS if corpus else Origin.GENERATION if generation else Origin.IMPORT
        given = {
            "origin": origin,
            "corpus": corpus,
            "generation": generation,
            "collection": "" if corpus or generation else "elsewhere",
            "split": "test" if corpus else "",
            "midi_path": str(path.relative_to(settings.HOME)),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "n_notes": score.n_notes,
            "n_bars": score.n_bars,
            "seconds": score.duration_seconds,
        }
        return Piece.objects.create(name=name, **{**given, **fields})

    def stimulus(
        self, piece=None, *, start_seconds=0.0, seconds=20.0, mp3=b"ID3 no real sound " * 100
    ) -> Stimulus:
        piece = piece or self.piece(name=f"heard-{self.n_files}")
        self.n_files += 1
        settings.STIMULI_ROOT.mkdir(parents=True, exist_ok=True)
        path = settings.STIMULI_ROOT / f"{self.n_files}-studio.mp3"
        path.write_bytes(mp3)
        return Stimulus.objects.create(
            piece=piece,
            recipe_sha256=hashlib.sha256(f"{piece.pk}-{start_seconds}-{self.n_files}".encode()).hexdigest(),
            start_seconds=start_seconds,
            seconds=seconds,
            engine="fluidsynth",
            loudness_lufs=-23,
            true_peak_dbtp=-3,
            flac_path=str(path.relative_to(settings.HOME)),
            flac_sha256="f" * 64,
            mp3_path=str(path.relative_to(settings.HOME)),
            mp3_sha256="e" * 64,
            mp3_bytes=len(mp3),
        )

    def study(
        self, slug="first", *, state="open", unblinded=False, listeners=0, title="First study", **fields
    ):
        """A study of three real and three generated pieces, with so many listeners who finished; of Ada."""
        fields.setdefault("owner", get_user_model().objects.filter(username="ada").first())
        text = SPECIFICATION.format(slug=slug, title=title)
        study = Study.objects.create(
            slug=slug,
            title=title,
            specification=text,
            specification_sha256="a" * 64,
            design=parse_specification(text).to_json(),
            state=state,
            unblinded_at=timezone.now() if unblinded else None,
            unblinded_by="ada" if unblinded else "",
            **fields,
        )
        corpus = Corpus.objects.filter(name="chorales").first() or self.corpus()
        generation = Generation.objects.first() or self.generation()
        sources = {
            "real": ("B", "bach-themselves", {"corpus": corpus}),
            "generated": ("A", "machine-nine", {"generation": generation}),
        }
        labels = iter(["7F", "2K", "9Q", "4C", "8D", "3H"])
        for role, (letter, name, source) in sources.items():
            condition = Condition.objects.create(study=study, name=name, role=role, letter=letter)
            for number in range(3):
                piece = self.piece(name=f"{slug}-{role}-opus-{number}", **source)
                Item.objects.create(
                    study=study, condition=condition, stimulus=self.stimulus(piece), label=next(labels)
                )
        for number in range(listeners):
            self.listener(study, number)
        return study

    def listener(self, study, number: int) -> Session:
        """Somebody who rated and judged every piece; real music 8 or so, generated 4 or so."""
        now = timezone.now()
        participant = Participant.objects.create(
            study=study, is_simulated=study.is_simulated, consented_at=now
        )
        session = Session.objects.create(
            participant=participant,
            stage=Session.Stage.DEBRIEF,
            seed=number,
            started_at=now - datetime.timedelta(days=number % 3, minutes=15),
            finished_at=now - datetime.timedelta(days=number % 3),
        )
        items = list(study.items.order_by("pk").select_related("condition"))
        for place, item in enumerate(items):
            trial = Trial.objects.create(
                session=session,
                item=item,
                kind="main",
                position=1 + (place + number) % len(items),
                attribution_position=place + 1,
            )
            is_real = item.condition.role == "real"
            value = (8 if is_real else 4) + (number + place) % 3 - (number % 2)
            Rating.objects.create(trial=trial, value=value, response_time_ms=9000, listened_seconds=19.5)
            Judgement.objects.create(
                trial=trial,
                judged_human=is_real != ((number + place) % 4 == 0),
                confidence=2,
                familiarity="new",
            )
        return session

    def report(self, *, generation=None, corpus=None, names=("1", "2")) -> OriginalityReport:
        """A real report: the first piece copies four bars of the corpus two semitones up."""
        from analysis.plagiarism.report import CorpusItem, Settings, originality
        from music.transform import transpose
        from studies.catalog.selectors import score_of

        corpus = corpus or self.corpus("chorales-searched")
        human = [
            self.piece(
                name=f"chorale-{n}", corpus=corpus, score=melody(900 + n), split="test" if n == 3 else "train"
            )
            for n in range(4)
        ]
        generation = generation or self.generation("copier-s1-1", model=self.model("copier", corpus=corpus))
        scores = [transpose(melody(900), 2), *(melody(950 + n) for n in range(len(names) - 1))]
        pieces = [
            self.piece(name=name, generation=generation, score=score)
            for name, score in zip(names, scores, strict=True)
        ]
        result = originality(
            [(str(piece), score_of(piece)) for piece in pieces],
            [CorpusItem(piece.name, score_of(piece), piece.split) for piece in human],
            settings=Settings(transpose=True, top=2, baseline_windows=20, baseline_melodies=20),
        )
        return OriginalityReport.objects.create(
            subject=generation.name,
            generation=generation,
            corpus=corpus,
            corpus_sha256=corpus.sha256,
            result=result,
        )
