"""From evidence to a graded finding, for one person and for a million. (For one who is plainly alive there is a shorter
form of the same rules, `living`; tests hold it to this one.)

Owns: which rows may be used, which finding wins, how long it may be relied on. The parts are in traces.py, deaths.py,
absence.py, penal.py and changes.py. Refuses: time (the day asked about is an argument), departments, disclosure.

Which finding wins, first match:

    held under another name by some source, or
    a linked number could not be asked             CONFLICT, flag IDENTITY_CONFLICT and nothing else
    no source knows the person                     UNKNOWN
    something was done after a death               CONFLICT
    a confirmed death                              DECEASED
    a death that is not confirmed and not refuted  DECEASED_SUSPECTED
    well verified after being declared missing     CONFLICT
    missing and not found                          MISSING
    otherwise                                      ALIVE_STRONG, ALIVE_MEDIUM, ALIVE_WEAK by the traces

Neither the order of the rows nor a row that stands twice ever matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.errors import RefusedError
from gateway.rules import hearsay
from gateway.rules.absence import judge_absences
from gateway.rules.book import RuleBook
from gateway.rules.changes import Flags, bit, judge_age, judge_changes
from gateway.rules.columns import FAR, MAX_SUBJECTS, EvidenceLike, Index, Int32, Mask, same_length
from gateway.rules.deaths import judge_deaths
from gateway.rules.events import Events, dies_early, read_events, roles_present
from gateway.rules.kinds import DEPARTMENT_SLOTS, KIND_SLOTS, STRENGTH_SLOTS, Role, RowClass
from gateway.rules.penal import judge_sentences
from gateway.rules.reasons import ReasonCode, Reasons, ReasonSheet
from gateway.rules.stamps import stamp_day, stamps, tell_stamps
from gateway.rules.traces import BY_REAL_NAME, DEPARTMENTS_TOLD, Alive, TraceRows, weigh
from wugan.federation.v1 import vocabulary_pb2 as words

_DEATH_ROLES = frozenset({Role.DEATH_CONFIRMED, Role.DEATH_SUPPORTED, Role.DEATH_LEAD, Role.DEATH_REVOKED})
_ABSENCE_ROLES = frozenset({Role.MISSING_DECLARED, Role.MISSING_REPORTED, Role.MISSING_REVOKED, Role.FOUND})
_CHANGE_ROLES = frozenset({Role.FLAG, Role.MOVED, Role.NOTE})
_LAST_VITAL_ROLE = max(_DEATH_ROLES | _ABSENCE_ROLES)
_TELLS_DEPARTMENTS = np.zeros(len(ReasonCode) * 4, np.int32)
_TELLS_DEPARTMENTS[sorted(DEPARTMENTS_TOLD)] = 1
_BY_REAL_NAME = np.zeros(len(ReasonCode) * 4, np.bool_)
_BY_REAL_NAME[sorted(BY_REAL_NAME)] = True
_NO_ROWS = np.zeros(0, np.intp)
# Numbers of the columns' own type: a plain int is converted anew at every use.
_LAST_KIND = np.uint32(KIND_SLOTS - 1)
_LAST_DEPARTMENT = np.uint32(DEPARTMENT_SLOTS - 1)
_LAST_STRENGTH = np.uint32(STRENGTH_SLOTS - 1)
_KIND_STEP = np.uint32(STRENGTH_SLOTS)
_CELL_STEP = np.uint32(DEPARTMENT_SLOTS)
_ONE = np.int32(1)
_WORST_ALIVE = words.SURVIVAL_STATUS_ALIVE_WEAK


@dataclass(frozen=True, slots=True)
class Grades:
    """One row for each subject, as in Findings of the contract.

    Args:
        status: SurvivalStatus.
        flags: bits 1 << EntitlementFlag, only those the benefit depends on.
        decided_on: earliest credible day of what decided a status other than alive and unknown; 0 otherwise.
        last_trace_on: newest trace that may be used, 0: none.
        valid_until_on: last day on which the row may be relied on.
        reasons: why, sparse.
    """

    status: Int32
    flags: Flags
    decided_on: Int32
    last_trace_on: Int32
    valid_until_on: Int32
    reasons: Reasons


def grade(
    book: RuleBook,
    *,
    subjects: int,
    evidence: EvidenceLike,
    known: Mask,
    identity_conflict: Mask,
    linked: Mask,
    benefit: Int32,
    birth_on: Int32,
    as_of_on: int,
    partial: bool = False,
    silent: Collection[int] = (),
    silent_about: Mapping[int, Mask] | None = None,
    unasked: Mask | None = None,
    answered: bool = True,
    since_on: Int32 | None = None,
) -> Grades:
    """Grade a batch as of a day, as it would have been known then.

    Args:
        book: the rules.
        subjects: how many people the batch is about.
        evidence: what the departments know; rows in any order.
        known: whether some source knows the person. Rows about a person whom no source claims to know are not used.
        identity_conflict: whether some source holds the number under another name, or see `unasked`.
        linked: whether further numbers of the person were found and asked about.
        benefit: BenefitType of each; one that the rules do not know depends on no facts.
        birth_on: day of birth of each, 0: not known.
        as_of_on: civil day; rows observed or available later do not exist yet.
        partial: whether some source that was asked did not answer.
        silent: Departments of these sources; none given while `partial`: it could have been any.
        silent_about: Departments of sources that did not answer about some of these people, and these: they are graded
            as if the department were silent, the others as if it were not. None: all that answered did about everybody.
        unasked: those of `identity_conflict` who are for that alone that a linked number could not be asked; None:
            nobody.
        answered: whether any source answered at all.
        since_on: first day of the benefit of each, 0: not known; None: of nobody.

    Raises:
        RefusedError: columns of different lengths, a subject out of range, a day before the epoch.
    """
    _check(subjects, evidence, known, identity_conflict, linked, benefit, birth_on, as_of_on)
    since = np.zeros(subjects, np.int32) if since_on is None else since_on
    same_length(subjects, since_on=since)
    sheet = ReasonSheet()
    about = silent_about or {}
    usable = known & ~identity_conflict
    everybody = np.count_nonzero(usable) == subjects
    traces, event_rows = _sort_rows(book, evidence, None if everybody else usable, as_of_on, sheet)
    alive = weigh(book, subjects, traces, as_of_on)
    relevant = book.relevant_flags.take(benefit, mode="clip")
    status, decided_on = alive.status, np.zeros(subjects, np.int32)
    flags = np.zeros(subjects, np.uint32)
    change_on: list[Int32] = []

    if len(event_rows):
        events = read_events(book, evidence, event_rows, as_of_on)
        roles = roles_present(events)
        if roles & (_DEATH_ROLES | _ABSENCE_ROLES):
            _judge_life(book, events, roles, traces, birth_on, status, flags, decided_on, sheet)
    else:
        events, roles = None, frozenset[int]()

    if partial:
        _cap_by_silence(book, status, usable, silent, sheet)
    for department, people in about.items():
        _cap_by_silence(book, status, usable & people, (department,), sheet)
    if not everybody:
        why_unknown = ReasonCode.UNKNOWN_PERSON if answered else ReasonCode.NOBODY_ANSWERED
        _judge_unusable(known, identity_conflict, unasked, why_unknown, status, flags, sheet)
        relevant = np.where(usable, relevant, np.uint32(0))
    _tell_alive(status, alive, sheet)

    if events is not None:
        events = hearsay.set_aside(book, events, relevant, since, as_of_on, sheet)
        if Role.PENAL in roles:
            change = judge_sentences(events.of(Role.PENAL), relevant, flags, as_of_on, sheet)
            if change is not None:
                change_on.append(change)
        if roles & _CHANGE_ROLES:
            judge_changes(book, subjects, events, relevant, flags, since, as_of_on, sheet)
    comes_of_age = judge_age(book, birth_on, relevant, flags, since, as_of_on, sheet)
    if comes_of_age is not None:
        change_on.append(comes_of_age)
    if np.count_nonzero(linked):
        rows = (linked & usable).nonzero()[0]
        flags[rows] |= bit(words.ENTITLEMENT_FLAG_IDENTITY_LINKED)
        sheet.add(rows, ReasonCode.IDENTITY_LINKED)
    silent = silent if partial else ()
    incomplete = _tell_silence(subjects, silent, about, sheet, partial=partial) if partial or about else None
    return Grades(
        status=status,
        flags=flags,
        decided_on=decided_on,
        last_trace_on=stamp_day(alive.newest),
        valid_until_on=_valid_until(book, status, alive, change_on, as_of_on, incomplete),
        reasons=sheet.finish(),
    )


def _check(
    subjects: int,
    evidence: EvidenceLike,
    known: Mask,
    identity_conflict: Mask,
    linked: Mask,
    benefit: Int32,
    birth_on: Int32,
    as_of_on: int,
) -> None:
    if not 0 <= subjects < MAX_SUBJECTS:
        raise RefusedError(
            f"too many people in one batch (at most {MAX_SUBJECTS - 1}); send several",
            f"一批人数过多（上限 {MAX_SUBJECTS - 1}），请分批",
            field="subjects",
        )
    if not 0 < as_of_on < FAR:
        raise RefusedError(
            "the day asked about must be after 1970-01-01", "查询日期应晚于 1970-01-01", field="as_of_on"
        )
    same_length(
        subjects,
        known=known,
        identity_conflict=identity_conflict,
        linked=linked,
        benefit=benefit,
        birth_on=birth_on,
    )
    rows = len(evidence.subject)
    same_length(
        rows,
        kind=evidence.kind,
        department=evidence.department,
        region=evidence.region,
        observed_on=evidence.observed_on,
        available_on=evidence.available_on,
        strength=evidence.strength,
        detail=evidence.detail,
        from_on=evidence.from_on,
        until_on=evidence.until_on,
    )
    if np.count_nonzero(evidence.subject.view(np.uint32) >= np.uint32(subjects)):
        raise RefusedError(
            "evidence about a subject that was not asked", "证据涉及未查询的人员", field="evidence.subject"
        )


def _sort_rows(
    book: RuleBook, evidence: EvidenceLike, usable: Mask | None, as_of_on: int, sheet: ReasonSheet
) -> tuple[TraceRows, Index]:
    """The traces that may be used, and the rows that are events; the rest is told.

    Numbers are clipped into the last slot of the tables, which the vocabulary never uses.
    """
    kind = np.minimum(evidence.kind.view(np.uint32), _LAST_KIND)
    department = np.minimum(evidence.department.view(np.uint32), _LAST_DEPARTMENT)
    strength = np.minimum(evidence.strength.view(np.uint32), _LAST_STRENGTH)
    cell = kind * _KIND_STEP + strength
    row_class = book.kinds.row_class.take(cell * _CELL_STEP + department)
    subject = evidence.subject.astype(np.intp)
    if usable is not None:
        row_class = np.where(usable.take(subject), row_class, np.uint8(RowClass.IDLE))
    day = evidence.observed_on
    # One comparison for "from 1970-01-02 to the day asked about": earlier days wrap round to large numbers.
    trace = (day - _ONE).view(np.uint32) < np.uint32(as_of_on)
    trace &= evidence.available_on <= as_of_on
    trace &= row_class == RowClass.TRACE
    if np.count_nonzero(trace) == len(trace):
        return TraceRows(subject, kind, department, cell, day, stamps(day, kind, department)), _NO_ROWS
    rest = (~trace).nonzero()[0]
    rest_class = row_class[rest]
    if np.count_nonzero(rest_class != RowClass.EVENT) or np.count_nonzero(day[rest] > as_of_on):
        _tell_unused(book, evidence, rest, rest_class, as_of_on, sheet)
    rows = trace.nonzero()[0]
    kind, department, day = kind[rows], department[rows], day[rows]
    traces = TraceRows(subject[rows], kind, department, cell[rows], day, stamps(day, kind, department))
    return traces, rest[rest_class == RowClass.EVENT]


def _tell_unused(
    book: RuleBook,
    evidence: EvidenceLike,
    rest: Index,
    rest_class: NDArray[np.uint8],
    as_of_on: int,
    sheet: ReasonSheet,
) -> None:
    """Count rows that were left out. Rows not available yet stay unsaid: on that day nobody knew them."""
    day, available = evidence.observed_on[rest], evidence.available_on[rest]
    visible = (available <= as_of_on) & (rest_class != RowClass.IDLE)
    future = visible & (day > as_of_on) & (rest_class != RowClass.NOT_UNDERSTOOD)
    future &= ~dies_early(book, evidence, rest, as_of_on)
    strange = visible & ((rest_class == RowClass.NOT_UNDERSTOOD) | ((rest_class == RowClass.TRACE) & (day <= 0)))
    for chosen, code in ((strange, ReasonCode.NOT_UNDERSTOOD), (future, ReasonCode.DATED_IN_FUTURE)):
        rows = rest[chosen]
        if len(rows):
            once = _without_repetitions(evidence, rows)
            people, times = np.unique(evidence.subject[once], return_counts=True)
            sheet.add(people, code, number=times)


def _without_repetitions(evidence: EvidenceLike, rows: Index) -> Index:
    columns = (evidence.subject, evidence.kind, evidence.department, evidence.observed_on, evidence.strength)
    _, first = np.unique(np.stack([column[rows] for column in columns]), axis=1, return_index=True)
    return rows[first]


def _cap_by_silence(book: RuleBook, status: Int32, usable: Mask, silent: Collection[int], sheet: ReasonSheet) -> None:
    """Keep grades down while a department that could know of a death is silent."""
    if silent and book.kinds.death_departments.isdisjoint(silent):
        return
    rows = ((status < book.grading.best_when_silent) & usable).nonzero()[0]
    status[rows] = book.grading.best_when_silent
    sheet.add(rows, ReasonCode.CAPPED_BY_SILENCE)


def _judge_life(
    book: RuleBook,
    events: Events,
    roles: frozenset[int],
    traces: TraceRows,
    birth_on: Int32,
    status: Int32,
    flags: Flags,
    decided_on: Int32,
    sheet: ReasonSheet,
) -> None:
    """Let deaths and disappearances override the grade by traces."""
    count = len(status)
    concerned = np.zeros(count, np.bool_)
    concerned[events.subject[events.role <= _LAST_VITAL_ROLE]] = True
    if len(traces):
        traces = traces.take(concerned[traces.subject].nonzero()[0])
    presence = events.take(book.kinds.presence.take(events.kind))
    deaths = judge_deaths(book, count, events, traces, presence, birth_on, sheet) if roles & _DEATH_ROLES else None
    if roles & _ABSENCE_ROLES:
        absences = judge_absences(book, count, events, traces, presence, sheet)
        _decide(status, decided_on, absences.on < FAR, words.SURVIVAL_STATUS_MISSING, absences.on)
        _decide(status, decided_on, absences.conflict, words.SURVIVAL_STATUS_CONFLICT, absences.on)
    if deaths is not None:
        dead = deaths.on < FAR
        _decide(status, decided_on, dead, words.SURVIVAL_STATUS_DECEASED_SUSPECTED, deaths.on)
        _decide(status, decided_on, deaths.confirmed, words.SURVIVAL_STATUS_DECEASED, deaths.on)
        _decide(status, decided_on, deaths.conflict, words.SURVIVAL_STATUS_CONFLICT, deaths.on)
        flags[deaths.misuse] |= bit(words.ENTITLEMENT_FLAG_MISUSE_AFTER_DEATH)
        flags[deaths.revoked] |= bit(words.ENTITLEMENT_FLAG_DEATH_DECLARATION_REVOKED)


def _decide(status: Int32, decided_on: Int32, chosen: Mask, outcome: int, on: Int32) -> None:
    status[chosen] = outcome
    decided_on[chosen] = on[chosen]


def _judge_unusable(
    known: Mask,
    identity_conflict: Mask,
    unasked: Mask | None,
    why_unknown: ReasonCode,
    status: Int32,
    flags: Flags,
    sheet: ReasonSheet,
) -> None:
    unknown = (~known & ~identity_conflict).nonzero()[0]
    status[unknown] = words.SURVIVAL_STATUS_UNKNOWN
    sheet.add(unknown, why_unknown)
    conflict = identity_conflict.nonzero()[0]
    status[conflict] = words.SURVIVAL_STATUS_CONFLICT
    flags[conflict] = bit(words.ENTITLEMENT_FLAG_IDENTITY_CONFLICT)
    if unasked is None:
        sheet.add(conflict, ReasonCode.IDENTITY_CONFLICT)
    else:
        sheet.add((identity_conflict & ~unasked).nonzero()[0], ReasonCode.IDENTITY_CONFLICT)
        sheet.add((identity_conflict & unasked).nonzero()[0], ReasonCode.NUMBERS_NOT_ASKED)


def _tell_alive(status: Int32, alive: Alive, sheet: ReasonSheet) -> None:
    rows = (status <= _WORST_ALIVE).nonzero()[0]
    if not len(rows):
        return
    told, code, departments = alive.told, alive.code, alive.departments
    if len(rows) != len(status):
        told, code, departments = told[rows], code[rows], departments[rows]
    tell_stamps(sheet, rows, told, code, departments * _TELLS_DEPARTMENTS[code])


def _tell_silence(
    subjects: int, silent: Collection[int], silent_about: Mapping[int, Mask], sheet: ReasonSheet, *, partial: bool
) -> Mask:
    """Say which departments are missing, and of whom some is."""
    about = {department: people for department, people in silent_about.items() if department not in silent}
    everybody = np.arange(subjects)
    for department in sorted({*silent, *about}):
        rows = about[department].nonzero()[0] if department in about else everybody
        sheet.add(rows, ReasonCode.SOURCE_SILENT, department=department)
    if partial and not silent:
        sheet.add(everybody, ReasonCode.SOURCES_SILENT)
    incomplete = np.full(subjects, partial)
    for people in about.values():
        incomplete |= people
    return incomplete


def _valid_until(
    book: RuleBook, status: Int32, alive: Alive, change_on: list[Int32], as_of_on: int, incomplete: Mask | None
) -> Int32:
    """The last day for the status, or before the next change that is known already."""
    days = book.valid_days.take(status)
    if incomplete is not None:
        days = np.where(incomplete, np.minimum(days, book.partial_valid_days), days)
    until = days + np.int32(as_of_on)
    strong = status == words.SURVIVAL_STATUS_ALIVE_STRONG
    if np.count_nonzero(strong):
        fades_on = stamp_day(alive.anchor) + np.int32(book.grading.strong_anchor_days)
        np.minimum(until, fades_on, out=until, where=strong)
    medium = status == words.SURVIVAL_STATUS_ALIVE_MEDIUM
    if np.count_nonzero(medium):
        medium &= _BY_REAL_NAME[alive.code]
        fades_on = stamp_day(alive.told) + np.int32(book.grading.medium_anchor_days)
        np.minimum(until, fades_on, out=until, where=medium)
    for change in change_on:
        until = np.minimum(until, change)
    return until
