"""Small tools over columns that the parts of the grading share.

Owns: aggregates by subject, sparse rows without repetitions, civil days. Refuses: rules.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RefusedError

Int32 = NDArray[np.int32]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

NEVER: Final = -(1 << 30)
"""Before every day."""
FAR: Final = 1 << 30
"""After every day."""

_DAYS: Final = np.dtype("M8[D]")
_MONTHS: Final = np.dtype("M8[M]")
_DAY_OFFSET: Final = 1 << 20
_FIRST_PACKED: Final = np.int32(-_DAY_OFFSET)
_LAST_PACKED: Final = np.int32(_DAY_OFFSET - 1)
MAX_SUBJECTS: Final = 1 << 24


class EvidenceLike(Protocol):
    """The integer columns of `adapters.contract.Evidence`."""

    @property
    def subject(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def kind(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def department(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def region(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def observed_on(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def available_on(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def strength(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def detail(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def from_on(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...

    @property
    def until_on(self) -> Int32:
        """As in EvidenceColumns of the contract."""
        ...


def greatest(count: int, subject: Index, value: NDArray[np.int64]) -> NDArray[np.int64]:
    """The greatest value of each of `count` subjects, 0 where there is none; no value is negative."""
    found = np.zeros(count, np.int64)
    if count == 1:
        if len(value):
            found[0] = np.maximum.reduce(value)  # a single person is by far the most common batch: a fifth of the cost
    else:
        np.maximum.at(found, subject, value)
    return found


def latest(count: int, subject: Index, day: Int32) -> Int32:
    """The latest day of each of `count` subjects, NEVER where there is none."""
    found = np.empty(count, np.int32)
    found.fill(NEVER)
    if len(subject):
        np.maximum.at(found, subject, day)
    return found


def earliest(count: int, subject: Index, day: Int32) -> Int32:
    """The earliest day of each of `count` subjects, FAR where there is none."""
    found = np.empty(count, np.int32)
    found.fill(FAR)
    if len(subject):
        np.minimum.at(found, subject, day)
    return found


def pack(subject: Index, day: Int32, kind: NDArray[np.integer], department: NDArray[np.integer]) -> NDArray[np.int64]:
    """One sortable number of a row: by subject, then day, kind, department."""
    days = np.minimum(np.maximum(day, _FIRST_PACKED), _LAST_PACKED).astype(np.int64) + _DAY_OFFSET
    return (subject.astype(np.int64) << 36) | (days << 15) | (kind.astype(np.int64) << 4) | department


def distinct(packed: NDArray[np.int64], *further: NDArray[np.int32]) -> Index:
    """Rows that differ in `packed` or in a further column, sorted: the same whatever the order of the rows."""
    if len(packed) < 2:
        return np.arange(len(packed))
    columns: list[NDArray[np.integer]] = [*further[::-1], packed]
    order = np.lexsort(columns)
    new = np.zeros(len(order), np.bool_)
    new[0] = True
    for column in columns:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    return order[new]


def attained_on(birth_on: Int32, years: int) -> Int32:
    """The day on which somebody attains so many full years: the birthday; 1 March for 29 February in a common year.

    Years are counted by the calendar (Civil Code, article 200). 1 March for somebody born on 29 February is our choice,
    in favour of the recipient: by article 202 it would be the last of February.
    """
    born = birth_on.astype("M8[D]")
    month = born.astype("M8[M]")
    into_month = born - month.astype("M8[D]")
    attained: Int32 = ((month + np.timedelta64(12 * years, "M")).astype("M8[D]") + into_month).astype(np.int64)
    return attained.astype(np.int32)


def month_start(day: Int32) -> Int32:
    """The first day of the month of each day."""
    return day.astype(_DAYS).astype(_MONTHS).astype(_DAYS).astype(np.int32)


def next_month_start(day: Int32) -> Int32:
    """The first day of the month after each day's month."""
    month = day.astype("M8[D]").astype("M8[M]") + np.timedelta64(1, "M")
    return month.astype("M8[D]").astype(np.int64).astype(np.int32)


def same_length(count: int, **columns: NDArray[np.generic]) -> None:
    """Refuse columns that are not `count` long.

    Raises:
        RefusedError: naming the column.
    """
    for name, column in columns.items():
        if len(column) != count:
            raise RefusedError(
                f"column {name!r} has {len(column)} rows, {count} are needed",
                f"列 {name!r} 有 {len(column)} 行，应为 {count} 行",
                field=name,
            )
