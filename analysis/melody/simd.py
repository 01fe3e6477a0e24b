"""The recurrences of `analysis.melody.alignment` for many melodies at once, one in each lane of a vector.

Up to 64 melodies of about one length stand side by side, a byte each: column j of a batch is one vector, the
j-th token of every melody. A pass takes a few tokens of the query down all columns. A cell of every lane
takes six operations for the score S_p and four for each level of the frontier:

    L_0 = equal ? diagonal + 1 : 0
    L_k = equal ? diagonal + 1 : max of L_{k-1} at the diagonal, above and to the left
    S_p = equal ? diagonal + 1 : max of S_p at the diagonal, above and to the left, less p, at least 0

Where tokens are equal nothing else can be more: a neighbour exceeds the diagonal by one match at most, and
that by giving up an edit. Additions saturate, so a lane that ends at the largest value of its type may have
had more and is counted again in wider lanes.

The vectors are LLVM's: it makes AVX-512, AVX2 or whatever the processor has of the same code, as wide as the
processor's own, to equal results. Compiling takes a tenth of a second or two for each kind of pass, once per
process.

Reference: Rognes, "Faster Smith-Waterman database searches with inter-sequence SIMD parallelisation", BMC
Bioinformatics 12, 2011.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import njit, types
from numba.extending import intrinsic


def _native_vector_bytes() -> int:
    """The widest vectors of whole bytes that this processor works on at once."""
    features = get_host_cpu_features()
    if features.get("avx512bw"):
        return 64
    return 32 if features.get("avx2") else 16


VECTOR_BYTES = _native_vector_bytes()
#: Bytes of a lane: one, or four for what is too long to be counted in one.
NARROW, WIDE = 1, 4


def n_lanes(lane_bytes: int) -> int:
    """Melodies side by side in one vector."""
    return VECTOR_BYTES // lane_bytes


@cache
def passes(
    vector_bytes: int, lane_bytes: int, n_planes: int, n_levels: int, with_score: bool
) -> tuple[int, Callable]:
    """How many tokens a pass takes, and a compiled function that aligns strings with one batch.

    Parameters
    ----------
    vector_bytes, lane_bytes : int
        Of a vector, and of each of its lanes: `NARROW` or `WIDE`.
    n_planes : int
        Lanes that a token takes: two where tokens do not fit in one.
    n_levels : int
        Levels of the frontier, from L_0.
    with_score : bool
        Whether S_p is computed too, after the levels.

    Returns
    -------
    n_rows : int
        Every string must be filled up to a whole number of so many tokens.
    align : callable ``(codes, starts, columns, penalty, row, best) -> None``
        `codes` (n_codes, n_planes) are the tokens of all strings, string s from ``starts[s]`` to before
        ``starts[s + 1]``; `columns` (n_columns, n_planes, n_lanes) is the batch; `row` is room for
        (n_columns, n_layers, n_lanes); `best` (n_strings, n_layers, n_lanes) takes the results. It holds no
        lock of the interpreter.
    """
    n_layers = n_levels + with_score
    n_registers = 32 if vector_bytes == 64 else 16
    n_rows = max(1, min(6, n_registers // (2 * n_layers + 1)))  # more would not stay in registers
    vector = ir.VectorType(ir.IntType(8 * lane_bytes), vector_bytes // lane_bytes)
    sweep = _sweep(vector, n_planes, n_levels, with_score, n_rows)

    @njit(nogil=True)
    def align(codes, starts, columns, penalty, row, best):
        code_bytes = codes.shape[1] * codes.itemsize
        for string in range(len(starts) - 1):
            row[: len(columns)] = 0
            best[string] = 0
            for first in range(starts[string], starts[string + 1], n_rows):
                sweep(
                    codes.ctypes.data + first * code_bytes,
                    columns.ctypes.data,
                    row.ctypes.data,
                    best.ctypes.data + string * n_layers * vector_bytes,
                    len(columns),
                    penalty,
                )

    return n_rows, align


def _sweep(vector: ir.VectorType, n_planes: int, n_levels: int, with_score: bool, n_rows: int):
    """The inner loop, down the columns with `n_rows` tokens of the query: an intrinsic of addresses."""
    index = ir.IntType(64)
    n_layers = n_levels + with_score

    @intrinsic
    def sweep(typing_context, codes, columns, row, best, n_columns, penalty):
        signature = types.void(*(types.uintp,) * 4, types.intp, types.intp)

        def generate(context, builder, signature, arguments):
            codes, columns, row, best, n_columns, penalty = arguments
            write = _Writer(builder, vector)
            token_of_row = write.tokens(codes, n_rows, n_planes)
            cost = write.splat(builder.trunc(penalty, vector.element))
            columns, row, best = (write.vectors(address) for address in (columns, row, best))
            best_before = [write.load(best, layer) for layer in range(n_layers)]

            before = builder.block
            loop, done = builder.append_basic_block("column"), builder.append_basic_block("done")
            builder.branch(loop)
            builder.position_at_end(loop)
            column = builder.phi(index)
            column.add_incoming(ir.Constant(index, 0), before)
            # Carried from column to column: the cell of the row above, and the cells of each row.
            carried = [[write.carry(before) for _ in range(n_layers)] for _ in range(n_rows + 1)]
            tops = [write.carry(before, start) for start in best_before]

            token = [write.load(columns, plane, column, n_planes) for plane in range(n_planes)]
            above = [write.load(row, layer, column, n_layers) for layer in range(n_layers)]
            cells, best_now = [above], list(tops)
            for place in range(n_rows):
                equal = write.equal(token, token_of_row[place])
                diagonal, up, left = carried[place], cells[-1], carried[place + 1]
                now = _cells(write, equal, diagonal, up, left, n_levels, with_score, cost)
                best_now = [write.larger(*pair) for pair in zip(best_now, now, strict=True)]
                cells.append(now)
            for layer in range(n_layers):
                write.store(cells[-1][layer], row, layer, column, n_layers)
            following = builder.add(column, ir.Constant(index, 1))
            column.add_incoming(following, loop)
            for phis, values in zip([*carried, tops], [*cells, best_now], strict=True):
                for phi, value in zip(phis, values, strict=True):
                    phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, n_columns), loop, done)

            builder.position_at_end(done)
            for layer in range(n_layers):
                write.store(best_now[layer], best, layer)
            return context.get_dummy_value()

        return signature, generate

    return sweep


def _cells(write: _Writer, equal, diagonal, up, left, n_levels: int, with_score: bool, cost) -> list:
    """Code for the layers of one cell, from those of its three neighbours."""
    cells = []
    for layer in range(n_levels + with_score):
        source = layer if layer == n_levels else layer - 1  # the score's own layer, or one edit fewer
        edited = write.zero
        if source >= 0:
            edited = write.larger(write.larger(diagonal[source], up[source]), left[source])
        if layer == n_levels:
            edited = write.less(edited, cost)
        cells.append(write.choose(equal, write.more(diagonal[layer], write.one), edited))
    return cells


class _Writer:
    """Writes operations on vectors of unsigned numbers into a function that LLVM compiles."""

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType):
        self.builder = builder
        self.vector = vector
        self.zero = ir.Constant(vector, [0] * vector.count)
        self.one = ir.Constant(vector, [1] * vector.count)
        self.larger = self._operation("umax")
        self.more = self._operation("uadd.sat")
        self.less = self._operation("usub.sat")
        self.choose = builder.select

    def _operation(self, name: str) -> Callable:
        name = f"llvm.{name}.v{self.vector.count}i{self.vector.element.width}"
        module = self.builder.module
        known = module.globals.get(name)
        operation = known or ir.Function(module, ir.FunctionType(self.vector, [self.vector] * 2), name)
        return lambda one, other: self.builder.call(operation, [one, other])

    def splat(self, number):
        """The same number in every lane."""
        nothing, first = ir.Constant(self.vector, ir.Undefined), ir.IntType(32)
        single = self.builder.insert_element(nothing, number, ir.Constant(first, 0))
        places = ir.Constant(ir.VectorType(first, self.vector.count), [0] * self.vector.count)
        return self.builder.shuffle_vector(single, nothing, places)

    def tokens(self, address, n_rows: int, n_planes: int) -> list[list]:
        """Planes of each of the next tokens of the query, in every lane."""
        codes = self.builder.inttoptr(address, self.vector.element.as_pointer())
        place = [ir.Constant(ir.IntType(64), number) for number in range(n_rows * n_planes)]
        values = [self.splat(self.builder.load(self.builder.gep(codes, [number]))) for number in place]
        return [values[first : first + n_planes] for first in range(0, len(values), n_planes)]

    def equal(self, token: list, other: list):
        """Where all planes of two tokens are equal."""
        equal = None
        for plane, other_plane in zip(token, other, strict=True):
            same = self.builder.icmp_unsigned("==", plane, other_plane)
            equal = same if equal is None else self.builder.and_(equal, same)
        return equal

    def carry(self, before, start=None):
        """A vector that a loop carries on; zeros at first unless told."""
        phi = self.builder.phi(self.vector)
        phi.add_incoming(self.zero if start is None else start, before)
        return phi

    def vectors(self, address):
        """An address as that of vectors."""
        return self.builder.inttoptr(address, self.vector.as_pointer())

    def load(self, vectors, layer: int, column=None, n_layers: int = 0):
        """The vector of a layer, in a column of so many layers."""
        return self.builder.load(self._place(vectors, layer, column, n_layers), align=1)

    def store(self, value, vectors, layer: int, column=None, n_layers: int = 0):
        """Put a vector where `load` finds it."""
        self.builder.store(value, self._place(vectors, layer, column, n_layers), align=1)

    def _place(self, vectors, layer: int, column, n_layers: int):
        number = ir.Constant(ir.IntType(64), layer)
        if column is not None:
            first = self.builder.mul(column, ir.Constant(ir.IntType(64), n_layers))
            number = self.builder.add(first, number)
        return self.builder.gep(vectors, [number])


@njit(nogil=True)
def fill_columns(tokens, starts, chosen, columns):
    """Write strings as columns (n_columns, n_planes, n_lanes), one lane each; the rest is filled with ones.

    Of a token of two planes the first has its lower byte.
    """
    one_bits = columns.dtype.type(-1)
    n_planes = columns.shape[1]
    columns[:] = one_bits
    for lane in range(len(chosen)):
        first = starts[chosen[lane]]
        for column in range(starts[chosen[lane] + 1] - first):
            token = tokens[first + column]
            if n_planes == 1:
                columns[column, 0, lane] = token
            else:
                columns[column, 0, lane] = token & 255
                columns[column, 1, lane] = token >> 8


def aligned_zeros(shape: tuple[int, ...], lane_bytes: int) -> np.ndarray:
    """Zeros of lanes, from an address that is a whole number of vectors."""
    size = int(np.prod(shape)) * lane_bytes
    room = np.zeros(size + VECTOR_BYTES, dtype=np.uint8)
    first = -room.ctypes.data % VECTOR_BYTES
    return room[first : first + size].view(f"u{lane_bytes}").reshape(shape)
