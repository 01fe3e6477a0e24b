"""One sitting, from consent to the last page: each function is one event of it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import math
import secrets
from collections import Counter
from collections.abc import Sequence
from random import Random

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from studies.listening import assignment, consent
from studies.listening.clock import now
from studies.listening.errors import (
    AlreadyStarted,
    ConsentChanged,
    ListeningError,
    NotItsTurn,
    StudyNotOpen,
    TooManyStarts,
)
from studies.listening.models import (
    ConsentText,
    Event,
    Item,
    Participant,
    Session,
    Study,
    Trial,
    new_token,
)
from studies.listening.selectors import (
    consent_text,
    current_trial,
    open_trials,
    reservation_length,
    stages_of,
)

Stage = Session.Stage

EVENT_KINDS = ("loaded", "play", "pause", "ended", "heard", "seek", "hidden", "visible", "error")
MAX_EVENTS_PER_BATCH = 500
MAX_EVENTS_PER_SESSION = 20_000
MAX_ANSWERS_CHARACTERS = 4000
LARGEST_INTEGER = 2**31 - 1

#: What of a session changes as it goes on.
STANDING = ("stage", "stage_entered_at", "finished_at", "sound_check", "comment")


@transaction.atomic
def start_session(
    *,
    study: Study,
    consent_sha256: str,
    external_id: str = "",
    start_key: str = "",
    token: str = "",
    is_simulated: bool = False,
    seed: int | None = None,
) -> Session:
    """Take in a listener who agreed, and draw the order in which they hear the pieces.

    Starting is one at a time per study, so that two who start together get balanced orders. A consent page
    that is sent twice, known by its random `start_key`, gets the session that it started. An `external_id`
    starts one session; only who has its `token`, from the cookie, or sends the same page, gets it again: ids
    of recruiters can be guessed.

    Raises
    ------
    AlreadyStarted
        If the `external_id` has a session, and neither `token` nor `start_key` is the one of that session.
    TooManyStarts
        If `settings.MOST_STARTS_PER_MINUTE` people began within a minute: a script that starts sessions would
        otherwise reserve every place.
    StudyNotOpen
        If the study is not open; simulated listeners may also dry-run the draft of a simulated study.
    ConsentChanged
        If `consent_sha256` is not the hash of the text that the study shows.
    ListeningError
        If people and simulated listeners would mix.
    """
    study = Study.objects.select_for_update().get(pk=study.pk)
    public_id = public_id_of(study, start_key) if start_key else new_token()
    there = _session_there(study, public_id=public_id, external_id=external_id, token=token)
    if there is not None:
        return there
    _refuse_closed(study, is_simulated=is_simulated)
    if is_simulated != study.is_simulated:
        raise ListeningError(
            f"the study {study.slug!r} holds {'simulated listeners' if study.is_simulated else 'people'} "
            "only; "
            f"{'simulated listeners' if is_simulated else 'people'} never mix with them"
        )
    text, text_sha256 = consent_text(study)
    if not secrets.compare_digest(consent_sha256.encode(), text_sha256.encode()):
        raise ConsentChanged(
            f"the consent text has changed: agreed to {consent_sha256[:12] or 'none'}, "
            f"the study shows {text_sha256[:12]}; read it again"
        )
    _refuse_floods(study)
    ConsentText.objects.get_or_create(study=study, sha256=text_sha256, defaults={"text": text})
    seed = secrets.randbits(62) if seed is None else seed
    participant = Participant.objects.create(
        study=study,
        public_id=public_id,
        external_id=external_id,
        is_simulated=is_simulated,
        consented_at=now(),
        consent_sha256=consent_sha256,
    )
    rng = order_rng(study, seed)
    session = Session.objects.create(
        participant=participant, seed=seed, machine_first=rng.random() < 0.5, stage=stages_of(study)[0]
    )
    Trial.objects.bulk_create(_draw_trials(study, session, rng))
    session.save(update_fields=["order_row"])
    return session


def _session_there(study: Study, *, public_id: str, external_id: str, token: str) -> Session | None:
    """The session that this consent page or this recruiter's id has started already."""
    sessions = Session.objects.filter(participant__study=study).select_related("participant__study")
    same = Q(participant__public_id=public_id)
    if external_id:
        same |= Q(participant__external_id=external_id)
    session = sessions.filter(same).first()
    if session is None:
        return None
    is_theirs = session.participant.public_id == public_id or secrets.compare_digest(
        session.token.encode(), token.encode()
    )
    if not is_theirs:
        raise AlreadyStarted(
            f"the id {external_id!r} has begun the study {study.slug!r} already; go on in the browser in "
            "which it began"
        )
    return session


def _refuse_floods(study: Study) -> None:
    """So many people cannot have read the consent page within a minute."""
    minute_ago = now() - datetime.timedelta(minutes=1)
    begun = Session.objects.filter(participant__study=study, started_at__gt=minute_ago).count()
    if begun >= settings.MOST_STARTS_PER_MINUTE:
        raise TooManyStarts(
            f"{begun} listeners began the study {study.slug!r} within a minute; at most "
            f"{settings.MOST_STARTS_PER_MINUTE} may (EARWITNESS_MOST_STARTS)"
        )


def order_rng(study: Study, seed: int) -> Random:
    """The chance behind one listener's order; both the study's secret and the session's seed repeat it.

    By the seed alone, whoever knows the pieces could draw the order again, and read the key off it.
    """
    return Random(hmac.digest(study.draw_secret.encode(), str(seed).encode(), "sha256"))


def public_id_of(study: Study, start_key: str) -> str:
    """The public id of the participant whose consent page had this key; it does not tell the key."""
    digest = hashlib.sha256(f"{study.pk} {start_key}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _refuse_closed(study: Study, *, is_simulated: bool) -> None:
    """Only an open study takes listeners; a simulated one can be dry-run before it opens."""
    if study.state == Study.State.OPEN:
        return
    if study.state == Study.State.DRAFT and study.is_simulated and is_simulated:
        return
    if study.state == Study.State.CLOSED:
        raise StudyNotOpen(f"the study {study.slug!r} is closed and takes no more listeners")
    raise StudyNotOpen(f"the study {study.slug!r} is not open yet; run: open_study {study.slug}")


def _draw_trials(study: Study, session: Session, rng: Random) -> list[Trial]:
    """The trials of a new session at their positions, by what earlier listeners heard and where."""
    plan, practice = plan_of(study)
    practice = rng.sample(practice, plan.n_practice)
    row, session.order_row = assignment.draw(plan, history_of(study, plan), rng)
    row = [assignment.Placed(item, Trial.Kind.PRACTICE) for item in practice] + row
    mixed: list[int | None] = [None] * len(row)
    if study.design["ask"]["human_or_machine"] != "no":
        main = [place for place, placed in enumerate(row) if placed.kind == assignment.MAIN]
        for attribution_position, place in enumerate(rng.sample(main, len(main)), start=1):
            mixed[place] = attribution_position
    return [
        Trial(
            session=session,
            item_id=placed.item,
            kind=placed.kind,
            position=position,
            attribution_position=mixed[position - 1],
        )
        for position, placed in enumerate(row, start=1)
    ]


def plan_of(study: Study) -> tuple[assignment.Plan, list[int]]:
    """What the orders of a study are drawn from, and its practice items.

    Raises
    ------
    ListeningError
        If the study has no pieces.
    """
    design = study.design["session"]
    # Sorted by what they are: the same secret and seed give the same order on another installation too.
    items = Item.objects.filter(study=study).select_related("condition", "stimulus")
    items = list(items.order_by("stimulus__recipe_sha256", "pk"))
    pieces = tuple(
        assignment.Candidate(item=item.pk, condition=item.condition_id, role=item.condition.role)
        for item in items
        if item.use == Item.Use.MAIN
    )
    if not pieces:
        raise ListeningError(f"the study {study.slug!r} has no pieces; create it again")
    practice = [item.pk for item in items if item.use == Item.Use.PRACTICE]
    plan = assignment.Plan(
        pieces=pieces,
        checks=tuple(item.pk for item in items if item.use == Item.Use.ATTENTION),
        n_trials=design["trials"],
        n_repeats=design["repeats"],
        n_checks=design["attention_checks"],
        n_practice=min(len(practice), design["practice"]),
        is_balanced=design["order"] == "balanced",
        secret=study.draw_secret,
    )
    return plan, practice


def history_of(study: Study, plan: assignment.Plan) -> assignment.History:
    """What earlier listeners heard where, as far as the plan asks, in sessions that count.

    Those that reached the end do, and those under way as long as their place is reserved: who leaves gives it
    back. A piece that was left out was not presented, and a row of a square with one is given again.
    """
    still_here = Q(finished_at=None, last_seen_at__gte=now() - reservation_length(study))
    counted = Session.objects.filter(Q(finished_at__isnull=False) | still_here, participant__study=study)
    if plan.has_squares:
        skipped = Trial.objects.filter(session=OuterRef("pk"), kind=Trial.Kind.MAIN, skipped_at__isnull=False)
        rows = (
            counted.exclude(Exists(skipped))
            .exclude(order_row=None)
            .order_by()
            .values_list("order_row")
            .annotate(n=Count("pk"))
        )
        return assignment.History(rows=Counter(dict(rows)))
    main = Trial.objects.filter(session__in=counted, kind=Trial.Kind.MAIN, skipped_at=None).order_by()
    positions = main.values_list("item", "position").annotate(n=Count("pk"))
    return assignment.History(
        positions=Counter({(item, position): n for item, position, n in positions}),
        followers=_followers(main),
    )


def _followers(main: QuerySet[Trial]) -> Counter:
    """How often each main piece followed each other one."""
    before = Trial.objects.filter(
        session=OuterRef("session"), position=OuterRef("position") - 1, kind=Trial.Kind.MAIN
    )
    pairs = main.annotate(before=Subquery(before.values("item"))).exclude(before=None)
    counts = pairs.values_list("before", "item").annotate(n=Count("pk"))
    return Counter({(one, other): n for one, other, n in counts})


def lock_session(session: Session) -> Session:
    """The session as it stands in the database, locked until the end of the transaction.

    Raises
    ------
    ListeningError
        If its participant withdrew.
    """
    locked = Session.objects.select_for_update(of=("self",)).select_related("participant__study")
    try:
        return locked.get(pk=session.pk)
    except Session.DoesNotExist:
        raise ListeningError("this session was withdrawn: nothing of it is kept or can be added") from None


def refuse_late(session: Session) -> None:
    """Answers end with the study; who is in the middle has `consent.GRACE_MINUTES` more, until unblinding.

    Raises
    ------
    StudyNotOpen
        If that time is over.
    """
    study = session.participant.study
    if study.state != Study.State.CLOSED:
        return
    minutes = (now() - study.closed_at).total_seconds() / 60 if study.closed_at else math.inf
    if minutes > consent.GRACE_MINUTES or study.unblinded_at is not None:
        raise StudyNotOpen(f"the study {study.slug!r} has ended; answers given so far are kept")


def move_on(session: Session) -> None:
    """Bring a locked session to the first stage that still asks something, and store it as seen now."""
    stages = stages_of(session.participant.study)
    with_trials = (Stage.PRACTICE, Stage.RATING, Stage.ATTRIBUTION)
    while session.stage in with_trials and not open_trials(session).exists():
        enter(session, stages[stages.index(session.stage) + 1])
    session.last_seen_at = now()
    session.save(update_fields=[*STANDING, "last_seen_at"])


def enter(session: Session, stage: str) -> None:
    """Move a locked session to a stage; arriving at the debrief finishes it."""
    session.stage = stage
    session.stage_entered_at = now()
    if stage == Stage.DEBRIEF and session.finished_at is None:
        session.finished_at = now()


def follow(session: Session, locked: Session) -> None:
    """Let the caller's object see what the locked one has become."""
    for field in (*STANDING, "last_seen_at"):
        setattr(session, field, getattr(locked, field))


def leave_stage(session: Session, stage: str) -> Session | None:
    """Lock a session that stands at `stage` and enter the next; None if it has left that stage before.

    Coming back to a finished page (a double click, the back button) changes nothing.
    """
    locked = lock_session(session)
    stages = stages_of(locked.participant.study)
    if stage not in stages or stages.index(locked.stage) > stages.index(stage):
        follow(session, locked)
        return None
    if locked.stage != stage:
        raise NotItsTurn(f"the page {str(stage)!r} comes later; the session stands at {locked.stage!r}")
    refuse_late(locked)
    enter(locked, stages[stages.index(stage) + 1])
    return locked


@transaction.atomic
def complete_sound_check(*, session: Session, answers: dict) -> None:
    """Store what was heard in the sound check, and go on. Recorded, never a reason to turn anybody away."""
    answers = checked_answers(answers)
    locked = leave_stage(session, Stage.SOUND_CHECK)
    if locked is not None:
        locked.sound_check = answers
        move_on(locked)
        follow(session, locked)


@transaction.atomic
def record_background(*, session: Session, answers: dict) -> None:
    """Store the background form, and go on."""
    answers = checked_answers(answers)
    locked = leave_stage(session, Stage.BACKGROUND)
    if locked is not None:
        Participant.objects.filter(pk=locked.participant_id).update(background=answers)
        move_on(locked)
        follow(session, locked)


def checked_answers(answers: dict) -> dict:
    """Answers of a form as plain JSON values.

    Raises
    ------
    ListeningError
        If they are no flat mapping of names to text, numbers and truth values, or too long.
    """
    plain = (str, int, float, bool, type(None))
    if not isinstance(answers, dict) or not all(isinstance(value, plain) for value in answers.values()):
        raise ListeningError("answers are a mapping of names to text, numbers or truth values")
    if any(isinstance(value, float) and not math.isfinite(value) for value in answers.values()):
        raise ListeningError("an answer is no finite number")
    n_characters = sum(len(str(key)) + len(str(value)) for key, value in answers.items())
    if n_characters > MAX_ANSWERS_CHARACTERS:
        raise ListeningError(f"answers have at most {MAX_ANSWERS_CHARACTERS} characters, got {n_characters}")
    return {str(key): _without_nul(value) for key, value in answers.items()}


def _without_nul(value: object) -> object:
    """A value that PostgreSQL can store: it keeps no NUL in text."""
    return value.replace("\x00", "") if isinstance(value, str) else value


@transaction.atomic
def record_events(*, session: Session, page: str, events: Sequence[dict]) -> int:
    """Store what a page did; give how many were new.

    A batch that is sent again adds nothing. Events that name a trial of somebody else or an unknown kind, or
    that are malformed, are dropped: the rest of a batch must not be lost with them. So are all beyond
    `MAX_EVENTS_PER_SESSION`.

    Parameters
    ----------
    page : str
        Random for each load of a page, at most 22 characters.
    events : sequence of dict
        Each with ``sequence`` (from 0), ``kind`` and ``client_ms``, and as they apply ``trial`` (public id),
        ``from_seconds``, ``to_seconds`` and ``detail``.

    Raises
    ------
    ListeningError
        If `page` is no such name, the batch is larger than `MAX_EVENTS_PER_BATCH`, or the session was
        withdrawn.
    """
    if not (isinstance(page, str) and 1 <= len(page) <= 22):
        raise ListeningError(f"a page is named by 1-22 characters, got {str(page)[:30]!r}")
    if not isinstance(events, list | tuple) or len(events) > MAX_EVENTS_PER_BATCH:
        raise ListeningError(f"a batch is a list of at most {MAX_EVENTS_PER_BATCH} events")
    locked = lock_session(session)
    trials = dict(locked.trials.values_list("public_id", "pk"))
    stored = set(locked.events.filter(page=page).values_list("sequence", flat=True))
    room = MAX_EVENTS_PER_SESSION - locked.events.count()
    rows = []
    for event in events:
        row = _event_row(locked, page, event, trials)
        if row is not None and row.sequence not in stored and len(rows) < room:
            stored.add(row.sequence)
            rows.append(row)
    Event.objects.bulk_create(rows, ignore_conflicts=True)
    if locked.finished_at is None:
        Session.objects.filter(pk=locked.pk).update(last_seen_at=now())
    return len(rows)


def _event_row(session: Session, page: str, event: dict, trials: dict[str, int]) -> Event | None:
    """The row of one event, or None if it is none."""
    if not isinstance(event, dict) or event.get("kind") not in EVENT_KINDS:
        return None
    sequence = _whole(event.get("sequence"), LARGEST_INTEGER)
    client_ms = _whole(event.get("client_ms"), 2**53)
    name = event.get("trial")
    if (
        sequence is None
        or client_ms is None
        or (name and trials.get(name if type(name) is str else "") is None)
    ):
        return None
    seconds = [_seconds(event.get(key)) for key in ("from_seconds", "to_seconds")]
    if event["kind"] == "heard" and (None in seconds or not name):
        return None
    return Event(
        session=session,
        trial_id=trials[name] if name else None,
        page=page,
        sequence=sequence,
        kind=event["kind"],
        from_seconds=seconds[0],
        to_seconds=seconds[1],
        detail=str(event.get("detail") or "").replace("\x00", "")[:200],
        client_ms=client_ms,
        received_at=now(),
    )


def _whole(value: object, largest: int) -> int | None:
    """A whole number from 0 to `largest`, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        return None
    return int(value)


def _seconds(value: object) -> float | None:
    """A finite number of seconds, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e6 else None


@transaction.atomic
def skip_trial(*, trial: Trial, reason: str) -> None:
    """Go on without an answer because the sound does not play: noted, and never held against the listener.

    Skipping twice, or after an answer, changes nothing.

    Raises
    ------
    NotItsTurn
        If the session has not reached the trial.
    """
    locked = lock_session(trial.session)
    refuse_late(locked)
    current = current_trial(locked)
    if current is None or current.pk != trial.pk:
        refuse_early(locked, trial)
        follow(trial.session, locked)
        return
    field = "judgement_skipped_at" if locked.stage == Stage.ATTRIBUTION else "skipped_at"
    setattr(current, field, now())
    current.skip_reason = str(reason).replace("\x00", "")[:200]
    current.save(update_fields=[field, "skip_reason"])
    setattr(trial, field, getattr(current, field))
    move_on(locked)
    follow(trial.session, locked)


def refuse_early(session: Session, trial: Trial) -> None:
    """Refuse an answer to a trial that still waits for its turn; one that had its turn passes.

    Raises
    ------
    NotItsTurn
        Naming both positions.
    """
    stages = stages_of(session.participant.study)
    home = Stage.PRACTICE if trial.kind == Trial.Kind.PRACTICE else Stage.RATING
    waits = (
        stages.index(session.stage) < stages.index(home) or open_trials(session).filter(pk=trial.pk).exists()
    )
    if waits:
        current = current_trial(session)
        where = f"trial {current.position}" if current else f"the page {session.stage!r}"
        raise NotItsTurn(f"trial {trial.position} has not its turn yet; the session stands at {where}")


@transaction.atomic
def record_comment(*, session: Session, comment: str) -> None:
    """Store the last remark, which may be empty, and finish the session."""
    longest = Session._meta.get_field("comment").max_length
    if len(comment) > longest:
        raise ListeningError(f"a comment has at most {longest:,} characters, got {len(comment):,}")
    locked = leave_stage(session, Stage.COMMENT)
    if locked is not None:
        locked.comment = comment.replace("\x00", "")
        move_on(locked)
        follow(session, locked)


@transaction.atomic
def finish_session(*, session: Session) -> None:
    """End a session whose every question was asked; ending it twice changes nothing.

    Raises
    ------
    NotItsTurn
        If a stage before the comment still waits for answers.
    """
    locked = lock_session(session)
    if locked.stage == Stage.COMMENT:
        refuse_late(locked)
        enter(locked, Stage.DEBRIEF)
        move_on(locked)
    elif locked.stage != Stage.DEBRIEF:
        raise NotItsTurn(f"the session stands at {locked.stage!r} and is not at its end yet")
    follow(session, locked)
