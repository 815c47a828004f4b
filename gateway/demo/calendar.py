"""Civil days of the demo world as numpy columns: days from 1970-01-01, as everywhere in the contract.

Owns: taking days apart and putting them together, whole columns at a time. Refuses: time zones; a civil day is a day in
Asia/Shanghai already.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.int32]
Ints = NDArray[np.int64]

_EPOCH = dt.date(1970, 1, 1)


def to_date(day: int) -> dt.date:
    """The date of one civil day."""
    return _EPOCH + dt.timedelta(days=day)


def to_day(date: dt.date) -> int:
    """The civil day of one date."""
    return (date - _EPOCH).days


def iso(day: int) -> str:
    """As YYYY-MM-DD; an empty text for 0 (not given)."""
    return to_date(day).isoformat() if day else ""


def parts(days: Days) -> tuple[Ints, Ints, Ints]:
    """Year, month and day of the month of each."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    years = dates.astype("datetime64[Y]")
    return (
        years.astype(np.int64) + 1970,
        (months - years).astype(np.int64) + 1,
        (dates - months).astype(np.int64) + 1,
    )


def from_parts(year: Ints, month: Ints, day: Ints) -> Days:
    """The civil days of valid year, month, day columns."""
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1).astype("timedelta64[M]")
    days: Days = (months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")).astype(np.int64).astype(np.int32)
    return days


def compact(days: Days) -> Ints:
    """Each as the number YYYYMMDD; 0 stays 0."""
    year, month, day = parts(days)
    return np.where(days == 0, 0, year * 10_000 + month * 100 + day)


def month_end(days: Days) -> Days:
    """The last day of each one's month."""
    following = days.astype("datetime64[D]").astype("datetime64[M]") + np.timedelta64(1, "M")
    last: Days = (following.astype("datetime64[D]").astype(np.int64) - 1).astype(np.int32)
    return last


def years_before(day: int, years: int) -> int:
    """The same date `years` years earlier; 29 February becomes 28 February."""
    date = to_date(day)
    try:
        return to_day(date.replace(year=date.year - years))
    except ValueError:
        return to_day(date.replace(year=date.year - years, day=28))
