"""Listeners: how they use the scale, tell human from machine, how sure they are, and whether they tire."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from scipy import stats

from analysis.charts.rows import interval_words, label, whiskers
from analysis.charts.theme import INK, RULE, new_figure

ISO_D_PRIME = (0.0, 1.0, 2.0)  # lines of one sensitivity in the plot of hits against false alarms
LEFT_OUT = "#D55E00"


def diagnostics_figure(result: dict) -> go.Figure:
    """One dot per listener: leaning against carelessness; those whose ratings do not count are crosses."""
    figure = new_figure(
        x_title="leaning, points above the others", y_title="inconsistency, SD in points", height=380
    )
    known = [row for row in result["listeners"] if row["bias"] is not None]
    figure.add_vline(x=0, line={"color": RULE, "width": 1})
    for counted, color, symbol in ((True, INK, "circle"), (False, LEFT_OUT, "x")):
        rows = [row for row in known if row["counted"] == counted]
        figure.add_scatter(
            x=[row["bias"] for row in rows],
            y=[row["inconsistency"] for row in rows],
            mode="markers",
            marker={"size": 9, "color": color, "opacity": 0.5 if counted else 1.0, "symbol": symbol},
            customdata=[[label(row["participant"]), row["n_ratings"]] for row in rows],
            hovertemplate="%{customdata[0]}: %{x:+.2f}, SD %{y:.2f}, n = %{customdata[1]}<extra></extra>",
        )
    figure.update_yaxes(rangemode="tozero")
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
        customdata=[[label(row["participant"]), row["n_ratings"]] for row in rows],
        hovertemplate="%{customdata[0]}: mean %{x:.2f}, SD %{y:.2f}, n = %{customdata[1]}<extra></extra>",
    )
    figure.update_xaxes(range=[0.8, 10.2], dtick=1)
    figure.update_yaxes(rangemode="tozero")
    return figure


def rates_figure(result: dict) -> go.Figure:
    """One dot per listener: hits against false alarms, with lines of equal d'; all answers as a diamond."""
    detection = result["detection"]
    figure = new_figure(
        x_title="false alarms: generated judged human, %",
        y_title="hits: real judged human, %",
        height=420,
    )
    across = np.linspace(0.001, 0.999, 99)
    for sensitivity in ISO_D_PRIME:
        hits = stats.norm.cdf(stats.norm.ppf(across) + sensitivity)
        figure.add_scatter(
            x=(100 * across).tolist(),
            y=(100 * hits).tolist(),
            mode="lines",
            line={"color": "#5c5c58", "width": 1, "dash": "dash"},
            hoverinfo="skip",
        )
        at = 30
        figure.add_annotation(
            x=100 * across[at],
            y=100 * hits[at],
            text=f"d' = {sensitivity:g}",
            showarrow=False,
            xanchor="left",
            yanchor="top",
            font={"size": 12, "color": INK},
        )
    rows = detection["listeners"]
    figure.add_scatter(
        x=[100 * row["false_alarm_rate"] for row in rows],
        y=[100 * row["hit_rate"] for row in rows],
        mode="markers",
        marker={"size": 9, "color": INK, "opacity": 0.4},
        customdata=[[label(row["participant"]), row["n"]] for row in rows],
        hovertemplate="%{customdata[0]}: n = %{customdata[1]}<extra></extra>",
    )
    figure.add_scatter(
        x=[100 * detection["false_alarm_rate"]],
        y=[100 * detection["hit_rate"]],
        mode="markers",
        marker={"size": 15, "color": "#0072B2", "symbol": "diamond"},
        hovertemplate="all answers: %{x:.0f} %, %{y:.0f} %<extra></extra>",
    )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    figure.update_yaxes(range=[-2, 102], dtick=20)
    return figure


def calibration_figure(result: dict) -> go.Figure:
    """One point per confidence: the share of right answers against the chance it is taken to state."""
    figure = new_figure(x_title="stated chance of being right, %", y_title="answers that were right, %")
    figure.add_scatter(
        x=[50, 100], y=[50, 100], mode="lines", line={"color": RULE, "width": 2}, hoverinfo="skip"
    )
    for level in result["detection"]["calibration"]["levels"]:
        share = 100 * level["share_right"]
        low, high = (None if level[end] is None else 100 * level[end] for end in ("ci_low", "ci_high"))
        figure.add_scatter(
            x=[100 * level["stated"]],
            y=[share],
            mode="markers+text",
            marker={"size": 12, "color": INK, "symbol": "diamond"},
            error_y=whiskers(share, low, high, INK),
            text=[f"n = {level['n']}"],
            textposition="middle right",
            customdata=[[interval_words(low, high, ".0f")]],
            hovertemplate="%{y:.0f} % %{customdata[0]}<extra></extra>",
        )
    figure.update_xaxes(range=[45, 112], tickvals=[50, 60, 70, 80, 90, 100])
    figure.update_yaxes(range=[-2, 102], dtick=20)
    return figure


def drift_figure(result: dict) -> go.Figure:
    """Mean distance from what is expected at each place of a session, with its 95 % interval."""
    places = result["drift"]["places"]
    figure = new_figure(x_title="place in the session", y_title="points above what is expected")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    reach = [1.96 * row["se"] if row["se"] is not None else 0.0 for row in places]
    figure.add_scatter(
        x=[row["trial"] for row in places],
        y=[row["residual"] for row in places],
        mode="markers",
        marker={"size": 9, "color": INK},
        error_y={"type": "data", "array": reach, "color": INK, "thickness": 1, "width": 4},
        hovertemplate="place %{x}: %{y:+.2f}<extra></extra>",
    )
    return figure
