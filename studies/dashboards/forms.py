"""What researchers may ask of a list."""

from django import forms

from studies.catalog.models import Origin
from studies.dashboards.selectors.catalog import CHECKS, EVERYTHING, MUSIC


class LibraryFilter(forms.Form):
    """Pieces by origin and by a part of a name. A value that makes no sense counts as none.

    What was made only for a study, attention checks and scrambled anchors, is shown when it is asked for.
    """

    origin = forms.ChoiceField(
        choices=[
            (MUSIC, "corpora, models and imports"),
            (Origin.CORPUS, "a corpus"),
            (Origin.GENERATION, "a model"),
            (Origin.IMPORT, "an import"),
            (Origin.SCRAMBLE, "a scrambled piece"),
            (CHECKS, "an attention check"),
            (EVERYTHING, "anywhere"),
        ],
        required=False,
        label="From",
    )
    text = forms.CharField(required=False, max_length=100, label="Name contains")

    def wanted(self) -> dict[str, str]:
        """The filters that hold, as keywords of `selectors.catalog.pieces`."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}
