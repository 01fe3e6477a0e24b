"""A study is a file: its keys, their defaults, and errors that say what would be right.

Defaults follow the standards and practice of listening tests: at least three pieces per condition and one low
anchor, two hidden repeats, two attention checks, practice that shows the range, liking asked alone before
human or machine, 20 s of every piece of which 80 % must be heard, and 3 s again before human or machine: in
the second pass pieces come in another order and nameless, so memory cannot tell which one is meant.
"""

from __future__ import annotations

import hashlib
import math
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from studies.listening.errors import SpecificationError

MAX_CHARACTERS = 65_536
MAX_DEPTH = 12

#: A rating row has ten buttons in every study; other scales would not be comparable.
LOWEST, HIGHEST = 1, 10

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$", max_length=100)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?: [A-Za-z0-9._-]+)*$", max_length=100)]
Line = Annotated[str, Field(min_length=1, max_length=200)]
Paragraphs = Annotated[str, Field(max_length=5000)]
Switch = Annotated[bool, Field(strict=True)]
#: YAML reads a bare ``no`` as a truth value; here it means the word.
OrNo = BeforeValidator(lambda value: "no" if value is False else value)


class Part(BaseModel):
    """A mapping of the file: unknown keys are refused, texts are stripped."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, populate_by_name=True)


class Scale(Part):
    """The question of the rating row and the words at its ends."""

    question: Line = "How much do you like this piece?"
    low: Annotated[str, Field(min_length=1, max_length=40)] = "not at all"
    high: Annotated[str, Field(min_length=1, max_length=40)] = "very much"


class Source(Part):
    """Where the pieces of a condition come from: exactly one of five."""

    corpus: Name | None = None
    split: Literal["train", "validation", "test", "all"] | None = None
    model: Name | None = None
    generation: Name | None = None
    pieces: Name | None = None
    scramble: Name | None = None

    @model_validator(mode="after")
    def _names_one_source(self):
        named = [key for key in SOURCES if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(f"name exactly one of {', '.join(SOURCES)}; got {' and '.join(named) or 'none'}")
        if self.split is not None and self.corpus is None:
            raise ValueError(f"split goes with corpus only; got split {self.split!r} with {named[0]}")
        return self

    @property
    def kind(self) -> str:
        """Which of the five it is."""
        return next(key for key in SOURCES if getattr(self, key) is not None)

    @property
    def name(self) -> str:
        """The name of the corpus, model, generation, import or condition."""
        return getattr(self, self.kind)


SOURCES = ("corpus", "model", "generation", "pieces", "scramble")


class ConditionPart(Part):
    """What is compared: a name, a role, a source and how many pieces of it are heard."""

    name: Name
    role: Literal["real", "generated", "low_anchor"]
    source: Source = Field(alias="from")
    pieces: int = Field(default=5, ge=1, le=100, strict=True)
    names: tuple[Line, ...] = Field(default=(), description="The pieces, where they are chosen by hand.")


class Selection(Part):
    """Which pieces of a source are heard: drawn, unless the file says that they were chosen by hand."""

    method: Literal["random", "by_hand"] = "random"
    seed: int = Field(default=0, ge=0, le=2**31 - 1, strict=True)
    max_overlap: float = Field(default=0.8, ge=0, le=1)
    draws: int = Field(
        default=20,
        ge=1,
        le=100,
        strict=True,
        description="At most so many, until no feature of the sound alone tells real from generated.",
    )


class Excerpt(Part):
    """How much of each piece is heard; the same for all."""

    seconds: float = Field(default=20, ge=5, le=120)
    fade_out_ms: int = Field(default=1000, ge=0, le=5000, strict=True)


class Sitting(Part):
    """What one listener hears."""

    trials: int = Field(default=12, ge=1, le=100, strict=True)
    repeats: int = Field(default=2, ge=0, le=10, strict=True)
    practice: int = Field(default=2, ge=0, le=6, strict=True)
    attention_checks: int = Field(default=2, ge=0, le=6, strict=True)
    order: Literal["balanced", "random"] = "balanced"


class Questions(Part):
    """What is asked beside the rating, and when."""

    human_or_machine: Annotated[Literal["after_all", "no"], OrNo] = "after_all"
    confidence: Switch = True
    familiarity: Switch = True
    comment: Annotated[Literal["optional", "no"], OrNo] = "optional"
    background: Annotated[Literal["short", "no"], OrNo] = "short"


class Listening(Part):
    """What counts as having heard a piece."""

    must_hear: float = Field(default=0.8, ge=0, le=1, description="Share of the excerpt before rating.")
    must_hear_again_seconds: float = Field(
        default=3, ge=0, le=30, description="In the second pass, before human or machine is answered."
    )
    seek: Switch = False
    headphone_check: Annotated[Literal["record", "no"], OrNo] = Field(
        default="record",
        description="Whether the sound check asks what the listener hears it with; nobody is turned away.",
    )


class Recruitment(Part):
    """How listeners come: by an open link."""

    mode: Literal["open"] = "open"


class Analysis(Part):
    """What is done with the ratings, declared before there are any."""

    reference: Name | None = None
    margin: float = Field(default=0.5, gt=0, le=9)
    exclude: tuple[Literal["failed_attention", "straight_lining", "not_listened"], ...] = (
        "failed_attention",
        "straight_lining",
        "not_listened",
    )


class Consent(Part):
    """What the consent page says beyond the facts that every study shares."""

    researcher: Annotated[str, Field(max_length=200)] = ""
    contact: Annotated[str, Field(max_length=200)] = ""
    ethics: Annotated[str, Field(max_length=200)] = ""
    payment: Annotated[str, Field(max_length=200)] = ""
    text: Paragraphs = ""
    withdraw_days: int | None = Field(default=None, ge=1, le=3650, strict=True)


class Specification(Part):
    """A whole study, every default filled in."""

    title: Line
    slug: Slug
    instructions: Paragraphs = "Rate how much you like each piece."
    scale: Scale = Scale()
    conditions: Annotated[tuple[ConditionPart, ...], Field(min_length=1, max_length=26)]
    selection: Selection = Selection()
    excerpt: Excerpt = Excerpt()
    session: Sitting = Sitting()
    ask: Questions = Questions()
    listening: Listening = Listening()
    recruitment: Recruitment = Recruitment()
    analysis: Analysis = Analysis()
    consent: Consent = Consent()

    @field_validator("title", "instructions")
    @classmethod
    def _has_no_control_characters(cls, text):
        if any(ord(letter) < 32 and letter not in "\n\t" for letter in text):
            raise ValueError("holds control characters; write plain text")
        return text

    def to_json(self) -> dict:
        """The normal form: every key with its value, as stored and exported."""
        return self.model_dump(mode="json", by_alias=True)


def parse_specification(text: str) -> Specification:
    """Read a study file.

    Parameters
    ----------
    text : str
        YAML, at most 65,536 characters, without anchors or aliases.

    Raises
    ------
    SpecificationError
        One line per fault: the key's path, the value given, and what would be right.
    """
    document = load_yaml(text)
    if not isinstance(document, dict):
        raise SpecificationError(
            f"a study file is a mapping of keys such as title, slug and conditions; got {shown(document)}"
        )
    try:
        specification = Specification.model_validate(document)
    except ValidationError as error:
        raise SpecificationError("\n".join(_faults(error, document))) from None
    faults = list(_contradictions(specification))
    if faults:
        raise SpecificationError("\n".join(faults))
    return specification


def specification_sha256(text: str) -> str:
    """The hash of the file as given, line endings made one kind: what listeners see on the consent page."""
    return hashlib.sha256("\n".join(text.splitlines()).strip().encode()).hexdigest()


def shown(value: Any) -> str:
    """A value as an error names it, cut to one short line."""
    words = {None: "nothing", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, repeated keys and bottomless nesting."""

    depth = 0

    def compose_node(self, parent, index):
        """Refuse aliases, which can make a small file enormous, and nesting deeper than a study needs."""
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise SpecificationError(f"line {line}: anchors and aliases are not read; write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise SpecificationError(f"line {line}: nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        """Refuse a key that stands twice: the second would silently win."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise SpecificationError(f"line {line}: keys are words; got {shown(key)}")
            if key in seen:
                raise SpecificationError(
                    f"line {line}: the key {key!r} stands twice in one mapping; keep one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Plain values from YAML; anything that could run, swell or shadow is refused with its line."""
    if len(text) > MAX_CHARACTERS:
        raise SpecificationError(
            f"a study file has at most {MAX_CHARACTERS:,} characters; this one has {len(text):,}"
        )
    loader = None
    try:
        loader = _PlainLoader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecificationError(f"{where}no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise SpecificationError(f"no YAML: {' '.join(str(error).split())}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _path(location: tuple) -> str:
    """``conditions[0].from.corpus`` from pydantic's location."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.lstrip(".") or "the file"


def _value_at(document: Any, location: tuple) -> Any:
    for step in location:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _part_at(location: tuple) -> type[Part]:
    """The model that describes the mapping at a location."""
    part: type[Part] = Specification
    for step in location:
        if isinstance(step, int):
            continue
        field = next((f for key, f in part.model_fields.items() if step in (key, f.alias)), None)
        if field is None:
            break
        part = PARTS.get(str(step), part)
    return part


PARTS = {
    "scale": Scale,
    "conditions": ConditionPart,
    "from": Source,
    "selection": Selection,
    "excerpt": Excerpt,
    "session": Sitting,
    "ask": Questions,
    "listening": Listening,
    "recruitment": Recruitment,
    "analysis": Analysis,
    "consent": Consent,
}


def _faults(error: ValidationError, document: dict):
    """One line per fault that pydantic found, in our words."""
    faults = error.errors(include_url=False)
    for fault in faults:
        location, kind = fault["loc"], fault["type"]
        if kind == "too_short" and any(other["loc"][:-1][: len(location)] == location for other in faults):
            continue  # its members have faults of their own, which stand in this list
        path, value = _path(location), _value_at(document, location)
        given, context = f"got {shown(value)}", fault.get("ctx", {})
        if kind == "extra_forbidden":
            part = _part_at(location[:-1])
            keys = [field.alias or key for key, field in part.model_fields.items()]
            near = get_close_matches(str(location[-1]), keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(keys)}"
            yield f"{path}: no such key; {hint}"
        elif kind == "missing":
            yield f"{path}: missing; {_wanted(location)}"
        elif kind == "literal_error":
            allowed = [word.strip() for word in context["expected"].replace(" or ", ", ").split(",")]
            near = get_close_matches(repr(value), allowed, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            quoting = " (YAML reads a bare yes, on, no or off as a truth value)"
            note = quoting if isinstance(value, bool) else ""
            yield f"{path}: {given}{note}; right is {context['expected']}{hint}"
        elif kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
            yield f"{path}: {given}; {fault['msg'].lower().replace('input should', 'it should')}"
        elif kind in (
            "string_type",
            "int_type",
            "bool_type",
            "float_type",
            "float_parsing",
            "int_from_float",
        ):
            wanted = {"s": "text (in quotes)", "i": "a whole number", "b": "true or false", "f": "a number"}
            yield f"{path}: {given}; right is {wanted[kind[0]]}"
        elif kind == "string_pattern_mismatch":
            words = "lower-case letters, digits and single hyphens" if path == "slug" else NAME_RULE
            yield f"{path}: {given}; right is {words}"
        elif kind in ("string_too_long", "string_too_short", "too_short", "too_long"):
            count = context["min_length" if kind.endswith("short") else "max_length"]
            bound = f"at {'least' if kind.endswith('short') else 'most'} {count}"
            noun = "character" if kind.startswith("string") else "entry"
            plural = "characters" if kind.startswith("string") else "entries"
            yield f"{path}: {given}; right is {bound} {noun if count == 1 else plural}"
        elif kind in ("model_type", "model_attributes_type", "dict_type"):
            part = _part_at(location)
            keys = ", ".join(field.alias or key for key, field in part.model_fields.items())
            yield f"{path}: {given}; right is a mapping with keys of {keys}"
        elif kind in ("tuple_type", "list_type"):
            yield f"{path}: {given}; right is a list"
        else:
            yield f"{path}: {given}; {fault['msg'].removeprefix('Value error, ')}"


NAME_RULE = "letters, digits, hyphens, underscores, dots and single spaces, beginning with a letter or digit"


def _wanted(location: tuple) -> str:
    """What a missing key should hold."""
    words = {
        "title": "a line that names the study for listeners",
        "slug": "a short word for its address, such as short-piano-pieces",
        "conditions": "a list of what is compared, each with name, role, from and pieces",
        "name": "a word for the condition",
        "role": "one of real, generated, low_anchor",
        "from": "one of {corpus: NAME, split: test}, {model: NAME}, {generation: NAME}, {pieces: NAME}, "
        "{scramble: CONDITION}",
    }
    return words.get(str(location[-1]), "it has no default")


def _contradictions(specification: Specification):
    """Faults between keys, each as one line."""
    names = [condition.name for condition in specification.conditions]
    for index, condition in enumerate(specification.conditions):
        path = f"conditions[{index}]"
        if names.index(condition.name) < index:
            yield f"{path}.name: {condition.name!r} is taken by conditions[{names.index(condition.name)}]"
        if condition.source.kind == "scramble":
            others = {other.name: other for other in specification.conditions if other is not condition}
            scrambled = others.get(condition.source.name)
            if scrambled is None or scrambled.source.kind == "scramble":
                right = ", ".join(name for name, other in others.items() if other.source.kind != "scramble")
                yield (
                    f"{path}.from.scramble: got {condition.source.name!r}; right is the name of another "
                    f"condition that is not itself scrambled: {right or 'there is none yet'}"
                )
            if condition.role != "low_anchor":
                yield f"{path}.role: got {condition.role!r}; scrambled pieces are a low_anchor"
        by_hand = specification.selection.method == "by_hand" and condition.source.kind != "scramble"
        if condition.names and not by_hand:
            yield (
                f"{path}.names: pieces are named only with selection.method by_hand, which the "
                "report then says"
            )
        if by_hand and len(set(condition.names)) != condition.pieces:
            yield (
                f"{path}.names: got {len(set(condition.names))} different names; selection.method by_hand "
                f"needs as many as pieces, {condition.pieces}"
            )
    if specification.session.trials < len(names):
        yield (
            f"session.trials: got {specification.session.trials}; right is at least {len(names)}, "
            f"so that every listener hears every condition"
        )
    reference = specification.analysis.reference
    if reference is not None and reference not in names:
        near = get_close_matches(reference, names, n=1) or names
        yield f"analysis.reference: got {reference!r}; did you mean {' or '.join(near)}?"
    again, excerpt_seconds = specification.listening.must_hear_again_seconds, specification.excerpt.seconds
    if again > excerpt_seconds:
        yield (
            f"listening.must_hear_again_seconds: got {again:g}; right is at most excerpt.seconds, "
            f"{excerpt_seconds:g}"
        )
    if specification.session.repeats > specification.session.trials:
        yield (
            f"session.repeats: got {specification.session.repeats}; right is at most session.trials, "
            f"{specification.session.trials}"
        )
    for key, number in (
        ("selection.max_overlap", specification.selection.max_overlap),
        ("excerpt.seconds", specification.excerpt.seconds),
        ("listening.must_hear", specification.listening.must_hear),
        ("listening.must_hear_again_seconds", specification.listening.must_hear_again_seconds),
        ("analysis.margin", specification.analysis.margin),
    ):
        if not math.isfinite(number):
            yield f"{key}: got {number}; right is a finite number"
