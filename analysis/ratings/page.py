"""The report of a study as one page: figures, a table beside each, and sentences made from the same numbers.

The page needs no network and runs no code but plotly's. Every text that came with the table is escaped.
Intervals are shown as far as the scale goes; the result has them as computed. Sentences never say
"significant" and claim equality only where the equivalence test does.
"""

from __future__ import annotations

import html

import pandas as pd

from analysis.numerals import numeral
from analysis.ratings.scale import LEAST_FOR_INTERVAL, difference_on_scale, on_scale

INTERVAL_WORDS = "95 % intervals are in square brackets."

STYLE = """
:root { --ink: #1a1a1a; --soft: #4d4d4a; --paper: #ffffff; --rule: #d9d9d6; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f2ef; --soft: #c4c4bf; --paper: #161616; --rule: #3d3d3a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 16px 0; }
h2 { font-size: 21px; margin: 40px 0 8px; }
p, ul { max-width: 65ch; overflow-wrap: anywhere; }
caption, figcaption { font-size: 14px; color: var(--soft); max-width: 65ch; }
.banner { border: 2px solid var(--ink); border-radius: 8px; padding: 8px 16px; }
.plot { background: #ffffff; border-radius: 8px; overflow: hidden; }
figure { margin: 16px 0; }
figcaption { padding-top: 8px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 16px; font-size: 15px; }
caption { text-align: left; padding: 8px 0; }
th, td { border-bottom: 1px solid var(--rule); padding: 6px 8px; text-align: right; vertical-align: top; }
th { font-size: 14px; }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
th[scope=row], thead th:first-child, td.words, th.words { text-align: left; white-space: normal; }
th[scope=row], td.words { overflow-wrap: anywhere; min-width: 120px; }
@media print {
  body { font-size: 12px; }
  main { max-width: none; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


def report_html(
    result: dict, ratings: pd.DataFrame | None = None, *, title: str = "What the listeners said"
) -> str:
    """The result of `analysis.ratings.report.analyse` as one HTML file that needs nothing else.

    `ratings` is the table that was analysed; if it says when answers were given, the page says so too.
    """
    from plotly.offline import get_plotlyjs  # slow to import, and 4 MB

    from analysis.charts import ratings as charts

    sections = [
        _section(
            "How much they liked it",
            _plot(
                charts.estimate_figure(result),
                (
                    "Diamonds are the conditions' estimates with 95 % intervals for other listeners and "
                    "other pieces (mixed model, Satterthwaite)."
                    if _has_model(result)
                    else "Diamonds are the conditions' means."
                )
                + " Dots are the means of single pieces.",
            ),
            conditions_table(result),
        ),
        _section(
            "Which ratings they gave",
            _plot(charts.distribution_figure(result), "Share of each rating from 1 (pale) to 10 (dark)."),
            _distribution_table(result),
        ),
    ]
    if result["contrasts"]:
        margin = result["settings"]["margin"]
        caption = (
            "Differences with 95 % intervals (thin) and 90 % intervals (thick). The band is the margin of "
            f"{_points(margin)} within which a difference does not matter."
        )
        plot = _plot(charts.contrast_figure(result), caption)
        sections.append(
            _section("How the conditions compare", plot, contrasts_table(result), _list(verdicts(result)))
        )
    if any(row["judged_human"] is not None for row in result["conditions"]):
        plot = _plot(
            charts.human_or_machine_figure(result),
            "Share of hearings judged human, with 95 % intervals for other listeners and other pieces.",
        )
        sections.append(
            _section("Human or machine", plot, _detection_table(result), _list(detection_words(result)))
        )
    if result["original_figures"]:
        sections.append(_section("In the words of the first survey", _list(original_words(result))))
    sections += [
        _section("Piece by piece", _pieces_table(result)),
        _section(
            "Where the differences come from",
            _variance_table(result),
            _list(agreement_words(result)),
            _plot(charts.participants_figure(result), "Each dot is one participant."),
        ),
        _section("Who was left out", _excluded_table(result)),
        _section("How this was computed", f"<p>{html.escape(methods_words(result))}</p>"),
    ]
    if result["notes"]:
        sections.append(_section("What to keep in mind", _list(result["notes"])))
    banner = (
        '<p class="banner"><strong>Simulated listeners.</strong> No person gave these ratings: they try the '
        "study out and say nothing about music.</p>"
        if result["simulated"]
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n"
        f"<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{banner}"
        f"<p>{html.escape(size_words(result, ratings))}</p>\n"
        f"{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def size_words(result: dict, ratings: pd.DataFrame | None = None) -> str:
    """How much was rated, by how many, and when if the table knows."""
    words = (
        f"{_count(result['n_ratings'], 'rating')} of {_count(result['n_pieces'], 'piece')} by "
        f"{_count(result['n_participants'], 'participant')} on a scale from 1 to 10"
    )
    left_out = len({row["participant"] for row in result["excluded"]})
    if left_out:
        words += f"; ratings of {_count(left_out, 'participant')} were left out, as listed below"
    if ratings is not None and "answered_at" in ratings.columns:
        moments = pd.to_datetime(ratings["answered_at"], utc=True, errors="coerce", format="mixed").dropna()
        if len(moments):
            first, last = f"{moments.min():%Y-%m-%d}", f"{moments.max():%Y-%m-%d}"
            words += f"; answered on {first}" if first == last else f"; answered from {first} to {last}"
    return f"{words}. {INTERVAL_WORDS}"


def verdicts(result: dict) -> list[str]:
    """One sentence per contrast, with its effect and interval; none claims what its test does not carry."""
    margin = _points(result["settings"]["margin"])
    claims = {
        "superior": "was liked more than",
        "inferior": "was liked less than",
        "equivalent": f"was liked as much as, within {margin},",
    }
    sentences = []
    for row in result["contrasts"]:
        names = row["condition"], row["reference"]
        numbers = f"{numeral(row['difference'], '+.2f')} points {_difference_interval(row)}".strip()
        if row["verdict"] in claims:
            p = row["p_equivalence_holm"] if row["verdict"] == "equivalent" else row["p_holm"]
            sentences.append(f"{names[0]} {claims[row['verdict']]} {names[1]}: {numbers}, {_p_words(p)}.")
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
    accuracy = _percent_interval(detection["ci_low"], detection["ci_high"])
    people = _count(detection["n_participants"], "participant")
    sentences = [
        f"{_percent(detection['accuracy'])} {accuracy}".strip()
        + f" of {_count(detection['n'], 'answer')} by {people} were right; guessing, with 'human' said as "
        f"often, would give {_percent(detection['chance_accuracy'])}.",
        f"Real pieces were judged human in {_percent(detection['hit_rate'])} of their hearings, generated "
        f"ones in {_percent(detection['false_alarm_rate'])}: d' = {_detected(detection, 'd_prime', '.2f')}, "
        f"criterion {_detected(detection, 'criterion', '+.2f')}{_leaning(detection)}.",
    ]
    if detection["n_known_left_out"]:
        known = _count(detection["n_known_left_out"], "answer")
        sentences.append(f"{known} about pieces that the listener knew did not count.")
    return sentences


def _detected(detection: dict, name: str, form: str) -> str:
    """A measure of signal detection with its interval, if it has one."""
    interval = _interval(detection[f"{name}_low"], detection[f"{name}_high"], form)
    return f"{numeral(detection[name], form)} {interval}".strip()


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
        mean = f"{numeral(best['corrected_mean'], '.2f')} {_interval(*bounds, '.2f')}".strip()
        corrected = (
            f" The best of {best['n_candidates']} is best partly by luck; corrected for that, its mean is "
            f"{mean}."
        )
    scope = " That interval is for other listeners of this very piece." if best["ci_low"] is not None else ""
    is_one = real["n_pieces"] == 1
    best_name, real_name = (_own_name(figure["piece"], figure["condition"]) for figure in (best, real))
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
        sentences.append(f"{_counted(disbelieved)} judged {what} to be machine-made.")
    preferred = figures["preferred_generated"]
    if preferred["n"]:
        other = "the real piece" if is_one else "their mean of the real pieces"
        sentences.append(
            f"{_counted(preferred)} rated the best generated piece higher than {other}; {preferred['ties']} "
            "rated them the same."
        )
    return sentences


def _mean_words(figure: dict) -> str:
    """A mean of the first survey with its interval and n, or why there is no interval."""
    mean = numeral(figure["mean"], ".2f")
    interval = _interval(on_scale(figure["ci_low"]), on_scale(figure["ci_high"]), ".2f")
    if interval:
        return f"{mean} {interval} (n = {figure['n']})"
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
        f"conditions, {estimate} {_mean_interval(row, '.2f')}, is for other pieces as well"
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
            f"Agreement of single listeners ICC(2,1) = {agreement['icc_single']:.2f}; of the mean of "
            f"{agreement['raters_per_piece']:.0f} listeners ICC(2,k) = {agreement['icc_average']:.2f}."
        )
    if agreement["krippendorff_alpha"] is not None:
        sentences.append(
            f"Krippendorff's alpha (ordinal) = {agreement['krippendorff_alpha']:.2f}. Low values are usual "
            "for liking: tastes differ."
        )
    if repeats is not None:
        sentences.append(
            f"{_count(repeats['n'], 'second hearing')} by "
            f"{_count(repeats['n_participants'], 'participant')}: the second rating differs from the first "
            f"by {repeats['mean_absolute_difference']:.1f} points on average; 95 of 100 pairs by less than "
            f"{repeats['repeatability']:.1f}."
        )
    return sentences


def methods_words(result: dict) -> str:
    """One paragraph for a paper's methods section, with the settings that were used."""
    settings = result["settings"]
    rules = ", ".join(map(_spaced, settings["exclude"])) or "none"
    sentences = [
        "Ratings from 1 to 10 were analysed with a linear mixed model with a fixed mean per condition and "
        "random intercepts of participants, pieces, and participants within conditions (REML), so that "
        "intervals hold for other listeners and other pieces; degrees of freedom are Satterthwaite's."
    ]
    if not _has_model(result):
        sentences = [
            "Ratings from 1 to 10 are described by their means: the mixed model that gives the conditions "
            "their intervals cannot be fitted to this table."
        ]
    elif result["contrasts"]:
        sentences.append(
            f"Conditions were compared with {settings['reference'] or 'each other'}; p-values are adjusted "
            f"by Holm's method over {_count(len(result['contrasts']), 'comparison')}. Equivalence means two "
            f"one-sided tests at 5 % against a margin of {_points(settings['margin'])}."
        )
    sentences.append(
        "Intervals of single pieces are t intervals over participants, those of counts Wilson's, those of "
        "Cliff's delta, accuracy, d' and criterion percentile intervals of a two-way bootstrap over "
        f"participants and pieces ({settings['draws']:,} draws, seed {settings['seed']}). Bounds beyond the "
        f"scale are shown at its ends; means of fewer than {LEAST_FOR_INTERVAL} listeners have no interval. "
        f"Second hearings count for reliability only. Exclusion rules: {rules}."
    )
    return " ".join(sentences)


def conditions_table(result: dict) -> str:
    """The conditions as an HTML table: counts, raw mean, median, model estimate, share judged human."""
    rows = [
        (
            row["condition"],
            row["n_pieces"],
            f"{row['n_ratings']:,}",
            f"{row['mean']:.1f} ({_number(row['sd'], '.1f')})",
            f"{row['median']:g}",
            _mean_cell(row, "estimate", ".2f", row["n_participants"]),
            _share(row),
        )
        for row in result["conditions"]
    ]
    head = ("Condition", "Pieces", "Ratings", "Mean (SD)", "Median", "Estimate [95 %]", "Judged human [95 %]")
    caption = (
        "Conditions, in points of the scale from 1 to 10. Means are of the ratings as given; estimates are "
    )
    caption += (
        "the mixed model's, for other listeners and other pieces."
        if _has_model(result)
        else "the same, for want of a mixed model."
    )
    if any(row["n_participants"] < LEAST_FOR_INTERVAL for row in result["conditions"]):
        caption += f" Too few: fewer than {LEAST_FOR_INTERVAL} listeners give no interval."
    return _table(caption, head, rows)


def contrasts_table(result: dict) -> str:
    """The contrasts as an HTML table: difference, df, p, effect size, verdict."""
    rows = [
        (
            f"{row['condition']} − {row['reference']}",
            f"{numeral(row['difference'], '+.2f')} {_difference_interval(row)}",
            _number(row["df"], ".1f"),
            _p(row["p"]),
            _p(row["p_holm"]),
            f"{numeral(row['cliffs_delta'], '+.2f')} "
            f"{_interval(row['cliffs_delta_low'], row['cliffs_delta_high'], '+.2f')}",
            row["verdict"],
        )
        for row in result["contrasts"]
    ]
    head = ("Contrast", "Difference [95 %]", "df", "p", "p (Holm)", "Cliff's delta [95 %]", "Verdict")
    caption = (
        f"Differences in points, for other listeners and other pieces. p (Holm) is adjusted for "
        f"{_count(len(rows), 'comparison')}, intervals are not; verdicts are against the margin of "
        f"{_points(result['settings']['margin'])}."
    )
    return _table(caption, head, rows)


def _distribution_table(result: dict) -> str:
    rows = [(row["condition"], *row["categories"]) for row in result["conditions"]]
    return _table("How often each rating was given.", ("Condition", *map(str, range(1, 11))), rows)


def _detection_table(result: dict) -> str:
    judged = [row for row in result["conditions"] if row["judged_human"] is not None]
    rows = [(row["condition"], row["judged_human_n"], _share(row)) for row in judged]
    return _table("Answers to human or machine.", ("Condition", "Answers", "Judged human [95 %]"), rows)


def _pieces_table(result: dict) -> str:
    rows = [
        (
            _own_name(row["piece"], row["condition"]),
            row["condition"],
            row["n_ratings"],
            _mean_cell(row, "mean", ".1f", row["n_ratings"]),
            _number(row["shrunken_mean"], ".1f"),
            _number(row["sd"], ".1f"),
            _share(row),
        )
        for row in sorted(result["pieces"], key=lambda row: (-row["mean"], row["piece"]))
    ]
    head = ("Piece", "Condition", "Ratings", "Mean [95 %]", "Shrunken mean", "SD", "Judged human [95 %]")
    caption = (
        "Every piece; intervals are for other listeners of this piece. Shrunken means correct for the luck "
        f"of the best and the worst. Too few: fewer than {LEAST_FOR_INTERVAL} ratings give no interval. With "
        "so many intervals, do not compare pieces by eye."
    )
    return _table(caption, head, rows, words=(1,))


def _variance_table(result: dict) -> str:
    known = {name: value for name, value in result["variance"].items() if value is not None}
    if not known:
        return "<p>The variance components cannot be estimated from this table.</p>"
    total = sum(known.values())
    rows = [
        (name, f"{value:.2f}", f"{value**0.5:.2f}", _percent(value / total)) for name, value in known.items()
    ]
    return _table("Variance components of a rating.", ("Source", "Variance", "SD, points", "Share"), rows)


def _excluded_table(result: dict) -> str:
    if not result["excluded"]:
        return "<p>Nobody.</p>"
    rows = [
        (row["participant"], _spaced(row["rule"]), row["why"], row["piece"] or "")
        for row in result["excluded"]
    ]
    caption = "Put aside before the analysis, by rules that are blind to the conditions."
    return _table(caption, ("Participant", "Rule", "Why", "Piece"), rows, words=(1, 2, 3))


def _section(heading: str, *parts: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{''.join(parts)}</section>\n"


def _list(sentences: list[str]) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>\n" if items else ""


def _plot(figure: object, caption: str) -> str:
    config = {"displayModeBar": False, "responsive": True}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    words = html.escape(caption)
    return f'<figure>\n<div class="plot">{drawn}</div>\n<figcaption>{words}</figcaption>\n</figure>\n'


def _table(caption: str, head: tuple, rows: list[tuple], *, words: tuple[int, ...] = ()) -> str:
    """An HTML table; the first cell of a row names it, the columns of `words` hold text."""
    kinds = [' class="words"' if column in words else "" for column in range(len(head))]
    titles = "".join(
        f'<th scope="col"{kind}>{html.escape(title)}</th>' for kind, title in zip(kinds, head, strict=True)
    )
    body = []
    for row in rows:
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>']
        for column, cell in enumerate(row[1:], start=1):
            cells.append(f"<td{kinds[column]}>{html.escape(str(cell))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table>\n<caption>{html.escape(caption)}</caption>\n'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{chr(10).join(body)}\n</tbody>\n</table></div>\n"
    )


def _spaced(rule: str) -> str:
    """A rule's name as words."""
    return rule.replace("_", " ")


def _has_model(result: dict) -> bool:
    return result["variance"]["residual"] is not None


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _points(margin: float) -> str:
    return f"{margin:g} point{'' if margin == 1 else 's'}"


def _counted(figure: dict) -> str:
    share = (
        f"{_percent(figure['count'] / figure['n'])} {_percent_interval(figure['ci_low'], figure['ci_high'])}"
    )
    return f"{figure['count']} of {_count(figure['n'], 'participant')} ({share})"


def _share(row: dict) -> str:
    if row["judged_human"] is None:
        return "–"
    interval = _percent_interval(row["judged_human_low"], row["judged_human_high"])
    return f"{_percent(row['judged_human'])} {interval}".strip()


def _own_name(piece: str | None, condition: str) -> str:
    """A piece's name where its condition stands beside it: names that conditions share come with theirs."""
    return (piece or "").removeprefix(f"{condition} / ")


def _mean_cell(row: dict, name: str, form: str, n: int) -> str:
    """A mean with its interval as far as the scale goes, "too few" where listeners are."""
    why = "(too few)" if n < LEAST_FOR_INTERVAL else ""
    return f"{numeral(row[name], form)} {_mean_interval(row, form) or why}".strip()


def _mean_interval(row: dict, form: str) -> str:
    return _interval(on_scale(row["ci_low"]), on_scale(row["ci_high"]), form)


def _difference_interval(row: dict) -> str:
    return _interval(difference_on_scale(row["ci_low"]), difference_on_scale(row["ci_high"]), "+.2f")


def _percent(share: float) -> str:
    """A share in whole percent; 0 % is nothing and 100 % is all, never by rounding."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "under 1 %"
    return "over 99 %" if rounded == 100 and share < 1 else f"{rounded} %"


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f"[{numeral(low, form)}, {numeral(high, form)}]"


def _percent_interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else numeral(value, form)


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _p_words(value: float) -> str:
    return f"p {'' if value < 0.001 else '= '}{_p(value)} after Holm"
