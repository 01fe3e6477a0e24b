"""``import_corpus`` and ``corpora``: everything found is accounted for, and nothing is half made."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError

from music.midi import write_midi
from studies.catalog.models import Corpus, Origin, Piece
from studies.catalog.selectors import list_corpora, pieces_of_corpus, score_of
from studies.catalog.services import import_corpus
from tests.studies.catalog.material import melody, run_command, run_json, write_scores

pytestmark = pytest.mark.django_db


def test_the_document_has_the_fixed_keys(scores):
    document = run_json("import_corpus", "walks", scores)
    assert {"corpus", "pieces", "notes", "splits", "duplicates", "rejected"} <= set(document)
    assert document["corpus"] == "walks"
    assert document["pieces"] == 6
    assert document["notes"] == 6 * (64 + 16)
    assert set(document["splits"]) == {"train", "validation", "test"}
    assert sum(document["splits"].values()) == 6
    assert document["duplicates"] == document["rejected"] == []


def test_every_file_is_imported_or_a_duplicate_or_refused_with_its_reason(scores):
    shutil.copy(scores / "piece0.mid", scores / "twin.mid")
    (scores / "noise.mid").write_bytes(b"\x00\xffno music" * 40)
    (scores / "cut.mid").write_bytes((scores / "piece1.mid").read_bytes()[:60])
    document = run_json("import_corpus", "walks", scores)
    assert document["pieces"] == 6
    assert document["duplicates"] == [["scores/twin.mid", "piece0"]]
    refused = {each["file"]: each["reason"] for each in document["rejected"]}
    assert set(refused) == {"scores/noise.mid", "scores/cut.mid"}
    assert "no MThd header" in refused["scores/noise.mid"]
    assert "cut off" in refused["scores/cut.mid"]
    assert document["found"] == document["pieces"] + len(document["duplicates"]) + len(document["rejected"])


def test_what_was_refused_is_said_in_words(scores):
    (scores / "noise.mid").write_bytes(b"no music")
    words = run_command("import_corpus", "walks", scores, "--license", "CC0")
    assert "Corpus walks: 6 pieces, 480 notes" in words
    assert "Found in the files: 7 pieces, 6 new, 1 refused." in words
    assert "scores/noise.mid: " in words
    assert str(django_settings.CORPORA_ROOT / "walks") in words


def test_the_rows_agree_with_the_files(corpus, home):
    assert corpus.pieces.count() == corpus.n_pieces == 6
    for piece in corpus.pieces.all():
        score = score_of(piece)
        assert piece.origin == Origin.CORPUS
        assert not Path(piece.midi_path).is_absolute()
        assert piece.midi_file.is_relative_to(home)
        assert (piece.n_notes, piece.n_bars, piece.meter) == (score.n_notes, score.n_bars, "4/4")
        assert piece.key == "C major"
        assert piece.seconds == pytest.approx(score.duration_seconds, abs=1e-3)


def test_importing_again_changes_nothing(corpus, scores):
    rows = list(Piece.objects.values())
    document = run_json("import_corpus", "walks", scores)
    assert (document["new"], document["known"], document["changed"]) == (0, 6, False)
    assert document["sha256"] == corpus.sha256
    assert list(Piece.objects.values()) == rows


def test_adding_keeps_pieces_and_splits_and_gives_another_hash(corpus, tmp_path):
    before = dict(corpus.pieces.values_list("name", "split"))
    ids = dict(corpus.pieces.values_list("name", "public_id"))
    more = tmp_path / "more"
    more.mkdir()
    words = run_command("import_corpus", "walks", write_scores(more, range(6, 30)))
    after = Corpus.objects.get()
    assert after.n_pieces == 30
    assert after.sha256 != corpus.sha256
    assert {
        name: split for name, split in after.pieces.values_list("name", "split") if name in before
    } == before
    assert {name: each for name, each in after.pieces.values_list("name", "public_id") if name in ids} == ids
    assert "It had other pieces before: 24 were added." in words
    assert after.sources == [str(tmp_path / "scores"), str(more)]


def test_rows_that_a_kill_prevented_come_with_the_next_import(corpus, scores):
    Piece.objects.all().delete()
    Corpus.objects.all().delete()
    document = run_json("import_corpus", "walks", scores)
    assert (document["pieces"], document["known"]) == (6, 6)
    assert pieces_of_corpus("walks").count() == 6


def test_what_a_killed_import_left_is_cleared_away(corpus, scores, home):
    abandoned = home / "corpora" / ".walks-a1b2c3d4"
    other = home / "corpora" / ".walks-more-a1b2c3d4"
    for folder in (abandoned, other):
        (folder / "pieces").mkdir(parents=True)
    import_corpus(name="walks", sources=[str(scores)])
    assert not abandoned.exists()
    assert other.exists()  # an import of another corpus, which may be at work


@pytest.mark.parametrize("name", ["two words", "../up", "", "-flag", "a/b", "ü", "x" * 61, ".hidden"])
def test_a_name_that_cannot_stand_is_refused(name, scores):
    with pytest.raises(
        CommandError, match="a corpus name has 1-60 letters, digits, hyphens or underscores"
    ) as error:
        run_command("import_corpus", "--", name, scores)
    assert repr(name[:40])[:-1] in str(error.value)
    assert not Corpus.objects.exists()


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"there is no file or folder '.*nowhere'"):
        run_command("import_corpus", "walks", tmp_path / "nowhere")


def test_an_unknown_composer_is_named_with_those_that_come_close():
    with pytest.raises(CommandError, match=r"music21 brings no pieces by 'bch'; did you mean .*bach"):
        run_command("import_corpus", "walks", "music21:bch")


def test_a_folder_without_music_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandError, match="no readable files in"):
        run_command("import_corpus", "walks", tmp_path / "empty")
    assert not (django_settings.CORPORA_ROOT / "walks").exists()


def test_a_source_of_broken_files_alone_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    with pytest.raises(CommandError, match=r"none of the 1 files could be read: .*bad\.mid: .*cut off"):
        run_command("import_corpus", "walks", tmp_path / "bad.mid")
    assert not Corpus.objects.exists()
    assert list(django_settings.CORPORA_ROOT.iterdir()) == []


def test_broken_files_alone_add_nothing_to_a_corpus(corpus, tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    with pytest.raises(CommandError, match=r"nothing was added to corpus 'walks': all 1 files were refused"):
        run_command("import_corpus", "walks", tmp_path / "bad.mid")
    assert Corpus.objects.get().sha256 == corpus.sha256


def test_two_imports_of_one_corpus_do_not_meet(corpus, scores):
    from studies.catalog.storage import only_one

    with (
        only_one("corpus-walks"),
        pytest.raises(CommandError, match="another process is working on corpus-walks"),
    ):
        run_command("import_corpus", "walks", scores)


def test_a_kill_in_the_middle_leaves_nothing_that_looks_like_a_corpus(tmp_path):
    """A real process on a real database, killed while it reads."""
    folder, data = tmp_path / "many", tmp_path / "data"
    folder.mkdir()
    for number in range(150):
        write_midi(melody(number, n_notes=16), folder / f"{number}.mid")
    root = Path(__file__).parents[3]
    environment = {"EARWITNESS_HOME": str(data), "PATH": "/usr/bin:/bin"}
    manage = [sys.executable, str(root / "manage.py")]
    subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True, cwd=root)
    importing = [*manage, "import_corpus", "many", str(folder)]
    process = subprocess.Popen(
        importing, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    )
    for line in process.stderr:
        if line.startswith(b"reading: 3"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = [path.name for path in (data / "corpora").iterdir()]
    assert "many" not in left
    again = subprocess.run([*importing, "--json"], env=environment, capture_output=True, check=True, cwd=root)
    assert json.loads(again.stdout)["pieces"] == 150
    assert [path.name for path in (data / "corpora").iterdir()] == ["many"]


def test_corpora_lists_them_in_one_query(corpus, scores, tmp_path, django_assert_num_queries):
    with django_assert_num_queries(1):
        (one,) = list_corpora()
    assert {"corpus", "pieces", "notes", "splits", "license", "sha256", "path"} <= set(one)
    assert one["splits"] == {"train": 4, "validation": 1, "test": 1}
    import_corpus(name="another", sources=[str(scores / "piece1.mid")])
    import_corpus(name="zoo", sources=[str(scores / "piece2.mid")])
    with django_assert_num_queries(1):
        assert [each["corpus"] for each in list_corpora()] == ["another", "walks", "zoo"]
    assert run_json("corpora") == list_corpora()


def test_without_a_corpus_the_command_says_how_to_make_one():
    assert "import_corpus NAME SOURCE" in run_command("corpora")
    assert run_json("corpora") == []


def test_pieces_of_a_corpus_come_by_split(corpus, django_assert_num_queries):
    with django_assert_num_queries(2):
        names = {str(piece) for piece in pieces_of_corpus("walks", "train")}
    assert len(names) == 4
    assert all(name.startswith("walks/piece") for name in names)


@pytest.fixture
def strange(tmp_path):
    """A folder of two scores, a broken one under a name that colours terminals, and four other things."""
    folder = tmp_path / "strange"
    folder.mkdir()
    write_scores(folder, [1, 2])
    (folder / "piece1.mid").rename(folder / os.fsdecode(b"\xff\xfe.mid"))
    (folder / "red\x1b[31m\n.mid").write_bytes(b"no music")
    (folder / "notes.txt").touch()
    (folder / "cover.png").touch()
    (folder / "gone.mid").symlink_to(tmp_path / "nowhere.mid")
    (folder / ".hidden").touch()
    return folder


@pytest.mark.parametrize("command", ["import_corpus", "import_pieces"])
def test_what_is_passed_over_is_counted_and_no_name_reaches_the_terminal_as_it_is(command, strange, home):
    words = run_command(command, "strange", strange)
    assert "3 files of other kinds were passed over." in words
    assert "red\\x1b[31m\\n.mid: this is no MIDI file" in words
    assert "\x1b" not in words
    words.encode()
    document = run_json(command, "strange", strange)
    assert document["ignored"] == 3
    assert document["rejected"][0]["file"].endswith("red\x1b[31m\n.mid")


def test_where_nothing_is_passed_over_nothing_is_said(scores):
    assert "passed over" not in run_command("import_corpus", "walks", scores)
    assert run_json("import_corpus", "walks", scores / "piece1.mid")["ignored"] == 0


@pytest.mark.parametrize("command", ["import_corpus", "import_pieces"])
def test_a_license_of_many_pages_is_refused(command, scores, home):
    with pytest.raises(CommandError, match="a license has at most 2,000 characters, got 2,001"):
        run_command(command, "walks", scores, "--license", "x" * 2001)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_row_can_keep_is_refused_before_anything_is_written(seed, scores, home):
    with pytest.raises(CommandError, match=f"seed must be a whole number from 0 to {2**63 - 1}, got {seed}"):
        run_command("import_corpus", "walks", scores, "--seed", seed)
    assert list(home.iterdir()) == []
