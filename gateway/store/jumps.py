"""Not believing a clock that has just jumped ahead: what is forgotten by it does not come back when it is set right.

Owns: telling a jump from time that has passed, by the time that the machine counts, and what time it is at least as far
as that tells. Refuses: knowing whether a clock is right: one that was wrong when the process started is believed once
it has stayed so for a while.
"""

from __future__ import annotations

from typing import Final

from gateway.clock import Clock

JUMP_MS: Final = 3_600_000
"""A clock that goes ahead by so much more than time has passed has jumped;"""
STEP_MS: Final = 60_000
"""so much, for what may last for half an hour only;"""
HOLD_S: Final = 86_400.0
"""and is believed once it has stayed there for so long."""
SETTLE_S: Final = 600.0
"""So long after the start nothing is over yet: a machine that starts with a wrong clock is set right meanwhile."""


class Jumps:
    """See the module. Used by one thread at a time.

    Args:
        jump_ms: what is more than this is a jump.
    """

    def __init__(self, clock: Clock, jump_ms: int = JUMP_MS) -> None:
        self._clock = clock
        self._jump_ms = jump_ms
        self._offset_ms = clock.now_ms() - _counted_ms(clock)
        """Wall time less the time that passed, as it is believed; a lower one is believed at once."""
        self._ahead_since_s: float | None = None
        self._settled_s = clock.monotonic() + SETTLE_S

    def ahead_ms(self) -> int:
        """By how much the clock went ahead lately without having stayed there long enough; 0: it is believed."""
        return self._look()[1]

    def at_least_ms(self) -> int:
        """The time that it is at least, Unix milliseconds: what is over by then is over.

        While the clock is not believed: when it was believed last, and the time that passed since. 0 for so long after
        the start as `SETTLE_S` says. Of one reading: the clock may jump between two.
        """
        now_ms, ahead_ms = self._look()
        return now_ms - ahead_ms if self._clock.monotonic() >= self._settled_s else 0

    def _look(self) -> tuple[int, int]:
        """What the clock says, and by how much that is not believed."""
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic()
        offset_ms = now_ms - _counted_ms(self._clock)
        ahead_ms = offset_ms - self._offset_ms
        if ahead_ms >= self._jump_ms:
            if self._ahead_since_s is None:
                self._ahead_since_s = now_s
            if now_s - self._ahead_since_s < HOLD_S:
                return now_ms, ahead_ms
        self._offset_ms, self._ahead_since_s = offset_ms, None
        return now_ms, 0


def _counted_ms(clock: Clock) -> int:
    return round(clock.monotonic() * 1000)
