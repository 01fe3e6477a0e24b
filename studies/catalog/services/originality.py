"""What did pieces copy from a corpus? Joins the catalog, or anybody's files, with the plagiarism measures."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.models import Corpus, Generation, OriginalityReport, TrainedModel
from studies.catalog.naming import unknown_name
from studies.catalog.selectors import get_corpus, pieces_named, score_of
from studies.catalog.storage import is_there

if TYPE_CHECKING:
    from analysis.plagiarism.report import CorpusItem


@dataclass(frozen=True)
class Subject:
    """The pieces that are searched."""

    name: str
    pieces: list[tuple[str, Score]]
    rejected: list[dict[str, str]]
    generation: Generation | None = None
    from_corpus: dict[str, str] = field(default_factory=dict)  # pieces of corpora: piece -> corpus


@dataclass(frozen=True)
class Reference:
    """The pieces that they are searched in."""

    name: str
    items: "list[CorpusItem]"
    rejected: list[dict[str, str]]
    corpus: Corpus | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Search:
    """A search and its result, for the pages and files that show it."""

    subject: Subject
    reference: Reference
    result: dict[str, Any]
    report: OriginalityReport | None  # None where the corpus is none of the catalog


def search_originality(
    *,
    generated: str | Path | Sequence[str | Path],
    corpus: str | Path,
    unit: str = "onset",
    transpose: bool = False,
    top: int | None = None,
    only: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **more: Any,
) -> Search:
    """Search a corpus for what pieces share with it; the report is kept if the corpus is of the catalog.

    Parameters
    ----------
    generated : str, Path, or sequence of them
        Names of models, generations or imports, files, folders.
    corpus : str or Path
        The name of a corpus, or a folder of scores.
    unit, transpose, top, only, and more
        As in `analysis.plagiarism.report.Settings`.

    Raises
    ------
    CatalogError
        If a name is unknown or stands for two things, or there is nothing to search or to search in.
    AnalysisError
        If a setting is out of range.
    """
    from analysis.plagiarism.settings import Settings

    chosen = {"unit": unit, "transpose": transpose, "only": only, **more}
    if top is not None:
        chosen["top"] = top
    rules = Settings(**chosen)
    generated = [generated] if isinstance(generated, str | Path) else generated
    _check_names(generated, corpus)
    from analysis.plagiarism.report import originality  # slow to import: what can be refused was refused

    subject, reference = read_subject(generated), read_reference(corpus)
    result = originality(
        subject.pieces,
        reference.items,
        settings=rules,
        exclude=_themselves(subject, reference),
        progress=progress,
    )
    report = None
    if reference.corpus is not None:
        report = OriginalityReport.objects.create(
            subject=subject.name[:200],
            generation=subject.generation,
            corpus=reference.corpus,
            corpus_sha256=reference.sha256,
            result=result,
        )
    return Search(subject, reference, result, report)


def _check_names(generated: Sequence[str | Path], corpus: str | Path) -> None:
    """Refuse what names nothing before the first file is read, for that may take long.

    Raises
    ------
    CatalogError
        If a name or path stands for nothing, or for two things, or a folder has nothing to read.
    """
    from music.formats import find_files

    found = [named_pieces(source) is not None or find_files([source]) for source in generated]
    if not any(found):
        raise CatalogError(f"there is no piece with notes in {', '.join(map(str, generated))}")
    if _corpus_row(corpus) is None:
        _check_corpus_folder(corpus)


def _corpus_row(corpus: str | Path) -> Corpus | None:
    """The corpus of the catalog that a name stands for; None if it is a file or folder instead.

    Raises
    ------
    CatalogError
        If it is both, or neither.
    """
    row = Corpus.objects.filter(name=str(corpus)).first()
    if row is not None and is_there(corpus):
        raise CatalogError(f"{str(corpus)!r} is a corpus and a folder here; write ./{corpus} for the folder")
    if row is None and not is_there(corpus):
        if Path(corpus).name == str(corpus):
            get_corpus(str(corpus))
        raise CatalogError(f"there is no corpus and no folder {str(corpus)!r}")
    return row


def _check_corpus_folder(corpus: str | Path) -> None:
    from music.formats import find_files

    path = Path(corpus).expanduser()
    if not (path / "manifest.json").is_file() and not find_files([path]):
        raise CatalogError(f"the folder {str(corpus)!r} holds no piece to search in")


def read_subject(generated: Sequence[str | Path]) -> Subject:
    """The pieces that names of the catalog, files and folders stand for; recordings are passed over.

    Raises
    ------
    CatalogError
        If one names nothing or two things, or no piece with notes is among them.
    """
    from music.formats import find_files
    from music.isolation import read_scores

    pieces: list[tuple[str, Score]] = []
    rejected: list[dict[str, str]] = []
    paths: list[Path] = []
    from_corpus: dict[str, str] = {}
    for source in generated:
        named = named_pieces(source)
        if named is None:
            paths += find_files([source])
            continue
        for piece in named:
            if piece.corpus:
                from_corpus[str(piece)] = piece.corpus.name
            if piece.midi_path:
                pieces.append((str(piece), score_of(piece)))
            else:
                rejected.append(
                    {"file": str(piece), "reason": "it is a recording; it has no notes to compare"}
                )
    short = _Names(paths)
    for path, score in read_scores(paths):
        if isinstance(score, MusicError):
            rejected.append({"file": str(path), "reason": " ".join(str(score).split())})
        else:
            pieces.append((short(path), score))
    name = ", ".join(map(str, generated))
    if not pieces:
        why = f"; the first refusal: {rejected[0]['file']}: {rejected[0]['reason']}" if rejected else ""
        raise CatalogError(f"there is no piece with notes in {name}{why}")
    return Subject(name, pieces, rejected, _generation_of(generated), from_corpus)


def read_reference(corpus: str | Path) -> Reference:
    """The pieces of a corpus of the catalog, of a corpus folder, or of a folder of scores.

    Raises
    ------
    CatalogError
        If the name is unknown or stands for two things, or the folder holds no readable piece.
    """
    from analysis.plagiarism.report import CorpusItem
    from music.corpus import open_corpus
    from music.formats import find_files
    from music.isolation import read_scores

    row = _corpus_row(corpus)
    path = Path(corpus).expanduser()
    if row is not None or (path / "manifest.json").is_file():
        opened = open_corpus(row.folder if row else path)
        items = [
            CorpusItem(piece.name, opened.score(piece), piece.split, piece.group) for piece in opened.pieces
        ]
        return Reference(opened.name, items, [], row, opened.sha256)
    paths = find_files([path])
    items, rejected, short = [], [], _Names(paths)
    for file, score in read_scores(paths):
        if isinstance(score, MusicError):
            rejected.append({"file": str(file), "reason": " ".join(str(score).split())})
        else:
            items.append(CorpusItem(short(file), score, "train", ""))
    if not items:
        why = f"; the first refusal: {rejected[0]['file']}: {rejected[0]['reason']}" if rejected else ""
        raise CatalogError(f"the folder {str(corpus)!r} holds no piece to search in{why}")
    return Reference(str(corpus), items, rejected)


def named_pieces(source: str | Path):
    """The pieces that a name of the catalog stands for; None if it is a path instead.

    Raises
    ------
    CatalogError
        If it is both, or neither.
    """
    pieces = pieces_named(str(source))
    exists = is_there(source)
    if pieces is not None and exists:
        raise CatalogError(
            f"{str(source)!r} is a name in the catalog and a file here; write ./{source} for the file"
        )
    if pieces is None and not exists and Path(source).name == str(source):
        models = TrainedModel.objects.values_list("name", flat=True)
        generations = Generation.objects.values_list("name", flat=True)
        raise unknown_name(
            "file, model or generation",
            str(source),
            [*models, *generations],
            "make one: python manage.py generate",
        )
    return pieces


def _themselves(subject: Subject, reference: Reference) -> dict[str, list[str]]:
    """Pieces of the corpus itself are not compared with themselves: by the name of each, what it is there."""
    if reference.corpus is None:
        return {}
    own = f"{reference.corpus.name}/"
    return {
        name: [name.removeprefix(own)]
        for name, corpus in subject.from_corpus.items()
        if corpus == reference.corpus.name
    }


def _generation_of(generated: Sequence[str | Path]) -> Generation | None:
    """The one generation that the search is about: named itself, or the only one of a model."""
    if len(generated) != 1:
        return None
    name = str(generated[0])
    generation = Generation.objects.filter(name=name).first()
    if generation is None:
        only = list(Generation.objects.filter(model__name=name)[:2])
        generation = only[0] if len(only) == 1 else None
    return generation


class _Names:
    """Names of files for people: alone where that is enough, else with the folder, else numbered."""

    def __init__(self, paths: Sequence[Path]):
        self.stems = Counter(path.name for path in paths)
        self.taken: set[str] = set()

    def __call__(self, path: Path) -> str:
        alone = self.stems[path.name] == 1
        stem = path.name if alone else f"{path.parent.name}/{path.name}"
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem} ({number})"
        self.taken.add(name)
        return name
