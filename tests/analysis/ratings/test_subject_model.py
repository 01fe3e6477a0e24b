import json
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.subject_model import describe_subjects, fit_subject_model
from analysis.ratings.table import check_ratings

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "statistics.json"


def planted(seed=0, *, n_pieces=60, n_participants=12, share=1.0):
    rng = np.random.default_rng(seed)
    score, bias = rng.normal(5, 1, n_pieces), rng.normal(0, 0.8, n_participants)
    noise = np.linspace(0.3, 2.0, n_participants)
    rows = [(i, j) for i in range(n_pieces) for j in range(n_participants) if rng.random() < share]
    pieces, participants = np.array(rows).T
    values = score[pieces] + bias[participants] + noise[participants] * rng.normal(size=len(rows))
    return values, pieces, participants, score, bias - bias.mean(), noise


def by_hand(table, least_variance=1e-8):
    """The three steps of the Recommendation on a table with gaps, a thousand times."""
    score = np.nanmean(table, axis=1)
    bias = np.nanmean(table - score[:, None], axis=0)
    for _ in range(1000):
        spread = np.nanstd(table - score[:, None] - bias, axis=0)
        weight = np.where(np.isnan(table), np.nan, 1 / (spread**2 + least_variance))
        score = np.nansum(weight * (table - bias), axis=1) / np.nansum(weight, axis=1)
        bias = np.nanmean(table - score[:, None], axis=0)
    return score + bias.mean(), bias - bias.mean(), spread


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_it_is_the_alternation_of_the_recommendation(share):
    values, pieces, participants, *_ = planted(1, n_pieces=15, n_participants=6, share=share)
    table = np.full((15, 6), np.nan)
    table[pieces, participants] = values
    model = fit_subject_model(values, pieces, participants)
    scores, biases, inconsistencies = by_hand(table)
    assert model.scores == pytest.approx(scores, abs=1e-6)
    assert model.biases == pytest.approx(biases, abs=1e-6)
    assert model.inconsistencies == pytest.approx(inconsistencies, abs=1e-6)


def test_planted_scores_biases_and_noise_come_back():
    values, pieces, participants, score, bias, noise = planted(2, n_pieces=200)
    model = fit_subject_model(values, pieces, participants)
    raw = np.bincount(pieces, values) / 12
    assert np.abs(model.scores - model.scores.mean() - score + score.mean()).mean() < 0.3
    assert np.var(model.scores - score) < np.var(raw - score)
    assert model.biases == pytest.approx(bias, abs=0.5)
    assert model.inconsistencies == pytest.approx(noise, abs=0.3)


def test_who_answers_at_random_counts_for_little():
    values, pieces, participants, score, _, _ = planted(3, n_participants=8)
    rng = np.random.default_rng(0)
    noisy = values.copy()
    noisy[participants == 0] = rng.uniform(1, 10, (participants == 0).sum())
    model = fit_subject_model(noisy, pieces, participants)
    raw = np.bincount(pieces, noisy) / 8
    assert model.inconsistencies.argmax() == 0
    assert np.corrcoef(model.scores, score)[0, 1] > np.corrcoef(raw, score)[0, 1]


def test_a_constant_added_to_one_listener_moves_their_bias_alone():
    values, pieces, participants, *_ = planted(4)
    moved = values + 2.0 * (participants == 3)
    one, other = (fit_subject_model(v, pieces, participants) for v in (values, moved))
    centred = [model.scores - model.scores.mean() for model in (one, other)]
    assert centred[0] == pytest.approx(centred[1], abs=1e-6)
    change = other.biases - one.biases
    assert change[3] - np.delete(change, 3) == pytest.approx(2.0, abs=1e-6)


def test_a_listener_without_noise_rules_the_scores_unless_a_least_variance_is_set():
    values, pieces, participants, score, _, _ = planted(5, n_participants=5)
    values[participants == 2] = 1.0 + (np.arange(60) % 2)  # always the same two answers
    values[participants != 2] += np.random.default_rng(0).normal(0, 1, (participants != 2).sum())
    floored = fit_subject_model(values, pieces, participants, least_variance=0.25)
    assert np.corrcoef(floored.scores, score)[0, 1] > 0.5
    assert np.isfinite(floored.score_errors).all()


def test_a_table_gives_scores_of_pieces_and_a_contrast_over_pieces(make_study):
    table = check_ratings(make_study({"a": 4, "b": 7}, n_participants=15, n_pieces=6, seed=1))
    scores = describe_subjects(table)
    assert list(scores.pieces.columns) == ["piece_id", "condition", "score", "se"]
    assert len(scores.participants) == 15
    contrast = scores.difference("b", "a")
    assert contrast.value == pytest.approx(3, abs=1)
    assert contrast.df < 11
    with pytest.raises(AnalysisError, match="got 6 and 0"):
        scores.difference("a", "c")


def test_a_piece_rated_once_has_the_error_of_its_listener():
    values, pieces, participants, *_ = planted(6, n_pieces=20, n_participants=5)
    kept = ~((pieces == 7) & (participants != 1))
    model = fit_subject_model(values[kept], pieces[kept], participants[kept], least_variance=0.25)
    assert model.score_errors[7] == pytest.approx((model.inconsistencies[1] ** 2 + 0.25) ** 0.5)


def test_one_piece_or_one_participant_is_refused():
    with pytest.raises(AnalysisError, match="got 1 and 3"):
        fit_subject_model(np.array([1.0, 2, 3]), np.zeros(3, dtype=int), np.arange(3))
    with pytest.raises(AnalysisError, match="positive number, got 0"):
        fit_subject_model(np.array([1.0, 2]), np.arange(2), np.arange(2), least_variance=0)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference cases are not beside this checkout")
def test_reference_output_of_the_recommendation_is_met():
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    table = np.array(reference["datasets"]["itu_p913_demo"]["matrix"], dtype=float)
    case = next(c for c in reference["cases"] if c["id"] == "itu_p913_alternating_projection")
    pieces, participants = np.nonzero(~np.isnan(table))
    model = fit_subject_model(table[pieces, participants], pieces, participants)
    expected = case["expected"]
    assert model.scores == pytest.approx(expected["mos"], abs=1e-6)
    assert model.score_errors == pytest.approx(expected["mos_se"], abs=1e-6)
    assert model.biases == pytest.approx(expected["subject_bias"], abs=1e-6)
    assert model.inconsistencies == pytest.approx(expected["subject_inconsistency"], abs=1e-6)
