"""What stands beside the primary analysis of a report, as plain values that JSON can hold.

Each function takes the ratings that count, calls the models that answer its question, and gives what they
say together with notes. A model that refuses the table leaves None and its reason as a note: a report never
fails for want of a supplement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.comparison import ConditionModel
from analysis.ratings.copying import describe_copying, describe_recognition
from analysis.ratings.detection import log_linear
from analysis.ratings.discrimination import (
    area_under_curve,
    calibration,
    confusion_matrix,
    fit_discrimination,
)
from analysis.ratings.drift import drift_by_position
from analysis.ratings.mixed_model import Estimate
from analysis.ratings.ordinal_comparison import fit_ordinal_conditions
from analysis.ratings.ordinal_model import WaldEstimate
from analysis.ratings.pairwise import OUTCOMES, Preferences, circular_triads, fit_preferences
from analysis.ratings.reliability import (
    Figure,
    agreement_of_listeners,
    alpha_with_interval,
    concordance,
    reliability_of_conditions,
)
from analysis.ratings.repeats import repeat_consistency
from analysis.ratings.scores import scores_of_conditions
from analysis.ratings.sensitivity import describe_sensitivity
from analysis.ratings.subject_model import describe_subjects
from analysis.ratings.table import judgements, with_piece_ids

LEAST_FOR_CORRELATION = 4  # ratings of a listener, below which a correlation says nothing
HIGHEST_CONFIDENCE = 4.0  # of the platform's own question


def describe_shares(heard: pd.DataFrame) -> tuple[dict[str, dict], list[str]]:
    """By condition: share of ratings of 7 and more that the ordinal model expects, and its interval."""
    fitted = fit_ordinal_conditions(heard)
    if fitted.model is None:
        return {}, []
    shares = {name: fitted.share_above(name) for name in fitted.conditions}
    return {
        name: {"share_7_model": share.value, "share_7_low": share.ci_low, "share_7_high": share.ci_high}
        for name, share in shares.items()
    }, [f"Ordinal model: {note}" for note in fitted.notes if "drawn towards" in note or "converged" in note]


def describe_robustness(
    heard: pd.DataFrame, everybody: pd.DataFrame, pairs: list[tuple[str, str]], *, draws: int, seed: int
) -> list[dict]:
    """Each contrast by every analysis, of the ratings that count and, where it differs, of all."""
    tables = {"analysed": heard}
    if len(everybody) > len(heard):
        tables["all"] = everybody
    rows = describe_sensitivity(tables, pairs, draws=draws, seed=seed)
    return [{**asdict(row), "finding": row.finding} for row in rows]


def describe_omnibus(fitted: ConditionModel) -> dict | None:
    """Whether any conditions differ at all."""
    omnibus = fitted.omnibus()
    return omnibus and asdict(omnibus)


def describe_reliability(
    heard: pd.DataFrame, fitted: ConditionModel, *, draws: int, seed: int
) -> tuple[dict, list[str]]:
    """Intervals of the intraclass correlations and of Krippendorff's alpha, and Kendall's W."""
    notes: list[str] = []
    agreed = _or_none(lambda: agreement_of_listeners(heard), "", [])
    found = _bounds("icc_single", agreed and agreed.single)
    found |= _bounds("icc_average", agreed and agreed.average)
    found |= _bounds("krippendorff_alpha", alpha_with_interval(heard, draws=draws, seed=seed))
    agreeing = _or_none(lambda: concordance(heard), "Kendall's W", notes)
    found["concordance"] = agreeing and asdict(agreeing)
    found["reliability_of_conditions"] = reliability_of_conditions(fitted)
    return found, notes


def describe_drift(heard: pd.DataFrame) -> tuple[dict | None, list[str]]:
    """How ratings move along a session; None where the table has no places."""
    notes: list[str] = []
    if heard["trial"].isna().all():
        return None, notes
    drift = _or_none(lambda: drift_by_position(heard), "Drift", notes)
    if drift is None:
        return None, notes
    return {
        "slope": _estimate(drift.slope),
        "spread_slope": _estimate(drift.spread_slope),
        "places": [
            {"trial": place, "residual": residual, "se": error}
            for place, residual, error in zip(
                drift.places, drift.residuals, drift.residual_errors, strict=True
            )
        ],
        "n": drift.n,
        "n_without_place": drift.n_without_place,
    }, notes


def describe_second_hearings(table: pd.DataFrame, *, draws: int, seed: int) -> dict:
    """How far listeners agree with themselves, with intervals over listeners; empty without repeats."""
    found = _or_none(lambda: repeat_consistency(table, draws=draws, seed=seed), "", [])
    if found is None:
        return {}
    return {
        "expected_at_random": found.expected_at_random,
        **_bounds("mean_absolute_difference", found.mean_absolute_difference),
        **_bounds("within_sd", found.within_sd),
        "icc": found.icc and found.icc.value,
        **_bounds("icc", found.icc),
        "kappa": found.kappa,
        "n_answers": found.n_answers,
    }


def describe_telling_apart(
    heard: pd.DataFrame, *, real: set[str], generated: set[str]
) -> tuple[dict, list[str]]:
    """Human or machine by the probit model, the area under the curve, confusion, calibration, listeners."""
    sides = {"real": real, "generated": generated}
    notes: list[str] = []
    told = _or_none(lambda: fit_discrimination(heard, **sides), "Probit model of human or machine", notes)
    found: dict = {"model": None, "area": None, "calibration": None}
    if told is not None:
        notes += told.notes
        equal = told.equivalence
        found["model"] = {
            "d_prime": _estimate(told.d_prime),
            "criterion": _estimate(told.criterion),
            "bound": equal.bound,
            "ci90_low": equal.ci90_low,
            "ci90_high": equal.ci90_high,
            "p_equivalence": equal.p,
            "indistinguishable": equal.equivalent,
            "sd_d_prime": told.sd_d_prime,
            "sd_participant": told.sd_participant,
            "sd_piece": told.sd_piece,
        }
    found["confusion"] = [asdict(row) for row in confusion_matrix(heard, **sides)]
    found["listeners"] = _listener_rates(heard, real, generated)
    if heard["confidence"].notna().any():
        area = _or_none(lambda: area_under_curve(heard, **sides), "Area under the curve", notes)
        found["area"] = area and asdict(area)
        highest = max(HIGHEST_CONFIDENCE, float(heard["confidence"].max()))
        steps = _or_none(lambda: calibration(heard, highest=highest, **sides), "Calibration", notes)
        found["calibration"] = steps and {**asdict(steps), "highest": highest}
    return found, notes


def describe_listeners(everybody: pd.DataFrame, counted: set[str]) -> list[dict]:
    """Everybody's leaning, carelessness and agreement with the rest: a diagnosis, and no rule.

    `rest_correlation` is with the mean of the others on the same pieces, oneself left out; None of fewer than
    4 ratings, or of ratings that are all the same.
    """
    table = with_piece_ids(everybody)
    by_piece = table.groupby("piece_id")["rating"]
    n_others = by_piece.transform("size") - 1
    others = (by_piece.transform("sum") - table["rating"]) / n_others.where(n_others > 0)
    subjects = _or_none(lambda: describe_subjects(everybody), "", [])
    of_subject = {} if subjects is None else subjects.participants.set_index("participant").to_dict("index")
    rows = []
    compared = table.assign(_others=others)
    for name, ratings in compared.groupby("participant", sort=True):
        subject = of_subject.get(name, {})
        rows.append(
            {
                "participant": name,
                "n_ratings": len(ratings),
                "mean": float(ratings["rating"].mean()),
                "bias": subject.get("bias"),
                "inconsistency": subject.get("inconsistency"),
                "rest_correlation": _correlation(ratings["rating"], ratings["_others"]),
                "counted": name in counted,
            }
        )
    return rows


def describe_preferences(
    comparisons: pd.DataFrame, *, reference: str | None
) -> tuple[dict | None, list[str]]:
    """Worths of the model of Bradley and Terry, the wins, order effect, fit and circular triads.

    Raises
    ------
    AnalysisError
        If a column is missing or a cell wrong.
    """
    named = (
        reference if reference in {*comparisons.get("first", ()), *comparisons.get("second", ())} else None
    )
    fitted = fit_preferences(comparisons, reference=named)
    order = fitted.order
    triads = circular_triads(comparisons)
    return {
        "reference": fitted.reference,
        "worths": [asdict(worth) for worth in fitted.worths()],
        "wins": _wins(fitted),
        "order": order and _estimate(order),
        "deviance": fitted.deviance,
        "df": fitted.df,
        "p_fit": fitted.p_fit,
        "n": int(fitted.counts.sum()),
        "n_participants": int(comparisons["participant"].nunique()),
        "n_ties": int(fitted.counts[:, OUTCOMES.index("tie")].sum()),
        "n_triads": int(triads["n_triads"].sum()),
        "n_circular": int(triads["n_circular"].sum()),
    }, [f"Preferences: {note}" for note in fitted.notes]


def describe_liking_of_copies(
    heard: pd.DataFrame, scores: pd.DataFrame, *, draws: int, seed: int
) -> tuple[dict | None, dict | None, list[str]]:
    """Rating against copying per piece, and copying against "I have heard this before"."""
    notes: list[str] = []
    measure = scores.attrs.get("measure", "copying score")
    scores = scores_of_conditions(scores, heard)
    copied = _or_none(
        lambda: describe_copying(heard, scores, draws=draws, seed=seed), "Copying and liking", notes
    )
    copying = None
    if copied is not None:
        notes += [f"Copying and liking: {note}" for note in copied.notes]
        copying = {
            "measure": measure,
            "pieces": copied.pieces.rename(columns={"piece_id": "piece"}).to_dict("records"),
            "pooled": asdict(copied.pooled),
            "within": copied.within and asdict(copied.within),
            "slope": copied.slope and _estimate(copied.slope),
            "between": copied.between,
            "n_conditions": copied.n_conditions,
        }
    if (heard["familiar"] == "").all():
        return copying, None, notes
    recognised = _or_none(lambda: describe_recognition(heard, scores, seed=seed), "Recognition", notes)
    recognition = None
    if recognised is not None:
        recognition = asdict(recognised)
        recognition["slope"] = recognised.slope and _estimate(recognised.slope)
        notes += [f"Recognition: {note}" for note in recognition.pop("notes")]
    return copying, recognition, notes


def _or_none(compute: Callable, what: str, notes: list[str]) -> object:
    """What was computed; None where the model refuses, with the reason among the notes."""
    try:
        return compute()
    except AnalysisError as error:
        notes.append(f"{what}: {error}.")
        return None


def _estimate(estimate: Estimate | WaldEstimate) -> dict:
    low, high = estimate.interval()
    return {
        "value": estimate.value,
        "se": estimate.se,
        "df": getattr(estimate, "df", None),
        "p": estimate.p,
        "ci_low": low,
        "ci_high": high,
    }


def _bounds(name: str, figure: Figure | None) -> dict:
    return {f"{name}_low": figure and figure.ci_low, f"{name}_high": figure and figure.ci_high}


def _correlation(own: pd.Series, others: pd.Series) -> float | None:
    there = others.notna().to_numpy()
    x, y = own.to_numpy(dtype=float)[there], others.to_numpy(dtype=float)[there]
    if len(x) < LEAST_FOR_CORRELATION or x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _listener_rates(heard: pd.DataFrame, real: set[str], generated: set[str]) -> list[dict]:
    """Hit and false-alarm rate of every listener who was asked about both kinds, by the log-linear rule."""
    table = judgements(heard)
    table = table[table["condition"].isin(real | generated)]
    counts = (
        table.assign(is_real=table["condition"].isin(real), said_human=table["judged_human"].astype(float))
        .groupby(["participant", "is_real"])["said_human"]
        .agg(["sum", "size"])
        .unstack("is_real")
    )
    rows = []
    for name, row in counts.iterrows():
        if row.isna().any():
            continue
        rows.append(
            {
                "participant": name,
                "n": int(row["size"].sum()),
                "hit_rate": float(log_linear(row["sum", True], row["size", True])),
                "false_alarm_rate": float(log_linear(row["sum", False], row["size", False])),
            }
        )
    return rows


def _wins(fitted: Preferences) -> list[dict]:
    """Of each ordered pair that met: how often the one was preferred to the other, and ties."""
    n = len(fitted.conditions)
    wins, ties = np.zeros((n, n), dtype=int), np.zeros((n, n), dtype=int)
    for (first, second), (of_first, of_second, tied) in zip(fitted.pairs, fitted.counts, strict=True):
        wins[first, second] += int(of_first)
        wins[second, first] += int(of_second)
        ties[first, second] += int(tied)
        ties[second, first] += int(tied)
    return [
        {
            "condition": fitted.conditions[one],
            "other": fitted.conditions[other],
            "wins": int(wins[one, other]),
            "losses": int(wins[other, one]),
            "ties": int(ties[one, other]),
        }
        for one in range(n)
        for other in range(n)
        if one != other and wins[one, other] + wins[other, one] + ties[one, other]
    ]
