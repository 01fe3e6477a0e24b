"""``manage.py import_corpus``: scores into a named corpus."""

from studies.catalog.naming import counted, printable
from studies.catalog.services import import_corpus
from studies.command import EarwitnessCommand

SHOWN = 20  # refusals and duplicates in words; --json has them all


class Command(EarwitnessCommand):
    """Parses arguments around `services.import_corpus`."""

    help = (
        "Read scores into a corpus: copies each as MIDI into corpora/NAME/ of the data folder, splits them "
        "by piece into train, validation and test, and lists them in the catalog. Files with the same notes "
        "count once; what cannot be read is left out, with the reason. Run again under the same NAME, it "
        "adds what is new: pieces that are there keep their split, and the corpus gets another hash. "
        "Sources are only read."
    )
    writes_json = True

    def add_arguments(self, parser):
        """NAME SOURCE... and what is said about them."""
        parser.add_argument("name", metavar="NAME", help="letters, digits, hyphens and underscores")
        parser.add_argument(
            "sources",
            metavar="SOURCE",
            nargs="+",
            help="a file, a folder with all its sub-folders, or music21:COMPOSER (music21:bach/bwv2*)",
        )
        parser.add_argument(
            "--license", default="", metavar="TEXT", help="what the source says about its use"
        )
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the split (default 0)")

    def handle(self, *, name, sources, license, seed, **options):
        """Import, and say what was kept and what was not."""
        document = import_corpus(
            name=name, sources=sources, license=license, seed=seed, progress=self.progress("reading")
        )
        splits = ", ".join(f"{split} {count}" for split, count in document["splits"].items())
        counts = {
            "new": document["new"],
            "there already": document["known"],
            "equal to another": len(document["duplicates"]),
            "refused": len(document["rejected"]),
        }
        found = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        lines = [
            f"Corpus {name}: {counted(document['pieces'], 'piece')}, {document['notes']:,} notes ({splits})."
        ]
        lines.append(f"Found in the files: {counted(document['found'], 'piece')}, {found}.")
        lines += passed_over(document)
        if document["changed"]:
            lines.append(
                f"It had other pieces before: {document['new']:,} were added. Models and generations keep "
                "the hash of the corpus they came from; train again to learn from the new pieces."
            )
        lines += listing(
            "duplicate left out", [f"{file} (as {kept})" for file, kept in document["duplicates"]]
        )
        lines += listing(
            "file refused", [f"{each['file']}: {each['reason']}" for each in document["rejected"]]
        )
        self.finish(document, *lines, f"It stands in {document['path']}")


def passed_over(document: dict) -> list[str]:
    """How many files of other kinds stand in the folders, if any."""
    if not document["ignored"]:
        return []
    was = "was" if document["ignored"] == 1 else "were"
    return [f"{counted(document['ignored'], 'file')} of other kinds {was} passed over."]


def listing(what: str, items: list[str]) -> list[str]:
    """A count in words and the first of the items."""
    if not items:
        return []
    head = f"{len(items):,} {what}:" if len(items) == 1 else f"{len(items):,} {_plural(what)}:"
    more = [f"  and {len(items) - SHOWN:,} more; --json lists all"] if len(items) > SHOWN else []
    return [head, *(f"  {printable(item)}" for item in items[:SHOWN]), *more]


def _plural(what: str) -> str:
    first, _, rest = what.partition(" ")
    return f"{first}s {rest}"
