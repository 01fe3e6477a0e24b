"""The audio that listeners hear: excerpts of pieces, rendered once, kept under names that tell nothing."""

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.facts import facts_of, json_sha256
from studies.catalog.models import Piece, Stimulus
from studies.catalog.naming import free_name
from studies.catalog.seeds import checked_seed
from studies.catalog.selectors import get_piece, pieces_named, score_of
from studies.catalog.services.imports import AUDIO_SUFFIXES, find_pieces
from studies.catalog.storage import copy_file, file_sha256, is_there, within_home, writable_folder

if TYPE_CHECKING:
    from music.rendering import Audio

EXCERPT_SECONDS = 20.0
LONGEST_EXCERPT_SECONDS = 3600.0
FADE_IN_MS = 20
FADE_OUT_MS = 1000
#: Every file has this time of change, so that none tells when, and so in which batch, it was made.
FILE_TIME = 946_684_800  # 2000-01-01 UTC


def render_stimulus(
    *,
    piece: Piece,
    start_seconds: float | None = None,
    seconds: float = EXCERPT_SECONDS,
    fade_in_ms: int = FADE_IN_MS,
    fade_out_ms: int = FADE_OUT_MS,
    engine: str = "auto",
    seed: int = 0,
    pad: bool = False,
) -> Stimulus:
    """The excerpt of a piece as listeners hear it; made once, then the same stimulus again.

    Parameters
    ----------
    start_seconds : float, optional
        Where the excerpt starts, at the nearest bar. Without it, `seed` and the notes of the piece pick one
        of the bars from which the piece is long enough: by rule and not by ear.
    seconds, fade_in_ms, fade_out_ms, engine, pad
        As in `music.rendering.render_excerpt`; a recording is brought to the same form.

    Raises
    ------
    RenderingError
        If the piece is too short, silent, or cannot be played.
    CatalogError
        If its file is gone.
    """
    from music.rendering import CEILING_DBTP, LOUDNESS_LUFS, MP3_KBPS

    source = _Source.of(piece)
    start = source.start(start_seconds, seconds, f"{seed}:{piece.sha256}")
    form = {"seconds": seconds, "fade_in_ms": fade_in_ms, "fade_out_ms": fade_out_ms, "pad": pad}
    recipe = {
        **form,
        **source.engine_facts(engine),
        "piece": str(piece.public_id),
        "file_sha256": source.sha256,
        "start_seconds": round(start, 6),
        "loudness_lufs": LOUDNESS_LUFS,
        "ceiling_dbtp": CEILING_DBTP,
        "mp3_kbps": MP3_KBPS,
    }
    recipe_sha256 = json_sha256(recipe)
    there = Stimulus.objects.filter(recipe_sha256=recipe_sha256).first()
    if there is not None and there.mp3_file.exists() and there.flac_file.exists():
        return there
    audio = source.audio(start_seconds=start, engine=engine, **form)
    # Keyed with the secret of this installation: the same recipe finds its file, and nobody else can.
    name = salted_hmac("earwitness.stimulus", recipe_sha256, algorithm="sha256").hexdigest()[:32]
    flac, mp3 = write_audio(audio, settings.STIMULI_ROOT / name[:2], name)
    columns = {
        "piece": piece,
        "start_seconds": audio.start_seconds,
        "seconds": audio.seconds,
        "engine": audio.engine,
        "facts": {**audio.facts, "recipe": recipe},
        "loudness_lufs": audio.loudness_lufs,
        "true_peak_dbtp": audio.true_peak_dbtp,
        "flac_path": within_home(flac),
        "flac_sha256": file_sha256(flac),
        "mp3_path": within_home(mp3),
        "mp3_sha256": file_sha256(mp3),
        "mp3_bytes": mp3.stat().st_size,
    }
    if there is not None:  # its files were deleted: they are back
        return there
    try:
        with transaction.atomic():
            return Stimulus.objects.create(recipe_sha256=recipe_sha256, **columns)
    except IntegrityError:  # another process made the same one
        return Stimulus.objects.get(recipe_sha256=recipe_sha256)


def render_sources(
    *,
    sources: Sequence[str | Path],
    out: str | Path,
    start_seconds: float | None = None,
    seconds: float = EXCERPT_SECONDS,
    fade_out_ms: int = FADE_OUT_MS,
    engine: str = "auto",
    seed: int = 0,
    pad: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Write what listeners would hear, as MP3 and FLAC, into a folder.

    Parameters
    ----------
    sources : sequence of str or Path
        Files and folders of scores and recordings, or names of pieces, generations, models, corpora, imports.

    Returns
    -------
    document : dict
        ``files``: for each piece its ``piece``, ``mp3``, ``flac`` and facts; ``rejected``: what could not be
        rendered, with the reason.

    Raises
    ------
    CatalogError
        If a name is unknown or stands for two things, nothing can be rendered, or `out` cannot be written.
    RenderingError
        If the engine or a length is one that no piece can be rendered with.
    """
    _check_form(start_seconds, seconds, FADE_IN_MS, fade_out_ms, engine)
    checked_seed(seed)
    out = writable_folder(out)
    form = {"seconds": seconds, "fade_out_ms": fade_out_ms, "engine": engine, "seed": seed, "pad": pad}
    work: list[tuple[str, str, Callable[[str], dict[str, Any]]]] = []
    for source in sources:
        for piece in _pieces_or_files(source):
            if isinstance(piece, Piece):
                stem = str(piece).replace("/", "-")
                work.append((str(piece), stem, _from_catalog(piece, out, start_seconds, form)))
            else:
                work.append((str(piece), piece.stem, _from_file(piece, out, start_seconds, form)))
    files, rejected, taken = [], [], set()
    for done, (label, stem, render) in enumerate(work, start=1):
        try:
            stem = free_name(stem, taken)
            files.append({"piece": label, **render(stem)})
            taken.add(stem)
        except (MusicError, CatalogError) as error:
            rejected.append({"piece": label, "reason": " ".join(str(error).split())})
        if progress:
            progress(done, len(work), label)
    if not files:
        first = f"; the first, {rejected[0]['piece']}: {rejected[0]['reason']}" if rejected else ""
        raise CatalogError(f"nothing was rendered of {', '.join(map(str, sources))}{first}")
    return {"path": str(out), "files": files, "rejected": rejected}


def write_audio(audio: "Audio", folder: Path, stem: str) -> tuple[Path, Path]:
    """Write audio as FLAC and as MP3 under one stem; returns both paths."""
    from music.rendering import write_flac, write_mp3

    paths = write_flac(audio, folder / f"{stem}.flac"), write_mp3(audio, folder / f"{stem}.mp3")
    for path in paths:
        os.utime(path, (FILE_TIME, FILE_TIME))
    return paths


def start_of(score: Score, seconds: float, rule: str) -> float:
    """The start of an excerpt in seconds: a bar from which the piece is long enough, drawn by `rule`.

    Only bars in which a note starts are drawn from. A piece that is long enough from none starts at its
    first.
    """
    starts = score.bar_starts()
    sounding = {starts[bisect_right(starts, note.onset) - 1] for note in score.notes()}
    moments = sorted(score.tick_to_seconds(tick) for tick in sounding)
    fitting = [moment for moment in moments if score.duration_seconds - moment >= seconds]
    return Random(rule).choice(fitting) if fitting else min(moments, default=0.0)


class _Source:
    """A score or a recording, as something that can be made to sound."""

    def __init__(
        self, sha256: str, *, score: Score | None = None, recording: Path | None = None, lasts: float = 0.0
    ):
        self.sha256, self.score, self.recording = sha256, score, recording
        self.lasts = lasts  # seconds of a recording

    @classmethod
    def of(cls, piece: Piece) -> "_Source":
        """The source of a piece; CatalogError if its file is gone."""
        if piece.midi_path:
            score = score_of(piece)
            return cls(file_sha256(piece.midi_file), score=score)
        if not piece.audio_file.is_file():
            raise CatalogError(f"the recording of {piece} is gone: {piece.audio_path} in {settings.HOME}")
        return cls(file_sha256(piece.audio_file), recording=piece.audio_file, lasts=piece.seconds)

    def start(self, wanted: float | None, seconds: float, rule: str) -> float:
        """Where the excerpt starts: as wanted, at a bar, or drawn by the rule."""
        from music.rendering import RenderingError, snap_to_bar

        _check_moments(wanted, seconds)
        if self.score is None:
            if wanted is not None:
                return wanted
            spare = int(self.lasts - seconds)
            return float(Random(rule).randint(0, spare)) if spare > 0 else 0.0
        if not self.score.n_notes:
            raise RenderingError("the piece has no notes to play")
        if wanted is None:
            return start_of(self.score, seconds, rule)
        if wanted >= self.score.duration_seconds:
            raise RenderingError(
                f"an excerpt cannot start at second {wanted:g}: "
                f"the piece lasts {self.score.duration_seconds:.1f} seconds"
            )
        return self.score.tick_to_seconds(snap_to_bar(self.score, wanted))

    def engine_facts(self, engine: str) -> dict[str, Any]:
        """What will make the sound, known before it is made."""
        from music.rendering import engine_facts

        return {"engine": "recording"} if self.score is None else engine_facts(engine, settings.SOUNDFONT)

    def audio(self, *, engine: str, **form: Any) -> "Audio":
        """The sound itself."""
        from music.rendering import conform_audio, render_excerpt

        if self.score is None:
            return conform_audio(self.recording, **form)
        return render_excerpt(self.score, engine=engine, soundfont=settings.SOUNDFONT, **form)


def _check_moments(start_seconds: float | None, seconds: float) -> None:
    from music.rendering import RenderingError

    if start_seconds is not None and not 0 <= start_seconds < math.inf:
        raise RenderingError(f"an excerpt starts at a second from 0 on, got {start_seconds:g}")
    if not 1 <= seconds <= LONGEST_EXCERPT_SECONDS:
        raise RenderingError(f"an excerpt lasts 1 to {LONGEST_EXCERPT_SECONDS:g} seconds, got {seconds:g}")


def _check_form(
    start_seconds: float | None, seconds: float, fade_in_ms: int, fade_out_ms: int, engine: str
) -> None:
    """Refuse once, before the first piece, what would be refused for every one.

    Raises
    ------
    RenderingError
        If a value is out of range, or the engine is unknown or missing.
    """
    from music.rendering import RenderingError, engine_facts

    _check_moments(start_seconds, seconds)
    if fade_out_ms < 0 or fade_in_ms + fade_out_ms > seconds * 1000:
        raise RenderingError(
            f"fades of {fade_in_ms} and {fade_out_ms} ms do not fit in an excerpt of {seconds:g} seconds"
        )
    if engine != "auto":  # which takes what there is, and nothing for recordings alone
        engine_facts(engine, settings.SOUNDFONT)


def _pieces_or_files(source: str | Path) -> list[Piece | Path]:
    """What a source stands for: pieces of the catalog by name, or files.

    Raises
    ------
    CatalogError
        If it stands for nothing, or for both.
    """
    name = str(source)
    pieces = pieces_named(name)
    exists = is_there(source)
    if pieces is not None and exists:
        raise CatalogError(f"{name!r} is a name in the catalog and a file here; write ./{name} for the file")
    if pieces is not None:
        return list(pieces)
    if exists:
        files = find_pieces([source])
        if not files:
            raise CatalogError(f"the folder {name!r} holds no MIDI, score or audio file")
        return files
    return [get_piece(name)]


def _from_catalog(piece: Piece, out: Path, start_seconds: float | None, form: dict[str, Any]) -> Callable:
    def render(stem: str) -> dict[str, Any]:
        stimulus = render_stimulus(piece=piece, start_seconds=start_seconds, **form)
        return {
            "mp3": str(copy_file(stimulus.mp3_file, out / f"{stem}.mp3")),
            "flac": str(copy_file(stimulus.flac_file, out / f"{stem}.flac")),
            **{key: value for key, value in stimulus.facts.items() if key != "recipe"},
        }

    return render


def _from_file(path: Path, out: Path, start_seconds: float | None, form: dict[str, Any]) -> Callable:
    def render(stem: str) -> dict[str, Any]:
        from music.isolation import read_score_isolated
        from music.rendering import recording_seconds

        if path.suffix.lower() in AUDIO_SUFFIXES:
            source = _Source(file_sha256(path), recording=path, lasts=recording_seconds(path))
        else:
            score = read_score_isolated(path, fold_pedal=True)
            source = _Source(facts_of(score)["sha256"], score=score)
        start = source.start(start_seconds, form["seconds"], f"{form['seed']}:{source.sha256}")
        audio = source.audio(
            start_seconds=start,
            fade_in_ms=FADE_IN_MS,
            **{key: value for key, value in form.items() if key != "seed"},
        )
        flac, mp3 = write_audio(audio, out, stem)
        return {"mp3": str(mp3), "flac": str(flac), **audio.facts}

    return render
