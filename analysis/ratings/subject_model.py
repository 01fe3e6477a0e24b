"""What is a piece's score once each listener's leaning and carelessness are accounted for?

The subject model of ITU-T P.913 (clause 12.6), P.910 (appendix VI) and ITU-R BT.500:

    rating = score of the piece + bias of the listener + noise of the listener's own size

solved by alternating projection: scores are means of the bias-corrected ratings weighted by the inverse
variance of each listener's noise. It puts nobody out; who answers at random counts for little. It takes each
piece to have one true score, which tastes may contradict, and the standard error of a score knows of
listeners' noise alone, not that pieces are a sample. Listeners with fewer than about five ratings have no
size of noise worth the name, and one with next to none would rule the scores: hence `least_variance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.ratings.equivalence import welch_of_samples
from analysis.ratings.mixed_model import Estimate
from analysis.ratings.table import codes_of, with_piece_ids

RECOMMENDED_LEAST_VARIANCE = 1e-8  # what the Recommendation's reference code adds to every variance
LEAST_VARIANCE = 0.25  # squared points of a 1-10 scale: a listener's noise is half a point or more
TOLERANCE = 1e-8  # change of all scores together, as the length of a vector, at which it stops
MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class SubjectModel:
    """Scores, biases and inconsistencies, in points, in the order of the codes; biases have the mean 0."""

    scores: np.ndarray  # (n_pieces,)
    score_errors: np.ndarray  # (n_pieces,) standard errors
    biases: np.ndarray  # (n_participants,)
    bias_errors: np.ndarray
    inconsistencies: np.ndarray  # (n_participants,) standard deviation of the noise
    n_rounds: int


def fit_subject_model(
    values: np.ndarray,
    pieces: np.ndarray,
    participants: np.ndarray,
    *,
    least_variance: float = RECOMMENDED_LEAST_VARIANCE,
) -> SubjectModel:
    """Alternate between scores and biases until the scores stand still.

    Parameters
    ----------
    values : np.ndarray [shape=(n,)]
    pieces, participants : np.ndarray [shape=(n,), dtype=int]
        Codes from 0 without gaps.
    least_variance : float
        Added to each listener's variance of noise before it becomes a weight.

    Raises
    ------
    AnalysisError
        If there are fewer than two pieces or participants, `least_variance` is not positive, or the scores
        do not come to rest.
    """
    values = np.asarray(values, dtype=float)
    n_pieces, n_participants = int(pieces.max()) + 1, int(participants.max()) + 1
    if min(n_pieces, n_participants) < 2:
        raise AnalysisError(
            f"the subject model needs 2 pieces and 2 participants, got {n_pieces} and {n_participants}"
        )
    if least_variance <= 0:
        raise AnalysisError(f"the least variance is a positive number, got {least_variance!r}")
    per_participant = np.bincount(participants)

    def by_participant(numbers: np.ndarray) -> np.ndarray:
        return np.bincount(participants, numbers, n_participants) / per_participant

    scores = np.bincount(pieces, values) / np.bincount(pieces)
    biases = by_participant(values - scores[pieces])
    for n_rounds in range(1, MOST_ROUNDS + 1):
        noise = values - scores[pieces] - biases[participants]
        centred = noise - by_participant(noise)[participants]
        variances = by_participant(centred**2)
        weights = 1 / (variances + least_variance)
        of_piece = np.bincount(pieces, weights[participants], n_pieces)
        before = scores
        scores = np.bincount(pieces, weights[participants] * (values - biases[participants]), n_pieces)
        scores = scores / of_piece
        biases = by_participant(values - scores[pieces])
        if np.linalg.norm(scores - before) < TOLERANCE:
            inconsistencies = np.sqrt(variances)
            shift = biases.mean()
            return SubjectModel(
                scores=scores + shift,
                score_errors=_score_errors(values - scores[pieces] - biases[participants], pieces, of_piece),
                biases=biases - shift,
                bias_errors=inconsistencies / np.sqrt(per_participant),
                inconsistencies=inconsistencies,
                n_rounds=n_rounds,
            )
    raise AnalysisError(
        f"the subject model did not come to rest in {MOST_ROUNDS} rounds; do all listeners share pieces?"
    )


def _score_errors(noise: np.ndarray, pieces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Population SD of what is left of a piece's ratings, over the root of their number.

    A single rating leaves no spread: its error is that of its listener's noise.
    """
    n = np.bincount(pieces)
    mean = np.bincount(pieces, noise) / n
    spread = np.sqrt(np.bincount(pieces, (noise - mean[pieces]) ** 2) / n)
    return np.where(n > 1, spread / np.sqrt(n), weights**-0.5)


@dataclass(frozen=True)
class SubjectScores:
    """The subject model of a table of ratings."""

    pieces: pd.DataFrame  # piece_id, condition, score, se
    participants: pd.DataFrame  # participant, n_ratings, bias, se, inconsistency

    def difference(self, condition: str, reference: str) -> Estimate:
        """Mean score of one condition less that of another: Welch's test with pieces as what was sampled.

        Raises
        ------
        AnalysisError
            If one of the two has fewer than two pieces, or neither varies.
        """
        scores = {name: rows["score"].to_numpy() for name, rows in self.pieces.groupby("condition")}
        none = np.zeros(0)
        return welch_of_samples(scores.get(condition, none), scores.get(reference, none))


def describe_subjects(ratings: pd.DataFrame, *, least_variance: float = LEAST_VARIANCE) -> SubjectScores:
    """Bias-corrected score of every piece; bias and inconsistency of every listener.

    Raises
    ------
    AnalysisError
        If there are fewer than two pieces or participants.
    """
    table = with_piece_ids(ratings)
    values = table["rating"].to_numpy(dtype=float)
    participants = codes_of(table["participant"])
    model = fit_subject_model(
        values, codes_of(table["piece_id"]), participants, least_variance=least_variance
    )
    pieces = table[["piece_id", "condition"]].drop_duplicates().sort_values("piece_id")
    return SubjectScores(
        pieces.assign(score=model.scores, se=model.score_errors).reset_index(drop=True),
        pd.DataFrame(
            {
                "participant": np.sort(table["participant"].unique()),
                "n_ratings": np.bincount(participants),
                "bias": model.biases,
                "se": model.bias_errors,
                "inconsistency": model.inconsistencies,
            }
        ),
    )
