"""The only place that reads the time. Everything else is handed a clock, or a time.

Owns: wall time for envelopes and records, monotonic time for deadlines, the civil day in Asia/Shanghai.
Refuses: sleeping, scheduling, formatting.
"""

from __future__ import annotations

import time
from typing import Protocol

SHANGHAI_OFFSET_S = 8 * 3600
"""China Standard Time is UTC+8 throughout; daylight saving has not been used since 1991."""


class Clock(Protocol):
    """What the gateway asks of a clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary point, never going back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
    """Seconds from an arbitrary point, never going back. Itself, and not called by one of ours: some fifteen times in
    each question."""


class FakeClock:
    """A clock that moves only when told to; for tests and for replaying a past day."""

    def __init__(self, now_ms: int = 1_795_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time it was set to."""
        return self._now_ms

    def monotonic(self) -> float:
        """The same time, in seconds."""
        return self._now_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move forward; negative values are refused."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._now_ms += round(seconds * 1000)


def civil_day(now_ms: int) -> int:
    """Civil day in Asia/Shanghai of a Unix time in milliseconds, counted from 1970-01-01."""
    return (now_ms // 1000 + SHANGHAI_OFFSET_S) // 86_400
