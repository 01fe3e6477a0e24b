"""Reading the catalog: rows by name with helpful errors, lists in few queries, where a piece came from."""

import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet

from music.midi import read_midi
from music.score import Score
from studies.catalog.errors import CatalogError
from studies.catalog.models import (
    Corpus,
    Generation,
    Origin,
    OriginalityReport,
    Piece,
    Stimulus,
    TrainedModel,
)
from studies.catalog.naming import shown, unknown_name

#: All that naming a piece and its origin needs, so that no list asks once per row.
ORIGINS = (
    "corpus",
    "generation__model__corpus",
    "scrambled_from__corpus",
    "scrambled_from__generation__model",
)
SPLITS = ("train", "validation", "test")


# ---- by name


def get_corpus(name: str) -> Corpus:
    """A corpus by name; CatalogError names the closest, or the command that makes one."""
    corpus = Corpus.objects.filter(name=name).first()
    if corpus is None:
        known = Corpus.objects.values_list("name", flat=True)
        raise unknown_name("corpus", name, known, "import one: python manage.py import_corpus NAME SOURCE...")
    return corpus


def get_model(name: str) -> TrainedModel:
    """A trained model by name, with its corpus; CatalogError names the closest, or how to make one."""
    model = TrainedModel.objects.select_related("corpus").filter(name=name).first()
    if model is None:
        for each in unlisted_models():
            if each["model"] == name:
                raise CatalogError(unlisted_in_words(each))
        known = TrainedModel.objects.values_list("name", flat=True)
        raise unknown_name("model", name, known, "train one: python manage.py train FAMILY --corpus NAME")
    return model


def get_generation(name: str) -> Generation:
    """A generation by name, with its model; CatalogError names the closest, or how to make one."""
    generation = Generation.objects.select_related("model__corpus").filter(name=name).first()
    if generation is None:
        known = Generation.objects.values_list("name", flat=True)
        raise unknown_name("generation", name, known, "make one: python manage.py generate MODEL --count N")
    return generation


def get_piece(name: str) -> Piece:
    """A piece by its public id, or by ``ORIGIN/NAME``, where ORIGIN is a corpus, a generation or an import.

    Raises
    ------
    CatalogError
        If there is none, or the name fits several.
    """
    pieces = Piece.objects.select_related(*ORIGINS)
    try:
        found = list(pieces.filter(public_id=uuid.UUID(name)))
    except ValueError:
        origin, _, stem = name.partition("/")
        is_of_origin = Q(corpus__name=origin) | Q(generation__name=origin) | Q(collection=origin)
        found = list(pieces.filter(is_of_origin, name=stem)[:2]) if stem else []
    if len(found) != 1:
        problem = "fits several pieces" if found else "names no piece"
        raise CatalogError(f"{shown(name)!r} {problem}; write ORIGIN/NAME or the piece's id")
    return found[0]


# ---- pieces


def pieces_of_corpus(name: str, split: str | None = None) -> QuerySet[Piece]:
    """The pieces of a corpus, or of one of its splits, in a stable order.

    Raises
    ------
    CatalogError
        If there is no such corpus or split.
    """
    if split is not None and split not in SPLITS:
        raise CatalogError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    pieces = Piece.objects.filter(corpus=get_corpus(name)).select_related(*ORIGINS)
    return pieces.filter(split=split) if split else pieces


def pieces_of_model(name: str) -> QuerySet[Piece]:
    """What a model composed, in all its generations; pieces with the same notes once, the oldest.

    Harmonies to given melodies are left out: their melody is not the model's.

    Raises
    ------
    CatalogError
        If there is no such model.
    """
    model = get_model(name)
    harmonies = Generation.objects.filter(model=model, settings__task="harmonize")
    pieces = Piece.objects.filter(generation__model=model).exclude(generation__in=harmonies)
    oldest = pieces.order_by().values("sha256").annotate(oldest=Min("pk")).values("oldest")
    return Piece.objects.filter(pk__in=oldest).select_related(*ORIGINS)


def pieces_of_generation(name: str) -> QuerySet[Piece]:
    """The pieces of one generation; CatalogError if there is none of this name."""
    return Piece.objects.filter(generation=get_generation(name)).select_related(*ORIGINS)


def pieces_of_collection(name: str) -> QuerySet[Piece]:
    """The pieces that ``import_pieces NAME`` brought.

    Raises
    ------
    CatalogError
        If nothing was imported under this name.
    """
    pieces = Piece.objects.filter(origin=Origin.IMPORT, collection=name).select_related(*ORIGINS)
    if not pieces.exists():
        known = Piece.objects.filter(origin=Origin.IMPORT).values_list("collection", flat=True).distinct()
        raise unknown_name(
            "import", name, known, "import pieces: python manage.py import_pieces NAME SOURCE..."
        )
    return pieces


def pieces_named(name: str) -> QuerySet[Piece] | None:
    """The pieces of the generation, model, corpus or import of this name; None if nothing has it."""
    if Generation.objects.filter(name=name).exists():
        return pieces_of_generation(name)
    if TrainedModel.objects.filter(name=name).exists():
        return pieces_of_model(name)
    if Corpus.objects.filter(name=name).exists():
        return pieces_of_corpus(name)
    if Piece.objects.filter(origin=Origin.IMPORT, collection=name).exists():
        return pieces_of_collection(name)
    return None


def score_of(piece: Piece) -> Score:
    """The notes of a piece, from its MIDI file.

    Raises
    ------
    CatalogError
        If the piece is a recording, or its file is gone.
    """
    if piece.midi_file is None:
        raise CatalogError(f"{piece} is a recording; it has no notes to read")
    if not piece.midi_file.is_file():
        raise CatalogError(f"the MIDI file of {piece} is gone: {piece.midi_path} in {settings.HOME}")
    return read_midi(piece.midi_file)


# ---- where things came from


def provenance_of(piece: Piece) -> list[tuple[str, str]]:
    """A piece's way from its origin to here, as ``(label, value)`` in reading order."""
    rows = [("piece", piece.name), ("origin", Origin(piece.origin).label)]
    if piece.origin == Origin.CORPUS:
        rows += [("corpus", piece.corpus.name), ("corpus hash", piece.corpus.sha256), ("split", piece.split)]
    elif piece.origin == Origin.GENERATION:
        rows += _provenance_of_generation(piece.generation)
    elif piece.origin == Origin.IMPORT:
        rows += [("import", piece.collection)]
    elif piece.origin == Origin.SCRAMBLE:
        rows += [("scrambled with seed", str(piece.seed))]
        rows += [(f"scrambled piece: {label}", value) for label, value in provenance_of(piece.scrambled_from)]
    rows += [("read from", piece.source), ("license", piece.license), ("hash", piece.sha256)]
    return [(label, value) for label, value in rows if value]


def _provenance_of_generation(generation: Generation) -> list[tuple[str, str]]:
    model = generation.model
    written = [(key.replace("_", " "), _in_words(value)) for key, value in generation.settings.items()]
    return [
        ("generation", generation.name),
        ("model", model.name),
        ("family", f"{model.family}, preset {model.preset}"),
        ("checkpoint hash", generation.checkpoint_sha256),
        ("seed", str(generation.seed)),
        *((label, value) for label, value in written if value),
        ("trained on", model.corpus.name),
        ("corpus hash", model.corpus_sha256),
        ("updates", f"{model.updates:,}"),
        ("code version", generation.code_version),
    ]


def _in_words(value: Any) -> str:
    """A setting as text: files by their name and hash, absent values as nothing."""
    if value is None or value == []:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(_in_words(each) for each in value)
    return str(value)


def report_for(generation: Generation) -> OriginalityReport | None:
    """The newest originality report of a generation, or None."""
    return OriginalityReport.objects.filter(generation=generation).select_related("corpus").first()


def stimuli_of(piece: Piece) -> QuerySet[Stimulus]:
    """The rendered excerpts of a piece."""
    return Stimulus.objects.filter(piece=piece)


# ---- lists


def list_corpora() -> list[dict[str, Any]]:
    """The corpora as JSON, by name; one query."""
    counts = {split: Count("pieces", filter=Q(pieces__split=split)) for split in SPLITS}
    return [
        {
            "corpus": corpus.name,
            "pieces": corpus.n_pieces,
            "notes": corpus.n_notes,
            "splits": {split: getattr(corpus, split) for split in SPLITS},
            "duplicates": len(corpus.duplicates),
            "rejected": len(corpus.rejected),
            "license": corpus.license,
            "sha256": corpus.sha256,
            "path": str(corpus.folder),
        }
        for corpus in Corpus.objects.annotate(**counts).order_by("name")
    ]


def list_models() -> list[dict[str, Any]]:
    """The trained models as JSON, by name; one query."""
    return [
        {
            "model": model.name,
            "family": model.family,
            "preset": model.preset,
            "corpus": model.corpus.name,
            "updates": model.updates,
            "seconds": model.seconds,
            "device": model.device,
            "seed": model.seed,
            "parameters": model.n_parameters,
            "finished": model.is_finished,
            "losses": {"train": model.train_loss, "validation": model.validation_loss},
            "bytes": _folder_bytes(model.folder),
            "generations": model.n_generations,
            "checkpoint_sha256": model.checkpoint_sha256 or None,
            "path": str(model.folder),
        }
        for model in TrainedModel.objects.select_related("corpus")
        .annotate(n_generations=Count("generations"))
        .order_by("name")
    ]


def unlisted_models() -> list[dict[str, str]]:
    """Checkpoints in the data folder that no row names, by name: what `train --resume` would list again."""
    from generators import checkpoint
    from generators.errors import GeneratorError

    if not settings.MODELS_ROOT.is_dir():
        return []
    listed = set(TrainedModel.objects.values_list("name", flat=True))
    found = []
    for folder in sorted(settings.MODELS_ROOT.iterdir()):
        if folder.name in listed or not checkpoint.exists(folder):
            continue
        try:
            config = checkpoint.read_config(folder)
            family, corpus = str(config["family"]), str(config["corpus"]["name"])
        except (GeneratorError, KeyError, TypeError):  # damaged: it can only be deleted
            family = corpus = ""
        found.append({"model": folder.name, "family": family, "corpus": corpus, "path": str(folder)})
    return found


def unlisted_in_words(model: dict[str, str]) -> str:
    """What to do about a checkpoint that no row names."""
    if not model["family"]:
        return f"{model['path']} holds a damaged model that is not listed; delete that folder to use its name"
    return (
        f"model {model['model']!r} has a checkpoint in {model['path']} but is not listed; list it again: "
        f"python manage.py train {model['family']} --corpus {model['corpus']} "
        f"--name {model['model']} --resume"
    )


def _folder_bytes(folder: Path) -> int | None:
    """The size of the files in a folder, or None if it is gone."""
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
