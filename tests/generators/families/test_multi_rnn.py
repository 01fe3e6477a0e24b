import dataclasses
import math

import numpy as np
import pytest
import torch

from generators.corpus import encode_pieces
from generators.errors import GeneratorError
from generators.families.multi_rnn import PRESETS, Config, MultiRNN, representation, softmax
from generators.family import Request
from generators.generation import piece_rng
from generators.representations.five_tracks import PADDING, FiveTracks
from music.score import Meter, Note, Score, Tempo, Track

BAND = {
    "cells_per_step": [1.0] * 5,
    "cells_at_once": [2.4, 1.0, 1.0, 3.6, 1.2],
    "velocities": [60, 70, 80, 90, 99],
}
DUO = {**BAND, "cells_per_step": [1.0, 0.0, 0.5, 0.0, 0.0]}  # piano and bass
SMALL = {"d_hidden": 10, "n_layers": 2, "n_context": 4, "n_predicted": 3}


def model_of(learned=BAND, **settings):
    torch.manual_seed(0)
    return MultiRNN(Config(**{**SMALL, **settings}), learned).eval()


def constant(model, logits):
    """Make a model say the same logits whatever came before."""
    with torch.no_grad():
        model.readout.weight.zero_()
        model.readout.bias.copy_(torch.as_tensor(logits, dtype=torch.float32).expand_as(model.readout.bias))
    return model


def write(model, n_bars, rngs=1, **options):
    request = Request(n_bars, Tempo(0), Meter(0), **options)
    return model.generate([piece_rng(0, index) for index in range(rngs)], request)


def heard(piece, n_steps):
    """What sounds in the steps of a piece of eighths: (n_steps, 5, 128), bool."""
    rolls = FiveTracks(steps_per_beat=2, length=1, hop=1).encode(piece, {}) > 0
    return np.pad(rolls, ((0, n_steps - len(rolls)), (0, 0), (0, 0)))


# ---- the net


def gru_parameters(below, hidden):
    return 3 * (hidden * below + hidden * hidden + 2 * hidden)


@pytest.mark.parametrize(
    ("settings", "n_outputs"),
    [({}, 640), ({"softmax": "all"}, 640), ({"rests": True}, 645), ({"softmax": "all", "rests": True}, 641)],
)
def test_the_net_has_the_parameters_of_its_layers(settings, n_outputs):
    with torch.device("meta"):
        model = MultiRNN(dataclasses.replace(PRESETS["paper"], **settings), BAND)
    expected = gru_parameters(640, 512) + gru_parameters(512, 512) + 512 * n_outputs + n_outputs
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert expected == 3_348_480 + 513 * n_outputs


def test_the_papers_net_has_3_676_800_parameters():
    assert sum(each.numel() for each in MultiRNN(PRESETS["paper"], BAND).parameters()) == 3_676_800


def divergence_of(model, window):
    """The divergences of a window, softmax by softmax, by the definition; and the probabilities."""
    config, total, probability, count = model.config, 0.0, 0.0, 0
    n_pitches = 128 if config.softmax == "instrument" else 640
    for step in range(config.n_context, len(window)):
        if (window[step] == PADDING).any():
            continue
        past = torch.tensor(window[:step] > 0, dtype=torch.float32).flatten(1)[None]
        hidden, _ = model.rnn(past)
        logits = model.readout(hidden[0, -1]).reshape(-1, model.n_classes)
        for group, notes in enumerate(window[step].reshape(-1, n_pitches)):
            sounding = np.flatnonzero(notes).tolist()
            if not sounding and config.rests:
                sounding = [n_pitches]
            if not sounding or model.counts[group] == 0:
                continue
            logs = torch.log_softmax(logits[group], 0)
            total += sum((-math.log(len(sounding)) - logs[each].item()) / len(sounding) for each in sounding)
            probability += sum(math.exp(logs[each].item()) for each in sounding)
            count += 1
    return total, probability, count


@torch.no_grad()
@pytest.mark.parametrize("learned", [BAND, DUO])
@pytest.mark.parametrize("rests", [False, True])
@pytest.mark.parametrize("kind", ["instrument", "all"])
def test_the_loss_is_the_divergence_of_the_notes_from_each_softmax(kind, rests, learned):
    model = model_of(learned, softmax=kind, rests=rests)
    random = np.random.default_rng(3)
    windows = (random.random((2, 7, 5, 128)) < 0.01).astype(np.uint8) * 77
    windows[:, :, 2] = 0  # the bass is silent
    windows[1, 6] = PADDING
    expected = np.array([divergence_of(model, window) for window in windows]).sum(0)
    batch = torch.from_numpy(windows)
    ((part, loss),) = model.losses(batch, "steps")
    figures = model.figures(batch)
    assert part == "model"
    assert loss.item() == pytest.approx(expected[0] / expected[2], rel=1e-4)
    assert float(figures["loss"][0]) == pytest.approx(expected[0], rel=1e-4)
    assert float(figures["probability"][0]) == pytest.approx(expected[1], rel=1e-4)
    assert int(figures["loss"][1]) == int(figures["probability"][1]) == expected[2]


def test_a_window_with_nothing_to_predict_has_a_loss_of_zero_and_no_gradient():
    model = model_of()
    batch = torch.zeros(2, 7, 5, 128, dtype=torch.uint8)
    batch[0, 1, 0, 60] = 80
    ((_, loss),) = model.losses(batch, "steps")
    loss.backward()
    assert loss.item() == 0
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_windows_start_from_silence_and_every_step_is_predicted_once():
    config = Config(n_context=32, n_predicted=8)
    score = Score((Track(tuple(Note(step * 240, 40 + step, 240) for step in range(20))),))
    windows = encode_pieces([score], representation(config), {}).batch(torch.arange(3))
    assert windows.shape == (3, 40, 5, 128)
    assert not windows[0, :32].any()
    predicted = windows[:, 32:].flatten(0, 1)  # (24, 5, 128)
    assert predicted[:20, 0].nonzero().tolist() == [[step, 40 + step] for step in range(20)]
    assert predicted[20:].eq(PADDING).all()
    one = encode_pieces([score], representation(Config(n_predicted=1)), {})
    assert len(one) == 20  # as the report: 32 steps for each step


# ---- drawing


@torch.no_grad()
def test_every_instrument_plays_its_count_in_every_step():
    """Even where the net is all but sure of one pitch, and however many notes it knows."""
    logits = torch.zeros(5, 128)
    logits[:, 50] = 100.0
    for temperature in (1e-9, 1.0, 1e9):
        (piece,) = write(constant(model_of(), logits.flatten()), 3, temperature=temperature)
        cells = heard(piece, 24)
        assert (cells.sum(2) == [2, 3, 1, 2, 2]).all()
        if temperature <= 1:
            assert cells[:, :, 50].all()


@torch.no_grad()
def test_counts_follow_the_corpus_on_wish():
    (piece,) = write(model_of(counts=None), 2)
    assert (heard(piece, 16).sum(2) == [2, 1, 1, 4, 1]).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["instrument", "all"])
@pytest.mark.parametrize("sampling", ["counts", "threshold"])
@pytest.mark.parametrize("rests", [False, True])
def test_instruments_that_the_corpus_lacks_never_play(kind, sampling, rests):
    model = model_of(DUO, softmax=kind, sampling=sampling, rests=rests, threshold=0.0)
    for piece in write(model, 8, rngs=4, temperature=2.0):
        assert {track.name for track in piece.tracks} <= {"piano", "bass"}
        assert {note.velocity for track in piece.tracks for note in track.notes} <= {60, 80}


@torch.no_grad()
def test_one_softmax_over_all_shares_out_the_notes_of_all():
    model = constant(model_of(softmax="all", counts=(2, 0, 1, 4, 4)), torch.zeros(640))
    cells = np.stack([heard(piece, 400) for piece in write(model, 50, rngs=4)])  # (pieces, steps, 5, 128)
    assert (cells.sum((2, 3)) == 11).all()
    assert cells.sum((0, 1, 3)) / cells.sum() == pytest.approx(np.full(5, 0.2), abs=0.02)
    (piece,) = write(constant(model_of(DUO, softmax="all"), torch.zeros(640)), 4)
    assert (heard(piece, 32).sum((1, 2)) == 3).all()  # 2 of the piano and 1 of the bass


@torch.no_grad()
def test_a_single_note_is_drawn_in_proportion_to_its_probability():
    logits = torch.full((5, 128), -1e9)
    logits[:, 60:63] = torch.tensor([0.0, 1.0, 2.0])
    model = constant(model_of(counts=(1, 1, 1, 1, 1)), logits.flatten())
    for temperature in (0.5, 1.0, 2.0):
        cells = np.stack([heard(piece, 400) for piece in write(model, 50, rngs=4, temperature=temperature)])
        shares = cells.mean((0, 1, 2))[60:63]
        expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0]) / temperature, 0)
        assert shares == pytest.approx(expected.numpy(), abs=0.02)


@torch.no_grad()
@pytest.mark.parametrize("sampling", ["counts", "threshold"])
def test_an_instrument_rests_as_often_as_silence_is_likely(sampling):
    """And where it plays, it plays its count, for the rest is drawn first and not again."""
    logits = torch.full((5, 129), -1e9)
    logits[:, 60:68] = 0.0
    logits[:, 128] = math.log(8 * 3)  # three times as likely as all pitches together
    model = constant(model_of(rests=True, sampling=sampling, threshold=0.0), logits.flatten())
    cells = np.stack([heard(piece, 400) for piece in write(model, 50, rngs=4)])
    notes = cells.sum(3)
    if sampling == "counts":
        assert (notes > 0).mean((0, 1)) == pytest.approx(np.full(5, 0.25), abs=0.04)
        assert set(np.unique(notes[..., 1])) == {0, 3}
    assert notes.mean((0, 1)) == pytest.approx(np.array([2, 3, 1, 2, 2]) / 4, rel=0.15)


@torch.no_grad()
def test_by_threshold_pitches_sound_with_their_chances_or_never():
    """Chances of 3 times 1/2, 1/3, 1/12 and 1/12 of the guitar: always, always, a quarter, a quarter."""
    logits = torch.full((5, 128), -1e9)
    logits[:, 60:64] = torch.tensor([6.0, 4.0, 1.0, 1.0]).log()
    for threshold, seldom in ((0.2, 0.25), (0.3, 0.0)):
        model = constant(model_of(sampling="threshold", threshold=threshold), logits.flatten())
        cells = np.stack([heard(piece, 400) for piece in write(model, 50, rngs=4)])
        shares = cells[:, :, 1].mean((0, 1))
        assert shares[60:64] == pytest.approx([1, 1, seldom, seldom], abs=0.03)
        assert not shares[64:].any()


@torch.no_grad()
def test_a_last_bar_that_would_be_silent_ends_with_the_likeliest_pitch():
    logits = torch.full((5, 129), -20.0)
    logits[1, 43] = -10.0
    logits[:, 128] = 20.0
    (piece,) = write(constant(model_of(rests=True), logits.flatten()), 2)
    assert np.argwhere(heard(piece, 16)).tolist() == [[15, 1, 43]]


# ---- writing


@torch.no_grad()
def test_writing_step_by_step_is_the_net_on_the_whole():
    """The likeliest notes, found again by running the net on everything from the start for each step."""
    model = model_of(n_context=6)
    prime = Score((Track(tuple(Note(index * 240, 60 + index, 240) for index in range(5)), 33),))
    for given, past in ((None, np.zeros((6, 5, 128))), (prime, heard(prime, 5))):
        (piece,) = write(model, 3, temperature=1e-9, prime=given)
        past = torch.tensor(np.array(past), dtype=torch.float32)
        if given is not None:
            past = torch.cat([torch.zeros(6, 5, 128), past])  # a prime comes after the same silence
        for _ in range(24):
            logits = model(past[None])[0][0, -1]  # (5, 128)
            step = torch.zeros(5, 128)
            for instrument, count in enumerate((2, 3, 1, 2, 2)):
                step[instrument, logits[instrument].topk(count).indices] = 1
            past = torch.cat([past, step[None]])
        assert np.array_equal(heard(piece, 24), past[-24:].numpy() > 0)


@torch.no_grad()
def test_what_a_prime_plays_on_an_unknown_instrument_is_not_heard():
    def prime(program):
        return Score((Track((Note(0, 60, 960),), 0), Track((Note(0, 70, 960),), program)))

    model = model_of(DUO)
    plain = Score(prime(0).tracks[:1])
    assert write(model, 4, prime=prime(25)) == write(model, 4, prime=plain)
    assert write(model, 4, prime=prime(33)) != write(model, 4, prime=plain)


@torch.no_grad()
@pytest.mark.parametrize(("program", "is_drum"), [(0, True), (33, True), (73, False)])
def test_a_prime_without_a_known_instrument_is_refused(program, is_drum):
    prime = Score((Track((Note(0, 38, 960),), program, is_drum=is_drum),))
    with pytest.raises(GeneratorError, match="prime has no notes of piano or bass, which is all that this"):
        write(model_of(DUO), 1, prime=prime)


@torch.no_grad()
def test_drums_alone_are_continued_by_a_model_that_plays_them():
    drums = Score((Track(tuple(Note(beat * 480, 36, 240) for beat in range(16)), is_drum=True),))
    assert write(model_of(), 4, prime=drums) != write(model_of(), 4)


@torch.no_grad()
def test_a_shorter_piece_is_the_beginning_of_a_longer_one():
    model = model_of()
    short, long = (heard(write(model, n_bars)[0], 8 * n_bars) for n_bars in (9, 40))
    assert np.array_equal(long[: len(short)], short)


def test_tiny_learns_the_turns_of_a_tune(piece):
    config = dataclasses.replace(PRESETS["tiny"], d_hidden=32)
    tune = Score((Track(tuple(Note(240 * step, 60 + (0, 4, 7, 12)[step % 4], 240) for step in range(64))),))
    grid = representation(config)
    windows = encode_pieces([tune], grid, {})
    torch.manual_seed(0)
    model = MultiRNN(config, grid.learn([tune]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        for _, loss in model.losses(windows.batch(torch.arange(len(windows))), "steps"):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    (written,) = write(model.eval(), 4, temperature=0.1)
    assert [note.pitch for note in written.notes()] == [60, 64, 67, 72] * 8


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_hidden": 0}, "d_hidden must be 1 to 16384, got 0"),
        ({"n_context": 0}, "n_context must be 1 to 10000, got 0"),
        ({"steps_per_beat": 7}, "steps_per_beat must divide 480, got 7"),
        ({"counts": (1, 2)}, "counts must be 5 whole numbers of 0 to 128, got (1, 2)"),
        ({"counts": (1, 2, 3, 4, 129)}, "counts must be 5 whole numbers"),
        ({"threshold": 1.5}, "threshold must be 0 to 1, got 1.5"),
        ({"temperature": 0.0}, "temperature must be 0.000001 to 1000, got 0.0"),
        ({"epochs": -1}, "epochs must be 0 to 1000000, got -1"),
    ],
)
def test_settings_that_make_no_net_are_refused(settings, message):
    with pytest.raises(ValueError, match=r".") as error:
        Config(**settings)
    assert message in str(error.value)


def test_counts_without_a_note_for_the_corpus_are_refused():
    with pytest.raises(
        GeneratorError, match=r"instrument of the corpus \(piano, bass\), got \(0, 3, 0, 2, 2\)"
    ):
        model_of(DUO, counts=(0, 3, 0, 2, 2))


def test_the_coldest_softmax_is_of_numbers():
    logits = torch.tensor([[0.0, 5.0, -torch.inf]], dtype=torch.float64)
    assert softmax(logits, 1e-320).tolist() == [[0, 1, 0]]
    assert softmax(logits, 1e300).tolist() == [[0.5, 0.5, 0]]
