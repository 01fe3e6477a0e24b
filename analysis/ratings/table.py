"""The table of ratings: which columns it has, how it is read, what it refuses.

One row is one rating of one piece by one participant. Anyone's table can be read, so every cell is checked
once, here; the rest of `analysis.ratings` relies on it. A piece belongs to its condition: two conditions may
both have a piece called "1", and these are two pieces.
"""

from __future__ import annotations

import csv
import io
import math
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

REQUIRED = ("participant", "piece", "condition", "rating")

#: What every table of ratings can have, in the order in which it is written.
COLUMNS = (
    *REQUIRED,
    "judged_human",  # 1 human, 0 machine
    "confidence",  # of that judgement, 1 guessing to 4 certain
    "familiar",  # new, familiar or known; 1 in a table of 0 and 1 is known
    "trial",  # position within the session, from 1
    "repeat",  # 0 at the first hearing, 1 at the second, ...
    "listened_seconds",  # unique seconds heard
    "answered_at",  # ISO 8601; without an offset it is UTC
    "excluded",  # empty or 0, else the rule (or 1) by which the study put the row aside
)

#: Columns that are used when they are there.
EXTRA_COLUMNS = (
    "role",  # of the condition: real, generated or low_anchor
    "practice",  # 1 for a practice trial
    "simulated",  # 1 for a listener made by a model
    "failed_attention",  # attention checks that the participant failed, the same in each of their rows
)

ROLES = ("real", "generated", "low_anchor")
SCALE = tuple(range(1, 11))

MAX_BYTES = 64 * 2**20
MAX_ROWS = 1_000_000
MAX_TEXT = 500  # characters of a name; more is a cell that lost its closing quote

EMPTY_WORDS = {"", "na", "n/a", "nan", "null", "none", "nat", "<na>"}
TRUE_WORDS = {"1", "true", "yes", "t", "y", "1.0"}
FALSE_WORDS = {"0", "false", "no", "f", "n", "0.0"}
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}([.]0*)?")


class RatingsError(AnalysisError):
    """A table of ratings that is refused; the message names row, value and what would be right."""


def read_ratings(path: str | Path, *, max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS) -> pd.DataFrame:
    """Read a CSV file of ratings, whoever wrote it.

    UTF-8 with or without a byte order mark; commas, semicolons or tabs; any order of columns; columns with
    other names are left out. Semicolon files may write seconds with a decimal comma.

    Returns
    -------
    ratings : pd.DataFrame
        As `check_ratings` gives it; the index is the line of the file, named ``line``.

    Raises
    ------
    RatingsError
        If the file is missing, too large, no UTF-8 text, ragged, lacks a required column or has a wrong cell.
    """
    path = Path(path)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise RatingsError(f"{path} is no file that can be read to its end; give a CSV file of ratings")
        size = facts.st_size
        if size > max_bytes:
            raise RatingsError(
                f"{path.name} has {size:,} bytes; a table of ratings has at most {max_bytes:,}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise RatingsError(
            f"cannot read {path}: {error.strerror or error}; give a CSV file of ratings"
        ) from None
    try:
        return check_ratings(_rows(data, max_rows=max_rows))
    except RatingsError as error:
        raise RatingsError(f"{path.name}: {error}") from None


def check_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    """A new table with every cell checked and of one type; checking it again changes nothing.

    Returns
    -------
    ratings : pd.DataFrame
        All of `COLUMNS`, then those of `EXTRA_COLUMNS` that were there, in the order and with the index of
        the input. Names are text, `rating` and `repeat` integers, `judged_human` and the like nullable,
        `excluded` a rule or "".

    Raises
    ------
    RatingsError
        If a required column is missing, a cell is wrong, a participant rates a piece twice without a repeat
        number, or a condition has two roles.
    """
    missing = [name for name in REQUIRED if name not in ratings.columns]
    if missing:
        raise RatingsError(_missing_columns(missing, [str(name) for name in ratings.columns]))
    twice = [name for name in (*COLUMNS, *EXTRA_COLUMNS) if list(ratings.columns).count(name) > 1]
    if twice:
        raise RatingsError(f"column {twice[0]!r} stands there twice; each column once")
    if ratings.empty:
        raise RatingsError("the table has no rows; it needs one row per rating")
    row_name = _row_names(ratings)
    checked = {}
    for name, (parse, right, dtype) in CELLS.items():
        if name in ratings.columns:
            checked[name] = _parsed(ratings[name], name, parse, right, dtype, row_name)
        elif name in COLUMNS:
            empty = {"familiar": "", "excluded": "", "repeat": 0}.get(name, pd.NA)
            checked[name] = pd.Series([empty] * len(ratings), index=ratings.index, dtype=dtype)
    table = pd.DataFrame(checked, index=ratings.index)
    if "familiar" in ratings.columns:
        table["familiar"] = _familiarity(table["familiar"])
    _refuse_duplicates(table, row_name)
    _refuse_two_roles(table, row_name)
    return table


def first_hearings(ratings: pd.DataFrame) -> pd.DataFrame:
    """The ratings that count for means and comparisons: repeats are for reliability only."""
    return ratings[ratings["repeat"] == 0]


def judgements(ratings: pd.DataFrame) -> pd.DataFrame:
    """The rows with a human-or-machine answer about a piece that the listener did not know before.

    Who knows a piece knows who composed it: such trials (`familiar` is known) are out by rule.
    """
    return ratings[ratings["judged_human"].notna() & (ratings["familiar"] != "known")]


def in_fixed_order(ratings: pd.DataFrame) -> pd.DataFrame:
    """The rows sorted by what they are, so that no result depends on the order in which they came."""
    return ratings.sort_values(["condition", "piece", "participant", "repeat"], kind="stable").reset_index(
        drop=True
    )


def with_piece_ids(ratings: pd.DataFrame) -> pd.DataFrame:
    """With a column ``piece_id``: the piece's name, after its condition where two conditions share it.

    A table that has the column keeps it, so that a part of a table names its pieces as the whole does.
    """
    if "piece_id" in ratings.columns:
        return ratings
    homes = ratings.groupby("piece")["condition"].nunique()
    alone = ratings["piece"].map(homes) == 1
    n_pieces = len(ratings[["condition", "piece"]].drop_duplicates())
    mark = "/"
    while True:
        named = ratings["condition"] + f" {mark} " + ratings["piece"]
        ids = ratings["piece"].where(alone, named)
        if ids.nunique() == n_pieces:
            return ratings.assign(piece_id=ids)
        mark += "/"  # somebody's piece is called just so


def codes_of(names: pd.Series) -> np.ndarray:
    """Each name as its place among the sorted names: integers from 0 without gaps."""
    return pd.factorize(names, sort=True)[0]


def spreadsheet_safe(cell: object) -> object:
    """A cell that no spreadsheet runs: text that begins like a formula gets an apostrophe in front."""
    if isinstance(cell, str) and cell.lstrip()[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + cell
    return cell


def _rows(data: bytes, *, max_rows: int) -> pd.DataFrame:
    """The cells of a CSV file as text; the index is the line on which a row ends."""
    if b"\x00" in data[:4096] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise RatingsError("the file is no UTF-8 text (a spreadsheet file?); save it as CSV in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = data[error.start : error.start + 1].hex()
        raise RatingsError(
            f"line {line} has byte 0x{wrong}, which is no UTF-8; save the file as CSV in UTF-8"
        ) from None
    if not text.strip():
        raise RatingsError(f"the file is empty; its first line names the columns: {', '.join(REQUIRED)}")
    first_line = text.lstrip().splitlines()[0]
    skip_first = bool(re.fullmatch(r"sep=.", first_line.strip()))  # Excel's own note to itself
    delimiter = first_line.strip()[4] if skip_first else _delimiter(first_line)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    lines, rows = [], []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if skip_first:
                skip_first = False
                continue
            if header is None:
                header = [re.sub(r"\s+", "_", cell.strip().lower()) for cell in cells]
                continue
            while len(cells) > len(header) and not cells[-1].strip():
                cells.pop()
            if len(cells) != len(header):
                raise RatingsError(
                    f"line {reader.line_num} has {len(cells)} cells, the first line has {len(header)}; give "
                    "every row as many cells as there are columns"
                )
            if len(rows) >= max_rows:
                raise RatingsError(f"more than {max_rows:,} rows; split the table by study")
            lines.append(reader.line_num)
            rows.append(cells)
    except csv.Error as error:
        raise RatingsError(f"line {reader.line_num} is no CSV: {error}; check its quotes") from None
    table = pd.DataFrame(
        rows, index=pd.Index(lines, name="line", dtype="int64"), columns=header, dtype=object
    )
    if delimiter == ";" and "listened_seconds" in table.columns:
        table["listened_seconds"] = table["listened_seconds"].map(lambda cell: str(cell).replace(",", "."))
    return table


def _delimiter(first_line: str) -> str:
    """The mark between the column names: the one that finds most of the names that are needed."""

    def found(mark: str) -> tuple[int, int]:
        names = {cell.strip().strip('"').lower() for cell in first_line.split(mark)}
        return len(names & set(REQUIRED)), first_line.count(mark)

    return max((",", ";", "\t"), key=found)


def _missing_columns(missing: list[str], there: list[str]) -> str:
    hints = [f"{near[0]!r} for {name!r}" for name in missing if (near := get_close_matches(name, there, n=1))]
    hint = f"; did you mean {' and '.join(hints)}?" if hints else ""
    shown = ", ".join(name[:40] for name in there[:12]) or "none"
    return (
        f"no column {' or '.join(repr(name) for name in missing)}{hint} The columns are: {shown}. Needed "
        f"are: {', '.join(REQUIRED)}"
    ).replace("' The", "'. The")


def _row_names(ratings: pd.DataFrame) -> Callable[[int], str]:
    """What to call the row at a position: by its index, or counted from 1 where it has no names."""
    counts = ratings.index.name is None and isinstance(ratings.index, pd.RangeIndex)
    word = ratings.index.name or "row"
    return lambda position: f"{word} {position + 1 if counts else ratings.index[position]}"


def _is_empty(value: object) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float) and math.isnan(value)


def _parsed(
    cells: pd.Series, name: str, parse: Callable, right: str, dtype: str, row_name: Callable[[int], str]
) -> pd.Series:
    """A column of one type. Equal cells are parsed once: a large table repeats few values."""
    codes, values = pd.factorize(cells.astype(object), use_na_sentinel=False)
    parsed = []
    for code, value in enumerate(values):
        try:
            parsed.append(parse(None if _is_empty(value) else value))
        except ValueError:
            position = int((codes == code).argmax())
            n_others = int((codes == code).sum()) - 1
            others = f" (and {n_others} more rows)" if n_others else ""
            what = "is empty" if _is_empty(value) or not str(value).strip() else f"is {str(value)[:60]!r}"
            raise RatingsError(f"{row_name(position)}{others}: {name} {what}; {right}") from None
    return pd.Series([parsed[code] for code in codes], index=cells.index, dtype=dtype)


def _name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of numbered participants with a gap arrives as floats
    text = "" if value is None else str(value).strip()
    if not text or len(text) > MAX_TEXT:
        raise ValueError
    return text


def _number(value: object) -> float:
    number = float(str(value).strip())
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not WHOLE_NUMBER.fullmatch(text):
        raise ValueError
    return int(text.partition(".")[0])


def _rating(value: object) -> int:
    number = _whole(value)
    if number not in SCALE:
        raise ValueError
    return number


def _or_empty(parse: Callable, empty: object = pd.NA) -> Callable:
    def parse_or_empty(value: object) -> object:
        return empty if value is None or str(value).strip().lower() in EMPTY_WORDS else parse(value)

    return parse_or_empty


def _truth(value: object) -> bool:
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError


def _judgement(value: object) -> bool:
    word = str(value).strip().lower()
    return word == "human" if word in {"human", "machine"} else _truth(value)


def _at_least_zero(parse: Callable) -> Callable:
    def parse_at_least_zero(value: object) -> float:
        number = parse(value)
        if number < 0:
            raise ValueError
        return number

    return parse_at_least_zero


def _repeat(value: object) -> int:
    word = str(value).strip().lower()
    if word in {"true", "yes"}:
        return 1
    if word in {"false", "no"}:
        return 0
    return _at_least_zero(_whole)(value)


def _familiar(value: object) -> str:
    word = str(value).strip().lower()
    if word in {"new", "familiar", "known", "2"}:
        return word
    return "1" if _truth(value) else "new"


def _excluded(value: object) -> str:
    word = str(value).strip()
    if word.lower() in FALSE_WORDS:
        return ""
    if word.lower() in TRUE_WORDS:
        return "excluded"
    if len(word) > MAX_TEXT:
        raise ValueError
    return word


def _moment(value: object) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _role(value: object) -> str:
    word = str(value).strip().lower().replace(" ", "_")
    if word not in ROLES:
        raise ValueError
    return word


#: Of each column: how a cell is read, what would be right, and its type.
CELLS: dict[str, tuple[Callable, str, str]] = {
    "participant": (_name, f"give each row a participant, at most {MAX_TEXT} characters", "object"),
    "piece": (_name, f"give each row a piece, at most {MAX_TEXT} characters", "object"),
    "condition": (_name, f"give each row a condition, at most {MAX_TEXT} characters", "object"),
    "rating": (_rating, "a rating is a whole number from 1 to 10", "int64"),
    "judged_human": (_or_empty(_judgement), "it is 1 for human, 0 for machine, or empty", "boolean"),
    "confidence": (_or_empty(_at_least_zero(_number)), "it is a number such as 1 to 4, or empty", "Float64"),
    "familiar": (_or_empty(_familiar, ""), "it is new, familiar, known, 0, 1 or empty", "object"),
    "trial": (_or_empty(_at_least_zero(_whole)), "it is a whole number from 1, or empty", "Int64"),
    "repeat": (_or_empty(_repeat, 0), "it is 0 at the first hearing, 1 at the second, and so on", "int64"),
    "listened_seconds": (
        _or_empty(_at_least_zero(_number)),
        "it is a number of seconds, or empty",
        "Float64",
    ),
    "answered_at": (
        _or_empty(_moment),
        "it is a time as in 2026-01-31T12:00:00Z, or empty",
        "datetime64[us, UTC]",
    ),
    "excluded": (_or_empty(_excluded, ""), "it is 0, 1, the name of a rule, or empty", "object"),
    "role": (_role, f"it is one of {', '.join(ROLES)}", "object"),
    "practice": (_or_empty(_truth, False), "it is 0 or 1", "bool"),
    "simulated": (_or_empty(_truth, False), "it is 0 or 1", "bool"),
    "failed_attention": (_or_empty(_repeat), "it is the number of failed checks, or empty", "Int64"),
}


def _familiarity(levels: pd.Series) -> pd.Series:
    """Numbers as words: in a table of 0 and 1, 1 is known; where 2 occurs, 1 is only familiar."""
    one = "familiar" if (levels == "2").any() else "known"
    return levels.replace({"1": one, "2": "known"})


def _refuse_duplicates(table: pd.DataFrame, row_name: Callable[[int], str]) -> None:
    key = ["participant", "condition", "piece", "repeat"]
    practice = table["practice"] if "practice" in table.columns else pd.Series(False, index=table.index)
    counted = (~practice).to_numpy()
    again = table.duplicated(key, keep="first").to_numpy() & counted
    if "practice" in table.columns:
        again = table.assign(_practice=practice).duplicated([*key, "_practice"]).to_numpy() & counted
    if not again.any():
        return
    position = int(again.argmax())
    row = table.iloc[position]
    same = (table[key] == row[key]).all(axis=1).to_numpy() & counted
    raise RatingsError(
        f"{row_name(position)}: participant {row['participant']!r} rates piece {row['piece']!r} of condition "
        f"{row['condition']!r} again (first on {row_name(int(same.argmax()))}, {int(again.sum())} such rows "
        "in all); one row per participant and piece, second hearings with repeat 1, third ones with 2"
    )


def _refuse_two_roles(table: pd.DataFrame, row_name: Callable[[int], str]) -> None:
    if "role" not in table.columns:
        return
    first = table.groupby("condition")["role"].transform("first")
    other = (table["role"] != first).to_numpy()
    if other.any():
        position = int(other.argmax())
        row = table.iloc[position]
        raise RatingsError(
            f"{row_name(position)}: condition {row['condition']!r} is {row['role']!r} here and "
            f"{first.iloc[position]!r} before; a condition has one role"
        )
