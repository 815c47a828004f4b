"""How often each member may publish: a bucket for each that fills with time.

Owns: the account. Every publication may become a version that is signed, pushed to every gateway and fetched by all of
them, so one member must not be able to make them without end. Refuses: knowing what is published.
"""

from __future__ import annotations

from typing import Final

from gateway.clock import Clock

PER_S: Final = 3.0
"""Publications of a member a second, over a longer time (our choice). Keys of all three kinds renewed every second make
two: one lists the new keys, one leaves out the old."""
BURST: Final = 20
"""At once, after a time without."""
_KEPT: Final = 1024
"""Members remembered before those are forgotten whose bucket is full again."""


class Allowances:
    """Every member's. For one event loop.

    Args:
        clock: fills the buckets.
    """

    def __init__(self, clock: Clock, per_s: float = PER_S, burst: int = BURST) -> None:
        self._clock = clock
        self._each_s = 1.0 / per_s
        self._ahead_s = (burst - 1) * self._each_s
        self._full_at: dict[str, float] = {}

    def wait_s(self, member_id: str) -> float:
        """Take one of a member's; 0, or where there is none: seconds until there is."""
        now = self._clock.monotonic()
        full_at = max(now, self._full_at.get(member_id, now))
        if full_at - now > self._ahead_s:
            return full_at - now - self._ahead_s
        if len(self._full_at) >= _KEPT:
            self._full_at = {each: at for each, at in self._full_at.items() if at > now}
        self._full_at[member_id] = full_at + self._each_s
        return 0.0
