"""Parallel starts, double submits and withdrawals: nothing doubled, nothing lost, orders still balanced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies.listening.services.concurrent_listeners import N_THREADS

ROOT = Path(__file__).parents[4]
POSTGRESQL = os.environ.get("EARWITNESS_TEST_POSTGRESQL")


def hold_what_was_promised(found):
    assert found["errors"] == []
    assert found["sessions_of_one_listener"] == 1
    assert found["started"] == 2 * N_THREADS
    assert found["pieces_heard"] == 10
    assert found["heard_spread"] <= 1
    assert len(found["ratings_that_stand"]) == 1  # all who pressed are told the one that stands
    assert found["stands_at"] == found["first_position"] + 1
    assert (found["withdrawals"], found["withdrawn_twice"]) == (1, 3)
    assert found["participants_left"] == 2 * N_THREADS - 1


def found_on(database: str | None) -> dict:
    """What came of listeners who pressed together, over a database of their own."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    if database:
        environment["DATABASE_URL"] = database
    done = subprocess.run(
        [sys.executable, "-m", "tests.studies.listening.services.concurrent_listeners"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_sqlite_on_disk_keeps_its_promises_under_parallel_listeners():
    hold_what_was_promised(found_on(None))


@pytest.mark.skipif(not POSTGRESQL, reason="EARWITNESS_TEST_POSTGRESQL names no empty PostgreSQL database")
def test_postgresql_keeps_its_promises_under_parallel_listeners():
    hold_what_was_promised(found_on(POSTGRESQL))
