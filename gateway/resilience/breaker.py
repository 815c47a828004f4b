"""A circuit breaker: a peer that keeps failing is left alone for a while, then tried by a few.

    CLOSED      everybody is let through. Opens when of at least `calls` calls within the window a share of `error_rate`
                failed, or a share of `slow_rate` took longer than `slow_s`; or when for `silent_s` as many failed and
                none did well, whatever went well before and however long that took: who was asked much would be asked
                in vain for long, and who is asked seldom for ever.
    OPEN        nobody is let through until the interval is over. Intervals double with each opening in a row.
    HALF_OPEN   `probes` calls at once are let through. As many successes close it; one failure opens it again.

What a call says is one of three: it did well, it failed, or nothing, such as one that was given up or given too little
time to tell. A call that was let through before the breaker last changed says nothing either.

Owns: this rule. Refuses: knowing what a failure is, calling anybody, and writing its state down: `outage` is what is
worth keeping, `restore` takes it back after a restart.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.resilience.backoff import Backoff, Outage, Random, chance, failed_again
from gateway.sections.resilience import BreakerSettings

_SLICES = 10
"""Parts of the window, the oldest of which is forgotten at a time."""
_SLOW = "SLOW"


class State(enum.Enum):
    """See the module."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Said(enum.Enum):
    """What a call says of its peer."""

    WELL = "well"
    FAILED = "failed"
    NOTHING = "nothing"


_CLOSED: Final = State.CLOSED
_OPEN: Final = State.OPEN
_HALF_OPEN: Final = State.HALF_OPEN
_WELL: Final = Said.WELL
_FAILED: Final = Said.FAILED
_NOTHING: Final = Said.NOTHING
"""A name of a module is read ten times as quickly as one of a class; a call reads a dozen of these."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and for how long.

    Args:
        window_s: seconds looked back on.
        calls: fewer within the window say nothing.
        error_rate: share of calls that failed, from which on it opens.
        silent_s: seconds from a failure, with none between that did well, after which it opens.
        slow_s: a call that takes longer is slow.
        slow_rate: share of slow calls from which on it opens.
        probes: calls at once while half-open, and successes after which it closes.
        backoff: intervals of being open.
    """

    window_s: float
    calls: int
    error_rate: float
    silent_s: float
    slow_s: float
    slow_rate: float
    probes: int
    backoff: Backoff

    @classmethod
    def of(cls, settings: BreakerSettings) -> Limits:
        """The limits that settings say. Intervals take half of their bound at least: one of nothing would be none."""
        return cls(
            window_s=settings.window_s,
            calls=settings.calls,
            error_rate=settings.error_rate,
            silent_s=settings.silent_s,
            slow_s=settings.slow_ms / 1000,
            slow_rate=settings.slow_rate,
            probes=settings.probes,
            backoff=Backoff(settings.open_s, max(settings.open_s, settings.longest_open_s), 0.5),
        )


class Pass(NamedTuple):
    """A call that was let through: when, and in which period of the breaker."""

    at: float
    period: int


class Breaker:
    """The breaker of one peer, used from one event loop.

    Args:
        limits: of it.
        clock: monotonic for the window and the interval, wall time for `outage`.
        changed: called after `outage` became another.
        drawn: the chance that jitters the intervals.
    """

    __slots__ = (
        "_began",
        "_calls",
        "_changed",
        "_clock",
        "_drawn",
        "_failed",
        "_failing_since_ms",
        "_in_a_row",
        "_limits",
        "_period",
        "_probing",
        "_since",
        "_slices",
        "_slow",
        "_until",
        "_well",
        "outage",
        "reason",
        "state",
    )

    def __init__(
        self, limits: Limits, clock: Clock, *, changed: Callable[[], None] | None = None, drawn: Random = chance
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = changed
        self._drawn = drawn
        self.state = _CLOSED
        self.outage: Outage | None = None
        """Since when it fails and when it is tried next; None: it does well, or has not failed enough to be left."""
        self.reason = ""
        """How it failed last."""
        self._period = 0
        self._until = 0.0
        self._probing = 0
        self._well = 0
        self._failing_since_ms: int | None = None
        self._in_a_row = 0  # calls that failed since one did well
        self._since = 0.0  # the first of them, monotonic
        # (slice number, calls, failed, slow), the newest last; and their sums.
        self._slices: deque[list[int]] = deque()
        self._began = clock.monotonic()
        self._calls = self._failed = self._slow = 0

    @property
    def retry_after_ms(self) -> int:
        """When it may let somebody through again; 0: now."""
        return max(0, round((self._until - self._clock.monotonic()) * 1000)) if self.state is _OPEN else 0

    @property
    def refuses(self) -> bool:
        """Whether a call would not be let through just now."""
        if self.state is _CLOSED:
            return False
        if self.state is _OPEN:
            return self._clock.monotonic() < self._until
        return self._probing >= self._limits.probes

    def admit(self) -> Pass | None:
        """Let a call through, which is then to be settled in any case; None: it is not let through."""
        now = self._clock.monotonic()
        if self.state is _OPEN and now >= self._until:
            self._enter(_HALF_OPEN)
        if self.state is _OPEN:
            return None
        if self.state is _HALF_OPEN:
            if self._probing >= self._limits.probes:
                return None
            self._probing += 1
        return Pass(now, self._period)

    def settle(self, given: Pass, said: Said, reason: str = "") -> None:
        """Take in what a call that was let through says, once; `reason` names how it failed."""
        if given.period != self._period:
            return
        now = self._clock.monotonic()
        if said is _WELL:
            self._failing_since_ms = None
            self._in_a_row = 0
        elif said is _FAILED:
            self.reason = reason
            if self._failing_since_ms is None:
                self._failing_since_ms = self._clock.now_ms()
            if not self._in_a_row:
                self._since = now
            self._in_a_row += 1
        slow = said is _WELL and now - given.at > self._limits.slow_s
        if self.state is _HALF_OPEN:
            self._probed(said, slow=slow)
        elif said is not _NOTHING:
            self._count(now, failed=said is _FAILED, slow=slow)
            self._judge(now)

    def restore(self, outage: Outage) -> None:
        """Begin as an earlier process left off; a time to come that its back-off could not have meant is not believed.

        Wall clocks are set, so the interval is bounded by what the limits allow.
        """
        longest_s = self._limits.backoff.longest_s
        left_s = min(max(0.0, (outage.next_try_ms - self._clock.now_ms()) / 1000), longest_s)
        self.outage = outage
        self.reason = outage.reason
        self._failing_since_ms = outage.since_ms
        self._enter(_OPEN)
        self._until = self._clock.monotonic() + left_s

    def _probed(self, said: Said, *, slow: bool) -> None:
        self._probing -= 1
        if said is _FAILED or slow:
            self._open(_SLOW if slow else self.reason)
        elif said is _WELL:
            self._well += 1
            if self._well >= self._limits.probes:
                self.outage = None
                self._enter(_CLOSED)
                self._tell()

    def _count(self, now: float, *, failed: bool, slow: bool) -> None:
        number = int((now - self._began) / self._limits.window_s * _SLICES)
        slices = self._slices
        while slices and slices[0][0] <= number - _SLICES:
            _, calls, old_failed, old_slow = slices.popleft()
            self._calls -= calls
            self._failed -= old_failed
            self._slow -= old_slow
        if not slices or slices[-1][0] != number:
            slices.append([number, 0, 0, 0])
        newest = slices[-1]
        newest[1] += 1
        self._calls += 1
        if failed:
            newest[2] += 1
            self._failed += 1
        if slow:
            newest[3] += 1
            self._slow += 1

    def _judge(self, now: float) -> None:
        limits = self._limits
        # However few of them are within the window: who is asked seldom would be asked in vain for ever.
        if self._in_a_row >= limits.calls and now - self._since >= limits.silent_s:
            self._open(self.reason)
        elif self._calls < limits.calls:
            return
        elif self._failed >= limits.error_rate * self._calls:
            if self._failed:
                self._open(self.reason)
        elif self._slow and self._slow >= limits.slow_rate * self._calls:
            self._open(_SLOW)

    def _open(self, reason: str) -> None:
        self.reason = reason
        now_ms = self._clock.now_ms()
        self.outage = failed_again(
            self.outage, now_ms, reason, self._limits.backoff, self._drawn(), since_ms=self._failing_since_ms
        )
        self._enter(_OPEN)
        self._until = self._clock.monotonic() + self.outage.interval_ms / 1000
        self._tell()

    def _enter(self, state: State) -> None:
        self.state = state
        self._period += 1
        self._probing = self._well = 0
        self._slices.clear()
        self._calls = self._failed = self._slow = self._in_a_row = 0

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()
