"""``manage.py simulate_listeners``: listeners made by a stated model."""

from studies.command import EarwitnessCommand
from studies.listening.selectors import get_study
from studies.listening.services import simulate_listeners


class Command(EarwitnessCommand):
    """Parses arguments around `services.simulate_listeners`."""

    help = (
        "Let listeners made by a stated model take part in a study, marked as simulated wherever they "
        "appear. "
        "A study that no person has entered becomes a simulated one for good: people are refused from then "
        "on. A study with people is left alone. The model's numbers are kept with the study."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG, how many, by which seed."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")
        parser.add_argument("--count", type=int, required=True, metavar="N", help="how many listeners")
        parser.add_argument(
            "--seed", type=int, default=0, metavar="S", help="of all that they answer (default 0)"
        )

    def handle(self, *, slug, count, seed, **options):
        """Simulate, and say what came of it."""
        study = get_study(slug)
        was_simulated = study.is_simulated
        result = simulate_listeners(study=study, count=count, seed=seed, progress=self.progress("listening"))
        lines = [
            f"{result['listeners']} simulated listeners (seed {seed}) in {study.slug}: "
            f"{result['finished']} finished, {result['left']} left half-way.",
        ]
        if not was_simulated:
            lines.append(f"From now on {study.slug} is a simulated study: people are refused.")
        self.finish(result, *lines)
