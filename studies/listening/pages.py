"""All that a listener's browser may know of each screen: nothing can name a condition, a piece or a file."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from django.db.models import Q
from django.urls import reverse

from studies.listening import selectors
from studies.listening.forms import (
    ATTRIBUTION_CHOICES,
    CONFIDENCE_CHOICES,
    DEVICE_CHOICES,
    RATING_CHOICES,
    TONE_CHOICES,
    BackgroundForm,
)
from studies.listening.models import Judgement, Session, Study, Trial
from studies.listening.start_keys import new_start_key

#: The share of coin-tossers that the band of chance in the debrief holds, at least.
CHANCE_BAND = 0.95
MARK_WIDTH = 1.6


@dataclass(frozen=True)
class Place:
    """Where a screen belongs: the study's title and the addresses that all its screens share."""

    title: str
    home_url: str
    events_url: str
    withdraw_url: str
    withdrawal_code: str = ""  # of the listener who looks; empty before they agreed


def place_of(study: Study, session: Session | None = None) -> Place:
    """The place of a study's screens, for nobody in particular or for the listener of a session."""
    return Place(
        title=study.title,
        home_url=reverse("listening:study", args=[study.slug]),
        events_url=reverse("listening:events", args=[study.slug]),
        withdraw_url=reverse("listening:withdraw", args=[study.slug]),
        withdrawal_code=session.participant.withdrawal_code if session else "",
    )


@dataclass(frozen=True)
class LandingPage:
    """What is asked of whom, and the two equal ways on."""

    paragraphs: tuple[str, ...]
    plan: str  # the last paragraph: the hash of the specification
    consent_sha256: str
    start_key: str  # random and signed for each load: the same agreement sent twice starts one session
    consent_url: str
    notice: str  # why the page is shown again; empty at first


def landing_page(study: Study, *, notice: str = "") -> LandingPage:
    """Information and consent, on one page."""
    text, consent_sha256 = selectors.consent_text(study)
    *paragraphs, plan = text.split("\n\n")
    return LandingPage(
        paragraphs=tuple(paragraphs),
        plan=plan,
        consent_sha256=consent_sha256,
        start_key=new_start_key(study),
        consent_url=reverse("listening:consent", args=[study.slug]),
        notice=notice,
    )


@dataclass(frozen=True)
class SoundCheckPage:
    """A sound to count, before any piece."""

    audio_url: str
    answer_url: str
    attempt: int
    tones: tuple[tuple[str, str], ...]
    devices: tuple[tuple[str, str], ...]  # empty where the study does not ask


def sound_check_page(session: Session, *, attempt: int = 1) -> SoundCheckPage:
    """The sound check of a session; which number of tones it plays is not on the page."""
    study = session.participant.study
    slug = study.slug
    return SoundCheckPage(
        audio_url=reverse("listening:test_sound", args=[slug]),
        answer_url=reverse("listening:sound_check", args=[slug]),
        attempt=attempt,
        tones=tuple(TONE_CHOICES),
        devices=tuple(DEVICE_CHOICES) if study.design["listening"]["headphone_check"] != "no" else (),
    )


def n_test_tones(session: Session) -> int:
    """How many tones the test sound of a session has: 2, 3 or 4."""
    return 2 + session.seed % 3


@dataclass(frozen=True)
class TrialPage:
    """All that a listener's page may know about a trial."""

    trial: str  # its random id
    position: int  # from 1, within practice or within the rest
    n_trials: int
    is_practice: bool
    is_halfway: bool
    has_checks: bool  # whether any trial may be an attention check: then all of them say how to answer one
    instructions: str
    question: str
    low: str
    high: str
    values: tuple[tuple[int, str], ...]
    audio_url: str  # by the trial's random id, never by file name
    next_audio_url: str  # to load the next piece ahead; empty after the last
    answer_url: str
    skip_url: str
    seconds_to_hear: float  # before the answer is taken
    may_seek: bool  # whether there is a bar to go back and forth with


def trial_page(trial: Trial) -> TrialPage:
    """The rating screen of a trial, practice or not."""
    session = trial.session
    study = session.participant.study
    scale = study.design["scale"]
    is_practice = trial.kind == Trial.Kind.PRACTICE
    n_practice = session.trials.filter(kind=Trial.Kind.PRACTICE).count()
    n_rated = session.trials.count() - n_practice
    position = trial.position if is_practice else trial.position - n_practice
    return TrialPage(
        position=position,
        n_trials=n_practice if is_practice else n_rated,
        is_practice=is_practice,
        is_halfway=not is_practice and n_rated >= 8 and position == n_rated // 2 + 1,
        has_checks=study.design["session"]["attention_checks"] > 0,
        instructions=study.design["instructions"] if is_practice and position == 1 else "",
        question=scale["question"],
        low=scale["low"],
        high=scale["high"],
        values=tuple(RATING_CHOICES),
        answer_url=reverse("listening:rating", args=[study.slug, trial.public_id]),
        seconds_to_hear=round(selectors.seconds_left_to_hear(trial), 2),
        **addresses_of(trial),
    )


@dataclass(frozen=True)
class FormPage:
    """A screen with one form and no sound."""

    answer_url: str
    form: BackgroundForm | None = None
    comment: str = ""


def background_page(session: Session) -> FormPage:
    """The optional questions about the listener."""
    slug = session.participant.study.slug
    return FormPage(answer_url=reverse("listening:background", args=[slug]), form=BackgroundForm())


def comment_page(session: Session, *, comment: str = "") -> FormPage:
    """The optional words at the end."""
    slug = session.participant.study.slug
    return FormPage(answer_url=reverse("listening:comment", args=[slug]), comment=comment)


@dataclass(frozen=True)
class MessagePage:
    """A screen that says one thing."""

    heading: str
    paragraphs: tuple[str, ...]
    withdrawal_code: str = ""
    onward_url: str = ""
    onward_word: str = ""
    is_withdrawn: bool = False  # then the browser forgets, too, what it kept of the study


@dataclass(frozen=True)
class WithdrawalPage:
    """The form that deletes; the code is filled in where the browser is the listener's own."""

    code: str = ""
    code_error: str = ""
    sure_error: str = ""


@dataclass(frozen=True)
class AttributionPage:
    """The human-or-machine screen of a trial: one answer, then how sure, then whether it was known."""

    trial: str
    position: int
    n_trials: int
    attributions: tuple[tuple[str, str], ...]  # in this listener's order
    confidences: tuple[tuple[int, str], ...]  # empty where the study does not ask
    familiarities: tuple[tuple[str, str], ...]  # empty where the study does not ask
    audio_url: str
    next_audio_url: str
    answer_url: str
    skip_url: str
    seconds_to_hear: float  # before the answer is taken
    may_seek: bool


def attribution_page(trial: Trial) -> AttributionPage:
    """The human-or-machine screen of a trial, its two buttons in the order drawn for the session."""
    session = trial.session
    study = session.participant.study
    ask = study.design["ask"]
    return AttributionPage(
        position=trial.attribution_position,
        n_trials=session.trials.exclude(attribution_position=None).count(),
        attributions=tuple(ATTRIBUTION_CHOICES[:: -1 if session.machine_first else 1]),
        confidences=tuple(CONFIDENCE_CHOICES) if ask["confidence"] else (),
        familiarities=tuple(Judgement.Familiarity.choices) if ask["familiarity"] else (),
        answer_url=reverse("listening:judgement", args=[study.slug, trial.public_id]),
        seconds_to_hear=round(selectors.seconds_left_to_hear(trial), 2),
        **addresses_of(trial),
    )


def addresses_of(trial: Trial) -> dict[str, str | bool]:
    """The random id of a trial, the addresses made of it, and what its player offers."""
    slug = trial.session.participant.study.slug
    following = selectors.next_trial(trial.session)
    return {
        "may_seek": trial.session.participant.study.design["listening"]["seek"],
        "trial": trial.public_id,
        "audio_url": reverse("listening:audio", args=[slug, trial.public_id]),
        "next_audio_url": reverse("listening:audio", args=[slug, following.public_id]) if following else "",
        "skip_url": reverse("listening:skip", args=[slug, trial.public_id]),
    }


@dataclass(frozen=True)
class Chance:
    """How often the listener was right, beside what tossing a coin would bring; drawn on a line 0-100."""

    n_right: int
    n_judged: int
    expected: str  # half of them, in words
    lowest: int  # the band that holds 95 of 100 coin-tossers
    highest: int
    band_x: float
    band_width: float
    you_left: float


def chance_of(n_right: int, n_judged: int) -> Chance | None:
    """The hit rate against chance; None where nothing was judged.

    The band is the narrowest symmetric one of a fair coin's binomial that holds at least `CHANCE_BAND`.
    """
    if n_judged == 0:
        return None
    total = 2**n_judged
    lowest = 0
    while 1 - 2 * sum(comb(n_judged, k) for k in range(lowest + 1)) / total >= CHANCE_BAND:
        lowest += 1
    highest = n_judged - lowest
    return Chance(
        n_right=n_right,
        n_judged=n_judged,
        expected=f"{n_judged / 2:g}",
        lowest=lowest,
        highest=highest,
        band_x=round(100 * lowest / n_judged, 2),
        band_width=round(100 * (highest - lowest) / n_judged, 2),
        you_left=round(100 * n_right / n_judged - MARK_WIDTH / 2, 2),
    )


@dataclass(frozen=True)
class RevealedPiece:
    """One piece, with its name at last."""

    position: int
    title: str
    source: str
    rating: int
    said: str  # what the listener said of its maker; empty where they did not
    verdict: str  # whether that was true; empty where there is nothing to compare
    audio_url: str


@dataclass(frozen=True)
class DebriefPage:
    """The end: every piece by its name, the listener's own hit rate, and the way out."""

    pieces: tuple[RevealedPiece, ...]  # that the listener rated
    n_pieces: int  # that they were to rate
    has_everything: bool  # whether no question of the way was left without its answer
    chance: Chance | None
    withdrawal_code: str


def debrief_page(session: Session) -> DebriefPage:
    """What a listener may know once every answer is given."""
    slug = session.participant.study.slug
    rows = selectors.debrief_of(session)
    # Notes mixed up by a machine are neither a person's work nor a composing machine's: no hit, no miss.
    judged = [row for row in rows if row.was_right is not None and not row.is_anchor]
    said = {True: "a person", False: "a machine", None: ""}
    left_out = Q(skipped_at__isnull=False) | Q(judgement_skipped_at__isnull=False)
    return DebriefPage(
        pieces=tuple(
            RevealedPiece(
                position=row.position,
                title=row.title,
                source=row.source,
                rating=row.rating,
                said=said[row.judged_human],
                verdict=""
                if row.is_anchor or row.was_right is None
                else "right"
                if row.was_right
                else "wrong",
                audio_url=reverse("listening:audio", args=[slug, row.public_id]),
            )
            for row in rows
        ),
        n_pieces=session.trials.filter(kind=Trial.Kind.MAIN).count(),
        has_everything=not session.trials.filter(left_out).exists(),
        chance=chance_of(sum(row.was_right for row in judged), len(judged)),
        withdrawal_code=session.participant.withdrawal_code,
    )
