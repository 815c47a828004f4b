"""`python -m tests.soak.careless …`: `wugan …` with a store that does not sync, to show that a power cut is noticed."""

from __future__ import annotations

import certs.tls13  # noqa: F401  before gRPC, which reads what it sets when it is loaded
from gateway.store import engine

engine._PRAGMAS = tuple(each.replace("FULL", "OFF") for each in engine._PRAGMAS)

if __name__ == "__main__":
    from gateway.cli import main

    main()
