"""Files of the catalog: written whole or not at all, one writer at a time, named relative to the data folder.

Files are written before the rows that name them. A process that dies in between leaves files that no row
names, which the next run replaces, and never a row without its file.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from studies.catalog.errors import CatalogError

_DRAFT = ".draft-"
_ABANDONED_SECONDS = 24 * 3600  # a draft of yesterday belongs to a process that died


def within_home(path: Path) -> str:
    """A path as the rows keep it: relative to the data folder, so that the folder can move."""
    return path.resolve().relative_to(settings.HOME.resolve()).as_posix()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` at the end; on any error nothing is left of it.

    A `target` that exists is replaced. Drafts that dead processes left beside it are cleared away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.glob(f"{_DRAFT}*"):
        if time.time() - old.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    draft = target.parent / f"{_DRAFT}{secrets.token_hex(8)}"
    draft.mkdir()
    try:
        yield draft
        if target.exists():
            shutil.rmtree(target)
        os.rename(draft, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def only_one(name: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock that one process at a time can have; it ends with the process, however that dies.

    Raises
    ------
    CatalogError
        If another process holds it and `wait` is False.
    """
    folder = settings.HOME / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CatalogError(
                f"another process is working on {name}; wait until it ends, or end it"
            ) from None
        yield


def is_there(path: str | Path) -> bool:
    """Whether a path that somebody typed names a file or folder; "" and what no file can be named do not."""
    try:
        return str(path) != "" and Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, the home of nobody, a null character
        return False


def n_passed_over(sources: Iterable[str | Path], taken: Iterable[Path]) -> int:
    """How many files in the folders among the sources are not taken; hidden ones do not count.

    A link to nowhere counts: whoever made it meant a file.
    """
    taken, passed_over = set(taken), set()
    for source in sources:
        for place, folders, files in os.walk(Path(source).expanduser()):
            folders[:] = [name for name in folders if not name.startswith(".")]
            passed_over.update(Path(place, name) for name in files if not name.startswith("."))
    return len(passed_over - taken)


def writable_folder(folder: str | Path) -> Path:
    """A folder for output, made if need be.

    Raises
    ------
    CatalogError
        If it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(f"cannot make the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CatalogError(f"cannot write to the folder {folder}: permission denied")
    return folder


def write_text(path: str | Path, text: str) -> Path:
    """Write a file that a person asked for, whole or not at all.

    Raises
    ------
    CatalogError
        If it cannot be written.
    """
    from music.midi import write_atomically

    path = Path(path)
    writable_folder(path.parent)
    try:
        return write_atomically(path, text.encode())
    except OSError as error:
        raise CatalogError(f"cannot write {path}: {error.strerror}") from None


def copy_file(source: Path, target: Path) -> Path:
    """Copy a file, whole or not at all.

    Raises
    ------
    CatalogError
        If it cannot be read or written.
    """
    draft = target.with_name(f"{_DRAFT}{secrets.token_hex(8)}")
    try:
        shutil.copyfile(source, draft)
        os.replace(draft, target)
    except OSError as error:
        raise CatalogError(f"cannot copy {source} to {target}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes.

    Raises
    ------
    CatalogError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CatalogError(f"cannot read {path}: {error.strerror}") from None


def _sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
