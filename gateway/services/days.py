"""Days as requests write them.

Owns: reading "YYYY-MM-DD", and nothing else that ISO 8601 allows. Refuses: knowing which days make sense.
"""

from __future__ import annotations

import datetime as dt

from gateway.errors import RefusedError

_EPOCH = dt.date(1970, 1, 1)


def civil_day_of(text: str) -> int:
    """Civil day of "YYYY-MM-DD"; 0 for an empty text.

    Raises:
        RefusedError: it is no day.
    """
    if not text:
        return 0
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = _EPOCH
    day = (date - _EPOCH).days
    if date.isoformat() != text or day <= 0:  # ISO 8601 knows other spellings of ten characters, such as 2026-W01-1
        raise RefusedError(
            'as_of: write a date as "YYYY-MM-DD", from 1970 on',
            "as_of：日期格式应为 “YYYY-MM-DD”，且不早于 1970 年",
            field="as_of",
        )
    return day
