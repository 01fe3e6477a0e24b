"""The scan of `analysis.plagiarism.scan` as compiled code: n vectors are added with three-input logic.

The counts of the windows in a vector stand in *bit planes*: plane p holds bit p of every lane's count. Adding
16 vectors takes 15 full adders (a carry-save tree), each two three-input operations for 512 windows, and one
carry that ripples up. The planes start at 2**n_planes less the count that is asked for, so that whatever
reaches it carries out of the last plane: one test tells whether a vector holds anything of interest. A lane
that could not carry out even if it had all units that remain needs the planes above the remaining count all
ones, which is asked three times before the end; most vectors stop there.

Needs numba. Import it only when there is much to search: numba takes half a second to import, and the first
search with a new number of planes about a second to compile. What was compiled is kept in the folder
NUMBA_CACHE_DIR, by default in `__pycache__` beside this file.

References: Harley and Seal's carry-save population count, in Warren, "Hacker's Delight", 2nd ed., 2012,
section 5-1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

TREE = 4  # 2**TREE vectors are added at once
CHECKS = (6, 5, 4)  # before the last 2**j vectors, see whether any lane can still reach the count
SUM, MAJORITY = 0x96, 0xE8  # truth tables of a full adder's two outputs

_WORD = ir.IntType(64)
_INT = ir.IntType(32)


def full_width() -> int:
    """Words that one register of this processor holds."""
    return 8 if llvm.get_host_cpu_features().get("avx512f") else 4


class _Adder:
    """Writes the code that adds vectors to bit planes."""

    def __init__(self, builder: ir.IRBuilder, width: int, n_planes: int):
        self.builder = builder
        self.width = width
        self.vector = ir.VectorType(_WORD, width)
        self.n_planes = n_planes
        self.planes = [cgutils.alloca_once(builder, self.vector) for _ in range(n_planes + 1)]
        self.has_ternary = full_width() == 8 and width == 8

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=8)

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.vector.as_pointer()), align=8)

    def full_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Sum and carry of three bits in every lane."""
        builder = self.builder
        if self.has_ternary:  # LLVM finds the sum by itself, but spends two operations on the majority
            kind = ir.FunctionType(self.vector, [self.vector] * 3 + [_INT])
            ternary = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.pternlog.q.512")
            return tuple(
                builder.call(ternary, [a, b, c, ir.Constant(_INT, table)]) for table in (SUM, MAJORITY)
            )
        either = builder.or_(a, b)
        carry = builder.or_(builder.and_(a, b), builder.and_(c, either))
        return builder.xor(builder.xor(a, b), c), carry

    def carry_up(self, carry: ir.Value, plane: int) -> None:
        """Add one vector of weight 2**plane; what leaves the last plane stays in the one above it."""
        builder = self.builder
        for place in self.planes[plane : self.n_planes]:
            bits = builder.load(place)
            builder.store(builder.xor(bits, carry), place)
            carry = builder.and_(bits, carry)
        last = self.planes[self.n_planes]
        builder.store(builder.or_(builder.load(last), carry), last)

    def tree(self, vector_at: Callable[[int], ir.Value], first: int, level: int) -> ir.Value:
        """Add 2**level vectors to the lowest planes; the carry of weight 2**level is returned."""
        if level == 0:
            return vector_at(first)
        left = self.tree(vector_at, first, level - 1)
        right = self.tree(vector_at, first + (1 << level - 1), level - 1)
        place = self.planes[level - 1]
        bits, carry = self.full_add(self.builder.load(place), left, right)
        self.builder.store(bits, place)
        return carry

    def is_any(self, vector: ir.Value) -> ir.Value:
        kind = ir.FunctionType(_WORD, [self.vector])
        name = f"llvm.vector.reduce.or.v{self.width}i64"
        joined = self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [vector])
        return self.builder.icmp_unsigned("!=", joined, ir.Constant(_WORD, 0))

    def may_pass(self, n_left: int) -> ir.Value:
        """Whether a lane carries out, or would if it had all of the last 2**n_left vectors."""
        builder = self.builder
        alive = builder.load(self.planes[n_left])
        for place in self.planes[n_left + 1 : self.n_planes]:
            alive = builder.and_(alive, builder.load(place))
        return self.is_any(builder.or_(alive, builder.load(self.planes[self.n_planes])))


@intrinsic(prefer_literal=True)
def add_vectors(typing, rows, first, offsets, n, least, bias, word, words, mask, found, width, n_planes):
    """Add `n` vectors of `rows`, each `first` words behind its own place in `offsets`.

    Parameters
    ----------
    least : int
        What every lane is asked for at least: while more vectors than that remain, none is given up.
    bias : array [shape=(n_planes + 1, words)]
        Where the planes start, the one for what is carried out included; from `word` on.
    mask : array
        From `first` on: the lanes that count.
    found : array of words
        If a lane passes: all planes, and behind them the lanes that pass.

    Returns
    -------
    passes : bool
    """
    n_words, n_bits = width.literal_value, n_planes.literal_value
    signature = types.boolean(rows, first, offsets, n, least, bias, word, words, mask, found, width, n_planes)

    def write(context, builder, signature, values):
        def data(place):
            return context.make_array(signature.args[place])(context, builder, values[place]).data

        adder = _Adder(builder, n_words, n_bits)
        base = builder.gep(data(0), [values[1]])
        offset_data, count = data(2), values[3]
        index = cgutils.alloca_once_value(builder, ir.Constant(_WORD, 0))
        passes = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 0))
        for plane, place in enumerate(adder.planes):
            own = builder.add(values[6], builder.mul(values[7], ir.Constant(_WORD, plane)))
            builder.store(adder.load(builder.gep(data(5), [own])), place)

        def add(level):
            """Add the next 2**level vectors."""
            start = builder.load(index)

            def vector_at(number):
                place = builder.gep(offset_data, [builder.add(start, ir.Constant(_WORD, number))])
                return adder.load(builder.gep(base, [builder.load(place)]))

            adder.carry_up(adder.tree(vector_at, 0, level), level)
            builder.store(builder.add(start, ir.Constant(_WORD, 1 << level)), index)

        for level in range(TREE):  # what is no multiple of the tree comes first
            bit = builder.and_(count, ir.Constant(_WORD, 1 << level))
            with builder.if_then(builder.icmp_unsigned("!=", bit, ir.Constant(_WORD, 0))):
                add(level)
        loop = builder.append_basic_block("loop")
        body = builder.append_basic_block("body")
        whole = builder.append_basic_block("whole")
        end = builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        left = builder.sub(count, builder.load(index))
        n_checks = [level for level in CHECKS if level < n_bits]
        switch = builder.switch(left, body)
        switch.add_case(ir.Constant(_WORD, 0), whole)
        for level in n_checks:
            check = builder.append_basic_block(f"check{level}")
            switch.add_case(ir.Constant(_WORD, 1 << level), check)
            test = builder.append_basic_block(f"test{level}")
            builder.position_at_end(check)
            is_open = builder.icmp_signed("<=", values[4], ir.Constant(_WORD, 1 << level))
            builder.cbranch(is_open, body, test)
            builder.position_at_end(test)
            builder.cbranch(adder.may_pass(level), body, end)
        builder.position_at_end(body)
        add(TREE)
        builder.branch(loop)

        builder.position_at_end(whole)
        mask_bits = adder.load(builder.gep(data(8), [values[1]]))
        passing = builder.and_(builder.load(adder.planes[n_bits]), mask_bits)
        is_any = adder.is_any(passing)
        builder.store(is_any, passes)
        with builder.if_then(is_any, likely=False):
            for plane, place in enumerate(adder.planes[:n_bits]):
                target = builder.gep(data(9), [ir.Constant(_WORD, plane * n_words)])
                adder.store(builder.load(place), target)
            adder.store(passing, builder.gep(data(9), [ir.Constant(_WORD, n_bits * n_words)]))
        builder.branch(end)
        builder.position_at_end(end)
        return builder.load(passes)

    return signature, write


# A list of best windows is two rows of numbers, best first: scores, which rank by common units and then by
# transposition, and wheres, which hold the piece above 32 bits and the start below them.
_HALF = 1 << 31


def unpack_places(scores: np.ndarray, wheres: np.ndarray, n_keys: int) -> np.ndarray:
    """Common units, rank of the transposition, piece, start: (n, 4) int64."""
    common, rank = scores // n_keys, n_keys - 1 - scores % n_keys
    return np.stack([common, rank, wheres >> 32, (wheres & 0xFFFFFFFF) - _HALF], axis=1)


@intrinsic
def _lowest_bit(typing, word):
    """The number of the lowest bit that is set in a word that is not 0."""

    def write(context, builder, signature, values):
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(word), write


@njit(nogil=True)
def _least_common(scores, n_places, n_keys, key):
    """What a window under the transposition of rank `key` needs in common to be worth an offer."""
    if n_places < len(scores):
        return 0
    return (scores[n_places - 1] + key) // n_keys


@njit(nogil=True)
def _offer(scores, wheres, n_places, per_piece, score, where):
    """Take a window into a list if it belongs there.

    Whatever the order in which windows are offered, the same ones stay: a list with a limit for each piece
    and one for all is the best basis of a matroid, where a newcomer can only push out the worst window of its
    own full piece, or of the full list.

    Returns
    -------
    n_places : int
        How many places are taken then.
    rival : int
        The place that the window has, or else the one that kept it out.
    """
    of_piece, rival = 0, -1
    for place in range(n_places):
        if wheres[place] >> 32 == where >> 32:
            of_piece += 1
            rival = place
    if of_piece < per_piece:
        rival = min(n_places, len(scores) - 1)
    if rival < n_places and (score < scores[rival] or (score == scores[rival] and where > wheres[rival])):
        return n_places, rival
    while rival > 0 and (
        score > scores[rival - 1] or (score == scores[rival - 1] and where < wheres[rival - 1])
    ):
        scores[rival] = scores[rival - 1]
        wheres[rival] = wheres[rival - 1]
        rival -= 1
    scores[rival] = score
    wheres[rival] = where
    return n_places + (of_piece < per_piece and n_places < len(scores)), rival


@njit(nogil=True)
def _ask(bias, words, n_planes, least):
    """Start the planes of all lanes so that `least` units carry out of the last one."""
    start = (1 << n_planes) - least
    for plane in range(n_planes + 1):
        bits = np.uint64(0) - np.uint64(start >> plane & 1)
        for word in range(words):
            bias[plane * words + word] = bits


@njit(nogil=True)
def _ask_at_least(bias, words, n_planes, least):
    """Ask every lane for `least` units, but those for more that are asked for more."""
    start = (1 << n_planes) - least
    for word in range(words):
        larger, equal = np.uint64(0), ~np.uint64(0)  # lanes whose planes start above `start`, so ask for less
        for plane in range(n_planes, -1, -1):
            bits = bias[plane * words + word]
            if start >> plane & 1:
                equal &= bits
            else:
                larger |= equal & bits
                equal &= ~bits
        for plane in range(n_planes + 1):
            place = plane * words + word
            bias[place] = (bias[place] & ~larger) | (larger if start >> plane & 1 else np.uint64(0))


@njit(nogil=True)
def _ask_of_lane(bias, words, n_planes, word, bit, least):
    """Start the planes of the one lane that is a bit of a word so that `least` units carry out."""
    start = (1 << n_planes) - least
    for plane in range(n_planes + 1):
        place = plane * words + word
        bias[place] = (bias[place] & ~bit) | (bit if start >> plane & 1 else np.uint64(0))


@njit(nogil=True)
def _ask_known_pieces(
    bias, words, n_planes, scores, wheres, n_keys, key, n_vectors, block_start, block_end, regions, gap,
    first_piece,
):  # fmt: skip
    """Ask the lanes that stand, throughout a block, in a piece of the list for more than its place there."""
    for place in range(len(wheres)):
        piece = (wheres[place] >> 32) - first_piece
        if not 0 <= piece < len(regions) - 1:
            continue
        column = regions[piece] + gap + (wheres[place] & 0xFFFFFFFF) - _HALF
        least = (scores[place] + key) // n_keys
        is_tie = least * n_keys + n_keys - 1 - key == scores[place]
        for lane in range(regions[piece] // n_vectors, (regions[piece + 1] - 1) // n_vectors + 1):
            first = lane * n_vectors + block_start
            if regions[piece] <= first and lane * n_vectors + block_end <= regions[piece + 1]:
                bit = np.uint64(1) << np.uint64(lane & 63)
                own = least + (is_tie and column <= first)
                _ask_of_lane(bias, words, n_planes, lane >> 6, bit, own)


@njit(nogil=True)
def _keep_best(found, width, n_planes):
    """Split the lanes that passed: those that have most in common stay, the others are put behind them."""
    passed, others = n_planes * width, (n_planes + 1) * width
    for word in range(width):
        found[others + word] = found[passed + word]
    for plane in range(n_planes - 1, -1, -1):
        any_set = np.uint64(0)
        for word in range(width):
            any_set |= found[passed + word] & found[plane * width + word]
        if any_set:
            for word in range(width):
                found[passed + word] &= found[plane * width + word]
    for word in range(width):
        found[others + word] &= ~found[passed + word]


@njit(nogil=True)
def _collect(
    found, width, n_planes, bias, first_word, words, scores, wheres, n_places, per_piece, n_keys, key,
    n_vectors, vector, block_end, regions, lane_pieces, gap, first_piece, excluded,
):  # fmt: skip
    """Offer the lanes that passed to a list; while it is not full, those with most in common first.

    A lane that can bring nothing more before the block ends, because its piece is left out or has a better
    window in the list, is asked for so much that it passes no more: pieces repeat themselves.

    How many places are taken then.
    """
    passed = n_planes * width
    enough = _least_common(scores, n_places, n_keys, key)
    by_rank = n_places < len(scores)
    while True:
        if by_rank:
            _keep_best(found, width, n_planes)
        common = np.int64(0)
        for word in range(width):
            bits = found[passed + word]
            while bits:
                low = bits & (~bits + np.uint64(1))
                bits ^= low
                common = np.int64(1) << n_planes  # what was carried out; less where the planes started
                for plane in range(n_planes):
                    common += np.int64((found[plane * width + word] & low) != 0) << plane
                for plane in range(n_planes + 1):
                    common -= np.int64((bias[plane * words + first_word + word] & low) != 0) << plane
                if common < enough:
                    continue
                lane = 64 * (first_word + word) + _lowest_bit(low)
                column = lane * n_vectors + vector
                place = _last_at_most(regions, lane_pieces[lane], lane_pieces[lane + 1] + 1, column)
                piece = first_piece + place
                stays = regions[place + 1] >= lane * n_vectors + block_end  # in the piece, to the block's end
                nearest = _last_at_most(excluded, -1, len(excluded), piece)
                if nearest >= 0 and excluded[nearest] == piece:
                    if stays and not by_rank:
                        _ask_of_lane(bias, words, n_planes, first_word + word, low, 1 << n_planes)
                    continue
                where = (piece << 32) + column - regions[place] - gap + _HALF
                score = common * n_keys + n_keys - 1 - key
                n_places, rival = _offer(scores, wheres, n_places, per_piece, score, where)
                enough = _least_common(scores, n_places, n_keys, key)
                is_own = wheres[rival] >> 32 == piece
                if not by_rank and (stays and per_piece == 1 if is_own else True):
                    # The rest of the lane needs as much as the rival, and more if the rival wins ties.
                    least = (scores[rival] + key) // n_keys
                    is_tie = least * n_keys + n_keys - 1 - key == scores[rival]
                    least += is_tie and wheres[rival] <= where
                    _ask_of_lane(bias, words, n_planes, first_word + word, low, least)
        if not by_rank or common < enough:
            return n_places
        n_left = 0
        for word in range(width):
            found[passed + word] = found[passed + width + word]
            n_left += found[passed + word] != 0
        if not n_left:
            return n_places


@njit(nogil=True)
def _last_at_most(values, low, high, value):
    """Place of the last of ascending values that is not larger, between `low`, which is not, and `high`."""
    while high - low > 1:
        middle = (low + high) >> 1
        if values[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@cache
def scan_function(words: int, width: int, n_planes: int) -> Callable:
    """The scan for vectors of `words` words, `width` of them at a time, and counts below 2**n_planes."""

    @njit(nogil=True, cache=True)
    def scan(
        rows, n_vectors, row_words, row_index, regions, gap, first_piece, mask,
        steps, snippet_rows, units, keys, excluded, exclusions, limits, per_piece, block, first, last,
        scores, wheres, n_places,
    ):  # fmt: skip
        """Offer to the lists of snippets `first` to before `last` the windows of a chunk."""
        most = 0
        for snippet in range(first, last):
            most = max(most, units[snippet + 1] - units[snippet])
        offsets = np.empty(most, np.int64)
        bias = np.zeros((n_planes + 1) * words, np.uint64)
        found = np.empty((n_planes + 2) * width, np.uint64)
        n_keys = len(keys)
        lane_pieces = np.empty(64 * words + 1, np.int64)
        for lane in range(len(lane_pieces)):
            column = min(lane * n_vectors, regions[-1] - 1)
            lane_pieces[lane] = _last_at_most(regions, 0, len(regions) - 1, column)
        for block_start in range(0, n_vectors, block):
            block_end = min(block_start + block, n_vectors)
            for snippet in range(first, last):
                if not limits[snippet]:
                    continue
                left_out = excluded[exclusions[snippet] : exclusions[snippet + 1]]
                own_scores = scores[snippet, : limits[snippet]]
                own_wheres = wheres[snippet, : limits[snippet]]
                n_own = n_places[snippet]
                for key in range(n_keys):
                    n = 0
                    for unit in range(units[snippet], units[snippet + 1]):
                        row = snippet_rows[unit] + keys[key]
                        if 0 <= row < len(row_index) and row_index[row] >= 0:
                            offsets[n] = row_index[row] * row_words + steps[unit] * words
                            n += 1
                    least = _least_common(own_scores, n_own, n_keys, key)
                    if least > n:
                        continue
                    _ask(bias, words, n_planes, least)
                    if per_piece == 1 and n_own == len(own_scores):
                        _ask_known_pieces(
                            bias, words, n_planes, own_scores, own_wheres, n_keys, key, n_vectors,
                            block_start, block_end, regions, gap, first_piece,
                        )  # fmt: skip
                    for vector in range(block_start, block_end):
                        at = vector * words
                        for word in range(0, words, width):
                            if add_vectors(
                                rows, at + word, offsets, n, least,
                                bias, word, words, mask, found, width, n_planes,
                            ):  # fmt: skip
                                n_own = _collect(
                                    found, width, n_planes, bias, word, words, own_scores, own_wheres, n_own,
                                    per_piece, n_keys, key, n_vectors, vector, block_end, regions,
                                    lane_pieces, gap, first_piece, left_out,
                                )  # fmt: skip
                                enough = _least_common(own_scores, n_own, n_keys, key)
                                if enough != least:
                                    least = enough
                                    _ask_at_least(bias, words, n_planes, least)
                        if least > n:
                            break
                n_places[snippet] = n_own

    return scan
