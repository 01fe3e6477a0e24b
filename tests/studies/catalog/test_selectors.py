"""Reading the catalog: the right pieces, in a number of queries that does not grow with them."""

import pytest

from studies.catalog.errors import CatalogError
from studies.catalog.models import Corpus, Generation, Origin, Piece, TrainedModel
from studies.catalog.selectors import (
    get_generation,
    get_model,
    pieces_named,
    pieces_of_collection,
    pieces_of_corpus,
    pieces_of_generation,
    pieces_of_model,
    provenance_of,
)
from studies.catalog.services import import_score, scramble_piece
from tests.studies.catalog.material import melody

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    corpus = Corpus.objects.create(name="walks", sha256="c" * 64)
    return TrainedModel.objects.create(name="gru", family="gru_next_note", preset="tiny", corpus=corpus)


def generation_of(model, name: str, hashes: str, **settings) -> Generation:
    """A generation with one piece per letter of `hashes`; equal letters stand for equal notes."""
    generation = Generation.objects.create(name=name, model=model, seed=1, settings=settings)
    Piece.objects.bulk_create(
        Piece(
            name=f"{number:03d}",
            origin=Origin.GENERATION,
            generation=generation,
            seed=1,
            midi_path=f"{name}/{number}",
            sha256=letter * 64,
        )
        for number, letter in enumerate(hashes, start=1)
    )
    return generation


def test_pieces_of_a_model_are_those_of_all_generations_each_once(model):
    generation_of(model, "gru-s1-1", "ab")
    generation_of(model, "gru-s1-2", "abc", task="generate", bars=4)
    generation_of(model, "gru-harmony-s1-1", "d", task="harmonize")
    assert [str(piece) for piece in pieces_of_model("gru")] == [
        "gru-s1-1/001",
        "gru-s1-1/002",
        "gru-s1-2/003",
    ]
    assert [piece.sha256[0] for piece in pieces_of_generation("gru-harmony-s1-1")] == ["d"]


@pytest.mark.parametrize("n_pieces", [1, 3])
def test_naming_pieces_and_their_origins_costs_no_query_per_piece(n_pieces, model, django_assert_num_queries):
    generation_of(model, "gru-s1-1", "abc"[:n_pieces])
    for number in range(n_pieces):
        piece = import_score(score=melody(number), name=f"{number}", collection="theirs")
        scramble_piece(piece=piece, seed=1)
    with django_assert_num_queries(2):
        assert len([(str(piece), provenance_of(piece)) for piece in pieces_of_model("gru")]) == n_pieces
    with django_assert_num_queries(2):
        assert len([provenance_of(piece) for piece in pieces_of_generation("gru-s1-1")]) == n_pieces
    with django_assert_num_queries(2):
        assert len([provenance_of(piece) for piece in pieces_of_collection("theirs")]) == n_pieces


def test_a_name_stands_for_a_generation_a_model_a_corpus_or_an_import(model):
    generation = generation_of(model, "gru-s1-1", "a")
    imported = import_score(score=melody(1), name="one", collection="theirs")
    piece = generation.pieces.get()
    assert list(pieces_named("gru-s1-1")) == list(pieces_named("gru")) == [piece]
    assert list(pieces_named("theirs")) == [imported]
    assert list(pieces_named("walks")) == []
    assert pieces_named("nothing") is None


def test_unknown_names_get_help(model):
    with pytest.raises(CatalogError, match=r"no model named 'gro'; did you mean gru\?"):
        get_model("gro")
    with pytest.raises(
        CatalogError, match=r"no generation named 'gro'; make one: python manage\.py generate"
    ):
        get_generation("gro")
    with pytest.raises(CatalogError, match="split must be one of train, validation, test, got 'dev'"):
        pieces_of_corpus("walks", "dev")
