from dataclasses import replace

import pytest

from generators.errors import GeneratorError
from generators.generation import generate
from generators.registry import get_family
from generators.shapes import MOST_NUMBERS, refuse_giant, shape_changing
from generators.training import train
from tests.generators.conftest import ListedCorpus, write_piece


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("gru_next_note", "d_hidden", 999_999),
        ("gru_next_note", "n_layers", 3),
        ("music_transformer", "d_ff", 999_999),
        ("vae_nn", "n_latents", 999_999),
        ("deephear", "layers", (5, 4)),
    ],
)
def test_a_setting_that_changes_the_shape_of_weights_is_found_without_making_them(name, key, value):
    family = get_family(name)
    before = family.presets["tiny"]
    others = {"batch_size": before.batch_size + 1}
    assert shape_changing(family, before, replace(before, **others), family.example) is None
    after = replace(before, **others, **{key: value})
    assert shape_changing(family, before, after, family.example) == key


def test_writing_with_another_shape_is_refused_in_words_that_say_what_to_leave_out(trained):
    with pytest.raises(GeneratorError) as error:
        generate(trained("gru_next_note"), count=1, bars=1, overrides={"d_embedding": "999999"})
    assert "d_embedding was fixed at" in str(error.value)
    assert str(error.value).endswith("got 999999; leave out --set d_embedding")


def test_a_model_that_no_machine_could_hold_is_refused_with_its_size(tmp_path):
    corpus = ListedCorpus([write_piece(seed) for seed in range(2)])
    with pytest.raises(GeneratorError, match=r"has [\d,]{17,} parameters; at most 1,000,000,000"):
        train("gru_next_note", corpus, tmp_path / "m", preset="tiny", overrides={"d_hidden": "999999"})
    assert not (tmp_path / "m" / "config.json").exists()


def test_no_preset_is_refused():
    family = get_family("music_transformer")
    for config in family.presets.values():
        refuse_giant(family, config, family.example)
    with pytest.raises(GeneratorError, match=f"at most {MOST_NUMBERS:,} can be trained"):
        refuse_giant(family, replace(family.presets["paper"], d_ff=1_000_000), family.example)
