"""Answering a question: validate, authorise, ask the departments, grade, leave out what the purpose does not allow.

Owns: the steps and the form of the findings. Refuses: envelopes, and every judgement about a person: the rules make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Lookup, Subjects
from gateway.clock import Clock, civil_day
from gateway.errors import RefusedError
from gateway.exchange.question import check_question
from gateway.inquiry.access import AccessPolicy
from gateway.inquiry.asking import Departments
from gateway.inquiry.gathering import Gathered
from gateway.rules.book import Precision, RuleBook
from gateway.rules.columns import Int32
from gateway.rules.disclosure import Disclosed, may_tell_numbers, minimise, minimise_last_trace, minimise_reasons
from gateway.rules.grading import grade
from gateway.rules.identity import birth_on, normalise_numbers
from gateway.rules.reasons import TRACE_CODES
from gateway.rules.wording import reason_texts
from wugan.adapter.v1 import columns_pb2
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

_PRECISIONS = {
    Precision.NONE: words.DATE_PRECISION_UNSPECIFIED,
    Precision.COARSE: words.DATE_PRECISION_MONTH,
    Precision.EXACT: words.DATE_PRECISION_DAY,
}


class Inquiry:
    """Answers questions from this member's departments.

    Args:
        max_subjects: people in one question at most.
        max_evidence: evidence rows for each person at most, whatever the question asks for.
    """

    def __init__(
        self,
        book: RuleBook,
        departments: Departments,
        access: AccessPolicy,
        clock: Clock,
        *,
        max_subjects: int,
        max_evidence: int,
    ) -> None:
        self._book = book
        self._departments = departments
        self._access = access
        self._clock = clock
        self._max_subjects = max_subjects
        self._max_evidence = max_evidence
        self._kinds = tuple(sorted({item.kind for about in departments.descriptions for item in about.items}))

    async def answer(self, sender: str, question: exchange_pb2.Question, time_s: float) -> exchange_pb2.Findings:
        """Findings for every person of the question, within `time_s` seconds.

        A department that does not answer in time is named in the findings, which are then partial.

        Raises:
            RefusedError: the question is malformed, not allowed, or about a day to come; NOT_SERVED if this member
                has no departments to ask.
        """
        check_question(question, max_subjects=self._max_subjects)
        self._access.authorise(sender, question.context.purpose, set(question.benefit))
        today = civil_day(self._clock.now_ms())
        as_of_on = question.as_of_on or today
        if not 0 < as_of_on <= today:
            raise RefusedError(
                "as_of_on: give today or a day in the past", "as_of_on：请填写今天或以前的日期", field="as_of_on"
            )
        if not len(self._departments):
            raise RefusedError(
                "this member has no departments that could be asked",
                "本方尚未接入可供查询的部门",
                reason=words.REFUSAL_REASON_NOT_SERVED,
            )
        numbers, refused = normalise_numbers(question.subjects.id_number, question.subjects.document_kind)
        chosen: Sequence[int] | None = None
        if refused:
            bad = {row for row, _ in refused}
            chosen = [row for row in range(len(numbers)) if row not in bad]
        gathered = await self._departments.ask(
            Lookup(
                subjects=_subjects(question.subjects, numbers, chosen),
                traces_since_on=max(1, as_of_on - self._book.grading.cycle_days),
                deadline_s=time_s,
                purpose=question.context.purpose,
                legal_basis=question.context.legal_basis,
            )
        )
        findings = self._findings(question, numbers, chosen, gathered, as_of_on)
        for row, error in refused:
            findings.refused.subject.append(row)
            findings.refused.reason.append(error.reason)
        return findings

    def _findings(
        self,
        question: exchange_pb2.Question,
        numbers: list[str],
        chosen: Sequence[int] | None,
        gathered: Gathered,
        as_of_on: int,
    ) -> exchange_pb2.Findings:
        """Grade, minimise, and write as the contract has it; `chosen` are the rows asked about, None: all of them."""
        if chosen is not None:
            numbers = [numbers[row] for row in chosen]
        benefit = np.fromiter(question.benefit, np.int32, len(question.benefit))
        silent = {r.department for r in gathered.reports if r.outcome != words.SOURCE_OUTCOME_ANSWERED}
        grades = grade(
            self._book,
            subjects=len(numbers),
            evidence=gathered.evidence,
            known=gathered.known,
            identity_conflict=gathered.identity_conflict,
            linked=gathered.linked,
            benefit=benefit if chosen is None else benefit[chosen],
            birth_on=birth_on(numbers),
            as_of_on=as_of_on,
            partial=gathered.partial,
            silent=silent,
        )
        purpose = question.context.purpose
        reasons = minimise_reasons(self._book, purpose, grades.reasons)
        codes = reasons.code.tolist()
        allowed = self._book.disclosure(purpose)
        findings = exchange_pb2.Findings(
            status=_placed(grades.status, chosen, len(benefit)),  # type: ignore[arg-type]  # numbers of the contract
            flags=_placed(grades.flags, chosen, len(benefit)),
            decided_on=_placed(grades.decided_on, chosen, len(benefit)),
            last_trace_on=_placed(
                minimise_last_trace(self._book, purpose, grades.last_trace_on, grades.flags), chosen, len(benefit)
            ),
            valid_until_on=_placed(grades.valid_until_on, chosen, len(benefit)),
            reasons=exchange_pb2.ReasonColumns(
                subject=_rows(reasons.subject, chosen),
                code=codes,
                department=reasons.department.tolist(),
                kind=reasons.kind.tolist(),
                on=reasons.on.tolist(),
                number=reasons.number.tolist(),
            ),
            reason_texts=[
                exchange_pb2.ReasonText(
                    code=text.code, name=text.name, zh=text.zh, en=text.en, about_trace=text.code in TRACE_CODES
                )
                for text in reason_texts(self._book, codes)
            ],
            as_of_on=as_of_on,
            made_at_ms=self._clock.now_ms(),
            rules_version=self._book.version,
            rules_digest=self._book.digest,
            sources=[
                exchange_pb2.SourceReport(
                    adapter_id=report.adapter_id,
                    department=report.department,  # type: ignore[arg-type]  # numbers of the contract
                    outcome=report.outcome,  # type: ignore[arg-type]
                    complete_until_on=report.complete_until_on,
                )
                for report in gathered.reports
            ],
            partial=gathered.partial,
            trace_dates=_PRECISIONS[allowed.trace_dates],
            event_dates=_PRECISIONS[allowed.event_dates],
            last_trace_date=_PRECISIONS[allowed.last_trace],
        )
        limit = min(question.evidence_limit, self._max_evidence)
        if limit and len(gathered.evidence):
            findings.evidence.CopyFrom(
                self._evidence(
                    minimise(
                        self._book,
                        purpose,
                        gathered.evidence,
                        benefit=benefit if chosen is None else benefit[chosen],
                        flags=grades.flags,
                        decided_on=grades.decided_on,
                        as_of_on=as_of_on,
                        limit=limit,
                    ),
                    chosen,
                )
            )
        if gathered.link_subject and may_tell_numbers(self._book, purpose):
            _tell_links(findings, gathered, chosen)
        return findings

    @staticmethod
    def _evidence(shown: Disclosed, chosen: Sequence[int] | None) -> columns_pb2.EvidenceColumns:
        return columns_pb2.EvidenceColumns(
            subject=_rows(shown.subject, chosen),
            kind=shown.kind.tolist(),
            department=shown.department.tolist(),
            region=shown.region.tolist(),
            observed_on=shown.observed_on.tolist(),
            available_on=shown.available_on.tolist(),
            strength=shown.strength.tolist(),
            source_reference=shown.source_reference,
            detail=shown.detail.tolist(),
            from_on=shown.from_on.tolist(),
            until_on=shown.until_on.tolist(),
        )


def _subjects(columns: columns_pb2.SubjectColumns, numbers: list[str], chosen: Sequence[int] | None) -> Subjects:
    """The people to ask about, with the further numbers that are valid; those that are not are left out."""
    names: Sequence[str] = columns.name
    place = range(len(numbers)) if chosen is None else {row: at for at, row in enumerate(chosen)}
    alias_rows: list[int] = []
    aliases: list[str] = []
    if columns.alias_subject:
        valid, _ = normalise_numbers(columns.alias_id_number)
        for row, number in zip(columns.alias_subject, valid, strict=True):
            if number and row in place:
                alias_rows.append(place[row])
                aliases.append(number)
    if chosen is not None:
        numbers, names = [numbers[row] for row in chosen], [names[row] for row in chosen]
    return Subjects(numbers, names, alias_rows, aliases)


def _placed(column: NDArray[Any], chosen: Sequence[int] | None, count: int) -> list[int]:
    """A column of the people asked about as one of all people of the question; 0 for those refused."""
    if chosen is None:
        return list(column.tolist())
    whole = np.zeros(count, column.dtype)
    whole[chosen] = column
    return list(whole.tolist())


def _rows(subject: Int32, chosen: Sequence[int] | None) -> list[int]:
    """Row numbers of the people asked about as row numbers of the question."""
    return list(subject.tolist() if chosen is None else np.asarray(chosen, np.int32)[subject].tolist())


def _tell_links(findings: exchange_pb2.Findings, gathered: Gathered, chosen: Sequence[int] | None) -> None:
    """Add the linked numbers, but none of a person in identity conflict: they may be somebody else's."""
    for row, number, since in zip(gathered.link_subject, gathered.link_id_number, gathered.link_since_on, strict=True):
        if not gathered.identity_conflict[row]:
            findings.links.subject.append(row if chosen is None else chosen[row])
            findings.links.id_number.append(number)
            findings.links.since_on.append(since)
