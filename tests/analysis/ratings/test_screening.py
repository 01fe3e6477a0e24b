import pandas as pd
import pytest

from analysis.ratings.screening import as_rows, failed_attention, not_listened, screen, straight_lining
from analysis.ratings.table import RatingsError, check_ratings


def table(ratings: dict[str, list[int]], **columns) -> pd.DataFrame:
    rows = [
        {"participant": name, "piece": f"x{index}", "condition": "m", "rating": value}
        for name, values in ratings.items()
        for index, value in enumerate(values)
    ]
    return check_ratings(pd.DataFrame(rows).assign(**columns))


def test_one_number_throughout_is_straight_lining_from_eight_ratings_on():
    ratings = table({"same": [5] * 8, "few": [5] * 7, "varied": [4, 5, 6, 5, 4, 5, 6, 5]})
    (found,) = straight_lining(ratings)
    assert (found.participant, found.rule, found.piece) == ("same", "straight_lining", None)
    assert found.why == "gave 5 in 8 of 8 ratings (SD 0.00)"


def test_nine_of_ten_equal_ratings_are_straight_lining_and_eight_are_not():
    ratings = table({"nine": [5] * 9 + [10], "eight": [5] * 8 + [1, 10]})
    assert [found.participant for found in straight_lining(ratings)] == ["nine"]


def test_one_slip_of_attention_is_forgiven_and_two_are_not():
    ratings = table({"a": [5, 6], "b": [5, 6], "c": [5, 6]}, failed_attention=[0, 0, 1, 1, 2, 2])
    (found,) = failed_attention(ratings)
    assert found.participant == "c"
    assert found.why == "failed 2 attention checks, at most 1 may be failed"


def test_less_than_four_fifths_of_the_excerpt_excludes_that_rating_alone():
    ratings = table({"a": [5, 6], "b": [5, 6]}, listened_seconds=[20, 15.7, 15.8, 20])
    kept, found, notes = screen(ratings, ["not_listened"], excerpt_seconds=20)
    assert as_rows(found) == [
        {"participant": "a", "rule": "not_listened", "why": "heard 15.7 of 20.0 s", "piece": "x1"}
    ]
    assert len(kept) == 3
    assert notes == []


def test_without_its_length_the_excerpt_is_what_most_listeners_heard():
    ratings = table({"a": [5, 6, 7], "b": [5, 6, 7]}, listened_seconds=[20, 20, 20, 20, 3, None])
    assert [(found.participant, found.piece) for found in not_listened(ratings)] == [("b", "x1")]


def test_a_rule_without_its_column_says_so_and_excludes_nobody():
    ratings = table({"a": [5, 6]})
    kept, found, notes = screen(ratings, ["failed_attention", "not_listened"])
    assert len(kept) == 2
    assert found == []
    assert [note.split()[1] for note in notes] == ["failed_attention", "not_listened"]


def test_rules_are_blind_to_conditions_and_roles(monkeypatch):
    seen = []
    monkeypatch.setitem(
        screen.__globals__["RULES"], "straight_lining", lambda blind: seen.append(set(blind)) or []
    )
    screen(table({"a": [5, 6]}, role="real"), ["straight_lining"])
    assert seen
    assert not seen[0] & {"condition", "role"}


def test_an_unknown_rule_is_refused_with_the_nearest_name():
    with pytest.raises(
        RatingsError, match="no exclusion rule named 'straightlining'; did you mean straight_lining"
    ):
        screen(table({"a": [5]}), ["straightlining"])


def test_a_listener_who_breaks_two_rules_is_named_under_both():
    ratings = table({"a": [5] * 8, "b": [1, 9] * 4}, failed_attention=[2] * 8 + [0] * 8)
    kept, found, _ = screen(ratings, ["failed_attention", "straight_lining"])
    assert [exclusion.rule for exclusion in found] == ["failed_attention", "straight_lining"]
    assert set(kept["participant"]) == {"b"}
