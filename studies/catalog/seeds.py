"""Seeds that people give: every command takes the same ones, and refuses the others before it begins."""

from studies.catalog.errors import CatalogError

LARGEST_SEED = 2**63 - 1  # what a database keeps in a whole number


def checked_seed(seed: int) -> int:
    """The seed itself, if a row can keep it.

    Raises
    ------
    CatalogError
        If it is negative or too large.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise CatalogError(f"seed must be a whole number from 0 to {LARGEST_SEED}, got {_shown(seed)}")
    return seed


def _shown(seed: int) -> str:
    digits = str(seed)
    return digits if len(digits) <= 40 else f"one of {len(digits.lstrip('-'))} digits"
