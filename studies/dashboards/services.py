"""What the studio prepares: the sounds of the worst copies, to be heard beside their sources."""

from collections.abc import Callable, Iterable

from music.score import MusicError
from studies.catalog.errors import CatalogError
from studies.catalog.models import OriginalityReport, Stimulus
from studies.catalog.services import render_stimulus
from studies.dashboards.selectors.originality import MEASURES, Side, case_of, piece_rows

#: The longest excerpt that a page renders while its reader waits: one takes a second or two, and the program
#: that plays it is a process of its own, which `music.rendering` ends after a time.
LONGEST_WAITED_FOR = 60


def render_side(*, side: Side) -> Stimulus:
    """The stimulus that holds one excerpt of a pair; rendered if there is none yet.

    Raises
    ------
    MusicError, CatalogError
        If the piece cannot be played or its file is gone.
    """
    return side.stimulus or render_stimulus(
        piece=side.piece,
        start_seconds=side.wanted.render_from,
        seconds=side.wanted.render_seconds,
        pad=side.wanted.pad,
    )


def render_pair(*, sides: Iterable[Side]) -> list[Stimulus]:
    """Render both excerpts of one pair while somebody waits; what is rendered stays as it is.

    Raises
    ------
    MusicError, CatalogError
        If one cannot be played, its file is gone, or it is longer than `LONGEST_WAITED_FOR` seconds.
    """
    sides = list(sides)
    for side in sides:
        if side.stimulus is None and side.wanted.render_seconds > LONGEST_WAITED_FOR:
            raise CatalogError(
                f"the excerpt of {side.piece.name} lasts {side.wanted.render_seconds} seconds, at most "
                f"{LONGEST_WAITED_FOR} are rendered from the studio; run {side.command}"
            )
    return [render_side(side=side) for side in sides]


def render_worst_pairs(
    *,
    report: OriginalityReport,
    count: int = 3,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Stimulus]:
    """Render both excerpts of the pieces that copied most, by each measure of a report.

    What is rendered already stays as it is, so a second call makes nothing. An excerpt that cannot be played
    is passed over: its pair keeps its rolls.

    Parameters
    ----------
    count : int
        How many pieces, the most copied first.

    Returns
    -------
    stimuli : list of Stimulus
        Those that hold the excerpts, each once, in the order of the report's table.
    """
    wanted = [
        side
        for row in piece_rows(report)[:count]
        for measure in MEASURES
        if (row.overlap_nearest if measure == "overlap" else row.melody_nearest)
        for side in case_of(report, measure, row.index).sides
    ]
    stimuli: dict[int, Stimulus] = {}
    for done, side in enumerate(wanted):
        if progress:
            progress(done, len(wanted), side.piece.name)
        try:
            stimulus = render_side(side=side)
        except (MusicError, CatalogError):
            continue
        stimuli[stimulus.pk] = stimulus
    if progress:
        progress(len(wanted), len(wanted), "rendered")
    return list(stimuli.values())
