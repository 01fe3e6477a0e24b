"""``manage.py gradients``: how every layer of a model learned."""

from studies.catalog.services import draw_gradients
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Parses arguments around `services.draw_gradients`."""

    help = (
        "Draw the gradients that a training recorded: a page with a sphere for each of a few entries of "
        "every parameter, and a slider over the updates. Writes the page and nothing else."
    )
    writes_json = True

    def add_arguments(self, parser):
        """MODEL, and where the page goes."""
        parser.add_argument("model", metavar="MODEL", help="one of those that `models` lists")
        parser.add_argument(
            "--html", required=True, metavar="FILE", help="write the page here; it needs nothing else"
        )

    def handle(self, *, model, html, **options):
        """Draw, and say what."""
        document = draw_gradients(model_name=model, html=html)
        self.finish(
            document,
            f"{document['entries']:,} entries of {document['tensors']} tensors over {document['records']} "
            f"records, updates {document['first_update']:,} to {document['last_update']:,}.",
            f"Page: {document['file']}",
        )
