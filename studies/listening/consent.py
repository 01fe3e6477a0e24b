"""What a listener agrees to: one text per study, with a hash that changes when a word does."""

from __future__ import annotations

import hashlib
import math

#: How long a session that began before the study closed may still be finished.
GRACE_MINUTES = 60

#: What a listener does beside hearing the excerpts, in seconds: our estimate, on the slow side.
SECONDS_PER_RATING = 8
SECONDS_PER_JUDGEMENT = 12  # a moment of the piece is heard again
SECONDS_FOR_SOUND_CHECK = 40
SECONDS_FOR_BACKGROUND = 30
SECONDS_FOR_COMMENT = 20


def minutes_of(design: dict) -> int:
    """About how long one listener needs, in whole minutes, rounded up."""
    session, ask = design["session"], design["ask"]
    pieces = min(session["trials"], sum(condition["pieces"] for condition in design["conditions"]))
    heard = pieces + session["repeats"] + session["practice"] + session["attention_checks"]
    seconds = heard * (design["excerpt"]["seconds"] + SECONDS_PER_RATING) + SECONDS_FOR_SOUND_CHECK
    if ask["human_or_machine"] != "no":
        seconds += pieces * SECONDS_PER_JUDGEMENT
    if ask["background"] != "no":
        seconds += SECONDS_FOR_BACKGROUND
    if ask["comment"] != "no":
        seconds += SECONDS_FOR_COMMENT
    return math.ceil(seconds / 60)


def shown_minutes(minutes: int) -> str:
    """A duration as a page says it: "1 minute", "9 minutes"."""
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def text_of(*, design: dict, specification_sha256: str) -> str:
    """The information sheet, in paragraphs divided by empty lines.

    It names no source of any piece: whoever knows which pieces to expect rates them differently.
    """
    consent = design["consent"]
    who = consent["researcher"] or "The researchers who sent you the link"
    background = design["ask"]["background"] != "no"
    paragraphs = [
        "You will hear short pieces of music and say what you think of them. It takes about "
        f"{shown_minutes(minutes_of(design))}. Headphones and a quiet room are best.",
        f"{who} run{'s' if consent['researcher'] else ''} this study"
        + (f" (ethics approval: {consent['ethics']})" if consent["ethics"] else "")
        + "."
        + (f" Contact: {consent['contact']}" if consent["contact"] else ""),
        "Taking part is voluntary. You may stop at any time, without a reason and without any disadvantage. "
        + (f"Payment: {consent['payment']}." if consent["payment"] else "There is no payment."),
        "Start with a low volume. The next page plays a test sound: set the volume there, once for all "
        "pieces.",
        "What is kept: your answers, when you gave them, and how much of each piece your browser played"
        + (", and the few facts about you that you choose to give" if background else "")
        + ". Your name, your e-mail address and your internet address are not kept. The answers may be "
        "published without anything that points to you.",
        "You get a withdrawal code on the next page. With it you can delete all your answers yourself"
        + (f" within {consent['withdraw_days']} days" if consent["withdraw_days"] else " at any time")
        + ", also after the last page. Only the fact that somebody withdrew, and the day, are kept then. "
        "If you stop half-way, the answers given so far are kept unless you withdraw them.",
        "Some details are explained only on the last page, because knowing them would change what you hear. "
        "After reading it you can still withdraw.",
        "You must be at least 18 years old.",
    ]
    if consent["text"]:
        paragraphs.insert(1, consent["text"])
    paragraphs.append(f"Plan of this study (SHA-256): {specification_sha256}")
    return "\n\n".join(paragraphs)


def sha256_of(text: str) -> str:
    """The hash that is stored with a participant's agreement."""
    return hashlib.sha256(text.encode()).hexdigest()
