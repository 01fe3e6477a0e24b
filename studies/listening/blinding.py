"""What keeps researchers and listeners blind: letters and labels by chance, and a search for leaks."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random, SystemRandom

#: Letters and digits that are told apart by eye.
LABEL_DIGITS, LABEL_LETTERS = "23456789", "ACDEFGHJKLMNPQRTUVWXYZ"


def dealer() -> Random:
    """Chance that nobody can repeat: who knows the study file must not be able to work out the letters."""
    return SystemRandom()


def letters(n_conditions: int, rng: Random) -> list[str]:
    """A, B, C ... in a random order."""
    return rng.sample(string.ascii_uppercase[:n_conditions], n_conditions)


def labels(n_items: int, rng: Random) -> list[str]:
    """Different labels such as 7F, longer ones where there are too few of two characters."""
    short = [digit + letter for digit in LABEL_DIGITS for letter in LABEL_LETTERS]
    pool = short
    while len(pool) < n_items:
        pool = [label + letter for label in pool for letter in LABEL_LETTERS]
    return rng.sample(pool, n_items)


@dataclass(frozen=True)
class Secret:
    """Something that no listener may get to see."""

    what: str  # in words: "name of a condition"
    text: str
    is_word: bool = False  # found only where no letter or digit stands beside it


@dataclass(frozen=True)
class Reply:
    """One answer of the server, as a browser gets it."""

    kind: str  # what was asked for: landing, a stage, sound, event
    url: str
    status: int
    headers: str
    body: bytes
    trial: str = ""  # random id of the trial that it is about

    @property
    def text(self) -> str:
        """All of it that can be read as text, without the random ids in it."""
        readable = "" if self.kind == "sound" else self.body.decode("utf-8", errors="replace")
        return RANDOM_ID.sub(" ", f"{self.url}\n{self.headers}\n{readable}")


RANDOM_ID = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")

#: A header with one of these recognises a file across listeners, or names it.
TELLING_HEADERS = ("etag", "last-modified", "content-disposition", "x-accel-redirect", "x-sendfile")


def times_found(secret: Secret, text: str) -> int:
    """How often a secret stands in a text; capitals do not matter."""
    pattern = re.escape(secret.text)
    if secret.is_word:
        pattern = rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
    return len(re.findall(pattern, text, flags=re.IGNORECASE))


def leaks(replies: Sequence[Reply], secrets: Iterable[Secret], *, vocabulary: frozenset[str]) -> list[str]:
    """Every secret that a browser could read, as one sentence each.

    A secret that is also an ordinary word of the pages (`vocabulary`), such as a condition called "piece",
    leaks only where it stands more often on the page of one trial than on that of another.
    """
    found = []
    texts = [(reply, reply.text) for reply in replies]
    for secret in secrets:
        counts = [(reply, times_found(secret, text)) for reply, text in texts]
        hits = [reply for reply, count in counts if count]
        if secret.text.lower() in vocabulary:
            by_kind: dict[str, set[int]] = {}
            for reply, count in counts:
                if reply.trial:
                    by_kind.setdefault(reply.kind, set()).add(count)
            hits = [reply for reply in hits if reply.trial and len(by_kind[reply.kind]) > 1]
        if hits:
            found.append(
                f"the {secret.what} {secret.text!r} reaches the listener's browser at {hits[0].url} "
                f"({hits[0].kind}; {len(hits)} of {len(replies)} replies)"
            )
    for reply in replies:
        if reply.kind != "sound":
            continue
        names = [name for name in TELLING_HEADERS if re.search(rf"^{name}:", reply.headers, re.I | re.M)]
        found += [
            f"the sound at {reply.url} has the header {name}, which recognises a file" for name in names
        ]
        if reply.body[:3] == b"ID3" or reply.body[-128:-125] == b"TAG":
            found.append(f"the sound at {reply.url} carries tags")
    return list(dict.fromkeys(found))


def telling_lines(pages: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of page text that stand on all pages of one role and on none of the other.

    Parameters
    ----------
    pages : iterable of (role, text)
        Of trials with real and with generated pieces. Numbers and random ids are left out of the comparison,
        since positions count up. Nothing can be said with fewer than two pages of a role.
    """
    lines: dict[str, list[set[str]]] = {}
    for role, text in pages:
        plain = re.sub(r"\d+", "#", text)
        lines.setdefault(role, []).append({line.strip() for line in plain.splitlines() if line.strip()})
    real, generated = lines.get("real", []), lines.get("generated", [])
    if min(len(real), len(generated)) < 2:
        return []
    always_real, always_generated = set.intersection(*real), set.intersection(*generated)
    telling = (always_real - set.union(*generated)) | (always_generated - set.union(*real))
    return sorted(telling)
