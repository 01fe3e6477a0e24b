"""The piano roll as a small drawing: the emblem that stands for a piece.

SVG without script, style sheet or fixed colours: lines and notes take the colour of the text around them, so
one drawing serves light and dark pages. A page styles it by class: ``pianoroll`` (the drawing), ``bar``,
``octave``, ``pitch-name``, ``note``, ``drum`` and ``shared``, the marked notes, which also have an outline:
nothing here is said by colour alone. Not for listeners: the shape of a piece could unblind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from music.score import Note, Score, ScoreError

SHARED_COLOUR = "#D55E00"  # vermillion of Okabe and Ito, told apart with every kind of colour vision

_MARGIN = 2.0  # pixels on every side
_NAME_WIDTH = 21.0  # for "C4" at the left edge
_DRUM_HEIGHT = 12.0
_LEAST_SPAN = 24  # semitones, so that a piece on one pitch does not fill the height
_LEAST_BAR_WIDTH = 9.0  # bars closer than this are ruled in twos, fours, eights
_LEAST_HEIGHT_FOR_NAMES = 64
_OUTLINE = 'stroke-width=".75"'
_BASS_DRUMS = frozenset((35, 36))  # General MIDI percussion key map
_SNARES_AND_TOMS = frozenset((37, 38, 39, 40, 41, 43, 45, 47, 48, 50))


def pianoroll_svg(
    score: Score,
    *,
    start_tick: int = 0,
    end_tick: int | None = None,
    marked: Iterable[Note] = (),
    pitches: tuple[int, int] | None = None,
    width: int = 640,
    height: int = 160,
    title: str = "",
) -> str:
    """Draw a stretch of a score as a standalone SVG that can stand inline in a page.

    Parameters
    ----------
    start_tick, end_tick : int
        What is drawn; by default the whole piece.
    marked : iterable of Note
        Notes of the score to bring out (class ``shared``): those that another piece has too.
    pitches : (int, int), optional
        Lowest and highest pitch to make room for, so that two drawings share a scale; else what sounds.
    width, height : int
        In pixels; drums, if any, have a strip of their own at the bottom.
    title : str
        What a screen reader says; the score's own title by default.

    Returns
    -------
    svg : str
        One ``<svg role="img">`` element. Louder notes are darker. An empty stretch gives an empty roll.

    Raises
    ------
    ScoreError
        If the stretch or the size makes no sense.
    """
    end = score.end if end_tick is None else end_tick
    if start_tick < 0 or (end_tick is not None and end_tick <= start_tick):
        raise ScoreError(f"a drawing needs 0 <= start < end, got ticks {start_tick} to {end_tick}")
    if not (40 <= width <= 20_000 and 16 <= height <= 20_000):
        raise ScoreError(f"a drawing has 40-20,000 by 16-20,000 pixels, got {width} by {height}")
    end = max(end, start_tick + 1)
    marks = set(marked)
    pitched = _visible(score.notes(drums=False), start_tick, end)
    drums = _visible((n for track in score.tracks if track.is_drum for n in track.notes), start_tick, end)

    has_names = height >= _LEAST_HEIGHT_FOR_NAMES and width >= 200
    left = _MARGIN + (_NAME_WIDTH if has_names else 0)
    right = width - _MARGIN
    bottom = height - _MARGIN - (_DRUM_HEIGHT if drums else 0)
    lowest, highest = _pitch_range([*(note.pitch for note in pitched), *(pitches or ())])
    row = (bottom - _MARGIN) / (highest - lowest + 1)
    per_tick = (right - left) / (end - start_tick)

    def x_of(tick: int) -> float:
        return left + (min(max(tick, start_tick), end) - start_tick) * per_tick

    def y_of(pitch: int) -> float:  # of the top edge of the pitch's row
        return bottom - (pitch - lowest + 1) * row

    label = " ".join((title or score.title or "Piano roll").split())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pianoroll" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'fill="currentColor" stroke="none">',
        f"<title>{escape(label)}</title>",
    ]
    parts += _bar_lines(score, start_tick, end, x_of, _MARGIN, height - _MARGIN)
    for pitch in range(lowest - lowest % 12 + 12 if lowest % 12 else lowest, highest + 1, 12):
        y = y_of(pitch) + row  # the line under the row of a C
        parts.append(
            f'<path class="octave" d="M{_n(left)} {_n(y)}H{_n(right)}" fill="none" stroke="currentColor" '
            f'stroke-opacity=".22" stroke-dasharray="1 3"/>'
        )
        if has_names:
            # 7.5: half the height of the digits keeps the topmost name inside the drawing.
            text_y = max(y - row / 2 + 3.2, 8.5)
            parts.append(
                f'<text class="pitch-name" x="{_n(left - 5)}" y="{_n(text_y)}" font-size="9" '
                f'font-family="system-ui, sans-serif" text-anchor="end" fill-opacity=".6">'
                f"C{pitch // 12 - 1}</text>"
            )

    thick = max(min(row * 0.82, 9.0), 1.8)
    plain: dict[
        tuple[int, float], list[tuple[float, float]]
    ] = {}  # (quarter of the velocities, y) -> extents
    shared = []
    for note in pitched:
        x, y = x_of(note.onset), y_of(note.pitch) + row / 2
        # A hairline of space keeps repeated notes apart.
        long = max(x_of(note.end) - x - 0.8, thick)
        if note in marks:
            box = _rect(x, y - thick / 2 - 0.6, long, thick + 1.2)
            shared.append(
                f'<rect class="shared" {box} fill="{SHARED_COLOUR}" stroke="currentColor" {_OUTLINE}/>'
            )
        else:
            # The round ends add `thick` to what is stroked.
            plain.setdefault((note.velocity // 32, y), []).append((x + thick / 2, x + long - thick / 2))
    for quarter in range(4):
        strokes = [
            f"M{_n(first)} {_n(y)}h{_n(last - first)}"
            for (level, y), extents in sorted(plain.items())
            if level == quarter
            for first, last in _merge(extents, thick / 2)
        ]
        if strokes:
            opacity = _n(0.5 + 0.15 * quarter)
            parts.append(
                f'<path class="note" d="{"".join(strokes)}" fill="none" stroke="currentColor" '
                f'stroke-width="{_n(thick)}" stroke-linecap="round" stroke-opacity="{opacity}"/>'
            )
    parts += shared
    if drums:
        parts += _drum_strip(drums, marks, x_of, height - _MARGIN - _DRUM_HEIGHT)
    parts.append("</svg>")
    return "".join(parts)


def _visible(notes: Iterable[Note], start_tick: int, end_tick: int) -> list[Note]:
    return [note for note in notes if note.onset < end_tick and note.end > start_tick]


def _pitch_range(pitches: list[int]) -> tuple[int, int]:
    """The lowest and highest row: what sounds, a semitone of air, and at least two octaves."""
    if not pitches:
        return 48, 72
    lowest, highest = min(pitches) - 1, max(pitches) + 1
    missing = max(0, _LEAST_SPAN - (highest - lowest))
    lowest -= missing // 2
    highest += missing - missing // 2
    return max(lowest, -1), min(highest, 128)


def _bar_lines(score: Score, start_tick: int, end_tick: int, x_of, top: float, bottom: float) -> list[str]:
    """Faint rules where bars start, every fourth a little darker; fewer of them where bars are narrow."""
    bars = [(number, tick) for number, tick in enumerate(score.bar_starts()) if start_tick <= tick < end_tick]
    if not bars:
        return []
    narrowest = (x_of(bars[-1][1]) - x_of(bars[0][1])) / max(len(bars) - 1, 1)
    every = 1
    while len(bars) > 1 and narrowest * every < _LEAST_BAR_WIDTH and every < len(bars):
        every *= 2
    light, dark = [], []
    for number, tick in bars:
        if number % every == 0:
            (dark if number % (4 * every) == 0 else light).append(f"M{_n(x_of(tick))} {_n(top)}V{_n(bottom)}")
    return [
        f'<path class="bar" d="{"".join(lines)}" fill="none" '
        f'stroke="currentColor" stroke-opacity="{opacity}"/>'
        for lines, opacity in ((light, ".12"), (dark, ".26"))
        if lines
    ]


def _drum_strip(drums: list[Note], marks: set[Note], x_of, top: float) -> list[str]:
    """Strokes in three lines: bass drums below, snares and toms between, cymbals and the rest above."""
    plain: dict[str, None] = {}
    shared = []
    for note in drums:
        line = 2 if note.pitch in _BASS_DRUMS else 1 if note.pitch in _SNARES_AND_TOMS else 0
        x, y = x_of(note.onset), top + 3 + 3.5 * line
        if note in marks:
            box = _rect(x, y - 1.6, 2.2, 3.2)
            shared.append(
                f'<rect class="drum shared" {box} fill="{SHARED_COLOUR}" stroke="currentColor" {_OUTLINE}/>'
            )
        else:
            plain[f"M{_n(x)} {_n(y - 1)}v2"] = None
    strokes = (
        f'<path class="drum" d="{"".join(plain)}" fill="none" stroke="currentColor" '
        f'stroke-width="1.4" stroke-linecap="round" stroke-opacity=".55"/>'
    )
    return [strokes, *shared] if plain else shared


def _merge(extents: list[tuple[float, float]], overlap: float) -> list[tuple[float, float]]:
    """Strokes of one row; those so near that they cannot be told apart become one."""
    merged: list[tuple[float, float]] = []
    for first, last in sorted(extents):
        if merged and first < merged[-1][1] + overlap:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _rect(x: float, y: float, width: float, height: float) -> str:
    corner = min(width, height, 5.0) / 2
    return f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(corner)}"'


def _n(value: float) -> str:
    """A number for SVG, to a tenth of a pixel, as short as it can be written."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text.replace("0.", ".", 1) if text.startswith("0.") else text
