"""Which of two do listeners prefer, and how much better does that make it?

The model of Bradley and Terry (1952), Biometrika 39:324, with the order effect and the ties of Davidson and
Beaver (1977), Biometrics 33:693. Of a pair heard as i, then j:

    first : second : tie  =  w_i : w_j exp(-order) : nu sqrt(w_i w_j)

A log-worth is against the reference; an `order` above 0 favours what is heard first. Worths exist only if
the comparisons connect all conditions, and are finite only if no group of conditions wins all it has against
the rest (Ford 1957, Am. Math. Mon. 64:28): where one does, all log-worths are drawn towards their mean by a
normal prior, and the notes say so.

Votes of one listener, and on one piece, go together, so the standard errors of the model are too small.
Those reported add up what changes when a listener, and when a piece, is left out (the jackknife, each by one
step of Newton's method: Bell and McCaffrey 2002, Surv. Methodol. 28:169), less what the votes' own noise puts
into both, as in the two-way clusters of Cameron, Gelbach and Miller (2011), J. Bus. Econ. Stat. 29:238. Their
t has the degrees of freedom of the fewer of listeners and pieces of a condition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse, stats

from analysis.errors import AnalysisError
from analysis.ratings.mixed_model import Estimate
from analysis.ratings.table import codes_of

COLUMNS = ("participant", "first", "second", "preferred")
OUTCOMES = ("first", "second", "tie")
RIDGE = 3.0  # standard deviation of log-worths about their mean where one would be infinite
INFINITE = 15.0  # a log-worth beyond this has no end
MOST_STEPS = 100


class PreferenceError(AnalysisError):
    """Comparisons that are refused; the message names the value and what would be right."""


@dataclass(frozen=True)
class Worth:
    """One condition against the reference."""

    condition: str
    log_worth: float
    se: float
    ci_low: float
    ci_high: float
    p_preferred: float  # over the reference, ties and order aside
    p_preferred_low: float
    p_preferred_high: float
    n_wins: int
    n_losses: int
    n_ties: int


@dataclass(frozen=True)
class Preferences:
    """A fitted model. The first entries of `parameters` are the log-worths, the reference's being 0."""

    conditions: list[str]
    reference: str
    parameters: np.ndarray  # log-worths, then order and log nu where they are in the model
    covariance: np.ndarray  # robust to votes that share a listener or a piece
    model_covariance: np.ndarray  # votes taken as independent
    df_residual: float  # of the t intervals: fewer of listeners and pieces, less 1
    has_order: bool
    has_ties: bool
    log_likelihood: float
    deviance: float  # against what was counted for each pair
    df: int
    ridge: float | None
    counts: np.ndarray  # (n_pairs, 3): first, second, tie
    pairs: np.ndarray  # (n_pairs, 2): codes of first and second
    notes: list[str]

    @property
    def p_fit(self) -> float | None:
        """P-value of the deviance: small where no order of worths explains the votes."""
        return float(stats.chi2.sf(self.deviance, self.df)) if self.df > 0 else None

    def contrast(self, condition: str, other: str) -> Estimate:
        """Log-worth of one condition less that of another."""
        weights = self._weights(condition) - self._weights(other)
        variance = float(weights @ self.covariance @ weights)
        return Estimate(float(weights @ self.parameters), max(variance, 0.0) ** 0.5, self.df_residual)

    @property
    def order(self) -> Estimate | None:
        """Log odds for what is heard first; None where the model has no such effect."""
        return self._parameter(len(self.conditions)) if self.has_order else None

    @property
    def tie(self) -> Estimate | None:
        """Log of nu: how ready listeners are to call a tie; None where nobody did."""
        return self._parameter(len(self.conditions) + self.has_order) if self.has_ties else None

    def worths(self) -> list[Worth]:
        """Every condition against the reference, the most preferred first."""
        rows = [self._worth(name) for name in self.conditions]
        return sorted(rows, key=lambda row: (-row.log_worth, row.condition))

    def _worth(self, name: str) -> Worth:
        estimate = self.contrast(name, self.reference)
        low, high = (0.0, 0.0) if name == self.reference else estimate.interval()
        code = self.conditions.index(name)
        as_first, as_second = (self.counts[self.pairs[:, side] == code].sum(axis=0) for side in (0, 1))
        return Worth(
            condition=name,
            log_worth=estimate.value,
            se=estimate.se,
            ci_low=low,
            ci_high=high,
            p_preferred=_logistic(estimate.value),
            p_preferred_low=_logistic(low),
            p_preferred_high=_logistic(high),
            n_wins=int(as_first[0] + as_second[1]),
            n_losses=int(as_first[1] + as_second[0]),
            n_ties=int(as_first[2] + as_second[2]),
        )

    def _weights(self, name: str) -> np.ndarray:
        if name not in self.conditions:
            raise PreferenceError(f"no condition {name!r}; there are {', '.join(self.conditions)}")
        return (np.arange(len(self.parameters)) == self.conditions.index(name)).astype(float)

    def _parameter(self, index: int) -> Estimate:
        error = float(self.covariance[index, index]) ** 0.5
        return Estimate(float(self.parameters[index]), error, self.df_residual)


def fit_preferences(
    comparisons: pd.DataFrame,
    *,
    reference: str | None = None,
    order: bool = True,
) -> Preferences:
    """Fit worths to a table of comparisons.

    Parameters
    ----------
    comparisons : pd.DataFrame
        Columns `COLUMNS`: who compared, the condition heard first, that heard second, and ``first``,
        ``second`` or ``tie``. With columns ``first_piece`` and ``second_piece`` the intervals are for other
        listeners and pieces; without, for other listeners of these pieces, and the notes say so.
    reference : str, optional
        By default ``real`` where there is one, else the first by name.
    order : bool
        Whether being heard first may matter. Left out with a note where the table cannot tell.

    Raises
    ------
    PreferenceError
        If a column is missing or a cell wrong, a condition meets itself, the reference is not there, the
        comparisons do not connect all conditions, all are ties, or there is one participant.
    """
    table = _checked(comparisons)
    participants = codes_of(table["participant"])
    if participants.max() == 0:
        raise PreferenceError("what other listeners prefer needs at least 2 participants, got 1")
    conditions = sorted(set(table["first"]) | set(table["second"]))
    if reference is None:
        reference = "real" if "real" in conditions else conditions[0]
    if reference not in conditions:
        raise PreferenceError(
            f"the reference {reference!r} is no condition of the table ({', '.join(conditions)})"
        )
    codes = {name: index for index, name in enumerate(conditions)}
    first, second = (table[name].map(codes).to_numpy(dtype=int) for name in ("first", "second"))
    outcome = table["preferred"].map({name: index for index, name in enumerate(OUTCOMES)}).to_numpy(dtype=int)
    notes: list[str] = []
    if order and not _tells_order(first, second, len(conditions)):
        order = False
        notes.append("The effect of order cannot be told from the worths: it is left out.")
    if not order:
        swap = first > second
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        outcome = np.where(swap & (outcome < 2), 1 - outcome, outcome)
    pairs, pair = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)
    pair = pair.ravel()
    cells = 3 * pair + outcome
    counts = np.bincount(cells, minlength=3 * len(pairs)).reshape(-1, 3).astype(float)
    fitted = _fit(conditions, reference, pairs, counts, order, notes)
    votes = _Votes(fitted, pair, outcome)
    model = np.delete(np.delete(fitted.model_covariance, votes.reference, axis=0), votes.reference, axis=1)
    by_listener = votes.jackknife([participants], np.zeros(participants.max() + 1, dtype=int))
    n_units, covariance = int(participants.max()) + 1, by_listener
    sides = _pieces(table)
    if sides is None:
        fitted.notes.append("Pieces are not named: intervals are for other listeners of these very pieces.")
    else:
        pieces, homes = sides
        n_units = min(n_units, int(np.bincount(homes).min()))
        if n_units < 2:
            raise PreferenceError(
                "a condition is compared through one piece only, which cannot be told from it; leave the "
                "columns of pieces out for a result about these very pieces"
            )
        by_piece = votes.jackknife(pieces, homes) - model  # every vote is on two pieces
        covariance = _not_below(by_listener + by_piece - model, by_listener, by_piece)
    covariance = np.insert(np.insert(covariance, votes.reference, 0.0, 0), votes.reference, 0.0, 1)
    return replace(fitted, covariance=covariance, df_residual=float(n_units - 1))


def fit_wins(conditions: list[str], wins: np.ndarray, *, reference: str | None = None) -> Preferences:
    """The plain model of Bradley and Terry of a table of wins, each taken as independent.

    Parameters
    ----------
    wins : np.ndarray [shape=(n, n)]
        How often the row was preferred to the column.

    Raises
    ------
    PreferenceError
        If the table is no square of counts, or does not connect all conditions.
    """
    wins = np.asarray(wins, dtype=float)
    n = len(conditions)
    if wins.shape != (n, n) or not np.isfinite(wins).all() or (wins < 0).any():
        raise PreferenceError(f"wins are a square of {n} x {n} counts of 0 or more, got shape {wins.shape}")
    met = [(i, j) for i, j in combinations(range(n), 2) if wins[i, j] + wins[j, i] > 0]
    pairs = np.array(met, dtype=int).reshape(-1, 2)
    counts = np.array([[wins[i, j], wins[j, i], 0.0] for i, j in met]).reshape(-1, 3)
    return _fit(list(conditions), reference or conditions[0], pairs, counts, False, [])


def circular_triads(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Of each participant, the triples of conditions that they compared all round, and how many are circular.

    A is preferred to B, B to C, and C to A (Kendall and Babington Smith 1940, Biometrika 31:324). A pair that
    was compared more than once goes to who won oftener; a triple with an even pair does not count. One who
    chooses at random makes a quarter of the triples circular.

    Returns
    -------
    triads : pd.DataFrame
        One row per participant: participant, n_triads, n_circular.
    """
    rows = []
    for participant, votes in _checked(comparisons).groupby("participant", sort=True):
        names = sorted(set(votes["first"]) | set(votes["second"]))
        lead = pd.DataFrame(0, index=names, columns=names)
        for first, second, preferred in zip(votes["first"], votes["second"], votes["preferred"], strict=True):
            step = {"first": 1, "second": -1, "tie": 0}[preferred]
            lead.loc[first, second] += step
            lead.loc[second, first] -= step
        leads = np.sign(lead.to_numpy())
        cycles = [leads[i, j] + leads[j, k] + leads[k, i] for i, j, k in _full_triples(leads)]
        rows.append((participant, len(cycles), sum(abs(cycle) == 3 for cycle in cycles)))
    return pd.DataFrame(rows, columns=["participant", "n_triads", "n_circular"])


def _full_triples(leads: np.ndarray) -> list[tuple[int, int, int]]:
    return [
        (i, j, k)
        for i, j, k in combinations(range(len(leads)), 3)
        if leads[i, j] and leads[j, k] and leads[k, i]
    ]


def _checked(comparisons: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in comparisons.columns]
    if missing:
        raise PreferenceError(f"no column {missing[0]!r}; comparisons have {', '.join(COLUMNS)}")
    if comparisons.empty:
        raise PreferenceError("the table has no rows; it needs one row per comparison")
    table = comparisons.reset_index(drop=True)
    for name in COLUMNS:
        if table[name].isna().any():
            row = int(table[name].isna().to_numpy().argmax()) + 1
            raise PreferenceError(f"row {row}: {name} is empty; every comparison names it")
    table = table.assign(**{name: table[name].astype(str) for name in COLUMNS})
    wrong = ~table["preferred"].isin(OUTCOMES)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise PreferenceError(
            f"row {row + 1}: preferred is {table['preferred'][row]!r}; it is one of {', '.join(OUTCOMES)}"
        )
    same = table["first"] == table["second"]
    if same.any():
        row = int(same.to_numpy().argmax())
        raise PreferenceError(
            f"row {row + 1}: condition {table['first'][row]!r} meets itself; compare two conditions"
        )
    return table


def _pieces(table: pd.DataFrame) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Codes of the first and of the second piece, a piece being its condition's own; each one's condition."""
    if not {"first_piece", "second_piece"} <= set(table.columns):
        return None
    names = [table[side] + "\x1f" + table[f"{side}_piece"].astype(str) for side in ("first", "second")]
    codes = codes_of(pd.concat(names, ignore_index=True))
    homes = np.zeros(codes.max() + 1, dtype=int)
    homes[codes] = codes_of(pd.concat([table["first"], table["second"]], ignore_index=True))
    return [codes[: len(table)], codes[len(table) :]], homes


class _Votes:
    """The votes of a fitted model, and how its parameters move when some are left out."""

    def __init__(self, fitted: Preferences, pair: np.ndarray, outcome: np.ndarray):
        n = len(fitted.conditions)
        self.reference = fitted.conditions.index(fitted.reference)
        self.pair, self.outcome = pair, outcome
        self.n_pairs = len(fitted.pairs)
        self.design = _design(fitted.pairs, n, self.reference, fitted.has_order, fitted.has_ties)
        free = np.delete(fitted.parameters, self.reference)
        chances = _chances(self.design, free)[:, : self.design.shape[1]]
        means = np.einsum("po,pof->pf", chances, self.design)
        self.scores = self.design[pair, outcome] - means[pair]
        squares = np.einsum("po,pof,pog->pfg", chances, self.design, self.design)
        self.information = squares - np.einsum("pf,pg->pfg", means, means)  # of one vote on each pair
        counts = np.bincount(pair, minlength=self.n_pairs)
        self.total = np.einsum("p,pfg->fg", counts, self.information)
        self.total += _penalty(n, self.reference, len(free), fitted.ridge)

    def jackknife(self, clusters: list[np.ndarray], strata: np.ndarray) -> np.ndarray:
        """Sum of the squared moves of the parameters when each cluster is left out.

        Parameters
        ----------
        clusters : list of np.ndarray [shape=(n_votes,)]
            Codes of the clusters to which a vote belongs.
        strata : np.ndarray [shape=(n_clusters,)]
            Clusters of a stratum are a sample of their own.
        """
        n = len(strata)
        scores, counts = np.zeros((n, self.scores.shape[1])), np.zeros((n, self.n_pairs))
        for cluster in clusters:
            np.add.at(scores, cluster, self.scores)
            np.add.at(counts, (cluster, self.pair), 1)
        left = self.total - np.einsum("np,pfg->nfg", counts, self.information)
        # Where nothing is left to tell a parameter by, a little of the whole keeps its move finite.
        nothing = np.linalg.eigvalsh(left).min(axis=1) < 1e-6 * np.linalg.eigvalsh(self.total).min()
        left[nothing] += 1e-3 * self.total
        moves = np.linalg.solve(left, scores[:, :, None])[:, :, 0]
        size = np.bincount(strata)[strata]
        return (moves * ((size - 1) / size)[:, None]).T @ moves


def _not_below(covariance: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """The covariance, or the larger of the others where the difference of sums comes out smaller."""
    largest = max(others, key=lambda matrix: float(np.trace(matrix)))
    return covariance if (np.linalg.eigvalsh(covariance - largest) > 0).all() else largest


def _tells_order(first: np.ndarray, second: np.ndarray, n: int) -> bool:
    """Whether a constant is independent of the differences of worths over all comparisons."""
    pairs = np.unique(np.stack([first, second], axis=1), axis=0)
    rows = np.eye(n)[pairs[:, 0]] - np.eye(n)[pairs[:, 1]]
    return np.linalg.matrix_rank(np.column_stack([rows, np.ones(len(rows))])) > np.linalg.matrix_rank(rows)


def _fit(conditions, reference, pairs, counts, order, notes) -> Preferences:
    n, code = len(conditions), conditions.index(reference)
    _refuse_unconnected(conditions, pairs)
    if counts[:, :2].sum() == 0:
        raise PreferenceError(f"all {int(counts.sum())} comparisons are ties: no worth can be told apart")
    has_ties = bool(counts[:, 2].any())
    design = _design(pairs, n, code, order, has_ties)
    n_free = design.shape[2]
    ridge = None if _is_finite(conditions, pairs, counts) else RIDGE
    if ridge is None:
        free = _newton(design, counts, _penalty(n, code, n_free, None))
        if not np.isfinite(free).all() or np.abs(free).max() > INFINITE:
            ridge = RIDGE  # with an effect of order, votes can be explained exactly in other ways too
    if ridge is not None:
        notes = [
            *notes,
            "Some conditions win, or lose, all they have against the others: all log-worths are drawn "
            f"towards their mean by a normal prior (standard deviation {ridge:g}).",
        ]
    penalty = _penalty(n, code, n_free, ridge)
    free = _newton(design, counts, penalty)
    chances = _chances(design, free)
    totals = counts.sum(axis=1, keepdims=True)
    log_likelihood = float((counts * np.log(np.where(counts > 0, chances, 1.0))).sum())
    saturated = float((counts * np.log(np.where(counts > 0, counts / totals, 1.0))).sum())
    inverse = np.linalg.inv(_information(design, counts, chances) + penalty)
    covariance = np.insert(np.insert(inverse, code, 0.0, axis=0), code, 0.0, axis=1)
    return Preferences(
        conditions=list(conditions),
        reference=reference,
        parameters=np.insert(free, code, 0.0),
        covariance=covariance,
        model_covariance=covariance,
        df_residual=np.inf,
        has_order=order,
        has_ties=has_ties,
        log_likelihood=log_likelihood,
        deviance=2 * (saturated - log_likelihood),
        df=len(pairs) * (1 + has_ties) - n_free,
        ridge=ridge,
        counts=counts,
        pairs=pairs,
        notes=list(notes),
    )


def _refuse_unconnected(conditions: list[str], pairs: np.ndarray) -> None:
    if len(conditions) < 2:
        raise PreferenceError(f"preferences need 2 conditions, got {', '.join(conditions) or 'none'}")
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(conditions),) * 2)
    n_parts, part = sparse.csgraph.connected_components(graph, directed=False)
    if n_parts > 1:
        groups = [", ".join(np.array(conditions, dtype=object)[part == index]) for index in range(n_parts)]
        raise PreferenceError(
            f"the comparisons fall into {n_parts} groups that never meet: {' | '.join(groups)}; "
            "compare across them"
        )


def _is_finite(conditions: list[str], pairs: np.ndarray, counts: np.ndarray) -> bool:
    """Ford's condition: from every condition a chain of wins or ties leads to every other."""
    first, second = pairs.T
    won, lost = counts[:, 0] + counts[:, 2] > 0, counts[:, 1] + counts[:, 2] > 0
    sources = np.concatenate([first[won], second[lost]])
    targets = np.concatenate([second[won], first[lost]])
    graph = sparse.coo_array((np.ones(len(sources)), (sources, targets)), shape=(len(conditions),) * 2)
    return sparse.csgraph.connected_components(graph, directed=True, connection="strong")[0] == 1


def _design(pairs: np.ndarray, n: int, reference: int, order: bool, ties: bool) -> np.ndarray:
    """Log of each outcome's weight as a linear function of the free parameters.

    Returns
    -------
    design : np.ndarray [shape=(n_pairs, 2 or 3, n_free)]
    """
    first, second = np.eye(n)[pairs[:, 0]], np.eye(n)[pairs[:, 1]]
    rows = [first, second] + ([(first + second) / 2] if ties else [])
    design = np.delete(np.stack(rows, axis=1), reference, axis=2)
    extra = []
    if order:
        extra.append([0.0, -1.0, 0.0][: len(rows)])
    if ties:
        extra.append([0.0, 0.0, 1.0])
    columns = np.broadcast_to(np.array(extra).reshape(-1, len(rows)).T, (len(pairs), len(rows), len(extra)))
    return np.concatenate([design, columns], axis=2)


def _penalty(n: int, reference: int, n_free: int, ridge: float | None) -> np.ndarray:
    """Precision of the prior: of log-worths about their mean, and of the order and ties about 0."""
    penalty = np.zeros((n_free, n_free))
    if ridge is not None:
        centred = np.delete(np.delete(np.eye(n) - 1 / n, reference, axis=0), reference, axis=1)
        penalty[: n - 1, : n - 1] = centred / ridge**2
        rest = np.arange(n - 1, n_free)
        penalty[rest, rest] = 1 / ridge**2
    return penalty


def _chances(design: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Probabilities of the outcomes of each pair [shape=(n_pairs, 3)], the third 0 without ties."""
    logs = design @ free
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    chances = weights / weights.sum(axis=1, keepdims=True)
    return np.pad(chances, ((0, 0), (0, 3 - chances.shape[1])))


def _information(design: np.ndarray, counts: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Minus the second derivative of the log-likelihood."""
    chances = chances[:, : design.shape[1]]
    totals = counts.sum(axis=1)
    mean = np.einsum("po,pof->pf", chances, design)
    squares = np.einsum("po,pof,pog->fg", chances * totals[:, None], design, design)
    return squares - (mean * totals[:, None]).T @ mean


def _newton(design: np.ndarray, counts: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """The free parameters at the likelihood's one maximum, or beyond all bounds where there is none."""
    free = np.zeros(design.shape[2])
    for _ in range(MOST_STEPS):
        chances = _chances(design, free)
        left = counts - counts.sum(axis=1, keepdims=True) * chances
        slope = np.einsum("po,pof->f", left[:, : design.shape[1]], design) - penalty @ free
        information = _information(design, counts, chances) + penalty + 1e-10 * np.eye(len(free))
        step = np.linalg.solve(information, slope)
        size = np.abs(step).max()
        free = free + step * min(1.0, 2.0 / max(size, 1e-12))
        if size < 1e-10 or np.abs(free).max() > 2 * INFINITE:
            break
    return free


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
