"""``manage.py open_study``: let listeners in."""

from studies.command import EarwitnessCommand
from studies.listening.selectors import get_study
from studies.listening.services import open_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.open_study`."""

    help = (
        "Let listeners into a study; its design stands from now on. Refuses while check_study "
        "finds a problem."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")

    def handle(self, *, slug, **options):
        """Open, and say where listeners go."""
        study = open_study(study=get_study(slug))
        document = {
            "study": study.slug,
            "state": study.state,
            "opened_at": study.opened_at.isoformat() if study.opened_at else None,
            "path": f"/s/{study.slug}/",
            "simulated": study.is_simulated,
        }
        where = (
            f"simulated listeners only: python manage.py simulate_listeners {study.slug} --count 50 --seed 1"
            if study.is_simulated
            else f"listeners go to /s/{study.slug}/"
        )
        self.finish(document, f"Study {study.slug} is open; {where}")
