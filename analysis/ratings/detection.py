"""Could listeners tell human from machine?

Signal detection: a hit is a real piece judged human, a false alarm a generated piece judged human. d' is how
far apart the two are heard, in standard deviations; the criterion is how hard a listener is to convince
(positive: says "human" seldom). Both use the log-linear correction, (count + 0.5) / (n + 1), always and not
for extreme rates alone: Hautus (1995), Behav. Res. Methods 27:46; Stanislaw and Todorov (1999), Behav. Res.
Methods 31:137. Accuracy alone misleads where real pieces are few, so balanced accuracy, whose chance is 50 %,
stands beside it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.ratings.bootstrap import DRAWS, percentile_interval, weighted_counts
from analysis.ratings.comparison import fit_conditions
from analysis.ratings.proportions import wilson_interval
from analysis.ratings.table import codes_of, judgements, with_piece_ids


def d_prime(hit_rate: np.ndarray | float, false_alarm_rate: np.ndarray | float) -> np.ndarray | float:
    """Sensitivity: z of the hit rate less z of the false-alarm rate."""
    return stats.norm.ppf(hit_rate) - stats.norm.ppf(false_alarm_rate)


def criterion(hit_rate: np.ndarray | float, false_alarm_rate: np.ndarray | float) -> np.ndarray | float:
    """Bias: 0 is none, positive a leaning to "machine"."""
    return -(stats.norm.ppf(hit_rate) + stats.norm.ppf(false_alarm_rate)) / 2


def log_linear(count: np.ndarray | float, n: np.ndarray | float) -> np.ndarray | float:
    """A rate that is never 0 or 1."""
    return (count + 0.5) / (n + 1)


def describe_detection(
    ratings: pd.DataFrame, *, real: set[str], generated: set[str], draws: int = DRAWS, seed: int = 0
) -> dict | None:
    """Pooled signal detection; None if the question was not asked about both real and generated pieces.

    `ci_low` and `ci_high` are of `accuracy`, those of d', criterion and balanced accuracy are named after
    them: 95 % percentile intervals of the two-way bootstrap over participants and pieces. The unit of
    observation is the judgement, and participants and pieces are what is sampled. `hit_rate` and
    `false_alarm_rate` are as counted.
    """
    table = with_piece_ids(judgements(ratings))
    table = table[table["condition"].isin(real | generated)]
    is_real = table["condition"].isin(real).to_numpy()
    if not is_real.any() or is_real.all():
        return None
    said_human = table["judged_human"].to_numpy(dtype=bool)
    categories = 2 * is_real + said_human  # correct rejection, false alarm, miss, hit
    observed = np.bincount(categories, minlength=4).astype(float)
    drawn = weighted_counts(
        categories,
        codes_of(table["participant"]),
        codes_of(table["piece_id"]),
        n_categories=4,
        draws=draws,
        seed=seed,
    )
    # The correction is for counts: weights of a draw are brought to the number of judgements first.
    for ends in (slice(0, 2), slice(2, 4)):
        drawn[:, ends] *= observed[ends].sum() / drawn[:, ends].sum(axis=1, keepdims=True)
    value, spread = _figures(observed[None, :]), _figures(drawn)
    intervals = {name: percentile_interval(values) or (None, None) for name, values in spread.items()}
    if table["participant"].nunique() < 2:
        intervals = dict.fromkeys(intervals, (None, None))
    n_known = int((ratings["judged_human"].notna() & (ratings["familiar"] == "known")).sum())
    rejections, false_alarms, misses, hits = (int(count) for count in observed)
    return {
        **{name: float(values[0]) for name, values in value.items()},
        "hit_rate": hits / (hits + misses),
        "false_alarm_rate": false_alarms / (false_alarms + rejections),
        "ci_low": intervals["accuracy"][0],
        "ci_high": intervals["accuracy"][1],
        **{f"{name}_low": intervals[name][0] for name in ("d_prime", "criterion", "balanced_accuracy")},
        **{f"{name}_high": intervals[name][1] for name in ("d_prime", "criterion", "balanced_accuracy")},
        "n": len(table),
        "n_participants": int(table["participant"].nunique()),
        "n_real_pieces": int(table.loc[is_real, "piece_id"].nunique()),
        "n_generated_pieces": int(table.loc[~is_real, "piece_id"].nunique()),
        "hits": hits,
        "misses": misses,
        "false_alarms": false_alarms,
        "correct_rejections": rejections,
        "n_known_left_out": n_known,
    }


def judged_human_by_condition(ratings: pd.DataFrame) -> dict[str, dict]:
    """Per condition: the share of its pieces' hearings that were judged human, and its 95 % interval.

    Answers of one listener, and about one piece, go together, so n answers tell less than n: the interval is
    Wilson's with the effective number of answers that has the variance of the mixed model, and with its
    degrees of freedom. Where everybody agrees that number is the smaller of the numbers of listeners and
    pieces. Without a model, None.
    """
    table = judgements(ratings)
    if table.empty:
        return {}
    numbers = table.assign(judged_human=table["judged_human"].astype(float))
    fitted = fit_conditions(numbers, column="judged_human")
    result = {}
    for condition, rows in numbers.groupby("condition"):
        share, n = float(rows["judged_human"].mean()), len(rows)
        low, high = None, None
        n_units = min(rows["participant"].nunique(), rows["piece"].nunique())
        if 0 < share < 1 and (estimate := fitted.estimate(condition)) is not None:
            effective = min(float(n), max(1.0, share * (1 - share) / estimate.se**2))
            low, high = wilson_interval(share * effective, effective, df=max(estimate.df, 1.0))
        elif share in (0.0, 1.0) and n_units > 1:
            low, high = wilson_interval(share * n_units, n_units)
        result[condition] = {
            "judged_human": share,
            "judged_human_n": n,
            "judged_human_low": low,
            "judged_human_high": high,
        }
    return result


def _figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Of each row of (correct rejections, false alarms, misses, hits): d', criterion and both accuracies."""
    rejections, false_alarms, misses, hits = counts.T
    hit_rate = log_linear(hits, hits + misses)
    false_alarm_rate = log_linear(false_alarms, false_alarms + rejections)
    return {
        "d_prime": d_prime(hit_rate, false_alarm_rate),
        "criterion": criterion(hit_rate, false_alarm_rate),
        "accuracy": (hits + rejections) / counts.sum(axis=1),
        "balanced_accuracy": (hits / (hits + misses) + rejections / (rejections + false_alarms)) / 2,
    }


def chance_accuracy(detection: dict) -> float:
    """Accuracy of a listener who hears no difference but says "human" as often as these did."""
    n_real, n = detection["hits"] + detection["misses"], detection["n"]
    said_human = (detection["hits"] + detection["false_alarms"]) / n
    return said_human * n_real / n + (1 - said_human) * (n - n_real) / n
