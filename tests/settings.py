"""The settings under test: the product's own, over a data folder that vanishes with the run."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_home = tempfile.mkdtemp(prefix="earwitness-test-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["EARWITNESS_HOME"] = _home
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Compiled once for all runs: what numba keeps is renewed when its source changes.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "numba"))
os.environ.pop("EARWITNESS_HOSTS", None)
os.environ.pop("EARWITNESS_HTTPS", None)

from studies.settings import *  # noqa: E402, F403

# A file, as in use: threads that share a database in memory fail where they should wait for each other.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(_home, "test.sqlite3")}  # noqa: F405
    OPTIONS = DATABASES["default"]["OPTIONS"]  # noqa: F405
    OPTIONS["init_command"] = OPTIONS["init_command"].replace("synchronous=FULL", "synchronous=OFF")

# The live server knows no hashed names; throttling has tests of its own that turn it on.
STATIC_ROOT.mkdir(exist_ok=True)  # noqa: F405
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
AXES_ENABLED = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
