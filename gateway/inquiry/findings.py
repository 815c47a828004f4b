"""Findings of the contract, written from the graded columns of a batch: one message for each question in it.

Owns: minimising by purpose, and bringing the rows of a batch back to the rows of its questions. Refuses: asking and
grading.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Evidence
from gateway.access.terms import EVERYTHING, KIND_NAMES, Scope
from gateway.errors import RefusedError
from gateway.exchange.columns import put_columns
from gateway.exchange.question import MAX_FACES
from gateway.inquiry.gathering import Gathered, SourceReport
from gateway.rules.book import RuleBook
from gateway.rules.disclosure import (
    Disclosed,
    Narrowed,
    may_tell_faces,
    may_tell_last_trace,
    may_tell_numbers,
    minimise,
    minimise_faces,
    minimise_last_trace,
    minimise_reasons,
)
from gateway.rules.grading import Grades
from gateway.rules.kinds import FIRST_EVENT
from gateway.rules.purposes import Precision
from gateway.rules.reasons import TRACE_CODES, Reasons
from gateway.rules.wording import reason_texts
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_PRECISIONS = {
    Precision.NONE: words.DATE_PRECISION_UNSPECIFIED,
    Precision.COARSE: words.DATE_PRECISION_MONTH,
    Precision.EXACT: words.DATE_PRECISION_DAY,
}


class Terms(NamedTuple):
    """What questions must have in common to be answered together.

    Args:
        purpose: Purpose.
        legal_basis: told to the departments.
        as_of_on: the civil day asked about.
        evidence_limit: rows for each person at most.
        scope: how the grant narrows the answer.
        not_alive: of people who are answered as alive, evidence is wanted of events only.
    """

    purpose: int
    legal_basis: str
    as_of_on: int
    evidence_limit: int
    scope: Scope
    not_alive: bool = False


Column = Sequence[int] | NDArray[np.int32]
"""Numbers of people: of a few, a list is quicker to make and to read than an array."""


@dataclass(slots=True)
class Part:
    """One question of a batch. Not changed once it is made, as are `Gathered` and the columns of `adapters.contract`.

    Args:
        count: people in the question.
        rows: those asked about, ascending; the rest are refused.
        refused: rows of the question with their refusal.
        numbers: normalised, of the people asked about; so are `names`, `benefits` and `born_on`, the day of birth or 0.
        alias_subject: index into `numbers` of those with further numbers.
        alias_id_number: these numbers.
        since_on: first day of the benefit of each of the people asked about, 0: not known; None: it was said of nobody.
    """

    count: int
    rows: Sequence[int]
    refused: Sequence[tuple[int, RefusedError]]
    numbers: Sequence[str]
    names: Sequence[str]
    benefits: Column
    born_on: Column
    alias_subject: Sequence[int]
    alias_id_number: Sequence[str]
    since_on: Column | None = None


def column_of(columns: Sequence[Column]) -> NDArray[np.int32]:
    """A column of all parts, one part after another."""
    arrays = [np.asarray(column, np.int32) for column in columns]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def since_of(parts: Sequence[Part]) -> NDArray[np.int32] | None:
    """First day of the benefit of the people of all parts, one part after another; None: it was said of nobody."""
    if all(part.since_on is None for part in parts):
        return None
    return column_of([[0] * len(part.rows) if part.since_on is None else part.since_on for part in parts])


def write_findings(
    book: RuleBook,
    terms: Terms,
    parts: Sequence[Part],
    gathered: Gathered,
    grades: Grades,
    benefit: NDArray[np.int32],
    made_at_ms: int,
) -> list[exchange_pb2.Findings]:
    """The findings for every part; the columns hold the people of all parts, one part after another."""
    narrowed = narrowing(terms.scope)
    shared = begun(book, terms.purpose, terms.scope, gathered.reports, partial=gathered.partial)
    shared.as_of_on, shared.made_at_ms = terms.as_of_on, made_at_ms
    last_trace_on = minimise_last_trace(book, terms.purpose, grades.last_trace_on, grades.flags, narrowed)
    dense = (grades.status, grades.flags, grades.decided_on, last_trace_on, grades.valid_until_on)
    told = minimise_reasons(book, terms.purpose, grades.reasons, narrowed)
    disclosed: Disclosed | None = None
    told_of = gathered.evidence
    if terms.not_alive and len(told_of):
        alive = grades.status[told_of.subject] <= words.SURVIVAL_STATUS_ALIVE_WEAK
        told_of = told_of.take(~alive | (told_of.kind >= FIRST_EVENT))
    if terms.evidence_limit and len(told_of):
        disclosed = minimise(
            book,
            terms.purpose,
            told_of,
            benefit=benefit,
            flags=grades.flags,
            decided_on=grades.decided_on,
            as_of_on=terms.as_of_on,
            limit=terms.evidence_limit,
            narrowed=narrowed,
            since_on=since_of(parts),
        )
    unreadable = [(at, each.unreadable) for at, each in enumerate(gathered.reports) if each.unreadable is not None]
    if len(parts) == 1 and len(benefit) >= _LARGE:
        _tell_unreadable(shared, unreadable, slice(0, len(benefit)), parts[0])
        written = [_write_large(book, terms, parts[0], shared, dense, told, disclosed)]
    else:
        written = _write_each(book, terms, parts, shared, unreadable, dense, told, disclosed)
    for part, findings in zip(parts, written, strict=True):
        if part.since_on is not None:
            findings.benefit_since_used = True
    if gathered.link_subject and may_tell_numbers(book, terms.purpose):
        _tell_links(written, parts, gathered)
    if len(gathered.faces) and may_tell_faces(book, terms.purpose, narrowed):
        _tell_faces(book, terms, narrowed, written, parts, gathered)
    return written


def begun(
    book: RuleBook, purpose: int, scope: Scope, reports: Sequence[SourceReport], **told: Any
) -> exchange_pb2.Findings:
    """Findings that tell by what they were made, but not when, and of nobody but what is `told`, by name: nor about
    whom alone a source did not answer.
    """
    trace_dates, event_dates, last_trace_date = _precisions(book, purpose, scope)
    return exchange_pb2.Findings(
        rules_version=book.version,
        rules_digest=book.digest,
        sources=[
            exchange_pb2.SourceReport(
                adapter_id=report.adapter_id,
                department=report.department,  # type: ignore[arg-type]  # numbers of the contract
                outcome=report.outcome,  # type: ignore[arg-type]
                complete_until_on=report.complete_until_on,
            )
            for report in reports
        ],
        trace_dates=trace_dates,
        event_dates=event_dates,
        last_trace_date=last_trace_date,
        **told,
    )


@functools.lru_cache(maxsize=256)
def _precisions(
    book: RuleBook, purpose: int, scope: Scope
) -> tuple[words.DatePrecision.ValueType, words.DatePrecision.ValueType, words.DatePrecision.ValueType]:
    """How exactly days of traces, of events and the day last seen are told."""
    allowed = book.disclosure(purpose)
    # The day last seen is told exactly or not at all (minimise_last_trace).
    last = may_tell_last_trace(book, purpose, narrowing(scope))
    return (
        _PRECISIONS[allowed.trace_dates],
        _PRECISIONS[allowed.event_dates],
        words.DATE_PRECISION_DAY if last else words.DATE_PRECISION_UNSPECIFIED,
    )


@functools.lru_cache(maxsize=256)
def wants_faces(book: RuleBook, purpose: int, scope: Scope) -> bool:
    """Whether departments are to be asked for faces: what may not be told is not read either."""
    return may_tell_faces(book, purpose, narrowing(scope))


def _write_large(
    book: RuleBook,
    terms: Terms,
    part: Part,
    shared: exchange_pb2.Findings,
    dense: _Dense,
    told: Reasons,
    disclosed: Disclosed | None,
) -> exchange_pb2.Findings:
    """The findings for one large question: whole columns at once."""
    rows = np.asarray(part.rows) if part.refused else None

    def placed(column: NDArray[Any]) -> NDArray[Any]:
        if rows is None:
            return column
        whole = np.zeros(part.count, column.dtype)
        whole[rows] = column
        return whole

    findings = shared
    put_columns(findings, {name: placed(column) for name, column in zip(DENSE, dense, strict=True)})
    for message, names, columns in (
        (findings.reasons, _REASONS, told),
        (findings.evidence, _NUMBERS_OF_EVIDENCE, disclosed),
    ):
        if columns is None or not len(columns.subject):  # not even an empty message, as in small questions
            continue
        subject = columns.subject if rows is None else rows[columns.subject]
        put_columns(message, {"subject": subject, **{name: getattr(columns, name) for name in names}})
    if disclosed is not None:
        findings.evidence.source_reference.extend(disclosed.source_reference)
    findings.reason_texts.extend(texts_of(book, _present(told.code)))
    _refuse(findings, part)
    if not part.refused:
        findings.cacheable_until_ms, findings.stale_until_ms = book.caching.times(
            terms.purpose,
            _present(dense[0]),
            _present(told.kind),
            [int(dense[-1].min())],
            shared.made_at_ms,
            partial=shared.partial,
        )
    return findings


def _write_each(
    book: RuleBook,
    terms: Terms,
    parts: Sequence[Part],
    shared: exchange_pb2.Findings,
    unreadable: Sequence[_Unreadable],
    dense: _Dense,
    told: Reasons,
    disclosed: Disclosed | None,
) -> list[exchange_pb2.Findings]:
    """The findings for each of some small questions."""
    columns = [column.tolist() for column in dense]
    reasons = _Sparse(_REASONS, told)
    evidence = _Sparse(_EVIDENCE, disclosed) if disclosed is not None else None
    written = []
    start = 0
    for part in parts:
        end = start + len(part.rows)
        findings = exchange_pb2.Findings()
        findings.CopyFrom(shared)
        _tell_unreadable(findings, unreadable, slice(start, end), part)
        for name, column in zip(DENSE, columns, strict=True):
            getattr(findings, name).extend(_placed(column[start:end], part))
        cut = reasons.write(findings.reasons, start, end, part)
        findings.reason_texts.extend(texts_of(book, cut["code"]))
        if evidence is not None:
            evidence.write(findings.evidence, start, end, part)
        _refuse(findings, part)
        if not part.refused:
            findings.cacheable_until_ms, findings.stale_until_ms = book.caching.times(
                terms.purpose,
                findings.status,
                cut["kind"],
                findings.valid_until_on,
                shared.made_at_ms,
                partial=findings.partial,
            )
        written.append(findings)
        start = end
    return written


def _tell_unreadable(
    findings: exchange_pb2.Findings, unreadable: Sequence[_Unreadable], people: slice, part: Part
) -> None:
    """Of sources that answered, but not about everybody: about whom of this part they did not.

    Whoever reads no more than the outcome takes the source for faulty about all of the part, and all for partial.
    """
    for at, mask in unreadable:
        rows = mask[people].nonzero()[0].tolist()
        if not rows:
            continue
        told = findings.sources[at]
        told.outcome = words.SOURCE_OUTCOME_FAULTY
        findings.partial = True
        if len(rows) < len(part.rows):  # of all of them needs no list: it is as if it had not answered
            told.unreadable_subject.extend([part.rows[row] for row in rows])


def _refuse(findings: exchange_pb2.Findings, part: Part) -> None:
    for row, error in part.refused:
        findings.refused.subject.append(row)
        findings.refused.reason.append(error.reason)


def _present(column: NDArray[np.int32]) -> list[int]:
    """The numbers that occur in a column, none of which is below zero or large."""
    return np.bincount(column).nonzero()[0].tolist()


_Unreadable = tuple[int, NDArray[np.bool_]]
"""Where a source stands among those of the findings, and about whom it did not answer."""
_Dense = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
_LARGE = 512
"""People in one question from which on whole columns are written at once."""
DENSE = ("status", "flags", "decided_on", "last_trace_on", "valid_until_on")
_REASONS = ("code", "department", "kind", "on", "number")
_NUMBERS_OF_EVIDENCE = Evidence.INTEGER_COLUMNS[1:]  # of whom each row speaks is written beside them
_EVIDENCE = (*_NUMBERS_OF_EVIDENCE, "source_reference")


@functools.lru_cache(maxsize=256)
def narrowing(scope: Scope) -> Narrowed | None:
    """What a scope leaves of an answer, as tables; a grant's scope is the same object at every question."""
    if scope == EVERYTHING:
        return None
    return Narrowed.to(KIND_NAMES.values() if scope.kinds is None else scope.kinds, scope.regions)


class _Sparse:
    """Sparse columns of a batch, sorted by subject, cut by question."""

    def __init__(self, names: Sequence[str], columns: object) -> None:
        subject = getattr(columns, "subject")  # noqa: B009  whatever has these columns
        self._order = np.asarray(subject)
        self._subject: list[int] = self._order.tolist()
        self._columns: dict[str, list[Any]] = {}
        for name in names:
            column = getattr(columns, name)
            self._columns[name] = column if isinstance(column, list) else column.tolist()

    def write(self, message: Any, start: int, end: int, part: Part) -> dict[str, list[Any]]:
        """Write the rows of the people `start` to `end` into the message's columns; returns them."""
        subject = self._subject
        if start == 0 and (not subject or subject[-1] < end):
            low, high = 0, len(subject)
        else:
            low, high = (int(at) for at in np.searchsorted(self._order, (start, end)))
        rows = part.rows
        cut = {name: column[low:high] for name, column in self._columns.items()}
        if low == high:  # not even an empty message: it would tell of the others in the batch
            return cut
        message.subject.extend([rows[each - start] for each in subject[low:high]])
        for name, values in cut.items():
            getattr(message, name).extend(values)
        return cut


def _placed(column: list[int], part: Part) -> list[int]:
    """A column of the people asked about as one of all people of the question; 0 for those refused."""
    if not part.refused:
        return column
    whole = [0] * part.count
    for row, value in zip(part.rows, column, strict=True):
        whole[row] = value
    return whole


def texts_of(book: RuleBook, codes: Sequence[int]) -> list[exchange_pb2.ReasonText]:
    """The texts of the codes that occur, once each; to be copied, as others get them too."""
    return [text for code in sorted(set(codes)) for text in _text_of(book, code)]


@functools.lru_cache(maxsize=1024)
def _text_of(book: RuleBook, code: int) -> Sequence[exchange_pb2.ReasonText]:
    """The text of a code; none for one that is not known."""
    return [
        exchange_pb2.ReasonText(
            code=text.code, name=text.name, zh=text.zh, en=text.en, about_trace=text.code in TRACE_CODES
        )
        for text in reason_texts(book, [code])
    ]


def _tell_links(written: Sequence[exchange_pb2.Findings], parts: Sequence[Part], gathered: Gathered) -> None:
    """Add the linked numbers, but none of a person in identity conflict: they may be somebody else's."""
    owner = [(at, row) for at, part in enumerate(parts) for row in part.rows]
    for subject, number, since in zip(
        gathered.link_subject, gathered.link_id_number, gathered.link_since_on, strict=True
    ):
        if not gathered.identity_conflict[subject]:
            at, row = owner[subject]
            links: columns_pb2.LinkColumns = written[at].links
            links.subject.append(row)
            links.id_number.append(number)
            links.since_on.append(since)


def _tell_faces(
    book: RuleBook,
    terms: Terms,
    narrowed: Narrowed | None,
    written: Sequence[exchange_pb2.Findings],
    parts: Sequence[Part],
    gathered: Gathered,
) -> None:
    """Add the tokens of faces, the newest of each person; none of a person in identity conflict."""
    faces = gathered.faces
    told = minimise_faces(
        faces.observed_on,
        faces.region,
        as_of_on=terms.as_of_on,
        cycle_days=book.grading.cycle_days,
        narrowed=narrowed,
    )
    told &= ~gathered.identity_conflict[faces.subject]
    rows = np.flatnonzero(told)
    rows = rows[np.lexsort((-faces.observed_on[rows], faces.subject[rows]))]
    owner = [(at, row) for at, part in enumerate(parts) for row in part.rows]
    before, count = -1, 0
    for at_row, subject in zip(rows.tolist(), faces.subject[rows].tolist(), strict=True):
        count = count + 1 if subject == before else 1
        before = subject
        if count > MAX_FACES:
            continue
        at, row = owner[subject]
        written[at].faces.subject.append(row)
        written[at].faces.token.append(faces.token[at_row])
