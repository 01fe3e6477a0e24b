"""Names can stand in folders, addresses and study files; a wrong one gets help."""

from pathlib import Path

import pytest
from django.core.validators import validate_slug
from hypothesis import given
from hypothesis import strategies as st

from studies.catalog.errors import CatalogError
from studies.catalog.naming import checked_name, counted, free_name, printable, unknown_name


@given(st.text(max_size=70))
def test_a_name_that_is_taken_is_a_slug_and_one_plain_folder(text):
    try:
        name = checked_name("corpus", text)
    except CatalogError as error:
        assert "a corpus name has 1-60 letters, digits, hyphens or underscores" in str(error)  # noqa: PT017
        return
    validate_slug(name)
    assert Path("/data", name).resolve() == Path("/data") / name
    assert name == text


@pytest.mark.parametrize("name", ["a", "bach", "gru-bach_2", "0", "x" * 60])
def test_plain_names_are_taken(name):
    assert checked_name("corpus", name) == name


def test_a_long_name_is_not_repeated_in_full():
    with pytest.raises(CatalogError, match=r"x{40}\.\.\. \(500 characters\)"):
        checked_name("corpus", "x" * 500)


def test_an_unknown_name_gets_the_closest_or_all_or_the_way_to_make_one():
    assert str(unknown_name("model", "grü", ["gru", "zoo"], "train one")) == (
        "no model named 'grü'; did you mean gru?"
    )
    assert str(unknown_name("model", "xyz", ["gru", "zoo"], "train one")) == (
        "no model named 'xyz'; there is gru, zoo"
    )
    assert str(unknown_name("model", "xyz", [], "train one")) == "no model named 'xyz'; train one"


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-2-2", ".mid", "ü", "x" * 300]), max_size=9))
def test_names_of_pieces_never_meet(files):
    taken: list[str] = []
    for file in files:
        taken.append(free_name(file, taken))
    assert len(set(taken)) == len(taken)
    assert all(0 < len(name) <= 200 for name in taken)


def test_numbers_agree_with_their_nouns():
    assert [counted(count, "piece") for count in (0, 1, 2, 1200)] == [
        "0 pieces",
        "1 piece",
        "2 pieces",
        "1,200 pieces",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m\n\x7f\x9b", r"a\x1b[31m\n\x7f\x9b"),
        ("\udcff\u2028", r"\udcff\u2028"),
        ("Für Elise – 1. Satz", "Für Elise – 1. Satz"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text) == shown
