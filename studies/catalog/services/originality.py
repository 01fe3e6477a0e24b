"""What did pieces copy from a corpus? Joins the catalog, or anybody's files, with the plagiarism measures."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.models import Generation, OriginalityReport, TrainedModel
from studies.catalog.naming import unknown_name
from studies.catalog.selectors import pieces_named, score_of
from studies.catalog.services.references import (
    FileNames,
    ReferencePieces,
    check_reference,
    read_reference,
)
from studies.catalog.storage import is_there

if TYPE_CHECKING:
    from analysis.plagiarism.settings import Settings

#: What a piece that is of the corpus itself is not compared with: itself, its whole work, or nothing.
EXCLUSIONS = ("self", "work", "nothing")

#: Of the sounds inside a page: so long at most, with so much after the last note, and so small.
MOST_SECONDS, TAIL_SECONDS, MP3_KBPS = 20.0, 1.0, 48


@dataclass(frozen=True)
class Subject:
    """The pieces that are searched."""

    name: str
    pieces: list[tuple[str, Score]]
    rejected: list[dict[str, str]]
    generation: Generation | None = None
    from_corpus: dict[str, str] = field(default_factory=dict)  # pieces of corpora: piece -> corpus
    files: dict[str, tuple[Path, int]] = field(default_factory=dict)  # of pieces in files, and which one


@dataclass(frozen=True)
class Search:
    """A search and its result, for the pages and files that show it."""

    subject: Subject
    reference: ReferencePieces
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
    exclude: str | None = None,
    workers: int | None = None,
    journal: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **more: Any,
) -> Search:
    """Search a corpus for what pieces share with it; the report is kept if the corpus is of the catalog.

    Parameters
    ----------
    generated : str, Path, or sequence of them
        Names of models, generations or imports, files, folders.
    corpus : str or Path
        The name of a corpus, a model, a generation or an import, or a folder of scores.
    unit, transpose, top, only, and more
        As in `analysis.plagiarism.report.Settings`.
    exclude : str, optional
        One of `EXCLUSIONS`: what a piece that is of the corpus itself is not compared with. By default
        itself, if it is named as a piece of the catalog; nothing if it is given as a file.
    workers : int, optional
        Threads that search; by default one per core.
    journal : Path, optional
        Where what is found is kept as it is found; by default in the data folder until the search ends. The
        same search goes on from there after a kill.

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
    if exclude not in (None, *EXCLUSIONS):
        raise CatalogError(f"exclude must be one of {', '.join(EXCLUSIONS)}, got {exclude!r}")
    generated = [generated] if isinstance(generated, str | Path) else generated
    _check_names(generated, corpus)
    from analysis.plagiarism.report import originality  # slow to import: what can be refused was refused

    subject, reference = read_subject(generated), read_reference(corpus)
    kept = journal or _journal_of(subject, reference, rules)
    result = originality(
        subject.pieces,
        reference.pieces,
        settings=rules,
        exclude=_themselves(subject, reference, exclude),
        journal=kept,
        workers=workers,
        progress=progress,
    )
    result["settings"]["exclude"] = exclude
    result["left_out"] = {"generated": subject.rejected, "corpus": reference.rejected}
    report = None
    if reference.corpus is not None:
        report = OriginalityReport.objects.create(
            subject=subject.name[:200],
            generation=subject.generation,
            corpus=reference.corpus,
            corpus_sha256=reference.sha256,
            result=result,
        )
    if journal is None:
        kept.unlink(missing_ok=True)
    return Search(subject, reference, result, report)


def excerpt_sound(excerpt: Score) -> bytes | None:
    """A short score as a small MP3 file, for a page that holds it; None if it cannot be played."""
    import io

    import soundfile

    from music.rendering import SAMPLE_RATE, render_excerpt

    seconds = min(max(excerpt.duration_seconds + TAIL_SECONDS, 1.0), MOST_SECONDS)
    try:
        audio = render_excerpt(excerpt, seconds=seconds, fade_out_ms=500, pad=True)
    except MusicError:
        return None
    file = io.BytesIO()
    mono = audio.samples.mean(axis=1)
    level = (320 - MP3_KBPS) / (320 - 32)  # libsndfile maps 0 to 320 kbit/s and 1 to 32 kbit/s
    form = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    soundfile.write(file, mono, SAMPLE_RATE, compression_level=level, **form)
    return file.getvalue()


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
    check_reference(corpus)


def _journal_of(subject: Subject, reference: ReferencePieces, rules: "Settings") -> Path:
    """Where a search is kept that is written to no file: at one place for one command."""
    words = repr((subject.name, reference.name, rules)).encode()
    return settings.HOME / "cache" / "originality" / f"search-{hashlib.sha256(words).hexdigest()[:20]}.jsonl"


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
    files: dict[str, tuple[Path, int]] = {}
    n_read: Counter[Path] = Counter()
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
    short = FileNames(paths)
    for path, score in read_scores(paths):
        if isinstance(score, MusicError):
            rejected.append({"file": str(path), "reason": " ".join(str(score).split())})
        else:
            pieces.append((short(path), score))
            files[pieces[-1][0]] = path, n_read[path]
            n_read[path] += 1
    name = ", ".join(map(str, generated))
    if not pieces:
        why = f"; the first refusal: {rejected[0]['file']}: {rejected[0]['reason']}" if rejected else ""
        raise CatalogError(f"there is no piece with notes in {name}{why}")
    return Subject(name, pieces, rejected, _generation_of(generated), from_corpus, files)


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


def _themselves(subject: Subject, reference: ReferencePieces, exclude: str | None) -> dict[str, list[str]]:
    """What pieces that are of the corpus are not compared with, by the name of each.

    A piece is of the corpus if it is the same piece of the catalog, or the same file.
    """
    if exclude == "nothing":
        return {}
    items = reference.items
    own = f"{reference.corpus.name}/" if reference.corpus else ""
    left_out = {
        name: [name.removeprefix(own)]
        for name, corpus in subject.from_corpus.items()
        if own and corpus == reference.corpus.name
    }
    if exclude and reference.corpus is None:
        of_catalog = {item.name for item in items} - subject.files.keys()
        left_out |= {name: [name] for name, _ in subject.pieces if name in of_catalog}
    for name, (path, number) in subject.files.items() if exclude else ():
        if path.resolve() in reference.places:
            left_out[name] = [items[reference.places[path.resolve()][number]].name]
    if exclude == "work":
        groups = {item.name: item.group for item in items}
        for names in left_out.values():
            names += sorted({groups.get(each, "") for each in names} - {""})
    return left_out


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
