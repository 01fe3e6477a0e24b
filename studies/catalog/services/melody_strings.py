"""Melody strings, the text of MELODL4J: files of one melody a line, made of scores and made into scores."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from music.score import MusicError, Score
from studies.catalog.errors import CatalogError
from studies.catalog.naming import counted
from studies.catalog.storage import writable_folder, write_text

LARGEST_FILE = 200_000_000  # bytes
LONGEST_LINE = 200_000  # characters: 100,000 notes, as many as no melody has
_VALUE = re.compile(r"\d+")
COMMENT = "//"  # as in the files of the original, from here to the end of a line


def write_melody_strings(
    *,
    sources: Sequence[str],
    out: str | Path,
    alphabet: str = "v1",
    voice: str | None = None,
    filters: bool = True,
    as_published: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Write the melodies of scores, one a line; returns the document of ``melody_strings --json``.

    Parameters
    ----------
    sources : sequence of str
        Files and folders of any readable format.
    alphabet, voice, filters
        As `generation`, `voice` and `filters` of `music.melody_strings.extract_melodies`.
    as_published : bool
        With the defects of the alphabet (`Alphabet.as_published`).

    Raises
    ------
    CatalogError
        If no source holds a melody that is taken, or `out` cannot be written.
    MusicError
        If a source does not exist.
    """
    from music.formats import READABLE_SUFFIXES, find_files
    from music.isolation import read_scores
    from music.melody_strings import ALPHABETS, events_to_text, extract_melodies, notes_to_events

    if alphabet not in ALPHABETS:
        raise CatalogError(f"no alphabet {alphabet!r}; there are {', '.join(ALPHABETS)}")
    if Path(out).is_dir():
        raise CatalogError(f"--out needs a file, {out} is a folder")
    characters = ALPHABETS[alphabet].as_published() if as_published else ALPHABETS[alphabet]
    paths = find_files(sources)
    lines: list[str] = []
    refused: list[dict[str, Any]] = []
    for number, (path, score) in enumerate(read_scores(paths, fold_pedal=False), start=1):
        if isinstance(score, MusicError):
            refused.append({"file": str(path), "track": None, "voice": None, "reason": str(score)})
        else:
            melodies, refusals = extract_melodies(score, generation=alphabet, voice=voice, filters=filters)
            lines += [
                events_to_text(notes_to_events(melody.notes, characters), characters) for melody in melodies
            ]
            refused += [
                {"file": str(path), "track": each.track, "voice": each.voice or None, "reason": each.reason}
                for each in refusals
            ]
        if progress:
            progress(min(number, len(paths)), len(paths), path.name)
    if not paths:
        raise CatalogError(
            f"no readable file in {', '.join(map(str, sources))}; read are {', '.join(READABLE_SUFFIXES)}"
        )
    if not lines:
        first = f"the first of {counted(len(refused), 'refusal')}: {refusal_in_words(refused[0])}"
        hint = f"; {hint_after(refused, filters=filters)}".removesuffix("; ")
        raise CatalogError(f"no melody in {', '.join(map(str, sources))}; {first}{hint}")
    target = write_text(out, "".join(line + "\n" for line in lines))
    return {
        "file": str(target),
        "alphabet": alphabet,
        "melodies": len(lines),
        "characters": sum(map(len, lines)),
        "files": len(paths),
        "refused": refused,
    }


def play_melody_strings(
    *,
    file: str | Path,
    folder: str | Path,
    alphabet: str | None = None,
    as_published: bool = False,
    start_pitch: int = 50,
    lowest: int = 30,
    highest: int = 79,
    ticks_per_unit: int = 30,
    ticks_per_beat: int = 480,
    beats_per_minute: float = 105.0,
) -> dict[str, Any]:
    """Write each line of a file as MIDI; returns the document of ``melody_strings --json``.

    Without `alphabet` it is found by the characters of the file. The average note of the defaults is half a
    beat at 105 beats per minute: as long as in the original, which has 120 ticks in a beat at 420.

    Raises
    ------
    CatalogError
        If the file cannot be read, holds no melody, or is of another alphabet; the message names line and
        character.
    MusicError
        If a setting makes no sense.
    """
    from music.melody_strings import ALPHABETS, MelodyStringError, events_to_notes, text_to_events
    from music.midi import write_midi
    from music.score import Tempo, Track

    texts = _read_lines(file)
    fitting = _fitting(texts, file, alphabet)
    characters = ALPHABETS[fitting[0]].as_published() if as_published else ALPHABETS[fitting[0]]
    if not 10 <= beats_per_minute <= 1000:
        raise CatalogError(f"--bpm must be 10 to 1000, got {beats_per_minute}")
    if not 0 <= start_pitch <= 127:
        raise CatalogError(f"--start-pitch must be 0 to 127, got {start_pitch}")
    tempo = Tempo(0, round(60e6 / beats_per_minute))
    Score((), ticks_per_beat)  # refuses a beat that no file can have, before anything is written
    target = writable_folder(folder)
    stem, width = Path(file).stem, len(str(max(texts)))
    pieces = []
    for line, text in texts.items():
        try:
            events = text_to_events(text, characters)
        except MelodyStringError as error:
            raise CatalogError(f"{file}, line {line}: {error}") from None
        notes = events_to_notes(
            events,
            start_pitch=start_pitch,
            unit=ticks_per_unit,
            extra_units=characters.extra_units,
            lowest=lowest,
            highest=highest,
        )
        path = target / f"{stem}-{line:0{width}d}.mid"
        score = Score((Track(tuple(notes), name="melody"),), ticks_per_beat, (tempo,))
        write_midi(score, path)
        pieces.append({"file": str(path), "line": line, "notes": len(notes)})
    return {"alphabet": fitting[0], "also_fits": fitting[1:], "folder": str(target), "pieces": pieces}


def refusal_in_words(refusal: dict[str, Any]) -> str:
    """A line about what was refused and why."""
    track = f", track {refusal['track']}" if refusal["track"] is not None else ""
    voice = f", {refusal['voice']} voice" if refusal["voice"] else ""
    return f"{refusal['file']}{track}{voice}: {' '.join(refusal['reason'].split())}"


def reasons_in_words(refused: Sequence[dict[str, Any]]) -> list[str]:
    """How often each reason was given, the most frequent first, with what was refused and its values.

    Reasons of voices that differ in the first value alone are one: ``22 voices: 2 to 4 different pitches; at
    least 7 are needed``.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for each in refused:
        what = "voice" if each["voice"] else "file" if each["track"] is None else "track"
        value = _VALUE.search(each["reason"]) if what == "voice" else None
        rest = _VALUE.sub("{}", each["reason"], count=1) if value else each["reason"]
        groups.setdefault((what, rest), []).append(int(value[0]) if value else 0)
    lines = []
    for (what, rest), values in sorted(groups.items(), key=lambda group: -len(group[1])):
        least, most = min(values), max(values)
        span = f"{least} to {most}" if least != most else str(least)
        reason = rest.replace("{}", span, 1) if what == "voice" else rest
        lines.append(f"{counted(len(values), what)}: {' '.join(reason.split())}")
    return lines


def hint_after(refused: Sequence[dict[str, Any]], *, filters: bool) -> str:
    """What would take what the filters refused; empty where they refused nothing."""
    if not filters or not any(each["voice"] for each in refused):
        return ""
    return "--no-filters takes every voice, and --voice chooses another"


def _read_lines(file: str | Path) -> dict[int, str]:
    """The melodies of a file by the number of their line, without comments and empty lines."""
    path = Path(file).expanduser()
    if path.is_dir():
        raise CatalogError(f"{file} is a folder; --midi plays one file of melody strings")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CatalogError(f"{file} has {path.stat().st_size:,} bytes; at most {LARGEST_FILE:,} are read")
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CatalogError(f"there is no file {str(file)!r}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CatalogError(f"cannot read {file}: {reason}") from None
    texts = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        melody, mark, _ = line.partition(COMMENT)
        melody = melody.rstrip() if mark else melody
        if len(melody) > LONGEST_LINE:
            raise CatalogError(
                f"{file}, line {number}: {len(melody):,} characters; a melody has at most {LONGEST_LINE:,}"
            )
        if melody:
            texts[number] = melody
    if not texts:
        raise CatalogError(f"{file} holds no melody string: it is empty but for comments")
    return texts


def _fitting(texts: dict[int, str], file: str | Path, alphabet: str | None) -> list[str]:
    """The alphabets in which every line is right, the one that is asked for first.

    Raises
    ------
    CatalogError
        If it is none of them, or there are none; says where the first line goes wrong.
    """
    from music.melody_strings import ALPHABETS, MelodyStringError, fitting_alphabets, text_to_events

    if alphabet is not None and alphabet not in ALPHABETS:
        raise CatalogError(f"no alphabet {alphabet!r}; there are {', '.join(ALPHABETS)}")
    fitting = fitting_alphabets(texts.values())
    wanted = alphabet or (fitting[0] if fitting else _nearest(texts))
    if wanted in fitting:
        return [wanted, *(name for name in fitting if name != wanted)]
    for line, text in texts.items():
        try:
            text_to_events(text, ALPHABETS[wanted])
        except MelodyStringError as error:
            hint = (
                f"; every line is right in alphabet {fitting[0]}: try --alphabet {fitting[0]}"
                if fitting
                else ""
            )
            raise CatalogError(f"{file}, line {line}: {error}{hint}") from None
    return [wanted]


def _nearest(texts: dict[int, str]) -> str:
    """The alphabet that has the most of the characters."""
    from music.melody_strings import ALPHABETS

    characters = Counter("".join(texts.values()))
    return max(
        ALPHABETS,
        key=lambda name: sum(
            number for character, number in characters.items() if character in ALPHABETS[name].symbols
        ),
    )
