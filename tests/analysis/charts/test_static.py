import re
import xml.etree.ElementTree as ET

import plotly.graph_objects as go
import pytest

from analysis.charts.static import plain, svg_of
from analysis.charts.theme import new_figure
from analysis.errors import AnalysisError

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ET.fromstring(svg).iter(f"{SVG}text")]


def figure_of(**axes) -> go.Figure:
    figure = new_figure(x_title="points", height=200)
    figure.update_xaxes(range=[0, 10], dtick=5, **axes)
    figure.add_scatter(x=[2, 8], y=[1, 1], mode="markers", marker={"size": 10, "color": "#0072B2"})
    return figure


def test_titles_ticks_and_notes_are_text_as_it_was_meant():
    figure = figure_of()
    figure.update_yaxes(tickvals=[1], ticktext=["a &lt;b&gt; $1$<br>n = 2"])
    figure.add_annotation(x=5, y=1, text="<b>here</b>", showarrow=False)
    said = " ".join(texts(svg_of(figure)))
    for words in ("points", "a <b> $1$", "n = 2", "here"):
        assert words in said


def test_a_drawing_never_changes_and_carries_its_caption():
    drawn = svg_of(figure_of(), caption="What & why")
    assert drawn == svg_of(figure_of(), caption="What & why")
    assert "What &amp; why" in drawn
    assert not re.search(r"20\d\d-\d\d-\d\dT", drawn)


def test_an_interval_is_as_long_as_it_says():
    """Twice the interval is twice the line: both measured in the drawing."""

    def length(reach: float) -> float:
        figure = figure_of()
        error = {"type": "data", "array": [reach], "arrayminus": [reach], "color": "#123456", "width": 0}
        figure.add_scatter(x=[5], y=[1], mode="markers", marker={"color": "#123456"}, error_x=error)
        path = re.search(
            r'<path d="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]*"[^>]*stroke: #123456', svg_of(figure)
        )
        return float(path[2]) - float(path[1])

    assert length(4) == pytest.approx(2 * length(2), rel=1e-3)


def test_stacked_bars_stand_end_to_end():
    figure = new_figure(height=200)
    for share, color in ((30, "#111111"), (70, "#222222")):
        bar = {"color": color, "line": {"color": "#333333", "width": 0.5}}
        figure.add_bar(x=[share], y=[0], orientation="h", width=0.6, marker=bar, text=[""])
    figure.update_layout(barmode="stack")
    figure.update_xaxes(range=[0, 100])
    drawn = svg_of(figure)
    edges = []
    for color in ("#111111", "#222222"):
        path = re.search(rf'<path d="([^"]*)"[^>]*style="fill: {color}', drawn)[1]
        xs = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", path)]
        edges.append((min(xs), max(xs)))
    (start, end), (next_start, next_end) = edges
    assert next_start == pytest.approx(end)
    assert (end - start) / (next_end - start) == pytest.approx(0.3, rel=1e-3)


def test_letters_can_be_shapes():
    assert "<text" in svg_of(figure_of())
    assert "<text" not in svg_of(figure_of(), as_paths=True)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(AnalysisError, match="no drawing for traces of type 'pie'"):
        svg_of(new_figure().add_pie(values=[1]))


def test_markup_becomes_characters():
    assert plain("<b>a</b> &amp; b<br>c") == "a & b\nc"
