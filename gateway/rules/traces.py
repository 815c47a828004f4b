"""Traces of life: how well they show that a person is alive.

Owns: points, independent departments, the anchor (the newest well-verified trace), strong, medium and weak. Refuses:
events; deaths.py and absence.py decide whether a trace contradicts one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import Index, Int32, greatest
from gateway.rules.kinds import DEPARTMENT_SLOTS
from gateway.rules.reasons import ReasonCode
from gateway.rules.stamps import Stamp, first_stamp
from wugan.federation.v1 import vocabulary_pb2 as words


@dataclass(frozen=True, slots=True)
class TraceRows:
    """The rows that are traces and may be used: seen by the day asked about, dated, understood.

    `cell` is kind * STRENGTH_SLOTS + strength, `stamp` the trace as one number that sorts by day.
    """

    subject: Index
    kind: NDArray[np.uint32]
    department: NDArray[np.uint32]
    cell: NDArray[np.uint32]
    day: Int32
    stamp: Stamp

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, rows: Index) -> TraceRows:
        """Some of the rows."""
        return TraceRows(
            self.subject[rows],
            self.kind[rows],
            self.department[rows],
            self.cell[rows],
            self.day[rows],
            self.stamp[rows],
        )


@dataclass(frozen=True, slots=True)
class Alive:
    """What the traces say of each subject.

    Args:
        status: ALIVE_STRONG, ALIVE_MEDIUM or ALIVE_WEAK.
        code: the reason.
        told: stamp of the trace that the reason tells of, 0: none.
        departments: independent departments with a trace within the cycle, those of one source counted once.
        newest: stamp of the newest trace, 0: none.
        anchor: stamp of the newest well-verified trace of the strong rule, 0: none.
    """

    status: Int32
    code: Int32
    told: Stamp
    departments: NDArray[np.int64]
    newest: Stamp
    anchor: Stamp


def weigh(book: RuleBook, count: int, rows: TraceRows, as_of_on: int) -> Alive:
    """Grade each subject by its traces.

    Points of a department, or of several that are one source, are those of the best trace, so that neither repetitions
    nor many of a kind add weight. Every aggregate is a maximum or a sum of maxima: adding a trace never lowers a grade.
    """
    rule, table = book.grading, book.kinds
    age = np.int32(as_of_on) - rows.day
    points = table.points.take(rows.cell) * rule.age_percent.take(age, mode="clip")
    verified = table.strength.take(rows.cell)
    if not table.uniform_validity:
        valid = age <= table.valid_days.take(rows.kind)
        points *= valid
        verified *= valid
    best = np.zeros((count, DEPARTMENT_SLOTS), np.int32)
    np.maximum.at(best.reshape(-1), rows.subject * DEPARTMENT_SLOTS + rule.source.take(rows.department), points)
    departments = np.add.reduce(best.astype(np.bool_), axis=1, dtype=np.int64)
    newest = greatest(count, rows.subject, rows.stamp)
    anchor = medium_anchor = greatest(count, rows.subject, rows.stamp * (verified >= rule.medium_anchor_strength))
    if rule.strong_anchor_strength != rule.medium_anchor_strength:
        anchor = greatest(count, rows.subject, rows.stamp * (verified >= rule.strong_anchor_strength))

    total = np.add.reduce(best, axis=1, dtype=np.int64)
    measured = np.array((departments, anchor, medium_anchor, departments, total, departments, newest))
    least = np.array(
        (
            rule.strong_departments,
            first_stamp(as_of_on - rule.strong_anchor_days),
            first_stamp(as_of_on - rule.medium_anchor_days),
            rule.medium_departments,
            rule.medium_points,
            1,
            1,
        )
    )
    facts = measured >= least[:, None]
    bits = np.packbits(facts, axis=0, bitorder="little")[0]
    told = np.where(facts[2], medium_anchor, newest)
    return Alive(STATUSES[bits], CODES[bits], told, departments, newest, anchor)


def _outcomes() -> tuple[Int32, Int32]:
    """Status and reason by the seven facts, in the order of bits in which `weigh` finds them."""
    statuses, codes = np.zeros(128, np.int32), np.zeros(128, np.int32)
    for bits in range(128):
        strong_many, strong_anchor, real_name, several_many, points, counted, seen = (
            bool(bits >> place & 1) for place in range(7)
        )
        if strong_many and strong_anchor:
            status, code = words.SURVIVAL_STATUS_ALIVE_STRONG, ReasonCode.INDEPENDENT_DEPARTMENTS
        elif real_name:
            status = words.SURVIVAL_STATUS_ALIVE_MEDIUM
            code = ReasonCode.REAL_NAME_NOT_RECENT if strong_many else ReasonCode.REAL_NAME_ONE_DEPARTMENT
        elif several_many and points:
            status, code = words.SURVIVAL_STATUS_ALIVE_MEDIUM, ReasonCode.SEVERAL_WEAKER_TRACES
        elif counted:
            status, code = words.SURVIVAL_STATUS_ALIVE_WEAK, ReasonCode.WEAK_TRACES_ONLY
        else:
            status = words.SURVIVAL_STATUS_ALIVE_WEAK
            code = ReasonCode.NO_RECENT_TRACES if seen else ReasonCode.NO_TRACES
        statuses[bits], codes[bits] = status, code
    return statuses, codes


STATUSES, CODES = _outcomes()
"""What comes of the seven facts."""
DEPARTMENTS_TOLD = frozenset(
    {ReasonCode.INDEPENDENT_DEPARTMENTS, ReasonCode.REAL_NAME_NOT_RECENT, ReasonCode.SEVERAL_WEAKER_TRACES}
)
"""Reasons that tell how many independent departments there are."""
BY_REAL_NAME = frozenset({ReasonCode.REAL_NAME_ONE_DEPARTMENT, ReasonCode.REAL_NAME_NOT_RECENT})
"""Reasons for medium that last as long as one trace is recent."""
