"""``melody_strings``: scores to melody strings and back, and what is refused in which words."""

import pretty_midi
import pytest
from django.core.management import CommandError

from music.formats import read_score
from music.melody_strings import ALPHABETS, events_to_text, notes_to_events
from music.midi import write_midi
from music.score import Note, Score, Track
from studies.catalog.services.melody_strings import reasons_in_words
from tests.studies.catalog.material import run_command, run_json

SCALE = (60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65, 50)


def line(*pitches, length=240):
    return tuple(Note(place * length, pitch, length) for place, pitch in enumerate(pitches))


@pytest.fixture(autouse=True)
def _read_here(monkeypatch):
    """Without the worker processes, which take most time."""

    def read(files, **options):
        for file in files:
            try:
                yield file, read_score(file)
            except Exception as error:
                yield file, error

    monkeypatch.setattr("music.isolation.read_scores", read)


@pytest.fixture
def band(tmp_path):
    """A folder of one piece with a tune, a tune in octaves, drums and two notes, and of one that is none."""
    folder = tmp_path / "band"
    folder.mkdir()
    octaves = sorted((*line(*SCALE), *line(*(pitch - 12 for pitch in SCALE))))
    tracks = (
        Track(line(*SCALE)),
        Track(tuple(octaves), program=20),
        Track(line(*[38] * 12), is_drum=True),
        Track(line(60, 62), program=30),
    )
    write_midi(Score(tracks), folder / "band.mid")
    (folder / "noise.mid").write_bytes(b"MThd what?")
    return folder


def written(band, tmp_path, *arguments):
    out = tmp_path / "melodies.txt"
    document = run_json("melody_strings", band, "--out", out, *arguments)
    return document, out.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("alphabet", ["v1", "v2", "v3"])
def test_each_melody_is_a_line_and_each_refusal_has_its_reason(band, tmp_path, alphabet):
    document, lines = written(band, tmp_path, "--alphabet", alphabet)
    expected = events_to_text(notes_to_events(line(*SCALE), ALPHABETS[alphabet]), ALPHABETS[alphabet])
    assert lines == [expected] * 2
    assert (document["melodies"], document["alphabet"], document["files"]) == (2, alphabet, 2)
    reasons = {(each["track"], each["reason"].split(";")[0]) for each in document["refused"]}
    assert {(3, "drums have no melody"), (4, "2 notes")} <= reasons
    assert any(each["file"].endswith("noise.mid") for each in document["refused"])


def test_voices_and_filters_can_be_chosen(band, tmp_path):
    assert len(written(band, tmp_path, "--voice", "bottom")[1]) == 1
    assert len(written(band, tmp_path, "--voice", "both")[1]) == 3
    assert len(written(band, tmp_path, "--no-filters")[1]) == 3


@pytest.mark.parametrize("alphabet", ["v1", "v2", "v3"])
def test_melodies_written_as_midi_and_read_again_are_the_same_lines(band, tmp_path, alphabet):
    _, lines = written(band, tmp_path, "--alphabet", alphabet)
    document = run_json(
        "melody_strings", tmp_path / "melodies.txt", "--midi", tmp_path / "played", "--alphabet", alphabet
    )
    assert document["alphabet"] == alphabet
    assert [each["notes"] for each in document["pieces"]] == [len(SCALE)] * 2
    assert written(tmp_path / "played", tmp_path, "--alphabet", alphabet)[1] == lines


def test_played_a_melody_lasts_as_in_the_original_whatever_its_beat(band, tmp_path):
    written(band, tmp_path)
    for options in ((), ("--ticks-per-beat", 120, "--bpm", 420)):
        run_command("melody_strings", tmp_path / "melodies.txt", "--midi", tmp_path / "played", *options)
        played = pretty_midi.PrettyMIDI(str(tmp_path / "played" / "melodies-1.mid"))
        notes = played.instruments[0].notes
        assert len(notes) == len(SCALE)
        assert notes[0].pitch == 50
        assert notes[0].end == pytest.approx(60 / 420 * 2, abs=1e-3)


def test_as_published_durations_are_a_unit_longer(band, tmp_path):
    written(band, tmp_path)
    run_command("melody_strings", tmp_path / "melodies.txt", "--midi", tmp_path / "p", "--as-published")
    assert next(read_score(tmp_path / "p" / "melodies-1.mid").notes()).duration == 270


def test_comments_empty_lines_and_line_ends_of_windows_are_no_melodies(tmp_path):
    text = "// Track = 1\r\n]M] // a scale\r\n\r\n]N]\r\n"
    (tmp_path / "m.txt").write_bytes(text.encode("utf-8-sig"))
    document = run_json("melody_strings", tmp_path / "m.txt", "--midi", tmp_path / "played")
    assert [(each["line"], each["notes"]) for each in document["pieces"]] == [(2, 2), (4, 2)]


def test_where_two_alphabets_fit_that_is_said(tmp_path):
    (tmp_path / "m.txt").write_text("d5d\n", encoding="utf-8")
    said = run_command("melody_strings", tmp_path / "m.txt", "--midi", tmp_path / "played")
    assert "alphabet v2 too" in said


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("d5d\nd5d~d\n", ["--alphabet", "v1"], "line 2: character 4 is '~'"),
        ("l5l\n]M]\n", [], "line "),
        ("]M] ]N]\n", ["--alphabet", "v1"], "try --alphabet v3"),
        ("", [], "holds no melody string"),
        (
            "d5d\n" + "d5" * 1_500_000 + "d\n",
            [],
            "line 2: 3,000,001 characters; a melody has at most 200,000",
        ),
        ("d5d\n", ["--ticks-per-unit", "0"], "above 0 ticks"),
        ("d5d\n", ["--lowest", "70"], "70 to 79"),
        ("d5d\n", ["--bpm", "0"], "--bpm must be 10 to 1000"),
        ("d5d\n", ["--start-pitch", "128"], "0 to 127"),
        ("d5d\n", ["--ticks-per-beat", "99999"], "1-32767"),
        ("d5d\n", ["--voice", "top"], "--out FILE"),
    ],
)
def test_what_cannot_be_played_is_refused_with_line_and_value(tmp_path, content, options, said):
    (tmp_path / "m.txt").write_text(content, encoding="utf-8")
    with pytest.raises(CommandError) as refusal:
        run_command("melody_strings", tmp_path / "m.txt", "--midi", tmp_path / "played", *options)
    assert said in str(refusal.value)


def test_a_line_that_is_longer_than_any_melody_is_named(tmp_path):
    (tmp_path / "m.txt").write_text("d5d\n" + "d5" * 1_500_000 + "d\n", encoding="utf-8")
    with pytest.raises(CommandError, match="line 2: 3,000,001 characters; a melody has at most 200,000"):
        run_command("melody_strings", tmp_path / "m.txt", "--midi", tmp_path / "played")


def test_what_cannot_be_written_is_refused(band, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for arguments, said in (
        ([band], "--out FILE"),
        ([band, "--out", tmp_path / "o", "--midi", tmp_path / "p"], "--out FILE"),
        ([band, "--out", band], "is a folder"),
        ([tmp_path / "nowhere", "--out", tmp_path / "o"], "no file or folder"),
        ([band / "noise.mid", "--out", tmp_path / "o"], "no melody in"),
        ([band, "--out", tmp_path / "o", "--bpm", "90"], "about playing"),
        ([tmp_path / "nowhere", "--midi", tmp_path / "p"], f"there is no file '{tmp_path / 'nowhere'}'"),
        ([band, "--midi", tmp_path / "p"], "is a folder; --midi plays one file"),
        ([bare, "--out", tmp_path / "o"], f"no readable file in {bare}; read are .mid, "),
        ([band / "noise.mid", band, "--midi", tmp_path / "p"], "one file"),
    ):
        with pytest.raises(CommandError) as refusal:
            run_command("melody_strings", *arguments)
        assert said in str(refusal.value)
        assert not (tmp_path / "o").exists()


def test_the_report_names_files_tracks_and_reasons(band, tmp_path):
    said = run_command("melody_strings", band, "--out", tmp_path / "m.txt")
    assert "band.mid, track 3: drums have no melody" in said
    assert "2 melodies of 2 files" in said
    assert "--no-filters takes every voice" in said
    assert "--no-filters" not in run_command(
        "melody_strings", band, "--out", tmp_path / "m.txt", "--no-filters"
    )


def test_many_refusals_are_told_by_what_was_refused_and_with_its_values():
    def refusal(reason, voice="top", track=1):
        return {"file": "a.mid", "track": track, "voice": voice, "reason": reason}

    refused = [refusal(f"{number} different pitches; at least 7 are needed") for number in (4, 2, 3)]
    refused += [refusal("40% of the notes repeat; at most 33% may")] * 2
    refused += [refusal("drums have no melody", voice=None), refusal("no MThd header", None, None)]
    assert reasons_in_words(refused) == [
        "3 voices: 2 to 4 different pitches; at least 7 are needed",
        "2 voices: 40% of the notes repeat; at most 33% may",
        "1 track: drums have no melody",
        "1 file: no MThd header",
    ]


def test_where_every_voice_is_refused_the_way_round_the_filters_is_told(tmp_path):
    write_midi(Score((Track(line(60, 62)),)), tmp_path / "two.mid")
    with pytest.raises(CommandError) as refusal:
        run_command("melody_strings", tmp_path / "two.mid", "--out", tmp_path / "o")
    assert "the first of 1 refusal: " in str(refusal.value)
    assert "2 notes; more than 10 are needed; --no-filters takes every voice" in str(refusal.value)
