"""How long to wait after failures: exponential, with jitter, and what is known of a peer that keeps failing.

Owns: the lengths of waits (full jitter: anything from nothing to a bound that doubles), and `Outage`, the state of a
failing peer that survives a restart. Refuses: waiting, and deciding what is a failure.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Random = Callable[[], float]
"""Gives numbers from 0 to below 1, each as likely as another."""

_MOST_DOUBLINGS = 40
_SOURCE = random.SystemRandom()


def chance() -> float:
    """The randomness that is used where nobody hands in another."""
    return _SOURCE.random()


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow.

    Args:
        first_s: bound of the wait after the first failure, seconds.
        longest_s: no bound is longer.
        least: the least part of its bound that a wait takes. 0 is full jitter, which spreads those who failed together
            best; more than that where a wait of nothing would be none.
    """

    first_s: float
    longest_s: float
    least: float = 0.0

    def bound_s(self, failures: int) -> float:
        """Seconds to wait at most after so many failures in a row, from 1."""
        return min(self.longest_s, self.first_s * 2.0 ** min(max(failures, 1) - 1, _MOST_DOUBLINGS))

    def wait_s(self, failures: int, drawn: float) -> float:
        """Seconds to wait after so many failures in a row; `drawn` is the chance's, from 0 to below 1."""
        return self.bound_s(failures) * (self.least + (1.0 - self.least) * drawn)


class Outage(NamedTuple):
    """A peer that fails.

    Args:
        since_ms: its first failure after it last did well, Unix milliseconds.
        failures: times that it was given up in a row.
        interval_ms: from the last of them to the next try.
        next_try_ms: not asked before, Unix milliseconds.
        reason: short name of how it failed last, e.g. "DEADLINE_EXCEEDED".
    """

    since_ms: int
    failures: int
    interval_ms: int
    next_try_ms: int
    reason: str


def failed_again(
    known: Outage | None, now_ms: int, reason: str, backoff: Backoff, drawn: float, *, since_ms: int | None = None
) -> Outage:
    """What is known of a peer after it failed once more.

    Args:
        known: what was known before; None: it did well.
        now_ms: Unix time in milliseconds.
        reason: how it failed.
        backoff: gives the interval.
        drawn: the chance's, from 0 to below 1.
        since_ms: its first failure, where that was before it was given up.
    """
    failures = 1 if known is None else known.failures + 1
    interval_ms = round(backoff.wait_s(failures, drawn) * 1000)
    began_ms = known.since_ms if known is not None else now_ms if since_ms is None else since_ms
    return Outage(began_ms, failures, interval_ms, now_ms + interval_ms, reason)
