"""A `NoteIndex` as a folder of files, which only ever grows; `analysis.plagiarism.index` says what it holds.

Files are named after their content and never change. ``meta.json`` names those that are in force and is
replaced in one step, after everything that it names is written; what it no longer names is removed last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import AnalysisError
from analysis.plagiarism.extraction import PieceUnits, rows_per_pitch
from analysis.plagiarism.packing import Chunk

if TYPE_CHECKING:
    from analysis.plagiarism.index import NoteIndex

FORMAT = 1
_META = "meta.json"
_DAMAGE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError)


def write(index: NoteIndex, folder: Path) -> Path:
    """Bring a folder up to an index; see `NoteIndex.save`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        chunks = [_write_chunk(index, chunk, folder) for chunk in index.chunks]
        lines = [
            {"names": piece.names, "places": piece.places, "groups": sorted(piece.groups)}
            for piece in index.pieces
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        pieces = f"pieces-{_hash(text.encode())}.jsonl"
        _replace(folder / pieces, text)
        meta = {
            "format": FORMAT,
            "unit": index.unit,
            "steps_per_beat": index.steps_per_beat,
            "window_steps": index.window_steps,
            "words": index.layout.words,
            "chunk_columns": index.layout.chunk_columns,
            "n_given": index.n_given,
            "pieces": pieces,
            "chunks": chunks,
        }
        _replace(folder / _META, json.dumps(meta, indent=1) + "\n")
        _remove_others(folder, {_META, pieces, *(chunk["folder"] for chunk in chunks)})
    except OSError as error:
        raise AnalysisError(f"the index cannot be written to {str(folder)!r}: {error}") from None
    return folder


def read(kind: type[NoteIndex], folder: Path) -> NoteIndex:
    """The index of a folder, its packed rows mapped into memory; see `NoteIndex.open`."""
    from analysis.plagiarism.index import IndexedPiece, Layout

    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnalysisError(f"{str(folder)!r} holds no index: it has no {_META}") from None
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{str(folder / _META)!r} cannot be read: {error}") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise AnalysisError(
            f"the index in {str(folder)!r} is not of format {FORMAT}, the one that is read; build it again"
        )
    try:
        lines = [json.loads(line) for line in (folder / meta["pieces"]).open(encoding="utf-8")]
        chunks, pieces = [], []
        for entry in meta["chunks"]:
            chunk, units = _read_chunk(folder / entry["folder"], entry["first_piece"], meta["unit"])
            chunks.append(chunk)
            own_lines = lines[entry["first_piece"] : entry["first_piece"] + chunk.n_pieces]
            for line, own in zip(own_lines, units, strict=True):
                names, places = tuple(line["names"]), tuple(line["places"])
                pieces.append(
                    IndexedPiece(replace(own, name=names[0]), names, places, frozenset(line["groups"]))
                )
        if len(pieces) != len(lines):
            raise ValueError(f"{len(lines)} pieces are named, {len(pieces)} are there")
        layout = Layout(meta["words"], meta["chunk_columns"])
        grid = meta["unit"], meta["window_steps"], meta["steps_per_beat"], meta["n_given"]
        return kind(tuple(pieces), tuple(chunks), *grid, layout)
    except _DAMAGE as error:
        raise AnalysisError(f"the index in {str(folder)!r} is damaged ({error}); build it again") from None


def _write_chunk(index: NoteIndex, chunk: Chunk, folder: Path) -> dict:
    """Write a chunk unless the folder has it; its entry in the list of chunks."""
    pieces = [piece.units for piece in index.pieces[chunk.first_piece : chunk.first_piece + chunk.n_pieces]]
    arrays = {
        "packed": chunk.rows,
        "row_index": chunk.row_index,
        "regions": chunk.regions,
        "steps": np.concatenate([piece.steps for piece in pieces]).astype(np.int32),
        "rows": np.concatenate([piece.rows for piece in pieces]).astype(np.int16),
        "bars": np.array([step for piece in pieces for step in piece.bar_steps], dtype=np.int32),
        "sizes": np.array([(piece.n_steps, piece.n_units, len(piece.bar_steps)) for piece in pieces]),
    }
    content = hashlib.sha256()
    for name, array in arrays.items():
        if name != "packed":  # which follows from the others
            content.update(name.encode() + str(array.shape).encode() + array.tobytes())
    content.update(f"{chunk.gap} {chunk.words}".encode())
    name = f"chunk-{content.hexdigest()[:24]}"
    if not (folder / name).is_dir():
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}."))
        try:
            for array_name, array in arrays.items():
                np.save(temporary / f"{array_name}.npy", array)
            temporary.chmod(0o755)
            os.replace(temporary, folder / name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return {"folder": name, "first_piece": chunk.first_piece}


def _read_chunk(folder: Path, first_piece: int, unit: str) -> tuple[Chunk, Iterator[PieceUnits]]:
    """A chunk and its pieces."""
    names = ("packed", "row_index", "regions", "steps", "rows", "bars", "sizes")
    # Mapped so that a write would stay private: code compiled for arrays that may be written serves both.
    arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in names}
    regions, packed, sizes = arrays["regions"], arrays["packed"], arrays["sizes"]
    gap = int(regions[1] - regions[0] - sizes[0, 0])
    ends = sizes.sum(axis=0)
    fits = (
        packed.ndim == 3
        and packed.dtype == np.uint64
        and (packed.shape[1] - gap) * packed.shape[2] * 64 >= regions[-1]
        and packed.shape[0] == arrays["row_index"].max() + 1
        and np.array_equal(np.diff(regions), sizes[:, 0] + gap)
        and (len(arrays["steps"]), len(arrays["bars"])) == (ends[1], ends[2])
        and len(arrays["rows"]) == ends[1]
    )
    if not fits:
        raise ValueError(f"the arrays of {folder.name} do not fit together")
    chunk = Chunk(first_piece, regions, gap, packed, np.array(arrays["row_index"]))
    return chunk, _units(arrays, rows_per_pitch(unit))


def _units(arrays: dict[str, np.ndarray], rows_of_pitch: int) -> Iterator[PieceUnits]:
    """The pieces of a chunk, still without names."""
    bars = arrays["bars"].tolist()
    unit = bar = 0
    for n_steps, n_units, n_bars in arrays["sizes"].tolist():
        steps, rows = arrays["steps"][unit : unit + n_units], arrays["rows"][unit : unit + n_units]
        lines = tuple(bars[bar : bar + n_bars])
        yield PieceUnits(steps, rows, n_steps, lines, rows_per_pitch=rows_of_pitch)
        unit, bar = unit + n_units, bar + n_bars


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def _replace(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove the files of earlier states; those who have them open keep them."""
    for path in folder.iterdir():
        if path.name not in kept and path.name.startswith(("chunk-", "pieces-", ".chunk-", ".pieces-")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
