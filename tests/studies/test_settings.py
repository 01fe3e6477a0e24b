"""Settings as another process would see them: from the environment, with safe defaults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NAMES = [
    "DEBUG",
    "HTTPS",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE",
    "SECURE_HSTS_SECONDS",
    "ALLOWED_HOSTS",
    "SECRET_KEY",
    "CONTENT_SECURITY_POLICY",
]


def settings_under(tmp_path, **variables) -> dict:
    program = (
        "import json, studies.settings as s;"
        f"values = {{name: getattr(s, name) for name in {NAMES!r}}};"
        "values['ENGINE'] = s.DATABASES['default']['ENGINE']; values['HOME'] = str(s.HOME);"
        "print(json.dumps(values))"
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EARWITNESS")}
    inherited.pop("DATABASE_URL", None)
    environment = {**inherited, "EARWITNESS_HOME": str(tmp_path), **variables}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


def test_defaults_are_safe_and_stay_on_this_machine(tmp_path):
    values = settings_under(tmp_path)
    assert values["DEBUG"] is False
    assert values["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert values["HOME"] == str(tmp_path)
    assert values["ENGINE"] == "django.db.backends.sqlite3"
    assert values["SECRET_KEY"] == (tmp_path / "secret_key").read_text()


def test_a_public_host_turns_on_https_and_secure_cookies(tmp_path):
    values = settings_under(tmp_path, EARWITNESS_HOSTS="study.example.org")
    assert values["SESSION_COOKIE_SECURE"] is True
    assert values["CSRF_COOKIE_SECURE"] is True
    assert values["SECURE_HSTS_SECONDS"] > 0


def test_database_url_selects_postgresql(tmp_path):
    values = settings_under(tmp_path, DATABASE_URL="postgres://somebody@localhost/earwitness")
    assert values["ENGINE"] == "django.db.backends.postgresql"


@pytest.mark.parametrize("directive", ["script-src", "style-src", "connect-src"])
def test_pages_load_nothing_inline_and_nothing_from_others(tmp_path, directive):
    assert settings_under(tmp_path)["CONTENT_SECURITY_POLICY"]["DIRECTIVES"][directive] == ["'self'"]


def test_every_connection_to_sqlite_queues_writers_and_reaches_the_disk(tmp_path):
    """Write-ahead log, full synchronisation: a committed rating survives a power cut."""
    program = (
        "import django; django.setup();"
        "from django.db import connection; cursor = connection.cursor();"
        "print([cursor.execute(f'PRAGMA {name}').fetchone()[0] for name in ('journal_mode', 'synchronous')])"
    )
    environment = {
        **os.environ,
        "EARWITNESS_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "studies.settings",
    }
    environment.pop("DATABASE_URL", None)
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "['wal', 2]"
