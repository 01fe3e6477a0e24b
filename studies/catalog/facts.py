"""What the catalog keeps of a score, beside its file: hash, counts, meter, key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from music.score import Score


def facts_of(score: Score) -> dict[str, Any]:
    """The columns of a Piece that follow from its notes."""
    from music.corpus import notes_sha256

    meter = score.main_meter
    return {
        "sha256": notes_sha256(score),
        "n_notes": score.n_notes,
        "n_bars": score.n_bars,
        "seconds": score.duration_seconds,
        "meter": f"{meter.numerator}/{meter.denominator}",
        "key": score.keys[0].name if score.keys else "",
    }


def json_sha256(document: Mapping[str, Any]) -> str:
    """A hash of a JSON document that does not depend on the order of its keys."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
