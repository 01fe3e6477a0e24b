"""Loss curves: every series is drawn, named once, and told apart without colour."""

from analysis.charts.training import loss_curves


def test_each_series_is_a_line_named_at_its_last_point():
    figure = loss_curves({"train": [(1, 3.0), (2, 2.0)], "validation": [(1, 4.0), (2, 3.5)]})
    assert [tuple(trace.y) for trace in figure.data] == [(3.0, 2.0), (4.0, 3.5)]
    assert [(note.text, note.x, note.y) for note in figure.layout.annotations] == [
        ("train", 2, 2.0),
        ("validation", 2, 3.5),
    ]
    assert len({trace.line.dash for trace in figure.data}) == 2


def test_a_hostile_name_stays_text():
    figure = loss_curves({"<b>&": [(1, 1.0)]})
    assert figure.layout.annotations[0].text == "&lt;b&gt;&amp;"
    assert "<b>" not in figure.data[0].hovertemplate


def test_no_series_is_an_empty_figure():
    assert not loss_curves({}).data
    assert not loss_curves({"train": []}).layout.annotations
