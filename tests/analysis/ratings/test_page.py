import copy
import re

import pandas as pd
import pytest

from analysis.ratings.page import report_html
from analysis.ratings.report import analyse
from analysis.ratings.words import detection_words, methods_words, original_words, size_words, verdicts

EVIL = "<script>alert(1)</script>\"'&=cmd"


@pytest.fixture(scope="module")
def study(make_study):
    human = {"real": 0.8, "model": 0.4}
    return make_study({"real": 7, "model": 5}, n_participants=10, n_pieces=3, seed=1, human=human)


@pytest.fixture(scope="module")
def result(study):
    return analyse(study, draws=50)


def own_markup(page: str) -> str:
    """The page without plotly's own code and data."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_the_page_needs_nothing_else_and_shows_every_number(result, study):
    page = report_html(result, study)
    markup = own_markup(page)
    assert page.startswith("<!doctype html>")
    assert not re.search(r"src=|href=\"[^#]|url\(|@import", markup)
    assert markup.count("<figure>") == 9
    for row in result["conditions"]:
        assert f"{row['estimate']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" in markup
    for piece in result["pieces"]:
        assert piece["piece"] in markup
    assert "was liked less than real" in markup


def test_names_of_strangers_stay_text(study):
    evil = study.assign(
        condition=study["condition"].replace({"model": EVIL}),
        piece=study["piece"] + EVIL,
        participant=study["participant"] + EVIL,
        excluded=(study["participant"] == "p0").map({True: EVIL, False: ""}),
    )
    page = report_html(analyse(evil, draws=50), evil, title=EVIL)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in own_markup(page)


def test_simulated_listeners_are_announced_first(study):
    page = own_markup(report_html(analyse(study.assign(simulated=1), draws=50)))
    assert "Simulated listeners." in page
    assert page.index("Simulated listeners.") < page.index("<h2 ")
    assert "Simulated listeners." not in own_markup(report_html(analyse(study, draws=50)))


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[frame["participant"] == "p0"],
        lambda frame: frame[frame["piece"].str.endswith("0")],
        lambda frame: frame.assign(rating=4),
        lambda frame: frame.iloc[:1],
        lambda frame: frame[frame["condition"] == "model"],
        lambda frame: frame.drop(columns="judged_human"),
        lambda frame: frame.assign(condition=frame["condition"].replace({"real": "m2"})),
    ],
)
def test_studies_that_say_little_have_a_page_too(study, change):
    page = own_markup(report_html(analyse(change(study), draws=50)))
    assert "None" not in page
    assert "nan" not in page


def test_words_never_claim_what_the_numbers_do_not_carry(make_study):
    """No "significant", no "no difference"; equality only by the equivalence test, with its margin."""
    weak = analyse(make_study({"real": 5.2, "model": 5}, n_participants=5, n_pieces=3, seed=5), draws=50)
    (sentence,) = verdicts(weak)
    assert weak["contrasts"][0]["verdict"] == "inconclusive"
    assert "inconclusive" in sentence
    assert "neither a difference nor equality within 0.5 points" in sentence
    sd = (1, 0.1, 0.1, 1)
    equal = analyse(
        make_study({"real": 5, "model": 5}, n_participants=30, n_pieces=12, sd=sd, seed=9), margin=1, draws=50
    )
    assert "was liked as much as, within 1 point, real" in verdicts(equal)[0]
    for result in (weak, equal):
        page = own_markup(report_html(result)).lower()
        assert "significant" not in page
        assert "no difference" not in page
        row = result["contrasts"][0]
        assert (
            f"{row['difference']:+.2f} points [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]".replace("-", "−")
            in verdicts(result)[0]
        )


def test_the_first_surveys_sentences_carry_their_numbers_of_people(result):
    best, real, disbelieved, preferred = original_words(result)
    assert "(n = 10)" in best
    assert "best partly by luck" in best
    assert "The 3 real pieces (real) have a mean of" in real
    figures = result["original_figures"]
    assert f"{figures['disbelieved_real']['count']} of 10 participants" in disbelieved
    assert f"{figures['preferred_generated']['count']} of 10 participants" in preferred


def test_two_intervals_of_the_real_mean_are_told_apart(study, result):
    """These very pieces against other pieces as well; and two means, where not everybody heard everything."""
    best, real, *_ = original_words(result)
    assert "(n = 10). That interval is for other listeners of this very piece. The best of 3" in best
    row, figures = result["conditions"][0], result["original_figures"]["real"]
    estimate = f"{row['estimate']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    assert f"{figures['mean']:.2f} [{figures['ci_low']:.2f}, {figures['ci_high']:.2f}] (n = 10)" in real
    assert "That interval is for other listeners of these very pieces." in real
    assert f"{estimate}, is for other pieces as well." in real
    assert "plain mean" not in real
    lopsided = study.drop(study[(study["piece"] == "real 0") & (study["rating"] > 7)].index)
    lopsided = lopsided.drop(lopsided[lopsided["participant"].isin(["p1", "p2"])].index[:5])
    _, real, *_ = original_words(analyse(lopsided, draws=50))
    assert "is not the plain mean of listeners because the mixed model allows for who rated which" in real


def test_means_of_few_listeners_say_so_instead_of_an_interval(study):
    few = analyse(study[study["participant"].isin(["p0", "p1"])], draws=50)
    best, real, *_ = original_words(few)
    assert "too few ratings for an interval (n = 2)" in best
    assert "too few ratings for an interval (n = 2)" in real
    assert "[" not in best + real
    page = own_markup(report_html(few))
    assert f"{few['conditions'][0]['estimate']:.2f} (too few)" in page
    assert f"{few['pieces'][0]['mean']:.1f} (too few)" in page


def test_intervals_are_shown_no_further_than_the_scale_goes(result):
    wide = copy.deepcopy(result)
    for row in (*wide["conditions"], *wide["pieces"], wide["original_figures"]["real"]):
        row |= {"ci_low": -24.27, "ci_high": 39.27}
    wide["original_figures"]["best_generated"] |= {"corrected_low": 0.2, "corrected_high": 10.4}
    wide["contrasts"][0] |= {"ci_low": -30.0, "ci_high": 31.0}
    markup = own_markup(report_html(wide))
    assert "39.3" not in markup
    assert "24.3" not in markup
    assert f"{wide['conditions'][0]['estimate']:.2f} [1.00, 10.00]" in markup
    assert f"{wide['pieces'][0]['mean']:.1f} [1.0, 10.0]" in markup
    assert "[−9.00, +9.00]" in verdicts(wide)[0]
    assert "[1.00, 10.00]" in original_words(wide)[0]
    assert "[1.00, 10.00] (n = 10)" in original_words(wide)[1]


@pytest.mark.parametrize(
    ("criterion", "low", "high", "words"),
    [
        (-0.002, -0.4, 0.3, "criterion 0.00 [−0.40, +0.30] (no clear leaning)."),
        (0.2, 0.05, 0.4, "criterion +0.20 [+0.05, +0.40] (a leaning to 'machine')."),
        (-0.2, -0.4, -0.1, "criterion −0.20 [−0.40, −0.10] (a leaning to 'human')."),
        (0.2, None, None, "criterion +0.20."),
    ],
)
def test_a_leaning_is_claimed_only_where_the_interval_leaves_out_zero(result, criterion, low, high, words):
    told = copy.deepcopy(result)
    told["detection"] |= {"criterion": criterion, "criterion_low": low, "criterion_high": high}
    assert detection_words(told)[1].endswith(words)


def test_a_piece_is_named_once_beside_its_condition(study):
    """Where conditions share names of pieces, the result puts the condition before them."""
    numbered = study.assign(piece=study["piece"].str[-1])
    result = analyse(numbered, draws=50)
    best = result["original_figures"]["best_generated"]["piece"]
    assert best.startswith("model / ")
    assert f"The best generated piece, {best[-1]} of model, has" in original_words(result)[0]
    assert "model / " not in own_markup(report_html(result))
    alone = analyse(numbered[(numbered["condition"] == "model") | (numbered["piece"] == "0")], draws=50)
    assert "The real piece, 0 of real, has a mean of" in original_words(alone)[1]


def test_a_share_is_never_rounded_to_all_or_to_nothing(result):
    told = copy.deepcopy(result)
    told["detection"] |= {"hit_rate": 0.997, "false_alarm_rate": 0.002}
    told["variance"] = {"participant": 0.0, "piece": 0.001, "participant:condition": None, "residual": 1.0}
    words = detection_words(told)[1]
    assert "judged human in over 99 % of their hearings, generated ones in under 1 %" in words
    page = own_markup(report_html(told))
    assert "<td>0 %</td>" in page
    assert "<td>under 1 %</td>" in page


def test_disbelief_is_said_without_two_meanings(result, study):
    words = original_words(result)[2]
    assert words.endswith(
        "judged more than half of the real pieces that they were asked about to be machine-made."
    )
    single = study[(study["condition"] == "model") | (study["piece"] == "real 0")]
    assert original_words(analyse(single, draws=50))[2].endswith("judged the real piece to be machine-made.")


def test_methods_name_settings_and_say_when_there_is_no_model(result, study):
    assert "compared with real" in methods_words(result)
    assert "50 draws, seed 0" in methods_words(result)
    strict = analyse(study, draws=50, exclude=["straight_lining"])
    assert "Exclusion rules: straight lining." in methods_words(strict)
    single = analyse(study[study["participant"] == "p0"], draws=50)
    page = own_markup(report_html(single))
    assert "the same, for want of a mixed model" in page
    assert "Satterthwaite" not in page
    assert "Satterthwaite" in own_markup(report_html(result))
    assert "cannot be fitted" in methods_words(single)
    assert "degrees of freedom" not in methods_words(single)


def test_the_header_says_when_people_answered(result, study):
    when = pd.date_range("2026-01-05", periods=len(study), freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "answered from 2026-01-05 to 2026-01-07" in size_words(result, study.assign(answered_at=when))
    assert "answered" not in size_words(result, study)
    day = study.assign(answered_at="2026-01-05T10:00:00Z")
    assert "; answered on 2026-01-05." in size_words(result, day)
