"""``manage.py generate``: a model writes pieces."""

from studies.catalog.arguments import add_device, add_overrides, add_processes, parse_overrides
from studies.catalog.naming import counted
from studies.catalog.services import generate_pieces
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Parses arguments around `services.generate_pieces`."""

    help = (
        "Let a model write pieces: writes them as MIDI into pieces/generations/ of the data folder, each "
        "with its provenance inside (model, checkpoint hash, seed, corpus hash, settings, version), copies "
        "them to --out, and adds them to the catalog as a generation. The same model, seed and settings "
        "give the same bytes; a run that repeats a generation writes the same files and adds nothing to the "
        "catalog."
    )
    writes_json = True

    def add_arguments(self, parser):
        """MODEL, and what to write."""
        parser.add_argument("model", metavar="MODEL", help="one of those that `models` lists")
        parser.add_argument("--count", type=int, required=True, metavar="N", help="how many pieces")
        parser.add_argument(
            "--bars", type=int, metavar="B", help="their length (default: natural to the family)"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness (default 0)")
        parser.add_argument(
            "--temperature",
            type=float,
            metavar="T",
            help="0.000001 to 1000; small for safe choices, large for varied ones",
        )
        parser.add_argument(
            "--argmax",
            action="store_true",
            help="always take the likeliest choice; not together with --temperature",
        )
        parser.add_argument("--prime", metavar="FILE", help="a piece to continue")
        parser.add_argument(
            "--style",
            nargs="+",
            default=[],
            metavar="FILE",
            dest="styles",
            help="pieces in whose style to write",
        )
        parser.add_argument(
            "--alpha",
            type=float,
            metavar="A",
            help="with --style: how much of the style, 0 to 1 (default 0.5)",
        )
        parser.add_argument(
            "--noise-sd", type=float, metavar="SD", help="standard deviation of noise on the latent vectors"
        )
        add_overrides(
            parser,
            "a setting of the model other than trained, for this run, but none that concerns training alone; "
            "may be given again and again",
        )
        add_device(parser)
        add_processes(parser)
        parser.add_argument("--out", metavar="DIR", help="a folder for copies of the MIDI files")

    def handle(self, *, model, overrides, **options):
        """Generate, and say what was made."""
        names = ("count", "bars", "seed", "temperature", "argmax", "prime", "styles", "alpha", "noise_sd")
        document = generate_pieces(
            model_name=model,
            overrides=parse_overrides(overrides),
            progress=pieces_done(self.progress("writing"), options["bars"]),
            **{name: options[name] for name in (*names, "device", "threads", "workers", "out")},
        )
        self.finish(document, *generation_in_words(document))


def pieces_done(bar, n_bars=None):
    """A progress callback of two numbers around one of three."""
    remark = f"pieces of {counted(n_bars, 'bar')}" if n_bars else "pieces"
    return lambda done, total: bar(done, total, remark)


def generation_in_words(document: dict) -> list[str]:
    """What a run of a model made, and where."""
    pieces = document["pieces"]
    lines = [
        f"Generation {document['generation']}: {counted(len(pieces), 'piece')} by {document['model']}, "
        f"seed {document['seed']}, in {document['seconds']:.1f} s."
    ]
    if not document["is_new"]:
        lines.append("The catalog had this generation already; the files are the same.")
    if empty := sum(not piece["notes"] for piece in pieces):
        lines.append(f"{counted(empty, 'piece')} among them without any notes.")
    if same := document["identical"]:
        lines.append(f"{counted(same, 'piece')} among them note for note the same as one before.")
    return [*lines, f"The MIDI files are in {document['path']}"]
