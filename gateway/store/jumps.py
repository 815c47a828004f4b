"""Not believing a clock that has just jumped ahead: what is forgotten by it does not come back when it is set right.

Owns: telling a jump from time that has passed, by the time that the machine counts. Refuses: knowing whether a clock is
right: one that was wrong when the process started is believed.
"""

from __future__ import annotations

from typing import Final

from gateway.clock import Clock

JUMP_MS: Final = 3_600_000
"""A clock that goes ahead by so much more than time has passed has jumped;"""
HOLD_S: Final = 86_400.0
"""and is believed once it has stayed there for so long."""


class Jumps:
    """See the module. Used by one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()
        """Wall time less the time that passed, as it is believed; a lower one is believed at once."""
        self._ahead_since_s: float | None = None

    def ahead_ms(self) -> int:
        """By how much the clock went ahead lately without having stayed there long enough; 0: it is believed."""
        offset_ms, now_s = self._offset(), self._clock.monotonic()
        ahead_ms = offset_ms - self._offset_ms
        if ahead_ms >= JUMP_MS:
            if self._ahead_since_s is None:
                self._ahead_since_s = now_s
            if now_s - self._ahead_since_s < HOLD_S:
                return ahead_ms
        self._offset_ms, self._ahead_since_s = offset_ms, None
        return 0

    def _offset(self) -> int:
        return self._clock.now_ms() - round(self._clock.monotonic() * 1000)
