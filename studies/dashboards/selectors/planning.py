"""A plan for a study, from what somebody typed into the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.errors import AnalysisError
from analysis.ratings.design import Components, StudySize
from analysis.ratings.plan import describe_plan, plan_words

#: Of each number of the form: its label, and what stands there at first.
FIELDS = {
    "listeners": ("Listeners", "30"),
    "pieces": ("Pieces per condition", "5"),
    "conditions": ("Conditions", "2"),
    "difference": ("Difference to be found, points", "1"),
    "participant": ("SD of listeners, points", "1"),
    "cell": ("SD of a listener's liking of a condition", "0.4"),
    "piece": ("SD of pieces of one condition", "0.6"),
    "residual": ("SD of single ratings", "1.5"),
}
WHOLE = ("listeners", "pieces", "conditions")


@dataclass(frozen=True)
class Field:
    """A number of the form as it was typed."""

    name: str
    label: str
    value: str


@dataclass(frozen=True)
class Planned:
    """The form, and the plan or what is wrong with it."""

    fields: tuple[Field, ...]
    plan: dict[str, Any] | None
    words: tuple[str, ...] = ()
    error: str = ""


def planned(typed: Mapping[str, str]) -> Planned:
    """The plan of the numbers typed; those that are missing are the usual ones."""
    fields = tuple(
        Field(name, label, typed.get(name, usual).strip()[:20]) for name, (label, usual) in FIELDS.items()
    )
    try:
        numbers = {field.name: _number(field) for field in fields}
        spread = {name: numbers[name] for name in ("participant", "cell", "piece", "residual")}
        size = StudySize(numbers["listeners"], numbers["pieces"], n_conditions=numbers["conditions"])
        plan = describe_plan(Components(**spread), size, difference=numbers["difference"], margin=0.5)
    except AnalysisError as error:
        return Planned(fields, None, error=f"{error}.")
    return Planned(fields, plan, tuple(plan_words(plan)))


def _number(field: Field) -> float:
    try:
        return int(field.value) if field.name in WHOLE else float(field.value.replace(",", "."))
    except ValueError:
        kind = "a whole number" if field.name in WHOLE else "a number"
        raise AnalysisError(f"{field.label}: {field.value!r} is not {kind}") from None
