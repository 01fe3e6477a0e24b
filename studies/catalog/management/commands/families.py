"""``manage.py families``: what can learn."""

from generators.registry import describe_families
from studies.command import EarwitnessCommand


class Command(EarwitnessCommand):
    """Lists `generators.registry.describe_families`."""

    help = "List the model families: paper, abilities, and each preset with its parameters. Changes nothing."
    writes_json = True

    def handle(self, **options):
        """A paragraph per family."""
        families = describe_families()
        lines = []
        for each in families:
            presets = ", ".join(
                f"{name} {facts['parameters']:,} parameters" for name, facts in each["presets"].items()
            )
            lines += [
                f"{each['name']}: {each['title']} ({each['citation']})",
                f"  can: {', '.join(each['abilities'])}",
                f"  presets: {presets}",
            ]
        self.finish(families, *lines)
