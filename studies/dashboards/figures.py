"""Plotly figures on their way into a page: as JSON beside a caption, with the rows of a table twin."""

import json
from dataclasses import dataclass
from typing import Any

from studies.catalog.models import OriginalityReport
from studies.dashboards.selectors.catalog import TrainingCurves
from studies.dashboards.selectors.originality import SetRow, set_rows
from studies.dashboards.selectors.studies import Arrivals


@dataclass(frozen=True)
class Figure:
    """What the template ``dashboards/_figure.html`` draws."""

    id: str  # of the JSON in the page
    plot: dict[str, Any]  # what Plotly.newPlot takes: data and layout
    caption: str
    label: str  # said by a screen reader in place of the drawing


def figure(id: str, plot, *, caption: str, label: str = "", is_simulated: bool = False) -> Figure:
    """Make a plotly figure ready for a page; a simulated study says so in every caption."""
    if is_simulated:
        caption = f"Simulated listeners: not evidence. {caption}"
    return Figure(f"plot-{id}", json.loads(plot.to_json()), caption, label or caption)


def listeners(arrivals: Arrivals, *, is_simulated: bool) -> Figure | None:
    """Listeners over time; None as long as nobody came."""
    from analysis.charts.progress import listeners_over_time

    if not arrivals.started:
        return None
    return figure(
        "listeners",
        listeners_over_time(arrivals.started, arrivals.finished),
        caption="Listeners who started (dashed) and who finished, added up over time (UTC).",
        is_simulated=is_simulated,
    )


@dataclass(frozen=True)
class CurveRow:
    """A loss curve in five words, for the table twin."""

    name: str
    last_update: int
    first: float
    lowest: float
    last: float


@dataclass(frozen=True)
class CurvePoint:
    """One measured loss."""

    name: str
    update: int
    value: float


#: A line through fewer points suggests a course that nobody measured.
FEWEST_POINTS = 3


@dataclass(frozen=True)
class Curves:
    """One plot of losses with its table twin; no plot where there are too few points for a line."""

    figure: Figure | None
    caption: str
    rows: tuple[CurveRow, ...]
    points: tuple[CurvePoint, ...] = ()  # said one by one in place of a plot


def training(curves: TrainingCurves) -> list[Curves]:
    """How a model learned: the losses on whole splits first, then one plot per stage of the training."""
    plots = []
    if curves.evaluations:
        caption = "Loss on windows of the training and of the validation pieces, measured along the way."
        stages = ", ".join(_words(stage) for stage in curves.evaluated_stages)
        y_title = f"mean loss of stage {stages}"
        if len(curves.evaluated_stages) > 1:
            y_title = "mean loss over all stages"
            caption += f" Stages in their order: {stages}."
        plots.append(_losses("evaluations", curves.evaluations, caption, y_title))
    for index, (stage, parts) in enumerate(curves.stages.items()):
        caption = f"Stage {_words(stage)}: the loss of each update, averaged between two lines of the record."
        plots.append(_losses(f"stage-{index}", parts, caption, f"mean loss of stage {_words(stage)}"))
    return plots


def _losses(id: str, series: dict[str, list[tuple[int, float]]], caption: str, y_title: str) -> Curves:
    from analysis.charts.training import loss_curves

    rows = tuple(
        CurveRow(_words(name), points[-1][0], points[0][1], min(value for _, value in points), points[-1][1])
        for name, points in series.items()
    )
    if max(len(points) for points in series.values()) < FEWEST_POINTS:
        few = tuple(CurvePoint(_words(name), *point) for name, points in series.items() for point in points)
        return Curves(None, caption, rows, few)
    drawn = loss_curves({_words(name): points for name, points in series.items()}, y_title=y_title)
    drawn.update_yaxes(title_font_size=13)  # the longest name of a stage fits the height
    return Curves(figure(id, drawn, caption=caption), caption, rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


def findings(result: dict[str, Any], *, is_simulated: bool) -> dict[str, Figure]:
    """The figures of a study's results, by the name of their section."""
    from analysis.charts import ratings

    listeners, pieces = result["n_participants"], result["n_pieces"]
    heard = f"{result['n_ratings']} ratings of {pieces} pieces by {listeners} listeners."
    plots = {
        "estimates": (
            ratings.estimate_figure(result),
            "Diamonds: estimates with 95 % intervals for other listeners and other pieces (mixed model, "
            f"Satterthwaite). Dots: the means of single pieces. {heard}",
        ),
        "distributions": (
            ratings.distribution_figure(result),
            f"Share of each rating, from 1 (pale) to 10 (dark). {heard}",
        ),
    }
    if result["contrasts"]:
        plots["contrasts"] = (
            ratings.contrast_figure(result),
            "Differences in points with 95 % intervals (thin) and 90 % intervals (thick); the band is the "
            f"margin of {result['settings']['margin']:g} points, declared beforehand.",
        )
    if any(row["judged_human"] is not None for row in result["conditions"]):
        plots["judgements"] = (
            ratings.human_or_machine_figure(result),
            "Share of hearings judged human, with 95 % intervals for other listeners and other pieces.",
        )
    return {
        name: figure(name, plot, caption=caption, is_simulated=is_simulated)
        for name, (plot, caption) in plots.items()
    }


def detectable(plan: dict[str, Any]) -> Figure:
    """What a study can find, by the number of listeners, with a curve for each number of pieces."""
    from analysis.charts.planning import detectable_figure

    caption = (
        "The difference of two conditions that 80 % of studies find at 5 %, by the number of listeners who "
        "hear every piece; one curve for each number of pieces per condition. Diamond: this plan."
    )
    return figure("detectable", detectable_figure(plan), caption=caption)


@dataclass(frozen=True)
class Histogram:
    """One histogram of a report with its table twin."""

    figure: Figure
    rows: tuple[SetRow, ...]


def histograms(report: OriginalityReport) -> list[Histogram]:
    """Generated music against human music and a shuffled control, one plot per measure of the report."""
    from analysis.charts import originality

    result, plots = report.result, []
    if result["summary"].get("overlap"):
        drawn = originality.overlap_figure(result), originality.overlap_caption(result)
        plots.append(_histogram(report, "overlap", *drawn))
    if result["summary"].get("melody"):
        drawn = originality.melody_figure(result), originality.melody_caption(result)
        plots.append(_histogram(report, "melody", *drawn))
    return plots


def _histogram(report: OriginalityReport, measure: str, plot, caption: str) -> Histogram:
    return Histogram(figure(measure, plot, caption=caption), set_rows(report, measure))
