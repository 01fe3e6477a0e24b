import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.ratings.comparison import (
    CategoryDraws,
    all_pairs,
    cliffs_delta,
    contrasts,
    fit_conditions,
    verdict,
)
from analysis.ratings.table import check_ratings, in_fixed_order


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    return in_fixed_order(check_ratings(frame))


def difference(frame: pd.DataFrame):
    return fit_conditions(checked(frame)).difference("m", "n")


@pytest.fixture(scope="module")
def study(make_study):
    return make_study({"m": 6, "n": 5}, n_participants=10, n_pieces=4, seed=3)


def test_balanced_estimates_are_the_raw_means_and_their_errors_are_not(study):
    fitted = fit_conditions(checked(study))
    for condition, rows in study.groupby("condition"):
        estimate = fitted.estimate(condition)
        assert estimate.value == pytest.approx(rows["rating"].mean())
        assert estimate.se > 1.5 * rows["rating"].sem()


def test_what_one_listener_adds_to_everything_changes_no_contrast(study):
    """On the balanced table; ratings may leave the scale, which the model does not know."""
    table = checked(study)
    moved = table.assign(rating=table["rating"] + 3 * (table["participant"] == "p0"))
    one, other = (fit_conditions(frame).difference("m", "n") for frame in (table, moved))
    assert (one.value, one.se) == pytest.approx((other.value, other.se), rel=1e-4)


def test_exchanged_names_exchange_the_sign_and_keep_p(study):
    swapped = study.assign(condition=study["condition"].map({"m": "n", "n": "m"}))
    one, other = difference(study), difference(swapped)
    assert other.value == pytest.approx(-one.value)
    assert (other.se, other.df, other.p) == pytest.approx((one.se, one.df, one.p), rel=1e-6)


def test_the_order_of_rows_and_the_names_of_people_and_pieces_change_nothing(study):
    names = {
        name: f"z{index}" for index, name in enumerate(sorted(study["participant"].unique(), reverse=True))
    }
    pieces = {name: f"q{index}" for index, name in enumerate(sorted(study["piece"].unique(), reverse=True))}
    other = study.sample(frac=1, random_state=5)
    other = other.assign(participant=other["participant"].map(names), piece=other["piece"].map(pieces))
    one, two = difference(study), difference(other)
    assert (two.value, two.se, two.df) == pytest.approx((one.value, one.se, one.df), rel=1e-6)


def test_more_of_the_same_listeners_never_help_beyond_the_pieces(study):
    """Cloned listeners shrink their own part of the error; that of the pieces stays."""
    clones = [study.assign(participant=study["participant"] + f" {copy}") for copy in range(20)]
    fitted = fit_conditions(checked(pd.concat(clones)))
    floor = (2 * fitted.model.variance("piece") / 4) ** 0.5
    assert floor < fitted.difference("m", "n").se < difference(study).se


def test_ignoring_pieces_would_halve_the_error(make_study):
    """Where pieces differ, the interval must be far wider than that of independent ratings."""
    study = make_study({"m": 5, "n": 5}, n_participants=40, n_pieces=4, sd=(0.5, 1.5, 0.1, 1.0), seed=2)
    naive = np.sqrt(sum(rows["rating"].var() / len(rows) for _, rows in study.groupby("condition")))
    assert difference(study).se > 2 * naive


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frame: frame[frame["participant"] == "p0"], "one participant"),
        (lambda frame: frame[frame["piece"].isin(["m 0", "n 0"])], "each has one piece"),
        (lambda frame: frame.assign(rating=7), "do not differ at all"),
        (lambda frame: frame.assign(rating=frame["condition"].map({"m": 7, "n": 2})), "do not differ at all"),
    ],
)
def test_what_no_model_can_say_is_none_with_the_reason(study, change, note):
    fitted = fit_conditions(checked(change(study)))
    assert fitted.model is None
    assert fitted.difference("m", "n") is None
    assert set(fitted.variances().values()) == {None}
    assert any(note in text for text in fitted.notes)


def test_terms_that_the_design_cannot_tell_apart_are_left_out_and_named(study):
    first_of_each = study[study["piece"].str.endswith(("0", "1"))]
    by_parity = (first_of_each["participant"].str[1:].astype(int) % 2).astype(str)
    one_per_condition = first_of_each[first_of_each["piece"].str[-1] == by_parity]
    fitted = fit_conditions(checked(one_per_condition))
    assert fitted.variances()["participant:condition"] is None
    assert fitted.variances()["participant"] is not None
    assert any("one piece per condition" in note for note in fitted.notes)
    between = study[(study["condition"] == "m") == study["participant"].isin(["p0", "p1", "p2", "p3", "p4"])]
    fitted = fit_conditions(checked(between))
    assert fitted.variances()["participant:condition"] is None
    assert any("heard one condition" in note for note in fitted.notes)
    assert fitted.difference("m", "n").se > 0


def test_a_condition_of_one_piece_borrows_how_much_pieces_differ(study):
    single = study[(study["condition"] == "m") | (study["piece"] == "n 0")]
    fitted = fit_conditions(checked(single))
    assert fitted.estimate("n").se > fitted.estimate("m").se
    assert any("1 of the conditions has one piece" in note for note in fitted.notes)


def test_one_condition_alone_has_an_estimate(study):
    fitted = fit_conditions(checked(study[study["condition"] == "m"]))
    low, high = fitted.estimate("m").interval()
    assert low < 6 < high


def test_pieces_are_drawn_towards_their_condition_and_keep_their_order(study):
    fitted = fit_conditions(checked(study))
    predicted, _ = fitted.piece_predictions()
    means = study.groupby("piece")["rating"].mean()
    for (piece, condition), value in zip(fitted.pieces.to_numpy(), predicted, strict=True):
        center = fitted.estimate(condition).value
        assert abs(value - center) < abs(means[piece] - center)
    for condition in ("m", "n"):
        inside = fitted.pieces["condition"] == condition
        order = means[fitted.pieces.loc[inside, "piece_id"]].to_numpy()
        assert (np.argsort(predicted[inside]) == np.argsort(order)).all()


@given(
    first=st.lists(st.integers(1, 10), min_size=1, max_size=12),
    second=st.lists(st.integers(1, 10), min_size=1, max_size=12),
)
def test_cliffs_delta_counts_pairs(first, second):
    counts = [np.bincount(values, minlength=11)[1:] for values in (first, second)]
    pairs = [(a > b) - (a < b) for a in first for b in second]
    assert cliffs_delta(*counts) == pytest.approx(np.mean(pairs))


def test_cliffs_delta_is_blind_to_monotone_recoding(study):
    table = checked(study)
    coarse = table.assign(rating=(table["rating"] + 1) // 2)
    spread = coarse.assign(rating=coarse["rating"].map({1: 1, 2: 2, 3: 5, 4: 9, 5: 10}))
    one, other = (CategoryDraws(frame, ["m", "n"], draws=10).delta("m", "n")[0] for frame in (coarse, spread))
    assert one == other != 0


@pytest.mark.parametrize(
    ("difference", "p", "p_equivalence", "expected"),
    [
        (0.8, 0.01, 0.9, "superior"),
        (-0.8, 0.01, 0.9, "inferior"),
        (-0.8, 0.2, 0.9, "inconclusive"),
        (0.0, 1.0, 0.2, "inconclusive"),
        (0.1, 0.6, 0.01, "equivalent"),
        (-0.2, 0.001, 0.001, "equivalent"),
        (0.3, None, None, "inconclusive"),
        (None, None, None, "inconclusive"),
    ],
)
def test_a_verdict_needs_its_own_test(difference, p, p_equivalence, expected):
    assert verdict(difference, p, p_equivalence) == expected


def test_equivalence_is_the_ninety_percent_interval_within_the_margin(make_study):
    study = make_study({"m": 5, "n": 5}, n_participants=40, n_pieces=12, sd=(1, 0.2, 0.1, 1), seed=8)
    fitted = fit_conditions(checked(study))
    for margin in np.linspace(0.05, 1, 20):
        (row,) = contrasts(fitted, None, [("m", "n")], margin=margin)
        within = -margin < row["ci90_low"] and row["ci90_high"] < margin
        assert (row["p_equivalence"] < 0.05) == within
        assert (row["verdict"] == "equivalent") == within


def test_the_more_is_compared_the_more_is_asked(make_study):
    study = make_study({"a": 6.5, "b": 6, "c": 5, "d": 5}, seed=4)
    fitted = fit_conditions(checked(study))
    rows = contrasts(fitted, None, all_pairs(["a", "b", "c", "d"]), margin=0.5)
    assert len(rows) == 6
    assert all(row["p_holm"] >= row["p"] for row in rows)
    assert min(row["p_holm"] for row in rows) == pytest.approx(min(1, 6 * min(row["p"] for row in rows)))


def test_bootstrap_intervals_agree_with_the_model_when_there_are_many_pieces(make_study):
    study = checked(make_study({"m": 6, "n": 5}, n_participants=25, n_pieces=15, seed=6))
    model = fit_conditions(study).difference("m", "n").interval()
    draws = CategoryDraws(study, ["m", "n"], draws=2000, seed=1).difference_interval("m", "n")
    assert draws[1] - draws[0] == pytest.approx(model[1] - model[0], rel=0.25)
    assert draws == CategoryDraws(study, ["m", "n"], draws=2000, seed=1).difference_interval("m", "n")


def test_conditions_of_few_pieces_are_named(make_study):
    study = make_study({"a": 5, "b": 5, "c": 5}, n_participants=6, n_pieces=6)
    study = study[~study["piece"].isin(["b 0", "b 1", "b 2"])]
    (note,) = (note for note in fit_conditions(study).notes if note.startswith("Fewer than 5 pieces"))
    assert "Fewer than 5 pieces: b (3). How much" in note


def test_of_two_conditions_the_omnibus_test_is_the_square_of_t(make_study):
    fitted = fit_conditions(check_ratings(make_study({"a": 5, "b": 6}, seed=3)))
    omnibus, difference = fitted.omnibus(), fitted.difference("b", "a")
    assert omnibus.f == pytest.approx(difference.t**2)
    assert omnibus.df_error == pytest.approx(difference.df)
    assert omnibus.p == pytest.approx(difference.p)


def test_of_a_balanced_study_the_omnibus_test_is_the_quasi_f_of_its_mean_squares():
    """H. H. Clark's (1973) F'' denominator: cells and pieces less the rest, with Satterthwaite's df."""
    n_listeners, n_conditions, n_pieces = 9, 3, 5
    rng = np.random.default_rng(11)
    table = rng.normal(size=(n_listeners, 1, 1)) + 0.8 * rng.normal(size=(1, n_conditions, n_pieces))
    table = table + 0.8 * rng.normal(size=(n_listeners, n_conditions, 1)) + rng.normal(size=table.shape)
    by_cell, by_piece = table.mean(axis=2), table.mean(axis=0)
    centred = by_cell - by_cell.mean(axis=1, keepdims=True) - by_cell.mean(axis=0) + by_cell.mean()
    df_cell, df_piece = (n_listeners - 1) * (n_conditions - 1), n_conditions * (n_pieces - 1)
    df_rest = n_conditions * (n_listeners - 1) * (n_pieces - 1)
    cell = n_pieces * (centred**2).sum() / df_cell
    piece = n_listeners * ((by_piece - by_piece.mean(axis=1, keepdims=True)) ** 2).sum() / df_piece
    left = table - by_cell[:, :, None] - by_piece[None] + by_piece.mean(axis=1)[None, :, None]
    rest = (left**2).sum() / df_rest
    between = n_listeners * n_pieces * np.var(by_cell.mean(axis=0), ddof=1)
    noise = cell + piece - rest
    df = noise**2 / (cell**2 / df_cell + piece**2 / df_piece + rest**2 / df_rest)
    listener, condition, heard = (index.ravel() for index in np.indices(table.shape))
    frame = pd.DataFrame({"participant": listener.astype(str), "condition": condition.astype(str)})
    frame["piece"] = frame["condition"] + "/" + pd.Series(heard.astype(str))
    omnibus = fit_conditions(frame.assign(value=table.ravel()), column="value").omnibus()
    assert min(cell, piece) > rest  # else REML sets a variance to 0 and differs by right
    assert omnibus.f == pytest.approx(between / noise, rel=1e-4)
    assert (omnibus.df, omnibus.df_error) == (2, pytest.approx(df, rel=1e-3))


def test_a_standardised_difference_is_in_units_of_a_single_rating(make_study):
    table = check_ratings(
        make_study({"a": 4.5, "b": 6.5}, n_participants=80, n_pieces=40, seed=1, sd=(1.0, 0.6, 0.4, 1.0))
    )
    fitted = fit_conditions(table)
    total = (1.0 + 0.36 + 0.16 + 1.0) ** 0.5
    assert fitted.standardised_difference("b", "a") == pytest.approx(2 / total, abs=0.2)
    assert fit_conditions(table[table["participant"] == "p0"]).standardised_difference("b", "a") is None


def test_without_a_model_or_with_one_condition_there_is_no_omnibus_test(make_study):
    assert fit_conditions(check_ratings(make_study({"a": 5}))).omnibus() is None
    assert fit_conditions(check_ratings(make_study({"a": 5, "b": 6}, n_pieces=1))).omnibus() is None
