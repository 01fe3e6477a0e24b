"""The commands of a study, as a person types them."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from studies.listening.clock import compressed
from studies.listening.models import KeyAccess, Study
from tests.studies.factories import (
    begin,
    make_corpus,
    make_generation,
    make_stimulus,
    make_study,
    sit_through,
    specification_text,
)

pytestmark = pytest.mark.django_db

SMALL = {"pieces": 2, "trials": 5, "repeats": 1, "practice": 1, "checks": 1}


def run(*arguments) -> str:
    """What a command writes to stdout."""
    out = io.StringIO()
    call_command(*[str(argument) for argument in arguments], stdout=out, stderr=io.StringIO())
    return out.getvalue()


def refusal_of(*arguments) -> str:
    """The one line of a command that refuses."""
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    line = str(refusal.value)
    assert "\n" not in line
    assert "Traceback" not in line
    return line


@pytest.fixture
def catalog(monkeypatch):
    monkeypatch.setattr(
        "studies.catalog.services.stimuli.render_stimulus",
        lambda *, piece, seconds, **options: make_stimulus(piece, seconds=seconds),
    )
    make_generation(corpus=make_corpus())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(specification_text(**SMALL))
    return path


@pytest.fixture
def closed():
    study = make_study(**SMALL)
    for number in range(3):
        with compressed() as clock:
            sit_through(
                begin(study), clock, value=lambda trial, n=number: 1 + (trial.position * (n + 2)) % 10
            )
    Study.objects.update(state="closed", closed_at=study.created_at)
    return study


def test_a_study_lives_from_file_to_results(catalog, file, tmp_path):
    made = json.loads(run("create_study", file, "--json"))
    assert (made["study"], made["state"], made["items"]["main"]) == ("short-piano-pieces", "draft", 5)
    checked = json.loads(run("check_study", "short-piano-pieces", "--json"))
    assert checked["fit"]
    assert json.loads(run("open_study", "short-piano-pieces", "--json"))["state"] == "open"
    simulated = json.loads(
        run("simulate_listeners", "short-piano-pieces", "--count", 4, "--seed", 1, "--json")
    )
    assert (simulated["listeners"], simulated["simulated"]) == (4, True)
    assert json.loads(run("close_study", "short-piano-pieces", "--json"))["finished"] == 4
    key = json.loads(run("unblind_study", "short-piano-pieces", "--who", "Ada", "--json"))
    assert {row["condition"] for row in key["key"]} == {"joplin", "biaxial", "scrambled"}
    result = json.loads(run("analyse_ratings", "short-piano-pieces", "--json"))
    assert result["n_participants"] <= 4
    assert {row["condition"] for row in result["conditions"]} == {"joplin", "biaxial", "scrambled"}
    exported = json.loads(run("export_study", "short-piano-pieces", "--out", tmp_path / "out", "--json"))
    assert "simulated_key.csv" in exported["files"]
    again = run("analyse_ratings", tmp_path / "out" / "simulated_ratings.csv", "--reference", "joplin")
    assert "Simulated listeners" in again


def test_a_study_in_words_says_what_comes_next(catalog, file):
    assert "Next: python manage.py check_study short-piano-pieces" in run("create_study", file)
    said = run("check_study", "short-piano-pieces")
    assert "Audit:" in said
    assert "0 found" in said
    assert "Next: python manage.py open_study" in said
    assert "/s/short-piano-pieces/" in run("open_study", "short-piano-pieces")
    assert "From now on short-piano-pieces is a simulated study" in run(
        "simulate_listeners", "short-piano-pieces", "--count", 1
    )


def test_a_file_that_does_not_hold_is_refused_in_one_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("title: x\nslug: X y\nconditions: []\n")
    line = refusal_of("create_study", path)
    assert "slug: got 'X y'" in line
    assert "conditions" in line


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x" * 300_000], ids=["no text", "too large"])
def test_what_is_no_study_file_is_refused(tmp_path, data):
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)
    assert "bad.yaml" in refusal_of("create_study", path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "No such file" in refusal_of("create_study", tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    "command",
    [
        ["check_study"],
        ["open_study"],
        ["close_study"],
        ["unblind_study"],
        ["simulate_listeners", "--count", 1],
        ["export_study", "--out", "nowhere"],
        ["analyse_ratings"],
    ],
    ids=lambda command: command[0],
)
def test_an_unknown_study_is_refused_with_help(command):
    make_study(**SMALL)
    name, *options = command
    assert "did you mean short-piano-pieces" in refusal_of(name, "short-piano-pices", *options)


def test_a_study_with_problems_fails_its_check_and_does_not_open():
    study = make_study(state="draft", **SMALL)
    study.items.filter(use="practice").delete()
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 problem; it cannot open"):
        call_command("check_study", study.slug, "--json", stdout=out)
    assert json.loads(out.getvalue())["problems"] == [
        "session.practice is 1, but 0 are made; create the study again"
    ]
    assert "session.practice is 1" in refusal_of("open_study", study.slug)
    study.refresh_from_db()
    assert study.state == "draft"


def test_an_open_study_keeps_its_results_to_itself():
    study = make_study(**SMALL)
    with compressed() as clock:
        sit_through(begin(study), clock)
    assert "6 ratings. Results are read after close_study" in refusal_of("analyse_ratings", study.slug)
    assert "close it before unblinding" in refusal_of("unblind_study", study.slug)


def test_results_go_to_the_files_that_are_named(closed, tmp_path):
    said = run("analyse_ratings", closed.slug, "--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    assert f"Written: {tmp_path / 'r.json'}" in said
    result = json.loads((tmp_path / "r.json").read_text())
    assert {row["condition"] for row in result["conditions"]} == {"A", "B", "C"}
    assert "<html" in (tmp_path / "r.html").read_text()
    assert "cannot write" in refusal_of("analyse_ratings", closed.slug, "--json", tmp_path / "no" / "r.json")


def test_anybodys_table_is_analysed(tmp_path):
    rows = [
        f"p{p},{c}{k},{c},{5 + (p * k + len(c)) % 5}"
        for p in range(6)
        for c in ("real", "lstm")
        for k in (1, 2, 3)
    ]
    path = tmp_path / "theirs.csv"
    path.write_text("participant,piece,condition,rating\n" + "\n".join(rows))
    result = json.loads(run("analyse_ratings", path, "--reference", "real", "--margin", 1, "--json"))
    assert (result["n_participants"], result["settings"]["margin"]) == (6, 1.0)
    assert "did you mean" in refusal_of("analyse_ratings", path, "--reference", "reel")
    assert "margin" in refusal_of("analyse_ratings", path, "--margin", 0)
    assert "no exclusion rule" in refusal_of("analyse_ratings", path, "--exclude", "taste")


def test_the_report_is_written_in_every_form_with_copying_and_preferences(tmp_path):
    rows = [
        f"p{p},{c}{k},{c},{3 + (p * k + len(c) + p) % 7}"
        for p in range(6)
        for c in ("real", "lstm")
        for k in (1, 2, 3)
    ]
    table, copies, votes = (tmp_path / name for name in ("t.csv", "copies.json", "votes.csv"))
    table.write_text("participant,piece,condition,rating\n" + "\n".join(rows))
    pieces = [
        {"piece": f"{c}{k}.mid", "overlap": {"score": k / 4}} for c in ("real", "lstm") for k in (1, 2, 3)
    ]
    copies.write_text(json.dumps({"pieces": pieces}))
    voted = [f"p{p};real;lstm;{'first' if p % 3 else 'second'}" for p in range(6)]
    votes.write_text("participant;first;second;preferred\n" + "\n".join(voted))
    forms = {"--json": "r.json", "--pdf": "r.pdf", "--latex": "latex", "--csv": "csv", "--svg": "svg"}
    written = [part for form, name in forms.items() for part in (form, tmp_path / name)]
    said = run("analyse_ratings", table, "--plagiarism", copies, "--preferences", votes, *written)
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["copying"]["pooled"]["n_pieces"] == 6
    assert result["preferences"]["n"] == 6
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "latex" / "t2_contrasts.tex").exists()
    assert (tmp_path / "csv" / "copying.csv").exists()
    assert (tmp_path / "svg" / "f7_copying.svg").exists()
    assert f"files in {tmp_path / 'svg'}" in said
    assert "no JSON" in refusal_of("analyse_ratings", table, "--plagiarism", table)
    assert "no piece with a score" in refusal_of(
        "analyse_ratings", table, "--plagiarism", tmp_path / "r.json"
    )
    assert "no column 'first'" in refusal_of("analyse_ratings", table, "--preferences", table)
    assert "cannot write" in refusal_of("analyse_ratings", table, "--csv", table)


def test_a_plan_takes_its_spread_from_a_study_or_a_table(closed, tmp_path):
    assert "Add pieces, not listeners" in run("plan_study", "--listeners", 200)
    plan = json.loads(run("plan_study", "--pieces", 4, "--runs", 3, "--like", closed.slug, "--json"))
    assert plan["size"]["n_pieces"] == 4
    assert plan["components"]["residual"] > 0
    assert [row["n_runs"] for row in plan["simulated"]] == [3, 3]
    given = json.loads(run("plan_study", "--piece-sd", 0, "--json"))
    assert given["components"]["piece"] == given["floor"] == 0
    assert "2 or more" in refusal_of("plan_study", "--listeners", 1)
    assert "cannot read" in refusal_of("plan_study", "--like", tmp_path / "nothing.csv")


def test_a_table_that_is_none_is_refused(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    assert "participant" in refusal_of("analyse_ratings", path)
    assert "cannot read" in refusal_of("analyse_ratings", tmp_path / "nothing.csv")


def test_unblinding_names_who_did_it(closed):
    run("unblind_study", closed.slug, "--who", "Ada Lovelace")
    assert KeyAccess.objects.get().who == "Ada Lovelace"
    assert "needs a name" in refusal_of("unblind_study", closed.slug, "--who", " ")
