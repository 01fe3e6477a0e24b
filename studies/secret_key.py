"""The signing key of this installation: made on the first run, kept in the data folder, shown to nobody."""

import os
import secrets
from pathlib import Path


class DataFolderError(Exception):
    """The data folder cannot be made or written to; the message names it and the variable that chooses it."""


def data_folder_error(folder: Path, reason: str) -> DataFolderError:
    """The error for a data folder that is of no use."""
    return DataFolderError(
        f"the data folder {folder} cannot be written to ({reason}); "
        "make it writable, or name another in EARWITNESS_HOME"
    )


def made_data_folder(folder: Path) -> Path:
    """The folder that holds everything, made if need be.

    Raises
    ------
    DataFolderError
        If it cannot be made, or this user cannot write into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise data_folder_error(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise data_folder_error(folder, "Permission denied")
    return folder


def read_or_make_secret_key(folder: Path) -> str:
    """The key in ``folder/secret_key``; a new random one, readable by its owner alone, on the first run.

    Two processes that start at once agree on one key: the file appears whole, or not at all.

    Raises
    ------
    DataFolderError
        If the file cannot be read or made.
    """
    try:
        return _read_or_make(folder / "secret_key", folder)
    except OSError as error:
        raise data_folder_error(folder, f"secret_key: {error.strerror or error}") from None


def _read_or_make(path: Path, folder: Path) -> str:
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".secret_key.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails if another process was first: its key stands
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()
