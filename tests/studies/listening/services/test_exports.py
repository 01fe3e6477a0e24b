"""A study as files: complete, blind until unblinded, and read back as it was."""

import csv
import hashlib
import json

import pandas as pd
import pytest

from analysis.ratings.report import analyse
from analysis.ratings.table import check_ratings, read_ratings
from studies.listening.clock import compressed
from studies.listening.codebook import CODEBOOK
from studies.listening.errors import ListeningError
from studies.listening.models import KeyAccess
from studies.listening.selectors import ratings_table
from studies.listening.services import (
    analyse_study,
    close_study,
    export_study,
    simulate_listeners,
    unblind_study,
)
from tests.studies.factories import begin, make_study, sit_through

pytestmark = pytest.mark.django_db

SMALL = {"pieces": 2, "trials": 5, "repeats": 1, "practice": 1, "checks": 1}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def study():
    """Three listeners with tastes of their own, closed."""
    study = make_study(**SMALL)
    for number in range(3):
        with compressed() as clock:
            session = begin(study, seed=number, external_id=f"RECRUIT-{number}")
            sit_through(session, clock, value=lambda trial, n=number: 1 + (trial.position * (n + 2)) % 10)
    return close_study(study=study)


def test_a_blind_export_names_no_condition_and_no_piece(study, tmp_path):
    result = export_study(study=study, out=tmp_path)
    assert result["blind"]
    assert not (tmp_path / "key.csv").exists()
    for name in ("ratings", "ratings_wide", "trials", "events", "participants"):
        text = (tmp_path / f"{name}.csv").read_text(encoding="utf-8")
        for secret in (
            "joplin",
            "biaxial",
            "scrambled",
            "ragtime",
            "rag_",
            "opus",
            "generated",
            "low_anchor",
        ):
            assert secret not in text
    assert {row["condition"] for row in rows_of(tmp_path / "ratings.csv")} == {"A", "B", "C"}
    assert not KeyAccess.objects.exists()


def test_no_seed_and_no_secret_is_written_before_the_key(study, tmp_path):
    """With the seeds, the order of every listener could be drawn again, and the key read off it."""
    secrets = [study.draw_secret, *(str(who.session.seed) for who in study.participants.all())]
    export_study(study=study, out=tmp_path / "blind")
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "blind").iterdir()]
    assert "seed" not in rows_of(tmp_path / "blind/participants.csv")[0]
    assert json.loads((tmp_path / "blind/study.json").read_text())["draw_secret"] is None
    assert not [text for text in texts if study.draw_secret in text]
    export_study(study=unblind_study(study=study, who="Ada"), out=tmp_path / "open")
    assert json.loads((tmp_path / "open/study.json").read_text())["draw_secret"] == secrets[0]
    assert [row["seed"] for row in rows_of(tmp_path / "open/participants.csv")] == secrets[1:]


def test_the_key_is_exported_once_unblinded_and_that_is_written_down(study, tmp_path):
    export_study(study=unblind_study(study=study, who="Ada"), out=tmp_path, who="Bob")
    key = {row["label"]: row for row in rows_of(tmp_path / "key.csv")}
    assert len(key) == 7
    assert {row["condition"] for row in key.values()} == {"joplin", "biaxial", "scrambled", ""}
    assert KeyAccess.objects.filter(who="Bob", what="exported the key").count() == 1
    trials = rows_of(tmp_path / "trials.csv")
    ratings = {(r["participant"], r["trial"]): r for r in rows_of(tmp_path / "ratings.csv")}
    for trial in trials:  # the key joins trials to the same conditions that ratings name
        if trial["kind"] in ("main", "repeat"):
            assert (
                ratings[trial["participant"], trial["position"]]["condition"]
                == key[trial["label"]]["condition"]
            )
    about = json.loads((tmp_path / "study.json").read_text())
    assert [access["what"] for access in about["key_accesses"]] == ["unblinded the study", "exported the key"]


def test_each_text_that_was_agreed_to_is_exported_as_it_was(study, tmp_path):
    export_study(study=study, out=tmp_path)
    agreed = {row["consent_sha256"] for row in rows_of(tmp_path / "participants.csv")}
    files = list(tmp_path.glob("consent-*.txt"))
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == agreed
    assert len(agreed) == 1


def test_an_old_key_does_not_stay_beside_a_blind_export(study, tmp_path):
    (tmp_path / "key.csv").write_text("left over")
    export_study(study=study, out=tmp_path)
    assert not (tmp_path / "key.csv").exists()


def test_ratings_come_back_as_they_were(study, tmp_path):
    study = unblind_study(study=study, who="Ada")
    export_study(study=study, out=tmp_path)
    kept = check_ratings(ratings_table(study)).reset_index(drop=True)
    read = read_ratings(tmp_path / "ratings.csv").reset_index(drop=True)
    read["answered_at"] = read["answered_at"].dt.floor("ms")
    kept["answered_at"] = kept["answered_at"].dt.floor("ms")
    pd.testing.assert_frame_equal(
        read.drop(columns="excluded"), kept.drop(columns="excluded")[read.columns.drop("excluded")]
    )


def test_the_file_gives_the_statistics_of_the_study(study, tmp_path):
    study = unblind_study(study=study, who="Ada")
    export_study(study=study, out=tmp_path)
    _, of_study = analyse_study(study=study, who="Ada")
    of_file = analyse(read_ratings(tmp_path / "ratings.csv"), reference="joplin", margin=0.5)
    for name in ("n_participants", "n_ratings", "n_pieces"):
        assert of_file[name] == of_study[name]
    for a, b in zip(of_file["conditions"], of_study["conditions"], strict=True):
        assert (a["condition"], a["mean"]) == (b["condition"], b["mean"])


def test_every_trial_and_event_and_participant_is_there(study, tmp_path):
    result = export_study(study=study, out=tmp_path)
    rows = {name: facts["rows"] for name, facts in result["files"].items() if facts["rows"] is not None}
    assert rows == {
        "ratings.csv": 18,
        "ratings_wide.csv": 3,
        "trials.csv": 24,
        "participants.csv": 3,
        "events.csv": 39,
    }
    wide = rows_of(tmp_path / "ratings_wide.csv")
    long = rows_of(tmp_path / "ratings.csv")
    total = sum(
        int(v) for row in wide for name, v in row.items() if v and name not in ("participant", "simulated")
    )
    assert total == sum(int(row["rating"]) for row in long)


def test_the_codebook_describes_every_column(study, tmp_path):
    export_study(study=unblind_study(study=study, who="Ada"), out=tmp_path)
    for name, columns in CODEBOOK.items():
        if name == "ratings_wide":
            continue
        with (tmp_path / f"{name}.csv").open(encoding="utf-8") as file:
            assert set(next(csv.reader(file))) <= set(columns), name
    assert json.loads((tmp_path / "codebook.json").read_text()) == CODEBOOK
    assert "| `listened_seconds` |" in (tmp_path / "codebook.md").read_text()


def test_what_was_heard_before_a_judgement_is_exported(study, tmp_path):
    export_study(study=study, out=tmp_path)
    for row in rows_of(tmp_path / "trials.csv"):
        assert row["judgement_listened_seconds"] == ("5.0" if row["judged_human"] else "")


def test_hashes_are_those_of_the_files(study, tmp_path):
    result = export_study(study=study, out=tmp_path)
    about = json.loads((tmp_path / "study.json").read_text())
    assert about["files"] == result["files"]
    for name, facts in result["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == facts["sha256"]
    assert (tmp_path / "specification.yaml").read_text() == study.specification
    assert not list(tmp_path.glob("*.part"))


def test_nobody_can_be_found_from_the_files(study, tmp_path):
    export_study(study=study, out=tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    for participant in study.participants.all():
        for secret in (participant.external_id, participant.withdrawal_code, participant.public_id):
            assert secret not in text
        assert participant.session.token not in text


@pytest.mark.parametrize("comment", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "  =1", "\r=2"])
def test_a_spreadsheet_runs_nothing(comment, tmp_path):
    study = make_study(**SMALL)
    with compressed() as clock:
        session = sit_through(begin(study), clock)
    session.comment = comment
    session.save()
    export_study(study=study, out=tmp_path)
    cell = rows_of(tmp_path / "participants.csv")[0]["comment"]
    assert cell == "'" + comment.replace("\r", "\n")


def test_a_simulated_study_says_so_in_names_columns_and_codebook(tmp_path):
    study = make_study(is_simulated=True, **SMALL)
    simulate_listeners(study=study, count=2, seed=1)
    result = export_study(study=study, out=tmp_path)
    assert all(name.startswith("simulated_") for name in result["files"])
    for name in ("ratings", "trials", "events", "participants", "ratings_wide"):
        assert {row["simulated"] for row in rows_of(tmp_path / f"simulated_{name}.csv")} == {"1"}
    assert "no person gave any" in (tmp_path / "simulated_codebook.md").read_text()
    assert json.loads((tmp_path / "simulated_study.json").read_text())["simulation"]["d_prime"] == 0.8


def test_a_study_without_listeners_has_headers_and_no_rows(tmp_path):
    result = export_study(study=make_study(**SMALL), out=tmp_path)
    assert result["files"]["ratings.csv"]["rows"] == 0
    assert (tmp_path / "ratings.csv").read_text().startswith("participant,piece,condition,rating")


def test_a_folder_that_cannot_be_written_is_one_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ListeningError, match="cannot write to"):
        export_study(study=study, out=tmp_path / "file")


# Results


def test_results_of_an_open_study_are_withheld_with_the_counts():
    study = make_study(**SMALL)
    with compressed() as clock:
        sit_through(begin(study), clock)
    with pytest.raises(ListeningError, match="still open: so far 1 listeners, 1 of them finished, 6 ratings"):
        analyse_study(study=study)


def test_a_look_into_an_open_study_is_written_down_and_named(study):
    study.state = "open"
    study.save()
    _, result = analyse_study(study=study, is_interim=True, who="Ada")
    assert result["study"]["interim"]
    assert {row["condition"] for row in result["conditions"]} == {"A", "B", "C"}
    assert KeyAccess.objects.get().what == "looked at results of the open study"


def test_blind_results_have_letters_and_no_reference(study):
    ratings, result = analyse_study(study=study)
    assert {row["condition"] for row in result["conditions"]} == {"A", "B", "C"}
    assert result["settings"]["reference"] is None
    assert "role" not in ratings.columns
    assert not KeyAccess.objects.exists()


def test_unblinded_results_use_what_was_declared_and_are_logged(study):
    _, result = analyse_study(study=unblind_study(study=study, who="Ada"), who="Bob")
    assert result["settings"]["reference"] == "joplin"
    assert result["settings"]["exclude"] == study.design["analysis"]["exclude"]
    assert KeyAccess.objects.last().who == "Bob"


def test_a_study_without_ratings_says_so():
    study = make_study(is_simulated=True, **SMALL)
    with pytest.raises(ListeningError, match="has no ratings yet"):
        analyse_study(study=study)
