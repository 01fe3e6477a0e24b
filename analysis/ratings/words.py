"""The sentences of a report, made from the numbers of `analysis.ratings.report.analyse`.

They never say "significant", claim equality only where the equivalence test does, and give an interval with
every effect that has one. Intervals are shown as far as the scale goes; the result has them as computed.
"""

from __future__ import annotations

import pandas as pd

from analysis.numerals import numeral
from analysis.ratings.cells import (
    counted,
    difference_interval,
    has_model,
    interval,
    mean_interval,
    n_of,
    own_name,
    p_value,
    p_words,
    percent,
    percent_interval,
    points,
    spaced,
)
from analysis.ratings.scale import LEAST_FOR_INTERVAL, on_scale

INTERVAL_WORDS = "95 % intervals are in square brackets."


def size_words(result: dict, ratings: pd.DataFrame | None = None) -> str:
    """How much was rated, by how many, and when if the table knows."""
    words = (
        f"{n_of(result['n_ratings'], 'rating')} of {n_of(result['n_pieces'], 'piece')} by "
        f"{n_of(result['n_participants'], 'participant')} on a scale from 1 to 10"
    )
    left_out = len({row["participant"] for row in result["excluded"]})
    if left_out:
        words += f"; ratings of {n_of(left_out, 'participant')} were left out, as listed below"
    if ratings is not None and "answered_at" in ratings.columns:
        moments = pd.to_datetime(ratings["answered_at"], utc=True, errors="coerce", format="mixed").dropna()
        if len(moments):
            first, last = f"{moments.min():%Y-%m-%d}", f"{moments.max():%Y-%m-%d}"
            words += f"; answered on {first}" if first == last else f"; answered from {first} to {last}"
    return f"{words}. {INTERVAL_WORDS}"


def verdicts(result: dict) -> list[str]:
    """One sentence per contrast, with its effect and interval; none claims what its test does not carry."""
    margin = points(result["settings"]["margin"])
    claims = {
        "superior": "was liked more than",
        "inferior": "was liked less than",
        "equivalent": f"was liked as much as, within {margin},",
    }
    sentences = []
    for row in result["contrasts"]:
        names = row["condition"], row["reference"]
        numbers = f"{numeral(row['difference'], '+.2f')} points {difference_interval(row)}".strip()
        if row["verdict"] in claims:
            p = row["p_equivalence_holm"] if row["verdict"] == "equivalent" else row["p_holm"]
            sentences.append(f"{names[0]} {claims[row['verdict']]} {names[1]}: {numbers}, {p_words(p)}.")
        else:
            sentences.append(
                f"{names[0]} and {names[1]}: {numbers}. This is inconclusive: it shows neither a difference "
                f"nor equality within {margin}."
            )
    return sentences


def detection_words(result: dict) -> list[str]:
    """Human or machine in sentences; empty where it was not asked of both kinds."""
    detection = result["detection"]
    if detection is None:
        return []
    accuracy = percent_interval(detection["ci_low"], detection["ci_high"])
    people = n_of(detection["n_participants"], "participant")
    sentences = [
        f"{percent(detection['accuracy'])} {accuracy}".strip()
        + f" of {n_of(detection['n'], 'answer')} by {people} were right; guessing, with 'human' said as "
        f"often, would give {percent(detection['chance_accuracy'])}.",
        f"Real pieces were judged human in {percent(detection['hit_rate'])} of their hearings, generated "
        f"ones in {percent(detection['false_alarm_rate'])}: d' = {_detected(detection, 'd_prime', '.2f')}, "
        f"criterion {_detected(detection, 'criterion', '+.2f')}{_leaning(detection)}.",
    ]
    sentences += _model_of_detection(detection)
    if detection["n_known_left_out"]:
        known = n_of(detection["n_known_left_out"], "answer")
        sentences.append(f"{known} about pieces that the listener knew did not count.")
    return sentences


def _model_of_detection(detection: dict) -> list[str]:
    """What the probit model, the area under the curve and calibration add; empty without them."""
    sentences = []
    if model := detection.get("model"):
        bound = f"{model['bound']:g}"
        sentences.append(
            f"For one listener and one piece d' = {_estimated(model['d_prime'], '.2f')} (probit mixed "
            "model). "
            + (
                f"The test of equivalence shows |d'| below {bound}: real and generated pieces cannot be told "
                f"apart beyond that bound, {_p_text(model['p_equivalence'])}."
                if model["indistinguishable"]
                else f"This does not show that they cannot be told apart: |d'| below {bound} is not "
                f"established, {_p_text(model['p_equivalence'])}."
            )
        )
    if area := detection.get("area"):
        bounds = interval(area["ci_low"], area["ci_high"], ".2f")
        sentences.append(
            f"From confidence, the area under the curve is {area['area']:.2f} {bounds}".strip()
            + f" (n = {area['n']:,}); 0.5 is guessing."
        )
    if steps := detection.get("calibration"):
        over = steps["overconfidence"]
        lean = "more" if over > 0 else "less"
        sentences.append(
            f"Taken as chances, the stated confidences are {percent(abs(over))} {lean} sure than right on "
            f"average; Brier's score is {steps['brier']:.2f}, where always saying one half scores 0.25."
        )
    return sentences


def _estimated(estimate: dict, form: str) -> str:
    """An estimate with its interval."""
    return f"{numeral(estimate['value'], form)} {interval(estimate['ci_low'], estimate['ci_high'], form)}"


def _p_text(value: float) -> str:
    return f"p {'' if value < 0.001 else '= '}{p_value(value)}"


def _detected(detection: dict, name: str, form: str) -> str:
    """A measure of signal detection with its interval, if it has one."""
    bounds = interval(detection[f"{name}_low"], detection[f"{name}_high"], form)
    return f"{numeral(detection[name], form)} {bounds}".strip()


def _leaning(detection: dict) -> str:
    """Which answer was given more readily, as far as the criterion's interval tells; else empty."""
    low, high = detection["criterion_low"], detection["criterion_high"]
    if low is None or high is None:
        return ""
    if low <= 0 <= high:
        return " (no clear leaning)"
    return f" (a leaning to '{'machine' if low > 0 else 'human'}')"


def original_words(result: dict) -> list[str]:
    """The first survey's four sentences, each with its number of people and its interval."""
    figures = result["original_figures"]
    if figures is None:
        return []
    best, real = figures["best_generated"], figures["real"]
    corrected = ""
    if best["corrected_mean"] is not None and best["n_candidates"] > 1:
        bounds = on_scale(best["corrected_low"]), on_scale(best["corrected_high"])
        mean = f"{numeral(best['corrected_mean'], '.2f')} {interval(*bounds, '.2f')}".strip()
        corrected = (
            f" The best of {best['n_candidates']} is best partly by luck; corrected for that, its mean is "
            f"{mean}."
        )
    scope = " That interval is for other listeners of this very piece." if best["ci_low"] is not None else ""
    is_one = real["n_pieces"] == 1
    best_name, real_name = (own_name(figure["piece"], figure["condition"]) for figure in (best, real))
    whose = (
        f"The real piece, {real_name} of {real['condition']}, has"
        if is_one
        else f"The {real['n_pieces']} real pieces ({real['condition']}) have"
    )
    sentences = [
        f"The best generated piece, {best_name} of {best['condition']}, has a mean of {_mean_words(best)}."
        f"{scope}{corrected}",
        f"{whose} a mean of {_mean_words(real)}.{_scope_words(result, real)}",
    ]
    if (disbelieved := figures["disbelieved_real"]) is not None:
        what = "the real piece" if is_one else "more than half of the real pieces that they were asked about"
        sentences.append(f"{counted(disbelieved)} judged {what} to be machine-made.")
    preferred = figures["preferred_generated"]
    if preferred["n"]:
        other = "the real piece" if is_one else "their mean of the real pieces"
        sentences.append(
            f"{counted(preferred)} rated the best generated piece higher than {other}; {preferred['ties']} "
            "rated them the same."
        )
    return sentences


def _mean_words(figure: dict) -> str:
    """A mean of the first survey with its interval and n, or why there is no interval."""
    mean = numeral(figure["mean"], ".2f")
    bounds = interval(on_scale(figure["ci_low"]), on_scale(figure["ci_high"]), ".2f")
    if bounds:
        return f"{mean} {bounds} (n = {figure['n']})"
    if figure["n"] < LEAST_FOR_INTERVAL:
        return f"{mean}, too few ratings for an interval (n = {figure['n']})"
    return f"{mean} (n = {figure['n']})"


def _scope_words(result: dict, real: dict) -> str:
    """For whom the real mean's interval holds, and why the table of conditions has other figures."""
    row = next((row for row in result["conditions"] if row["condition"] == real["condition"]), None)
    if row is None or row["ci_low"] is None or real["ci_low"] is None:
        return ""
    these = "this very piece" if real["n_pieces"] == 1 else "these very pieces"
    estimate = numeral(row["estimate"], ".2f")
    words = (
        f" That interval is for other listeners of {these}. The estimate of {real['condition']} among the "
        f"conditions, {estimate} {mean_interval(row, '.2f')}, is for other pieces as well"
    )
    if estimate == numeral(real["mean"], ".2f"):
        return f"{words}."
    return (
        f"{words}; it is not the plain mean of listeners because the mixed model allows for who rated which "
        "pieces, and how often."
    )


def agreement_words(result: dict) -> list[str]:
    """How far listeners agree with each other and with themselves."""
    agreement, repeats = result["agreement"], result["repeats"]
    sentences = []
    if agreement["icc_single"] is not None:
        sentences.append(
            f"Agreement of single listeners ICC(2,1) = {_agreed(agreement, 'icc_single')}; of the mean of "
            f"{agreement['raters_per_piece']:.0f} listeners ICC(2,k) = {_agreed(agreement, 'icc_average')}."
        )
    if agreement["krippendorff_alpha"] is not None:
        sentences.append(
            f"Krippendorff's alpha (ordinal) = {_agreed(agreement, 'krippendorff_alpha')}. Low values are "
            "usual for liking: tastes differ."
        )
    if repeats is not None:
        sentences.append(
            f"{n_of(repeats['n'], 'second hearing')} by "
            f"{n_of(repeats['n_participants'], 'participant')}: the second rating differs from the first "
            f"by {repeats['mean_absolute_difference']:.1f} points on average; 95 of 100 pairs by less than "
            f"{repeats['repeatability']:.1f}."
        )
    return sentences


def _agreed(agreement: dict, name: str) -> str:
    """A coefficient of agreement with its interval, if it has one."""
    bounds = interval(agreement.get(f"{name}_low"), agreement.get(f"{name}_high"), ".2f")
    return f"{numeral(agreement[name], '.2f')} {bounds}".strip()


def omnibus_words(result: dict) -> list[str]:
    """Whether any conditions differ at all; empty without the test."""
    test = result["omnibus"]
    if test is None:
        return []
    return [
        f"All conditions at once: F({test['df']}, {test['df_error']:.1f}) = {test['f']:.2f}, "
        f"{_p_text(test['p'])}. Which ones, and by how much, the contrasts say."
    ]


def sensitivity_words(result: dict) -> list[str]:
    """One sentence per contrast: whether the other analyses find what the mixed model finds."""
    sentences = []
    for pair in dict.fromkeys((row["condition"], row["reference"]) for row in result["sensitivity"]):
        rows = [row for row in result["sensitivity"] if (row["condition"], row["reference"]) == pair]
        answered = [row for row in rows if row["estimate"] is not None]
        main = next((row for row in answered if row["method"] == "mixed model"), None)
        if main is None:
            continue
        others = [_method(row) for row in answered if row["finding"] != main["finding"]]
        same = len(answered) - len(others)
        found = FINDINGS[main["finding"]]
        words = (
            f"{pair[0]} against {pair[1]}: {same} of {n_of(len(answered), 'analysis', 'analyses')} {found}"
        )
        sentences.append(f"{words}; not so {', '.join(others)}." if others else f"{words}.")
    return sentences


FINDINGS = {
    "higher": "place it higher at 5 %, unadjusted",
    "lower": "place it lower at 5 %, unadjusted",
    "not shown": "leave open which is higher",
}


def _method(row: dict) -> str:
    return row["method"] if row["table"] == "analysed" else f"{row['method']} with nobody left out"


def drift_words(result: dict) -> list[str]:
    """How ratings move along a session; empty where places are not known."""
    drift = result["drift"]
    if drift is None:
        return []
    slope, spread = drift["slope"], drift["spread_slope"]
    bounds = interval(slope["ci_low"], slope["ci_high"], "+.2f")
    return [
        f"From the first to the last place of a session ratings move by {numeral(slope['value'], '+.2f')} "
        f"points {bounds}, {_p_text(slope['p'])} (n = {drift['n']:,}); their distance from what is expected "
        f"by {numeral(spread['value'], '+.2f')} {interval(spread['ci_low'], spread['ci_high'], '+.2f')}."
    ]


def preference_words(result: dict) -> list[str]:
    """Worths, the effect of order, fit and circular choices; empty without comparisons."""
    found = result["preferences"]
    if found is None:
        return []
    sentences = [
        f"{n_of(found['n'], 'comparison')} by {n_of(found['n_participants'], 'participant')}, "
        f"{found['n_ties']} of them ties."
    ]
    for row in found["worths"]:
        if row["condition"] == found["reference"]:
            continue
        bounds = percent_interval(row["p_preferred_low"], row["p_preferred_high"])
        sentences.append(
            f"{row['condition']} is preferred to {found['reference']} in an expected "
            f"{percent(row['p_preferred'])} {bounds} of comparisons without ties."
        )
    if found["order"]:
        sentences.append(
            f"Being heard first is worth {_estimated(found['order'], '+.2f')} in log odds, "
            f"{_p_text(found['order']['p'])}."
        )
    if found["p_fit"] is not None:
        sentences.append(
            f"Fit: deviance {found['deviance']:.1f} on {found['df']} degrees of freedom, "
            f"{_p_text(found['p_fit'])}; a small p says that no order of worths explains the votes."
        )
    if found["n_triads"]:
        sentences.append(
            f"{found['n_circular']} of {n_of(found['n_triads'], 'triple')} are circular; by chance a quarter "
            "would be."
        )
    return sentences


def copying_words(result: dict) -> list[str]:
    """Rating against copying: over all pieces, within and between conditions; empty without scores."""
    copying = result["copying"]
    if copying is None:
        return []
    pooled, within = copying["pooled"], copying["within"]
    bounds = interval(pooled["rho_low"], pooled["rho_high"], "+.2f")
    sentences = [
        f"Over all {n_of(pooled['n_pieces'], 'piece')} Spearman's rho of rating and copying is "
        f"{numeral(pooled['rho'], '+.2f')} {bounds}, {_p_text(pooled['p'])} (scores shuffled within "
        f"conditions); Kendall's tau-b is {numeral(pooled['tau'], '+.2f')}."
    ]
    if within:
        bounds = interval(within["ci_low"], within["ci_high"], "+.2f")
        sentences.append(
            f"Within conditions r = {numeral(within['r'], '+.2f')} {bounds}, {_p_text(within['p'])} "
            f"({within['df']} degrees of freedom)."
        )
    if slope := copying["slope"]:
        sentences.append(
            f"Within conditions a piece with a score higher by 1 is rated {_estimated(slope, '+.2f')} points "
            f"higher, {_p_text(slope['p'])} (mixed model)."
        )
    between = copying["between"]
    sentences.append(
        f"Between the means of {copying['n_conditions']} conditions rho is {numeral(between, '+.2f')}; so "
        "few points carry no test."
        if between is not None
        else "Conditions are too few, or too alike, for an association between them."
    )
    if found := result["recognition"]:
        bounds = interval(found["area_low"], found["area_high"], ".2f")
        sentences.append(
            f"{found['n_heard']:,} of {n_of(found['n'], 'answer')} said that the piece had been heard "
            f"before. A piece so recognised has the higher score in {percent(found['area'])} of pairs with "
            f"one that was new (area {found['area']:.2f} {bounds}); over pieces rho is "
            f"{numeral(found['rho'], '+.2f')}, {_p_text(found['p'])}."
        )
    return sentences


def flow_words(result: dict) -> list[str]:
    """From the table to what was analysed, in one sentence."""
    first, *rules, again, last = result["flow"]
    named = [f"{row['n_participants']} by {spaced(row['step'])}" for row in rules]
    left_out = f"; excluded in whole or in part: {', '.join(named)}" if named else "; nobody was excluded"
    repeats = f"; {again['n_ratings']:,} second hearings aside" if again["n_ratings"] else ""
    return [
        f"{n_of(first['n_participants'], 'listener')} with {n_of(first['n_ratings'], 'rating')}{left_out}"
        f"{repeats}; analysed: {n_of(last['n_participants'], 'listener')} with "
        f"{n_of(last['n_ratings'], 'rating')}."
    ]


def simulated_words(result: dict) -> str:
    """What has to stand before every figure of listeners made by a model; empty for people."""
    if not result["simulated"]:
        return ""
    return (
        "Simulated listeners. No person gave these ratings: they try the study out and say nothing about "
        "music."
    )


def results_words(result: dict) -> str:
    """One paragraph for a paper's results section, every claim with its effect and interval."""
    means = [
        f"{row['condition']} {numeral(row['estimate'], '.2f')} {mean_interval(row, '.2f')}".strip()
        for row in result["conditions"]
    ]
    sentences = [
        simulated_words(result),
        *flow_words(result),
        f"Mean ratings with 95 % intervals were {'; '.join(means)}.",
        *omnibus_words(result),
        *(verdicts(result) if result["contrasts"] else []),
        *detection_words(result),
        *agreement_words(result)[:1],
    ]
    return " ".join(filter(None, sentences))


def methods_words(result: dict) -> str:
    """One paragraph for a paper's methods section, with the settings that were used."""
    settings = result["settings"]
    rules = ", ".join(map(spaced, settings["exclude"])) or "none"
    sentences = [
        "Ratings from 1 to 10 were analysed with a linear mixed model with a fixed mean per condition and "
        "random intercepts of participants, pieces, and participants within conditions (REML), so that "
        "intervals hold for other listeners and other pieces; degrees of freedom are Satterthwaite's."
    ]
    if not has_model(result):
        sentences = [
            "Ratings from 1 to 10 are described by their means: the mixed model that gives the conditions "
            "their intervals cannot be fitted to this table."
        ]
    elif result["contrasts"]:
        sentences.append(
            f"Conditions were compared with {settings['reference'] or 'each other'}; p-values are adjusted "
            f"by Holm's method over {n_of(len(result['contrasts']), 'comparison')}. Equivalence means two "
            f"one-sided tests at 5 % against a margin of {points(settings['margin'])}."
        )
    if result["sensitivity"]:
        sentences.append(
            "Beside this primary analysis stand a cumulative-link mixed model with the same random terms "
            "(Laplace approximation), a two-way bootstrap, Wilcoxon's signed-rank test of listeners' means "
            "(zeros by Pratt's rule), the rank-sum and Welch tests of piece means, and the subject model of "
            "ITU-T P.913; each also without exclusions where there were any."
        )
    sentences.append(
        "Intervals of single pieces are t intervals over participants, those of counts Wilson's, those of "
        "Cliff's delta, accuracy, d' and criterion percentile intervals of a two-way bootstrap over "
        f"participants and pieces ({settings['draws']:,} draws, seed {settings['seed']}). Bounds beyond the "
        f"scale are shown at its ends; means of fewer than {LEAST_FOR_INTERVAL} listeners have no interval. "
        f"Second hearings count for reliability only. Exclusion rules: {rules}."
    )
    return " ".join(sentences)
