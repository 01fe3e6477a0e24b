import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from analysis.ratings.pairwise import PreferenceError, circular_triads, fit_preferences, fit_wins

CONDITIONS = ("real", "a", "b")


def votes(
    worths,
    *,
    order=0.0,
    tie=-1.0,
    n_listeners=30,
    n_votes=20,
    n_pieces=6,
    sd=(0.0, 0.0),
    seed=0,
):
    """Comparisons by the model; listeners and pieces may differ in their log-worths of conditions."""
    rng = np.random.default_rng(seed)
    names = list(worths)
    of_listener = rng.normal(0, sd[0], (n_listeners, len(names)))
    of_piece = rng.normal(0, sd[1], (len(names), n_pieces))
    rows = []
    for listener in range(n_listeners):
        for _ in range(n_votes):
            i, j = rng.choice(len(names), 2, replace=False)
            one, other = rng.integers(n_pieces, size=2)
            first = worths[names[i]] + of_listener[listener, i] + of_piece[i, one]
            second = worths[names[j]] + of_listener[listener, j] + of_piece[j, other]
            weights = np.exp([first, second - order, (first + second) / 2 + tie])
            outcome = ("first", "second", "tie")[rng.choice(3, p=weights / weights.sum())]
            rows.append((f"l{listener}", names[i], names[j], outcome, f"{one}", f"{other}"))
    columns = ["participant", "first", "second", "preferred", "first_piece", "second_piece"]
    return pd.DataFrame(rows, columns=columns)


def test_citations_among_journals_give_the_published_fit(golden):
    case = golden["citations"]
    fitted = fit_wins(case["journals"], np.array(case["wins"]))
    estimates = [fitted.contrast(name, "Biometrika") for name in case["journals"]]
    assert [e.value for e in estimates] == pytest.approx(case["log_worths"], abs=1e-6)
    assert [e.se for e in estimates] == pytest.approx(case["errors"], abs=1e-6)
    assert fitted.deviance == pytest.approx(case["deviance"], abs=1e-4)
    assert fitted.df == 3


def test_the_fit_has_the_highest_likelihood_of_all_worths_orders_and_ties():
    table = votes({"real": 0.8, "a": 0.0, "b": -0.5}, order=0.4, seed=1)
    fitted = fit_preferences(table)
    codes = {name: index for index, name in enumerate(CONDITIONS)}
    i, j = (table[side].map(codes).to_numpy() for side in ("first", "second"))
    outcome = table["preferred"].map({"first": 0, "second": 1, "tie": 2}).to_numpy()

    def minus_log_likelihood(v):
        log_worth = np.array([0.0, v[0], v[1]])
        one, other = log_worth[i], log_worth[j]
        logs = np.stack([one, other - v[2], v[3] + (one + other) / 2], axis=1)
        return (np.logaddexp.reduce(logs, axis=1) - logs[np.arange(len(i)), outcome]).sum()

    best = optimize.minimize(minus_log_likelihood, np.zeros(4), method="BFGS")
    found = [fitted.contrast(name, "real").value for name in ("a", "b")]
    assert [*found, fitted.order.value, fitted.tie.value] == pytest.approx(best.x, abs=1e-4)
    assert fitted.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
    inverse = np.linalg.inv(_hessian(minus_log_likelihood, best.x))
    code = fitted.conditions.index("a")
    assert fitted.model_covariance[code, code] == pytest.approx(inverse[0, 0], rel=1e-3)


def _hessian(function, at):
    step = 1e-3 * np.eye(len(at))
    return np.array(
        [
            [
                (function(at + a + b) - function(at + a - b) - function(at - a + b) + function(at - a - b))
                / 4e-6
                for b in step
            ]
            for a in step
        ]
    )


def test_planted_worths_order_and_ties_come_back():
    fitted = fit_preferences(
        votes({"real": 1.0, "a": 0.0, "b": -1.0}, order=0.5, n_listeners=150, n_pieces=30, seed=2)
    )
    assert fitted.contrast("a", "real").value == pytest.approx(-1, abs=0.15)
    assert fitted.contrast("b", "real").value == pytest.approx(-2, abs=0.2)
    assert fitted.order.value == pytest.approx(0.5, abs=0.15)
    assert fitted.tie.value == pytest.approx(-1, abs=0.15)
    assert [row.condition for row in fitted.worths()] == ["real", "a", "b"]


def test_independent_votes_have_about_the_errors_of_the_model():
    ratios = []
    for seed in range(20):
        fitted = fit_preferences(votes({"real": 0.5, "a": 0.0, "b": -0.5}, n_pieces=20, seed=seed))
        code = fitted.conditions.index("b")
        ratios.append((fitted.covariance[code, code] / fitted.model_covariance[code, code]) ** 0.5)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)


def test_votes_that_go_together_have_the_errors_of_repeated_studies():
    """Forty studies with other listeners and pieces: their spread is what the error claims to be."""
    studies = [
        fit_preferences(
            votes({"real": 0.5, "a": 0.0, "b": -0.5}, n_pieces=8, sd=(0.5, 0.4), tie=-9.0, seed=seed)
        )
        for seed in range(40)
    ]
    contrasts = [study.contrast("b", "real") for study in studies]
    code = studies[0].conditions.index("b")
    naive = np.mean([study.model_covariance[code, code] ** 0.5 for study in studies])
    spread = np.std([contrast.value for contrast in contrasts], ddof=1)
    assert np.mean([contrast.se for contrast in contrasts]) == pytest.approx(spread, rel=0.3)
    assert spread > 1.5 * naive


def test_swapping_the_sides_of_every_vote_turns_the_order_alone():
    table = votes({"real": 0.5, "a": 0.0, "b": -0.5}, order=0.6, seed=3)
    turned = table.rename(
        columns={
            "first": "second",
            "second": "first",
            "first_piece": "second_piece",
            "second_piece": "first_piece",
        }
    ).assign(preferred=table["preferred"].map({"first": "second", "second": "first", "tie": "tie"}))
    one, other = fit_preferences(table), fit_preferences(turned)
    # Ties are counted against what is heard first, so log nu takes up the order.
    assert other.order.value == pytest.approx(-one.order.value, abs=1e-6)
    assert other.contrast("a", "b").value == pytest.approx(one.contrast("a", "b").value, abs=1e-6)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-8)


def test_a_condition_that_never_loses_is_finite_and_named():
    table = votes({"real": 0.5, "a": 0.0, "b": -0.5}, tie=-9.0, seed=4)
    table["preferred"] = np.where(
        table["first"] == "real", "first", np.where(table["second"] == "real", "second", table["preferred"])
    )
    fitted = fit_preferences(table)
    assert fitted.ridge == 3
    assert any("win, or lose, all" in note for note in fitted.notes)
    assert fitted.worths()[0].condition == "real"
    worst = fitted.worths()[-1]
    assert -20 < worst.ci_low < worst.ci_high
    assert np.isfinite(worst.se)


def test_groups_that_never_meet_are_refused_by_name():
    rows = [("p", "a", "b", "first"), ("q", "c", "d", "second"), ("q", "b", "a", "first")]
    table = pd.DataFrame(rows, columns=["participant", "first", "second", "preferred"])
    with pytest.raises(PreferenceError, match=r"2 groups that never meet: a, b \| c, d"):
        fit_preferences(table)


def test_order_that_cannot_be_told_is_left_out_with_a_note():
    table = votes({"a": 0.5, "b": 0.0}, seed=5)
    always = table[table["first"] == "a"]
    fitted = fit_preferences(always)
    assert fitted.order is None
    assert "order cannot be told" in fitted.notes[0]


def test_without_pieces_the_interval_is_for_these_pieces_and_narrower():
    table = votes({"real": 0.5, "a": 0.0}, n_pieces=5, sd=(0.2, 1.0), seed=6)
    named = fit_preferences(table)
    unnamed = fit_preferences(table.drop(columns=["first_piece", "second_piece"]))
    assert unnamed.contrast("a", "real").value == pytest.approx(named.contrast("a", "real").value)
    assert unnamed.contrast("a", "real").se < named.contrast("a", "real").se
    assert "very pieces" in unnamed.notes[-1]


def test_circular_choices_are_counted():
    rows = [("x", "a", "b", "first"), ("x", "b", "c", "first"), ("x", "c", "a", "first")]
    rows += [("y", "a", "b", "first"), ("y", "b", "c", "first"), ("y", "a", "c", "first")]
    rows += [("z", "a", "b", "first"), ("z", "b", "c", "tie"), ("z", "a", "c", "first")]
    triads = circular_triads(pd.DataFrame(rows, columns=["participant", "first", "second", "preferred"]))
    assert triads["n_triads"].tolist() == [1, 1, 0]
    assert triads["n_circular"].tolist() == [1, 0, 0]


def test_votes_at_random_make_a_quarter_of_the_triads_circular():
    rng = np.random.default_rng(0)
    rows = [
        (f"p{listener}", one, other, "first" if rng.random() < 0.5 else "second")
        for listener in range(400)
        for one, other in (("a", "b"), ("b", "c"), ("a", "c"))
    ]
    triads = circular_triads(pd.DataFrame(rows, columns=["participant", "first", "second", "preferred"]))
    assert triads["n_circular"].sum() / triads["n_triads"].sum() == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns="preferred"), "no column 'preferred'"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(preferred="left"), "row 1: preferred is 'left'"),
        (lambda t: t.assign(first="a", second="a"), "row 1: condition 'a' meets itself"),
        (lambda t: t.assign(participant=None), "row 1: participant is empty"),
        (lambda t: t.assign(participant="p"), "at least 2 participants, got 1"),
        (lambda t: t.assign(preferred="tie"), "are ties"),
        (lambda t: t.assign(first_piece="1", second_piece="1"), "one piece only"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, reason):
    with pytest.raises(PreferenceError, match=reason):
        fit_preferences(change(votes({"real": 0.5, "a": 0.0})))


def test_unknown_names_and_tables_of_wins_are_refused():
    with pytest.raises(PreferenceError, match="'c' is no condition"):
        fit_preferences(votes({"real": 0.5, "a": 0.0}), reference="c")
    with pytest.raises(PreferenceError, match="no condition 'c'; there are"):
        fit_preferences(votes({"real": 0.5, "a": 0.0})).contrast("c", "a")
    with pytest.raises(PreferenceError, match="2 x 2 counts"):
        fit_wins(["a", "b"], np.array([[0, -1], [1, 0]]))


def test_the_error_over_listeners_is_the_jackknife_of_whole_fits():
    """Leaving out each of six listeners and fitting anew moves the contrast as its error says."""
    table = votes({"real": 0.5, "a": 0.0}, n_listeners=6, n_votes=40, sd=(0.6, 0.0), tie=-9.0, seed=8)
    table = table.drop(columns=["first_piece", "second_piece"])
    whole = fit_preferences(table, order=False).contrast("a", "real")
    moves = [
        fit_preferences(table[table["participant"] != name], order=False).contrast("a", "real").value
        - whole.value
        for name in table["participant"].unique()
    ]
    assert whole.se == pytest.approx((5 / 6 * np.sum(np.square(moves))) ** 0.5, rel=0.03)
    assert whole.df == 5
