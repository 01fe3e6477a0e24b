"""Letters, labels, and the search for leaks: it must find what is planted."""

from random import Random

import pytest

from studies.listening.blinding import Reply, Secret, labels, leaks, letters, telling_lines, times_found

NONE = frozenset()


def reply(body="", *, url="/s/x/", headers="Content-Type: text/html", kind="rating", trial=""):
    body = body if isinstance(body, bytes) else body.encode()
    return Reply(kind=kind, url=url, status=200, headers=headers, body=body, trial=trial)


def test_every_condition_gets_one_letter_and_every_order_comes_up():
    dealt = {tuple(letters(3, Random(seed))) for seed in range(60)}
    assert len(dealt) == 6
    assert all(sorted(order) == ["A", "B", "C"] for order in dealt)


@pytest.mark.parametrize("count", [1, 15, 168, 500])
def test_labels_differ_and_are_no_words(count):
    dealt = labels(count, Random(1))
    assert len(set(dealt)) == count
    assert all(label[0].isdigit() and label[1:].isupper() for label in dealt)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a real piece", 1),
        ("REAL", 1),
        ('data-role="real"', 1),
        ("/audio/real-1.mp3", 1),
        ("kind_real_x", 1),
        ("really", 0),
        ("surreal", 0),
    ],
)
def test_a_word_is_found_wherever_no_letter_stands_beside_it(text, count):
    assert times_found(Secret("role", "real", is_word=True), text) == count


@pytest.mark.parametrize(
    "leaking",
    [
        reply("<p data-condition='joplin'>"),
        reply(url="/audio/joplin/3.mp3"),
        reply(headers="Content-Disposition: inline; filename=joplin.mp3"),
        reply(headers="Set-Cookie: seen=joplin"),
        reply('{"source": "Joplin"}', headers="Content-Type: application/json"),
    ],
    ids=["body", "address", "header", "cookie", "json"],
)
def test_a_name_is_found_in_address_header_and_body(leaking):
    found = leaks(
        [reply("nothing"), leaking], [Secret("name of a condition", "joplin", True)], vocabulary=NONE
    )
    assert len(found) == 1
    assert "'joplin' reaches the listener's browser" in found[0]


def test_a_word_of_the_pages_leaks_only_where_it_depends_on_the_trial():
    secret = [Secret("name of a condition", "piece", True)]
    same = [reply("one piece", trial="a"), reply("one piece", trial="b")]
    other = [reply("one piece", trial="a"), reply("one piece, a piece", trial="b")]
    assert leaks(same, secret, vocabulary=frozenset({"piece"})) == []
    assert leaks(other, secret, vocabulary=frozenset({"piece"}))
    assert leaks(same, secret, vocabulary=NONE)


def test_random_ids_are_no_leak_whatever_letters_they_have():
    text = 'data-trial="ab-7F-xyzxyzxyzxyzxyzx"'
    assert leaks([reply(text)], [Secret("label", "7F", True)], vocabulary=NONE) == []
    assert leaks([reply(text + " 7F")], [Secret("label", "7F", True)], vocabulary=NONE)


@pytest.mark.parametrize(
    "header", ["ETag: x", "Last-Modified: today", "Content-Disposition: inline", "etag: y"]
)
def test_a_header_that_recognises_a_file_is_found(header):
    sound = reply(b"\xff\xfb", headers=f"Content-Type: audio/mpeg\n{header}", kind="sound")
    assert leaks([sound], [], vocabulary=NONE)


@pytest.mark.parametrize(
    "body", [b"ID3\x04rest", b"\xff\xfb" + bytes(300) + b"TAG" + bytes(125)], ids=["v2", "v1"]
)
def test_tags_in_a_sound_are_found(body):
    assert "carries tags" in leaks([reply(body, kind="sound")], [], vocabulary=NONE)[0]


def test_a_line_that_stands_with_one_role_only_is_found():
    pages = [("real", "<p>12 of 14</p>\n<i>a</i>"), ("real", "<p>3 of 14</p>\n<i>a</i>")]
    pages += [("generated", "<p>4 of 14</p>\n<i>b</i>"), ("generated", "<p>5 of 14</p>\n<i>b</i>")]
    assert telling_lines(pages) == ["<i>a</i>", "<i>b</i>"]
    assert telling_lines([(role, text.replace("<i>a", "<i>b")) for role, text in pages]) == []
    assert telling_lines(pages[:3]) == []  # one page of a role proves nothing
