"""Piano rolls of pieces as SVG, drawn once and kept by the hash of the piece's notes."""

import os
import tempfile
from pathlib import Path

from django.conf import settings

from studies.catalog.models import Piece

#: Counts up when a drawing of the same notes would look different.
DRAWING = 1
SIZES = {"small": (320, 96), "wide": (960, 200)}


def roll_path(piece: Piece, size: str) -> Path:
    """Where the drawing of a piece is kept."""
    return settings.HOME / "cache" / "rolls" / f"{piece.sha256}-{size}-{DRAWING}.svg"


def roll_of(piece: Piece, *, size: str = "small") -> str:
    """The piano roll of a piece as SVG.

    Raises
    ------
    MusicError
        If its MIDI file is gone or cannot be read.
    """
    path = roll_path(piece, size)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _keep(path, _draw(piece, *SIZES[size]))


def _draw(piece: Piece, width: int, height: int) -> str:
    from music.drawing import pianoroll_svg
    from studies.catalog.selectors import score_of

    return pianoroll_svg(score_of(piece), width=width, height=height, title="Piano roll")


def _keep(path: Path, svg: str) -> str:
    """Write a drawing whole or not at all: another request may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(svg)
    os.replace(draft, path)
    return svg
