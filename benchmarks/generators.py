"""Times every promised work beside the usual way of doing it.

    python benchmarks/generators.py [NAME...] [--device cpu|cuda] [--json FILE]

NAME is a family, or the beginning of a work's name. Exit status 1 where a bar is missed or a work fails.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder, in which `generators` is this file

from benchmarks import measuring, works  # noqa: E402
from benchmarks.measuring import Measured, Work  # noqa: E402


def all_works() -> tuple[dict[str, list[Work]], dict[str, str]]:
    """The works of each module in `benchmarks.works`, and why a module could not be read."""
    found, broken = {}, {}
    for module in sorted(module.name for module in pkgutil.iter_modules(works.__path__)):
        try:
            found[module] = list(import_module(f"benchmarks.works.{module}").WORKS)
        except Exception as error:  # one broken module must not hide the others
            broken[module] = f"{type(error).__name__}: {error}"
    return found, broken


def chosen(found: dict[str, list[Work]], names: list[str]) -> list[Work]:
    """The works of the families and beginnings of names that are asked for; all of them without names."""
    return [
        work
        for module, each in found.items()
        for work in each
        if not names or module in names or any(work.name.startswith(name) for name in names)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a family, or the beginning of a work's name"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="only the works of this device")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results here as well")
    options = parser.parse_args(arguments)
    found, broken = all_works()
    picked = chosen(found, options.names)
    for module, reason in broken.items():
        print(f"benchmarks/works/{module}.py cannot be read: {reason}", file=sys.stderr)
    if not picked:
        known = ", ".join(work.name for each in found.values() for work in each)
        print(
            f"no work is named {' or '.join(options.names) or 'anything'}; there are: {known}",
            file=sys.stderr,
        )
        return 1
    results: list[Measured] = []
    for work in picked:
        results.append(measuring.measured(work, device=options.device))
        print(" | ".join(measuring.row_of(results[-1])), file=sys.stderr, flush=True)
    facts = measuring.machine_facts()
    print("\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None), end="\n\n")
    print(measuring.table([measuring.HEAD, *map(measuring.row_of, results)], right=(2, 3, 4, 5, 6)))
    print("\nThe usual way:")
    for result in results:
        print(f"- {result.name}: {result.baseline}")
    if options.json:
        document = {"machine": facts, "works": [result.to_json() for result in results], "broken": broken}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return int(bool(broken) or any(result.verdict in ("missed", "failed") for result in results))


if __name__ == "__main__":
    sys.exit(main())
