"""What pieces are compared with: a corpus, a folder, or what a model wrote, indexed once and kept.

Indexes stand under ``cache/originality`` in the data folder, one folder for each corpus, folder of scores or
name. They are made anew, or grow, when the files have changed; removing them loses nothing but time.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings

from music.midi import write_atomically
from music.same_work import passages, same_works
from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.models import Corpus
from studies.catalog.selectors import get_corpus, pieces_named, score_of
from studies.catalog.storage import file_sha256, is_there, only_one

if TYPE_CHECKING:
    from analysis.plagiarism.reference import Reference


@dataclass(frozen=True)
class ReferencePieces:
    """The pieces that others are searched in."""

    name: str
    pieces: "Reference"
    rejected: list[dict[str, str]]
    corpus: Corpus | None = None  # of the catalog, if it is one
    sha256: str = ""
    places: dict[Path, list[int]] = field(default_factory=dict)  # of the pieces of each file

    @property
    def items(self):
        """The pieces in their order."""
        return self.pieces.items


def check_reference(name: str | Path) -> None:
    """Refuse what names nothing to search in, before a file is read.

    Raises
    ------
    CatalogError
        If the name stands for nothing or for two things, or a folder holds no file that can be read.
    """
    from music.formats import find_files

    path = Path(name).expanduser()
    if corpus_row(name) is None and _catalog_pieces(name) is None:
        if not is_there(name):
            if path.name == str(name):
                get_corpus(str(name))
            raise CatalogError(f"there is no corpus and no folder {str(name)!r}")
        if not (path / "manifest.json").is_file() and not find_files([path]):
            raise CatalogError(f"the folder {str(name)!r} holds no piece to search in")


def corpus_row(name: str | Path) -> Corpus | None:
    """The corpus of the catalog that a name stands for, None if there is none.

    Raises
    ------
    CatalogError
        If it is a file or folder, too.
    """
    row = Corpus.objects.filter(name=str(name)).first()
    if row is not None and is_there(name):
        raise CatalogError(f"{str(name)!r} is a corpus and a folder here; write ./{name} for the folder")
    return row


def _catalog_pieces(name: str | Path):
    """What a model, a generation or an import of this name holds; None if there is none."""
    pieces = pieces_named(str(name))
    if pieces is not None and is_there(name):
        raise CatalogError(
            f"{str(name)!r} is a name in the catalog and a folder here; write ./{name} for the folder"
        )
    return pieces


def read_reference(name: str | Path) -> ReferencePieces:
    """The pieces of a corpus of the catalog, of a corpus folder, of a folder of scores, or of a model.

    Raises
    ------
    CatalogError
        If the name is unknown or stands for two things, or there is no piece that can be read.
    """
    check_reference(name)
    row = corpus_row(name)
    path = Path(name).expanduser()
    if row is not None or (path / "manifest.json").is_file():
        return _of_corpus(row, row.folder if row else path)
    pieces = _catalog_pieces(name)
    return _of_folder(str(name), path) if pieces is None else _of_catalog(str(name), pieces)


def _of_corpus(row: Corpus | None, folder: Path) -> ReferencePieces:
    from analysis.plagiarism.settings import StoredItem
    from music.corpus import open_corpus

    opened = open_corpus(folder)
    items = [
        StoredItem(
            piece.name, lambda piece=piece: opened.score(piece), piece.file_sha256, piece.split, piece.group
        )
        for piece in opened.pieces
    ]

    def tables_of(places: Sequence[int]):
        return opened.tables([opened.pieces[place] for place in places])

    pieces = _kept(items, f"corpus {folder.resolve()}", tables_of=tables_of)
    return ReferencePieces(opened.name, pieces, [], row, opened.sha256)


def _of_catalog(name: str, pieces) -> ReferencePieces:
    from analysis.plagiarism.settings import StoredItem

    items, rejected = [], []
    for piece in pieces:
        if piece.midi_file is None:
            rejected.append({"file": str(piece), "reason": "it is a recording; it has no notes to compare"})
        else:
            load = lambda piece=piece: score_of(piece)  # noqa: E731 - one of many, each with its piece
            items.append(StoredItem(str(piece), load, file_sha256(piece.midi_file)))
    if not items:
        raise CatalogError(f"{name!r} holds no piece to search in")
    return ReferencePieces(name, _kept(items, f"pieces {name}"), rejected)


def _of_folder(name: str, path: Path) -> ReferencePieces:
    from analysis.plagiarism.reference import Reference
    from music.formats import find_files

    folder = _cache_of(f"folder {path.resolve()}")
    with only_one(folder.name, wait=True):
        files = _Folder(find_files([path]), folder / "files")
    if not files.items:
        first = files.rejected[:1]
        why = "".join(f"; the first refusal: {each['file']}: {each['reason']}" for each in first)
        raise CatalogError(f"the folder {name!r} holds no piece to search in{why}")
    pieces = Reference(files.items, folder, scores_of=files.scores_of, guard=_guard_of(folder))
    return ReferencePieces(name, pieces, files.rejected, places=files.places)


def _kept(items: Sequence, identity: str, **ways) -> "Reference":
    from analysis.plagiarism.reference import Reference

    folder = _cache_of(identity)
    return Reference(items, folder, guard=_guard_of(folder), **ways)


def _cache_of(identity: str) -> Path:
    """Where the indexes of a corpus are kept."""
    return settings.HOME / "cache" / "originality" / hashlib.sha256(identity.encode()).hexdigest()[:20]


def _guard_of(folder: Path):
    return lambda: only_one(f"originality-{folder.name}", wait=True)


class _Folder:
    """The pieces of many files. What files are known need not be read to be listed.

    Beside the indexes it keeps, for each content of a file, how many pieces are in it and the passages by
    which pieces of one work are told (`music.same_work`). Files that were refused are tried again each time.
    """

    def __init__(self, paths: Sequence[Path], kept: Path):
        from analysis.plagiarism.settings import StoredItem

        self.paths = list(paths)
        self.digests = {path: file_sha256(path) for path in self.paths}
        self.rejected: list[dict[str, str]] = []
        self.scores: dict[str, list[Score]] = {}  # of files that were read, by their content
        known = _read_passages(kept)
        new = [path for path in self.paths if self.digests[path] not in known]
        self._read(new)
        known |= {digest: [passages(score) for score in own] for digest, own in self.scores.items()}
        of_pieces = [(path, n) for path in self.paths for n in range(len(known.get(self.digests[path], ())))]
        groups = _works([known[self.digests[path]][n] for path, n in of_pieces])
        names = FileNames(self.paths)
        self.places: dict[Path, list[int]] = defaultdict(list)
        self.items = []
        for place, ((path, n), group) in enumerate(zip(of_pieces, groups, strict=True)):
            self.places[path.resolve()].append(place)
            load = lambda path=path, n=n: self._scores(path)[n]  # noqa: E731 - one of many
            self.items.append(StoredItem(names(path), load, f"{self.digests[path]}-{n}", group=group))
        self.of_pieces = of_pieces
        if new:
            _write_passages(kept, {self.digests[path]: known.get(self.digests[path], []) for path in paths})

    def _read(self, paths: Sequence[Path]) -> None:
        """Read files side by side; a content that two have is read twice, which changes nothing."""
        from music.isolation import read_scores

        read: dict[Path, list[Score]] = {path: [] for path in paths}
        for path, score in read_scores(paths):
            if isinstance(score, MusicError):
                self.rejected.append({"file": str(path), "reason": " ".join(str(score).split())})
            else:
                read[path].append(score)
        self.scores |= {self.digests[path]: own for path, own in read.items() if own}

    def _scores(self, path: Path) -> list[Score]:
        from music.isolation import read_scores

        if self.digests[path] in self.scores:
            return self.scores[self.digests[path]]
        return [score for _, score in read_scores([path], workers=1) if not isinstance(score, MusicError)]

    def scores_of(self, places: Sequence[int]) -> Iterator[Score]:
        """The scores of many pieces; files that were not read yet are read side by side."""
        wanted = {self.of_pieces[place][0] for place in places}
        self._read([path for path in self.paths if path in wanted and self.digests[path] not in self.scores])
        for place in places:
            path, n = self.of_pieces[place]
            yield self.scores[self.digests[path]][n]


class FileNames:
    """Names of files for people: alone where that is enough, else with the folder, else numbered."""

    def __init__(self, paths: Sequence[Path]):
        self.stems = Counter(path.name for path in paths)
        self.taken: set[str] = set()

    def __call__(self, path: Path) -> str:
        """The name of the next piece of a file."""
        alone = self.stems[path.name] == 1
        stem = path.name if alone else f"{path.parent.name}/{path.name}"
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem} ({number})"
        self.taken.add(name)
        return name


def _works(melodies: Sequence[np.ndarray]) -> list[str]:
    """A name for the work of each piece; empty for a piece that is alone."""
    leaders = list(range(len(melodies)))

    def leader(piece: int) -> int:
        while leaders[piece] != piece:
            leaders[piece] = piece = leaders[leaders[piece]]
        return piece

    for first, second in same_works(melodies):
        low, high = sorted((leader(first), leader(second)))
        leaders[high] = low
    found = [leader(piece) for piece in range(len(melodies))]
    sizes = Counter(found)
    return [f"work {each + 1}" if sizes[each] > 1 else "" for each in found]


def _read_passages(kept: Path) -> dict[str, list[np.ndarray]]:
    """The passages of each piece of a file, by the file's content; nothing if they are not there."""
    try:
        listed = json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))
        numbers = np.load(kept.with_suffix(".npy"))
        ends = np.cumsum([size for _, sizes in listed["files"] for size in sizes])
        if listed["n"] != len(numbers) or (len(ends) and ends[-1] != len(numbers)):
            return {}
        parts = iter(np.split(numbers, ends[:-1]) if len(ends) else [])
        return {digest: [next(parts) for _ in sizes] for digest, sizes in listed["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_passages(kept: Path, known: dict[str, list[np.ndarray]]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    parts = [part for own in known.values() for part in own]
    numbers = np.concatenate([np.zeros(0, dtype=np.uint64), *parts])
    files = [[digest, [len(part) for part in own]] for digest, own in known.items() if own]
    kept.with_suffix(".json").unlink(missing_ok=True)
    np.save(kept.with_suffix(".npy"), numbers)
    write_atomically(kept.with_suffix(".json"), json.dumps({"n": len(numbers), "files": files}).encode())
