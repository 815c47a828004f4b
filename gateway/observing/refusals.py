"""What this gateway refused lately because it has too much to do: how much, and since when.

Owns: this memory, of some minutes in bounded slots, cheap enough for a refusal. Refuses: refusing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.clock import Clock

CALLS: Final = "calls"
STREAMS: Final = "streams"

WINDOW_S: Final = 300.0
"""Over how long it is looked back; so long nothing must have been refused for it to be over."""
SLOT_S: Final = 10.0
"""Refusals are remembered by slots of this length."""


class Refused(NamedTuple):
    """What was refused in the last `WINDOW_S`: how much of each kind; for how long it has been going on, seconds."""

    counts: Mapping[str, int]
    for_s: float


class Refusals:
    """See the module; to be used in one thread.

    Args:
        clock: times are taken from it, the monotonic ones.
    """

    __slots__ = ("_clock", "_last", "_since", "_slots")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[int, Counter[str]] = {}
        self._since = 0.0
        self._last = float("-inf")

    def add(self, what: str) -> None:
        """One of a kind was refused."""
        now = self._clock.monotonic()
        if now - self._last > WINDOW_S:
            self._since = now
        self._last = now
        slot = int(now / SLOT_S)
        held = self._slots.get(slot)
        if held is None:
            self._forget(slot)
            held = self._slots[slot] = Counter()
        held[what] += 1

    def lately(self) -> Refused | None:
        """What was refused lately; None: nothing."""
        now = self._clock.monotonic()
        if now - self._last > WINDOW_S:
            return None
        self._forget(int(now / SLOT_S))
        counts: Counter[str] = Counter()
        for held in self._slots.values():
            counts += held
        return Refused(counts, now - self._since)

    def _forget(self, slot: int) -> None:
        """Drop what is older than a window that ends in this slot."""
        first = slot - int(WINDOW_S / SLOT_S)
        for old in [each for each in self._slots if each < first]:
            del self._slots[old]
