"""A data folder that is of no use: one line that names it, whatever the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from studies.command import EarwitnessCommand

ROOT = Path(__file__).parent.parent.parent
IS_ROOT = os.geteuid() == 0
#: A root without the right to pass over permissions is held to them like everybody.
AS_ANYBODY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if IS_ROOT else []

needs_permissions = pytest.mark.skipif(
    IS_ROOT and shutil.which("setpriv") is None, reason="root passes over permissions, and setpriv is missing"
)


def said_by(folder, *arguments) -> str:
    """What a command that must fail says."""
    done = subprocess.run(
        [
            *(AS_ANYBODY if shutil.which("setpriv") else []),
            sys.executable,
            str(ROOT / "manage.py"),
            *arguments,
        ],
        env={"PATH": os.environ["PATH"], "EARWITNESS_HOME": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    line = said_by(tmp_path / "file" / "home", "corpora")
    assert f"the data folder {tmp_path / 'file' / 'home'} cannot be written to (Not a directory)" in line
    assert "name another in EARWITNESS_HOME" in line


@needs_permissions
@pytest.mark.parametrize("command", ["models", "migrate"])
def test_a_folder_that_cannot_be_written_to_is_named(command, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir(mode=0o555)
    line = said_by(folder, command)
    assert f"the data folder {folder} cannot be written to (Permission denied)" in line
    assert "EARWITNESS_HOME" in line


def test_a_key_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "secret_key").mkdir()
    line = said_by(tmp_path, "models")
    assert f"the data folder {tmp_path} cannot be written to (secret_key: Is a directory)" in line


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("attempt to write a readonly database"),
        OperationalError("unable to open database file"),
        OperationalError("database or disk is full"),
    ],
)
def test_a_database_that_the_disk_refuses_is_one_line(error, settings):
    with pytest.raises(CommandError) as raised:
        Refused(error).execute(no_color=False, force_color=False, skip_checks=True)
    assert str(raised.value).startswith(f"the data folder {settings.HOME} cannot be written to ({error})")


def test_a_file_that_the_system_refuses_is_named(settings, tmp_path):
    inside = PermissionError(13, "Permission denied", str(settings.HOME / "locks"))
    outside = PermissionError(13, "Permission denied", str(tmp_path / "x"))
    with pytest.raises(CommandError, match="EARWITNESS_HOME") as raised:
        Refused(inside).execute(no_color=False, force_color=False, skip_checks=True)
    assert f"({settings.HOME / 'locks'}: Permission denied)" in str(raised.value)
    with pytest.raises(CommandError) as raised:
        Refused(outside).execute(no_color=False, force_color=False, skip_checks=True)
    assert str(raised.value) == f"{tmp_path / 'x'}: Permission denied"


def test_any_other_error_of_the_database_is_a_defect_and_keeps_its_traceback():
    with pytest.raises(OperationalError, match="near"):
        Refused(OperationalError('near "x": syntax error')).execute(
            no_color=False, force_color=False, skip_checks=True
        )


class Refused(EarwitnessCommand):
    """A command that meets an error."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def handle(self, **options):
        """Meet it."""
        raise self.error
