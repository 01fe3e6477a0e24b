"""How much of an answer is its condition, its piece, its listener, if only the order of answers counts?

The cumulative-link mixed model with crossed random intercepts:

    P(answer <= k) = F(threshold_k - eta),  eta = X beta + participant + cell within participant + piece

F is the logistic or the normal distribution. Two categories make it the logit or probit mixed model of yes
and no. The random effects are integrated out by Laplace's approximation, as in Christensen's `clmm` (R
package ordinal): log L = sum log p - u'u/2 - log|H|/2 at the u where the first two are largest, H their
negative second derivative in u. Effects are u times theta, their standard deviation on the scale of eta.

The gradient is analytic. It follows u through H by the implicit function theorem, and needs of H only the
entries between a rating's own participant, cell and piece. Since cells nest in participants, both are
eliminated in closed form, and only a pieces x pieces matrix is factorised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, sparse, special, stats

from analysis.errors import AnalysisError
from analysis.ratings.mixed_model import ONE_THREAD, TERMS

LOWEST_LOG_THETA, HIGHEST_LOG_THETA = -6.0, 4.0
ZERO_THETA = 0.03  # below, the model without the term is tried
FARTHEST = 700.0  # of a logistic distribution: exp(-700) is still a number
FARTHEST_EFFECT = 30.0  # where a search without an end stops
LOWEST_LOG_GAP = -15.0  # between thresholds
OUT_OF_REACH = 1e4  # standard deviations, in place of infinity
SEPARATED = 10.0  # an effect beyond this is on its way to infinity
MOST_NEWTON_STEPS = 50
STEP = 5e-4  # of the differences of gradients that make the Hessian
LINKS = ("logit", "probit")


class OrdinalModelError(AnalysisError):
    """Answers to which the model cannot be fitted; the message says why."""


@dataclass(frozen=True)
class WaldEstimate:
    """A linear function of the effects, on the scale of eta; its interval is normal."""

    value: float
    se: float

    @property
    def z(self) -> float:
        """The estimate in standard errors."""
        return self.value / self.se

    @property
    def p(self) -> float:
        """Two-sided p-value against 0."""
        return float(2 * stats.norm.sf(abs(self.z)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided normal interval."""
        half_width = float(stats.norm.ppf((1 + confidence) / 2)) * self.se
        return self.value - half_width, self.value + half_width

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the null hypothesis that the true value is at most `bound`."""
        return float(stats.norm.sf((self.value - bound) / self.se))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the null hypothesis that the true value is at least `bound`."""
        return float(stats.norm.cdf((self.value - bound) / self.se))


@dataclass(frozen=True)
class OrdinalModel:
    """A fitted model.

    Thresholds rise; there is one fewer than levels. Effects of a model with a ridge are drawn towards 0.
    """

    levels: np.ndarray  # (n_levels,) the answers that occur, lowest first
    thresholds: np.ndarray  # (n_levels - 1,)
    beta: np.ndarray  # (n_fixed,)
    covariance: np.ndarray  # of (thresholds, beta)
    theta: dict[str, float]  # standard deviation of each random term of the model
    log_likelihood: float  # Laplace's approximation, without the ridge
    singular: tuple[str, ...]  # terms whose standard deviation is estimated as 0
    separated: bool  # an effect runs to infinity: no finite estimate without a ridge
    gradient: float  # largest derivative of the log-likelihood that is left
    link: str
    ridge: float | None  # standard deviation of the normal prior of the effects

    def contrast(self, weights: np.ndarray) -> WaldEstimate:
        """The weighted sum of the fixed effects: a log odds ratio (logit) or standard deviations (probit)."""
        weights = np.asarray(weights, dtype=float)
        covariance = self.covariance[len(self.thresholds) :, len(self.thresholds) :]
        return WaldEstimate(float(weights @ self.beta), float(weights @ covariance @ weights) ** 0.5)

    def share_above(self, row: np.ndarray, level: float, *, confidence: float = 0.95) -> Share:
        """How many answers of new listeners to new pieces are `level` or higher, for one row of X.

        The random effects are averaged over; the interval is normal on the scale of the link (delta method,
        the standard deviations of the random effects taken as known).
        """
        index = int(np.searchsorted(self.levels, level))  # the first level that counts
        if index == 0 or index == len(self.levels):
            return Share(1.0 if index == 0 else 0.0, None, None)
        row = np.asarray(row, dtype=float)
        weights = np.concatenate([-np.eye(len(self.thresholds))[index - 1], row])
        eta = float(row @ self.beta - self.thresholds[index - 1])
        half_width = (
            float(stats.norm.ppf((1 + confidence) / 2)) * float(weights @ self.covariance @ weights) ** 0.5
        )
        low, value, high = (self._mean_share(eta + move) for move in (-half_width, 0.0, half_width))
        return Share(value, low, high)

    def _mean_share(self, eta: float) -> float:
        """F averaged over the random effects, by Gauss and Hermite's rule."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        spread = float(np.sqrt(sum(value**2 for value in self.theta.values())))
        distribution = special.expit if self.link == "logit" else special.ndtr
        return float(weights @ distribution(eta + spread * nodes) / weights.sum())


@dataclass(frozen=True)
class Share:
    """A share of answers with its interval; None where the answers do not tell."""

    value: float
    ci_low: float | None
    ci_high: float | None


def fit_ordinal_model(
    y: np.ndarray,
    fixed: np.ndarray,
    *,
    participant: np.ndarray | None = None,
    cell: np.ndarray | None = None,
    piece: np.ndarray | None = None,
    link: str = "logit",
    ridge: float | None = None,
) -> OrdinalModel:
    """Fit the model by maximum likelihood; a random term that is None is left out.

    Parameters
    ----------
    y : np.ndarray [shape=(n,)]
        Answers; their order counts, and levels that do not occur are no levels.
    fixed : np.ndarray [shape=(n, n_fixed)]
        Without a constant, which the thresholds are; n_fixed may be 0.
    participant, cell, piece : np.ndarray [shape=(n,), dtype=int]
        Codes from 0 without gaps. Each cell lies within one participant.
    link : str
        ``logit`` or ``probit``.
    ridge : float, optional
        Standard deviation of a normal prior of the effects; makes them finite where they are `separated`.

    Raises
    ------
    OrdinalModelError
        If all answers are equal, the link is unknown, or `fixed` with a constant lacks rank.
    """
    if link not in LINKS:
        raise OrdinalModelError(f"the link is one of {', '.join(LINKS)}, got {link!r}")
    levels, codes = np.unique(np.asarray(y), return_inverse=True)
    if len(levels) < 2:
        raise OrdinalModelError(f"all {len(codes)} answers are {levels[0]:g}: there is nothing to tell apart")
    fixed = np.asarray(fixed, dtype=float).reshape(len(codes), -1)
    with_constant = np.column_stack([np.ones(len(codes)), fixed])
    if ridge is None and (rank := np.linalg.matrix_rank(with_constant)) < with_constant.shape[1]:
        raise OrdinalModelError(
            f"the constant and {fixed.shape[1]} fixed effects are not independent (rank {rank})"
        )
    given = dict(zip(TERMS, (participant, cell, piece), strict=True))
    groups = {term: np.asarray(group) for term, group in given.items() if group is not None}
    likelihood, point, dropped = _without_empty_terms(codes, len(levels), fixed, groups, link, ridge)
    hessian = likelihood.hessian(point)
    point = _newton_step(likelihood, point, hessian)
    value, gradient = likelihood(point)
    thresholds, beta, theta = likelihood.unpack(point)
    covariance = _covariance(likelihood, point, hessian)
    penalty = 0.0 if ridge is None else float(beta @ beta) / (2 * ridge**2)
    fitted = dict(zip(likelihood.terms, theta.tolist(), strict=True))
    return OrdinalModel(
        levels=levels,
        thresholds=thresholds,
        beta=beta,
        covariance=covariance,
        theta={term: fitted.get(term, 0.0) for term in groups},
        log_likelihood=float(-value + penalty),
        singular=tuple(dropped),
        separated=bool(len(beta) and np.abs(beta).max() > SEPARATED),
        gradient=float(np.abs(gradient).max()),
        link=link,
        ridge=ridge,
    )


def _without_empty_terms(codes, n_levels, fixed, groups, link, ridge):
    """The likelihood at its optimum, without the terms whose standard deviation is 0 there."""
    groups, dropped = dict(groups), []
    likelihood = _Likelihood(codes, n_levels, fixed, groups, link, ridge)
    point = _optimum(likelihood, likelihood.start())
    while True:
        theta = likelihood.unpack(point)[2]
        if not len(theta) or theta.min() > ZERO_THETA:
            return likelihood, point, dropped
        smallest = int(theta.argmin())
        term = likelihood.terms[smallest]
        fewer = {name: group for name, group in groups.items() if name != term}
        simpler = _Likelihood(codes, n_levels, fixed, fewer, link, ridge)
        at = np.delete(point, len(point) - len(theta) + smallest)
        at = _optimum(simpler, at)
        at_bound = theta.min() < np.exp(LOWEST_LOG_THETA) * 1.01  # it would have gone on to 0
        if not at_bound and simpler(at)[0] > likelihood(point)[0] + 1e-6:
            return likelihood, point, dropped
        likelihood, point, groups = simpler, at, fewer
        dropped.append(term)


def _optimum(likelihood: _Likelihood, start: np.ndarray) -> np.ndarray:
    n_gaps, n_terms = likelihood.n_thresholds - 1, len(likelihood.terms)
    n_fixed = len(start) - 1 - n_gaps - n_terms
    bounds = [(-FARTHEST_EFFECT, FARTHEST_EFFECT), *[(LOWEST_LOG_GAP, HIGHEST_LOG_THETA)] * n_gaps]
    bounds += [(-FARTHEST_EFFECT, FARTHEST_EFFECT)] * n_fixed
    bounds += [(LOWEST_LOG_THETA, HIGHEST_LOG_THETA)] * n_terms
    settings = {"maxiter": 500, "maxfun": 2000, "ftol": 1e-13, "gtol": 1e-6, "maxcor": 30}
    return optimize.minimize(
        likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=settings
    ).x


def _newton_step(likelihood: _Likelihood, point: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """The search stops a little early; one step of Newton's method takes the rest."""
    value, gradient = likelihood(point)
    eigenvalues, vectors = np.linalg.eigh(hessian)
    if eigenvalues[0] <= 1e-6:
        return point
    step = vectors @ ((vectors.T @ gradient) / eigenvalues)
    moved = point - step
    moved_value, moved_gradient = likelihood(moved)
    better = moved_value <= value + 1e-9 and np.abs(moved_gradient).max() < np.abs(gradient).max()
    return moved if better else point


def _covariance(likelihood: _Likelihood, point: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Of (thresholds, beta), from the whole Hessian; directions without information have none."""
    values, vectors = np.linalg.eigh(hessian)
    kept = values > 1e-8
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    n_thresholds, n_fixed = likelihood.n_thresholds, likelihood.fixed.shape[1]
    to_thresholds = np.zeros((n_thresholds + n_fixed, len(point)))
    to_thresholds[:n_thresholds, 0] = 1
    gaps = np.exp(point[1:n_thresholds])
    to_thresholds[:n_thresholds, 1:n_thresholds] = np.tril(np.ones((n_thresholds, len(gaps))), -1) * gaps
    to_thresholds[n_thresholds:, n_thresholds : n_thresholds + n_fixed] = np.eye(n_fixed)
    return to_thresholds @ inverse @ to_thresholds.T


class _Likelihood:
    """Minus the log-likelihood of one table and its gradient.

    A point is (first threshold, log gaps between thresholds, beta, log theta).
    """

    def __init__(self, codes, n_levels, fixed, groups, link, ridge):
        self.codes, self.fixed, self.link, self.ridge = codes, fixed, link, ridge
        self.n_thresholds = n_levels - 1
        self.terms = list(groups)
        n = len(codes)
        none = np.zeros(n, dtype=int)
        self.participant = groups.get("participant", none)
        self.cell = groups.get("cell", self.participant)
        self.piece = groups.get("piece", none)
        self.n_pieces = int(self.piece.max()) + 1
        first = np.unique(self.cell, return_index=True)[1]
        self.owner = self.participant[first]  # of each cell
        self.pairs = self.cell * self.n_pieces + self.piece
        self.sizes = {"participant": self.owner.max() + 1, "cell": len(first), "piece": self.n_pieces}
        cells = np.arange(len(first))
        self.to_participants = sparse.csr_array((np.ones(len(first)), (self.owner, cells)))
        self.index = {"participant": self.participant, "cell": self.cell, "piece": self.piece}
        self.effects = {term: np.zeros(size) for term, size in self.sizes.items()}  # u, kept as a warm start

    def start(self) -> np.ndarray:
        """Thresholds of the counts, no effects, random terms half a unit wide."""
        below = np.cumsum(np.bincount(self.codes, minlength=self.n_thresholds + 1))[:-1] / len(self.codes)
        below = np.clip(below, 0.5 / len(self.codes), 1 - 0.5 / len(self.codes))
        thresholds = special.logit(below) if self.link == "logit" else special.ndtri(below)
        return np.concatenate(
            [
                thresholds[:1],
                np.log(np.diff(thresholds)),
                np.zeros(self.fixed.shape[1]),
                np.full(len(self.terms), np.log(0.5)),
            ]
        )

    def unpack(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds, beta and theta of a point."""
        n_fixed = self.fixed.shape[1]
        thresholds = np.cumsum(np.concatenate([point[:1], np.exp(point[1 : self.n_thresholds])]))
        beta = point[self.n_thresholds : self.n_thresholds + n_fixed]
        return thresholds, beta, np.exp(point[self.n_thresholds + n_fixed :])

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        thresholds, beta, free = self.unpack(point)
        theta = dict.fromkeys(TERMS, 0.0) | dict(zip(self.terms, free, strict=True))
        ends = np.concatenate([[-np.inf], thresholds, [np.inf]])
        answers, curvature = self._settle(ends, np.einsum("ij,j->i", self.fixed, beta), theta)
        answers.add_third()
        u = self.effects
        value = (
            answers.log_p.sum() - sum(effect @ effect for effect in u.values()) / 2 - curvature.log_det / 2
        )

        # h: variance of eta by what is not known of u. rho: what a change of H does through u.
        h = curvature.leverages(self.cell, self.piece)
        pull = self._collect(h * answers.third, theta)
        adjoint = curvature.solve(pull)
        rho = self._spread(adjoint, theta)
        by_high = answers.l_a - (h * answers.w_a + rho * answers.s_a) / 2
        by_low = answers.l_b - (h * answers.w_b + rho * answers.s_b) / 2
        by_eta = -(by_high + by_low)
        of_ends = np.bincount(self.codes + 1, by_high, len(ends)) + np.bincount(self.codes, by_low, len(ends))
        of_thresholds = of_ends[1:-1]
        tails = np.cumsum(of_thresholds[::-1])[::-1]  # a gap moves all thresholds above it
        of_gaps = tails[1:] * np.exp(point[1 : self.n_thresholds])
        of_beta = np.einsum("ij,i->j", self.fixed, by_eta)
        if self.ridge is not None:
            value -= float(beta @ beta) / (2 * self.ridge**2)
            of_beta = of_beta - beta / self.ridge**2
        traces = curvature.traces()
        of_theta = [
            theta[term] * float(np.einsum("i,i->", by_eta, u[term][self.index[term]]))
            - float(adjoint[term] @ u[term]) / 2
            - (self.sizes[term] - traces[term])
            for term in self.terms
        ]
        gradient = np.concatenate([tails[:1], of_gaps, of_beta, of_theta])
        return -float(value), -gradient

    def hessian(self, point: np.ndarray) -> np.ndarray:
        """Of minus the log-likelihood, by central differences of the gradient."""
        rows = []
        for move in STEP * np.eye(len(point)):
            rows.append((self(point + move)[1] - self(point - move)[1]) / (2 * STEP))
        hessian = np.array(rows)
        return (hessian + hessian.T) / 2

    def _settle(self, ends, eta, theta):
        """Bring u to its optimum by Newton's method; the answers and the curvature there."""
        u = self.effects
        low, high = ends[self.codes], ends[self.codes + 1]
        gap = -np.expm1(ends[:-1] - ends[1:])[self.codes]

        def objective(effects):
            around = eta + self._spread(effects, theta)
            answers = _Answers(high - around, low - around, gap, self.link)
            return float(
                answers.log_p.sum() - sum(effect @ effect for effect in effects.values()) / 2
            ), answers

        value, answers = objective(u)
        if not np.isfinite(value):
            u = {term: np.zeros(size) for term, size in self.sizes.items()}
            value, answers = objective(u)
        for _ in range(MOST_NEWTON_STEPS):
            curvature = self._curvature(answers.w, theta)
            slope = self._collect(answers.s, theta)
            slope = {term: slope[term] - u[term] for term in TERMS}
            step = curvature.solve(slope)
            gain = sum(float(slope[term] @ step[term]) for term in TERMS)
            if gain < 1e-16:
                break
            for length in (1.0, 0.5, 0.25, 0.1, 0.03, 0.01):
                moved = {term: u[term] + length * step[term] for term in TERMS}
                moved_value, moved_answers = objective(moved)
                if moved_value >= value - 1e-9 * (1 + abs(value)):
                    break
            u, value, answers = moved, moved_value, moved_answers
            if gain < 1e-9:  # the steps square their distance: this one was the last that counts
                curvature = self._curvature(answers.w, theta)
                break
        self.effects = u
        return answers, curvature

    def _spread(self, effects, theta) -> np.ndarray:
        """Of each rating, the sum of its effects in units of eta."""
        of_cell = theta["cell"] * effects["cell"] + theta["participant"] * effects["participant"][self.owner]
        return of_cell[self.cell] + theta["piece"] * effects["piece"][self.piece]

    def _collect(self, values, theta) -> dict[str, np.ndarray]:
        """The sum of the values of each level of each term, in units of u."""
        cells = np.bincount(self.cell, values, self.sizes["cell"])
        participants = np.bincount(self.owner, cells, self.sizes["participant"])
        pieces = np.bincount(self.piece, values, self.n_pieces)
        return {
            "participant": theta["participant"] * participants,
            "cell": theta["cell"] * cells,
            "piece": theta["piece"] * pieces,
        }

    def _curvature(self, w, theta) -> _Curvature:
        n_cells = self.sizes["cell"]
        table = np.bincount(self.pairs, w, n_cells * self.n_pieces).reshape(n_cells, self.n_pieces)
        return _Curvature(table, self.to_participants, self.owner, theta)


class _Answers:
    """Log-probabilities log(F(a) - F(b)) of the answers and their derivatives.

    `s` and `w` are the first and minus the second derivative in eta, `third` is that of `w`; a name that ends
    in _a or _b is the derivative in the upper or the lower end. All are polynomials of the densities at both
    ends over the probability, computed so that neither cancels in the tails.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray, gap: np.ndarray, link: str):
        self._ends = _logistic_ends(a, b, gap) if link == "logit" else _normal_ends(a, b)
        self.log_p, (self.l_a, m_a, _), (big_b, m_b, _) = self._ends
        self.l_b = -big_b
        ab = self.l_a * big_b
        self.s = big_b - self.l_a
        self.s_a = -(self.l_a * (m_a - self.l_a) + ab)
        self.s_b = big_b * (m_b + big_b) - ab
        self.w = np.maximum(self.s_a + self.s_b, 0.0)

    def add_third(self) -> None:
        """The derivatives of `w`, which only the gradient needs."""
        _, (big_a, m_a, m2_a), (big_b, m_b, m2_b) = self._ends
        ab = big_a * big_b
        aaa = big_a * (m2_a - 3 * big_a * m_a + 2 * big_a**2)
        aab = ab * (m_a - 2 * big_a)
        abb = ab * (m_b + 2 * big_b)
        bbb = -big_b * (m2_b + 3 * big_b * m_b + 2 * big_b**2)
        self.w_a, self.w_b = -(aaa + 2 * aab + abb), -(aab + 2 * abb + bbb)
        self.third = -(self.w_a + self.w_b)


def _logistic_ends(a: np.ndarray, b: np.ndarray, gap: np.ndarray):
    """log P; of both ends the density over P, its log-derivative, its second derivative over itself.

    P = F(a) (1 - F(b)) gap, with gap = 1 - exp(b - a), has no difference of near-equal numbers.
    """
    a, b = np.clip(a, -FARTHEST, FARTHEST), np.clip(b, -FARTHEST, FARTHEST)
    odds_a, odds_b = np.exp(-a), np.exp(-b)  # of lying above
    below_a, below_b = 1 / (1 + odds_a), 1 / (1 + odds_b)
    above_a, above_b = odds_a * below_a, odds_b * below_b
    log_p = np.log(gap) - np.log1p(odds_a) - np.log1p(odds_b) - b
    upper = above_a / (above_b * gap), above_a - below_a, 1 - 6 * above_a * below_a
    lower = below_b / (below_a * gap), above_b - below_b, 1 - 6 * above_b * below_b
    return log_p, upper, lower


def _normal_ends(a: np.ndarray, b: np.ndarray):
    a, b = np.clip(a, -OUT_OF_REACH, OUT_OF_REACH), np.clip(b, -OUT_OF_REACH, OUT_OF_REACH)
    flip = a + b > 0  # the smaller tail keeps its digits
    upper, lower = np.where(flip, -b, a), np.where(flip, -a, b)
    log_upper, log_lower = special.log_ndtr(upper), special.log_ndtr(lower)
    log_p = log_upper + np.log(-np.expm1(log_lower - log_upper))
    ends = []
    for x in (a, b):
        log_density = -(x**2) / 2 - 0.5 * np.log(2 * np.pi)
        ends.append((np.exp(log_density - log_p), -x, x**2 - 1))
    return log_p, ends[0], ends[1]


class _Curvature:
    """H in blocks: cells and then participants eliminated, pieces left.

    Of its inverse there are the variances of every level, and the covariances between the levels that a
    rating has together.
    """

    def __init__(self, table: np.ndarray, to_participants: sparse.csr_array, owner, theta: dict[str, float]):
        self.owner, self.theta = owner, theta
        self.n_participants = n_participants = to_participants.shape[0]
        of_cell, of_participant, of_piece = theta["cell"], theta["participant"], theta["piece"]
        totals = table.sum(axis=1)
        self.cells = 1 + of_cell**2 * totals
        self.cell_to_participant = of_cell * of_participant * totals / self.cells
        self.cell_to_piece = (of_cell * of_piece / self.cells)[:, None] * table
        reduced = table / self.cells[:, None]
        self.participants = 1 + of_participant**2 * np.bincount(owner, totals / self.cells, n_participants)
        sums = to_participants @ reduced
        self.participant_to_piece = of_participant * of_piece * sums / self.participants[:, None]
        pieces = np.diag(1 + of_piece**2 * table.sum(axis=0))
        if of_cell:
            pieces -= _gram(self.cell_to_piece * self.cells[:, None], self.cell_to_piece)
        if of_participant:
            weighted = self.participant_to_piece * self.participants[:, None]
            pieces -= _gram(weighted, self.participant_to_piece)
        factor = np.linalg.cholesky(pieces)
        half = linalg.lapack.dtrtri(factor, lower=1)[0]
        self.pieces_inverse = half.T @ half
        self.log_det = float(
            np.log(self.cells).sum() + np.log(self.participants).sum() + 2 * np.log(np.diag(factor)).sum()
        )

    def solve(self, right: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """H^-1 times a vector."""
        cells, participants, pieces = right["cell"], right["participant"], right["piece"]
        participants = participants - np.bincount(
            self.owner, self.cell_to_participant * cells, self.n_participants
        )
        pieces = pieces - np.einsum("i,ij->j", cells, self.cell_to_piece)
        pieces = pieces - np.einsum("i,ij->j", participants, self.participant_to_piece)
        pieces = np.einsum("ij,j->i", self.pieces_inverse, pieces)
        spread = np.einsum("ij,j->i", self.participant_to_piece, pieces)
        participants = participants / self.participants - spread
        cells = (
            cells / self.cells
            - self.cell_to_participant * participants[self.owner]
            - np.einsum("ij,j->i", self.cell_to_piece, pieces)
        )
        return {"participant": participants, "cell": cells, "piece": pieces}

    def leverages(self, cell: np.ndarray, piece: np.ndarray) -> np.ndarray:
        """Of each rating, z' Lambda H^-1 Lambda z."""
        self._invert()
        of_cell, of_participant, of_piece = (self.theta[term] for term in ("cell", "participant", "piece"))
        owner = self.owner
        alone = (
            of_cell**2 * self.cell_variances
            + of_participant**2 * self.participant_variances[owner]
            + 2 * of_cell * of_participant * self.cell_with_participant
        )
        with_piece = of_cell * self.cell_with_piece + of_participant * self.participant_with_piece[owner]
        piece_variances = np.diag(self.pieces_inverse)
        return alone[cell] + of_piece**2 * piece_variances[piece] + 2 * of_piece * with_piece[cell, piece]

    def traces(self) -> dict[str, float]:
        """Of each term, the trace of its block of H^-1."""
        return {
            "participant": float(self.participant_variances.sum()),
            "cell": float(self.cell_variances.sum()),
            "piece": float(np.trace(self.pieces_inverse)),
        }

    def _invert(self) -> None:
        self.participant_with_piece = -_times(self.participant_to_piece, self.pieces_inverse)
        self.participant_variances = 1 / self.participants - np.einsum(
            "ij,ij->i", self.participant_with_piece, self.participant_to_piece
        )
        owner = self.owner
        to_participant = self.cell_to_participant
        self.cell_with_piece = -to_participant[:, None] * self.participant_with_piece[owner] - _times(
            self.cell_to_piece, self.pieces_inverse
        )
        self.cell_with_participant = -to_participant * self.participant_variances[owner] - np.einsum(
            "ij,ij->i", self.cell_to_piece, self.participant_with_piece[owner]
        )
        self.cell_variances = (
            1 / self.cells
            - to_participant * self.cell_with_participant
            - np.einsum("ij,ij->i", self.cell_to_piece, self.cell_with_piece)
        )


def _times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix in blocks that OpenBLAS multiplies on one core: threads wait long on a busy machine."""
    block = max(64, ONE_THREAD // max(matrix.size, 1))
    parts = [rows[start : start + block] @ matrix for start in range(0, len(rows), block)]
    return np.concatenate(parts)


def _gram(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left' @ right, as `_times`."""
    block = max(64, ONE_THREAD // max(left.shape[1] * right.shape[1], 1))
    starts = range(0, len(left), block)
    return sum(left[start : start + block].T @ right[start : start + block] for start in starts)
