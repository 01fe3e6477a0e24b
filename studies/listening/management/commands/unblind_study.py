"""``manage.py unblind_study``: read the key."""

import getpass

from studies.command import EarwitnessCommand
from studies.listening.selectors import get_study
from studies.listening.services import unblind_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.unblind_study`."""

    help = (
        "Show which condition is which, for good: who did it and when is written down and goes into every "
        "export. Only for a closed study. No answer comes in after it."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG, and who reads the key."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")
        parser.add_argument("--who", metavar="NAME", help="who unblinds; by default the user of this machine")

    def handle(self, *, slug, who, **options):
        """Unblind, and show the key."""
        study = unblind_study(study=get_study(slug), who=who if who is not None else who_runs_this())
        conditions = list(study.conditions.all())
        document = {
            "study": study.slug,
            "unblinded_at": study.unblinded_at.isoformat(),
            "unblinded_by": study.unblinded_by,
            "key": [
                {"letter": condition.letter, "condition": condition.name, "role": condition.role}
                for condition in conditions
            ],
        }
        self.finish(
            document,
            f"Study {study.slug} was unblinded by {study.unblinded_by} at "
            f"{study.unblinded_at:%Y-%m-%d %H:%M} UTC.",
            *(f"  {condition.letter}  {condition.name} ({condition.role})" for condition in conditions),
        )


def who_runs_this() -> str:
    """The name of the user who runs the command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "unknown user of this machine"
