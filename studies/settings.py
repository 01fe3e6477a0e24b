"""Settings, from the environment, once. Every default is safe for a first study on one machine.

==========================  ==========================  ======================================================
variable                    default                     meaning
==========================  ==========================  ======================================================
EARWITNESS_HOME             ``var/`` beside manage.py   the data folder: database, media, corpora, models, key
EARWITNESS_DEBUG            off                         Django's debug pages; never on for a study
EARWITNESS_HOSTS            localhost only              host names that the site answers to, with commas
EARWITNESS_HTTPS            on unless only localhost    cookies over HTTPS alone, redirect to HTTPS, HSTS
EARWITNESS_PROXY            off                         trust X-Forwarded-Proto of the proxy in front
EARWITNESS_SECRET_KEY       made on the first run       signing key; else kept in the data folder
EARWITNESS_SOUNDFONT        found, else a small one     the soundfont that FluidSynth plays
EARWITNESS_MOST_STARTS      600                         listeners who may begin one study within a minute
DATABASE_URL                SQLite in the data folder   ``postgres://user:password@host/name`` for PostgreSQL
==========================  ==========================  ======================================================
"""

import os
from importlib.util import find_spec
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.contrib.messages import constants as message_levels

from studies.secret_key import made_data_folder, read_or_make_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

HOME = Path(env.str("EARWITNESS_HOME", default=str(BASE_DIR / "var"))).expanduser().resolve()
made_data_folder(HOME)
os.environ.setdefault("NUMBA_CACHE_DIR", str(HOME / "compiled"))  # numba reads it when it is first needed
CORPORA_ROOT = HOME / "corpora"
MODELS_ROOT = HOME / "models"
PIECES_ROOT = HOME / "pieces"
STIMULI_ROOT = HOME / "stimuli"
REPORTS_ROOT = HOME / "reports"
SOUNDFONT = env.str("EARWITNESS_SOUNDFONT", default="") or None

DEBUG = env.bool("EARWITNESS_DEBUG", default=False)
SECRET_KEY = env.str("EARWITNESS_SECRET_KEY", default="") or read_or_make_secret_key(HOME)

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("EARWITNESS_HOSTS", default=LOOPBACK)
HTTPS = env.bool("EARWITNESS_HTTPS", default=not set(ALLOWED_HOSTS) <= set(LOOPBACK))

INSTALLED_APPS = [
    "studies.catalog",
    "studies.listening",
    "studies.dashboards",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "studies.urls"
WSGI_APPLICATION = "studies.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# SQLite as a lab would run its first study: write-ahead log, writers queue instead of failing.
# IMMEDIATE takes the write lock at the start of each atomic block: keep those short, never render inside one.
# A rating that the page calls saved must outlive a power cut, so every commit reaches the disk (FULL).
# Deleted rows are overwritten: who withdraws leaves nothing behind in free pages.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{HOME / 'earwitness.sqlite3'}")}
DATABASES["default"]["CONN_MAX_AGE"] = 60
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA mmap_size=134217728;"
            "PRAGMA journal_size_limit=27103364;PRAGMA cache_size=2000;PRAGMA secure_delete=ON;"
        ),
    }

# Signing in: Argon2, and a lock-out after repeated failures.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_VERBOSE = False
# Nobody's business who signs in from where: no log of sign-ins, and failures count by a hash of the address.
AXES_DISABLE_ACCESS_LOG = True
AXES_CLIENT_IP_CALLABLE = "studies.sign_in_addresses.veiled_address"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboards:studies"
LOGOUT_REDIRECT_URL = "login"

# What a browser is told.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_AGE = None  # it ends with the browser: a listener is not to be known again
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if env.bool("EARWITNESS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}

# Each start reserves places for an hour, so a script must not start without end; a class that begins together
# is far below this.
MOST_STARTS_PER_MINUTE = env.int("EARWITNESS_MOST_STARTS", default=600)

# Uploads: small enough that nobody fills the disk; music.limits bounds what is inside a file.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
DATA_UPLOAD_MAX_NUMBER_FILES = 50
UPLOAD_MAX_BYTES = 20 * 1024 * 1024

# Static files from their installed packages; plotly.js comes with plotly.
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
PLOTLY_FOLDER = Path(find_spec("plotly").origin).parent / "package_data"
STATICFILES_DIRS = [BASE_DIR / "studies" / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "studies.packages.PackagedFilesFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "studies.packages.CollectedFiles"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

MESSAGE_TAGS = {message_levels.ERROR: "error"}

# Errors reach the console even with DEBUG off; nothing else does.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
        "studies": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "axes": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
