"""Whether calls wait too long before this process takes them up: told by calls of its own, which stand in line too.

gRPC hands over one call at a time, the next when the event loop has come round. So under more load than a process gets
through, calls wait inside the library, where nobody sees them: every turn of the loop stays short (`overload`), each
call is taken up when its caller has nearly stopped waiting for it, and all the work is in vain.

The rule of shedding (after CoDel, RFC 8289): too much is taken on when, from one late call of its own on, none was in
time for `for_s`; enough was shed as soon as one is. Late is what took a quarter of the time that callers have for an
answer, as a rule: who asks many at once and has a minute may wait for seconds, and gets all of his answers. Who shed
lately does not wait for `for_s`: it is the same load still. A moment in which nothing goes on makes one call late, and
sheds nobody.

Owns: this rule, and how long calls wait. Refuses: calling, and shedding.
"""

from __future__ import annotations

import math
from typing import Final

LATELY_S: Final = 2.0
"""So long after it shed a process sheds again at the first sign."""
SHARE: Final = 0.25
"""Part of callers' time that waiting may take."""
PATIENT_S: Final = 10.0
"""The time of callers who set none, and of more than that."""
OVER_S: Final = 0.25
"""Over how long it is looked back on how long calls wait."""
_LESS: Final = 1 / 16
_MORE: Final = 1 / 128
"""Weights of a call whose caller has less, or more, time than is known: those in a hurry count, if they are not few."""


class Backlog:
    """See the module.

    Args:
        least_s: what took no longer is never late; 0: nothing is.
        for_s: so long none must have been in time.
    """

    __slots__ = ("_for_s", "_last_s", "_least_s", "_saw_at", "_shed_at", "_since", "_time_s", "waited_s")

    def __init__(self, least_s: float, for_s: float = 0.2) -> None:
        self._least_s = least_s
        self._for_s = for_s
        self._time_s = PATIENT_S
        self._last_s = 0.0
        self.waited_s = 0.0
        """How long calls wait, by those of one's own lately; seconds."""
        self._saw_at = float("-inf")
        self._since: float | None = None
        self._shed_at = float("-inf")

    @property
    def watched(self) -> bool:
        """Whether it wants to know anything."""
        return self._least_s > 0

    @property
    def late_s(self) -> float:
        """What takes longer is late."""
        return max(self._least_s, SHARE * self._time_s)

    def came(self, remaining_s: float | None) -> None:
        """A call was taken up whose caller waits so much longer; None: for as long as it takes."""
        time_s = PATIENT_S if remaining_s is None else min(remaining_s + self._last_s, PATIENT_S)
        self._time_s += (_LESS if time_s < self._time_s else _MORE) * (time_s - self._time_s)

    def saw(self, now: float, waited_s: float, *, dropped: bool = False) -> bool:
        """A call of one's own took so long, until it was taken up or `dropped` in the line; whether it was late."""
        self._last_s = waited_s
        held = math.exp((self._saw_at - now) / OVER_S)
        self.waited_s = held * self.waited_s + (1.0 - held) * waited_s
        self._saw_at = now
        late = self.watched and (dropped or waited_s > self.late_s)
        if not late:
            self._since = None
        elif self._since is None:
            self._since = now
        return late

    def forget(self) -> None:
        """Nothing is known: such a call failed, or none is made any more."""
        self._since = None
        self._last_s = self.waited_s = 0.0

    def at(self, now: float) -> bool:
        """Whether too much is taken on."""
        if self._since is None:
            return False
        if now - self._since < self._for_s and now - self._shed_at > LATELY_S:
            return False
        self._shed_at = now
        return True
