"""Listeners made by a stated model: they pass through the same services as people, on a compressed clock."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random

from django.db import transaction
from django.utils import timezone

from studies.listening.clock import Clock, compressed
from studies.listening.errors import ListeningError
from studies.listening.models import Condition, Item, Judgement, Session, Study, Trial
from studies.listening.selectors import consent_text, current_trial
from studies.listening.services.answers import record_judgement, record_rating
from studies.listening.services.sittings import (
    complete_sound_check,
    record_background,
    record_comment,
    record_events,
    start_session,
)

MOST_LISTENERS = 10_000


@dataclass(frozen=True)
class ListenerModel:
    """How a simulated listener answers; stored with the study, so that the truth behind its ratings is known.

    A rating is ``quality(role) + condition + piece + listener + listener x condition + noise``, rounded to
    1-10. Each of the added parts is normal with mean 0 and the standard deviation given here; the condition's
    part is drawn once per study. The standard deviations follow variances measured for music (statistics of
    listening tests: listener by condition .16, piece .36, residual 2.25).

    Human or machine follows the equal-variance model of signal detection (Green and Swets 1966): an
    impression is normal with standard deviation 1, centred at `d_prime` for real music, 0 for generated and
    `anchor_impression` for low anchors; above the listener's criterion it is called human. Confidence grows
    with the distance from the criterion.
    """

    quality_real: float = 6.6
    quality_generated: float = 5.4
    quality_low_anchor: float = 3.2
    sd_condition: float = 0.4  # of a generated condition around its role's quality
    sd_piece: float = 0.6
    sd_listener: float = 0.9
    sd_listener_condition: float = 0.4
    sd_noise: float = 1.5
    d_prime: float = 0.8
    anchor_impression: float = -1.2
    criterion_mean: float = 0.4
    criterion_sd: float = 0.4
    known_real: float = 0.06  # chance that a real piece is known, and then called human
    familiar: float = 0.15
    careless: float = 0.05  # share of listeners who answer at random and miss attention checks
    lapse: float = 0.02  # chance that a careful listener miscounts an attention check
    dropout: float = 0.0  # share of listeners who leave half-way
    seconds_median: float = 4.0  # between the end of a piece and the rating

    def quality(self, role: str) -> float:
        """The mean rating of a role."""
        return getattr(self, f"quality_{role}")


def simulate_listeners(
    *,
    study: Study,
    count: int,
    seed: int,
    model: ListenerModel | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict:
    """Let simulated listeners take part in a simulated study, each marked as such.

    A study that no person has entered becomes a simulated one with its first simulated listener, for ever:
    from then on people are refused. A study with people is left alone.

    Parameters
    ----------
    seed : int
        The same study, count and seed give the same answers; a second call continues with other listeners.

    Returns
    -------
    result : dict
        study, listeners, finished, left, ratings, judgements, seed, and model: the numbers behind the
        answers.

    Raises
    ------
    ListeningError
        If people took part in the study, it is closed, or `count` is out of range.
    """
    if not 1 <= count <= MOST_LISTENERS:
        raise ListeningError(f"count is 1-{MOST_LISTENERS:,} listeners, got {count}")
    if seed < 0:
        raise ListeningError(f"seed is 0 or more, got {seed}")
    model = model or ListenerModel()
    _make_simulated(study, model)
    study.refresh_from_db()
    n_before = study.participants.count()
    truth = _Truth(study, model)
    # Their day ends now: nothing in the database lies in the future.
    first_start = timezone.now() - datetime.timedelta(minutes=10 * count + 60)
    _open_by(study, first_start)
    finished = 0
    for number in range(count):
        rng = Random(f"{seed}:{n_before}:{number}")
        with compressed(first_start + datetime.timedelta(minutes=10 * number)) as clock, transaction.atomic():
            session = _Sitting(study, truth, rng, clock).run()
        finished += session.finished_at is not None
        if progress:
            progress(number + 1, count, "listeners")
    answers = Trial.objects.filter(session__participant__study=study)
    return {
        "study": study.slug,
        "listeners": count,
        "finished": finished,
        "left": count - finished,
        "ratings": answers.filter(rating__isnull=False, kind__in=("main", "repeat")).count(),
        "judgements": answers.filter(judgement__isnull=False).count(),
        "seed": seed,
        "simulated": True,
        "model": study.simulation,
    }


@transaction.atomic
def _make_simulated(study: Study, model: ListenerModel) -> None:
    """Mark a study as simulated and keep the model with it.

    Raises
    ------
    ListeningError
        If people took part in it, or it is closed.
    """
    study = Study.objects.select_for_update().get(pk=study.pk)
    if study.state == Study.State.CLOSED:
        raise ListeningError(f"the study {study.slug!r} is closed and takes no more listeners")
    people = study.participants.filter(is_simulated=False).count()
    people += study.withdrawals.filter(is_simulated=False).count()
    if people:
        raise ListeningError(
            f"{people} {'person has' if people == 1 else 'people have'} taken part in the study "
            f"{study.slug!r}; "
            f"simulated listeners never mix with them: give the file another slug and create it again"
        )
    if not study.is_simulated:
        study.is_simulated = True
        study.save(update_fields=["is_simulated"])
    if study.simulation != asdict(model):
        study.simulation = asdict(model)
        study.save(update_fields=["simulation"])


def _open_by(study: Study, moment: datetime.datetime) -> None:
    """Let an open study have been open since `moment` at the latest: nobody starts before it opens.

    The sittings of simulated listeners lie in the past, so the opening of their study has to go before them.
    """
    if study.opened_at is not None and study.opened_at > moment:
        study.opened_at = moment
        study.save(update_fields=["opened_at"])


class _Truth:
    """The simulated world: the quality of each condition and piece, the same for all listeners."""

    def __init__(self, study: Study, model: ListenerModel):
        self.model = model
        items = Item.objects.filter(study=study).select_related("condition", "stimulus")
        self.items = {item.pk: item for item in items}
        self.quality: dict[int, float] = {}
        conditions: dict[int, float] = {}
        for condition in Condition.objects.filter(study=study):
            rng = Random(f"{study.slug}:{study.seed}:condition:{condition.name}")
            spread = model.sd_condition if condition.role == Condition.Role.GENERATED else 0
            conditions[condition.pk] = model.quality(condition.role) + rng.gauss(0, spread)
        for item in self.items.values():
            rng = Random(f"{study.slug}:{study.seed}:piece:{item.stimulus.recipe_sha256}")
            base = conditions.get(item.condition_id, model.quality_generated)
            self.quality[item.pk] = base + rng.gauss(0, model.sd_piece)


class _Sitting:
    """One simulated listener from consent to the last page."""

    def __init__(self, study: Study, truth: _Truth, rng: Random, clock: Clock):
        self.study, self.truth, self.model = study, truth, truth.model
        self.rng, self.clock = rng, clock
        self.bias = rng.gauss(0, self.model.sd_listener)
        self.criterion = rng.gauss(self.model.criterion_mean, self.model.criterion_sd)
        self.is_careless = rng.random() < self.model.careless
        self.tastes: dict[int, float] = {}
        self.must_hear = study.design["listening"]["must_hear"]
        self.must_hear_again = study.design["listening"]["must_hear_again_seconds"]

    def run(self) -> Session:
        """Take part; give the session as it ended."""
        session = start_session(
            study=self.study,
            consent_sha256=consent_text(self.study)[1],
            is_simulated=True,
            seed=self.rng.getrandbits(62),
        )
        n_trials = session.trials.count()
        leaves_at = self.rng.randrange(1, n_trials) if self.rng.random() < self.model.dropout else None
        self.clock.advance(30)
        complete_sound_check(session=session, answers={"n_tones": 3, "right": True, "device": "simulated"})
        self.clock.advance(20)
        record_background(session=session, answers={})
        n_answered = 0
        while (trial := current_trial(session)) is not None:
            if n_answered == leaves_at:
                return session
            trial.session = session
            if session.stage == Session.Stage.ATTRIBUTION:
                self.judge(trial)
            else:
                self.rate(trial)
            n_answered += 1
        if session.stage == Session.Stage.COMMENT:
            self.clock.advance(10)
            record_comment(session=session, comment="")
        return session

    def rate(self, trial: Trial) -> None:
        """Hear a piece, all of it or just enough, and rate it."""
        seconds = trial.item.stimulus.seconds
        heard = min(seconds, seconds * self.must_hear + 0.5) if self.is_careless else seconds
        self.hear(trial, heard, page=f"simulated-{trial.position}")
        pause = self.model.seconds_median * math.exp(self.rng.gauss(0, 0.5))
        self.clock.advance(pause)
        record_rating(trial=trial, value=self.value_of(trial), response_time_ms=int(1000 * (heard + pause)))

    def hear(self, trial: Trial, heard: float, *, page: str) -> None:
        """Play a piece from its start for `heard` seconds."""
        self.clock.advance(self.rng.uniform(0.5, 2.5) + heard)
        events = [
            {"sequence": 0, "kind": "play", "trial": trial.public_id, "client_ms": 900},
            {
                "sequence": 1,
                "kind": "heard",
                "trial": trial.public_id,
                "client_ms": 900 + int(1000 * heard),
                "from_seconds": 0.0,
                "to_seconds": heard,
            },
        ]
        record_events(session=trial.session, page=page, events=events)

    def value_of(self, trial: Trial) -> int:
        """The rating, by the model."""
        item = self.truth.items[trial.item_id]
        if self.is_careless:
            return self.rng.randint(1, 10)
        if item.requested_value is not None:
            slip = self.rng.choice((-1, 1)) if self.rng.random() < self.model.lapse else 0
            return item.requested_value + slip
        taste = self.tastes.setdefault(item.condition_id, self.rng.gauss(0, self.model.sd_listener_condition))
        liking = self.truth.quality[item.pk] + self.bias + taste + self.rng.gauss(0, self.model.sd_noise)
        return min(10, max(1, round(liking)))

    def judge(self, trial: Trial) -> None:
        """Hear just enough of a piece again; say human or machine, how sure, and whether it is known."""
        item, ask = self.truth.items[trial.item_id], self.study.design["ask"]
        role = item.condition.role
        heard = min(trial.item.stimulus.seconds, self.must_hear_again + self.rng.uniform(0.5, 4))
        self.hear(trial, heard, page=f"simulated-again-{trial.position}")
        pause = 1 + 3 * self.rng.random()
        self.clock.advance(pause)
        centre = {
            Condition.Role.REAL: self.model.d_prime,
            Condition.Role.LOW_ANCHOR: self.model.anchor_impression,
        }
        impression = self.rng.gauss(centre.get(role, 0.0), 1) - self.criterion
        familiarity = Judgement.Familiarity.NEW
        if role == Condition.Role.REAL and self.rng.random() < self.model.known_real:
            familiarity, impression = Judgement.Familiarity.KNOWN, abs(impression) + 1
        elif self.rng.random() < self.model.familiar:
            familiarity = Judgement.Familiarity.FAMILIAR
        judged_human = self.rng.random() < 0.5 if self.is_careless else impression > 0
        confidence = 1 + sum(abs(impression) > bound for bound in (0.4, 0.9, 1.5))
        record_judgement(
            trial=trial,
            judged_human=judged_human,
            confidence=confidence if ask["confidence"] else None,
            familiarity=familiarity if ask["familiarity"] else "",
            response_time_ms=int(1000 * (heard + pause)),
        )
