"""Keys of consent pages: random, signed, of one study and one day, so that none can be made up.

A page that is sent twice has one key, and starts one session. What is not signed here starts none.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

from studies.listening.errors import StaleStartKey
from studies.listening.models import Study, new_token

#: How long a consent page may lie open before it is agreed to.
LONGEST_READING = timedelta(hours=24)


def new_start_key(study: Study) -> str:
    """A key for one load of a study's consent page."""
    return _signer(study).sign(new_token())


def checked_start_key(study: Study, key: str) -> str:
    """The key as it was given, if it is one of this study and not too old.

    Raises
    ------
    StaleStartKey
        Otherwise.
    """
    try:
        _signer(study).unsign(key, max_age=LONGEST_READING)
    except SignatureExpired:
        raise StaleStartKey(f"this page was opened more than {LONGEST_READING} ago; load it again") from None
    except BadSignature:
        raise StaleStartKey(f"{key[:30]!r} is no key of a consent page; load the page again") from None
    return key


def _signer(study: Study) -> TimestampSigner:
    return TimestampSigner(salt=f"start of study {study.pk}")
