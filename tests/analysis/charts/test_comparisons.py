import numpy as np
import pytest

from analysis.charts import comparisons, listeners, pieces
from analysis.charts.ratings import letter_values
from analysis.charts.theme import INK
from analysis.ratings.report import analyse
from tests.analysis.ratings.conftest import study_of


@pytest.fixture(scope="module")
def result():
    means = {"real": 7, "model": 5, "other": 6}
    study = study_of(means, n_participants=9, n_pieces=4, seed=3, human=dict.fromkeys(means, 0.5))
    study["excluded"] = np.where(study["participant"] == "p8", "late", "")
    return analyse(study, draws=50)


def test_a_cell_is_the_row_less_the_column(result):
    figure = comparisons.pairs_figure(result)
    (heatmap,) = figure.data
    names = [row["condition"] for row in result["conditions"]]
    row = next(row for row in result["pairs"] if (row["condition"], row["reference"]) == (names[0], names[2]))
    assert heatmap.z[0][2] == row["difference"] == -heatmap.z[2][0]
    assert heatmap.z[1][1] is None


def test_every_analysis_has_its_place_under_its_contrast(result):
    figure = comparisons.sensitivity_figure(result)
    names = list(figure.layout.yaxis.ticktext)
    assert names[0].startswith("<b>")
    assert names[1] == "mixed model"
    assert len(names) == 2 * 8
    drawn = [trace for trace in figure.data if trace.marker.symbol == "diamond"]
    assert len(drawn) == 4
    hollow = [trace for trace in drawn if trace.marker.color == "#ffffff"]
    assert [round(trace.y[0]) for trace in hollow] == [1, 9]
    row = result["sensitivity"][0]
    assert drawn[0].x[0] == row["estimate"]


def test_real_pieces_are_ink_and_every_piece_is_there(result):
    figure = pieces.pieces_figure(result)
    points = [trace for trace in figure.data if trace.marker.symbol is None]
    assert sum(len(trace.x) for trace in points) == 12
    assert {trace.marker.color for trace in points if trace.customdata[0][0].startswith("real")} == {INK}
    means = [piece["mean"] for piece in result["pieces"]]
    assert sorted(x for trace in points for x in trace.x) == sorted(means)


def test_listeners_who_do_not_count_are_crosses(result):
    counted, crosses = listeners.diagnostics_figure(result).data
    assert (len(counted.x), len(crosses.x)) == (8, 1)
    assert crosses.marker.symbol == "x"


def test_dots_of_listeners_lie_on_lines_of_one_d_prime(result):
    figure = listeners.rates_figure(result)
    chance = figure.data[0]
    assert list(chance.x) == pytest.approx(list(chance.y))
    dots = figure.data[-2]
    assert len(dots.x) == len(result["detection"]["listeners"]) == 8


@pytest.mark.parametrize("seed", range(5))
def test_letter_values_are_the_medians_of_halves(seed):
    """Against Tukey's rule spelled out on the sorted ratings: the median of each half, ends included."""
    ratings = np.sort(np.random.default_rng(seed).integers(1, 11, 40 + seed))
    counts = np.bincount(ratings, minlength=11)[1:].tolist()
    low, high = letter_values(counts)[0]
    half = (len(ratings) + 1) // 2
    assert (low, high) == (np.median(ratings[:half]), np.median(ratings[-half:]))


def test_few_ratings_have_no_letter_values():
    assert letter_values([0, 3, 0, 0, 2, 0, 0, 1, 0, 0]) == []
