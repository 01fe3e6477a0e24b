"""The viewer of gradients: places, hues and sizes by its stated formulas, a page that needs nothing else."""

import colorsys
import math
import re

import numpy as np
import pytest

from analysis.charts.gradients import (
    gradients_figure,
    gradients_html,
    hue_of,
    levels_of,
    radius_of,
    sphere_places,
)
from analysis.errors import AnalysisError

NAMES = ["rnn.weight_ih", "rnn.weight_hh", "rnn.bias_ih", "out.weight", "out.bias"]
SIZES = [12, 12, 5, 12, 3]
TENSOR = np.repeat(np.arange(5), SIZES)
ENTRY = np.concatenate([np.arange(size) for size in SIZES])
UPDATES = np.array([0, 25, 50])


def arrays(seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 44)).astype(np.float32), rng.normal(size=(3, 44)).astype(np.float32)


def test_hue_goes_from_red_over_green_to_blue():
    assert hue_of(np.array([-1.0, 0.0, 1.0]), 100).tolist() == pytest.approx([0, 130, 260])
    assert hue_of(np.array([0.01]), 100)[0] == pytest.approx(260 - 260 / (1 + math.e))


def test_radius_grows_with_the_value_from_2_to_12():
    assert radius_of(np.array([-1e9, -1.0, 0.0, 1.0, 1e9])).tolist() == pytest.approx([2, 2, 7, 12, 12])


def test_a_layer_has_a_level_of_weights_and_one_of_biases():
    levels, titles = levels_of(NAMES)
    assert levels == [0, 0, 1, 2, 3]
    assert titles == ["rnn: weights", "rnn: biases", "out: weights", "out: biases"]
    assert levels_of(["scale", "norm.bias"]) == ([0, 1], ["model: weights", "norm: biases"])


def test_spheres_stand_in_rows_of_ten_and_no_two_in_one_place():
    places, _ = sphere_places(NAMES, TENSOR)
    assert places[[0, 9, 10, 11]].tolist() == [[0, 0, 0], [9, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert places[12].tolist() == [12, 0, 0]  # the second tensor of the level, beside the first
    assert places[24].tolist() == [0, 0, 1]
    assert len({tuple(place) for place in places.tolist()}) == len(TENSOR)


def test_every_record_is_a_frame_with_its_own_colours_and_sizes():
    gradients, values = arrays()
    figure = gradients_figure(NAMES, TENSOR, ENTRY, UPDATES, gradients, values)
    assert [frame.name for frame in figure.frames] == ["0", "25", "50"]
    for record, frame in enumerate(figure.frames):
        np.testing.assert_array_equal(frame.data[0].marker.color, gradients[record])
        np.testing.assert_allclose(frame.data[0].marker.size, radius_of(values[record]), rtol=1e-6)
    updates, sensitivities = figure.layout.sliders
    assert [step.label for step in updates.steps] == ["0", "25", "50"]
    assert [list(step.args[0]) for step in updates.steps] == [["0"], ["25"], ["50"]]
    for step in sensitivities.steps:
        assert step.args[0]["marker.cmax"] == pytest.approx(6 / float(step.label))


def test_the_colour_scale_is_the_formula_of_the_hue():
    gradients, values = arrays()
    marker = gradients_figure(NAMES, TENSOR, ENTRY, UPDATES, gradients, values).data[0].marker
    sensitivity = 6 / marker.cmax
    for stop, colour in marker.colorscale:
        gradient = marker.cmin + stop * (marker.cmax - marker.cmin)
        red, green, blue = (int(each) / 255 for each in re.findall(r"\d+", colour))
        hue = 360 * colorsys.rgb_to_hls(red, green, blue)[0]
        assert hue % 360 == pytest.approx(hue_of(np.array(gradient), sensitivity), abs=1.5)


def test_what_did_not_learn_has_no_sphere():
    gradients, values = arrays()
    gradients[1, :12] = np.nan
    frames = gradients_figure(NAMES, TENSOR, ENTRY, UPDATES, gradients, values).frames
    assert not np.any(frames[1].data[0].marker.size[:12])
    assert np.all(frames[1].data[0].marker.size[12:] >= 2)
    assert np.all(frames[0].data[0].marker.size >= 2)


def test_many_records_are_thinned_with_the_first_and_the_last_kept():
    n_entries, n_records = 4000, 300
    figure = gradients_figure(
        ["w"],
        np.zeros(n_entries, dtype=int),
        np.arange(n_entries),
        np.arange(n_records) * 25,
        np.zeros((n_records, n_entries), dtype=np.float32),
        np.zeros((n_records, n_entries), dtype=np.float32),
    )
    assert len(figure.frames) == 100
    assert (figure.frames[0].name, figure.frames[-1].name) == ("0", "7475")


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given():
    figure = gradients_figure(NAMES, TENSOR, ENTRY, UPDATES, *arrays())
    page = gradients_html(figure, title="<b>mine</b>", remark="a & b")
    assert "<h1>&lt;b&gt;mine&lt;/b&gt;</h1>" in page
    assert "a &amp; b" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


@pytest.mark.parametrize(("n_records", "n_entries"), [(0, 4), (2, 0)])
def test_no_record_is_an_error(n_records, n_entries):
    empty = np.zeros((n_records, n_entries))
    with pytest.raises(AnalysisError, match="there are no gradients to draw"):
        gradients_figure(
            ["w"], np.zeros(n_entries, int), np.zeros(n_entries, int), np.arange(n_records), empty, empty
        )


def test_arrays_that_do_not_fit_are_an_error():
    gradients, values = arrays()
    with pytest.raises(AnalysisError, match=r"3 records of 44 entries need arrays of \(3, 44\), got"):
        gradients_figure(NAMES, TENSOR, ENTRY, UPDATES, gradients[:2], values)
