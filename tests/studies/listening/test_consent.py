"""How long a sitting is said to take, counted from what a listener does in it."""

import pytest
from django.conf import settings

from studies.listening import consent
from studies.listening.specification import parse_specification

DEMONSTRATION = settings.BASE_DIR / "studies/listening/designs/short-chorales.yaml"


def design_of(**changes) -> dict:
    """The demonstration's design with some keys of its parts changed: ``session={"trials": 4}``."""
    design = parse_specification(DEMONSTRATION.read_text(encoding="utf-8")).to_json()
    return design | {part: design[part] | keys for part, keys in changes.items()}


def test_the_demonstration_takes_9_minutes():
    """14 sounds of 15 s with 8 s each, 10 judgements of 12 s, 40 + 30 + 20 s around them: 532 s."""
    assert consent.minutes_of(design_of()) == 9


@pytest.mark.parametrize(
    ("changes", "minutes"),
    [
        ({"excerpt": {"seconds": 30}}, 13),  # 14 x 15 s more: 742 s
        ({"ask": {"human_or_machine": "no"}}, 7),  # 412 s
        ({"session": {"trials": 5}}, 6),  # 5 x (23 + 12) s less: 357 s
        ({"session": {"practice": 0, "repeats": 0, "attention_checks": 0}}, 8),  # 4 x 23 s less: 440 s
        ({"ask": {"background": "no", "comment": "no"}}, 9),  # 482 s
        ({"session": {"trials": 100}}, 9),  # there are only 10 pieces to hear
    ],
)
def test_minutes_follow_the_design(changes, minutes):
    assert consent.minutes_of(design_of(**changes)) == minutes


def test_one_minute_is_no_minutes():
    assert consent.shown_minutes(1) == "1 minute"
    assert consent.shown_minutes(9) == "9 minutes"
