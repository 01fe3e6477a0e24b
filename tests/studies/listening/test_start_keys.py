"""Keys of consent pages: only this site makes them, each for one study and one day."""

import time

import pytest

from studies.listening.errors import StaleStartKey
from studies.listening.start_keys import checked_start_key, new_start_key
from tests.studies.factories import make_study

pytestmark = pytest.mark.django_db


def test_a_key_is_good_for_its_own_study_for_a_day(monkeypatch):
    study, other = make_study(), make_study("another")
    key = new_start_key(study)
    assert checked_start_key(study, key) == key
    with pytest.raises(StaleStartKey, match="is no key"):
        checked_start_key(other, key)
    present = time.time()
    monkeypatch.setattr(time, "time", lambda: present + 23 * 3600)
    assert checked_start_key(study, key) == key
    monkeypatch.setattr(time, "time", lambda: present + 25 * 3600)
    with pytest.raises(StaleStartKey, match="more than 1 day"):
        checked_start_key(study, key)


@pytest.mark.parametrize("key", ["", "x" * 22, "::", "a:b:c", "é" * 30])
def test_a_key_that_was_made_up_is_none(key):
    with pytest.raises(StaleStartKey):
        checked_start_key(make_study(), key)


def test_a_key_with_another_name_or_time_in_it_is_none():
    study = make_study()
    name, stamp, signature = new_start_key(study).split(":")
    for forged in (f"{'x' * 22}:{stamp}:{signature}", f"{name}:zzzzzz:{signature}"):
        with pytest.raises(StaleStartKey):
            checked_start_key(study, forged)
