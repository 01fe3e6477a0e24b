"""``manage.py check_study``: is a study fit to be heard?"""

from django.core.management.base import CommandError

from studies.command import EarwitnessCommand
from studies.listening.selectors import get_study
from studies.listening.services import check_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.check_study`."""

    help = (
        "Lint the design of a study, measure every sound, and play a listener through its pages looking for "
        "anything that tells real from generated. Changes nothing. Exits 1 if there is a problem, since "
        "open_study would refuse; warnings do not count."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")

    def handle(self, *, slug, **options):
        """Check, and list what was found."""
        study = get_study(slug)
        check = check_study(study=study)
        document = {
            "study": study.slug,
            "fit": check.is_fit,
            "problems": check.problems,
            "warnings": check.warnings,
            "facts": check.facts,
        }
        lines = [f"problem: {problem}" for problem in check.problems]
        lines += [f"warning: {warning}" for warning in check.warnings]
        audit = check.facts.get("audit")
        if audit:
            lines.append(
                f"Audit: {audit['requests']} requests of one listener, {audit['bytes']:,} bytes, "
                f"{audit['secrets']} strings looked for, {audit['leaks']} found."
            )
        if check.is_fit:
            lines.append(
                f"Study {study.slug} is fit to be heard. Next: python manage.py open_study {study.slug}"
            )
        self.finish(document, *lines)
        if not check.is_fit:
            n_problems = len(check.problems)
            raise CommandError(
                f"the study {study.slug!r} has {n_problems} problem{'s' if n_problems > 1 else ''}; it "
                "cannot open"
            )
