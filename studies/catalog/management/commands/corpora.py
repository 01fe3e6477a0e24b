"""``manage.py corpora``: what there is to learn from."""

from studies.catalog.naming import counted
from studies.catalog.selectors import list_corpora
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Lists `selectors.list_corpora`."""

    help = "List the corpora of the catalog: pieces, notes, splits, license, place. Changes nothing."
    writes_json = True

    def handle(self, **options):
        """One corpus a line."""
        corpora = list_corpora()
        lines = [
            f"{each['corpus']}: {counted(each['pieces'], 'piece')}, {each['notes']:,} notes "
            f"({', '.join(f'{split} {count}' for split, count in each['splits'].items())})"
            f"{', ' + each['license'] if each['license'] else ''}, in {each['path']}"
            for each in corpora
        ]
        advice = "No corpus yet; import one: python manage.py import_corpus NAME SOURCE..."
        self.finish(corpora, *(lines or [advice]))
