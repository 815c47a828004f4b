"""What an answer may carry for a purpose: the smallest scope that serves it (个人信息保护法 第六条).

Owns: which rows, how exact, of which people; also for reasons and for the day last seen. Refuses: access (who may ask
at all is gateway/inquiry/access.py), and grading: minimising comes after it and changes no status.

A grant may narrow this further, by kinds of evidence and by region; never widen it. What was found (status, flags, the
day that decided) stays, for a verdict that leaves out a death or a prison would be a false one.

Beyond the purpose's table, always: nothing about a person in identity conflict, whose evidence may be somebody else's;
no events that the benefit does not depend on; no rows that the grading did not use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.rules.book import RuleBook
from gateway.rules.columns import EvidenceLike, Index, Int32, Mask, month_start, same_length
from gateway.rules.events import event_days, in_look_back
from gateway.rules.kinds import (
    DEPARTMENT_SLOTS,
    FIRST_EVENT,
    KIND_SLOTS,
    KNOWN_KINDS,
    PENAL_KINDS,
    STRENGTH_SLOTS,
    Role,
    RowClass,
)
from gateway.rules.purposes import CODE_SLOTS, Days, Places, Scope
from gateway.rules.reasons import PENAL_CODES, PLACE_CODES, TRACE_CODES, ReasonCode, Reasons
from wugan.adapter.v1 import vocabulary_pb2 as kinds
from wugan.federation.v1 import vocabulary_pb2 as words

# Numbers of an array's own type: a plain int is converted anew at every use.
_LAST_CODE: Final = np.uint32(CODE_SLOTS - 1)
_TRACE_CODE: Final = np.isin(np.arange(CODE_SLOTS), sorted(TRACE_CODES))
_PLACE_CODE: Final = np.isin(np.arange(CODE_SLOTS), sorted(PLACE_CODES))
_DEATH_KINDS: Final = range(kinds.EVIDENCE_KIND_HOUSEHOLD_CANCELLED_DEATH, kinds.EVIDENCE_KIND_DECLARED_DEAD + 1)
_KINDS_BEHIND: Final = (
    (PENAL_CODES, PENAL_KINDS),
    ({ReasonCode.DIVORCE_DOES_NOT_RESTORE}, {kinds.EVIDENCE_KIND_MARRIAGE, kinds.EVIDENCE_KIND_DIVORCE}),
    ({ReasonCode.DEATH_DATES_DIFFER}, _DEATH_KINDS),
)
"""Reasons about events that do not name the kind of their evidence, and the kinds these come of."""
_KIND_STEP: Final = np.int32(STRENGTH_SLOTS)
_STRENGTH_STEP: Final = np.int32(DEPARTMENT_SLOTS)
_TRACE: Final = np.uint8(RowClass.TRACE)
_DIVORCE: Final = np.uint8(Role.DIVORCE)
_REMARRIED: Final = np.uint32(1 << words.ENTITLEMENT_FLAG_REMARRIED)
_WITHHELD: Final = np.uint32(1 << words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT)


class ReferencedEvidence(EvidenceLike, Protocol):
    """Evidence with the departments' references, as `adapters.contract.Evidence`."""

    @property
    def source_reference(self) -> Sequence[str]:
        """As in EvidenceColumns of the contract."""
        ...


class Narrowed(NamedTuple):
    """What a grant leaves of it, as tables.

    Args:
        told: all ones for each kind that may be told, else 0; by kind, the last slot for kinds not known.
        untold_codes: which reasons come of kinds that may not be told, where they do not name theirs; by code.
        traces: whether every kind of trace may be told.
        regions: codes of GB/T 2260, of which rows may be told, their parts included; empty: of all.
    """

    told: Int32
    untold_codes: Mask
    traces: bool
    regions: tuple[int, ...]

    @classmethod
    def to(cls, allowed: Iterable[int], regions: Iterable[int]) -> Narrowed:
        """To these kinds and regions."""
        told = np.zeros(KIND_SLOTS, np.int32)
        told[list(allowed)] = -1
        traces = bool(told[1:FIRST_EVENT][KNOWN_KINDS[1:FIRST_EVENT]].all())
        regions = tuple(regions)
        untold = _TRACE_CODE.copy() if regions or not traces else np.zeros(CODE_SLOTS, np.bool_)
        for codes, behind in _KINDS_BEHIND:
            untold[sorted(codes)] |= not told[sorted(behind)].all()
        told.flags.writeable = untold.flags.writeable = False
        return cls(told, untold, traces, regions)


class Disclosed(NamedTuple):
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
    narrowed: Narrowed | None = None,
    since_on: Int32 | None = None,
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
        narrowed: what the grant leaves of it; None: all.
        since_on: first day of the benefit of each subject, 0: not known; None: of nobody.

    Raises:
        RefusedError: columns of different lengths.
    """
    same_length(len(benefit), flags=flags, decided_on=decided_on)
    since = np.zeros(len(benefit), np.int32) if since_on is None else since_on
    same_length(len(benefit), since_on=since)
    scope = book.scope(purpose)
    audience = book.audience.take(benefit, mode="clip")
    withheld = flags & _WITHHELD
    if np.count_nonzero(withheld):
        audience[withheld.nonzero()[0]] = 0
    permitted = _permitted(book, scope, evidence, audience, flags, decided_on, since, as_of_on)
    if narrowed is not None:
        permitted &= narrowed.told.take(evidence.kind, mode="clip") != 0
        if narrowed.regions:
            permitted &= within(evidence.region, narrowed.regions)
    rows = _newest(evidence, permitted, limit, alone=len(benefit) == 1)
    kind = evidence.kind[rows]
    return Disclosed(
        rows=rows,
        subject=evidence.subject[rows],
        kind=kind,
        department=evidence.department[rows],
        region=_told_places(evidence.region[rows], scope.regions, kind),
        observed_on=_told_days(evidence.observed_on[rows], scope.days, kind),
        available_on=evidence.available_on[rows] & scope.exact[kind],
        strength=evidence.strength[rows],
        source_reference=(
            told_references(evidence.source_reference, rows.tolist())
            if book.disclosure(purpose).references
            else [""] * len(rows)
        ),
        detail=_told_places(evidence.detail[rows], scope.details, kind),
        from_on=_told_days(evidence.from_on[rows], scope.spans, kind),
        until_on=_told_days(evidence.until_on[rows], scope.spans, kind),
    )


def told_references(references: Sequence[str], rows: Sequence[int]) -> list[str]:
    """The references of some rows. A lazy column makes texts of these rows only."""
    take = getattr(references, "take", None)
    return [references[row] for row in rows] if take is None else list(take(np.asarray(rows, np.intp)))


def minimise_reasons(book: RuleBook, purpose: int, reasons: Reasons, narrowed: Narrowed | None = None) -> Reasons:
    """The reasons with what the purpose, and the grant, do not allow taken out of them.

    Every reason stays, for a person must be told why; a trace that may not be disclosed loses department, kind and day,
    and so does whatever comes of a kind that the grant leaves out, or of a trace that may be from outside its regions.
    """
    scope = book.scope(purpose)
    code = np.minimum(reasons.code.view(np.uint32), _LAST_CODE)
    named = scope.reason_rows[code]
    on = _told_days(reasons.on, scope.reason_days, code)
    number = _told_places(reasons.number, scope.reason_places, code)
    if narrowed is not None:
        # A reason that names its kind goes by that; a trace's place is not known, so regions take every trace's.
        untold = narrowed.untold_codes[code]
        left_out = np.where(
            reasons.kind != 0,
            (narrowed.told.take(reasons.kind, mode="clip") == 0) | (untold & bool(narrowed.regions)),
            untold,
        )
        kept = -(~left_out).astype(np.int32)
        named, on = named & kept, on & kept
        number = np.where(_PLACE_CODE[code], number & kept, number)
    return Reasons(
        subject=reasons.subject,
        code=reasons.code,
        department=reasons.department & named,
        kind=reasons.kind & named,
        on=on,
        number=number,
    )


def may_tell_last_trace(book: RuleBook, purpose: int, narrowed: Narrowed | None = None) -> bool:
    """Whether the day last seen may be told: of whichever kind the trace was, so the grant must not leave one out."""
    return book.disclosure(purpose).last_trace and (narrowed is None or (narrowed.traces and not narrowed.regions))


def minimise_last_trace(
    book: RuleBook,
    purpose: int,
    last_trace_on: Int32,
    flags: NDArray[np.uint32],
    narrowed: Narrowed | None = None,
) -> Int32:
    """The day last seen where purpose and grant allow it; nothing in identity conflict.

    It is told exactly or not at all: a coarser day could seem to lie before a death that another member reports.
    """
    if not may_tell_last_trace(book, purpose, narrowed):
        return np.zeros(len(last_trace_on), np.int32)
    withheld = flags & _WITHHELD
    if not np.count_nonzero(withheld):
        return last_trace_on
    told: Int32 = last_trace_on * (withheld == 0)
    return told


def may_tell_numbers(book: RuleBook, purpose: int) -> bool:
    """Whether numbers linked to a person may be told; never those of a person in identity conflict."""
    return book.disclosure(purpose).numbers


def may_tell_faces(book: RuleBook, purpose: int, narrowed: Narrowed | None = None) -> bool:
    """Whether tokens of faces may be told: where the grant leaves face checks; never those of a person in identity
    conflict.
    """
    told = narrowed is None or bool(narrowed.told[kinds.EVIDENCE_KIND_FACE_CHECK])
    return told and book.disclosure(purpose).faces


def minimise_faces(
    observed_on: Int32, region: Int32, *, as_of_on: int, cycle_days: int, narrowed: Narrowed | None = None
) -> Mask:
    """Which faces may be told: those checked in the cycle, and within the grant's regions."""
    told: Mask = (observed_on <= as_of_on) & (observed_on > as_of_on - cycle_days)
    if narrowed is not None and narrowed.regions:
        told &= within(region, narrowed.regions)
    return told


def _permitted(
    book: RuleBook,
    scope: Scope,
    evidence: EvidenceLike,
    audience: NDArray[np.uint32],
    flags: NDArray[np.uint32],
    decided_on: Int32,
    since_on: Int32,
    as_of_on: int,
) -> Mask:
    """Which rows may be told: their kind to these people's benefits, known by the day asked about, and used."""
    subject, kind, observed = evidence.subject, evidence.kind, evidence.observed_on
    permitted: Mask = np.logical_and(scope.gate.take(kind, mode="clip") & audience[subject], True)
    permitted &= np.maximum(observed, evidence.available_on) <= as_of_on
    cell = (kind * _KIND_STEP + evidence.strength) * _STRENGTH_STEP + evidence.department
    permitted &= book.kinds.row_class.take(cell, mode="clip") >= _TRACE
    event = kind >= FIRST_EVENT
    permitted &= (observed > 0) | event
    if np.count_nonzero(event):
        permitted &= _counted(book, evidence, flags, since_on, as_of_on)
    if scope.misuse_only:
        decided = decided_on[subject]
        misuse = (decided != 0) & (observed > decided + book.death.grace_days)
        permitted &= misuse | event
    return permitted


def _counted(book: RuleBook, evidence: EvidenceLike, flags: NDArray[np.uint32], since_on: Int32, as_of_on: int) -> Mask:
    """Which rows are not beyond their look-back, nor a divorce that follows no marriage that counts."""
    day = event_days(evidence.observed_on, evidence.available_on, evidence.from_on, as_of_on)
    remarried = (flags[evidence.subject] & _REMARRIED) != 0
    counted = in_look_back(book, evidence.kind, day, since_on[evidence.subject], as_of_on)
    counted &= (book.kinds.role.take(evidence.kind, mode="clip") != _DIVORCE) | remarried
    return counted


def _newest(evidence: EvidenceLike, permitted: Mask, limit: int, *, alone: bool) -> Index:
    """The newest rows of each subject, subjects ascending; equal days in the order of kind and department.

    `alone`: there is a single subject.
    """
    subject, day, kind, department = evidence.subject, evidence.observed_on, evidence.kind, evidence.department
    if np.count_nonzero(permitted) == len(permitted):
        rows = np.lexsort((department, kind, ~day, subject))  # ~day falls where day rises
    else:
        rows = permitted.nonzero()[0]
        rows = rows[np.lexsort((department[rows], kind[rows], ~day[rows], subject[rows]))]
    if alone or len(rows) <= limit:
        return rows[:limit]
    subject = subject[rows]
    first = np.ones(len(rows), np.bool_)
    first[1:] = subject[1:] != subject[:-1]
    starts = first.nonzero()[0]
    return rows[np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows))) < limit]


def within(region: Int32, regions: Iterable[int]) -> Mask:
    """Which GB/T 2260 codes are one of the regions or a part of one; a place that is not given is in none."""
    inside: Mask = np.zeros(len(region), np.bool_)
    for code in regions:
        unit = 10_000 if code % 10_000 == 0 else 100 if code % 100 == 0 else 1
        inside |= region // unit == code // unit
    return inside


def _told_days(day: Int32, told: Days, row: NDArray[np.integer]) -> Int32:
    """Each day, the first of its month, or nothing, by the row of the tables."""
    if not np.count_nonzero(day):
        return day
    shown: Int32 = day & told.shown[row]
    month = told.month[row]
    if np.count_nonzero(month):
        shown[month] = month_start(shown[month])  # day 0, not given, begins a month
    return shown


def _told_places(region: Int32, told: Places, row: NDArray[np.integer]) -> Int32:
    """Each region, its province, or nothing, by the row of the tables."""
    if not np.count_nonzero(region):
        return region
    shown: Int32 = region // told.unit[row] * told.times[row]
    return shown
