"""The library, models and corpora as the studio lists them, by their real names.

Nothing here touches the items of a study: a page that shows a piece by its name must not show the label
under which a blind study plays it, nor a count by which one could guess it.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from django.db.models import Count, Prefetch, Q, QuerySet

from studies.catalog.models import Corpus, Generation, Origin, OriginalityReport, Piece, TrainedModel
from studies.catalog.selectors import ORIGINS
from studies.listening.models import Item, Trial
from studies.listening.services.creation import CHECK_COLLECTION

#: What the library may show besides the pieces of one origin.
MUSIC, CHECKS, EVERYTHING = "", "check", "everything"


def pieces(*, origin: str = EVERYTHING, text: str = "") -> QuerySet[Piece]:
    """Pieces of the library, newest first; with `text` in their name if given.

    Parameters
    ----------
    origin : str
        One of `Origin`, attention checks being no import; `CHECKS` for these alone, `MUSIC` for everything
        that somebody composed, without attention checks and scrambled anchors, or `EVERYTHING`.
    """
    found = Piece.objects.select_related(*ORIGINS).order_by("-pk")
    checks = Q(origin=Origin.IMPORT, collection=CHECK_COLLECTION)
    if origin == CHECKS:
        found = found.filter(checks)
    elif origin == MUSIC:
        found = found.exclude(checks).exclude(origin=Origin.SCRAMBLE)
    elif origin != EVERYTHING:
        found = found.filter(origin=origin).exclude(checks)
    if text:
        found = found.filter(
            Q(name__icontains=text)
            | Q(corpus__name__icontains=text)
            | Q(generation__name__icontains=text)
            | Q(collection__icontains=text)
        )
    return found


def origin_counts() -> dict[str, int]:
    """How many pieces each origin has, in the order of `Origin`; one query."""
    counts = dict(Piece.objects.order_by().values_list("origin").annotate(Count("pk")))
    return {value: counts.get(value, 0) for value in Origin.values}


def pieces_by_name(names: set[str], *, corpus: Corpus | None = None, generation: Generation | None = None):
    """Pieces of a corpus or of a generation by their names; one query."""
    found = Piece.objects.filter(name__in=names, corpus=corpus, generation=generation)
    return {piece.name: piece for piece in found}


@dataclass(frozen=True)
class Hearing:
    """A piece as an item of a study whose key may be read."""

    study_title: str
    study_slug: str
    is_simulated: bool
    label: str
    condition: str
    n_ratings: int


def unblinded_hearings(piece: Piece) -> list[Hearing]:
    """The studies that played a piece, those that are still blind left out; one query."""
    items = (
        Item.objects.filter(stimulus__piece=piece, use=Item.Use.MAIN, study__unblinded_at__isnull=False)
        .annotate(n_ratings=Count("trials__rating", filter=Q(trials__kind=Trial.Kind.MAIN)))
        .select_related("study", "condition")
        .order_by("study__pk", "label")
    )
    return [
        Hearing(
            item.study.title,
            item.study.slug,
            item.study.is_simulated,
            item.label,
            item.condition.name,
            item.n_ratings,
        )
        for item in items
    ]


def models() -> QuerySet[TrainedModel]:
    """All trained models with their corpus and `n_pieces`; one query."""
    return (
        TrainedModel.objects.select_related("corpus")
        .annotate(n_pieces=Count("generations__pieces"))
        .order_by("-updated_at", "-pk")
    )


@dataclass(frozen=True)
class TrainingCurves:
    """What ``training.jsonl`` says: each series is a list of (update, value)."""

    stages: dict[str, dict[str, list[tuple[int, float]]]]  # stage -> part of the model -> its losses
    evaluations: dict[str, list[tuple[int, float]]]  # train, validation -> loss, comparable with each other
    evaluated_stages: tuple[str, ...] = ()  # in which these were measured, in their order

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.stages and not self.evaluations


def training_curves(model: TrainedModel, *, n_points: int = 500) -> TrainingCurves:
    """The losses in a checkpoint's ``training.jsonl``; empty where there is no such file.

    Lines that a kill cut short are passed over. A series longer than `n_points` is thinned evenly, its
    first and last point kept.
    """
    stages: dict[str, dict[str, list]] = {}
    evaluations: dict[str, list] = {}
    evaluated_stages: list[str] = []
    for row in _training_lines(model):
        update = int(row["update"])
        stage = str(row.get("stage", "training"))
        parts = stages.setdefault(stage, {})
        for part, value in _finite(row.get("losses")):
            parts.setdefault(part, []).append((update, value))
        for split, figures in (row.get("figures") or {}).items():
            for name, value in _finite(figures):
                points = evaluations.setdefault(split, [])
                if name == "loss" and (not points or points[-1][1] != value):
                    points.append((update, value))
                    evaluated_stages.append(stage)
    return TrainingCurves(
        {stage: _all_thinned(parts, n_points) for stage, parts in stages.items() if parts},
        _all_thinned(evaluations, n_points),
        tuple(dict.fromkeys(evaluated_stages)),
    )


def _training_lines(model: TrainedModel):
    """The whole lines of a training record, as dictionaries that know their update."""
    try:
        text = (model.folder / "training.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("update"), int):
            yield row


def _finite(figures):
    """Pairs of a name and a finite number."""
    for name, value in (figures or {}).items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def _all_thinned(series: dict[str, list], n_points: int) -> dict[str, list]:
    """Each series with at most `n_points` points, the first and the last among them."""
    return {name: _thinned(points, n_points) for name, points in series.items() if points}


def _thinned(points: list, n_points: int) -> list:
    if len(points) <= n_points:
        return points
    step = (len(points) - 1) / (n_points - 1)
    return [points[round(index * step)] for index in range(n_points)]


def generations_of(model: TrainedModel) -> QuerySet[Generation]:
    """The generations of a model, newest first, each with `n_pieces` and its reports; two queries."""
    reports = OriginalityReport.objects.defer("result").select_related("corpus")
    return (
        model.generations.annotate(n_pieces=Count("pieces"))
        .prefetch_related(Prefetch("originality_reports", reports))
        .order_by("-created_at", "-pk")
    )


def corpora() -> QuerySet[Corpus]:
    """All corpora by name, each with `n_models`."""
    return Corpus.objects.annotate(n_models=Count("trained_models")).order_by("name")


@dataclass(frozen=True)
class Spread:
    """How many pieces share a value: a split, a meter, a key."""

    value: str
    n_pieces: int


def spreads_of(corpus: Corpus) -> dict[str, list[Spread]]:
    """Splits, meters and keys of a corpus with their numbers of pieces, most frequent first; one query."""
    rows = list(corpus.pieces.order_by().values_list("split", "meter", "key"))
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    named = zip(("split", "meter", "key"), columns, strict=True)
    return {
        name: [Spread(value or "not stated", n) for value, n in Counter(values).most_common()]
        for name, values in named
    }


@dataclass(frozen=True)
class LengthBin:
    """Pieces whose length lies in one bin."""

    low_seconds: float
    high_seconds: float
    n_pieces: int


def lengths_of(corpus: Corpus, edges: tuple[float, ...] = (0, 30, 60, 120, 240, 480, float("inf"))):
    """How long the pieces of a corpus are, in bins of seconds; one query."""
    seconds = list(corpus.pieces.order_by().values_list("seconds", flat=True))
    return [
        LengthBin(low, high, sum(low <= value < high for value in seconds)) for low, high in pairwise(edges)
    ]


def checkpoint_bytes(model: TrainedModel) -> int | None:
    """The size of a checkpoint's files, or None if its folder is gone."""
    if not model.folder.is_dir():
        return None
    return sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file())
