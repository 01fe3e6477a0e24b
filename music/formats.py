"""Files of every readable format to Scores: MIDI, MusicXML, ABC, kern and Lakh pianorolls.

MIDI goes to `music.midi`, pianorolls to `music.pianoroll`. The notations go through the parsers of music21;
the notes are taken from the parsed stream: repeats played out, ties merged, grace notes as thirty-seconds
before their main note, dynamics as velocities, sounding pitch. Unpitched notes and notes of percussion
instruments make drum tracks.

A parser that meets a hostile file can hang or crash; `music.isolation` reads strangers' files in other
processes.
"""

from __future__ import annotations

import io
import re
import zipfile
from bisect import bisect_right
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatch
from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from math import lcm
from pathlib import Path

from music.limits import READ_LIMITS, ReadLimits
from music.midi import check_limits, read_bytes, read_midi
from music.repeats import played_order
from music.score import TICKS_PER_BEAT, Key, Meter, Note, Score, ScoreError, Tempo, Track

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".smf", ".rmi")
XML_SUFFIXES = (".musicxml", ".xml", ".mxl")
READABLE_SUFFIXES = (*MIDI_SUFFIXES, *XML_SUFFIXES, ".abc", ".krn", ".npz")
MUSIC21 = "music21:"  # begins a source that names pieces of the corpus inside music21

_MAX_TICKS_PER_BEAT = 32767
_FINE_GRID = 10080  # ticks per beat where the piece divides beats too variously: 2^5 * 3^2 * 5 * 7
_GRACE = Fraction(1, 8)  # quarter notes
_DEFAULT_VELOCITY = 80


def read_score(path: str | Path, *, fold_pedal: bool = False, limits: ReadLimits = READ_LIMITS) -> Score:
    """Read the one piece in a file of any format in `READABLE_SUFFIXES`.

    The content decides where it is plain (a MIDI file named .xml is read as MIDI), else the suffix.

    Raises
    ------
    ScoreError
        If the file is missing, of another format, damaged, too large or empty of music, or holds several
        pieces (`read_pieces` gives them all).
    """
    pieces = read_pieces(path, fold_pedal=fold_pedal, limits=limits)
    if len(pieces) > 1:
        raise ScoreError(
            f"{Path(path).name!r} holds {len(pieces)} pieces where one is needed; split the file"
        )
    return pieces[0]


def read_pieces(
    path: str | Path, *, fold_pedal: bool = False, limits: ReadLimits = READ_LIMITS
) -> list[Score]:
    """All pieces in a file, in its order: an ABC file may hold many tunes, other formats hold one piece.

    Raises
    ------
    ScoreError
        As `read_score`; one unreadable tune refuses the file.
    """
    data = read_bytes(path, limits=limits)
    suffix = Path(path).suffix
    return [
        parse_piece(content, suffix, fold_pedal=fold_pedal, limits=limits)
        for content in split_pieces(data, suffix)
    ]


def find_files(sources: Iterable[str | Path]) -> list[Path]:
    """The readable files among files and folders: folders with all their sub-folders, in sorted order.

    A file that is named itself is taken whatever its suffix, so that its refusal can be reported; hidden
    files and other suffixes inside folders are passed over. ``music21:SELECTOR`` stands for the files of
    `music21_files`. No file is listed twice.

    Raises
    ------
    ScoreError
        If a source does not exist.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if str(source).startswith(MUSIC21):
            found.update(dict.fromkeys(music21_files(str(source))))
            continue
        path = Path(source).expanduser()
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix.lower() in READABLE_SUFFIXES)
            found.update(
                dict.fromkeys(
                    sorted(
                        file
                        for file in inside
                        if file.is_file()
                        and not any(part.startswith(".") for part in file.relative_to(path).parts)
                    )
                )
            )
        elif path.exists():
            found[path] = None
        else:
            raise ScoreError(f"there is no file or folder {str(source)!r}")
    return list(found)


def music21_files(selector: str) -> list[Path]:
    """The readable files of the corpus inside music21 that a selector names, sorted.

    Parameters
    ----------
    selector : str
        ``COMPOSER``, or ``COMPOSER/PATTERN`` with the wildcards of a shell: ``bach/bwv2*``. Case does not
        matter; a leading ``music21:`` is ignored.

    Raises
    ------
    ScoreError
        If no composer or no piece has such a name, with those that come close.
    """
    composer, _, pattern = selector.removeprefix(MUSIC21).strip().strip("/").partition("/")
    root = _music21_corpus()
    folders = {
        folder.name.lower(): folder
        for folder in root.iterdir()
        if folder.is_dir() and not folder.name.startswith("_") and any(_readable_below(folder))
    }
    folder = folders.get(composer.lower())
    if folder is None:
        hint = get_close_matches(composer.lower(), folders, n=3, cutoff=0.5) or sorted(folders)
        names = ", ".join(folders[name].name for name in hint)
        raise ScoreError(f"music21 brings no pieces by {composer!r}; did you mean {names}?")
    files = sorted(_readable_below(folder))
    if not pattern:
        return files
    wanted = pattern.lower()
    chosen = [
        file
        for file in files
        if any(
            fnmatch(name.lower(), wanted) for name in (file.stem, file.name, str(file.relative_to(folder)))
        )
    ]
    if not chosen:
        stems = list(dict.fromkeys(file.stem for file in files))
        hint = get_close_matches(wanted, stems, n=3, cutoff=0.3) or stems[:3]
        raise ScoreError(
            f"music21 brings no {pattern!r} by {folder.name}; there is, for one, {', '.join(hint)}"
        )
    return chosen


def music21_pieces(composer: str) -> list[tuple[str, Callable[[], Score]]]:
    """Pieces of the corpus inside music21: each with its name and a function that reads it.

    `composer` is a selector of `music21_files`, whose errors it raises; the function raises those of
    `read_score`.
    """
    files = music21_files(composer)
    return [(file.stem, lambda file=file: read_score(file)) for file in files]


def split_pieces(data: bytes, suffix: str) -> list[bytes]:
    """The content of a file as one content per piece; only ABC files hold more than one.

    Each tune of an ABC file (from ``X:`` on) gets the fields of the file's header. A file without tunes is
    returned as it is, for `parse_piece` to refuse.
    """
    if suffix.lower() != ".abc" or _is_midi(data):
        return [data]
    lines = _decode(data).splitlines()
    starts = [number for number, line in enumerate(lines) if re.match(r"X:\s*\d*", line)]
    if not starts:
        return [data]
    shared = [line for line in lines[: starts[0]] if re.match(r"[A-Za-z]:", line)]
    tunes = []
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        tune = [lines[start], *shared, *lines[start + 1 : stop]]
        tunes.append("\n".join(_tune_only(tune)).encode() + b"\n")
    return tunes


def parse_piece(
    data: bytes, suffix: str, *, fold_pedal: bool = False, limits: ReadLimits = READ_LIMITS
) -> Score:
    """Read one piece from the content of a file.

    Parameters
    ----------
    data : bytes
        The content; of an ABC file one tune (`split_pieces`).
    suffix : str
        The suffix of its name, with the dot.

    Raises
    ------
    ScoreError
        If the content is no readable piece.
    """
    if len(data) > limits.max_bytes:
        raise ScoreError(f"the file has {len(data):,} bytes; at most {limits.max_bytes:,} are read")
    suffix = suffix.lower()
    if _is_midi(data) or suffix in MIDI_SUFFIXES:
        score = read_midi(data, fold_pedal=fold_pedal, limits=limits)
    elif not data.strip():
        raise ScoreError("the file is empty")
    elif suffix == ".npz":
        from music.pianoroll import read_lakh_npz

        score = read_lakh_npz(data, limits=limits)
    elif suffix in XML_SUFFIXES:
        text = _musicxml_in_zip(data, limits) if data.startswith(b"PK") else _decode(data)
        _check_xml(text)
        score = _parse_notation(text, "musicxml", limits)
    elif suffix == ".abc":
        text = _decode(data)
        if not re.search(r"^K:", text, re.MULTILINE):
            raise ScoreError("this is no ABC tune: it has no K: field, which ends a tune's header")
        if not re.search(r"^[LM]:", text, re.MULTILINE):
            # Without meter and unit a note is an eighth (ABC 2.1, section 3.1.7); music21 needs to be told.
            text = re.sub(r"^K:", "L:1/8\nK:", text, count=1, flags=re.MULTILINE)
        score = _parse_notation(text, "abc", limits)
    elif suffix == ".krn":
        text = _decode(data)
        if "**kern" not in text:
            raise ScoreError("this is no kern file: it has no **kern spine")
        score = _parse_notation(text, "humdrum", limits)
    else:
        raise ScoreError(
            f"files named {suffix or 'without suffix'} are not read; {', '.join(READABLE_SUFFIXES)} are"
        )
    if not score.n_notes:
        raise ScoreError("the file holds no notes")
    check_limits(score, limits)
    return score


# ---- recognising and unpacking


def _is_midi(data: bytes) -> bool:
    return data.startswith(b"MThd") or (data.startswith(b"RIFF") and data[8:12] == b"RMID")


def _readable_below(folder: Path) -> Iterable[Path]:
    return (file for file in folder.rglob("*") if file.suffix.lower() in READABLE_SUFFIXES)


def _music21_corpus() -> Path:
    """The corpus folder, found without the second that importing music21 takes."""
    spec = find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise ScoreError("music21 is not installed; install it as requirements.txt pins it")
    return Path(spec.submodule_search_locations[0]) / "corpus"


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _tune_only(lines: list[str]) -> list[str]:
    """An ABC tune up to the empty line that ends it (ABC 2.1, section 2.2.1): prose behind it is no music."""
    in_body = False
    for number, line in enumerate(lines):
        if in_body and not line.strip():
            return lines[:number]
        in_body = in_body or line.startswith("K:")
    return lines


def _musicxml_in_zip(data: bytes, limits: ReadLimits) -> str:
    """The score inside a compressed MusicXML file (MusicXML 4.0, "Compressed .mxl files")."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            inside = [name for name in names if not name.startswith("META-INF/")]
            roots = [name for name in inside if name.lower().endswith((".xml", ".musicxml"))]
            if "META-INF/container.xml" in names:
                container = _unpack(archive, "META-INF/container.xml", limits).decode(
                    "utf-8", errors="replace"
                )
                named = re.findall(r"<rootfile[^>]*full-path\s*=\s*[\"']([^\"']+)", container)
                roots = [name for name in named if name in names] or roots
            if not roots:
                raise ScoreError("the .mxl file holds no MusicXML document")
            return _decode(_unpack(archive, roots[0], limits))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ScoreError(f"the .mxl file is no readable ZIP archive: {error}") from None
    except zipfile.zlib.error as error:
        raise ScoreError(f"the .mxl file is damaged: {error}") from None


def _unpack(archive: zipfile.ZipFile, name: str, limits: ReadLimits) -> bytes:
    """One member of an archive, never more of it than `limits` allow, whatever size it claims."""
    with archive.open(name) as member:
        content = member.read(limits.max_bytes + 1)
    if len(content) > limits.max_bytes:
        raise ScoreError(f"{name!r} unpacks to more than {limits.max_bytes:,} bytes, the most that is read")
    return content


def _check_xml(text: str) -> None:
    if "<!ENTITY" in text:
        raise ScoreError(
            "the XML defines entities of its own, which MusicXML never needs and XML bombs are made of"
        )
    if "<score-timewise" in text:
        raise ScoreError("the MusicXML is timewise; partwise is read: export it with <score-partwise>")
    if "<score-partwise" not in text:
        raise ScoreError("this XML is no MusicXML: it has no <score-partwise> element")


# ---- music21's streams


def _parse_notation(text: str, notation: str, limits: ReadLimits) -> Score:
    from music21 import converter, stream

    try:
        parsed = converter.parseData(text, format=notation)
        if isinstance(parsed, stream.Opus):
            scores = list(parsed.scores)
            if len(scores) != 1:
                raise ScoreError(f"the file holds {len(scores)} pieces where one is needed; split the file")
            parsed = scores[0]
        return _StreamReader(parsed, limits).score()
    except (ScoreError, MemoryError, KeyboardInterrupt):
        raise
    except RecursionError:
        raise ScoreError("the file nests its elements too deeply to be read") from None
    except Exception as error:  # the parser's own errors are of every class, index errors among them
        name = {"musicxml": "MusicXML", "abc": "ABC", "humdrum": "kern"}[notation]
        raise ScoreError(f"music21 could not parse it as {name}: {_damage_in_words(error)}") from None


def _damage_in_words(error: Exception) -> str:
    """What is wrong with the notation, as far as a parser's error tells.

    Errors of music21 and of the XML parser are about the notation. All others are about the parser's own
    Python: of them only the text that it could not take for a number helps a reader.
    """
    if type(error).__module__.startswith(("music21", "xml")) and str(error).strip():
        return f"the notation is damaged ({' '.join(str(error).split())[:200]})"
    number = re.search(r"(?:literal|convert string).*: '(.+)'$", str(error), re.DOTALL)
    if number:
        return f"the notation is damaged where it has {number[1][:60]!r} in place of a number"
    return "the notation is damaged, or uses what music21 does not know"


class _StreamReader:
    """Takes the notes out of one parsed music21 stream."""

    def __init__(self, parsed, limits: ReadLimits):
        from music21 import stream

        self.parsed = parsed
        self.limits = limits
        instruments = parsed.recurse().getElementsByClass("Instrument")
        if any(instrument.transposition is not None for instrument in instruments):
            parsed.toSoundingPitch(inPlace=True)
        parts = list(parsed.getElementsByClass(stream.Part)) if isinstance(parsed, stream.Score) else [parsed]
        self.parts = parts or [parsed]
        self.measures = [list(part.getElementsByClass(stream.Measure)) for part in self.parts]
        self.order = played_order(self.parts, self.measures)

    def score(self) -> Score:
        """The whole piece, on the coarsest tick grid that holds it exactly."""
        tempos, meters, keys = {}, {}, {}
        parts = []
        for part, measures in zip(self.parts, self.measures, strict=True):
            elements = self._elements(part, measures)
            parts.append(self._read_part(elements, tempos, meters, keys))
        meters = self._fit_bars(meters)
        moments = [moment for notes in parts for note in notes for moment in (note[0], note[2])]
        moments += [*tempos, *meters, *keys]
        ticks_per_beat = _ticks_per_beat(moments)

        def ticks(moment) -> int:
            return round(moment * ticks_per_beat)

        tracks = []
        for part, notes in zip(self.parts, parts, strict=True):
            by_instrument: dict[tuple[int, bool], list[Note]] = {}
            for onset, pitch, end, velocity, program, is_drum in notes:
                note = Note(ticks(onset), pitch, max(1, ticks(end) - ticks(onset)), velocity)
                by_instrument.setdefault((program, is_drum), []).append(note)
            name = str(part.partName or "") if hasattr(part, "partName") else ""
            for (program, is_drum), members in by_instrument.items():
                tracks.append(Track(tuple(members), program, is_drum, name))
        metadata = self.parsed.metadata
        title = (metadata.title or metadata.movementName or "") if metadata is not None else ""
        return Score(
            tracks=tuple(tracks),
            ticks_per_beat=ticks_per_beat,
            tempos=tuple(Tempo(ticks(moment), value) for moment, value in tempos.items()),
            meters=tuple(Meter(ticks(moment), *value) for moment, value in meters.items()),
            keys=tuple(Key(ticks(moment), *value) for moment, value in keys.items()),
            title=str(title),
        )

    def _fit_bars(self, meters: dict) -> dict:
        """Meters under which bars start where the measures do: an upbeat has a bar of its own length.

        Two parts of a bar, as around a repeat sign, count as one bar. A short last measure needs nothing.
        """
        measures = self.measures[0]
        if not measures:
            return meters
        lengths = _lengths(measures)
        order = range(len(measures)) if self.order is None else self.order
        changes = sorted(meters)
        fitted, now, skips = {}, Fraction(measures[0].offset), False
        for place, index in enumerate(order):
            moment, length = now, lengths[index]
            now += length
            if skips:
                skips = False
                continue
            known = bisect_right(changes, moment) - 1
            numerator, denominator = meters[changes[known]] if known >= 0 else (4, 4)
            bar = Fraction(4 * numerator, denominator)
            fitted[moment] = (numerator, denominator)
            if length != bar and length > 0 and place + 1 < len(order):
                is_same = meters.get(now, (numerator, denominator)) == (numerator, denominator)
                if is_same and length + lengths[order[place + 1]] == bar:
                    skips = True
                    continue
                for finer in (denominator, 8, 16, 32, 64):
                    count = length * finer / 4
                    if count.denominator == 1 and count <= 255:
                        fitted[moment] = (int(count), finer)
                        break
        return fitted

    def _elements(self, part, measures) -> list[tuple[Fraction, object]]:
        """The elements of a part with the moments (in quarter notes) at which they are played."""
        if not measures:
            return sorted(_leaves(part, Fraction(0)), key=lambda item: item[0])
        order = range(len(measures)) if self.order is None else self.order
        lengths = _lengths(measures)
        elements = list(_leaves(part, Fraction(0), deep=False))
        leaves = [list(_leaves(measure, Fraction(0))) for measure in measures]
        # A piece that starts later than 0 in the stream keeps its rest.
        now = Fraction(measures[0].offset)
        for index in order:
            elements.extend((now + moment, element) for moment, element in leaves[index])
            if len(elements) > 8 * self.limits.max_notes:
                raise ScoreError(f"with its repeats the piece has more than {self.limits.max_notes:,} notes")
            now += lengths[index]
        elements.sort(key=lambda item: item[0])
        return elements

    def _read_part(self, elements, tempos: dict, meters: dict, keys: dict) -> list[list]:
        """Notes of a part: [onset, pitch, end, velocity, program, is_drum] in quarter notes, ties merged."""
        from music21 import chord, dynamics, instrument, key, meter, note, percussion, tempo

        notes: list[list] = []
        tied: dict[int, list] = {}  # pitch -> the note that its tie may lengthen
        graces: list[list] = []  # those waiting for their main note, all at one moment
        program, is_drum, velocity = 0, False, _DEFAULT_VELOCITY

        def add(moment, length, pitch, tie, strength, drum):
            kind = tie.type if tie is not None else None
            end = moment + length
            earlier = tied.pop(pitch, None)
            if kind in ("stop", "continue") and earlier is not None and earlier[2] == moment:
                earlier[2] = end
                new = earlier
            else:
                new = [moment, pitch, end, strength, program, drum]
                notes.append(new)
            if kind in ("start", "continue"):
                tied[pitch] = new

        for moment, element in elements:
            if graces and moment > graces[0][0]:
                graces.clear()
            if isinstance(element, note.NotRest) and not getattr(element, "isChordSymbol", False):
                if type(element).__name__ in ("ChordSymbol", "NoChord") or "Harmony" in element.classes:
                    continue  # a name over the staff, no notes that are played
                strength = velocity
                if element.hasVolumeInformation() and element.volume.velocity:
                    strength = min(127, max(1, round(element.volume.velocity)))
                if isinstance(element, (chord.Chord, percussion.PercussionChord)):
                    members = list(element)
                    own_tie = element.tie
                else:
                    members, own_tie = [element], element.tie
                length = Fraction(element.duration.quarterLength)
                is_grace = element.duration.isGrace or not length
                for member in members:
                    if isinstance(member, note.Unpitched):
                        pitch, drum = _drum_pitch(member), True
                    else:
                        pitch, drum = member.pitch.midi, is_drum
                    if not 0 <= pitch <= 127:
                        continue
                    if is_grace:
                        new = [moment, pitch, moment + _GRACE, strength, program, drum]
                        graces.append(new)
                        notes.append(new)
                    else:
                        add(moment, length, pitch, member.tie or own_tie, strength, drum)
                if is_grace:
                    graces[-len(members)].append(len(members))  # marks where a grace chord begins
                elif graces:
                    _place_graces(graces, moment)
                    graces.clear()
            elif isinstance(element, dynamics.Dynamic):
                if element.volumeScalar is not None:
                    velocity = min(127, max(1, round(127 * element.volumeScalar)))
            elif isinstance(element, instrument.Instrument):
                program = element.midiProgram if element.midiProgram is not None else 0
                is_drum = isinstance(element, instrument.UnpitchedPercussion) or element.midiChannel == 9
            elif isinstance(element, tempo.MetronomeMark):
                speed = element.getQuarterBPM()
                if speed and speed > 0:
                    tempos[moment] = min(2**24 - 1, max(1, round(60e6 / speed)))
            elif isinstance(element, meter.TimeSignature):
                numerator, denominator = element.numerator, element.denominator
                if 1 <= numerator <= 255 and denominator in (1, 2, 4, 8, 16, 32, 64):
                    meters[moment] = (numerator, denominator)
            elif (
                isinstance(element, key.KeySignature)
                and element.sharps is not None
                and abs(element.sharps) <= 7
            ):
                keys[moment] = (element.sharps, getattr(element, "mode", None) == "minor")
            if len(notes) > self.limits.max_notes:
                raise ScoreError(
                    f"the piece has more than {self.limits.max_notes:,} notes, the most that is read"
                )
        return [item[:6] for item in notes]


def _lengths(measures) -> list[Fraction]:
    """The quarter notes from each measure to the next."""
    starts = [Fraction(measure.offset) for measure in measures]
    return [later - now for now, later in pairwise(starts)] + [Fraction(measures[-1].duration.quarterLength)]


def _leaves(container, base: Fraction, *, deep: bool = True):
    """Elements of a stream, of the voices inside it too if `deep`, with their moments."""
    for element in container:
        moment = base + Fraction(element.offset)
        if element.isStream:
            if deep:
                yield from _leaves(element, moment)
        else:
            yield moment, element


def _place_graces(graces: list[list], moment: Fraction) -> None:
    """Move the grace notes that wait for a main note in front of it, one after another."""
    groups: list[list[list]] = []
    for grace in graces:
        if len(grace) > 6 or not groups:
            groups.append([])
        groups[-1].append(grace)
    start = max(Fraction(0), moment - len(groups) * _GRACE)
    for number, group in enumerate(groups):
        for grace in group:
            grace[0] = start + number * _GRACE
            grace[2] = grace[0] + _GRACE


def _drum_pitch(member) -> int:
    """The General MIDI drum of an unpitched note; the line of the staff where it names none."""
    instrument = member.storedInstrument
    mapped = getattr(instrument, "percMapPitch", None)
    return mapped if mapped is not None else member.displayPitch().midi


def _ticks_per_beat(moments: Iterable) -> int:
    """The ticks per beat on which all moments (in quarter notes) are whole, as near to 480 as that allows."""
    divisor = 1
    for denominator in {Fraction(moment).denominator for moment in moments}:
        divisor = lcm(divisor, denominator)
        if divisor > _MAX_TICKS_PER_BEAT:
            return _FINE_GRID
    fitting = lcm(divisor, TICKS_PER_BEAT)
    return fitting if fitting <= _MAX_TICKS_PER_BEAT else divisor
