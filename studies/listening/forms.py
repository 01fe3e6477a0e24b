"""What listeners may send: each form turns one screen's fields into the arguments of one service."""

import json
import math

from django import forms

from studies.listening.errors import StaleStartKey
from studies.listening.models import Judgement, Study
from studies.listening.start_keys import checked_start_key

MAX_RESPONSE_MS = 7 * 24 * 3600 * 1000

RATING_CHOICES = [(value, str(value)) for value in range(1, 11)]
ATTRIBUTION_CHOICES = [("human", "A person"), ("machine", "A machine")]
CONFIDENCE_CHOICES = [(1, "Guessing"), (2, "Not very sure"), (3, "Fairly sure"), (4, "Certain")]
TONE_CHOICES = [("2", "Two"), ("3", "Three"), ("4", "Four"), ("0", "I heard nothing")]
DEVICE_CHOICES = [
    ("headphones", "Headphones or earphones"),
    ("speakers", "Separate loudspeakers"),
    ("built_in", "The speaker of this phone or computer"),
]


class OneOf(forms.TypedChoiceField):
    """One of some choices; anything else is refused with what was given and what would be right."""

    def __init__(self, *, wanted: str = "", **kwargs):
        super().__init__(**kwargs)
        offered = ", ".join(str(value) for value, _ in self.choices if value)
        self.wanted = wanted or f"the answer is one of {offered}"

    def validate(self, value):
        """Refuse what is not offered, in words of our own."""
        if value not in self.empty_values and not self.valid_value(value):
            raise forms.ValidationError(f"{self.wanted}, got {str(value)[:30]!r}")
        super().validate(value)


class ResponseTimeField(forms.IntegerField):
    """Milliseconds as measured by the page: a nonsensical time never costs the listener an answer."""

    def __init__(self):
        super().__init__(required=False)

    def clean(self, value):
        """Whole milliseconds from 0 to a week; 0 where the page did not measure."""
        try:
            milliseconds = float(value or 0)
        except (TypeError, ValueError):
            return 0
        return int(min(max(milliseconds, 0), MAX_RESPONSE_MS)) if math.isfinite(milliseconds) else 0


class ConsentForm(forms.Form):
    """Agreement to one text, named by its hash, so that nobody agrees to what they did not see."""

    consent_sha256 = forms.CharField(max_length=64)
    start_key = forms.CharField(max_length=120)

    def __init__(self, *args, study: Study, **kwargs):
        super().__init__(*args, **kwargs)
        self.study = study

    def clean_start_key(self):
        """The key of a page of this study, loaded within a day."""
        try:
            return checked_start_key(self.study, self.cleaned_data["start_key"])
        except StaleStartKey as error:
            raise forms.ValidationError(str(error)) from None


class SoundCheckForm(forms.Form):
    """How many tones were heard, and, where the study asks, through what."""

    n_tones = OneOf(
        choices=TONE_CHOICES, coerce=int, error_messages={"required": "Say how many tones you heard."}
    )
    device = OneOf(choices=DEVICE_CHOICES, error_messages={"required": "Say what you are listening with."})
    attempt = OneOf(
        choices=[(number, str(number)) for number in range(1, 10)],
        coerce=int,
        empty_value=None,
        required=False,
        wanted="an attempt is a whole number from 1 to 9",
    )

    def __init__(self, *args, asks_device: bool, **kwargs):
        super().__init__(*args, **kwargs)
        if not asks_device:
            del self.fields["device"]


class BackgroundForm(forms.Form):
    """A few words about the listener, all of them optional, in questions of our own."""

    age = OneOf(
        label="How old are you?",
        required=False,
        choices=[
            ("18-29", "18 to 29"),
            ("30-44", "30 to 44"),
            ("45-59", "45 to 59"),
            ("60+", "60 or more"),
            ("", "I would rather not say"),
        ],
    )
    playing_years = OneOf(
        label="For how many years have you played an instrument or sung, all together?",
        required=False,
        choices=[
            ("0", "Never"),
            ("1-2", "1 or 2"),
            ("3-9", "3 to 9"),
            ("10+", "10 or more"),
            ("", "I would rather not say"),
        ],
    )
    listening = OneOf(
        label="How often do you listen to music and do nothing else?",
        required=False,
        choices=[
            ("rarely", "Hardly ever"),
            ("monthly", "Some days a month"),
            ("weekly", "Some days a week"),
            ("daily", "Every day"),
            ("", "I would rather not say"),
        ],
    )
    hearing = OneOf(
        label="Do you have trouble hearing?",
        required=False,
        choices=[("no", "No"), ("some", "A little"), ("yes", "Yes"), ("", "I would rather not say")],
    )


class RatingForm(forms.Form):
    """One answer from 1 to 10; no number is set beforehand."""

    value = OneOf(
        choices=RATING_CHOICES,
        coerce=int,
        wanted="a rating is a whole number from 1 to 10",
        error_messages={"required": "Choose a number from 1 to 10 first."},
    )
    response_time_ms = ResponseTimeField()


class JudgementForm(forms.Form):
    """Human or machine, and, where the study asks, how sure and whether the piece was known."""

    attribution = OneOf(
        choices=ATTRIBUTION_CHOICES, error_messages={"required": "Choose one of the two first."}
    )
    confidence = OneOf(
        choices=CONFIDENCE_CHOICES,
        wanted="confidence is 1 (guessing) to 4 (certain)",
        coerce=int,
        empty_value=None,
        error_messages={"required": "Say how sure you are."},
    )
    familiarity = OneOf(
        choices=Judgement.Familiarity.choices,
        error_messages={"required": "Say whether you had heard this piece before."},
    )
    response_time_ms = ResponseTimeField()

    def __init__(self, *args, asks_confidence: bool, asks_familiarity: bool, **kwargs):
        super().__init__(*args, **kwargs)
        if not asks_confidence:
            del self.fields["confidence"]
        if not asks_familiarity:
            del self.fields["familiarity"]

    @property
    def answer(self) -> dict:
        """The arguments of `record_judgement`."""
        return {
            "judged_human": self.cleaned_data["attribution"] == "human",
            "confidence": self.cleaned_data.get("confidence"),
            "familiarity": self.cleaned_data.get("familiarity", ""),
            "response_time_ms": self.cleaned_data["response_time_ms"],
        }


class SkipForm(forms.Form):
    """Why a piece could not be heard, as the page saw it."""

    reason = forms.CharField(required=False)


class CommentForm(forms.Form):
    """A few words at the end."""

    comment = forms.CharField(
        max_length=5000,
        required=False,
        widget=forms.Textarea,
        error_messages={"max_length": "At most 5000 characters fit; these are %(show_value)d."},
    )


class WithdrawalForm(forms.Form):
    """A withdrawal code, however it was copied, and the word that it is meant."""

    code = forms.CharField(
        max_length=60,
        error_messages={
            "required": "Enter your withdrawal code.",
            "max_length": "A withdrawal code has 16 letters and digits; these are %(show_value)d characters.",
        },
    )
    sure = forms.BooleanField(error_messages={"required": "Tick the box to confirm."})


class EventsForm(forms.Form):
    """A batch of what a page did: `events` is a JSON list; which of them count, `record_events` decides."""

    page = forms.RegexField(
        r"^[A-Za-z0-9_-]{8,22}\Z",
        error_messages=dict.fromkeys(
            ("required", "invalid"), "a page is named by 8-22 letters, digits, hyphens and underscores"
        ),
    )
    trial = forms.CharField(
        max_length=22,
        required=False,
        error_messages={"max_length": "a trial is named by 22 characters, got %(show_value)d"},
    )
    events = forms.CharField(
        max_length=200_000,
        error_messages={
            "required": "events must be a JSON list",
            "max_length": "a batch has at most 200,000 characters, got %(show_value)d",
        },
    )

    def clean_events(self):
        """The list, out of its JSON; escapes for half a character, which no database takes, are refused."""
        try:
            events = json.loads(self.cleaned_data["events"])
            json.dumps(events, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            events = None
        if not isinstance(events, list):
            raise forms.ValidationError("events must be a JSON list")
        return events
