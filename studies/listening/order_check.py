"""Does the order of pieces tell what they are? Orders are drawn as for listeners, and guessed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from studies.listening import assignment

N_ORDERS = 100
N_SHUFFLES = 1000

REAL, GENERATED, OTHER = 1, 0, -1


@dataclass(frozen=True)
class OrderGuess:
    """How much a rule of guessing gains from the order."""

    rule: str  # in words: what is guessed from
    value: float  # of the orders
    by_chance: float  # of the same rows shuffled
    p: float  # by permutation within each row

    @property
    def gain(self) -> float:
        """How far the orders are from shuffled ones."""
        return abs(self.value - self.by_chance)


def order_guesses(plan: assignment.Plan) -> list[OrderGuess]:
    """What the place of a piece, and the piece before it, tell of its role in `N_ORDERS` orders of a plan.

    None where real or generated pieces are missing: there is nothing to tell apart.
    """
    codes = {"real": REAL, "generated": GENERATED}
    roles = {piece.item: codes.get(piece.role, OTHER) for piece in plan.pieces}
    if not {REAL, GENERATED} <= set(roles.values()):
        return []
    rows, touching = [], []
    history = assignment.History()
    for number in range(N_ORDERS):
        row, square_row = assignment.draw(plan, history, Random(number))
        history.add(row, first_position=plan.n_practice + 1, number=square_row)
        places = [place for place, placed in enumerate(row) if placed.kind == assignment.MAIN]
        rows.append([roles[row[place].item] for place in places])
        touching.append([after - before == 1 for before, after in pairwise(places)])
    return guesses_of(rows, touching)


def guesses_of(rows: Sequence[Sequence[int]], touching: Sequence[Sequence[bool]]) -> list[OrderGuess]:
    """The two rules on rows of roles, each against the same rows shuffled.

    Parameters
    ----------
    rows : sequence of sequence of int [shape=(n_orders, n_pieces)]
        `REAL`, `GENERATED` or `OTHER`.
    touching : sequence of sequence of bool [shape=(n_orders, n_pieces - 1)]
        Whether a piece comes directly after the one before, with no repeat or check in between.
    """
    heard, close = np.array(rows), np.array(touching, dtype=bool)
    rng = np.random.default_rng(0)
    shuffled = [rng.permuted(heard, axis=1) for _ in range(N_SHUFFLES)]
    changes = np.array([_share_of_changes(rows, close) for rows in (heard, *shuffled)])
    uneven = np.array([_most_uneven_place(rows) for rows in (heard, *shuffled)])
    middle = changes[1:].mean()
    return [
        _guess("not what the piece before was", changes, np.abs(changes - middle)),
        _guess("the place in the row", uneven, uneven),
    ]


def _guess(rule: str, values: np.ndarray, distances: np.ndarray) -> OrderGuess:
    """The first value is that of the orders, the others those of shuffled rows."""
    n_as_far = int((distances[1:] >= distances[0] - 1e-12).sum())
    return OrderGuess(rule, float(values[0]), float(values[1:].mean()), (1 + n_as_far) / (len(values)))


def _share_of_changes(rows: np.ndarray, close: np.ndarray) -> float:
    """Of all real and generated pieces that follow one another, how many differ."""
    before, after = rows[:, :-1], rows[:, 1:]
    counted = close & (before != OTHER) & (after != OTHER)
    return float((before != after)[counted].mean()) if counted.any() else 0.0


def _most_uneven_place(rows: np.ndarray) -> float:
    """The largest distance between the share of real pieces at a place and in all of the row."""
    is_real, is_counted = rows == REAL, rows != OTHER
    shares = is_real.sum(axis=0) / np.maximum(1, is_counted.sum(axis=0))
    return float(np.abs(shares - is_real.sum() / is_counted.sum()).max())
