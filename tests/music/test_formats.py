import io
import zipfile
from fractions import Fraction

import pytest

from music.formats import (
    find_files,
    music21_files,
    music21_pieces,
    parse_piece,
    read_pieces,
    read_score,
    split_pieces,
)
from music.limits import ReadLimits
from music.midi import write_midi
from music.score import Key, Meter, Note, Score, ScoreError, Tempo, Track

ONE_NOTE = Score((Track((Note(0, 60, 480),)),))


def musicxml(*parts: str, head: str = "") -> str:
    names = "".join(
        f'<score-part id="P{n}"><part-name>Part {n}</part-name></score-part>' for n in range(len(parts))
    )
    bodies = "".join(f'<part id="P{n}">{part}</part>' for n, part in enumerate(parts))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<score-partwise version="4.0">'
        f"<part-list>{names}</part-list>{bodies}</score-partwise>"
    )


def note(step: str, duration: int, *inside: str, octave: int = 4, chord: bool = False) -> str:
    return (
        f"<note>{'<chord/>' if chord else ''}<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
        f"<duration>{duration}</duration>{''.join(inside)}</note>"
    )


START = (
    "<attributes><divisions>2</divisions><key><fifths>1</fifths><mode>major</mode></key>"
    "<time><beats>2</beats><beat-type>4</beat-type></time></attributes>"
)
TIE_START, TIE_STOP = '<tie type="start"/>', '<tie type="stop"/>'


def beats(score: Score) -> list[tuple[Fraction, int, Fraction]]:
    unit = score.ticks_per_beat
    return [(Fraction(n.onset, unit), n.pitch, Fraction(n.duration, unit)) for n in score.notes()]


def read_xml(text: str) -> Score:
    return parse_piece(text.encode(), ".musicxml")


# ---- MusicXML


def test_musicxml_gives_notes_chords_maps_and_names():
    tempo = '<direction><sound tempo="90"/></direction>'
    metronome = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><per-minute>90</per-minute></metronome>"
        f"</direction-type></direction>{tempo}"
    )
    bar = f"<measure>{START}{metronome}{note('C', 2)}{note('E', 2)}{note('G', 2, chord=True)}</measure>"
    score = read_xml(musicxml(bar, f"<measure>{START}{note('C', 4, octave=3)}</measure>"))
    assert beats(score) == [(0, 60, 1), (1, 64, 1), (1, 67, 1), (0, 48, 2)]
    assert [track.name for track in score.tracks] == ["Part 0", "Part 1"]
    assert score.meters == (Meter(0, 2, 4),)
    assert score.keys == (Key(0, 1, False),)
    assert score.tempos == (Tempo(0, 666_667),)


def test_tied_notes_are_one_note_across_the_bar():
    bars = f"<measure>{START}{note('C', 2)}{note('D', 2, TIE_START)}</measure>"
    bars += f"<measure>{note('D', 2, TIE_STOP)}{note('D', 2)}</measure>"
    assert beats(read_xml(musicxml(bars))) == [(0, 60, 1), (1, 62, 2), (3, 62, 1)]


def test_triplets_are_exact_in_ticks():
    triplet = START.replace("<divisions>2", "<divisions>3")
    bar = f"<measure>{triplet}{note('C', 1)}{note('D', 1)}{note('E', 1)}{note('F', 3)}</measure>"
    score = read_xml(musicxml(bar))
    third = Fraction(1, 3)
    assert beats(score) == [(0, 60, third), (third, 62, third), (2 * third, 64, third), (1, 65, 1)]


def test_grace_notes_come_before_their_main_note():
    grace = "<note><grace/><pitch><step>{}</step><octave>5</octave></pitch></note>"
    bar = f"<measure>{START}{note('C', 2)}{grace.format('D')}{grace.format('E')}{note('F', 2)}</measure>"
    eighth = Fraction(1, 8)
    assert sorted(beats(read_xml(musicxml(bar)))) == [
        (0, 60, 1),
        (Fraction(3, 4), 74, eighth),
        (Fraction(7, 8), 76, eighth),
        (1, 65, 1),
    ]


def repeat_bar(pitch: str, *, left: str = "", right: str = "", first: bool = False) -> str:
    attributes = START if first else ""
    return f"<measure>{left}{attributes}{note(pitch, 4)}{right}</measure>"


def barline(place: str, inside: str) -> str:
    return f'<barline location="{place}">{inside}</barline>'


def test_repeats_and_endings_are_played_out_in_every_part():
    forward = barline("left", '<repeat direction="forward"/>')
    back = '<repeat direction="backward"/>'
    melody = repeat_bar("C", first=True)
    melody += repeat_bar("D", left=forward)
    melody += repeat_bar(
        "E",
        left=barline("left", '<ending number="1" type="start"/>'),
        right=barline("right", f'<ending number="1" type="stop"/>{back}'),
    )
    melody += repeat_bar(
        "F",
        left=barline("left", '<ending number="2" type="start"/>'),
        right=barline("right", '<ending number="2" type="stop"/>'),
    )
    melody += repeat_bar("G")
    bass = "".join(repeat_bar(p, first=not n) for n, p in enumerate("CDEFG"))
    score = read_xml(musicxml(melody, bass))
    expected = [60, 62, 64, 62, 65, 67]
    for track in score.tracks:
        assert [n.pitch for n in track.notes] == expected
        assert [n.onset for n in track.notes] == [2 * score.ticks_per_beat * n for n in range(6)]


def test_da_capo_al_fine_returns_once_and_stops_at_the_fine():
    def words(text):
        return f"<direction><direction-type><words>{text}</words></direction-type></direction>"

    back = barline("right", '<repeat direction="backward"/>')
    melody = repeat_bar("C", first=True, right=back)
    melody += repeat_bar("D", right=words("Fine"))
    melody += repeat_bar("E", right=words("D.C. al Fine"))
    assert [n.pitch for n in read_xml(musicxml(melody)).notes()] == [60, 60, 62, 64, 60, 62]


def test_transposing_instruments_sound_at_their_pitch():
    clarinet = START.replace(
        "</attributes>",
        "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>",
    )
    assert [n.pitch for n in read_xml(musicxml(f"<measure>{clarinet}{note('D', 4)}</measure>")).notes()] == [
        60
    ]


def test_an_upbeat_is_a_bar_of_its_own_and_the_meter_stays_the_meter():
    bars = f'<measure implicit="yes">{START}{note("G", 2)}</measure>'
    bars += "".join(f"<measure>{note('C', 4)}</measure>" for _ in range(3))
    score = read_xml(musicxml(bars))
    unit = score.ticks_per_beat
    assert score.bar_starts() == [0, unit, 3 * unit, 5 * unit]
    assert score.meters == (Meter(0, 1, 4), Meter(unit, 2, 4))
    assert score.main_meter == Meter(0, 2, 4)


def test_a_bar_that_a_repeat_sign_parts_is_one_bar():
    forward, back = (
        barline(*sides)
        for sides in (("left", '<repeat direction="forward"/>'), ("right", '<repeat direction="backward"/>'))
    )
    bars = f'<measure implicit="yes">{START}{note("G", 2)}</measure>'
    bars += f"<measure>{forward}{note('C', 4)}</measure><measure>{note('D', 2)}{back}</measure>"
    bars = bars.replace(f"<measure>{forward}", "<measure>").replace(
        '<measure implicit="yes">', f"<measure>{forward}"
    )
    score = read_xml(musicxml(bars))
    unit = score.ticks_per_beat
    assert [n.pitch for n in score.notes()] == [67, 60, 62, 67, 60, 62]
    assert score.bar_starts() == [0, unit, 3 * unit, 5 * unit, 7 * unit]


def test_unpitched_notes_make_a_drum_track():
    hit = (
        "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave></unpitched>"
        "<duration>2</duration></note>"
    )
    score = read_xml(musicxml(f"<measure>{START}{hit}{hit}</measure>"))
    assert [(track.is_drum, len(track.notes)) for track in score.tracks] == [(True, 2)]


def test_dynamics_are_heard_as_velocities():
    def mark(name):
        return f"<direction><direction-type><dynamics><{name}/></dynamics></direction-type></direction>"

    bar = f"<measure>{START}{mark('pp')}{note('C', 2)}{mark('ff')}{note('C', 2)}</measure>"
    quiet, loud = read_xml(musicxml(bar)).notes()
    assert quiet.velocity < 60 < 100 < loud.velocity


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html></html>", "no <score-partwise>"),
        ('<?xml version="1.0"?><score-timewise></score-timewise>', "timewise"),
        (musicxml("<measure></measure>", head='<!DOCTYPE x [<!ENTITY a "ha">]>'), "entities"),
        (
            "<score-partwise><part",
            "music21 could not parse it as MusicXML: the notation is damaged (unclosed token",
        ),
        (musicxml(f"<measure>{START}<note><rest/><duration>4</duration></note></measure>"), "no notes"),
    ],
)
def test_xml_that_is_no_music_is_refused_by_name(text, words):
    with pytest.raises(ScoreError) as refusal:
        read_xml(text)
    assert words in str(refusal.value)


def test_an_entity_bomb_in_utf_16_is_refused_too():
    bomb = musicxml("<measure></measure>", head='<!DOCTYPE x [<!ENTITY a "ha">]>')
    with pytest.raises(ScoreError, match="entities"):
        parse_piece(bomb.replace("UTF-8", "UTF-16").encode("utf-16"), ".xml")


# ---- compressed MusicXML


def mxl(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return packed.getvalue()


CONTAINER = b'<container><rootfiles><rootfile full-path="right.xml"/></rootfiles></container>'


def test_mxl_reads_the_document_that_its_container_names():
    right = musicxml(f"<measure>{START}{note('C', 4)}</measure>").encode()
    wrong = musicxml(f"<measure>{START}{note('D', 4)}</measure>").encode()
    data = mxl(a_xml=wrong, right_xml=right, **{"META-INF__container_xml": CONTAINER})
    assert [n.pitch for n in parse_piece(data, ".mxl").notes()] == [60]


def test_a_zip_bomb_is_refused_before_it_unpacks():
    bomb = mxl(right_xml=b" " * 5_000_000)
    with pytest.raises(ScoreError, match="unpacks to more than 1,000,000 bytes"):
        parse_piece(bomb, ".mxl", limits=ReadLimits(max_bytes=1_000_000))


@pytest.mark.parametrize("data", [b"PK\x03\x04garbage", mxl(readme=b"no music"), mxl(a_xml=b"x" * 999)[:-60]])
def test_a_broken_mxl_is_refused_in_words(data):
    with pytest.raises(ScoreError, match="mxl"):
        parse_piece(data, ".mxl")


# ---- ABC and kern

TUNES = """%abc-2.1
M:4/4
L:1/4

X:1
T:First
K:C
C D E F|

Here is some prose about the tune.

X:2
T:Second
M:3/4
K:G
|:G A B|c d e|G3:|
"""


def test_an_abc_file_gives_a_piece_for_each_tune(tmp_path):
    path = tmp_path / "tunes.abc"
    path.write_text(TUNES)
    first, second = read_pieces(path)
    assert (first.title, second.title) == ("First", "Second")
    assert beats(first) == [(0, 60, 1), (1, 62, 1), (2, 64, 1), (3, 65, 1)]
    assert [pitch for _, pitch, _ in beats(second)] == [67, 69, 71, 72, 74, 76, 67] * 2
    assert second.meters == (Meter(0, 3, 4),)
    assert second.keys[0].fifths == 1
    with pytest.raises(ScoreError, match="holds 2 pieces"):
        read_score(path)


def test_abc_without_a_key_field_is_refused():
    with pytest.raises(ScoreError, match="no K: field"):
        parse_piece(b"X:1\nT:x\nCDE\n", ".abc")


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ("L:1/4\nK:C\nC2³ D E|", "the notation is damaged where it has '2³' in place of a number"),
        ("Q:1/4=fast\nK:C\nCDE|", "the notation is damaged where it has 'fast' in place of a number"),
        ("L:1/0\nK:C\nCDE|", "the notation is damaged, or uses what music21 does not know"),
        ("L:1/4\nK:C\nCDE [C|", "the notation is damaged (Bad chord indicator: [C|"),
    ],
)
def test_damaged_notation_is_refused_in_words_about_music(tune, words):
    with pytest.raises(ScoreError) as refusal:
        parse_piece(f"X:1\nM:4/4\n{tune}\n".encode(), ".abc")
    assert str(refusal.value).startswith(f"music21 could not parse it as ABC: {words}")


def test_damaged_kern_is_refused_by_name():
    with pytest.raises(ScoreError, match="music21 could not parse it as kern: the notation is damaged"):
        parse_piece(b"**kern\n*^\n4c\n*v\n*-\n", ".krn")


def test_kern_reads_voices_as_tracks():
    kern = "**kern\t**kern\n*M4/4\t*M4/4\n*k[b-]\t*k[b-]\n=1\t=1\n2C\t4e\n.\t4f\n2F\t2g\n==\t==\n*-\t*-\n"
    score = parse_piece(kern.encode(), ".krn")
    assert sorted(beats(score)) == [(0, 48, 2), (0, 64, 1), (1, 65, 1), (2, 53, 2), (2, 67, 2)]
    assert len(score.tracks) == 2
    assert score.keys[0].fifths == -1


def test_text_that_is_no_kern_is_refused():
    with pytest.raises(ScoreError, match="no \\*\\*kern spine"):
        parse_piece(b"!! a comment\n", ".krn")


# ---- any file


def test_the_content_decides_over_the_suffix(tmp_path):
    path = write_midi(ONE_NOTE, tmp_path / "piece.xml")
    assert read_score(path) == ONE_NOTE


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mid", b"", "the file is empty"),
        ("a.abc", b"  \n", "the file is empty"),
        ("a.txt", b"hello", "files named .txt are not read"),
        ("a.npz", b"hello", "no readable ZIP archive"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ScoreError) as refusal:
        read_score(path)
    assert words in str(refusal.value)


def test_a_midi_file_without_notes_is_no_piece(tmp_path):
    path = write_midi(Score(), tmp_path / "empty.mid")
    with pytest.raises(ScoreError, match="holds no notes"):
        read_score(path)


def test_folders_give_their_readable_files_in_order_and_once(tmp_path):
    for name in ("b.MID", "a.abc", "sub/c.krn", ".hidden/d.mid", "sub/.e.mid", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_files([tmp_path, tmp_path / "a.abc", tmp_path / "notes.txt"])
    assert [str(file.relative_to(tmp_path)) for file in found] == ["a.abc", "b.MID", "sub/c.krn", "notes.txt"]


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(ScoreError, match=r"no file or folder .*nothing"):
        find_files([tmp_path / "nothing"])


# ---- the corpus inside music21


def test_music21_selectors_take_any_case_and_patterns():
    chorales = music21_files("music21:BACH/bwv25*")
    assert {file.stem[:5] for file in chorales} == {"bwv25"}
    assert set(chorales) < set(music21_files("bach"))
    assert find_files(["music21:bach/bwv25*"]) == chorales
    assert len(music21_files("bach")) > 350


@pytest.mark.parametrize(
    ("selector", "words"),
    [("bahc", "did you mean bach"), ("bach/nothing*", "no 'nothing*' by bach"), ("", "did you mean")],
)
def test_music21_selectors_that_name_nothing_get_help(selector, words):
    with pytest.raises(ScoreError) as refusal:
        music21_files(selector)
    assert words in str(refusal.value)


def test_a_chorale_has_the_notes_that_music21_hears():
    from music21 import corpus

    ((name, load),) = music21_pieces("bach/bwv66.6.mxl")
    assert name == "bwv66.6"
    score = load()
    parts = corpus.parse("bach/bwv66.6").stripTies().parts
    expected = [
        sorted((Fraction(n.offset), n.pitch.midi, Fraction(n.quarterLength)) for n in part.flatten().notes)
        for part in parts
    ]
    assert [beats(score.with_tracks([track])) for track in score.tracks] == expected
    assert len(score.tracks) == 4
    assert score.keys[0].name == "F sharp minor"


def test_splitting_leaves_other_formats_alone():
    assert split_pieces(b"X:1\nX:2\n", ".krn") == [b"X:1\nX:2\n"]
