"""What is counted of a department's answers: one row of whole numbers, added up as often as one likes.

Owns: the places in the row, the classes of delays, percentiles of them. Refuses: meaning of a share (`judging.py`).

A row is of one adapter, department, kind of evidence, prefecture and month. Kind 0 stands for the source as a whole.
The place of a count is kept for ever: rows of earlier versions are added to later ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class C(IntEnum):
    """Places. Of the source (kind 0) up to REJECTED, of an item from ROWS on."""

    LOOKUPS = 0
    ANSWERED = 1
    SILENT = 2
    UNAVAILABLE = 3
    FAULTY = 4
    ASKED = 5
    """People asked about in lookups that were answered."""
    KNOWN = 6
    NUMBERS = 7
    """Numbers read from the source itself, in samples only."""
    ILL_FORMED = 8
    TAKEN_IN = 9
    """Rows of dropped files, in samples only."""
    REJECTED = 10

    ROWS = 12
    NO_DAY = 13
    NO_AVAILABLE = 14
    NO_REGION = 15
    REFERENCES = 16
    """Rows of which a reference was wanted."""
    NO_REFERENCE = 17
    TERMS = 18
    """Rows of kinds that have a first day."""
    NO_TERM = 19
    INVALID = 20
    FUTURE = 21
    BEFORE_BIRTH = 22
    BEFORE_EVENT = 23
    BAD_REGION = 24
    BAD_TERM = 25
    TIMED = 26
    """Rows with both days, in order."""
    AGREED = 27
    """Of these, rows of an item with an agreed freshness."""
    LATE = 28
    CONTRADICTED = 29
    DATES_DIFFER = 30

    DELAY = 32
    """Event → available, by class."""
    AGE = 48
    """Available → asked, by class."""


SIZE: Final = 64
EDGES: Final = np.array([0, 1, 2, 3, 5, 7, 10, 15, 20, 31, 45, 62, 92, 183, 366], np.int32)
"""Upper ends of the classes of days; the last class has none."""
CLASSES: Final = len(EDGES) + 1
BEYOND: Final = 3660
"""What stands for the last class."""


class Key(NamedTuple):
    """Whose counts: `month` as 202611, `region` a prefecture or 0, `kind` 0 for the source as a whole."""

    month: int
    adapter: str
    department: int
    kind: int
    region: int


class Example(NamedTuple):
    """One row that has a defect, so masked that only the department can find it: for its own people."""

    key: Key
    defect: int
    text: str


def empty() -> Counts:
    """Nothing counted."""
    return np.zeros(SIZE, np.int64)


def from_bytes(data: bytes) -> Counts:
    """A row as it is kept; one of another length is cut or filled up."""
    row = empty()
    kept = np.frombuffer(data[: len(data) // 8 * 8], "<i8")[:SIZE]
    row[: len(kept)] = kept
    return row


def to_bytes(counts: Counts) -> bytes:
    """A row as it is kept."""
    return counts.astype("<i8").tobytes()


def total(rows: Iterable[Counts]) -> Counts:
    """The sum."""
    added = empty()
    for row in rows:
        added += row
    return added


def classes(days: NDArray[np.int32]) -> NDArray[np.intp]:
    """The class of each number of days."""
    return np.searchsorted(EDGES, days, side="left")


def percentile(counts: Counts, first: int, percent: int) -> int | None:
    """Days within which so many of a hundred are: the upper end of their class; None where nothing was counted."""
    held = counts[first : first + CLASSES]
    whole = int(held.sum())
    if not whole:
        return None
    reached = int(np.searchsorted(np.cumsum(held) * 100, whole * percent, side="left"))
    return int(EDGES[reached]) if reached < len(EDGES) else BEYOND
