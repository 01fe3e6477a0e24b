"""A report as sections, once for every form it is written in: page, PDF, studio, LaTeX, CSV and SVG."""

from __future__ import annotations

import pandas as pd

from analysis.ratings import tables, words
from analysis.ratings.cells import has_model, n_of, points
from analysis.ratings.parts import Plot, Section, Table, Words

FOR_OTHERS = "95 % intervals for other listeners and other pieces"


def sections(result: dict) -> list[Section]:
    """Everything that a result can show, the main finding first; what was not asked is left out."""
    made = [
        _liking(result),
        _distributions(result),
        _contrasts(result),
        _sensitivity(result),
        _human_or_machine(result),
        _original(result),
        _preferences(result),
        _copying(result),
        _pieces(result),
        _agreement(result),
        _listeners(result),
        _exclusions(result),
        Section("methods", "How this was computed", [Words([words.methods_words(result)], is_list=False)]),
        Section("summary", "Results in one paragraph", [Words([words.results_words(result)], is_list=False)]),
    ]
    if result["notes"]:
        made.append(Section("notes", "What to keep in mind", [Words(result["notes"])]))
    return [section for section in made if section is not None]


def introduction(result: dict, ratings: pd.DataFrame | None = None) -> list[str]:
    """What stands before the first section: who was simulated, and how much was rated by whom."""
    return [*filter(None, [words.simulated_words(result)]), words.size_words(result, ratings)]


def all_tables(result: dict) -> list[Table]:
    """Every table of the report, in its order."""
    return [part for section in sections(result) for part in section.parts if isinstance(part, Table)]


def all_plots(result: dict) -> list[Plot]:
    """Every plot of the report, in its order; of simulated listeners each caption says so."""
    return [part for section in sections(result) for part in section.parts if isinstance(part, Plot)]


def _liking(result: dict) -> Section:
    from analysis.charts import ratings

    caption = (
        f"Diamonds: the conditions' estimates with {FOR_OTHERS} (mixed model, Satterthwaite)."
        if has_model(result)
        else "Diamonds: the conditions' means."
    ) + " Dots: the means of single pieces."
    plot = _plot(result, "f1_estimates", ratings.estimate_figure(result), caption)
    return Section("liking", "How much they liked it", [plot, tables.conditions_table(result)])


def _distributions(result: dict) -> Section:
    from analysis.charts import ratings

    shares = "Share of each rating from 1 (pale) to 10 (dark), without an interval: these are counts."
    ranks = (
        "Letter values: the widest bar reaches from the lower to the upper fourth, the next to the eighths, "
        "then sixteenths, as long as five ratings lie beyond. Line: median. Ring: mean. Dots: ratings "
        "beyond. Ranks of these ratings, and no intervals."
    )
    return Section(
        "distributions",
        "Which ratings they gave",
        [
            _plot(result, "f2_distribution", ratings.distribution_figure(result), shares),
            tables.distribution_table(result),
            _plot(result, "f3_letter_values", ratings.letter_value_figure(result), ranks),
            tables.letter_values_table(result),
        ],
    )


def _contrasts(result: dict) -> Section | None:
    from analysis.charts import comparisons, ratings

    if not result["contrasts"]:
        return None
    caption = (
        "Differences with 95 % intervals (thin) and 90 % intervals (thick). The band is the margin of "
        f"{points(result['settings']['margin'])} within which a difference does not matter."
    )
    parts: list = [
        _plot(result, "f4_contrasts", ratings.contrast_figure(result), caption),
        tables.contrasts_table(result),
        Words([*words.omnibus_words(result), *words.verdicts(result)]),
    ]
    if len(result["conditions"]) > 2:
        pairs = (
            "Row less column, in points, with p after Holm over all pairs; bold where p is below 0.05. Blue: "
            "the row is rated higher. The table has the 95 % intervals."
        )
        parts += [
            _plot(result, "f5_all_pairs", comparisons.pairs_figure(result), pairs),
            tables.pairs_table(result),
        ]
    return Section("contrasts", "How the conditions compare", parts)


def _sensitivity(result: dict) -> Section | None:
    from analysis.charts import comparisons

    if not result["sensitivity"]:
        return None
    caption = (
        "Each contrast by every analysis, with 95 % intervals where it has one: filled, the ratings that "
        "count; hollow, with nobody left out. The band is the margin. The ordinal model's log odds ratios "
        "are drawn as points, times the residual SD and √3 / π."
    )
    n = len({(row["condition"], row["reference"]) for row in result["sensitivity"]})
    if n > comparisons.MOST_CONTRASTS:
        caption += f" The first {comparisons.MOST_CONTRASTS} of {n} contrasts; the table has all."
    plot = _plot(result, "f11_sensitivity", comparisons.sensitivity_figure(result), caption)
    found = Words(words.sensitivity_words(result))
    title = "Does it hang on the analysis?"
    return Section("sensitivity", title, [plot, tables.sensitivity_table(result), found])


def _human_or_machine(result: dict) -> Section | None:
    from analysis.charts import listeners, ratings

    if all(row["judged_human"] is None for row in result["conditions"]):
        return None
    caption = f"Share of hearings judged human, with {FOR_OTHERS}."
    parts: list = [
        _plot(result, "f6_judged_human", ratings.human_or_machine_figure(result), caption),
        tables.judged_table(result),
    ]
    if result["detection"]:
        parts += [tables.detection_table(result), Words(words.detection_words(result))]
        if rows := result["detection"].get("listeners"):
            rates = (
                f"Each dot is one of {n_of(len(rows), 'listener')}, the diamond all answers; dashed lines "
                "have one d' each. Single dots have no interval: the table above has those of all answers."
            )
            parts += [
                _plot(result, "f6_listener_rates", listeners.rates_figure(result), rates),
                tables.rates_table(result),
            ]
        if result["detection"].get("calibration"):
            steps = (
                f"Answers that were right at each confidence, with {FOR_OTHERS}; on the line, listeners "
                "would be as often right as they say."
            )
            parts += [
                _plot(result, "f6_calibration", listeners.calibration_figure(result), steps),
                tables.calibration_table(result),
            ]
    return Section("judgements", "Human or machine", parts)


def _original(result: dict) -> Section | None:
    if not result["original_figures"]:
        return None
    return Section("original", "In the words of the first survey", [Words(words.original_words(result))])


def _preferences(result: dict) -> Section | None:
    from analysis.charts import comparisons

    if result["preferences"] is None:
        return None
    caption = "Expected share of comparisons won against the reference, ties aside, with 95 % intervals."
    return Section(
        "preferences",
        "Which of two they preferred",
        [
            _plot(result, "preferences", comparisons.worths_figure(result), caption),
            tables.preferences_table(result),
            tables.wins_table(result),
            Words(words.preference_words(result)),
        ],
    )


def _copying(result: dict) -> Section | None:
    from analysis.charts import pieces

    if result["copying"] is None:
        return None
    caption = (
        "Each dot is a piece, its rating with the 95 % interval for other listeners of this piece; the lines "
        "have the slope within conditions. " + words.copying_words(result)[0]
    )
    return Section(
        "copying",
        "Copying and liking",
        [
            _plot(result, "f7_copying", pieces.copying_figure(result), caption),
            tables.copying_table(result),
            Words(words.copying_words(result)),
        ],
    )


def _pieces(result: dict) -> Section:
    from analysis.charts import pieces

    caption = (
        "Every piece, the best liked first: mean with the 95 % t interval for other listeners of this piece; "
        "ticks are shrunken means."
    )
    plot = _plot(result, "f8_pieces", pieces.pieces_figure(result), caption)
    return Section("pieces", "Piece by piece", [plot, tables.pieces_table(result)])


def _agreement(result: dict) -> Section:
    variance = tables.variance_table(result)
    unknown = Words(["The variance components cannot be estimated from this table."], is_list=False)
    parts: list = [variance or unknown]
    agreement = tables.agreement_table(result)
    if agreement.rows:
        parts.append(agreement)
    parts.append(Words(words.agreement_words(result)))
    return Section("agreement", "Where the differences come from", parts)


def _listeners(result: dict) -> Section:
    from analysis.charts import listeners

    if any(row["bias"] is not None for row in result["listeners"]):
        caption = (
            "Each dot is one listener: leaning and inconsistency by the subject model of ITU-T P.913. "
            "Crosses: ratings that do not count. A diagnosis without intervals, and no rule."
        )
        figure = listeners.diagnostics_figure(result)
    else:
        caption = "Each dot is one participant, by the mean and the SD of their ratings; no interval is due."
        figure = listeners.participants_figure(result)
    parts: list = [_plot(result, "f9_listeners", figure, caption)]
    if result["listeners"]:
        parts.append(tables.listeners_table(result))
    if result["drift"]:
        caption = (
            "Mean distance of ratings from what piece, listener and condition lead to expect, by place in "
            "the session, with 95 % intervals over ratings."
        )
        parts += [
            _plot(result, "f10_drift", listeners.drift_figure(result), caption),
            tables.drift_table(result),
            Words(words.drift_words(result)),
        ]
    return Section("listeners", "The listeners", parts)


def _exclusions(result: dict) -> Section:
    excluded = tables.excluded_table(result)
    nobody = Words(["Nobody was left out."], is_list=False)
    return Section("excluded", "Who was left out", [tables.flow_table(result), excluded or nobody])


def _plot(result: dict, name: str, figure: object, caption: str) -> Plot:
    """A plot whose caption says how much it rests on."""
    heard = (
        f"{n_of(result['n_ratings'], 'rating')} of {n_of(result['n_pieces'], 'piece')} by "
        f"{n_of(result['n_participants'], 'listener')}."
    )
    simulated = "Simulated listeners: not evidence. " if result["simulated"] else ""
    return Plot(name, figure, f"{simulated}{caption} {heard}")
