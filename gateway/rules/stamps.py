"""A row of evidence as one number that sorts by day, then kind, then department; its newest or oldest of each subject.

Owns: the packing, which carries day, kind and department through one maximum. Refuses: meaning.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.rules.columns import Index, Int32
from gateway.rules.reasons import ReasonCode, ReasonSheet

Stamp = NDArray[np.int64]

_KIND_SHIFT: Final = 4
_DAY_SHIFT: Final = 12
DAY: Final = 1 << _DAY_SHIFT
"""From the first stamp of a day to that of the next."""
NO_STAMP: Final = -(1 << 62)
"""Before every stamp."""


def stamps(day: Int32, kind: NDArray[np.integer], department: NDArray[np.integer]) -> Stamp:
    """Rows as numbers."""
    return (day.astype(np.int64) << _DAY_SHIFT) | (kind << _KIND_SHIFT) | department


def stamp_of(day: int, kind: int, department: int) -> int:
    """One row as a number."""
    return day << _DAY_SHIFT | kind << _KIND_SHIFT | department


def told_by(stamp: int) -> tuple[int, int, int]:
    """Department, kind and day of one stamp."""
    return stamp & 0xF, stamp >> _KIND_SHIFT & 0xFF, stamp >> _DAY_SHIFT


def first_stamp(day: int) -> int:
    """The least stamp of a day."""
    return day * DAY


def stamp_day(stamp: Stamp) -> Int32:
    """The day of a stamp."""
    return (stamp >> _DAY_SHIFT).astype(np.int32)


def newest_stamp(count: int, subject: Index, stamp: Stamp) -> Stamp:
    """The newest of each of `count` subjects, NO_STAMP where there is none."""
    found = np.empty(count, np.int64)
    found.fill(NO_STAMP)
    np.maximum.at(found, subject, stamp)
    return found


def oldest_stamp(count: int, subject: Index, stamp: Stamp) -> Stamp:
    """The oldest of each of `count` subjects, NO_STAMP where there is none."""
    found = newest_stamp(count, subject, -stamp)
    return np.where(found == NO_STAMP, NO_STAMP, -found)


def tell_stamps(
    sheet: ReasonSheet, rows: Index, stamp: Stamp, code: ReasonCode | Int32, number: NDArray[np.integer] | int = 0
) -> None:
    """One reason for each of `rows`, telling of the row's stamp; `stamp` and `number` are parallel to `rows`."""
    low = stamp.astype(np.int32)  # department and kind are in its low bits
    sheet.add(rows, code, department=low & 0xF, kind=(low >> _KIND_SHIFT) & 0xFF, on=stamp_day(stamp), number=number)


def tell_found(sheet: ReasonSheet, stamp: Stamp, code: ReasonCode, number: NDArray[np.integer] | None = None) -> None:
    """One reason for each subject that has a stamp; `stamp` and `number` are by subject."""
    rows = (stamp != NO_STAMP).nonzero()[0]
    tell_stamps(sheet, rows, stamp[rows], code, 0 if number is None else number[rows])
