"""Do listeners give a piece the same rating when they hear it again?

Second hearings against first ones: Bland and Altman (1986), Lancet 327:307, for the differences, ICC(1,1) of
Shrout and Fleiss (1979) for their share of the variance, Cohen's (1960) kappa for the human-or-machine
answer. The unit is the pair of hearings; intervals are over participants, whose pairs go together. A listener
who chose at random among their own ratings would differ by `expected_at_random`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.bootstrap import DRAWS, percentile_interval
from analysis.ratings.reliability import Figure
from analysis.ratings.table import codes_of


@dataclass(frozen=True)
class RepeatConsistency:
    """How far participants agree with themselves, in points where not said otherwise."""

    n_pairs: int
    n_participants: int
    shift: Figure  # mean of second less first
    mean_absolute_difference: Figure
    expected_at_random: float  # mean absolute difference of two of a participant's ratings
    within_sd: Figure  # sqrt(mean d^2 / 2)
    repeatability: float  # 1.96 sqrt(2) within_sd: 95 of 100 pairs differ by less
    icc: Figure | None  # ICC(1,1) over pairs; None where the ratings do not vary
    kappa: float | None  # of the human-or-machine answers; None where they were not repeated or do not vary
    n_answers: int  # pairs of answers


def repeat_consistency(ratings: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0) -> RepeatConsistency:
    """First against second hearings of the same piece by the same participant.

    Intervals are percentiles of a bootstrap over participants; one participant gives none.

    Raises
    ------
    AnalysisError
        If no piece was rated twice by a participant.
    """
    key = ["participant", "condition", "piece"]
    columns = ["rating", "judged_human"]
    first, second = (ratings[ratings["repeat"] == n].set_index(key)[columns] for n in (0, 1))
    pairs = first.add_suffix("_1").join(second.add_suffix("_2"), how="inner")
    if pairs.empty:
        raise AnalysisError("no piece was rated twice by a participant; second hearings have repeat 1")
    one, two = (pairs[f"rating_{n}"].to_numpy(dtype=float) for n in (1, 2))
    participants = codes_of(pairs.index.get_level_values("participant").to_series())
    n_participants = int(participants.max()) + 1
    sums = np.zeros((n_participants, 6))  # of each participant: all that the figures are made of
    terms = (np.ones(len(one)), two - one, np.abs(two - one), (two - one) ** 2, one + two, one**2 + two**2)
    for column, term in enumerate(terms):
        sums[:, column] = np.bincount(participants, term)
    observed = _figures(sums.sum(axis=0)[None])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_participants, np.full(n_participants, 1 / n_participants), size=draws)
    spread = _figures(drawn @ sums)

    def figure(name: str) -> Figure:
        interval = percentile_interval(spread[name]) if n_participants > 1 else None
        return Figure(float(observed[name][0]), *(interval or (None, None)))

    within_sd = figure("within_sd")
    kappa, n_answers = _kappa(pairs)
    return RepeatConsistency(
        n_pairs=len(pairs),
        n_participants=n_participants,
        shift=figure("shift"),
        mean_absolute_difference=figure("mean_absolute_difference"),
        expected_at_random=_expected_at_random(ratings, pairs),
        within_sd=within_sd,
        repeatability=1.96 * 2**0.5 * within_sd.value,
        icc=figure("icc") if np.isfinite(observed["icc"][0]) else None,
        kappa=kappa,
        n_answers=n_answers,
    )


def _figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of each row of summed terms."""
    n, shift, absolute, squares, totals, all_squares = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        within = squares / (2 * n)  # mean square within pairs
        of_pairs = (all_squares - squares / 2 - totals**2 / (2 * n)) / (n - 1)  # mean square between pairs
        icc = (of_pairs - within) / (of_pairs + within)
        return {
            "shift": shift / n,
            "mean_absolute_difference": absolute / n,
            "within_sd": np.sqrt(within),
            "icc": icc,
        }


def _expected_at_random(ratings: pd.DataFrame, pairs: pd.DataFrame) -> float:
    """Mean absolute difference of two first hearings of a participant, weighted as the pairs are."""
    of_pairs = pairs.index.get_level_values("participant")
    heard = ratings[ratings["repeat"] == 0].groupby("participant")["rating"]
    expected = {}
    for name, values in heard:
        numbers = np.sort(values.to_numpy(dtype=float))
        n = len(numbers)
        if n > 1:
            ranks = 2 * np.arange(1, n + 1) - n - 1
            expected[name] = 2 * float(ranks @ numbers) / (n * (n - 1))
    found = [expected[name] for name in of_pairs if name in expected]
    return float(np.mean(found)) if found else 0.0


def _kappa(pairs: pd.DataFrame) -> tuple[float | None, int]:
    answers = pairs[["judged_human_1", "judged_human_2"]].dropna().astype(bool)
    if answers.empty:
        return None, 0
    one, two = (answers[name].to_numpy() for name in answers)
    agree = (one == two).mean()
    by_chance = one.mean() * two.mean() + (1 - one.mean()) * (1 - two.mean())
    return (float((agree - by_chance) / (1 - by_chance)) if by_chance < 1 else None), len(answers)
