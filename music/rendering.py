"""Audio that listeners hear: every stimulus with one synthesiser, one loudness, one length, the same fades.

A score is cut to bars, played by FluidSynth where that and a General MIDI soundfont are installed, else by
the synthesiser of symusic with the soundfont inside pretty_midi. Options are frozen and come back as facts
with the hash of the soundfont, because other options give other bytes: a study renders all of its pieces with
one engine.

Loudness is made equal by gain alone (ITU-R BS.1770-4 integrated loudness; no limiter, no compression:
dynamics belong to the music). Where the gain would lift the true peak over the ceiling, the piece gets less
gain and says so in its facts; the target of the whole study is then what has to come down, not this one
piece.

Nothing is padded unless asked for: silence at the end of the shorter pieces would tell listeners which are
alike. Synthesisers and decoders run in processes of their own, under a clock: a hang or a crash is an error
of the piece.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from math import gcd
from pathlib import Path

import numpy as np

from music.midi import score_to_midi
from music.score import MusicError, Score
from music.transform import excerpt

SAMPLE_RATE = 44100
LOUDNESS_LUFS = -23.0  # EBU R 128
CEILING_DBTP = -1.0
MP3_KBPS = 192
_LAME_SCALE = 0.97  # LAME multiplies by this unless told otherwise, and libsndfile does not tell it
ENGINES = ("fluidsynth", "symusic")

_FLUIDSYNTH_OPTIONS = (
    *("-ni", "-q", "-g", "0.4", "-r", str(SAMPLE_RATE), "-T", "wav", "-O", "float"),
    *("-o", "synth.dynamic-sample-loading=1"),
)
_SYMUSIC_OPTIONS = "quality=0 stereo"
_SOUNDFONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts")
_SOUNDFONT_FOLDERS += (
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
    "/usr/local/share/sounds/sf2",
)
_SOUNDFONTS = ("FluidR3_GM.sf2", "MuseScore_General.sf2", "GeneralUser-GS.sf2", "GeneralUser GS.sf2")
_SOUNDFONTS += ("FluidR3_GM.sf3", "MuseScore_General.sf3", "MuseScore_General_Lite.sf3", "FluidR3Mono_GM.sf3")
_SOUNDFONTS += ("default-GM.sf2", "default-GM.sf3", "TimGM6mb.sf2")

_ROOT = Path(__file__).resolve().parent.parent
_MAX_SECONDS = 3600.0  # of one stimulus
_MAX_UPLOAD_BYTES = 512 * 2**20
_MAX_CHILD_MB = 4096
_MAX_GAIN_DB = 50.0  # what needs more is noise, not music
_BLOCK = 16384  # samples: libsndfile overflows its stack on one long write of Ogg Vorbis
_OVERHANG_SECONDS = 0.5  # rendered behind the cut, so that no note is released inside it


class RenderingError(MusicError):
    """A piece that cannot be made to sound as asked; the message says why and what would do."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A stimulus, ready to be written, and all that is needed to make it again."""

    samples: np.ndarray  # [shape=(n_samples, 2), dtype=float32] at SAMPLE_RATE
    engine: str  # one of ENGINES, or "recording"
    engine_version: str
    soundfont: str  # file name; empty for recordings
    soundfont_sha256: str
    options: str  # of the engine
    start_seconds: float  # in the piece, at the bar where the excerpt starts
    gain_db: float
    loudness_lufs: float
    target_lufs: float
    true_peak_dbtp: float

    @property
    def seconds(self) -> float:
        """Length, fades included."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def is_on_target(self) -> bool:
        """Whether the loudness is the wanted one; not so if the ceiling stood in the way."""
        return abs(self.loudness_lufs - self.target_lufs) < 0.05

    @property
    def sha256(self) -> str:
        """Hash of the samples."""
        return hashlib.sha256(np.ascontiguousarray(self.samples).tobytes()).hexdigest()

    @property
    def facts(self) -> dict:
        """Everything but the samples, for a database or a JSON file."""
        return {
            "engine": self.engine,
            "engine_version": self.engine_version,
            "soundfont": self.soundfont,
            "soundfont_sha256": self.soundfont_sha256,
            "options": self.options,
            "start_seconds": round(self.start_seconds, 6),
            "seconds": self.seconds,
            "sample_rate": SAMPLE_RATE,
            "gain_db": round(self.gain_db, 4),
            "loudness_lufs": round(self.loudness_lufs, 4),
            "target_lufs": self.target_lufs,
            "true_peak_dbtp": round(self.true_peak_dbtp, 4),
            "on_target": self.is_on_target,
            "sha256": self.sha256,
        }


def available_engines(soundfont: str | Path | None = None) -> tuple[str, ...]:
    """The engines that can play here, the preferred one first."""
    engines = []
    if shutil.which("fluidsynth") and find_soundfont(soundfont) is not None:
        engines.append("fluidsynth")
    if find_spec("symusic") is not None and (soundfont or _packaged_soundfont()):
        engines.append("symusic")
    return tuple(engines)


def find_soundfont(soundfont: str | Path | None = None) -> Path | None:
    """The soundfont to play with: the given one, else the best of those in the usual places, else None.

    Raises
    ------
    RenderingError
        If one is given and it is no soundfont.
    """
    if soundfont:
        path = Path(soundfont).expanduser()
        if not _is_soundfont(path):
            raise RenderingError(f"{str(soundfont)!r} is no soundfont; a file in SF2 or SF3 format is needed")
        return path
    for name in _SOUNDFONTS:
        for folder in _SOUNDFONT_FOLDERS:
            path = Path(folder) / name
            if _is_soundfont(path):
                return path
    return _packaged_soundfont()


def render_excerpt(
    score: Score,
    *,
    start_seconds: float = 0.0,
    seconds: float = 20.0,
    fade_in_ms: int = 20,
    fade_out_ms: int = 1000,
    engine: str = "auto",
    soundfont: str | Path | None = None,
    loudness_lufs: float = LOUDNESS_LUFS,
    ceiling_dbtp: float = CEILING_DBTP,
    pad: bool = False,
    timeout_seconds: float = 60.0,
) -> Audio:
    """Play a stretch of a score.

    The excerpt starts at the bar nearest to `start_seconds`, or at the next bar in which a note starts: no
    excerpt opens with empty bars. Notes that sound across its start are struck there. The fade-in lies in
    front of the first note, so that no attack is softened. Equal arguments on one engine give equal samples.

    Parameters
    ----------
    seconds : float
        Length of the result, fades included; always exactly ``round(seconds * 44100)`` samples.
    engine : str
        "fluidsynth", "symusic", or "auto" for the first that is available.
    soundfont : str or Path, optional
        An SF2 or SF3 file instead of the one that is found.
    loudness_lufs, ceiling_dbtp : float
        Wanted integrated loudness and the true peak that is never exceeded.
    pad : bool
        Fill a piece that is too short with silence instead of refusing it. Listeners can hear which pieces
        were: use it for sound checks and practice, or where every piece of a study is as short.
    timeout_seconds : float
        For the synthesiser.

    Raises
    ------
    RenderingError
        If the piece has no notes, ends before the fade-out (the message has the seconds it lasts), sounds
        silent, or the engine is missing or fails.
    """
    _check_lengths(seconds, fade_in_ms, fade_out_ms)
    name, font = _choose_engine(engine, soundfont)
    if not score.n_notes:
        raise RenderingError("the piece has no notes to play")
    start_tick = snap_to_bar(score, start_seconds)
    start = score.tick_to_seconds(start_tick)
    lasts = score.duration_seconds - start
    if not pad and lasts < seconds - fade_out_ms / 1000:
        raise RenderingError(
            f"the piece lasts {lasts:.1f} seconds from second {start:.1f} on, "
            f"too short for an excerpt of {seconds:g}"
        )
    end_tick = max(score.seconds_to_tick(start + seconds + _OVERHANG_SECONDS), start_tick + 1)
    midi = score_to_midi(excerpt(score, start_tick, end_tick, keep_held=True))
    if name == "fluidsynth":
        played, engine_version, options = _play_fluidsynth(midi, font, timeout_seconds)
    else:
        played, engine_version, options = _play_symusic(midi, font, timeout_seconds)
    n_samples = round(seconds * SAMPLE_RATE)
    lead = round(fade_in_ms / 1000 * SAMPLE_RATE)
    samples = np.zeros((n_samples, 2))
    n_played = max(0, min(len(played), n_samples - lead))
    samples[lead : lead + n_played] = played[:n_played]
    return _finish(
        samples,
        fade_in_ms=fade_in_ms,
        fade_out_ms=fade_out_ms,
        loudness_lufs=loudness_lufs,
        ceiling_dbtp=ceiling_dbtp,
        engine=name,
        engine_version=engine_version,
        soundfont=font.name,
        soundfont_sha256=_file_sha256(font),
        options=options,
        start_seconds=start,
    )


def conform_audio(
    source: str | Path | bytes,
    *,
    start_seconds: float = 0.0,
    seconds: float = 20.0,
    fade_in_ms: int = 20,
    fade_out_ms: int = 1000,
    loudness_lufs: float = LOUDNESS_LUFS,
    ceiling_dbtp: float = CEILING_DBTP,
    pad: bool = False,
    timeout_seconds: float = 60.0,
) -> Audio:
    """Bring somebody's recording to the form of every stimulus: rate, channels, length, fades, loudness.

    Parameters
    ----------
    source : str, Path or bytes
        A file that libsndfile reads (WAV, FLAC, MP3, Ogg, AIFF), or its content; one or two channels.
    start_seconds, seconds, fade_in_ms, fade_out_ms, loudness_lufs, ceiling_dbtp, pad : as `render_excerpt`
        The start is taken as given: a recording has no bars.

    Raises
    ------
    RenderingError
        If it is no such file, has more than two channels, is too short or silent, or cannot be decoded in
        time.
    """
    _check_lengths(seconds, fade_in_ms, fade_out_ms)
    if start_seconds < 0:
        raise RenderingError(f"an excerpt starts at second 0 or later, got {start_seconds:g}")
    data = source if isinstance(source, bytes) else _read_upload(Path(source))
    if len(data) > _MAX_UPLOAD_BYTES:
        raise RenderingError(f"the recording has more than {_MAX_UPLOAD_BYTES:,} bytes")
    order = {"do": "decode", "start_seconds": start_seconds, "seconds": seconds}
    facts, decoded = _run_child(order, data, timeout_seconds, "the recording")
    lasts = facts["n_frames"] / facts["sample_rate"] - start_seconds
    if lasts <= 0 or (not pad and lasts < seconds - 0.001):
        raise RenderingError(
            f"the recording lasts {max(0.0, lasts):.1f} seconds from second {start_seconds:g} on, "
            f"too short for an excerpt of {seconds:g}"
        )
    if facts["sample_rate"] != SAMPLE_RATE:
        from scipy.signal import resample_poly

        divisor = gcd(SAMPLE_RATE, facts["sample_rate"])
        up, down = SAMPLE_RATE // divisor, facts["sample_rate"] // divisor
        decoded = resample_poly(decoded, up, down, axis=0)
    n_samples = round(seconds * SAMPLE_RATE)
    samples = np.zeros((n_samples, 2))
    n_decoded = min(n_samples, len(decoded))
    samples[:n_decoded] = decoded[:n_decoded]  # one channel goes to both sides
    return _finish(
        samples,
        fade_in_ms=fade_in_ms,
        fade_out_ms=fade_out_ms,
        loudness_lufs=loudness_lufs,
        ceiling_dbtp=ceiling_dbtp,
        engine="recording",
        engine_version=facts["decoder"],
        soundfont="",
        soundfont_sha256="",
        options=f"{facts['format']} {facts['sample_rate']} Hz, {facts['channels']} channel(s)",
        start_seconds=start_seconds,
    )


def engine_facts(engine: str = "auto", soundfont: str | Path | None = None) -> dict[str, str]:
    """What would play a score here: engine, its version, the soundfont and its hash, the options.

    Excerpts of one score with equal facts are equal; `render_excerpt` says the same of what it played.

    Raises
    ------
    RenderingError
        If the engine is missing.
    """
    name, font = _choose_engine(engine, soundfont)
    if name == "fluidsynth":
        engine_version, options = _fluidsynth_version(shutil.which(name)), " ".join(_FLUIDSYNTH_OPTIONS)
    else:
        engine_version, options = version("symusic"), _SYMUSIC_OPTIONS
    return {
        "engine": name,
        "engine_version": engine_version,
        "soundfont": font.name,
        "soundfont_sha256": _file_sha256(font),
        "options": options,
    }


def recording_seconds(source: str | Path | bytes, *, timeout_seconds: float = 60.0) -> float:
    """How long somebody's recording lasts, in seconds.

    Raises
    ------
    RenderingError
        If it is no readable recording, has more than two channels, or holds nothing.
    """
    data = source if isinstance(source, bytes) else _read_upload(Path(source))
    if len(data) > _MAX_UPLOAD_BYTES:
        raise RenderingError(f"the recording has more than {_MAX_UPLOAD_BYTES:,} bytes")
    order = {"do": "decode", "start_seconds": 0.0, "seconds": 1.0}
    facts, _ = _run_child(order, data, timeout_seconds, "the recording")
    if not facts["n_frames"]:
        raise RenderingError("the recording holds no sound")
    return facts["n_frames"] / facts["sample_rate"]


def snap_to_bar(score: Score, seconds: float) -> int:
    """Where an excerpt from about `seconds` on starts: at the nearest bar, or a later one with an onset.

    Raises
    ------
    RenderingError
        If no note starts from there on.
    """
    starts = score.bar_starts()
    index = min(
        range(len(starts)), key=lambda bar: abs(score.tick_to_seconds(starts[bar]) - seconds), default=0
    )
    onsets = sorted(note.onset for note in score.notes())
    following = bisect_left(onsets, starts[index]) if starts else 0
    if following == len(onsets) or seconds < 0:
        raise RenderingError(
            f"an excerpt cannot start at second {seconds:g}: "
            f"the piece lasts {score.duration_seconds:.1f} seconds"
        )
    return starts[bisect_right(starts, onsets[following]) - 1]


def measure_loudness(samples: np.ndarray) -> float:
    """Integrated loudness by ITU-R BS.1770-4, in LUFS; minus infinity for silence.

    Parameters
    ----------
    samples : np.ndarray [shape=(n_samples, 2)]
        At SAMPLE_RATE, at least 0.4 seconds.
    """
    import pyloudnorm

    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(np.asarray(samples, dtype=np.float64)))


def measure_true_peak(samples: np.ndarray) -> float:
    """The peak between the samples too, in dBTP: four times oversampled (ITU-R BS.1770-4, annex 2)."""
    from scipy.signal import resample_poly

    oversampled = np.abs(resample_poly(np.asarray(samples, dtype=np.float64), 4, 1, axis=0)).max(initial=0.0)
    peak = max(oversampled, np.abs(samples).max(initial=0.0))
    return float(20 * np.log10(peak)) if peak > 0 else float("-inf")


def write_flac(audio: Audio, path: str | Path) -> Path:
    """Write for the archive: 24 bits, lossless, no tags; equal audio gives equal bytes."""
    return _write(audio, Path(path), format="FLAC", subtype="PCM_24")


def write_mp3(audio: Audio, path: str | Path) -> Path:
    """Write for browsers: constant bit rate, no tags, and a size that the length alone decides.

    What it decodes to is as loud as the audio: the encoder's own attenuation is undone beforehand.
    """
    # libsndfile maps 0 to 320 kbit/s and 1 to 32 kbit/s.
    level = (320 - MP3_KBPS) / (320 - 32)
    return _write(
        replace(audio, samples=audio.samples / np.float32(_LAME_SCALE)),
        Path(path),
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=level,
    )


# ---- engines


def _choose_engine(engine: str, soundfont: str | Path | None) -> tuple[str, Path]:
    if engine != "auto" and engine not in ENGINES:
        raise RenderingError(f"no engine is named {engine!r}; auto, {' and '.join(ENGINES)} are")
    usable = available_engines(soundfont)
    if engine == "auto":
        if not usable:
            raise RenderingError(
                "no synthesiser is here: install FluidSynth with a soundfont, or symusic and pretty_midi"
            )
        engine = usable[0]
    elif engine not in usable:
        needs = {
            "fluidsynth": "the program fluidsynth and a General MIDI soundfont",
            "symusic": "the packages symusic and pretty_midi",
        }
        raise RenderingError(
            f"the engine {engine} needs {needs[engine]}; available: {', '.join(usable) or 'none'}"
        )
    if engine == "symusic" and not soundfont:
        return engine, _packaged_soundfont()
    return engine, find_soundfont(soundfont)


def _packaged_soundfont() -> Path | None:
    """TimGM6mb inside the pretty_midi package, found without importing it."""
    spec = find_spec("pretty_midi")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "TimGM6mb.sf2"
        if _is_soundfont(path):
            return path
    return None


def _is_soundfont(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except (OSError, ValueError):
        return False
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"


def _play_fluidsynth(midi: bytes, font: Path, timeout_seconds: float) -> tuple[np.ndarray, str, str]:
    import soundfile

    program = shutil.which("fluidsynth")
    with tempfile.TemporaryDirectory(prefix="earwitness-") as folder:
        piece, sound, settings = Path(folder, "in.mid"), Path(folder, "out.wav"), Path(folder, "settings")
        piece.write_bytes(midi)
        settings.touch()  # an empty one keeps FluidSynth from reading the settings of this user or machine
        command = [program, *_FLUIDSYNTH_OPTIONS, "-f", settings, "-F", sound, font, piece]
        try:
            done = subprocess.run(  # noqa: S603 - a found program with our own files
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_seconds,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", ""), "HOME": folder, "LC_ALL": "C"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RenderingError(f"FluidSynth took longer than {timeout_seconds:g} seconds") from None
        except OSError as error:
            raise RenderingError(f"FluidSynth cannot be started: {error.strerror or error}") from None
        if done.returncode or not sound.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise RenderingError(f"FluidSynth failed with status {done.returncode}: {said[-1][:200]}")
        try:
            samples, _ = soundfile.read(sound, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise RenderingError(f"FluidSynth wrote no readable audio: {error}") from None
    return samples, _fluidsynth_version(program), " ".join(_FLUIDSYNTH_OPTIONS)


@lru_cache
def _fluidsynth_version(program: str) -> str:
    said = subprocess.run(  # noqa: S603 - a found program
        [program, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return found.group() if found else "unknown"


def _play_symusic(midi: bytes, font: Path, timeout_seconds: float) -> tuple[np.ndarray, str, str]:
    order = {"do": "play", "soundfont": str(font)}
    _, samples = _run_child(order, midi, timeout_seconds, "the synthesiser")
    return samples, version("symusic"), _SYMUSIC_OPTIONS


@lru_cache(maxsize=32)
def _hash_version(path: str, size: int, changed_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_sha256(path: Path) -> str:
    facts = path.stat()
    return _hash_version(str(path), facts.st_size, facts.st_mtime_ns)


# ---- one form for all


def _check_lengths(seconds: float, fade_in_ms: int, fade_out_ms: int) -> None:
    if not 1 <= seconds <= _MAX_SECONDS:
        raise RenderingError(f"an excerpt lasts 1 to {_MAX_SECONDS:g} seconds, got {seconds:g}")
    if fade_in_ms < 0 or fade_out_ms < 0 or fade_in_ms + fade_out_ms > seconds * 1000:
        raise RenderingError(
            f"fades of {fade_in_ms} and {fade_out_ms} ms do not fit in an excerpt of {seconds:g} seconds"
        )


def _finish(
    samples: np.ndarray,
    *,
    fade_in_ms: int,
    fade_out_ms: int,
    loudness_lufs: float,
    ceiling_dbtp: float,
    **facts,
) -> Audio:
    """Fade, then set the level of what will be heard."""
    if not np.isfinite(samples).all():
        raise RenderingError("the audio holds samples that are no numbers")
    _fade(samples, fade_in_ms, fade_out_ms)
    loudness = measure_loudness(samples)
    if not np.isfinite(loudness):
        raise RenderingError(
            "the excerpt is silent; choose another start, or check the pitches and the soundfont"
        )
    peak = measure_true_peak(samples)
    # The ceiling holds for the 24 bits that are written too: rounding adds at most half a step.
    gain = min(loudness_lufs - loudness, ceiling_dbtp - 0.001 - peak)
    if gain > _MAX_GAIN_DB:
        raise RenderingError(f"the excerpt is almost silent ({loudness:.1f} LUFS); choose another start")
    samples = (samples * 10 ** (gain / 20)).astype(np.float32)
    return Audio(
        samples=samples,
        gain_db=gain,
        loudness_lufs=loudness + gain,
        target_lufs=loudness_lufs,
        true_peak_dbtp=peak + gain,
        **facts,
    )


def _fade(samples: np.ndarray, fade_in_ms: int, fade_out_ms: int) -> None:
    """Raised-cosine fades, in place; the very last sample is 0."""
    n_in, n_out = (round(ms / 1000 * SAMPLE_RATE) for ms in (fade_in_ms, fade_out_ms))
    if n_in:
        samples[:n_in] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(n_in) / n_in))[:, None]
    if n_out:
        samples[-n_out:] *= (0.5 + 0.5 * np.cos(np.pi * np.arange(1, n_out + 1) / n_out))[:, None]


def _write(audio: Audio, path: Path, **form) -> Path:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        with soundfile.SoundFile(temporary, "w", SAMPLE_RATE, 2, **form) as file:
            for start in range(0, len(audio.samples), _BLOCK):
                file.write(audio.samples[start : start + _BLOCK])
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except soundfile.LibsndfileError as error:
        raise RenderingError(f"{path.name} cannot be written: {error}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _read_upload(path: Path) -> bytes:
    if not path.is_file():
        raise RenderingError(f"there is no file {str(path)!r}")
    if path.stat().st_size > _MAX_UPLOAD_BYTES:
        raise RenderingError(f"{str(path)!r} has more than {_MAX_UPLOAD_BYTES:,} bytes")
    try:
        return path.read_bytes()
    except OSError as error:
        raise RenderingError(f"{str(path)!r} cannot be read: {error.strerror}") from None


# ---- a process of its own for synthesiser and decoders


def _run_child(order: dict, data: bytes, timeout_seconds: float, what: str) -> tuple[dict, np.ndarray]:
    """Have `serve` do one thing in a fresh process; returns its facts and samples [shape=(n, channels)]."""
    head = json.dumps({**order, "timeout_seconds": timeout_seconds}).encode()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from music.rendering import serve; serve()"],
            input=struct.pack(">Q", len(head)) + head + data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_seconds,
            cwd=_ROOT,
            env={**kept, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RenderingError(f"{what} took longer than {timeout_seconds:g} seconds") from None
    except OSError as error:
        raise RenderingError(f"no process for {what} can be started: {error.strerror or error}") from None
    answer = done.stdout
    try:
        (size,) = struct.unpack_from(">Q", answer)
        facts = json.loads(answer[8 : 8 + size])
        if "error" in facts:
            raise RenderingError(str(facts["error"]))
        samples = np.frombuffer(answer, dtype="<f4", offset=8 + size).reshape(-1, facts["channels"])
    except (struct.error, ValueError, KeyError, TypeError):
        raise RenderingError(f"{what} failed: its process ended with status {done.returncode}") from None
    return facts, samples


def serve() -> None:
    """Do one order from standard input (play MIDI, decode a recording) and answer on standard output."""
    import resource
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit = _MAX_CHILD_MB * 2**20
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):  # a lower limit of the system's stands, or it knows none (macOS)
        pass
    (size,) = struct.unpack(">Q", sys.stdin.buffer.read(8))
    order = json.loads(sys.stdin.buffer.read(size))
    signal.alarm(int(order["timeout_seconds"]) + 10)  # also when the parent is gone
    try:
        facts, samples = _WORKS[order["do"]](order, sys.stdin.buffer.read())
    except RenderingError as error:
        facts, samples = {"error": str(error)}, np.zeros((0, 1))
    except MemoryError:
        facts, samples = {"error": "it needs more memory than one piece may use"}, np.zeros((0, 1))
    head = json.dumps(facts).encode()
    answers.write(struct.pack(">Q", len(head)) + head + np.ascontiguousarray(samples, dtype="<f4").tobytes())
    answers.flush()


def _do_play(order: dict, midi: bytes) -> tuple[dict, np.ndarray]:
    import symusic

    synthesizer = symusic.Synthesizer(order["soundfont"], SAMPLE_RATE, 0)
    try:
        samples = np.asarray(synthesizer.render(symusic.Score.from_midi(midi), stereo=True))
    except (RuntimeError, ValueError) as error:
        raise RenderingError(f"symusic cannot play the piece: {error}") from None
    return {"channels": 2}, samples.T


def _do_decode(order: dict, data: bytes) -> tuple[dict, np.ndarray]:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.channels > 2:
                raise RenderingError(f"the recording has {file.channels} channels; one or two are needed")
            if not 4000 <= file.samplerate <= 384_000:
                raise RenderingError(
                    f"the recording has {file.samplerate} samples a second; 4,000-384,000 are read"
                )
            facts = {
                "channels": file.channels,
                "sample_rate": file.samplerate,
                "n_frames": file.frames,
                "format": file.format,
                "decoder": f"libsndfile {soundfile.__libsndfile_version__}",
            }
            start = round(order["start_seconds"] * file.samplerate)
            if start >= file.frames:
                return facts, np.zeros((0, file.channels))
            file.seek(start)
            # A little more than is kept, so that resampling has what follows the cut.
            samples = file.read(
                round((order["seconds"] + 0.1) * file.samplerate), dtype="float32", always_2d=True
            )
    except (soundfile.SoundFileError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).rstrip(".").split(": ")[-1]
        raise RenderingError(
            f"this is no readable recording ({reason}); WAV, FLAC, MP3 and Ogg are read"
        ) from None
    return facts, samples


_WORKS = {"play": _do_play, "decode": _do_decode}
