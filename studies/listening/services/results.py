"""The statistics of a study, at the time and with the names that its blindness allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from studies.listening.errors import ListeningError
from studies.listening.models import Study
from studies.listening.selectors import ratings_table, study_progress
from studies.listening.services.lives import log_key_access

if TYPE_CHECKING:
    import pandas as pd


def analyse_study(
    *,
    study: Study,
    reference: str | None = None,
    margin: float | None = None,
    exclude: Sequence[str] | None = None,
    seed: int = 0,
    is_interim: bool = False,
    who: str = "",
    scores: pd.DataFrame | None = None,
    comparisons: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict]:
    """The ratings of a study and what `analysis.ratings.report.analyse` says of them.

    What the study declared (reference, margin, exclusions) holds unless other values are given. While the
    study is blind, conditions are letters, and no condition is named as the reference: it would be the first
    letter to be known.

    Parameters
    ----------
    is_interim : bool
        Look into an open study of people all the same. The look is written down and named in the result, for
        whoever stops when the result pleases finds differences where there are none.
    who : str
        Who looks, for the record.
    scores, comparisons : pd.DataFrame, optional
        Copying per piece and votes between pairs, as `analysis.ratings.report.analyse` takes them.

    Returns
    -------
    ratings, result : pd.DataFrame, dict
        The table that was analysed, and the numbers with a key ``study`` in addition.

    Raises
    ------
    ListeningError
        If the study is open, or has no ratings.
    RatingsError
        If the reference is no condition of it, or nothing is left after the exclusions.
    """
    from analysis.ratings.report import analyse

    is_running = study.state == Study.State.OPEN and not study.is_simulated
    if is_running and not is_interim:
        progress = study_progress(study)
        raise ListeningError(
            f"the study {study.slug!r} is still open: so far {progress['started']} listeners, "
            f"{progress['finished']} of them finished, {progress['n_ratings']} ratings. Results are read "
            "after "
            f"close_study {study.slug}, since looking while listeners come in spoils every p value"
        )
    ratings = ratings_table(study)
    if ratings.empty:
        raise ListeningError(f"the study {study.slug!r} has no ratings yet; nothing can be analysed")
    if is_running:
        log_key_access(study=study, who=who, what="looked at results of the open study")
    elif not study.is_blind:
        log_key_access(study=study, who=who, what="read results by condition")
    declared = study.design["analysis"]
    if reference is None and not study.is_blind:
        reference = declared["reference"]
    result = analyse(
        ratings,
        reference=reference,
        margin=declared["margin"] if margin is None else margin,
        exclude=declared["exclude"] if exclude is None else exclude,
        seed=seed,
        excerpt_seconds=study.design["excerpt"]["seconds"],
        scores=scores,
        comparisons=comparisons,
    )
    result["study"] = {
        "slug": study.slug,
        "title": study.title,
        "state": study.state,
        "simulated": study.is_simulated,
        "blind": study.is_blind,
        "interim": is_running,
        "specification_sha256": study.specification_sha256,
    }
    return ratings, result
