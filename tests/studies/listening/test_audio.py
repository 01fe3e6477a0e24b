"""Sound over HTTP: ranges by RFC 9110, and nothing that names a file."""

import io

import pyloudnorm
import pytest
import soundfile
from django.test import RequestFactory

from studies.listening.audio import (
    BLOCK_BYTES,
    UnsatisfiableRange,
    audio_response,
    blocks_of,
    counted_tones,
    parse_range,
)

SOUND = bytes(range(256)) * 1000
HEADERS = {"Content-Type", "Content-Length", "Accept-Ranges", "Cache-Control"}


def answer(method="get", **headers):
    request = getattr(RequestFactory(), method)("/", headers=headers)
    return audio_response(request, io.BytesIO(SOUND))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 0)),
        ("bytes=0-499", (0, 499)),
        ("bytes=500-", (500, 999)),
        ("bytes=-1", (999, 999)),
        ("bytes=-500", (500, 999)),
        ("bytes=-5000", (0, 999)),
        ("bytes=990-100000", (990, 999)),
        ("bytes=999-999", (999, 999)),
        (" Bytes = 1 - 2 ", (1, 2)),
    ],
)
def test_a_range_is_clipped_to_the_file(header, expected):
    assert parse_range(header, 1000) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0-1,4-5",
        "items=0-1",
        "0-1",
        "bytes=٣-٤",
    ],
)
def test_what_is_no_single_range_of_bytes_is_ignored(header):
    assert parse_range(header, 1000) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", f"bytes={'9' * 18}-"])
def test_a_range_beyond_the_end_is_refused(header):
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, 1000)


def test_the_whole_sound_comes_without_a_range():
    response = answer()
    assert (response.status_code, response["Content-Length"]) == (200, "256000")
    assert b"".join(response) == SOUND
    assert set(response.headers) == HEADERS


def test_a_part_comes_with_its_place():
    response = answer(Range="bytes=1000-200999")
    assert response.status_code == 206
    assert response["Content-Range"] == "bytes 1000-200999/256000"
    assert response["Content-Length"] == "200000"
    assert b"".join(response) == SOUND[1000:201000]


def test_a_refused_range_says_how_long_the_sound_is():
    response = answer(Range="bytes=256000-")
    assert (response.status_code, response["Content-Range"]) == (416, "bytes */256000")
    assert response.content == b""


@pytest.mark.parametrize("validator", ['"etag"', "Wed, 21 Oct 2015 07:28:00 GMT", ""])
def test_if_range_can_never_match_so_the_whole_sound_comes(validator):
    response = answer(**{"Range": "bytes=0-9", "If-Range": validator})
    assert response.status_code == 200
    assert b"".join(response) == SOUND


def test_head_tells_the_length_and_sends_nothing():
    response = answer("head", Range="bytes=0-9")
    assert (response.status_code, response["Content-Length"], response.content) == (200, "256000", b"")
    assert set(response.headers) == HEADERS


def test_no_header_recognises_a_file():
    for response in (answer(), answer(Range="bytes=0-9"), answer(Range="bytes=-0"), answer("head")):
        assert response["Content-Type"] == "audio/mpeg"
        assert response["Cache-Control"] == "private, no-store"
        assert not {"ETag", "Last-Modified", "Content-Disposition"} & set(response.headers)


def test_the_sound_is_read_in_blocks_and_the_file_closed():
    file = io.BytesIO(SOUND)
    assert [len(block) for block in blocks_of(file, 150_000)] == [BLOCK_BYTES, BLOCK_BYTES, 18_928]
    assert file.closed


def test_a_listener_who_hangs_up_leaves_no_open_file():
    file = io.BytesIO(SOUND)
    blocks = blocks_of(file, len(SOUND))
    next(blocks)
    blocks.close()
    assert file.closed


@pytest.mark.parametrize("n_tones", [2, 3, 4])
def test_the_test_tones_can_be_counted_and_are_as_loud_as_the_pieces(n_tones):
    sound, rate = soundfile.read(io.BytesIO(counted_tones(n_tones)))
    assert pyloudnorm.Meter(rate).integrated_loudness(sound) == pytest.approx(-23, abs=0.5)
    loud = abs(sound[:, 0]).reshape(-1)[: len(sound) // 441 * 441].reshape(-1, 441).max(axis=1) > 0.01
    n_starts = int((loud[1:] & ~loud[:-1]).sum()) + int(loud[0])
    assert n_starts == n_tones
