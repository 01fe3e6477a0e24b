"""Which pieces a listener hears, and in which order: balanced over listeners, mixed within each.

Pieces that were heard least come first, so that ratings spread evenly however many listeners stop half-way;
every listener hears every condition. Orders are drawn by seed, then improved until each piece has stood at
each position about equally often, no two pieces of one condition are neighbours where that can be avoided,
and no low anchor opens the row. Repeats come at least `LAG` trials after the first hearing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

LAG = 5  # trials between the two hearings of a repeated piece

MAIN, REPEAT, CHECK = "main", "repeat", "attention"

#: What a broken constraint costs, against 1 for each earlier listener who had the piece at that position.
BROKEN = 1_000_000

#: A search that ends with a broken constraint starts anew, this often in all.
MOST_STARTS = 8

#: Bounds on one search, so that long rows keep nobody waiting: changes tried per pass, and passes.
MOST_MOVES, MOST_PASSES = 800, 12


@dataclass(frozen=True)
class Candidate:
    """A main piece that could be heard, and how many listeners have it already."""

    item: int
    condition: Hashable
    is_low_anchor: bool = False
    n_listeners: int = 0


@dataclass(frozen=True)
class Placed:
    """A place in the row of one listener."""

    item: int
    kind: str  # MAIN, REPEAT or CHECK


def choose(candidates: Sequence[Candidate], n_trials: int, rng: Random) -> list[Candidate]:
    """The pieces of one listener: of each condition in proportion to its pieces, the least heard first.

    Each condition gives at least one piece. Ties are broken by `rng`. Fewer candidates than `n_trials` are
    all chosen.
    """
    if n_trials >= len(candidates):
        return list(candidates)
    pools: dict[Hashable, list[Candidate]] = defaultdict(list)
    for candidate in sorted(candidates, key=lambda candidate: (candidate.n_listeners, rng.random())):
        pools[candidate.condition].append(candidate)
    shares = {name: n_trials * len(pool) / len(candidates) for name, pool in pools.items()}
    quotas = {name: max(1, int(share)) for name, share in shares.items()}
    while sum(quotas.values()) > n_trials:
        richest = max(quotas, key=lambda name: (quotas[name], quotas[name] - shares[name], rng.random()))
        quotas[richest] -= 1
    while sum(quotas.values()) < n_trials:
        short = [name for name in pools if quotas[name] < min(shares[name], len(pools[name]))]
        growing = short or [name for name in pools if quotas[name] < len(pools[name])]
        least = min(growing, key=lambda name: (pools[name][quotas[name]].n_listeners, rng.random()))
        quotas[least] += 1
    return [candidate for name, pool in pools.items() for candidate in pool[: quotas[name]]]


def arrange(
    chosen: Sequence[Candidate],
    *,
    checks: Sequence[int] = (),
    n_repeats: int = 0,
    first_position: int = 1,
    n_before: Mapping[tuple[int, int], int] | None = None,
    rng: Random,
) -> list[Placed]:
    """The row of one listener after practice: main pieces, repeats and attention checks.

    Parameters
    ----------
    chosen : sequence of Candidate
        Each stands once as MAIN.
    checks : sequence of int
        Items of attention checks: never first, never last where there is room, spread over the row.
    n_repeats : int
        Second hearings, of pieces that are no low anchor where possible; at most one per piece.
    first_position : int
        Position of the first of them in the sitting, practice counted.
    n_before : mapping of (item, position) to int, optional
        How often a piece stood at a position for earlier listeners; without it every valid order is as likely
        as any other.
    """
    if not chosen:
        return []
    kinds = _slots(len(chosen), min(n_repeats, len(chosen)), len(checks), rng)
    search = _Search(chosen, kinds, first_position, n_before or {})
    found = search.improved(rng)
    for _ in range(MOST_STARTS - 1):
        if found[0] < BROKEN:
            break
        found = min(found, search.improved(rng), key=lambda each: each[0])
    heard = iter(found[1])
    waiting = iter(rng.sample(list(checks), len(checks)))
    return [Placed(next(waiting) if kind == CHECK else next(heard).item, kind) for kind in kinds]


def _slots(n_main: int, n_repeats: int, n_checks: int, rng: Random) -> list[str]:
    """What stands at each place: repeats in the later part, checks spread, the first place a main piece."""
    n_heard = n_main + n_repeats
    earliest = min(max(LAG, n_heard // 2), n_heard - n_repeats)
    repeats = set(rng.sample(range(earliest, n_heard), n_repeats))
    kinds = [REPEAT if place in repeats else MAIN for place in range(n_heard)]
    for number in range(n_checks, 0, -1):
        # Before place `low` to `high` of the row without checks: one check in each equal part, off its edges.
        low = 1 + (n_heard - 1) * (number - 1) / n_checks
        width = (n_heard - 1) / n_checks
        place = round(low + width * rng.uniform(0.25, 0.75))
        kinds.insert(min(max(1, place), max(1, n_heard - 1)), CHECK)
    return kinds


class _Search:
    """The search for an order: main pieces and repeats at their slots, improved by single changes."""

    def __init__(
        self,
        chosen: Sequence[Candidate],
        kinds: Sequence[str],
        first_position: int,
        n_before: Mapping[tuple[int, int], int],
    ):
        self.chosen, self.n_before = list(chosen), n_before
        slots = [slot for slot, kind in enumerate(kinds) if kind != CHECK]
        self.positions = [first_position + slot for slot in slots]
        self.are_neighbours = [after - before == 1 for before, after in pairwise(slots)]
        self.main = [place for place, slot in enumerate(slots) if kinds[slot] == MAIN]
        self.repeats = [place for place, slot in enumerate(slots) if kinds[slot] == REPEAT]
        self.can_open_otherwise = not all(candidate.is_low_anchor for candidate in chosen)

    def improved(self, rng: Random) -> tuple[int, list[Candidate]]:
        """An order that no single change improves, from a random start, and its cost."""
        row: list[Candidate] = [self.chosen[0]] * (len(self.main) + len(self.repeats))
        for place, candidate in zip(self.main, rng.sample(self.chosen, len(self.chosen)), strict=True):
            row[place] = candidate
        for place, candidate in zip(self.repeats, rng.sample(self.chosen, len(self.repeats)), strict=True):
            row[place] = candidate
        moves = [(low, high) for high in self.main for low in self.main if low < high]
        moves += [(place, candidate) for place in self.repeats for candidate in self.chosen]
        best = self.cost(row)
        for _ in range(MOST_PASSES):
            before_pass = best
            for place, other in rng.sample(moves, min(len(moves), MOST_MOVES)):
                before = list(row)
                if isinstance(other, Candidate):
                    row[place] = other
                else:
                    row[place], row[other] = row[other], row[place]
                new = self.cost(row)
                if new < best:
                    best = new
                else:
                    row = before
            if best == before_pass:
                break
        return best, row

    def cost(self, row: Sequence[Candidate]) -> int:
        """What speaks against an order: broken constraints first, then positions that were had before."""
        broken = sum(
            close and one.condition == other.condition
            for close, (one, other) in zip(self.are_neighbours, pairwise(row), strict=True)
        )
        broken += 2 * (row[0].is_low_anchor and self.can_open_otherwise)
        first = {row[place].item: self.positions[place] for place in self.main}
        for place in self.repeats:
            lag = self.positions[place] - first[row[place].item]
            broken += 1000 * (lag <= 0) + 2 * max(0, LAG - lag) + 20 * row[place].is_low_anchor
        broken += 1000 * (len(self.repeats) - len({row[place].item for place in self.repeats}))
        stood = sum(self.n_before.get((row[place].item, self.positions[place]), 0) for place in self.main)
        return BROKEN * broken + stood


def position_table(rows: Sequence[Sequence[Placed]], *, first_position: int = 1) -> Counter:
    """How often each main piece stood at each position: ``(item, position)`` to a count."""
    return Counter(
        (placed.item, position)
        for row in rows
        for position, placed in enumerate(row, start=first_position)
        if placed.kind == MAIN
    )
