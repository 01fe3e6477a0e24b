import subprocess
import sys

import pytest

from generators.registry import UnknownFamilyError, describe_families, family_names, family_title, get_family


def test_the_folder_is_the_registry():
    assert family_names() == sorted(family_names())
    assert {"deephear", "gru_next_note"} <= set(family_names())


def test_listing_families_loads_no_torch():
    code = (
        "import sys; from generators.registry import family_names; family_names(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_title_of_a_family_is_known_without_torch():
    code = (
        "import sys; from generators.registry import family_title; "
        "assert family_title('deephear') == 'DeepHear'; assert family_title('none') == 'none'; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_name_gets_the_closest():
    with pytest.raises(UnknownFamilyError, match="no family named 'deepher'; did you mean deephear"):
        get_family("deepher")


def test_a_name_close_to_none_gets_all():
    with pytest.raises(UnknownFamilyError, match="deephear or deephear_inverted or "):
        get_family("../../etc/passwd")


@pytest.mark.parametrize("name", family_names())
def test_every_family_declares_what_people_need_to_know(name):
    family = get_family(name)
    assert {"paper", "tiny"} <= set(family.presets)
    assert family.presets["paper"] == family.config()
    assert "generate" in family.abilities
    assert family.title == family_title(name)
    assert family.citation


@pytest.mark.parametrize("family", describe_families(), ids=lambda family: family["name"])
def test_tiny_is_smaller_than_paper(family):
    presets = family["presets"]
    largest = presets["paper"]["parameters"]
    assert presets["tiny"]["parameters"] < largest or largest == 0  # some families only count


def test_descriptions_have_the_published_sizes():
    families = {each["name"]: each for each in describe_families()}
    assert families["deephear"]["presets"]["paper"]["parameters"] == 6_055_056
    gru = families["gru_next_note"]["presets"]["paper"]
    assert gru["example"]["words"] == 1000
    assert gru["parameters"] == 400_744
    assert families["deephear"]["abilities"] == ["generate", "harmonize"]
