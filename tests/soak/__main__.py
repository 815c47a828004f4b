"""`make soak`: prints how it goes, and as its last line one JSON object."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import certs.tls13  # noqa: F401  before gRPC, which reads what it sets when it is loaded


def main() -> None:
    from tests.soak.soak import Plan, run

    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--power", action="store_true", help="each kill is a power cut: what was not synced is gone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wugan-soak-") as folder:
        plan = Plan(kills=given.kills, questions=given.questions, seed=given.seed, tell=print, power=given.power)
        found = run(Path(folder), plan)
    print(json.dumps(found._asdict()), flush=True)
    raise SystemExit(1 if found.lost or found.duplicated or found.reordered else 0)


if __name__ == "__main__":
    main()
