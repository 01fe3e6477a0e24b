"""Is a study fit to be heard? Its design, its sounds, and what its pages give away."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median

from studies.listening import consent, order_check, served_audio
from studies.listening.errors import ListeningError
from studies.listening.models import Condition, Item, Study
from studies.listening.services.audit import audit_blindness
from studies.listening.services.sittings import plan_of

#: The standards behind the numbers: EBU R128 for loudness and peak, practice of listening tests for counts.
LOUDNESS_TOLERANCE_LU = 0.5
#: Of attention checks: between single tones lie pauses, and what the gate takes for one varies by meter.
TONES_TOLERANCE_LU = 2.0
TRUE_PEAK_DBTP = -1.0
SECONDS_TOLERANCE = 0.001
FEWEST_PIECES = 3
#: What of a stimulus's facts says, beside its engine, what it was played with.
SOUND_SOURCE = ("soundfont", "soundfont_sha256")
LONGEST_MINUTES = 25
SUSPICIOUS = 0.05
#: Orders are drawn here, so a chance finding would say nothing about the study: hardly any is let through.
ORDER_CERTAIN, ORDER_GAIN = 0.001, 0.05


@dataclass
class StudyCheck:
    """What was found: `problems` keep a study from opening, `warnings` do not."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)

    @property
    def is_fit(self) -> bool:
        """Whether the study may open."""
        return not self.problems


def check_study(*, study: Study) -> StudyCheck:
    """Lint the design, measure every sound, and play a listener through the pages, looking for what leaks.

    Nothing is changed: the listener of the audit exists in a transaction that is rolled back.
    """
    check = StudyCheck()
    items = list(
        Item.objects.filter(study=study).select_related("condition", "stimulus__piece").order_by("label")
    )
    _lint_design(study, items, check)
    _lint_order(study, check)
    _lint_engines(items, check)
    features = _measure(items, check)
    _lint_sounds(items, features, check)
    if len(features) == len(items):
        _compare_sources(items, features, check)
        audit = audit_blindness(study=study)
        check.problems += audit.problems
        check.warnings += audit.warnings
        check.facts["audit"] = audit.facts
    return check


def _lint_design(study: Study, items: list[Item], check: StudyCheck) -> None:
    design = study.design
    main = [item for item in items if item.use == Item.Use.MAIN]
    check.problems += _missing(study, main, items)
    check.warnings += _doubts(study, main)
    check.facts |= {
        "pieces": len(main),
        "conditions": len({item.condition_id for item in main}),
        "minutes": consent.minutes_of(design),
        "specification_sha256": study.specification_sha256,
        "selection": study.selection,
    }


def _missing(study: Study, main: list[Item], items: list[Item]) -> Iterator[str]:
    """What a study cannot do without."""
    design = study.design
    if not main:
        yield "there is no piece to rate; create the study again"
    per_condition = Counter(item.condition_id for item in main)
    for condition in study.conditions.all():
        if not per_condition[condition.pk]:
            yield f"condition {condition.letter} has no piece; create the study again"
    uses = Counter(item.use for item in items)
    for use, key in ((Item.Use.PRACTICE, "practice"), (Item.Use.ATTENTION, "attention_checks")):
        if uses[use] < design["session"][key]:
            yield (
                f"session.{key} is {design['session'][key]}, but {uses[use]} are made; create the study again"
            )
    stimuli = Counter(item.stimulus_id for item in items)
    if any(count > 1 for count in stimuli.values()):
        yield "a piece stands twice in the study; create it again"
    if study.participants.exclude(is_simulated=study.is_simulated).exists():
        yield (
            "people and simulated listeners are mixed in this study; their ratings cannot be "
            "told apart by design"
        )


def _doubts(study: Study, main: list[Item]) -> Iterator[str]:
    """What weakens a study, by the practice of listening tests."""
    design = study.design
    session, roles = design["session"], Counter(item.condition.role for item in main)
    names = {condition["name"]: condition["role"] for condition in design["conditions"]}
    if not roles[Condition.Role.REAL]:
        yield "no real music: nothing tells how good human pieces would have been rated"
    if not roles[Condition.Role.GENERATED]:
        yield "no generated music: there is nothing to compare with real pieces"
    if not roles[Condition.Role.LOW_ANCHOR]:
        yield "no low anchor: nothing fixes the low end of the scale"
    for condition in design["conditions"]:
        if condition["role"] != "low_anchor" and condition["pieces"] < FEWEST_PIECES:
            yield (
                f"condition {condition['name']!r} has {condition['pieces']} piece"
                f"{'s' if condition['pieces'] > 1 else ''}: below {FEWEST_PIECES} nothing can be said about "
                "the "
                f"condition beyond these pieces"
            )
    if session["trials"] > len(main):
        yield (
            f"session.trials is {session['trials']}, but the study has {len(main)} pieces: every listener "
            "hears "
            f"all {len(main)}"
        )
    if session["practice"] == 0:
        yield "no practice: first ratings are noisy, and the range is not known before it matters"
    if session["repeats"] < 2:
        yield (
            f"session.repeats is {session['repeats']}: below 2 it stays unknown how consistent listeners are"
        )
    minutes = consent.minutes_of(design)
    if session["attention_checks"] < 2 and minutes > 5:
        yield (
            f"session.attention_checks is {session['attention_checks']}: a study over 5 minutes needs 2, one "
            f"slip is human"
        )
    if minutes > LONGEST_MINUTES:
        yield f"a listener needs about {minutes} minutes: beyond {LONGEST_MINUTES} attention fades"
    if design["analysis"]["reference"] is None and "real" in names.values():
        yield "analysis.reference is not declared: the comparison should be chosen before there are ratings"
    if design["selection"]["method"] == "by_hand":
        yield "the pieces were chosen by hand: every report says so"
    if not design["consent"]["contact"]:
        yield "consent.contact is empty: listeners do not learn whom to ask"
    for name, pool in study.selection.get("pools", {}).items():
        if "searched" in pool and pool["searched"] < pool["from"] + pool.get("copied", 0):
            yield (
                f"selection.max_overlap cannot be held for {name!r}: {pool['searched']} of "
                f"{pool['from'] + pool.get('copied', 0)} pieces have an originality report; run plagiarism "
                "on "
                f"them first and create the study again"
            )


def _lint_order(study: Study, check: StudyCheck) -> None:
    """Could one tell from its place, or from the piece before, what a piece is?"""
    try:
        plan, _ = plan_of(study)
    except ListeningError:  # no pieces: said elsewhere
        return
    guesses = order_check.order_guesses(plan)
    check.facts["order"] = {"squares": plan.has_squares, "guesses": [asdict(guess) for guess in guesses]}
    for guess in guesses:
        if guess.p <= ORDER_CERTAIN and guess.gain > ORDER_GAIN:
            check.problems.append(
                f"the order tells real from generated: by {guess.rule} it is {guess.value:.2f}, where chance "
                f"gives {guess.by_chance:.2f} (p {guess.p:.3f})"
            )


def _lint_engines(items: list[Item], check: StudyCheck) -> None:
    """All pieces must sound from one source: rooms, applause, instruments tell recordings from the rest."""
    sources: dict[tuple[str, ...], list[str]] = {}
    for item in items:
        if item.use == Item.Use.MAIN:
            facts = item.stimulus.facts
            source = [item.stimulus.engine, *(facts.get(key, "") for key in SOUND_SOURCE)]
            sources.setdefault(tuple(filter(None, source)), []).append(item.label)
    if len(sources) > 1:
        rarest = min(sources, key=lambda source: len(sources[source]))
        check.problems.append(
            f"the pieces are played by {len(sources)} sound sources, of which {' '.join(rarest)[:80]} plays "
            f"only {', '.join(sources[rarest][:5])}; one for all would be right: either recordings alone or "
            "scores rendered with one engine and one soundfont"
        )
    check.facts["sound_sources"] = [" ".join(source) for source in sorted(sources)]


def _measure(items: list[Item], check: StudyCheck) -> dict[str, served_audio.Features]:
    """The features of every served sound by the label of its item; what is gone or altered is a problem."""
    features = {}
    for item in items:
        stimulus = item.stimulus
        try:
            data = stimulus.mp3_file.read_bytes()
            if hashlib.sha256(data).hexdigest() != stimulus.mp3_sha256:
                check.problems.append(
                    f"the sound of {item.label} is not the one that was rendered; create again"
                )
            features[item.label] = served_audio.measure(stimulus.mp3_file)
        except OSError as error:
            reason = error.strerror or "it cannot be decoded"
            check.problems.append(
                f"the sound of {item.label} cannot be read: {reason}; create the study again"
            )
    return features


def _lint_sounds(items: list[Item], features: dict, check: StudyCheck) -> None:
    """One length, one size, one loudness, and a true peak that no player clips."""
    if not features:
        return
    seconds = served_audio.spread(features, "seconds")
    if seconds > SECONDS_TOLERANCE:
        check.problems.append(
            f"the sounds differ by {seconds:.3g} s in length; all must be equal, or length tells them apart"
        )
    for feature, words in (("n_channels", "channels"), ("sample_rate_hz", "Hz in sample rate")):
        if difference := served_audio.spread(features, feature):
            check.problems.append(f"the sounds differ by {difference:g} {words}; all must be equal")
    n_bytes = served_audio.spread(features, "n_bytes")
    if n_bytes:
        check.problems.append(
            f"the files differ by {n_bytes:g} bytes; all must be equal, or their size tells them apart"
        )
    music = [item.label for item in items if item.use != Item.Use.ATTENTION] or list(features)
    middle = median(features[label].loudness_lufs for label in music if label in features)
    for item in items:
        tolerance = TONES_TOLERANCE_LU if item.use == Item.Use.ATTENTION else LOUDNESS_TOLERANCE_LU
        if item.label in features and abs(features[item.label].loudness_lufs - middle) > tolerance:
            check.problems.append(
                f"{item.label} has {features[item.label].loudness_lufs:.1f} LUFS, the others {middle:.1f}; "
                f"within {tolerance} LU would be right"
            )
        if item.stimulus.true_peak_dbtp > TRUE_PEAK_DBTP + 0.05:
            check.problems.append(
                f"{item.label} peaks at {item.stimulus.true_peak_dbtp:.1f} dBTP; at most {TRUE_PEAK_DBTP:g} "
                "would be right"
            )
    check.facts["sounds"] = {
        "n": len(features),
        "seconds": next(iter(features.values())).seconds,
        "n_bytes": next(iter(features.values())).n_bytes,
        "loudness_lufs": middle,
    }


def _compare_sources(items: list[Item], features: dict, check: StudyCheck) -> None:
    """Does any simple feature of the served bytes tell real from generated better than chance?"""
    by_role: dict[str, list] = {role: [] for role in Condition.Role.values}
    for item in items:
        if item.use == Item.Use.MAIN:
            by_role[item.condition.role].append(features[item.label])
    found = served_audio.separations(by_role[Condition.Role.REAL], by_role[Condition.Role.GENERATED])
    check.facts["separations"] = [asdict(separation) for separation in found]
    if found and found[0].least_p > served_audio.CERTAIN:
        n_real, n_generated = len(by_role[Condition.Role.REAL]), len(by_role[Condition.Role.GENERATED])
        check.warnings.append(
            f"with {n_real} real and {n_generated} generated pieces no feature of the sound can be told from "
            f"chance (the least possible p is {found[0].least_p:.2g}): only what separates all of them is "
            "refused; 5 of each can be tested"
        )
    for separation in found:
        if separation.is_telling:
            check.problems.append(_told(separation))
        elif not separation.is_negligible and separation.p <= SUSPICIOUS:
            check.warnings.append(_told(separation))


def _told(separation: served_audio.Separation) -> str:
    """A finding in words, with what it rests on and what would help."""
    words = separation.feature.replace("_", " ")
    apart = abs(separation.difference)
    figures = f"(AUC {separation.auc:.2f}, p {separation.p:.3f}, medians differ by {apart:.3g})"
    if separation.p <= served_audio.CERTAIN or not separation.is_telling:
        return f"{words} tells real from generated {figures}"
    return (
        f"{words} separates every real piece from every generated one {figures}; so few pieces cannot show "
        "whether that is chance, but a listener could go by it: draw others (selection.seed) or more"
    )
