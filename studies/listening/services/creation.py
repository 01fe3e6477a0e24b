"""From a study file to a study: pieces drawn, excerpts rendered, letters dealt."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from django.db import transaction

from music.score import MusicError, Note, Score, Tempo, Track
from studies.catalog.models import Piece, Stimulus
from studies.listening import blinding, served_audio
from studies.listening.errors import ListeningError, SpecificationError
from studies.listening.models import Condition, Item, Study
from studies.listening.services.selection import Drawn, draw_pieces
from studies.listening.specification import Excerpt, Specification, parse_specification, specification_sha256

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from studies.listening.served_audio import Features

#: How many tones an attention check can have; also the rating that it asks for.
FEWEST_TONES, MOST_TONES = 3, 9

TONE_PITCH = 72
FIRST_TONE = 0.25  # seconds
SHORTEST_TONE = 0.4  # seconds from one to the next: nobody counts faster ones
CHECK_COLLECTION = "attention-checks"


def create_study(
    *,
    text: str,
    owner: AbstractBaseUser | None = None,
    is_simulated: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Study:
    """Make a draft of a study from its file: draw pieces, render excerpts, deal letters.

    The same file again gives the study that is there. A changed file replaces a draft that nobody has heard.

    Parameters
    ----------
    text : str
        The YAML of the study.
    is_simulated : bool
        For simulated listeners only; people are refused for ever.
    progress : callable, optional
        Called with (done, total, remark) as excerpts are rendered.

    Raises
    ------
    SpecificationError
        If the file does not hold.
    ListeningError
        If a source has too few pieces, or the slug belongs to another study.
    """
    specification = parse_specification(text)
    sha256 = specification_sha256(text)
    there = Study.objects.filter(slug=specification.slug).first()
    if there is not None:
        if there.specification_sha256 == sha256 and there.is_simulated == is_simulated:
            return there
        _refuse_replacing(there)
    drawn, checks, stimuli = _draw_and_render(specification, progress)
    return _store(
        specification=specification,
        text=text,
        sha256=sha256,
        owner=owner,
        is_simulated=is_simulated,
        selection=drawn.facts,
        main={name: [stimuli[piece.pk] for piece in chosen] for name, chosen in drawn.main.items()},
        practice=[stimuli[piece.pk] for piece in drawn.practice],
        checks=[(n_tones, stimuli[piece.pk]) for n_tones, piece in checks],
    )


def _refuse_replacing(study: Study) -> None:
    """Only a draft without listeners may be made anew.

    Raises
    ------
    SpecificationError
        Naming the slug and the study that has it.
    """
    if study.state != Study.State.DRAFT or study.participants.exists() or study.withdrawals.exists():
        raise SpecificationError(
            f"slug: got {study.slug!r}, which belongs to a study that is {study.state}"
            f"{' and has listeners' if study.participants.exists() else ''}; choose another slug"
        )


def _draw_and_render(
    specification: Specification, progress: Callable[[int, int, str], None] | None
) -> tuple[Drawn, list[tuple[int, Piece]], dict[int, Stimulus]]:
    """Draw pieces and render them; where one gives no excerpt, draw again without it.

    Where a feature of the sound alone tells real from generated pieces, others are drawn, at most
    `selection.draws` times: what is left then is what `check_study` refuses. What was rendered is kept by its
    recipe, so drawing again costs only the new ones.

    Raises
    ------
    ListeningError
        If pieces run out, or one that was chosen by hand cannot be rendered.
    """
    unplayable: set[str] = set()
    stimuli: dict[int, Stimulus] = {}
    checks: list[tuple[int, Piece]] = []
    features: dict[int, Features] = {}
    draw, by_hand = 1, specification.selection.method == "by_hand"
    while True:
        drawn = draw_pieces(specification, unplayable=unplayable, draw=draw)
        checks = checks or _attention_checks(specification)
        pieces = [piece for chosen in drawn.main.values() for piece in chosen]
        pieces += [*drawn.practice, *(piece for _, piece in checks)]
        for done, piece in enumerate(pieces):
            if progress:
                progress(done, len(pieces), "rendering")
            if piece.pk in stimuli:
                continue
            try:
                is_check = done >= len(pieces) - len(checks)
                stimuli[piece.pk] = _rendered(piece, specification, is_check=is_check)
            except MusicError as error:
                origin = piece.scrambled_from or piece
                if by_hand or origin.sha256 in unplayable:
                    raise ListeningError(f"the piece {piece} cannot be rendered: {error}") from error
                unplayable.add(origin.sha256)
                break
        else:
            if (
                not by_hand
                and draw < specification.selection.draws
                and _is_told_by_sound(drawn, specification, stimuli, features)
            ):
                draw += 1
                continue
            if progress:
                progress(len(pieces), len(pieces), "rendered")
            return drawn, checks, stimuli


def _is_told_by_sound(
    drawn: Drawn, specification: Specification, stimuli: dict[int, Stimulus], features: dict[int, Features]
) -> bool:
    """Whether a feature of the sound tells real from generated; `features` remembers what was measured."""
    by_role: dict[str, list[Features]] = {role: [] for role in Condition.Role.values}
    for condition in specification.conditions:
        for piece in drawn.main[condition.name]:
            if piece.pk not in features:
                features[piece.pk] = served_audio.measure(stimuli[piece.pk].mp3_file)
            by_role[condition.role].append(features[piece.pk])
    found = served_audio.separations(by_role[Condition.Role.REAL], by_role[Condition.Role.GENERATED])
    return any(separation.is_telling for separation in found)


def _rendered(piece: Piece, specification: Specification, *, is_check: bool) -> Stimulus:
    """The excerpt of a piece; a check is padded, since its tones end before it does."""
    from studies.catalog.services.stimuli import render_stimulus

    excerpt = specification.excerpt
    return render_stimulus(
        piece=piece,
        start_seconds=0.0 if is_check else None,
        seconds=excerpt.seconds,
        fade_out_ms=excerpt.fade_out_ms,
        pad=is_check,
    )


def _attention_checks(specification: Specification) -> list[tuple[int, Piece]]:
    """The attention checks: how many tones, and the piece that has them."""
    from studies.catalog.services import import_score

    excerpt, count = specification.excerpt, specification.session.attention_checks
    countable = [
        n for n in range(FEWEST_TONES, MOST_TONES + 1) if seconds_per_tone(n, excerpt) >= SHORTEST_TONE
    ]
    if count > len(countable):
        raise ListeningError(
            f"session.attention_checks: got {count}, but only {len(countable)} different numbers of tones "
            "can be "
            f"counted in {excerpt.seconds:g} s; lengthen excerpt.seconds or shorten excerpt.fade_out_ms"
        )
    rng = Random(f"{specification.selection.seed}:attention")
    return [
        (
            n_tones,
            import_score(
                score=counted_tones(n_tones, excerpt),
                name=f"{n_tones} tones in {excerpt.seconds:g} s, fade {excerpt.fade_out_ms} ms",
                collection=CHECK_COLLECTION,
            ),
        )
        for n_tones in rng.sample(countable, count)
    ]


def seconds_per_tone(n_tones: int, excerpt: Excerpt) -> float:
    """The time from one tone to the next, so that the last one ends before the sound fades out."""
    return (excerpt.seconds - FIRST_TONE - max(1, excerpt.fade_out_ms / 1000)) / n_tones


def counted_tones(n_tones: int, excerpt: Excerpt) -> Score:
    """So many equal single tones, spread evenly over an excerpt, with silence between them."""
    beat = 480  # ticks; at 60 beats per minute, so a beat is a second
    apart = seconds_per_tone(n_tones, excerpt)
    tones = tuple(
        Note(
            onset=round(beat * (FIRST_TONE + place * apart)),
            pitch=TONE_PITCH,
            duration=round(beat * apart / 2),
        )
        for place in range(n_tones)
    )
    return Score(tracks=(Track(tones),), ticks_per_beat=beat, tempos=(Tempo(0, 1_000_000),))


@transaction.atomic
def _store(
    *,
    specification: Specification,
    text: str,
    sha256: str,
    owner: AbstractBaseUser | None,
    is_simulated: bool,
    selection: dict,
    main: dict[str, list[Stimulus]],
    practice: list[Stimulus],
    checks: list[tuple[int, Stimulus]],
) -> Study:
    """The rows of a study. Neither letters, labels nor the order of rows say what a piece is."""
    there = Study.objects.select_for_update().filter(slug=specification.slug).first()
    if there is not None:
        _refuse_replacing(there)
        there.delete()
    study = Study.objects.create(
        slug=specification.slug,
        title=specification.title,
        specification=text,
        specification_sha256=sha256,
        design=specification.to_json(),
        is_simulated=is_simulated,
        selection=selection,
        seed=specification.selection.seed,
        owner=owner,
    )
    rng = blinding.dealer()
    letters = dict(zip(main, blinding.letters(len(main), rng), strict=True))
    roles = {condition.name: condition.role for condition in specification.conditions}
    conditions = {
        name: Condition.objects.create(study=study, name=name, role=roles[name], letter=letter)
        for name, letter in sorted(letters.items(), key=lambda dealt: dealt[1])
    }
    items = [
        Item(study=study, condition=conditions[name], stimulus=stimulus, use=Item.Use.MAIN)
        for name, stimuli in main.items()
        for stimulus in stimuli
    ]
    items += [Item(study=study, stimulus=stimulus, use=Item.Use.PRACTICE) for stimulus in practice]
    items += [
        Item(study=study, stimulus=stimulus, use=Item.Use.ATTENTION, requested_value=n_tones)
        for n_tones, stimulus in checks
    ]
    rng.shuffle(items)
    for item, label in zip(items, blinding.labels(len(items), rng), strict=True):
        item.label = label
    Item.objects.bulk_create(items)
    return study
