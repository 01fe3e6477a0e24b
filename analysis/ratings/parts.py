"""What a report is made of: sections of tables, plots and sentences, whatever they are written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; the first of a row names it."""

    name: str  # of its file, and its anchor
    caption: str
    head: tuple[str, ...]
    rows: list[tuple]
    words: tuple[int, ...] = ()  # columns of text, set flush left


@dataclass(frozen=True)
class Plot:
    """A figure of `analysis.charts`; the table that follows it has its numbers."""

    name: str
    figure: Any  # plotly.graph_objects.Figure
    caption: str


@dataclass(frozen=True)
class Words:
    """Sentences: a list, or one paragraph."""

    sentences: list[str]
    is_list: bool = True


@dataclass(frozen=True)
class Section:
    """A heading with what belongs to it."""

    name: str
    title: str
    parts: list[Table | Plot | Words]
