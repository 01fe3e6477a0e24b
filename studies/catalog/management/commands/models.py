"""``manage.py models``: what has learned."""

from studies.catalog.selectors import list_models, unlisted_in_words, unlisted_models
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Lists `selectors.list_models`."""

    help = "List the trained models: family, corpus, updates, losses, size. Changes nothing."
    writes_json = True

    def handle(self, **options):
        """One model a line."""
        models = list_models()
        lines = [
            f"{each['model']}: {each['family']} ({each['preset']}) on {each['corpus']}, "
            f"{'' if each['finished'] else 'unfinished (continue with train --resume), '}"
            f"{each['updates']:,} updates in {each['seconds']:.0f} s on {each['device']}, "
            f"loss {_number(each['losses']['train'])} train, "
            f"{_number(each['losses']['validation'])} validation, "
            f"{each['parameters']:,} parameters, {_megabytes(each['bytes'])}, in {each['path']}"
            for each in models
        ]
        advice = "No model yet; train one: python manage.py train FAMILY --corpus NAME"
        unlisted = unlisted_models()
        for each in unlisted:
            self.stderr.write(unlisted_in_words(each))
        self.finish(models, *(lines or ([] if unlisted else [advice])))


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _megabytes(size: int | None) -> str:
    return "its folder is gone" if size is None else f"{size / 1e6:.1f} MB"
