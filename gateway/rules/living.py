"""One person of whom nothing but traces is known, graded and told without columns: by far the most common question.

Owns: for such a person, the same grade, reason and disclosed rows that grading.py, traces.py and disclosure.py come to.
Refuses: everybody else, and whoever is not quite as plain (None): a row that is no trace, or that may not be used; an
age at which a benefit may end; more than a few rows. These, and all who are asked about together, are for the columns.

For one person nearly all that columns take is calls of NumPy, which was an eighth of the time of a question that is
alone (ADR 56). A rule is changed in the columns first; tests hold this form to them, whatever the evidence.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import repeat
from operator import neg
from typing import Any, Final, NamedTuple, Protocol

from gateway.rules.book import RuleBook
from gateway.rules.changes import may_age_out
from gateway.rules.disclosure import told_references
from gateway.rules.identity import province_of
from gateway.rules.kinds import DEPARTMENT_SLOTS, STRENGTH_SLOTS, RowClass
from gateway.rules.purposes import Precision, Rows
from gateway.rules.reasons import TRACE_CODES
from gateway.rules.stamps import DAY, first_stamp, stamp_of, told_by
from gateway.rules.traces import BY_REAL_NAME, CODES, DEPARTMENTS_TOLD, STATUSES
from wugan.federation.v1 import vocabulary_pb2 as words

_ALL: Final = Rows.ALL
_NONE: Final = Precision.NONE
_COARSE: Final = Precision.COARSE
_EXACT: Final = Precision.EXACT
"""A name of a module is read ten times as quickly as one of a class."""
_EPOCH: Final = date(1970, 1, 1).toordinal()
LAST_DAY: Final = date.max.toordinal() - _EPOCH
"""Civil days after it have no month here."""
ROWS_AT_MOST: Final = 64
"""More take longer one by one than as columns."""
_OUTCOMES: Final = tuple(zip(STATUSES.tolist(), CODES.tolist(), strict=True))


class ListedEvidence(Protocol):
    """Evidence as plain numbers, as `adapters.contract.Evidence`."""

    @property
    def source_reference(self) -> Sequence[str]:
        """As in EvidenceColumns of the contract."""
        ...

    def lists(self) -> Sequence[Sequence[int]]:
        """Subject, kind, department, region, observed_on, available_on, strength, detail, from_on and until_on."""
        ...

    def __len__(self) -> int: ...


class Living(NamedTuple):
    """A living person's row, as in `Grades`: no flags, and nothing that decided. From `code` on it is the only reason,
    as a row of ReasonColumns.
    """

    status: int
    last_trace_on: int
    valid_until_on: int
    code: int
    department: int
    kind: int
    on: int
    number: int


Told = Mapping[str, Sequence[Any]]
"""Disclosed evidence: columns of EvidenceColumns by name, the newest row first, of one person, and none with a span."""


@dataclass(frozen=True, slots=True)
class _Tables:
    """The rule file's tables as plain Python numbers.

    Attributes:
        traces: by kind, department and strength of each trace that is understood: its points, its effective strength,
            the days for which it counts, the independent source that the department is, and its stamp but for the day.
        age_percent, lasts: by the same indexes as in `Grading` and `RuleBook`.
    """

    traces: Mapping[tuple[int, int, int], tuple[int, int, int, int, int]]
    age_percent: Sequence[int]
    lasts: Sequence[int]


@functools.lru_cache(maxsize=8)
def _tables(book: RuleBook) -> _Tables:
    table, sources = book.kinds, book.grading.source.tolist()
    points, strengths, valid_days = table.points.tolist(), table.strength.tolist(), table.valid_days.tolist()
    traces = {}
    for place in (table.row_class == RowClass.TRACE).nonzero()[0].tolist():
        cell, department = divmod(place, DEPARTMENT_SLOTS)
        kind, strength = divmod(cell, STRENGTH_SLOTS)
        low = stamp_of(0, kind, department)
        traces[kind, department, strength] = points[cell], strengths[cell], valid_days[kind], sources[department], low
    return _Tables(traces, book.grading.age_percent.tolist(), book.valid_days.tolist())


def grade_living(
    book: RuleBook, evidence: ListedEvidence, *, benefit: int, born_on: int, as_of_on: int, since_on: int = 0
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
    if not 0 < as_of_on <= LAST_DAY or len(evidence) > ROWS_AT_MOST:
        return None
    if may_age_out(book, benefit, born_on, since_on, as_of_on):
        return None
    _, kinds, whose, _, days, available_on, strengths, _, from_on, until_on = evidence.lists()
    if any(from_on) or any(until_on) or (days and not _past(days, available_on, as_of_on)):
        return None
    tables, rule = _tables(book), book.grading
    percent, traces = tables.age_percent, tables.traces
    oldest, for_strong, for_medium = len(percent) - 1, rule.strong_anchor_strength, rule.medium_anchor_strength
    best: dict[int, int] = {}  # of each independent source, its points
    newest = strong_anchor = medium_anchor = 0
    for row, day in enumerate(days):
        trace = traces.get((kinds[row], whose[row], strengths[row]))
        if trace is None:
            return None
        weight, verified, valid_days, source, low = trace
        age = as_of_on - day
        if age > valid_days:
            weight = verified = 0
        else:
            weight *= percent[age if age < oldest else oldest]
        if weight > best.get(source, 0):
            best[source] = weight
        stamp = day * DAY | low
        newest = max(newest, stamp)
        if verified >= for_medium and stamp > medium_anchor:
            medium_anchor = stamp
        if verified >= for_strong and stamp > strong_anchor:
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
    return Living(status, told_by(newest)[2], until, code, told_department, told_kind, told_on, number)


def _past(days: Sequence[int], available_on: Sequence[int], as_of_on: int) -> bool:
    """Whether all of these rows are past, and known by then."""
    return min(days) > 0 and max(days) <= as_of_on and max(available_on) <= as_of_on


def tell_living(book: RuleBook, purpose: int, living: Living) -> Living:
    """What of the row a purpose may be told: the day last seen and the trace of the reason, or not."""
    allowed, (status, last_trace_on, until, code, department, kind, on, number) = book.disclosure(purpose), living
    if code in TRACE_CODES:
        if allowed.traces == _ALL:
            on = _told_day(on, allowed.trace_dates)
        else:
            department = kind = on = 0
    return Living(status, last_trace_on if allowed.last_trace else 0, until, code, department, kind, on, number)


def tell_traces(book: RuleBook, purpose: int, evidence: ListedEvidence, limit: int) -> Told | None:
    """The newest `limit` rows of a person whom `grade_living` graded, as a purpose may be told; None: none may.

    Traces after a death, which is all that some purposes are told, are none of somebody who lives.
    """
    allowed = book.disclosure(purpose)
    _, kinds, whose, places, days, available_on, strengths, details, _, _ = evidence.lists()
    if allowed.traces != _ALL or not limit or not days:
        return None
    # By day, the newest first, then kind, department and place: no two rows are in one place.
    rows_of = zip(map(neg, days), kinds, whose, range(len(days)), places, available_on, strengths, details, strict=True)
    newest, kind, department, rows, region, available, strength, detail = zip(*sorted(rows_of)[:limit], strict=True)
    dates, precision = allowed.trace_dates, allowed.trace_region
    nothing = [0] * len(rows)
    references = told_references(evidence.source_reference, rows) if allowed.references else [""] * len(rows)
    return {
        "kind": kind,
        "department": department,
        "region": list(map(_told_place, region, repeat(precision))) if precision != _NONE else nothing,
        "observed_on": list(map(_told_day, map(neg, newest), repeat(dates))) if dates != _NONE else nothing,
        "available_on": available if dates == _EXACT else nothing,
        "strength": strength,
        "source_reference": references,
        "detail": detail,
    }


@functools.lru_cache(maxsize=4096)
def _told_day(day: int, precision: int) -> int:
    """A day from 1970 on, the first of its month, or nothing."""
    if precision == _COARSE:
        return day + 1 - date.fromordinal(day + _EPOCH).day
    return day if precision == _EXACT else 0


@functools.lru_cache(maxsize=4096)
def _told_place(region: int, precision: int) -> int:
    """A region, its province, or nothing."""
    if precision == _COARSE:
        return province_of(region)
    return region if precision == _EXACT else 0
