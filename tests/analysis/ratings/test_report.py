import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.report import analyse

KEYS = {
    "": "n_participants n_pieces n_ratings excluded conditions contrasts variance agreement detection "
    "original_figures",
    "conditions": "condition n_pieces n_ratings mean sd median estimate se ci_low ci_high judged_human",
    "contrasts": "condition reference difference se df t p p_holm ci_low ci_high cliffs_delta verdict",
    "variance": "participant piece participant:condition residual",
    "agreement": "icc_single icc_average krippendorff_alpha",
    "detection": "d_prime criterion hit_rate false_alarm_rate accuracy ci_low ci_high n",
    "original_figures": "best_generated real disbelieved_real preferred_generated",
}

ROLES = {"joplin": "real", "biaxial": "generated", "deephear": "generated", "scrambled": "low_anchor"}


@pytest.fixture(scope="module")
def study(make_study):
    means = {"joplin": 7, "biaxial": 6, "deephear": 5, "scrambled": 2.5}
    human = {"joplin": 0.8, "biaxial": 0.5, "deephear": 0.4, "scrambled": 0.1}
    frame = make_study(means, n_participants=12, n_pieces=4, seed=1, human=human)
    return frame.assign(role=frame["condition"].map(ROLES))


@pytest.fixture(scope="module")
def result(study):
    return analyse(study, draws=200)


def holds_nan(value) -> bool:
    if isinstance(value, dict):
        return any(map(holds_nan, value.values()))
    if isinstance(value, list):
        return any(map(holds_nan, value))
    return isinstance(value, float) and not math.isfinite(value)


def test_the_result_has_every_promised_key_and_is_plain_json(result):
    assert not holds_nan(result)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for name, keys in KEYS.items():
        for part in (
            [result] if not name else result[name] if isinstance(result[name], list) else [result[name]]
        ):
            assert set(keys.split()) <= set(part), name
    assert all(type(result[name]) is int for name in ("n_participants", "n_pieces", "n_ratings"))
    assert (result["n_participants"], result["n_pieces"], result["n_ratings"]) == (12, 16, 192)


def test_the_real_condition_is_the_reference_and_stands_first(result):
    assert result["settings"]["reference"] == "joplin"
    assert [row["condition"] for row in result["conditions"]] == [
        "joplin",
        "biaxial",
        "deephear",
        "scrambled",
    ]
    assert [row["condition"] for row in result["contrasts"]] == ["biaxial", "deephear", "scrambled"]
    assert len(result["pairs"]) == 6


def test_planted_differences_are_found(result):
    verdicts = {row["condition"]: row["verdict"] for row in result["contrasts"]}
    assert verdicts["scrambled"] == verdicts["deephear"] == "inferior"
    scrambled = result["contrasts"][-1]
    assert scrambled["ci_low"] < -4.5 < scrambled["ci_high"]
    assert result["detection"]["d_prime_low"] > 0


def test_anchors_are_no_generated_pieces(result):
    assert result["original_figures"]["best_generated"]["n_candidates"] == 8
    assert result["detection"]["n_generated_pieces"] == 8


def test_the_order_of_the_rows_changes_nothing(study, result):
    assert analyse(study.sample(frac=1, random_state=3), draws=200) == result


def test_the_same_seed_gives_the_same_and_another_only_other_draws(study, result):
    other = analyse(study, draws=200, seed=1)
    assert other["detection"]["ci_low"] != result["detection"]["ci_low"]
    assert other["contrasts"][0]["ci_low"] == result["contrasts"][0]["ci_low"]


def test_cloned_ratings_are_refused(study):
    with pytest.raises(AnalysisError, match="again"):
        analyse(pd.concat([study, study], ignore_index=True))


def test_without_roles_the_reference_is_the_real_one(study):
    plain = study.drop(columns="role")
    named = analyse(plain, reference="joplin", draws=50)
    assert named["original_figures"]["real"]["condition"] == "joplin"
    assert named["detection"] is not None
    unknown = analyse(plain, draws=50)
    assert unknown["settings"]["reference"] is None
    assert unknown["detection"] is None
    assert unknown["original_figures"] is None
    assert len(unknown["contrasts"]) == 6
    assert any("all pairs" in note for note in unknown["notes"])
    renamed = plain.assign(condition=plain["condition"].replace({"joplin": "Real"}))
    assert analyse(renamed, draws=50)["settings"]["reference"] == "Real"


def test_repeats_count_for_reliability_only(study, result):
    again = study[study["participant"] == "p0"].assign(repeat=1, rating=1)
    both = analyse(pd.concat([study.assign(repeat=0), again], ignore_index=True), draws=200)
    assert both["conditions"] == result["conditions"]
    assert both["contrasts"] == result["contrasts"]
    assert result["repeats"] is None
    assert both["repeats"]["n"] == 16


def test_practice_and_marked_rows_are_out_and_named(study, result):
    extra = study[study["participant"] == "p1"].assign(
        participant="late", excluded="failed_attention", practice=0
    )
    practice = study[study["participant"] == "p0"].assign(practice=1, excluded="", rating=10)
    table = pd.concat([study.assign(practice=0, excluded=""), extra, practice], ignore_index=True)
    both = analyse(table, draws=200)
    assert both["conditions"] == result["conditions"]
    assert both["excluded"] == [
        {
            "participant": "late",
            "rule": "failed_attention",
            "why": "16 of 16 ratings marked by the study",
            "piece": None,
        }
    ]
    assert "16 practice trials are left out." in both["notes"]


def test_simulated_listeners_never_count_beside_real_ones(study, result):
    made_up = study[study["participant"] == "p2"].assign(participant="bot", rating=10, simulated=1)
    mixed = analyse(pd.concat([study.assign(simulated=0), made_up], ignore_index=True), draws=200)
    assert mixed["conditions"] == result["conditions"]
    assert [(row["participant"], row["rule"]) for row in mixed["excluded"]] == [("bot", "simulated")]
    assert mixed["simulated"] is False
    alone = analyse(study.assign(simulated=1), draws=200)
    assert alone["simulated"] is True
    assert "say nothing about music" in alone["notes"][0]


def test_declared_rules_exclude_and_say_whom(study):
    bored = study[study["participant"] == "p3"].assign(participant="bored", rating=6)
    table = pd.concat([study, bored], ignore_index=True)
    assert analyse(table, draws=50)["n_participants"] == 13
    screened = analyse(table, draws=50, exclude=["straight_lining", "failed_attention"])
    assert screened["n_participants"] == 12
    assert screened["excluded"][0]["participant"] == "bored"
    assert any("failed_attention could not be applied" in note for note in screened["notes"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reference": "jopln"}, "'jopln' is no condition of the table; did you mean 'joplin'"),
        ({"margin": 0}, "margin is a positive number of points such as 0.5, got 0"),
        ({"margin": float("nan")}, "got nan"),
        ({"margin": "0.5"}, "got '0.5'"),
        ({"exclude": ["outliers"]}, "no exclusion rule named 'outliers'"),
    ],
)
def test_wrong_settings_are_refused(study, settings, message):
    with pytest.raises(AnalysisError, match=message):
        analyse(study, **settings)


def test_nothing_left_is_an_error_not_a_crash(study):
    with pytest.raises(AnalysisError, match="no rating is left after the exclusions"):
        analyse(study.assign(excluded="withdrawn"))
    with pytest.raises(AnalysisError, match="reference 'joplin' is left after"):
        analyse(
            study.assign(excluded=(study["condition"] == "joplin").map({True: "1", False: ""})),
            reference="joplin",
        )
    with pytest.raises(AnalysisError, match="only repeats are left"):
        analyse(study.assign(repeat=1))
    with pytest.raises(AnalysisError, match="has no rows"):
        analyse(study.iloc[:0])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frame: frame[frame["participant"] == "p0"], "one participant"),
        (lambda frame: frame[frame["piece"].str.endswith("0")], "each has one piece"),
        (lambda frame: frame.assign(rating=4), "do not differ at all"),
        (lambda frame: frame.iloc[:1], "one participant"),
        (lambda frame: frame[frame["condition"] == "joplin"], ""),
        (lambda frame: frame[frame["participant"].isin([f"p{i}" for i in range(5)])], ""),
    ],
)
def test_small_and_odd_studies_have_every_key_no_nan_and_a_reason(study, change, note):
    result = analyse(change(study), draws=50)
    assert not holds_nan(result)
    assert set(KEYS[""].split()) <= set(result)
    assert any(note in text for text in result["notes"]) or not note
    for row in result["conditions"]:
        assert row["estimate"] is not None
        assert (row["se"] is None) == (row["ci_low"] is None) == bool(note)
    for row in result["contrasts"]:
        assert row["difference"] is not None
        assert (row["p"] is None) == bool(note)
        assert row["verdict"] != "equivalent" or row["p"] is not None


def test_two_conditions_may_number_their_pieces_alike(study):
    numbered = study.assign(piece=study["piece"].str[-1])
    result = analyse(numbered, draws=50)
    assert result["n_pieces"] == 16
    assert result["original_figures"]["best_generated"]["corrected_mean"] is not None
    assert any("4 piece names occur in several conditions" in note for note in result["notes"])


def test_equivalence_without_anything_worse_comes_with_a_warning(make_study):
    sd = (1, 0.1, 0.1, 1)
    alike = make_study({"real": 5, "model": 5}, n_participants=30, n_pieces=12, sd=sd, seed=9)
    result = analyse(alike, margin=1, draws=50)
    assert result["contrasts"][0]["verdict"] == "equivalent"
    assert any("inattention makes everything equal" in note for note in result["notes"])
    anchored = pd.concat(
        [alike, make_study({"anchor": 2}, n_participants=30, n_pieces=12, sd=sd)], ignore_index=True
    )
    assert not any("inattention" in note for note in analyse(anchored, margin=1, draws=50)["notes"])


def test_a_thousand_listeners_are_no_trouble(make_study):
    result = analyse(make_study({"real": 6, "model": 5}, n_participants=1000, n_pieces=5, seed=2), draws=50)
    assert result["n_ratings"] == 10_000
    row = result["contrasts"][0]
    assert row["se"] ** 2 > 2 * result["variance"]["piece"] / 5
    assert np.sign(row["difference"]) == -1


def test_means_of_few_listeners_have_no_interval_and_a_note(study):
    """Two ratings give a t interval of many times the scale: it says nothing, so there is none."""
    for n in (2, 4, 5):
        names = [f"p{place}" for place in range(n)]
        result = analyse(study[study["participant"].isin(names)], draws=50)
        too_few = n < 5
        for row in result["conditions"]:
            assert (row["ci_low"] is None) == (row["bootstrap_low"] is None) == too_few
            assert row["se"] is not None
        assert all(row["ci_low"] is None for row in result["pieces"]) == too_few
        figures = result["original_figures"]
        assert (figures["real"]["ci_low"] is None) == too_few
        assert (figures["best_generated"]["corrected_low"] is None) == too_few
        assert any("Too few listeners for an interval" in note for note in result["notes"]) == too_few
        assert any("too few for an interval" in note for note in result["notes"]) == too_few
