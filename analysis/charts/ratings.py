"""What listeners said, as figures: estimates, distributions, contrasts, human or machine, listeners.

Each takes the result of `analysis.ratings.report.analyse`. Conditions stand in its order (real first), one
row each; n is in every label; real music is ink. Colours repeat what position and words already say.
Intervals are drawn as far as the scale goes.
"""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.charts.rows import (
    ROW_HEIGHT,
    colors_of,
    interval_words,
    jitter,
    label,
    name_rows,
    rows_figure,
    whiskers,
)
from analysis.charts.theme import INK, RULE, new_figure
from analysis.ratings.scale import difference_on_scale, on_scale

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
    rows, colors = result["conditions"], colors_of(result)
    figure = rows_figure(rows, x_title="rating, 1 to 10")
    for position, row in enumerate(rows):
        low, high = on_scale(row["ci_low"]), on_scale(row["ci_high"])
        pieces = [piece for piece in result["pieces"] if piece["condition"] == row["condition"]]
        figure.add_scatter(
            x=[piece["mean"] for piece in pieces],
            y=[position + jitter(piece["piece"]) for piece in pieces],
            mode="markers",
            marker={"size": 8, "color": colors[row["condition"]], "opacity": 0.35},
            customdata=[[label(piece["piece"]), piece["n_ratings"]] for piece in pieces],
            hovertemplate="%{customdata[0]}: mean %{x:.2f}, n = %{customdata[1]}<extra></extra>",
        )
        figure.add_scatter(
            x=[row["estimate"]],
            y=[position],
            mode="markers+text",
            marker={"size": 13, "color": colors[row["condition"]], "symbol": "diamond"},
            text=[f"{row['estimate']:.1f}"],
            textposition="top center",
            error_x=whiskers(row["estimate"], low, high, colors[row["condition"]]),
            customdata=[[label(row["condition"]), interval_words(low, high, ".2f", row["n_participants"])]],
            hovertemplate="%{customdata[0]}: %{x:.2f} %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    return figure


def distribution_figure(result: dict) -> go.Figure:
    """One bar of 100 % per condition: how often each of the ten ratings was given."""
    rows = result["conditions"]
    figure = rows_figure(rows, x_title="share of ratings, %")
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
            customdata=[[label(row["condition"]), row["categories"][rating - 1]] for row in rows],
            hovertemplate=f"%{{customdata[0]}}: {rating} given %{{customdata[1]}} times<extra></extra>",
        )
    figure.update_layout(barmode="stack", uniformtext={"minsize": 12, "mode": "hide"})
    figure.update_xaxes(range=[0, 100], dtick=20)
    return figure


#: Of a letter-value plot: width of the line that reaches from the lower to the upper letter value.
DEPTH_WIDTHS = (26, 16, 9, 4)


def letter_value_figure(result: dict) -> go.Figure:
    """One row per condition: nested bars to the fourths, eighths, sixteenths; median as a line, mean a ring.

    A bar is drawn only where five ratings or more lie beyond it (Hofmann, Wickham and Kafadar 2017, J.
    Comput. Graph. Stat. 26:469). Single ratings beyond the outermost bar are dots.
    """
    rows, colors = result["conditions"], colors_of(result)
    figure = rows_figure(rows, x_title="rating, 1 to 10")
    for position, row in enumerate(rows):
        color, values = colors[row["condition"]], letter_values(row["categories"])
        outer = values[-1] if values else (row["median"], row["median"])
        beyond = [n + 1 for n in range(10) if row["categories"][n] and not outer[0] <= n + 1 <= outer[1]]
        for (low, high), width in zip(values, DEPTH_WIDTHS, strict=False):
            figure.add_scatter(
                x=[low, high],
                y=[position, position],
                mode="lines",
                line={"color": color, "width": width},
                opacity=0.35,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[row["median"], row["median"]],
            y=[position - 0.28, position + 0.28],
            mode="lines",
            line={"color": color, "width": 3},
            hovertemplate=f"{label(row['condition'])}: median %{{x:g}}<extra></extra>",
        )
        figure.add_scatter(
            x=[*beyond, row["mean"]],
            y=[position] * (len(beyond) + 1),
            mode="markers",
            marker={
                "size": [5] * len(beyond) + [12],
                "color": [color] * len(beyond) + ["#ffffff"],
                "symbol": "circle",
                "line": {"color": color, "width": 2},
            },
            hovertemplate=f"{label(row['condition'])}: %{{x:.2f}}<extra></extra>",
        )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    return figure


def letter_values(categories: list[int], *, most: int = len(DEPTH_WIDTHS)) -> list[tuple[float, float]]:
    """The lower and upper fourths, eighths and so on of counted ratings 1 to 10, as long as five lie beyond.

    Tukey's depths: of n values the median's is (n + 1) / 2, and each next one (floor(depth) + 1) / 2.
    """
    cumulated, n = [], 0
    for count in categories:
        n += count
        cumulated.append(n)

    def at(rank: int) -> int:
        return 1 + next(index for index, total in enumerate(cumulated) if total >= rank)

    depth, values = (n + 1) / 2, []
    while len(values) < most:
        depth = (int(depth) + 1) / 2
        if depth < 5:
            break
        low, high = int(depth), int(depth + 0.5)
        lower = (at(low) + at(high)) / 2
        values.append((lower, (at(n + 1 - low) + at(n + 1 - high)) / 2))
    return values


def contrast_figure(result: dict) -> go.Figure:
    """One row per contrast: difference with its 95 % (thin) and 90 % interval (thick); margins as a band."""
    rows, margin = result["contrasts"], result["settings"]["margin"]
    labels = [f"{label(row['condition'])} − {label(row['reference'])}<br>{row['verdict']}" for row in rows]
    figure = new_figure(x_title="difference in points", height=120 + ROW_HEIGHT * max(len(rows), 1))
    colors = colors_of(result)
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
            error_x=whiskers(row["difference"], low, high, color),
            customdata=[[labels[position], interval_words(low, high, "+.2f")]],
            hovertemplate="%{customdata[0]}: %{x:+.2f} %{customdata[1]}<extra></extra>",
        )
    reach = 1.05 * max(ends)
    figure.update_xaxes(range=[-reach, reach])
    name_rows(figure, labels)
    return figure


def human_or_machine_figure(result: dict) -> go.Figure:
    """One row per condition: how many of its hearings were judged human, with the 95 % interval."""
    rows = [row for row in result["conditions"] if row["judged_human"] is not None]
    colors = colors_of(result)
    figure = rows_figure(rows, x_title="judged human, %", count="judged_human_n")
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
            error_x=whiskers(100 * share, *bounds, colors[row["condition"]]),
            customdata=[[label(row["condition"]), interval_words(*bounds, ".1f")]],
            hovertemplate="%{customdata[0]}: %{x:.1f} % %{customdata[1]}<extra></extra>",
        )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    return figure
