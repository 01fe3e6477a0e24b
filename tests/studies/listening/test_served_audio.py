"""Simple features of served sounds, and whether they separate two sets."""

import itertools

import numpy as np
import pytest
from scipy import stats

from studies.listening.served_audio import Features, measure, separation, separations, spread
from tests.studies.factories import sound_bytes

SAME = {"n_bytes": 1000, "seconds": 5.0, "peak_db": -9.0, "bandwidth_hz": 900.0}
SAME |= {"n_channels": 2, "sample_rate_hz": 44_100}


def features(loudness=-23.0, leading=0.0, trailing=0.0, **other):
    return Features(
        loudness_lufs=loudness,
        leading_silence_seconds=leading,
        trailing_silence_seconds=trailing,
        **{**SAME, **other},
    )


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "sound.mp3"
        path.write_bytes(data)
        return path

    return write


def test_a_served_file_is_measured_as_it_was_made(written):
    found = measure(written(sound_bytes(1)))
    assert found.loudness_lufs == pytest.approx(-23, abs=0.6)  # encoding costs a little
    assert found.seconds == pytest.approx(5, abs=0.1)
    assert found.leading_silence_seconds < 0.05
    assert 200 < found.bandwidth_hz < 1000
    assert found.n_bytes == len(sound_bytes(1))


def test_silence_at_the_start_is_measured(written):
    assert measure(written(sound_bytes(1, lead=0.7))).leading_silence_seconds == pytest.approx(0.7, abs=0.06)


def test_what_is_no_sound_is_an_error(written):
    with pytest.raises(OSError, match="cannot be decoded"):
        measure(written(b"no sound at all" * 100))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_mann_and_whitney_and_p_that_of_all_relabellings(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=9) * 2) / 10  # with ties, in the grain of loudness
    found = separation("loudness_lufs", values, n_real=4)
    u = stats.mannwhitneyu(values[:4], values[4:]).statistic
    assert found.auc == pytest.approx(u / 20)
    extreme = total = 0
    for chosen in itertools.combinations(range(9), 4):
        rest = [place for place in range(9) if place not in chosen]
        area = stats.mannwhitneyu(values[list(chosen)], values[rest]).statistic / 20
        extreme += abs(area - 0.5) >= abs(found.auc - 0.5) - 1e-9
        total += 1
    assert found.p == pytest.approx(extreme / total)


def test_many_pieces_are_tested_by_random_relabellings():
    rng = np.random.default_rng(0)
    alike = separation("loudness_lufs", rng.normal(-23, 0.3, 40), n_real=20)
    apart = separation("loudness_lufs", [*rng.normal(-23, 0.3, 20), *rng.normal(-22, 0.3, 20)], n_real=20)
    assert alike.p > 0.05
    assert apart.p < 0.001
    assert apart.difference == pytest.approx(-1, abs=0.3)


def test_complete_separation_of_five_and_five_is_certain_and_equal_values_tell_nothing():
    real = [features(leading=0.0, loudness=-23.0) for _ in range(5)]
    generated = [features(leading=0.5, loudness=-23.02) for _ in range(5)]
    found = {each.feature: each for each in separations(real, generated)}
    assert found["leading_silence_seconds"].auc == 0
    assert found["leading_silence_seconds"].p == pytest.approx(2 / 252)
    assert not found["leading_silence_seconds"].is_negligible
    assert found["loudness_lufs"].is_negligible
    assert (found["n_bytes"].auc, found["n_bytes"].p) == (0.5, 1)


@pytest.mark.parametrize(
    ("n_real", "n_generated", "least"), [(1, 10, 2 / 11), (3, 6, 2 / 84), (4, 4, 2 / 70), (5, 5, 2 / 252)]
)
def test_the_least_p_is_that_of_a_complete_separation(n_real, n_generated, least):
    values = [float(place) for place in range(n_real + n_generated)]
    found = separation("leading_silence_seconds", values, n_real=n_real)
    assert found.least_p == pytest.approx(least)
    assert found.p == pytest.approx(least)
    assert found.gap == 1
    assert found.is_telling


@pytest.mark.parametrize(
    ("real", "generated", "is_telling"),
    [
        ([0, 0, 0], [0.4] * 6, True),
        ([0.4] * 3, [0] * 6, True),
        ([0, 0, 0], [0.4] * 5 + [0], False),  # one piece lies with the others
        ([0, 0, 0], [0.04] * 6, False),  # nobody hears that
        ([0, 0, 0.38], [0.4] * 6, False),  # told apart by less than anybody hears
    ],
)
def test_few_pieces_are_told_by_what_separates_all_of_them(real, generated, is_telling):
    found = separation("leading_silence_seconds", real + generated, n_real=3)
    assert found.is_telling is is_telling


def test_one_source_alone_is_not_compared():
    assert separations([features()], []) == []
    assert spread({}, "seconds") == 0
