"""Free loopback ports for processes that must know each other's address before they start.

Owns: choosing them so that nobody else is given one before it is used, nor while whoever uses it is started again: not
by the kernel, which gives others away by itself, and not by another process that chooses here, which sees what this one
chose by a name in the kernel that goes with the process. Refuses: keeping off somebody who asks for that very port;
whoever binds it then fails loudly and is started on a fresh set.
"""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from collections import deque
from pathlib import Path
from typing import Final

LOWEST: Final = 15_000
_GIVEN: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ENOUGH: Final = 5_000
_REMEMBERED: Final = 200
_chosen: Final[deque[socket.socket]] = deque()


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    beyond = _first_given()
    chance = random.SystemRandom()
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            wanted = chance.randrange(LOWEST, beyond) if beyond - LOWEST >= _ENOUGH else 0
            held = stack.enter_context(socket.socket())
            try:
                held.bind(("127.0.0.1", wanted))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            port = held.getsockname()[1]
            if _chosen_here(port):
                found.append(port)
    return found


def _first_given() -> int:
    """The first port that the kernel gives by itself; 0: it does not say."""
    try:
        return int(_GIVEN.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _chosen_here(port: int) -> bool:
    """Whether it is this process that chose the port; where the kernel has no such names, it is."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0wugan-port-{port}")
    except OSError as error:
        name.close()
        return error.errno != errno.EADDRINUSE
    _chosen.append(name)
    if len(_chosen) > _REMEMBERED:
        _chosen.popleft().close()
    return True
