"""The report of a study as one page: figures, a table beside each, and sentences made from the same numbers.

The page needs no network and runs no code but plotly's. Every text that came with the table is escaped.
"""

from __future__ import annotations

import html

import pandas as pd

from analysis.ratings.document import introduction, sections
from analysis.ratings.parts import Plot, Section, Table, Words

#: Nothing is fetched, sent or framed; the scripts and styles of the page itself may run.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
    "form-action 'none'\">"
)

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
.plot { background: #ffffff; border-radius: 8px; overflow-x: auto; overflow-y: hidden; }
.plot > div { min-width: 560px; }
figure { margin: 16px 0; }
figcaption { padding-top: 8px; }
.wide { overflow-x: auto; max-height: 80vh; }
nav ul { columns: 2; padding-left: 20px; }
a { color: inherit; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 16px; font-size: 15px; }
caption { text-align: left; padding: 8px 0; max-width: min(65ch, calc(100vw - 32px)); }
th, td { border-bottom: 1px solid var(--rule); padding: 6px 8px; text-align: right; vertical-align: top; }
th { font-size: 14px; }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
th[scope=row], thead th:first-child, td.words, th.words { text-align: left; white-space: normal; }
th[scope=row], td.words { overflow-wrap: anywhere; min-width: 120px; }
@media (max-width: 480px) { nav ul { columns: 1; } }
@media print {
  .wide { max-height: none; overflow: visible; }
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

    made = sections(result)
    *simulated, size = introduction(result, ratings)
    banner = "".join(f'<p class="banner"><strong>{html.escape(words)}</strong></p>\n' for words in simulated)
    contents = "".join(
        f'<li><a href="#{section.name}">{html.escape(section.title)}</a></li>' for section in made
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{POLICY}\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n"
        f"<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{banner}"
        f"<p>{html.escape(size)}</p>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n'
        f"{''.join(map(_section, made))}</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    parts = "".join(WRITERS[type(part)](part) for part in section.parts)
    heading = f'<h2 id="{section.name}">{html.escape(section.title)}</h2>'
    return f'<section aria-labelledby="{section.name}">\n{heading}\n{parts}</section>\n'


def _words(words: Words) -> str:
    if not words.is_list:
        return "".join(f"<p>{html.escape(sentence)}</p>\n" for sentence in words.sentences)
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in words.sentences)
    return f"<ul>{items}</ul>\n" if items else ""


def _plot(plot: Plot) -> str:
    config = {"displayModeBar": False, "responsive": True}
    drawn = plot.figure.to_html(
        full_html=False, include_plotlyjs=False, config=config, div_id=f"plot-{plot.name}"
    )
    words = html.escape(plot.caption)
    return (
        f'<figure>\n<div class="plot" role="img" aria-label="{words}" tabindex="0">{drawn}</div>\n'
        f"<figcaption>{words}</figcaption>\n</figure>\n"
    )


def _table(table: Table) -> str:
    """An HTML table; the first cell of a row names it, the columns of `words` hold text."""
    kinds = [' class="words"' if column in table.words else "" for column in range(len(table.head))]
    titles = "".join(
        f'<th scope="col"{kind}>{html.escape(title)}</th>'
        for kind, title in zip(kinds, table.head, strict=True)
    )
    body = []
    for row in table.rows:
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>']
        for column, cell in enumerate(row[1:], start=1):
            cells.append(f"<td{kinds[column]}>{html.escape(str(cell))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    caption = html.escape(table.caption)
    return (
        f'<div class="wide" role="region" aria-label="{caption}" tabindex="0"><table>\n'
        f"<caption>{caption}</caption>\n"
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{chr(10).join(body)}\n</tbody>\n</table></div>\n"
    )


WRITERS = {Table: _table, Plot: _plot, Words: _words}
