"""A checkpoint and a seed to Scores.

Piece number i of a seed has a random generator of its own, made from the seed and i. Pieces are computed in
batches of a size fixed by the family, the last one filled up with pieces that nobody asked for. A row of a
matrix product is rounded by how many rows there are, and one rounding can turn a note; so a batch always has
as many rows, and piece i is always the same row of the same batch. Neither the number of pieces nor the
number of worker processes, which share out whole batches, can then change a piece.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from generators import checkpoint
from generators.devices import checked_threads, resolve_device, threads_of
from generators.errors import GeneratorError
from generators.family import ABILITIES, Family, Request
from generators.seeds import derive_seed
from generators.settings import check_temperature, training_only
from generators.workers import spread
from music.score import Meter, Score, Tempo

MOST_PIECES = 100_000
MOST_BARS = 10_000
MOST_WORKERS = 256
MOST_NOISE_SD = 1000  # as among the settings of the families
ALPHA = 0.5  # how much of the style, where nobody says


def generate(
    folder: Path | str,
    *,
    count: int,
    bars: int | None = None,
    seed: int = 0,
    temperature: float | None = None,
    argmax: bool = False,
    prime: Score | None = None,
    styles: Sequence[Score] = (),
    alpha: float | None = None,
    noise_sd: float | None = None,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    overrides: Mapping[str, str] | None = None,
    report: Callable[[float, int], None] | None = None,
) -> list[Score]:
    """Write pieces with a trained model; the same arguments give the same pieces.

    Parameters
    ----------
    folder : Path or str
        A checkpoint.
    count, bars : int
        How many pieces of how many bars; without `bars`, of the length that is natural to the family. They
        have the tempo and meter of the training corpus.
    seed : int
        Piece i depends on the seed and on i, not on `count`.
    temperature : float, optional
        `settings.LEAST_TEMPERATURE` to `settings.MOST_TEMPERATURE`; small values make safe choices. Without
        it, that of the model's settings.
    argmax : bool
        Always the likeliest choice, which has no temperature.
    prime : Score, optional
        A piece to continue; it is not a part of what is written.
    styles, alpha, noise_sd
        Pieces in whose style to write, how much of it (0 to 1, `ALPHA` by default), and the standard
        deviation of noise on latent vectors.
    overrides : Mapping[str, str], optional
        Settings of the model to change for this once, as typed, such as ``{"threshold": "0.4"}``.
    device : str
        As `devices.resolve_device` takes it.
    threads : int
        Threads on a CPU; two may round otherwise than one, and so write another piece.
    workers : int
        Processes that write batches side by side; the pieces are the same whatever their number.
    report : callable, optional
        Called with the pieces done and the pieces in all: with 0 at the start, after each batch, and where
        the family tells, at each hundredth of a batch, with a fraction of pieces.

    Raises
    ------
    GeneratorError
        If the checkpoint is missing or damaged, a value is out of range, or the family lacks an ability.
    """
    _check_run(count, seed, threads, workers)
    if bars is not None and not 1 <= bars <= MOST_BARS:
        raise GeneratorError(f"bars must be 1 to {MOST_BARS}, got {bars}")
    if temperature is not None:
        _check_temperature(temperature)
    if alpha is not None and not 0 <= alpha <= 1:
        raise GeneratorError(f"alpha must be 0 to 1, got {alpha}")
    if noise_sd is not None and not 0 <= noise_sd <= MOST_NOISE_SD:
        raise GeneratorError(f"noise_sd must be 0 to {MOST_NOISE_SD}, got {noise_sd}")
    target = resolve_device(device)
    stored = checkpoint.load(folder, device=str(target), overrides=overrides)
    asked = {
        "generate": True,
        "temperature": temperature is not None,
        "argmax": argmax,
        "prime": prime is not None,
        "styles": bool(styles) or alpha is not None,
        "noise": noise_sd is not None,
    }
    for ability, is_asked in asked.items():
        if is_asked:
            _require(stored.config["family"], stored.family, ability)
    _refuse_training_only(stored, overrides or {})
    if argmax and temperature is not None:
        raise GeneratorError(
            "argmax takes the likeliest choice at any temperature: leave out argmax or the temperature of "
            f"{temperature}"
        )
    if alpha is not None and not styles:
        raise GeneratorError(
            f"alpha is how much of a style to take, and none is given: give one, or leave out alpha {alpha}"
        )
    if prime is not None:
        _check_prime(prime, stored)
    meter = Meter(0, *stored.config["music"]["meter"])
    request = Request(
        n_bars=bars or max(1, round(stored.family.natural_beats / meter.beats_per_bar)),
        tempo=Tempo(0, stored.config["music"]["microseconds_per_beat"]),
        meter=meter,
        temperature=temperature,
        argmax=argmax,
        prime=prime,
        styles=tuple(styles),
        alpha=ALPHA if alpha is None else alpha,
        noise_sd=noise_sd,
    )
    writer = Writer(str(folder), request, seed, str(target), threads, dict(overrides or {}))
    return _write(writer, stored, stored.family.pieces_at_once, count, workers, report)


def harmonize(
    folder: Path | str,
    melody: Score,
    *,
    count: int = 1,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    overrides: Mapping[str, str] | None = None,
    report: Callable[[float, int], None] | None = None,
) -> list[Score]:
    """Write accompaniments to a melody, which stays as it is; the same arguments give the same pieces.

    The melody of a score with more voices is that of `music.melody.melody_of`: the track named so, else the
    highest if it is monophonic, else the top line. The results have the tempo, meter and length of the score,
    the melody in the first track, note for note, and what was written in the second.

    Raises
    ------
    GeneratorError
        If the checkpoint is missing or damaged, the family cannot harmonise, or the melody holds no notes.
    """
    _check_run(count, seed, threads, workers)
    if not any(True for _ in melody.notes(drums=False)):
        raise GeneratorError("the melody holds no notes besides drums: there is nothing to harmonise")
    target = resolve_device(device)
    stored = checkpoint.load(folder, device=str(target), overrides=overrides)
    _require(stored.config["family"], stored.family, "harmonize")
    _refuse_training_only(stored, overrides or {})
    writer = Writer(str(folder), melody, seed, str(target), threads, dict(overrides or {}))
    return _write(writer, stored, 1, count, workers, report)


def piece_rng(seed: int, index: int) -> torch.Generator:
    """The random generator of piece number `index` of a seed."""
    return torch.Generator().manual_seed(derive_seed(seed, "piece", index))


#: From the numbers of some pieces to the pieces; the share that is done is told on the way.
Write = Callable[[range, Callable[[float], None]], list[Score]]


@dataclass(frozen=True)
class Writer:
    """All that a process needs to write pieces of a run."""

    folder: str  # of the checkpoint
    task: Request | Score  # pieces as requested, or accompaniments to this melody
    seed: int
    device: str
    threads: int = 1
    overrides: Mapping[str, str] = field(default_factory=dict)

    def begin(self) -> Write:
        """Load the model; gives the function that writes with it."""
        return self.write_with(checkpoint.load(self.folder, device=self.device, overrides=self.overrides))

    def write_with(self, stored: checkpoint.Checkpoint) -> Write:
        """The same with a model that is loaded."""

        def write(numbers: range, tell: Callable[[float], None]) -> list[Score]:
            rngs = [piece_rng(self.seed, number) for number in numbers]
            report = _Hundredths(tell)
            with threads_of(torch.device(self.device), self.threads):
                if isinstance(self.task, Score):
                    return stored.model.harmonize(self.task, rngs, report)
                return stored.model.generate(rngs, replace(self.task, report=report))

        return write


def _write(
    writer: Writer,
    stored: checkpoint.Checkpoint,
    size: int,
    count: int,
    workers: int,
    report: Callable[[float, int], None] | None,
) -> list[Score]:
    batches = [range(first, first + size) for first in range(0, count, size)]
    written: list[list[Score]] = [[] for _ in batches]
    tally = Tally(count, size, report or (lambda done, total: None))
    for number, pieces in _batches_of(writer, stored, batches, workers, tally.note):
        written[number] = pieces
        tally.finish(number)
    return [piece for pieces in written for piece in pieces][:count]


def _batches_of(
    writer: Writer,
    stored: checkpoint.Checkpoint,
    batches: Sequence[range],
    workers: int,
    note: Callable[[int, float], None],
) -> Iterator[tuple[int, list[Score]]]:
    if workers > 1 and len(batches) > 1:
        yield from spread(writer.begin, batches, workers, note)
        return
    write = writer.write_with(stored)
    for number, batch in enumerate(batches):
        yield number, write(batch, functools.partial(note, number))


class Tally:
    """How many of the pieces that are asked for are done, parts of batches included; told at each change."""

    def __init__(self, count: int, size: int, tell: Callable[[float, int], None]):
        self.count, self.size, self.tell = count, size, tell
        self.done = 0
        self.begun: dict[int, float] = {}  # batches at work: how many pieces' worth is done
        tell(0, count)

    def note(self, number: int, share: float) -> None:
        """A share of a batch is done."""
        self.begun[number] = share * self._wanted(number)
        self.tell(self.done + sum(self.begun.values()), self.count)

    def finish(self, number: int) -> None:
        """A batch is done."""
        self.begun.pop(number, None)
        self.done += self._wanted(number)
        self.tell(self.done + sum(self.begun.values()), self.count)

    def _wanted(self, number: int) -> int:
        """The pieces of a batch that are asked for."""
        return min(self.size, self.count - number * self.size)


class _Hundredths:
    """Passes on the shares of a batch that are told, at most one in each hundredth; the end is not for it."""

    def __init__(self, tell: Callable[[float], None]):
        self.tell, self.told = tell, 0.0

    def __call__(self, share: float) -> None:
        if self.told + 0.01 <= share < 1:
            self.told = share
            self.tell(share)


def _check_run(count: int, seed: int, threads: int, workers: int) -> None:
    if not 1 <= count <= MOST_PIECES:
        raise GeneratorError(f"count must be 1 to {MOST_PIECES}, got {count}")
    if not isinstance(seed, int):
        raise GeneratorError(f"seed must be a whole number, got {seed!r}")
    checked_threads(threads)
    if not 1 <= workers <= MOST_WORKERS:
        raise GeneratorError(f"workers must be 1 to {MOST_WORKERS}, got {workers}")


def _check_temperature(temperature: float) -> None:
    try:
        check_temperature(temperature)
    except ValueError as error:
        raise GeneratorError(str(error)) from None


def _refuse_training_only(stored: checkpoint.Checkpoint, overrides: Mapping[str, str]) -> None:
    if useless := training_only(stored.model.config, overrides):
        raise GeneratorError(
            f"{' and '.join(useless)} concern{'s' if len(useless) == 1 else ''} training alone and would "
            "change nothing here: leave out "
            f"{' '.join(f'--set {key}' for key in useless)}, or train with it"
        )


def _check_prime(prime: Score, stored: checkpoint.Checkpoint) -> None:
    if not prime.n_notes:
        raise GeneratorError("the prime holds no notes: there is nothing to continue")
    plays_drums = getattr(stored.model.config, "drums", stored.family.drums)
    if not plays_drums and not any(True for _ in prime.notes(drums=False)):
        raise GeneratorError(
            f"the prime holds no notes besides drums, which this {stored.family.title} does not play: there "
            "is nothing to continue"
        )


def _require(name: str, family: Family, ability: str) -> None:
    if ability not in family.abilities:
        raise GeneratorError(
            f"{name} lacks the ability {ability!r} ({ABILITIES[ability]}); "
            f"it has {', '.join(family.abilities)}"
        )
