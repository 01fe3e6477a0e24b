"""``manage.py render``: the audio that a listener would hear."""

from django.core.management.base import CommandError

from studies.catalog.naming import counted
from studies.catalog.services import render_sources
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Parses arguments around `services.render_sources`."""

    help = (
        "Write the audio that a listener would hear into a folder, as MP3 and FLAC: an excerpt with the "
        "fades, loudness (-23 LUFS) and synthesiser of a study. Excerpts of pieces of the catalog are also "
        "kept as stimuli in the data folder, so that a study plays these very bytes. Files of the same name "
        "in --out are replaced."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SOURCE..., where to, and the form of the excerpt."""
        parser.add_argument(
            "sources",
            metavar="SOURCE",
            nargs="+",
            help="a file, folder, piece (ORIGIN/NAME), or the name of a generation, model, corpus or import",
        )
        parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write into")
        parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="length (default 20)")
        parser.add_argument(
            "--start",
            type=float,
            metavar="S",
            help="second at which the excerpt starts, at the nearest bar (default: a bar drawn by --seed)",
        )
        parser.add_argument(
            "--fade-out-ms",
            type=int,
            default=1000,
            metavar="MS",
            help="length of the last fade (default 1000)",
        )
        parser.add_argument(
            "--engine", default="auto", metavar="auto|fluidsynth|symusic", help="what plays (default auto)"
        )
        parser.add_argument(
            "--seed", type=int, default=0, metavar="N", help="of the drawn starts (default 0)"
        )
        parser.add_argument(
            "--pad",
            action="store_true",
            help="fill pieces that are too short with silence instead of refusing them",
        )

    def handle(self, *, sources, out, seconds, start, fade_out_ms, engine, seed, pad, **options):
        """Render, and say what was written; an error if a piece could not be."""
        document = render_sources(
            sources=sources,
            out=out,
            seconds=seconds,
            start_seconds=start,
            fade_out_ms=fade_out_ms,
            engine=engine,
            seed=seed,
            pad=pad,
            progress=self.progress("rendering"),
        )
        files, rejected = document["files"], document["rejected"]
        lines = [
            f"{each['piece']}: {each['seconds']:g} s from second {each['start_seconds']:.1f}, "
            f"{each['loudness_lufs']:.1f} LUFS, {each['engine']}"
            for each in files
        ]
        self.finish(document, *lines, f"{counted(len(files), 'excerpt')}, as MP3 and as FLAC, in {out}")
        if rejected:
            raise CommandError(
                f"{len(rejected)} of {len(files) + len(rejected)} pieces could not be rendered; "
                f"the first, {rejected[0]['piece']}: {rejected[0]['reason']}"
            )
