"""Work on the disk in the event loop: done there as long as the disk is quick, by threads for a while when it is not.

Owns: when the loop is to be spared, and whether the disk is so quick that nothing is gained by doing something else
meanwhile. Refuses: knowing what is done, and what the threads are.
"""

from __future__ import annotations

from typing import Final

SLOW_S: Final = 0.005
"""What takes the event loop longer is slow; where it is slow, threads do it for a while:"""
SLOW_SHARE: Final = 0.01
"""no more of the time than this goes into what is slow."""
QUICK_S: Final = 0.000_8
"""To hand a commit over, and to be told of it, takes a call as long as a disk that needs less than this."""
_LATELY: Final = 8
"""In the mean, the last commit counts for one in so many."""


class Sparing:
    """See the module.

    Args:
        in_a_row: so many must be slow, one after another, before the loop is spared.
    """

    __slots__ = ("_in_a_row", "_slow", "until")

    def __init__(self, in_a_row: int = 1) -> None:
        self._in_a_row = in_a_row
        self._slow = 0
        self.until = 0.0
        """Monotonic time, seconds, before which threads do it."""

    def took(self, began: float, ended: float) -> None:
        """Something was done in the loop, from one time to the other."""
        took = ended - began
        self._slow = self._slow + 1 if took > SLOW_S else 0
        if self._slow == self._in_a_row:
            self._slow = 0
            self.until = ended + self._in_a_row * took / SLOW_SHARE


class Quick:
    """Whether the disk takes less than `QUICK_S`, by a mean of the last commits; not before that is known."""

    __slots__ = ("_mean_s",)

    def __init__(self) -> None:
        self._mean_s = 2 * QUICK_S

    def took(self, seconds: float) -> None:
        """One more commit was waited for, so long."""
        self._mean_s += (seconds - self._mean_s) / _LATELY

    def __bool__(self) -> bool:
        return self._mean_s < QUICK_S
