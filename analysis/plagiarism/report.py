"""How original is generated music: one result from both measures, as JSON, as a table and as a page.

Two questions are asked of every generated piece, each with what human music of the same corpus gives as an
answer:

- *Note overlap*: what share of a window's notes stands, together, in one window of the corpus?
- *Melody match*: how long a stretch of its melody stands in the corpus, with few changes?

Offsets in the result are in steps of the grid for overlap and in notes for melody. Numbers that do not exist
are None.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.plagiarism.journal import Journal
from analysis.plagiarism.melodies import measure_melodies
from analysis.plagiarism.overlap import measure_overlap
from analysis.plagiarism.page import report_html
from analysis.plagiarism.reference import Reference
from analysis.plagiarism.settings import CorpusItem, Settings, StoredItem
from analysis.plagiarism.summary import by_copying
from music.score import Score

__all__ = ["CorpusItem", "Settings", "by_copying", "originality", "report_csv", "report_html"]

#: Counts up when the same search would give another result: journals of before are then of no use.
RESULT_VERSION = 1

#: Columns of the table: one row per generated piece, with its nearest corpus piece by either measure.
CSV_COLUMNS = (
    "piece",
    "notes",
    "overlap",
    "overlap_shared",
    "overlap_window_start",
    "overlap_corpus_piece",
    "overlap_corpus_start",
    "overlap_transposition",
    "overlap_reverse",
    "overlap_jaccard",
    "overlap_baseline_rank",
    "overlap_few_notes",
    "overlap_mean",
    "overlap_windows",
    "melody_score",
    "melody_matched",
    "melody_edits",
    "melody_l0",
    "melody_l1",
    "melody_l2",
    "melody_l3",
    "melody_corpus_piece",
    "melody_start",
    "melody_end",
    "melody_corpus_start",
    "melody_corpus_end",
    "melody_transposition",
    "melody_tempo_ratio",
    "melody_similarity",
    "melody_baseline_rank",
    "melody_monotonous",
)


MELODY_MATCH_COLUMNS = (
    "corpus_piece",
    "start",
    "end",
    "corpus_start",
    "corpus_end",
    "transposition",
    "tempo_ratio",
    "similarity",
)


def originality(
    generated: Sequence[tuple[str, Score]],
    corpus: Reference | Sequence[CorpusItem | StoredItem],
    *,
    settings: Settings | None = None,
    exclude: Mapping[str, Collection[str]] | None = None,
    journal: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict:
    """Measure what generated pieces have in common with a corpus.

    Parameters
    ----------
    generated : sequence of (name, Score)
    corpus : Reference or sequence of CorpusItem
        Every piece is searched (or the train split alone, by `Settings.reference`). Pieces outside the train
        split serve as the human baseline; where there are none, every piece does, compared with the others.
    exclude : mapping, optional
        For a generated piece's name, names or groups of corpus pieces that it is not compared with.
    journal : Path, optional
        A file for what is found, piece by piece. A search that was cut off goes on from there, and ends with
        the result of one that was not; one that had ended, or another search, begins anew.
    workers : int, optional
        Threads; by default one per core. They change no result.
    progress : callable, optional
        Called with the work done, the work in all and what is being done.

    Returns
    -------
    result : dict
        Fit for JSON: settings, pieces (in the order given), summary, and the distributions behind the
        summary.

    Raises
    ------
    AnalysisError
        If there are no generated pieces, the corpus has nothing to compare with, or the journal cannot be
        kept.
    """
    settings = settings or Settings()
    if workers is not None and workers < 1:
        raise AnalysisError(f"workers must be at least 1, got {workers}")
    if not generated:
        raise AnalysisError("there are no generated pieces to compare; give at least one")
    reference = Reference.of(corpus)
    if not reference.items:
        raise AnalysisError("the corpus has no pieces; give at least one")
    phases = _Phases(settings, progress)
    found = Journal(journal, _search_in_full(generated, reference, settings, exclude) if journal else None)
    more = {"exclude": exclude, "journal": found, "workers": workers, "progress": phases.start}
    overlaps, melodies = [None] * len(generated), [None] * len(generated)
    summary, distributions = {"overlap": None, "melody": None}, {"overlap": None, "melody": None}
    if settings.measures("overlap"):
        overlaps, summary["overlap"], distributions["overlap"] = measure_overlap(
            generated, reference, settings, **more
        )
    if settings.measures("melody"):
        melodies, summary["melody"], distributions["melody"] = measure_melodies(
            generated, reference, settings, **more
        )
    found.finish()
    return {
        "settings": settings.to_json(),
        "pieces": [
            {
                "piece": name,
                "notes": sum(1 for _ in score.notes(drums=False)),
                "overlap": overlap,
                "melody": melody,
            }
            for (name, score), overlap, melody in zip(generated, overlaps, melodies, strict=True)
        ],
        "summary": summary,
        "distributions": distributions,
    }


def _search_in_full(
    generated: Sequence[tuple[str, Score]],
    reference: Reference,
    settings: Settings,
    exclude: Mapping[str, Collection[str]] | None,
) -> dict:
    """All that the result depends on, by which a journal knows its search."""
    corpus, pieces = hashlib.sha256(), hashlib.sha256()
    for item in reference.items:
        corpus.update(repr((item.name, item.split, item.group, item.digest)).encode())
    for name, score in generated:
        pieces.update(repr((name, sorted((exclude or {}).get(name, ())), score)).encode())
    return {
        "version": RESULT_VERSION,
        "settings": settings.to_json(),
        "corpus": corpus.hexdigest(),
        "pieces": pieces.hexdigest(),
    }


class _Phases:
    """One progress over searches that each count their own work, in thousandths of a search."""

    PART = 1000

    def __init__(self, settings: Settings, progress: Callable[[int, int, str], None] | None):
        self.n_phases = 2 * (settings.measures("overlap") + settings.measures("melody"))
        self.n_started = 0
        self.progress = progress

    def start(self, name: str) -> Callable[[int, int], None]:
        first = self.n_started * self.PART
        self.n_started += 1

        def report(done: int, total: int) -> None:
            if self.progress:
                part = self.PART * done // max(total, 1)
                self.progress(first + part, self.n_phases * self.PART, name)

        return report


def report_csv(result: Mapping) -> str:
    """The result as a table, worst copies first, one row per generated piece; columns are `CSV_COLUMNS`.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")  # RFC 4180
    writer.writerow(CSV_COLUMNS)
    for piece in by_copying(result["pieces"]):
        row = _csv_row(piece)
        writer.writerow([_csv_cell(row.get(column)) for column in CSV_COLUMNS])
    return file.getvalue()


def _csv_row(piece: Mapping) -> dict:
    row = {"piece": piece["piece"], "notes": piece["notes"]}
    if overlap := piece["overlap"]:
        row |= {
            "overlap": overlap["score"],
            "overlap_shared": overlap["shared"],
            "overlap_window_start": overlap["window_start"],
            "overlap_baseline_rank": overlap["baseline_rank"],
            "overlap_few_notes": int(overlap["few_notes"]),
            "overlap_mean": overlap["mean"],
            "overlap_windows": overlap["n_windows"],
        }
        for match in overlap["matches"][:1]:
            row |= {
                "overlap_corpus_piece": match["corpus_piece"],
                "overlap_corpus_start": match["start"],
                "overlap_transposition": match["transposition"],
                "overlap_reverse": match["reverse"],
                "overlap_jaccard": match["jaccard"],
            }
    if melody := piece["melody"]:
        row |= {f"melody_{key}": melody[key] for key in ("score", "matched", "edits", "baseline_rank")}
        row["melody_monotonous"] = int(melody["monotonous"])
        row |= {f"melody_l{k}": length for k, length in enumerate(melody["frontier"][:4])}
        for match in melody["matches"][:1]:
            row |= {f"melody_{key}": match[key] for key in MELODY_MATCH_COLUMNS}
    return row


def _csv_cell(value) -> str:
    """Text of a cell: numbers as they are, names made harmless to spreadsheets."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, int | float):
        return repr(value)
    return "'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value
