"""``manage.py create_study``: a study from its file."""

from pathlib import Path

from django.contrib.auth import get_user_model

from studies.command import EarwitnessCommand
from studies.listening.errors import ListeningError, SpecificationError
from studies.listening.models import Item
from studies.listening.services import create_study
from studies.listening.specification import MAX_CHARACTERS


class Command(EarwitnessCommand):
    """Parses arguments around `services.create_study`."""

    help = (
        "Make a draft of a study from its YAML file: draws the pieces by seed, renders their excerpts, deals "
        "letters to conditions. The same file again changes nothing; a changed file replaces a draft that "
        "nobody has heard. Listeners get in only after open_study."
    )
    writes_json = True

    def add_arguments(self, parser):
        """FILE.yaml, and whose study it is."""
        parser.add_argument("file", metavar="FILE.yaml", type=Path, help="the study file")
        parser.add_argument("--owner", metavar="USERNAME", help="the researcher whose study it is")
        parser.add_argument(
            "--simulated", action="store_true", help="for simulated listeners only; people are refused"
        )

    def handle(self, *, file, owner, simulated, **options):
        """Read the file, create the study, and say what comes next."""
        study = create_study(
            text=read_study_file(file),
            owner=user_named(owner) if owner else None,
            is_simulated=simulated,
            progress=self.progress("rendering"),
        )
        uses = {use: study.items.filter(use=use).count() for use in Item.Use.values}
        document = {
            "study": study.slug,
            "title": study.title,
            "state": study.state,
            "simulated": study.is_simulated,
            "specification_sha256": study.specification_sha256,
            "conditions": study.conditions.count(),
            "items": uses,
            "path": f"/s/{study.slug}/",
        }
        self.finish(
            document,
            f"Study {study.slug} ({study.state}): {uses['main']} pieces in {document['conditions']} "
            "conditions, "
            f"{uses['practice']} for practice, {uses['attention']} attention checks"
            + (", for simulated listeners only." if study.is_simulated else "."),
            f"Specification SHA-256 {study.specification_sha256}",
            f"Next: python manage.py check_study {study.slug}",
        )


def read_study_file(path: Path) -> str:
    """The text of a study file.

    Raises
    ------
    SpecificationError
        If it cannot be read, is too large, or is no UTF-8 text.
    """
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(4 * MAX_CHARACTERS + 1)
    except OSError as error:
        raise SpecificationError(f"cannot read {path}: {error.strerror or error}; name a YAML file") from None
    if len(data) > 4 * MAX_CHARACTERS:
        raise SpecificationError(
            f"{path.name} is larger than a study file: at most {MAX_CHARACTERS:,} characters"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecificationError(
            f"{path.name} is no UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None


def user_named(username: str):
    """The researcher with this name.

    Raises
    ------
    ListeningError
        If there is none.
    """
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise ListeningError(
            f"no researcher named {username!r}; make one: python manage.py createsuperuser --username "
            f"{username}"
        )
    return user
