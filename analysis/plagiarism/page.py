"""The report on originality as one page that needs nothing else: sentences, figures, worst cases drawn.

The page loads nothing; its own script draws the plots in the reader's colours and sorts the table. Every
name that came with the music is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.plagiarism.page_look import SCRIPT, STYLE
from analysis.plagiarism.pair import Excerpt, PairView, edit_words, pair_view
from analysis.plagiarism.settings import CorpusItem, StoredItem
from analysis.plagiarism.summary import by_copying
from analysis.plagiarism.words import (
    count,
    height_words,
    limit_words,
    melody_match_words,
    melody_words,
    method_words,
    overlap_match_words,
    overlap_words,
    percent,
    question_words,
    shared_words,
    span_words,
    worst_words,
)
from music.drawing import pianoroll_svg
from music.score import Score

MOST_EDITS = 12  # of a melody, spelled out
MOST_ROWS = 200  # of the table; the CSV file has them all
DRAWING_WIDTH, DRAWING_HEIGHT = 920, 180

#: What the page may load: nothing. Audio and images come inside it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:"
)


def report_html(
    result: dict,
    generated: Sequence[tuple[str, Score]],
    corpus: Sequence[CorpusItem | StoredItem],
    *,
    title: str = "What was copied from the corpus",
    subject: str = "",
    corpus_name: str = "",
    sound: Callable[[Score], bytes | None] = lambda excerpt: None,
    n_worst: int = 5,
) -> str:
    """The result of `analysis.plagiarism.report.originality` as one HTML file that needs nothing else.

    Parameters
    ----------
    generated, corpus
        What the result was made from, in the same order.
    subject, corpus_name : str
        What was searched, and in what, as the reader knows them.
    sound : callable, optional
        Plays a short score: gives the bytes of an MP3 file, or None where there is nothing to hear. The page
        holds what it gives, two for each pair that is drawn.
    n_worst : int
        How many pieces are drawn beside their nearest excerpt, by each measure.
    """
    from plotly.offline import get_plotlyjs  # slow to import, and 4 MB

    pairs = _Pairs(result, generated, corpus, sound)
    parts = [_headline(result, len(corpus), subject, corpus_name)]
    if result["summary"]["overlap"] is not None:
        parts.append(_overlap_section(result))
    if result["summary"]["melody"] is not None:
        parts.append(_melody_section(result))
    parts += [
        _worst_section(result, pairs, n_worst, "overlap"),
        _worst_section(result, pairs, n_worst, "melody"),
        _pieces_section(result),
        _section("What this can say, and what it cannot", _list(limit_words(result))),
        _section("How this was computed", _list(method_words(result))),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n"
        f"{''.join(parts)}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _headline(result: dict, n_corpus: int, subject: str, corpus_name: str) -> str:
    generated = count(len(result["pieces"]), "generated piece") + (f" ({subject})" if subject else "")
    corpus = "a corpus of " + count(n_corpus, "piece") + (f" ({corpus_name})" if corpus_name else "")
    size = f"{generated} against {corpus}."
    paragraphs = ([size], overlap_words(result)[:2], melody_words(result)[:2], worst_words(result))
    texts = [html.escape(" ".join(words)) for words in paragraphs if words]
    asked = _list(question_words(result))
    return f"<p>{texts[0]}</p>\n{asked}" + _section("In short", *(f"<p>{each}</p>\n" for each in texts[1:]))


def _tiles(figures: Sequence[tuple[str, str]]) -> str:
    """The few figures that matter most, in large type."""
    tiles = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>\n" for name, value in figures
    )
    return f'<dl class="figures">\n{tiles}</dl>\n'


def _overlap_section(result: dict) -> str:
    from analysis.charts import originality as charts

    summary = result["summary"]["overlap"]
    plot = _plot(charts.overlap_figure(result), charts.overlap_caption(result))
    rows = [(name, *_figures(figures, percent)) for name, figures in _sets(summary)]
    head = ("Windows", "n", "Mean", "Median", "95th percentile", "Largest")
    table = _table("Share of notes in common with the nearest corpus window.", head, rows)
    tiles = _tiles([(name, percent(row["mean"])) for name, row in _sets(summary)])
    return _section("Notes in common", tiles, plot, table, _list(overlap_words(result)[2:]))


def _sets(summary: Mapping) -> list[tuple[str, Mapping]]:
    """The three sets that are compared, by name."""
    return [
        ("Generated", summary),
        (f"Human ({summary['baseline']['kind']})", summary["baseline"]),
        ("Shuffled control", summary["control"]),
    ]


def _melody_section(result: dict) -> str:
    from analysis.charts import originality as charts

    summary = result["summary"]["melody"]
    frontier = _plot(charts.frontier_figure(result), charts.frontier_caption(result))
    plot = _plot(charts.melody_figure(result), charts.melody_caption(result))
    rows = []
    for name, figures in _sets(summary):
        medians = figures["frontier"]["median"]
        steps = " / ".join(f"{length:g}" for length in medians) if medians else "-"
        rows.append((name, *_figures(figures, _number), steps))
    n_edits = result["settings"]["edits"]
    steps_head = "Steps with 0" + "".join(f" / {k}" for k in range(1, n_edits + 1)) + " edits, median"
    head = ("Melodies", "n", "Mean score", "Median", "95th percentile", "Largest", steps_head)
    table = _table("Score and length of the best match in the corpus.", head, rows)
    longest = [(name, row["frontier"]["median"]) for name, row in _sets(summary)]
    tiles = _tiles([(name, f"{steps[0]:g} steps" if steps else "-") for name, steps in longest])
    note = '<p class="small">The longest stretch that stands unchanged in the corpus, median.</p>\n'
    return _section("Melody in common", tiles, note, frontier, plot, table, _list(melody_words(result)[2:]))


class _Pairs:
    """Draws a generated excerpt above its nearest corpus excerpt, with the sound of both."""

    def __init__(
        self,
        result: dict,
        generated: Sequence[tuple[str, Score]],
        corpus: Sequence[CorpusItem | StoredItem],
        sound: Callable[[Score], bytes | None],
    ):
        self.result = result
        self.settings = result["settings"]
        self.generated = generated
        self.corpus = corpus
        self.sound = sound

    def card(self, place: int, part: str) -> str:
        """The pair of one piece, by its place in the result."""
        piece = self.result["pieces"][place]
        match = piece[part]["matches"][0]
        scores = self.generated[place][1], self.corpus[match["corpus_index"]].score
        view = pair_view(*scores, match, settings=self.settings)
        if part == "overlap":
            sentences, unit = [overlap_match_words(piece[part], match)], self.settings["unit"]
            details = []
        else:
            sentences, unit = [melody_match_words(match)], "onset"
            edits = edit_words(*scores, match, settings=self.settings)
            more = len(edits) - MOST_EDITS
            rest = [f"And {count(more, 'edit')} more, which the JSON file has."] if more > 0 else []
            details = [*span_words(match), *edits[:MOST_EDITS], *rest]
        if view.transposition or view.apart:
            sentences.append(height_words(view.transposition, view.apart))
        name, corpus_name = piece["piece"], match["corpus_piece"]
        return (
            f'<article class="pair">\n<h3>{html.escape(name)}</h3>\n'
            f"<p>{html.escape(' '.join(sentences))}</p>\n{_list(details)}"
            f"{self._drawing(view.generated, view, f'Generated: {name}', unit)}"
            f"{self._drawing(view.corpus, view, f'Corpus: {corpus_name}', unit)}</article>\n"
        )

    def _drawing(self, excerpt: Excerpt, view: PairView, title: str, unit: str) -> str:
        drawn = pianoroll_svg(
            excerpt.score,
            start_tick=excerpt.start_tick,
            end_tick=excerpt.end_tick,
            marked=excerpt.shared,
            pitches=view.pitches,
            width=DRAWING_WIDTH,
            height=DRAWING_HEIGHT,
            title=title,
        )
        caption = html.escape(f"{title}: {shared_words(excerpt.n_shared, len(excerpt.shared), unit)}")
        label = html.escape(title, quote=True)
        return (
            f'<figure>\n<div class="wide" role="group" aria-label="{label}, piano roll" tabindex="0">{drawn}'
            f"</div>\n<figcaption>{caption}</figcaption>\n{self._player(excerpt, title)}</figure>\n"
        )

    def _player(self, excerpt: Excerpt, title: str) -> str:
        played = self.sound(excerpt.alone)
        if played is None:
            return ""
        address = f"data:audio/mpeg;base64,{base64.b64encode(played).decode()}"
        label = html.escape(f"Hear {title}", quote=True)
        return f'<audio controls preload="none" aria-label="{label}" src="{address}"></audio>\n'


def _worst_section(result: dict, pairs: _Pairs, n_worst: int, part: str) -> str:
    """The pieces that share most by one measure, each drawn above its nearest corpus excerpt."""
    cards = [pairs.card(place, part) for place in _worst_places(result, part)[:n_worst]]
    if not cards:
        return ""
    heading = {"overlap": "Most notes in common", "melody": "Longest melodies in common"}[part]
    legend = (
        "<p>Above the generated excerpt, below the excerpt of the corpus. Notes that both share are orange "
        "with an outline. Where the corpus excerpt is drawn in another key, it sounds in that key, too.</p>\n"
    )
    return _section(heading, legend, *cards)


def _worst_places(result: dict, part: str) -> list[int]:
    """Places of the pieces that share most, most first."""
    pieces = result["pieces"]
    places = [place for place, piece in enumerate(pieces) if piece[part] and piece[part]["matches"]]
    if part == "overlap":
        ranks = {id(piece): rank for rank, piece in enumerate(by_copying(pieces))}
        return sorted(places, key=lambda place: ranks[id(pieces[place])])
    places.sort(key=lambda place: -pieces[place]["melody"]["score"])
    usual = result["summary"]["melody"]["baseline"]["median"] if places else None
    # Beyond the longest, only what half of human melodies do not have is worth a drawing.
    return [
        place
        for rank, place in enumerate(places)
        if rank == 0 or usual is None or pieces[place]["melody"]["score"] > usual
    ]


def _pieces_section(result: dict) -> str:
    pieces = by_copying(result["pieces"])
    rows = [_piece_row(piece) for piece in pieces[:MOST_ROWS]]
    caption = (
        "Most notes in common first, by the window that shares most; the buttons sort by another column. "
        "Above human: the share of human windows that share less."
    )
    if len(pieces) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(pieces):,}; the CSV table has them all."
    head = (
        "Piece",
        "Notes",
        "Notes in common",
        "Above human",
        "Nearest by notes",
        "Melody in common",
        "Nearest by melody",
    )
    return _section("Piece by piece", _table(caption, head, rows, words=(4, 6), sortable=True))


def _piece_row(piece: Mapping) -> tuple:
    overlap, melody = piece["overlap"], piece["melody"]
    shared, above, nearest = _Cell("-", ""), _Cell("-", ""), ""
    if overlap:
        words = f"{overlap['shared']} of {overlap['window_notes']} ({percent(overlap['score'])})"
        shared = _Cell(f"few notes: {words}" if overlap["few_notes"] else words, overlap["score"])
        above = _Cell(percent(overlap["baseline_rank"]), overlap["baseline_rank"])
        nearest = overlap["matches"][0]["corpus_piece"] if overlap["matches"] else ""
    score, nearest_melody = _Cell("-", ""), ""
    if melody:
        words = count(melody["matched"], "step")
        if melody["edits"]:
            words += f", {count(melody['edits'], 'edit')}"
        score = _Cell(f"monotonous: {words}" if melody["monotonous"] else words, melody["score"])
        nearest_melody = melody["matches"][0]["corpus_piece"] if melody["matches"] else ""
    notes = _Cell(f"{piece['notes']:,}", piece["notes"])
    return piece["piece"], notes, shared, above, nearest, score, nearest_melody


@dataclass(frozen=True)
class _Cell:
    """A cell with the number that it is sorted by."""

    words: str
    number: float | str | None  # none or "" for a cell without one

    def __str__(self):
        return self.words


def _figures(figures: Mapping, words) -> tuple:
    return (f"{figures['n']:,}", *(words(figures[key]) for key in ("mean", "median", "p95", "max")))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _section(heading: str, *parts: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{''.join(parts)}</section>\n"


def _list(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{html.escape(sentence)}</li>\n" for sentence in sentences)
    return f"<ul>\n{items}</ul>\n"


def _plot(figure, caption: str) -> str:
    """A place for a figure, with the figure as data that the page's script draws."""
    data = figure.to_json()
    id = f"figure-{hashlib.sha256(data.encode()).hexdigest()[:12]}"
    label = html.escape(caption, quote=True)
    return (
        f'<figure>\n<div class="plot" role="img" aria-label="{label}" data-figure="{id}"></div>\n'
        f"<figcaption>{html.escape(caption)}</figcaption>\n"
        f'<script type="application/json" id="{id}">{_as_data(data)}</script>\n</figure>\n'
    )


def _as_data(text: str) -> str:
    """JSON that cannot end the element that it stands in."""
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence],
    *,
    words: tuple[int, ...] = (),
    sortable: bool = False,
) -> str:
    """An HTML table; the first cell of a row names it, the columns of `words` hold text."""
    kinds = [' class="words"' if column in words else "" for column in range(len(head))]
    titles = "".join(
        f'<th scope="col"{kind}>{_title(name, kind or not column, sortable)}</th>'
        for column, (kind, name) in enumerate(zip(kinds, head, strict=True))
    )
    body = []
    for row in rows:
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>']
        cells += [
            f"<td{kind}{_sort_key(cell)}>{html.escape(str(cell))}</td>"
            for kind, cell in zip(kinds[1:], row[1:], strict=True)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>\n")
    label = html.escape(caption, quote=True)
    return (
        f'<div class="wide" role="group" aria-label="{label}" tabindex="0"><table>\n'
        f"<caption>{html.escape(caption)}</caption>\n"
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{''.join(body)}</tbody>\n</table></div>\n"
    )


def _title(name: str, is_text: object, sortable: bool) -> str:
    """The head of a column; names begin at A, figures at the largest."""
    first = "ascending" if is_text else "descending"
    escaped = html.escape(name)
    return f'<button type="button" data-first="{first}">{escaped}</button>' if sortable else escaped


def _sort_key(cell: object) -> str:
    if not isinstance(cell, _Cell):
        return ""
    return f' data-sort="{"" if cell.number is None else cell.number}"'
