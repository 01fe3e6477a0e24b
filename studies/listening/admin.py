"""The listening app in Django's admin, without a hole in the blindness.

Conditions and items are the key: they appear once their study is unblinded. Answers appear once their study
is closed, as in the studio. Whatever lets somebody in as a listener, or find a piece by a listener's address,
never appears: tokens, withdrawal codes, the random addresses of trials.
"""

from django.contrib import admin
from django.http import HttpRequest

from studies.listening.models import (
    Condition,
    Event,
    Item,
    Judgement,
    KeyAccess,
    Participant,
    Rating,
    Session,
    Study,
    Trial,
    Withdrawal,
)
from studies.listening.services import log_key_access
from studies.read_only import ReadOnlyAdmin


class KeyAdmin(ReadOnlyAdmin):
    """A part of the key: only of unblinded studies, and who looked is written down, once per sign-in."""

    list_filter = ["study"]

    def get_queryset(self, request):
        """Rows of unblinded studies."""
        return super().get_queryset(request).filter(study__unblinded_at__isnull=False)

    def change_view(self, request: HttpRequest, object_id, form_url="", extra_context=None):
        """Show a row, and write down who looked."""
        row = self.get_object(request, object_id)
        if row is not None:
            name = self.opts.verbose_name
            article = "an" if name[0] in "aeiou" else "a"
            _write_down(request, row.study, f"looked at {article} {name} in the admin")
        return super().change_view(request, object_id, form_url, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context=None):
        """Show the list, and write down who looked."""
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")
        for study in {row.study for row in changelist.result_list} if changelist else ():
            _write_down(request, study, f"looked at the list of {self.opts.verbose_name_plural} in the admin")
        return response


def _write_down(request: HttpRequest, study: Study, what: str) -> None:
    """Log a look at the key, the same one once per sign-in: a line for each click would bury the others."""
    mark = f"key-{study.pk}-{what}"
    if request.session.get(mark):
        return
    request.session[mark] = True
    log_key_access(study=study, who=request.user.get_username(), what=what)


class AnswerAdmin(ReadOnlyAdmin):
    """Answers, once their study is closed: whoever sees them come in decides when to stop by them."""

    def get_queryset(self, request):
        """Answers of closed studies."""
        closed = {"trial__session__participant__study__state": Study.State.CLOSED}
        return super().get_queryset(request).filter(**closed)


@admin.register(Study)
class StudyAdmin(ReadOnlyAdmin):
    """Studies; the studio and the commands open, close and unblind them."""

    list_display = ["slug", "title", "state", "is_simulated", "created_at", "closed_at", "unblinded_at"]
    list_filter = ["state", "is_simulated"]
    search_fields = ["slug", "title"]
    exclude = ["seed", "draw_secret"]


@admin.register(Condition)
class ConditionAdmin(KeyAdmin):
    """Which letter is which condition."""

    list_display = ["study", "letter", "name", "role"]
    list_select_related = ["study"]


@admin.register(Item)
class ItemAdmin(KeyAdmin):
    """Which label is which piece."""

    list_display = ["study", "label", "use", "condition", "stimulus"]
    list_filter = ["study", "use"]
    list_select_related = [
        "study",
        "condition__study",
        "stimulus__piece__corpus",
        "stimulus__piece__generation",
        "stimulus__piece__scrambled_from__corpus",
        "stimulus__piece__scrambled_from__generation",
    ]


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    """Listeners, without what lets one in as them."""

    list_display = ["pk", "study", "is_simulated", "consented_at"]
    list_filter = ["study", "is_simulated"]
    list_select_related = ["study"]
    exclude = ["withdrawal_code"]


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Sittings: where each listener stands."""

    list_display = ["pk", "participant", "stage", "started_at", "last_seen_at", "finished_at"]
    list_filter = ["participant__study", "stage"]
    list_select_related = ["participant"]
    exclude = ["seed"]


@admin.register(Trial)
class TrialAdmin(ReadOnlyAdmin):
    """What was played to whom; by its label once the study is unblinded.

    A researcher who takes part learns at the debrief what stood at which place. With the label of each place
    they would have the key. The number of an item's row never appears: it could tell the condition.
    """

    list_display = ["session", "position", "kind", "label", "skipped_at"]
    list_filter = ["session__participant__study", "kind"]
    list_select_related = ["session", "item__study"]
    fields = ["session", "position", "attribution_position", "kind", "label", "skipped_at", "skip_reason"]
    readonly_fields = fields

    @admin.display(description="piece")
    def label(self, trial: Trial) -> str:
        """The label of what was played, once it may be known at which place that was."""
        return "hidden while the study is blind" if trial.item.study.is_blind else str(trial.item)


@admin.register(Rating)
class RatingAdmin(AnswerAdmin):
    """Ratings of closed studies."""

    list_display = ["trial", "item", "value", "listened_seconds", "response_time_ms", "answered_at"]
    list_filter = ["trial__session__participant__study"]
    list_select_related = ["trial__item__study"]

    @admin.display(description="piece")
    def item(self, rating: Rating) -> str:
        """The label of what was rated."""
        return str(rating.trial.item)


@admin.register(Judgement)
class JudgementAdmin(AnswerAdmin):
    """Human or machine, of closed studies."""

    list_display = [
        "trial",
        "item",
        "judged_human",
        "confidence",
        "familiarity",
        "listened_seconds",
        "answered_at",
    ]
    list_filter = ["trial__session__participant__study"]
    list_select_related = ["trial__item__study"]

    @admin.display(description="piece")
    def item(self, judgement: Judgement) -> str:
        """The label of what was judged."""
        return str(judgement.trial.item)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """What listeners' pages did."""

    list_display = ["session", "trial", "kind", "from_seconds", "to_seconds", "detail", "received_at"]
    list_filter = ["session__participant__study", "kind"]
    list_select_related = ["session", "trial"]


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnlyAdmin):
    """That somebody withdrew, and when; nothing else is left of them."""

    list_display = ["study", "day", "is_simulated"]
    list_filter = ["study"]
    list_select_related = ["study"]


@admin.register(KeyAccess)
class KeyAccessAdmin(ReadOnlyAdmin):
    """Who read the key of which study."""

    list_display = ["at", "study", "who", "what"]
    list_filter = ["study"]
    list_select_related = ["study"]
    search_fields = ["who", "what"]
