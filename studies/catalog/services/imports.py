"""Somebody else's pieces, as scores or as recordings, into the catalog under the name of a condition."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from music.formats import READABLE_SUFFIXES
from music.midi import write_midi
from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.facts import facts_of
from studies.catalog.models import Origin, Piece
from studies.catalog.naming import checked_license, checked_name, free_name, printable
from studies.catalog.selectors import pieces_named
from studies.catalog.storage import copy_file, file_sha256, n_passed_over, only_one, within_home

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".aif", ".aiff")


def import_pieces(
    *,
    condition: str,
    sources: Sequence[str],
    license: str = "",
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Copy MIDI or audio into the data folder and list it; returns the document of ``import_pieces --json``.

    Scores are read in any readable format, with the sustain pedal folded into the durations, and kept as
    MIDI. Recordings are kept as they are. Importing again adds what is new; what is there already, by its
    content, is named as a duplicate.

    Raises
    ------
    CatalogError
        If the name cannot stand or belongs to something else, or all files were refused.
    ScoreError
        If a source does not exist.
    """
    from music.isolation import read_scores

    checked_name("condition", condition)
    checked_license(license)
    paths = find_pieces(sources)
    if not paths:
        raise CatalogError(
            f"nothing to import: {', '.join(map(str, sources))} holds no MIDI, score or audio file"
        )
    with only_one(f"import-{condition}"):
        _refuse_taken_name(condition)
        taker = _Taker(condition, license)
        audio = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
        scores = [path for path in paths if path.suffix.lower() not in AUDIO_SUFFIXES]
        numbers = {path: number for number, path in enumerate([*scores, *audio], start=1)}
        for path, score in read_scores(scores, fold_pedal=True):  # a file of many tunes comes once for each
            taker.take(path, lambda path=path, score=score: taker.take_score(path, score))
            if progress:
                progress(numbers[path], len(paths), path.name)
        for path in audio:
            taker.take(path, lambda path=path: taker.take_audio(path))
            if progress:
                progress(numbers[path], len(paths), path.name)
    if not taker.pieces and not taker.duplicates:
        first = taker.rejected[0]
        raise CatalogError(
            f"nothing to import: all {len(taker.rejected)} files were refused, "
            f"the first, {first['file']}, because {first['reason']}"
        )
    return {
        "condition": condition,
        "pieces": taker.pieces,
        "duplicates": taker.duplicates,
        "rejected": taker.rejected,
        "ignored": n_passed_over(sources, paths),
        "path": str(taker.folder),
    }


def find_pieces(sources: Iterable[str | Path]) -> list[Path]:
    """The scores and recordings among files and folders, sorted within each source, none twice."""
    from music.formats import find_files

    found: dict[Path, None] = {}
    for source in sources:
        found.update(dict.fromkeys(find_files([source])))
        folder = Path(source).expanduser()
        if folder.is_dir():
            inside = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
            visible = (
                path
                for path in inside
                if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            )
            found.update(dict.fromkeys(sorted(visible)))
    return list(found)


def _refuse_taken_name(condition: str) -> None:
    pieces = pieces_named(condition)
    if pieces is not None and pieces.exclude(origin=Origin.IMPORT).exists():
        raise CatalogError(f"{condition!r} is a corpus, model or generation already; choose another name")


class _Taker:
    """Takes files one by one into a collection, and remembers what became of each."""

    def __init__(self, condition: str, license: str):
        self.condition, self.license = condition, license
        self.folder = settings.PIECES_ROOT / "imports" / condition
        rows = Piece.objects.filter(origin=Origin.IMPORT, collection=condition).values_list("sha256", "name")
        self.names: dict[str, str] = dict(rows)
        self.pieces: list[dict[str, Any]] = []
        self.duplicates: list[list[str]] = []
        self.rejected: list[dict[str, str]] = []

    def take(self, path: Path, take_it: Callable[[], None]) -> None:
        """Take a file, or note why it was refused."""
        try:
            take_it()
        except (MusicError, CatalogError) as error:
            self.rejected.append({"file": str(path), "reason": " ".join(str(error).split())})

    def take_score(self, path: Path, score: Score | MusicError) -> None:
        """Keep a score as MIDI."""
        if path.suffix.lower() not in READABLE_SUFFIXES and isinstance(score, MusicError):
            scores, recordings = ", ".join(READABLE_SUFFIXES), ", ".join(AUDIO_SUFFIXES)
            raise CatalogError(f"it is no score ({scores}) and no recording ({recordings})")
        if isinstance(score, MusicError):
            raise score
        facts = facts_of(score)
        self._keep(path, "midi_path", ".mid", facts, lambda target: write_midi(score, target))

    def take_audio(self, path: Path) -> None:
        """Keep a recording as it is, once it is known to be one."""
        from music.rendering import recording_seconds

        facts = {"seconds": recording_seconds(path), "sha256": file_sha256(path)}
        self._keep(path, "audio_path", path.suffix.lower(), facts, lambda target: copy_file(path, target))

    def _keep(
        self, path: Path, column: str, suffix: str, facts: dict[str, Any], write: Callable[[Path], Any]
    ) -> None:
        sha256 = facts["sha256"]
        if sha256 in self.names:
            self.duplicates.append([str(path), self.names[sha256]])
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{sha256}{suffix}"
        write(target)
        name = free_name(printable(path.stem), self.names.values())
        key = {"origin": Origin.IMPORT, "collection": self.condition, "name": name}
        columns = {
            column: within_home(target),
            "source": printable(str(path)),
            "license": self.license,
            **facts,
        }
        try:
            with transaction.atomic():
                piece = Piece.objects.create(**key, **columns)
        except IntegrityError:
            raise CatalogError(
                f"another process took the name {name!r} in {self.condition!r}; import again"
            ) from None
        self.names[sha256] = name
        self.pieces.append(
            {
                "piece": f"{self.condition}/{name}",
                "file": str(target),
                "notes": piece.n_notes if column == "midi_path" else None,
                "seconds": piece.seconds,
            }
        )
