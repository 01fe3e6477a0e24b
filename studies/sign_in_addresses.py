"""Where somebody signs in from, veiled: guesses from one place can be counted, the place cannot be told."""

from ipaddress import IPv6Address

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac


def veiled_address(request: HttpRequest) -> str:
    """A private IPv6 address (``fd…``) made from the client's by a keyed hash; equal for equal addresses.

    Behind a proxy that is trusted (``EARWITNESS_PROXY``), the client's address is the last one that the proxy
    added to ``X-Forwarded-For``.
    """
    address = request.META.get("REMOTE_ADDR", "")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        address = request.headers.get("X-Forwarded-For", address).rpartition(",")[2].strip()
    digest = salted_hmac("address of a sign-in", address, algorithm="sha256").digest()
    return str(IPv6Address(b"\xfd" + digest[:15]))
