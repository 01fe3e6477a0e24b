"""Conditions against each other: every pair, one contrast by every analysis, and pairwise preferences."""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.charts.rows import (
    LINE_HEIGHT,
    ROW_HEIGHT,
    colors_of,
    interval_words,
    label,
    name_rows,
    whiskers,
)
from analysis.charts.theme import INK, PAPER, RULE, new_figure
from analysis.numerals import numeral
from analysis.ratings.comparison import ALPHA
from analysis.ratings.scale import difference_on_scale

MOST_CONTRASTS = 6  # that a sensitivity plot shows; its table has all
FROM_LOG_ODDS = 3**0.5 / 3.141592653589793  # of a logistic error, to its standard deviations

#: From less liked through nothing to more liked, apart in grey as well as in colour.
DIVERGING = ((0.0, "#D55E00"), (0.5, "#ffffff"), (1.0, "#0072B2"))


def pairs_figure(result: dict) -> go.Figure:
    """Every row against every column: the difference in the cell, with the p-value after Holm."""
    names = [row["condition"] for row in result["conditions"]]
    cells = {(row["condition"], row["reference"]): row for row in result["pairs"]}
    values, texts = [], []
    for one in names:
        line = [_cell(cells, one, other) for other in names]
        values.append([value for value, _ in line])
        texts.append([text for _, text in line])
    reach = max((abs(value) for line in values for value in line if value is not None), default=1.0) or 1.0
    figure = new_figure(height=140 + 56 * len(names))
    figure.add_heatmap(
        z=values,
        x=list(range(len(names))),
        y=list(range(len(names))),
        text=texts,
        texttemplate="%{text}",
        textfont={"color": INK, "size": 12},
        colorscale=[list(step) for step in DIVERGING],
        zmin=-2 * reach,  # pale: the text is read, the colour only helps
        zmax=2 * reach,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
    )
    ticks = {"tickvals": list(range(len(names))), "showgrid": False}
    figure.update_xaxes(**ticks, ticktext=[label(name) for name in names], side="top")
    figure.update_yaxes(**ticks, ticktext=[label(name) for name in names], range=[len(names) - 0.5, -0.5])
    return figure


def sensitivity_figure(result: dict) -> go.Figure:
    """One row per analysis under the name of its contrast: filled, the ratings that count; hollow, all.

    The ordinal model's log odds ratio is drawn times the residual SD and sqrt(3) / pi, as points.
    """
    rows, places, labels = _placed(result["sensitivity"])
    figure = new_figure(x_title="difference in points", height=120 + LINE_HEIGHT * max(len(labels), 1))
    colors, margin = colors_of(result), result["settings"]["margin"]
    figure.add_vrect(x0=-margin, x1=margin, fillcolor=RULE, opacity=0.5, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    ends = [1.5 * margin]
    for row, place in zip(rows, places, strict=True):
        value, low, high = (_in_points(row, name, result) for name in ("estimate", "ci_low", "ci_high"))
        if value is None:
            continue
        ends += [abs(number) for number in (value, low, high) if number is not None]
        color, is_all = colors[row["condition"]], row["table"] != "analysed"
        figure.add_scatter(
            x=[value],
            y=[place + (0.26 if is_all else -0.1)],
            mode="markers",
            marker={
                "size": 8 if is_all else 11,
                "color": PAPER if is_all else color,
                "symbol": "diamond" if row["method"] == "mixed model" else "circle",
                "line": {"color": color, "width": 2},
            },
            error_x=whiskers(value, low, high, color),
            customdata=[[_analysis(row), interval_words(low, high, "+.2f")]],
            hovertemplate="%{customdata[0]}: %{x:+.2f} %{customdata[1]}<extra></extra>",
        )
    reach = 1.05 * max(ends)
    figure.update_xaxes(range=[-reach, reach])
    name_rows(figure, labels)
    return figure


def worths_figure(result: dict) -> go.Figure:
    """One row per condition: how often it is preferred to the reference, with the 95 % interval."""
    preferences = result["preferences"]
    rows = preferences["worths"]
    labels = [
        f"{label(row['condition'])}<br>{row['n_wins']} won, {row['n_losses']} lost, {row['n_ties']} tied"
        for row in rows
    ]
    figure = new_figure(
        x_title=f"preferred to {label(preferences['reference'])}, %",
        height=120 + ROW_HEIGHT * len(rows),
    )
    figure.add_vline(x=50, line={"color": INK, "width": 1})
    known = colors_of(result)
    for position, row in enumerate(rows):
        share, low, high = (
            100 * row[name] for name in ("p_preferred", "p_preferred_low", "p_preferred_high")
        )
        is_reference = row["condition"] == preferences["reference"]
        color = known.get(row["condition"], INK)
        figure.add_scatter(
            x=[share],
            y=[position],
            mode="markers",
            marker={"size": 13, "color": color, "symbol": "diamond"},
            error_x=None if is_reference else whiskers(share, low, high, color),
            customdata=[[labels[position], interval_words(low, high, ".1f")]],
            hovertemplate="%{customdata[0]}: %{x:.1f} % %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    name_rows(figure, labels)
    return figure


def _cell(cells: dict, one: str, other: str) -> tuple[float | None, str]:
    """The difference of a row's condition less a column's, and what stands in the cell."""
    if one == other:
        return None, ""
    row, sign = (cells[one, other], 1) if (one, other) in cells else (cells[other, one], -1)
    difference = sign * row["difference"]
    if row["p_holm"] is None:
        return difference, numeral(difference, "+.2f")
    p = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
    text = f"{numeral(difference, '+.2f')}<br>{p}"
    return difference, f"<b>{text}</b>" if row["p_holm"] < ALPHA else text


def _contrast(row: dict) -> tuple[str, str]:
    return row["condition"], row["reference"]


def _placed(sensitivity: list[dict]) -> tuple[list[dict], list[int], list[str]]:
    """The rows of the first contrasts, each one's line in the plot, and what every line is called."""
    rows, places, labels = [], [], []
    for pair in list(dict.fromkeys(map(_contrast, sensitivity)))[:MOST_CONTRASTS]:
        labels.append(f"<b>{label(pair[0])} − {label(pair[1])}</b>")
        own = [row for row in sensitivity if _contrast(row) == pair]
        methods = list(dict.fromkeys(row["method"] for row in own))
        for row in own:
            rows.append(row)
            places.append(len(labels) + methods.index(row["method"]))
        labels += methods
    return rows, places, labels


def _analysis(row: dict) -> str:
    whose = "" if row["table"] == "analysed" else ", nobody left out"
    return f"{label(row['condition'])} − {label(row['reference'])}: {row['method']}{whose}"


def _in_points(row: dict, name: str, result: dict) -> float | None:
    """A number of a row on the axis of points; None where it cannot stand there."""
    value = row[name]
    if value is None or row["unit"] == "points":
        return difference_on_scale(value)
    residual = result["variance"]["residual"]
    return None if residual is None else difference_on_scale(value * FROM_LOG_ODDS * residual**0.5)
