"""``train``, ``models`` and ``families``: a model's row is true to its checkpoint, and no model is lost."""

import errno
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from generators import checkpoint
from generators.registry import family_names
from music.midi import write_midi
from music.score import Note, Score, Track
from studies.catalog.models import Corpus, TrainedModel
from studies.catalog.selectors import list_models
from studies.catalog.services import import_corpus
from studies.catalog.storage import only_one
from tests.studies.catalog.material import SMALL, run_command, run_json, train_small, write_scores

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[3]
RIGHT_SEED = "seed must be a whole number from 0 to 9223372036854775807"


@pytest.mark.parametrize("family", sorted(SMALL))
def test_the_document_has_the_fixed_keys(family, corpus, home):
    document = train_small(family, "walks", "--seed", 4)
    fixed = {"model", "family", "corpus", "updates", "seconds", "device", "parameters", "losses", "path"}
    assert fixed <= set(document)
    assert set(document["losses"]) >= {"train", "validation"}
    assert (document["model"], document["family"], document["corpus"]) == (f"{family}-walks", family, "walks")
    assert (document["updates"], document["device"], document["seed"]) == (3, "cpu", 4)
    assert Path(document["path"]) == home / "models" / f"{family}-walks"
    assert document["checkpoint_sha256"] == checkpoint.checkpoint_sha256(document["path"])


def test_the_row_is_true_to_the_checkpoint(gru, corpus):
    config = checkpoint.read_config(gru.folder)
    assert (gru.family, gru.preset, gru.updates, gru.is_finished) == ("gru_next_note", "tiny", 3, True)
    assert gru.corpus_sha256 == corpus.sha256 == config["corpus"]["sha256"]
    assert gru.settings == config["config"]
    assert gru.settings["d_hidden"] == 8
    assert gru.train_loss == config["losses"]["train"]
    assert gru.n_parameters == config["parameters"]
    assert gru.checkpoint_sha256 == checkpoint.checkpoint_sha256(gru.folder)
    assert gru.code_version == checkpoint.code_version()


def test_the_same_seed_trains_the_same_model(corpus):
    first = train_small("gru_next_note", "walks", "--name", "a", "--seed", 3)
    again = train_small("gru_next_note", "walks", "--name", "b", "--seed", 3)
    other = train_small("gru_next_note", "walks", "--name", "c", "--seed", 4)
    assert first["checkpoint_sha256"] == again["checkpoint_sha256"] != other["checkpoint_sha256"]


def test_a_resumed_model_is_the_one_that_was_left_alone(corpus):
    whole = train_small("gru_next_note", "walks", "--name", "whole", "--updates", 6)
    train_small("gru_next_note", "walks", "--name", "parts", "--updates", 2)
    resumed = run_json(
        "train", "gru_next_note", "--corpus", "walks", "--name", "parts", "--updates", 6, "--resume"
    )
    assert resumed["checkpoint_sha256"] == whole["checkpoint_sha256"]
    row = TrainedModel.objects.get(name="parts")
    assert (row.updates, row.checkpoint_sha256) == (6, whole["checkpoint_sha256"])


def test_a_model_is_never_overwritten(gru):
    with pytest.raises(CommandError, match=r"there is a model named 'gru' already .*3 updates.*--resume"):
        train_small("gru_next_note", "walks", "--name", "gru")
    assert checkpoint.checkpoint_sha256(gru.folder) == gru.checkpoint_sha256


def test_a_model_does_not_go_on_as_another(gru):
    with pytest.raises(CommandError, match="'gru' is a model of gru_next_note; it cannot go on as deephear"):
        run_command("train", "deephear", "--corpus", "walks", "--name", "gru", "--resume")
    with pytest.raises(CommandError, match="'gru' has preset 'tiny'; it cannot go on as 'paper'"):
        run_command(
            "train", "gru_next_note", "--corpus", "walks", "--name", "gru", "--preset", "paper", "--resume"
        )


def test_a_model_does_not_go_on_with_other_pieces(gru, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    import_corpus(name="walks", sources=[str(write_scores(more, [50, 51]))])
    with pytest.raises(CommandError, match="resume on the same corpus, or train a new model"):
        run_command("train", "gru_next_note", "--corpus", "walks", "--name", "gru", "--resume")
    import_corpus(name="others", sources=[str(more)])
    with pytest.raises(CommandError, match="resume on the same corpus, or train a new model"):
        run_command("train", "gru_next_note", "--corpus", "others", "--name", "gru", "--resume")
    assert TrainedModel.objects.get() == gru
    row = TrainedModel.objects.values().get()
    assert {key: row[key] for key in ("corpus_id", "corpus_sha256", "updates", "is_finished")} == {
        "corpus_id": gru.corpus_id,
        "corpus_sha256": gru.corpus_sha256,
        "updates": 3,
        "is_finished": True,
    }
    assert gru.corpus_sha256 != Corpus.objects.get(name="walks").sha256  # it names what it was trained on


def test_a_model_goes_on_from_a_kept_checkpoint_of_another(corpus, home):
    """Unchanged it becomes the same model; with another setting it is one of its own, and says where from."""
    whole = train_small("gru_next_note", "walks", "--name", "whole", "--updates", 6, "--keep-every", 2)
    start = ("train", "gru_next_note", "--corpus", "walks", "--updates", 6, "--from", "whole@4")
    same = run_json(*start, "--name", "same")
    assert same["checkpoint_sha256"] == whole["checkpoint_sha256"]
    other = run_json(*start, "--name", "other", "--set", "learning_rate=0.5")
    assert other["checkpoint_sha256"] != whole["checkpoint_sha256"]
    told = checkpoint.read_config(other["path"])["origin"]
    assert (told["model"], told["updates"], told["changed"]) == ("whole@4", 4, {"learning_rate": 0.5})
    last = run_json(*start[:-1], "whole@6", "--name", "last", "--updates", 7)
    assert (last["updates"], TrainedModel.objects.count()) == (7, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "gruu"], "no model named 'gruu' to go on from; did you mean gru"),
        (
            ["--from", "gru@2"],
            "'gru' has no checkpoint of update '2'; it has those of 3 .*--keep-every N",
        ),
        (["--from", "gru@last"], "model 'gru' has no checkpoint of update 'last'"),
        (["--from", "../gru"], "a model name has 1-60 letters"),
        (
            ["--from", "gru", "--resume"],
            "either continued .--resume. or started --from another model",
        ),
        (["--from", "gru", "--set", "d_hidden=9"], "with d_hidden=9 the weights have other shapes"),
        (["--from", "gru", "--preset", "paper"], "gru has preset 'tiny'; it cannot go on as 'paper'"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused(arguments, message, gru, home):
    with pytest.raises(CommandError, match=message):
        run_command("train", "gru_next_note", "--corpus", "walks", "--name", "new", *arguments)
    assert [path.name for path in (home / "models").iterdir()] == ["gru"]


def test_samples_come_by_themselves_and_can_be_switched_off(corpus, home):
    train_small("gru_next_note", "walks", "--name", "heard")
    train_small(
        "gru_next_note", "walks", "--name", "quiet", "--sample-every", "off", "--gradients-every", "off"
    )
    heard, quiet = home / "models" / "heard", home / "models" / "quiet"
    assert {path.suffix for path in (heard / "samples").iterdir()} == {".mid", ".svg"}
    assert (heard / "gradients.npz").is_file()
    assert not (quiet / "samples").exists()
    assert not (quiet / "gradients.npz").exists()
    assert checkpoint.checkpoint_sha256(heard) == checkpoint.checkpoint_sha256(quiet)


def test_a_misspelt_model_to_continue_is_refused_without_looking_at_corpus_or_family(gru):
    with pytest.raises(CommandError, match="no model named 'gruu' to continue; did you mean gru"):
        run_command("train", "nonsense", "--corpus", "nowhere", "--name", "gruu", "--resume")


def test_two_trainings_of_one_model_do_not_meet(corpus, home):
    with only_one("model-gru"), pytest.raises(CommandError, match="another process is working on model-gru"):
        train_small("gru_next_note", "walks", "--name", "gru")
    assert not (home / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gru_nxt_note", "--corpus", "walks"], "no family named 'gru_nxt_note'; did you mean gru_next_note"),
        (["gru_next_note", "--corpus", "wolks"], "no corpus named 'wolks'; did you mean walks"),
        (["gru_next_note", "--corpus", "walks", "--preset", "huge"], "no preset 'huge'; it has paper, tiny"),
        (
            ["gru_next_note", "--corpus", "walks", "--set", "d_hiden=8"],
            "no setting named 'd_hiden'; did you mean",
        ),
        (["gru_next_note", "--corpus", "walks", "--set", "d_hidden=much"], "d_hidden must be a whole number"),
        (
            ["gru_next_note", "--corpus", "walks", "--set", "d_hidden"],
            "--set needs key=value, got 'd_hidden'",
        ),
        (["gru_next_note", "--corpus", "walks", "--updates", "0"], "updates must be at least 1, got 0"),
        (
            ["gru_next_note", "--corpus", "walks", "--minutes", "-1"],
            "minutes must be a positive number, got -1",
        ),
        (
            ["gru_next_note", "--corpus", "walks", "--minutes", "nan"],
            "minutes must be a positive number, got nan",
        ),
        (
            ["gru_next_note", "--corpus", "walks", "--device", "abacus"],
            "device must be auto, cpu or cuda, got",
        ),
        (["gru_next_note", "--corpus", "walks", "--name", "my model"], "a model name has 1-60 letters"),
        (["gru_next_note", "--corpus", "walks", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["gru_next_note", "--corpus", "walks", "--seed", "-1"], f"{RIGHT_SEED}, got -1"),
        (["gru_next_note", "--corpus", "walks", "--seed", str(2**63)], f"{RIGHT_SEED}, got {2**63}"),
        (["gru_next_note", "--corpus", "walks", "--seed", "9" * 60], f"{RIGHT_SEED}, got one of 60 digits"),
        (
            ["gru_next_note", "--corpus", "walks", "--precision", "fp8"],
            "precision must be auto, fp32 or bf16",
        ),
        (["gru_next_note", "--corpus", "walks", "--threads", "0"], "threads must be 1 to"),
        (
            ["gru_next_note", "--corpus", "walks", "--keep-every", "-1"],
            "keep_every must be a number of",
        ),
        (
            ["gru_next_note", "--corpus", "walks", "--sample-every", "-1"],
            "sample_every must be a number",
        ),
        (
            ["gru_next_note", "--corpus", "walks", "--sample-every", "x"],
            "a whole number or tenths or off",
        ),
        (
            ["gru_next_note", "--corpus", "walks", "--early-stopping", "0"],
            "early_stopping must be a number",
        ),
        (["gru_next_note", "--corpus", "walks", "--set", "d_hidden=1000000"], "parameters; at most"),
        (["gru_next_note", "--corpus", "walks", "--set", f"d_hidden={2**62}"], "at most 1,000,000, got"),
        (["gru_next_note", "--corpus", "walks", "--set", f"d_hidden={10**400}"], "at most 1,000,000, got"),
        (
            ["gru_next_note", "--corpus", "walks", "--name", "wolks", "--resume"],
            "no model named 'wolks' to continue; without --resume, this trains a new one",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(arguments, message, corpus, home):
    with pytest.raises(CommandError) as error:
        run_command("train", *arguments)
    assert message in str(error.value)
    assert not TrainedModel.objects.exists()
    assert not (home / "models").exists() or list((home / "models").iterdir()) == []


def test_without_a_corpus_the_error_says_how_to_make_one():
    with pytest.raises(
        CommandError, match=r"no corpus named 'walks'; import one: python manage.py import_corpus"
    ):
        run_command("train", "gru_next_note", "--corpus", "walks")


def test_a_corpus_with_nothing_to_learn_from_is_refused_and_leaves_no_model(tmp_path, home):
    for number in (1, 2, 3):
        beat = Track(tuple(Note(index * 480, 36 + number, 120) for index in range(8)), is_drum=True)
        write_midi(Score((beat,)), tmp_path / f"drums{number}.mid")
    import_corpus(name="drums", sources=[str(tmp_path)])
    with pytest.raises(CommandError, match=r"corpus 'drums' is too small: .* a window is"):
        run_command("train", "gru_next_note", "--corpus", "drums")
    assert not TrainedModel.objects.exists()
    assert list((home / "models").iterdir()) == []


@pytest.fixture(scope="module")
def real_data(tmp_path_factory):
    """A data folder on a real database, with a corpus in it, and the environment of commands that use it."""
    data, scores = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("scores")
    environment = {"EARWITNESS_HOME": str(data), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    for arguments in (["migrate", "-v0"], ["import_corpus", "walks", str(write_scores(scores, range(6)))]):
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    return data, environment


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_training_that_is_cut_short_is_listed_with_its_checkpoint(number, real_data):
    """A real process on a real database; the first signal lets it save, the second does not."""
    data, environment = real_data
    name = f"killed-by-{number}"
    training = ["train", "gru_next_note", "--corpus", "walks", "--name", name, "--device", "cpu"]
    for pair in ("d_hidden=8", "n_tokens=16", "max_updates=1000000", "epochs=1000000"):
        training += ["--set", pair]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *training],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline().startswith("training: ")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    with closing(sqlite3.connect(data / "earwitness.sqlite3")) as database:
        columns = "select updates, is_finished, checkpoint_sha256 from catalog_trainedmodel where name = ?"
        ((updates, is_finished, sha256),) = database.execute(columns, [name])
    folder = data / "models" / name
    assert sha256 == checkpoint.checkpoint_sha256(folder)
    assert updates == checkpoint.read_config(folder)["updates"]
    assert not is_finished
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert updates > 0
        assert f"stopped after {updates:,} updates of {name}" in said
        assert "continue it with --resume" in said
        assert "Traceback" not in said


def test_a_model_without_a_row_is_listed_when_it_goes_on(gru):
    """A kill between the first checkpoint and the row."""
    gru.delete()
    run_json("train", "gru_next_note", "--corpus", "walks", "--name", "gru", "--updates", 4, "--resume")
    assert TrainedModel.objects.get().updates == 4


def test_a_misspelt_name_to_continue_is_refused_with_those_there_are(gru, home):
    with pytest.raises(CommandError, match="no model named 'gruu' to continue; did you mean gru"):
        run_command("train", "gru_next_note", "--corpus", "walks", "--name", "gruu", "--resume")
    with pytest.raises(CommandError, match="no model named 'xyz' to continue; there is gru"):
        run_command("train", "gru_next_note", "--corpus", "walks", "--name", "xyz", "--resume")
    assert [path.name for path in (home / "models").iterdir()] == ["gru"]


def test_a_run_that_was_killed_before_its_first_checkpoint_can_be_resumed(corpus, home):
    (home / "models" / "early").mkdir(parents=True)
    (home / "models" / "early" / ".lock").touch()
    assert train_small("gru_next_note", "walks", "--name", "early", "--resume")["new_updates"] == 3


def test_a_model_that_has_come_to_its_limit_says_so_when_resumed(gru):
    resume = ("train", "gru_next_note", "--corpus", "walks", "--name", "gru", "--resume")
    said = run_command(*resume)
    assert "Nothing was trained: the limit on its updates is reached at 3 updates; --updates N" in said
    assert run_json(*resume)["new_updates"] == 0
    assert "Nothing was trained" not in run_command(*resume, "--updates", 4)


@pytest.mark.parametrize("command", [["generate", "gru", "--count", "1"], ["harmonize", "gru", "any.mid"]])
def test_a_model_without_a_row_is_named_with_the_way_back(command, gru):
    gru.delete()
    back = "train gru_next_note --corpus walks --name gru --resume"
    with pytest.raises(CommandError, match=f"is not listed; list it again: python manage.py {back}"):
        run_command(*command)
    said = io.StringIO()
    call_command("models", stdout=io.StringIO(), stderr=said)
    assert back in said.getvalue()
    run_command(*back.split())
    assert [each["model"] for each in list_models()] == ["gru"]


def test_a_model_whose_seed_no_row_can_keep_is_named_with_its_folder(gru):
    gru.delete()
    path = gru.folder / checkpoint.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": -1}))
    with pytest.raises(CommandError, match="with seed -1, which the catalog cannot list; delete that folder"):
        run_command("train", "gru_next_note", "--corpus", "walks", "--name", "gru", "--resume")


def test_models_are_listed_in_one_query(gru, django_assert_num_queries):
    with django_assert_num_queries(1):
        (one,) = list_models()
    assert {"model", "family", "corpus", "updates", "losses", "bytes"} <= set(one)
    assert one["bytes"] > 1000
    for name in ("anna", "zoe"):
        gru.pk, gru.name = None, name
        gru.save()
    with django_assert_num_queries(1):
        assert [each["model"] for each in list_models()] == ["anna", "gru", "zoe"]
    assert run_json("models") == list_models()
    assert "gru_next_note (tiny) on walks, 3 updates" in run_command("models")
    assert "its folder is gone" in run_command("models")  # anna has a row and no files


def test_without_a_model_the_command_says_how_to_make_one():
    assert "train FAMILY --corpus NAME" in run_command("models")
    assert run_json("models") == []


def test_families_have_the_fixed_keys():
    families, lines = run_json("families"), run_command("families")
    assert [each["name"] for each in families] == family_names()
    for each in families:
        assert {"name", "title", "citation", "abilities", "presets"} <= set(each)
        assert {"tiny", "paper"} <= set(each["presets"])
        assert all(preset["parameters"] >= 0 for preset in each["presets"].values())
        assert f"{each['name']}: {each['title']}" in lines
    sizes = {each["name"]: each["presets"]["paper"]["parameters"] for each in families}
    assert min(sizes["deephear"], sizes["gru_next_note"]) > 100_000


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(corpus, home, monkeypatch):
    whole = checkpoint.save

    def save(folder, config, *rest):
        if config["updates"] > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(folder, config, *rest)

    monkeypatch.setattr(checkpoint, "save", save)
    folder = home / "models" / "gru_next_note-walks"
    words = f"{folder}: No space left on device; the checkpoint of 0 updates in {folder} is good: make room"
    with pytest.raises(CommandError, match=re.escape(words)):
        train_small("gru_next_note", "walks")
    assert checkpoint.read_config(folder)["updates"] == 0


def test_a_model_that_had_no_time_to_learn_says_so(corpus):
    said = run_command(
        "train", "gru_next_note", "--corpus", "walks", "--minutes", "0.00001", "--device", "cpu"
    )
    assert "It has learned nothing" in said


def test_a_plan_shorter_than_the_updates_asked_for_says_so(corpus):
    small = ("--set", "d_hidden=8", "--set", "n_tokens=16", "--set", "max_updates=2")
    training = ("train", "gru_next_note", "--corpus", "walks", *small)
    said = run_command(*training, "--updates", 9)
    assert "Its plan ended after 2 of the 9 updates asked for" in said
    other = (
        "train",
        "gru_next_note",
        "--corpus",
        "walks",
        "--from",
        "gru_next_note-walks",
        "--name",
        "other",
    )
    assert "Nothing was left to train" in run_command(*other)
