import io
import json
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.limits import ReadLimits
from music.pianoroll import (
    LAKH_TRACKS,
    lakh_track,
    multitrack_to_score,
    pianoroll_to_score,
    read_lakh_npz,
    score_to_multitrack,
    score_to_multitrack_onsets,
    score_to_onsets,
    score_to_pianoroll,
)
from music.score import Meter, Note, Score, ScoreError, Tempo, Track

notes = st.builds(Note, st.integers(0, 3000), st.integers(0, 127), st.integers(1, 900), st.integers(1, 127))
scores = st.builds(
    Score,
    st.lists(
        st.builds(Track, st.lists(notes, max_size=10).map(tuple), st.integers(0, 127), st.booleans()),
        max_size=4,
    ).map(tuple),
    st.sampled_from([4, 96, 120, 480]),
)
rolls = st.integers(0, 20).flatmap(
    lambda n: st.lists(
        st.tuples(st.integers(0, max(n - 1, 0)), st.integers(0, 127)), max_size=30 if n else 0
    ).map(lambda cells: roll_of(n, cells))
)


def roll_of(n_steps, cells):
    roll = np.zeros((n_steps, 128), dtype=bool)
    for step, pitch in cells:
        roll[step, pitch] = True
    return roll


def half_up(value: Fraction) -> int:
    return int((value + Fraction(1, 2)) // 1)


@settings(max_examples=150, deadline=None)
@given(score=scores, steps_per_beat=st.sampled_from([1, 2, 4]))
def test_roll_and_onsets_equal_a_note_by_note_drawing(score, steps_per_beat):
    spans = []
    for note in score.notes(drums=False):
        first = half_up(Fraction(note.onset * steps_per_beat, score.ticks_per_beat))
        last = max(first + 1, half_up(Fraction(note.end * steps_per_beat, score.ticks_per_beat)))
        spans.append((first, last, note.pitch))
    n_steps = max((last for _, last, _ in spans), default=0)
    roll, onsets = np.zeros((n_steps, 128), bool), np.zeros((n_steps, 128), bool)
    for first, last, pitch in spans:
        roll[first:last, pitch] = True
        onsets[first, pitch] = True
    np.testing.assert_array_equal(score_to_pianoroll(score, steps_per_beat=steps_per_beat), roll)
    np.testing.assert_array_equal(score_to_onsets(score, steps_per_beat=steps_per_beat), onsets)
    assert score_to_pianoroll(score, steps_per_beat=steps_per_beat).dtype == bool


@settings(max_examples=150, deadline=None)
@given(roll=rolls, onsets=rolls)
def test_a_roll_with_onsets_comes_back_exactly(roll, onsets):
    n = min(len(roll), len(onsets))
    sounding, starts = roll[:n], onsets[:n]
    # Every stretch of sound starts with an onset in a roll that comes from notes.
    before = np.concatenate([np.zeros((1, 128), bool), sounding])[:-1]
    starts = starts | (sounding & ~before)
    sounding = sounding | starts
    used = np.flatnonzero(sounding.any(axis=1))
    length = used[-1] + 1 if len(used) else 0
    score = pianoroll_to_score(sounding, starts, steps_per_beat=4)
    np.testing.assert_array_equal(score_to_pianoroll(score), sounding[:length])
    np.testing.assert_array_equal(score_to_onsets(score), starts[:length])


def test_without_onsets_a_note_lasts_as_long_as_its_pitch_sounds():
    roll = roll_of(6, [(0, 60), (1, 60), (3, 60), (5, 62)])
    score = pianoroll_to_score(
        roll,
        steps_per_beat=2,
        ticks_per_beat=96,
        tempo=Tempo(0, 400_000),
        meter=Meter(0, 3, 4),
        program=6,
        velocity=99,
    )
    assert score.tracks[0].notes == (Note(0, 60, 96, 99), Note(144, 60, 48, 99), Note(240, 62, 48, 99))
    assert (score.tracks[0].program, score.tempos, score.meters) == (
        6,
        (Tempo(0, 400_000),),
        (Meter(0, 3, 4),),
    )


def test_drums_name_no_heights_and_stay_out():
    score = Score((Track((Note(0, 36, 480),), is_drum=True), Track((Note(0, 60, 480),))))
    assert score_to_pianoroll(score).nonzero()[1].tolist() == [60] * 4


def test_a_grid_that_does_not_divide_the_beat_is_refused():
    with pytest.raises(ScoreError, match="must divide the 96 ticks of a beat, got 5"):
        score_to_pianoroll(Score(ticks_per_beat=96), steps_per_beat=5)
    with pytest.raises(ScoreError, match="got 0"):
        score_to_onsets(Score(), steps_per_beat=0)


@pytest.mark.parametrize("shape", [(4,), (4, 88), (4, 128, 1)])
def test_a_roll_of_another_shape_is_refused(shape):
    with pytest.raises(ScoreError, match=r"\(n_steps, 128\)"):
        pianoroll_to_score(np.zeros(shape))


def test_onsets_of_another_length_are_refused():
    with pytest.raises(ScoreError, match="shape of the roll"):
        pianoroll_to_score(np.zeros((4, 128)), np.zeros((5, 128)))


# ---- five tracks


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (0, "Piano"),
        (7, "Piano"),
        (8, "Strings"),
        (24, "Guitar"),
        (31, "Guitar"),
        (32, "Bass"),
        (39, "Bass"),
        (73, "Strings"),
    ],
)
def test_programs_find_their_lakh_track(program, name):
    assert LAKH_TRACKS[lakh_track(Track(program=program))] == name
    assert LAKH_TRACKS[lakh_track(Track(program=program, is_drum=True))] == "Drums"


def test_five_rolls_come_back_from_their_score():
    rng = np.random.default_rng(3)
    onsets = rng.random((32, 128, 5)) < 0.02
    rolls = onsets | np.concatenate([np.zeros((1, 128, 5), bool), onsets])[:-1]
    rolls[-1, 60, 0] = True
    score = multitrack_to_score(rolls, onsets)
    assert [(t.name, t.is_drum) for t in score.tracks] == [(name, name == "Drums") for name in LAKH_TRACKS]
    np.testing.assert_array_equal(score_to_multitrack(score), rolls)
    found = score_to_multitrack_onsets(score)
    assert (found >= onsets).all()


def test_five_rolls_of_another_shape_are_refused():
    with pytest.raises(ScoreError, match=r"\(n_steps, 128, 5\)"):
        multitrack_to_score(np.zeros((5, 8, 128)))


# ---- Lakh files


def lakh(rolls: dict[int, np.ndarray], *, key="resolution", resolution=24, **arrays) -> bytes:
    """An .npz as pypianoroll writes it, through scipy's own sparse matrices."""
    from scipy.sparse import csc_matrix

    info = {key: resolution, "name": "Song"}
    for place, roll in rolls.items():
        sparse = csc_matrix(roll)
        info[str(place)] = {"program": 33 * place, "is_drum": place == 0, "name": f"T{place}"}
        for part in ("data", "indices", "indptr"):
            arrays[f"pianoroll_{place}_csc_{part}"] = getattr(sparse, part)
        arrays[f"pianoroll_{place}_csc_shape"] = np.array(sparse.shape)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("info.json", json.dumps(info))
    return packed.getvalue()


def velocities(n_steps, *runs):
    roll = np.zeros((n_steps, 128), np.uint8)
    for first, last, pitch, velocity in runs:
        roll[first:last, pitch] = velocity
    return roll


def test_a_lakh_file_gives_tracks_tempos_and_meters():
    downbeat = np.zeros(240, bool)
    downbeat[[0, 96, 192]] = True
    tempo = np.full(240, 100.0)
    tempo[120:] = 125.0
    data = lakh(
        {
            0: velocities(240, (0, 6, 36, 100)),
            1: velocities(240, (0, 24, 60, 70), (24, 30, 62, 50), (40, 240, 60, 90)),
        },
        tempo=tempo,
        downbeat=downbeat,
    )
    score = read_lakh_npz(data)
    drums, bass = score.tracks
    assert (drums.is_drum, drums.name, drums.notes) == (True, "T0", (Note(0, 36, 6, 100),))
    assert (bass.program, bass.notes) == (
        33,
        (Note(0, 60, 24, 70), Note(24, 62, 6, 50), Note(40, 60, 200, 90)),
    )
    assert score.ticks_per_beat == 24
    assert score.tempos == (Tempo(0, 600_000), Tempo(120, 480_000))
    assert score.meters == (Meter(0, 4, 4),)
    assert score.title == "Song"


def test_older_files_and_binary_rolls_are_read(tmp_path):
    path = tmp_path / "old.npz"
    path.write_bytes(
        lakh({0: velocities(8, (0, 4, 60, 1)).astype(bool)}, key="beat_resolution", resolution=4)
    )
    (note,) = read_lakh_npz(path).notes()
    assert note == Note(0, 60, 4, 80)


def test_a_pickle_inside_is_never_loaded():
    class Trap:
        def __reduce__(self):
            return exec, ("raise SystemExit('the trap went off')",)

    packed = io.BytesIO()
    np.savez(packed, pianoroll_0_csc_data=np.array([Trap()], dtype=object))
    with pytest.raises(ScoreError, match="no plain array"):
        read_lakh_npz(packed.getvalue())


def edited(**changes) -> bytes:
    """A sound file with some of its arrays replaced."""
    data = lakh({0: velocities(8, (0, 4, 60, 64))})
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = name.removeprefix("pianoroll_0_csc_").removesuffix(".npy")
            if part in changes:
                array = io.BytesIO()
                np.save(array, changes[part])
                new.writestr(name, array.getvalue())
            elif name == "info.json" and "info" in changes:
                new.writestr(name, changes["info"])
            else:
                new.writestr(name, old.read(name))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04 broken",
        edited(indices=np.array([0, 1, 2, 99])),
        edited(indices=np.array([-1, 1, 2, 3])),
        edited(indptr=np.arange(129)[::-1].copy()),
        edited(indptr=np.zeros(3, int)),
        edited(shape=np.array([10**12, 128])),
        edited(shape=np.array([8, 88])),
        edited(data=np.zeros((2, 2))),
        edited(info="[1]"),
        edited(info="{"),
        edited(info='{"resolution": 0}'),
        edited(info='{"resolution": 24}'),
    ],
)
def test_damaged_lakh_files_are_refused_in_words(data):
    with pytest.raises(ScoreError, match=r"pianoroll|npz"):
        read_lakh_npz(data)


def test_a_zip_bomb_is_refused():
    packed = io.BytesIO()
    np.savez_compressed(packed, x=np.zeros(4_000_000, np.uint8))
    with pytest.raises(ScoreError, match="unpacks to more"):
        read_lakh_npz(packed.getvalue(), limits=ReadLimits(max_bytes=1_000_000))
