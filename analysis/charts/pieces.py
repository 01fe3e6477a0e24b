"""Every piece of a study: how it was liked, and whether liking goes with copying."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from analysis.charts.rows import LINE_HEIGHT, colors_of, interval_words, label, name_rows, whiskers
from analysis.charts.theme import new_figure
from analysis.ratings.scale import on_scale


def pieces_figure(result: dict) -> go.Figure:
    """One row per piece, the best liked first: its mean with the 95 % interval, its shrunken mean a tick."""
    rows = sorted(result["pieces"], key=lambda row: (-row["mean"], row["piece"]))
    labels = [f"{_named(row)} (n = {row['n_ratings']})" for row in rows]
    figure = new_figure(x_title="rating, 1 to 10", height=120 + LINE_HEIGHT * len(rows))
    colors = colors_of(result)
    for name, color in colors.items():
        own = [position for position, row in enumerate(rows) if row["condition"] == name]
        if not own:
            continue
        bounds = [(on_scale(rows[index]["ci_low"]), on_scale(rows[index]["ci_high"])) for index in own]
        figure.add_scatter(
            x=[rows[index]["mean"] for index in own],
            y=own,
            mode="markers",
            marker={"size": 9, "color": color},
            error_x=_many_whiskers([rows[index]["mean"] for index in own], bounds, color),
            customdata=[
                [labels[index], interval_words(*ends, ".1f", rows[index]["n_ratings"])]
                for index, ends in zip(own, bounds, strict=True)
            ],
            hovertemplate="%{customdata[0]}: %{x:.2f} %{customdata[1]}<extra></extra>",
        )
    shrunken = [(row["shrunken_mean"], index) for index, row in enumerate(rows)]
    known = [(value, index) for value, index in shrunken if value is not None]
    figure.add_scatter(
        x=[value for value, _ in known],
        y=[index for _, index in known],
        mode="markers",
        marker={"size": 13, "symbol": "line-ns-open", "line": {"width": 2, "color": "#5c5c58"}},
        hovertemplate="shrunken mean %{x:.2f}<extra></extra>",
    )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    name_rows(figure, labels)
    return figure


def copying_figure(result: dict) -> go.Figure:
    """One dot per piece, rating against copying; the slope within conditions as lines of one steepness."""
    pieces, colors = result["copying"]["pieces"], colors_of(result)
    figure = new_figure(x_title=result["copying"]["measure"], y_title="mean rating", height=420)
    intervals = {
        row["piece"]: (on_scale(row["ci_low"]), on_scale(row["ci_high"])) for row in result["pieces"]
    }
    slope = (result["copying"]["within"] or {}).get("slope")
    first, last = min(row["score"] for row in pieces), max(row["score"] for row in pieces)
    width = last - first
    for name in dict.fromkeys(row["condition"] for row in pieces):
        own = [row for row in pieces if row["condition"] == name]
        x, y = ([row[key] for row in own] for key in ("score", "mean"))
        bounds = [intervals.get(row["piece"], (None, None)) for row in own]
        bars = _many_whiskers(y, bounds, colors[name])
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 10, "color": colors[name]},
            error_y=bars and {**bars, "thickness": 1, "width": 3},
            customdata=[[label(row["piece"]), row["n_ratings"]] for row in own],
            hovertemplate="%{customdata[0]}: %{x:.2f}, %{y:.2f}, n = %{customdata[1]}<extra></extra>",
        )
        if slope is not None and min(x) < max(x):
            ends = np.array([min(x), max(x)])
            figure.add_scatter(
                x=ends.tolist(),
                y=(np.mean(y) + slope * (ends - np.mean(x))).tolist(),
                mode="lines",
                line={"color": colors[name], "width": 2},
                hoverinfo="skip",
            )
        figure.add_annotation(
            x=last + 0.04 * width,
            y=float(np.mean(y) + (slope or 0.0) * (max(x) - np.mean(x))),
            text=f"{label(name)} (n = {len(own)})",
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            font={"color": colors[name], "size": 13},
        )
    figure.update_xaxes(range=[first - 0.05 * width, last + 0.4 * width])
    figure.update_yaxes(range=[0.8, 10.2], dtick=1)
    return figure


def _named(row: dict) -> str:
    """A piece's name, with its condition unless the name begins with that."""
    name = row["piece"].removeprefix(f"{row['condition']} / ")
    if name.startswith(row["condition"]):
        return label(name)
    return f"{label(name)} · {label(row['condition'])}"


def _many_whiskers(values: list[float], bounds: list[tuple], color: str) -> dict | None:
    """Error bars of several points; those without an interval have a length of 0."""
    bars = [whiskers(value, *ends, color) for value, ends in zip(values, bounds, strict=True)]
    drawn = next((bar for bar in bars if bar), None)
    if drawn is None:
        return None
    return {
        **drawn,
        "array": [bar["array"][0] if bar else 0.0 for bar in bars],
        "arrayminus": [bar["arrayminus"][0] if bar else 0.0 for bar in bars],
    }
