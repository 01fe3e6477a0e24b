import re
import xml.etree.ElementTree as ET

import pytest

from music.drawing import pianoroll_svg
from music.score import Note, Score, ScoreError, Track

SVG = "{http://www.w3.org/2000/svg}"
SCORE = Score(
    (
        Track((Note(0, 60, 480), Note(480, 64, 480, 120), Note(3840, 72, 480))),
        Track((Note(0, 36, 10), Note(480, 38, 10), Note(960, 42, 10)), is_drum=True),
    ),
    title="A <b>bold</b> & small piece",
)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def by_class(svg: str, name: str) -> list[ET.Element]:
    return [element for element in parse(svg).iter() if name in element.get("class", "").split()]


def strokes(svg: str, name: str) -> list[str]:
    return [stroke for path in by_class(svg, name) for stroke in re.findall("M[^M]+", path.get("d", ""))]


def test_the_drawing_is_an_image_with_a_name_for_screen_readers():
    root = parse(pianoroll_svg(SCORE))
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == "A <b>bold</b> & small piece"
    assert root.get("viewBox") == "0 0 640 160"
    assert parse(pianoroll_svg(SCORE, title='"Quoted"'))[0].text == '"Quoted"'


def test_nothing_in_it_needs_a_script_a_style_or_an_id():
    svg = pianoroll_svg(SCORE, marked=list(SCORE.notes()))
    assert not re.search(r"<script|<style|style=|\son\w+=|\sid=|href", svg)
    fixed = set(re.findall(r"#[0-9A-Fa-f]{3,6}", svg))
    assert fixed == {"#D55E00"}


def test_every_note_bar_and_octave_is_there():
    svg = pianoroll_svg(SCORE)
    assert len(strokes(svg, "note")) == 3
    assert len(strokes(svg, "drum")) == 3
    assert len(strokes(svg, "bar")) == 3
    assert [element.text for element in by_class(svg, "pitch-name")] == ["C4", "C5"]


def test_marked_notes_are_shared_and_outlined():
    svg = pianoroll_svg(SCORE, marked=[Note(480, 64, 480, 120), Note(0, 36, 10)])
    shared = by_class(svg, "shared")
    assert len(shared) == 2
    assert all(element.get("stroke") == "currentColor" for element in shared)
    assert len(strokes(svg, "note")) == 2


def test_a_stretch_shows_what_sounds_in_it():
    svg = pianoroll_svg(SCORE, start_tick=400, end_tick=1000)
    assert len(strokes(svg, "note")) == 2  # the first still sounds, the last starts later
    assert len(strokes(svg, "drum")) == 2


def test_higher_is_higher_and_later_is_further_right():
    low, middle, high = (
        tuple(float(value) for value in re.match(r"M([\d.]+) ([\d.]+)", stroke).groups())
        for stroke in sorted(
            strokes(pianoroll_svg(SCORE), "note"), key=lambda s: float(re.match(r"M([\d.]+)", s)[1])
        )
    )
    assert low[0] < middle[0] < high[0]
    assert low[1] > middle[1] > high[1]


@pytest.mark.parametrize("size", [(40, 16), (240, 48), (640, 160), (1600, 400)])
@pytest.mark.parametrize("pitches", [(0, 127), (60, 60), (0, 0), (127, 127)])
def test_everything_stays_inside_the_drawing(size, pitches):
    width, height = size
    notes = tuple(Note(480 * n, pitches[n % 2], 480) for n in range(9))
    score = Score((Track(notes), Track(notes, is_drum=True)))
    root = parse(pianoroll_svg(score, width=width, height=height, marked=notes[:2]))
    for element in root.iter():
        if element.tag == f"{SVG}rect":
            x, y, w, h = (float(element.get(name)) for name in ("x", "y", "width", "height"))
            assert x >= 0
            assert y >= 0
            assert x + w <= width
            assert y + h <= height
        for x, y in re.findall(r"M([\d.-]+) ([\d.-]+)", element.get("d", "")):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_an_empty_score_gives_an_empty_roll():
    svg = pianoroll_svg(Score())
    assert parse(svg)[0].text == "Piano roll"
    assert not by_class(svg, "note")


def test_a_long_piece_stays_a_small_file():
    notes = tuple(Note(60 * n, 40 + n * 7 % 40, 50) for n in range(20_000))
    assert len(pianoroll_svg(Score((Track(notes),)), width=240, height=48)) < 120_000


@pytest.mark.parametrize(
    "options", [{"start_tick": -1}, {"start_tick": 10, "end_tick": 10}, {"width": 0}, {"height": 10**6}]
)
def test_a_stretch_or_size_without_sense_is_refused(options):
    with pytest.raises(ScoreError, match="a drawing"):
        pianoroll_svg(SCORE, **options)
