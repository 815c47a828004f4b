"""A gateway whose departments answer from memory: `python -m bench.memory_gateway --config F --people N`.

Owns: putting those departments where the manifests' would be. Everything else is the gateway as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from adapters.contract import Adapter
from bench.memory import departments
from gateway import app
from gateway.app import opening
from gateway.clock import SystemClock, civil_day
from gateway.config import GatewaySettings, load_gateway


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--people", type=int, required=True)
    given = parser.parse_args()
    made: Sequence[Adapter] = departments(given.people, civil_day(SystemClock().now_ms()))

    def from_memory(_settings: GatewaySettings, _channels: object = None) -> list[Adapter]:
        return list(made)

    vars(opening)["build_adapters"] = from_memory  # the name that it is called by there
    app.run(load_gateway(given.config))


if __name__ == "__main__":
    main()
