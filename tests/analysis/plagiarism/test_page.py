"""The report as a file: complete without the network, harmless whatever names came with the music."""

import random
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from analysis.plagiarism.report import CorpusItem, Settings, originality, report_html
from music.score import Note, Score, Track
from music.transform import transpose

EVIL = '<script>alert("1")</script>&\'"><img src=x onerror=alert(2)>'


def tune(seed, n=64):
    rng = random.Random(seed)
    return Score((Track(tuple(Note(i * 240, rng.randrange(55, 80), 240) for i in range(n))),))


class Reader(HTMLParser):
    """Elements, their attributes, and the text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.inside = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def made():
    corpus = [CorpusItem(f"human {i}", tune(i), "train" if i < 6 else "test") for i in range(8)]
    generated = [("copy", transpose(tune(2), 2)), ("new", tune(50)), ("silent", Score())]
    return originality(generated, corpus, settings=Settings(transpose=True)), generated, corpus


@pytest.fixture(scope="module")
def reader(made):
    result, generated, corpus = made
    return Reader(report_html(result, generated, corpus))


def test_the_headline_sets_every_share_beside_human_music(reader, made):
    summary = made[0]["summary"]["overlap"]
    words = reader.words
    assert f"share {summary['mean']:.0%}".replace("%", "\xa0%").replace("\xa0", " ") in words.replace(
        "\xa0", " "
    )
    assert "held-out human windows share" in words
    assert f"({summary['n']} windows of 2 pieces)" in words
    assert f"({summary['baseline']['n']} windows)" in words
    assert "in shuffled order share" in words
    assert "percentage points" in words
    assert "For human melodies of the same length" in words
    assert "95 % interval of the difference" in words


def test_the_worst_cases_are_drawn_in_pairs_with_shared_notes_marked(reader, made):
    pairs = [attrs for attrs in reader.all("article") if attrs.get("class") == "pair"]
    # Two pieces by notes; by melody the copy alone, as the other matches no more than human music does.
    assert len(pairs) == 3
    drawings = [attrs for attrs in reader.all("svg") if attrs.get("class") == "pianoroll"]
    assert len(drawings) == 6
    assert sum(attrs.get("class") == "shared" for attrs in reader.all("rect")) > 100
    assert "The corpus excerpt is drawn 2 semitones up" in reader.words
    assert re.search(r"Corpus: human 2: \d+ shared notes", reader.words)
    assert "2 semitones lower" in reader.words


def test_every_plot_has_a_caption_and_a_table(reader):
    assert sum(attrs.get("class") == "plot" for attrs in reader.all("div")) == 3
    assert len(reader.all("figcaption")) == 3 + 6
    assert len(reader.all("caption")) == len(reader.all("table")) == 3


def test_the_page_loads_nothing(reader):
    policy = next(
        a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    for _, attrs in reader.elements:
        assert not attrs.get("src", "data:").startswith(("http", "//", "/"))
        assert "href" not in attrs
    assert not reader.all("link")


def test_names_are_text_and_nothing_else():
    corpus = [CorpusItem(EVIL, tune(1)), CorpusItem("b", tune(2))]
    generated = [(EVIL, tune(1)), ("</title><script>alert(3)</script>", tune(9))]
    page = report_html(originality(generated, corpus), generated, corpus, title=EVIL)
    reader = Reader(page)
    assert "<img" not in page.partition("<body>")[2]
    assert not [attrs for _, attrs in reader.elements if "onerror" in attrs]
    body_scripts = reader.all("script")
    harmless = [CorpusItem("a", tune(1)), CorpusItem("b", tune(2))]
    plain_generated = [("a", tune(1)), ("c", tune(9))]
    plain = Reader(report_html(originality(plain_generated, harmless), plain_generated, harmless))
    assert len(body_scripts) == len(plain.all("script"))
    assert EVIL in reader.words


def test_both_excerpts_of_every_pair_are_heard_in_the_key_that_is_drawn(made):
    result, generated, corpus = made
    heard = []

    def sound(excerpt):
        heard.append([(note.onset, note.pitch) for note in excerpt.notes()])
        return b"MP3" if len(heard) != 4 else None  # one that cannot be played

    reader = Reader(report_html(result, generated, corpus, sound=sound))
    assert [attrs["src"] for attrs in reader.all("audio")] == ["data:audio/mpeg;base64,TVAz"] * 5
    assert all(attrs["aria-label"].startswith("Hear ") for attrs in reader.all("audio"))
    own, theirs = heard[:2]
    assert own == theirs  # the copy is whole, and its source sounds two semitones up
    assert own[0][0] == 0


def test_an_edit_of_a_melody_is_spelled_out_with_both_spans():
    source = tune(3)
    notes = [replace(n, pitch=n.pitch + 1) if n.onset == 30 * 240 else n for n in source.notes()]
    corpus = [CorpusItem("source", source), CorpusItem("other", tune(4))]
    generated = [("copy", Score((Track(tuple(notes)),)))]
    result = originality(generated, corpus, settings=Settings(only="melody"))
    match = result["pieces"][0]["melody"]["matches"][0]
    assert match["edits"] == 2
    words = Reader(report_html(result, generated, corpus)).words
    assert "In the piece: notes 1 to 64 of its melody, from bar 1, beat 1 to bar 8, beat 4.5." in words
    assert "In the corpus: notes 1 to 64 of its melody" in words
    assert len(re.findall(r"At note 3[01] (?:the piece goes|both go)", words)) == 2


def test_a_reader_is_told_what_is_asked_and_what_is_not_said(reader):
    words = reader.words
    assert "a window of 4 bars of a generated piece is laid over every window of the corpus" in words
    assert "what is the longest stretch of a piece's melody" in words
    assert "None of this is a judgement in law." in words
    assert "with up to 3 edits" in words
    assert not re.search(r"\d changes?\b", words)  # one word for them


def test_the_table_of_pieces_can_be_sorted_by_each_column(reader):
    assert len(reader.all("button")) == 7
    keys = [attrs["data-sort"] for attrs in reader.all("td") if "data-sort" in attrs]
    assert len(keys) == 3 * 4
    assert float(keys[1]) == 1.0
    assert keys[-3:] == ["", "", ""]  # the silent piece has no figures


@pytest.mark.parametrize("only", ["overlap", "melody"])
def test_a_report_of_one_measure_has_its_sections_alone(made, only):
    _, generated, corpus = made
    result = originality(generated, corpus, settings=Settings(only=only))
    words = Reader(report_html(result, generated, corpus)).words
    assert ("Notes in common" in words.partition("Piece by piece")[0]) == (only == "overlap")
    assert ("Longest melodies in common" in words) == (only == "melody")


def test_a_report_of_nothing_but_silence_says_so():
    corpus = [CorpusItem("a", tune(1))]
    generated = [("silent", Score())]
    words = Reader(report_html(originality(generated, corpus), generated, corpus)).words
    assert "nothing can be said about what they share" in words
    assert "nothing can be said about melodies" in words
    assert "nan" not in words.lower().replace("plain", "").split()


def test_long_tables_are_cut_and_say_so(made):
    from analysis.plagiarism import page

    result, _, _ = made
    many = {**result, "pieces": result["pieces"] * 100}
    section = page._pieces_section(many)
    assert section.count("<tr>") == 1 + page.MOST_ROWS
    assert "The first 200 of 300" in section
