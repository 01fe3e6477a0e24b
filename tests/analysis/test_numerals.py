import pytest

from analysis.numerals import numeral


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-1.25, ".2f", "−1.25"),
        (-0.004, "+.2f", "0.00"),
        (0.004, "+.2f", "0.00"),
        (-0.0, ".1f", "0.0"),
        (0.3, "+.2f", "+0.30"),
        (-1234.5, ",.1f", "−1,234.5"),
        (-5, "d", "−5"),
        (0, "+d", "0"),
    ],
)
def test_a_number_has_a_true_minus_and_a_zero_has_no_sign(value, form, text):
    assert numeral(value, form) == text
