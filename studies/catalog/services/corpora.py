"""Importing corpora: scores from files and folders into one hashed, split set, listed in the catalog."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from music.corpus import CorpusReport, create_corpus
from music.formats import find_files
from studies.catalog.errors import CatalogError
from studies.catalog.models import Corpus, Origin, Piece
from studies.catalog.naming import checked_license, checked_name
from studies.catalog.seeds import checked_seed
from studies.catalog.storage import n_passed_over, only_one, within_home


def import_corpus(
    *,
    name: str,
    sources: Sequence[str],
    license: str = "",
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Read scores into a corpus and list its pieces; returns the document of ``import_corpus --json``.

    Importing again under a name that exists adds the pieces that are new. Those that are there keep their
    name and their split, so nothing that a model has trained on ever becomes a piece to test it with; the
    corpus gets another hash, and models go on to name the hash of what they were trained on.

    Parameters
    ----------
    sources : sequence of str
        Files, folders, or ``music21:COMPOSER``.

    Raises
    ------
    CatalogError
        If the name, seed or license cannot stand, all files were refused, or another process is importing
        this corpus.
    ScoreError
        If a source does not exist, or the first import finds nothing that can be read.
    """
    checked_name("corpus", name)
    checked_seed(seed)
    checked_license(license)
    folder = settings.CORPORA_ROOT / name
    with only_one(f"corpus-{name}"):
        _clear_abandoned(folder)
        before = Corpus.objects.filter(name=name).values_list("sha256", flat=True).first()
        report = create_corpus(folder, name, sources, license=license, seed=seed, progress=progress)
        if report.n_found == len(report.rejected):
            first = report.rejected[0]
            raise CatalogError(
                f"nothing was added to corpus {name!r}: all {report.n_found} files were refused, "
                f"the first, {first['file']}, because {first['reason']}"
            )
        corpus = _list(report, sources)
    ignored = n_passed_over(sources, find_files(sources))
    return {
        **report.to_json(),
        "ignored": ignored,
        "changed": before not in (None, corpus.sha256),
        "path": str(folder),
    }


def _clear_abandoned(folder: Path) -> None:
    """Remove what imports that were killed left beside the corpus; call it under the lock of the corpus."""
    staging = re.compile(re.escape(f".{folder.name}-") + "[a-z0-9_]{8}")
    if folder.parent.is_dir():
        for path in folder.parent.iterdir():
            if staging.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)


@transaction.atomic
def _list(report: CorpusReport, sources: Sequence[str]) -> Corpus:
    """Make the rows of a corpus true to its folder."""
    opened = report.corpus
    corpus, is_new = Corpus.objects.get_or_create(name=opened.name, defaults={"sha256": opened.sha256})
    corpus.license = opened.license
    corpus.sources = list(dict.fromkeys([*([] if is_new else corpus.sources), *map(str, sources)]))
    corpus.sha256 = opened.sha256
    corpus.n_pieces = len(opened.pieces)
    corpus.n_notes = opened.n_notes
    corpus.duplicates = _merged(
        [] if is_new else corpus.duplicates, [list(pair) for pair in report.duplicates]
    )
    corpus.rejected = list(report.rejected)
    corpus.save()
    rows = {piece.name: piece for piece in corpus.pieces.all()}
    new, changed = [], []
    for piece in opened.pieces:
        facts = {
            "split": piece.split,
            "source": piece.source,
            "midi_path": within_home(corpus.folder / piece.file),
            "sha256": piece.sha256,
            "n_notes": piece.n_notes,
            "n_bars": piece.n_bars,
            "seconds": piece.seconds,
            "meter": piece.meter,
            "key": piece.key,
            "license": opened.license,
        }
        row = rows.get(piece.name)
        if row is None:
            new.append(Piece(name=piece.name, origin=Origin.CORPUS, corpus=corpus, **facts))
        elif any(getattr(row, key) != value for key, value in facts.items()):
            for key, value in facts.items():
                setattr(row, key, value)
            changed.append(row)
    Piece.objects.bulk_create(new, batch_size=500)
    Piece.objects.bulk_update(changed, list(facts), batch_size=200)
    return corpus


def _merged(old: list, new: list) -> list:
    """Both lists, without repeats, in their order."""
    return old + [each for each in new if each not in old]
