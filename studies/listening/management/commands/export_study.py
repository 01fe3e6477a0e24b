"""``manage.py export_study``: a study as files."""

from pathlib import Path

from studies.command import EarwitnessCommand
from studies.listening.management.commands.unblind_study import who_runs_this
from studies.listening.selectors import get_study
from studies.listening.services import export_study


class Command(EarwitnessCommand):
    """Parses arguments around `services.export_study`."""

    help = (
        "Write a study to a folder: ratings (long and wide), trials, participants, events, codebook, "
        "specification, study.json, and the key once unblinded; that it was read is written down. Files of "
        "the same names are replaced. Nobody is named in any of them."
    )
    writes_json = True

    def add_arguments(self, parser):
        """SLUG and the folder."""
        parser.add_argument("slug", metavar="SLUG", help="the study, by its slug")
        parser.add_argument(
            "--out", metavar="DIR", type=Path, required=True, help="the folder; made if missing"
        )

    def handle(self, *, slug, out, **options):
        """Export, and list the files."""
        study = get_study(slug)
        result = export_study(study=study, out=out, who=who_runs_this())
        lines = [
            f"  {name}" + (f": {facts['rows']} rows" if facts["rows"] is not None else "")
            for name, facts in result["files"].items()
        ]
        withheld = (
            "" if not result["blind"] else " Blind: letters and labels; the key comes with unblind_study."
        )
        self.finish(
            result,
            f"Study {study.slug} was written to {result['path']}:",
            *lines,
            *([withheld.strip()] if withheld else []),
        )
