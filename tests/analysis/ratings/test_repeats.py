import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.reliability import intraclass_correlations_of
from analysis.ratings.repeats import repeat_consistency
from analysis.ratings.table import check_ratings


def heard_twice(sd=1.0, *, n_participants=20, n_pieces=10, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    rows = []
    for participant in range(n_participants):
        for piece, quality in enumerate(rng.normal(5.5, 1.5, n_pieces)):
            for repeat in range(2):
                value = quality + shift * repeat + rng.normal(0, sd)
                rating = int(np.clip(np.rint(value), 1, 10))
                rows.append((f"p{participant}", f"{piece}", "m", rating, int(value > 5), repeat))
    columns = ["participant", "piece", "condition", "rating", "judged_human", "repeat"]
    return check_ratings(pd.DataFrame(rows, columns=columns))


def paired(table):
    wide = table.pivot_table(index=["participant", "piece"], columns="repeat", values="rating")
    return wide.to_numpy(dtype=float)


def test_figures_are_those_of_the_pairs():
    table = heard_twice()
    pairs = paired(table)
    difference = pairs[:, 1] - pairs[:, 0]
    found = repeat_consistency(table)
    assert found.n_pairs == 200
    assert found.shift.value == pytest.approx(difference.mean())
    assert found.mean_absolute_difference.value == pytest.approx(np.abs(difference).mean())
    assert found.within_sd.value == pytest.approx(np.sqrt((difference**2).mean() / 2))
    assert found.repeatability == pytest.approx(1.96 * np.sqrt((difference**2).mean()))
    assert found.icc.value == pytest.approx(intraclass_correlations_of(pairs).one_way_single.value)
    assert found.icc.ci_low < found.icc.value < found.icc.ci_high


def test_planted_noise_is_within_the_interval():
    true = (1.0 + 1 / 12) ** 0.5  # rounding adds its own
    found = [repeat_consistency(heard_twice(seed=seed), draws=400).within_sd for seed in range(25)]
    assert sum(figure.ci_low < true < figure.ci_high for figure in found) >= 20


def test_a_shift_at_the_second_hearing_is_seen():
    found = repeat_consistency(heard_twice(shift=1.0, seed=3)).shift
    assert found.ci_low > 0.5


def test_random_answers_differ_as_much_as_expected_at_random():
    rng = np.random.default_rng(4)
    table = heard_twice().assign(rating=lambda t: rng.integers(1, 11, len(t)))
    found = repeat_consistency(table)
    assert found.mean_absolute_difference.value == pytest.approx(found.expected_at_random, rel=0.15)
    assert found.expected_at_random == pytest.approx(3.3, rel=0.1)  # (n^2 - 1) / 3n of ten numbers
    assert found.icc.ci_low < 0 < found.icc.ci_high


def test_kappa_is_agreement_beyond_chance():
    rows = []
    for piece, (one, two) in enumerate([(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15):
        rows += [("p", f"{piece}", "m", 5, one, 0), ("p", f"{piece}", "m", 6, two, 1)]
    columns = ["participant", "piece", "condition", "rating", "judged_human", "repeat"]
    found = repeat_consistency(check_ratings(pd.DataFrame(rows, columns=columns)))
    assert found.kappa == pytest.approx(0.4)  # 0.7 observed, 0.5 by chance
    assert found.n_answers == 50
    assert found.shift.ci_low is None


def test_always_the_same_rating_is_perfectly_repeated_and_has_no_correlation():
    found = repeat_consistency(heard_twice().assign(rating=5))
    assert found.within_sd.value == 0
    assert found.icc is None


def test_without_repeats_it_is_refused(make_study):
    with pytest.raises(AnalysisError, match="rated twice"):
        repeat_consistency(check_ratings(make_study({"m": 5})))
