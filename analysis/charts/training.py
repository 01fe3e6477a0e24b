"""How a model learned: its losses over the updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from analysis.charts.theme import INK, condition_colors, new_figure

Points = Sequence[tuple[int, float]]
DASHES = ("solid", "dash", "dot", "dashdot")


def loss_curves(series: Mapping[str, Points], *, y_title: str = "Loss") -> go.Figure:
    """One line per series over the updates, named at its end; lines differ in dashes, not only in colour.

    Parameters
    ----------
    series : mapping of str to sequence of (update, loss)
        In ascending order of updates.
    """
    figure = new_figure(x_title="Updates", y_title=y_title, height=280)
    colors = condition_colors(list(series), real={"train"})
    for index, (name, points) in enumerate(series.items()):
        updates, losses = zip(*points, strict=True) if points else ((), ())
        figure.add_scatter(
            x=updates,
            y=losses,
            name=name,
            mode="lines+markers" if len(points) < 30 else "lines",
            line={"color": colors[name], "width": 2, "dash": DASHES[index % len(DASHES)]},
            hovertemplate="update %{x:,}<br>%{y:.4f}<extra>" + _plain(name) + "</extra>",
        )
        if points:
            figure.add_annotation(
                x=updates[-1],
                y=losses[-1],
                text=_plain(name),
                xanchor="left",
                xshift=6,
                showarrow=False,
                font={"color": INK},
            )
    figure.update_layout(margin={"r": 96})
    return figure


def _plain(text: str) -> str:
    """Text that plotly shows as it stands: its labels read a little HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
