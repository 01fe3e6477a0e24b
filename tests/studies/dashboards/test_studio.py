import pytest

from studies.dashboards.templatetags.studio import difference_interval, mean_interval


@pytest.mark.parametrize(
    ("low", "high", "n", "words"),
    [
        (5.25, 7.5, 20, "[5.25, 7.50]"),
        (-24.27, 39.27, 6, "[1.00, 10.00]"),
        (None, None, 2, "(too few)"),
        (None, None, 20, ""),
    ],
)
def test_the_interval_of_a_mean_ends_where_the_scale_does_and_too_few_is_said(low, high, n, words):
    assert mean_interval(low, high, 2, n) == words


def test_the_interval_of_a_difference_has_true_signs_and_ends_where_the_scale_does():
    assert difference_interval(-30.0, 0.25, 2) == "[−9.00, +0.25]"
    assert difference_interval(None, None, 2) == ""
