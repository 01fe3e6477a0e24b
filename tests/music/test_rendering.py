import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pyloudnorm
import pytest
import soundfile

from music import rendering
from music.rendering import (
    SAMPLE_RATE,
    Audio,
    RenderingError,
    available_engines,
    conform_audio,
    find_soundfont,
    measure_loudness,
    measure_true_peak,
    render_excerpt,
    snap_to_bar,
    write_flac,
    write_mp3,
)
from music.score import Meter, Note, Score, ScoreError, Tempo, Track

TUNE = Score((Track(tuple(Note(240 * n, 60 + n * 5 % 12, 220) for n in range(40))),))  # ten seconds
FAST = {"seconds": 3.0, "fade_out_ms": 500}

needs_fluidsynth = pytest.mark.skipif(
    "fluidsynth" not in available_engines(), reason="FluidSynth or a soundfont is not installed"
)
engines = pytest.mark.parametrize("engine", [pytest.param("fluidsynth", marks=needs_fluidsynth), "symusic"])


def sine(seconds: float, *, level=0.1, rate=SAMPLE_RATE, channels=2) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave] * channels, axis=1)


def wav(path: Path, samples: np.ndarray, rate=SAMPLE_RATE) -> Path:
    soundfile.write(path, samples, rate)
    return path


@engines
def test_an_excerpt_has_its_length_its_loudness_and_its_facts(engine):
    audio = render_excerpt(TUNE, engine=engine, **FAST)
    assert audio.samples.shape == (round(3.0 * SAMPLE_RATE), 2)
    assert audio.samples.dtype == np.float32
    loudness = pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(audio.samples.astype(float))
    assert loudness == pytest.approx(-23.0, abs=0.01)
    assert audio.loudness_lufs == pytest.approx(-23.0)
    assert audio.is_on_target
    assert measure_true_peak(audio.samples) <= -1.0
    facts = json.loads(json.dumps(audio.facts, allow_nan=False))
    assert facts["engine"] == engine
    assert facts["engine_version"][0].isdigit()
    assert len(facts["soundfont_sha256"]) == 64
    assert facts["seconds"] == 3.0


@engines
def test_the_same_excerpt_twice_gives_the_same_samples(engine):
    once, again = (render_excerpt(TUNE, engine=engine, **FAST) for _ in range(2))
    assert once.sha256 == again.sha256
    assert once.facts == again.facts
    assert render_excerpt(TUNE, engine=engine, start_seconds=4, **FAST).sha256 != once.sha256


def test_music_sounds_where_notes_are_and_fades_at_both_ends():
    score = Score((Track((Note(0, 60, 480), Note(1920, 67, 1920))),))
    samples = render_excerpt(score, engine="symusic", seconds=4.0, fade_out_ms=1000).samples
    level = [float(np.abs(samples[round(t * SAMPLE_RATE) :][:2000]).max()) for t in (0.1, 1.8, 2.2)]
    assert level[0] > 10 * level[1]
    assert level[2] > 10 * level[1]
    assert (
        np.abs(samples[: round(0.02 * SAMPLE_RATE)]).max() < 1e-4
    )  # the fade-in lies in front of the first attack
    assert samples[-1].tolist() == [0.0, 0.0]
    assert np.abs(samples[-2000:]).max() < np.abs(samples[-SAMPLE_RATE:-34000]).max() / 10


def test_twenty_instruments_and_drums_all_sound():
    tracks = [Track((Note(1920 * n, 60, 960),), program=4 * n) for n in range(20)]
    tracks.append(Track((Note(1920 * 20, 38, 960),), is_drum=True))
    score = Score(tuple(tracks), tempos=(Tempo(0, 250_000),))
    samples = render_excerpt(score, engine="symusic", seconds=21, fade_out_ms=0, pad=True).samples
    for n in range(21):
        middle = samples[round((n + 0.02) * SAMPLE_RATE) :][:4000]
        assert np.abs(middle).max() > 1e-3, n


def test_excerpts_start_at_bars_that_are_not_empty():
    late = Score((Track((Note(3 * 1920 + 100, 60, 4000),)),))
    assert snap_to_bar(late, 0.0) == 3 * 1920
    waltz = Score((Track(tuple(Note(480 * n, 60, 480) for n in range(60))),), meters=(Meter(0, 3, 4),))
    assert snap_to_bar(waltz, 5.0) == 3 * 1440  # bars start at 4.5 and at 6 seconds
    assert render_excerpt(waltz, engine="symusic", start_seconds=5.0, **FAST).start_seconds == 4.5
    with pytest.raises(RenderingError, match="cannot start at second -1"):
        snap_to_bar(waltz, -1)


def test_a_piece_that_is_too_short_is_refused_with_what_it_has_unless_padding_is_asked_for():
    with pytest.raises(RenderingError, match=r"lasts 10\.0 seconds from second 0\.0 on, too short .* of 20"):
        render_excerpt(TUNE, engine="symusic")
    assert render_excerpt(TUNE, engine="symusic", seconds=20, pad=True).seconds == 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "timidity"}, "no engine is named 'timidity'"),
        ({"seconds": 0.2}, "lasts 1 to 3600 seconds, got 0.2"),
        ({"seconds": 2.0, "fade_out_ms": 5000}, "do not fit"),
        ({"soundfont": "/etc/hostname"}, "is no soundfont"),
        ({"soundfont": "/nowhere.sf2"}, "is no soundfont"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(RenderingError) as refusal:
        render_excerpt(TUNE, **options)
    assert words in str(refusal.value)


def test_a_piece_without_notes_or_without_sound_is_refused():
    with pytest.raises(RenderingError, match="no notes"):
        render_excerpt(Score())
    unheard = Score((Track((Note(0, 0, 4800),), is_drum=True),))
    with pytest.raises(RenderingError, match="silent"):
        render_excerpt(unheard, engine="symusic", **FAST)
    assert issubclass(RenderingError, Exception)
    assert not issubclass(RenderingError, ScoreError)


def test_a_ceiling_in_the_way_lowers_the_gain_and_says_so():
    audio = render_excerpt(TUNE, engine="symusic", ceiling_dbtp=-20.0, **FAST)
    assert measure_true_peak(audio.samples) <= -20.0
    assert audio.loudness_lufs < -23.5
    assert not audio.is_on_target
    assert pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(audio.samples.astype(float)) == pytest.approx(
        audio.loudness_lufs, abs=0.01
    )


def test_true_peak_sees_between_the_samples():
    # A sine at a quarter of the rate, sampled 45 degrees off its crests: the samples reach 0.707, the wave 1.
    wave = np.sin(2 * np.pi * np.arange(4410) / 4 + np.pi / 4)[:, None]
    assert 20 * np.log10(np.abs(wave).max()) == pytest.approx(-3.01, abs=0.01)
    assert measure_true_peak(wave[400:-400] * np.hanning(3610)[:, None]) == pytest.approx(0.0, abs=0.1)


def test_a_synthesiser_that_hangs_is_ended(monkeypatch, tmp_path):
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = time.monotonic()
    with pytest.raises(RenderingError, match=r"longer than 0\.5 seconds"):
        render_excerpt(TUNE, engine="fluidsynth", soundfont=find_soundfont(), timeout_seconds=0.5, **FAST)
    assert time.monotonic() - before < 30


def test_a_synthesiser_that_fails_is_an_error_of_the_piece(monkeypatch, tmp_path):
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RenderingError, match="failed with status 3: out of luck"):
        render_excerpt(TUNE, engine="fluidsynth", soundfont=find_soundfont(), **FAST)


def test_without_fluidsynth_the_other_engine_plays(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert available_engines() == ("symusic",)
    with pytest.raises(RenderingError, match="needs the program fluidsynth"):
        render_excerpt(TUNE, engine="fluidsynth", **FAST)
    assert render_excerpt(TUNE, **FAST).engine == "symusic"


# ---- files


def quiet_noise(seed: int, seconds: float) -> Audio:
    samples = (
        np.random.default_rng(seed)
        .normal(0, 0.02 * seed, (round(seconds * SAMPLE_RATE), 2))
        .astype(np.float32)
    )
    return Audio(samples, "recording", "", "", "", "", 0.0, 0.0, -23.0, -23.0, -3.0)


def test_files_have_no_tags_equal_sizes_and_the_exact_length(tmp_path):
    sizes, heads = set(), set()
    for seed in (1, 4):
        audio = quiet_noise(seed, 4.0)
        mp3, flac = write_mp3(audio, tmp_path / f"{seed}.mp3"), write_flac(audio, tmp_path / f"{seed}.flac")
        sizes.add(mp3.stat().st_size)
        heads.add(mp3.read_bytes()[:16].count(b"ID3"))
        assert mutagen.File(mp3).tags is None
        assert not mutagen.File(flac).tags
        assert mutagen.File(mp3).info.bitrate == pytest.approx(192_000, rel=1e-4)
        assert mutagen.File(mp3).info.bitrate_mode == mutagen.mp3.BitrateMode.CBR
        for path in (mp3, flac):
            decoded, rate = soundfile.read(path)
            assert (decoded.shape, rate) == (audio.samples.shape, SAMPLE_RATE)
        np.testing.assert_allclose(soundfile.read(flac)[0], audio.samples, atol=2**-23)
    assert len(sizes) == 1
    assert heads == {0}


def test_what_listeners_hear_is_as_loud_as_what_was_measured(tmp_path):
    seconds = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for pitch in (110, 440, 3000):
        tone = (0.1 * np.sin(2 * np.pi * pitch * seconds)).astype(np.float32)[:, None].repeat(2, axis=1)
        audio = replace(quiet_noise(1, 1.0), samples=tone)
        decoded, _ = soundfile.read(write_mp3(audio, tmp_path / "heard.mp3"))
        heard, meant = measure_loudness(decoded), measure_loudness(tone)
        assert heard == pytest.approx(meant, abs=0.02)  # LU; uncorrected it is 0.26 below


def test_the_same_audio_gives_the_same_bytes_whatever_the_name(tmp_path):
    audio = quiet_noise(2, 2.0)
    for write, suffix in ((write_mp3, "mp3"), (write_flac, "flac")):
        one, two = (
            write(audio, tmp_path / f"joplin.{suffix}"),
            write(audio, tmp_path / "new" / f"model.{suffix}"),
        )
        assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joplin.flac", "joplin.mp3", "new"]


def test_a_file_that_cannot_be_written_leaves_no_part(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "_BLOCK", "broken")
    with pytest.raises(TypeError):
        write_mp3(quiet_noise(1, 1.0), tmp_path / "a.mp3")
    assert list(tmp_path.iterdir()) == []


# ---- recordings


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (22050, 2)])
def test_recordings_take_the_form_of_every_stimulus(tmp_path, rate, channels):
    path = wav(tmp_path / "a.wav", sine(6.0, rate=rate, channels=channels), rate)
    audio = conform_audio(path, start_seconds=1.0, **FAST)
    assert audio.samples.shape == (round(3.0 * SAMPLE_RATE), 2)
    assert audio.engine == "recording"
    assert audio.loudness_lufs == pytest.approx(-23.0)
    spectrum = np.abs(np.fft.rfft(audio.samples[SAMPLE_RATE : 2 * SAMPLE_RATE, 0]))
    assert spectrum.argmax() == 440
    assert conform_audio(path.read_bytes(), start_seconds=1.0, **FAST).sha256 == audio.sha256


def test_recordings_that_do_not_serve_are_refused_in_words(tmp_path):
    cases = [
        (b"junk", "no readable recording"),
        (b"", "no readable recording"),
        (
            wav(tmp_path / "short.wav", sine(2.0)),
            "lasts 2.0 seconds from second 0 on, too short for an excerpt of 3",
        ),
        (wav(tmp_path / "silent.wav", sine(4.0, level=0)), "silent"),
        (wav(tmp_path / "many.wav", sine(4.0, channels=3)), "3 channels"),
        (wav(tmp_path / "slow.wav", sine(40.0, rate=1000), 1000), "1000 samples a second"),
        (tmp_path / "missing.wav", "there is no file"),
    ]
    for source, words in cases:
        with pytest.raises(RenderingError) as refusal:
            conform_audio(source, **FAST)
        assert words in str(refusal.value)


def test_a_recording_of_no_numbers_is_refused(tmp_path):
    samples = sine(4.0).astype(np.float32)
    samples[1000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    with pytest.raises(RenderingError, match="no numbers"):
        conform_audio(tmp_path / "nan.wav", **FAST)


def test_a_decoder_that_crashes_or_hangs_is_an_error_of_the_recording(monkeypatch):
    real = subprocess.run

    def with_program(program):
        def run(command, **options):
            return real([command[0], "-c", program], **options)

        return run

    monkeypatch.setattr(rendering.subprocess, "run", with_program("import os; os.abort()"))
    with pytest.raises(RenderingError, match="the recording failed: its process ended with status -6"):
        conform_audio(b"x", **FAST)
    monkeypatch.setattr(rendering.subprocess, "run", with_program("import time; time.sleep(60)"))
    with pytest.raises(RenderingError, match=r"longer than 0\.5 seconds"):
        conform_audio(b"x", timeout_seconds=0.5, **FAST)
