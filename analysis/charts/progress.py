"""How a running study fills: counts only, nothing that a listener answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go

from analysis.charts.theme import INK, PALETTE, new_figure

#: Points of a line at most; of more listeners only every second, third, ... is drawn, and the last.
MOST_POINTS = 500


def listeners_over_time(started: Sequence[datetime], finished: Sequence[datetime]) -> go.Figure:
    """Listeners started and finished, added up over time: one step for each, at the moment it happened."""
    figure = new_figure(y_title="listeners", height=280)
    lines = (("started", started, PALETTE[0], "dash", 8), ("finished", finished, INK, "solid", -8))
    for name, moments, color, dash, shift in lines:
        points = _thinned([(moment, place) for place, moment in enumerate(sorted(moments), start=1)])
        if not points:
            continue
        figure.add_scatter(
            x=[moment.isoformat() for moment, _ in points],
            y=[count for _, count in points],
            mode="lines+markers" if len(points) == 1 else "lines",
            line={"color": color, "width": 2, "dash": dash, "shape": "hv"},
            hovertemplate="%{x|%Y-%m-%d %H:%M}: %{y} " + name + "<extra></extra>",
        )
        figure.add_annotation(
            x=points[-1][0].isoformat(),
            y=points[-1][1],
            text=f"{name}, n = {len(moments)}",
            xanchor="left",
            xshift=8,
            yshift=shift,
            showarrow=False,
        )
    figure.update_xaxes(type="date", nticks=6)
    figure.update_yaxes(rangemode="tozero", tickformat="d")
    figure.update_layout(margin={"r": 128})
    return figure


def _thinned(points: list) -> list:
    step = -(-len(points) // MOST_POINTS) or 1
    kept = points[::step]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]
