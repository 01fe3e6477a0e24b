"""How many listeners, and how many pieces, does a study need?

Everybody hears m pieces of each of the conditions, and each condition has P pieces of its own. The difference
of two conditions then has the variance (Westfall, Kenny and Judd 2014, J. Exp. Psychol. Gen. 143:2020)

    2 v_cell / L + 2 v_piece / P + 2 v_residual / (L m)

so that with P pieces no number L of listeners brings its standard error below sqrt(2 v_piece / P): past some
point a study needs more pieces, not more listeners. The formula takes ratings as numbers without ends;
`simulate_power` rounds them to the scale and runs the analysis that a study will run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.errors import AnalysisError
from analysis.ratings.comparison import ALPHA, ConditionModel, contrasts, fit_conditions
from analysis.ratings.proportions import wilson_interval
from analysis.ratings.scale import HIGHEST, LOWEST

VERDICTS = ("superior", "inferior", "equivalent", "inconclusive")
GOAL = 0.8  # power that a study is usually planned for


@dataclass(frozen=True)
class Components:
    """Standard deviations in points; the defaults are those of a usual study on 1 to 10."""

    participant: float = 1.0  # how high a listener rates everything
    cell: float = 0.4  # how much a listener likes one condition more than others do
    piece: float = 0.6  # of pieces of one condition
    residual: float = 1.5

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise AnalysisError(f"a standard deviation is 0 or more points, got {value!r} for {name}")
        if self.residual == 0:
            raise AnalysisError("the residual standard deviation is more than 0 points, got 0")

    @classmethod
    def of(cls, fitted: ConditionModel) -> Components:
        """Those of a pilot or an earlier study; what its design could not tell is taken as 0.

        Raises
        ------
        AnalysisError
            If that study has no model.
        """
        if fitted.model is None:
            raise AnalysisError(f"the earlier study has no model: {' '.join(fitted.notes)}")
        spread = [(fitted.model.variance(term) or 0.0) ** 0.5 for term in ("participant", "cell", "piece")]
        return cls(*spread, fitted.model.variance("residual") ** 0.5)


@dataclass(frozen=True)
class StudySize:
    """Who hears how much."""

    n_participants: int
    n_pieces: int  # of each condition
    n_heard: int | None = None  # pieces of each condition that one listener hears; None: all
    n_conditions: int = 2

    def __post_init__(self):
        for name, least in (("n_participants", 2), ("n_pieces", 2), ("n_conditions", 2)):
            value = getattr(self, name)
            if value < least:
                raise AnalysisError(f"{name} is {least} or more, got {value}")
        if not 1 <= self.heard <= self.n_pieces:
            raise AnalysisError(f"a listener hears 1 to {self.n_pieces} pieces of each, got {self.heard}")

    @property
    def heard(self) -> int:
        """Pieces of each condition that one listener hears."""
        return self.n_pieces if self.n_heard is None else self.n_heard


@dataclass(frozen=True)
class Precision:
    """What the formula says of one design."""

    design: StudySize
    se: float  # of the difference of two conditions
    df: float  # Satterthwaite's
    floor: float  # the standard error with any number of listeners
    share_of_pieces: float  # of the variance
    detectable: float  # difference that is found in `GOAL` of studies
    mean_se: float  # of one condition's mean

    @property
    def advice(self) -> str:
        """Which number to raise first."""
        if self.share_of_pieces > 0.5:
            return (
                f"Add pieces, not listeners: {self.share_of_pieces:.0%} of the variance of a difference is "
                f"the choice of {self.design.n_pieces} pieces, and no number of listeners brings its "
                f"standard error below {self.floor:.2f}."
            )
        return (
            f"Listeners still help: {self.share_of_pieces:.0%} of the variance of a difference is the "
            f"choice of {self.design.n_pieces} pieces."
        )


def precision(components: Components, design: StudySize, *, alpha: float = ALPHA) -> Precision:
    """Standard error, degrees of freedom and detectable difference of one design."""
    of_pieces, variance, df = _variance(components, design)
    of_mean = components.participant**2 / design.n_participants + variance / 2
    return Precision(
        design=design,
        se=variance**0.5,
        df=df,
        floor=of_pieces**0.5,
        share_of_pieces=of_pieces / variance,
        detectable=_detectable(variance**0.5, df, alpha),
        mean_se=of_mean**0.5,
    )


def _variance(components: Components, design: StudySize) -> tuple[float, float, float]:
    """Of the difference of two conditions: what pieces add to the variance, all of it, and its df."""
    listeners, pieces, heard = design.n_participants, design.n_pieces, design.heard
    of_cells = 2 * components.cell**2 / listeners
    of_pieces = 2 * components.piece**2 / pieces
    of_rest = 2 * components.residual**2 / (listeners * heard)
    variance = of_cells + of_pieces + of_rest
    n_ratings = listeners * heard * design.n_conditions
    # Three mean squares estimate it: cells and pieces, each with the rest in it, less the rest.
    parts = (
        ((of_cells + of_rest), (listeners - 1) * (design.n_conditions - 1)),
        ((of_pieces + of_rest), design.n_conditions * (pieces - 1)),
        (of_rest, max(n_ratings - design.n_conditions * (listeners + pieces - 1), 1)),
    )
    df = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    return of_pieces, variance, df


def power_of_difference(
    components: Components, design: StudySize, difference: float, *, alpha: float = ALPHA
) -> float:
    """The share of studies that find such a difference, by the noncentral t distribution."""
    _, variance, df = _variance(components, design)
    return t_power(abs(difference) / variance**0.5, df, alpha=alpha)


def listener_curves(
    components: Components, n_participants: list[int], n_pieces: list[int], *, n_conditions: int = 2
) -> list[Precision]:
    """The precision with each number of listeners: a curve for each number of pieces."""
    return [
        precision(components, StudySize(listeners, pieces, n_conditions=n_conditions))
        for pieces in n_pieces
        for listeners in n_participants
    ]


def pieces_needed(
    components: Components, n_participants: int, difference: float, *, most: int = 200
) -> int | None:
    """The fewest pieces per condition with which a difference is found in `GOAL` of studies.

    None where even `most` do not suffice: the study then needs more listeners as well.
    """
    for pieces in range(2, most + 1):
        if power_of_difference(components, StudySize(n_participants, pieces), difference) >= GOAL:
            return pieces
    return None


def t_power(noncentrality: float, df: float, *, alpha: float = ALPHA) -> float:
    """Power of a two-sided t test, both tails counted.

    Parameters
    ----------
    noncentrality : float
        The true value in standard errors.
    """
    critical = stats.t.ppf(1 - alpha / 2, df)
    # Given the estimated standard deviation relative to the true one, the estimate is normal: averaged here,
    # as the noncentral t distribution of scipy has no value far from its centre.
    low, high = np.sqrt(stats.chi2.ppf([1e-15, 1 - 1e-15], df) / df)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    relative = low + (nodes + 1) / 2 * (high - low)
    density = stats.chi2.pdf(df * relative**2, df) * 2 * df * relative
    beyond = stats.norm.cdf(noncentrality - critical * relative)
    below = stats.norm.cdf(-noncentrality - critical * relative)
    return float(weights @ (density * (beyond + below)) * (high - low) / 2)


def two_sample_power(
    n: float, difference: float, sd: float, *, paired: bool = False, alpha: float = ALPHA
) -> float:
    """Power of the t test of two samples of n each, or of n pairs whose differences have this sd.

    Raises
    ------
    AnalysisError
        If n leaves no degree of freedom, or sd is not positive.
    """
    if n < 2 or sd <= 0:
        raise AnalysisError(f"power needs n of 2 or more and a positive sd, got n {n} and sd {sd}")
    noncentrality = abs(difference) / sd * (n if paired else n / 2) ** 0.5
    return t_power(noncentrality, n - 1 if paired else 2 * n - 2, alpha=alpha)


def sample_size(
    power: float, difference: float, sd: float, *, paired: bool = False, alpha: float = ALPHA
) -> float:
    """The n of `two_sample_power` that reaches this power, as a fraction: round it up.

    Raises
    ------
    AnalysisError
        If the power does not lie between alpha and 1, the difference is 0 or sd is not positive.
    """
    if not (alpha < power < 1 and difference != 0 and sd > 0):
        raise AnalysisError(
            f"a sample size needs a power between {alpha:g} and 1, a difference and a positive sd, got power "
            f"{power:g}, difference {difference:g} and sd {sd:g}"
        )

    def missing(n: float) -> float:
        return two_sample_power(n, difference, sd, paired=paired, alpha=alpha) - power

    most = 4.0
    while missing(most) < 0:
        most *= 2
    return 2.0 if missing(2.0) >= 0 else float(optimize.brentq(missing, 2.0, most, xtol=1e-6))


@dataclass(frozen=True)
class SimulatedPower:
    """What studies of this kind would conclude about one contrast, with 95 % Monte-Carlo intervals."""

    condition: str
    reference: str
    true_difference: float  # of the means on the scale, after rounding and its ends
    n_runs: int
    verdicts: dict[str, tuple[float, float, float]]  # share, low, high
    found: tuple[float, float, float]  # p below 5 % after Holm: power, or type-I error where there is none
    coverage: tuple[float, float, float]  # of the 95 % interval
    mean_se: float
    n_without_model: int


def simulate_study(
    means: dict[str, float], components: Components, design: StudySize, rng: np.random.Generator
) -> pd.DataFrame:
    """Ratings of one study: whole numbers from 1 to 10.

    Where a listener hears some of the pieces only, each hears as many of each condition, chosen so that all
    are heard about equally often.

    Returns
    -------
    ratings : pd.DataFrame
        Columns participant, piece, condition, rating.
    """
    listeners, pieces, heard = design.n_participants, design.n_pieces, design.heard
    lean = components.participant * rng.normal(size=listeners)
    participant = np.repeat(np.arange(listeners), heard)
    parts = []
    for name, mean in means.items():
        start = rng.integers(pieces) + heard * rng.permutation(listeners)
        chosen = rng.permutation(pieces)[(start[:, None] + np.arange(heard)) % pieces].ravel()
        quality = mean + components.piece * rng.normal(size=pieces)
        liking = components.cell * rng.normal(size=listeners)
        noise = components.residual * rng.normal(size=len(chosen))
        value = quality[chosen] + (lean + liking)[participant] + noise
        rating = np.clip(np.rint(value), LOWEST, HIGHEST).astype(int)
        parts.append(
            pd.DataFrame(
                {
                    "participant": [f"p{code:04}" for code in participant],
                    "piece": [f"{name} {code:03}" for code in chosen],
                    "condition": name,
                    "rating": rating,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def simulate_power(
    means: dict[str, float],
    reference: str,
    components: Components,
    design: StudySize,
    *,
    margin: float,
    n_runs: int = 500,
    seed: int = 0,
) -> list[SimulatedPower]:
    """Run the analysis of `comparison` on simulated studies and count its verdicts.

    Parameters
    ----------
    means : dict
        Assumed mean of each condition, in points before rounding. Equal means measure the type-I error.

    Raises
    ------
    AnalysisError
        If the reference is no condition, means lie off the scale, or there are no runs.
    """
    if reference not in means or len(means) < 2:
        raise AnalysisError(f"the reference is one of two conditions or more, got {reference!r}")
    off = [name for name, mean in means.items() if not LOWEST <= mean <= HIGHEST]
    if off:
        raise AnalysisError(f"a mean lies between {LOWEST} and {HIGHEST}, got {means[off[0]]} for {off[0]!r}")
    if n_runs < 1:
        raise AnalysisError(f"a simulation has 1 run or more, got {n_runs}")
    pairs = [(name, reference) for name in means if name != reference]
    spread = sum(value**2 for value in vars(components).values()) ** 0.5
    true = {name: expected_rating(mean, spread) for name, mean in means.items()}
    rows: dict[str, list[dict]] = {name: [] for name, _ in pairs}
    n_without = 0
    for run in range(n_runs):
        rng = np.random.default_rng([seed, run])
        fitted = fit_conditions(simulate_study(means, components, design, rng))
        n_without += fitted.model is None
        for row in contrasts(fitted, None, pairs, margin=margin):
            rows[row["condition"]].append(row)
    return [
        _summed(name, reference, true[name] - true[reference], rows[name], n_without) for name, _ in pairs
    ]


def expected_rating(mean: float, sd: float) -> float:
    """Mean of a normal impression once it is rounded to the scale and held within its ends."""
    ends = np.concatenate([[-np.inf], np.arange(LOWEST, HIGHEST) + 0.5, [np.inf]])
    chances = np.diff(stats.norm.cdf(ends, mean, sd))
    return float(chances @ np.arange(LOWEST, HIGHEST + 1))


def _summed(name: str, reference: str, true: float, rows: list[dict], n_without: int) -> SimulatedPower:
    n = len(rows)
    fitted = [row for row in rows if row["p"] is not None]
    covered = sum(row["ci_low"] <= true <= row["ci_high"] for row in fitted)
    found = sum(row["p_holm"] < ALPHA for row in fitted)
    return SimulatedPower(
        condition=name,
        reference=reference,
        true_difference=true,
        n_runs=n,
        verdicts={word: _share(sum(row["verdict"] == word for row in rows), n) for word in VERDICTS},
        found=_share(found, n),
        coverage=_share(covered, len(fitted)) if fitted else (0.0, 0.0, 1.0),
        mean_se=float(np.mean([row["se"] for row in fitted])) if fitted else 0.0,
        n_without_model=n_without,
    )


def _share(count: int, n: int) -> tuple[float, float, float]:
    return (count / n, *wilson_interval(count, n))


def _detectable(se: float, df: float, alpha: float) -> float:
    """The difference that is found in `GOAL` of studies."""
    return se * optimize.brentq(lambda away: t_power(away, df, alpha=alpha) - GOAL, 0.0, 100.0)
