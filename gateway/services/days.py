"""Days as requests write them.

Owns: reading "YYYY-MM-DD", and nothing else that ISO 8601 allows. Refuses: knowing which days make sense.
"""

from __future__ import annotations

import datetime as dt

from gateway.errors import RefusedError

_EPOCH = dt.date(1970, 1, 1)


FIRST_START = dt.date(1949, 10, 1)
"""No benefit of today began before it; earlier dates stand for "not known" in registers, as 1900-01-01 does."""


def start_day_of(text: str) -> int:
    """Civil day of "YYYY-MM-DD" since which a benefit is paid; 0 for an empty text. The first of January 1970, which is
    day 0 and would mean "not known", is the day after.

    Raises:
        RefusedError: it is no day, or one before there were such benefits.
    """
    if not text:
        return 0
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        date = dt.date.min
    if date.isoformat() != text or date < FIRST_START:
        raise RefusedError(
            f'benefit_since: write a date as "YYYY-MM-DD", from {FIRST_START} on; leave it out where it is not known',
            f"benefit_since：日期格式应为 “YYYY-MM-DD”，且不早于 {FIRST_START}；不清楚时请勿填写",
            field="benefit_since",
        )
    return (date - _EPOCH).days or 1


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
