"""In which order the measures of a notated piece sound: repeats, numbered endings, da capo and dal segno.

A notation writes a repeated passage once; a Score holds what is heard. The order is read from the measures of
music21's stream in two steps: what the bar lines, words and brackets say (`marks_of`, `endings_of`), and what
a player makes of that (`play_repeats`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile


def played_order(parts: list, measures: list[list]) -> list[int] | None:
    """Indices of the measures in the order in which they sound; None if that is as written.

    Parameters
    ----------
    parts : list of music21.stream.Part
    measures : list of list of music21.stream.Measure
        Those of each part. Some sources write repeats into one part only: the first part with any counts for
        all. Where the parts differ in their number of measures the piece is left as written.
    """
    n_measures = len(measures[0])
    if any(len(own) != n_measures for own in measures):
        return None
    for part, own in zip(parts, measures, strict=True):
        order = play_repeats(marks_of(own), endings_of(part, own))
        if order != list(range(n_measures)):
            return order
    return None


@dataclass
class Marks:
    """What the bar lines and words of one measure say about where to go on."""

    starts_repeat: bool = False
    ends_repeat: int = 0  # how often the passage sounds; 0 without the mark
    jump: str = ""  # "capo" or "segno", after this measure
    segno: bool = False
    coda: bool = False
    fine: bool = False


def marks_of(measures) -> list[Marks]:
    """What is written at each music21 measure of a part."""
    from music21 import bar, repeat

    marks = [Marks() for _ in range(len(measures) + 1)]
    for index, measure in enumerate(measures):
        for line, left in ((measure.leftBarline, True), (measure.rightBarline, False)):
            if not isinstance(line, bar.Repeat):
                continue
            # A bar line belongs to the measures on both of its sides, whichever of them the file gives it to.
            if line.direction == "start":
                marks[index if left else index + 1].starts_repeat = True
            else:
                marks[max(0, index - 1) if left else index].ends_repeat = max(2, line.times or 2)
        here = marks[index]
        for element in measure:
            if isinstance(element, (repeat.DaCapo, repeat.DaCapoAlFine, repeat.DaCapoAlCoda)):
                here.jump = "capo"
            elif isinstance(element, repeat.RepeatExpressionCommand):
                here.jump = "segno"
            here.segno |= isinstance(element, repeat.Segno)
            here.coda |= isinstance(element, repeat.Coda)
            here.fine |= isinstance(element, repeat.Fine)
    return marks[:-1]


def endings_of(part, measures) -> list[tuple[int, ...]]:
    """For each measure, in which passes it sounds; empty where it stands under no ending bracket."""
    from music21 import spanner

    places = {id(measure): index for index, measure in enumerate(measures)}
    endings: list[tuple[int, ...]] = [()] * len(measures)
    for bracket in part.recurse().getElementsByClass(spanner.RepeatBracket):
        spanned = sorted(places[id(m)] for m in bracket.getSpannedElements() if id(m) in places)
        if spanned:
            for index in range(spanned[0], spanned[-1] + 1):
                endings[index] = tuple(bracket.numberRange)
    return endings


def play_repeats(measures: list[Marks], endings: list[tuple[int, ...]]) -> list[int]:
    """Indices of measures in the order in which they sound: repeats, endings, then one da capo or dal segno.

    After the jump repeats are not taken and the last endings sound; the piece stops at the fine, or goes from
    the first coda sign to the last.
    """
    order: list[int] = []
    index = start = 0
    round_number, has_jumped = 1, False
    codas = [place for place, marks in enumerate(measures) if marks.coda]
    while index < len(measures):
        marks, ending = measures[index], endings[index]
        if marks.starts_repeat and index != start:
            start, round_number = index, 1
        if has_jumped:
            later = any(
                endings[after] and endings[after] != ending for after in range(index + 1, len(measures))
            )
            is_played = not ending or not (later and marks.ends_repeat)
        else:
            is_played = not ending or round_number in ending
        if is_played:
            order.append(index)
            if marks.ends_repeat and not has_jumped:
                last_round = max(marks.ends_repeat, _last_pass(endings, index))
                if round_number < last_round:
                    round_number += 1
                    index = start
                    continue
                start, round_number = index + 1, 1
            elif ending and not (index + 1 < len(endings) and endings[index + 1]):
                start, round_number = index + 1, 1
            if marks.jump and not has_jumped:
                segnos = [place for place, other in enumerate(measures) if other.segno]
                has_jumped = True
                index = start = segnos[0] if marks.jump == "segno" and segnos else 0
                continue
            if has_jumped and marks.fine:
                break
            if has_jumped and len(codas) > 1 and index == codas[0]:
                index = codas[-1]
                continue
        index += 1
    return order


def _last_pass(endings: list[tuple[int, ...]], index: int) -> int:
    """The highest number on the endings from a measure on that follow each other; 0 where there are none."""
    following = takewhile(bool, endings[index:])
    return max((number for ending in following for number in ending), default=0)
