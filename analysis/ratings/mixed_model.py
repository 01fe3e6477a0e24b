"""How much of a rating is its condition, its piece, its listener, and how sure are we?

The linear mixed model with crossed random intercepts, by restricted maximum likelihood:

    rating = X beta + participant + cell within participant + piece + residual

Notation of Bates et al. (2015), Fitting linear mixed-effects models using lme4, J. Stat. Softw. 67(1): theta
is the standard deviation of a random term relative to the residual's, sigma. A cell is a participant in one
condition. Since cells nest in participants, both are eliminated in closed form, and only a pieces x pieces
matrix is factorised: one evaluation of the deviance costs milliseconds at 6,000 ratings. Degrees of freedom
by Satterthwaite's method as in Kuznetsova et al. (2017), lmerTest, J. Stat. Softw. 82(13).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np
from scipy import optimize, sparse, stats

from analysis.errors import AnalysisError

TERMS = ("participant", "cell", "piece")
MAX_THETA = 50.0  # a term 2500 times the residual variance: the residual is as good as zero
ONE_THREAD = 2**18  # products up to which OpenBLAS multiplies matrices on one core
ZERO_THETA = 1e-4  # below, a term is zero: the boundary of the parameter space


class MixedModelError(AnalysisError):
    """Ratings to which the model cannot be fitted; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A linear function of the fixed effects, with Satterthwaite's degrees of freedom."""

    value: float
    se: float
    df: float

    @property
    def t(self) -> float:
        """The estimate in standard errors."""
        return self.value / self.se

    @property
    def p(self) -> float:
        """Two-sided p-value against 0."""
        return float(2 * stats.t.sf(abs(self.t), self.df))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided t interval."""
        half_width = stats.t.ppf((1 + confidence) / 2, self.df) * self.se
        return self.value - half_width, self.value + half_width

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the null hypothesis that the true value is at most `bound`."""
        return float(stats.t.sf((self.value - bound) / self.se, self.df))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the null hypothesis that the true value is at least `bound`."""
        return float(stats.t.cdf((self.value - bound) / self.se, self.df))


@dataclass(frozen=True)
class MixedModel:
    """A fitted model. Variances are in squared points; a term that was not in the model is None."""

    beta: np.ndarray  # (n_fixed,)
    covariance: np.ndarray  # (n_fixed, n_fixed), of beta
    theta: dict[str, float]  # per term of the model, relative to sigma
    sigma: float
    reml_deviance: float
    singular: tuple[str, ...]  # terms whose variance is estimated as 0
    gradient: float  # largest derivative of the deviance at the optimum, off the boundary
    _profile: _Profile

    def variance(self, term: str) -> float | None:
        """Variance of a term or of the ``residual``."""
        if term == "residual":
            return self.sigma**2
        return (self.theta[term] * self.sigma) ** 2 if term in self.theta else None

    def deviance_at(self, theta: dict[str, float]) -> float:
        """The REML deviance at other relative standard deviations, sigma and beta being the best for them."""
        shift = 2 * self._profile.n_residual * np.log(self._profile.scale)
        return float(self._profile.at(theta).deviance + shift)

    def contrast(self, weights: np.ndarray) -> Estimate:
        """The weighted sum of the fixed effects."""
        weights = np.asarray(weights, dtype=float)
        variance = float(weights @ self.covariance @ weights)
        changes, information = self._variance_derivatives
        by_theta = [self.sigma**2 * float(weights @ change @ weights) for change in changes]
        gradient = np.array([*by_theta, 2 * variance / self.sigma])
        spread = float(gradient @ information @ gradient)
        df = 2 * variance**2 / spread if spread > 0 else np.inf
        return Estimate(float(weights @ self.beta), variance**0.5, float(min(df, self._profile.n_residual)))

    @cached_property
    def _variance_derivatives(self) -> tuple[list[np.ndarray], np.ndarray]:
        """d(Cov beta / sigma^2)/d theta for terms off the boundary, and the covariance of (theta, sigma).

        On the boundary the derivative by theta is 0, as the deviance depends on its square alone.
        """
        free = [term for term, value in self.theta.items() if value > 0]
        n_fixed = len(self.beta)
        profile = self._profile
        scaled_sigma = self.sigma / profile.scale

        def parts(values: np.ndarray) -> np.ndarray:
            point = profile.at({**self.theta, **dict(zip(free, values, strict=True))})
            return np.concatenate([[point.log_determinants, point.r2], point.unscaled_covariance.ravel()])

        center = np.array([self.theta[term] for term in free])
        first, second = _derivatives(parts, center)
        n_free = len(free)
        hessian = np.zeros((n_free + 1, n_free + 1))
        hessian[:n_free, :n_free] = second[:, :, 0] + second[:, :, 1] / scaled_sigma**2
        hessian[:n_free, n_free] = hessian[n_free, :n_free] = -2 * first[:, 1] / scaled_sigma**3
        hessian[n_free, n_free] = 4 * profile.n_residual / scaled_sigma**2
        values, vectors = np.linalg.eigh(hessian)
        kept = values > 1e-8
        information = 2 * (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
        to_units = np.ones(n_free + 1)
        to_units[n_free] = profile.scale
        changes = [row[2:].reshape(n_fixed, n_fixed) for row in first]
        return changes, information * np.outer(to_units, to_units)

    def piece_predictions(self, design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each piece's mean and standard error, shrunken to its fixed part: best linear unbiased prediction.

        Henderson's mixed model equations, with the participants integrated out and the variances taken as
        known.

        Parameters
        ----------
        design : np.ndarray [shape=(n_pieces, n_fixed)]
            The row of X of each piece, in the order of the piece codes.
        """
        profile = self._profile
        n_fixed = len(self.beta)
        theta = self.theta.get("piece", 0.0)
        if not theta:
            return design @ self.beta, np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance, design))
        gram = profile.gram(self.theta)
        equations = gram[:-1, :-1].copy()  # pieces, then fixed effects
        n_pieces = len(equations) - n_fixed
        equations[:n_pieces, :n_pieces] += np.eye(n_pieces) / theta**2
        inverse = np.linalg.inv(equations)
        solution = inverse @ gram[:-1, -1] * profile.scale
        rows = np.hstack([np.eye(n_pieces), design])
        values = design @ profile.start + rows @ solution
        return values, self.sigma * np.sqrt(((rows @ inverse) * rows).sum(axis=1))


@dataclass(frozen=True)
class _Point:
    """The profiled deviance at one theta, and what it is made of."""

    deviance: float
    log_determinants: float  # log|V| + log|X'V^-1 X|
    r2: float  # penalised residual sum of squares
    beta: np.ndarray
    unscaled_covariance: np.ndarray  # (X'V^-1 X)^-1


class _Profile:
    """The deviance of one table as a function of theta; the cross products are computed once."""

    def __init__(self, y: np.ndarray, fixed: np.ndarray, codes: dict[str, np.ndarray]):
        self.n, self.n_fixed = fixed.shape
        self.n_residual = self.n - self.n_fixed
        self.start, _, rank, _ = np.linalg.lstsq(fixed, y, rcond=None)
        if rank < self.n_fixed:
            raise MixedModelError(f"the {self.n_fixed} fixed effects are not independent (rank {rank})")
        # From the residuals of least squares, in units of their spread: no digits are lost to a large mean.
        residual = y - fixed @ self.start
        self.scale = float(np.sqrt(residual @ residual / max(self.n_residual, 1)))
        if self.n_residual < 1:
            raise MixedModelError(
                f"{self.n} ratings cannot carry {self.n_fixed} means and an error of measurement"
            )
        if self.scale <= 1e-9 * max(1.0, float(np.abs(y).max())):
            raise MixedModelError(
                "the ratings of a condition do not differ at all: no error of measurement to estimate"
            )
        columns = [sparse.csr_array(fixed), sparse.csr_array((residual / self.scale)[:, None])]
        if "piece" in codes:
            columns.insert(0, _indicator(codes["piece"]))
        table = sparse.hstack(columns, format="csr")
        self.cross_products = (table.T @ table).toarray()
        cells = codes.get("cell", codes.get("participant", np.zeros(self.n, dtype=int)))
        self.cell_sizes = np.bincount(cells)
        self.cell_sums = (_indicator(cells).T @ table).tocsr()
        # Cells of one size have one weight: their squares are summed once, not in every evaluation.
        self.sizes = np.unique(self.cell_sizes) if "cell" in codes else np.zeros(0, dtype=int)
        same = (self.cell_sums[self.cell_sizes == size] for size in self.sizes)
        self.squares_of_size = [(rows.T @ rows).tocsr() for rows in same]
        first = np.unique(cells, return_index=True)[1]
        owner = codes["participant"][first] if "participant" in codes else np.zeros(len(first), dtype=int)
        self.to_participants = _indicator(owner).T.tocsr()

    def gram(self, theta: dict[str, float]) -> np.ndarray:
        """W' M^-1 W of W = (X, pieces, y); M is the covariance within participants, over sigma^2."""
        return self._gram(theta)[0]

    def _gram(self, theta: dict[str, float]) -> tuple[np.ndarray, float]:
        of_cell, of_participant = theta.get("cell", 0.0) ** 2, theta.get("participant", 0.0) ** 2
        # Woodbury twice: I + c J has the inverse I - c/(1 + n c) J, first in a cell, then in a participant.
        weight = 1 / (1 + self.cell_sizes * of_cell)
        gram = self.cross_products.copy()
        log_determinant = -float(np.log(weight).sum())
        if of_cell:
            for size, squares in zip(self.sizes, self.squares_of_size, strict=True):
                gram -= (squares * (of_cell / (1 + size * of_cell))).toarray()
        if of_participant:
            weighted = self.cell_sums.data * np.repeat(weight, np.diff(self.cell_sums.indptr))
            layout = (self.cell_sums.indices, self.cell_sums.indptr)
            rows = sparse.csr_array((weighted, *layout), shape=self.cell_sums.shape)
            sums = (self.to_participants @ rows).toarray()  # most listeners hear most pieces: dense is faster
            sizes = self.to_participants @ (weight * self.cell_sizes)
            weighted = (of_participant / (1 + of_participant * sizes))[:, None] * sums
            block = max(64, ONE_THREAD // gram.size)
            for start in range(0, len(sums), block):
                gram -= sums[start : start + block].T @ weighted[start : start + block]
            log_determinant += float(np.log1p(of_participant * sizes).sum())
        return gram, log_determinant

    def at(self, theta: dict[str, float]) -> _Point:
        """The deviance at theta, from one Cholesky factor of pieces, X and y together.

        Its blocks are what successive triangular solves give. Those are avoided: LAPACK spreads tiny ones
        over threads, which costs a hundred times the work on a busy machine.
        """
        gram, log_determinants = self._gram(theta)
        n_outer = self.n_fixed + 1
        n_pieces = len(gram) - n_outer
        scale = np.r_[np.full(n_pieces, theta.get("piece", 0.0)), np.ones(n_outer)]
        system = gram * scale * scale[:, None]
        system[np.arange(n_pieces), np.arange(n_pieces)] += 1
        system[-1, -1] += 1e-12  # an exact fit leaves no residual: sigma tells, not a failure here
        factor = np.linalg.cholesky(system)
        log_determinants += 2 * float(np.log(np.diag(factor)[:-1]).sum())
        of_fixed, of_y = factor[-n_outer:-1, -n_outer:-1], factor[-1, -n_outer:-1]
        r2 = float(factor[-1, -1] ** 2)
        deviance = log_determinants + self.n_residual * (1 + np.log(2 * np.pi * r2 / self.n_residual))
        inverse = np.linalg.inv(of_fixed)
        return _Point(deviance, log_determinants, r2, of_y @ inverse, inverse.T @ inverse)


def fit_mixed_model(
    y: np.ndarray,
    fixed: np.ndarray,
    *,
    participant: np.ndarray | None = None,
    cell: np.ndarray | None = None,
    piece: np.ndarray | None = None,
) -> MixedModel:
    """Fit the model by REML; a random term that is None is left out.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
    fixed : np.ndarray [shape=(n, n_fixed)]
        Of full rank; one column per condition gives one mean per condition.
    participant, cell, piece : np.ndarray [shape=(n,), dtype=int]
        Codes from 0 without gaps. Each cell lies within one participant.

    Raises
    ------
    MixedModelError
        If `fixed` lacks rank, or nothing is left for the residual.
    """
    given = dict(zip(TERMS, (participant, cell, piece), strict=True))
    codes = {term: np.asarray(values) for term, values in given.items() if values is not None}
    profile = _Profile(np.asarray(y, dtype=float), np.asarray(fixed, dtype=float), codes)
    terms = list(codes)

    def deviance(values: np.ndarray) -> float:
        return profile.at(dict(zip(terms, values, strict=True))).deviance

    best, gradient = _minimum(deviance, len(terms))
    theta = dict(zip(terms, best, strict=True))
    point = profile.at(theta)
    sigma = float(np.sqrt(point.r2 / profile.n_residual))
    if sigma < 1e-4 or (best >= MAX_THETA * 0.99).any():
        raise MixedModelError("the model explains every rating exactly: no error of measurement to estimate")
    return MixedModel(
        beta=profile.start + profile.scale * point.beta,
        covariance=(sigma * profile.scale) ** 2 * point.unscaled_covariance,
        theta={term: float(value) for term, value in theta.items()},
        sigma=sigma * profile.scale,
        reml_deviance=float(point.deviance + 2 * profile.n_residual * np.log(profile.scale)),
        singular=tuple(term for term in terms if theta[term] == 0),
        gradient=gradient,
        _profile=profile,
    )


def _indicator(codes: np.ndarray) -> sparse.csr_array:
    """One row per rating, one column per level, a single 1 in each row."""
    rows = np.arange(len(codes))
    return sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), int(codes.max()) + 1))


def _put(best: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`best` with its entries off the boundary replaced."""
    full = best.copy()
    full[best > 0] = values
    return full


def _minimum(deviance, n_terms: int) -> tuple[np.ndarray, float]:
    """Theta at the least deviance, and the slope left there.

    A bounded search from two starts, then the boundary, then Newton's method.
    """
    if not n_terms:
        return np.zeros(0), 0.0
    settings = {"method": "Nelder-Mead", "bounds": [(0.0, MAX_THETA)] * n_terms}
    stop = {"xatol": 1e-2, "fatol": 1e-4, "maxiter": 2000}

    def search(start: np.ndarray) -> np.ndarray:
        return optimize.minimize(deviance, start, options=stop, **settings).x

    best = min((search(np.full(n_terms, start)) for start in (1.0, 0.2)), key=deviance)
    for _ in range(n_terms + 1):
        best = _settle_boundary(deviance, best)
        # The deviance is even in theta, so its slope at 0 is 0: ask a little off whether 0 is a minimum.
        at_best = deviance(best)
        leaving = [
            index
            for index in np.flatnonzero(best == 0)
            if deviance(np.where(np.arange(n_terms) == index, 0.02, best)) < at_best
        ]
        if not leaving:
            break
        start = best.copy()
        start[leaving] = 0.1
        best = search(start)
    return _polish(deviance, best)


def _settle_boundary(deviance, theta: np.ndarray) -> np.ndarray:
    """Theta with every term at exactly 0 that costs nothing there."""
    for index in np.argsort(theta):
        if 0 < theta[index] < 0.05:
            without = theta.copy()
            without[index] = 0.0
            if theta[index] < ZERO_THETA or deviance(without) <= deviance(theta) + 1e-9:
                theta = without
    return theta


def _polish(deviance, best: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton steps off the boundary, and the largest slope that is left.

    The search stops at 1e-2, where results would still depend on its path; two or three steps reach 1e-8.
    """
    slope = 0.0
    for _ in range(8):
        free = best[best > 0]
        if not len(free):
            return best, 0.0
        around = partial(_put, best)
        first, second = _derivatives(lambda values, at=around: np.array([deviance(at(values))]), free)
        gradient, hessian = first[:, 0], second[:, :, 0]
        slope = float(np.abs(gradient).max())
        values, vectors = np.linalg.eigh(hessian)
        step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-6))
        if np.abs(step).max() < 1e-8:
            break
        lengths = (length for length in (1.0, 0.3, 0.1, 0.01) if (free - length * step > 0).all())
        moves = (_put(best, np.minimum(free - length * step, MAX_THETA)) for length in lengths)
        at_best = deviance(best)
        no_worse = at_best + 1e-12 * (1 + abs(at_best))  # the last steps gain less than rounding takes
        better = next((moved for moved in moves if deviance(moved) <= no_worse), None)
        if better is None:
            break
        best = better
    return best, slope


def _derivatives(function, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of a vector function, by central differences with one Richardson extrapolation.

    Returns
    -------
    first : np.ndarray [shape=(n, n_values)]
    second : np.ndarray [shape=(n, n, n_values)]
    """

    def differences(step: float) -> tuple[np.ndarray, np.ndarray]:
        steps = step * np.maximum(np.abs(center), 0.1)
        middle = function(center)
        first = np.zeros((len(center), len(middle)))
        second = np.zeros((len(center), len(center), len(middle)))
        moves = np.diag(steps)
        for i in range(len(center)):
            up, down = function(center + moves[i]), function(center - moves[i])
            first[i] = (up - down) / (2 * steps[i])
            second[i, i] = (up - 2 * middle + down) / steps[i] ** 2
            for j in range(i):
                corners = [
                    a * b * function(center + a * moves[i] + b * moves[j])
                    for a, b in product((1, -1), repeat=2)
                ]
                second[i, j] = second[j, i] = sum(corners) / (4 * steps[i] * steps[j])
        return first, second

    (first, second), (first_half, second_half) = differences(0.02), differences(0.01)
    return (4 * first_half - first) / 3, (4 * second_half - second) / 3
