"""The tables of a report, from the numbers of `analysis.ratings.report.analyse`.

Means have one decimal and intervals two; real music stands first, the others by estimate.
"""

from __future__ import annotations

from analysis.numerals import numeral
from analysis.ratings.cells import (
    difference_interval,
    has_model,
    interval,
    judged_share,
    mean_cell,
    n_of,
    number,
    own_name,
    p_value,
    percent,
    percent_interval,
    points,
    spaced,
)
from analysis.ratings.parts import Table
from analysis.ratings.scale import LEAST_FOR_INTERVAL

AGREEMENT = (
    ("Intraclass correlation of single listeners, ICC(2,1)", "icc_single"),
    ("Intraclass correlation of the mean of k listeners, ICC(2,k)", "icc_average"),
    ("Krippendorff's alpha, ordinal", "krippendorff_alpha"),
)


def conditions_table(result: dict) -> Table:
    """T1: counts, raw mean, median, estimate, share of 7 and more, share judged human."""
    rows = [
        (
            row["condition"],
            f"{row['n_ratings']:,} ({row['n_pieces']})",
            f"{row['mean']:.1f} ({number(row['sd'], '.1f')})",
            f"{row['median']:g} ({number(row['mad'], 'g')})",
            mean_cell(row, "estimate", ".2f", row["n_participants"]),
            _seven_and_up(row),
            judged_share(row),
        )
        for row in result["conditions"]
    ]
    head = (
        "Condition",
        "Ratings (pieces)",
        "Mean (SD)",
        "Median (MAD)",
        "Estimate [95 %]",
        "7 or more [95 %]",
        "Judged human [95 %]",
    )
    caption = (
        "Conditions, in points of the scale from 1 to 10. Means are of the ratings as given; estimates are "
    )
    caption += (
        "the mixed model's, for other listeners and other pieces."
        if has_model(result)
        else "the same, for want of a mixed model."
    )
    if any(row.get("share_7_model") is not None for row in result["conditions"]):
        caption += " Shares of 7 or more are the ordinal mixed model's."
    if any(row["n_participants"] < LEAST_FOR_INTERVAL for row in result["conditions"]):
        caption += f" Too few: fewer than {LEAST_FOR_INTERVAL} listeners give no interval."
    return Table("t1_conditions", caption, head, rows)


def contrasts_table(result: dict) -> Table:
    """T2: difference, df, p, effect size, verdict."""
    rows = [
        (
            f"{row['condition']} − {row['reference']}",
            f"{numeral(row['difference'], '+.2f')} {difference_interval(row)}".strip(),
            number(row["df"], ".1f"),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            f"{numeral(row['cliffs_delta'], '+.2f')} "
            f"{interval(row['cliffs_delta_low'], row['cliffs_delta_high'], '+.2f')}".strip(),
            f"{row['verdict']} {interval(row['ci90_low'], row['ci90_high'], '+.2f')}".strip(),
        )
        for row in result["contrasts"]
    ]
    head = (
        "Contrast",
        "Difference [95 %]",
        "df",
        "p",
        "p (Holm)",
        "Cliff's delta [95 %]",
        "Verdict [90 %]",
    )
    caption = (
        f"Differences in points, for other listeners and other pieces. p (Holm) is adjusted for "
        f"{n_of(len(rows), 'comparison')}, intervals are not; verdicts hold the 90 % interval of the "
        f"difference against the margin of {points(result['settings']['margin'])}."
    )
    return Table("t2_contrasts", caption, head, rows, words=(6,))


def pairs_table(result: dict) -> Table:
    """Every pair of conditions, the rows of the matrix of pairs."""
    rows = [
        (
            f"{row['condition']} − {row['reference']}",
            f"{numeral(row['difference'], '+.2f')} {difference_interval(row)}".strip(),
            number(row["df"], ".1f"),
            p_value(row["p"]),
            p_value(row["p_holm"]),
        )
        for row in result["pairs"]
    ]
    caption = f"All pairs, in points; p (Holm) is adjusted for {n_of(len(rows), 'comparison')}."
    return Table("t2_all_pairs", caption, ("Pair", "Difference [95 %]", "df", "p", "p (Holm)"), rows)


def distribution_table(result: dict) -> Table:
    """How often each rating was given."""
    rows = [(row["condition"], *row["categories"]) for row in result["conditions"]]
    caption = "How often each rating was given."
    return Table("distribution", caption, ("Condition", *map(str, range(1, 11))), rows)


def letter_values_table(result: dict) -> Table:
    """The five numbers of every condition, the mean beside them."""
    from analysis.charts.ratings import letter_values

    rows = []
    for row in result["conditions"]:
        counts = row["categories"]
        given = [rating for rating, count in enumerate(counts, start=1) if count]
        fourths = letter_values(counts, most=1)
        low, high = fourths[0] if fourths else (None, None)
        rows.append(
            (
                row["condition"],
                given[0],
                number(low, "g"),
                f"{row['median']:g}",
                number(high, "g"),
                given[-1],
                f"{row['mean']:.1f}",
            )
        )
    head = ("Condition", "Lowest", "Lower fourth", "Median", "Upper fourth", "Highest", "Mean")
    return Table("letter_values", "Ratings by their ranks.", head, rows)


def variance_table(result: dict) -> Table | None:
    """T3, first half: where ratings differ; None where it cannot be told."""
    known = {name: value for name, value in result["variance"].items() if value is not None}
    if not known:
        return None
    total = sum(known.values())
    rows = [
        (name, f"{value:.2f}", f"{value**0.5:.2f}", percent(value / total)) for name, value in known.items()
    ]
    caption = "Variance components of a rating, in squared points."
    return Table("t3_variance", caption, ("Source", "Variance", "SD, points", "Share"), rows)


def agreement_table(result: dict) -> Table:
    """T3, second half: how far listeners agree with each other and with themselves."""
    agreement, repeats = result["agreement"], result["repeats"] or {}
    rows = [
        (title, *_with_bounds(agreement, name)) for title, name in AGREEMENT if agreement[name] is not None
    ]
    if found := agreement.get("concordance"):
        rows.append(("Kendall's W", f"{found['w']:.2f}", "–"))
    if (value := agreement.get("reliability_of_conditions")) is not None:
        rows.append(("Reliability of the differences between conditions", f"{value:.2f}", "–"))
    if repeats.get("icc") is not None:
        rows.append(("Second hearing, ICC(1,1)", *_with_bounds(repeats, "icc")))
    if repeats.get("within_sd") is not None:
        rows.append(("Second hearing, SD within a listener, points", *_with_bounds(repeats, "within_sd")))
    if repeats.get("kappa") is not None:
        rows.append(("Second hearing, kappa of human or machine", f"{repeats['kappa']:.2f}", "–"))
    caption = (
        "Agreement. Intervals of intraclass correlations are from the profile likelihood, that of alpha from "
        "a bootstrap over pieces, those of second hearings over listeners."
    )
    return Table("t3_agreement", caption, ("Measure", "Value", "95 % interval"), rows)


def judged_table(result: dict) -> Table:
    """T4, first part: the confusion matrix of every condition."""
    rows = []
    for row in result["conditions"]:
        if row["judged_human"] is None:
            continue
        n_human = round(row["judged_human"] * row["judged_human_n"])
        rows.append(
            (
                row["condition"],
                spaced(row["role"] or "–"),
                f"{row['judged_human_n']:,}",
                f"{n_human:,}",
                f"{row['judged_human_n'] - n_human:,}",
                judged_share(row),
            )
        )
    head = ("Condition", "What it is", "Answers", "Judged human", "Judged machine", "Judged human [95 %]")
    caption = (
        "Answers to human or machine, pieces that the listener knew left out. Intervals are for other "
        "listeners and other pieces."
    )
    return Table("t4_confusion", caption, head, rows, words=(1,))


def detection_table(result: dict) -> Table:
    """T4, second part: signal detection."""
    detection = result["detection"]
    bounds = {
        name: interval(detection[f"{name}_low"], detection[f"{name}_high"], form)
        for name, form in (("d_prime", ".2f"), ("criterion", "+.2f"))
    }
    accuracy = percent_interval(detection["ci_low"], detection["ci_high"])
    balanced = percent_interval(detection["balanced_accuracy_low"], detection["balanced_accuracy_high"])
    rows = [
        ("Hit rate: real judged human", percent(detection["hit_rate"]), "–"),
        ("False-alarm rate: generated judged human", percent(detection["false_alarm_rate"]), "–"),
        ("Accuracy", percent(detection["accuracy"]), accuracy or "–"),
        ("Balanced accuracy, 50 % by chance", percent(detection["balanced_accuracy"]), balanced or "–"),
        ("d', pooled", numeral(detection["d_prime"], ".2f"), bounds["d_prime"] or "–"),
        ("Criterion, pooled", numeral(detection["criterion"], "+.2f"), bounds["criterion"] or "–"),
    ]
    if model := detection.get("model"):
        for title, name, form in (("d'", "d_prime", ".2f"), ("Criterion", "criterion", "+.2f")):
            found = model[name]
            shown = interval(found["ci_low"], found["ci_high"], form)
            rows.append((f"{title}, probit mixed model", numeral(found["value"], form), shown))
        p = p_value(model["p_equivalence"])
        rows.append((f"Equivalence, |d'| < {model['bound']:g}", f"p = {p}".replace("= <", "<"), "–"))
    if area := detection.get("area"):
        shown = interval(area["ci_low"], area["ci_high"], ".2f") or "–"
        rows.append(("Area under the curve, from confidence", f"{area['area']:.2f}", shown))
    caption = (
        f"Signal detection over {n_of(detection['n'], 'answer')} by "
        f"{n_of(detection['n_participants'], 'participant')} about {detection['n_real_pieces']} real and "
        f"{detection['n_generated_pieces']} generated pieces. Pooled figures use the log-linear correction."
    )
    return Table("t4_detection", caption, ("Measure", "Value", "95 % interval"), rows)


def rates_table(result: dict) -> Table:
    """Hit and false-alarm rate of every listener, the dots of the plot."""
    rows = [
        (row["participant"], row["n"], percent(row["hit_rate"]), percent(row["false_alarm_rate"]))
        for row in result["detection"]["listeners"]
    ]
    caption = "Every listener who judged both kinds; rates by the log-linear rule."
    return Table("listener_rates", caption, ("Participant", "Answers", "Hits", "False alarms"), rows)


def calibration_table(result: dict) -> Table:
    """Stated confidence against the share that was right."""
    steps = result["detection"]["calibration"]
    rows = [
        (
            f"{level['confidence']:g}",
            percent(level["stated"]),
            f"{level['n']:,}",
            f"{percent(level['share_right'])} {percent_interval(level['ci_low'], level['ci_high'])}".strip(),
        )
        for level in steps["levels"]
    ]
    caption = (
        f"Calibration: confidence 1 is taken to state a chance of one half, {steps['highest']:g} certainty. "
        f"Brier's score {steps['brier']:.3f} = reliability {steps['reliability']:.3f} − resolution "
        f"{steps['resolution']:.3f} + uncertainty {steps['uncertainty']:.3f}."
    )
    return Table("calibration", caption, ("Confidence", "Stated", "Answers", "Right [95 %]"), rows)


def preferences_table(result: dict) -> Table:
    """T5, first half: worths."""
    found = result["preferences"]
    rows = []
    for row in found["worths"]:
        is_reference = row["condition"] == found["reference"]
        bounds = percent_interval(row["p_preferred_low"], row["p_preferred_high"])
        rows.append(
            (
                row["condition"],
                row["n_wins"],
                row["n_losses"],
                row["n_ties"],
                numeral(row["log_worth"], "+.2f")
                if is_reference
                else f"{numeral(row['log_worth'], '+.2f')} {interval(row['ci_low'], row['ci_high'], '+.2f')}",
                "–" if is_reference else f"{percent(row['p_preferred'])} {bounds}",
            )
        )
    head = ("Condition", "Won", "Lost", "Tied", "Log-worth [95 %]", "Preferred to the reference [95 %]")
    caption = (
        f"Worths by the model of Bradley and Terry, with order effect and ties, against {found['reference']}."
    )
    return Table("t5_worths", caption, head, rows)


def wins_table(result: dict) -> Table:
    """T5, second half: the matrix of wins."""
    found = result["preferences"]
    names = [row["condition"] for row in found["worths"]]
    wins = {(row["condition"], row["other"]): row["wins"] for row in found["wins"]}
    rows = [(one, *(wins.get((one, other), "–") for other in names)) for one in names]
    caption = "How often the row was preferred to the column."
    return Table("t5_wins", caption, ("Preferred", *names), rows)


def sensitivity_table(result: dict) -> Table:
    """The same contrasts by every analysis."""
    rows = [
        (
            f"{row['condition']} − {row['reference']}",
            _analysis(row),
            f"{number(row['estimate'], '+.2f')} {interval(row['ci_low'], row['ci_high'], '+.2f')}".strip(),
            p_value(row["p"]),
            row["finding"],
            row["note"],
        )
        for row in result["sensitivity"]
    ]
    head = ("Contrast", "Analysis", "Estimate [95 %]", "p", "At 5 %", "Note")
    caption = (
        "The same contrast by every analysis, in points where nothing else is said; p-values are of one "
        "contrast, unadjusted."
    )
    return Table("sensitivity", caption, head, rows, words=(1, 4, 5))


def pieces_table(result: dict) -> Table:
    """Every piece, the best liked first."""
    rows = [
        (
            own_name(row["piece"], row["condition"]),
            row["condition"],
            row["n_ratings"],
            mean_cell(row, "mean", ".1f", row["n_ratings"]),
            number(row["shrunken_mean"], ".1f"),
            number(row["sd"], ".1f"),
            judged_share(row),
        )
        for row in sorted(result["pieces"], key=lambda row: (-row["mean"], row["piece"]))
    ]
    head = ("Piece", "Condition", "Ratings", "Mean [95 %]", "Shrunken mean", "SD", "Judged human [95 %]")
    caption = (
        "Every piece; intervals are for other listeners of this piece. Shrunken means correct for the luck "
        f"of the best and the worst. Too few: fewer than {LEAST_FOR_INTERVAL} ratings give no interval. With "
        "so many intervals, do not compare pieces by eye."
    )
    return Table("pieces", caption, head, rows, words=(1,))


def copying_table(result: dict) -> Table:
    """Every piece with its score of copying, the highest first."""
    rows = [
        (
            own_name(row["piece"], row["condition"]),
            row["condition"],
            f"{row['score']:.3f}",
            f"{row['mean']:.2f}",
            row["n_ratings"],
        )
        for row in sorted(result["copying"]["pieces"], key=lambda row: (-row["score"], row["piece"]))
    ]
    head = ("Piece", "Condition", "Copying score", "Mean rating", "Ratings")
    return Table("copying", "Copying and liking, piece by piece.", head, rows, words=(1,))


def listeners_table(result: dict) -> Table:
    """How everybody used the scale, blind to conditions."""
    rows = [
        (
            row["participant"],
            row["n_ratings"],
            f"{row['mean']:.1f}",
            number(row["bias"], "+.2f"),
            number(row["inconsistency"], ".2f"),
            number(row["rest_correlation"], "+.2f"),
            "yes" if row["counted"] else "no",
        )
        for row in result["listeners"]
    ]
    head = (
        "Participant",
        "Ratings",
        "Mean",
        "Leaning, points",
        "Inconsistency, SD",
        "r with the rest",
        "Counted",
    )
    caption = (
        "Every listener. Leaning and inconsistency are the subject model's of ITU-T P.913; r is with the "
        "mean of the others on the same pieces. A diagnosis and no rule: tastes differ."
    )
    return Table("listeners", caption, head, rows)


def drift_table(result: dict) -> Table:
    """Mean distance from what is expected at each place of a session."""
    rows = [
        (row["trial"], numeral(row["residual"], "+.2f"), number(row["se"], ".2f"))
        for row in result["drift"]["places"]
    ]
    return Table("drift", "Drift, in points.", ("Place", "Above what is expected", "Standard error"), rows)


def flow_table(result: dict) -> Table:
    """From the table to what was analysed."""
    rows = [
        (
            spaced(row["step"]).capitalize(),
            "–" if row["n_participants"] is None else f"{row['n_participants']:,}",
            "–" if row["n_ratings"] is None else f"{row['n_ratings']:,}",
        )
        for row in result["flow"]
    ]
    caption = "Participant flow; a rule counts whoever it names, so one listener may count twice."
    return Table("flow", caption, ("Step", "Listeners", "Ratings"), rows)


def excluded_table(result: dict) -> Table | None:
    """Whose ratings were put aside, and why; None where nobody's were."""
    if not result["excluded"]:
        return None
    rows = [
        (row["participant"], spaced(row["rule"]), row["why"], row["piece"] or "")
        for row in result["excluded"]
    ]
    caption = "Put aside before the analysis, by rules that are blind to the conditions."
    return Table("excluded", caption, ("Participant", "Rule", "Why", "Piece"), rows, words=(1, 2, 3))


def _seven_and_up(row: dict) -> str:
    if row.get("share_7_model") is None:
        return percent(row["share_7_and_up"])
    bounds = percent_interval(row["share_7_low"], row["share_7_high"])
    return f"{percent(row['share_7_model'])} {bounds}".strip()


def _analysis(row: dict) -> str:
    unit = "" if row["unit"] == "points" else f" ({row['unit']})"
    whose = "" if row["table"] == "analysed" else ", nobody left out"
    return f"{row['method']}{unit}{whose}"


def _with_bounds(values: dict, name: str) -> tuple[str, str]:
    bounds = interval(values.get(f"{name}_low"), values.get(f"{name}_high"), ".2f")
    return numeral(values[name], ".2f"), bounds or "–"
