"""The catalog in Django's admin: everything that the commands made, to be looked at."""

from django.contrib import admin

from studies.catalog.models import Corpus, Generation, OriginalityReport, Piece, Stimulus, TrainedModel
from studies.catalog.selectors import ORIGINS
from studies.read_only import ReadOnlyAdmin


@admin.register(Corpus)
class CorpusAdmin(ReadOnlyAdmin):
    """Corpora."""

    list_display = ["name", "n_pieces", "n_notes", "license", "created_at"]
    search_fields = ["name", "license"]


@admin.register(TrainedModel)
class TrainedModelAdmin(ReadOnlyAdmin):
    """Trained models."""

    list_display = [
        "name",
        "family",
        "preset",
        "corpus",
        "updates",
        "train_loss",
        "validation_loss",
        "updated_at",
    ]
    list_filter = ["family", "preset", "corpus"]
    list_select_related = ["corpus"]
    search_fields = ["name", "family"]


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    """Runs of `generate`."""

    list_display = ["name", "model", "seed", "seconds", "created_at"]
    list_filter = ["model"]
    list_select_related = ["model"]
    search_fields = ["name"]


@admin.register(Piece)
class PieceAdmin(ReadOnlyAdmin):
    """Pieces, by their real names: which study plays them, and under which label, is not said here."""

    list_display = ["name", "origin", "origin_name", "split", "n_notes", "n_bars", "seconds", "meter", "key"]
    list_filter = ["origin", "split", "corpus"]
    list_select_related = list(ORIGINS)
    search_fields = ["name", "collection", "corpus__name", "generation__name"]


@admin.register(Stimulus)
class StimulusAdmin(ReadOnlyAdmin):
    """Rendered excerpts."""

    list_display = [
        "piece",
        "start_seconds",
        "seconds",
        "engine",
        "loudness_lufs",
        "true_peak_dbtp",
        "created_at",
    ]
    list_filter = ["engine"]
    list_select_related = [f"piece__{origin}" for origin in ORIGINS]
    search_fields = ["piece__name", "mp3_sha256"]


@admin.register(OriginalityReport)
class OriginalityReportAdmin(ReadOnlyAdmin):
    """Stored results of `plagiarism`; the studio draws them."""

    list_display = ["subject", "corpus", "generation", "created_at"]
    list_filter = ["corpus"]
    list_select_related = ["corpus", "generation"]
    search_fields = ["subject"]
    exclude = ["result"]

    def get_queryset(self, request):
        """Without the long results."""
        return super().get_queryset(request).defer("result")
