"""Times the searches for copies beside the usual ways, and beside what the machine allows.

    python benchmarks/plagiarism.py [NAME...] [--data FOLDER] [--json FILE]

NAME is the beginning of a work's name. Exit status 1 where a bar is missed or a work fails.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before the first of these libraries is loaded

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from benchmarks import copying, measuring  # noqa: E402
from benchmarks.copying.songs import DATA  # noqa: E402
from benchmarks.measuring import Work  # noqa: E402


def all_works() -> list[Work]:
    """The works of the modules in `benchmarks.copying` that have any."""
    modules = sorted(module.name for module in pkgutil.iter_modules(copying.__path__))
    found = (import_module(f"benchmarks.copying.{module}") for module in modules)
    return [work for module in found for work in getattr(module, "WORKS", ())]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a work's name")
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="MIDI files to search, not made-up songs")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results here as well")
    options = parser.parse_args(arguments)
    if options.data:
        os.environ[DATA] = str(options.data)
    works = all_works()
    picked = [work for work in works if not options.names or work.name.startswith(tuple(options.names))]
    if not picked:
        known = ", ".join(work.name for work in works)
        print(f"no work is named {' or '.join(options.names)}; there are: {known}", file=sys.stderr)
        return 1
    results = []
    for work in picked:
        results.append(measuring.measured(work))
        print(" | ".join(measuring.row_of(results[-1])), file=sys.stderr, flush=True)
    facts = measuring.machine_facts()
    print("\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None), end="\n\n")
    print(measuring.table([measuring.HEAD, *map(measuring.row_of, results)], right=(2, 3, 4, 5, 6)))
    print("\nBeside:")
    for result in results:
        print(f"- {result.name}: {result.baseline}")
    if options.json:
        document = {"machine": facts, "works": [result.to_json() for result in results]}
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return int(any(result.verdict in ("missed", "failed") for result in results))


if __name__ == "__main__":
    sys.exit(main())
