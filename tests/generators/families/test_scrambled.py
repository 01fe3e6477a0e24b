import collections

import pytest

from generators import checkpoint
from generators.errors import GeneratorError
from generators.families.scrambled import BeginningsOfPieces, Config, Scrambled
from generators.family import Request
from generators.generation import generate, piece_rng
from generators.training import train
from music.score import Meter, Note, Score, Tempo, Track


def band(shift=0, *, meter=(4, 4), ticks_per_beat=480):
    """A tune in eighths, a bass in halves of other pitches, and a drum on each beat; eight bars of 4/4."""
    eighth = ticks_per_beat // 2
    tune = tuple(Note(i * eighth, 72 + shift + (i * 5) % 12, eighth, 40 + i % 50) for i in range(64))
    bass = tuple(Note(i * 4 * eighth, 36 + shift + (i * 3) % 7, 4 * eighth) for i in range(16))
    drums = tuple(Note(i * 2 * eighth, (36, 38)[i % 2], eighth) for i in range(32))
    tracks = (Track(tune, 73), Track(bass, 33), Track(drums, is_drum=True), Track((), 5))
    return Score(tracks, ticks_per_beat, meters=(Meter(0, *meter),))


def model_of(*scores, **settings):
    config = Config(**settings)
    return Scrambled(config, BeginningsOfPieces(config).learn(scores))


def write(model, n_bars, *, meter=(4, 4), seed=0):
    request = Request(n_bars, Tempo(0), Meter(0, *meter))
    return model.generate([piece_rng(seed, 0)], request)[0]


def test_the_pieces_held_are_those_of_the_corpus():
    model = model_of(band(), band(1, ticks_per_beat=96))
    assert [piece.tracks for piece in model.pieces] == [
        tuple(track for track in band(shift).tracks if track.notes) for shift in (0, 1)
    ]


def test_so_many_beats_of_so_many_pieces_are_held_from_the_first_note_on():
    late = Score((Track((Note(5 * 480 + 10, 60, 100), Note(8 * 480, 62, 960), Note(9 * 480, 64, 1))),))
    model = model_of(*[band(shift) for shift in range(9)], late, n_pieces=4, n_beats=4)
    assert len(model.pieces) == 4
    assert list(model.pieces[-1].notes()) == [Note(10, 60, 100), Note(3 * 480, 62, 480)]
    assert max(piece.end for piece in model.pieces) == 4 * 480


def test_a_piece_keeps_rhythm_and_instruments_and_loses_its_melody():
    source = band()
    rhythm = {
        (track.program, track.is_drum): [(n.onset, n.velocity) for n in track.notes]
        for track in source.tracks
    }
    pitches = {
        (track.program, track.is_drum): collections.Counter(n.pitch for n in track.notes)
        for track in source.tracks
    }
    for seed in range(5):
        piece = write(model_of(source), 8, seed=seed)
        moved = min(note.onset for note in piece.tracks[0].notes)
        assert moved == 0
        for track in piece.tracks:
            kind = track.program, track.is_drum
            assert {n.pitch for n in track.notes} <= set(pitches[kind])
            assert {n.velocity for n in track.notes} <= {velocity for _, velocity in rhythm[kind]}
    tune = [note.pitch for note in source.tracks[0].notes]
    written = [note.pitch for note in piece.tracks[0].notes]
    assert sum(one == other for one, other in zip(tune, written, strict=False)) < 20


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (7, 16), (1, 64)])
@pytest.mark.parametrize("n_bars", [1, 2, 7, 40])
def test_any_length_is_filled_and_no_notes_of_a_pitch_overlap(n_bars, meter):
    sparse = Score((Track((Note(0, 60, 4000), Note(480 * 31, 60, 4800), Note(480 * 40, 61, 30))),))
    for seed in range(4):
        piece = write(model_of(sparse, band()), n_bars, meter=meter, seed=seed)
        assert piece.n_bars == n_bars
        assert piece.end <= n_bars * 480 * 4 * meter[0] // meter[1]
        for track in piece.tracks:
            ends = {}
            for note in track.notes:
                assert note.onset >= ends.get(note.pitch, 0)
                ends[note.pitch] = note.end


def test_pieces_in_the_meter_asked_for_come_first():
    model = model_of(band(0), band(12, meter=(3, 4)))
    assert {
        max(n.pitch for n in write(model, 9, meter=(3, 4), seed=s).tracks[0].notes) for s in range(4)
    } == {95}
    heard = {max(n.pitch for n in write(model, 2, meter=(5, 4), seed=seed).notes()) for seed in range(12)}
    assert max(heard) > 84 > min(heard)


def test_nothing_is_trained_and_a_checkpoint_holds_all(corpus, listed, tmp_path):
    result = train("scrambled", corpus, tmp_path / "m")
    assert (result.updates, result.parameters, result.stopped) == (0, 0, "finished")
    stored = checkpoint.load(tmp_path / "m")
    assert len(stored.model.pieces) == 4
    assert generate(tmp_path / "m", count=2, bars=3, seed=4) == generate(
        tmp_path / "m", count=2, bars=3, seed=4
    )
    drums = Score((Track((Note(0, 36, 480),), is_drum=True),))
    with pytest.raises(GeneratorError, match="not of the drums"):
        train("scrambled", listed([drums]), tmp_path / "d")


@pytest.mark.parametrize("settings", [{"n_pieces": 0}, {"n_beats": -1}])
def test_settings_that_hold_nothing_are_refused(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} must be 1 to 10000, got {value}"):
        Config(**settings)
