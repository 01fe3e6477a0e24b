"""``manage.py close_study``: take no more listeners."""

from studies.command import EarwitnessCommand
from studies.listening.consent import GRACE_MINUTES
from studies.listening.selectors import get_study, study_progress
from studies.listening.services import close_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.close_study`."""

    help = (
        f"Take no more listeners into a study, for good. Who is in the middle has {GRACE_MINUTES} minutes to "
        "finish. Results can be read from then on, with letters for conditions until unblind_study."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")

    def handle(self, *, slug, **options):
        """Close, and say what there is."""
        study = close_study(study=get_study(slug))
        progress = study_progress(study)
        document = {
            "study": study.slug,
            "state": study.state,
            "closed_at": study.closed_at.isoformat() if study.closed_at else None,
            "started": progress["started"],
            "finished": progress["finished"],
            "in_progress": progress["in_progress"],
            "ratings": progress["n_ratings"],
        }
        lines = [
            f"Study {study.slug} is closed: {progress['finished']} of {progress['started']} listeners "
            "finished, "
            f"{progress['n_ratings']} ratings.",
        ]
        if progress["in_progress"]:
            lines.append(
                f"{progress['in_progress']} still under way: they have {GRACE_MINUTES} minutes from the "
                "closing."
            )
        self.finish(document, *lines, f"Next: python manage.py unblind_study {study.slug}")
