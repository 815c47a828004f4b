"""Free loopback ports for processes that must know each other's address before they start."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path
from typing import Final

LOWEST: Final = 15_000
_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ENOUGH: Final = 5_000


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different.

    The kernel gives none of them to a connection, or to whoever asks for any port: they stay free until they are used,
    and while whoever uses them is started again. Only somebody who asks for that very port takes it; whoever binds it
    then fails loudly and is started on a fresh set.
    """
    beyond = _first_given()
    chosen = random.SystemRandom()
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            held = stack.enter_context(socket.socket())
            wanted = chosen.randrange(LOWEST, beyond) if beyond - LOWEST >= _ENOUGH else 0
            with contextlib.suppress(OSError):
                held.bind(("127.0.0.1", wanted))
                found.append(held.getsockname()[1])
        return found


def _first_given() -> int:
    """The first port that the kernel gives by itself; 0: it does not say."""
    try:
        return int(_GIVEN.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
