"""A running quantile of times, in constant memory: what a peer's usual slow answer is.

Owns: a histogram whose bounds grow by a tenth, from 0.1 ms to about an hour, in which older times count ever less.
Refuses: exactness: the answer is the upper bound of a bucket, up to a tenth too long.
"""

from __future__ import annotations

from bisect import bisect_left

_LEAST_S = 0.0001
_STEP = 1.1
_BUCKETS = 184
_BOUNDS = [_LEAST_S * _STEP**place for place in range(_BUCKETS)]
_HALVE_AT = 2_048
"""Times after which all counts are halved."""
_KEEP_FOR = 32
"""Times for which a quantile that was worked out is given again."""


class Quantile:
    """See the module.

    Args:
        share: which quantile, e.g. 0.95.
        least: fewer times than that say nothing.
    """

    __slots__ = ("_age", "_counts", "_known", "_least", "_share", "_total")

    def __init__(self, share: float = 0.95, *, least: int = 20) -> None:
        if not 0 < share < 1:
            raise ValueError("a quantile is between 0 and 1")
        self._share = share
        self._least = least
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._known: float | None = None
        self._age = 0

    def add(self, time_s: float) -> None:
        """Take in a time, seconds."""
        self._counts[bisect_left(_BOUNDS, time_s, 0, _BUCKETS - 1)] += 1
        self._total += 1
        self._age += 1
        if self._total >= _HALVE_AT:
            self._counts = [count / 2 for count in self._counts]
            self._total = sum(self._counts)

    def value(self) -> float | None:
        """The quantile in seconds; None while too few times were taken in."""
        if self._total < self._least:
            return None
        if self._known is None or self._age >= _KEEP_FOR:
            self._age = 0
            below, wanted = 0.0, self._share * self._total
            for place, count in enumerate(self._counts):
                below += count
                if below >= wanted:
                    self._known = _BOUNDS[place]
                    break
        return self._known
