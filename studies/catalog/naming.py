"""Names of corpora, models and collections: they stand in folders, addresses and study files alike."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category

from studies.catalog.errors import CatalogError

LONGEST_NAME = 60  # leaves room for what the names of generations add
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # categories: control, surrogate, separators of lines
LONGEST_LICENSE = 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def checked_name(kind: str, name: str) -> str:
    """The name itself, if it can stand in a folder and in an address.

    Raises
    ------
    CatalogError
        If it cannot; `kind` says in the message what was to be named.
    """
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise CatalogError(
            f"a {kind} name has 1-{LONGEST_NAME} letters, digits, hyphens or underscores "
            f"and starts with a letter or digit, got {shown(name)!r}"
        )
    return name


def checked_license(text: str) -> str:
    """What a source says about its use, if it can stand beside every piece.

    Raises
    ------
    CatalogError
        If it is too long.
    """
    if len(text) > LONGEST_LICENSE:
        raise CatalogError(
            f"a license has at most {LONGEST_LICENSE:,} characters, got {len(text):,}; "
            "give its name or address"
        )
    return text


def unknown_name(
    kind: str, name: str, known: Iterable[str], advice: str, *, purpose: str = ""
) -> CatalogError:
    """The error for a name that nothing has: the closest names, or what there is, or how to make one."""
    known = sorted(set(known))
    hint = get_close_matches(name, known, n=3)
    if hint:
        right = f"did you mean {' or '.join(hint)}?"
    elif known:
        right = f"there is {', '.join(known[:10])}{' and more' if len(known) > 10 else ''}"
    else:
        right = advice
    return CatalogError(f"no {kind} named {shown(name)!r}{purpose}; {right}")


def free_name(stem: str, taken: Iterable[str] = ()) -> str:
    """A stem as a name that nothing has: shortened to fit, and numbered where it is taken."""
    stem = stem[:180]
    taken = set(taken)
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural where it needs one: "1 piece", "1,200 pieces"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    """A text in which nothing moves the cursor or fails to be written: control characters are escaped.

    So are the bytes of file names that are no UTF-8, which Python keeps as lone surrogates.
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii") if category(char) in _UNPRINTABLE else char
        for char in text
    )


def shown(name: str) -> str:
    """A name as an error repeats it: one that is far too long only by its beginning."""
    return name if len(name) <= LONGEST_NAME else f"{name[:40]}... ({len(name)} characters)"
