"""Answering a question: validate, authorise, ask the departments, grade, leave out what the purpose does not allow.

Owns: the steps, and which questions are answered together. Refuses: envelopes, and every judgement about a person: the
rules make it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.contract import Lookup, Subjects
from gateway.aside import Aside
from gateway.clock import Clock, civil_day
from gateway.coalescing import Coalescer
from gateway.errors import RefusedError, WuganError
from gateway.exchange.header import LIMITS
from gateway.exchange.question import check_question, too_many
from gateway.inquiry.access import Access, Decision
from gateway.inquiry.asking import Departments
from gateway.inquiry.findings import Column, Part, Terms, column_of, since_of, wants_faces, write_findings
from gateway.inquiry.gathering import Gathered
from gateway.inquiry.plain import write_plain
from gateway.observing import tracing
from gateway.rules.book import RuleBook
from gateway.rules.grading import grade
from gateway.rules.identity import normalise_numbers, read_numbers
from wugan.federation.v1 import exchange_pb2
from wugan.federation.v1 import vocabulary_pb2 as words

ALONE_FROM = 64
"""Questions about so many people or more are batches of their own."""
TOGETHER_AT_MOST = 64
ASIDE_FROM = 512
"""So many people are not graded in the event loop: it takes some milliseconds."""


class Account:
    """What the record of processing says of how a question was decided.

    Args:
        counted: the question is answered once more, and its people were counted the first time.
    """

    __slots__ = ("counted", "decision")

    def __init__(self, *, counted: bool = False) -> None:
        self.counted = counted
        self.decision: Decision | None = None

    def of(self, outcome: str) -> str:
        """What came of the question, and how access was decided; the latter alone where it was answered."""
        if self.decision is None:
            return outcome
        return f"{outcome} [{self.decision.explanation}]" if outcome else self.decision.explanation


class _Allowed(NamedTuple):
    """A question that may be answered: its place among those that came with it, its people, and what allows it."""

    position: int
    question: exchange_pb2.Question
    part: Part
    decision: Decision
    counted: bool


class Prepared(NamedTuple):
    """Questions that came together, of which it was decided whether they are answered.

    Args:
        sender: the member that asks.
        time_s: seconds until the answer must be there.
        refused: why each is refused, None where it is answered.
        groups: those that are, by what they have in common.
    """

    sender: str
    time_s: float
    refused: list[WuganError | None]
    groups: dict[Terms, list[_Allowed]]


_UNANSWERED = WuganError("no answer was made", "未作出答复")
"""Stands where an answer will be."""


class Inquiry:
    """Answers questions from this member's departments.

    Args:
        max_subjects: people in one question at most.
        max_evidence: evidence rows for each person at most, whatever the question asks for.
        aside: where large batches are graded.
    """

    def __init__(
        self,
        book: RuleBook,
        departments: Departments,
        access: Access,
        clock: Clock,
        *,
        max_subjects: int,
        max_evidence: int,
        aside: Aside | None = None,
    ) -> None:
        self._aside = aside or Aside()
        self._book = book
        self._departments = departments
        self._access = access
        self._clock = clock
        self.max_subjects = max_subjects
        self._max_evidence = max_evidence
        self._together: Coalescer[Terms, Sequence[Part], list[exchange_pb2.Findings]] = Coalescer(
            self._batch, clock, limit=TOGETHER_AT_MOST
        )

    def prepare(
        self,
        sender: str,
        questions: Sequence[exchange_pb2.Question],
        time_s: float,
        accounts: Sequence[Account],
        parts: Sequence[Part | WuganError] | None = None,
        wrong: Sequence[WuganError | None] = (),
    ) -> Prepared:
        """Decide which of these questions are answered, and count their people, before anybody is asked.

        A question is refused when it is malformed, not allowed, or about a day to come; NOT_SERVED if this member has
        no departments to ask.

        Args:
            sender: the member that asks.
            questions: as they came.
            time_s: seconds until the answer must be there.
            accounts: one for each question; is told how access was decided.
            parts: the people of each question, or what is wrong with it, of questions that came over a stream.
            wrong: what else is known to be wrong with each question, None: nothing; empty: nothing with any.
        """
        refused: list[WuganError | None] = []
        groups: dict[Terms, list[_Allowed]] = {}
        prepared = Prepared(sender, time_s, refused, groups)
        room = self.max_subjects
        for position, question in enumerate(questions):
            account = accounts[position]
            try:
                if wrong and (error := wrong[position]) is not None:
                    raise error
                part = read_people(question, max_subjects=room) if parts is None else parts[position]
                if isinstance(part, WuganError):
                    raise part
                if part.count > room:
                    raise too_many(room)
                terms, allowed = self._prepare(sender, position, question, account, part, streamed=parts is not None)
            except WuganError as refusal:
                refused.append(refusal)
            else:
                refused.append(None)
                room -= part.count
                groups.setdefault(terms, []).append(allowed)
        return prepared

    async def answer(self, prepared: Prepared, *, alone: bool = False) -> list[exchange_pb2.Findings | WuganError]:
        """For each question its findings, or why it is refused, in the time it has.

        A department that does not answer in time is named in the findings, which are then partial. Small questions that
        arrive together on the same terms, in one envelope or in several, are asked of the departments together; each
        gets its own findings, and none learns of another.

        Args:
            prepared: the questions.
            alone: no other question is on its way, so that there is none to be answered together with.
        """
        sender, time_s, refused, groups = prepared
        outcomes: list[exchange_pb2.Findings | WuganError] = [error or _UNANSWERED for error in refused]
        if len(groups) == 1:  # spares a task for each of the many single questions
            ((terms, group),) = groups.items()
            await self._group(sender, time_s, terms, group, outcomes, alone=alone)
        else:
            work = [self._group(sender, time_s, terms, group, outcomes, alone=alone) for terms, group in groups.items()]
            await asyncio.gather(*work)
        return outcomes

    async def _group(
        self,
        sender: str,
        time_s: float,
        terms: Terms,
        group: Sequence[_Allowed],
        outcomes: list[exchange_pb2.Findings | WuganError],
        *,
        alone: bool,
    ) -> None:
        """Answer the questions on the same terms, with whatever else waits on them, into their places."""
        parts, people = [], 0
        for allowed in group:
            part = allowed.part
            parts.append(part)
            people += part.count
        try:
            if people >= ALONE_FROM:
                (results,) = await self._batch(terms, [parts], time_s)
            else:
                results = await self._together.join(terms, parts, time_s, weight=people, alone=alone)
        except WuganError as error:
            for allowed in group:
                outcomes[allowed.position] = error
            return
        for at, allowed in enumerate(group):
            position, question, _, decision, counted = allowed
            findings = results[at]
            try:
                await self._access.settle(decision)
            except WuganError as error:
                outcomes[position] = error
            else:
                if not counted:
                    self._access.answered(sender, question, decision, findings)
                outcomes[position] = findings

    def _prepare(
        self,
        sender: str,
        position: int,
        question: exchange_pb2.Question,
        account: Account,
        part: Part,
        *,
        streamed: bool,
    ) -> tuple[Terms, _Allowed]:
        """Check whether a question is allowed."""
        context = question.context
        further = len(part.alias_id_number)
        decision = account.decision = self._access.authorise(sender, question, counted=account.counted, further=further)
        if decision.refused is not None:
            raise decision.refused
        now_ms = self._clock.now_ms()
        as_of_on = question.as_of_on
        # The day may have begun by the asker's clock alone: what a roster asks just after midnight is asked as of it.
        if not as_of_on:
            as_of_on = civil_day(now_ms)
        elif not 0 < as_of_on <= civil_day(now_ms + LIMITS.skew_ms):
            raise RefusedError(
                "as_of_on: give today or a day in the past", "as_of_on：请填写今天或以前的日期", field="as_of_on"
            )
        if not self._departments.serve(decision.scope.regions):
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
            decision.scope,
            question.evidence_only_where_not_alive,
        )
        if not account.counted:
            numbers = [*part.numbers, *part.alias_id_number] if further else part.numbers
            self._access.watch(sender, context.unit, decision, numbers, streamed=streamed)
        return terms, _Allowed(position, question, part, decision, account.counted)

    async def _batch(
        self, terms: Terms, joined: Sequence[Sequence[Part]], time_s: float
    ) -> list[list[exchange_pb2.Findings]]:
        """Ask about, and grade, the people of all parts at once; findings for each part of each of those joined."""
        parts = joined[0] if len(joined) == 1 else [part for parts in joined for part in parts]
        subjects = _subjects(parts)
        purpose, legal_basis, as_of_on, _, scope, _ = terms
        gathered = await self._departments.ask(
            Lookup(
                subjects=subjects,
                traces_since_on=max(1, as_of_on - self._book.grading.cycle_days),
                deadline_s=time_s,
                purpose=purpose,
                legal_basis=legal_basis,
                # What may not be told is not read either.
                references=self._book.disclosure(purpose).references,
                faces=wants_faces(self._book, purpose, scope),
                takes_unreadable=True,
            ),
            self._access.narrowing(scope),
        )
        people = len(subjects.id_number)
        with tracing.span("grade", people=people):
            if people < ASIDE_FROM:
                return self._graded(terms, joined, parts, subjects, gathered)
            return await self._aside.do(self._graded, terms, joined, parts, subjects, gathered)

    def _graded(
        self,
        terms: Terms,
        joined: Sequence[Sequence[Part]],
        parts: Sequence[Part],
        subjects: Subjects,
        gathered: Gathered,
    ) -> list[list[exchange_pb2.Findings]]:
        made_at_ms = self._clock.now_ms()
        if (plain := write_plain(self._book, terms, parts, gathered, made_at_ms)) is not None:
            return [[plain]]
        benefit = column_of([part.benefits for part in parts])
        grades = grade(
            self._book,
            subjects=len(subjects),
            evidence=gathered.evidence,
            known=gathered.known,
            identity_conflict=gathered.identity_conflict,
            linked=gathered.linked,
            benefit=benefit,
            birth_on=column_of([part.born_on for part in parts]),
            as_of_on=terms.as_of_on,
            partial=gathered.partial,
            silent=gathered.silent,
            silent_about=gathered.silent_about,
            unasked=gathered.unasked,
            answered=gathered.answered,
            since_on=since_of(parts),
        )
        written = iter(write_findings(self._book, terms, parts, gathered, grades, benefit, made_at_ms))
        return [[next(written) for _ in parts] for parts in joined]


def read_people(question: exchange_pb2.Question, *, max_subjects: int) -> Part:
    """The people of a question with normalised numbers; those whose number is wrong are refused, not the others.

    Raises:
        RefusedError: the question is malformed, or about more than so many people.
    """
    numbers, names = check_question(question, max_subjects=max_subjects)
    columns = question.subjects
    numbers, refused, born_on = read_numbers(numbers, columns.document_kind)
    count, starts = len(numbers), question.benefit_since_on
    rows: Sequence[int] = range(count)
    # As lists, which the library makes in one go: of the field itself NumPy asks for one value after another.
    benefits: Column = question.benefit[:]
    since_on: Column | None = starts[:] if starts else None
    if refused:
        wrong = {row for row, _ in refused}
        rows = [row for row in range(count) if row not in wrong]
        numbers, names = [numbers[row] for row in rows], [names[row] for row in rows]
        benefits, born_on = [benefits[row] for row in rows], np.asarray(born_on, np.int32)[rows]
        since_on = None if since_on is None else [since_on[row] for row in rows]
    alias_rows: list[int] = []
    aliases: list[str] = []
    if columns.alias_subject:
        place = {row: at for at, row in enumerate(rows)}
        valid, _ = normalise_numbers(columns.alias_id_number)
        for row, number in dict.fromkeys(zip(columns.alias_subject, valid, strict=True)):
            # A wrong further number is left out: the right one can still be asked. So is one that is the right one.
            if number and row in place and number != numbers[place[row]]:
                alias_rows.append(place[row])
                aliases.append(number)
    return Part(count, rows, refused, numbers, names, benefits, born_on, alias_rows, aliases, since_on)


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
