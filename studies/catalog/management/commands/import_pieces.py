"""``manage.py import_pieces``: somebody else's music into the catalog."""

from studies.catalog.management.commands.import_corpus import listing, passed_over
from studies.catalog.naming import counted
from studies.catalog.services import import_pieces
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Parses arguments around `services.import_pieces`."""

    help = (
        "Add somebody else's output to the catalog, as scores or as recordings: copies each file into "
        "pieces/imports/CONDITION/ of the data folder (scores as MIDI, recordings as they are). What cannot "
        "be read is left out, with the reason; run again, it adds what is new. Sources are only read."
    )
    writes_json = True

    def add_arguments(self, parser):
        """CONDITION SOURCE..."""
        parser.add_argument(
            "condition", metavar="CONDITION", help="the name under which studies find the pieces"
        )
        parser.add_argument(
            "sources",
            metavar="SOURCE",
            nargs="+",
            help="files and folders: any readable score, or .wav .flac .mp3 .ogg .aif recordings",
        )
        parser.add_argument(
            "--license", default="", metavar="TEXT", help="what the source says about its use"
        )

    def handle(self, *, condition, sources, license, **options):
        """Import, and say what was kept and what was not."""
        document = import_pieces(
            condition=condition, sources=sources, license=license, progress=self.progress("reading")
        )
        scores = sum(piece["notes"] is not None for piece in document["pieces"])
        recordings = len(document["pieces"]) - scores
        lines = [
            f"Import {condition}: {counted(scores, 'score')} and {counted(recordings, 'recording')} added."
        ]
        lines += passed_over(document)
        lines += listing(
            "duplicate left out", [f"{file} (as {kept})" for file, kept in document["duplicates"]]
        )
        lines += listing(
            "file refused", [f"{each['file']}: {each['reason']}" for each in document["rejected"]]
        )
        self.finish(document, *lines, f"They stand in {document['path']}")
