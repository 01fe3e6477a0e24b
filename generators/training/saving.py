"""Runs from nothing, from their own checkpoint or from another model's, and back into a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from generators import checkpoint
from generators.corpus import load_pieces
from generators.errors import GeneratorError
from generators.family import ABILITIES, Family, Stage
from generators.ranks import process_rank
from generators.registry import get_family
from generators.seeds import derive_seed
from generators.settings import apply_overrides, config_from_json
from generators.shapes import changed_settings, refuse_giant, shape_changing
from generators.training import gradients
from generators.training.log import LOG, cut_log, log_size
from generators.training.optimizers import optimizer_tensors, rules_of
from generators.training.run import NO_LIMITS, WATCHING, Place, Run

if TYPE_CHECKING:
    from generators.corpus import EncodedCorpus
    from music.corpus import Corpus

KEPT = "kept"


@dataclass(frozen=True)
class Origin:
    """A checkpoint of another model to go on from."""

    name: str  # as the new model remembers it
    folder: Path  # the model's own, or one of its kept checkpoints


@dataclass(frozen=True)
class Wishes:
    """What somebody asked of a run; None: as it was, or the usual."""

    preset: str | None = None
    seed: int | None = None
    overrides: Mapping[str, str] | None = None
    limits: Mapping[str, Any] | None = None
    precision: str | None = None
    early_stopping: int | str | None = None
    watching: Mapping[str, Any] | None = None


def begin(
    folder: Path, name: str, corpus: Corpus | EncodedCorpus, device: torch.device, asked: Wishes
) -> Run:
    """A new run."""
    family = get_family(name)
    preset, seed = asked.preset or "tiny", asked.seed or 0
    if preset not in family.presets:
        raise GeneratorError(f"{name} has no preset {preset!r}; it has {', '.join(family.presets)}")
    config = apply_overrides(family.presets[preset], asked.overrides or {})
    pieces = load_pieces(corpus, family.representation(config), device, seed=seed)
    torch.manual_seed(derive_seed(seed, "training"))
    refuse_giant(family, config, pieces.learned)
    model = family.model(config, pieces.learned).to(device)
    facts = _facts(name, family, preset, config, seed, asked, pieces, corpus, model)
    cut_log(folder, 0)
    return Run(
        folder, name, facts, model, pieces, device, seed,
        limits={**NO_LIMITS, **(asked.limits or {})}, watching=_watching(asked),
    )  # fmt: skip


def resume(
    folder: Path, name: str, corpus: Corpus | EncodedCorpus, device: torch.device, asked: Wishes
) -> Run:
    """The run of the checkpoint in a folder, as it was."""
    stored = checkpoint.load(folder, device=str(device))
    facts, family = stored.config, stored.family
    if facts["family"] != name:
        raise GeneratorError(f"{folder} holds a model of {facts['family']}, not of {name}")
    if facts["corpus"]["sha256"] != corpus.sha256:
        raise GeneratorError(
            f"{folder} was trained on corpus {facts['corpus']['name']!r} with hash "
            f"{facts['corpus']['sha256'][:12]}; corpus {corpus.name!r} has {corpus.sha256[:12]}: "
            "resume on the same corpus, or train a new model (--from goes on from this one)"
        )
    config = config_from_json(family.config, facts["config"])
    wanted = apply_overrides(config, asked.overrides or {})
    for key in changed_settings(config, wanted):
        _refuse_change(key, getattr(config, key), getattr(wanted, key))
    for key in ("precision", "early_stopping"):
        if getattr(asked, key) not in (None, facts.get(key)):
            _refuse_change(key, facts.get(key), getattr(asked, key))
    pieces = load_pieces(
        corpus, family.representation(config), device, seed=facts["seed"], learned=facts["learned"]
    )
    limits = facts["limits"] if asked.limits is None else {**NO_LIMITS, **asked.limits}
    watching = _watching(asked, facts.get("watching", {}))
    kept = {key: facts[key] for key in facts if key not in ("format", "weights_sha256")}
    run = Run(folder, name, kept, stored.model, pieces, device, facts["seed"], limits, watching)
    _take_state(run, folder)
    if limits != facts["limits"]:
        run.place.stage_deadline = None
    cut_log(folder, run.place.log_bytes)
    return run


def branch(
    folder: Path,
    name: str,
    corpus: Corpus | EncodedCorpus,
    device: torch.device,
    asked: Wishes,
    origin: Origin,
) -> Run:
    """A new run that goes on from a checkpoint of another model.

    On the same corpus it goes on at the same place; where nothing is changed, it is the same run. On another
    corpus it keeps weights and what was learned, and goes through the plan from its start.
    """
    stored = checkpoint.load(origin.folder, device=str(device))
    old, family = stored.config, stored.family
    if old["family"] != name:
        raise GeneratorError(f"{origin.name} is a model of {old['family']}; it cannot go on as {name}")
    if asked.preset not in (None, old["preset"]):
        raise GeneratorError(
            f"{origin.name} has preset {old['preset']!r}; it cannot go on as {asked.preset!r}, "
            "but single settings can be changed with --set"
        )
    before = config_from_json(family.config, old["config"])
    config = apply_overrides(before, asked.overrides or {})
    changed = changed_settings(before, config)
    _refuse_other_shapes(family, before, config, old["learned"])
    is_transfer = old["corpus"]["sha256"] != corpus.sha256
    if is_transfer and "transfer" not in family.abilities:
        raise GeneratorError(
            f"{name} lacks the ability 'transfer' ({ABILITIES['transfer']}); {origin.name} was trained on "
            f"corpus {old['corpus']['name']!r} and can only go on with that, not with {corpus.name!r}"
        )
    asked = replace(asked, seed=old["seed"] if asked.seed is None else asked.seed)
    if asked.seed != old["seed"] and not is_transfer:
        raise GeneratorError(
            f"{origin.name} was trained with seed {old['seed']}; on the same corpus it goes on with that, "
            f"not with seed {asked.seed}"
        )
    for key in ("precision", "early_stopping"):
        if getattr(asked, key) is None:
            asked = replace(asked, **{key: old.get(key)})
    pieces = load_pieces(
        corpus, family.representation(config), device, seed=asked.seed, learned=old["learned"]
    )
    torch.manual_seed(derive_seed(asked.seed, "training"))
    model = family.model(config, old["learned"]).to(device)
    model.load_state_dict(stored.model.state_dict())
    facts = {
        **_facts(name, family, old["preset"], config, asked.seed, asked, pieces, corpus, model),
        "origin": {
            "model": origin.name,
            "checkpoint_sha256": checkpoint.sha256_of(old),
            "updates": old["updates"],
            "corpus": old["corpus"],
            "changed": {key: getattr(config, key) for key in changed},
            "origin": old.get("origin"),
        },
    }
    run = Run(
        folder, name, facts, model, pieces, device, asked.seed,
        limits={**NO_LIMITS, **(asked.limits or {})},
        watching=_watching(asked, old.get("watching", {})),
    )  # fmt: skip
    cut_log(folder, 0)
    if is_transfer:
        model.transfer()
        return run
    _take_state(run, origin.folder)
    _take_up_the_plan(run, old, stored.model.stages())
    if not process_rank():  # it goes on writing there, maybe before other processes come here
        log = checkpoint.read_file(origin.folder, LOG) or b""
        (folder / LOG).write_bytes(log[: run.place.log_bytes])
    return run


def save(run: Run, folder: Path | None = None, *, is_end: bool = False) -> None:
    """Write the checkpoint as it stands, into the run's folder or another.

    At the end of a run in the midst of a stage that stops early, the weights of the model are the best so
    far if they are better than the last; those to go on from are beside them.
    """
    place = run.place
    if not run.group.is_first:
        return
    place.seconds = run.clock()
    place.log_bytes = log_size(run.folder)
    weights, figures = run.model.state_dict(), place.figures
    tensors = {"random.cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(run.device)
    tensors |= run.optimizer_state | optimizer_tensors(run.optimizers)
    for name, sums in (("sums", run.sums), ("epoch_sums", run.epoch_sums)):
        tensors |= {f"{name}.{part}": total.clone() for part, total in sums.totals.items()}
    tensors |= {f"best.{name}": tensor.clone() for name, tensor in run.best.items()}
    weights_update = place.weights_update or place.updates
    if is_end and run.best and place.best_validation < figures["validation"]["loss"]:
        tensors |= {f"last.{name}": tensor.clone() for name, tensor in weights.items()}
        weights, figures, weights_update = run.best, place.best_figures, place.best_update
    config = {
        **run.facts,
        "code_version": checkpoint.code_version(),
        "device": str(run.device),
        "threads": torch.get_num_threads(),
        "processes": run.group.size,
        "limits": run.limits,
        "watching": run.watching,
        "updates": place.updates,
        "weights_update": weights_update,
        "early_stops": place.early_stops,
        "stage": None if place.is_finished or not run.stage else run.stage.name,
        "finished": place.is_finished,
        "seconds": round(place.seconds, 3),
        "losses": {split: figures.get(split, {}).get("loss") for split in ("train", "validation")},
        "figures": figures,
    }
    state = {
        "place": asdict(place),
        "counts": {"sums": run.sums.counts, "epoch_sums": run.epoch_sums.counts},
        "rules": rules_of(run.stage),
    }
    files = {} if run.gradients is None else {gradients.FILE: run.gradients.to_bytes()}
    if folder is not None and place.log_bytes:
        files[LOG] = (run.folder / LOG).read_bytes()
    checkpoint.save(folder or run.folder, config, weights, state, tensors, files)


def _facts(
    name: str,
    family: Family,
    preset: str,
    config: Any,
    seed: int,
    asked: Wishes,
    pieces: Any,
    corpus: Corpus | EncodedCorpus,
    model: torch.nn.Module,
) -> dict[str, Any]:
    """What ``config.json`` says from the first to the last checkpoint of a run."""
    return {
        "family": name,
        "title": family.title,
        "citation": family.citation,
        "preset": preset,
        "config": asdict(config),
        "learned": pieces.learned,
        "music": pieces.music,
        "seed": seed,
        "corpus": {"name": corpus.name, "sha256": corpus.sha256},
        "windows": {"train": len(pieces.train), "validation": len(pieces.validation)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "precision": asked.precision,
        "early_stopping": asked.early_stopping,
    }


def _watching(asked: Wishes, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    wanted = {key: value for key, value in (asked.watching or {}).items() if value is not None}
    return {**WATCHING, **(before or {}), **wanted}


def _take_state(run: Run, folder: Path) -> None:
    """Stand where a checkpoint stood: place, sums, optimisers, random states, record of gradients."""
    state, tensors = checkpoint.load_state(folder)
    try:
        run.place = Place(**state["place"])
        for key, sums in (("sums", run.sums), ("epoch_sums", run.epoch_sums)):
            sums.counts = dict(state["counts"][key])
            sums.totals = {part: tensors[f"{key}.{part}"].to(run.device) for part in sums.counts}
        torch.set_rng_state(tensors["random.cpu"])
        if run.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], run.device)
        if last := _named(tensors, "last."):
            run.model.load_state_dict(last)
    except (KeyError, TypeError, RuntimeError) as error:
        raise checkpoint.CheckpointError(f"{folder / checkpoint.STATE} is damaged: {error!r}") from None
    run.best = {name: tensor.to(run.device) for name, tensor in _named(tensors, "best.").items()}
    run.optimizer_state = {key: value for key, value in tensors.items() if key.startswith("optimizer.")}
    if run.watching["gradients_every"]:
        run.gradients = gradients.GradientRecord(run.model, run.seed)
        run.gradients.restore(checkpoint.read_file(folder, gradients.FILE))


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _take_up_the_plan(run: Run, old: Mapping[str, Any], old_stages: list[Stage]) -> None:
    """Find the place of another model's run in the plan of this one, whose settings may differ.

    The stage is the one of the same name. The state of an optimiser is kept where its kind is the same. A
    plan that was finished goes on where it has become longer.
    """
    place = run.place
    if not run.stages:
        return
    was = old_stages[place.stage]
    names = [stage.name for stage in run.stages]
    if was.name not in names:
        raise GeneratorError(
            f"the checkpoint is in stage {was.name!r}, which these settings do not have; "
            f"they have {', '.join(names)}"
        )
    place.stage = names.index(was.name)
    if run.stage.batch_size != was.batch_size:
        place.batch = place.batch * was.batch_size // run.stage.batch_size
    if place.batch >= -(-len(run.pieces.train) // run.stage.batch_size):
        place.batch, place.epoch = 0, place.epoch + 1
    if run.facts["origin"]["changed"] or run.facts["early_stopping"] != old.get("early_stopping"):
        if place.is_finished or place.is_stopped_early:
            place.forget_the_best()
        place.is_finished = False
        rules, old_rules = rules_of(run.stage), rules_of(was)
        useless = [part for part in old_rules if rules.get(part) != old_rules[part]]
        for part in useless:
            run.optimizer_state = {
                key: value
                for key, value in run.optimizer_state.items()
                if not key.startswith(f"optimizer.{part}.")
            }
    place.stage_deadline = None


def _refuse_change(key: str, stored: Any, wanted: Any) -> None:
    raise GeneratorError(
        f"this model was started with {key}={stored}; it cannot go on with {key}={wanted}, "
        "but a new one can go on from it: --from MODEL --name NEW"
    )


def _refuse_other_shapes(family: Family, before: Any, after: Any, learned: Mapping[str, Any]) -> None:
    """Refuse settings with which the weights would not fit, by the name of one of them."""
    if (key := shape_changing(family, before, after, learned)) is not None:
        raise GeneratorError(
            f"with {key}={getattr(after, key)} the weights have other shapes: a model can go on with "
            f"other settings, but with {key}={getattr(before, key)} as it was"
        )
