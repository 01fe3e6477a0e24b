"""A data folder of its own for each test, and one tiny corpus and models for those that need them."""

import shutil
from pathlib import Path

import pytest
import torch
from django.forms.models import model_to_dict

from music.formats import read_score
from studies.catalog.models import Corpus, TrainedModel
from studies.catalog.services import import_corpus
from tests.studies.catalog.material import train_small, write_scores


@pytest.fixture(autouse=True)
def home(tmp_path, settings):
    """The data folder of this test."""
    settings.HOME = tmp_path / "home"
    settings.CORPORA_ROOT = settings.HOME / "corpora"
    settings.MODELS_ROOT = settings.HOME / "models"
    settings.PIECES_ROOT = settings.HOME / "pieces"
    settings.STIMULI_ROOT = settings.HOME / "stimuli"
    settings.HOME.mkdir()
    torch.set_num_threads(1)
    return settings.HOME


@pytest.fixture
def scores(tmp_path):
    """A folder of 6 scores."""
    folder = tmp_path / "scores"
    folder.mkdir()
    return write_scores(folder, range(6))


@pytest.fixture
def corpus(db, scores, monkeypatch):
    """The corpus ``walks`` of these scores, read without the worker processes, which take most time."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "music.corpus.read_scores", lambda files, **_: ((Path(file), read_score(file)) for file in files)
        )
        import_corpus(name="walks", sources=[str(scores)])
    return Corpus.objects.get()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Models that were trained already in this run: the family, then its checkpoint and its row."""
    return tmp_path_factory.mktemp("trained"), {}


def _model(family: str, name: str, corpus: Corpus, home: Path, trained) -> TrainedModel:
    """A model of a family on the corpus, trained by the first test that asks for it."""
    store, rows = trained
    if family not in rows:
        train_small(family, corpus.name, "--name", name)
        rows[family] = model_to_dict(TrainedModel.objects.get(name=name), exclude=["id", "corpus"])
        shutil.copytree(home / "models" / name, store / family)
    else:
        shutil.copytree(store / family, home / "models" / name)
        TrainedModel.objects.create(corpus=corpus, **rows[family])
    return TrainedModel.objects.get(name=name)


@pytest.fixture
def gru(corpus, home, trained):
    """A model ``gru`` that can write, hardly trained."""
    return _model("gru_next_note", "gru", corpus, home, trained)


@pytest.fixture
def deephear(corpus, home, trained):
    """A model ``deephear`` that can harmonise, hardly trained."""
    return _model("deephear", "deephear", corpus, home, trained)
