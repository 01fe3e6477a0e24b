"""How large should a study be? `analysis.ratings.design` in plain values and words."""

from __future__ import annotations

from dataclasses import asdict

from analysis.errors import AnalysisError
from analysis.numerals import numeral
from analysis.ratings.cells import n_of, percent, percent_interval
from analysis.ratings.design import (
    GOAL,
    Components,
    StudySize,
    listener_curves,
    pieces_needed,
    power_of_difference,
    precision,
    simulate_power,
)
from analysis.ratings.scale import HIGHEST, LOWEST, WIDEST

LISTENERS = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200)
PIECES = (3, 5, 10, 20, 40)
MOST_LISTENERS, MOST_PIECES, MOST_CONDITIONS = 10_000, 1_000, 20
MOST_RUNS = 5_000
MIDDLE = (LOWEST + HIGHEST) / 2


def describe_plan(
    components: Components,
    size: StudySize,
    *,
    difference: float,
    margin: float,
    n_runs: int = 0,
    seed: int = 0,
) -> dict:
    """What a study of this size would find, how much pieces limit it, and the curves around it.

    With `n_runs`, that many studies are simulated around the middle of the scale and analysed as real ones
    are: once with the difference, once without it, where every finding is an error.

    Raises
    ------
    AnalysisError
        If a number is out of range.
    """
    if not 0 < difference <= WIDEST:
        raise AnalysisError(f"the difference lies above 0 and up to {WIDEST} points, got {difference:g}")
    if not 0 < margin <= WIDEST:
        raise AnalysisError(f"the margin lies above 0 and up to {WIDEST} points, got {margin:g}")
    if not 0 <= n_runs <= MOST_RUNS:
        raise AnalysisError(f"a simulation has 0 to {MOST_RUNS:,} runs, got {n_runs:,}")
    for value, most, what in (
        (size.n_participants, MOST_LISTENERS, "listeners"),
        (size.n_pieces, MOST_PIECES, "pieces"),
        (size.n_conditions, MOST_CONDITIONS, "conditions"),
    ):
        if value > most:
            raise AnalysisError(f"a plan has at most {most:,} {what}, got {value:,}")
    found = precision(components, size)
    own_pieces = sorted({*PIECES, size.n_pieces})
    curves = listener_curves(components, list(LISTENERS), own_pieces, n_conditions=size.n_conditions)
    return {
        "components": asdict(components),
        "size": {**asdict(size), "n_heard": size.heard},
        "difference": difference,
        "margin": margin,
        "power": power_of_difference(components, size, difference),
        "se": found.se,
        "df": found.df,
        "floor": found.floor,
        "share_of_pieces": found.share_of_pieces,
        "detectable": found.detectable,
        "mean_se": found.mean_se,
        "advice": found.advice,
        "pieces_needed": pieces_needed(components, size.n_participants, difference),
        "curves": [
            {
                "n_pieces": point.design.n_pieces,
                "n_participants": point.design.n_participants,
                "se": point.se,
                "detectable": point.detectable,
            }
            for point in curves
        ],
        "simulated": _simulated(components, size, difference, margin, n_runs, seed) if n_runs else None,
    }


def plan_words(plan: dict) -> list[str]:
    """The plan in sentences."""
    size = plan["size"]
    needed, people = plan["pieces_needed"], n_of(plan["size"]["n_participants"], "listener")
    sentences = [
        f"{people}, each hearing {size['n_heard']} of "
        f"{n_of(size['n_pieces'], 'piece')} per condition: a difference of two conditions has a standard "
        f"error of {plan['se']:.2f} points ({plan['df']:.0f} degrees of freedom).",
        f"A true difference of {plan['difference']:g} points is found in {percent(plan['power'])} of such "
        f"studies; {plan['detectable']:.2f} points are found in {percent(GOAL)}.",
        plan["advice"],
    ]
    if needed is None:
        sentences.append(
            f"With {people} no number of pieces finds {plan['difference']:g} points in "
            f"{percent(GOAL)} of studies: add listeners as well."
        )
    else:
        sentences.append(
            f"With {people} who hear everything, {n_of(needed, 'piece')} per condition find "
            f"{plan['difference']:g} points in {percent(GOAL)} of studies."
        )
    return sentences + _simulated_words(plan)


def _simulated_words(plan: dict) -> list[str]:
    if plan["simulated"] is None:
        return []
    sentences = []
    for row in plan["simulated"]:
        found, covered = (
            f"{percent(row[name]['share'])} {percent_interval(row[name]['low'], row[name]['high'])}"
            for name in ("found", "coverage")
        )
        equal = row["verdicts"]["equivalent"]["share"]
        where = (
            "Without any difference, one is wrongly found"
            if row["true_difference"] == 0
            else f"A difference of {numeral(row['true_difference'], '+.2f')} points on the scale is found"
        )
        sentences.append(
            f"{where} in {found} of {n_of(row['n_runs'], 'simulated study', 'simulated studies')}, "
            f"equivalence in {percent(equal)}; the 95 % interval holds the true value in {covered}."
        )
    return sentences


def _simulated(
    components: Components, size: StudySize, difference: float, margin: float, n_runs: int, seed: int
) -> list[dict]:
    rows = []
    for effect in (difference, 0.0):
        means = {"reference": MIDDLE + effect / 2, "other": MIDDLE - effect / 2}
        means |= {f"other {number}": MIDDLE for number in range(3, size.n_conditions + 1)}
        first, *_ = simulate_power(
            means, "reference", components, size, margin=margin, n_runs=n_runs, seed=seed
        )
        rows.append(
            {
                "true_difference": first.true_difference,
                "n_runs": first.n_runs,
                "found": _share(first.found),
                "coverage": _share(first.coverage),
                "verdicts": {word: _share(share) for word, share in first.verdicts.items()},
                "mean_se": first.mean_se,
                "n_without_model": first.n_without_model,
            }
        )
    return rows


def _share(triple: tuple[float, float, float]) -> dict:
    return dict(zip(("share", "low", "high"), triple, strict=True))
