"""Whatever small or degenerate table comes: an answer without NaN, or a refusal in words."""

import dataclasses
import math
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.ratings.comparison import fit_conditions
from analysis.ratings.copying import describe_copying, describe_recognition
from analysis.ratings.discrimination import (
    area_under_curve,
    calibration,
    confusion_matrix,
    fit_discrimination,
)
from analysis.ratings.drift import drift_by_position
from analysis.ratings.ordinal_comparison import fit_ordinal_conditions
from analysis.ratings.reliability import (
    agreement_of_listeners,
    alpha_with_interval,
    concordance,
    reliability_of_conditions,
)
from analysis.ratings.repeats import repeat_consistency
from analysis.ratings.sensitivity import describe_sensitivity
from analysis.ratings.table import check_ratings, first_hearings

NAMES = ("real", 'a"b', "é,学")

#: How a rating comes about, from the codes of listener, piece and condition and a random number.
KINDS = {
    "constant": lambda listener, piece, condition, chance: 5,
    "two values": lambda listener, piece, condition, chance: 1 if chance < 0.5 else 10,
    "random": lambda listener, piece, condition, chance: 1 + int(10 * chance),
    "by condition": lambda listener, piece, condition, chance: 3 + condition,
    "by listener": lambda listener, piece, condition, chance: 1 + listener,
    "by piece": lambda listener, piece, condition, chance: 1 + (3 * condition + piece) % 10,
    "tens": lambda listener, piece, condition, chance: 10 if condition == 0 else 1 + int(10 * chance),
}


def small_table(n_listeners, n_pieces, n_conditions, kind, *, share=1.0):
    rng = np.random.default_rng(7)
    rows = []
    for condition, piece, listener in product(range(n_conditions), range(n_pieces), range(n_listeners)):
        rating = KINDS[kind](listener, piece, condition, rng.random())
        row = (f"学{listener}", f"π{condition}-{piece}", NAMES[condition], rating)
        answers = int(rng.random() < 0.5), int(rng.integers(1, 5)), ("new", "familiar")[rng.integers(2)]
        if rng.random() < share or not rows:
            rows += [(*row, *answers, piece + 1, repeat) for repeat in range(2 if piece == 0 else 1)]
    columns = ["participant", "piece", "condition", "rating", "judged_human", "confidence", "familiar"]
    return check_ratings(pd.DataFrame(rows, columns=[*columns, "trial", "repeat"]))


def analyses(table):
    heard = first_hearings(table)
    conditions = sorted(heard["condition"].unique())
    kinds = {"real": {"real"}, "generated": set(conditions) - {"real"}}
    scores = heard[["piece", "condition"]].drop_duplicates()
    scores = scores.assign(score=np.linspace(0, 1, len(scores)))
    pairs = [(conditions[0], conditions[-1])]
    return {
        "sensitivity": lambda: describe_sensitivity({"all": heard}, pairs, draws=20),
        "ordinal": lambda: fit_ordinal_conditions(heard).difference(*pairs[0]),
        "share above": lambda: fit_ordinal_conditions(heard).share_above(conditions[0]),
        "omnibus": lambda: fit_conditions(heard).omnibus(),
        "agreement": lambda: agreement_of_listeners(heard),
        "alpha": lambda: alpha_with_interval(heard, draws=20),
        "concordance": lambda: concordance(heard),
        "reliability": lambda: reliability_of_conditions(fit_conditions(heard)),
        "repeats": lambda: repeat_consistency(table, draws=20),
        "drift": lambda: drift_by_position(heard),
        "discrimination": lambda: fit_discrimination(heard, **kinds),
        "area": lambda: area_under_curve(heard, **kinds),
        "calibration": lambda: calibration(heard, **kinds),
        "confusion": lambda: confusion_matrix(heard, **kinds),
        "copying": lambda: describe_copying(heard, scores, draws=20),
        "recognition": lambda: describe_recognition(heard, scores),
    }


def numbers_in(result):
    if isinstance(result, float):
        yield float(result)
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from numbers_in(getattr(result, field.name))
    elif isinstance(result, dict | list | tuple):
        for entry in result.values() if isinstance(result, dict) else result:
            yield from numbers_in(entry)


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["complete", "with gaps"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_analysis_answers_without_nan_or_refuses_in_words(kind, share):
    for size in ((1, 3, 2), (2, 1, 3), (2, 2, 2), (4, 3, 1), (4, 3, 2)):
        for name, analysis in analyses(small_table(*size, kind, share=share)).items():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    result = analysis()
                except AnalysisError:
                    continue  # a refusal; what each says is held by the tests of its module
            assert not any(math.isnan(number) for number in numbers_in(result)), (name, size)
