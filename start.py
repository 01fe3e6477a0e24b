#!/usr/bin/env python3
"""Set up and go: ``python3 start.py demo`` runs everything, ``python3 start.py test`` passes the tests.

Both make ``.venv`` beside this file if it is missing, install ``requirements.txt`` when it has changed, and
hand over: ``demo`` and any other word to ``manage.py``, ``test`` to pytest. Further arguments are passed on.
Nothing but Python 3.11 is needed; FluidSynth and Chromium are used where they are installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PYTHON_VERSION = (3, 11)
ENVIRONMENT = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.txt"


def main(arguments: list[str]) -> None:
    """Prepare the environment, then become the command that was asked for."""
    if not arguments or arguments[0] in ("-h", "--help"):
        raise SystemExit(__doc__)
    use_the_right_python()
    python = prepared_python()
    word, *rest = arguments
    command = ["-m", "pytest", *(rest or ["-n", "auto"])] if word == "test" else ["manage.py", word, *rest]
    os.chdir(ROOT)
    os.execv(python, [str(python), *command])  # noqa: S606 - the arguments are the person's own


def use_the_right_python() -> None:
    """Go on under Python 3.11, or say that it is missing."""
    if sys.version_info[:2] == PYTHON_VERSION:
        return
    wanted = "python{}.{}".format(*PYTHON_VERSION)
    found = shutil.which(wanted)
    if found is None:
        has = "{}.{}".format(*sys.version_info[:2])
        raise SystemExit(f"Earwitness needs {wanted}; this is Python {has} and no {wanted} is on the path.")
    os.execv(found, [found, *sys.argv])  # noqa: S606


def prepared_python() -> Path:
    """The environment's Python, with exactly the pinned packages installed."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"Setting up {ENVIRONMENT.name}: about two minutes and 2 GB, once.", flush=True)
    steps = [
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(REQUIREMENTS),
        ],
    ]
    for step in steps:
        if subprocess.run(step).returncode:  # noqa: S603
            raise SystemExit(
                f"Could not run: {' '.join(step)}\n"
                "What it said stands above. Where venv itself is missing (Debian splits it off), "
                "install the package python3-venv; otherwise run the same command again."
            )
    stamp.write_text(wanted)
    return python


if __name__ == "__main__":
    main(sys.argv[1:])
