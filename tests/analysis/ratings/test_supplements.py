import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.report import analyse
from analysis.ratings.supplements import describe_listeners
from analysis.ratings.table import check_ratings


@pytest.fixture(scope="module")
def study(make_study):
    human = {"real": 0.8, "model": 0.4, "other": 0.5}
    frame = make_study(
        {"real": 7, "model": 5, "other": 6}, n_participants=10, n_pieces=4, seed=2, human=human
    )
    frame["trial"] = frame.groupby("participant").cumcount() + 1
    frame["confidence"] = 1 + np.arange(len(frame)) % 4
    frame["familiar"] = np.where(np.arange(len(frame)) % 3 == 0, "familiar", "new")
    return frame


@pytest.fixture(scope="module")
def result(study):
    marked = study.assign(excluded=np.where(study["participant"] == "p9", "late", ""))
    return analyse(marked, draws=100)


def test_every_contrast_stands_under_every_analysis_with_and_without_exclusions(result):
    rows = [row for row in result["sensitivity"] if row["condition"] == "model"]
    assert len(rows) == 14
    assert {row["table"] for row in rows} == {"analysed", "all"}
    main = rows[0]
    contrast = next(row for row in result["contrasts"] if row["condition"] == "model")
    assert (main["method"], main["estimate"]) == ("mixed model", pytest.approx(contrast["difference"]))
    assert all(row["finding"] == "lower" for row in rows)


def test_without_exclusions_each_analysis_stands_once(study):
    rows = analyse(study, draws=50)["sensitivity"]
    assert {row["table"] for row in rows} == {"analysed"}


def test_the_flow_leads_from_the_table_to_what_was_analysed(result):
    assert result["flow"] == [
        {"step": "in the table", "n_participants": 10, "n_ratings": 120},
        {"step": "late", "n_participants": 1, "n_ratings": None},
        {"step": "second hearings", "n_participants": None, "n_ratings": 0},
        {"step": "analysed", "n_participants": 9, "n_ratings": 108},
    ]


def test_the_rest_that_a_listener_agrees_with_leaves_the_listener_out(study):
    table = check_ratings(study)
    rows = {row["participant"]: row for row in describe_listeners(table, {"p1"})}
    wide = table.pivot_table(index="piece", columns="participant", values="rating")
    expected = np.corrcoef(wide["p1"], wide.drop(columns="p1").mean(axis=1))[0, 1]
    assert rows["p1"]["rest_correlation"] == pytest.approx(expected)
    assert [name for name, row in rows.items() if row["counted"]] == ["p1"]
    assert sum(row["bias"] for row in rows.values()) == pytest.approx(0, abs=1e-9)


def test_listeners_whose_ratings_do_not_count_are_shown_and_marked(result):
    assert [row["participant"] for row in result["listeners"] if not row["counted"]] == ["p9"]


def test_answers_are_counted_in_the_confusion_matrix(study, result):
    counted = study[study["participant"] != "p9"]
    for row in result["detection"]["confusion"]:
        own = counted[counted["condition"] == row["condition"]]["judged_human"]
        assert (row["n_human"], row["n_machine"]) == (own.sum(), len(own) - own.sum())


def test_rates_of_a_listener_are_log_linear(study, result):
    own = study[study["participant"] == "p0"]
    said = own[own["condition"] == "real"]["judged_human"].sum()
    row = next(row for row in result["detection"]["listeners"] if row["participant"] == "p0")
    assert row["hit_rate"] == pytest.approx((said + 0.5) / 5)


def test_agreement_has_intervals_around_its_values(result):
    agreement = result["agreement"]
    for name in ("icc_single", "icc_average", "krippendorff_alpha"):
        assert agreement[f"{name}_low"] < agreement[name] < agreement[f"{name}_high"]


def test_a_table_without_places_has_no_drift(study):
    assert analyse(study.drop(columns="trial"), draws=50)["drift"] is None


def test_a_brief_result_has_the_primary_analysis_alone(study, result):
    brief = analyse(study.assign(excluded=np.where(study["participant"] == "p9", "late", "")), is_brief=True)
    assert brief["sensitivity"] == brief["listeners"] == []
    assert brief.keys() == result.keys()
    assert [row["estimate"] for row in brief["conditions"]] == [
        row["estimate"] for row in result["conditions"]
    ]


def test_scores_by_name_are_for_the_pieces_of_the_name(study):
    names = sorted(study["piece"].unique())
    scores = pd.DataFrame({"piece": names, "score": np.linspace(0, 1, len(names))})
    found = analyse(study, draws=50, scores=scores)
    by_name = dict(zip(names, scores["score"], strict=True))
    assert {row["piece"]: row["score"] for row in found["copying"]["pieces"]} == pytest.approx(by_name)
    assert found["copying"]["pooled"]["n_pieces"] == 12
    assert found["recognition"]["n_heard"] == 40


def test_scores_of_other_pieces_leave_a_reason(study):
    scores = pd.DataFrame({"piece": ["elsewhere"], "score": [0.5]})
    found = analyse(study, draws=50, scores=scores)
    assert found["copying"] is None
    assert any("no rated piece has a score" in note for note in found["notes"])


def test_votes_become_worths_against_the_reference(study):
    rng = np.random.default_rng(3)
    names = ["real", "model", "other"]
    pairs = [(f"p{p}", *rng.choice(names, 2, replace=False)) for p in range(10) for _ in range(9)]
    votes = pd.DataFrame(pairs, columns=["participant", "first", "second"])
    votes["preferred"] = np.where(rng.random(len(votes)) < 0.6, "first", "second")
    found = analyse(study, draws=50, comparisons=votes)["preferences"]
    assert (found["reference"], found["n"]) == ("real", 90)
    assert sum(row["wins"] for row in found["wins"]) == 90
    with pytest.raises(AnalysisError, match="no column 'preferred'"):
        analyse(study, draws=50, comparisons=votes.drop(columns="preferred"))


def test_the_same_ratings_have_the_same_fingerprint_in_any_order(study, result):
    shuffled = analyse(study.sample(frac=1, random_state=1), draws=50, is_brief=True)
    plain = analyse(study, draws=50, is_brief=True)
    assert shuffled["settings"]["table_sha256"] == plain["settings"]["table_sha256"]
    assert plain["settings"]["table_sha256"] != result["settings"]["table_sha256"]
