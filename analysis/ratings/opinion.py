"""What did people think of a piece, and of a condition?

A mean opinion score here is on the scale of 1 to 10, not the 1 to 5 of ITU-T P.800. Per piece the interval
is over participants: these pieces, other listeners (ITU-T P.1401 7.4). A condition is heard through a few of
its pieces, so its headline interval comes from `comparison`, where pieces are a sample too;
`mean_opinion_score` answers for these pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.ratings.proportions import wilson_interval
from analysis.ratings.scale import LEAST_FOR_INTERVAL
from analysis.ratings.table import RatingsError, judgements, with_piece_ids


@dataclass(frozen=True)
class MeanOpinionScore:
    """A mean in points and the half width of its interval, which may reach beyond the scale."""

    mean: float
    half_width: float
    n_participants: int

    @property
    def ci_low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def ci_high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width


def mean_opinion_score(ratings: pd.DataFrame, *, confidence: float = 0.95) -> MeanOpinionScore:
    """Mean opinion score of the rated pieces, with a t interval over participants.

    Ratings of one participant are not independent: each participant counts once, by their mean. The interval
    is for other listeners and these same pieces.

    Raises
    ------
    RatingsError
        If fewer than two participants rated.
    """
    means = ratings.groupby("participant")["rating"].mean().to_numpy()
    if len(means) < 2:
        raise RatingsError(f"an interval needs at least 2 participants, got {len(means)}")
    half_width = stats.t.ppf((1 + confidence) / 2, len(means) - 1) * stats.sem(means)
    return MeanOpinionScore(float(means.mean()), float(half_width), n_participants=len(means))


def describe_pieces(ratings: pd.DataFrame) -> list[dict]:
    """Per piece: n, mean, SD, median, 95 % t interval, and who took it for human with Wilson's interval.

    The unit of observation is the participant, who hears a piece once. A piece with fewer than
    `scale.LEAST_FOR_INTERVAL` ratings, or whose ratings are all equal, has no interval (None): the first
    would reach beyond the scale, a width of 0 would claim to know what others will say. Bounds are as
    computed and may lie beyond the scale.
    """
    described = []
    for (condition, piece), rows in with_piece_ids(ratings).groupby(["condition", "piece_id"], sort=True):
        values = rows["rating"].to_numpy(dtype=float)
        described.append({"piece": piece, "condition": condition, **_summary(values), **_believed(rows)})
    return described


def describe_condition(ratings: pd.DataFrame) -> dict:
    """Of one condition: how many pieces, participants and ratings; raw mean, SD and median."""
    values = ratings["rating"].to_numpy(dtype=float)
    return {
        "n_pieces": int(ratings["piece"].nunique()),
        "n_participants": int(ratings["participant"].nunique()),
        "n_ratings": len(values),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)),
        "mad": float(np.median(np.abs(values - np.median(values)))),
        "share_7_and_up": float((values >= 7).mean()),
    }


def describe_participants(ratings: pd.DataFrame) -> list[dict]:
    """How each participant uses the scale, blind to conditions: number of ratings, their mean and SD.

    The SD of one rating is None.
    """
    described = []
    for participant, values in ratings.groupby("participant", sort=True)["rating"]:
        sd = float(values.std()) if len(values) > 1 else None
        mean = float(values.mean())
        described.append({"participant": participant, "n_ratings": len(values), "mean": mean, "sd": sd})
    return described


def category_counts(ratings: pd.DataFrame) -> list[int]:
    """How many ratings are 1, 2, ..., 10."""
    return np.bincount(ratings["rating"].to_numpy(dtype=int), minlength=11)[1:11].tolist()


def _summary(values: np.ndarray) -> dict:
    n = len(values)
    sd = float(values.std(ddof=1)) if n > 1 else None
    enough = n >= LEAST_FOR_INTERVAL
    half_width = float(stats.t.ppf(0.975, n - 1) * sd / n**0.5) if sd and enough else None
    mean = float(values.mean())
    return {
        "n_ratings": n,
        "mean": mean,
        "sd": sd,
        "median": float(np.median(values)),
        "ci_low": None if half_width is None else mean - half_width,
        "ci_high": None if half_width is None else mean + half_width,
    }


def _believed(rows: pd.DataFrame) -> dict:
    judged = judgements(rows)["judged_human"].astype(bool)
    low, high = wilson_interval(int(judged.sum()), len(judged)) if len(judged) else (None, None)
    return {
        "judged_human": float(judged.mean()) if len(judged) else None,
        "judged_human_n": len(judged),
        "judged_human_low": low,
        "judged_human_high": high,
    }
