"""The time that an authority has lived through: what it forgets for good, it forgets by this and not by the clock.

Owns: that time, in the ledger. It goes on with the clock, by a day at most from one look to the next, and what is told
is never later than the clock. So a clock that is months ahead for an hour makes nothing old that is not, and one that
is years behind for an hour stops nothing; after a long silence things are only kept longer. Refuses: telling the time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from certs.ledger_file import to_ms, to_time
from certs.profiles import STEP_BACK

LONGEST_STEP: Final = dt.timedelta(days=1)
_LIVED: Final = "lived until"
_LOOKED: Final = "looked at"
_NOTED_EVERY_MS: Final = 600_000
"""What would move it by less is not written down."""


def lived_until(now: dt.datetime, state: Callable[[str], str], set_state: Callable[[str, str], None]) -> dt.datetime:
    """The time lived through; noted, so within one change of the ledger.

    Args:
        now: what the clock says, with time zone.
        state: what the ledger keeps under a name, "" where it keeps nothing.
        set_state: keeps it.

    Raises:
        LedgerError: the ledger cannot be used.
    """
    now_ms = to_ms(now)
    lived_ms, looked_ms = int(state(_LIVED) or now_ms), int(state(_LOOKED) or now_ms)
    step_ms = min(max(now_ms - looked_ms, 0), LONGEST_STEP // dt.timedelta(milliseconds=1))
    after_ms = max(lived_ms, min(now_ms, lived_ms + step_ms))
    if abs(now_ms - looked_ms) >= _NOTED_EVERY_MS or not state(_LIVED):
        set_state(_LIVED, str(after_ms))
        set_state(_LOOKED, str(now_ms))
    return to_time(min(now_ms, after_ms))


def later_before(now: dt.datetime, state: Callable[[str], str]) -> dt.datetime | None:
    """What has been lived through already, where that is later than the clock by more than clocks are set by: it is
    behind now, or was ahead. None where the clock goes on.

    Args:
        now: what the clock says, with time zone.
        state: what the ledger keeps under a name.

    Raises:
        LedgerError: the ledger cannot be used.
    """
    lived_ms = int(state(_LIVED) or 0)
    return to_time(lived_ms) if lived_ms > to_ms(now + STEP_BACK) else None
