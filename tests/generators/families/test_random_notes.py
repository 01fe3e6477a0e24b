import math

import pytest
import torch

from generators.families.random_notes import Config, PlainFacts, RandomNotes
from generators.family import Request
from generators.generation import piece_rng
from generators.representations.note_pitches import one_at_a_time, pitch_figures
from generators.training import train
from music.score import Meter, Note, Score, Tempo, Track

#: D major. The tune on it has eighths and quarters, an F, a very low note and drums that belong to no scale.
SCALE = (62, 64, 66, 67, 69, 71, 73, 74)


def tune(*, meter=(4, 4), transposed=0):
    notes, onset = [], 0
    for index in range(120):
        duration = 480 if index % 4 == 3 else 240
        notes.append(Note(onset, SCALE[(index * 3) % 8] + transposed, duration))
        onset += duration
    notes += [Note(0, 65 + transposed, 60), Note(0, 26 + transposed, 60)]
    drums = Track((Note(0, 36, 9), Note(480, 37, 9)), is_drum=True)
    return Score((Track(tuple(notes)), drums), meters=(Meter(0, *meter),))


def model_of(*scores, **settings):
    config = Config(**settings)
    return RandomNotes(config, PlainFacts(config).learn(scores))


def write(model, n_bars, *, meter=(4, 4), seed=0):
    return model.generate([piece_rng(seed, 0)], Request(n_bars, Tempo(0), Meter(0, *meter)))[0]


def test_the_facts_of_a_piece_are_scale_range_density_and_durations():
    (facts,) = model_of(tune()).pieces
    beats = 30 * (3 * 0.5 + 1)
    assert facts == {
        "meter": [4, 4],
        "scale": [62, 64, 66, 67, 69, 71, 73, 74],
        "notes_per_beat": 122 / beats,
        "durations": [1, 2, 4],
        "counts": [2, 90, 30],
    }


def test_pieces_have_the_scale_density_and_durations_of_a_real_one():
    piece = write(model_of(tune()), 400)
    notes = list(piece.notes())
    pitches = torch.bincount(torch.tensor([note.pitch for note in notes]), minlength=128)
    assert set(pitches.nonzero().flatten().tolist()) == set(SCALE)
    assert pitches[list(SCALE)].float().std() / (len(notes) / 8) < 0.1
    assert len(notes) / 1600 == pytest.approx(122 / 75, rel=0.1)  # a few fall on another and are one with it
    quarters = sum(note.duration == 480 for note in notes) / len(notes)
    assert quarters == pytest.approx(30 / 122, abs=0.05)
    onsets = torch.bincount(torch.tensor([note.onset // 120 % 4 for note in notes]))
    assert {note.onset % 120 for note in notes} == {0}
    assert onsets.float().std() / onsets.float().mean() < 0.1


def test_pieces_in_the_meter_asked_for_lend_their_facts():
    model = model_of(tune(), tune(meter=(3, 4), transposed=12))
    for seed in range(4):
        assert min(note.pitch for note in write(model, 8, meter=(3, 4), seed=seed).notes()) >= 74
    assert (
        len({min(n.pitch for n in write(model, 20, meter=(5, 4), seed=seed).notes()) for seed in range(9)})
        == 2
    )


@pytest.mark.parametrize("meter", [(4, 4), (6, 8), (7, 16), (1, 64)])
@pytest.mark.parametrize("n_bars", [1, 3, 50])
def test_any_length_is_filled(n_bars, meter):
    sparse = Score((Track((Note(0, 60, 480 * 100), Note(480 * 300, 62, 480))),))
    for seed in range(4):
        piece = write(model_of(sparse), n_bars, meter=meter, seed=seed)
        assert piece.n_bars == n_bars
        assert piece.end <= n_bars * 480 * 4 * meter[0] // meter[1]
        assert list(piece.notes()) == sorted(one_at_a_time(piece.notes(), piece.end))


def test_a_corpus_of_one_note_is_enough(listed, tmp_path):
    result = train("random_notes", listed([Score((Track((Note(7, 60, 1),)),))]), tmp_path / "m")
    assert (result.updates, result.parameters) == (0, 0)
    assert result.losses["train"] == pytest.approx(-math.log(0.99 + 0.01 / 128))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale_size": 13}, "scale_size must be 1 to 12 pitch classes, got 13"),
        ({"steps_per_beat": 7}, "steps_per_beat must divide the 480 ticks of a beat, got 7"),
        ({"n_pieces": 0}, "n_pieces must be 1 to 10000, got 0"),
    ],
)
def test_settings_that_make_no_music_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


# what the anchors share


def test_notes_of_a_pitch_end_where_the_next_starts_and_all_where_the_piece_does():
    notes = [Note(0, 60, 500), Note(480, 60, 100), Note(480, 60, 50), Note(10, 62, 2000), Note(990, 64, 5)]
    assert one_at_a_time(notes, 990) == (Note(0, 60, 480), Note(10, 62, 980), Note(480, 60, 100))


def test_nats_per_note_are_those_of_the_weights_but_for_a_hundredth():
    weights = torch.zeros(128, dtype=torch.float64)
    weights[60], weights[61] = 3, 1
    batch = torch.tensor([[60, 61, 255], [100, 255, 255]], dtype=torch.uint8)
    total, count = pitch_figures(batch, weights)["loss"]
    expected = [0.99 * 0.75 + 0.01 / 128, 0.99 * 0.25 + 0.01 / 128, 0.01 / 128]
    assert int(count) == 3
    assert float(total) == pytest.approx(-sum(math.log(each) for each in expected))
