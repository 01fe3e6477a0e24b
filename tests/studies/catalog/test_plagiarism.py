"""``plagiarism``: planted copies are found by name, place and number, in every form of the report."""

import csv
import json
import shutil

import pytest
from django.core.management import CommandError

from music.midi import write_midi
from music.score import Score
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
    settings = search(copy, "--corpus", "walks", "--unit", "cell", "--top", 2, "--only", "melody")["settings"]
    assert (settings["unit"], settings["top"], settings["only"]) == ("cell", 2, "melody")
    assert settings["transpositions"] == [0]
    assert search(copy, "--corpus", "walks", "--transpose")["settings"]["transpositions"] == list(
        range(-12, 13)
    )


def test_a_folder_is_a_corpus_too(copy, scores, corpus):
    in_folder = search(copy, "--corpus", scores, "--transpose")
    assert in_folder["pieces"][0]["overlap"]["matches"][0]["corpus_piece"] == "piece2.mid"
    assert not OriginalityReport.objects.exists()  # only what the catalog knows is kept
    exported = search(copy, "--corpus", corpus.folder, "--transpose")
    assert exported["pieces"][0]["overlap"]["matches"][0]["corpus_piece"] == "piece2"


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
    assert "copy.mid" in page
    assert "piece2" in page
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
    import soundfile

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
