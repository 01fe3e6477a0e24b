"""What happens where a model is larger than the machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from studies.catalog.errors import CatalogError

#: How PyTorch says that memory is short: in errors of no class of their own, in many lines.
_TOO_LARGE = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "storage size calculation overflow",
    "overflow when unpacking",
)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Say in one line that the memory did not suffice to do `what`.

    Raises
    ------
    CatalogError
        In place of the error that the work raised for want of memory; any other passes.
    """
    try:
        yield
    except (MemoryError, RuntimeError, TypeError) as error:
        if not isinstance(error, MemoryError) and not any(each in str(error).lower() for each in _TOO_LARGE):
            raise
        raise CatalogError(
            f"this machine has not enough memory to {what}; choose smaller ones (with --set), "
            "or another preset"
        ) from error
