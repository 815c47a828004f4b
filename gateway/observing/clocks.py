"""How far own clock is from that of each partner, as far as messages show it.

Owns: the least difference between own time and the time of issue of what a partner sent lately. A message that waited
makes it larger, so the least of many is the clocks' difference and the way. Envelopes refused as expired are counted
besides: they are what is left to be seen when clocks are further apart than envelopes live. Pure. Refuses: judging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WINDOW: Final = 32
"""Messages of a window; the least is of the last one to two windows."""
ENOUGH: Final = 4
MOST: Final = 2_000
_FAR: Final = 1 << 62


class Offset:
    """Of one partner.

    Attributes:
        refused: envelopes refused as expired, or as issued in the future, since the last that was not.
    """

    __slots__ = ("_before", "_count", "_now", "refused")

    def __init__(self) -> None:
        self.refused = 0
        self._now = self._before = _FAR
        self._count = 0

    def seen(self, offset_ms: int) -> None:
        """A message came; own time less its time of issue."""
        self.refused = 0
        self._now = min(self._now, offset_ms)
        self._count += 1
        if self._count % WINDOW == 0:
            self._before, self._now = self._now, _FAR

    def least_ms(self) -> int | None:
        """The least difference seen lately, milliseconds; None while there is too little to say."""
        return min(self._now, self._before) if self._count >= ENOUGH else None


class Offsets:
    """Of every partner."""

    def __init__(self) -> None:
        self._held: dict[str, Offset] = {}

    def seen(self, partner: str, offset_ms: int) -> None:
        """A message of a partner came; own time less its time of issue, milliseconds."""
        self._of(partner).seen(offset_ms)

    def refused(self, partner: str) -> None:
        """An envelope of a partner, which TLS has proven, was not within its time."""
        self._of(partner).refused += 1

    def all(self) -> Mapping[str, Offset]:
        """Every partner's."""
        return self._held

    def clear(self) -> None:
        """Forget everybody."""
        self._held.clear()

    def _of(self, partner: str) -> Offset:
        held = self._held.get(partner)
        if held is None:
            held = Offset()
            if len(self._held) < MOST:
                self._held[partner] = held
        return held


OFFSETS: Final = Offsets()
