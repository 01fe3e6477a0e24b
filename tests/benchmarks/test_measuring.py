import math
import time

import pytest
import torch

from benchmarks.measuring import Measured, Work, best_seconds, in_words, measured, row_of, table


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        math.sqrt(2.0)


def work(measure, **more) -> Work:
    return Work("family, work", "note", "slowly", 4.0, measure, **more)


def test_a_way_that_does_three_times_the_work_takes_three_times_the_seconds():
    slow, fast = best_seconds(lambda: burn(0.06), lambda: burn(0.02), repeats=2, warm_up=False)
    assert slow / fast == pytest.approx(3, rel=0.3)


def test_the_ways_take_turns():
    turns = []
    best_seconds(lambda: turns.append("a"), lambda: turns.append("b"), repeats=2)
    assert turns == ["a", "b"] * 3  # the first pair warms up


def test_waiting_is_no_work():
    (seconds,) = best_seconds(lambda: time.sleep(0.05), repeats=1, warm_up=False)
    assert seconds < 0.02


@pytest.mark.parametrize(("seconds", "verdict"), [((8.0, 2.0), "ok"), ((7.9, 2.0), "missed")])
def test_the_bar_is_reached_or_missed(seconds, verdict):
    assert measured(work(lambda: seconds)).verdict == verdict


def test_a_work_that_breaks_is_told_and_not_raised():
    result = measured(work(lambda: [][0]))
    assert (result.verdict, result.failed) == ("failed", "IndexError: list index out of range")
    assert "IndexError" in row_of(result)[-1]


def test_works_run_with_one_thread_and_the_threads_come_back():
    seen = []
    torch.set_num_threads(2)
    try:
        measured(work(lambda: (seen.append(torch.get_num_threads()) or 1.0, 1.0)))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_work_for_a_gpu_is_skipped_where_there_is_none():
    result = measured(work(lambda: (1.0, 1.0), device="cuda"))
    assert (result.verdict, result.skipped) == ("skipped", "no GPU here")


def test_a_work_of_the_other_device_is_skipped():
    assert measured(work(lambda: (1.0, 1.0)), device="cuda").skipped == "a work of cpu"


def test_the_share_of_the_floor_is_the_time_of_the_arithmetic_alone():
    matrix = torch.randn(1024, 1024)
    (seconds,) = best_seconds(lambda: matrix @ matrix, repeats=5)
    result = measured(work(lambda: (seconds, seconds), flop=2 * 1024**3))
    assert result.share_of_floor == pytest.approx(1, rel=0.4)


def test_seconds_have_three_digits_and_a_unit():
    assert [in_words(each) for each in (12.34, 0.0297, 1.59e-3, 2.5e-5, 3e-9, None)] == [
        "12.3 s",
        "29.7 ms",
        "1.59 ms",
        "25 us",
        "3 ns",
        "-",
    ]


def test_a_result_names_ratio_and_verdict_in_json():
    result = Measured("n", "u", "b", "cpu", 2.0, baseline_seconds=3.0, our_seconds=1.0)
    assert (result.to_json()["ratio"], result.to_json()["verdict"]) == (3.0, "ok")


def test_columns_of_numbers_are_set_to_the_right():
    assert table([("a", "b"), ("long", "1"), ("x", "100")], right=(1,)).splitlines() == [
        "| a    |   b |",
        "| ---- | --: |",
        "| long |   1 |",
        "| x    | 100 |",
    ]
