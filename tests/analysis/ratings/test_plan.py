import pytest

from analysis.charts.planning import detectable_figure
from analysis.errors import AnalysisError
from analysis.ratings.design import Components, StudySize
from analysis.ratings.plan import describe_plan, plan_words


def plan_of(n_participants=30, n_pieces=5, **settings) -> dict:
    settings = {"difference": 1.0, "margin": 0.5, **settings}
    return describe_plan(Components(), StudySize(n_participants, n_pieces), **settings)


def test_the_standard_error_is_that_of_the_variance_of_a_difference():
    plan = plan_of(20, 5)
    expected = (2 * 0.16 / 20 + 2 * 0.36 / 5 + 2 * 2.25 / 100) ** 0.5
    assert plan["se"] == pytest.approx(expected)
    assert plan["floor"] == pytest.approx((2 * 0.36 / 5) ** 0.5)


def test_few_pieces_are_told_to_be_more_and_many_are_not():
    assert any("Add pieces, not listeners" in sentence for sentence in plan_words(plan_of(200, 5)))
    assert any("Listeners still help" in sentence for sentence in plan_words(plan_of(5, 40)))


def test_the_curves_fall_with_listeners_to_a_floor_that_pieces_set():
    plan = plan_of(30, 7)
    own = [point["se"] for point in plan["curves"] if point["n_pieces"] == 7]
    assert own == sorted(own, reverse=True)
    assert own[-1] > plan["floor"]
    figure = detectable_figure(plan)
    assert {note.text for note in figure.layout.annotations} == {f"{n} pieces" for n in (3, 5, 7, 10, 20, 40)}


def test_simulated_studies_are_of_a_difference_and_of_none():
    plan = plan_of(10, 4, n_runs=4)
    with_difference, without = plan["simulated"]
    assert with_difference["true_difference"] < -0.9
    assert without["true_difference"] == 0
    assert with_difference["n_runs"] == without["n_runs"] == 4
    assert plan == plan_of(10, 4, n_runs=4)
    assert "wrongly found" in plan_words(plan)[-1]
    assert plan_of(10, 4)["simulated"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"difference": 0}, "difference lies above 0"),
        ({"margin": 10}, "margin lies above 0"),
        ({"n_runs": -1}, "0 to 5,000 runs"),
        ({"n_participants": 20_000}, "at most 10,000 listeners"),
    ],
)
def test_a_plan_that_is_none_is_refused(settings, message):
    with pytest.raises(AnalysisError, match=message):
        plan_of(**settings)
