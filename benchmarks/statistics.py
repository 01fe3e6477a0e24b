"""Times the statistics of a listening study beside the usual way, and counts how often they are wrong.

    python benchmarks/statistics.py [--studies N] [--seed N] [--json FILE]

Speed: the mixed model beside statsmodels' MixedLM on the same 6,000 ratings, the ordinal model on them, and
the whole report of 100,000 ratings; processor seconds, one thread. Calibration: how often each analysis finds
a difference in studies that have none, and how often the primary interval holds the true difference, with the
interval that the number of studies leaves. Exit status 1: a bar was missed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder, whose name for this file is a module of Python
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is loaded

import argparse  # noqa: E402
import json  # noqa: E402
import warnings  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from statsmodels.regression.mixed_linear_model import MixedLM  # noqa: E402

from analysis.ratings.design import Components, StudySize, simulate_power, simulate_study  # noqa: E402
from analysis.ratings.mixed_model import MixedModel, fit_mixed_model  # noqa: E402
from analysis.ratings.ordinal_model import fit_ordinal_model  # noqa: E402
from analysis.ratings.page import report_html  # noqa: E402
from analysis.ratings.proportions import wilson_interval  # noqa: E402
from analysis.ratings.report import analyse  # noqa: E402
from analysis.ratings.sensitivity import describe_sensitivity  # noqa: E402
from analysis.ratings.table import codes_of  # noqa: E402
from benchmarks.measuring import best_seconds, in_words, machine_facts, table  # noqa: E402

FASTER = 10.0  # than MixedLM
CLOSE = 1e-4  # largest difference of estimates
ORDINAL_SECONDS, REPORT_SECONDS = 5.0, 30.0
TYPE_ONE, COVERAGE = (0.03, 0.07), (0.93, 0.97)
STUDIES = 500
SMALL = StudySize(n_participants=20, n_pieces=5)
PRIMARY = "mixed model"


@dataclass(frozen=True)
class Result:
    """One bar, and whether it was reached."""

    name: str
    figure: str
    bar: str
    ok: bool | None  # None: shown for comparison, without a bar


def ratings_of(n_participants: int, n_pieces: int, n_heard: int, *, seed: int) -> pd.DataFrame:
    """Six conditions; every listener hears as many pieces, chosen at random, so that counts differ."""
    rng = np.random.default_rng(seed)
    names = ("real", "a", "b", "c", "d", "e")
    per_condition = n_pieces // len(names)
    means = {condition: 6.5 - 0.4 * index for index, condition in enumerate(names)}
    size = StudySize(n_participants, per_condition, n_conditions=len(names))
    everything = simulate_study(means, Components(), size, rng)
    shuffled = everything.sample(frac=1.0, random_state=np.random.RandomState(seed))
    return shuffled.groupby("participant").head(n_heard).reset_index(drop=True)


def usual_fit(ratings: pd.DataFrame):
    """The crossed model in statsmodels: one group, and a variance component for each factor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        components = {"participant": "0 + participant", "piece": "0 + piece"}
        model = MixedLM.from_formula(
            "rating ~ 0 + condition",
            groups="one",
            re_formula="0",
            vc_formula=components,
            data=ratings.assign(one=1),
        )
        return model.fit(reml=True)


def our_fit(ratings: pd.DataFrame) -> MixedModel:
    """The same model here."""
    codes = codes_of(ratings["condition"])
    fixed = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)
    participant, piece = codes_of(ratings["participant"]), codes_of(ratings["piece"])
    return fit_mixed_model(ratings["rating"].to_numpy(float), fixed, participant=participant, piece=piece)


def mixed_model_results(*, seed: int) -> list[Result]:
    ratings = ratings_of(200, 60, 30, seed=seed)
    theirs, ours = usual_fit(ratings), our_fit(ratings)
    usual, fast = best_seconds(lambda: usual_fit(ratings), lambda: our_fit(ratings), repeats=2, warm_up=False)
    variances = np.array([ours.variance("participant"), ours.variance("piece"), ours.variance("residual")])
    expected = np.array([*theirs.vcomp, theirs.scale])
    apart = {
        "means": np.abs(ours.beta - theirs.fe_params.to_numpy()).max(),
        "standard errors": np.abs(np.sqrt(np.diag(ours.covariance)) - theirs.bse_fe.to_numpy()).max(),
        "standard deviations": np.abs(np.sqrt(variances) - np.sqrt(expected)).max(),
    }
    figure = f"{in_words(fast)} beside {in_words(usual)}: {usual / fast:.0f}x"
    rows = [
        Result(f"mixed model, {len(ratings):,} ratings", figure, f"{FASTER:g}x", bool(usual / fast >= FASTER))
    ]
    rows += [
        Result(f"mixed model, {name} apart by at most", f"{value:.1e}", f"{CLOSE:.0e}", bool(value <= CLOSE))
        for name, value in apart.items()
    ]
    lower = -2 * theirs.llf - ours.reml_deviance
    rows.append(
        Result("mixed model, deviance below MixedLM's by", f"{lower:.1e}", "> -1e-6", bool(lower > -1e-6))
    )
    return rows


def ordinal_results(*, seed: int) -> list[Result]:
    ratings = ratings_of(200, 60, 30, seed=seed)
    condition = codes_of(ratings["condition"])
    terms = {"participant": codes_of(ratings["participant"]), "piece": codes_of(ratings["piece"])}
    terms["cell"] = np.unique(terms["participant"] * 6 + condition, return_inverse=True)[1]
    fixed = (condition[:, None] == np.arange(1, 6)).astype(float)
    values = ratings["rating"].to_numpy()
    (seconds,) = best_seconds(lambda: fit_ordinal_model(values, fixed, **terms), repeats=2)
    gradient = fit_ordinal_model(values, fixed, **terms).gradient
    name = f"ordinal model, {len(ratings):,} ratings"
    return [
        Result(name, in_words(seconds), f"{ORDINAL_SECONDS:g} s", seconds <= ORDINAL_SECONDS),
        Result("ordinal model, slope left", f"{gradient:.1e}", "1e-3", bool(gradient <= 1e-3)),
    ]


def report_results(*, seed: int) -> list[Result]:
    ratings = ratings_of(2000, 60, 50, seed=seed)
    (seconds,) = best_seconds(lambda: report_html(analyse(ratings)), repeats=1, warm_up=False)
    name = f"report, {len(ratings):,} ratings"
    return [Result(name, in_words(seconds), f"{REPORT_SECONDS:g} s", seconds <= REPORT_SECONDS)]


def calibration_results(n_studies: int, *, seed: int) -> list[Result]:
    """False positives of every analysis, and the coverage of the primary interval."""
    found: dict[str, int] = {}
    for study in range(n_studies):
        rng = np.random.default_rng([seed, study])
        ratings = simulate_study({"a": 5.5, "b": 5.5}, Components(), SMALL, rng)
        for row in describe_sensitivity({"none": ratings}, [("b", "a")], draws=1000, seed=seed):
            found[row.method] = found.get(row.method, 0) + (row.finding != "not shown")
    words = f"{SMALL.n_participants} listeners x {SMALL.n_pieces} pieces"
    rows = [
        _share_row(
            f"no difference, found by {method}", count, n_studies, TYPE_ONE if method == PRIMARY else None
        )
        for method, count in found.items()
    ]
    (planted,) = simulate_power(
        {"a": 5.0, "b": 5.8}, "a", Components(), SMALL, margin=0.5, n_runs=n_studies, seed=seed + 1
    )
    covered = round(planted.coverage[0] * n_studies)
    rows.append(_share_row("difference of 0.8, held by the interval", covered, n_studies, COVERAGE))
    rows.append(Result("studies", f"{n_studies} of {words}", "", None))
    return rows


def _share_row(name: str, count: int, n: int, bar: tuple[float, float] | None) -> Result:
    share = count / n
    low, high = wilson_interval(count, n)
    figure = f"{share:.1%} [{low:.1%}, {high:.1%}]"
    if bar is None:
        return Result(name, figure, "", None)
    return Result(name, figure, f"{bar[0]:.0%} to {bar[1]:.0%}", bar[0] <= share <= bar[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=STUDIES, help="simulated studies of the calibration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    if options.studies < 1:
        parser.error(f"--studies is 1 or more, got {options.studies}")
    results = mixed_model_results(seed=options.seed)
    results += ordinal_results(seed=options.seed)
    results += report_results(seed=options.seed)
    results += calibration_results(options.studies, seed=options.seed)
    verdict = {True: "ok", False: "missed", None: ""}
    rows = [("what", "figure", "bar", "")]
    rows += [(result.name, result.figure, result.bar, verdict[result.ok]) for result in results]
    print(table(rows, right=(1, 2)))
    facts = machine_facts()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if options.json:
        written = {"machine": facts, "seed": options.seed, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return int(any(result.ok is False for result in results))


if __name__ == "__main__":
    sys.exit(main())
