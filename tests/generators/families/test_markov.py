import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from generators.corpus import load_pieces
from generators.families.markov import FAMILY, Config, Markov, Segments
from generators.family import Request
from generators.generation import piece_rng
from generators.training import train
from music.score import Meter, Tempo

SMALL = Config(lowest=50, n_notes=4, n_steps=9, hop=8)


def batches(n=3, n_steps=9, n_notes=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    batch = torch.zeros(n, n_steps, n_notes + 1, 2, dtype=torch.uint8)
    batch[:, :, :-1] = torch.rand(n, n_steps, n_notes, 2, generator=rng) < 0.4
    batch[:, :, :-1, 1] *= batch[:, :, :-1, 0]
    batch[-1, -2:] = 255  # after the end of a piece
    return batch


def counted(config=SMALL, batch=None):
    model = Markov(config, FAMILY.example)
    assert not list(model.losses(batches() if batch is None else batch, "counting"))
    return model


def pairs_of_columns(batch):
    """All columns that another follows, as rows of 8 numbers, and those that follow."""
    for piece in batch[:, :, :-1].flatten(2).tolist():
        rows = [row for row in piece if max(row) < 2]
        yield from itertools.pairwise(rows)


def test_each_pair_of_note_and_attribute_is_a_chain_of_its_own():
    """Counted in plain Python: on after on, and on after off."""
    model = counted()
    pairs = list(pairs_of_columns(batches()))
    assert len(pairs) == 3 * 8 - 2
    for column, _ in pairs[:5]:
        chances = model.chances_after(torch.tensor([column], dtype=torch.float64))[0]
        for index, value in enumerate(column):
            then = [after[index] for before, after in pairs if before[index] == value]
            assert chances[index].item() == pytest.approx(np.mean(then))


@pytest.mark.parametrize("kind", ["matrix", "code"])
def test_the_matrix_holds_how_often_one_is_on_after_another(kind):
    """Row k, column j: how often j is on a step after k; the code multiplies it the wrong way round."""
    model = counted(replace(SMALL, chances=kind))
    pairs = list(pairs_of_columns(batches()))
    matrix = np.zeros((8, 8))
    for k, j in np.ndindex(8, 8):
        then = [after[j] for before, after in pairs if before[k]]
        matrix[k, j] = np.mean(then) if then else 0
    column = np.array([1, 0, 0, 0, 1, 1, 0, 0])
    expected = matrix @ column if kind == "code" else column @ matrix
    chances = model.chances_after(torch.from_numpy(column).double()[None])[0]
    np.testing.assert_allclose(chances, np.clip(expected, 0, 1))


def test_batches_add_up():
    together, apart = counted(), Markov(SMALL, FAMILY.example)
    for each in batches().split(1):
        list(apart.losses(each, "counting"))
    for one, other in zip(together.buffers(), apart.buffers(), strict=True):
        assert torch.equal(one, other)


def test_the_figures_are_the_nats_of_the_chains():
    model, batch = counted(), batches(seed=5)
    expected, n = 0.0, 0
    for before, after in pairs_of_columns(batch):
        chances = model.chances_after(torch.tensor([before], dtype=torch.float64))[0]
        chances = chances.clamp(1e-6, 1 - 1e-6).reshape(4, 2).tolist()
        for (p, q), sounds, struck in zip(chances, after[::2], after[1::2], strict=True):
            expected -= np.log(p if sounds else 1 - p)
            expected -= np.log(q if struck else 1 - q) if sounds else 0
        n += 1
    total, count = model.figures(batch)["nats_per_frame"]
    assert (float(total), count) == (pytest.approx(expected), n)


def test_written_columns_follow_the_chances():
    """A long piece of one chain has its frequencies."""
    model = counted()
    piece = model.generate([piece_rng(0, 0)], Request(300, Tempo(0), Meter(0)))[0]
    rows = Segments(SMALL).encode(piece, {})[:, :-1, 0].astype(int)
    for note in range(4):
        on = [after for before, after in itertools.pairwise(rows[:, note]) if before]
        expected = model.together[2 * note, 2 * note] / model.before[2 * note]
        assert np.mean(on) == pytest.approx(float(expected), abs=0.06)


def test_nothing_is_struck_that_does_not_sound():
    model = counted()
    model.after[1::2] = model.n_pairs_of_steps  # all notes are struck at all times
    model.after[::2] = model.before[::2] = 0  # and none sounds
    model.together.zero_()
    piece = model.generate([piece_rng(0, 0)], Request(2, Tempo(0), Meter(0)))[0]
    assert not piece.n_notes


def test_training_counts_each_segment_once(corpus, tmp_path):
    overrides = {"n_steps": "32", "n_segments": "1000"}
    train("markov", corpus, tmp_path / "m", preset="paper", overrides=overrides)
    from generators.checkpoint import load

    model = load(tmp_path / "m").model
    pieces = load_pieces(corpus, Segments(model.config))
    assert int(model.n_pairs_of_steps) == len(pieces.train) * 31


def test_no_more_segments_are_counted_than_asked_for(corpus):
    assert len(load_pieces(corpus, Segments(Config(n_steps=16, n_segments=7))).train) == 7
    assert Config().n_segments == 2000


@pytest.mark.parametrize("kind", ["own", "matrix", "code"])
def test_pieces_last_as_long_as_asked_for(kind):
    config = replace(SMALL, chances=kind)
    model = Markov(config, {"openings": [[[1, 2], [1]]], "polyphony": 2.0})
    list(model.losses(batches(), "counting"))
    for meter, bars in (((3, 4), 4), ((6, 8), 2)):
        pieces = model.generate(
            [piece_rng(1, i) for i in range(3)], Request(bars, Tempo(0), Meter(0, *meter))
        )
        assert all(piece.n_bars == bars for piece in pieces)
