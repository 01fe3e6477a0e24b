"""What was copied, as figures: generated music against held-out human music and a shuffled control.

Each takes the result of `analysis.plagiarism.report.originality`. The three sets stand one above the other on
one scale, each named beside its bars with its n, human music in ink: so nothing rests on colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.charts.theme import INK, PALETTE, RULE, new_figure
from analysis.errors import AnalysisError

#: The sets in the order in which they are drawn, top to bottom.
SETS = (("generated", "Generated"), ("baseline", "Human"), ("control", "Shuffled"))
COLORS = {"generated": PALETTE[0], "baseline": INK, "control": "#8c8c88"}
ROW_HEIGHT = 110
OVERLAP_BIN = 0.05
MOST_BINS = 40
MARK_PIXELS = 12


def overlap_figure(result: dict) -> go.Figure:
    """How much windows share with their nearest corpus window: one histogram per set, from 0 to 100 %.

    Raises
    ------
    AnalysisError
        If note overlap was not measured.
    """
    scores = _distributions(result, "overlap")
    # A share that lies on an edge belongs to the bar that starts there; 100 % to the last.
    edges = np.round(np.arange(0, 1 + OVERLAP_BIN / 2, OVERLAP_BIN), 6)
    figure = _histograms(
        scores,
        edges,
        x_title="notes shared with nearest window",
        word="window",
        label=lambda low, high: f"{low:.0%} to {high:.0%}",
        mean=lambda value: f"mean {value:.0%}",
    )
    figure.update_xaxes(range=[-0.01, 1.02], tickformat=".0%", dtick=0.2)
    return figure


def melody_figure(result: dict) -> go.Figure:
    """How long melody matches are, by their score: one histogram per set.

    Raises
    ------
    AnalysisError
        If melody match was not measured.
    """
    scores = _distributions(result, "melody")
    largest = int(max((max(values) for values in scores.values() if len(values)), default=1))
    width = max(1, -(-(largest + 1) // MOST_BINS))
    edges = np.arange(0, largest + 1 + width, width) - 0.5
    figure = _histograms(
        scores,
        edges,
        x_title="score of the best match",
        word="melody",
        plural="melodies",
        label=lambda low, high: _whole_range(low, high),
        mean=lambda value: f"mean {value:.1f}",
    )
    figure.update_xaxes(range=[edges[0], edges[-1] + width / 2], tick0=0)
    return figure


def frontier_figure(result: dict) -> go.Figure:
    """Steps of melody matched when 0, 1, 2, ... edits are allowed: medians as lines, 95th percentiles dotted.

    Raises
    ------
    AnalysisError
        If melody match was not measured.
    """
    summary = _summary(result, "melody")
    figure = new_figure(x_title="edits allowed", y_title="steps of melody matched", height=360)
    frontiers = {
        "generated": (summary["frontier"], summary["n"]),
        "baseline": (summary["baseline"]["frontier"], summary["baseline"]["n"]),
        "control": (summary["control"]["frontier"], summary["control"]["n"]),
    }
    ends = []
    for key, name in SETS:
        frontier, n = frontiers[key]
        for statistic, dash, words in (("median", "solid", "median"), ("p95", "dot", "p95")):
            lengths = frontier[statistic]
            if lengths is None:
                continue
            figure.add_scatter(
                x=list(range(len(lengths))),
                y=lengths,
                mode="lines+markers",
                line={"color": COLORS[key], "width": 2, "dash": dash},
                marker={"size": 7, "symbol": "circle" if statistic == "median" else "circle-open"},
                hovertemplate=f"{name}, {words}: %{{y:.1f}} steps with up to %{{x}} edits<extra></extra>",
            )
            label = f"{name}, {words}" + (f", n = {n:,}" if statistic == "median" else "")
            ends.append((lengths[-1], len(lengths) - 1, label))
    top = max((end[0] for end in ends), default=1)
    for height, (_, last, text) in zip(_spread([end[0] for end in ends], top / 14), ends, strict=True):
        figure.add_annotation(
            x=last,
            y=height,
            text=text,
            xanchor="left",
            xshift=12,
            showarrow=False,
            font={"color": INK, "size": 13},
        )
    n_edits = max((end[1] for end in ends), default=1)
    figure.update_xaxes(range=[-0.1, n_edits * 2.1 + 0.1], tickvals=list(range(n_edits + 1)))
    figure.update_yaxes(rangemode="tozero", title_font_size=14)
    figure.update_xaxes(title_font_size=14)
    return figure


def overlap_caption(result: dict) -> str:
    """What the overlap histograms show and of how many windows."""
    summary = _summary(result, "overlap")
    return (
        "Share of windows by how many of their notes stand together in one window of the corpus. Thin "
        f"lines mark the means. Human windows ({summary['baseline']['kind']}) are compared with every piece "
        "but their own; the control is the generated windows with their columns in random order."
    )


def melody_caption(result: dict) -> str:
    """What the melody histograms show and of how many melodies."""
    baseline = _summary(result, "melody")["baseline"]
    return (
        "Share of melodies by the score of their best match in the corpus. Thin lines mark the means. "
        f"Human melodies ({baseline['kind']}) are cut into passages of {baseline['tokens']} steps, the "
        "median length of the generated ones, and compared with every piece but their own; the control is "
        "the generated melodies with their steps in random order."
    )


def frontier_caption(result: dict) -> str:
    """What the frontier shows."""
    _summary(result, "melody")
    return (
        "The longest stretch of melody found in the corpus when so many edits are allowed: steps changed, "
        "left out or added. Solid lines are medians over melodies, dotted lines 95th percentiles (p95)."
    )


def _summary(result: dict, part: str) -> dict:
    summary = result["summary"].get(part)
    if summary is None:
        words = {"overlap": "note overlap", "melody": "melody match"}[part]
        raise AnalysisError(
            f"the result has no {words}: it was asked for {result['settings'].get('only')!r} only"
        )
    return summary


def _distributions(result: dict, part: str) -> dict[str, np.ndarray]:
    _summary(result, part)
    return {key: np.asarray(values, dtype=float) for key, values in result["distributions"][part].items()}


def _histograms(
    scores: dict[str, np.ndarray],
    edges: np.ndarray,
    *,
    x_title: str,
    word: str,
    plural: str = "",
    label: Callable[[float, float], str],
    mean: Callable[[float], str],
) -> go.Figure:
    """One row of bars per set over one axis, all rows with one vertical scale."""
    plural = plural or f"{word}s"
    figure = new_figure(height=ROW_HEIGHT * len(SETS) + 72)
    shares = {}
    for key, _ in SETS:
        places = np.clip(
            np.searchsorted(edges, np.round(scores[key], 9), side="right") - 1, 0, len(edges) - 2
        )
        counts = np.bincount(places, minlength=len(edges) - 1)
        shares[key] = counts, counts / max(len(scores[key]), 1)
    tallest = max(float(share.max(initial=0)) for _, share in shares.values()) or 1.0
    for row, (key, name) in enumerate(SETS):
        counts, share = shares[key]
        axis = "" if row == 0 else str(row + 1)
        top = 1 - row / len(SETS)
        figure.update_layout(
            {
                f"yaxis{axis}": {
                    "domain": [top - 0.78 / len(SETS), top - 0.08 / len(SETS)],
                    "range": [0, tallest * 1.25],
                    "tickformat": ".0%",
                    "nticks": 3,
                    "gridcolor": RULE,
                    "zeroline": False,
                    "automargin": True,
                    "showline": False,
                }
            }
        )
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=share,
            width=np.diff(edges) * 0.92,
            marker={"color": COLORS[key]},
            customdata=[
                [label(low, high), _counted(int(count), word, plural)]
                for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
            hovertemplate=f"{name}, %{{customdata[0]}}: %{{customdata[1]}} (%{{y:.0%}})<extra></extra>",
            yaxis=f"y{axis}",
        )
        words = f"{name}, n = {_counted(len(scores[key]), word, plural)}"
        if len(scores[key]):
            value = float(scores[key].mean())
            words += f", {mean(value)}"
            figure.add_shape(
                type="line",
                x0=value,
                x1=value,
                y0=0,
                y1=tallest * 1.1,
                yref=f"y{axis}",
                line={"color": COLORS[key], "width": 1},
            )
        height = top - 0.02 / len(SETS)
        figure.add_annotation(
            x=1,
            y=height,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="top",
            xshift=-MARK_PIXELS - 6,
            text=words,
            showarrow=False,
            font={"color": INK},
        )
        # Few colours are dark enough for text: the words are ink, and a mark beside them has the colour.
        figure.add_shape(
            type="rect",
            name=f"mark of {name}",
            xref="paper",
            yref="paper",
            xsizemode="pixel",
            ysizemode="pixel",
            xanchor=1,
            yanchor=height,
            x0=-MARK_PIXELS,
            x1=0,
            y0=-6 - MARK_PIXELS,
            y1=-6,
            fillcolor=COLORS[key],
            line={"width": 0},
        )
    figure.update_xaxes(title={"text": x_title, "font": {"size": 14}}, anchor=f"y{len(SETS)}", showgrid=False)
    return figure


def _counted(n: int, word: str, plural: str) -> str:
    return f"{n:,} {word if n == 1 else plural}"


def _whole_range(low: float, high: float) -> str:
    first, last = round(low + 0.5), round(high - 0.5)
    return f"score {first}" if first == last else f"score {first} to {last}"


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """The same heights moved upward as little as keeps each `gap` from the next below."""
    placed = [0.0] * len(heights)
    lowest = -np.inf
    for place in sorted(range(len(heights)), key=lambda index: heights[index]):
        placed[place] = max(heights[place], lowest + gap)
        lowest = placed[place]
    return placed
