"""What else is known of the rated pieces: copying scores of a plagiarism result, votes between pairs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd

from analysis.ratings.table import RatingsError

MEASURES = {"overlap": "share of notes found in the corpus", "melody": "melody score against the corpus"}
SUFFIXES = (".mid", ".midi")


def read_scores(path: str | Path) -> pd.DataFrame:
    """The copying score of every piece of a result of ``plagiarism``: note overlap, else melodies.

    Returns
    -------
    scores : pd.DataFrame
        Columns piece (without the ending of a MIDI file) and score; ``attrs["measure"]`` says in words what
        was scored.

    Raises
    ------
    RatingsError
        If the file cannot be read, is no such result, or names no scored piece.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RatingsError(
            f"cannot read {path}: {error.strerror or error}; give the JSON of plagiarism"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RatingsError(f"{path.name} is no JSON: {error}; give the JSON of plagiarism") from None
    rows = document.get("pieces") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "piece" in row for row in rows):
        raise RatingsError(f"{path.name} is no result of plagiarism: it has no list of pieces")
    for measure, words in MEASURES.items():
        scored = {_stem(row["piece"]): row[measure] for row in rows if isinstance(row.get(measure), dict)}
        known = {name: found["score"] for name, found in scored.items() if found.get("score") is not None}
        if known:
            scores = pd.DataFrame({"piece": list(known), "score": list(known.values())})
            scores.attrs["measure"] = words
            return scores
    raise RatingsError(f"{path.name} has no piece with a score; was anything compared?")


def scores_of_conditions(scores: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Scores named by piece alone, with the condition or conditions that have a piece of the name."""
    if "condition" in scores.columns:
        return scores
    rated = ratings[["condition", "piece"]].drop_duplicates()
    named = rated.assign(_name=rated["piece"].map(_stem))
    known = scores.rename(columns={"piece": "_name"})
    return named.merge(known, on="_name", how="inner").drop(columns="_name")


def read_comparisons(path: str | Path) -> pd.DataFrame:
    """Votes between pairs from a CSV file, as `analysis.ratings.pairwise.fit_preferences` takes them.

    UTF-8 with or without a byte order mark; commas, semicolons or tabs.

    Raises
    ------
    RatingsError
        If the file cannot be read or is no such table.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        mark = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(io.StringIO(text), sep=mark, dtype=str, keep_default_na=False)
    except OSError as error:
        raise RatingsError(f"cannot read {path}: {error.strerror or error}; give a CSV of votes") from None
    except (UnicodeDecodeError, ValueError) as error:  # pandas' own errors are values
        words = " ".join(str(error).split())
        raise RatingsError(f"{path.name} is no CSV in UTF-8: {words}; give a CSV of votes") from None
    table.columns = [str(name).strip().lower() for name in table.columns]
    return table.map(str.strip).replace("", pd.NA)


def _stem(name: object) -> str:
    text = str(name)
    suffix = next((end for end in SUFFIXES if text.lower().endswith(end)), "")
    return text[: len(text) - len(suffix)]
