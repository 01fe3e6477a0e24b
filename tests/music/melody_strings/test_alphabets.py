import pytest

from music.melody_strings import ALPHABETS, MelodyStringError
from music.melody_strings.alphabets import Alphabet


def test_alphabets_have_59_59_and_58_places_and_no_character_twice():
    assert {name: len(each.symbols) for name, each in ALPHABETS.items()} == {"v1": 59, "v2": 59, "v3": 58}
    for alphabet in ALPHABETS.values():
        assert len(set(alphabet.symbols)) == len(alphabet.symbols)
        assert len(alphabet.durations) == 32


def test_as_published_58_characters_are_distinct_in_every_generation():
    for name, alphabet in ALPHABETS.items():
        published = alphabet.as_published()
        assert len(set(published.symbols)) == 58
        assert (published.durations.count("z"), "x" in published.durations) == (
            (1, True) if name == "v3" else (2, False)
        )


def test_the_letter_that_stands_twice_is_read_as_the_shorter_duration():
    published, mended = ALPHABETS["v1"].as_published(), ALPHABETS["v1"]
    assert published.durations[20] == published.durations[22] == "z"
    assert published.duration_of["z"] == 20
    assert (mended.duration_of["x"], mended.duration_of["z"]) == (20, 22)


def test_intervals_are_said_by_the_characters_of_each_generation():
    said = {
        name: "".join(each.interval_character(interval) for interval in (0, 1, 12, -1, -2, -9, -12))
        for name, each in ALPHABETS.items()
    }
    assert said == {"v1": "01c!@(C", "v2": "01cABIL", "v3": "MNYLKDA"}


def test_the_third_generation_is_in_the_order_of_ascii():
    intervals = [ALPHABETS["v3"].interval_character(interval) for interval in range(-12, 13)]
    assert intervals == sorted(intervals)
    assert list(ALPHABETS["v3"].durations) == sorted(ALPHABETS["v3"].durations)


def test_wide_intervals_fold_to_the_same_pitch_class():
    for interval in range(-127, 128):
        folded = ALPHABETS["v1"].folded(interval)
        assert abs(folded) <= 12
        assert (folded - interval) % 12 == 0
        assert folded == interval or abs(interval) > 12
        assert folded * interval >= 0


def test_the_second_generation_as_published_folds_to_another_pitch_class():
    published = ALPHABETS["v2"].as_published()
    assert [published.folded(interval) for interval in (12, 13, 14, 24, 26, -13, -14)] == [
        12, 0, 1, 11, 0, 0, -1,
    ]  # fmt: skip


def test_only_the_first_programs_play_durations_a_unit_longer():
    assert [each.as_published().extra_units for each in ALPHABETS.values()] == [1, 1, 0]
    assert {each.extra_units for each in ALPHABETS.values()} == {0}


@pytest.mark.parametrize("settings", [{"fold": 11}, {"extra_units": 2}])
def test_alphabets_that_make_no_sense_are_refused(settings):
    with pytest.raises(MelodyStringError, match=str(next(iter(settings.values())))):
        Alphabet("x", "0", "a", "R", "d", **settings)
