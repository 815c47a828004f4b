"""Run all benchmarks, or those named: `python -m bench [name …]`.

A benchmark is a module of this folder with a function `main` that prints a table and returns its figures; they are
printed after it as one JSON object, which is the last line of each.
"""

from __future__ import annotations

import argparse
import ast
import importlib
from pathlib import Path

from bench.report import last_line

HERE = Path(__file__).parent


def names() -> list[str]:
    """Modules of this folder that have a `main`, without importing them."""
    return sorted(path.stem for path in HERE.glob("[!_]*.py") if _has_main(path))


def _has_main(path: Path) -> bool:
    tree = ast.parse(path.read_text("utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def main() -> None:
    """Run what the command line names."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run all benchmarks, or those named.")
    parser.add_argument("name", nargs="*", help=f"one or more of: {', '.join(known)}")
    chosen = parser.parse_args().name or known
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in chosen:
        last_line(importlib.import_module(f"bench.{name}").main())


if __name__ == "__main__":
    main()
