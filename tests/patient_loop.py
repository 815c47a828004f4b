"""An event loop whose clock counts waiting and hardly counts working: for tests with deadlines.

A deadline of 50 ms in a test means that somebody waits 50 ms for what never comes, not that all the rest is computed
in less. By the machine's clock it means both, and a busy machine, or one that stood still for a second, fails the test.
So here the time goes on while the loop has nothing to do, by a little at a time however long that took, and hardly at
all while it works. What a test waits for takes as long as ever; it is not overtaken by what the test has to compute.

Owns: the time of such a loop. Refuses: other clocks of the process, which go on as they do, and time spent waiting for
threads, which is waiting.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

WORK_S = 0.0001
"""What a piece of work counts for at most: more than nothing, since a loop that never waits meets its deadlines too."""
WAIT_S = 0.01
"""What one wait counts for at most; a longer one is several."""


class PatientLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._patient_s = self._seen_s = time.monotonic()
        super().__init__(_Patient(self._count))

    def time(self) -> float:
        """Seconds by the loop's own clock."""
        self._count(WORK_S)
        return self._patient_s

    def _count(self, at_most_s: float) -> None:
        """Let what passed since the last time pass here too, as far as that goes."""
        now_s = time.monotonic()
        self._patient_s += min(now_s - self._seen_s, at_most_s)
        self._seen_s = now_s


class _Patient(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # which one it is, the platform says
    """Waits in short pieces, and has each of them counted."""

    def __init__(self, count: Callable[[float], None]) -> None:
        super().__init__()
        self._count = count

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._count(WORK_S)
        left_s = timeout
        while True:
            piece_s = left_s if left_s is None else min(left_s, WAIT_S)
            found: list[Any] = super().select(piece_s)
            self._count(WAIT_S if piece_s is None else piece_s)
            if left_s is None or piece_s is None or found or left_s <= piece_s:
                return found
            left_s -= piece_s
