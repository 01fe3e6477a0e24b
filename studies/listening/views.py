"""The listener's way. The server knows where each listener stands; ``/s/<study>/`` always shows that screen.

A listener is known by a random token in a cookie that goes to their study alone. Every answer has an address
of its own and changes something once: what comes late, twice or out of turn leads back to the present screen.
Scripts are answered in JSON, forms with a redirect.
"""

import io
import logging
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from studies.listening import audio, forms, pages, selectors, services
from studies.listening.errors import (
    ConsentChanged,
    ListeningError,
    NotHeardEnough,
    StudyNotOpen,
    TooManyStarts,
    UnknownCode,
    WithdrawalOver,
)
from studies.listening.models import Session, Study, Trial
from studies.listening.services.sittings import refuse_late

logger = logging.getLogger(__name__)

COOKIE = "listener"
COOKIE_SECONDS = 90 * 24 * 3600
MAX_SOUND_CHECKS = 2

Stage = Session.Stage
no_store = cache_control(private=True, no_store=True)


# Who is asking


def session_of(request: HttpRequest, study: Study) -> Session | None:
    """The session of the listener whose browser asks, or None."""
    token = request.COOKIES.get(COOKIE, "")
    if not token:
        return None
    sessions = Session.objects.select_related("participant__study")
    return sessions.filter(token=token, participant__study=study).first()


def remember(response: HttpResponseBase, session: Session) -> None:
    """Let this browser be known as the session's listener, on the addresses of its study alone."""
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=COOKIE_SECONDS,
        path=reverse("listening:study", args=[session.participant.study.slug]),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def forget(response: HttpResponseBase, study: Study) -> None:
    """Let this browser be known as nobody."""
    response.delete_cookie(COOKIE, path=reverse("listening:study", args=[study.slug]), samesite="Lax")


# What is answered


def show(
    request: HttpRequest,
    study: Study,
    template: str,
    page: object,
    *,
    session: Session | None = None,
    status: int = 200,
    error: str = "",
):
    """A screen of a study: its template sees the page, the place, and nothing else."""
    context = {"page": page, "place": pages.place_of(study, session), "error": error}
    return render(request, f"listening/{template}.html", context, status=status)


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, and not a form."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def saved(request: HttpRequest, study: Study) -> HttpResponseBase:
    """The answer is in the database; the present screen is next."""
    if wants_json(request):
        return JsonResponse({"saved": True})
    return redirect("listening:study", study.slug)


def saved_or_stands(request: HttpRequest, study: Study, *, is_kept: bool) -> HttpResponseBase:
    """The answer is in the database, or another one that came first stands; the present screen is next."""
    if wants_json(request) and not is_kept:
        return JsonResponse({"saved": False, "stands": True}, status=409)
    return saved(request, study)


def moved_on(request: HttpRequest, study: Study) -> HttpResponseBase:
    """Nothing was changed, since the listener stands elsewhere; the present screen is next."""
    if wants_json(request):
        return JsonResponse({"saved": False}, status=409)
    return redirect("listening:study", study.slug)


def not_taken(request: HttpRequest, session: Session, error: str, **facts) -> HttpResponseBase:
    """The answer cannot be taken as it is: the same screen again, with the reason."""
    if wants_json(request):
        return JsonResponse({"saved": False, "error": error, **facts}, status=422)
    return screen_of(request, session, status=422, error=error)


def lost(request: HttpRequest, study: Study) -> HttpResponseBase:
    """An answer of nobody we know: the cookie is gone, or the answers were withdrawn."""
    if wants_json(request):
        return JsonResponse({"saved": False}, status=410)
    page = pages.MessagePage(
        heading="We cannot find your session",
        paragraphs=(
            "Your browser did not say who you are. Either your answers were deleted, or the browser does not "
            "keep cookies for this site. Allow cookies, or open the link in the browser that you began in.",
        ),
        onward_url=reverse("listening:study", args=[study.slug]),
        onward_word="Go to the study",
    )
    return show(request, study, "message", page, status=410)


def first_error(form) -> str:
    """The first thing that is wrong with a form, as one sentence."""
    return next(iter(form.errors.values()))[0]


def for_listener(view: Callable) -> Callable:
    """A view of one answer: POST only, never cached, called with the study and the listener's session."""

    @require_POST
    @no_store
    @wraps(view)
    def wrapped(request, slug, **kwargs):
        study = get_object_or_404(Study, slug=slug)
        session = session_of(request, study)
        if session is None:
            return lost(request, study)
        try:
            return view(request, study, session, **kwargs)
        except ListeningError:  # out of turn, too late, or withdrawn in another tab
            return moved_on(request, study)

    return wrapped


def trial_of(session: Session, public_id: str) -> Trial:
    """A trial of the session by its random address, or 404."""
    trial = get_object_or_404(
        Trial.objects.select_related("item__stimulus", "item__study"), public_id=public_id
    )
    if trial.session_id != session.pk:
        raise Http404
    trial.session = session
    return trial


# Screens


@require_safe
@no_store
def show_study(request, slug):
    """The screen at which the listener stands, whichever that is."""
    study = get_object_or_404(Study, slug=slug)
    session = session_of(request, study)
    if session is not None:
        return screen_of(request, session)
    refusal = not_taking_listeners(study)
    if refusal is not None:
        return show(request, study, "message", refusal)
    was_here = COOKIE in request.COOKIES
    notice = "Your earlier answers are no longer here. You can start again." if was_here else ""
    response = show(request, study, "landing", pages.landing_page(study, notice=notice))
    if was_here:
        forget(response, study)
    return response


def not_taking_listeners(study: Study) -> pages.MessagePage | None:
    """Why nobody can start a study now, as a screen; None where they can."""
    if study.is_simulated:
        return pages.MessagePage(
            heading="This study is a simulation",
            paragraphs=("It is heard by simulated listeners only and takes no answers from people.",),
        )
    if study.state == Study.State.DRAFT:
        return pages.MessagePage(
            heading="This study is not open yet",
            paragraphs=("Its researchers are still preparing it. Try the same link again later.",),
        )
    if study.state == Study.State.CLOSED:
        return pages.MessagePage(
            heading="This study is closed",
            paragraphs=("It takes no more listeners. Thank you for wanting to take part.",),
        )
    return None


def screen_of(
    request: HttpRequest, session: Session, *, status: int = 200, error: str = ""
) -> HttpResponseBase:
    """The present screen of a session."""
    study = session.participant.study
    if session.stage == Stage.DEBRIEF:
        return show(request, study, "debrief", pages.debrief_page(session))
    try:
        refuse_late(session)
    except StudyNotOpen:
        page = pages.MessagePage(
            heading="This study has closed",
            paragraphs=("The answers that you gave are kept. Thank you for them.",),
            withdrawal_code=session.participant.withdrawal_code,
        )
        return show(request, study, "message", page)
    template, page = PRESENT_SCREEN[session.stage](session)
    return show(request, study, template, page, session=session, status=status, error=error)


def present_trial(session: Session) -> Trial:
    """The trial that waits for an answer, bound to the session at hand."""
    trial = selectors.current_trial(session)
    trial.session = session
    return trial


#: Of each stage, its template and how to make its page.
PRESENT_SCREEN = {
    Stage.SOUND_CHECK: lambda session: ("sound_check", pages.sound_check_page(session)),
    Stage.BACKGROUND: lambda session: ("background", pages.background_page(session)),
    Stage.PRACTICE: lambda session: ("trial", pages.trial_page(present_trial(session))),
    Stage.RATING: lambda session: ("trial", pages.trial_page(present_trial(session))),
    Stage.ATTRIBUTION: lambda session: ("attribution", pages.attribution_page(present_trial(session))),
    Stage.COMMENT: lambda session: ("comment", pages.comment_page(session)),
}


@require_safe
@no_store
def show_declined(request, slug):
    """Thanks to somebody who would rather not, of whom nothing was kept."""
    study = get_object_or_404(Study, slug=slug)
    page = pages.MessagePage(
        heading="Thank you for considering it",
        paragraphs=("You declined, and nothing about you was kept. You may close this page.",),
        onward_url=reverse("listening:study", args=[study.slug]),
        onward_word="Back to the study",
    )
    return show(request, study, "message", page)


# Answers


def comes_from_elsewhere(request: HttpRequest) -> bool:
    """Whether the browser says that a form of another site sent this; no cookie is needed to know."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin != f"{request.scheme}://{request.get_host()}"
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


@csrf_exempt  # Django's token needs a cookie, and nothing is kept before Agree: `comes_from_elsewhere` guards
@require_POST
@no_store
def answer_consent(request, slug):
    """Start a session on Agree; keep nothing on anything else."""
    study = get_object_or_404(Study, slug=slug)
    if comes_from_elsewhere(request):
        return redirect("listening:study", slug)
    if request.POST.get("answer") != "agree":
        return redirect("listening:declined", slug)
    if session_of(request, study) is not None or not_taking_listeners(study) is not None:
        return redirect("listening:study", slug)
    form = forms.ConsentForm(request.POST, study=study)
    if not form.is_valid():
        notice = "Your agreement was incomplete, or its page too old. Read the page again, please."
        return show(request, study, "landing", pages.landing_page(study, notice=notice), status=422)
    try:
        session = services.start_session(study=study, **form.cleaned_data)
    except ConsentChanged:
        notice = "This text has changed since you opened it. Read it again, please."
        return show(request, study, "landing", pages.landing_page(study, notice=notice), status=409)
    except TooManyStarts:
        notice = "Very many listeners are beginning right now. Wait a minute, then agree once more, please."
        response = show(request, study, "landing", pages.landing_page(study, notice=notice), status=503)
        response["Retry-After"] = "60"
        return response
    except ListeningError:
        return redirect("listening:study", slug)
    response = redirect("listening:study", slug)
    remember(response, session)
    return response


@for_listener
def answer_sound_check(request, study, session):
    """Take the number of tones that were heard; a wrong one is asked for once more, then only recorded."""
    asks_device = study.design["listening"]["headphone_check"] != "no"
    form = forms.SoundCheckForm(request.POST, asks_device=asks_device)
    if not form.is_valid():
        return not_taken(request, session, first_error(form))
    n_played, n_heard = pages.n_test_tones(session), form.cleaned_data["n_tones"]
    attempt = form.cleaned_data["attempt"] or 1
    if n_heard != n_played and attempt < MAX_SOUND_CHECKS and session.stage == Stage.SOUND_CHECK:
        hint = (
            "Check that nothing is muted, turn the volume up, and play the sound again."
            if n_heard == 0
            else "That is not the number that was played. Turn the volume up a little, play it again, count."
        )
        return not_taken(request, session, hint)
    services.complete_sound_check(
        session=session,
        answers={
            "n_tones_played": n_played,
            "n_tones_heard": n_heard,
            "attempts": attempt,
            "is_passed": n_heard == n_played,
            "device": form.cleaned_data.get("device", ""),
        },
    )
    return saved(request, study)


@for_listener
def answer_background(request, study, session):
    """Take what the listener chose to say about themselves."""
    form = forms.BackgroundForm(request.POST)
    if not form.is_valid():
        return not_taken(request, session, first_error(form))
    given = {name: answer for name, answer in form.cleaned_data.items() if answer}
    services.record_background(session=session, answers=given)
    session.participant.refresh_from_db(fields=["background"])
    return saved_or_stands(request, study, is_kept=session.participant.background == given)


@for_listener
def rate_trial(request, study, session, public_id):
    """Take the rating of a trial, if enough of it was heard."""
    trial = trial_of(session, public_id)
    form = forms.RatingForm(request.POST)
    if not form.is_valid():
        return not_taken(request, session, first_error(form))
    try:
        rating = services.record_rating(trial=trial, **form.cleaned_data)
    except NotHeardEnough as error:
        return heard_too_little(request, session, error)
    return saved_or_stands(request, study, is_kept=rating.value == form.cleaned_data["value"])


def heard_too_little(request: HttpRequest, session: Session, error: NotHeardEnough) -> HttpResponseBase:
    """The same screen again, with the seconds that are still to be heard."""
    sentence = f"Please listen {max(1, round(error.seconds_left))} s more first."
    return not_taken(request, session, sentence, seconds_left=round(error.seconds_left, 2))


@for_listener
def judge_trial(request, study, session, public_id):
    """Take the human-or-machine answer of a trial."""
    trial = trial_of(session, public_id)
    ask = study.design["ask"]
    form = forms.JudgementForm(
        request.POST, asks_confidence=ask["confidence"], asks_familiarity=ask["familiarity"]
    )
    if not form.is_valid():
        return not_taken(request, session, first_error(form))
    try:
        judgement = services.record_judgement(trial=trial, **form.answer)
    except NotHeardEnough as error:
        return heard_too_little(request, session, error)
    asked = ("judged_human", "confidence", "familiarity")
    is_kept = all(getattr(judgement, name) == form.answer[name] for name in asked)
    return saved_or_stands(request, study, is_kept=is_kept)


@for_listener
def skip_trial(request, study, session, public_id):
    """Leave out a piece whose sound does not play."""
    trial = trial_of(session, public_id)
    form = forms.SkipForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    services.skip_trial(trial=trial, reason=reason or "the listener said so")
    trial.refresh_from_db(fields=["skipped_at", "judgement_skipped_at"])
    is_left_out = trial.skipped_at is not None or trial.judgement_skipped_at is not None
    return saved_or_stands(request, study, is_kept=is_left_out)


@for_listener
def answer_comment(request, study, session):
    """Take the last words, which may be none, and finish."""
    form = forms.CommentForm(request.POST)
    if not form.is_valid():
        return not_taken(request, session, first_error(form))
    services.record_comment(session=session, comment=form.cleaned_data["comment"])
    session.refresh_from_db(fields=["comment"])
    return saved_or_stands(request, study, is_kept=session.comment == form.cleaned_data["comment"])


@for_listener
def note_events(request, study, session):
    """Note what a page did, and say how much of the trial is still to be heard."""
    form = forms.EventsForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"recorded": 0, "error": first_error(form)}, status=422)
    try:
        n_recorded = services.record_events(
            session=session, page=form.cleaned_data["page"], events=form.cleaned_data["events"]
        )
    except ListeningError as error:
        return JsonResponse({"recorded": 0, "error": str(error)}, status=422)
    trial = session.trials.filter(public_id=form.cleaned_data["trial"]).first()
    facts = {"recorded": n_recorded}
    if trial is not None:
        trial.session = session
        facts["seconds_left"] = round(selectors.seconds_left_to_hear(trial), 2)
    return JsonResponse(facts)


@require_http_methods(["GET", "POST"])
@no_store
def withdraw(request, slug):
    """Delete all answers of whoever has the code."""
    study = get_object_or_404(Study, slug=slug)
    session = session_of(request, study)
    own_code = session.participant.withdrawal_code if session else ""
    if request.method == "GET":
        return show(request, study, "withdraw", pages.WithdrawalPage(code=own_code))
    form = forms.WithdrawalForm(request.POST)
    errors = {name: messages[0] for name, messages in form.errors.items()}
    if form.is_valid():
        try:
            services.withdraw(study=study, code=form.cleaned_data["code"])
        except UnknownCode as error:
            errors["code"] = f"{str(error)[:1].upper()}{str(error)[1:]}. It may have been used already."
        except WithdrawalOver as error:
            errors["code"] = f"{str(error)[:1].upper()}{str(error)[1:]}."
    if errors:
        page = pages.WithdrawalPage(
            code=request.POST.get("code", "")[:60],
            code_error=errors.get("code", ""),
            sure_error=errors.get("sure", ""),
        )
        return show(request, study, "withdraw", page, status=422)
    is_own = session is None or not Session.objects.filter(pk=session.pk).exists()
    page = pages.MessagePage(
        heading="Your answers are deleted",
        paragraphs=(
            "Everything that was kept about you in this study is gone. Only the fact that somebody withdrew "
            "today remains. You may close this page.",
        ),
        is_withdrawn=is_own,
    )
    response = show(request, study, "message", page)
    if is_own:
        forget(response, study)
    return response


# Sound


@require_safe
def play_trial(request, slug, public_id):
    """The sound of a trial, for its own listener, while they stand at it or just before it."""
    study = get_object_or_404(Study, slug=slug)
    session = session_of(request, study)
    if session is None:
        raise Http404
    trial = trial_of(session, public_id)
    if session.stage == Stage.DEBRIEF:
        may_hear = trial.kind == Trial.Kind.MAIN and hasattr(trial, "rating")
    else:
        near = (selectors.current_trial(session), selectors.next_trial(session))
        may_hear = trial.pk in {one.pk for one in near if one is not None}
    if not may_hear:
        raise Http404
    try:
        file = trial.item.stimulus.mp3_file.open("rb")
    except OSError:
        logger.exception("the sound of stimulus %s is not readable", trial.item.stimulus_id)
        raise Http404 from None
    return audio.audio_response(request, file)


@require_safe
def play_test_sound(request, slug):
    """The tones of the sound check."""
    study = get_object_or_404(Study, slug=slug)
    session = session_of(request, study)
    if session is None:
        raise Http404
    return audio.audio_response(request, io.BytesIO(audio.counted_tones(pages.n_test_tones(session))))
