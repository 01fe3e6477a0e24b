import pytest
from music21 import bar, note, spanner, stream

from music.repeats import Marks, endings_of, marks_of, play_repeats, played_order

START, END = Marks(starts_repeat=True), Marks(ends_repeat=2)
NONE = Marks()


def order_of(*marks: Marks, endings: dict[int, tuple[int, ...]] | None = None) -> str:
    """The order as letters: the first measure is A."""
    places = [(endings or {}).get(index, ()) for index in range(len(marks))]
    return "".join(chr(ord("A") + index) for index in play_repeats(list(marks), places))


@pytest.mark.parametrize(
    ("marks", "order"),
    [
        ((NONE, NONE), "AB"),
        ((NONE, END, NONE), "ABABC"),
        ((NONE, START, END, NONE), "ABCBCD"),
        ((END, END), "AABB"),
        ((START, END, START, END), "ABABCDCD"),
        ((Marks(starts_repeat=True, ends_repeat=2), NONE), "AAB"),
        ((Marks(ends_repeat=4), NONE), "AAAAB"),
        ((NONE, Marks(fine=True), Marks(jump="capo")), "ABCAB"),
        ((NONE, Marks(segno=True), Marks(jump="segno")), "ABCBC"),
        ((NONE, NONE, Marks(jump="segno")), "ABCABC"),  # to a sign that is nowhere: from the start
        ((END, Marks(jump="capo")), "AABAB"),  # no repeats after the jump
        ((Marks(coda=True), NONE, Marks(jump="capo"), Marks(coda=True)), "ABCAD"),
    ],
)
def test_measures_sound_in_the_order_of_the_marks(marks, order):
    assert order_of(*marks) == order


def test_endings_sound_in_their_passes():
    assert order_of(NONE, END, NONE, NONE, endings={1: (1,), 2: (2,)}) == "ABACD"
    assert order_of(START, END, END, NONE, endings={1: (1, 2), 2: (3,)}) == "ABABACD"
    assert order_of(NONE, END, END, NONE, NONE, endings={1: (1,), 2: (2,), 3: (3,)}) == "ABACADE"


def test_after_a_jump_the_last_ending_sounds():
    assert order_of(NONE, END, Marks(jump="capo"), endings={1: (1,), 2: (2,)}) == "ABACAC"


def part_of(n_measures: int) -> tuple[stream.Part, list[stream.Measure]]:
    part = stream.Part()
    for number in range(n_measures):
        measure = stream.Measure(number=number + 1)
        measure.append(note.Note(60 + number, quarterLength=4))
        part.append(measure)
    return part, list(part.getElementsByClass(stream.Measure))


@pytest.mark.parametrize("n_rounds", [2, 3])
@pytest.mark.parametrize("start", [0, 1])
def test_repeats_are_those_that_music21_expands(start, n_rounds):
    part, measures = part_of(4)
    measures[start].leftBarline = bar.Repeat(direction="start")
    measures[2].rightBarline = bar.Repeat(direction="end", times=n_rounds)
    expanded = [n.pitch.midi - 60 for n in part.expandRepeats().recurse().notes]
    assert played_order([part], [measures]) == expanded


def test_endings_are_those_that_music21_expands():
    part, measures = part_of(4)
    measures[1].rightBarline = bar.Repeat(direction="end")
    for number, measure in ((1, measures[1]), (2, measures[2])):
        part.insert(0, spanner.RepeatBracket(measure, number=number))
    expanded = [n.pitch.midi - 60 for n in part.expandRepeats().recurse().notes]
    assert endings_of(part, measures) == [(), (1,), (2,), ()]
    assert played_order([part], [measures]) == expanded == [0, 1, 0, 2, 3]


def test_a_bar_line_counts_for_the_measures_on_both_sides():
    part, measures = part_of(3)
    measures[0].rightBarline = bar.Repeat(direction="end")
    measures[2].leftBarline = bar.Repeat(direction="start")
    # The setters of music21 turn a sign round to fit its side; its parsers also leave it as it was written.
    measures[0].rightBarline.direction, measures[2].leftBarline.direction = "start", "end"
    assert marks_of(measures) == [NONE, Marks(starts_repeat=True, ends_repeat=2), NONE]
    assert played_order([part], [measures]) == [0, 1, 1, 2]


def test_repeats_in_one_part_count_for_all_and_unequal_parts_stay_as_written():
    plain, marked, short = part_of(2), part_of(2), part_of(1)
    marked[1][1].rightBarline = bar.Repeat(direction="end")
    both = ([plain[0], marked[0]], [plain[1], marked[1]])
    assert played_order(*both) == [0, 1, 0, 1]
    assert played_order([plain[0]], [plain[1]]) is None
    assert played_order([marked[0], short[0]], [marked[1], short[1]]) is None
