import copy

import numpy as np
import pandas as pd
import pytest

from analysis.charts import listeners
from analysis.charts import ratings as charts
from analysis.charts.theme import INK
from analysis.ratings.report import analyse

FIGURES = [
    charts.estimate_figure,
    charts.distribution_figure,
    charts.contrast_figure,
    charts.human_or_machine_figure,
    listeners.participants_figure,
]


def study() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [
        (
            f"p{listener}",
            f"{name} {piece}",
            name,
            int(np.clip(round(rng.normal(mean, 1.5)), 1, 10)),
            int(rng.random() < 0.5),
        )
        for name, mean in (("<b>model</b>", 4), ("real", 7))
        for piece in range(4)
        for listener in range(9)
    ]
    return pd.DataFrame(rows, columns=["participant", "piece", "condition", "rating", "judged_human"])


@pytest.fixture(scope="module")
def result():
    return analyse(study(), draws=50)


def test_estimates_stand_on_the_whole_scale_with_n_and_every_piece(result):
    figure = charts.estimate_figure(result)
    low, high = figure.layout.xaxis.range
    assert low <= 1
    assert high >= 10
    assert "n = 36, 4 pieces" in figure.layout.yaxis.ticktext[0]
    points = [trace for trace in figure.data if trace.error_x.array is not None]
    dots = [trace for trace in figure.data if trace.error_x.array is None]
    assert [trace.x[0] for trace in points] == [row["estimate"] for row in result["conditions"]]
    for trace, row in zip(points, result["conditions"], strict=True):
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row["ci_high"])
        assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(row["ci_low"])
    assert sorted(x for trace in dots for x in trace.x) == sorted(piece["mean"] for piece in result["pieces"])


def test_real_music_is_ink_and_stands_on_top(result):
    figure = charts.estimate_figure(result)
    assert figure.layout.yaxis.ticktext[0].startswith("real")
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.data[1].marker.color == INK
    assert figure.data[3].marker.color != INK


def test_the_bars_of_a_distribution_are_whole(result):
    figure = charts.distribution_figure(result)
    assert len(figure.data) == 10
    assert [sum(trace.x[row] for trace in figure.data) for row in (0, 1)] == pytest.approx([100, 100])


def test_contrasts_stand_between_their_margins_and_name_their_verdict(result):
    figure = charts.contrast_figure(result)
    (band,) = (shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == (-0.5, 0.5)
    assert figure.layout.yaxis.ticktext[0].endswith(result["contrasts"][0]["verdict"])
    low, high = figure.layout.xaxis.range
    assert low < result["contrasts"][0]["ci_low"]
    assert low == -high


@pytest.mark.parametrize("draw", FIGURES)
def test_names_are_shown_as_they_are_and_not_as_markup(result, draw):
    assert "<b>" not in draw(result).to_json().replace("\\u003c", "<")


@pytest.mark.parametrize("draw", FIGURES)
def test_studies_without_intervals_are_drawn_without_them(draw):
    alone = study().query("participant == 'p0'")
    figure = draw(analyse(alone, draws=50))
    assert not any(getattr(trace, "error_x", None) and trace.error_x.array for trace in figure.data)


def test_intervals_are_drawn_no_further_than_the_scale_goes(result):
    wide = copy.deepcopy(result)
    for row in wide["conditions"]:
        row |= {"ci_low": -24.27, "ci_high": 39.27}
    for row in wide["contrasts"]:
        row |= {"ci_low": -30.0, "ci_high": 31.0, "ci90_low": -20.0, "ci90_high": 21.0}
    for trace in charts.estimate_figure(wide).data:
        if trace.error_x.array is not None:
            assert trace.x[0] + trace.error_x.array[0] == pytest.approx(10)
            assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(1)
            assert trace.customdata[0][1] == "[1.00, 10.00]"
    thick, thin = charts.contrast_figure(wide).data[:2]
    assert list(thick.x) == [-9, 9]
    assert thin.customdata[0][1] == "[−9.00, +9.00]"
    assert thin.x[0] + thin.error_x.array[0] == pytest.approx(9)


def test_a_mean_of_few_listeners_says_why_it_has_no_interval():
    few = analyse(study().query("participant in ('p0', 'p1')"), draws=50)
    points = [trace for trace in charts.estimate_figure(few).data if trace.marker.symbol == "diamond"]
    assert {trace.customdata[0][1] for trace in points} == {"(too few ratings for an interval, n = 2)"}
    assert not any(trace.error_x.array for trace in points)


@pytest.mark.parametrize("draw", FIGURES)
def test_the_same_result_gives_the_same_figure(result, draw):
    assert draw(result).to_json() == draw(result).to_json()


def test_a_condition_keeps_its_colour_when_the_others_leave():
    table = study()
    third = table[table["condition"] == "real"].assign(condition="zebra")
    two, three = (analyse(frame, draws=10) for frame in (table, pd.concat([table, third], ignore_index=True)))
    colors = [
        {
            trace.customdata[0][0]: trace.marker.color
            for trace in charts.estimate_figure(result).data
            if trace.marker.symbol == "diamond"
        }
        for result in (two, three)
    ]
    assert colors[0].items() <= colors[1].items()
