"""``plagiarism``: planted copies are found by name, place and number, in every form of the report."""

import base64
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from django.conf import settings
from django.core.management import CommandError

from music import isolation
from music.midi import write_midi
from music.score import Score, Track
from music.transform import excerpt, transpose
from studies.catalog.models import Generation, OriginalityReport
from studies.catalog.selectors import pieces_of_corpus, report_for, score_of
from studies.catalog.services import generate_pieces, import_pieces, search_originality
from tests.studies.catalog.material import melody, run_command, run_json

pytestmark = pytest.mark.django_db

BAR = 4 * 480


def search(*arguments) -> dict:
    """The result on stdout, where nothing else stands."""
    return json.loads(run_command("plagiarism", *arguments, "--json", "-"), parse_constant=pytest.fail)


@pytest.fixture
def copy(corpus, tmp_path):
    """Bars 3-6 of ``piece2``, three semitones higher, as a file."""
    score = score_of(pieces_of_corpus("walks").get(name="piece2"))
    taken = transpose(excerpt(score, 2 * BAR, 6 * BAR), 3)
    return write_midi(Score(taken.tracks, taken.ticks_per_beat, title="new"), tmp_path / "copy.mid")


def test_the_document_has_the_fixed_keys(copy):
    result = search(copy, "--corpus", "walks")
    assert {"settings", "pieces", "summary"} <= set(result)
    assert {"unit", "window_steps", "steps_per_beat", "transpositions", "penalty"} <= set(result["settings"])
    (piece,) = result["pieces"]
    assert {"piece", "notes", "overlap", "melody"} <= set(piece)
    assert {"score", "shared", "window_start", "matches"} <= set(piece["overlap"])
    match = {"corpus_piece", "start", "transposition", "shared", "score", "reverse", "jaccard"}
    assert match <= set(piece["overlap"]["matches"][0])
    assert {"score", "matched", "edits", "frontier", "matches"} <= set(piece["melody"])
    assert len(piece["melody"]["frontier"]) == 4
    match = {"corpus_piece", "score", "matched", "edits", "start", "end", "corpus_start", "corpus_end"}
    match |= {"transposition", "tempo_ratio", "similarity"}
    assert match <= set(piece["melody"]["matches"][0])
    for part in ("overlap", "melody"):
        summary = result["summary"][part]
        assert {"mean", "median", "p95", "max", "n", "baseline", "control", "excess"} <= set(summary)
        assert {"mean", "p95", "n"} <= set(summary["baseline"])
        assert "mean" in summary["control"]
    assert {"n_empty", "shares"} <= set(result["summary"]["overlap"])
    assert set(result["summary"]["overlap"]["shares"]) == {"0.5", "0.6", "0.8", "0.9", "1.0"}


def test_a_planted_copy_is_found_with_its_place_and_transposition(copy):
    (piece,) = search(copy, "--corpus", "walks", "--transpose")["pieces"]
    assert piece["piece"] == "copy.mid"
    best = piece["overlap"]["matches"][0]
    assert piece["overlap"]["score"] == 1.0
    assert (best["corpus_piece"], best["start"], best["transposition"]) == ("piece2", 2 * 16, -3)
    tune = piece["melody"]["matches"][0]
    assert tune["corpus_piece"] == "piece2"
    assert piece["melody"]["edits"] == 0


def test_without_transpositions_the_copy_in_another_key_is_none(copy):
    (piece,) = search(copy, "--corpus", "walks", "--only", "overlap")["pieces"]
    assert piece["overlap"]["score"] < 1.0
    assert piece["melody"] is None


def test_options_reach_the_search(copy):
    chosen = search(copy, "--corpus", "walks", "--unit", "cell", "--top", 2, "--only", "melody")["settings"]
    assert (chosen["unit"], chosen["top"], chosen["only"]) == ("cell", 2, "melody")
    assert chosen["transpositions"] == [0]
    assert search(copy, "--corpus", "walks", "--transpose")["settings"]["transpositions"] == list(
        range(-12, 13)
    )


def test_every_setting_of_both_measures_has_an_option(copy):
    chosen = search(
        *(copy, "--corpus", "walks", "--transpositions=-6..5", "--window", "32steps", "--hop", 8),
        *("--unit", "onset+duration", "--steps-per-beat", 12, "--offsets", "bar", "--edges", "inside"),
        *("--per-piece", 2, "--min-notes", 4, "--token", "interval", "--voice", "bottom", "--penalty", 3),
        *("--edits", 2, "--seed", 5, "--reference", "train", "--exclude", "work", "--workers", 1),
    )["settings"]
    assert chosen["transpositions"] == list(range(-6, 6))
    expected = {"window_steps": 32, "window_bars": None, "hop_steps": 8, "unit": "onset+dur"}
    expected |= {"steps_per_beat": 12, "offsets": "bar", "edges": "inside", "per_piece": 2, "min_notes": 4}
    expected |= {"encoding": "interval", "line": "bottom", "penalty": 3, "edits": 2, "seed": 5}
    expected |= {"reference": "train", "exclude": "work"}
    assert {key: chosen[key] for key in expected} == expected
    some = search(copy, "--corpus", "walks", "--transpositions", "0,3,7", "--window", "2")["settings"]
    assert (some["transpositions"], some["window_bars"]) == ([0, 3, 7], 2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("skyline", True)),
        (["--filters", "melodl4j"], ("melodl4j-v3", True)),
        (["--filters", "melodl4j", "--token", "melodl4j-v1"], ("melodl4j-v1", True)),
        (["--filters", "none", "--voice", "melodl4j-v2"], ("melodl4j-v2", False)),
    ],
)
def test_filters_are_those_of_melodl4js_voices(copy, options, expected):
    chosen = search(copy, "--corpus", "walks", "--only", "melody", *options)["settings"]
    assert (chosen["line"], chosen["filters"]) == expected


def test_a_folder_is_a_corpus_too(copy, scores, corpus):
    in_folder = search(copy, "--corpus", scores, "--transpose")
    assert in_folder["pieces"][0]["overlap"]["matches"][0]["corpus_piece"] == "piece2.mid"
    assert not OriginalityReport.objects.exists()  # only what the catalog knows is kept
    exported = search(copy, "--corpus", corpus.folder, "--transpose")
    assert exported["pieces"][0]["overlap"]["matches"][0]["corpus_piece"] == "piece2"


def test_a_folder_that_grew_is_indexed_where_it_grew(copy, scores, monkeypatch):
    search(copy, "--corpus", scores)
    write_midi(melody(50), scores / "a-new-one.mid")
    read = []
    whole = isolation.read_scores

    def counted(paths, **options):
        paths = list(paths)
        read.extend(path.name for path in paths)
        return whole(paths, **options)

    monkeypatch.setattr(isolation, "read_scores", counted)
    grown = search(copy, "--corpus", scores)
    assert sorted(read) == ["a-new-one.mid", "copy.mid"]
    shutil.rmtree(settings.HOME / "cache")
    assert search(copy, "--corpus", scores) == grown
    assert len(read) == 2 + 7 + 1


def test_tunes_of_one_file_are_pieces_of_their_own(tmp_path, home):
    folder = tmp_path / "tunes"
    folder.mkdir()
    tunes = ["CDEFGABc dcBAGFED EGceg2e2", "gfedcBAG ABcdefga bagfe4", "c2e2g2c'2 b2g2d2B2 A2F2D4"]
    text = "".join(f"X:{n}\nT:tune {n}\nM:4/4\nL:1/8\nK:C\n{tune}|]\n\n" for n, tune in enumerate(tunes, 1))
    (folder / "book.abc").write_text(text)
    (folder / "single.abc").write_text(f"X:1\nT:third\nM:4/4\nL:1/8\nK:C\n{tunes[2]}|]\n")
    for _ in range(2):  # read, then opened
        result = search(folder / "single.abc", "--corpus", folder, "--only", "overlap")
        (match,) = [m for m in result["pieces"][0]["overlap"]["matches"] if m["score"] == 1]
        assert (match["corpus_piece"], match["also_in"]) == ("book.abc (3)", ["single.abc"])
        assert result["summary"]["overlap"]["n_corpus_pieces"] == 4
    book = search(folder / "book.abc", "--corpus", folder, "--only", "overlap", "--exclude", "self")["pieces"]
    for piece in book:  # each is compared with the others of its file
        others = {match["corpus_piece"] for match in piece["overlap"]["matches"]}
        assert piece["piece"] not in others
        assert others & {f"book.abc{n}" for n in ("", " (2)", " (3)")}


def test_versions_of_one_work_in_a_folder_are_no_human_baseline(copy, scores):
    """Without groups a transposed copy with one note less would raise it to nearly 100 %."""
    version = transpose(melody(2), 2)
    fewer = Track(version.tracks[0].notes[:10] + version.tracks[0].notes[11:])
    write_midi(version.with_tracks([fewer, version.tracks[1]]), scores / "version.mid")
    summary = search(copy, "--corpus", scores, "--transpose")["summary"]
    assert summary["overlap"]["baseline"]["max"] < 0.9
    assert summary["melody"]["baseline"]["max"] < 20


def test_a_generation_is_a_reference_too(gru, copy):
    generate_pieces(model_name="gru", count=2, bars=4)
    result = search("gru", "--corpus", "gru-s0-1")
    best = result["pieces"][0]["overlap"]["matches"][0]
    assert (best["corpus_piece"], best["score"]) == ("gru-s0-1/001", 1.0)
    apart = search("gru", "--corpus", "gru-s0-1", "--exclude", "self")
    assert [match["corpus_piece"] for match in apart["pieces"][0]["overlap"]["matches"]] == ["gru-s0-1/002"]
    assert not OriginalityReport.objects.exists()


def test_what_a_piece_is_not_compared_with_can_be_chosen(scores, copy):
    shutil.copy(scores / "piece2.mid", scores / "version.mid")
    names = {}
    for exclude in ("nothing", "self", "work"):
        found = search(scores / "piece2.mid", "--corpus", scores, "--exclude", exclude)["pieces"][0]
        for part in ("overlap", "melody"):
            names[exclude, part] = found[part]["matches"][0]["corpus_piece"]
    assert names["nothing", "overlap"] == names["nothing", "melody"] == "piece2.mid"
    # A file of the same notes stands under one id with it.
    assert not {"piece2.mid", "version.mid"} & {names["self", "overlap"], names["work", "melody"]}


#: A command that is killed, really, when so much of its journal is written.
KILLED = """
import os, signal, sys
import django
django.setup()
from analysis.plagiarism import melodies, overlap
from analysis.plagiarism.journal import Journal
from django.core.management import call_command
overlap.BATCH_WINDOWS = melodies.BATCH_MELODIES = 1
add, left = Journal.add, [int(sys.argv[1])]
def add_or_die(self, answers):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    add(self, answers)
Journal.add = add_or_die
call_command("migrate", verbosity=0)
call_command("plagiarism", *sys.argv[2:])
"""


def test_a_search_that_is_killed_goes_on_and_ends_with_the_same_bytes(scores, tmp_path):
    command = ["plagiarism", scores, "--corpus", scores, "--exclude", "self"]
    run_command(*command, "--json", tmp_path / "whole.json", "--csv", tmp_path / "whole.csv")
    environment = os.environ | {"EARWITNESS_HOME": str(tmp_path / "other"), "OMP_NUM_THREADS": "1"}
    environment |= {"DJANGO_SETTINGS_MODULE": "studies.settings"}
    target = ["--json", tmp_path / "killed.json", "--csv", tmp_path / "killed.csv"]
    journal = tmp_path / "killed.pieces.jsonl"
    sizes = []
    for n_adds in (0, 3, 6):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(n_adds), *map(str, [*command[1:], *target])],
            env=environment,
            cwd=Path(__file__).parents[3],
            capture_output=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        assert not (tmp_path / "killed.json").exists()
        sizes.append(len(journal.read_bytes().splitlines()))
    assert sizes == [1, 4, 10]  # each went on where the one before it was killed
    run_command(*command, *target)
    for form in ("json", "csv"):
        assert (tmp_path / f"killed.{form}").read_bytes() == (tmp_path / f"whole.{form}").read_bytes()


def test_the_report_of_a_generation_is_kept_and_found(gru):
    generate_pieces(model_name="gru", count=2, bars=4)
    result = search("gru-s0-1", "--corpus", "walks")
    assert [piece["piece"] for piece in result["pieces"]] == ["gru-s0-1/001", "gru-s0-1/002"]
    generation = Generation.objects.get()
    report = report_for(generation)
    assert report.result == result
    assert report.corpus_sha256 == gru.corpus_sha256
    # The model has this one generation, so a search by its name is about it too.
    assert search("gru", "--corpus", "walks") == result
    assert OriginalityReport.objects.filter(generation=generation).count() == 2
    generate_pieces(model_name="gru", count=1, bars=4, seed=5)
    assert len(search("gru", "--corpus", "walks")["pieces"]) == 3
    assert OriginalityReport.objects.filter(generation=None, subject="gru").count() == 1


def test_a_piece_of_the_corpus_is_not_compared_with_itself(corpus):
    for piece in search("walks", "--corpus", "walks", "--only", "overlap")["pieces"]:
        for match in piece["overlap"]["matches"]:
            assert f"walks/{match['corpus_piece']}" != piece["piece"]


def test_files_folders_and_imports_are_searched_together(copy, scores, tmp_path):
    import_pieces(condition="theirs", sources=[str(copy)])
    (scores / "deeper").mkdir()
    shutil.copy(copy, scores / "deeper" / "piece0.mid")
    names = [piece["piece"] for piece in search(scores, "theirs", "--corpus", "walks")["pieces"]]
    assert "deeper/piece0.mid" in names
    assert "scores/piece0.mid" in names
    assert "piece3.mid" in names
    assert "theirs/copy" in names
    assert len(names) == len(set(names)) == 8


def test_every_form_of_the_report_is_written(copy, tmp_path):
    out = tmp_path / "reports"
    words = run_command(
        *("plagiarism", copy, "--corpus", "walks", "--transpose"),
        *("--json", out / "r.json", "--csv", out / "r.csv", "--html", out / "r.html"),
    )
    result = json.loads((out / "r.json").read_text(), parse_constant=pytest.fail)
    (row,) = csv.DictReader((out / "r.csv").open(newline=""))
    page = (out / "r.html").read_text()
    assert (row["piece"], row["overlap_corpus_piece"]) == ("copy.mid", "piece2")
    assert float(row["overlap"]) == result["pieces"][0]["overlap"]["score"] == 1.0
    assert f"1 generated piece ({copy}) against a corpus of 6 pieces (walks)." in page
    assert "piece2" in page
    sounds = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page)
    assert len(sounds) == 4  # of both excerpts, by notes and by melody
    for sound in map(base64.b64decode, sounds):
        heard, rate = soundfile.read(io.BytesIO(sound))
        assert 5 < len(heard) / rate < 20.1
        assert abs(heard).max() > 0.05
    assert "1 piece of" in words
    assert "copy.mid: 100.0 % of a window's notes, nearest piece2" in words
    assert "Note overlap: 100.0 % on average" in words
    assert "human music has" in words
    assert all(f"Written: {out / name}" in words for name in ("r.json", "r.csv", "r.html"))


def test_the_same_search_gives_the_same_bytes(copy, tmp_path):
    for name in ("a.json", "b.json"):
        run_command("plagiarism", copy, "--corpus", "walks", "--json", tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_what_cannot_be_read_is_left_out_and_said(copy, scores):
    (scores / "noise.mid").write_bytes(b"no music")
    words = run_command("plagiarism", scores, "--corpus", "walks")
    assert "left out: " in words
    assert "noise.mid: this is no MIDI file" in words
    assert "6 pieces of" in words
    left_out = search(scores, "--corpus", scores)["left_out"]
    for whose in ("generated", "corpus"):
        assert [each["file"] for each in left_out[whose]] == [str(scores / "noise.mid")]
        assert "no MIDI file" in left_out[whose][0]["reason"]


def test_of_many_broken_files_some_are_named_and_all_are_counted(copy, scores):
    for number in range(30):
        (scores / f"noise{number}.mid").write_bytes(b"no music")
    words = run_command("plagiarism", copy, "--corpus", scores, "--only", "overlap")
    assert words.count("left out: ") == 21
    assert "left out: 10 files more" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wolks", "--corpus", "walks"], "no file, model or generation named 'wolks'"),
        (["./nowhere.mid", "--corpus", "walks"], "there is no file or folder './nowhere.mid'"),
        (["{copy}", "--corpus", "wolks"], "no corpus named 'wolks'; did you mean walks"),
        (["{copy}", "--corpus", "./nowhere"], "there is no corpus and no folder './nowhere'"),
        (["{copy}", "--corpus", "{empty}"], "holds no piece to search in"),
        (["{noise}", "--corpus", "walks"], "there is no piece with notes in"),
        (["{empty}", "--corpus", "walks"], "there is no piece with notes in"),
        (["", "--corpus", "walks"], "no file, model or generation named ''"),
        (["x" * 5000, "--corpus", "walks"], "no file, model or generation named 'xxx"),
        (["{copy}", "--corpus", ""], "no corpus named ''"),
        (["{copy}"], "the following arguments are required: --corpus"),
        (["{copy}", "--corpus", "walks", "--unit", "bar"], "argument --unit: invalid choice: 'bar'"),
        (["{copy}", "--corpus", "walks", "--top", "0"], "top must be 1 to 1000, got 0"),
        (["{copy}", "--corpus", "walks", "--window", "4 beats"], "a window is written 4bars or 64steps"),
        (["{copy}", "--corpus", "walks", "--window", "0"], "window_bars must be 1 to 64, got 0"),
        (["{copy}", "--corpus", "walks", "--transpositions=5..-6"], "a set of semitones is written -6..5"),
        (["{copy}", "--corpus", "walks", "--transpositions=200"], "semitones from -127 to 127, got (200,)"),
        (["{copy}", "--corpus", "walks", "--workers", "0"], "workers must be at least 1, got 0"),
        (
            ["{copy}", "--corpus", "walks", "--filters", "melodl4j", "--voice", "bottom"],
            "--filters are for MELODL4J's voices, not for bottom",
        ),
        (["{copy}", "--corpus", "walks", "--only", "rhythm"], "argument --only: invalid choice: 'rhythm'"),
        (["{copy}", "--corpus", "walks", "--json", "{empty}"], "--json needs a file, "),
        (["{copy}", "--corpus", "walks", "--html", "{copy}/r.html"], "cannot make the folder"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(arguments, message, copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.mid").write_bytes(b"no music")
    places = {"copy": copy, "empty": tmp_path / "empty", "noise": tmp_path / "noise.mid"}
    with pytest.raises(CommandError) as error:
        run_command("plagiarism", *(each.format(**places) for each in arguments))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{copy}", "--corpus", "wolks"], "no corpus named 'wolks'"),
        (["{copy}", "wolks", "--corpus", "walks"], "no file, model or generation named 'wolks'"),
        (["{copy}", "--corpus", "{empty}"], "holds no piece to search in"),
        (["{copy}", "--corpus", "walks", "--top", "0"], "top must be 1 to 1000"),
    ],
)
def test_nothing_is_read_before_all_names_are_known(arguments, message, copy, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("music.isolation.read_scores", lambda *_, **__: pytest.fail("it began to read"))
    with pytest.raises(CommandError, match=message):
        run_command("plagiarism", *(each.format(copy=copy, empty=tmp_path / "empty") for each in arguments))


def test_a_name_that_is_a_file_too_is_refused(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walks").mkdir()
    write_midi(melody(1), tmp_path / "walks" / "one.mid")
    with pytest.raises(
        CommandError, match=r"'walks' is a corpus and a folder here; write \./walks for the folder"
    ):
        run_command("plagiarism", copy, "--corpus", "walks")
    with pytest.raises(
        CommandError, match=r"'walks' is a name in the catalog and a file here; write \./walks"
    ):
        run_command("plagiarism", "walks", "--corpus", "./walks")
    assert search("./walks", "--corpus", "./walks")["pieces"][0]["overlap"]["score"] == 1.0


def test_a_recording_alone_cannot_be_searched(corpus, tmp_path):
    import numpy as np

    soundfile.write(tmp_path / "take.wav", np.full((44_100, 2), 0.1), 44_100)
    import_pieces(condition="theirs", sources=[str(tmp_path / "take.wav")])
    with pytest.raises(CommandError, match="theirs/take: it is a recording; it has no notes to compare"):
        run_command("plagiarism", "theirs", "--corpus", "walks")


def test_the_service_gives_what_pages_need(copy):
    found = search_originality(generated=[str(copy)], corpus="walks", top=1)
    assert found.report == OriginalityReport.objects.get()
    assert found.result["pieces"][0]["piece"] == found.subject.pieces[0][0]
    assert {item.name for item in found.reference.items} == {f"piece{number}" for number in range(6)}
    assert run_json("corpora")[0]["sha256"] == found.report.corpus_sha256
