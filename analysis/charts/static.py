"""A plotly figure as an SVG drawing that needs no browser: the same marks for print as for the screen.

It knows what the charts of `analysis.charts` use: scatter traces with error bars, stacked bars, heat maps,
lines and rectangles across the plot, and annotations. Anything else is refused rather than left out.
"""

from __future__ import annotations

import html
import io
import re

import plotly.graph_objects as go

from analysis.errors import AnalysisError

PIXELS_PER_INCH = 96
POINTS_PER_PIXEL = 72 / PIXELS_PER_INCH
WIDTH = 760  # pixels

SYMBOLS = {"circle": "o", "diamond": "D", "x": "X", "line-ns-open": "|", "square": "s", None: "o"}
DASHES = {"dot": ":", "dash": "--", None: "-", "solid": "-"}

SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "font.size": 13 * POINTS_PER_PIXEL,
    "text.parse_math": False,  # a participant may be called $1$
    "svg.hashsalt": "earwitness",  # the same figure is the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg_of(figure: go.Figure, *, caption: str = "", width: int = WIDTH, as_paths: bool = False) -> str:
    """The figure as an SVG document; the same figure gives the same text.

    Parameters
    ----------
    caption : str
        The description within the file, for readers who do not see it.
    as_paths : bool
        Draw letters as shapes, for readers of SVG without fonts.

    Raises
    ------
    AnalysisError
        If the figure has a kind of trace that is unknown here.
    """
    import warnings

    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    layout = figure.layout
    fonttype = {"svg.fonttype": "path" if as_paths else "none"}
    with matplotlib.rc_context({**SETTINGS, **fonttype}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script without a font: an empty box
        size = width / PIXELS_PER_INCH, (layout.height or 360) / PIXELS_PER_INCH
        page = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(page)
        axes = page.add_subplot()
        _draw_axes(axes, layout)
        for trace in figure.data:
            draw = DRAWERS.get(trace.type)
            if draw is None:
                raise AnalysisError(
                    f"no drawing for traces of type {trace.type!r}; known are {', '.join(DRAWERS)}"
                )
            draw(axes, trace)
        _draw_shapes(axes, layout)
        for note in layout.annotations:
            axes.text(
                note.x,
                note.y,
                plain(note.text),
                ha={"left": "left", "right": "right"}.get(note.xanchor, "center"),
                va={"top": "top", "bottom": "bottom"}.get(note.yanchor, "center"),
                color=note.font.color or "#1a1a1a",
            )
        _set_ranges(axes, layout)
        target = io.StringIO()
        page.savefig(target, format="svg", metadata={"Date": None, "Description": caption})
    return target.getvalue()


def plain(text: str) -> str:
    """A plotly label without its markup: line breaks as such, entities as characters."""
    lines = re.sub(r"<br\s*/?>", "\n", text)
    return html.unescape(re.sub(r"</?(?:b|i|sub|sup)>", "", lines))


def _draw_axes(axes, layout) -> None:
    for axis, of_layout in ((axes.xaxis, layout.xaxis), (axes.yaxis, layout.yaxis)):
        axis.set_label_text(plain(of_layout.title.text or ""))
        if of_layout.showgrid is not False:
            axis.grid(color=of_layout.gridcolor, linewidth=0.8)
        if of_layout.tickvals is not None:
            texts = of_layout.ticktext or [f"{value:g}" for value in of_layout.tickvals]
            axis.set_ticks(list(of_layout.tickvals), [plain(str(text)) for text in texts])
            for drawn, text in zip(axis.get_ticklabels(), texts, strict=True):
                drawn.set_fontweight("bold" if str(text).startswith("<b>") else "normal")
        elif of_layout.dtick:
            from matplotlib.ticker import MultipleLocator

            axis.set_major_locator(MultipleLocator(of_layout.dtick))
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    if layout.xaxis.side == "top":
        axes.xaxis.tick_top()


def _set_ranges(axes, layout) -> None:
    if layout.xaxis.range:
        axes.set_xlim(*layout.xaxis.range)
    if layout.yaxis.range:
        axes.set_ylim(*layout.yaxis.range)
    elif layout.yaxis.rangemode == "tozero":
        axes.set_ylim(bottom=0)


def _draw_scatter(axes, trace) -> None:
    if not trace.x:
        return
    opacity = 1.0 if trace.opacity is None else trace.opacity
    if "lines" in trace.mode:
        axes.plot(
            trace.x,
            trace.y,
            color=trace.line.color,
            linewidth=(trace.line.width or 2) * POINTS_PER_PIXEL,
            linestyle=DASHES[trace.line.dash],
            alpha=opacity,
            solid_capstyle="butt",
        )
    _draw_bars_of_error(axes, trace)
    if "markers" in trace.mode:
        _draw_markers(axes, trace)
    if "text" in trace.mode:
        _draw_texts(axes, trace)


def _draw_markers(axes, trace) -> None:
    marker = trace.marker
    n = len(trace.x)
    sizes = list(marker.size) if isinstance(marker.size, tuple) else [marker.size or 6] * n
    colors = (
        list(marker.color) if isinstance(marker.color, tuple) else [marker.color or marker.line.color] * n
    )
    is_line = (marker.symbol or "").startswith("line")
    shrink = 0.75 if marker.symbol == "diamond" else 1.0  # plotly gives a diamond's diagonal
    axes.scatter(
        trace.x,
        trace.y,
        s=[(size * shrink * POINTS_PER_PIXEL) ** 2 for size in sizes],
        c=[marker.line.color] * n if is_line else colors,
        marker=SYMBOLS[marker.symbol],
        alpha=1.0 if marker.opacity is None else marker.opacity,
        edgecolors=None if is_line else marker.line.color or "none",
        linewidths=(marker.line.width or 0) * POINTS_PER_PIXEL,
        zorder=3,
    )


def _draw_bars_of_error(axes, trace) -> None:
    for name in ("x", "y"):
        bars = trace[f"error_{name}"]
        if bars.array is None:
            continue
        below = bars.array if bars.arrayminus is None else bars.arrayminus
        axes.errorbar(
            trace.x,
            trace.y,
            **{f"{name}err": [list(below), list(bars.array)]},
            fmt="none",
            ecolor=bars.color,
            elinewidth=(bars.thickness or 2) * POINTS_PER_PIXEL,
            capsize=(bars.width or 4) * POINTS_PER_PIXEL,
            zorder=2,
        )


def _draw_texts(axes, trace) -> None:
    vertical, _, horizontal = (trace.textposition or "top center").partition(" ")
    offset = {"top": (0, 8), "middle": (8, 0), "bottom": (0, -8)}[vertical]
    for x, y, text in zip(trace.x, trace.y, trace.text, strict=True):
        axes.annotate(
            plain(text),
            (x, y),
            xytext=offset,
            textcoords="offset points",
            ha={"right": "left", "left": "right", "center": "center"}[horizontal or "center"],
            va={"top": "bottom", "middle": "center", "bottom": "top"}[vertical],
        )


def _draw_bar(axes, trace) -> None:
    """A stacked horizontal bar: it begins where the bars drawn before it end."""
    starts = [0.0] * len(trace.x)
    for patch in axes.patches:
        index = round(patch.get_y() + patch.get_height() / 2)
        starts[index] = max(starts[index], patch.get_x() + patch.get_width())
    axes.barh(
        list(trace.y),
        list(trace.x),
        height=trace.width,
        left=starts,
        color=trace.marker.color,
        edgecolor=trace.marker.line.color,
        linewidth=trace.marker.line.width,
    )
    for y, x, start, text in zip(trace.y, trace.x, starts, trace.text or (), strict=False):
        axes.text(start + x / 2, y, text, ha="center", va="center", color=trace.textfont.color)


def _draw_heatmap(axes, trace) -> None:
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("shades", [tuple(step) for step in trace.colorscale])
    scaled = Normalize(trace.zmin, trace.zmax)
    for y, line, texts in zip(trace.y, trace.z, trace.text, strict=True):
        for x, value, text in zip(trace.x, line, texts, strict=True):
            if value is None:
                continue
            axes.add_patch(Rectangle((x - 0.49, y - 0.48), 0.98, 0.96, color=shades(scaled(value))))
            weight = "bold" if text.startswith("<b>") else "normal"
            axes.text(x, y, plain(text), ha="center", va="center", weight=weight)
    axes.set_xlim(-0.5, len(trace.x) - 0.5)


def _draw_shapes(axes, layout) -> None:
    """Lines and bands from one side of the plot to the other, as `add_vline` and `add_vrect` make them."""
    for shape in layout.shapes:
        upright = (shape.yref or "").endswith("domain")
        along, low, high = (axes, shape.x0, shape.x1) if upright else (axes, shape.y0, shape.y1)
        if shape.type == "rect":
            band = along.axvspan if upright else along.axhspan
            band(low, high, color=shape.fillcolor, alpha=shape.opacity, linewidth=0, zorder=0)
        else:
            line = along.axvline if upright else along.axhline
            line(low, color=shape.line.color, linewidth=shape.line.width * POINTS_PER_PIXEL, zorder=1)


DRAWERS = {"scatter": _draw_scatter, "bar": _draw_bar, "heatmap": _draw_heatmap}
