import json
import random
from itertools import pairwise

import pytest

from analysis.charts.originality import (
    COLORS,
    frontier_caption,
    frontier_figure,
    melody_caption,
    melody_figure,
    overlap_caption,
    overlap_figure,
)
from analysis.charts.theme import INK
from analysis.errors import AnalysisError
from analysis.plagiarism.report import CorpusItem, Settings, originality
from music.score import Note, Score, Track


def tune(seed, n=64):
    rng = random.Random(seed)
    return Score((Track(tuple(Note(i * 240, rng.randrange(55, 80), 240) for i in range(n))),))


@pytest.fixture(scope="module")
def result():
    corpus = [CorpusItem(f"c{i}", tune(i)) for i in range(4)]
    return originality([("copy", tune(1)), ("new", tune(9))], corpus)


def bars(figure):
    return [trace for trace in figure.data if trace.type == "bar"]


def contrast(color: str) -> float:
    """Of text on white paper, by WCAG 2."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("draw", [overlap_figure, melody_figure, frontier_figure])
def test_every_word_in_a_figure_is_dark_enough_to_read(result, draw):
    notes = draw(result).layout.annotations
    assert notes
    assert all(contrast(note.font.color) >= 7 for note in notes)


@pytest.mark.parametrize("draw", [overlap_figure, melody_figure])
def test_a_mark_in_the_colour_of_its_bars_stands_beside_each_name(result, draw):
    figure = draw(result)
    marks = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [mark.fillcolor for mark in marks] == [trace.marker.color for trace in bars(figure)]
    assert [mark.yanchor for mark in marks] == [note.y for note in figure.layout.annotations]


@pytest.mark.parametrize(("draw", "part"), [(overlap_figure, "overlap"), (melody_figure, "melody")])
def test_each_set_has_a_row_of_bars_that_add_up_to_all_of_it(result, draw, part):
    traces = bars(draw(result))
    assert len(traces) == 3
    assert len({trace.yaxis for trace in traces}) == 3
    for trace in traces:
        assert sum(trace.y) == pytest.approx(1)
    sizes = [len(result["distributions"][part][key]) for key in ("generated", "baseline", "control")]
    counted = [sum(int(row[1].split()[0].replace(",", "")) for row in trace.customdata) for trace in traces]
    assert counted == sizes


def test_a_share_on_an_edge_belongs_to_the_bar_that_starts_there():
    distributions = {"generated": [0.0, 0.05, 0.6, 0.95, 1.0], "baseline": [0.149999], "control": []}
    summary = {"baseline": {"kind": "held-out pieces"}}
    result = {"summary": {"overlap": summary}, "distributions": {"overlap": distributions}, "settings": {}}
    generated, baseline, control = bars(overlap_figure(result))
    filled = [row[0] for row, share in zip(generated.customdata, generated.y, strict=True) if share]
    assert filled == ["0% to 5%", "5% to 10%", "60% to 65%", "95% to 100%"]
    assert generated.y[-1] == pytest.approx(0.4)
    assert [row[0] for row, share in zip(baseline.customdata, baseline.y, strict=True) if share] == [
        "10% to 15%"
    ]
    assert sum(control.y) == 0


def test_every_label_carries_its_n_and_human_music_is_ink(result):
    figure = overlap_figure(result)
    labels = [note.text for note in figure.layout.annotations]
    counts = [len(result["distributions"]["overlap"][key]) for key in ("generated", "baseline", "control")]
    for label, name, n in zip(labels, ("Generated", "Human", "Shuffled"), counts, strict=True):
        assert label.startswith(f"{name}, n = {n} windows, mean ")
    assert bars(figure)[1].marker.color == COLORS["baseline"] == INK


def test_the_frontier_has_medians_and_upper_percentiles_of_each_set(result):
    figure = frontier_figure(result)
    assert len(figure.data) == 6
    medians = figure.data[0]
    assert list(medians.y) == result["summary"]["melody"]["frontier"]["median"]
    assert list(medians.x) == [0, 1, 2, 3]
    texts = [note.text for note in figure.layout.annotations]
    assert "Generated, median, n = 2" in texts
    heights = sorted(note.y for note in figure.layout.annotations)
    assert all(upper > lower for lower, upper in pairwise(heights))


def test_figures_of_a_result_without_human_music_are_drawn():
    alone = originality([("g", tune(9))], [CorpusItem("a", tune(1))])
    assert "Human, n = 0 windows" in [note.text for note in overlap_figure(alone).layout.annotations]
    assert len(frontier_figure(alone).data) == 4
    assert melody_figure(alone)


def test_a_result_read_from_a_file_draws_the_same(result):
    again = json.loads(json.dumps(result))
    for draw in (overlap_figure, melody_figure, frontier_figure):
        assert draw(again).to_json() == draw(result).to_json()


def test_captions_say_what_the_human_music_is(result):
    assert "every piece against the others" in overlap_caption(result)
    tokens = result["summary"]["melody"]["baseline"]["tokens"]
    assert f"passages of {tokens} steps" in melody_caption(result)
    assert "95th percentiles" in frontier_caption(result)


def test_a_measure_that_was_not_made_is_named():
    corpus = [CorpusItem("a", tune(1)), CorpusItem("b", tune(2))]
    melody = originality([("g", tune(9))], corpus, settings=Settings(only="melody"))
    overlap = originality([("g", tune(9))], corpus, settings=Settings(only="overlap"))
    with pytest.raises(AnalysisError, match="no note overlap: it was asked for 'melody' only"):
        overlap_figure(melody)
    for draw in (melody_figure, frontier_figure, melody_caption, frontier_caption):
        with pytest.raises(AnalysisError, match="no melody match"):
            draw(overlap)
