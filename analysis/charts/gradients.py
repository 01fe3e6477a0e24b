"""How did every layer learn? Gradients and values of a few entries of each parameter, as spheres in space.

The picture is that of the gradient viewer of MELODL4J (Smith 2017, examples of deeplearning4j). A sphere is
one entry. Those of a tensor stand in rows of ten; a layer has two levels, its weights and above them its
biases, and tensors of one level stand side by side. Hue says the gradient: green is near 0, blue positive,
red negative (the original's formula; its comment says the opposite). Size says the value of the entry. One
slider goes through the updates, another through sensitivities of the hue.
"""

from __future__ import annotations

import colorsys
import html
import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.charts.theme import INK, PAPER, RULE
from analysis.errors import AnalysisError

ROW = 10  # spheres side by side
BLOCK = ROW + 2  # from one tensor of a level to the next
SENSITIVITIES = tuple(10.0**power for power in range(8))
HUE_REACH = 6.0  # where the logistic curve of the hue is as good as at its end
MOST_SPHERES = 400_000  # of all updates together; above this only some updates are drawn
_STOPS = 49


def hue_of(gradients: np.ndarray, sensitivity: float) -> np.ndarray:
    """Hues in degrees: 260 (blue) for large positive gradients, 130 (green) at 0, 0 (red) for negative."""
    return 260 - 260 / (1 + np.exp(np.clip(sensitivity * np.asarray(gradients, dtype=float), -500, 500)))


def radius_of(values: np.ndarray) -> np.ndarray:
    """Radii in pixels, 2 to 12: the larger the value of the parameter, the larger the sphere."""
    return 2 + 10 / (1 + np.exp(np.clip(-100 * np.asarray(values, dtype=float), -500, 500)))


def levels_of(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """The level of each tensor, from 0, and names of the levels; a layer is what precedes the last dot."""
    kinds = [(*_layer_of(name), index) for index, name in enumerate(names)]
    layers = list(dict.fromkeys(layer for layer, _, _ in kinds))
    there = sorted({(layers.index(layer), is_bias) for layer, is_bias, _ in kinds})
    levels = [there.index((layers.index(layer), is_bias)) for layer, is_bias, _ in kinds]
    titles = [f"{layers[layer] or 'model'}: {'biases' if is_bias else 'weights'}" for layer, is_bias in there]
    return levels, titles


def sphere_places(names: Sequence[str], tensor: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Where the spheres stand: (n_entries, 3) as column, row, level; and what the levels are called.

    Parameters
    ----------
    names : sequence of str
        Of the tensors, as in ``encoder.weight``.
    tensor : np.ndarray [shape=(n_entries,), dtype=int]
        Which tensor an entry is of; those of one tensor stand together.
    """
    levels, titles = levels_of(names)
    blocks, used = [], dict.fromkeys(range(len(titles)), 0)
    for level in levels:
        blocks.append(used[level])
        used[level] += 1
    tensor = np.asarray(tensor, dtype=int)
    place = np.zeros(len(tensor), dtype=int)
    for index in range(len(names)):
        place[tensor == index] = np.arange((tensor == index).sum())
    column = np.array(blocks, dtype=int)[tensor] * BLOCK + place % ROW
    return np.stack([column, place // ROW, np.array(levels, dtype=int)[tensor]], axis=1), titles


def gradients_figure(
    names: Sequence[str],
    tensor: np.ndarray,
    entry: np.ndarray,
    updates: np.ndarray,
    gradients: np.ndarray,
    values: np.ndarray,
) -> go.Figure:
    """The spheres, with one frame per recorded update.

    Parameters
    ----------
    names, tensor
        As in `sphere_places`.
    entry : np.ndarray [shape=(n_entries,), dtype=int]
        Which entry of its tensor, when flattened.
    updates : np.ndarray [shape=(n_records,), dtype=int]
        After how many updates a record was made, in ascending order.
    gradients, values : np.ndarray [shape=(n_records, n_entries), dtype=float]
        What is no number was not learned at that update, and has no sphere in its frame.

    Raises
    ------
    AnalysisError
        If there is no record, or the arrays do not fit each other.
    """
    shape = (len(updates), len(tensor))
    if not len(updates) or not len(tensor):
        raise AnalysisError("there are no gradients to draw: none were recorded")
    if np.shape(gradients) != shape or np.shape(values) != shape or len(entry) != len(tensor):
        raise AnalysisError(
            f"{shape[0]} records of {shape[1]} entries need arrays of {shape}, got gradients of "
            f"{np.shape(gradients)} and values of {np.shape(values)}"
        )
    places, titles = sphere_places(names, tensor)
    drawn = _thinned(len(updates), max(2, MOST_SPHERES // len(tensor)))
    sensitivity = _fitting_sensitivity(gradients)
    markers = [_marker(gradients[record], values[record]) for record in drawn]
    figure = go.Figure(
        go.Scatter3d(
            x=places[:, 0],
            y=places[:, 1],
            z=places[:, 2],
            mode="markers",
            text=[f"{names[index]}[{number}]" for index, number in zip(tensor, entry, strict=True)],
            hovertemplate="%{text}<br>gradient %{marker.color:.3g}<extra></extra>",
            marker={
                **markers[-1],
                "colorscale": _color_scale(),
                "cmin": -HUE_REACH / sensitivity,
                "cmax": HUE_REACH / sensitivity,
                "line": {"width": 0},
                "sizemode": "diameter",
                "sizeref": 1,
            },
        ),
        frames=[
            go.Frame(name=str(updates[record]), data=[{"type": "scatter3d", "marker": marker}], traces=[0])
            for record, marker in zip(drawn, markers, strict=True)
        ],
    )
    axis = {"showbackground": False, "gridcolor": RULE, "zeroline": False, "title": ""}
    hidden = {**axis, "showticklabels": False, "showgrid": False}
    figure.update_layout(
        template="none",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        height=760,
        scene={
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": {**axis, "tickvals": list(range(len(titles))), "ticktext": titles},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.1, "y": 0.7, "z": 1.2},
            "uirevision": "kept",
        },
        updatemenus=[_play_and_pause()],
        sliders=[_slider_of_updates(updates[drawn]), _slider_of_sensitivities(sensitivity)],
    )
    return figure


def gradients_html(figure: go.Figure, *, title: str, remark: str = "") -> str:
    """The figure as a page that needs nothing else; texts are escaped."""
    from plotly.offline import get_plotlyjs  # slow to import, and 4 MB

    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, auto_play=False, config={"responsive": True}
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(remark)}</p>"
        "<p>Each sphere is one entry of a parameter. Blue: positive gradient; green: near 0; red: negative. "
        "The larger its value, the larger the sphere. Layers go upwards, each with its weights and then its "
        "biases; a part that did not learn at an update has no spheres there.</p>"
        f"{drawn}</main></body></html>\n"
    )


_STYLE = (
    f"body {{ margin: 0; background: {PAPER}; color: {INK}; font: 16px/1.5 system-ui, sans-serif; }} "
    "main { max-width: 1200px; margin: 0 auto; padding: 16px; } h1 { font-size: 24px; margin: 8px 0; } "
    "p { max-width: 75ch; margin: 8px 0; }"
)


def _layer_of(name: str) -> tuple[str, bool]:
    """The layer that a tensor belongs to, and whether it is a bias."""
    layer, _, own = name.rpartition(".")
    return layer, "bias" in own


def _thinned(n: int, most: int) -> np.ndarray:
    """At most so many of n numbers, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _fitting_sensitivity(gradients: np.ndarray) -> float:
    """The one of the slider at which a common gradient is between green and its end."""
    sizes = np.abs(gradients[np.isfinite(gradients) & (gradients != 0)])
    if not len(sizes):
        return 100.0
    power = round(math.log10(2.0 / float(np.percentile(sizes, 75))))
    return SENSITIVITIES[min(max(power, 0), len(SENSITIVITIES) - 1)]


def _marker(gradients: np.ndarray, values: np.ndarray) -> dict:
    learned = np.isfinite(gradients) & np.isfinite(values)
    size = np.where(learned, radius_of(np.where(learned, values, 0.0)), 0.0)
    color = np.where(learned, gradients, 0.0)
    return {"color": color.astype(np.float32), "size": size.astype(np.float32)}


def _color_scale() -> list[list]:
    scale = []
    for stop in np.linspace(0, 1, _STOPS):
        hue = float(hue_of(np.array(HUE_REACH * (2 * stop - 1)), 1.0))
        red, green, blue = colorsys.hls_to_rgb(hue / 360, 0.45, 0.9)
        scale.append([float(stop), f"rgb({round(255 * red)},{round(255 * green)},{round(255 * blue)})"])
    return scale


def _at_once(milliseconds: int) -> dict:
    return {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": milliseconds, "redraw": True},
        "transition": {"duration": 0},
    }


def _slider_of_updates(updates: np.ndarray) -> dict:
    return {
        "active": len(updates) - 1,
        "currentvalue": {"prefix": "update "},
        "x": 0.12,
        "len": 0.86,
        "y": 0.02,
        "pad": {"t": 8},
        "steps": [
            {"label": str(update), "method": "animate", "args": [[str(update)], _at_once(0)]}
            for update in updates
        ],
    }


def _slider_of_sensitivities(chosen: float) -> dict:
    return {
        "active": SENSITIVITIES.index(chosen),
        "currentvalue": {"prefix": "sensitivity of the hue "},
        "x": 0.12,
        "len": 0.86,
        "y": -0.12,
        "pad": {"t": 8, "b": 8},
        "steps": [
            {
                "label": f"{each:g}",
                "method": "restyle",
                "args": [{"marker.cmin": -HUE_REACH / each, "marker.cmax": HUE_REACH / each}],
            }
            for each in SENSITIVITIES
        ],
    }


def _play_and_pause() -> dict:
    return {
        "type": "buttons",
        "x": 0.0,
        "xanchor": "left",
        "y": -0.06,
        "yanchor": "bottom",
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, _at_once(250)]},
            {"label": "Pause", "method": "animate", "args": [[None], _at_once(0)]},
        ],
    }
