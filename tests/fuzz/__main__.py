"""`make fuzz`: prints one JSON object; inputs that made something crash stay in the folder named."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path


def main() -> None:
    from tests.fuzz.running import run

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wugan-fuzz-"))
    found = run(folder, given.inputs, given.seed)
    print(json.dumps({**found._asdict(), "folder": str(folder)}), flush=True)
    raise SystemExit(1 if found.crashes or found.slowest_s > 1 else 0)


if __name__ == "__main__":
    main()
