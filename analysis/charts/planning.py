"""How much a study can show: the detectable difference against the number of listeners."""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.charts.theme import INK, PALETTE, new_figure


def detectable_figure(plan: dict) -> go.Figure:
    """One curve per number of pieces: what four in five studies find, by the number of listeners."""
    figure = new_figure(x_title="listeners", y_title="detectable difference, points", height=400)
    own = plan["size"]
    amounts = list(dict.fromkeys(point["n_pieces"] for point in plan["curves"]))
    most = max(point["n_participants"] for point in plan["curves"])
    for index, n_pieces in enumerate(amounts):
        points = [point for point in plan["curves"] if point["n_pieces"] == n_pieces]
        is_own = n_pieces == own["n_pieces"]
        color = INK if is_own else PALETTE[index % len(PALETTE)]
        figure.add_scatter(
            x=[point["n_participants"] for point in points],
            y=[point["detectable"] for point in points],
            mode="lines",
            line={"color": color, "width": 3 if is_own else 2},
            hovertemplate=f"{n_pieces} pieces, %{{x}} listeners: %{{y:.2f}} points<extra></extra>",
        )
        figure.add_annotation(
            x=1.02 * most,
            y=points[-1]["detectable"],
            text=f"{n_pieces} pieces",
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            font={"color": color, "size": 13},
        )
    if own["n_participants"] <= most:
        figure.add_scatter(
            x=[own["n_participants"]],
            y=[plan["detectable"]],
            mode="markers",
            marker={"size": 13, "color": INK, "symbol": "diamond"},
            hovertemplate="this plan: %{y:.2f} points<extra></extra>",
        )
    figure.update_xaxes(range=[0, 1.22 * most])
    figure.update_yaxes(rangemode="tozero")
    return figure
