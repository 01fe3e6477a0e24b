"""Arguments that several commands of the catalog share."""

from argparse import ArgumentParser

from django.core.management.base import CommandError


def add_overrides(parser: ArgumentParser, help: str) -> None:
    """``--set key=value``, as often as wanted; `parse_overrides` reads what it collects in ``overrides``."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="key=value", dest="overrides", help=help
    )


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """The arguments of ``--set`` as a mapping; CommandError names one that is no ``key=value``."""
    overrides = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise CommandError(f"--set needs key=value, got {pair!r}")
        overrides[key.strip()] = value
    return overrides


def add_device(parser: ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda",
        help="where to compute (default auto: a GPU if any)",
    )


def add_processes(parser: ArgumentParser) -> None:
    """``--workers`` and ``--threads``."""
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that write side by side (default 1); the pieces are the same whatever their number. "
        "They share out whole batches, in most families of 16 pieces, and each loads the model: it pays from "
        "several batches on",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each process on a CPU (default 1); another number may round to other pieces",
    )
