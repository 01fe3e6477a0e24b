"""Training a family on a corpus, and keeping the model's row true to its checkpoint."""

import errno
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import OperationalError

from studies.catalog.errors import CatalogError
from studies.catalog.memory import enough_memory
from studies.catalog.models import Corpus, TrainedModel
from studies.catalog.naming import checked_name, shown, unknown_name
from studies.catalog.seeds import LARGEST_SEED, checked_seed
from studies.catalog.selectors import get_corpus
from studies.catalog.storage import only_one

if TYPE_CHECKING:
    from generators.training import Progress

FULL = (errno.ENOSPC, errno.EDQUOT)
ROW_SECONDS = 30.0  # as often as the checkpoint, so that a kill leaves both of one age


def train_model(
    *,
    family: str,
    corpus_name: str,
    preset: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    early_stopping: int | str | None = None,
    overrides: Mapping[str, str] | None = None,
    resume: bool = False,
    origin: str | None = None,
    keep_every: int | None = None,
    sample_every: int | str | None = None,
    gradients_every: int | None = None,
    report: "Callable[[Progress], None] | None" = None,
    on_stop: "Callable[[], None] | None" = None,
) -> dict[str, Any] | None:
    """Train a model, or continue one, and list it in the catalog; returns the document of ``train --json``.

    Most arguments are those of `generators.training.train`; `origin` is the name of a model to go on from,
    as ``MODEL`` or, from one of its kept checkpoints, ``MODEL@UPDATE``. Where `torchrun` started several
    processes, the first does all that is said here, and the others only help: they return None.

    The checkpoint in ``models/<name>/`` is the truth, and the row follows it: a run that was killed is listed
    with the updates of its last checkpoint. A model is never overwritten. A resumed run keeps the preset,
    seed and settings that it was started with.

    Raises
    ------
    CatalogError
        If the corpus is unknown, the seed out of range, the memory too small, a model of this name exists and
        is not to be resumed, or none exists that could be.
    GeneratorError
        If a family, preset, setting or limit is wrong, or training breaks down.
    """
    from generators import checkpoint
    from generators.ranks import process_rank
    from generators.registry import get_family
    from music.corpus import open_corpus

    if seed is not None:
        checked_seed(seed)
    if resume and origin:
        raise CatalogError("a run is either continued (--resume) or started --from another model, not both")
    name = checked_name("model", f"{family}-{corpus_name}" if name is None else name)
    folder = settings.MODELS_ROOT / name
    if resume and not folder.is_dir():  # a run that was killed before its first checkpoint left a folder
        known = TrainedModel.objects.values_list("name", flat=True)
        advice = "without --resume, this trains a new one"
        raise unknown_name("model", name, known, advice, purpose=" to continue")
    corpus = get_corpus(corpus_name)
    origin_folder = _origin_folder(origin) if origin else None
    get_family(family)
    from generators.training import Origin, train  # it is slow to import: what can be refused was refused

    def learn(report: "Callable[[Progress], None] | None") -> Any:
        return train(
            family,
            open_corpus(corpus.folder),
            folder,
            preset=preset,
            seed=seed,
            updates=updates,
            minutes=minutes,
            device=device,
            precision=precision,
            threads=threads,
            early_stopping=early_stopping,
            overrides=overrides,
            resume=resume,
            origin=Origin(origin, origin_folder) if origin else None,
            keep_every=keep_every,
            sample_every=sample_every,
            gradients_every=gradients_every,
            report=report,
            on_stop=None if process_rank() else on_stop,
        )

    if process_rank():
        learn(None)
        return None
    with only_one(f"model-{name}"):
        if checkpoint.exists(folder):
            _refuse_if_not_to_be_continued(folder, name, family, preset, resume)
        row = _RowKeeper(name, corpus, folder)
        is_new = not folder.is_dir()  # a folder without a checkpoint tells what was asked of a run

        def keep_row_and_report(progress: "Progress") -> None:
            row.maybe_write()
            if report is not None:
                report(progress)

        try:
            with enough_memory("train with these settings"):
                result = learn(keep_row_and_report)
        except BaseException as error:
            if row.has_begun:
                row.write()
            elif is_new and not checkpoint.exists(folder):
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in FULL:
                raise CatalogError(_no_room(folder, error)) from error
            raise
        model = row.write(is_finished=result.stopped != "interrupted")
    return {
        "model": name,
        "corpus": corpus.name,
        **result.to_json(),
        "preset": model.preset,
        "seed": model.seed,
        "checkpoint_sha256": model.checkpoint_sha256,
    }


def _no_room(folder: Path, error: OSError) -> str:
    """What a disk that became full means for the model in a folder."""
    from generators import checkpoint

    what = f"{error.filename or folder}: {error.strerror}"
    if not checkpoint.exists(folder):
        return f"{what}; nothing was saved yet"
    updates = checkpoint.read_config(folder).get("updates", 0)
    return f"{what}; the checkpoint of {updates:,} updates in {folder} is good: make room, then use --resume"


def _origin_folder(origin: str) -> Path:
    """Where the checkpoint of ``MODEL`` or ``MODEL@UPDATE`` lies."""
    from generators import checkpoint

    name, sign, update = origin.partition("@")
    folder = settings.MODELS_ROOT / checked_name("model", name)
    if not checkpoint.exists(folder):
        known = TrainedModel.objects.values_list("name", flat=True)
        raise unknown_name("model", name, known, "train one first", purpose=" to go on from")
    if not sign:
        return folder
    last = checkpoint.read_config(folder).get("updates")
    if update == str(last):
        return folder
    kept = sorted(int(path.name) for path in (folder / "kept").glob("[0-9]*") if checkpoint.exists(path))
    if not update.isdecimal() or int(update) not in kept:
        there = ", ".join(str(number) for number in dict.fromkeys([*kept[-20:], last]))
        raise CatalogError(
            f"model {name!r} has no checkpoint of update {shown(update)!r}; it has those of {there} "
            "(train --keep-every N keeps more)"
        )
    return folder / "kept" / f"{int(update):06d}"


def _refuse_if_not_to_be_continued(
    folder: Path, name: str, family: str, preset: str | None, resume: bool
) -> None:
    from generators import checkpoint

    config = checkpoint.read_config(folder)
    if not 0 <= config.get("seed", 0) <= LARGEST_SEED:
        raise CatalogError(
            f"{folder} holds a model with seed {config['seed']}, which the catalog cannot list; "
            "delete that folder to use the name again"
        )
    what = f"{config['family']}, preset {config.get('preset')}, {config.get('updates', 0):,} updates"
    if not resume:
        raise CatalogError(
            f"there is a model named {name!r} already ({what}); continue it with --resume, "
            "or give the new one another --name"
        )
    if config["family"] != family:
        raise CatalogError(f"{name!r} is a model of {config['family']}; it cannot go on as {family}")
    if preset is not None and config.get("preset") != preset:
        raise CatalogError(f"{name!r} has preset {config.get('preset')!r}; it cannot go on as {preset!r}")


class _RowKeeper:
    """Keeps the row of a model true to the checkpoint in its folder."""

    def __init__(self, name: str, corpus: Corpus, folder: Path):
        self.name, self.corpus, self.folder = name, corpus, folder
        self.tried: float | None = None  # when it was last to be written, by the clock

    @property
    def has_begun(self) -> bool:
        """Whether training has come so far that there is something to list."""
        return self.tried is not None

    def maybe_write(self) -> None:
        """Write the row if it is older than a checkpoint may be; a busy database may wait for it."""
        if self.tried is None or time.monotonic() - self.tried >= ROW_SECONDS:
            self.tried = time.monotonic()
            with suppress(OperationalError):
                self.write()

    def write(self, *, is_finished: bool = False) -> TrainedModel:
        """Write the row as the checkpoint says."""
        from generators import checkpoint

        config = checkpoint.read_config(self.folder)
        facts = {
            "family": config["family"],
            "preset": config["preset"],
            "corpus": self.corpus,
            "corpus_sha256": config["corpus"]["sha256"],
            "seed": config["seed"],
            "settings": config["config"],
            "updates": config["updates"],
            "seconds": config["seconds"],
            "device": config["device"],
            "n_parameters": config["parameters"],
            "train_loss": config["losses"]["train"],
            "validation_loss": config["losses"]["validation"],
            "is_finished": is_finished,
            "checkpoint_sha256": checkpoint.sha256_of(config),
            "code_version": config["code_version"],
        }
        model, _ = TrainedModel.objects.update_or_create(name=self.name, defaults=facts)
        return model
