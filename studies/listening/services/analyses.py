"""Analyses kept on disk, so that a page need not compute again what stands in the same table.

A file is named by a hash of the ratings and of the settings: it can be old, but never wrong. Whoever
withdraws takes the files of the study along, since they hold every listener's figures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from django.conf import settings

from studies.listening.models import Study

FORMAT = 1  # raised when the keys of a result change


def kept_analysis(study: Study, ratings: pd.DataFrame, how: Mapping[str, Any]) -> dict | None:
    """The result that was kept for this very table and these settings; None without one."""
    try:
        return json.loads(_path(study, ratings, how).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep_analysis(study: Study, ratings: pd.DataFrame, how: Mapping[str, Any], result: dict) -> None:
    """Keep a result, and drop those of the study whose ratings have changed since.

    A folder that cannot be written to costs time later and nothing else.
    """
    path = _path(study, ratings, how)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result, ensure_ascii=False, allow_nan=False), encoding="utf-8")
        part.replace(path)
        for other in path.parent.glob("*.json"):
            if other.name.partition("-")[0] != path.name.partition("-")[0]:
                other.unlink(missing_ok=True)
    except OSError:
        return


def forget_analyses(study: Study) -> None:
    """Delete what was kept of a study."""
    shutil.rmtree(_folder(study), ignore_errors=True)


def _folder(study: Study) -> Path:
    return settings.HOME / "analyses" / str(study.pk)


def _path(study: Study, ratings: pd.DataFrame, how: Mapping[str, Any]) -> Path:
    table = hashlib.sha256(ratings.to_csv(index=False).encode()).hexdigest()[:32]
    manner = hashlib.sha256(repr((FORMAT, sorted(how.items()))).encode()).hexdigest()[:16]
    return _folder(study) / f"{table}-{manner}.json"
