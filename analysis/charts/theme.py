"""The one look of every chart: paper and ink, the Okabe-Ito palette in a fixed order, real music in ink."""

import plotly.graph_objects as go

INK = "#1a1a1a"
PAPER = "#ffffff"
RULE = "#d9d9d6"

#: Okabe and Ito's eight colours that most readers can tell apart, black left to real music.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


def condition_colors(
    conditions: list[str], *, real: set[str] | frozenset[str] = frozenset()
) -> dict[str, str]:
    """One colour per condition in the given order; every condition in `real` is ink."""
    others = [name for name in conditions if name not in real]
    colors = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(others)}
    return {name: colors.get(name, INK) for name in conditions}


def new_figure(*, x_title: str = "", y_title: str = "", height: int = 360) -> go.Figure:
    """An empty figure in the house style: no legend, hairline grid, room for long labels."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 24, "r": 24, "t": 16, "b": 48},
        height=height,
        showlegend=False,
        hoverlabel={"font": {"family": "system-ui, sans-serif", "size": 13}},
    )
    figure.update_xaxes(title=x_title, gridcolor=RULE, zeroline=False, linecolor=INK, automargin=True)
    figure.update_yaxes(title=y_title, gridcolor=RULE, zeroline=False, linecolor=INK, automargin=True)
    return figure
