"""Why a person was graded so: the codes and the columns that carry them.

Owns: the numbers of the codes, which are wire format (never reuse or renumber one), and the sparse columns. The texts
are in the rule file, in Chinese and English; wording.py fills them in. Refuses: deciding anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]

_NONE = np.zeros(0, np.int32)


@unique
class ReasonCode(IntEnum):
    """`code` of ReasonColumns. The name is what ReasonText.name carries."""

    INDEPENDENT_DEPARTMENTS = 1
    REAL_NAME_ONE_DEPARTMENT = 2
    REAL_NAME_NOT_RECENT = 3
    SEVERAL_WEAKER_TRACES = 4
    WEAK_TRACES_ONLY = 5
    NO_RECENT_TRACES = 6
    NO_TRACES = 7
    UNKNOWN_PERSON = 8
    IDENTITY_CONFLICT = 9
    IDENTITY_LINKED = 10
    SOURCE_SILENT = 11
    SOURCES_SILENT = 12
    CAPPED_BY_SILENCE = 13
    DATED_IN_FUTURE = 14
    NOT_UNDERSTOOD = 15
    NUMBERS_NOT_ASKED = 16
    NOBODY_ANSWERED = 17

    DEATH_CONFIRMED = 20
    DEATH_SUPPORTED = 21
    DEATH_LEAD = 22
    DEATH_LATE = 23
    DEATH_VOID = 24
    DEATH_REFUTED = 25
    DEATH_DATES_DIFFER = 26
    TRACE_AFTER_DEATH = 27
    PRESENT_AFTER_DEATH = 28
    MISUSE_AFTER_DEATH = 29
    DEATH_DECLARATION_REVOKED = 30
    DECLARED_MISSING = 31
    REPORTED_MISSING = 32
    FOUND_AGAIN = 33
    TRACE_AFTER_MISSING = 34
    TRACE_SOON_AFTER_DEATH = 35

    IMPRISONED = 40
    PAROLED = 41
    MEDICAL_RELEASE = 42
    DETAINED = 43
    TERM_MOVED = 44
    TERM_ENDED = 45
    RELEASED = 46
    NOT_IN_PRISON = 47
    PENALTY_NOT_STATED = 48

    REMARRIED = 60
    DIVORCE_DOES_NOT_RESTORE = 61
    ADOPTED = 62
    EMIGRATED = 63
    RE_EMPLOYED = 64
    DUPLICATE_BENEFIT = 65
    AGED_OUT = 66
    MOVED = 67
    ACCOUNT_FROZEN_OR_CLOSED = 68
    HEARSAY = 69
    CHILD_BENEFIT_POSSIBLE = 70

    MEMBERS_DISAGREE = 80
    REVOKED_ELSEWHERE = 81
    BENEFIT_START_UNKNOWN = 82
    BENEFIT_START_NOT_USED = 83


TRACE_CODES = frozenset(
    {
        ReasonCode.INDEPENDENT_DEPARTMENTS,
        ReasonCode.REAL_NAME_ONE_DEPARTMENT,
        ReasonCode.REAL_NAME_NOT_RECENT,
        ReasonCode.SEVERAL_WEAKER_TRACES,
        ReasonCode.WEAK_TRACES_ONLY,
        ReasonCode.NO_RECENT_TRACES,
        ReasonCode.TRACE_AFTER_DEATH,
        ReasonCode.PRESENT_AFTER_DEATH,
        ReasonCode.MISUSE_AFTER_DEATH,
        ReasonCode.TRACE_AFTER_MISSING,
        ReasonCode.TRACE_SOON_AFTER_DEATH,
    }
)
"""Codes whose parameters tell of a trace: disclosed as precisely as traces are."""

MISUSE_CODES = frozenset({ReasonCode.TRACE_AFTER_DEATH, ReasonCode.PRESENT_AFTER_DEATH, ReasonCode.MISUSE_AFTER_DEATH})
"""Of these, the ones about traces dated after a death."""

PENAL_DETAIL_CODES = frozenset(
    {ReasonCode.TERM_MOVED, ReasonCode.TERM_ENDED, ReasonCode.NOT_IN_PRISON, ReasonCode.PENALTY_NOT_STATED}
)
"""Codes that tell more of a penalty than whether it is being served."""

PENAL_CODES = frozenset(range(ReasonCode.IMPRISONED, ReasonCode.PENALTY_NOT_STATED + 1))
"""Codes that come of penal evidence."""

PLACE_CODES = frozenset({ReasonCode.DUPLICATE_BENEFIT, ReasonCode.MOVED})
"""Codes whose number is a region."""


@dataclass(frozen=True, slots=True)
class ReasonText:
    """A reason's text as ReasonText of the contract has it."""

    code: int
    name: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Sparse columns as ReasonColumns has them: by subject, most decisive first; what a text does not use is 0."""

    subject: Int32 = field(default_factory=lambda: _NONE)
    code: Int32 = field(default_factory=lambda: _NONE)
    department: Int32 = field(default_factory=lambda: _NONE)
    kind: Int32 = field(default_factory=lambda: _NONE)
    on: Int32 = field(default_factory=lambda: _NONE)
    number: Int32 = field(default_factory=lambda: _NONE)

    def __len__(self) -> int:
        return len(self.subject)

    def of(self, subject: int) -> list[tuple[ReasonCode, int, int, int, int]]:
        """One person's reasons as (code, department, kind, on, number): for reading, not for batches."""
        rows = np.flatnonzero(self.subject == subject)
        return [
            (ReasonCode(code), department, kind, on, number)
            for code, department, kind, on, number in zip(
                self.code[rows].tolist(),
                self.department[rows].tolist(),
                self.kind[rows].tolist(),
                self.on[rows].tolist(),
                self.number[rows].tolist(),
                strict=True,
            )
        ]


Column = NDArray[np.integer] | int


class ReasonSheet:
    """Where the parts of the grading write their reasons; `finish` makes the columns."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.integer], int | Int32, Column, Column, Column, Column]] = []

    def add(
        self,
        subject: NDArray[np.integer],
        code: ReasonCode | Int32,
        *,
        department: Column = 0,
        kind: Column = 0,
        on: Column = 0,
        number: Column = 0,
    ) -> None:
        """One reason for each of `subject`, which is in ascending order."""
        if len(subject):
            self._parts.append(
                (subject, int(code) if isinstance(code, ReasonCode) else code, department, kind, on, number)
            )

    def finish(self) -> Reasons:
        """All of them, by subject and, for one subject, in the order of adding."""
        parts = self._parts
        if not parts:
            return Reasons()
        if len(parts) == 1:
            total = len(parts[0][0])
            return Reasons(*[_column(value, total) for value in parts[0]])
        total = sum(len(part[0]) for part in parts)
        block = np.empty((6, total), np.int32)
        at = 0
        for part in parts:
            end = at + len(part[0])
            for column, value in enumerate(part):
                block[column, at:end] = value
            at = end
        subject = block[0]
        if np.count_nonzero(subject[1:] < subject[:-1]):
            block = block[:, np.argsort(subject, kind="stable")]
        return Reasons(*block)


def _column(value: Column, total: int) -> Int32:
    return np.full(total, value, np.int32) if isinstance(value, int) else value.astype(np.int32, copy=False)
