"""The report of a study as a PDF: the sections of the page, drawn without a browser.

Figures are vectors, letters are embedded (DejaVu, as matplotlib brings it), pages are numbered, and headings
are the outline of the file. A script that DejaVu lacks shows empty boxes; the page has every script.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pandas as pd
from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from analysis.charts.static import WIDTH, svg_of
from analysis.ratings.document import introduction, sections
from analysis.ratings.parts import Plot, Section, Table, Words

MARGIN = 18.0  # millimetres
INK, SOFT, RULE = 26, 92, 210  # of 255
MOST_ROWS = 60  # of a table on paper; the page and the CSV have them all
TALLEST = 225.0  # millimetres of a figure: a page holds it with its caption
TEXT, SMALL = 9.5, 8.0  # points
MOST_COLUMNS = 9  # beyond, a table is set in small type


def report_pdf(
    result: dict, ratings: pd.DataFrame | None = None, *, title: str = "What the listeners said"
) -> bytes:
    """The result of `analysis.ratings.report.analyse` as a PDF of A4 pages."""
    paper = _Paper(title, is_simulated=result["simulated"])
    paper.heading(title, 16, level=0)
    *simulated, size = introduction(result, ratings)
    for words in simulated:
        paper.sentence(words, style="B")
    paper.sentence(size)
    for section in sections(result):
        paper.section(section)
    return bytes(paper.output())


class _Paper(FPDF):
    """Pages of A4 with the title in the file's properties and a number at the foot."""

    def __init__(self, title: str, *, is_simulated: bool):
        super().__init__(format="A4")
        import matplotlib

        logging.getLogger("fontTools").setLevel(logging.WARNING)
        logging.getLogger("fpdf").setLevel(logging.ERROR)  # what it says of glyphs is said above
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.add_font("DejaVu", "", fonts / "DejaVuSans.ttf")
        self.add_font("DejaVu", "B", fonts / "DejaVuSans-Bold.ttf")
        self.is_simulated = is_simulated
        self.set_title(title)
        self.set_lang("en")
        self.set_creator("Earwitness")
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(True, MARGIN)
        self.set_draw_color(RULE)
        self.add_page()

    def footer(self) -> None:
        """The number of the page; of simulated listeners, that they are."""
        self.set_y(-MARGIN + 6)
        self.set_font("DejaVu", size=SMALL)
        self.set_text_color(SOFT)
        mark = "Simulated listeners · " if self.is_simulated else ""
        self.cell(0, 4, f"{mark}{self.page_no()} / {{nb}}", align="C")

    def section(self, section: Section) -> None:
        """A heading, then its parts."""
        first = section.parts[0]
        needed = 20 + self._height(first) if isinstance(first, Plot) else 45
        if self.get_y() + needed > self.h - MARGIN:
            self.add_page()
        self.heading(section.title, 12.5, level=1)
        for part in section.parts:
            WRITERS[type(part)](self, part)

    def heading(self, text: str, size: float, *, level: int) -> None:
        """A line of the outline and of the page."""
        self.ln(3)
        self.start_section(text, level=level)
        self.set_text_color(INK)
        self.set_font("DejaVu", "B", size)
        self.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1.5)

    def sentence(self, text: str, *, size: float = TEXT, shade: int = INK, style: str = "") -> None:
        """A paragraph across the page."""
        self.set_text_color(shade)
        self.set_font("DejaVu", style, size)
        self.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1.5)

    def words(self, words: Words) -> None:
        """Sentences, those of a list after a dot."""
        for sentence in words.sentences:
            self.sentence(f"• {sentence}" if words.is_list and len(words.sentences) > 1 else sentence)

    def plot(self, plot: Plot) -> None:
        """A figure with its caption below, both on one page."""
        drawing = svg_of(plot.figure, as_paths=True)
        height = self._height(plot)
        natural = self._natural_height(plot)
        width = self.epw * height / natural
        if self.get_y() + height + 14 > self.h - MARGIN:
            self.add_page()
        self.image(io.BytesIO(drawing.encode()), x=self.l_margin, w=width, h=height, alt_text=plot.caption)
        self.sentence(plot.caption, size=SMALL, shade=SOFT)

    def table(self, table: Table) -> None:  # fpdf's own takes rows; these are ours
        """A table under its caption; its head is repeated where it goes on over a page."""
        left_out = len(table.rows) - MOST_ROWS
        caption = table.caption
        if left_out > 0:
            caption += f" The first {MOST_ROWS} of {len(table.rows):,} rows; the page and the CSV have all."
        if self.get_y() > self.h - 50:
            self.add_page()
        self.ln(1)
        self.sentence(caption, size=SMALL, shade=SOFT)
        shown = table.rows[:MOST_ROWS]
        size = SMALL - 1.5 if len(table.head) > MOST_COLUMNS else SMALL - 0.5
        self.set_font("DejaVu", size=size)
        self.set_text_color(INK)
        left = [column in (0, *table.words) for column in range(len(table.head))]
        with super().table(
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            col_widths=self._widths(table, shown),
            headings_style=FontFace(emphasis="BOLD"),
            line_height=size * 0.5,
            padding=0.8,
            text_align=tuple("LEFT" if is_left else "RIGHT" for is_left in left),
        ) as drawn:
            for cells in (table.head, *shown):
                row = drawn.row()
                for cell in cells:
                    row.cell(" ".join(str(cell).split()))
        self.ln(3)

    def _natural_height(self, plot: Plot) -> float:
        """Millimetres of a figure as wide as the page."""
        return (plot.figure.layout.height or 360) * self.epw / WIDTH

    def _height(self, plot: Plot) -> float:
        return min(self._natural_height(plot), TALLEST)

    def _widths(self, table: Table, rows: list[tuple]) -> tuple[float, ...]:
        """Column widths: numbers as wide as they are, words share what is left."""
        widths = []
        for column, title in enumerate(table.head):
            cells = [str(row[column]) for row in rows]
            longest = max((self.get_string_width(cell) for cell in cells), default=0.0)
            word = max((1.15 * self.get_string_width(part) for part in title.split()), default=0.0)
            widths.append(max(longest, word) + 4.0)
        flexible = [column for column in range(len(widths)) if column in (0, *table.words)]
        wide = sum(widths[column] for column in flexible)
        left = self.epw - (sum(widths) - wide)
        if sum(widths) > self.epw and left > 10.0 * len(flexible):
            for column in flexible:
                widths[column] *= left / wide
        return tuple(widths)


WRITERS = {Table: _Paper.table, Plot: _Paper.plot, Words: _Paper.words}
