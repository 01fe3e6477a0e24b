"""Pieces that a model writes while it learns, as MIDI and as a drawing, so that one sees them get better."""

from __future__ import annotations

import os
import time

from generators.devices import random_state_kept
from generators.family import Request
from generators.generation import piece_rng
from generators.registry import get_family
from generators.seeds import derive_seed
from generators.training.log import log_event
from generators.training.plan import share_done
from generators.training.run import Run
from generators.training.stopping import BrokenOffError
from music.drawing import pianoroll_svg
from music.midi import write_midi
from music.score import Meter, Tempo

FOLDER = "samples"
N_PIECES = 2
N_BARS = 8
TENTHS = (
    "tenths"  # instead of a number of updates: at each tenth of the plan, or of the time if it is limited
)
MOST_TIME = 0.1  # of the training, that samples at tenths may take; below this others are left out
FREE_SECONDS = 5.0


def maybe_write_samples(run: Run) -> None:
    """Write samples, if they are due after the update just made; what goes wrong is logged and no more.

    The pieces of one run have the same random numbers each time. Nothing that training depends on changes.
    """
    if not run.group.is_first or not _is_due(run):
        return
    started = time.perf_counter()
    run.tell("writing samples")
    try:
        with run.stop.may_break_off():
            files = _write_samples(run)
    except BrokenOffError:
        return
    except Exception as error:
        log_event(run, "samples", error=f"{type(error).__name__}: {error}")
    else:
        log_event(run, "samples", files=files)
    finally:
        run.model.train()
        run.sample_seconds += time.perf_counter() - started


def _is_due(run: Run) -> bool:
    every, place = run.watching["sample_every"], run.place
    if every != TENTHS:
        return every > 0 and place.updates % every == 0
    tenths = int(10 * share_done(run) + 1e-9)
    if tenths <= place.sampled_tenths:
        return False
    place.sampled_tenths = tenths
    return run.sample_seconds <= FREE_SECONDS + MOST_TIME * run.clock()


def _write_samples(run: Run) -> list[str]:
    music = run.facts["music"]
    request = Request(N_BARS, Tempo(0, music["microseconds_per_beat"]), Meter(0, *music["meter"]))
    seed = derive_seed(run.seed, "samples")
    rngs = [piece_rng(seed, index) for index in range(get_family(run.family_name).pieces_at_once)]
    run.model.eval()
    with random_state_kept(run.device):
        pieces = run.model.generate(rngs, request)[:N_PIECES]
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    names = []
    for number, piece in enumerate(pieces, start=1):
        stem = f"{run.place.updates:06d}-{number}"
        title = f"{run.folder.name} after {run.place.updates:,} updates, piece {number}"
        draft = folder / ".draft.mid"
        write_midi(piece, draft)
        os.replace(draft, folder / f"{stem}.mid")
        draft.write_text(pianoroll_svg(piece, title=title), encoding="utf-8")
        os.replace(draft, folder / f"{stem}.svg")
        names += [f"{FOLDER}/{stem}.mid", f"{FOLDER}/{stem}.svg"]
    return names
