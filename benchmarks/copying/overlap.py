"""Works of note overlap: our search beside the two ways of doing it that people use, and beside its limit."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pretty_midi
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from analysis.plagiarism.extraction import score_to_units
from analysis.plagiarism.index import NoteIndex
from analysis.plagiarism.packing import aligned_zeros
from analysis.plagiarism.scan import Machine
from analysis.plagiarism.search import TWO_OCTAVES, search
from benchmarks.copying import songs
from benchmarks.measuring import Work, best_seconds
from music.midi import score_to_midi
from music.note_table import table_reader

WINDOW = 64
N_SNIPPETS = 100  # that the usual ways search for; ours takes ten times as many
ONE_THREAD = Machine(workers=1, engine="compiled")
REPEATS = 5
_WORD = ir.IntType(64)


@cache
def index_of(unit: str) -> NoteIndex:
    """The songs, indexed."""
    return NoteIndex.build(songs.corpus(unit), unit=unit)


def our_seconds(unit: str, count: int = 10 * N_SNIPPETS, **options) -> float:
    """Per snippet, the whole of a search included."""
    index, wanted = index_of(unit), songs.snippets(unit, count)
    (seconds,) = best_seconds(lambda: search(index, wanted, machine=ONE_THREAD, **options), repeats=REPEATS)
    return seconds / count


# ---- one line of columns for the usual ways


@cache
def line_of(unit: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that sound, all pieces end to end with silence between them, and where each has its step 0."""
    pieces = songs.corpus(unit)
    lengths = np.array([piece.n_steps + WINDOW - 1 for piece in pieces])
    starts = np.cumsum(lengths) - lengths + WINDOW - 1
    sounding = np.unique(np.concatenate([piece.rows for piece in pieces]))
    line = np.zeros((len(sounding), int(lengths.sum()) + WINDOW - 1), dtype=bool)
    for piece, start in zip(pieces, starts.tolist(), strict=True):
        line[np.searchsorted(sounding, piece.rows), piece.steps + start] = True
    return sounding, line, starts


def windows_of(unit: str) -> np.ndarray:  # (n_snippets, n_rows, WINDOW) bool
    sounding, line, _ = line_of(unit)
    windows = np.zeros((N_SNIPPETS, len(line), WINDOW), dtype=bool)
    for window, snippet in zip(windows, songs.snippets(unit, 10 * N_SNIPPETS)[::10], strict=True):
        known = np.isin(snippet.rows, sounding)
        window[np.searchsorted(sounding, snippet.rows[known]), snippet.steps[known]] = True
    return windows


def check(unit: str, common: np.ndarray, columns: np.ndarray) -> None:
    """Refuse to compare with a way whose best windows are not ours.

    Raises
    ------
    ValueError
        Naming the first snippet whose best count, piece or start differs.
    """
    starts = line_of(unit)[2]
    wanted = songs.snippets(unit, 10 * N_SNIPPETS)[::10]
    found = search(index_of(unit), wanted, k=1, machine=ONE_THREAD)
    pieces = index_of(unit).pieces
    for place, (hits, count, column) in enumerate(zip(found, common.tolist(), columns.tolist(), strict=True)):
        own = starts[pieces[hits[0].piece].places[0]] + hits[0].start
        if (hits[0].common, own) != (count, column):
            raise ValueError(f"snippet {place}: ours {hits[0].common} at {own}, theirs {count} at {column}")


# ---- the usual ways


@torch.no_grad()
def by_convolution(
    line: torch.Tensor, windows: torch.Tensor, part: int = 1 << 15
) -> tuple[np.ndarray, np.ndarray]:
    """The best count and its first column, with `conv1d` over float32 rolls."""
    n_columns = line.shape[1] - WINDOW + 1
    best = torch.full((len(windows),), -1.0)
    where = torch.zeros(len(windows), dtype=torch.int64)
    for first in range(0, n_columns, part):
        counts = torch.nn.functional.conv1d(line[None, :, first : first + part + WINDOW - 1], windows)[0]
        top, column = counts.max(dim=1)
        is_better = top > best
        best = torch.where(is_better, top, best)
        where = torch.where(is_better, column + first, where)
    return best.numpy().astype(np.int64), where.numpy()


@intrinsic
def count_bits(typing, word):
    """How many bits of a word are set."""

    def write(context, builder, signature, values):
        return builder.ctpop(values[0])

    return types.uint64(word), write


@njit
def pack_windows(line):  # (n_rows, n_columns + WINDOW - 1) bool -> (n_columns, n_rows) uint64
    n_rows, n_columns = line.shape[0], line.shape[1] - 63
    packed = np.zeros((n_columns, n_rows), np.uint64)
    for row in range(n_rows):
        word = np.uint64(0)
        for column in range(line.shape[1]):
            word = (word >> np.uint64(1)) | (np.uint64(line[row, column]) << np.uint64(63))
            if column >= 63:
                packed[column - 63, row] = word
    return packed


@njit
def by_popcount(packed, windows, best, where):
    """The best count and its first column, with AND and popcount on windows of packed words."""
    n_rows = packed.shape[1]
    best[:] = -1
    for column in range(len(packed)):
        for snippet in range(len(windows)):
            common = np.uint64(0)
            for row in range(n_rows):
                common += count_bits(packed[column, row] & windows[snippet, row])
            if np.int64(common) > best[snippet]:
                best[snippet] = common
                where[snippet] = column


def against_convolution(unit: str) -> tuple[float, float]:
    _, line, _ = line_of(unit)
    line, windows = torch.from_numpy(line).float(), torch.from_numpy(windows_of(unit)).float()
    found = []
    (seconds,) = best_seconds(lambda: found.append(by_convolution(line, windows)), repeats=2, warm_up=False)
    check(unit, *found[0])
    return seconds / N_SNIPPETS, our_seconds(unit, k=1)


def against_popcount(unit: str) -> tuple[float, float]:
    packed = pack_windows(line_of(unit)[1])
    windows = np.packbits(windows_of(unit), axis=2, bitorder="little").view(np.uint64)[:, :, 0]
    windows = np.ascontiguousarray(windows)
    best, where = np.zeros((2, N_SNIPPETS), dtype=np.int64)
    by_popcount(packed[:1], windows, best, where)
    (seconds,) = best_seconds(lambda: by_popcount(packed, windows, best, where), repeats=2, warm_up=False)
    check(unit, best, where)
    return seconds / N_SNIPPETS, our_seconds(unit, k=1)


# ---- the limit


@intrinsic
def read_vectors(typing, data, n):
    """Combine `n` vectors of 512 bits, a multiple of 16, as fast as they can be loaded."""

    def write(context, builder, signature, values):
        vector = ir.VectorType(_WORD, 8)
        array = context.make_array(signature.args[0])(context, builder, values[0])
        first = builder.bitcast(array.data, vector.as_pointer())
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0] * 8)) for _ in range(8)]
        step = ir.Constant(_WORD, 16)
        with cgutils.for_range_slice(builder, ir.Constant(_WORD, 0), values[1], step) as (index, _):
            for place in range(16):
                own = builder.gep(first, [builder.add(index, ir.Constant(_WORD, place))])
                total = sums[place % 8]
                builder.store(builder.xor(builder.load(total), builder.load(own, align=8)), total)
        total = builder.load(sums[0])
        for other in sums[1:]:
            total = builder.xor(total, builder.load(other))
        kind = ir.FunctionType(_WORD, [vector])
        joined = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.xor.v8i64")
        return builder.call(joined, [total])

    return types.uint64(data, n), write


@njit
def read_again_and_again(data, times):
    total = np.uint64(0)
    for _ in range(times):
        data[0] += np.uint64(1)  # so that no two rounds are the same
        total ^= read_vectors(data, len(data) // 8)
    return total


@cache
def load_seconds() -> float:
    """For one vector of 512 bits from the second cache, in which 384 kB stay."""
    data = aligned_zeros((384 * 1024 // 8,))
    times = 2000
    (seconds,) = best_seconds(lambda: read_again_and_again(data, times), repeats=7)
    return seconds / (times * len(data) // 8)


def against_loads(unit: str) -> tuple[float, float]:
    """Every unit of a snippet asks for one load per 512 windows: the limit, and what the search takes."""
    ours = our_seconds(unit, k=1)
    n_units = np.mean([snippet.n_units for snippet in songs.snippets(unit, 10 * N_SNIPPETS)])
    n_vectors = sum(chunk.n_vectors * chunk.words / 8 for chunk in index_of(unit).chunks)
    return n_units * n_vectors * load_seconds(), ours


# ---- ours beside ours


def ten_beside_one(unit: str) -> tuple[float, float]:
    index, wanted = index_of(unit), songs.snippets(unit, 10 * N_SNIPPETS)
    ways = [lambda k=k: search(index, wanted, k=k, machine=ONE_THREAD) for k in (1, 10)]
    one, ten = best_seconds(*ways, repeats=2 * REPEATS)
    return one / len(wanted), ten / len(wanted)


def keys_beside_one(unit: str) -> tuple[float, float]:
    """Twenty-five times the seconds of one transposition, and the seconds of all 25."""
    index, wanted = index_of(unit), songs.snippets(unit, 10 * N_SNIPPETS)
    few = wanted[:: len(wanted) // 50]
    ways = [
        lambda: search(index, wanted, k=1, machine=ONE_THREAD),
        lambda: search(index, few, k=1, transpositions=TWO_OCTAVES, machine=ONE_THREAD),
    ]
    one, all_keys = best_seconds(*ways, repeats=REPEATS)
    return 25 * one / len(wanted), all_keys / len(few)


# ---- whole experiments


def rags() -> tuple[float, float]:
    """1,000 snippets in 586 bars, cells: indexing and searching, beside the promised 50 ms."""
    scores = [songs.score_of(number, n_bars=65) for number in range(9)]
    pieces = [score_to_units(score, unit="cell", name=str(place)) for place, score in enumerate(scores)]
    wanted = songs.snippets("cell", 1000)

    def experiment():
        search(NoteIndex.build(pieces, unit="cell"), wanted, k=10, machine=ONE_THREAD)

    (seconds,) = best_seconds(experiment, repeats=REPEATS)
    return 0.05, seconds


def files() -> tuple[float, float]:
    """1,000 MIDI files: reading and indexing them, beside only reading them with pretty_midi; per file."""
    contents = [score_to_midi(song) for song in songs.scores()[:909]]
    contents += contents[:91]

    def ours():
        read = table_reader(len(contents))
        NoteIndex.build(score_to_units(read(data), name=str(place)) for place, data in enumerate(contents))

    def theirs():
        for data in contents[::20]:
            pretty_midi.PrettyMIDI(io.BytesIO(data))

    (our_own,) = best_seconds(ours, repeats=2)
    (their_own,) = best_seconds(theirs, repeats=2)
    return their_own / len(contents[::20]), our_own / len(contents)


def _pair(name: str, measure, baseline: str, onset: float, cell: float) -> list[Work]:
    """A work for each unit."""
    return [
        Work(f"overlap {name}, {unit}s", "snippet", baseline, bar, lambda unit=unit: measure(unit))
        for unit, bar in (("onset", onset), ("cell", cell))
    ]


WORKS = [
    *_pair("top 1", against_convolution, "torch conv1d, float32, the same best windows", 600, 250),
    *_pair("top 1 packed", against_popcount, "AND and popcount, compiled, the same best windows", 60, 25),
    *_pair(
        "of the limit", against_loads, "one load from the second cache per unit and 512 windows", 0.6, 0.6
    ),
    *_pair("top 10", ten_beside_one, "our own top 1", 1 / 1.25, 1 / 1.25),
    *_pair("25 keys", keys_beside_one, "25 times our own in one key", 25 / 27, 25 / 27),
    Work("overlap rags", "experiment", "the promised 50 ms", 1, rags),
    Work("overlap files", "file", "pretty_midi reads the file, and no more", 10, files),
]
