"""Static files: those that installed packages bring, and how all of them are named and compressed."""

from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.files.storage import FileSystemStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class CollectedFiles(CompressedManifestStaticFilesStorage):
    """Static files under names with a hash of their content, compressed.

    Scripts here are modules that import one another: their imports must carry the hashed names too.
    """

    support_js_module_import_aggregation = True


class PackagedFilesFinder(BaseFinder):
    """Finds ``plotly/plotly.min.js`` in the installed plotly, so that no copy of it lives here."""

    def __init__(self, app_names=None, *args, **kwargs):
        self.files = {"plotly/plotly.min.js": Path(settings.PLOTLY_FOLDER) / "plotly.min.js"}

    def check(self, **kwargs):
        """Nothing to configure, so nothing to check."""
        return []

    def find(self, path, find_all=False, **kwargs):
        """The absolute path of a packaged file, or nothing."""
        found = str(self.files[path]) if path in self.files else None
        return ([found] if found else []) if find_all else (found or [])

    def list(self, ignore_patterns):
        """Yield ``(relative path, storage)`` of each file, under the name it is served by."""
        for path, source in self.files.items():
            if matches_patterns(source.name, ignore_patterns):
                continue
            storage = FileSystemStorage(location=source.parent)
            storage.prefix = str(Path(path).parent)
            yield source.name, storage
