"""Whose ratings are put aside, by which rule?

Rules are declared before the first rating, are about how somebody listened and never about what they liked,
and are blind: no rule sees the condition. Each exclusion keeps its rule and its reason, so that a table can
be read with and without it. Agreement with the other listeners is no rule here: for taste it would delete the
minority.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pandas as pd

from analysis.ratings.table import RatingsError

MOST_FAILED_CHECKS = 1  # two failures exclude: one slip is human
FEWEST_RATINGS = 8  # below, equal ratings are no evidence of anything
LEAST_SD = 0.3  # P.808's least variance of 0.1 on 1-5, scaled to 1-10
LARGEST_SHARE = 0.9  # of one and the same number
LEAST_HEARD = 0.8  # of the excerpt
TOLERANCE_SECONDS = 0.25  # players report the end of a sound a little early


@dataclass(frozen=True)
class Exclusion:
    """Somebody's ratings, or one of them, put aside."""

    participant: str
    rule: str
    why: str
    piece: str | None = None  # None: all that the participant did
    row: Hashable | None = None  # index label of the single rating that is meant


def failed_attention(ratings: pd.DataFrame, *, most: int = MOST_FAILED_CHECKS) -> list[Exclusion]:
    """Participants who failed more than `most` attention checks, by the column ``failed_attention``."""
    if "failed_attention" not in ratings.columns:
        return []
    failed = ratings.groupby("participant", sort=True)["failed_attention"].max().dropna()
    return [
        Exclusion(name, "failed_attention", f"failed {count} attention checks, at most {most} may be failed")
        for name, count in failed[failed > most].items()
    ]


def straight_lining(
    ratings: pd.DataFrame,
    *,
    fewest: int = FEWEST_RATINGS,
    least_sd: float = LEAST_SD,
    largest_share: float = LARGEST_SHARE,
) -> list[Exclusion]:
    """Participants with `fewest` ratings or more that (nearly) all are the same number; repeats count too."""
    exclusions = []
    for name, values in ratings.groupby("participant", sort=True)["rating"]:
        if len(values) < fewest:
            continue
        counts = values.value_counts()
        number, share, sd = int(counts.index[0]), counts.iloc[0] / len(values), values.std()
        if share >= largest_share or sd < least_sd:
            why = f"gave {number} in {counts.iloc[0]} of {len(values)} ratings (SD {sd:.2f})"
            exclusions.append(Exclusion(name, "straight_lining", why))
    return exclusions


def not_listened(
    ratings: pd.DataFrame, *, excerpt_seconds: float | None = None, least_heard: float = LEAST_HEARD
) -> list[Exclusion]:
    """Single ratings after less than `least_heard` of the excerpt, by the column ``listened_seconds``.

    Without `excerpt_seconds`, the excerpt's length is taken to be what the median listener heard: most hear
    it all.
    """
    heard = ratings["listened_seconds"].astype(float)
    if heard.isna().all():
        return []
    length = float(heard.median()) if excerpt_seconds is None else excerpt_seconds
    least = least_heard * length - TOLERANCE_SECONDS
    rows = ratings.assign(_heard=heard)[(heard < least).to_numpy()].sort_values(
        ["participant", "piece"], kind="stable"
    )
    return [
        Exclusion(name, "not_listened", f"heard {seconds:.1f} of {length:.1f} s", piece, row)
        for row, name, piece, seconds in zip(
            rows.index, rows["participant"], rows["piece"], rows["_heard"], strict=True
        )
    ]


#: The rules by the names that a study's specification uses.
RULES: dict[str, Callable[..., list[Exclusion]]] = {
    "failed_attention": failed_attention,
    "straight_lining": straight_lining,
    "not_listened": not_listened,
}

#: The column that a rule reads besides the ratings; without it the rule cannot be applied.
NEEDS = {"failed_attention": "failed_attention", "not_listened": "listened_seconds"}


def screen(
    ratings: pd.DataFrame, rules: Iterable[str], *, excerpt_seconds: float | None = None
) -> tuple[pd.DataFrame, list[Exclusion], list[str]]:
    """The ratings that stay, what was put aside and why, and notes on rules that could not be applied.

    The index of `ratings` must name each row once.

    Raises
    ------
    RatingsError
        If no rule has such a name.
    """
    rules = [rules] if isinstance(rules, str) else list(rules)
    blind = ratings.drop(columns=["condition", "role"], errors="ignore")
    kept = np.ones(len(ratings), dtype=bool)
    exclusions, notes = [], []
    for rule in dict.fromkeys(rules):
        if rule not in RULES:
            hint = get_close_matches(str(rule), RULES, n=1) or sorted(RULES)
            raise RatingsError(f"no exclusion rule named {rule!r}; did you mean {' or '.join(hint)}?")
        column = NEEDS.get(rule)
        if column and (column not in blind.columns or blind[column].isna().all()):
            notes.append(f"Rule {rule} could not be applied: the table has no column {column} with values.")
            continue
        settings = {"excerpt_seconds": excerpt_seconds} if rule == "not_listened" else {}
        found = RULES[rule](blind, **settings)
        exclusions += found
        whole = {exclusion.participant for exclusion in found if exclusion.row is None}
        single = {exclusion.row for exclusion in found if exclusion.row is not None}
        kept &= ~(ratings["participant"].isin(whole) | ratings.index.isin(single)).to_numpy()
    return ratings[kept], exclusions, notes


def as_rows(exclusions: Iterable[Exclusion]) -> list[dict]:
    """The exclusions as they stand in a result."""
    names = ("participant", "rule", "why", "piece")
    return [{name: getattr(exclusion, name) for name in names} for exclusion in exclusions]
