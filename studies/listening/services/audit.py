"""A listener who takes part in order to find out: what a browser gets before the debrief, searched for leaks.

The listener walks through the pages as a browser without eyes does: it follows the forms, fetches the sounds,
sends the events. Study, listener and answers exist in a transaction that is rolled back.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets as randomness
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.test import Client, override_settings
from django.urls import reverse

from studies.catalog.models import Piece, Stimulus
from studies.listening import blinding
from studies.listening.clock import Clock, compressed
from studies.listening.models import Condition, Item, Participant, Session, Study, Trial
from studies.listening.selectors import consent_text, current_trial

#: Added to row numbers during the audit: none of them can stand on a page by chance.
FAR = 7_310_000_000_000

MOST_STEPS = 600
MOST_TRIES = 6

#: Files whose words are the pages' own and tell nothing about any piece.
WORDING = (
    "templates/listening",
    "templates/base.html",
    "studies/listening/static",
    "studies/listening/forms.py",
)

NAME_OF_CONDITION = "name of a condition"

Stage = Session.Stage


@dataclass
class Audit:
    """What the audit found."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)


class _UndoneError(Exception):
    """Ends the transaction of the audit."""


def audit_blindness(*, study: Study) -> Audit:
    """Play one listener up to the debrief and search everything that reached the browser.

    Raises nothing for what it finds; that the pages break or the way ends early is a problem like any other.
    """
    audit = Audit()
    with contextlib.suppress(_UndoneError), transaction.atomic(), _static_names(), compressed() as clock:
        _prepare(study)
        walk = _Walk(study, clock)
        try:
            walk.run()
            evidence = _gather(study, walk)
        except Exception as error:  # whatever breaks a page for the audit breaks it for listeners
            reason = " ".join(str(error).split())[:200]
            audit.problems.append(f"the pages break at {walk.at}: {type(error).__name__}: {reason}")
        raise _UndoneError
    if not audit.problems:
        _search(study, walk, evidence, audit)
    return audit


def _prepare(study: Study) -> None:
    """Open the study and give its rows numbers that are recognised anywhere; all of it is undone later."""
    Study.objects.filter(pk=study.pk).update(
        state=Study.State.OPEN, is_simulated=False, closed_at=None, unblinded_at=None
    )
    items = Item.objects.filter(study=study)
    stimuli = list(items.values_list("stimulus_id", flat=True))
    pieces = list(Stimulus.objects.filter(pk__in=stimuli).values_list("piece_id", flat=True))
    items.update(id=F("id") + FAR, stimulus_id=F("stimulus_id") + FAR)
    Stimulus.objects.filter(pk__in=stimuli).update(id=F("id") + FAR, piece_id=F("piece_id") + FAR)
    Piece.objects.filter(pk__in=pieces).update(id=F("id") + FAR)


@contextlib.contextmanager
def _static_names() -> Iterator[None]:
    """Let pages name their style sheets even where ``collectstatic`` has not been run yet."""
    manifest = Path(settings.STATIC_ROOT or "") / "staticfiles.json"
    if manifest.is_file():
        yield
        return
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with warnings.catch_warnings(), override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
        warnings.filterwarnings("ignore", message="No directory at")
        yield


class _Walk:
    """One listener's way through the pages."""

    def __init__(self, study: Study, clock: Clock):
        self.study, self.clock = study, clock
        self.client = Client(SERVER_NAME=_host())
        self.replies: list[blinding.Reply] = []
        self.session: Session | None = None
        self.at = self.home = reverse("listening:study", args=[study.slug])
        self.n_tries = 0
        self.is_complete = False
        self.before = set(Session.objects.filter(participant__study=study).values_list("pk", flat=True))

    def run(self) -> None:
        """Take part up to the debrief, which is not opened."""
        for _ in range(MOST_STEPS):
            standing = self.standing()
            if standing == (Stage.DEBRIEF, None):
                self.is_complete = True
                return
            self.step(self.get(self.home))
            self.n_tries = self.n_tries + 1 if self.standing() == standing else 0
            if self.n_tries >= MOST_TRIES:
                return

    def standing(self) -> tuple[str, int | None]:
        """Where the listener stands, by the database."""
        if self.session is None:
            new = Session.objects.filter(participant__study=self.study).exclude(pk__in=self.before).first()
            if new is None:
                return "landing", None
            self.session = _far_away(new)
        self.session.refresh_from_db()
        trial = current_trial(self.session)
        return self.session.stage, trial and trial.pk

    def step(self, html: str) -> None:
        """Answer the page: hear its sound, then send its form."""
        page = _Page()
        page.feed(html)
        form = next((form for form in page.forms if not form.is_aside), None)
        if form is None:
            self.n_tries = MOST_TRIES
            return
        data = {**page.data, **form.data}
        trial = data.get("trial", "")
        for address in ("audio", "next-audio"):
            if data.get(address):
                self.get(data[address], kind="sound", trial=trial)
        if trial and data.get("events") and self.session is not None:
            self.clock.advance(self.study.design["excerpt"]["seconds"] + 1)
            self.post(data["events"], self.heard(trial), kind="event")
        self.clock.advance(3)
        self.post(form.action, form.filled(self.n_tries), kind="answer")

    def heard(self, trial: str) -> dict[str, str]:
        """A batch that says that all of a trial was heard."""
        seconds = self.study.design["excerpt"]["seconds"]
        event = {"sequence": 0, "kind": "heard", "trial": trial, "client_ms": int(seconds * 1000)}
        event |= {"from_seconds": 0, "to_seconds": seconds}
        return {"page": randomness.token_urlsafe(12), "trial": trial, "events": json.dumps([event])}

    def get(self, url: str, *, kind: str = "", trial: str = "") -> str:
        """Fetch an address; give the page, if it is one."""
        reply = self.client.get(url, secure=settings.SECURE_SSL_REDIRECT)
        return self.keep(reply, url, kind, trial)

    def post(self, url: str, fields: dict[str, str], *, kind: str) -> str:
        """Send a form."""
        reply = self.client.post(url, fields, secure=settings.SECURE_SSL_REDIRECT)
        return self.keep(reply, url, kind, "")

    def keep(self, reply, url: str, kind: str, trial: str) -> str:
        """Put a reply by, for the search."""
        self.at = url
        body = _body_of(reply)
        headers = "\n".join(f"{name}: {value}" for name, value in reply.items())
        cookies = "\n".join(cookie.OutputString() for cookie in reply.cookies.values())
        stage, text = kind, ""
        if not kind:
            stage = self.session.stage if self.session else "landing"
        if "html" in reply.get("Content-Type", ""):
            text = body.decode("utf-8", errors="replace")
            found = re.search(r'data-trial="([^"]+)"', text)
            trial = found.group(1) if found else trial
        self.replies.append(
            blinding.Reply(stage, url, reply.status_code, f"{headers}\n{cookies}", body, trial)
        )
        return text


def _body_of(reply) -> bytes:
    """All bytes of a reply. A stream is read to its end: closing it early would close the database too."""
    return b"".join(reply.streaming_content) if reply.streaming else reply.content


def _far_away(session: Session) -> Session:
    """The session, its participant and trials under numbers that are recognised anywhere."""
    pk, participant_pk = session.pk + FAR, session.participant_id + FAR
    Participant.objects.filter(pk=session.participant_id).update(id=participant_pk)
    Trial.objects.filter(session=session).update(id=F("id") + FAR, session_id=pk)
    Session.objects.filter(pk=session.pk).update(id=pk, participant_id=participant_pk)
    return Session.objects.get(pk=pk)


def _host() -> str:
    """A host name that the site answers to."""
    hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return hosts[0] if hosts else "localhost"


@dataclass
class _Form:
    """A form of a page: where it goes, what it carries, what can be chosen."""

    action: str
    data: dict[str, str]
    fixed: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_aside(self) -> bool:
        """Whether it leads off the way: skipping a piece, or withdrawing."""
        return self.data.get("answer") == "skip" or "code" in self.fixed

    def filled(self, n_tries: int) -> dict[str, str]:
        """Answers: another choice at each further try."""
        answers = dict(self.fixed)
        for name, values in self.choices.items():
            answers[name] = values[n_tries % len(values)]
        agreeing = [button for button in self.buttons if button[1] == "agree"]
        answers.update(agreeing or self.buttons[-1:])
        return answers


class _Page(HTMLParser):
    """The forms of a page, and the addresses that it carries in data attributes."""

    def __init__(self):
        super().__init__()
        self.forms: list[_Form] = []
        self.data: dict[str, str] = {}
        self.is_inside = False

    def handle_starttag(self, tag, attrs):
        """Note forms, their fields, and data attributes."""
        given = {name: value or "" for name, value in attrs}
        data = {name[5:]: value for name, value in given.items() if name.startswith("data-")}
        if tag == "form":
            self.forms.append(_Form(given.get("action", ""), data))
            self.is_inside = True
            return
        if not self.is_inside:
            self.data |= data
            return
        form, name, value = self.forms[-1], given.get("name", ""), given.get("value", "")
        if not name:
            return
        if tag == "button" or given.get("type") == "submit":
            form.buttons.append((name, value))
        elif given.get("type") == "radio":
            form.choices.setdefault(name, []).append(value)
        elif given.get("type") == "checkbox":
            form.fixed[name] = value or "on"
        elif tag in ("input", "textarea", "select"):
            form.fixed[name] = value

    def handle_endtag(self, tag):
        """Leave a form."""
        if tag == "form":
            self.is_inside = False


@dataclass
class _Evidence:
    """What the database knew at the end of the walk."""

    standing: str
    secrets: list[blinding.Secret]
    roles: dict[str, str]  # of each main trial, by its random id
    stranger_status: int | None  # what somebody else gets who asks for a sound


def _gather(study: Study, walk: _Walk) -> _Evidence:
    """Collect it before the transaction ends, so that nobody waits while it is searched."""
    roles = {}
    if walk.session is not None:
        trials = walk.session.trials.filter(kind=Trial.Kind.MAIN)
        roles = dict(trials.values_list("public_id", "item__condition__role"))
    sounds = [reply for reply in walk.replies if reply.kind == "sound" and reply.trial in roles]
    address = sounds[0].url if sounds else None
    status = None
    if address is not None:
        reply = Client(SERVER_NAME=_host()).get(address, secure=settings.SECURE_SSL_REDIRECT)
        status = reply.status_code
        _body_of(reply)
    return _Evidence(walk.standing()[0], list(secrets_of(study)), roles, status)


def _search(study: Study, walk: _Walk, evidence: _Evidence, audit: Audit) -> None:
    """Look for every secret in every reply, and compare the pages of real and generated pieces."""
    if not walk.is_complete:
        audit.problems.append(
            f"the listener of the audit cannot get beyond {evidence.standing!r} ({walk.at})"
        )
    broken = [
        reply
        for reply in walk.replies
        if reply.status >= 500 or (reply.kind == "sound" and reply.status >= 400)
    ]
    audit.problems += [f"{reply.url} answers with status {reply.status}" for reply in broken[:3]]
    if evidence.stranger_status is not None and evidence.stranger_status < 400:
        audit.problems.append("a sound plays for whoever knows its address; only its listener may hear it")
    texts = (study.title, study.slug, study.design["instructions"], *study.design["scale"].values())
    wording = " ".join((*texts, consent_text(study)[0]))
    said = [secret for secret in evidence.secrets if secret.is_word and blinding.times_found(secret, wording)]
    audit.warnings += [
        f"the wording that listeners read names the condition {secret.text!r}"
        for secret in said
        if secret.what == NAME_OF_CONDITION
    ]
    secrets = [secret for secret in evidence.secrets if secret not in said]
    found = blinding.leaks(walk.replies, secrets, vocabulary=_vocabulary())
    found += _telling_differences(walk, evidence.roles)
    audit.problems += found
    audit.facts = {
        "requests": len(walk.replies),
        "bytes": sum(len(reply.body) for reply in walk.replies),
        "sounds": sum(reply.kind == "sound" for reply in walk.replies),
        "secrets": len(secrets),
        "leaks": len(found),
        "complete": walk.is_complete,
    }


def secrets_of(study: Study) -> Iterator[blinding.Secret]:
    """All that no listener may see: names, roles, files, hashes, row numbers, researchers' labels.

    Single characters and small numbers are left out: they stand on every page.
    """
    seen = set()
    for secret in _secrets(study):
        is_common = int(secret.text) < FAR if secret.text.isdecimal() else len(secret.text) < 2
        key = (secret.text.lower(), secret.is_word)
        if not is_common and key not in seen:
            seen.add(key)
            yield secret


def _secrets(study: Study) -> Iterator[blinding.Secret]:
    for condition in study.conditions.all():
        yield blinding.Secret(NAME_OF_CONDITION, condition.name, is_word=True)
    for role in Condition.Role.values:
        yield blinding.Secret("role", role, is_word=True)
        yield blinding.Secret("role", role.replace("_", " "), is_word=True)
        yield blinding.Secret("role", role.replace("_", "-"), is_word=True)
    for kind in (Trial.Kind.MAIN, Trial.Kind.REPEAT, Trial.Kind.ATTENTION):
        yield blinding.Secret("kind of a trial", kind, is_word=True)
    items = Item.objects.filter(study=study).select_related(
        "stimulus__piece__corpus",
        "stimulus__piece__generation__model",
        "stimulus__piece__scrambled_from__corpus",
        "stimulus__piece__scrambled_from__generation",
    )
    for item in items:
        stimulus, piece = item.stimulus, item.stimulus.piece
        yield blinding.Secret("label of a piece", item.label, is_word=True)
        for row in (item, stimulus, piece):
            yield blinding.Secret("row number", str(row.pk))
        yield blinding.Secret("name of a piece", piece.name, is_word=True)
        yield blinding.Secret("origin of a piece", piece.origin_name, is_word=True)
        if piece.generation_id:
            yield blinding.Secret("model of a piece", piece.generation.model.name, is_word=True)
            yield blinding.Secret("family of a piece", piece.generation.model.family, is_word=True)
        if piece.source:
            yield blinding.Secret("file of a piece", Path(piece.source).stem, is_word=True)
        for path in (stimulus.mp3_path, stimulus.flac_path, piece.midi_path, piece.audio_path):
            if path:
                yield blinding.Secret("storage name", Path(path).stem)
        for digest in (stimulus.recipe_sha256, stimulus.mp3_sha256, stimulus.flac_sha256, piece.sha256):
            yield blinding.Secret("hash", digest)
        for public_id in (stimulus.public_id, piece.public_id):
            yield blinding.Secret("id of a piece", str(public_id))
            yield blinding.Secret("id of a piece", public_id.hex)
    yield blinding.Secret("secret of the draw", study.draw_secret)
    session = Session.objects.filter(participant__study=study, pk__gt=FAR).first()
    if session is not None:
        yield blinding.Secret("row number", str(session.pk))
        yield blinding.Secret("row number", str(session.participant_id))
        yield blinding.Secret("seed of the order", str(session.seed))
        for pk in session.trials.values_list("pk", flat=True):
            yield blinding.Secret("row number", str(pk))


def _vocabulary() -> frozenset[str]:
    """The words of the pages themselves."""
    words: set[str] = set()
    for place in WORDING:
        path = settings.BASE_DIR / place
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.suffix in {".html", ".js", ".css", ".py"}:
                words |= set(re.findall(r"[a-z]+", file.read_text(encoding="utf-8").lower()))
    return frozenset(words)


def _telling_differences(walk: _Walk, roles: dict[str, str]) -> list[str]:
    """What differs, page by page and sound by sound, between real and generated pieces."""
    found = []
    for stage in (Stage.RATING, Stage.ATTRIBUTION):
        pages = [
            (roles[reply.trial], reply.text)
            for reply in walk.replies
            if reply.kind == stage and reply.trial in roles and reply.status == 200
        ]
        found += [
            f"a line of the {stage} page stands only with pieces of one role: {line[:120]!r}"
            for line in blinding.telling_lines(pages)
        ]
    sounds = [reply for reply in walk.replies if reply.kind == "sound" and reply.trial]
    if len({reply.headers for reply in sounds}) > 1:
        found.append("the headers of the sounds differ from piece to piece; all must be equal")
    return found
