"""What an answer may carry for a purpose: the smallest scope that serves it (个人信息保护法 第六条).

Owns: which rows, how exact, of which people; also for reasons and for the day last seen. Refuses: access (who may ask
at all is gateway/inquiry/access.py), and grading: minimising comes after it and changes no status.

Beyond the purpose's table, always: nothing about a person in identity conflict, whose evidence may be somebody else's;
no events that the benefit does not depend on; no rows that the grading did not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import BENEFIT_SLOTS, Disclosure, Precision, Rows, RuleBook
from gateway.rules.columns import EvidenceLike, Index, Int32, Mask, month_start, same_length
from gateway.rules.kinds import FIRST_EVENT, KIND_SLOTS, KNOWN_KINDS, Role
from gateway.rules.reasons import MISUSE_CODES, PENAL_DETAIL_CODES, PLACE_CODES, TRACE_CODES, Reasons
from wugan.federation.v1 import vocabulary_pb2 as words

_CODE_SLOTS: Final = 256


class ReferencedEvidence(EvidenceLike, Protocol):
    """Evidence with the departments' references, as `adapters.contract.Evidence`."""

    @property
    def source_reference(self) -> Sequence[str]:
        """As in EvidenceColumns of the contract."""
        ...


@dataclass(frozen=True, slots=True)
class Disclosed:
    """Evidence as it may leave; columns as in `adapters.contract.Evidence`. `rows` says which of the given rows."""

    rows: Index
    subject: Int32
    kind: Int32
    department: Int32
    region: Int32
    observed_on: Int32
    available_on: Int32
    strength: Int32
    source_reference: list[str]
    detail: Int32
    from_on: Int32
    until_on: Int32


def minimise(
    book: RuleBook,
    purpose: int,
    evidence: ReferencedEvidence,
    *,
    benefit: Int32,
    flags: NDArray[np.uint32],
    decided_on: Int32,
    as_of_on: int,
    limit: int,
) -> Disclosed:
    """The evidence that an answer may carry.

    Args:
        book: the rules.
        purpose: Purpose of the question.
        evidence: all that was graded.
        benefit: BenefitType of each subject.
        flags: graded flags of each subject; IDENTITY_CONFLICT withholds everything.
        decided_on: graded day of each subject: traces after it are what `misuse` discloses.
        as_of_on: the day asked about; rows of later days are left out.
        limit: rows for each subject at most, newest first.

    Raises:
        RefusedError: columns of different lengths.
    """
    same_length(len(benefit), flags=flags, decided_on=decided_on)
    allowed = book.disclosure(purpose)
    rows = _permitted(book, allowed, evidence, benefit, flags, decided_on, as_of_on)
    rows = _newest(evidence, rows, limit)
    kind = evidence.kind[rows]
    event = kind >= FIRST_EVENT
    penal = book.kinds.role.take(kind, mode="clip") == Role.PENAL
    hidden = penal & (not allowed.penal_detail)
    region, dates = (
        _by_class(event, allowed.trace_region, allowed.event_region),
        _by_class(event, allowed.trace_dates, allowed.event_dates),
    )
    references = evidence.source_reference
    return Disclosed(
        rows=rows,
        subject=evidence.subject[rows],
        kind=kind,
        department=evidence.department[rows],
        region=_coarse_region(evidence.region[rows], region),
        observed_on=_coarse_day(evidence.observed_on[rows], dates),
        available_on=np.where(dates == Precision.EXACT, evidence.available_on[rows], 0).astype(np.int32),
        strength=evidence.strength[rows],
        source_reference=[references[row] for row in rows.tolist()] if allowed.references else [""] * len(rows),
        detail=np.where(hidden, 0, _coarse_detail(book, kind, evidence.detail[rows], region)).astype(np.int32),
        from_on=np.where(hidden, 0, _coarse_day(evidence.from_on[rows], dates)).astype(np.int32),
        until_on=np.where(hidden, 0, _coarse_day(evidence.until_on[rows], dates)).astype(np.int32),
    )


def minimise_reasons(book: RuleBook, purpose: int, reasons: Reasons) -> Reasons:
    """The reasons with what the purpose does not allow taken out of them.

    Every reason stays, for a person must be told why; a trace that may not be disclosed loses department, kind and day.
    """
    allowed = book.disclosure(purpose)
    code = np.minimum(reasons.code.view(np.uint32), _CODE_SLOTS - 1)
    trace, misuse, penal = _TRACE.take(code), _MISUSE.take(code), _PENAL.take(code)
    silent = trace & (allowed.traces == Rows.NONE) | trace & ~misuse & (allowed.traces == Rows.MISUSE)
    dates = _by_class(~trace, allowed.trace_dates, allowed.event_dates)
    dates[silent | penal & (not allowed.penal_detail)] = Precision.NONE
    number = reasons.number.copy()
    place = _PLACE.take(code)
    number[place] = _coarse_region(number[place], np.full(int(place.sum()), allowed.event_region, np.uint8))
    return Reasons(
        subject=reasons.subject,
        code=reasons.code,
        department=np.where(silent, 0, reasons.department).astype(np.int32),
        kind=np.where(silent, 0, reasons.kind).astype(np.int32),
        on=_coarse_day(reasons.on, dates),
        number=number,
    )


def minimise_last_trace(book: RuleBook, purpose: int, last_trace_on: Int32, flags: NDArray[np.uint32]) -> Int32:
    """The day last seen where the purpose allows it; nothing in identity conflict.

    It is told exactly or not at all: a coarser day could seem to lie before a death that another member reports.
    """
    told = ~_withheld(flags) if book.disclosure(purpose).last_trace else np.zeros(len(last_trace_on), np.bool_)
    return np.where(told, last_trace_on, 0).astype(np.int32)


def may_tell_numbers(book: RuleBook, purpose: int) -> bool:
    """Whether numbers linked to a person may be told; never those of a person in identity conflict."""
    return book.disclosure(purpose).numbers


def _permitted(
    book: RuleBook,
    allowed: Disclosure,
    evidence: EvidenceLike,
    benefit: Int32,
    flags: NDArray[np.uint32],
    decided_on: Int32,
    as_of_on: int,
) -> Index:
    subject, kind = evidence.subject, evidence.kind
    event = kind >= FIRST_EVENT
    permitted = np.where(event, allowed.events == Rows.ALL, allowed.traces == Rows.ALL)
    if allowed.traces == Rows.MISUSE:
        decided = decided_on[subject]
        permitted |= ~event & (decided != 0) & (evidence.observed_on > decided + book.death.grace_days)
    permitted &= KNOWN_KINDS.take(np.minimum(kind.view(np.uint32), KIND_SLOTS - 1)) & ~_withheld(flags)[subject]
    permitted &= (evidence.observed_on <= as_of_on) & (evidence.available_on <= as_of_on)
    needed = _needed_flags(book).take(kind, mode="clip")
    relevant = book.relevant_flags.take(np.minimum(benefit.view(np.uint32), BENEFIT_SLOTS - 1))[subject]
    permitted &= (needed == 0) | (needed & relevant != 0)
    return np.flatnonzero(permitted)


def _needed_flags(book: RuleBook) -> NDArray[np.uint32]:
    """The flag that a benefit must depend on for a kind to be disclosed, as bits; 0: every benefit may see it."""
    table = book.kinds
    needed = np.zeros(KIND_SLOTS, np.uint32)
    single = table.role == Role.FLAG
    needed[single] = np.left_shift(np.uint32(1), table.flag[single].astype(np.uint32))
    for role, flag in (
        (Role.PENAL, words.ENTITLEMENT_FLAG_IMPRISONED),
        (Role.DIVORCE, words.ENTITLEMENT_FLAG_REMARRIED),
        (Role.MOVED, words.ENTITLEMENT_FLAG_MOVED),
    ):
        needed[table.role == role] = 1 << flag
    return needed


def _withheld(flags: NDArray[np.uint32]) -> Mask:
    withheld: Mask = flags & np.uint32(1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT) != 0
    return withheld


def _newest(evidence: EvidenceLike, rows: Index, limit: int) -> Index:
    """The newest rows of each subject, subjects ascending; equal days in the order of kind and department."""
    subject, day = evidence.subject[rows], evidence.observed_on[rows]
    order = np.lexsort((evidence.department[rows], evidence.kind[rows], -day.astype(np.int64), subject))
    rows, subject = rows[order], subject[order]
    rank = np.arange(len(rows)) - np.searchsorted(subject, subject, side="left")
    return rows[rank < limit]


def _by_class(event: Mask, trace_precision: int, event_precision: int) -> NDArray[np.uint8]:
    return np.where(event, np.uint8(event_precision), np.uint8(trace_precision))


def _coarse_day(day: Int32, precision: NDArray[np.uint8]) -> Int32:
    """A day, the first of its month, or nothing."""
    coarse = np.where(precision == Precision.EXACT, day, 0)
    month = (precision == Precision.COARSE) & (day != 0)
    coarse[month] = month_start(day[month])
    return coarse.astype(np.int32)


def _coarse_region(region: Int32, precision: NDArray[np.uint8]) -> Int32:
    """A region, its province, or nothing."""
    province = np.where(precision == Precision.COARSE, region // 10_000 * 10_000, 0)
    return np.where(precision == Precision.EXACT, region, province).astype(np.int32)


def _coarse_detail(book: RuleBook, kind: Int32, detail: Int32, precision: NDArray[np.uint8]) -> Int32:
    """`detail` of an event; where it is a region, as exact as regions are."""
    table = book.kinds
    place = (table.role == Role.MOVED) | (table.flag == words.ENTITLEMENT_FLAG_DUPLICATE_BENEFIT)
    return np.where(place.take(kind, mode="clip"), _coarse_region(detail, precision), detail).astype(np.int32)


def _codes(codes: frozenset[int]) -> Mask:
    table = np.zeros(_CODE_SLOTS, np.bool_)
    table[sorted(codes)] = True
    table.flags.writeable = False
    return table


_TRACE: Final = _codes(frozenset(TRACE_CODES))
_MISUSE: Final = _codes(frozenset(MISUSE_CODES))
_PENAL: Final = _codes(frozenset(PENAL_DETAIL_CODES))
_PLACE: Final = _codes(frozenset(PLACE_CODES))
