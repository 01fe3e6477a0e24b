"""Tables of ratings that tests are run on: small, made by a stated model, and published ones."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "ratings.json"


@pytest.fixture(scope="session")
def golden() -> dict:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def make_study():
    return study_of


def study_of(
    means: dict[str, float],
    *,
    n_participants: int = 12,
    n_pieces: int = 4,
    seed: int = 0,
    sd: tuple[float, float, float, float] = (1.0, 0.6, 0.4, 1.5),
    human: dict[str, float] | None = None,
) -> pd.DataFrame:
    """Everybody rates every piece: condition, piece, participant, their liking of the condition, error."""
    rng = np.random.default_rng(seed)
    of_participant, of_piece, of_cell, error = sd
    participants = rng.normal(0, of_participant, n_participants)
    rows = []
    for condition, mean in means.items():
        cells = rng.normal(0, of_cell, n_participants)
        for piece in range(n_pieces):
            quality = mean + rng.normal(0, of_piece)
            heard = quality + participants + cells + rng.normal(0, error, n_participants)
            for participant, value in enumerate(np.clip(np.rint(heard), 1, 10).astype(int)):
                row = {
                    "participant": f"p{participant}",
                    "piece": f"{condition} {piece}",
                    "condition": condition,
                }
                row["rating"] = int(value)
                if human is not None:
                    row["judged_human"] = int(rng.random() < human[condition])
                rows.append(row)
    return pd.DataFrame(rows)
