"""Numbers as the tables and sentences of a report show them: rounded, with their interval, or a reason."""

from __future__ import annotations

from analysis.numerals import numeral
from analysis.ratings.scale import LEAST_FOR_INTERVAL, difference_on_scale, on_scale


def spaced(rule: str) -> str:
    """A rule's name as words."""
    return rule.replace("_", " ")


def has_model(result: dict) -> bool:
    """Whether the mixed model could be fitted."""
    return result["variance"]["residual"] is not None


def n_of(n: int, word: str, plural: str = "") -> str:
    """A number with its noun, whose plural ends in s unless it is given."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def points(margin: float) -> str:
    """A margin in words."""
    return f"{margin:g} point{'' if margin == 1 else 's'}"


def counted(figure: dict) -> str:
    """How many of how many, with the share and its interval."""
    share = (
        f"{percent(figure['count'] / figure['n'])} {percent_interval(figure['ci_low'], figure['ci_high'])}"
    )
    return f"{figure['count']} of {n_of(figure['n'], 'participant')} ({share})"


def judged_share(row: dict) -> str:
    """The share judged human with its interval."""
    if row["judged_human"] is None:
        return "–"
    bounds = percent_interval(row["judged_human_low"], row["judged_human_high"])
    return f"{percent(row['judged_human'])} {bounds}".strip()


def own_name(piece: str | None, condition: str) -> str:
    """A piece's name where its condition stands beside it: names that conditions share come with theirs."""
    return (piece or "").removeprefix(f"{condition} / ")


def mean_cell(row: dict, name: str, form: str, n: int) -> str:
    """A mean with its interval as far as the scale goes, "too few" where listeners are."""
    why = "(too few)" if n < LEAST_FOR_INTERVAL else ""
    return f"{numeral(row[name], form)} {mean_interval(row, form) or why}".strip()


def mean_interval(row: dict, form: str) -> str:
    """The interval of a mean as far as the scale goes; empty without one."""
    return interval(on_scale(row["ci_low"]), on_scale(row["ci_high"]), form)


def difference_interval(row: dict) -> str:
    """The interval of a difference as far as the scale allows; empty without one."""
    return interval(difference_on_scale(row["ci_low"]), difference_on_scale(row["ci_high"]), "+.2f")


def percent(share: float) -> str:
    """A share in whole percent; 0 % is nothing and 100 % is all, never by rounding."""
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "under 1 %"
    return "over 99 %" if rounded == 100 and share < 1 else f"{rounded} %"


def interval(low: float | None, high: float | None, form: str) -> str:
    """Two bounds in brackets; empty without them."""
    return "" if low is None or high is None else f"[{numeral(low, form)}, {numeral(high, form)}]"


def percent_interval(low: float | None, high: float | None) -> str:
    """Two shares in percent, in brackets; empty without them."""
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"


def number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else numeral(value, form)


def p_value(value: float | None) -> str:
    """A p-value to three places."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_words(value: float) -> str:
    """A p-value in a sentence."""
    return f"p {'' if value < 0.001 else '= '}{p_value(value)} after Holm"
