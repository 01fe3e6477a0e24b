"""Two excerpts side by side: what a generated piece took, and where it stands in the corpus.

Used by the report and by the studio. The corpus excerpt is transposed to the generated one's key. For note
overlap shared notes then stand at one height and one place. A melody is matched by its steps, leaps beyond an
octave folded into one, so that its shared notes may stand octaves apart and, after a change, in another key:
`PairView.apart` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.errors import AnalysisError
from analysis.melody.extraction import GENERATIONS, melodies_of
from analysis.plagiarism.extraction import note_steps, units_of_note
from music.score import Note, Score
from music.transform import excerpt

DEFAULTS = {
    "unit": "onset",
    "steps_per_beat": 4,
    "line": "skyline",
    "filters": True,
    "encoding": "interval+ratio",
}

PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a piece. `score` holds only the notes that sound in it, at their places in the piece."""

    score: Score
    start_tick: int
    end_tick: int
    shared: tuple[Note, ...]  # notes of `score` that stand in the other excerpt too, doubled ones as well
    n_shared: int  # units in common, or notes of the melody that are matched: doubled notes count once

    @property
    def alone(self) -> Score:
        """The excerpt as a score of its own, from tick 0: what sounds at its start is struck there."""
        return excerpt(self.score, self.start_tick, self.end_tick, keep_held=True)

    @property
    def start_seconds(self) -> float:
        """Where the excerpt starts in `score`."""
        return self.score.tick_to_seconds(self.start_tick)

    @property
    def seconds(self) -> float:
        """How long the excerpt lasts."""
        return self.score.tick_to_seconds(self.end_tick) - self.start_seconds

    @property
    def pitches(self) -> tuple[int, int] | None:
        """Lowest and highest pitch, None where nothing sounds."""
        pitches = [note.pitch for note in self.score.notes(drums=False)]
        return (min(pitches), max(pitches)) if pitches else None


@dataclass(frozen=True)
class PairView:
    """A generated excerpt and the corpus excerpt that it is most like."""

    generated: Excerpt
    corpus: Excerpt
    transposition: int  # semitones by which the corpus excerpt was moved to stand beside the other
    apart: tuple[
        int, ...
    ] = ()  # semitones, other than 0, by which shared notes still lie higher in the corpus

    @property
    def pitches(self) -> tuple[int, int] | None:
        """Lowest and highest pitch of both, for drawings on one scale."""
        found = [pitch for excerpt in (self.generated, self.corpus) for pitch in excerpt.pitches or ()]
        return (min(found), max(found)) if found else None


def pair_view(
    generated: Score, corpus: Score, match: Mapping, *, settings: Mapping | None = None
) -> PairView:
    """Cut the two excerpts of a match out of their pieces and mark the notes that they share.

    Parameters
    ----------
    match : mapping
        One entry of ``matches`` in the result of `analysis.plagiarism.report.originality`, of overlap or of
        melody.
    settings : mapping, optional
        The result's ``settings``: unit, steps_per_beat, line. Defaults are those of a default report.

    Raises
    ------
    AnalysisError
        If the match names places that the scores do not have.
    """
    settings = {**DEFAULTS, **(settings or {})}
    if "corpus_start" in match:
        return _melody_pair(generated, corpus, match, settings)
    return _overlap_pair(generated, corpus, match, settings)


def edit_words(
    generated: Score, corpus: Score, match: Mapping, *, settings: Mapping | None = None
) -> list[str]:
    """Each edit of a melody match in a sentence; none for a match without edits.

    Parameters are those of `pair_view`. Notes are counted from 1, as they stand in the melody.
    """
    settings = {**DEFAULTS, **(settings or {})}
    ours = _voice(generated, settings, match["voice"])
    theirs = _voice(corpus, settings, match["corpus_voice"])
    say = {"pitch": _note_edit}.get(settings["encoding"], _step_edit)
    if settings["encoding"] in GENERATIONS:
        say = _character_edit
    return [
        say(kind, own, other, ours[match["start"] :], theirs[match["corpus_start"] :], match["start"])
        for kind, own, other in match["editops"]
    ]


def _step_edit(
    kind: str, own: int, other: int, ours: Sequence[Note], theirs: Sequence[Note], first: int
) -> str:
    """An edit of a step from note to note."""
    place = f"At note {first + own + 1:,}"
    if kind == "insert":
        return f"{place} the piece leaves out a step of the corpus: {_way(theirs, other)}."
    if kind == "delete":
        return f"{place} the piece has a step more than the corpus: {_way(ours, own)}."
    way, other_way = _way(ours, own), _way(theirs, other)
    if way == other_way:
        return f"{place} both go {way}, in another rhythm."
    return f"{place} the piece goes {way}, the corpus {other_way}."


def _way(notes: Sequence[Note], place: int) -> str:
    semitones = notes[place + 1].pitch - notes[place].pitch
    if not semitones:
        return "on with the same pitch"
    plural = "" if abs(semitones) == 1 else "s"
    return f"{'up' if semitones > 0 else 'down'} {abs(semitones)} semitone{plural}"


def _note_edit(
    kind: str, own: int, other: int, ours: Sequence[Note], theirs: Sequence[Note], first: int
) -> str:
    """An edit of a note."""
    place = f"At note {first + own + 1:,}"
    if kind == "insert":
        return f"{place} the piece leaves out a {_pitch_name(theirs[other].pitch)} of the corpus."
    if kind == "delete":
        return f"{place} the piece has a {_pitch_name(ours[own].pitch)} more than the corpus."
    return (
        f"{place} the piece has {_pitch_name(ours[own].pitch)}, the corpus "
        f"{_pitch_name(theirs[other].pitch)}, or another rhythm."
    )


def _pitch_name(pitch: int) -> str:
    """As musicians say it, sharps for black keys; 60 is C4."""
    return f"{PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def _character_edit(
    kind: str, own: int, other: int, ours: Sequence[Note], theirs: Sequence[Note], first: int
) -> str:
    """An edit of a character of MELODL4J."""
    if kind == "insert":
        return f"Character {other + 1:,} of the corpus stretch is left out."
    if kind == "delete":
        return f"Character {own + 1:,} of the generated stretch stands in it alone."
    return f"Character {own + 1:,} of the generated stretch is another than character {other + 1:,} there."


def _overlap_pair(generated: Score, corpus: Score, match: Mapping, settings: Mapping) -> PairView:
    transposition, steps = match["transposition"], match["window_steps"]
    ours = _window_units(generated, match["window_start"], steps, 0, settings)
    theirs = _window_units(corpus, match["start"], steps, -transposition, settings)
    common = {unit for units in ours.values() for unit in units} & {
        unit for units in theirs.values() for unit in units
    }
    return PairView(
        _excerpt(generated, match["window_start"], steps, 0, _marked(ours, common), len(common), settings),
        _excerpt(
            corpus, match["start"], steps, -transposition, _marked(theirs, common), len(common), settings
        ),
        -transposition,
    )


def _window_units(
    score: Score, start: int, n_steps: int, semitones: int, settings: Mapping
) -> dict[Note, set[tuple[int, int]]]:
    """Units of each note inside a window, counted from the window's start and moved by semitones."""
    grid = {"ticks_per_beat": score.ticks_per_beat, "steps_per_beat": settings["steps_per_beat"]}
    found: dict[Note, set[tuple[int, int]]] = {}
    for note in score.notes(drums=False):
        if not 0 <= note.pitch + semitones <= 127:
            continue
        first, end = note_steps(note, **grid)
        if first < start + n_steps and end > start:
            moved = replace(note, pitch=note.pitch + semitones)
            units = {
                (step - start, row)
                for step, row in units_of_note(moved, unit=settings["unit"], **grid)
                if start <= step < start + n_steps
            }
            found.setdefault(note, set()).update(units)
    return found


def _marked(units: Mapping[Note, set], common: set) -> set[Note]:
    """Notes that are shared: with all their units as onsets, with at least half of them as cells."""
    return {note for note, own in units.items() if own and 2 * len(own & common) >= len(own)}


def _excerpt(
    score: Score,
    start: int,
    n_steps: int,
    semitones: int,
    shared: Iterable[Note],
    n_shared: int,
    settings: Mapping,
) -> Excerpt:
    """A window of steps as an excerpt; one that starts before the piece gets whole bars of silence."""
    ticks_per_step = score.ticks_per_beat / settings["steps_per_beat"]
    start_tick, end_tick = round(start * ticks_per_step), round((start + n_steps) * ticks_per_step)
    first_meter = score.meters[0]
    bar = max(1, int(first_meter.beats_per_bar * score.ticks_per_beat))
    silence = bar * math.ceil(-start_tick / bar) if start_tick < 0 else 0
    return _cut(score, start_tick + silence, end_tick + silence, semitones, set(shared), n_shared, silence)


def _cut(
    score: Score,
    start_tick: int,
    end_tick: int,
    semitones: int,
    shared: set[Note],
    n_shared: int,
    silence: int = 0,
) -> Excerpt:
    """Keep what sounds between two ticks, after moving everything later by `silence` and by semitones."""
    tracks, marked = [], []
    for track in score.tracks:
        notes = []
        for note in track.notes if not track.is_drum else ():
            moved_pitch = note.pitch + semitones
            if (
                note.onset + silence < end_tick
                and note.end + silence > start_tick
                and 0 <= moved_pitch <= 127
            ):
                moved = replace(note, onset=note.onset + silence, pitch=moved_pitch)
                notes.append(moved)
                if note in shared:
                    marked.append(moved)
        tracks.append(replace(track, notes=tuple(notes)))
    moved_score = replace(
        score,
        tracks=tuple(tracks),
        tempos=tuple(
            replace(change, tick=change.tick + silence if change.tick else 0) for change in score.tempos
        ),
        meters=tuple(
            replace(change, tick=change.tick + silence if change.tick else 0) for change in score.meters
        ),
        keys=(),
    )
    return Excerpt(moved_score, start_tick, end_tick, tuple(sorted(set(marked))), n_shared)


def _melody_pair(generated: Score, corpus: Score, match: Mapping, settings: Mapping) -> PairView:
    ours = _voice(generated, settings, match["voice"])
    theirs = _voice(corpus, settings, match["corpus_voice"])
    if match["end"] > len(ours) or match["corpus_end"] > len(theirs):
        raise AnalysisError(
            f"the match ends at notes {match['end']} and {match['corpus_end']}, "
            f"but the melodies have {len(ours)} and {len(theirs)}: are these the pieces that were compared?"
        )
    pairs = match.get("note_pairs", ())
    transposition = match["transposition"] or 0
    shifts = {theirs[other].pitch - ours[own].pitch - transposition for own, other in pairs}
    return PairView(
        _melody_excerpt(generated, ours, match["start"], match["end"], {a for a, _ in pairs}, 0),
        _melody_excerpt(
            corpus, theirs, match["corpus_start"], match["corpus_end"], {b for _, b in pairs}, -transposition
        ),
        -transposition,
        tuple(sorted(shifts - {0})),
    )


def _voice(score: Score, settings: Mapping, number: int) -> tuple[Note, ...]:
    """The notes of a score's melody, by its number among them; none if it has not so many."""
    melodies = melodies_of(score, line=settings["line"], filters=settings["filters"])
    return melodies[number].notes if number < len(melodies) else ()


def _melody_excerpt(
    score: Score, melody: tuple[Note, ...], start: int, end: int, shared: set[int], semitones: int
) -> Excerpt:
    """Notes `start` to before `end` of a melody with whatever sounds beneath them."""
    shared_places = {(melody[place].onset, melody[place].pitch) for place in shared}
    marked = {note for note in score.notes(drums=False) if (note.onset, note.pitch) in shared_places}
    return _cut(score, melody[start].onset, melody[end - 1].end, semitones, marked, len(shared))
