"""A bulkhead: so many at once in one compartment, a few more in line, the rest refused at once.

Owns: places, the line (first come, first served), and the estimate when it is worth asking again. Refuses: knowing what
a place is used for. One compartment that is stuck fills its own places and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from gateway.clock import Clock

_WEIGHT = 0.1
"""Of the newest hold in the running mean."""
LEAST_RETRY_MS = 50
MOST_RETRY_MS = 10_000


class Bulkhead:
    """Places for one compartment, used from one event loop.

    Args:
        clock: measures how long places are held.
        at_once: places.
        waiting: how many may wait for one; more are refused.
    """

    __slots__ = ("_at_once", "_clock", "_hold_s", "_line", "_used", "_waiting", "shed")

    def __init__(self, clock: Clock, at_once: int, waiting: int) -> None:
        if at_once < 1 or waiting < 0:
            raise ValueError("a bulkhead has a place at least")
        self._clock = clock
        self._at_once = at_once
        self._waiting = waiting
        self._used = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._hold_s = 0.0
        self.shed = 0
        """How many were refused."""

    @property
    def in_use(self) -> int:
        """Places that are taken."""
        return self._used

    @property
    def in_line(self) -> int:
        """How many wait for a place."""
        return len(self._line)

    @property
    def retry_after_ms(self) -> int:
        """When asking again is worth it: about the time in which the line as it is gets through."""
        wait_s = self._hold_s * (len(self._line) + 1) / self._at_once
        return min(max(round(wait_s * 1000), LEAST_RETRY_MS), MOST_RETRY_MS)

    def take(self) -> float | None:
        """Take a place that is free now: the moment it was taken, for `leave`; None: there is none."""
        if self._used >= self._at_once or self._line:
            return None
        self._used += 1
        return self._clock.monotonic()

    async def enter(self, time_s: float) -> float | None:
        """Take a place, waiting in line for it `time_s` seconds at most: the moment it was taken, for `leave`.

        None: the line is full, would not be through within that time, or was not. What is refused is refused at once.
        """
        taken = self.take()
        if taken is not None:
            return taken
        expected_s = self._hold_s * (len(self._line) + 1) / self._at_once
        if len(self._line) >= self._waiting or expected_s >= time_s:
            self.shed += 1
            return None
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(time_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._hand_on()  # it was given the place in the very moment that it left
            else:
                with contextlib.suppress(ValueError):  # whoever left meanwhile may have passed over it
                    self._line.remove(place)
            if not isinstance(error, TimeoutError):
                raise
            self.shed += 1
            return None
        return self._clock.monotonic()

    def leave(self, taken: float) -> None:
        """Give a place back."""
        held_s = self._clock.monotonic() - taken
        self._hold_s = held_s if not self._hold_s else self._hold_s + _WEIGHT * (held_s - self._hold_s)
        self._hand_on()

    def _hand_on(self) -> None:
        """The place goes to the first in line, or is free."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._used -= 1
