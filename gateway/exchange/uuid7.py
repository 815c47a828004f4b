"""Message ids: UUID version 7 of RFC 9562, as 16 bytes.

Owns: making them, in increasing order within the process as long as the clock does not go back, and reading their time.
Refuses: reading a clock; the time is handed in, because an id carries the very millisecond its message was issued at.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from gateway.exchange.randomness import RANDOMNESS

_GAP: Final = 0b11 << 62
"""Where the variant stands, in the midst of the random bits."""
_RANDOM: Final = (1 << 76) - 1 & ~_GAP
_START: Final = (1 << 75) - 1 & ~_GAP
_STEP: Final = (1 << 32) - 1
_FIXED: Final = 0x7 << 76 | 0b10 << 62
"""Version and variant."""
_DRAW_BYTES: Final = 10
MAX_MS: Final = (1 << 48) - 1
"""Last millisecond an id can carry (the year 10889)."""


class Uuid7:
    """A source of ids, safe across threads.

    RFC 9562 §6.2, method 2: within one millisecond the 74 random bits are raised by a random step, so ids of one source
    increase and still cannot be guessed. They start below half, which leaves room for 2^41 ids a millisecond. When the
    clock goes back the source follows it: ids stay unique by their random bits, but are no longer in order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = -1
        self._random = 0
        os.register_at_fork(after_in_child=self._forget)

    def next(self, now_ms: int) -> bytes:
        """An id for that Unix time in milliseconds, 0 to MAX_MS; anything else is a ValueError."""
        if not 0 <= now_ms <= MAX_MS:
            raise ValueError("time does not fit into a UUIDv7")
        drawn = int.from_bytes(RANDOMNESS.take(_DRAW_BYTES), "big")
        with self._lock:
            if now_ms == self._ms:
                # With ones in the gap, what the bits below it overflow by goes on to those above.
                self._random = (self._random | _GAP) + 1 + (drawn & _STEP) & _RANDOM
            else:
                self._ms = now_ms
                self._random = drawn & _START
            bits = self._random
        return (now_ms << 80 | _FIXED | bits).to_bytes(16, "big")

    def _forget(self) -> None:
        """After a fork: parent and child must not make the same ids, and a lock held just then would never open."""
        self._lock = threading.Lock()
        self._ms = -1


def timestamp_ms(message_id: bytes) -> int | None:
    """Unix time in milliseconds that an id carries, or None if these bytes are no UUIDv7."""
    if len(message_id) != 16 or message_id[6] >> 4 != 7 or message_id[8] >> 6 != 0b10:
        return None
    return int.from_bytes(message_id[:6], "big")
