"""Which engine moves the bytes of gRPC in a gateway's process: the poller itself, not a pool of threads behind it.

Owns: the environment variable that gRPC's core reads when it is loaded. Refuses: overruling an operator who has set it,
and any other process: an agency's command makes one call.

By default the core hands each piece of a message from the thread that polls to one of a pool, which hands it on. For
messages of a few kilobytes that is two changes of threads for each, on each side of a call. Names that a later core
does not know any more are ignored by it.
"""

from __future__ import annotations

import os
import sys
from typing import Final

VARIABLE: Final = "GRPC_EXPERIMENTS"
POLLER_ITSELF: Final = "-event_engine_client,-event_engine_listener"


def settle_engine() -> bool:
    """Set the variable where nobody has; whether it has an effect: gRPC was not loaded before."""
    os.environ.setdefault(VARIABLE, POLLER_ITSELF)
    return "grpc" not in sys.modules
