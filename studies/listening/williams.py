"""Williams squares: orders in which every piece follows every other equally often.

In a square each piece stands once at each place (twice where the square has twice as many rows), and each
ordered pair of neighbours occurs once where the number of pieces is even, twice where it is odd. So neither
its place nor the piece before it can favour any piece, and what stands next to a piece says nothing about it.

Williams, E. J. (1949). Experimental designs balanced for the estimation of residual effects of treatments.
Australian Journal of Scientific Research A 2, 149-168.
"""

from __future__ import annotations

from itertools import count


def n_rows(n: int) -> int:
    """How many rows the square of `n` pieces has."""
    return n if n % 2 == 0 or n == 1 else 2 * n


def square(n: int) -> list[tuple[int, ...]]:
    """The rows of the square of `n` pieces, numbered from 0.

    Raises
    ------
    ValueError
        If `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"a square has at least 1 piece, got {n}")
    zigzag = [0]
    for step in count(1):
        if len(zigzag) >= n:
            break
        zigzag += [step, n - step]
    rows = [tuple((piece + shift) % n for piece in zigzag[:n]) for shift in range(n)]
    return rows if n_rows(n) == n else rows + [row[::-1] for row in rows]
