"""A corpus: a named folder of real pieces that models learn from and copies are searched in.

The folder holds ``manifest.json``, which a person can read, and ``pieces/*.mid``, each piece as `music.midi`
writes it. Ticks are those of the source, made finer by a whole factor where a sixteenth or a triplet would
not be whole.

Two pieces are duplicates if the same pitches start at the same times, whatever their velocities, lengths,
instruments and titles: one is kept. Pieces of one work (`music.same_work`: the same tune in another key,
version or harmony) are all kept, as one group: a split (train, validation, test) never tears a group apart,
so what is held out has no known relative among what is learned from. One case remains: a later import may
show two groups to be one work after both have got their splits, which they keep.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from math import gcd
from pathlib import Path

import numpy as np

from music.formats import find_files, music21_files
from music.isolation import read_scores
from music.limits import READ_LIMITS, ReadLimits
from music.midi import read_midi, score_to_midi, write_atomically
from music.note_table import NoteTable, table_reader
from music.same_work import passages, same_works
from music.score import Score, ScoreError
from music.transform import refine

SPLITS = ("train", "validation", "test")
HELD_OUT = Fraction(1, 10)  # share of the groups in each of validation and test
_MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True)
class CorpusPiece:
    """One piece of a corpus, as its manifest lists it."""

    name: str  # unique in the corpus
    file: str  # below the corpus folder
    sha256: str  # of the notes: onsets and pitches; equal for duplicates
    group: str  # equal for pieces of one work
    split: str  # one of SPLITS
    n_notes: int
    n_bars: int
    seconds: float
    title: str  # as the source states it
    source: str  # the file it was read from
    key: str  # the first key that the source states; empty if none
    meter: str  # the one in force for most of the piece
    file_sha256: str  # of the MIDI file


@dataclass(frozen=True)
class Corpus:
    """A corpus on disk: its manifest, read once. The scores are read when asked for."""

    folder: Path
    name: str
    license: str
    seed: int
    pieces: tuple[CorpusPiece, ...]  # by name

    @property
    def sha256(self) -> str:
        """A hash of what models learn from: the MIDI files and which split each is in; names do not count."""
        lines = sorted(f"{piece.file_sha256} {piece.split}" for piece in self.pieces)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def n_notes(self) -> int:
        """Notes of all pieces."""
        return sum(piece.n_notes for piece in self.pieces)

    @property
    def splits(self) -> dict[str, int]:
        """How many pieces each split has."""
        return {split: len(self.pieces_of(split)) for split in SPLITS}

    def pieces_of(self, split: str | None = None) -> list[CorpusPiece]:
        """The pieces of a split, or all, by name.

        Raises
        ------
        ScoreError
            If there is no such split.
        """
        if split is not None and split not in SPLITS:
            raise ScoreError(f"no split is named {split!r}; {', '.join(SPLITS)} are")
        return [piece for piece in self.pieces if split in (None, piece.split)]

    def piece(self, name: str) -> CorpusPiece:
        """The piece of a name; ScoreError if there is none."""
        for piece in self.pieces:
            if piece.name == name:
                return piece
        raise ScoreError(f"corpus {self.name!r} has no piece {name!r}")

    def score(self, piece: CorpusPiece | str) -> Score:
        """The notes of a piece.

        Raises
        ------
        ScoreError
            If the corpus has no such piece, or its file is missing or was changed after the import.
        """
        return read_midi(self._content(self.piece(piece) if isinstance(piece, str) else piece))

    def _content(self, piece: CorpusPiece) -> bytes:
        path = self.folder / piece.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ScoreError(f"piece {piece.name!r} of corpus {self.name!r} is gone: {error}") from None
        if hashlib.sha256(data).hexdigest() != piece.file_sha256:
            raise ScoreError(f"{path} was changed after its import; import the corpus again")
        return data

    def scores(self, split: str | None = None) -> list[Score]:
        """The notes of the pieces of a split, or of all, in the order of `pieces_of`."""
        return [self.score(piece) for piece in self.pieces_of(split)]

    def tables(self, pieces: Sequence[CorpusPiece]) -> Iterator[NoteTable]:
        """The notes of many pieces as columns, read faster than their scores; errors as in `score`."""
        read = table_reader(len(pieces))
        return (read(self._content(piece)) for piece in pieces)


@dataclass(frozen=True)
class CorpusReport:
    """What an import made of what it found: found = imported + already there + duplicates + rejected."""

    corpus: Corpus
    n_found: int  # pieces in the files; an ABC file may hold many
    n_new: int  # pieces that the corpus did not have before
    n_known: int  # pieces that it had, from this source or another
    duplicates: list[tuple[str, str]]  # (file, name of the equal piece that was kept)
    rejected: list[dict[str, str]]  # {"file", "reason"}

    def to_json(self) -> dict:
        """The keys of `import_corpus --json`."""
        return {
            "corpus": self.corpus.name,
            "pieces": len(self.corpus.pieces),
            "notes": self.corpus.n_notes,
            "splits": self.corpus.splits,
            "duplicates": [list(pair) for pair in self.duplicates],
            "rejected": self.rejected,
            "found": self.n_found,
            "new": self.n_new,
            "known": self.n_known,
            "sha256": self.corpus.sha256,
            "folder": str(self.corpus.folder),
        }


Progress = Callable[[int, int, str], None]


def create_corpus(
    folder: str | Path,
    name: str,
    sources: Sequence[str | Path],
    *,
    license: str = "",
    seed: int = 0,
    progress: Progress | None = None,
    limits: ReadLimits = READ_LIMITS,
    timeout_seconds: float = 30.0,
    workers: int | None = None,
) -> CorpusReport:
    """Import files, folders and ``music21:COMPOSER`` into a corpus, or into more of an existing one.

    Files are parsed in worker processes. Each of test and validation gets a tenth of the groups, at least one
    from three groups on, drawn by a hash of `seed` and the notes of the group's first piece. Pieces that the
    corpus has keep their split. The same sources and seed give the same corpus and the same `sha256`; an
    import that is broken off leaves the corpus as it was.

    Parameters
    ----------
    folder : str or Path
        Where the corpus is or will be.
    sources : sequence of str or Path
        As `formats.find_files` takes them.
    license : str
        Under which the music came, in words; an existing one stays unless another is given.
    seed : int
        Of the draw of the held-out groups; stored with the corpus.
    progress : callable, optional
        Called with (pieces read, files to read, name of the file) after each piece.
    limits, timeout_seconds, workers
        As for `isolation.read_scores`.

    Raises
    ------
    ScoreError
        If a source does not exist, nothing readable is found, not one piece could be read, the folder holds
        files that are no corpus, or the corpus in it is damaged.
    """
    folder = Path(folder)
    known = _existing(folder)
    files = find_files(sources)
    if not files:
        raise ScoreError(
            f"no readable files in {', '.join(str(source) for source in sources) or 'no sources'}"
        )
    labels = _labels(files, sources)
    kept = {piece.sha256: piece for piece in known.pieces} if known else {}
    taken = {piece.name for piece in kept.values()}
    new: list[CorpusPiece] = []
    new_passages: list[np.ndarray] = []
    seen: dict[str, str] = {}  # hash of the notes -> the name under which this import met it first
    duplicates: list[tuple[str, str]] = []
    rejected: list[dict[str, str]] = []
    n_found = n_known = 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        (staging / "pieces").mkdir()
        read = read_scores(files, limits=limits, timeout_seconds=timeout_seconds, workers=workers)
        for path, result in read:
            n_found += 1
            if progress is not None:
                progress(n_found, max(n_found, len(files)), labels[path])
            if isinstance(result, ScoreError):
                rejected.append({"file": labels[path], "reason": str(result)})
                continue
            score = refine(result)
            digest = notes_sha256(score)
            if digest in seen:
                duplicates.append((labels[path], seen[digest]))
                continue
            if digest in kept:
                n_known += 1
                seen[digest] = kept[digest].name
                continue
            piece_name = _free_name(path.stem, taken)
            seen[digest] = piece_name
            taken.add(piece_name)
            new.append(_store(score, piece_name, digest, labels[path], staging))
            new_passages.append(passages(score))
        if not new and not kept:
            reasons = "; ".join(f"{entry['file']}: {entry['reason']}" for entry in rejected[:3])
            raise ScoreError(f"none of the {n_found} files could be read: {reasons}")
        new = _grouped(known, new, new_passages)
        pieces = sorted(_split(list(kept.values()), new, seed), key=lambda piece: piece.name)
        corpus = Corpus(
            folder=folder,
            name=name,
            license=license or (known.license if known else ""),
            seed=seed,
            pieces=tuple(pieces),
        )
        _publish(corpus, staging, is_new=known is None)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return CorpusReport(corpus, n_found, len(new), n_known, duplicates, rejected)


def open_corpus(folder: str | Path) -> Corpus:
    """The corpus in a folder.

    Raises
    ------
    ScoreError
        If there is none, or its manifest is damaged or of a newer program.
    """
    folder = Path(folder)
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ScoreError(f"there is no corpus in {str(folder)!r}: it has no {_MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise ScoreError(f"{path} cannot be read: {error}") from None
    try:
        if manifest["format"] != _FORMAT:
            raise ScoreError(f"{path} is of format {manifest['format']}; this program reads {_FORMAT}")
        columns = {column.name for column in fields(CorpusPiece)}
        pieces = [
            CorpusPiece(**{key: value for key, value in entry.items() if key in columns})
            for entry in manifest["pieces"]
        ]
        for piece in pieces:
            inside = Path(piece.file)
            if inside.is_absolute() or ".." in inside.parts or piece.split not in SPLITS:
                raise ScoreError(f"{path} lists a piece {piece.name!r} that no import makes")
        return Corpus(folder, manifest["name"], manifest["license"], manifest["seed"], tuple(pieces))
    except (KeyError, TypeError, AttributeError) as error:
        raise ScoreError(f"{path} is no manifest of a corpus: {type(error).__name__} {error}") from None


def notes_sha256(score: Score) -> str:
    """A hash of what starts when: the set of (onset in beats, pitch, drum or not), in any ticks per beat."""
    return _hash_units(score, 0)


def group_sha256(score: Score) -> str:
    """A hash equal for all transpositions of a piece: `notes_sha256` with pitches counted from the lowest."""
    lowest = min((note.pitch for note in score.notes(drums=False)), default=0)
    return _hash_units(score, lowest)


def _hash_units(score: Score, lowest: int) -> str:
    units = {
        (note.onset, note.pitch if track.is_drum else note.pitch - lowest, track.is_drum)
        for track in score.tracks
        for note in track.notes
    }
    # In the coarsest ticks that are still whole, so that files with other ticks per beat agree.
    divisor = gcd(score.ticks_per_beat, *(onset for onset, _, _ in units))
    lines = [f"{score.ticks_per_beat // divisor}"]
    lines += [f"{onset // divisor} {pitch} {int(is_drum)}" for onset, pitch, is_drum in sorted(units)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# ---- the steps of an import


def _existing(folder: Path) -> Corpus | None:
    if (folder / _MANIFEST).exists():
        return open_corpus(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ScoreError(f"{str(folder)!r} holds files but no corpus; name an empty or new folder")
    return None


def _labels(files: Sequence[Path], sources: Iterable[str | Path]) -> dict[Path, str]:
    """How reports name a file: from the source it was found in, not from the root of the disk."""
    labels = {}
    roots = [Path(source).expanduser() for source in sources]
    inside_music21 = {
        file: f"{source}/{file.name}"
        for source in sources
        if str(source).startswith("music21:")
        for file in music21_files(str(source))
    }
    for file in files:
        if file in inside_music21:
            composer = str(inside_music21[file]).removeprefix("music21:").split("/")[0]
            labels[file] = f"music21:{composer}/{file.name}"
            continue
        labels[file] = _utf8(file)
        for root in roots:
            if root != file and file.is_relative_to(root):
                labels[file] = _utf8(Path(root.name or root) / file.relative_to(root))
                break
    return labels


def _utf8(path: Path) -> str:
    """A path as text that a manifest can hold; bytes that are no UTF-8 become question marks."""
    return str(path).encode("utf-8", errors="replace").decode()


def _free_name(stem: str, taken: set[str]) -> str:
    """A name for a piece: letters, digits, dots and dashes, and a number where it is taken."""
    base = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:80] or "piece"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _store(score: Score, name: str, digest: str, source: str, staging: Path) -> CorpusPiece:
    data = score_to_midi(score)
    file_digest = hashlib.sha256(data).hexdigest()
    # The hash in the name keeps two imports at once from writing over each other.
    file = f"pieces/{name}-{file_digest[:8]}.mid"
    (staging / file).write_bytes(data)
    meter = score.main_meter
    return CorpusPiece(
        name=name,
        file=file,
        sha256=digest,
        group=group_sha256(score),
        split="train",
        n_notes=score.n_notes,
        n_bars=score.n_bars,
        seconds=round(score.duration_seconds, 3),
        title=score.title,
        source=source,
        key=score.keys[0].name if score.keys else "",
        meter=f"{meter.numerator}/{meter.denominator}",
        file_sha256=file_digest,
    )


def _grouped(
    known: Corpus | None, new: Sequence[CorpusPiece], new_passages: Sequence[np.ndarray]
) -> list[CorpusPiece]:
    """The new pieces in the groups of their works: those that the corpus has, or new ones."""
    if not new:
        return []
    old = known.pieces if known else ()
    melodies = [*(passages(known.score(piece)) for piece in old), *new_passages]
    groups = [piece.group for piece in (*old, *new)]
    leaders = list(range(len(groups)))  # of each piece, one of its work: a union-find forest

    def leader(piece: int) -> int:
        while leaders[piece] != piece:
            leaders[piece] = piece = leaders[leaders[piece]]
        return piece

    first_of = {}
    equal = [(first_of.setdefault(group, place), place) for place, group in enumerate(groups)]
    for first, second in (*equal, *same_works(melodies)):
        # The earlier leads. Groups that the corpus has stay as they are, even where a new piece joins them.
        low, high = sorted((leader(first), leader(second)))
        if low != high and high >= len(old):
            leaders[high] = low
    return [replace(piece, group=groups[leader(place)]) for place, piece in enumerate(new, start=len(old))]


def _split(known: Sequence[CorpusPiece], new: Sequence[CorpusPiece], seed: int) -> list[CorpusPiece]:
    """Give the new pieces a split: that of their group, else the one that is short of its tenth."""
    splits = {piece.group: piece.split for piece in known}
    fresh = sorted(
        {piece.group for piece in new} - set(splits),
        key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).hexdigest(),
    )
    n_groups = len(splits) + len(fresh)
    wanted = max(1, round(n_groups * HELD_OUT)) if n_groups >= 3 else 0
    for split in ("test", "validation"):
        missing = max(0, wanted - sum(value == split for value in splits.values()))
        splits |= dict.fromkeys(fresh[:missing], split)
        fresh = fresh[missing:]
    splits |= dict.fromkeys(fresh, "train")
    return [*known, *(replace(piece, split=splits[piece.group]) for piece in new)]


def _publish(corpus: Corpus, staging: Path, *, is_new: bool) -> None:
    """Make the corpus appear: a new folder in one step, an existing one by replacing its manifest."""
    manifest = {
        "format": _FORMAT,
        "name": corpus.name,
        "license": corpus.license,
        "seed": corpus.seed,
        "sha256": corpus.sha256,
        "splits": corpus.splits,
        "notes": corpus.n_notes,
        "pieces": [asdict(piece) for piece in corpus.pieces],
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    if is_new:
        (staging / _MANIFEST).write_text(text, encoding="utf-8")
        os.chmod(staging, 0o755)  # noqa: S103 - mkdtemp makes it private; music is no secret
        if corpus.folder.exists():  # empty, as was checked
            corpus.folder.rmdir()
        os.rename(staging, corpus.folder)
        return
    for file in (staging / "pieces").iterdir():
        os.replace(file, corpus.folder / "pieces" / file.name)
    write_atomically(corpus.folder / _MANIFEST, text.encode())
