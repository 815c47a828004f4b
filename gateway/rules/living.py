"""One person of whom nothing but traces is known, graded and told without columns: by far the most common question.

Owns: for such a person, the same grade, reason and disclosed rows that grading.py, traces.py and disclosure.py come to.
Refuses: everybody else, and whoever is not quite as plain (None): a row that is no trace, or that may not be used; an
age at which a benefit may end; more than a few rows. These, and all who are asked about together, are for the columns.

For one person nearly all that columns take is calls of NumPy, which was an eighth of the time of a question that is
alone (ADR 56). A rule is changed in the columns first; tests hold this form to them, whatever the evidence.
"""

from __future__ import annotations

import functools
from datetime import date
from typing import Final, NamedTuple

from gateway.rules.book import RuleBook
from gateway.rules.changes import may_age_out
from gateway.rules.disclosure import ReferencedEvidence, told_references
from gateway.rules.identity import province_of
from gateway.rules.kinds import DEPARTMENT_SLOTS, KIND_SLOTS, STRENGTH_SLOTS, RowClass
from gateway.rules.purposes import Precision, Rows
from gateway.rules.reasons import TRACE_CODES
from gateway.rules.stamps import first_stamp, stamp_of, told_by
from gateway.rules.traces import BY_REAL_NAME, CODES, DEPARTMENTS_TOLD, STATUSES
from wugan.federation.v1 import vocabulary_pb2 as words

_EPOCH: Final = date(1970, 1, 1).toordinal()
LAST_DAY: Final = date.max.toordinal() - _EPOCH
"""Civil days after it have no month here."""
ROWS_AT_MOST: Final = 64
"""More take longer one by one than as columns."""
_OUTCOMES: Final = tuple(zip(STATUSES.tolist(), CODES.tolist(), strict=True))


class Reason(NamedTuple):
    """The reason for the grade, as a row of ReasonColumns."""

    code: int
    department: int
    kind: int
    on: int
    number: int


class Living(NamedTuple):
    """A living person's row, as in `Grades`: no flags, and nothing that decided. `reason` is the only one."""

    status: int
    last_trace_on: int
    valid_until_on: int
    reason: Reason


class Told(NamedTuple):
    """Disclosed evidence, the columns of EvidenceColumns; the newest row first."""

    subject: list[int]
    kind: list[int]
    department: list[int]
    region: list[int]
    observed_on: list[int]
    available_on: list[int]
    strength: list[int]
    source_reference: list[str]
    detail: list[int]
    from_on: list[int]
    until_on: list[int]


class _Tables(NamedTuple):
    """The rule file's tables as plain Python numbers, by the same indexes as in `KindTable` and `Grading`."""

    row_class: bytes
    points: list[int]
    strength: bytes
    valid_days: list[int]
    age_percent: list[int]
    lasts: list[int]
    source: list[int]


@functools.lru_cache(maxsize=8)
def _tables(book: RuleBook) -> _Tables:
    table = book.kinds
    return _Tables(
        table.row_class.tobytes(),
        table.points.tolist(),
        table.strength.tobytes(),
        table.valid_days.tolist(),
        book.grading.age_percent.tolist(),
        book.valid_days.tolist(),
        book.grading.source.tolist(),
    )


def grade_living(
    book: RuleBook, evidence: ReferencedEvidence, *, benefit: int, born_on: int, as_of_on: int, since_on: int = 0
) -> Living | None:
    """Grade one person whom some source knows, under no other name and by no further number, by all that is known.

    Args:
        book: the rules.
        evidence: about this person alone; every source that was asked has answered.
        benefit: BenefitType.
        born_on: day of birth, 0: not known.
        as_of_on: civil day.
        since_on: first day of the benefit, 0: not known.

    Returns:
        What `grade` comes to; None: it has to.
    """
    if not 0 < as_of_on <= LAST_DAY or len(evidence.subject) > ROWS_AT_MOST:
        return None
    if may_age_out(book, benefit, born_on, since_on, as_of_on):
        return None
    tables, rule = _tables(book), book.grading
    row_class, points, strengths, percent = tables.row_class, tables.points, tables.strength, tables.age_percent
    sources, trace, oldest = tables.source, RowClass.TRACE, len(percent) - 1
    for_strong, for_medium = rule.strong_anchor_strength, rule.medium_anchor_strength
    best: dict[int, int] = {}  # of each independent source, its points
    newest = strong_anchor = medium_anchor = 0
    for kind, department, strength, day, available, begins, ends in zip(
        evidence.kind.tolist(),
        evidence.department.tolist(),
        evidence.strength.tolist(),
        evidence.observed_on.tolist(),
        evidence.available_on.tolist(),
        evidence.from_on.tolist(),
        evidence.until_on.tolist(),
        strict=True,
    ):
        if (
            not (0 < day <= as_of_on and available <= as_of_on)
            or not (0 <= kind < KIND_SLOTS and 0 <= department < DEPARTMENT_SLOTS and 0 <= strength < STRENGTH_SLOTS)
            or begins
            or ends
        ):
            return None
        cell = kind * STRENGTH_SLOTS + strength
        if row_class[cell * DEPARTMENT_SLOTS + department] != trace:
            return None
        age = as_of_on - day
        weight, verified = points[cell] * percent[age if age < oldest else oldest], strengths[cell]
        if age > tables.valid_days[kind] and not book.kinds.uniform_validity:
            weight = verified = 0
        source = sources[department]
        if weight > best.get(source, 0):
            best[source] = weight
        stamp = stamp_of(day, kind, department)
        newest = max(newest, stamp)
        if stamp > medium_anchor and verified >= for_medium:
            medium_anchor = stamp
        if stamp > strong_anchor and verified >= for_strong:
            strong_anchor = stamp
    departments = len(best)
    by_real_name = medium_anchor >= first_stamp(as_of_on - rule.medium_anchor_days)
    status, code = _OUTCOMES[
        (departments >= rule.strong_departments)
        | (strong_anchor >= first_stamp(as_of_on - rule.strong_anchor_days)) << 1
        | by_real_name << 2
        | (departments >= rule.medium_departments) << 3
        | (sum(best.values()) >= rule.medium_points) << 4
        | (departments >= 1) << 5
        | (newest >= 1) << 6
    ]
    told_department, told_kind, told_on = told_by(medium_anchor if by_real_name else newest)
    until = tables.lasts[status] + as_of_on
    if status == words.SURVIVAL_STATUS_ALIVE_STRONG:
        until = min(until, told_by(strong_anchor)[2] + rule.strong_anchor_days)
    elif status == words.SURVIVAL_STATUS_ALIVE_MEDIUM and code in BY_REAL_NAME:
        until = min(until, told_on + rule.medium_anchor_days)
    number = departments if code in DEPARTMENTS_TOLD else 0
    return Living(status, told_by(newest)[2], until, Reason(code, told_department, told_kind, told_on, number))


def tell_living(book: RuleBook, purpose: int, living: Living) -> Living:
    """What of the row a purpose may be told: the day last seen and the trace of the reason, or not."""
    allowed, reason = book.disclosure(purpose), living.reason
    if reason.code in TRACE_CODES:
        if allowed.traces == Rows.ALL:
            reason = reason._replace(on=_told_day(reason.on, allowed.trace_dates))
        else:
            reason = Reason(reason.code, 0, 0, 0, reason.number)
    return living._replace(last_trace_on=living.last_trace_on if allowed.last_trace else 0, reason=reason)


def tell_traces(book: RuleBook, purpose: int, evidence: ReferencedEvidence, limit: int) -> Told | None:
    """The newest `limit` rows of a person whom `grade_living` graded, as a purpose may be told; None: none may.

    Traces after a death, which is all that some purposes are told, are none of somebody who lives.
    """
    allowed = book.disclosure(purpose)
    if allowed.traces != Rows.ALL or not limit or not len(evidence.subject):
        return None
    kind, department, day = evidence.kind.tolist(), evidence.department.tolist(), evidence.observed_on.tolist()
    region, strength, detail = evidence.region.tolist(), evidence.strength.tolist(), evidence.detail.tolist()
    order = [(-on, of, whose) for on, of, whose in zip(day, kind, department, strict=True)]
    rows = sorted(range(len(day)), key=order.__getitem__)[:limit]
    dates, places = allowed.trace_dates, allowed.trace_region
    exact = dates == Precision.EXACT
    nothing = [0] * len(rows)
    return Told(
        subject=nothing,
        kind=[kind[row] for row in rows],
        department=[department[row] for row in rows],
        region=[_told_place(region[row], places) for row in rows] if places != Precision.NONE else nothing,
        observed_on=[_told_day(day[row], dates) for row in rows] if dates != Precision.NONE else nothing,
        available_on=evidence.available_on[rows].tolist() if exact else nothing,
        strength=[strength[row] for row in rows],
        source_reference=told_references(evidence.source_reference, rows) if allowed.references else [""] * len(rows),
        detail=[detail[row] for row in rows],
        from_on=nothing,
        until_on=nothing,
    )


@functools.lru_cache(maxsize=4096)
def _told_day(day: int, precision: int) -> int:
    """A day from 1970 on, the first of its month, or nothing."""
    if precision == Precision.COARSE:
        return day + 1 - date.fromordinal(day + _EPOCH).day
    return day if precision == Precision.EXACT else 0


@functools.lru_cache(maxsize=4096)
def _told_place(region: int, precision: int) -> int:
    """A region, its province, or nothing."""
    if precision == Precision.COARSE:
        return province_of(region)
    return region if precision == Precision.EXACT else 0
