"""Random bytes in small pieces, fetched from the system for many at once: a call for each costs more than its use.

Owns: that no two callers, threads or processes get the same bytes. Refuses: keys and their secrets; those are drawn
from the system one by one, so that none lies in memory before there is a use for it.
"""

from __future__ import annotations

import os
import threading
from typing import Final


class Randomness:
    """A supply of random bytes from the system's generator, safe across threads and forks."""

    _FETCHED: Final = 4_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched = b""
        self._used = 0
        os.register_at_fork(after_in_child=self._forget)

    def take(self, size: int) -> bytes:
        """`size` bytes that nobody else gets."""
        with self._lock:
            start = self._used
            end = start + size
            if end > len(self._fetched):
                self._fetched = os.urandom(max(size, self._FETCHED))
                start, end = 0, size
            self._used = end
            return self._fetched[start:end]

    def _forget(self) -> None:
        """After a fork: parent and child must not get the same bytes, and a lock held just then would never open."""
        self._lock = threading.Lock()
        self._fetched = b""
        self._used = 0


RANDOMNESS: Final = Randomness()
"""The process's own."""
