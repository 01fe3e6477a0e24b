"""Single scores as pieces of the catalog: made by the program, or another piece scrambled."""

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from music.midi import write_midi
from music.score import Score
from studies.catalog.errors import CatalogError
from studies.catalog.facts import facts_of
from studies.catalog.models import Origin, Piece
from studies.catalog.naming import checked_name
from studies.catalog.selectors import score_of
from studies.catalog.storage import within_home


def import_score(*, score: Score, name: str, collection: str, source: str = "", license: str = "") -> Piece:
    """List a score as a piece of an import, with its MIDI file; the same score again changes nothing.

    Raises
    ------
    CatalogError
        If the collection has another piece of this name, or the collection's name cannot stand.
    """
    checked_name("condition", collection)
    facts = facts_of(score)
    path = settings.PIECES_ROOT / "imports" / collection / f"{facts['sha256']}.mid"
    columns = {"source": source, "license": license, **facts}
    piece = _add(path, score, {"origin": Origin.IMPORT, "collection": collection, "name": name}, columns)
    if piece.sha256 != facts["sha256"]:
        raise CatalogError(f"import {collection!r} has another piece named {name!r}; choose another name")
    return piece


def scramble_piece(*, piece: Piece, seed: int) -> Piece:
    """A low anchor made of a piece: its rhythm with its pitches permuted; the same seed gives the same piece.

    Raises
    ------
    CatalogError
        If the piece is a recording or its file is gone.
    """
    from music.transform import scramble

    key = {"origin": Origin.SCRAMBLE, "scrambled_from": piece, "seed": seed}
    there = Piece.objects.filter(**key).first()
    if there is not None:
        return there
    score = scramble(score_of(piece), seed=seed)
    facts = facts_of(score)
    path = settings.PIECES_ROOT / "scrambles" / f"{piece.public_id}-s{seed}.mid"
    return _add(
        path, score, key, {"name": f"{piece.name} scrambled s{seed}", "license": piece.license, **facts}
    )


def _add(path: Any, score: Score, key: dict[str, Any], columns: dict[str, Any]) -> Piece:
    """The file, then the row; where another process was first, its row."""
    there = Piece.objects.filter(**key).first()
    if there is not None:
        return there
    write_midi(score, path)
    try:
        with transaction.atomic():
            return Piece.objects.create(midi_path=within_home(path), **key, **columns)
    except IntegrityError:
        return Piece.objects.get(**key)
