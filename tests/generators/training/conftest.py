"""A family of the tests' own, and short intervals."""

import sys
from pathlib import Path

import pytest

from generators import families
from generators.training import evaluation, log


@pytest.fixture
def frequent_lines(monkeypatch):
    """Short intervals, so that short runs have many lines of log and evaluations."""
    monkeypatch.setattr(log, "LOG_EVERY", 5)
    monkeypatch.setattr(evaluation, "EVALUATE_EVERY", 10)


@pytest.fixture
def toy(monkeypatch):
    """The name of a family that only the tests have."""
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(Path(__file__).parent / "families")])
    yield "toy"
    sys.modules.pop("generators.families.toy", None)
