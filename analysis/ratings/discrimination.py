"""How well are real and generated pieces told apart by other listeners, hearing other pieces?

Three answers, each with listeners and pieces both as samples:

- the probit mixed model said_human ~ is_real + (1|participant) + (1|participant:kind) + (1|piece), whose
  slope is d' and whose threshold, with real and generated coded +1/2 and -1/2, is the criterion (DeCarlo
  1998, Psychol. Methods 3:186; Wright, Horry and Skagerberg 2009, Behav. Res. Methods 41:257). Pooled counts
  draw d' towards 0 where listeners differ in bias; this does not;
- the area under the curve of "how sure, and of what" (Bamber 1975, J. Math. Psychol. 12:387), with the
  clustered variance of Obuchowski (1997), Biometrics 53:567;
- equivalence: "cannot be told apart" is |d'| surely below a bound declared beforehand. Not different from
  chance is no evidence of it, nor are 50 % right answers.

Pieces that a listener knew are out by rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from analysis.errors import AnalysisError
from analysis.ratings.clusters import share_interval, two_way_variance
from analysis.ratings.comparison import Design
from analysis.ratings.detection import criterion, d_prime, judged_human_by_condition, log_linear
from analysis.ratings.equivalence import Equivalence, two_one_sided_tests
from analysis.ratings.mixed_model import Estimate
from analysis.ratings.ordinal_model import OrdinalModelError, fit_ordinal_model
from analysis.ratings.table import codes_of, judgements, with_piece_ids

D_PRIME_BOUND = 0.35  # unbiased listeners are then right in 57 of 100 trials
RIDGE = 3.0  # standard deviation of d' where every answer about one kind is the same


@dataclass(frozen=True)
class YesNo:
    """Signal detection of one table of four counts."""

    hit_rate: float
    false_alarm_rate: float
    d_prime: float
    criterion: float
    log_beta: float  # log likelihood ratio at the criterion
    beta: float
    a_prime: float  # Pollack and Norman's (1964) non-parametric sensitivity
    b_double_prime: float  # Grier's (1971) bias, -1 to 1
    d_prime_error: float  # of independent answers: Gourevitch and Galanter (1967)


def yes_no_figures(
    hits: float, misses: float, false_alarms: float, correct_rejections: float, *, correct: bool = True
) -> YesNo:
    """The figures of Stanislaw and Todorov (1999), Behav. Res. Methods 31:137.

    Parameters
    ----------
    correct : bool
        Hautus's (1995) log-linear correction of both rates; without it no count may be 0.

    Raises
    ------
    AnalysisError
        If a count is negative, a kind has no trial, or a rate is 0 or 1 without correction.
    """
    counts = hits, misses, false_alarms, correct_rejections
    if not all(np.isfinite(count) and count >= 0 for count in counts):
        raise AnalysisError(f"counts of answers are 0 or more, got {counts}")
    n_signal, n_noise = hits + misses, false_alarms + correct_rejections
    if not (n_signal and n_noise):
        raise AnalysisError(f"both kinds need a trial, got {n_signal:g} real and {n_noise:g} generated")
    if correct:
        h, f = log_linear(hits, n_signal), log_linear(false_alarms, n_noise)
    else:
        h, f = hits / n_signal, false_alarms / n_noise
    if not (0 < h < 1 and 0 < f < 1):
        raise AnalysisError(f"rates of 0 or 1 have no d' (hits {h:g}, false alarms {f:g}); correct them")
    z_h, z_f = stats.norm.ppf([h, f])
    log_beta = float((z_f**2 - z_h**2) / 2)
    up, sign = abs(h - f), np.sign(h - f)
    a_prime = 0.5 + float(sign * (up**2 + up) / (4 * max(h, f) - 4 * h * f))
    spread = h * (1 - h) + f * (1 - f)
    variance = h * (1 - h) / (n_signal * stats.norm.pdf(z_h) ** 2)
    variance += f * (1 - f) / (n_noise * stats.norm.pdf(z_f) ** 2)
    return YesNo(
        hit_rate=h,
        false_alarm_rate=f,
        d_prime=float(d_prime(h, f)),
        criterion=float(criterion(h, f)),
        log_beta=log_beta,
        beta=float(np.exp(log_beta)),
        a_prime=a_prime,
        b_double_prime=float(sign * (h * (1 - h) - f * (1 - f)) / spread),
        d_prime_error=float(variance**0.5),
    )


@dataclass(frozen=True)
class Discrimination:
    """What the probit mixed model says; d' and criterion are those of one listener and one piece."""

    d_prime: Estimate
    criterion: Estimate
    equivalence: Equivalence
    sd_participant: float | None  # of the criterion; None where the table cannot tell
    sd_d_prime: float | None  # of d' between listeners
    sd_piece: float | None
    n: int
    n_participants: int
    n_real_pieces: int
    n_generated_pieces: int
    notes: list[str]


def fit_discrimination(
    ratings: pd.DataFrame, *, real: set[str], generated: set[str], bound: float = D_PRIME_BOUND
) -> Discrimination:
    """d', criterion and the test of equivalence, for other listeners and other pieces.

    The t intervals have the degrees of freedom of the fewer of listeners less 1 and pieces less 2.

    Raises
    ------
    AnalysisError
        If the question was not asked about both kinds, there is one participant, both kinds have one piece,
        or all answers are equal.
    """
    table, is_real = _judged(ratings, real, generated)
    design = Design.of(table.assign(condition=np.where(is_real, "real", "generated")))
    if design.participant.max() == 0:
        raise AnalysisError("what other listeners hear needs at least 2 participants, got 1")
    n_generated, n_real = (int(n) for n in design.pieces_per_condition)
    if n_real == n_generated == 1:
        raise AnalysisError("one real and one generated piece: their kind cannot be told from themselves")
    said_human = table["judged_human"].to_numpy(dtype=int)
    fixed = (is_real - 0.5)[:, None]
    terms, notes = design.terms(), []
    shares = [said_human[kind].mean() for kind in (is_real, ~is_real)]
    ridge = RIDGE if min(shares) == 0 or max(shares) == 1 else None
    try:
        model = fit_ordinal_model(said_human, fixed, link="probit", ridge=ridge, **terms)
    except OrdinalModelError as error:
        raise AnalysisError(f"all judgements are the same: {error}") from None
    if ridge is not None:
        notes.append(
            "Every answer about one kind is the same: d' is drawn towards 0 by a normal prior "
            f"(standard deviation {RIDGE:g})."
        )
    if min(n_real, n_generated) == 1:
        notes.append("One kind has one piece: how much pieces differ there is taken from the other kind.")
    df = float(max(min(design.participant.max(), n_real + n_generated - 2), 1))
    slope = model.contrast([1.0])
    estimate = Estimate(slope.value, slope.se, df)
    threshold = Estimate(float(model.thresholds[0]), float(model.covariance[0, 0]) ** 0.5, df)
    theta = model.theta
    return Discrimination(
        d_prime=estimate,
        criterion=threshold,
        equivalence=two_one_sided_tests(estimate, bound),
        sd_participant=_total(theta, participant=1.0, cell=0.5),
        sd_d_prime=_total(theta, cell=2.0) if "cell" in theta else None,
        sd_piece=theta.get("piece"),
        n=len(table),
        n_participants=int(design.participant.max()) + 1,
        n_real_pieces=n_real,
        n_generated_pieces=n_generated,
        notes=notes,
    )


@dataclass(frozen=True)
class AreaUnderCurve:
    """How often a real piece is held more surely human than a generated one; ties count half."""

    area: float
    se: float
    ci_low: float | None
    ci_high: float | None
    n: int
    n_without_confidence: int  # judgements left out


def area_under_curve(ratings: pd.DataFrame, *, real: set[str], generated: set[str]) -> AreaUnderCurve:
    """The area from confidence, with an interval for other listeners and other pieces.

    An answer's place is its confidence, counted up for "human" and down for "machine".

    Raises
    ------
    AnalysisError
        If no confidence was given about one of the kinds.
    """
    table, is_real = _judged(ratings, real, generated)
    sure = table["confidence"].notna().to_numpy()
    n_without = int((~sure).sum())
    table, is_real = table[sure], is_real[sure]
    if not is_real.any() or is_real.all():
        raise AnalysisError("the area under the curve needs answers with a confidence about both kinds")
    said_human = table["judged_human"].to_numpy(dtype=bool)
    placed = np.where(said_human, 1.0, -1.0) * table["confidence"].to_numpy(dtype=float)
    area, influences = placements(placed, is_real)
    participants, pieces = codes_of(table["participant"]), codes_of(table["piece_id"])
    homes = np.zeros(pieces.max() + 1, dtype=int)
    homes[pieces] = is_real
    variance = two_way_variance(influences, participants, pieces, homes=homes)
    n_units = int(min(participants.max() + 1, np.bincount(homes).min()))
    df = float(min(participants.max(), len(homes) - 2))
    low, high = _area_interval(area, variance, n_units, df)
    return AreaUnderCurve(area, variance**0.5, low, high, len(table), n_without)


def placements(placed: np.ndarray, is_real: np.ndarray) -> tuple[float, np.ndarray]:
    """The area under the curve of two samples, and how much each value moves it.

    Returns
    -------
    area : float
    influences : np.ndarray [shape=(n,)]
    """
    real, generated = placed[is_real], placed[~is_real]
    influences = np.zeros(len(placed))
    of_real = _share_below(real, generated)
    of_generated = 1 - _share_below(generated, real)
    area = float(of_real.mean())
    influences[is_real] = (of_real - area) / len(real)
    influences[~is_real] = (of_generated - area) / len(generated)
    return area, influences


@dataclass(frozen=True)
class ConfusionRow:
    """What one condition was taken for."""

    condition: str
    kind: str  # real, generated, or empty for others
    n_human: int
    n_machine: int
    share_human: float
    ci_low: float | None
    ci_high: float | None


def confusion_matrix(ratings: pd.DataFrame, *, real: set[str], generated: set[str]) -> list[ConfusionRow]:
    """Rows are what a piece is, real first; columns what it was taken for. Known pieces are out."""
    shares = judged_human_by_condition(ratings)
    rows = []
    for condition, share in shares.items():
        n_human = round(share["judged_human"] * share["judged_human_n"])
        kind = "real" if condition in real else "generated" if condition in generated else ""
        rows.append(
            ConfusionRow(
                condition,
                kind,
                n_human,
                share["judged_human_n"] - n_human,
                share["judged_human"],
                share["judged_human_low"],
                share["judged_human_high"],
            )
        )
    return sorted(rows, key=lambda row: (row.kind != "real", row.kind == "", row.condition))


@dataclass(frozen=True)
class ConfidenceLevel:
    """Answers given with one confidence."""

    confidence: float
    stated: float  # chance of being right that it is taken to state
    n: int
    share_right: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Calibration:
    """Are those who are sure right? Brier's score is the mean squared error of the stated probabilities."""

    levels: list[ConfidenceLevel]
    brier: float  # reliability - resolution + uncertainty, exactly (Murphy 1973)
    reliability: float  # 0 is calibrated
    resolution: float  # larger tells more
    uncertainty: float  # of the mix of real and generated
    overconfidence: float  # mean stated chance of being right less the share that was
    n: int


def calibration(
    ratings: pd.DataFrame, *, real: set[str], generated: set[str], highest: float = 4.0
) -> Calibration:
    """Stated confidence against the share of right answers.

    The lowest confidence, 1, is taken to mean one half, `highest` to mean certain, and those between to lie
    evenly: the levels are words, so this is a convention and no more. Murphy (1973), J. Appl. Meteorol.
    12:595.

    Raises
    ------
    AnalysisError
        If no confidence was given, or one lies outside 1 to `highest`.
    """
    table, is_real = _judged(ratings, real, generated)
    sure = table["confidence"].notna().to_numpy()
    table, is_real = table[sure], is_real[sure]
    if table.empty:
        raise AnalysisError("calibration needs answers with a confidence; none was given")
    confidence = table["confidence"].to_numpy(dtype=float)
    if confidence.min() < 1 or confidence.max() > highest:
        wrong = confidence.min() if confidence.min() < 1 else confidence.max()
        raise AnalysisError(f"confidence lies between 1 and {highest:g}, got {wrong:g}")
    said_human = table["judged_human"].to_numpy(dtype=bool)
    right = said_human == is_real
    stated = 0.5 + 0.5 * (confidence - 1) / (highest - 1)
    forecast = np.where(said_human, stated, 1 - stated)  # that the piece is real
    _, group = np.unique(forecast.round(12), return_inverse=True)
    n_group = np.bincount(group)
    happened = np.bincount(group, is_real) / n_group
    forecasts = np.bincount(group, forecast) / n_group
    base = is_real.mean()
    return Calibration(
        levels=[_level(table, confidence, stated, right, value) for value in np.unique(confidence)],
        brier=float(((forecast - is_real) ** 2).mean()),
        reliability=float((n_group * (forecasts - happened) ** 2).sum() / len(table)),
        resolution=float((n_group * (happened - base) ** 2).sum() / len(table)),
        uncertainty=float(base * (1 - base)),
        overconfidence=float(stated.mean() - right.mean()),
        n=len(table),
    )


def _level(table, confidence, stated, right, value) -> ConfidenceLevel:
    at = confidence == value
    participants, pieces = codes_of(table["participant"][at]), codes_of(table["piece_id"][at])
    share, n = float(right[at].mean()), int(at.sum())
    variance = two_way_variance((right[at] - share) / n, participants, pieces)
    n_units = int(min(participants.max(), pieces.max())) + 1
    low, high = share_interval(share, variance, n, n_units, float(n_units - 1)) or (None, None)
    return ConfidenceLevel(float(value), float(stated[at][0]), n, share, low, high)


def _judged(ratings: pd.DataFrame, real: set[str], generated: set[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The judgements that count, and which are about real pieces."""
    table = with_piece_ids(judgements(ratings))
    table = table[table["condition"].isin(real | generated)].reset_index(drop=True)
    is_real = table["condition"].isin(real).to_numpy()
    if not is_real.any() or is_real.all():
        raise AnalysisError(
            f"human or machine needs answers about both kinds, got {int(is_real.sum())} about real and "
            f"{int((~is_real).sum())} about generated pieces"
        )
    return table, is_real


def _total(theta: dict[str, float], **weights: float) -> float | None:
    """Standard deviation of a sum of random terms, each with its weight in squares."""
    if not theta.keys() & weights.keys():
        return None
    return float(np.sqrt(sum(weight * theta.get(term, 0.0) ** 2 for term, weight in weights.items())))


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each value, the share of the others below it, ties half."""
    others = np.sort(others)
    below, up_to = np.searchsorted(others, values, "left"), np.searchsorted(others, values, "right")
    return (below + up_to) / (2 * len(others))


def _area_interval(
    area: float, variance: float, n_units: int, df: float
) -> tuple[float, float] | tuple[None, None]:
    """A t interval on the scale of log odds; without variance, Wilson's of the units sampled."""
    if n_units < 2:
        return None, None
    if variance <= 0 or not 0 < area < 1:
        return share_interval(area, 0.0, n_units, n_units, df)
    half_width = float(stats.t.ppf(0.975, max(df, 1.0))) * variance**0.5 / (area * (1 - area))
    low, high = special.expit(special.logit(area) + np.array([-half_width, half_width]))
    return float(low), float(high)
