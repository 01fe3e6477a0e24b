from analysis.ratings.scale import difference_on_scale, on_scale


def test_what_is_shown_of_a_mean_lies_between_1_and_10():
    assert [on_scale(value) for value in (-24.27, 1, 5.5, 39.27, None)] == [1, 1, 5.5, 10, None]


def test_what_is_shown_of_a_difference_lies_between_the_ends_of_the_scale():
    assert [difference_on_scale(value) for value in (-12.5, -9, 0.3, 40, None)] == [-9, -9, 0.3, 9, None]
