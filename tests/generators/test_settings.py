from dataclasses import dataclass
from typing import Literal

import pytest

from generators.errors import GeneratorError
from generators.settings import apply_overrides, config_from_json


@dataclass(frozen=True)
class Config:
    width: int = 4
    rate: float = 0.5
    layers: tuple[int, ...] = (3, 2)
    limit: int | None = None
    readout: Literal["concat", "top"] = "concat"
    chopped: bool = False
    n_layers: int = 1

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


def test_texts_become_the_types_of_the_fields():
    texts = {
        "width": "8",
        "rate": "1e-3",
        "layers": "5, 4,3",
        "limit": "7",
        "readout": "top",
        "chopped": "true",
    }
    assert apply_overrides(Config(), texts) == Config(8, 1e-3, (5, 4, 3), 7, "top", True)


def test_none_is_a_value_where_the_field_allows_it():
    assert apply_overrides(Config(limit=3), {"limit": "none"}).limit is None


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("widht", "8", "no setting named 'widht'; did you mean width?"),
        ("zzz", "8", "settings are width, rate, layers, limit, readout, chopped, n_layers"),
        ("width", "8.5", "width must be a whole number, got '8.5'"),
        ("width", "0", "width must be at least 1, got 0"),
        ("rate", "fast", "rate must be a number, got 'fast'"),
        ("rate", "nan", "rate must be a finite number, got 'nan'"),
        ("layers", "5,x", "layers must be whole numbers with commas between, got '5,x'"),
        ("layers", "[]", "layers must be whole numbers with commas between, got '[]'"),
        ("readout", "both", "readout must be one of concat, top, got 'both'"),
        ("chopped", "maybe", "chopped must be true or false, got 'maybe'"),
        ("width", "none", "width must be a whole number, got 'none'"),
        ("width", "1000001", "width must be at most 1,000,000, got '1000001'"),
        ("width", "-1000001", "width must be at least -1,000,000, got '-1000001'"),
        ("width", "9" * 400, "width must be at most 1,000,000, got '" + "9" * 40 + "'... of 400 characters"),
        ("width", "9" * 5000, "width must be a whole number, got '" + "9" * 40 + "'... of 5,000 characters"),
        ("rate", "9" * 400, "rate must be a finite number, got '" + "9" * 40 + "'... of 400 characters"),
        ("n_layers", "65", "n_layers must be at most 64, got '65'"),
        ("layers", "5,1000001", "layers must be at most 1,000,000, got '1000001'"),
        ("layers", "1," * 65, "layers must be at most 64 values, got 65"),
    ],
)
def test_what_does_not_fit_is_named(key, text, message):
    with pytest.raises(GeneratorError) as error:
        apply_overrides(Config(), {key: text})
    assert message in str(error.value)


def test_a_config_survives_json():
    assert config_from_json(Config, {"layers": [9, 8], "limit": None}) == Config(layers=(9, 8))


def test_settings_of_another_version_are_refused():
    with pytest.raises(GeneratorError, match="does not know: colour"):
        config_from_json(Config, {"colour": 1})
