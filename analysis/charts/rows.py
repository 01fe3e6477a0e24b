"""What the figures of ratings share: named rows, colours, whiskers and labels."""

from __future__ import annotations

import html
import zlib

import plotly.graph_objects as go

from analysis.charts.theme import condition_colors, new_figure
from analysis.numerals import numeral
from analysis.ratings.scale import LEAST_FOR_INTERVAL

LONGEST_LABEL = 36
ROW_HEIGHT = 64
LINE_HEIGHT = 26  # of a row with one line of text


def rows_figure(rows: list[dict], *, x_title: str, count: str = "n_ratings") -> go.Figure:
    """An empty figure with one named row per condition, the first on top."""
    labels = [f"{label(row['condition'])}<br>n = {row[count]:,}, {pieces_words(row)}" for row in rows]
    figure = new_figure(x_title=x_title, height=120 + ROW_HEIGHT * max(len(rows), 1))
    name_rows(figure, labels)
    return figure


def name_rows(figure: go.Figure, labels: list[str]) -> None:
    """Names on the vertical axis, the first on top."""
    positions = list(range(len(labels)))
    figure.update_yaxes(
        tickvals=positions, ticktext=labels, range=[len(labels) - 0.45, -0.55], showgrid=False
    )


def pieces_words(row: dict) -> str:
    """How many pieces, in words."""
    return f"{row['n_pieces']} piece{'' if row['n_pieces'] == 1 else 's'}"


def colors_of(result: dict) -> dict[str, str]:
    """Colours by name, not by rank: a condition keeps its colour when the estimates change places."""
    reference = result["settings"]["reference"]
    real = {row["condition"] for row in result["conditions"] if row["role"] == "real"} | {reference}
    return condition_colors(sorted(row["condition"] for row in result["conditions"]), real=real)


def label(name: str) -> str:
    """A name as plotly may show it: its own markup out, its length bounded."""
    short = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
    return html.escape(short, quote=False)


def jitter(name: str) -> float:
    """A height beside the row's middle that depends on the name alone, so that a figure never changes."""
    return 0.12 + 0.2 * (zlib.crc32(name.encode()) % 1000) / 1000


def whiskers(value: float, low: float | None, high: float | None, color: str) -> dict | None:
    """The error bar of an interval; None without one."""
    if low is None or high is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value)],
        "arrayminus": [max(0.0, value - low)],
        "color": color,
        "thickness": 2,
        "width": 6,
    }


def interval_words(low: float | None, high: float | None, form: str, n: int | None = None) -> str:
    """An interval, or why there is none where the number of listeners is the reason."""
    if low is not None and high is not None:
        return f"[{numeral(low, form)}, {numeral(high, form)}]"
    if n is not None and n < LEAST_FOR_INTERVAL:
        return f"(too few ratings for an interval, n = {n})"
    return "(no interval)"
