"""A checkpoint and a seed to pieces of the catalog, each with all that it came from."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from music.midi import read_midi, score_to_midi, write_atomically, write_midi
from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.facts import facts_of
from studies.catalog.memory import enough_memory
from studies.catalog.models import Generation, Origin, Piece, TrainedModel
from studies.catalog.seeds import checked_seed
from studies.catalog.selectors import get_model, score_of
from studies.catalog.storage import only_one, whole_folder, within_home, writable_folder


def generate_pieces(
    *,
    model_name: str,
    count: int,
    bars: int | None = None,
    seed: int = 0,
    temperature: float | None = None,
    argmax: bool = False,
    prime: str | Path | None = None,
    styles: Sequence[str | Path] = (),
    alpha: float | None = None,
    noise_sd: float | None = None,
    overrides: Mapping[str, str] | None = None,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    out: str | Path | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> dict[str, Any]:
    """Let a model write pieces, and add them to the catalog; returns the document of ``generate --json``.

    The same model, seed and settings give the same bytes of MIDI. A run that makes what a generation of the
    catalog holds already adds nothing to the catalog: it writes the same files again and names that
    generation.

    Parameters
    ----------
    argmax : bool
        Always take the likeliest choice.
    prime, styles : path, sequence of paths
        Files of any readable format: the piece to continue, the pieces whose style to take.
    alpha : float, optional
        How much of the style, 0 to 1; by default half.
    overrides : mapping, optional
        Settings of the model to change for this once, as typed.
    threads, workers : int
        Threads of a process, and processes. The number of processes changes no piece and is not kept; that
        of threads may, by rounding, and is.
    out : path, optional
        Where to write the MIDI files besides the data folder.

    Raises
    ------
    CatalogError
        If the model is unknown, a value is out of range, `prime` or one of `styles` cannot be read, or `out`
        cannot be written.
    GeneratorError
        If the family lacks an ability that is asked for.
    """
    _check(count, seed)
    model = get_model(model_name)
    out = writable_folder(out) if out else None
    from generators.generation import ALPHA, generate  # it is slow to import: what can be refused was refused

    prime_score = _read(prime) if prime else None
    style_scores = [_read(path) for path in styles]
    wanted = {
        "task": "generate",
        "bars": bars,
        "temperature": temperature,
        "argmax": argmax or None,
        "noise_sd": noise_sd,
        "prime": _named(prime, prime_score) if prime_score else None,
        "styles": [_named(path, score) for path, score in zip(styles, style_scores, strict=True)],
        "alpha": (ALPHA if alpha is None else alpha) if style_scores else None,
        "overrides": dict(overrides or {}) or None,
        **({"threads": threads} if threads != 1 else {}),
    }
    run = _Run(model, seed, wanted, device)
    with enough_memory("write with these settings"), _named_if_refused(prime=[prime], style=styles):
        scores = generate(
            model.folder,
            count=count,
            bars=bars,
            seed=seed,
            temperature=temperature,
            argmax=argmax,
            prime=prime_score,
            styles=style_scores,
            alpha=alpha,
            noise_sd=noise_sd,
            overrides=overrides,
            device=device,
            threads=threads,
            workers=workers,
            report=progress,
        )
    return run.keep(scores, f"{model.name}-s{seed}", out)


def harmonize_melody(
    *,
    model_name: str,
    melody: str | Path,
    count: int = 1,
    seed: int = 0,
    overrides: Mapping[str, str] | None = None,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    out: str | Path | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> dict[str, Any]:
    """Let a model write harmonies to a melody, as pieces of the catalog; the keys are those of ``generate``.

    Parameters
    ----------
    overrides : mapping, optional
        Settings of the model to change for this once, as typed.
    threads, workers : int
        Threads of a process, and processes. The number of processes changes no piece and is not kept; that
        of threads may, by rounding, and is.

    Raises
    ------
    CatalogError
        If the model is unknown, a value is out of range, the melody cannot be read, or `out` cannot be
        written.
    GeneratorError
        If the family cannot harmonise, or has no such setting.
    """
    _check(count, seed)
    model = get_model(model_name)
    out = writable_folder(out) if out else None
    from generators.generation import harmonize  # it is slow to import: what can be refused was refused

    score = _read(melody)
    wanted = {
        "task": "harmonize",
        "melody": _named(melody, score),
        "overrides": dict(overrides or {}) or None,
        **({"threads": threads} if threads != 1 else {}),
    }
    run = _Run(model, seed, wanted, device)
    with enough_memory("harmonize with these settings"), _named_if_refused(melody=[melody]):
        scores = harmonize(
            model.folder,
            score,
            count=count,
            seed=seed,
            overrides=overrides,
            device=device,
            threads=threads,
            workers=workers,
            report=progress,
        )
    return run.keep(scores, f"{model.name}-harmony-s{seed}", out)


def _check(count: int, seed: int) -> None:
    if count < 1:
        raise CatalogError(f"count must be at least 1, got {count}")
    checked_seed(seed)


def _read(path: str | Path) -> Score:
    """A file that somebody gave, read where a hang or crash hurts nobody."""
    from music.isolation import read_score_isolated

    try:
        return read_score_isolated(Path(path))
    except MusicError as error:
        reason = str(error)
        raise CatalogError(reason if str(path) in reason else f"{path}: {reason}") from error


@contextmanager
def _named_if_refused(**files: Sequence[str | Path | None]) -> Iterator[None]:
    """Say which file it is where generators refuse the prime, a style or the melody that they were given."""
    from generators.errors import GeneratorError

    try:
        yield
    except GeneratorError as error:
        for what, paths in files.items():
            if str(error).startswith(f"the {what} "):
                names = " or ".join(str(path) for path in paths)
                raise CatalogError(f"{names}: {error}") from error
        raise


def _named(path: str | Path, score: Score) -> dict[str, str]:
    """A file as the settings of a generation keep it: by name and notes, wherever it lay."""
    return {"file": Path(path).name, "sha256": facts_of(score)["sha256"]}


class _Run:
    """One run of a model: what it was asked, and keeping what it made."""

    def __init__(self, model: TrainedModel, seed: int, wanted: dict[str, Any], device: str):
        from generators import checkpoint
        from generators.devices import resolve_device

        self.model, self.seed = model, seed
        self.settings = {**wanted, "device": resolve_device(device).type}
        self.config = checkpoint.read_config(model.folder)
        self.checkpoint_sha256 = checkpoint.sha256_of(self.config)
        self.started = time.perf_counter()

    def keep(self, scores: Sequence[Score], stem: str, out: Path | None) -> dict[str, Any]:
        """Write what the run made, and list it unless the catalog has it already."""
        from generators import checkpoint

        seconds = time.perf_counter() - self.started
        if checkpoint.sha256_of(checkpoint.read_config(self.model.folder)) != self.checkpoint_sha256:
            raise CatalogError(f"model {self.model.name!r} was trained on meanwhile; run this again")
        names = [f"{number:03d}" for number in range(1, len(scores) + 1)]
        facts = [facts_of(score) for score in scores]
        texts = [self._origin(name) for name in names]
        with only_one(f"generations-of-{self.model.name}", wait=True):
            generation = self._same_generation(scores)
            is_new = generation is None
            name = _next_name(stem) if is_new else generation.name
            folder = settings.PIECES_ROOT / "generations" / name
            if is_new:
                with whole_folder(folder) as draft:
                    for score, each, text in zip(scores, names, texts, strict=True):
                        write_midi(score, draft / f"{each}.mid", text=text)
                self._list(name, seconds, folder, dict(zip(names, facts, strict=True)))
            for score, each, text in zip(scores, names, texts, strict=True):
                if not (folder / f"{each}.mid").exists():  # somebody deleted it: it comes back as it was
                    write_midi(score, folder / f"{each}.mid", text=text)
        files = [folder / f"{each}.mid" for each in names]
        if out:
            files = [write_atomically(out / f"{name}-{file.name}", file.read_bytes()) for file in files]
        pieces = [
            {
                "piece": f"{name}/{each}",
                "file": str(file),
                "notes": fact["n_notes"],
                "seconds": fact["seconds"],
            }
            for each, file, fact in zip(names, files, facts, strict=True)
        ]
        return {
            "generation": name,
            "model": self.model.name,
            "seed": self.seed,
            "seconds": round(seconds, 3),
            "is_new": is_new,
            "checkpoint_sha256": self.checkpoint_sha256,
            "path": str(out or folder),
            "identical": _n_identical(facts),
            "pieces": pieces,
        }

    def _origin(self, piece: str) -> str:
        """Where a piece came from, as the text in its MIDI file: JSON, the same for the same run."""
        origin = {
            "earwitness": self.config["code_version"].partition("+")[0],
            "model": self.model.name,
            "family": self.config["family"],
            "checkpoint_sha256": self.checkpoint_sha256,
            "corpus": self.config["corpus"],
            "seed": self.seed,
            "piece": piece,
            "settings": {key: value for key, value in self.settings.items() if value not in (None, [])},
        }
        return json.dumps(origin, sort_keys=True)

    def _same_generation(self, scores: Sequence[Score]) -> Generation | None:
        """The generation that the same run made before, if its pieces are the same to the last note."""
        candidates = Generation.objects.filter(
            model=self.model, checkpoint_sha256=self.checkpoint_sha256, seed=self.seed
        )
        for generation in candidates.prefetch_related("pieces"):
            pieces = generation.pieces.all()
            if generation.settings == self.settings and len(pieces) == len(scores):
                pairs = zip(pieces, scores, strict=True)
                if all(_holds(piece, score) for piece, score in pairs):
                    return generation
        return None

    @transaction.atomic
    def _list(self, name: str, seconds: float, folder: Path, facts: dict[str, dict[str, Any]]) -> None:
        """Make the rows of a generation and its pieces."""
        from generators import checkpoint

        generation = Generation.objects.create(
            name=name,
            model=self.model,
            seed=self.seed,
            settings=self.settings,
            checkpoint_sha256=self.checkpoint_sha256,
            code_version=checkpoint.code_version(),
            seconds=seconds,
        )
        Piece.objects.bulk_create(
            Piece(
                name=each,
                origin=Origin.GENERATION,
                generation=generation,
                seed=self.seed,
                midi_path=within_home(folder / f"{each}.mid"),
                **fact,
            )
            for each, fact in facts.items()
        )


def _n_identical(facts: Sequence[dict[str, Any]]) -> int:
    """How many pieces are, note for note, one before them; pieces without notes are not counted."""
    hashes = [each["sha256"] for each in facts if each["n_notes"]]
    return len(hashes) - len(set(hashes))


def _next_name(stem: str) -> str:
    """The stem with the next free number."""
    numbered = re.compile(re.escape(stem) + r"-(\d+)")
    taken = Generation.objects.filter(name__startswith=f"{stem}-").values_list("name", flat=True)
    numbers = [int(match[1]) for name in taken if (match := numbered.fullmatch(name))]
    return f"{stem}-{max(numbers, default=0) + 1}"


def _holds(piece: Piece, score: Score) -> bool:
    """Whether a piece of the catalog is this score; by its hash alone if its file is gone."""
    if piece.midi_file.exists():
        return score_of(piece) == read_midi(score_to_midi(score))
    return piece.sha256 == facts_of(score)["sha256"]
