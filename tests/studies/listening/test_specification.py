"""Study files: what they may hold, and what is said of each fault."""

from pathlib import Path

import pytest
import yaml

from studies.listening.errors import SpecificationError
from studies.listening.specification import (
    MAX_CHARACTERS,
    Specification,
    parse_specification,
    specification_sha256,
)

ROOT = Path(__file__).parents[3]

GOOD = """
title: Short piano pieces
slug: short-piano-pieces
conditions:
  - {name: joplin, role: real, from: {corpus: ragtime, split: test}, pieces: 5}
  - {name: biaxial, role: generated, from: {model: biaxial-ragtime}, pieces: 5}
  - {name: scrambled, role: low_anchor, from: {scramble: joplin}, pieces: 1}
"""


def fault_of(text: str) -> str:
    """What a study file is refused for."""
    with pytest.raises(SpecificationError) as refusal:
        parse_specification(text)
    return str(refusal.value)


def with_line(line: str) -> str:
    return GOOD + line + "\n"


def test_every_default_follows_the_practice_of_listening_tests():
    specification = parse_specification(GOOD)
    assert (specification.session.repeats, specification.session.attention_checks) == (2, 2)
    assert specification.session.practice == 2
    assert specification.ask.human_or_machine == "after_all"
    assert specification.listening.must_hear == 0.8
    assert specification.listening.must_hear_again_seconds == 3
    assert not specification.listening.seek
    assert specification.selection.method == "random"
    assert specification.analysis.exclude == ("failed_attention", "straight_lining", "not_listened")


def test_the_normal_form_reads_as_itself():
    specification = parse_specification(GOOD)
    again = parse_specification(yaml.safe_dump(specification.to_json()))
    assert again == specification
    assert again.to_json() == specification.to_json()


@pytest.mark.parametrize("path", sorted((ROOT / "studies" / "listening" / "designs").glob("*.yaml")), ids=str)
def test_the_designs_that_come_with_the_program_hold(path):
    assert parse_specification(path.read_text(encoding="utf-8")).slug == path.stem


def test_the_hash_is_of_the_text_whatever_its_line_ends():
    assert specification_sha256(GOOD) == specification_sha256(GOOD.replace("\n", "\r\n"))
    assert specification_sha256(GOOD) != specification_sha256(GOOD.replace("5}", "4}"))


def test_a_bare_no_is_the_word_no():
    text = with_line("ask: {human_or_machine: no, comment: no, background: off}")
    assert parse_specification(text).ask.human_or_machine == "no"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scael: {question: Good}", ["scael", "did you mean 'scale'"]),
        ("session: {trails: 12}", ["session.trails", "did you mean 'trials'"]),
        ("scale: {steps: 7}", ["scale.steps", "question, low, high"]),
        ("session: {trials: twelve}", ["session.trials", "'twelve'", "whole number"]),
        ("session: {trials: 12.5}", ["session.trials", "12.5", "whole number"]),
        ("session: {trials: 0}", ["session.trials", "got 0", "greater than or equal to 1"]),
        ("session: {trials: 2}", ["session.trials", "got 2", "at least 3", "every condition"]),
        ("session: {repeats: 10, trials: 3}", ["session.repeats", "got 10", "at most session.trials, 3"]),
        ("session: {order: williams}", ["session.order", "'williams'", "'balanced' or 'random'"]),
        ("listening: {must_hear: 1.5}", ["listening.must_hear", "1.5", "less than or equal to 1"]),
        ("listening: {must_hear: .nan}", ["listening.must_hear", "nan"]),
        ("listening: {must_hear_again_seconds: -1}", ["must_hear_again_seconds", "got -1", "equal to 0"]),
        ("listening: {must_hear_again_seconds: soon}", ["must_hear_again_seconds", "'soon'", "a number"]),
        (
            "excerpt: {seconds: 5}\nlistening: {must_hear_again_seconds: 6}",
            ["listening.must_hear_again_seconds", "got 6", "at most excerpt.seconds, 5"],
        ),
        ("listening: {seek: maybe}", ["listening.seek", "'maybe'", "true or false"]),
        ("excerpt: {seconds: .inf}", ["excerpt.seconds", "inf"]),
        ("excerpt: {seconds: 1}", ["excerpt.seconds", "got 1", "greater than or equal to 5"]),
        ("ask: {confidence: 4}", ["ask.confidence", "got 4", "true or false"]),
        ("ask: {comment: yes}", ["ask.comment", "got true", "'optional' or 'no'"]),
        ("ask: {human_or_machine: afterall}", ["did you mean 'after_all'"]),
        ("recruitment: {mode: prolific}", ["recruitment.mode", "'prolific'", "'open'"]),
        ("analysis: {reference: jopplin}", ["analysis.reference", "'jopplin'", "did you mean joplin"]),
        ("analysis: {margin: 0}", ["analysis.margin", "got 0"]),
        ("analysis: {exclude: [bad_taste]}", ["analysis.exclude[0]", "'bad_taste'", "straight_lining"]),
        ("selection: {seed: -1}", ["selection.seed", "got -1"]),
        ("selection: {max_overlap: 80}", ["selection.max_overlap", "got 80", "less than or equal to 1"]),
        ("instructions: [a, b]", ["instructions", "text (in quotes)"]),
        ("scale: good", ["scale", "'good'", "mapping", "question, low, high"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_would_be_right(line, words):
    fault = fault_of(with_line(line))
    assert all(word in fault for word in words), fault


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("{name: x, role: rael, from: {model: m}}", ["conditions[0].role", "'rael'", "did you mean 'real'"]),
        ("{name: no, role: real, from: {model: m}}", ["conditions[0].name", "got false", "in quotes"]),
        ("{name: x, role: real}", ["conditions[0].from", "missing", "{corpus: NAME, split: test}"]),
        ("{name: x, role: real, from: {}}", ["conditions[0].from", "exactly one of", "none"]),
        ("{name: x, role: real, from: {model: a, corpus: b}}", ["exactly one", "corpus and model"]),
        ("{name: x, role: real, from: {model: a, split: test}}", ["split goes with corpus"]),
        ("{name: x, role: real, from: {corpus: a, split: tset}}", ["from.split", "'tset'", "'test'"]),
        ("{name: x, role: real, from: {model: a}, pieces: 0}", ["conditions[0].pieces", "got 0"]),
        ("{name: x, role: real, from: {model: a}, names: [one]}", ["names", "selection.method by_hand"]),
        ("{name: x, role: low_anchor, from: {scramble: y}}", ["from.scramble", "'y'", "another condition"]),
        ("{name: x, role: low_anchor, from: {scramble: x}}", ["from.scramble", "'x'"]),
        ("{name: <b>, role: real, from: {model: a}}", ["conditions[0].name", "letters, digits"]),
        ("just a word", ["conditions[0]", "mapping", "name, role, from, pieces"]),
    ],
)
def test_a_wrong_condition_is_named_with_its_place(condition, words):
    fault = fault_of(f"title: t\nslug: t\nconditions: [{condition}]\n")
    assert all(word in fault for word in words), fault


def test_two_conditions_of_one_name_are_refused():
    fault = fault_of(GOOD.replace("name: biaxial", "name: joplin"))
    assert "conditions[1].name: 'joplin' is taken by conditions[0]" in fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: t\nslug: a\nconditions: []\n", "conditions: got []; right is at least 1 entry"),
        (with_line("scale: {low: ''}"), "scale.low: got ''; right is at least 1 character"),
        (with_line(f"scale: {{low: {'x' * 41}}}"), "right is at most 40 characters"),
    ],
)
def test_too_few_and_too_many_are_told_in_words_of_people(text, words):
    fault = fault_of(text)
    assert words in fault
    assert "validation" not in fault


def test_all_faults_are_told_at_once():
    fault = fault_of("title: 1\nslug: A b\nconditions: []\n")
    assert [line.split(":")[0] for line in fault.splitlines()] == ["title", "slug", "conditions"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "mapping"),
        ("just words", "mapping"),
        ("- a\n- b", "mapping"),
        ("title: a\ntitle: b", "line 2: the key 'title' stands twice"),
        ("a: &x [1]\nb: *x", "anchors and aliases"),
        ("[" * 500, "nested deeper"),
        ("a: " * 3, "line 1"),
        ("title: !!python/object/apply:os.system [ls]", "line 1"),
        ("title: \x07", "no YAML"),
        ("1: a", "keys are words"),
        ("? [a]\n: b", "keys are words"),
        ("x: 2024-13-45", "no YAML"),
        ("x" * (MAX_CHARACTERS + 1), "at most 65,536 characters"),
        ("--- {}\n--- {}", "no YAML"),
    ],
)
def test_what_is_no_study_file_is_refused_in_words(text, word):
    assert word in fault_of(text)


def test_a_small_file_cannot_swell():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "anchors and aliases are not read" in fault_of(bomb)


def test_every_key_of_the_file_is_described_by_the_model():
    assert set(Specification.model_fields) >= {"title", "slug", "scale", "conditions", "session", "analysis"}
