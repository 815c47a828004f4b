"""Doing a thing once for many: gather while the event loop is busy, act as soon as it is not.

Owns: the moment at which what was gathered is acted on. A busy loop is seen from the time that a round of it takes: one
with nothing else to do comes round in some 20 µs. Refuses: gathering, and knowing what is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.clock import Clock

LONGEST_S = 0.020
"""How long to gather at most while the event loop is busy."""
IDLE_ROUND_S = 0.000_050
"""A round of the event loop that takes no longer had nothing else to do."""


def when_idle(loop: asyncio.AbstractEventLoop, clock: Clock, act: Callable[[], None]) -> None:
    """Call `act` once, after the first round of the loop that had nothing else to do, or after `LONGEST_S`."""
    since = last = clock.monotonic()

    def once_a_round() -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last <= IDLE_ROUND_S or now - since >= LONGEST_S:
            act()
        else:
            last = now
            loop.call_soon(once_a_round)

    loop.call_soon(once_a_round)
