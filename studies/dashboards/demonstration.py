"""The demonstration: the whole way of a piece, from a corpus to two studies, each step done once.

Every step looks first whether its result is there, so a second run, or one after a kill, goes on where the
last one stopped. All that it does is a call of the services that the commands call.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

from studies.catalog import services as catalog
from studies.catalog.models import Corpus, Generation, OriginalityReport, TrainedModel
from studies.dashboards.services import render_worst_pairs
from studies.listening import services as listening
from studies.listening.models import Participant, Study

CORPUS = "chorales"
#: The four-part chorales BWV 250-438 by J. S. Bach (1685-1750) that music21 brings in its wheel.
SOURCES = ["music21:bach/bwv2[5-9][0-9]*", "music21:bach/bwv[34][0-9][0-9]*"]
LICENSE = (
    "The works are in the public domain. The encodings come with music21, distributed with the permission of "
    "their encoders; some are not for commercial use."
)
MODELS = {"deephear-chorales": "deephear", "gru-chorales": "gru_next_note"}
N_GENERATED = 12
N_BARS = 12
SEED = 1
N_SIMULATED = 40
DESIGNS = Path(__file__).parent.parent / "listening" / "designs"
USERNAME = "researcher"


@dataclass(frozen=True)
class Step:
    """One thing that the demonstration makes."""

    title: str
    is_done: Callable[[], bool]
    make: Callable[[Callable], object]  # given a progress callback


def steps() -> list[Step]:
    """All steps in their order."""
    imported = Step(
        f"Corpus {CORPUS}: Bach's chorales, as music21 brings them",
        lambda: Corpus.objects.filter(name=CORPUS).exists(),
        lambda progress: catalog.import_corpus(
            name=CORPUS, sources=SOURCES, license=LICENSE, progress=progress
        ),
    )
    return [
        imported,
        *(_training(name, family) for name, family in MODELS.items()),
        *(_generation(name) for name in MODELS),
        *(_originality(name) for name in MODELS),
        _study("short-chorales", "A blind study, open for you", is_simulated=False),
        _study(
            "simulated-chorales",
            f"A second study, with {N_SIMULATED} simulated listeners",
            is_simulated=True,
        ),
    ]


def _training(name: str, family: str) -> Step:
    def make(progress):
        catalog.train_model(
            family=family,
            corpus_name=CORPUS,
            preset="tiny",
            name=name,
            resume=(settings.MODELS_ROOT / name).exists(),
            report=lambda state: progress(state.update, state.n_updates, _loss(state)),
        )

    return Step(
        f"Model {name}: training {family}",
        lambda: TrainedModel.objects.filter(name=name, is_finished=True).exists(),
        make,
    )


def _loss(state) -> str:
    return "" if state.loss is None else f"{state.stage}, loss {state.loss:.4g}"


def _generation(name: str) -> Step:
    return Step(
        f"Pieces by {name}: {N_GENERATED} of {N_BARS} bars",
        lambda: Generation.objects.filter(model__name=name).exists(),
        lambda progress: catalog.generate_pieces(model_name=name, count=N_GENERATED, bars=N_BARS, seed=SEED),
    )


def _originality(name: str) -> Step:
    def make(progress):
        found = catalog.search_originality(
            generated=[name], corpus=CORPUS, unit="onset", transpose=True, top=3, progress=progress
        )
        render_worst_pairs(report=found.report, count=2)

    return Step(
        f"What {name} copied from the corpus",
        lambda: OriginalityReport.objects.filter(generation__model__name=name).exists(),
        make,
    )


def _study(slug: str, title: str, *, is_simulated: bool) -> Step:
    last = "unblinded_at" if is_simulated else "opened_at"  # the last thing that its step does

    def make(progress):
        study = Study.objects.filter(slug=slug).first() or listening.create_study(
            text=(DESIGNS / f"{slug}.yaml").read_text(encoding="utf-8"),
            is_simulated=is_simulated,
            progress=progress,
        )
        (_simulate if is_simulated else _open)(study, progress)

    return Step(title, lambda: Study.objects.filter(slug=slug).exclude(**{last: None}).exists(), make)


def _open(study: Study, progress: Callable) -> None:
    if study.state == Study.State.DRAFT:
        listening.open_study(study=study)


def _simulate(study: Study, progress: Callable) -> None:
    _open(study, progress)
    missing = N_SIMULATED - Participant.objects.filter(study=study).count()
    if missing > 0:
        listening.simulate_listeners(study=study, count=missing, seed=SEED, progress=progress)
    listening.close_study(study=study)
    listening.unblind_study(study=study, who="the demonstration")


def account() -> tuple[str, str]:
    """User name and password of the demonstration's researcher, made on the first run and kept."""
    path = settings.HOME / "demo_password"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(9))
    password = path.read_text(encoding="ascii")
    users = get_user_model().objects
    if not users.filter(username=USERNAME).exists():
        users.create_superuser(USERNAME, password=password)
    return USERNAME, password
