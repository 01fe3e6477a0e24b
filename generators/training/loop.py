"""The loop: updates of any family, stage after stage, until the plan, a limit or a signal ends them."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from generators import checkpoint
from generators.devices import random_state_kept, resolve_device, resolve_precision, threads_of
from generators.errors import GeneratorError
from generators.ranks import process_rank
from generators.seeds import derive_seed
from generators.training import distributed, wishes
from generators.training.distributed import Group
from generators.training.evaluation import (
    evaluate,
    evaluation_is_due,
    note_validation,
    prepare_data,
    restore_the_best,
)
from generators.training.gradients import GradientRecord
from generators.training.log import last_update, log_end, log_event, log_is_due, log_updates
from generators.training.optimizers import make_optimizers, set_learning_rates
from generators.training.plan import (
    check_finite,
    check_limits,
    epoch_order,
    finish_epoch,
    n_batches,
    reason_to_stop,
    set_deadline,
    stage_is_over,
    start_patience,
)
from generators.training.progress import Progress, Reporter
from generators.training.run import CHECKPOINT_SECONDS, Run, Sums, TrainingResult
from generators.training.samples import TENTHS, maybe_write_samples
from generators.training.saving import KEPT, Origin, Wishes, begin, branch, save
from generators.training.saving import resume as resume_run
from generators.training.stopping import Stop, stop_signal

if TYPE_CHECKING:
    from generators.corpus import EncodedCorpus
    from generators.family import Optimizer, Stage
    from music.corpus import Corpus


def train(
    family: str,
    corpus: Corpus | EncodedCorpus,
    folder: Path | str,
    *,
    preset: str | None = None,
    seed: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    early_stopping: int | str | None = None,
    overrides: Mapping[str, str] | None = None,
    resume: bool = False,
    origin: Origin | None = None,
    keep_every: int | None = None,
    sample_every: int | str | None = None,
    gradients_every: int | None = None,
    report: Callable[[Progress], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    clock: Callable[[], float] | None = None,
) -> TrainingResult:
    """Train a family on the train split of a corpus, into a checkpoint folder.

    Ctrl-C and SIGTERM end training after the update at hand, with a checkpoint; so do the limits. A run that
    is cut short and resumed is, on a CPU, bit for bit the run that was left alone. Started by `torchrun`,
    several processes train one model together, each on its share of every batch.

    Parameters
    ----------
    family : str
        A name of `family_names`.
    corpus : Corpus or EncodedCorpus
        Uses its ``name``, ``sha256`` and ``scores("train")``, ``scores("validation")``.
    preset : str, optional
        Settings to start from, "tiny" by default. A run that goes on has its preset, seed (0 by default) and
        settings from the checkpoint.
    updates, minutes : int, float, optional
        Limits on the whole training of the model, earlier runs included. A run with fewer updates is a
        beginning of one with more. Where the minutes do not suffice for all stages, each gets its share of
        them. A resumed run without limits has those it was started with.
    precision : str
        "fp32", "bf16" for matrix products in bfloat16, or "auto": bf16 on a GPU, fp32 on a CPU.
    threads : int, optional
        Threads on a CPU, 1 by default; the model of two threads is another than that of one, if only by
        rounding.
    early_stopping : int or "off", optional
        Ends a stage after so many evaluations (one an epoch, but after 10 to 250 updates, if the family does
        not say when) without a lower validation loss, or never for that; without it as the family says.
    overrides : Mapping[str, str], optional
        Settings as typed, such as ``{"batch_size": "1"}``.
    resume : bool
        Continue the checkpoint in the folder; without one, start, as was asked of a run that was killed
        before its first.
    origin : Origin, optional
        Go on from this checkpoint of another model instead of from nothing: at its place in the plan on the
        same corpus, whatever setting is changed that leaves the shapes of weights alone; from the start of
        the plan on another corpus.
    keep_every : int, optional
        Keep a copy of the checkpoint under ``kept/`` after each so many updates; 0 never, which is usual.
    sample_every : int or "tenths", optional
        Write samples under ``samples/`` after each so many updates, or at each tenth of the plan; 0 never,
        which is usual.
    gradients_every : int, optional
        Record gradients of some entries after each so many updates, 25 by default; 0 never.
    report : callable, optional
        Called with a `Progress` a few times a second.
    on_stop : callable, optional
        Called at once, in a thread of its own, when a signal comes; the end takes as long as an update and
        a checkpoint.
    clock : callable, optional
        What tells the seconds that limits and schedules go by, `time.perf_counter` by default;
        `time.process_time` counts those of the processor, whatever else runs.

    Raises
    ------
    GeneratorError
        If a name, setting or limit is wrong, the corpus holds no window to learn from or is not the one of
        the checkpoint, the folder holds a model already, another process is training it, or the loss is no
        number.
    """
    clock = clock or time.perf_counter
    started = clock()
    folder = Path(folder)
    _check(updates, minutes, seed, early_stopping, keep_every, sample_every, gradients_every)
    target = resolve_device(device)
    goes_on = resume and checkpoint.exists(folder)
    if goes_on and origin:
        raise GeneratorError(
            f"{folder} holds a model already: resume it, or go on from another one, not both"
        )
    was_to_begin = resume and not goes_on and (folder / wishes.FILE).exists()
    if threads is None and goes_on:
        threads = checkpoint.read_config(folder).get("threads", 1)
    is_as_before = precision == "auto" and (goes_on or origin or was_to_begin)
    limits = {"updates": updates, "minutes": minutes}
    asked = Wishes(
        preset=preset,
        seed=seed,
        overrides=overrides,
        limits=limits if updates or minutes else None,
        precision=None if is_as_before else resolve_precision(precision, target),
        early_stopping=early_stopping,
        watching={
            "keep_every": keep_every,
            "sample_every": sample_every,
            "gradients_every": gradients_every,
        },
    )
    if was_to_begin:
        asked, origin, threads = wishes.recall(folder, family, corpus.sha256, asked, origin, threads)
    with (
        _only_trainer_of(folder),
        random_state_kept(target),
        threads_of(target, 1 if threads is None else threads),
        distributed.joined(target) as group,
        stop_signal(on_stop) as stop,
    ):
        if not process_rank() and not checkpoint.exists(folder):
            wishes.keep(folder, family, corpus.sha256, asked, origin, threads)
        if goes_on:
            run = resume_run(folder, family, corpus, target, asked)
        elif checkpoint.exists(folder):
            raise GeneratorError(f"{folder} holds a model already: resume it or choose another name")
        elif origin:
            run = branch(folder, family, corpus, target, asked, origin)
        else:
            run = begin(folder, family, corpus, target, asked)
        run.group = group
        run.tick, run.clock_offset = clock, run.place.seconds - started
        run.checkpoint_seconds = checkpoint_seconds
        run.report = report or (lambda progress: None)
        if origin and run.place.updates:
            log_event(run, "origin", **run.facts["origin"])
        updates_before = run.place.updates
        stopped = fit(run, stop)
    return TrainingResult(
        family=run.family_name,
        folder=folder,
        updates=run.place.updates,
        seconds=run.place.seconds,
        device=str(target),
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        figures=run.place.figures,
        stopped=stopped,
        precision=run.facts["precision"],
        new_updates=run.place.updates - updates_before,
        weights_update=run.place.weights_update or run.place.updates,
        early_stops=run.place.early_stops,
    )


def fit(run: Run, stop: Stop) -> str:
    """Train to the end of the plan, a limit, or a signal; returns which, as in `TrainingResult.stopped`.

    Each loss that the model yields is one update of the part it names.
    """
    place = run.place
    run.stop = stop
    reporter = Reporter(run)
    run.tell = reporter.report
    _start_together(run)
    save(run)
    if run.group.is_first:
        wishes.forget(run.folder)
    saved = run.clock()
    run.model.train()
    while run.stages and not place.is_finished:
        stage = _enter_stage(run)
        order = epoch_order(run)
        over, reason = _round_off(run)
        while not over:
            if reason:
                return _end(run, reason)
            windows = order[place.batch * stage.batch_size : (place.batch + 1) * stage.batch_size]
            update(run, stage, windows)
            place.batch += 1
            place.stage_updates += 1
            place.updates += 1
            if place.batch == n_batches(run, stage):
                finish_epoch(run)
                order = epoch_order(run)
            place.is_rounded_off = False
            over, reason = _round_off(run)
            if run.clock() - saved >= run.checkpoint_seconds:
                save(run)
                saved = run.clock()
            reporter.maybe_report()
        _leave_stage(run)
    if not place.figures:
        save(run)
        if (figures := evaluate(run)) is None:
            return _end(run, "interrupted")
        place.figures = figures
    place.is_finished = True
    return _end(run, "finished")


def _round_off(run: Run) -> tuple[bool, str | None]:
    """Evaluate, log, keep and write samples, as far as due after the last update.

    Returns whether the stage is over, and a reason to end the run. A signal breaks an evaluation off: then a
    run that goes on from here evaluates first.
    """
    place = run.place
    over, reason = run.group.agree((stage_is_over(run), reason_to_stop(run, run.stop)))
    if place.is_rounded_off:
        return over, reason
    if evaluated := over or evaluation_is_due(run):
        if (figures := evaluate(run)) is None:
            place.unlogged = place.unlogged or last_update(run)
            return False, "interrupted"
        place.figures, place.figures_update = figures, place.updates
        note_validation(run)
        over = over or place.is_stopped_early
    if evaluated or log_is_due(run):
        log_updates(run, evaluated=evaluated)
    place.is_rounded_off = True
    _maybe_keep(run)
    maybe_write_samples(run)
    return over, reason


def _end(run: Run, reason: str) -> str:
    """Leave the checkpoint, the log and the last report as the run ends; what was learned is saved first."""
    place = run.place
    check_finite(run, run.sums.means())
    save(run, is_end=True)
    is_measured = reason in ("interrupted", "finished") or place.figures_update == place.updates
    if not is_measured and (figures := evaluate(run)) is not None:
        place.figures, place.figures_update = figures, place.updates
        save(run, is_end=True)
    log_end(run, reason)
    run.tell()
    run.group.wait()
    return reason


def update(run: Run, stage: Stage, windows: Tensor) -> None:
    """Let every part of the model that yields a loss learn from one batch of windows."""
    group = run.group if stage.optimizers else Group()  # where it only counts, each process counts all
    windows, share = group.share_of(windows)
    weight = float(share > 0) if stage.summed else share
    if not group.is_first:  # the first alone has the random state of the checkpoint
        torch.manual_seed(derive_seed(run.seed, "training", group.rank, run.place.updates))
    set_learning_rates(run, stage)
    every = run.watching["gradients_every"]
    if is_recorded := run.gradients is not None and every and run.place.updates % every == 0:
        run.gradients.begin(run.place.updates)
    run.gradient_norms = {}
    losses = run.model.losses(run.data.train.batch(windows), stage.name)
    with group.moving_together(run.model, share):
        while True:
            with run.autocast():
                part, loss = next(losses, (None, None))
            part, is_everywhere = group.next_part(part, list(run.parts))
            if part is None:
                return
            optimizer, rule = run.optimizers[part], stage.optimizers[part]
            optimizer.zero_grad(set_to_none=True)
            if loss is None:  # other processes have more: this one goes along, without any weight
                loss, weight = torch.zeros((), device=run.device), 0.0
            else:
                loss.backward()
            parameters = list(run.parts[part].parameters())
            if not is_everywhere:
                group.complete(parameters)
            loss = group.combine(parameters, loss.detach(), weight)
            if is_recorded:
                run.gradients.note(parameters)
            run.gradient_norms[part] = _clip(parameters, rule)
            optimizer.step()
            run.sums.add(part, loss)
            run.epoch_sums.add(part, loss)


def _clip(parameters: Sequence[nn.Parameter], rule: Optimizer) -> Tensor | None:
    """Shorten gradients by the rule; returns how long they were all together, None where nobody looked."""
    norm = None
    if rule.max_tensor_norm is not None:
        norm = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, rule.max_tensor_norm)
    if rule.max_grad_norm is not None:
        cut = nn.utils.clip_grad_norm_(parameters, rule.max_grad_norm)
        norm = cut if norm is None else norm
    return norm


def _start_together(run: Run) -> None:
    """Make the record of gradients, tell the log how the run begins, and give processes the same weights."""
    if run.gradients is None and run.watching["gradients_every"]:
        run.gradients = GradientRecord(run.model, run.seed)
    if run.place.updates == 0 and run.place.log_bytes is None:
        log_event(
            run,
            "start",
            family=run.family_name,
            preset=run.facts.get("preset"),
            seed=run.seed,
            settings=run.facts.get("config"),
            early_stopping=run.facts.get("early_stopping"),
            corpus=run.facts.get("corpus"),
            origin=run.facts.get("origin"),
            precision=run.facts.get("precision"),
            device=str(run.device),
            threads=torch.get_num_threads(),
            processes=run.group.size,
        )
    run.group.copy_from_first(run.model)
    run.group.wait()
    run.logged = (run.clock(), run.place.updates)


def _enter_stage(run: Run) -> Stage:
    """Make ready for the stage at hand: its data, its optimisers, its time."""
    is_new = run.place.stage_started is None
    prepare_data(run)
    make_optimizers(run)
    start_patience(run)
    set_deadline(run)
    if is_new:
        log_event(run, "stage", stage=run.stage.name, windows=len(run.data.train))
    return run.stage


def _leave_stage(run: Run) -> None:
    """Go on to the next stage; after the last, stay in it, so that a longer plan could go on from there."""
    place = run.place
    if place.is_stopped_early:
        stop = {"stage": run.stage.name, "best_update": place.best_update}
        place.early_stops = [*place.early_stops, {**stop, "update": place.updates}]
        log_event(run, "early_stop", **stop, best_validation_loss=place.best_validation)
    restore_the_best(run)
    run.sums, run.epoch_sums = Sums(), Sums()
    if run.place.stage == len(run.stages) - 1:
        run.place.is_finished = True
        return
    run.optimizers = {}
    run.place.enter_next_stage()


def _maybe_keep(run: Run) -> None:
    every = run.watching["keep_every"]
    if not run.group.is_first or not every or run.place.updates % every:
        return
    name = f"{KEPT}/{run.place.updates:06d}"
    if not checkpoint.exists(run.folder / name):
        save(run, run.folder / name)
    log_event(run, "kept", folder=name)


def _check(
    updates: int | None,
    minutes: float | None,
    seed: Any,
    early_stopping: Any,
    keep_every: int | None,
    sample_every: int | str | None,
    gradients_every: int | None,
) -> None:
    check_limits(updates, minutes)
    if seed is not None and not isinstance(seed, int):
        raise GeneratorError(f"seed must be a whole number, got {seed!r}")
    if early_stopping not in (None, "off") and not (isinstance(early_stopping, int) and early_stopping > 0):
        raise GeneratorError(
            f"early_stopping must be a number of evaluations of at least 1, or off, got {early_stopping!r}"
        )
    every = {"keep_every": keep_every, "sample_every": sample_every, "gradients_every": gradients_every}
    for name, count in every.items():
        if name == "sample_every" and count == TENTHS:
            continue
        if count is not None and not (isinstance(count, int) and count >= 0):
            raise GeneratorError(f"{name} must be a number of updates, or 0 for never, got {count!r}")


@contextlib.contextmanager
def _only_trainer_of(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, so that two runs never write one model; one process does it for all."""
    if process_rank():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GeneratorError(f"another process is training {folder}: wait for it or stop it") from None
        try:
            yield
        finally:
            if {path.name for path in folder.iterdir()} <= {".lock", wishes.FILE}:  # nothing came of it
                wishes.forget(folder)
                (folder / ".lock").unlink()
                folder.rmdir()
