"""How fast, and how patiently, a partner is served: it may have been away for a week, and has others to serve as well.

Owns: the rate at which deliveries go to one partner (a bucket that refills; halved when the partner says it is too much
or is late, and slowly raised again), and the time between attempts while it fails. Refuses: sleeping, and reading a
clock.
"""

from __future__ import annotations

from typing import Final

from gateway.resilience.backoff import Backoff
from gateway.sections.lasting import OutboxSettings

_SLOWEST: Final = 1.0
_RECOVERY: Final = 1.05


class Pace:
    """Of one partner.

    Args:
        rate: deliveries a second at most.
        burst: deliveries that may go at once after a pause.
        now_s: monotonic seconds.
    """

    def __init__(self, rate: float, burst: int, now_s: float) -> None:
        self._most = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now_s
        self.rate = rate

    def room(self, now_s: float) -> int:
        """How many deliveries may go now."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at) * self.rate)
        self._at = now_s
        return int(self._tokens)

    def wait_s(self) -> float:
        """Seconds until there is room for one, or a tenth of the burst, whichever is more: few large envelopes."""
        wanted = max(1.0, self._burst / 10)
        return max(0.0, (wanted - self._tokens) / self.rate)

    def sent(self, deliveries: int) -> None:
        """Count deliveries that went well."""
        self._tokens -= deliveries
        self.rate = min(self._most, self.rate * _RECOVERY)

    def too_much(self) -> None:
        """The partner was overloaded or late: go slower."""
        self.rate = max(_SLOWEST, self.rate / 2)
        self._tokens = min(self._tokens, 0.0)


def pause_ms(failures: int, settings: OutboxSettings, drawn: float) -> int:
    """Milliseconds until the next attempt after so many failures in a row; `drawn`: from 0 to below 1.

    Never less than a tenth of its bound, so that bad luck does not make it a hammer.
    """
    backoff = Backoff(settings.retry_first_s, settings.retry_longest_s, least=0.1)
    return max(1, round(1000 * backoff.wait_s(failures, drawn)))
