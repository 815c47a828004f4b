"""Departments that answer from memory: what is left when departments cost next to nothing is the protocol's own cost.

Owns: a made-up register in columns, and the people in it. Refuses: being loaded by the product; benches alone use it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.contract import DataItem, Description, Evidence, Found, Holders, Lookup
from wugan.adapter.v1 import vocabulary_pb2 as words

Int32 = NDArray[np.int32]

DEPARTMENTS: Sequence[tuple[str, int, tuple[int, ...]]] = (
    ("health-insurance", words.DEPARTMENT_HEALTH_INSURANCE, (words.EVIDENCE_KIND_OUTPATIENT,)),
    ("transport", words.DEPARTMENT_TRANSPORT, (words.EVIDENCE_KIND_RAIL_TRAVEL,)),
    ("banks", words.DEPARTMENT_BANKS, (words.EVIDENCE_KIND_TELLER_WITHDRAWAL,)),
    ("civil-affairs", words.DEPARTMENT_CIVIL_AFFAIRS, (words.EVIDENCE_KIND_CREMATION,)),
)
DEAD_IN_A_THOUSAND = 20
TRACES = 3
"""Rows of a living person in each of the departments that hold traces."""
_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2], np.int64)
_CHECK = np.frombuffer(b"10X98765432", np.uint8)


def numbers(count: int) -> list[str]:
    """Identity numbers of so many made-up people, all different, in the form of GB 11643."""
    serial = np.arange(count, dtype=np.int64)
    place = 330100 + serial % 11 * 100 + serial // 11 % 9
    rest = serial // 99
    year, month, day = 1930 + rest % 35, 1 + rest // 35 % 12, 1 + rest // 420 % 28
    # Order codes far from each other under one prefix, as those of real people are.
    order = 1 + rest // 11_760 * 37 % 1000
    text = place * 10**11 + (year * 10_000 + month * 100 + day) * 1000 + order
    digits = text[:, None] // 10 ** np.arange(16, -1, -1, dtype=np.int64) % 10
    last = _CHECK[digits @ _WEIGHTS % 11]
    characters = np.empty((count, 18), np.uint8)
    characters[:, :17] = digits + 48
    characters[:, 17] = last
    whole = characters.tobytes().decode("ascii")
    return [whole[at : at + 18] for at in range(0, len(whole), 18)]


def name_of(serial: int) -> str:
    """The name of one of them."""
    return f"测试{serial % 10_000:04d}"


class MemoryDepartment:
    """An adapter whose source is this process.

    Args:
        name: of the adapter.
        department: whose.
        kinds: of evidence: a trace, or an event of a few.
        people: number to row.
        today: civil day.
    """

    def __init__(self, name: str, department: int, kinds: Sequence[int], people: dict[str, int], today: int) -> None:
        self._people = people
        self._names = [name_of(serial) for serial in range(10_000)]
        self._today = today
        self._department = department
        self._kind = kinds[0]
        self._events = department == words.DEPARTMENT_CIVIL_AFFAIRS
        strength = words.STRENGTH_IN_PERSON if self._events else words.STRENGTH_REAL_NAME
        self._strength = strength
        self._about = Description(
            name, "1", department, (330000,), tuple(DataItem(kind, strength, 1) for kind in kinds)
        )

    def describe(self) -> Description:
        """What it offers."""
        return self._about

    async def lookup(self, question: Lookup) -> Found:
        """Whom it knows, and what of."""
        subjects = question.subjects
        people = self._people
        serial = np.fromiter((people.get(number, -1) for number in subjects.id_number), np.int64, len(subjects))
        subject = np.flatnonzero(serial >= 0).astype(np.int32)
        if self._events:
            subject = subject[serial[subject] % 1000 < DEAD_IN_A_THOUSAND]
        serial = serial[subject]
        names = self._names
        holders = Holders(
            subject,
            subjects.id_number if len(subject) == len(subjects) else [subjects.id_number[row] for row in subject],
            [names[row] for row in (serial % 10_000).tolist()],
        )
        times = 1 if self._events else TRACES
        rows = np.repeat(subject, times)
        serials = np.repeat(serial, times)
        turn = np.tile(np.arange(times), len(subject))
        dead = (serials % 1000 < DEAD_IN_A_THOUSAND) & (not self._events)
        observed = (self._today - 5 - turn * 23 - serials % 17 - self._department - 300 * dead).astype(np.int32)
        if self._events:
            observed = (self._today - 60 - serials % 200).astype(np.int32)
        count = len(rows)
        zeros = np.zeros(count, np.int32)
        return Found(
            holders,
            Evidence(
                subject=rows,
                kind=np.full(count, self._kind, np.int32),
                department=np.full(count, self._department, np.int32),
                region=np.full(count, 330700, np.int32),
                observed_on=observed,
                available_on=observed + 1,
                strength=np.full(count, self._strength, np.int32),
                source_reference=[""] * count,
                detail=zeros,
                from_on=zeros,
                until_on=zeros,
            ),
        )

    async def check(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is open."""


def departments(count: int, today: int) -> list[MemoryDepartment]:
    """Four departments that know so many people."""
    people = dict(zip(numbers(count), range(count), strict=True))
    return [MemoryDepartment(name, department, kinds, people, today) for name, department, kinds in DEPARTMENTS]
