"""Which pieces of a source a study plays: drawn by seed from all that qualify, and how many those were."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from django.db.models import Q

from studies.catalog import selectors as catalog
from studies.catalog.models import OriginalityReport, Piece
from studies.listening.errors import ListeningError
from studies.listening.specification import ConditionPart, Specification


@dataclass
class Pool:
    """The pieces that a condition can draw on, and why others cannot be drawn."""

    path: str  # of the condition in the specification
    condition: ConditionPart
    pieces: list[Piece]
    facts: dict = field(default_factory=dict)


@dataclass
class Drawn:
    """All pieces of a study before anything is rendered."""

    main: dict[str, list[Piece]]  # by condition
    practice: list[Piece]
    facts: dict  # what is stored as `Study.selection`


def draw_pieces(specification: Specification, *, unplayable: Collection[str] = (), draw: int = 1) -> Drawn:
    """Draw the pieces of every condition and of the practice; no piece is used twice.

    Scrambled pieces are made of pieces that nobody hears unscrambled, as far as there are any. The same
    specification on the same catalog draws the same pieces.

    Parameters
    ----------
    unplayable : collection of str
        Hashes of pieces that turned out not to give an excerpt; they are left out.
    draw : int
        From 1: another one gives other pieces of real music and of models, all else as it was.

    Raises
    ------
    ListeningError
        If a source is unknown or has too few pieces that qualify; it says which, how many, and what to do.
    """
    seed = specification.selection.seed
    chance = f"{seed}" if draw == 1 else f"{seed} draw {draw}"
    used: set[str] = set()
    pools = {
        condition.name: pool_of(specification, index, unplayable)
        for index, condition in enumerate(specification.conditions)
        if condition.source.kind != "scramble"
    }
    main: dict[str, list[Piece]] = {}
    for name, pool in pools.items():
        if specification.selection.method == "by_hand":
            main[name] = _named(pool, specification)
        else:
            main[name] = _draw(pool, pool.condition.pieces, used, Random(f"{chance}:{name}"))
        used |= {piece.sha256 for piece in main[name]}
    for condition in specification.conditions:
        if condition.source.kind == "scramble":
            pool = pools[condition.source.name]
            originals = _originals(pool, main[condition.source.name], condition, used, seed)
            main[condition.name] = _scrambled(originals, seed)
            used |= {piece.sha256 for piece in (*originals, *main[condition.name])}
    practice = _practice(specification, pools, main, used)
    facts = {
        "method": specification.selection.method,
        "seed": seed,
        "draws": draw,
        "pools": {
            name: {**pool.facts, "drawn": len(main[name]), "from": len(pool.pieces)}
            for name, pool in pools.items()
        },
    }
    main = {condition.name: main[condition.name] for condition in specification.conditions}
    return Drawn(main, practice, facts)


def pool_of(specification: Specification, index: int, unplayable: Collection[str] = ()) -> Pool:
    """The pieces that qualify for a condition: long enough, not copied, each only once.

    Raises
    ------
    CatalogError
        If the source is unknown.
    """
    condition = specification.conditions[index]
    source = condition.source
    if source.kind == "corpus":
        split = None if source.split in (None, "all") else source.split
        pieces = catalog.pieces_of_corpus(source.name, split)
    elif source.kind == "model":
        pieces = catalog.pieces_of_model(source.name)
    elif source.kind == "generation":
        pieces = catalog.pieces_of_generation(source.name)
    else:
        pieces = catalog.pieces_of_collection(source.name)
    found = sorted(pieces, key=lambda piece: (piece.name, piece.sha256))
    different = list({piece.sha256: piece for piece in found}.values())
    # A piece may end while the excerpt fades out: nobody hears that it does.
    least = specification.excerpt.seconds - specification.excerpt.fade_out_ms / 1000
    long_enough = [piece for piece in different if piece.seconds >= least]
    playable = [piece for piece in long_enough if piece.sha256 not in unplayable]
    facts = {
        "pieces": len(different),
        "too_short": len(different) - len(long_enough),
        "unplayable": len(long_enough) - len(playable),
    }
    long_enough = playable
    if condition.role == "generated":
        overlaps = overlaps_of(condition)
        searched = sum(str(piece) in overlaps for piece in long_enough)
        facts |= {"searched": searched, "max_overlap": specification.selection.max_overlap}
        kept = [
            piece
            for piece in long_enough
            if overlaps.get(str(piece), 0) <= specification.selection.max_overlap
        ]
        facts["copied"] = len(long_enough) - len(kept)
        long_enough = kept
    return Pool(f"conditions[{index}]", condition, long_enough, facts)


def overlaps_of(condition: ConditionPart) -> dict[str, float]:
    """The largest note overlap that any originality report found, by the name of the piece."""
    name = condition.source.name
    reports = OriginalityReport.objects.filter(
        Q(generation__name=name) | Q(generation__model__name=name) | Q(subject__contains=name)
    )
    overlaps: dict[str, float] = {}
    for pieces in reports.values_list("result__pieces", flat=True):
        for piece in pieces or []:
            overlap = (piece.get("overlap") or {}).get("score")
            if overlap is not None:
                overlaps[piece["piece"]] = max(overlaps.get(piece["piece"], 0.0), float(overlap))
    return overlaps


def _draw(pool: Pool, count: int, used: Iterable[str], rng: Random) -> list[Piece]:
    free = [piece for piece in pool.pieces if piece.sha256 not in used]
    if len(free) < count:
        raise ListeningError(_too_few(pool, count, len(free)))
    return rng.sample(free, count)


def _too_few(pool: Pool, count: int, n_free: int) -> str:
    """Why a condition cannot have its pieces, and what would help."""
    source, facts = pool.condition.source, pool.facts
    reasons = [f"{facts['pieces']} in all"]
    if facts["too_short"]:
        reasons.append(f"{facts['too_short']} shorter than the excerpt")
    if facts["unplayable"]:
        reasons.append(f"{facts['unplayable']} without an excerpt that can be rendered")
    if facts.get("copied"):
        reasons.append(f"{facts['copied']} above selection.max_overlap {facts['max_overlap']:g}")
    if n_free < len(pool.pieces):
        reasons.append(f"{len(pool.pieces) - n_free} used by other conditions")
    split = f" (split {source.split})" if source.split else ""
    cure = {
        "corpus": "import more, name another split, or ask for fewer",
        "model": (
            f"generate more or longer ones (generate {source.name} --count N --bars B), or ask for fewer"
        ),
        "generation": "name a larger generation, or ask for fewer",
        "pieces": f"import more (import_pieces {source.name} SOURCE), or ask for fewer",
    }[source.kind]
    return (
        f"{pool.path}.pieces: got {count}, but {source.kind} {source.name!r}{split} has {n_free} to draw "
        "from "
        f"({', '.join(reasons)}); {cure}"
    )


def _named(pool: Pool, specification: Specification) -> list[Piece]:
    """Pieces chosen by hand, by their names."""
    by_name: dict[str, list[Piece]] = {}
    for piece in pool.pieces:
        by_name.setdefault(piece.name, []).append(piece)
        by_name.setdefault(str(piece), []).append(piece)
    for name in pool.condition.names:
        if len(by_name.get(name, ())) != 1:
            n_found = len(by_name.get(name, ()))
            raise ListeningError(
                f"{pool.path}.names: {name!r} fits {n_found} pieces of {pool.condition.source.name!r} that "
                "last "
                f"at least {specification.excerpt.seconds:g} s; name exactly one"
            )
    return [by_name[name][0] for name in dict.fromkeys(pool.condition.names)]


def _originals(
    pool: Pool, heard: Sequence[Piece], condition: ConditionPart, used: Iterable[str], seed: int
) -> list[Piece]:
    """The pieces to scramble for a low anchor: unheard ones first, then those that are heard as well."""
    rng = Random(f"{seed}:{condition.name}")
    free = [piece for piece in pool.pieces if piece.sha256 not in used and piece.midi_path]
    chosen = rng.sample(free, min(condition.pieces, len(free)))
    rest = [piece for piece in heard if piece.midi_path]
    chosen += rng.sample(rest, min(condition.pieces - len(chosen), len(rest)))
    if len(chosen) < condition.pieces:
        raise ListeningError(
            f"the condition {condition.name!r} asks for {condition.pieces} scrambled pieces, but "
            f"{pool.condition.name!r} has only {len(chosen)} with notes; ask for fewer"
        )
    return chosen


def _scrambled(originals: Iterable[Piece], seed: int) -> list[Piece]:
    from studies.catalog.services import scramble_piece

    return [scramble_piece(piece=piece, seed=seed) for piece in originals]


def _practice(
    specification: Specification,
    pools: dict[str, Pool],
    main: dict[str, list[Piece]],
    used: set[str],
) -> list[Piece]:
    """Pieces to practise on, from the conditions' sources but never heard in the main part.

    The first is a typical one, the second shows the low end of the scale if the study has one, the rest are
    typical again: so the range is known before it matters.
    """
    count, seed = specification.session.practice, specification.selection.seed
    if not count:
        return []
    rng = Random(f"{seed}:practice")
    low = [condition for condition in specification.conditions if condition.role == "low_anchor"]
    typical = [condition for condition in specification.conditions if condition.role != "low_anchor"]
    spare = {
        name: rng.sample(free, len(free))
        for name, pool in pools.items()
        if (free := [piece for piece in pool.pieces if piece.sha256 not in used])
    }
    rng.shuffle(typical)
    chosen: list[Piece] = []
    for place in range(count):
        if place == 1 and low:
            piece = _practice_anchor(low[0], spare, main, seed)
            if piece is not None:
                chosen.append(piece)
                continue
        names = [condition.name for condition in typical if spare.get(condition.name)]
        names = names or [name for name, pieces in spare.items() if pieces]
        if not names:
            raise ListeningError(
                f"session.practice: got {count}, but only {len(chosen)} pieces are left beside the main "
                "ones; "
                f"bring more pieces into a source, ask for fewer in conditions, or lower session.practice"
            )
        name = names[(place - bool(place > 1 and low)) % len(names)]
        chosen.append(spare[name].pop())
        used.add(chosen[-1].sha256)
    return chosen


def _practice_anchor(
    condition: ConditionPart, spare: dict[str, list[Piece]], main: dict[str, list[Piece]], seed: int
) -> Piece | None:
    """A low piece that is no main one: another piece scrambled, or a main one in another scrambling."""
    if condition.source.kind != "scramble":
        return spare[condition.name].pop() if spare.get(condition.name) else None
    free = [piece for piece in spare.get(condition.source.name, ()) if piece.midi_path]
    if len(free) > 1:
        spare[condition.source.name].remove(free[-1])
        return _scrambled([free[-1]], seed + 1)[0]
    heard = [piece for piece in main[condition.source.name] if piece.midi_path]
    return _scrambled(heard[-1:], seed + 1)[0] if heard else None
