"""Departments that answer from memory: what is left when departments cost next to nothing is the protocol's own cost.

Owns: a made-up register in columns, and the people in it. Refuses: being loaded by the product; benches alone use it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.contract import DataItem, Description, Evidence, Found, Holders, Lookup
from wugan.adapter.v1 import vocabulary_pb2 as words

Int32 = NDArray[np.int32]

DEPARTMENTS: Sequence[tuple[str, int, int]] = (
    ("health-insurance", words.DEPARTMENT_HEALTH_INSURANCE, words.EVIDENCE_KIND_OUTPATIENT),
    ("transport", words.DEPARTMENT_TRANSPORT, words.EVIDENCE_KIND_RAIL_TRAVEL),
    ("banks", words.DEPARTMENT_BANKS, words.EVIDENCE_KIND_TELLER_WITHDRAWAL),
    ("civil-affairs", words.DEPARTMENT_CIVIL_AFFAIRS, words.EVIDENCE_KIND_CREMATION),
)
DEAD_IN_A_THOUSAND = 20
NAMES = 10_000
"""Different names."""
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
    return f"测试{serial % NAMES:04d}"


class MemoryDepartment:
    """An adapter whose source is columns in this process.

    Args:
        name: of the adapter.
        department: whose.
        kind: of evidence: a trace of everyone living, or an event of the dead.
        people: number to row.
        today: civil day.
    """

    def __init__(self, name: str, department: int, kind: int, people: dict[str, int], today: int) -> None:
        self._people = people
        events = department == words.DEPARTMENT_CIVIL_AFFAIRS
        strength = words.STRENGTH_IN_PERSON if events else words.STRENGTH_REAL_NAME
        serial = np.arange(len(people), dtype=np.int32)
        dead = serial % 1000 < DEAD_IN_A_THOUSAND
        self._names = [name_of(each) for each in range(len(people))]
        self._known = dead if events else np.ones(len(people), np.bool_)
        turns = np.arange(1 if events else TRACES, dtype=np.int32)
        first = 60 + serial % 200 if events else 5 + serial % 17 + department + 300 * dead
        self._observed = (today - first[:, None] - 23 * turns).astype(np.int32)
        self._constant = {"kind": kind, "department": department, "region": 330700, "strength": strength}
        self._constant |= {"detail": 0, "from_on": 0, "until_on": 0}
        self._columns: dict[int, dict[str, Int32]] = {}
        items = (DataItem(kind, strength, 1),)
        self._about = Description(name, "1", department, (330000,), items)

    def describe(self) -> Description:
        """What it offers."""
        return self._about

    async def lookup(self, question: Lookup) -> Found:
        """Whom it knows, and what of."""
        subjects = question.subjects
        serial = np.array(list(map(self._people.get, subjects.id_number, itertools.repeat(-1))), np.int64)
        known = self._known[serial] & (serial >= 0)
        subject = known.nonzero()[0].astype(np.int32)
        serial = serial[subject]
        held = [*subjects.id_number] if known.all() else [subjects.id_number[row] for row in subject.tolist()]
        observed = self._observed[serial]
        rows = np.repeat(subject, observed.shape[1])
        constant = self._columns.get(len(rows)) or self._columns.setdefault(
            len(rows), {name: np.full(len(rows), value, np.int32) for name, value in self._constant.items()}
        )
        observed = observed.ravel()
        return Found(
            Holders(subject, held, list(map(self._names.__getitem__, serial.tolist()))),
            Evidence(
                subject=rows,
                observed_on=observed,
                available_on=observed + np.int32(1),
                source_reference=[""] * len(rows),
                **constant,
            ),
        )

    async def check(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing is open."""


def departments(count: int, today: int) -> list[MemoryDepartment]:
    """Four departments that know so many people."""
    people = dict(zip(numbers(count), range(count), strict=True))
    return [MemoryDepartment(name, department, kind, people, today) for name, department, kind in DEPARTMENTS]
