"""What a paper takes from a report: tables for LaTeX, tables as CSV, figures as SVG, and two paragraphs."""

from __future__ import annotations

import csv
import io

from analysis.ratings.document import all_plots, all_tables
from analysis.ratings.parts import Table
from analysis.ratings.table import spreadsheet_safe
from analysis.ratings.words import methods_words, results_words, simulated_words

LONGEST = 40  # rows of a table that stands on one page

#: What LaTeX reads as a command, and what prints the character instead.
ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after a line break it would be taken for its argument
        "]": "{]}",
        "\N{MINUS SIGN}": r"\ensuremath{-}",
        "√": r"\ensuremath{\surd}",
        "π": r"\ensuremath{\pi}",
    }
)


def latex_files(result: dict) -> dict[str, str]:
    """Every table for ``\\input``, and the paragraphs for methods and results, by the name of their file."""
    files = {f"{table.name}.tex": latex_table(table, result) for table in all_tables(result)}
    files["methods.tex"] = latex_text(methods_words(result)) + "\n"
    files["results.tex"] = latex_text(results_words(result)) + "\n"
    return files


def csv_files(result: dict) -> dict[str, str]:
    """Every table as it is shown, by the name of its file; no cell is one that a spreadsheet would run."""
    return {f"{table.name}.csv": csv_table(table, result) for table in all_tables(result)}


def svg_files(result: dict) -> dict[str, str]:
    """Every figure as a drawing, by the name of its file."""
    from analysis.charts.static import svg_of

    return {f"{plot.name}.svg": svg_of(plot.figure, caption=plot.caption) for plot in all_plots(result)}


def latex_table(table: Table, result: dict) -> str:
    """A ``table`` environment, or a ``longtable`` where it is longer than a page; both need booktabs."""
    columns = "".join("l" if column in (0, *table.words) else "r" for column in range(len(table.head)))
    caption = " ".join(filter(None, [simulated_words(result), table.caption]))
    said = rf"\caption{{{latex_text(caption)}}}\label{{tab:{table.name.replace('_', '-')}}}"
    head = [r"\toprule", _line(table.head), r"\midrule"]
    body = [*map(_line, table.rows), r"\bottomrule"]
    if len(table.rows) > LONGEST:
        lines = [
            rf"\begin{{longtable}}{{{columns}}}",
            rf"{said} \\",
            *head,
            r"\endhead",
            *body,
            r"\end{longtable}",
        ]
    else:
        begin = [r"\begin{table}", said, rf"\begin{{tabular}}{{{columns}}}"]
        lines = [*begin, *head, *body, r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """The text with every character that LaTeX would read as a command made harmless."""
    return text.translate(ESCAPES)


def csv_table(table: Table, result: dict) -> str:
    """The table as CSV; of simulated listeners each row says so."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\r\n")
    mark = ("simulated",) if result["simulated"] else ()
    writer.writerow([*table.head, *mark])
    for row in table.rows:
        writer.writerow([_cell(cell) for cell in (*row, *(1 for _ in mark))])
    return target.getvalue()


def _cell(cell: object) -> object:
    """A cell that no spreadsheet runs; signed numbers stay numbers."""
    text = str(cell).replace("\N{MINUS SIGN}", "-")
    if text[:1] in "+-" and text[1:2].isdigit():
        return text
    return spreadsheet_safe(text)


def _line(cells: tuple) -> str:
    return " & ".join(latex_text(" ".join(str(cell).split())) for cell in cells) + r" \\"
