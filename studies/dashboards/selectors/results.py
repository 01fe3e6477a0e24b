"""What a study found, as far as it may be read: nothing while it is open, letters while it is blind.

An analysis takes seconds, so it is kept, in memory and on disk, until the ratings change.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max

from analysis.errors import AnalysisError
from studies.dashboards.selectors.studies import ConditionRow
from studies.listening.models import Item, Judgement, Rating, Study
from studies.listening.selectors import ratings_table
from studies.listening.services.analyses import keep_analysis, kept_analysis
from studies.listening.services.exports import analysed_ratings

KEEP_SECONDS = 3600
#: Resampling for a figure that is watched while the study runs: the model's interval is shown, not this one.
DRAWS_WHILE_OPEN = 200


@dataclass(frozen=True)
class Findings:
    """The analysis of a study, or the reason why there is none."""

    result: dict[str, Any] | None
    why_not: str = ""


def may_be_read(study: Study) -> bool:
    """Whether anybody may see what was answered: once the study is closed."""
    return study.state == Study.State.CLOSED


def findings(study: Study, *, with_exclusions: bool = True) -> Findings:
    """The analysis that the study's file declared: by letters while blind, by names afterwards.

    While the study is blind the reference stays unnamed, so that nothing tells which letter is real music.
    """
    if not may_be_read(study):
        return Findings(None, "The study is not closed.")
    planned = study.design["analysis"]
    settings = {
        "reference": None if study.is_blind else planned["reference"],
        "margin": planned["margin"],
        "exclude": tuple(planned["exclude"]) if with_exclusions else (),
        "excerpt_seconds": study.design["excerpt"]["seconds"],
    }
    return _kept(study, settings)


def precision(study: Study, conditions: list[ConditionRow]) -> list[ConditionRow]:
    """The conditions with the half-width of their 95 % intervals, whatever the means are.

    Computed by letters and without a reference, and nothing else of the analysis leaves this function.
    """
    planned = study.design["analysis"]
    settings = {
        "reference": None,
        "margin": planned["margin"],
        "exclude": tuple(planned["exclude"]),
        "excerpt_seconds": study.design["excerpt"]["seconds"],
        "draws": DRAWS_WHILE_OPEN,
        "is_brief": True,
    }
    found = _kept(study, settings, blind=True).result
    rows = {row["condition"]: row for row in found["conditions"]} if found else {}
    return [_with_precision(condition, rows.get(condition.letter)) for condition in conditions]


def _with_precision(condition: ConditionRow, row: dict | None) -> ConditionRow:
    if row is None:
        return condition
    has_interval = row["ci_low"] is not None and row["ci_high"] is not None
    half_width = (row["ci_high"] - row["ci_low"]) / 2 if has_interval else None
    return replace(condition, half_width=half_width, n_ratings=row["n_ratings"])


def _kept(study: Study, settings: dict[str, Any], *, blind: bool | None = None) -> Findings:
    """The analysis of the ratings as they are now, from memory if they have not changed."""
    from analysis.ratings.report import analyse

    blind = study.is_blind if blind is None else blind
    key = f"findings-{hashlib.sha256(repr((_state_of_ratings(study), blind, settings)).encode()).hexdigest()}"
    kept = cache.get(key)
    if kept is None:
        table = ratings_table(study, blind=blind)
        result = kept_analysis(study, table, settings)
        try:
            if result is None:
                result = analyse(table, **settings)
                keep_analysis(study, table, settings, result)
            kept = Findings(result)
        except AnalysisError as error:
            kept = Findings(None, str(error))
        cache.set(key, kept, KEEP_SECONDS)
    return kept


def _state_of_ratings(study: Study) -> tuple:
    """Changes whenever an answer of the study comes, or goes with a listener who withdraws; two queries."""
    of_study = {"trial__session__participant__study": study}
    ratings = Rating.objects.filter(**of_study).aggregate(n=Count("pk"), last=Max("pk"))
    judgements = Judgement.objects.filter(**of_study).aggregate(n=Count("pk"), last=Max("pk"))
    return (study.pk, str(study.created_at), *ratings.values(), *judgements.values())


class Rows(StrEnum):
    """Which rows of the ratings a list shows."""

    COUNTED = ""  # what the results count as planned
    EVERYBODY = "everybody"  # what they count with the exclusions switched off
    ALL = "all"  # everything that was answered


def rating_rows(
    study: Study,
    *,
    rows: Rows = Rows.COUNTED,
    condition: str = "",
    piece: str = "",
    label: str = "",
    participant: str = "",
) -> tuple[list[dict[str, Any]], int]:
    """The ratings of a closed study as rows; of one condition, piece or participant if named.

    Beside them the number of all rows that the names fit, whether they count or not.

    By default exactly those that the results count. Each row has `left_out`: why the results do not count it,
    empty if they do. A piece may be named as in a result, where a name that two conditions share has its
    condition before it, or by its label once the study is unblinded.
    """
    table = _ratings(study)
    table["left_out"] = [
        _left_out(excluded, repeat)
        for excluded, repeat in zip(table["excluded"], table["repeat"], strict=True)
    ]
    wanted = {"condition": condition, "participant": participant}
    for column, value in wanted.items():
        if value:
            table = table[table[column] == value]
    if piece:
        table = table[(table["piece"] == piece) | (table["condition"] + " / " + table["piece"] == piece)]
    if label:
        table = table[_is_item(study, label, table)]
    n_all = len(table)
    if rows != Rows.ALL:
        table = table[table["repeat"] == 0]
    if rows == Rows.COUNTED:
        table = table[table["excluded"] == ""]
    return table.astype(object).where(table.notna(), None).to_dict("records"), n_all


def _left_out(excluded: str, repeat: int) -> str:
    reasons = [f"excluded: {rule.replace('_', ' ')}" for rule in excluded.split("+") if rule]
    return "; ".join([*reasons, *(["heard again"] if repeat else [])])


def _ratings(study: Study):
    """The ratings with the rules that leave rows out; while the study is blind not in the order of hearing.

    A researcher who takes part learns at the debrief what stood at which place of their sitting: with the
    label of each place they would have the key.
    """
    table = analysed_ratings(study)
    if not study.is_blind:
        return table
    return table.sort_values(["participant", "repeat", "piece"], ignore_index=True).assign(
        trial=None, answered_at=None
    )


def _is_item(study: Study, label: str, table):
    """Which rows of a table are about the item with a label, however the table names it."""
    items = study.items.filter(label=label, use=Item.Use.MAIN)
    found = None if study.is_blind else items.values_list("condition__name", "stimulus__piece__name").first()
    if found is None:
        return table["piece"] == label
    condition, name = found
    return (table["condition"] == condition) & table["piece"].isin([name, f"{name} ({label})"])


def pieces_by_mean(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The pieces of a result, the best liked first, each by its `name`: its condition stands in a column."""
    return [
        {**row, "name": row["piece"].removeprefix(f"{row['condition']} / ")}
        for row in sorted(result["pieces"], key=lambda row: (-row["mean"], row["piece"]))
    ]


def words(result: dict[str, Any]) -> dict[str, list[str]]:
    """What the report says in sentences, for the page to say the same."""
    from analysis.ratings import words as said

    return {
        "size": [said.size_words(result)],
        "verdicts": said.verdicts(result) if result["contrasts"] else [],
        "detection": said.detection_words(result) if result["detection"] else [],
        "original": said.original_words(result) if result["original_figures"] else [],
        "agreement": said.agreement_words(result),
        "methods": [said.methods_words(result)],
    }


#: Parts of the report that the page of results has with links of its own.
OWN_PARTS = {
    *("f1_estimates", "f2_distribution", "f4_contrasts", "f6_judged_human"),
    *("t1_conditions", "distribution", "t2_contrasts", "t4_confusion", "t3_variance", "pieces", "excluded"),
}
#: Sections that the page says itself, in whole or by its own sentences.
OWN_WORDS = {"contrasts", "judgements", "original", "agreement", "excluded", "methods", "notes"}
MOST_ROWS = 50


@dataclass(frozen=True)
class Part:
    """A table, a plot or sentences of the report, ready for ``dashboards/_parts.html``."""

    table: Any = None
    figure: Any = None
    sentences: tuple[str, ...] = ()
    rows: tuple[tuple, ...] = ()  # the first ones of the table
    n_left_out: int = 0


def supplements(result: dict[str, Any]) -> dict[str, tuple[str, list[Part]]]:
    """What the report has beyond the page's own parts: title and parts, by the name of the section."""
    from analysis.ratings.document import sections
    from analysis.ratings.parts import Plot, Table
    from studies.dashboards.figures import figure

    found: dict[str, tuple[str, list[Part]]] = {}
    for section in sections(result):
        parts = []
        for part in section.parts:
            if isinstance(part, Table | Plot) and part.name in OWN_PARTS:
                continue
            if isinstance(part, Table):
                shown = tuple(part.rows[:MOST_ROWS])
                parts.append(Part(table=part, rows=shown, n_left_out=len(part.rows) - len(shown)))
            elif isinstance(part, Plot):
                parts.append(Part(figure=figure(part.name, part.figure, caption=part.caption)))
            elif section.name not in OWN_WORDS:
                parts.append(Part(sentences=tuple(part.sentences)))
        if parts:
            found[section.name] = (section.title, parts)
    return found


def report_file(result: dict[str, Any], form: str, *, title: str) -> bytes:
    """The report in one of the forms of the page of results, as the command writes it."""
    from analysis.ratings import paper
    from analysis.ratings.page import report_html

    if form == "html":
        return report_html(result, title=title).encode()
    if form == "pdf":
        from analysis.ratings.pdf import report_pdf

        return report_pdf(result, title=title)
    files_of = {"tables": paper.csv_files, "latex": paper.latex_files, "figures": paper.svg_files}
    return _zipped(files_of[form.removesuffix(".zip")](result))


def _zipped(files: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode())  # without the time of day
    return target.getvalue()


def ratings_csv_text(study: Study) -> str:
    """All ratings of a closed study as CSV, with no cell that a spreadsheet would run.

    Its column `excluded` names the rules by which the results leave a row out, as in `export_study`.
    """
    from analysis.ratings.table import spreadsheet_safe

    return _ratings(study).map(spreadsheet_safe).to_csv(index=False, lineterminator="\r\n")
