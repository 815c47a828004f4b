"""Free loopback ports for processes that must know each other's address before they start."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different.

    Another process may take one before it is used; whoever binds it then fails loudly and is started on a fresh set.
    """
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
