"""The sentences of the first survey, this time with their numbers of people and their uncertainty.

The article on Deep Jammer (2017) reported its best generated piece (7.5), its real piece (7.9), that 3 people
did not believe the real one was human and that 12 liked the best generated one more; it gave no n and no
interval. Each figure here is about these very pieces and other listeners: the unit of observation is
the participant, and the intervals are t for means and Wilson's for counts. The best of many pieces is best
partly by luck (the winner's curse), so its mean also stands corrected: drawn towards its condition's by the
mixed model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.ratings.comparison import ConditionModel, fit_conditions
from analysis.ratings.opinion import describe_pieces, mean_opinion_score
from analysis.ratings.proportions import wilson_interval
from analysis.ratings.scale import LEAST_FOR_INTERVAL
from analysis.ratings.table import RatingsError, judgements, with_piece_ids


def describe_original_figures(
    ratings: pd.DataFrame, *, real: set[str], generated: set[str], fitted: ConditionModel
) -> dict | None:
    """The four sentences; None where the table has no real or no generated condition.

    ``best_generated``
        Of the generated pieces with at least half the median number of ratings, the one with the highest mean
        (of equals the one with more ratings, then by name): `mean`, `n` participants, t interval for other
        listeners of this piece; `corrected_mean` with its interval is the shrunken prediction, `n_candidates`
        the number of pieces that it was the best of.
    ``real``
        The mean over participants of their mean rating of the real pieces, with its t interval, which is for
        other listeners of these very pieces: narrower than that of the real condition in the mixed model,
        which is for other pieces as well. Where not everybody heard everything the two means differ too.
        With one real piece, that piece's mean.
    ``disbelieved_real``
        `count` of the `n` participants who judged more than half of the real pieces that they were asked
        about to be machine-made; with one real piece, those who judged it so. `count_any` judged at least one
        so. Pieces that a participant knew do not count. None if the question was not asked.
    ``preferred_generated``
        `count` of the `n` participants who rated the best generated piece higher than the real pieces (their
        own mean of these); `ties` rated them the same and are in n. `p` is the exact sign test without the
        ties.

    Means of fewer than `scale.LEAST_FOR_INTERVAL` listeners have no interval (None).
    """
    table = with_piece_ids(ratings)
    of_real, of_generated = table[table["condition"].isin(real)], table[table["condition"].isin(generated)]
    if of_real.empty or of_generated.empty:
        return None
    best = _best_generated(of_generated, fitted)
    return {
        "best_generated": best,
        "real": _real(of_real),
        "disbelieved_real": _disbelieved(of_real),
        "preferred_generated": _preferred(of_generated[of_generated["piece_id"] == best["piece"]], of_real),
    }


def _best_generated(of_generated: pd.DataFrame, fitted: ConditionModel) -> dict:
    pieces = describe_pieces(of_generated)
    enough = np.median([piece["n_ratings"] for piece in pieces]) / 2
    candidates = [piece for piece in pieces if piece["n_ratings"] >= enough]
    best = min(candidates, key=lambda piece: (-piece["mean"], -piece["n_ratings"], piece["piece"]))
    return {
        "piece": best["piece"],
        "condition": best["condition"],
        "mean": best["mean"],
        "n": best["n_ratings"],
        "ci_low": best["ci_low"],
        "ci_high": best["ci_high"],
        **_corrected(best["piece"], of_generated, fitted),
        "n_candidates": len(candidates),
    }


def _corrected(piece: str, of_generated: pd.DataFrame, fitted: ConditionModel) -> dict:
    """The piece's shrunken mean; where conditions have one piece each, shrunken to that of all generated."""
    if fitted.model is None:
        fitted = fit_conditions(of_generated.assign(condition="generated", piece=of_generated["piece_id"]))
    predicted = fitted.piece_predictions()
    if predicted is None:
        return {"corrected_mean": None, "corrected_low": None, "corrected_high": None}
    index = int(np.flatnonzero(fitted.pieces["piece_id"] == piece)[0])
    mean, se = float(predicted[0][index]), float(predicted[1][index])
    if of_generated.loc[of_generated["piece_id"] == piece, "participant"].nunique() < LEAST_FOR_INTERVAL:
        return {"corrected_mean": mean, "corrected_low": None, "corrected_high": None}
    # How much pieces differ is estimated too: t as for the mean of their condition.
    df = fitted.estimate(fitted.pieces["condition"][index]).df
    half_width = float(stats.t.ppf(0.975, df)) * se
    return {"corrected_mean": mean, "corrected_low": mean - half_width, "corrected_high": mean + half_width}


def _real(of_real: pd.DataFrame) -> dict:
    names = sorted(of_real["piece_id"].unique())
    figures = {"n": int(of_real["participant"].nunique()), "ci_low": None, "ci_high": None}
    try:
        score = mean_opinion_score(of_real)
    except RatingsError:
        mean = float(of_real.groupby("participant")["rating"].mean().mean())
    else:
        mean = score.mean
        if score.half_width > 0 and score.n_participants >= LEAST_FOR_INTERVAL:
            figures |= {"ci_low": score.ci_low, "ci_high": score.ci_high}
    return {
        "piece": names[0] if len(names) == 1 else None,
        "condition": ", ".join(sorted(of_real["condition"].unique())),
        "mean": mean,
        **figures,
        "n_pieces": len(names),
    }


def _disbelieved(of_real: pd.DataFrame) -> dict | None:
    judged = judgements(of_real)
    if judged.empty:
        return None
    said_machine = (~judged["judged_human"].astype(bool)).groupby(judged["participant"]).mean()
    count = int((said_machine > 0.5).sum())
    return {**_counted(count, len(said_machine)), "count_any": int((said_machine > 0).sum())}


def _preferred(of_best: pd.DataFrame, of_real: pd.DataFrame) -> dict:
    best = of_best.groupby("participant")["rating"].mean()
    difference = (best - of_real.groupby("participant")["rating"].mean()).dropna()
    count, ties = int((difference > 0).sum()), int((difference == 0).sum())
    untied = len(difference) - ties
    p = float(stats.binomtest(count, untied).pvalue) if untied else None
    return {**_counted(count, len(difference)), "ties": ties, "p": p}


def _counted(count: int, n: int) -> dict:
    low, high = wilson_interval(count, n) if n else (None, None)
    return {"count": count, "n": n, "ci_low": low, "ci_high": high}
