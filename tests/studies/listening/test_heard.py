"""Unique seconds heard, against a count of tenths of a second."""

from hypothesis import given
from hypothesis import strategies as st

from studies.listening.heard import SLACK_SECONDS, Claim, heard_seconds, union_seconds

TENTHS = st.integers(-20, 220).map(lambda tenths: tenths / 10)
INTERVALS = st.lists(st.tuples(TENTHS, TENTHS), max_size=12)


def covered_tenths(intervals, length):
    """How many tenths of a second of 0-length some interval covers, by looking at each."""
    return sum(
        any(start <= tenth / 10 and (tenth + 1) / 10 <= end + 1e-9 for start, end in intervals)
        for tenth in range(round(length * 10))
    )


@given(INTERVALS, st.integers(10, 200).map(lambda tenths: tenths / 10))
def test_union_counts_each_moment_once(intervals, length):
    assert abs(union_seconds(intervals, length=length) - covered_tenths(intervals, length) / 10) < 1e-6


@given(INTERVALS)
def test_union_does_not_depend_on_the_order(intervals):
    assert union_seconds(intervals, length=20) == union_seconds(intervals[::-1], length=20)


def test_hearing_the_same_seconds_again_adds_nothing():
    claims = [Claim(0, 5, 6), Claim(0, 5, 12), Claim(2, 5, 30)]
    assert heard_seconds(claims, length=20) == 5


def test_nobody_hears_twenty_seconds_in_one():
    assert heard_seconds([Claim(0, 20, 1)], length=20) == 0


def test_a_claim_that_the_clock_allows_counts_after_one_that_it_did_not():
    claims = [Claim(0, 20, 1), Claim(0, 9, 9.5), Claim(9, 20, 21)]
    assert heard_seconds(claims, length=20) == 20


def test_the_slack_is_given_once_and_not_per_claim():
    claims = [Claim(second, second + 1, 0) for second in range(20)]
    assert heard_seconds(claims, length=20) == int(SLACK_SECONDS)


@given(st.lists(st.tuples(TENTHS, TENTHS, st.floats(0, 60)), max_size=12))
def test_never_more_is_believed_than_the_clock_allows_or_the_sound_has(rows):
    claims = [Claim(*row) for row in rows]
    latest = max((claim.seconds_available for claim in claims), default=0)
    assert heard_seconds(claims, length=20) <= min(20, latest + SLACK_SECONDS)
