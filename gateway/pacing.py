"""Doing a thing once for many: gather while the event loop is busy, act as soon as it is not.

Owns: the moment at which what was gathered is acted on. A busy loop is seen from the time that a round of it takes: one
with nothing else to do comes round in some 20 µs. Where a thing takes others their time as well, how often it is done
goes by how much there is to gather (`Pace`). Who may come along soon are those who began lately (`Lately`). Refuses:
gathering, and knowing what is done.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from gateway.clock import Clock

LONGEST_S = 0.020
"""How long to gather at most while the event loop is busy."""
OVER_S = 0.25
"""Over how long the rate of what comes is looked at."""
IDLE_ROUND_S = 0.000_050
"""A round of the event loop that takes no longer had nothing else to do."""
LATELY_S = 0.25
"""What began that long ago, or up to twice as long, began lately."""


def when_idle(loop: asyncio.AbstractEventLoop, clock: Clock, act: Callable[[], None]) -> None:
    """Call `act` once, after the first round of the loop that had nothing else to do, or after `LONGEST_S`."""
    loop.call_soon(_Waiting(loop, clock, act).once_a_round)


class _Waiting:
    """What waits for an idle round: nothing refers to itself here, so that it is gone once it is done."""

    __slots__ = ("_act", "_clock", "_last", "_loop", "_since")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, act: Callable[[], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._act = act
        self._since = self._last = clock.monotonic()

    def once_a_round(self) -> None:
        now = self._clock.monotonic()
        if now - self._last <= IDLE_ROUND_S or now - self._since >= LONGEST_S:
            self._act()
        else:
            self._last = now
            self._loop.call_soon(self.once_a_round)


class Pace:
    """How far apart a thing is done that is done once for many: not at all while little comes.

    Args:
        worth: while at least so much comes from one time to the next.
        now: monotonic time, seconds.
    """

    __slots__ = ("_rate", "_worth", "done_at")

    def __init__(self, worth: float, now: float) -> None:
        self._worth = worth
        self._rate = 0.0
        self.done_at = now
        """When it was last done."""

    def done(self, count: int, now: float) -> None:
        """It was done for so many."""
        since = max(now - self.done_at, 1e-6)
        self._rate += (1.0 - math.exp(-since / OVER_S)) * (count / since - self._rate)
        self.done_at = now

    def wait_s(self, now: float, apart_s: float) -> float:
        """Seconds until it is to be done again, where it is to be done so far apart; 0 or less: now."""
        return self.done_at + apart_s - now if self._rate * apart_s >= self._worth else 0.0


class Lately:
    """How much of what is under way began lately.

    What is under way for longer waits, for another province or a department, or goes on for minutes: others need not
    wait for it to come along, and it has no use for the event loop. Counted by spans of `LATELY_S`.
    """

    __slots__ = ("_by_span",)

    def __init__(self) -> None:
        self._by_span: dict[int, int] = {}

    def begin(self, now: float) -> int:
        """Something begins; what to give to `end`."""
        span = int(now / LATELY_S)
        self._by_span[span] = self._by_span.get(span, 0) + 1
        return span

    def end(self, span: int) -> None:
        """It ended."""
        left = self._by_span[span] - 1
        if left:
            self._by_span[span] = left
        else:
            del self._by_span[span]

    def count(self, now: float) -> int:
        """How much of what has not ended began lately."""
        span = int(now / LATELY_S)
        return self._by_span.get(span, 0) + self._by_span.get(span - 1, 0)
