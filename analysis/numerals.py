"""Numbers as print has them: a true minus sign, and no minus before a zero."""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"


def numeral(value: float, form: str) -> str:
    """A number in a format such as ``.2f`` or ``+.2f``; what rounds to zero has no sign."""
    text = f"{value:{form}}"
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)
