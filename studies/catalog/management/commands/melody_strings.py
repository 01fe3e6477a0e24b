"""``manage.py melody_strings``: scores as melody strings, and back."""

from django.core.management.base import CommandError

from studies.catalog.naming import counted
from studies.catalog.services import play_melody_strings, write_melody_strings
from studies.catalog.services.melody_strings import hint_after, reasons_in_words, refusal_in_words
from studies.command import EarwitnessCommand

SHOWN = 10  # refusals that are told one by one


class Command(EarwitnessCommand):
    """Parses arguments around `services.write_melody_strings` and `services.play_melody_strings`."""

    help = (
        "Write the melodies of scores as the strings of MELODL4J, one a line, into --out: every track gives "
        "its top voice where it passes the filters of the alphabet's generation, and what is refused is told "
        "with the reason. Or, with --midi, write each line of such a file as MIDI into a folder. Files of "
        "the same name are replaced; nothing else changes."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SOURCE... and where to, and the ways of writing and of playing."""
        parser.add_argument(
            "sources",
            metavar="SOURCE",
            nargs="+",
            help="files and folders of any readable format; with --midi one file of melody strings",
        )
        parser.add_argument("--out", metavar="FILE", help="the file of melody strings to write")
        parser.add_argument(
            "--midi", metavar="DIR", help="read melody strings, and write MIDI into this folder"
        )
        parser.add_argument(
            "--alphabet",
            choices=("v1", "v2", "v3"),
            help="characters, rules and filters of 2017, 2018 or 2022 (default v1; with --midi what fits)",
        )
        parser.add_argument(
            "--voice",
            choices=("top", "bottom", "both", "first"),
            help="of tracks with several voices: the top one, the bottom one, or each note that starts after "
            "the last one taken has ended (default top; first in v2 and v3)",
        )
        parser.add_argument(
            "--no-filters", action="store_true", help="take every voice with a note, but no drums"
        )
        parser.add_argument(
            "--as-published",
            action="store_true",
            help="with the defects of the alphabet: two durations are one character, v2 folds wide intervals "
            "to another pitch class, v1 and v2 play durations a unit longer",
        )
        playing = parser.add_argument_group("with --midi")
        playing.add_argument(
            "--start-pitch", type=int, metavar="P", help="MIDI number that melodies start from (default 50)"
        )
        playing.add_argument("--lowest", type=int, metavar="P", help="lowest MIDI number (default 30)")
        playing.add_argument("--highest", type=int, metavar="P", help="highest MIDI number (default 79)")
        playing.add_argument(
            "--ticks-per-unit", type=int, metavar="N", help="an eighth of the average note (default 30)"
        )
        playing.add_argument(
            "--ticks-per-beat", type=int, metavar="N", help="(default 480; the original has 120)"
        )
        playing.add_argument(
            "--bpm", type=float, metavar="N", help="beats per minute (default 105; the original has 420)"
        )

    def handle(self, *, sources, out, midi, alphabet, voice, no_filters, as_published, **options):
        """Write or play, and say what was made and what was refused."""
        names = ("start_pitch", "lowest", "highest", "ticks_per_unit", "ticks_per_beat", "bpm")
        playing = {name: options[name] for name in names if options[name] is not None}
        if (out is None) == (midi is None):
            raise CommandError(
                "give --out FILE to write melody strings, or --midi DIR to play a file of them"
            )
        if midi is not None:
            self._play(sources, midi, alphabet, voice, no_filters, as_published, playing)
            return
        if playing:
            name = next(iter(playing)).replace("_", "-")
            raise CommandError(f"--{name} is about playing; it needs --midi DIR in place of --out")
        document = write_melody_strings(
            sources=sources,
            out=out,
            alphabet=alphabet or "v1",
            voice=voice,
            filters=not no_filters,
            as_published=as_published,
            progress=self.progress("reading"),
        )
        refused = document["refused"]
        lines = [f"refused: {refusal_in_words(each)}" for each in refused[:SHOWN]]
        if len(refused) > SHOWN:
            lines += [
                f"{counted(len(refused), 'refusal')} in all:",
                *(f"  {each}" for each in reasons_in_words(refused)),
            ]
        if hint := hint_after(refused, filters=not no_filters):
            lines.append(hint)
        self.finish(
            document,
            *lines,
            f"{document['melodies']:,} {'melody' if document['melodies'] == 1 else 'melodies'} of "
            f"{counted(document['files'], 'file')}, {document['characters']:,} characters of alphabet "
            f"{document['alphabet']}, in {document['file']}",
        )

    def _play(self, sources, midi, alphabet, voice, no_filters, as_published, playing):
        if len(sources) != 1:
            raise CommandError(f"--midi takes one file of melody strings, got {len(sources)}")
        if voice is not None or no_filters:
            raise CommandError(
                "--voice and --no-filters are about writing melody strings; they need --out FILE"
            )
        if "bpm" in playing:
            playing["beats_per_minute"] = playing.pop("bpm")
        document = play_melody_strings(
            file=sources[0], folder=midi, alphabet=alphabet, as_published=as_published, **playing
        )
        others = " and ".join(document["also_fits"]) if alphabet is None else ""
        note = [f"The lines are right in alphabet {others} too; --alphabet decides."] if others else []
        self.finish(
            document,
            *note,
            f"{counted(len(document['pieces']), 'MIDI file')} of alphabet {document['alphabet']} in "
            f"{document['folder']}",
        )
