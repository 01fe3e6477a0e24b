"""What listeners said, as figures: estimates, distributions, contrasts, human or machine, listeners.

Each takes the result of `analysis.ratings.report.analyse`. Conditions stand in its order (real first), one
row each; n is in every label; real music is ink. Colours repeat what position and words already say.
Intervals are drawn as far as the scale goes.
"""

from __future__ import annotations

import html
import zlib

import plotly.graph_objects as go

from analysis.charts.theme import INK, RULE, condition_colors, new_figure
from analysis.numerals import numeral
from analysis.ratings.scale import LEAST_FOR_INTERVAL, difference_on_scale, on_scale

LONGEST_LABEL = 36
ROW_HEIGHT = 64

#: Of the ratings 1 to 10: one hue from pale to dark, so that it stays in order in grey and in print.
CATEGORY_COLORS = (
    "#f2f6fa",
    "#dde8f1",
    "#c5d9e8",
    "#a9c7dd",
    "#8ab3d1",
    "#699dc2",
    "#4a86b1",
    "#2f6f9c",
    "#195783",
    "#063f66",
)
DARK_FROM = 6  # from this rating on, text in a bar is white


def estimate_figure(result: dict) -> go.Figure:
    """One row per condition: its estimate with the 95 % interval, every piece's mean as a dot behind it."""
    rows, colors = result["conditions"], _colors(result)
    figure = _rows_figure(rows, x_title="rating, 1 to 10")
    for position, row in enumerate(rows):
        low, high = on_scale(row["ci_low"]), on_scale(row["ci_high"])
        pieces = [piece for piece in result["pieces"] if piece["condition"] == row["condition"]]
        figure.add_scatter(
            x=[piece["mean"] for piece in pieces],
            y=[position + _jitter(piece["piece"]) for piece in pieces],
            mode="markers",
            marker={"size": 8, "color": colors[row["condition"]], "opacity": 0.35},
            customdata=[[_label(piece["piece"]), piece["n_ratings"]] for piece in pieces],
            hovertemplate="%{customdata[0]}: mean %{x:.2f}, n = %{customdata[1]}<extra></extra>",
        )
        figure.add_scatter(
            x=[row["estimate"]],
            y=[position],
            mode="markers+text",
            marker={"size": 13, "color": colors[row["condition"]], "symbol": "diamond"},
            text=[f"{row['estimate']:.1f}"],
            textposition="top center",
            error_x=_whiskers(row["estimate"], low, high, colors[row["condition"]]),
            customdata=[[_label(row["condition"]), _interval(low, high, ".2f", row["n_participants"])]],
            hovertemplate="%{customdata[0]}: %{x:.2f} %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    return figure


def distribution_figure(result: dict) -> go.Figure:
    """One bar of 100 % per condition: how often each of the ten ratings was given."""
    rows = result["conditions"]
    figure = _rows_figure(rows, x_title="share of ratings, %")
    for rating, color in enumerate(CATEGORY_COLORS, start=1):
        shares = [100 * row["categories"][rating - 1] / sum(row["categories"]) for row in rows]
        figure.add_bar(
            x=shares,
            y=list(range(len(rows))),
            orientation="h",
            width=0.6,
            marker={"color": color, "line": {"color": INK, "width": 0.5}},
            text=[str(rating) if share >= 4 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff" if rating >= DARK_FROM else INK},
            customdata=[[_label(row["condition"]), row["categories"][rating - 1]] for row in rows],
            hovertemplate=f"%{{customdata[0]}}: {rating} given %{{customdata[1]}} times<extra></extra>",
        )
    figure.update_layout(barmode="stack", uniformtext={"minsize": 12, "mode": "hide"})
    figure.update_xaxes(range=[0, 100], dtick=20)
    return figure


def contrast_figure(result: dict) -> go.Figure:
    """One row per contrast: difference with its 95 % (thin) and 90 % interval (thick); margins as a band."""
    rows, margin = result["contrasts"], result["settings"]["margin"]
    labels = [f"{_label(row['condition'])} − {_label(row['reference'])}<br>{row['verdict']}" for row in rows]
    figure = new_figure(x_title="difference in points", height=120 + ROW_HEIGHT * max(len(rows), 1))
    colors = _colors(result)
    ends = [margin * 1.5]
    figure.add_vrect(x0=-margin, x1=margin, fillcolor=RULE, opacity=0.5, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    for position, row in enumerate(rows):
        color = colors[row["condition"]]
        low, high, low90, high90 = (
            difference_on_scale(row[name]) for name in ("ci_low", "ci_high", "ci90_low", "ci90_high")
        )
        ends += [abs(value) for value in (row["difference"], low, high) if value is not None]
        if low90 is not None:
            figure.add_scatter(
                x=[low90, high90],
                y=[position, position],
                mode="lines",
                line={"color": color, "width": 6},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[row["difference"]],
            y=[position],
            mode="markers",
            marker={
                "size": 13,
                "color": color,
                "symbol": "diamond",
                "line": {"color": "#ffffff", "width": 1},
            },
            error_x=_whiskers(row["difference"], low, high, color),
            customdata=[[labels[position], _interval(low, high, "+.2f")]],
            hovertemplate="%{customdata[0]}: %{x:+.2f} %{customdata[1]}<extra></extra>",
        )
    reach = 1.05 * max(ends)
    figure.update_xaxes(range=[-reach, reach])
    _name_rows(figure, labels)
    return figure


def human_or_machine_figure(result: dict) -> go.Figure:
    """One row per condition: how many of its hearings were judged human, with the 95 % interval."""
    rows = [row for row in result["conditions"] if row["judged_human"] is not None]
    colors = _colors(result)
    figure = _rows_figure(rows, x_title="judged human, %", count="judged_human_n")
    for position, row in enumerate(rows):
        share, low, high = (row[name] for name in ("judged_human", "judged_human_low", "judged_human_high"))
        bounds = (None, None) if low is None else (100 * low, 100 * high)
        figure.add_scatter(
            x=[100 * share],
            y=[position],
            mode="markers+text",
            marker={"size": 13, "color": colors[row["condition"]], "symbol": "diamond"},
            text=[f"{100 * share:.0f} %"],
            textposition="top center",
            error_x=_whiskers(100 * share, *bounds, colors[row["condition"]]),
            customdata=[[_label(row["condition"]), _interval(*bounds, ".1f")]],
            hovertemplate="%{customdata[0]}: %{x:.1f} % %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    return figure


def participants_figure(result: dict) -> go.Figure:
    """One dot per participant: their mean rating, and how much of the scale they use."""
    rows = [row for row in result["participants"] if row["sd"] is not None]
    figure = new_figure(x_title="mean of a participant's ratings", y_title="SD of their ratings", height=360)
    figure.add_scatter(
        x=[row["mean"] for row in rows],
        y=[row["sd"] for row in rows],
        mode="markers",
        marker={"size": 9, "color": INK, "opacity": 0.45},
        customdata=[[_label(row["participant"]), row["n_ratings"]] for row in rows],
        hovertemplate="%{customdata[0]}: mean %{x:.2f}, SD %{y:.2f}, n = %{customdata[1]}<extra></extra>",
    )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def _rows_figure(rows: list[dict], *, x_title: str, count: str = "n_ratings") -> go.Figure:
    """An empty figure with one named row per condition, the first on top."""
    labels = [f"{_label(row['condition'])}<br>n = {row[count]:,}, {_pieces(row)}" for row in rows]
    figure = new_figure(x_title=x_title, height=120 + ROW_HEIGHT * max(len(rows), 1))
    _name_rows(figure, labels)
    return figure


def _name_rows(figure: go.Figure, labels: list[str]) -> None:
    positions = list(range(len(labels)))
    figure.update_yaxes(
        tickvals=positions, ticktext=labels, range=[len(labels) - 0.45, -0.55], showgrid=False
    )


def _pieces(row: dict) -> str:
    return f"{row['n_pieces']} piece{'' if row['n_pieces'] == 1 else 's'}"


def _colors(result: dict) -> dict[str, str]:
    """Colours by name, not by rank: a condition keeps its colour when the estimates change places."""
    reference = result["settings"]["reference"]
    real = {row["condition"] for row in result["conditions"] if row["role"] == "real"} | {reference}
    return condition_colors(sorted(row["condition"] for row in result["conditions"]), real=real)


def _label(name: str) -> str:
    """A name as plotly may show it: its own markup out, its length bounded."""
    short = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"
    return html.escape(short, quote=False)


def _jitter(name: str) -> float:
    """A height beside the row's middle that depends on the name alone, so that a figure never changes."""
    return 0.12 + 0.2 * (zlib.crc32(name.encode()) % 1000) / 1000


def _whiskers(value: float, low: float | None, high: float | None, color: str) -> dict | None:
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


def _interval(low: float | None, high: float | None, form: str, n: int | None = None) -> str:
    """An interval, or why there is none where the number of listeners is the reason."""
    if low is not None and high is not None:
        return f"[{numeral(low, form)}, {numeral(high, form)}]"
    if n is not None and n < LEAST_FOR_INTERVAL:
        return f"(too few ratings for an interval, n = {n})"
    return "(no interval)"
