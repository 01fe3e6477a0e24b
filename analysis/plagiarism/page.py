"""The report on originality as one page that needs nothing else: sentences, figures, worst cases drawn.

The page loads nothing and runs no code but plotly's. Every name that came with the music is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from analysis.plagiarism.pair import Excerpt, PairView, pair_view
from analysis.plagiarism.settings import CorpusItem
from analysis.plagiarism.summary import by_copying
from analysis.plagiarism.words import (
    count,
    height_words,
    melody_match_words,
    melody_words,
    method_words,
    overlap_match_words,
    overlap_words,
    percent,
    shared_words,
    worst_words,
)
from music.drawing import pianoroll_svg
from music.score import Score

MOST_ROWS = 200  # of the table; the CSV file has them all
DRAWING_WIDTH, DRAWING_HEIGHT = 920, 180

#: What the page may load: nothing. Audio and images come inside it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data:"
)

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1a1a1a; --soft: #4d4d4a; --paper: #ffffff; --rule: #d9d9d6; --accent: #0072b2;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f2ef; --soft: #c4c4bf; --paper: #161616; --rule: #3d3d3a; --accent: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 16px 0; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 48px 0 8px; }
h3 { font-size: 17px; margin: 0 0 4px; overflow-wrap: anywhere; }
p, ul { max-width: 65ch; overflow-wrap: anywhere; }
li { margin: 4px 0; }
.small, caption, figcaption { font-size: 14px; color: var(--soft); }
figure { margin: 16px 0; }
.plot { background: #ffffff; border-radius: 8px; overflow: hidden; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 16px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 8px 0; }
th, td { border-bottom: 1px solid var(--rule); padding: 6px 8px; text-align: right; vertical-align: top; }
th { font-size: 14px; }
th[scope=row], thead th:first-child, .words { text-align: left; overflow-wrap: break-word; }
td { font-size: 15px; white-space: nowrap; }
td.words { white-space: normal; min-width: 8em; overflow-wrap: anywhere; }
.pair { border: 1px solid var(--rule); border-radius: 8px; padding: 16px; margin: 16px 0; }
.pair p { margin: 0 0 8px; }
.pair figure { margin: 8px 0 0; }
.pair svg { display: block; width: 100%; height: auto; }
.pair audio { display: block; width: 100%; margin-top: 4px; }
@media print {
  body { font-size: 12px; }
  main { max-width: none; }
  h2, figure, table, .pair { break-inside: avoid; }
}
"""


def report_html(
    result: dict,
    generated: Sequence[tuple[str, Score]],
    corpus: Sequence[CorpusItem],
    *,
    title: str = "What was copied from the corpus",
    audio: Mapping[str, tuple[str, str]] | None = None,
    n_worst: int = 5,
) -> str:
    """The result of `analysis.plagiarism.report.originality` as one HTML file that needs nothing else.

    Parameters
    ----------
    generated, corpus
        What the result was made from, in the same order.
    audio : mapping of str to (str, str), optional
        For a generated piece's name, ``data:`` addresses of two audio files: the excerpt drawn and its
        nearest corpus excerpt. Other addresses are left out: the page loads nothing.
    n_worst : int
        How many pieces are drawn beside their nearest excerpt, by each measure.
    """
    from plotly.offline import get_plotlyjs  # slow to import, and 4 MB

    parts = [_headline(result, len(corpus))]
    if result["summary"]["overlap"] is not None:
        parts.append(_overlap_section(result))
    if result["summary"]["melody"] is not None:
        parts.append(_melody_section(result))
    parts += [
        _worst_section(result, generated, corpus, audio or {}, n_worst, "overlap"),
        _worst_section(result, generated, corpus, {}, n_worst, "melody"),
        _pieces_section(result),
        _section("How this was computed", _list(method_words(result))),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n"
        f"{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _headline(result: dict, n_corpus: int) -> str:
    n_pieces = len(result["pieces"])
    size = (
        f"{n_pieces:,} generated piece{'' if n_pieces == 1 else 's'} against a corpus of {n_corpus:,} "
        f"piece{'' if n_corpus == 1 else 's'}."
    )
    paragraphs = ([size], overlap_words(result)[:2], melody_words(result)[:2], worst_words(result))
    return "".join(f"<p>{html.escape(' '.join(words))}</p>\n" for words in paragraphs if words)


def _overlap_section(result: dict) -> str:
    from analysis.charts import originality as charts

    summary = result["summary"]["overlap"]
    plot = _plot(charts.overlap_figure(result), charts.overlap_caption(result))
    rows = [
        (name, *(_figures(figures, percent)))
        for name, figures in (
            ("Generated", summary),
            (f"Human ({summary['baseline']['kind']})", summary["baseline"]),
            ("Shuffled control", summary["control"]),
        )
    ]
    head = ("Windows", "n", "Mean", "Median", "95th percentile", "Largest")
    table = _table("Share of notes in common with the nearest corpus window.", head, rows)
    return _section("Notes in common", plot, table, _list(overlap_words(result)[2:]))


def _melody_section(result: dict) -> str:
    from analysis.charts import originality as charts

    summary = result["summary"]["melody"]
    frontier = _plot(charts.frontier_figure(result), charts.frontier_caption(result))
    plot = _plot(charts.melody_figure(result), charts.melody_caption(result))
    sets = (
        ("Generated", summary),
        (f"Human ({summary['baseline']['kind']})", summary["baseline"]),
        ("Shuffled control", summary["control"]),
    )
    rows = []
    for name, figures in sets:
        medians = figures["frontier"]["median"]
        steps = " / ".join(f"{length:g}" for length in medians) if medians else "-"
        rows.append((name, *_figures(figures, _number), steps))
    n_edits = result["settings"]["edits"]
    steps_head = "Steps with 0" + "".join(f" / {k}" for k in range(1, n_edits + 1)) + " edits, median"
    head = ("Melodies", "n", "Mean score", "Median", "95th percentile", "Largest", steps_head)
    table = _table("Score and length of the best match in the corpus.", head, rows)
    return _section("Melody in common", frontier, plot, table, _list(melody_words(result)[2:]))


def _worst_section(
    result: dict,
    generated: Sequence[tuple[str, Score]],
    corpus: Sequence[CorpusItem],
    audio: Mapping[str, tuple[str, str]],
    n_worst: int,
    part: str,
) -> str:
    """The pieces that share most by one measure, each drawn above its nearest corpus excerpt."""
    places = [place for place, piece in enumerate(result["pieces"]) if piece[part] and piece[part]["matches"]]
    if part == "overlap":
        ranks = {id(piece): rank for rank, piece in enumerate(by_copying(result["pieces"]))}
        places.sort(key=lambda place: ranks[id(result["pieces"][place])])
    else:
        places.sort(key=lambda place: -result["pieces"][place]["melody"]["score"])
        usual = result["summary"]["melody"]["baseline"]["median"] if places else None
        # Beyond the longest, only what half of human melodies do not have is worth a drawing.
        places = [
            place
            for rank, place in enumerate(places)
            if rank == 0 or usual is None or result["pieces"][place]["melody"]["score"] > usual
        ]
    cards = []
    for place in places[:n_worst]:
        piece = result["pieces"][place]
        match = piece[part]["matches"][0]
        view = pair_view(
            generated[place][1], corpus[match["corpus_index"]].score, match, settings=result["settings"]
        )
        words = overlap_match_words(piece[part], match) if part == "overlap" else melody_match_words(match)
        unit = result["settings"]["unit"] if part == "overlap" else "onset"
        cards.append(
            _pair_card(piece["piece"], match["corpus_piece"], words, view, unit, audio.get(piece["piece"]))
        )
    if not cards:
        return ""
    heading = {"overlap": "Most notes in common", "melody": "Longest melodies in common"}[part]
    legend = (
        "<p>Above the generated excerpt, below the excerpt of the corpus. Notes that both share are orange "
        "with an outline.</p>\n"
    )
    return _section(heading, legend, *cards)


def _pair_card(
    name: str, corpus_name: str, words: str, view: PairView, unit: str, audio: tuple[str, str] | None
) -> str:
    own_audio, corpus_audio = audio or ("", "")
    if view.transposition or view.apart:
        words += f" {height_words(view.transposition, view.apart)}"
    return (
        f'<article class="pair">\n<h3>{html.escape(name)}</h3>\n<p>{html.escape(words)}</p>\n'
        f"{_drawing(view.generated, view, f'Generated: {name}', unit, own_audio)}"
        f"{_drawing(view.corpus, view, f'Corpus: {corpus_name}', unit, corpus_audio)}</article>\n"
    )


def _drawing(excerpt: Excerpt, view: PairView, title: str, unit: str, audio: str) -> str:
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
    player = ""
    if audio.startswith("data:audio/"):
        player = f'<audio controls preload="none" src="{html.escape(audio, quote=True)}"></audio>\n'
    caption = f"{title}: {shared_words(excerpt.n_shared, len(excerpt.shared), unit)}"
    return f"<figure>\n{drawn}\n<figcaption>{html.escape(caption)}</figcaption>\n{player}</figure>\n"


def _pieces_section(result: dict) -> str:
    pieces = by_copying(result["pieces"])
    rows = [_piece_row(piece) for piece in pieces[:MOST_ROWS]]
    caption = (
        "Most notes in common first, by the window that shares most. Above human: the share of human windows "
        "that share less."
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
    return _section("Piece by piece", _table(caption, head, rows, words=(4, 6)))


def _piece_row(piece: Mapping) -> tuple:
    overlap, melody = piece["overlap"], piece["melody"]
    shared, above, nearest = "-", "-", ""
    if overlap:
        shared = f"{overlap['shared']} of {overlap['window_notes']} ({percent(overlap['score'])})"
        if overlap["few_notes"]:
            shared = f"few notes: {shared}"
        above = percent(overlap["baseline_rank"])
        nearest = overlap["matches"][0]["corpus_piece"] if overlap["matches"] else ""
    score, nearest_melody = "-", ""
    if melody:
        score = count(melody["matched"], "step")
        if melody["edits"]:
            score += f", {count(melody['edits'], 'edit')}"
        if melody["monotonous"]:
            score = f"monotonous: {score}"
        nearest_melody = melody["matches"][0]["corpus_piece"] if melody["matches"] else ""
    return piece["piece"], f"{piece['notes']:,}", shared, above, nearest, score, nearest_melody


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
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True}
    )
    words = html.escape(caption)
    return f'<figure>\n<div class="plot">{drawn}</div>\n<figcaption>{words}</figcaption>\n</figure>\n'


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence], *, words: tuple[int, ...] = ()
) -> str:
    """An HTML table; the first cell of a row names it, the columns of `words` hold text."""
    kinds = [' class="words"' if column in words else "" for column in range(len(head))]
    titles = "".join(
        f'<th scope="col"{kind}>{html.escape(name)}</th>' for kind, name in zip(kinds, head, strict=True)
    )
    body = []
    for row in rows:
        cells = [f'<th scope="row">{html.escape(str(row[0]))}</th>']
        cells += [
            f"<td{kind}>{html.escape(str(cell))}</td>" for kind, cell in zip(kinds[1:], row[1:], strict=True)
        ]
        body.append(f"<tr>{''.join(cells)}</tr>\n")
    return (
        f'<div class="wide"><table>\n<caption>{html.escape(caption)}</caption>\n'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{''.join(body)}</tbody>\n</table></div>\n"
    )
