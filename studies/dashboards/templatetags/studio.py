"""Numbers as every table of the studio writes them; what is absent is a dash."""

from django import template

from analysis.numerals import numeral
from analysis.ratings.scale import LEAST_FOR_INTERVAL, difference_on_scale, on_scale

register = template.Library()
ABSENT = "–"


@register.filter
def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, thousands parted."""
    return ABSENT if value is None or value == "" else f"{value:,.{digits}f}"


@register.filter
def compact(value: float | None) -> str:
    """A number with four significant digits: a loss may be 0.0012 or 1200."""
    if value is None or value == "":
        return ABSENT
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


@register.filter
def signed(value: float | None, digits: int) -> str:
    """A difference with its sign."""
    return ABSENT if value is None or value == "" else f"{value:+.{digits}f}".replace("-", "−")


@register.filter
def percent(share: float | None) -> str:
    """A share of 1 in whole percent, without the sign: the column says it."""
    return ABSENT if share is None or share == "" else f"{100 * share:.0f}"


@register.filter
def p_value(value: float | None) -> str:
    """A p-value; a small one is never zero."""
    return ABSENT if value is None or value == "" else "< 0.001" if value < 0.001 else f"{value:.3f}"


@register.filter
def spaced(name: str) -> str:
    """A key as words."""
    return str(name).replace("_", " ")


@register.filter
def fraction(seconds: float) -> str:
    """Seconds as an address writes them, whatever the language."""
    return f"{max(0.0, seconds):.3f}"


@register.simple_tag
def mean_interval(low: float | None, high: float | None, digits: int, n: int) -> str:
    """The interval of a mean of n listeners as far as the scale goes, or that they are too few for one."""
    if low is None or high is None:
        return "(too few)" if n < LEAST_FOR_INTERVAL else ""
    return f"[{on_scale(low):.{digits}f}, {on_scale(high):.{digits}f}]"


@register.simple_tag
def difference_interval(low: float | None, high: float | None, digits: int) -> str:
    """The interval of a difference of means, as far as the scale goes, or nothing where there is none."""
    if low is None or high is None:
        return ""
    ends = (numeral(difference_on_scale(end), f"+.{digits}f") for end in (low, high))
    return f"[{', '.join(ends)}]"


@register.simple_tag
def percent_interval(low: float | None, high: float | None) -> str:
    """An interval of shares in whole percent."""
    return "" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]"
