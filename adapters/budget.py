"""A budget for further tries: so many for each first one, so that retries cannot multiply an outage.

Owns: the account. Refuses: knowing what is tried. Per bucket and from its making on, what was spent is never more than
`reserve` and `share` of what was earned; from any later moment on, never more than `most` and `share` of what is earned
from then on. With retries at 0.08 and hedges at 0.02 a total outage is asked at most 1.10 times.

What costs more than the bucket holds, such as an envelope of many questions, would otherwise never be allowed: it is
when the bucket is full, and what it costs beyond that is earned before anything else is allowed. In what is said above
the largest cost then stands in place of `most`.
"""

from __future__ import annotations


class Budget:
    """A bucket of tokens, filled by what is asked and not by time.

    Args:
        share: tokens that a first try brings; one further try costs one. 0: there are none.
        most: tokens held at most, for the first moments of an outage.
        reserve: tokens to begin with, so that the very first question may be tried again.
    """

    __slots__ = ("_most", "_share", "_tokens", "earned", "spent")

    def __init__(self, share: float, *, most: float = 8.0, reserve: float = 0.0) -> None:
        if share < 0 or most < reserve or reserve < 0:
            raise ValueError("a budget is not negative, and holds its reserve")
        self._share = share
        self._most = most
        self._tokens = reserve if share else 0.0
        self.earned = 0
        """First tries that were counted."""
        self.spent = 0
        """Further tries that were allowed."""

    def earn(self, count: int = 1) -> None:
        """Count first tries."""
        self.earned += count
        self._tokens = min(self._most, self._tokens + self._share * count)

    def spend(self, count: int = 1) -> bool:
        """Take so many further tries, all or none; whether there were so many, or as many as there can be."""
        if not self._share or self._tokens < min(count, self._most):
            return False
        self._tokens -= count
        self.spent += count
        return True
