import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.plagiarism import index_files
from analysis.plagiarism.extraction import PieceUnits, cut_windows, unit_arrays
from analysis.plagiarism.index import Layout, NoteIndex
from analysis.plagiarism.scan import Machine


def piece(units, n_steps, name="", group=""):
    return PieceUnits(*unit_arrays(units), n_steps, (0,), name, group)


def test_pieces_without_notes_are_left_out_but_keep_their_place():
    index = NoteIndex.build([piece(set(), 0, "silent"), piece({(0, 60)}, 4, "b")])
    assert [(stored.names, stored.places) for stored in index.pieces] == [(("b",), (1,))]


def test_of_twins_the_longest_is_searched():
    index = NoteIndex.build([piece({(0, 60)}, 4, "a"), piece({(0, 60)}, 9, "b")])
    assert index.pieces[0].units.n_steps == 9
    assert index.pieces[0].names == ("a", "b")


def test_no_group_is_no_group():
    index = NoteIndex.build([piece({(0, 60)}, 4, "a"), piece({(0, 61)}, 4, "b", "works")])
    assert index.members(groups=[""]) == frozenset()
    assert index.members(groups=["works"], names=["a"]) == {0, 1}


def random_pieces(rng, n, *, unit_steps=200):
    made = []
    for number in range(n):
        n_steps = int(rng.integers(8, unit_steps))
        units = zip(
            rng.integers(0, n_steps, 2 * n_steps).tolist(),
            rng.integers(40, 80, 2 * n_steps).tolist(),
            strict=True,
        )
        made.append(piece(units, n_steps, f"p{number}", f"g{number % 3}"))
    return made


def windows_of(pieces):
    return [window for each in pieces for window in cut_windows(each, window_steps=16, hop_steps=16)]


def same(one, other):
    """Whether two indexes hold the same pieces in the same chunks."""
    facts = [
        (
            index.unit,
            index.window_steps,
            index.steps_per_beat,
            index.n_given,
            index.layout,
            [
                (p.names, p.places, p.groups, p.units.digest, p.units.n_steps, p.units.bar_steps)
                for p in index.pieces
            ],
            [
                (c.first_piece, c.gap, c.regions.tolist(), c.row_index.tolist(), c.rows.tobytes())
                for c in index.chunks
            ],
        )
        for index in (one, other)
    ]
    return facts[0] == facts[1]


def test_an_index_comes_back_from_its_folder(tmp_path):
    pieces = random_pieces(np.random.default_rng(0), 20)
    built = NoteIndex.build(
        pieces, window_steps=16, steps_per_beat=4, layout=Layout(words=2, chunk_columns=500)
    )
    assert built.save(tmp_path / "index") == tmp_path / "index"
    opened = NoteIndex.open(tmp_path / "index")
    assert len(opened.chunks) > 2
    assert same(built, opened)
    wanted = windows_of(pieces[:4])
    for engine in ("plain", "compiled"):
        machine = Machine(engine=engine)
        assert opened.search(wanted, machine=machine) == built.search(wanted, machine=machine)
    assert opened.members(names=["p3"], groups=["g1"]) == built.members(names=["p3"], groups=["g1"])


def test_opening_maps_the_packed_rows_and_leaves_them_on_disk(tmp_path):
    NoteIndex.build(random_pieces(np.random.default_rng(0), 3)).save(tmp_path)
    (chunk,) = NoteIndex.open(tmp_path).chunks
    assert isinstance(chunk.rows.base, np.memmap)
    assert chunk.rows.ctypes.data % 64 == 0


@pytest.mark.parametrize("cut", [0, 1, 7, 19, 20])
def test_an_index_that_grew_is_one_that_was_built_at_once(cut, tmp_path):
    pieces = random_pieces(np.random.default_rng(1), 20)
    pieces[15] = piece(zip(pieces[2].steps.tolist(), pieces[2].rows.tolist(), strict=True), 900, "twin", "g9")
    options = {"window_steps": 16, "layout": Layout(chunk_columns=700)}
    NoteIndex.build(pieces[:cut], **options).save(tmp_path)
    NoteIndex.open(tmp_path).append(pieces[cut:]).save(tmp_path)
    assert same(NoteIndex.open(tmp_path), NoteIndex.build(pieces, **options))


def test_growing_leaves_the_files_of_full_chunks_alone(tmp_path):
    pieces = random_pieces(np.random.default_rng(2), 20)
    NoteIndex.build(pieces[:10], layout=Layout(chunk_columns=700)).save(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("chunk-*")}
    held = NoteIndex.open(tmp_path)
    expected = held.search(windows_of(pieces[:2]))
    NoteIndex.open(tmp_path).append(pieces[10:]).save(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("chunk-*")}
    kept = before.items() & after.items()
    assert len(kept) >= len(before) - 1
    assert len(after) > len(before)
    assert held.search(windows_of(pieces[:2])) == expected  # who has it open keeps it


def test_a_writer_that_is_killed_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    pieces = random_pieces(np.random.default_rng(3), 6)
    first = NoteIndex.build(pieces[:3])
    first.save(tmp_path)

    def killed(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_files, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        first.append(pieces[3:]).save(tmp_path)
    assert same(NoteIndex.open(tmp_path), first)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "meta.json").unlink(), "holds no index: it has no meta.json"),
        (lambda folder: (folder / "meta.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "meta.json").write_text('{"format": 99}'), "not of format 1"),
        (lambda folder: (folder / "meta.json").write_text("[]"), "not of format 1"),
        (lambda folder: next(folder.glob("pieces-*")).write_text(""), "is damaged"),
        (lambda folder: next(folder.glob("chunk-*/packed.npy")).write_bytes(b"not"), "is damaged"),
        (lambda folder: next(folder.glob("chunk-*/bars.npy")).unlink(), "is damaged"),
        (lambda folder: np.save(next(folder.glob("chunk-*/steps.npy")), np.zeros(2)), "is damaged"),
    ],
)
def test_a_folder_that_is_no_whole_index_is_refused(harm, words, tmp_path):
    NoteIndex.build(random_pieces(np.random.default_rng(0), 3)).save(tmp_path)
    harm(tmp_path)
    with pytest.raises(AnalysisError, match=words):
        NoteIndex.open(tmp_path)


def test_an_index_of_nothing_is_written_and_read(tmp_path):
    NoteIndex.build([]).save(tmp_path)
    assert NoteIndex.open(tmp_path).pieces == ()


def test_units_in_windows_are_those_that_stand_between_their_ends():
    pieces = random_pieces(np.random.default_rng(4), 5)
    index = NoteIndex.build(pieces, window_steps=16)
    rng = np.random.default_rng(5)
    ids, steps = rng.integers(0, 5, 200), rng.integers(1, 17, 200)
    starts = np.array([rng.integers(1 - n, pieces[i].n_steps) for i, n in zip(ids, steps, strict=True)])
    counted = index.count_units(ids, starts, steps)
    for i, start, n, count in zip(ids, starts, steps, counted, strict=True):
        assert count == ((pieces[i].steps >= start) & (pieces[i].steps < start + n)).sum()


def test_a_window_needs_a_step():
    with pytest.raises(AnalysisError, match="window_steps must be at least 1, got 0"):
        NoteIndex.build([], window_steps=0)
