"""What the log is told of refused requests and handshakes: the first of each kind, then now and then how many more.

Owns: counting them. Refuses: a line for each: a gateway that was revoked asks again for as long as it runs, and the log
would hold nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from gateway.clock import Clock

AGAIN_S: Final = 600.0
"""For how long a refusal like one that was logged is only counted (our choice)."""
MAX_KINDS: Final = 1024
"""Kinds counted apart; what comes beyond is counted together, since anybody may bring it about."""

_log = structlog.stdlib.get_logger(__name__)


class Refusal(NamedTuple):
    """What makes two refusals the same.

    Args:
        path: asked for; "" where none was.
        code: of the error.
        status: HTTP; 0 where it did not come to that.
        member: whose certificate was shown; "" where none of this federation was.
        reason: why, in English, where the code does not say it; one of few.
    """

    path: str
    code: str
    status: int
    member: str
    reason: str = ""


@dataclass(slots=True)
class _Counted:
    logged_at_s: float
    since: int = 0


class Refusals:
    """Counts and logs them.

    Args:
        clock: tells how long ago one was logged.
        event: what the lines are called.
    """

    def __init__(self, clock: Clock, event: str = "refused") -> None:
        self._clock = clock
        self._event = event
        self._counted: dict[Refusal, _Counted] = {}

    def note(self, refusal: Refusal) -> None:
        """One more."""
        now_s = self._clock.monotonic()
        if refusal not in self._counted and len(self._counted) >= MAX_KINDS:
            self._forget(now_s)
            if len(self._counted) >= MAX_KINDS:
                refusal = Refusal("", refusal.code, refusal.status, "")
        counted = self._counted.get(refusal)
        if counted is None:
            self._counted[refusal] = _Counted(now_s)
            self._tell(refusal, 1)
        elif now_s < counted.logged_at_s + AGAIN_S:
            counted.since += 1
        else:
            self._tell(refusal, counted.since + 1)
            counted.since, counted.logged_at_s = 0, now_s

    def _forget(self, now_s: float) -> None:
        """Make room: what was logged long ago and has not come again."""
        old = [each for each, counted in self._counted.items() if now_s >= counted.logged_at_s + AGAIN_S]
        for each in old:
            if self._counted[each].since:
                self._tell(each, self._counted[each].since)
            del self._counted[each]

    def _tell(self, refusal: Refusal, times: int) -> None:
        about = {name: value for name, value in refusal._asdict().items() if value and name != "code"}
        _log.warning(self._event, **about, error=refusal.code, times=times)
