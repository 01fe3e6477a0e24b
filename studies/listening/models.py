"""Study, Participant, Session, Trial, Rating: who heard what, blind, and what they said."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q

from studies.catalog.models import Stimulus
from studies.listening.clock import now

RATING_IN_RANGE = Q(value__range=(1, 10))
CONFIDENCE_IN_RANGE = Q(confidence=None) | Q(confidence__range=(1, 4))


def new_token() -> str:
    """An address that cannot be guessed: 128 random bits."""
    return secrets.token_urlsafe(16)


def new_draw_secret() -> str:
    """What makes the draws of a study unpredictable: 256 random bits."""
    return secrets.token_hex(32)


def new_withdrawal_code() -> str:
    """A code that a listener can copy by hand: 16 letters and digits without look-alikes, 79 bits."""
    alphabet = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
    letters = [secrets.choice(alphabet) for _ in range(16)]
    return "-".join("".join(letters[start : start + 4]) for start in range(0, 16, 4))


class Study(models.Model):
    """A blind listening study. Its specification is one file; opening the study freezes it."""

    class State(models.TextChoices):
        """A study is prepared, then heard, then read."""

        DRAFT = "draft"
        OPEN = "open"
        CLOSED = "closed"

    slug = models.SlugField(max_length=100, unique=True)
    title = models.CharField(max_length=200)
    specification = models.TextField(help_text="The YAML file, as it was given.")
    specification_sha256 = models.CharField(max_length=64)
    design = models.JSONField(help_text="The specification with every default filled in.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    is_simulated = models.BooleanField(
        default=False, help_text="Holds simulated listeners only, and says so."
    )
    simulation = models.JSONField(
        default=dict, blank=True, help_text="The model that made the simulated listeners, with its numbers."
    )
    selection = models.JSONField(
        default=dict, blank=True, help_text="How many pieces each condition could draw on, and by which rule."
    )
    seed = models.PositiveBigIntegerField(default=0)
    draw_secret = models.CharField(
        max_length=64,
        default=new_draw_secret,
        editable=False,
        help_text="Goes into the order of every listener: without it, a session's seed tells nothing.",
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    unblinded_at = models.DateTimeField(null=True, blank=True, help_text="From then on the key may be read.")
    unblinded_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name_plural = "studies"

    def __str__(self):
        return self.title

    @property
    def is_blind(self) -> bool:
        """Whether researchers still see letters instead of conditions."""
        return self.unblinded_at is None


class Condition(models.Model):
    """What is compared: a model, real music, an anchor. Together with the items this is the key."""

    class Role(models.TextChoices):
        """What a condition is for."""

        REAL = "real"
        GENERATED = "generated"
        LOW_ANCHOR = "low_anchor"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="conditions")
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=20, choices=Role.choices)
    letter = models.CharField(max_length=3, help_text="What researchers see while the study is blind.")

    class Meta:
        ordering = ["study", "letter"]
        constraints = [
            models.UniqueConstraint(fields=["study", "name"], name="one_condition_per_name"),
            models.UniqueConstraint(fields=["study", "letter"], name="one_condition_per_letter"),
        ]

    def __str__(self):
        return f"{self.study.slug}/{self.letter}"


class Item(models.Model):
    """A stimulus at its place in a study."""

    class Use(models.TextChoices):
        """Main items are rated and analysed; practice and attention items never are."""

        MAIN = "main"
        PRACTICE = "practice"
        ATTENTION = "attention"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="items")
    condition = models.ForeignKey(
        Condition, null=True, blank=True, on_delete=models.CASCADE, related_name="items"
    )
    stimulus = models.ForeignKey(Stimulus, on_delete=models.PROTECT, related_name="items")
    use = models.CharField(max_length=10, choices=Use.choices, default=Use.MAIN)
    label = models.CharField(max_length=10, help_text="What researchers see while the study is blind: 7F.")
    requested_value = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Of an attention check: the rating that the listener is asked to give.",
    )

    class Meta:
        ordering = ["study", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(use="main", condition__isnull=False) | (~Q(use="main") & Q(condition=None)),
                name="main_items_have_a_condition",
            ),
            models.CheckConstraint(
                condition=Q(requested_value=None) | Q(requested_value__range=(1, 10)),
                name="requested_value_in_range",
            ),
            models.UniqueConstraint(fields=["study", "label"], name="one_item_per_label"),
        ]

    def __str__(self):
        return f"{self.study.slug}/{self.label}"


class ConsentText(models.Model):
    """A text that somebody agreed to, kept as it was: what a later version of the program says may differ."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="consent_texts")
    sha256 = models.CharField(max_length=64)
    text = models.TextField()
    first_agreed_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["study", "pk"]
        constraints = [models.UniqueConstraint(fields=["study", "sha256"], name="one_consent_text_per_hash")]

    def __str__(self):
        return f"consent text {self.sha256[:12]} of {self.study.slug}"


class Participant(models.Model):
    """A listener. No name, no address, no IP: a random identity and what they consented to."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="participants")
    public_id = models.CharField(max_length=22, unique=True, default=new_token, editable=False)
    external_id = models.CharField(
        max_length=100, blank=True, help_text="The recruiter's id, if there is one."
    )
    withdrawal_code = models.CharField(max_length=19, unique=True, default=new_withdrawal_code)
    is_simulated = models.BooleanField(default=False)
    consented_at = models.DateTimeField(null=True, blank=True)
    consent_sha256 = models.CharField(
        max_length=64, blank=True, help_text="Hash of the text that was agreed to."
    )
    background = models.JSONField(default=dict, blank=True, help_text="Answers of the short background form.")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "external_id"],
                condition=~Q(external_id=""),
                name="one_participant_per_external_id",
            )
        ]

    def __str__(self):
        return f"participant {self.pk}"


class Session(models.Model):
    """One sitting of one participant: the order drawn for them and where they stand in it."""

    class Stage(models.TextChoices):
        """The screens of a sitting, in their order."""

        SOUND_CHECK = "sound_check"
        BACKGROUND = "background"
        PRACTICE = "practice"
        RATING = "rating"
        ATTRIBUTION = "attribution"
        COMMENT = "comment"
        DEBRIEF = "debrief"

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE, related_name="session")
    token = models.CharField(max_length=22, unique=True, default=new_token, editable=False)
    stage = models.CharField(max_length=20, choices=Stage.choices, default=Stage.SOUND_CHECK)
    seed = models.PositiveBigIntegerField(
        help_text="Of its order and of all that is mixed for this listener."
    )
    order_row = models.PositiveIntegerField(
        null=True, blank=True, help_text="Its row in the Williams squares of the study, where it has one."
    )
    machine_first = models.BooleanField(default=False, help_text="Which of the two buttons stands first.")
    sound_check = models.JSONField(default=dict, blank=True)
    comment = models.TextField(blank=True, max_length=5000)
    started_at = models.DateTimeField(default=now, editable=False)
    stage_entered_at = models.DateTimeField(default=now, editable=False)
    last_seen_at = models.DateTimeField(default=now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"session {self.pk}"


class Trial(models.Model):
    """One presentation of one item to one participant, at a random address."""

    class Kind(models.TextChoices):
        """Repeats are second hearings of a main item: for reliability, never for the means."""

        PRACTICE = "practice"
        MAIN = "main"
        REPEAT = "repeat"
        ATTENTION = "attention"

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="trials")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="trials")
    public_id = models.CharField(max_length=22, unique=True, default=new_token, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    position = models.PositiveSmallIntegerField(help_text="From 1, practice included.")
    attribution_position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Its place in the human-or-machine pass, from 1."
    )
    skipped_at = models.DateTimeField(
        null=True, blank=True, help_text="The sound did not play: no rating, no penalty."
    )
    judgement_skipped_at = models.DateTimeField(
        null=True, blank=True, help_text="The same in the human-or-machine pass."
    )
    skip_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["session", "position"]
        constraints = [
            models.UniqueConstraint(fields=["session", "position"], name="one_trial_per_position"),
            models.UniqueConstraint(
                fields=["session", "attribution_position"], name="one_trial_per_attribution_position"
            ),
            models.UniqueConstraint(
                fields=["session", "item"], condition=~Q(kind="repeat"), name="one_first_hearing_per_item"
            ),
        ]

    def __str__(self):
        return f"trial {self.position} of session {self.session_id}"


class Rating(models.Model):
    """A participant's answer to one trial. Written once, never changed."""

    trial = models.OneToOneField(Trial, on_delete=models.PROTECT, related_name="rating")
    value = models.PositiveSmallIntegerField()
    response_time_ms = models.PositiveIntegerField(help_text="From audio start to submission.")
    listened_seconds = models.FloatField(
        help_text="Unique seconds heard, counted by the server from the events."
    )
    answered_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=RATING_IN_RANGE, name="rating_in_range")]

    def __str__(self):
        return f"{self.value} for {self.trial}"


class Judgement(models.Model):
    """Human or machine, how sure, and whether the piece was known. Written once, never changed."""

    class Familiarity(models.TextChoices):
        """Whether the listener had heard the piece before the study."""

        NEW = "new", "I never heard it before"
        FAMILIAR = "familiar", "It sounds familiar"
        KNOWN = "known", "I know it"

    trial = models.OneToOneField(Trial, on_delete=models.PROTECT, related_name="judgement")
    judged_human = models.BooleanField()
    confidence = models.PositiveSmallIntegerField(null=True, blank=True, help_text="1 guessing to 4 certain.")
    familiarity = models.CharField(max_length=10, choices=Familiarity.choices, blank=True)
    response_time_ms = models.PositiveIntegerField(default=0)
    listened_seconds = models.FloatField(
        default=0, help_text="Unique seconds heard in the human-or-machine pass, counted by the server."
    )
    answered_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [models.CheckConstraint(condition=CONFIDENCE_IN_RANGE, name="confidence_in_range")]

    def __str__(self):
        return f"{'human' if self.judged_human else 'machine'} for {self.trial}"


class Event(models.Model):
    """Something that a listener's page did: played, paused, ended. Repeats of a batch are dropped."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="events")
    trial = models.ForeignKey(Trial, null=True, blank=True, on_delete=models.CASCADE, related_name="events")
    page = models.CharField(max_length=22, help_text="Random for each load of a page.")
    sequence = models.PositiveIntegerField(help_text="Counts the events of that page from 0.")
    kind = models.CharField(max_length=20)
    from_seconds = models.FloatField(
        null=True, blank=True, help_text="Of `heard`: where it began in the audio."
    )
    to_seconds = models.FloatField(null=True, blank=True, help_text="Of `heard`: where it ended.")
    detail = models.CharField(max_length=200, blank=True)
    client_ms = models.PositiveBigIntegerField(help_text="Milliseconds since that page was loaded.")
    received_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["session", "page", "sequence"], name="one_event_per_sequence")
        ]

    def __str__(self):
        return f"{self.kind} in session {self.session_id}"


class Withdrawal(models.Model):
    """All that is left of a participant who withdrew: that somebody did, and on which day."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="withdrawals")
    day = models.DateField(auto_now_add=True)
    is_simulated = models.BooleanField(default=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"a withdrawal on {self.day}"


class KeyAccess(models.Model):
    """The key of a study was read or opened: by whom, when, by which page or command."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="key_accesses")
    who = models.CharField(max_length=150)
    what = models.CharField(max_length=200)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "key accesses"

    def __str__(self):
        return f"{self.who}: {self.what}"
