"""A table of ratings in, every figure of a study out: with n, interval, and reasons for what is missing.

`analyse` gives the numbers, as plain values that JSON can hold; `document` makes sections of them, and
`page`, `paper` and `pdf` write these down. All work for anyone's table, without the web.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
import pandas as pd

from analysis.ratings.agreement import describe_agreement, describe_repeats
from analysis.ratings.bootstrap import DRAWS
from analysis.ratings.comparison import CategoryDraws, ConditionModel, all_pairs, contrasts, fit_conditions
from analysis.ratings.detection import chance_accuracy, describe_detection, judged_human_by_condition
from analysis.ratings.opinion import (
    category_counts,
    describe_condition,
    describe_participants,
    describe_pieces,
)
from analysis.ratings.original import describe_original_figures
from analysis.ratings.scale import LEAST_FOR_INTERVAL
from analysis.ratings.screening import Exclusion, as_rows, screen
from analysis.ratings.supplements import (
    describe_drift,
    describe_liking_of_copies,
    describe_listeners,
    describe_omnibus,
    describe_preferences,
    describe_reliability,
    describe_robustness,
    describe_second_hearings,
    describe_shares,
    describe_telling_apart,
)
from analysis.ratings.table import RatingsError, check_ratings, first_hearings, in_fixed_order, with_piece_ids

#: Names that say of themselves that a condition is real music or the low anchor, where no column says so.
REAL_NAMES = {"real", "human", "real music"}
ANCHOR_NAMES = {"low_anchor", "low anchor", "anchor"}
NO_SHARE = dict.fromkeys(("share_7_model", "share_7_low", "share_7_high"))


def analyse(
    ratings: pd.DataFrame,
    *,
    reference: str | None = None,
    margin: float = 0.5,
    exclude: Iterable[str] = (),
    seed: int = 0,
    draws: int = DRAWS,
    excerpt_seconds: float | None = None,
    comparisons: pd.DataFrame | None = None,
    scores: pd.DataFrame | None = None,
    is_brief: bool = False,
) -> dict:
    """All figures of a table of ratings.

    Repeats count for reliability only. Left out of everything are practice trials and, each named under
    ``excluded``, rows that the study marked, simulated participants where there are real ones as well, and
    what the rules of `exclude` find. Missing numbers are None, never NaN, and ``notes`` says why: so it is
    with intervals of means of fewer than `scale.LEAST_FOR_INTERVAL` listeners. Bounds of the other t
    intervals are as computed, even beyond the scale; the page shows them cut off at its ends.

    Parameters
    ----------
    ratings : pd.DataFrame
        With the columns of `analysis.ratings.table`; checked here.
    reference : str, optional
        The condition that the others are compared with. By default the real one, by the column ``role`` or by
        its name; without any, all pairs are compared.
    margin : float
        The largest difference in points that does not matter, declared before the ratings.
    exclude : iterable of str
        Names of `analysis.ratings.screening.RULES`.
    seed, draws : int
        Of the bootstrap; stored with the result.
    excerpt_seconds : float, optional
        Length of the excerpts, for the rule ``not_listened``.
    comparisons : pd.DataFrame, optional
        Preferences between pairs, as `analysis.ratings.pairwise.fit_preferences` takes them.
    scores : pd.DataFrame, optional
        Copying per piece, as `analysis.ratings.copying.describe_copying` takes it; without the column
        ``condition`` a score is for every piece of the name.
    is_brief : bool
        Leave the supplements out (None or empty): the primary analysis alone, for a figure that is watched.

    Raises
    ------
    RatingsError
        If the table is wrong, the reference is no condition of it, the margin is no positive number, the
        seed is negative or too large, a rule is unknown, or nothing is left to analyse.
    """
    if not (isinstance(margin, int | float) and math.isfinite(margin) and margin > 0):
        raise RatingsError(f"the margin is a positive number of points such as 0.5, got {margin!r}")
    if not 0 <= seed < 2**63:
        raise RatingsError(f"the seed is a whole number from 0 to {2**63 - 1}, got {seed}")
    table = in_fixed_order(check_ratings(ratings))
    _refuse_unknown_reference(reference, table)
    sha256 = _sha256(table)
    table, everybody, exclusions, notes, simulated = _analysed_rows(table, exclude, excerpt_seconds)
    if reference is not None and reference not in set(table["condition"]):
        raise RatingsError(f"no rating of the reference {reference!r} is left after the exclusions")
    roles = _roles(table, reference)
    reference = _reference(reference, roles, notes)
    real = {name for name, role in roles.items() if role == "real"}
    generated = {name for name, role in roles.items() if role == "generated"}

    heard = with_piece_ids(first_hearings(table))
    if heard.empty:
        raise RatingsError("only repeats are left; means need the first hearings, with repeat 0")
    notes += _notes_on_names(heard)
    fitted = fit_conditions(heard)
    notes += fitted.notes
    conditions = sorted(heard["condition"].unique())
    sampled = CategoryDraws(heard, conditions, draws=draws, seed=seed)
    described = _describe_conditions(heard, fitted, sampled, roles, real)
    agreement, agreement_notes = describe_agreement(heard)
    notes += agreement_notes
    compared = (
        [(row["condition"], reference) for row in described if row["condition"] != reference]
        if reference is not None
        else all_pairs([row["condition"] for row in described])
    )
    rows = _with_raw_differences(contrasts(fitted, sampled, compared, margin=margin), described)
    pieces = _describe_pieces(heard, fitted)
    notes += _notes_on_missing_intervals(described, pieces)
    pairs = contrasts(fitted, None, all_pairs([row["condition"] for row in described]), margin=margin)
    notes += _notes_on_claims(rows, described, roles, reference)
    detection = describe_detection(heard, real=real, generated=generated, draws=draws, seed=seed)
    if detection:
        detection["chance_accuracy"] = chance_accuracy(detection)
        if min(detection["n_real_pieces"], detection["n_generated_pieces"]) == 1:
            notes.append(
                "Human or machine: of one kind only one piece was judged; its interval is for that piece."
            )
    variance = fitted.variances()
    supplements, more = _supplements(
        table,
        everybody,
        fitted,
        compared,
        real=real if detection else set(),
        generated=generated,
        draws=draws,
        seed=seed,
        is_brief=is_brief,
    )
    notes += more
    shares = supplements.pop("shares")
    described = [{**row, **shares.get(row["condition"], NO_SHARE)} for row in described]
    if detection:
        detection |= supplements.pop("detection")
    preferences = copying = recognition = None
    if comparisons is not None:
        preferences, more = describe_preferences(comparisons, reference=reference)
        notes += more
    if scores is not None:
        copying, recognition, more = describe_liking_of_copies(heard, scores, draws=draws, seed=seed)
        notes += more
    repeats = describe_repeats(table)
    return _plain(
        {
            "n_participants": heard["participant"].nunique(),
            "n_pieces": heard["piece_id"].nunique(),
            "n_ratings": len(heard),
            "excluded": as_rows(exclusions),
            "conditions": described,
            "contrasts": rows,
            "variance": variance,
            "agreement": {**agreement, **supplements.pop("agreement")},
            "detection": detection,
            "original_figures": describe_original_figures(
                heard, real=real, generated=generated, fitted=fitted
            ),
            "pieces": pieces,
            "participants": describe_participants(heard),
            "pairs": _with_raw_differences(pairs, described),
            "repeats": repeats and {**repeats, **supplements.pop("repeats")},
            "omnibus": describe_omnibus(fitted),
            **{name: supplements[name] for name in ("sensitivity", "drift", "listeners")},
            "preferences": preferences,
            "copying": copying,
            "recognition": recognition,
            "flow": _flow(everybody, table, heard, exclusions),
            "simulated": simulated,
            "settings": {
                "reference": reference,
                "margin": float(margin),
                "exclude": [exclude] if isinstance(exclude, str) else list(exclude),
                "seed": seed,
                "draws": draws,
                "confidence": 0.95,
                "excerpt_seconds": excerpt_seconds,
                "table_sha256": sha256,
            },
            "notes": list(dict.fromkeys(notes)),
        }
    )


def _refuse_unknown_reference(reference: str | None, table: pd.DataFrame) -> None:
    conditions = sorted(table["condition"].unique())
    if reference is None or reference in conditions:
        return
    near = get_close_matches(str(reference), conditions, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(name[:40] for name in conditions[:12])
    raise RatingsError(
        f"the reference {reference!r} is no condition of the table{hint} (conditions: {shown})"
    )


def _sha256(table: pd.DataFrame) -> str:
    """Of the checked table in its fixed order: the same for the same ratings, however they came."""
    text = table.to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def _supplements(
    table: pd.DataFrame,
    everybody: pd.DataFrame,
    fitted: ConditionModel,
    pairs: list[tuple[str, str]],
    *,
    real: set[str],
    generated: set[str],
    draws: int,
    seed: int,
    is_brief: bool,
) -> tuple[dict, list[str]]:
    """What stands beside the primary analysis, by its name in the result, and notes."""
    if is_brief:
        empty = {"shares": {}, "sensitivity": [], "drift": None, "listeners": []}
        return {**empty, "agreement": {}, "repeats": {}, "detection": {}}, []
    heard, drawn = with_piece_ids(first_hearings(table)), {"draws": draws, "seed": seed}
    all_heard = first_hearings(everybody)
    shares, notes = describe_shares(heard)
    agreement, more = describe_reliability(heard, fitted, **drawn)
    drift, of_drift = describe_drift(heard)
    detection, of_detection = (
        describe_telling_apart(heard, real=real, generated=generated) if real else ({}, [])
    )
    return {
        "shares": shares,
        "sensitivity": describe_robustness(heard, all_heard, pairs, **drawn),
        "agreement": agreement,
        "drift": drift,
        "detection": detection,
        "repeats": describe_second_hearings(table, **drawn),
        "listeners": describe_listeners(all_heard, set(heard["participant"])),
    }, [*notes, *more, *of_drift, *of_detection]


def _flow(
    everybody: pd.DataFrame, table: pd.DataFrame, heard: pd.DataFrame, exclusions: list[Exclusion]
) -> list[dict]:
    """From the table to what was analysed; rules may name the same listener twice."""
    steps = [("in the table", everybody["participant"].nunique(), len(everybody))]
    for rule in sorted({exclusion.rule for exclusion in exclusions} - {"simulated"}):
        named = {exclusion.participant for exclusion in exclusions if exclusion.rule == rule}
        steps.append((rule, len(named), None))
    steps.append(("second hearings", None, len(table) - len(heard)))
    steps.append(("analysed", heard["participant"].nunique(), len(heard)))
    return [{"step": step, "n_participants": people, "n_ratings": n} for step, people, n in steps]


def _analysed_rows(
    table: pd.DataFrame, exclude: Iterable[str], excerpt_seconds: float | None
) -> tuple[pd.DataFrame, pd.DataFrame, list[Exclusion], list[str], bool]:
    """The rows that count, those before any exclusion, exclusions, notes, and whether all is simulated."""
    notes: list[str] = []
    exclusions: list[Exclusion] = []
    simulated = False
    if "simulated" in table.columns:
        simulated = bool(table["simulated"].all())
        if simulated:
            notes.append(
                "All listeners are simulated: these figures try the study out and say nothing about music."
            )
        else:
            made_up = table.loc[table["simulated"], "participant"].unique()
            exclusions += [
                Exclusion(name, "simulated", "a listener made by a model never counts beside real ones")
                for name in sorted(made_up)
            ]
            table = table[~table["simulated"]]
    if "practice" in table.columns and table["practice"].any():
        notes.append(f"{int(table['practice'].sum())} practice trials are left out.")
        table = table[~table["practice"]]
    everybody = table
    marked = table[table["excluded"] != ""]
    for (name, rule), rows in marked.groupby(["participant", "excluded"], sort=True):
        why = f"{len(rows)} of {int((table['participant'] == name).sum())} ratings marked by the study"
        exclusions.append(Exclusion(name, rule, why))
    table = table[table["excluded"] == ""]
    table, found, more = screen(table, exclude, excerpt_seconds=excerpt_seconds)
    if table.empty:
        raise RatingsError("no rating is left after the exclusions; give a table with ratings that count")
    return table, everybody, exclusions + found, notes + more, simulated


def _roles(table: pd.DataFrame, reference: str | None) -> dict[str, str]:
    """Of each condition: real, generated or low_anchor; empty where nothing says which is real."""
    conditions = sorted(table["condition"].unique())
    if "role" in table.columns:
        return {name: rows["role"].iloc[0] for name, rows in table.groupby("condition")}
    real = {reference} if reference else {name for name in conditions if name.casefold() in REAL_NAMES}
    if not real:
        return {}
    anchors = {name for name in conditions if name.casefold() in ANCHOR_NAMES}
    return {
        name: "real" if name in real else "low_anchor" if name in anchors else "generated"
        for name in conditions
    }


def _reference(reference: str | None, roles: dict[str, str], notes: list[str]) -> str | None:
    if reference is not None:
        return reference
    real = sorted(name for name, role in roles.items() if role == "real")
    if len(real) > 1:
        notes.append(f"Several conditions are real; the reference is {real[0]}, the first by name.")
    if not real:
        notes.append(
            "No condition is known to be real: all pairs are compared. Name the reference to change that."
        )
    return real[0] if real else None


def _describe_conditions(
    heard: pd.DataFrame, fitted: ConditionModel, sampled: CategoryDraws, roles: dict[str, str], real: set[str]
) -> list[dict]:
    """Real first, then by estimate; without a model the estimate is the raw mean and has no interval.

    Nor has it one with too few listeners.
    """
    believed = judged_human_by_condition(heard)
    described = []
    for condition, ratings in heard.groupby("condition"):
        row = {"condition": condition, "role": roles.get(condition), **describe_condition(ratings)}
        estimate = fitted.estimate(condition)
        row["estimate"] = estimate.value if estimate else row["mean"]
        row["se"], row["df"] = (estimate.se, estimate.df) if estimate else (None, None)
        has_interval = estimate and row["n_participants"] >= LEAST_FOR_INTERVAL
        row["ci_low"], row["ci_high"] = estimate.interval() if has_interval else (None, None)
        two_way = sampled.mean_interval(condition) if has_interval else None
        row["bootstrap_low"], row["bootstrap_high"] = two_way or (None, None)
        nobody = dict.fromkeys(("judged_human", "judged_human_low", "judged_human_high"), None)
        row |= believed.get(condition, {**nobody, "judged_human_n": 0})
        row["categories"] = category_counts(ratings)
        described.append(row)
    return sorted(
        described, key=lambda row: (row["condition"] not in real, -row["estimate"], row["condition"])
    )


def _describe_pieces(heard: pd.DataFrame, fitted: ConditionModel) -> list[dict]:
    """Every piece, with its mean shrunken by the model where there is one."""
    described = describe_pieces(heard)
    predicted = fitted.piece_predictions()
    shrunken = {} if predicted is None else dict(zip(fitted.pieces["piece_id"], predicted[0], strict=True))
    return [{**row, "shrunken_mean": shrunken.get(row["piece"])} for row in described]


def _with_raw_differences(rows: list[dict], described: list[dict]) -> list[dict]:
    """Contrasts without a model still say how far the raw means are apart."""
    means = {row["condition"]: row["mean"] for row in described}
    for row in rows:
        if row["difference"] is None:
            row["difference"] = means[row["condition"]] - means[row["reference"]]
    return rows


def _notes_on_names(heard: pd.DataFrame) -> list[str]:
    shared = int((heard.groupby("piece")["condition"].nunique() > 1).sum())
    if not shared:
        return []
    return [
        f"{shared} piece names occur in several conditions; each is taken as another piece in each condition."
    ]


def _notes_on_missing_intervals(described: list[dict], pieces: list[dict]) -> list[str]:
    notes = []
    few = [row["condition"] for row in described if row["n_participants"] < LEAST_FOR_INTERVAL]
    if few:
        notes.append(
            f"Too few listeners for an interval of the mean, fewer than {LEAST_FOR_INTERVAL}: "
            f"{', '.join(few)}."
        )
    n_few = sum(row["n_ratings"] < LEAST_FOR_INTERVAL for row in pieces)
    if n_few:
        notes.append(
            f"{n_few} of {len(pieces)} pieces have fewer than {LEAST_FOR_INTERVAL} ratings, too few for an "
            "interval of the mean."
        )
    return notes


def _notes_on_claims(
    rows: list[dict], described: list[dict], roles: dict[str, str], reference: str | None
) -> list[str]:
    notes = []
    if any(row["verdict"] == "equivalent" for row in rows) and not any(
        row["verdict"] == "inferior" for row in rows
    ):
        notes.append(
            "Equivalence was found, but nothing was shown to be worse: inattention makes everything equal. "
            "A low anchor that is rated worse would rule that out."
        )
    if any(row["n_pieces"] == 1 for row in described) and any(row["se"] is not None for row in described):
        single = ", ".join(row["condition"] for row in described if row["n_pieces"] == 1)
        notes.append(f"Heard through one piece only: {single}.")
    few = [row["condition"] for row in described if row["n_ratings"] < 15]
    if few:
        notes.append(f"Preliminary, with fewer than 15 ratings: {', '.join(few)}.")
    return notes


def _plain(value: object) -> object:
    """The value with plain numbers only: ints stay ints, what is not finite is None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
