"""Which pieces a listener hears, and in which order: balanced over listeners, by chance within each.

Pieces that were heard least come first, so that ratings spread evenly however many listeners stop half-way;
every listener hears every condition. Where everybody hears all pieces, orders are rows of Williams squares.
Elsewhere they are drawn by seed, then improved until each piece has stood at each position, and after each
other piece, about equally often, and no low anchor opens the row. Repeats come at least `LAG` trials after
the first hearing.

No order tells what a piece is. Roles change along a row as often as they do in a plain shuffle of it: were
three of a role in a row ruled out, "not what the piece before was" would be right for 70 % of the neighbours
in rows of five and five, and for 56 % in a shuffle. Rows of four or more are avoided where that is free.
"""

from __future__ import annotations

import hmac
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from random import Random

from studies.listening import williams

LAG = 5  # trials between the two hearings of a repeated piece

MAIN, REPEAT, CHECK = "main", "repeat", "attention"

LOW_ANCHOR = "low_anchor"

#: What a broken constraint costs, against 1 for each earlier listener who had the piece at that position or
#: after that other piece.
BROKEN = 1_000_000

#: What a fourth piece of a role in a row costs, in the same unit.
LONG_RUN = 10

#: Up to so many pieces, squares are used: larger ones are filled by no study.
LARGEST_SQUARE = 24

#: A search that ends with a broken constraint starts anew, this often in all.
MOST_STARTS = 8

#: Bounds on one search, so that long rows keep nobody waiting: changes tried per pass, and passes.
MOST_MOVES, MOST_PASSES = 800, 12


@dataclass(frozen=True)
class Candidate:
    """A main piece that could be heard, and how many listeners have it already."""

    item: int
    condition: Hashable
    role: Hashable
    n_listeners: int = 0

    @property
    def is_low_anchor(self) -> bool:
        """Whether it fixes the low end of the scale."""
        return self.role == LOW_ANCHOR


@dataclass(frozen=True)
class Placed:
    """A place in the row of one listener."""

    item: int
    kind: str  # MAIN, REPEAT or CHECK


@dataclass
class History:
    """What earlier listeners heard, as far as they count."""

    positions: Counter = field(default_factory=Counter)  # (main piece, position) to listeners
    followers: Counter = field(default_factory=Counter)  # (main piece, the main piece after it) to listeners
    rows: Counter = field(default_factory=Counter)  # number of a row of the squares to listeners

    def add(self, row: Sequence[Placed], *, first_position: int = 1, number: int | None = None) -> None:
        """Count one more listener."""
        self.positions += position_table([row], first_position=first_position)
        for before, after in pairwise(row):
            if before.kind == after.kind == MAIN:
                self.followers[before.item, after.item] += 1
        if number is not None:
            self.rows[number] += 1

    def n_listeners(self) -> Counter:
        """How many heard each piece."""
        heard: Counter = Counter()
        for (item, _), n in self.positions.items():
            heard[item] += n
        return heard


@dataclass(frozen=True)
class Plan:
    """What the orders of a study are drawn from."""

    pieces: tuple[Candidate, ...]  # in an order that does not depend on row numbers
    checks: tuple[int, ...]
    n_trials: int
    n_repeats: int
    n_checks: int
    n_practice: int
    is_balanced: bool
    secret: str  # of the study; fills the squares

    @property
    def has_squares(self) -> bool:
        """Whether every listener gets a row of a Williams square."""
        n = len(self.pieces)
        return self.is_balanced and self.n_trials >= n and 2 <= n <= LARGEST_SQUARE


def draw(plan: Plan, history: History, rng: Random) -> tuple[list[Placed], int | None]:
    """The row of the next listener after practice, and its number in the squares where it is from one."""
    checks = rng.sample(plan.checks, min(len(plan.checks), plan.n_checks))
    if plan.has_squares:
        number = free_row(len(plan.pieces), history.rows, rng)
        return _square_row(plan, number, checks, rng), number
    heard = history.n_listeners()
    candidates = [
        Candidate(piece.item, piece.condition, piece.role, heard[piece.item]) for piece in plan.pieces
    ]
    row = arrange(
        choose(candidates, plan.n_trials, rng),
        checks=checks,
        n_repeats=plan.n_repeats,
        first_position=plan.n_practice + 1,
        history=history if plan.is_balanced else None,
        rng=rng,
    )
    return row, None


def free_row(n_pieces: int, used: Counter, rng: Random) -> int:
    """A row of the first square that has one left: who leaves half-way gives theirs back."""
    size, square = williams.n_rows(n_pieces), 0
    while not (free := [row for row in range(square * size, (square + 1) * size) if not used[row]]):
        square += 1
    return rng.choice(free)


@lru_cache(maxsize=64)
def filled_square(plan: Plan, square: int) -> list[list[Candidate]]:
    """The rows of one square in pieces, which its number and the secret of the study deal to its places."""
    rng = Random(hmac.digest(plan.secret.encode(), f"square {square}".encode(), "sha256"))
    pieces = rng.sample(plan.pieces, len(plan.pieces))
    return [[pieces[place] for place in row] for row in williams.square(len(pieces))]


def _square_row(plan: Plan, number: int, checks: Sequence[int], rng: Random) -> list[Placed]:
    """A row of a square, then repeats of what was heard long enough before, with the checks in between."""
    square, place = divmod(number, williams.n_rows(len(plan.pieces)))
    main = filled_square(plan, square)[place]
    n_main, n_repeats = len(main), min(plan.n_repeats, len(main))
    repeats: list[Candidate] = []
    for later in range(n_repeats):
        early = [piece for piece in main[: max(1, n_main + later - LAG + 1)] if piece not in repeats]
        early = early or [piece for piece in main if piece not in repeats]
        repeats.append(rng.choice([piece for piece in early if not piece.is_low_anchor] or early))
    row = [Placed(piece.item, MAIN) for piece in main] + [Placed(piece.item, REPEAT) for piece in repeats]
    for place, item in zip(_check_places(len(row), len(checks), rng), checks, strict=True):
        row.insert(place, Placed(item, CHECK))
    return row


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
    history: History | None = None,
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
    history : History, optional
        What earlier listeners heard where; without it every valid order is as likely as any other.
    """
    if not chosen:
        return []
    kinds = _slots(len(chosen), min(n_repeats, len(chosen)), len(checks), rng)
    search = _Search(chosen, kinds, first_position, history or History(), rng)
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
    for place in _check_places(n_heard, n_checks, rng):
        kinds.insert(place, CHECK)
    return kinds


def _check_places(n_heard: int, n_checks: int, rng: Random) -> list[int]:
    """Before which places of a row checks go, the last first: one in each equal part, off its edges."""
    width = (n_heard - 1) / max(1, n_checks)
    places = [round(1 + width * (part + rng.uniform(0.25, 0.75))) for part in reversed(range(n_checks))]
    return [min(max(1, place), max(1, n_heard - 1)) for place in places]


class _Search:
    """The search for an order: main pieces and repeats at their slots, improved by single changes."""

    def __init__(
        self,
        chosen: Sequence[Candidate],
        kinds: Sequence[str],
        first_position: int,
        history: History,
        rng: Random,
    ):
        self.chosen = list(chosen)
        self.stood, self.followed = dict(history.positions), dict(history.followers)
        slots = [slot for slot, kind in enumerate(kinds) if kind != CHECK]
        self.positions = [first_position + slot for slot in slots]
        self.main = [place for place, slot in enumerate(slots) if kinds[slot] == MAIN]
        self.repeats = [place for place, slot in enumerate(slots) if kinds[slot] == REPEAT]
        self.main_neighbours = [
            place for place in self.main if place + 1 in self.main and slots[place + 1] == slots[place] + 1
        ]
        self.can_open_otherwise = not all(candidate.is_low_anchor for candidate in chosen)
        self.n_changes, _ = _changes_and_long_runs(self.shuffled(rng))

    def shuffled(self, rng: Random) -> list[Candidate]:
        """Any order, with any repeats."""
        row: list[Candidate] = [self.chosen[0]] * (len(self.main) + len(self.repeats))
        for place, candidate in zip(self.main, rng.sample(self.chosen, len(self.chosen)), strict=True):
            row[place] = candidate
        for place, candidate in zip(self.repeats, rng.sample(self.chosen, len(self.repeats)), strict=True):
            row[place] = candidate
        return row

    def improved(self, rng: Random) -> tuple[int, list[Candidate]]:
        """An order that no single change improves, from a random start, and its cost."""
        row = self.shuffled(rng)
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
        n_changes, n_long = _changes_and_long_runs(row)
        broken = abs(n_changes - self.n_changes)
        broken += 2 * (row[0].is_low_anchor and self.can_open_otherwise)
        first = {row[place].item: self.positions[place] for place in self.main}
        for place in self.repeats:
            lag = self.positions[place] - first[row[place].item]
            broken += 1000 * (lag <= 0) + 2 * max(0, LAG - lag) + 20 * row[place].is_low_anchor
        broken += 1000 * (len(self.repeats) - len({row[place].item for place in self.repeats}))
        stood = sum(self.stood.get((row[place].item, self.positions[place]), 0) for place in self.main)
        followed = sum(
            self.followed.get((row[place].item, row[place + 1].item), 0) for place in self.main_neighbours
        )
        return BROKEN * broken + stood + followed + LONG_RUN * n_long


def _changes_and_long_runs(row: Sequence[Candidate]) -> tuple[int, int]:
    """How often the role changes, and how often a piece is at least the fourth of its role in a row."""
    n_changes = n_long = 0
    length = 1
    for before, after in pairwise(row):
        if before.role == after.role:
            length += 1
            n_long += length > 3
        else:
            length = 1
            n_changes += 1
    return n_changes, n_long


def position_table(rows: Sequence[Sequence[Placed]], *, first_position: int = 1) -> Counter:
    """How often each main piece stood at each position: ``(item, position)`` to a count."""
    return Counter(
        (placed.item, position)
        for row in rows
        for position, placed in enumerate(row, start=first_position)
        if placed.kind == MAIN
    )
