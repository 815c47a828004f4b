"""How somebody who is asked again and again has been doing lately: since when they fail, why, and how slow they are.

Owns: this memory, a few hundred bytes for each partner and department. Pure: times are handed in, seconds of one
monotonic clock. Refuses: deciding anything. What is called slow or failing, the health page decides; who is not asked
any more, a breaker.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from typing import Final

REMEMBERED: Final = 64
"""Calls whose times are remembered."""
ENOUGH: Final = 8
"""Calls from which on a median says something."""
MOST: Final = 2_000
"""Partners or departments remembered; one more is not."""


class Pulse:
    """Of one partner or department.

    Attributes:
        failing_since: when the first of the failures came that no success has followed; None: the last call went well.
        failures: how many there were in a row.
        reason: of the last of them.
        last_at: when it was called last.
    """

    __slots__ = ("_times", "failing_since", "failures", "last_at", "reason")

    def __init__(self) -> None:
        self.failing_since: float | None = None
        self.failures = 0
        self.reason = ""
        self.last_at = 0.0
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def record(self, at: float, seconds: float, failure: str = "") -> None:
        """A call ended at a time, after so many seconds, well, or with a failure."""
        self.last_at = at
        self._times.append(seconds)
        if not failure:
            self.heard()
            return
        if self.failing_since is None:
            self.failing_since = at
        self.failures += 1
        self.reason = failure

    def heard(self) -> None:
        """It is well, as something else than a call has shown."""
        self.failing_since, self.failures, self.reason = None, 0, ""

    def median(self) -> float:
        """Median seconds of the last calls; 0 while there are too few to say."""
        return statistics.median(self._times) if len(self._times) >= ENOUGH else 0.0


class Pulses:
    """By name: of every partner, or of every department."""

    def __init__(self) -> None:
        self._held: dict[str, Pulse] = {}

    def of(self, name: str) -> Pulse:
        """One's pulse; a new one for whoever is new."""
        pulse = self._held.get(name)
        if pulse is None:
            pulse = Pulse()
            if len(self._held) < MOST:
                self._held[name] = pulse
        return pulse

    def all(self) -> Mapping[str, Pulse]:
        """Everybody's."""
        return self._held

    def clear(self) -> None:
        """Forget everybody."""
        self._held.clear()
