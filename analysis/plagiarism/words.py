"""The result on originality in sentences, each figure beside what human music gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analysis.numerals import numeral
from analysis.plagiarism.summary import by_copying

NARROW = "\N{NO-BREAK SPACE}"
NEARLY_WHOLE = 0.9
ENCODING_WORDS = {
    "interval+ratio": "the interval, leaps beyond an octave folded into one, with the ratio of the times to "
    "the next notes",
    "interval": "the interval alone, leaps beyond an octave folded into one",
    "pitch": "the pitch itself, with the ratio of the times to the next notes",
    "melodl4j-v1": "the characters of MELODL4J as of 2017, durations in eighths of the melody's mean",
    "melodl4j-v2": "the characters of MELODL4J as of 2018, durations in eighths of the melody's mean",
    "melodl4j-v3": "the characters of MELODL4J as of 2022, durations in eighths of the melody's mean",
}
LINE_WORDS = {
    "skyline": "the highest line",
    "bottom": "the lowest line",
    "melodl4j-v1": "the voices that MELODL4J of 2017 takes",
    "melodl4j-v2": "the voices that MELODL4J of 2018 takes",
    "melodl4j-v3": "the voices that MELODL4J of 2022 takes",
}
UNIT_WORDS = {"onset": "notes", "cell": "sounding grid cells", "onset+dur": "notes (with their durations)"}


def percent(value: float | None) -> str:
    """A share as whole percent, "-" for none; 100 % is all of it and 0 % is nothing, never by rounding."""
    if value is None:
        return "-"
    rounded = round(100 * value)
    if rounded == 100 and value < 1:
        return f"over{NARROW}99{NARROW}%"
    if rounded == 0 and value > 0:
        return f"under{NARROW}1{NARROW}%"
    return f"{rounded}{NARROW}%"


def count(n: int, word: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def semitones(d: int | None) -> str:
    """How far up or down a corpus piece lies from the generated one."""
    if not d:
        return "in the same key"
    return f"{count(abs(d), 'semitone')} {'higher' if d > 0 else 'lower'}"


def overlap_words(result: Mapping) -> list[str]:
    """What note overlap says: the mean beside the human one and the control, what stands out, cautions."""
    summary = result["summary"]["overlap"]
    if summary is None:
        return []
    unit = UNIT_WORDS[result["settings"]["unit"]]
    sentences = []
    baseline, control = summary["baseline"], summary["control"]
    n_pieces = sum(piece["overlap"] is not None for piece in result["pieces"])
    if not summary["n"]:
        least = result["settings"]["min_notes"]
        return [
            f"No generated window has {least} {unit} or more, so nothing can be said about what they share."
        ]
    start = (
        f"Generated windows share {percent(summary['mean'])} of their {unit} with their nearest corpus "
        f"window on average ({count(summary['n'], 'window')} of {count(n_pieces, 'piece')})"
    )
    if baseline["n"]:
        human = "held-out human windows" if "held-out" in baseline["kind"] else "human windows"
        start += f"; {human} share {percent(baseline['mean'])} ({count(baseline['n'], 'window')})"
    sentences.append(f"{start}; the generated windows in shuffled order share {percent(control['mean'])}.")
    if baseline["n"]:
        points = 100 * summary["excess"]
        size = (
            f"Generated windows share {abs(points):.1f} percentage points {'more' if points > 0 else 'less'} "
            "than human music of this corpus does"
        )
        if summary["excess_ci_low"] is not None:
            low, high = (numeral(100 * summary[f"excess_ci_{end}"], "+.1f") for end in ("low", "high"))
            size += f" (95 % interval of the difference {low} to {high})"
        sentences.append(f"{size}.{_far_overlap_words(result)}")
    else:
        sentences.append("There is no human music to compare with: the corpus needs a second piece.")
    sentences += _overlap_cautions(summary, result["settings"])
    return sentences


def _far_overlap_words(result: Mapping) -> str:
    """How many generated windows reach what few human ones do, and how many human ones really do.

    The human 95th percentile is where few begin, down to a whole percent so that the words say what was
    counted. Many human windows may be tied there, so "one in twenty" is not taken for granted.
    """
    scores = result["distributions"]["overlap"]
    p95 = result["summary"]["overlap"]["baseline"]["p95"]
    limit = math.floor(100 * p95 + 1e-9) / 100
    if not limit:
        return ""
    ours, theirs = (sum(score >= limit for score in scores[key]) for key in ("generated", "baseline"))
    n, n_human = len(scores["generated"]), len(scores["baseline"])
    unit = UNIT_WORDS[result["settings"]["unit"]]
    most = f"all their {unit}" if limit >= 1 else f"{percent(limit)} of their {unit} or more"
    return (
        f" {ours:,} of {count(n, 'generated window')} ({percent(ours / n)}) share {most}; of the human "
        f"windows, {theirs:,} of {n_human:,} do ({percent(theirs / n_human)})."
    )


def _overlap_cautions(summary: Mapping, settings: Mapping) -> list[str]:
    sentences = []
    baseline = summary["baseline"]
    twins = baseline["shares"][str(NEARLY_WHOLE)]
    if twins:
        sentences.append(
            f"{count(round(twins * baseline['n']), 'human window')} of {baseline['n']:,} "
            f"{'stands' if round(twins * baseline['n']) == 1 else 'stand'} almost whole in another piece of "
            "the corpus: it seems to hold works twice. That raises the human figure; its median is "
            f"{percent(baseline['median'])}."
        )
    if summary["n_empty"]:
        sentences.append(f"Not counted: {count(summary['n_empty'], 'window')} without notes.")
    if summary["n_few"]:
        sentences.append(
            f"Not counted: {count(summary['n_few'], 'window')} of fewer than {settings['min_notes']} notes. "
            "A few notes stand in any corpus."
        )
    return sentences


def melody_words(result: Mapping) -> list[str]:
    """What melody match says: the frontier beside the human one, and what stands out."""
    summary = result["summary"]["melody"]
    if summary is None:
        return []
    if not summary["n"]:
        return [
            "No generated piece has a melody of five notes or more, so nothing can be said about melodies."
        ]
    baseline = summary["baseline"]
    sentences = [
        f"A generated melody's longest stretch in the corpus is {_steps(summary['frontier'])} "
        f"(median of {count(summary['n'], 'melody', 'melodies')})."
    ]
    if baseline["n"]:
        sentences.append(
            f"For human melodies of the same length ({baseline['tokens']} steps) it is "
            f"{_steps(baseline['frontier'])} (median of {count(baseline['n'], 'passage')})."
        )
        scores = result["distributions"]["melody"]
        limit = math.ceil(baseline["p95"])  # scores are whole, percentiles need not be
        ours, theirs = (sum(score >= limit for score in scores[key]) for key in ("generated", "baseline"))
        n, n_human = len(scores["generated"]), len(scores["baseline"])
        sentences.append(
            f"{ours:,} of {count(n, 'generated melody', 'generated melodies')} ({percent(ours / n)}) "
            f"{'reaches' if ours == 1 else 'reach'} a score of {limit}; of the human passages, {theirs:,} of "
            f"{n_human:,} do ({percent(theirs / n_human)})."
        )
    if summary["n_monotonous"]:
        sentences.append(
            f"Marked as monotonous: {count(summary['n_monotonous'], 'match', 'matches')} of fewer than three "
            "different steps. A repeated note stands in any corpus."
        )
    if summary["n_empty"]:
        sentences.append(
            f"Not counted: {count(summary['n_empty'], 'piece')} without a melody of at least five notes."
        )
    return sentences


def _steps(frontier: Mapping) -> str:
    lengths = [f"{length:g}" for length in frontier["median"]]
    words = f"{lengths[0]} steps from note to note unchanged"
    if len(lengths) > 1:
        words += f", {lengths[-1]} with up to {count(len(lengths) - 1, 'edit')}"
    return words


def question_words(result: Mapping) -> list[str]:
    """What each measure asks, for a reader who has never met it."""
    settings, sentences = result["settings"], []
    if result["summary"]["overlap"] is not None:
        n_bars, unit = settings["window_bars"], UNIT_WORDS[settings["unit"]]
        window = count(n_bars, "bar") if n_bars else count(settings["window_steps"], "step")
        sentences.append(
            f"Note overlap: a window of {window} of a generated piece is laid over every window of the "
            f"corpus. How many of its {unit} coincide with those of the nearest one? Music of one style "
            "shares many anyway. So human pieces of the corpus are asked the same, each compared with all "
            "the others; and so are the generated windows with their columns shuffled, which keep their "
            "notes and lose their order."
        )
    if result["summary"]["melody"] is not None:
        where = "in the same key or any within an octave" if settings["encoding"] == "pitch" else "in any key"
        sentences.append(
            "Melody match: what is the longest stretch of a piece's melody that stands somewhere in the "
            f"corpus, {where}, when a few of its steps may be edited? Human melodies of the same length and "
            "the generated ones with their steps shuffled are asked the same."
        )
    return sentences


def limit_words(result: Mapping) -> list[str]:
    """How to read the figures, and what they are silent about."""
    if result["summary"]["overlap"] is None and result["summary"]["melody"] is None:
        return []
    return [
        "Well above human music: stretches of these pieces stand in the corpus, more than a style explains. "
        "Which ones, the drawings show. A stock bass figure counts as a copied theme does: look and listen "
        "before you call it a copy.",
        "Like human music: no more was taken than human pieces of this corpus take from each other. That "
        "does not make a piece new: harmony, form and texture are not compared, nor is any music outside "
        "this corpus.",
        "Below human music is no merit: random notes share least of all. Originality says nothing about "
        "how good a piece is.",
        "None of this is a judgement in law.",
    ]


def worst_words(result: Mapping) -> list[str]:
    """The one piece that shares most, by each measure."""
    sentences = []
    for piece in by_copying(result["pieces"])[:1]:
        overlap = piece["overlap"]
        if overlap and overlap["matches"]:
            sentences.append(
                f"Most is shared by {piece['piece']}: {overlap_match_words(overlap, overlap['matches'][0])}"
            )
    with_melody = [piece for piece in result["pieces"] if piece["melody"] and piece["melody"]["matches"]]
    if with_melody:
        piece = max(with_melody, key=lambda piece: piece["melody"]["score"])
        sentences.append(
            f"The longest melody in common is that of {piece['piece']}: "
            f"{melody_match_words(piece['melody']['matches'][0])}"
        )
    return sentences


def overlap_match_words(overlap: Mapping, match: Mapping) -> str:
    """One overlap match: how much, where in the piece, where in the corpus."""
    unit = UNIT_WORDS[overlap.get("unit", "onset")]
    place = f"from bar {match['bar']}" if match["bar"] else "from before its first bar"
    if match["bar"] and match["beat"] != 1:
        place += f", beat {match['beat']:g}"
    also = f" (and {count(len(match['also_in']), 'piece')} with the same notes)" if match["also_in"] else ""
    return (
        f"{match['shared']} of the {overlap['window_notes']} {unit} of the window from bar {overlap['bar']} "
        f"({percent(match['score'])}) stand in {match['corpus_piece']}{also} {place}, "
        f"{semitones(match['transposition'])}; they are {percent(match['reverse'])} of that corpus window."
    )


def melody_match_words(match: Mapping) -> str:
    """One melody match: how long, with how many edits, where, and in the corpus how high and how fast."""
    ours, theirs = (_bar_range(match[key]) for key in ("bars", "corpus_bars"))
    edits = f"with {count(match['edits'], 'edit')}" if match["edits"] else "unchanged"
    speed = match["tempo_ratio"]
    tempo = "" if speed is None or abs(speed - 1) < 0.01 else f" and {1 / speed:.2g} times as fast"
    also = f" (and {count(len(match['also_in']), 'piece')} with the same melody)" if match["also_in"] else ""
    return (
        f"{count(match['matched'], 'step')} {edits} in {ours} stand in {match['corpus_piece']}{also} in "
        f"{theirs}, {semitones(match['transposition'])}{tempo}."
    )


def span_words(match: Mapping) -> list[str]:
    """Both spans of a melody match, in notes, bars and beats."""
    return [
        f"{where}: {_note_range(match[f'{prefix}start'], match[f'{prefix}end'])}, from "
        f"{_bar_and_beat(match, prefix, 0)} to {_bar_and_beat(match, prefix, 1)}."
        for where, prefix in (("In the piece", ""), ("In the corpus", "corpus_"))
    ]


def _note_range(start: int, end: int) -> str:
    return f"notes {start + 1:,} to {end:,} of its melody"


def _bar_and_beat(match: Mapping, prefix: str, end: int) -> str:
    beat = round(match[f"{prefix}beats"][end], 2)
    return f"bar {match[f'{prefix}bars'][end]}, beat {beat:g}"


def height_words(transposition: int, apart: Sequence[int]) -> str:
    """How the corpus excerpt of an `analysis.plagiarism.pair.PairView` is drawn, and what then lines up."""
    if transposition:
        direction = "up" if transposition > 0 else "down"
        drawn = f"The corpus excerpt is drawn {count(abs(transposition), 'semitone')} {direction}"
    else:
        drawn = "Both excerpts are drawn in their own key"
    if not apart:
        return f"{drawn}, so that shared notes stand at one height." if transposition else f"{drawn}."
    if all(semitones % 12 == 0 for semitones in apart):
        return f"{drawn}; shared notes stand at one height up to octaves."
    return (
        f"{drawn}; most shared notes stand at one height up to octaves, the others do not: what is matched "
        "is the steps from note to note."
    )


def shared_words(n_shared: int, n_drawn: int, unit: str = "onset") -> str:
    """How much two excerpts share, where more notes may be outlined in a drawing than count."""
    if unit == "cell":
        return f"{count(n_shared, 'sounding grid cell')} in common; {count(n_drawn, 'note')} outlined"
    doubled = f" ({n_drawn:,} outlined: doubled notes count once)" if n_drawn > n_shared else ""
    return f"{count(n_shared, 'shared note')}{doubled}"


def _bar_range(bars: list[int]) -> str:
    first, last = bars
    return f"bar {first}" if first == last else f"bars {first} to {last}"


def method_words(result: Mapping) -> list[str]:
    """How it was computed, with the settings, for a methods section."""
    settings = result["settings"]
    sentences = []
    if (summary := result["summary"]["overlap"]) is not None:
        window = (
            f"{settings['window_bars']} bars of the piece's own meter ({settings['window_steps']} steps in "
            "4/4)"
            if settings["window_bars"]
            else f"{settings['window_steps']} steps"
        )
        keys = settings["transpositions"]
        key_words = (
            "in the same key only"
            if keys == [0]
            else f"at {len(keys)} transpositions from {numeral(min(keys), 'd')} to {max(keys)} semitones"
        )
        offsets = "at every step" if settings["offsets"] == "all" else "at every bar line"
        sentences.append(
            f"Note overlap: a window is {window} on a grid of {settings['steps_per_beat']} steps per beat, "
            "starting at every "
            f"{'bar line' if settings['hop_steps'] is None else str(settings['hop_steps']) + ' steps'} of a "
            f"generated piece; its unit is the {settings['unit']}. It is compared with every window of "
            f"{count(summary['n_corpus_pieces'], 'corpus piece')} ({offsets}, {key_words}), without "
            "sampling or approximation. The share is units in common over units of the generated window. A "
            "piece's figure is that of its worst window; means are over windows."
        )
        baseline = summary["baseline"]
        if baseline["n"]:
            drawn = (
                f"{baseline['n']:,} of {baseline['n_available']:,} windows drawn with seed {settings['seed']}"
                if baseline["n"] < baseline["n_available"]
                else f"all {baseline['n']:,} windows"
            )
            sentences.append(
                f"Human windows: {drawn} of {count(baseline['n_pieces'], 'piece')} ({baseline['kind']}), "
                "each compared with the same corpus without its own piece, its duplicates and its group."
            )
    if (summary := result["summary"]["melody"]) is not None:
        sentences.append(
            f"Melody match: {LINE_WORDS[settings['line']]} of each piece as steps from note to note: "
            f"{ENCODING_WORDS[settings['encoding']]}. The score is the best of steps matched less "
            f"{settings['penalty']} per edit (Smith-Waterman) over all stretches of both melodies; an edit "
            "changes, leaves out or adds a step, and a wrong note is usually two edits, since it alters two "
            "steps. The frontier is the most steps matched with 0, 1, 2 ... edits. "
            f"{count(summary['n_corpus_pieces'], 'corpus piece')} were searched, exactly."
        )
    sentences.append(
        "Shares rise with the size of a corpus: compare them with the human figure beside them, not with "
        "shares from another corpus."
    )
    return sentences
