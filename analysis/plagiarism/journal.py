"""What a long search has found so far, on disk: after a kill the same search goes on where it was.

A journal is a JSONL file. Its first line is the search itself (settings, corpus, pieces), each further one
an answer: for a key, what was found; the last one says that the search has ended. A journal of another
search, or of one that has ended, is begun anew. A line that a kill cut short is taken off. Numbers come back
as they were written, to the last bit, so that a search that was cut off ends with the same result as one that
was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

_BEGINNING = b'{"search": '
_ENDED = b'{"ended": true}\n'


class Journal:
    """Answers by key. Without a path they are kept in memory alone.

    Parameters
    ----------
    path : Path, optional
        The file; it is made, with its folder, if need be.
    search : mapping
        All that the answers depend on, fit for JSON: another search shares no answer with this one.

    Raises
    ------
    AnalysisError
        If the file cannot be read or written, or is none of this kind.
    """

    def __init__(self, path: Path | None = None, search: Mapping[str, Any] | None = None):
        self.path = path
        self.answers: dict[str, Any] = {}
        self._file = None
        if path is None:
            return
        header = _line({"search": search or {}})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            n_kept = self._read(header) if path.exists() else 0
            self._file = path.open("r+b" if n_kept else "wb")
            self._file.truncate(n_kept)
            self._file.seek(n_kept)
            if not n_kept:
                self._write(header)
        except OSError as error:
            raise AnalysisError(f"the journal {str(path)!r} cannot be kept: {error.strerror}") from None

    def _read(self, header: bytes) -> int:
        """Take up the answers of the file; how many of its bytes are whole lines of this search."""
        with self.path.open("rb") as file:
            first = file.readline()
            if first and not header.startswith(first) and not first.startswith(_BEGINNING):
                raise AnalysisError(f"{str(self.path)!r} is there and keeps no search; move it away")
            if first != header:
                return 0
            n_kept = len(header)
            for line in file:
                if line == _ENDED:
                    self.answers = {}
                    return 0
                try:
                    answer = json.loads(line) if line.endswith(b"\n") else None
                    self.answers[answer["key"]] = answer["found"]
                except (ValueError, TypeError, KeyError):
                    break
                n_kept += len(line)
        return n_kept

    def finish(self) -> None:
        """Say that the search has ended, and close the file; the answers stay."""
        if self._file:
            self._write(_ENDED)
            self._file.close()
            self._file = None

    def __contains__(self, key: str) -> bool:
        return key in self.answers

    def __getitem__(self, key: str) -> Any:
        return self.answers[key]

    def add(self, answers: Mapping[str, Any]) -> None:
        """Keep answers; when this returns they are on the disk."""
        self.answers |= answers
        if self._file:
            self._write(b"".join(_line({"key": key, "found": found}) for key, found in answers.items()))

    def gather(
        self,
        kind: str,
        names: Sequence[str],
        batches: Iterable[Sequence[int]],
        find: Callable[[list[int]], Iterable[Mapping]],
        report: Callable[[int, int], None],
    ) -> list[Any]:
        """What is found of each piece, in order; pieces that have an answer of this kind are not searched.

        Parameters
        ----------
        batches : iterable of sequences of int
            Places in `names`, in order; answers are written batch by batch.
        find : callable
            Gives an answer for each of some places.
        report : callable
            Takes the pieces done and all of them.
        """
        for batch in batches:
            todo = [place for place in batch if f"{kind} {place}" not in self]
            if todo:
                named = zip(todo, find(todo), strict=True)
                self.add({f"{kind} {place}": {"piece": names[place], **one} for place, one in named})
            report(batch[-1] + 1, len(names))
        return [self[f"{kind} {place}"] for place in range(len(names))]

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())


def _line(document: Mapping) -> bytes:
    return (json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n").encode()
