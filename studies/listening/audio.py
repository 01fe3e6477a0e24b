"""Sound over HTTP: files answered with byte ranges and nothing that names them, and the test tones.

Players seek and resume by asking for ranges (RFC 9110, section 14). Everything else that a file server would
say about a file is left out: ETag and Last-Modified recognise a file across listeners and batches of uploads,
and a file name would say what it is.
"""

import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

CONTENT_TYPE = "audio/mpeg"
BLOCK_BYTES = 64 * 1024
ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)

SAMPLE_RATE = 44_100
TONE_SECONDS = 0.45
TONE_GAP_SECONDS = 0.35
#: Makes the tones as loud as the pieces, -23 LUFS: a test measures it.
TONE_AMPLITUDE = 0.0995


class UnsatisfiableRange(ValueError):
    """A range that lies beyond the end of the file."""


def parse_range(header: str | None, n_bytes: int) -> tuple[int, int] | None:
    """First and last byte of a Range header, both included; None where the whole file is the answer.

    Several ranges, other units and malformed headers may be ignored (RFC 9110, section 14.2), and are.

    Raises
    ------
    UnsatisfiableRange
        If the range holds no byte of the file.
    """
    match = ONE_RANGE.fullmatch(header or "")
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        if int(last) == 0 or n_bytes == 0:
            raise UnsatisfiableRange(header)
        return max(0, n_bytes - int(last)), n_bytes - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= n_bytes:
        raise UnsatisfiableRange(header)
    return int(first), min(int(last), n_bytes - 1) if last else n_bytes - 1


def blocks_of(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """The next `n_bytes` of a file, in blocks; closes it at the end, or when the listener hangs up."""
    with file:
        while n_bytes > 0 and (block := file.read(min(BLOCK_BYTES, n_bytes))):
            n_bytes -= len(block)
            yield block


def audio_response(request: HttpRequest, file: BinaryIO) -> HttpResponseBase:
    """Answer GET or HEAD for a sound, whole or in part; the response closes the file.

    There is no validator that an If-Range could match, so its presence means the whole file
    (RFC 9110, section 13.1.5).
    """
    n_bytes = file.seek(0, io.SEEK_END)
    try:
        wanted = parse_range(request.headers.get("Range"), n_bytes)
    except UnsatisfiableRange:
        file.close()
        refusal = HttpResponse(status=416, content_type=CONTENT_TYPE)
        refusal["Content-Range"] = f"bytes */{n_bytes}"
        return with_audio_headers(refusal)
    if request.method == "HEAD" or "If-Range" in request.headers:
        wanted = None  # ranges are defined for GET alone
    first, last = wanted or (0, n_bytes - 1)
    if request.method == "HEAD":
        file.close()
        response = HttpResponse(content_type=CONTENT_TYPE)
    else:
        file.seek(first)
        response = StreamingHttpResponse(
            blocks_of(file, last - first + 1), status=206 if wanted else 200, content_type=CONTENT_TYPE
        )
    if wanted:
        response["Content-Range"] = f"bytes {first}-{last}/{n_bytes}"
    response["Content-Length"] = str(last - first + 1)
    return with_audio_headers(response)


def with_audio_headers(response: HttpResponseBase) -> HttpResponseBase:
    """The same few headers for every sound."""
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "private, no-store"
    return response


@lru_cache(maxsize=8)
def counted_tones(n_tones: int) -> bytes:
    """A short MP3 with so many soft, equal tones, at the loudness of the pieces.

    It goes the way of every piece, so a listener who can count the tones will hear the pieces too.
    """
    import numpy as np
    import soundfile

    tone_time = np.arange(int(TONE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    partials = sum(np.sin(2 * np.pi * 523.25 * n * tone_time) / n**2 for n in (1, 2, 3))
    fade = np.minimum(1.0, np.minimum(tone_time, TONE_SECONDS - tone_time) / 0.02)
    tone = np.concatenate([partials * fade, np.zeros(int(TONE_GAP_SECONDS * SAMPLE_RATE))])
    mono = TONE_AMPLITUDE * np.concatenate([np.zeros(SAMPLE_RATE // 5), np.tile(tone, n_tones)])
    sound = io.BytesIO()
    soundfile.write(sound, np.column_stack([mono, mono]), SAMPLE_RATE, format="MP3")
    return sound.getvalue()
