"""What a listener was told is saved outlives the server, and what was not yet saved waits for it.

The server is the one that a lab runs: gunicorn, the product's own settings, static files collected.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HOME = "/s/short-pieces/"
TONES = {2: "Two", 3: "Three", 4: "Four"}
PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
from tests.studies.listening.audible_study import make_study
make_study(trials=2, repeats=0, practice=0, attention_checks=0, seconds=2.0)
"""


class Server:
    """Gunicorn on a data folder of its own, that can be killed without warning and started again."""

    def __init__(self, folder):
        self.database = folder / "earwitness.sqlite3"
        self.environment = os.environ | {
            "EARWITNESS_HOME": str(folder),
            "DJANGO_SETTINGS_MODULE": "studies.settings",
            "PYTHONPATH": str(ROOT),
        }
        self.environment.pop("DATABASE_URL", None)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        subprocess.run(
            [sys.executable, "-c", PREPARE], env=self.environment, cwd=ROOT, check=True, timeout=120
        )

    def start(self):
        command = [sys.executable, "-m", "gunicorn", "studies.wsgi", "--bind", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*command, "--threads", "4", "--log-level", "warning"],
            env=self.environment,
            cwd=ROOT,
            start_new_session=True,
        )
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url + HOME, timeout=5):
                return
            time.sleep(0.1)
        raise TimeoutError("the server did not come up in a minute")

    def kill(self):
        """Every process of it at once, by SIGKILL."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, query):
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def server(chromium, tmp_path):
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


def hear_and_choose(page, value):
    page.locator("[data-sound]").click()
    expect(page.get_by_label(str(value), exact=True)).to_be_enabled(timeout=60_000)
    page.get_by_label(str(value), exact=True).check()


def test_a_killed_server_costs_no_answer(server, new_page):
    page = new_page()
    page.goto(server.url + HOME)
    page.get_by_role("button", name="I agree").click()
    expect(page.locator("h1")).to_have_text("Sound check")
    ((seed,),) = server.ask("SELECT seed FROM listening_session")
    page.get_by_label(TONES[2 + seed % 3], exact=True).check()
    page.get_by_label("Separate loudspeakers").check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("h1")).to_have_text("About you")
    page.get_by_role("button", name="Next").click()

    expect(page.locator("h1")).to_have_text("Piece 1 of 2")
    hear_and_choose(page, 8)
    server.kill()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Kept on this device, trying again.")
    server.start()
    expect(page.locator("h1")).to_have_text("Piece 2 of 2", timeout=60_000)

    hear_and_choose(page, 3)
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".saved")).to_have_text("Saved")
    server.kill()
    assert server.ask("SELECT value FROM listening_rating ORDER BY id") == [(8,), (3,)]
    server.start()
    page.goto(server.url + HOME)
    expect(page.locator("h1")).to_have_text("Second hearing 1 of 2")
