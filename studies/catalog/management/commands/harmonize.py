"""``manage.py harmonize``: a model writes harmony to a melody."""

from studies.catalog.arguments import add_device, add_overrides, add_processes, parse_overrides
from studies.catalog.management.commands.generate import generation_in_words, pieces_done
from studies.catalog.services import harmonize_melody
from studies.command import EarwitnessCommand

SETTINGS = (
    "Of deephear: harmony_mask, what the harmony may not touch: article (the melody and two semitones around "
    "it) or code (all above the melody too), as the article and as its program had it; harmony_restarts, how "
    "many random beginnings compete (64); harmony_steps, how often each is improved (500); harmony_rate, how "
    "far each step goes (0.01); harmony_threshold, how strong a note must be to sound (0.4); harmony_choice, "
    "best or first of the beginnings; harmony_hop, sixteenths from one window of a long melody to the next "
    "(16; 64 sets them side by side); harmony_agreement, how much windows that overlap shall agree (1.0)."
)


class Command(EarwitnessCommand):
    """Parses arguments around `services.harmonize_melody`."""

    help = (
        "Let a model write harmony to a melody (of several tracks the one named melody, else the highest if "
        "it has one voice, else the top line): writes the melody, note for note, with its harmony as MIDI "
        "into pieces/generations/ of the data folder, copies it to --out, and adds it to the catalog. The "
        "same model, melody and seed give the same bytes."
    )
    writes_json = True

    def add_arguments(self, parser):
        """MODEL MELODY, and how often."""
        parser.add_argument("model", metavar="MODEL", help="one whose family can harmonize; see `families`")
        parser.add_argument("melody", metavar="MELODY", help="a file of any readable format")
        parser.add_argument(
            "--count", type=int, default=1, metavar="N", help="how many harmonies (default 1)"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness (default 0)")
        add_overrides(
            parser,
            "a setting of the model other than trained, for this run, but none that concerns training alone; "
            f"may be given again. {SETTINGS}",
        )
        add_device(parser)
        add_processes(parser)
        parser.add_argument("--out", metavar="DIR", help="a folder for copies of the MIDI files")

    def handle(self, *, model, melody, overrides, **options):
        """Harmonize, and say what was made."""
        document = harmonize_melody(
            model_name=model,
            melody=melody,
            overrides=parse_overrides(overrides),
            progress=pieces_done(self.progress("writing")),
            **{name: options[name] for name in ("count", "seed", "device", "threads", "workers", "out")},
        )
        self.finish(document, *generation_in_words(document))
