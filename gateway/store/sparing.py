"""Work on the disk in the event loop: done there as long as the disk is quick, by threads for a while when it is not.

Owns: when the loop is to be spared. Refuses: knowing what is done, and what the threads are.
"""

from __future__ import annotations

from typing import Final

SLOW_S: Final = 0.005
"""What takes the event loop longer is slow; where it is slow, threads do it for a while:"""
SLOW_SHARE: Final = 0.01
"""no more of the time than this goes into what is slow."""


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
