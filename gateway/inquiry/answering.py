"""Answering a question: validate, authorise, ask the departments, grade, leave out what the purpose does not allow.

Owns: the steps, and which questions are answered together. Refuses: envelopes, and every judgement about a person: the
rules make it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from adapters.contract import Lookup, Subjects
from gateway.clock import Clock, civil_day
from gateway.coalescing import Coalescer, patience
from gateway.errors import RefusedError, WuganError
from gateway.exchange.question import check_question
from gateway.inquiry.access import AccessPolicy
from gateway.inquiry.asking import Departments
from gateway.inquiry.findings import Part, Terms, write_findings
from gateway.rules.book import RuleBook
from gateway.rules.grading import grade
from gateway.rules.identity import birth_on, normalise_numbers
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ALONE_FROM = 64
"""Questions about so many people or more are batches of their own."""
TOGETHER_AT_MOST = 64


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
        self._together: Coalescer[Terms, Sequence[Part], list[exchange_pb2.Findings]] = Coalescer(
            self._batch, clock, limit=TOGETHER_AT_MOST
        )

    async def answer(
        self, sender: str, questions: Sequence[exchange_pb2.Question], time_s: float, *, alone: bool = False
    ) -> list[exchange_pb2.Findings | WuganError]:
        """For each question its findings, or why it is refused, within `time_s` seconds.

        A department that does not answer in time is named in the findings, which are then partial. Small questions that
        arrive together on the same terms, in one envelope or in several, are asked of the departments together; each
        gets its own findings, and none learns of another.

        A question is refused when it is malformed, not allowed, or about a day to come; NOT_SERVED if this member has
        no departments to ask.

        Args:
            sender: the member that asks.
            questions: as they came.
            time_s: seconds until the answer must be there.
            alone: no other question is on its way, so that there is none to be answered together with.
        """
        if len(questions) == 1:
            try:
                terms, part = self._prepare(sender, questions[0], time_s, self._max_subjects)
                return [*await self._group(terms, [part], time_s, alone=alone)]
            except WuganError as error:
                return [error]
        outcomes: list[exchange_pb2.Findings | WuganError | None] = [None] * len(questions)
        groups: dict[Terms, list[tuple[int, Part]]] = {}
        room = self._max_subjects
        for position, question in enumerate(questions):
            try:
                terms, part = self._prepare(sender, question, time_s, room)
            except WuganError as error:
                outcomes[position] = error
            else:
                room -= part.count
                groups.setdefault(terms, []).append((position, part))
        await asyncio.gather(
            *(self._settle(terms, members, time_s, outcomes, alone=alone) for terms, members in groups.items())
        )
        return [outcome for outcome in outcomes if outcome is not None]

    async def _settle(
        self,
        terms: Terms,
        members: Sequence[tuple[int, Part]],
        time_s: float,
        outcomes: list[exchange_pb2.Findings | WuganError | None],
        *,
        alone: bool,
    ) -> None:
        """Answer the questions of one group, into their places."""
        results: Sequence[exchange_pb2.Findings | WuganError]
        try:
            results = await self._group(terms, [part for _, part in members], time_s, alone=alone)
        except WuganError as error:
            results = [error] * len(members)
        for (position, _), result in zip(members, results, strict=True):
            outcomes[position] = result

    async def _group(
        self, terms: Terms, parts: Sequence[Part], time_s: float, *, alone: bool
    ) -> list[exchange_pb2.Findings]:
        """Answer questions on the same terms, together with whatever else waits on them."""
        people = sum(part.count for part in parts)
        if people >= ALONE_FROM:
            return (await self._batch(terms, [parts], time_s))[0]
        return await self._together.join(terms, parts, time_s, weight=people, alone=alone)

    def _prepare(self, sender: str, question: exchange_pb2.Question, time_s: float, room: int) -> tuple[Terms, Part]:
        """Check a question, and whether it is allowed; `room`: people that it may be about at most."""
        check_question(question, max_subjects=room)
        context = question.context
        self._access.authorise(sender, context.purpose, set(question.benefit))
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
        terms = Terms(
            context.purpose,
            context.legal_basis,
            as_of_on,
            min(question.evidence_limit, self._max_evidence),
            patience(time_s),
        )
        return terms, _part(question)

    async def _batch(
        self, terms: Terms, joined: Sequence[Sequence[Part]], time_s: float
    ) -> list[list[exchange_pb2.Findings]]:
        """Ask about, and grade, the people of all parts at once; findings for each part of each of those joined."""
        parts = joined[0] if len(joined) == 1 else [part for parts in joined for part in parts]
        subjects = _subjects(parts)
        gathered = await self._departments.ask(
            Lookup(
                subjects=subjects,
                traces_since_on=max(1, terms.as_of_on - self._book.grading.cycle_days),
                deadline_s=time_s,
                purpose=terms.purpose,
                legal_basis=terms.legal_basis,
            )
        )
        benefit = np.array([benefit for part in parts for benefit in part.benefits], np.int32)
        grades = grade(
            self._book,
            subjects=len(subjects),
            evidence=gathered.evidence,
            known=gathered.known,
            identity_conflict=gathered.identity_conflict,
            linked=gathered.linked,
            benefit=benefit,
            birth_on=birth_on(subjects.id_number),
            as_of_on=terms.as_of_on,
            partial=gathered.partial,
            silent={r.department for r in gathered.reports if r.outcome != words.SOURCE_OUTCOME_ANSWERED},
        )
        written = iter(write_findings(self._book, terms, parts, gathered, grades, benefit, self._clock.now_ms()))
        return [[next(written) for _ in parts] for parts in joined]


def _part(question: exchange_pb2.Question) -> Part:
    """The question's people with normalised numbers; those whose number is wrong are refused, not the others."""
    columns = question.subjects
    numbers, refused = normalise_numbers(columns.id_number, columns.document_kind)
    rows: Sequence[int] = range(len(numbers))
    names: Sequence[str] = columns.name
    benefits: Sequence[int] = question.benefit
    if refused:
        bad = {row for row, _ in refused}
        rows = [row for row in rows if row not in bad]
        numbers = [numbers[row] for row in rows]
        names, benefits = [names[row] for row in rows], [benefits[row] for row in rows]
    alias_rows: list[int] = []
    aliases: list[str] = []
    if columns.alias_subject:
        place = {row: at for at, row in enumerate(rows)}
        valid, _ = normalise_numbers(columns.alias_id_number)
        for row, number in zip(columns.alias_subject, valid, strict=True):
            if number and row in place:  # a wrong further number is left out: the right one can still be asked
                alias_rows.append(place[row])
                aliases.append(number)
    return Part(len(columns.id_number), rows, refused, numbers, names, benefits, alias_rows, aliases)


def _subjects(parts: Sequence[Part]) -> Subjects:
    """The people of all parts, one part after another."""
    if len(parts) == 1:
        part = parts[0]
        return Subjects(part.numbers, part.names, part.alias_subject, part.alias_id_number)
    numbers: list[str] = []
    names: list[str] = []
    alias_rows: list[int] = []
    aliases: list[str] = []
    for part in parts:
        alias_rows.extend(row + len(numbers) for row in part.alias_subject)
        aliases.extend(part.alias_id_number)
        numbers.extend(part.numbers)
        names.extend(part.names)
    return Subjects(numbers, names, alias_rows, aliases)
