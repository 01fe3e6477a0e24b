"""Listeners over time: each line rises by one at each moment, and ends at its n."""

import datetime

from analysis.charts.progress import MOST_POINTS, listeners_over_time

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def moments(n: int) -> list[datetime.datetime]:
    return [NOON + datetime.timedelta(minutes=7 * place) for place in range(n)]


def test_lines_count_listeners_whatever_their_order():
    figure = listeners_over_time(list(reversed(moments(5))), moments(2))
    assert [tuple(trace.y) for trace in figure.data] == [(1, 2, 3, 4, 5), (1, 2)]
    assert list(figure.data[0].x) == sorted(figure.data[0].x)
    assert [note.text for note in figure.layout.annotations] == ["started, n = 5", "finished, n = 2"]


def test_long_lines_are_thinned_and_keep_their_end():
    figure = listeners_over_time(moments(1234), [])
    assert len(figure.data) == 1
    assert len(figure.data[0].y) <= MOST_POINTS + 1
    assert figure.data[0].y[-1] == 1234
    assert figure.layout.annotations[0].text == "started, n = 1234"


def test_nobody_is_an_empty_figure():
    assert not listeners_over_time([], []).data
